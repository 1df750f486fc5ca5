//! From the streams to the wire.

use super::header::{Flags, FrameKind, HEADER_BYTES, Header};
use super::machine::Streams;
use super::place::{Is, Segment};
use super::table::List;
use crate::backing::Backing;
use crate::link::{CHUNKS_MAX, Chunks, TRANSMIT_BYTES};
use crate::pool::{BufferSource, Chunk, Lease, PoolRef, Request};
use crate::time::{Instant, Now, US_PER_MS};

/// Data up to this length is copied behind its header rather than written as a piece of its own.
const GATHER_BYTES_MAX: usize = 1_024;
/// What one turn of a stream may gather beside such data: a window, a header and an end.
const TURN_HEADERS_BYTES: usize = HEADER_BYTES * 3;
/// Pings of the peer's that can wait for their answers.
const PONGS_MAX: usize = 8;
/// When a pool that had no buffer is asked again.
const STARVED_US: u64 = US_PER_MS;

/// What waits to be written, beside the streams' own queues.
pub(super) struct Outbound<'s, R: PoolRef> {
    /// Whole frames, in the order of the wire.
    gathered: Option<Lease<R>>,
    refusals: Backing<'s, u32>,
    refusals_max: usize,
    refusals_len: usize,
    pongs: [u32; PONGS_MAX],
    pongs_len: usize,
    pub(super) go_away_due: bool,
    /// When a pool that had no buffer is asked again.
    pub(super) starved_until: Option<Instant>,
}

impl<'s, R: PoolRef> Outbound<'s, R> {
    pub(super) const fn new(refusals: Backing<'s, u32>, refusals_max: usize) -> Self {
        Self {
            gathered: None,
            refusals,
            refusals_max,
            refusals_len: 0,
            pongs: [0; PONGS_MAX],
            pongs_len: 0,
            go_away_due: false,
            starved_until: None,
        }
    }

    /// Notes that the peer's stream `id` is refused. False where too many are.
    pub(super) fn refuse(&mut self, id: u32) -> bool {
        let free = self.refusals.get_mut(..self.refusals_max).unwrap_or_default();
        let Some(place) = free.get_mut(self.refusals_len) else {
            return false;
        };
        *place = id;
        self.refusals_len = self.refusals_len.saturating_add(1);
        true
    }

    /// Notes a ping that is to be answered. False where too many are.
    pub(super) fn answer_ping(&mut self, value: u32) -> bool {
        let Some(place) = self.pongs.get_mut(self.pongs_len) else {
            return false;
        };
        *place = value;
        self.pongs_len = self.pongs_len.saturating_add(1);
        true
    }

    /// True where there is something to be written.
    pub(super) const fn is_waiting(&self) -> bool {
        self.gathered.is_some()
            || self.go_away_due
            || self.refusals_len > 0
            || self.pongs_len > 0
            || self.starved_until.is_some()
    }

    pub(super) fn clear(&mut self) {
        self.gathered = None;
        self.go_away_due = false;
        (self.refusals_len, self.pongs_len) = (0, 0);
        self.starved_until = None;
    }
}

/// A piece of one write.
enum Piece<R: PoolRef> {
    /// The gathered bytes up to this offset.
    Gathered(usize),
    Chunk(Chunk<R>),
}

/// A frame of data.
enum Framed<R: PoolRef> {
    /// Header and data in one piece.
    Whole(Chunk<R>),
    /// The data alone.
    Apart(Chunk<R>),
    Nothing,
}

/// One write, as it is put together.
struct Sheet<R: PoolRef> {
    gathered: Lease<R>,
    /// How much of the gathered bytes stands in pieces already.
    placed: usize,
    pieces: heapless::Vec<Piece<R>, CHUNKS_MAX>,
    bytes: usize,
}

impl<R: PoolRef> Sheet<R> {
    fn new(gathered: Lease<R>) -> Self {
        Self { bytes: gathered.len(), gathered, placed: 0, pieces: heapless::Vec::new() }
    }

    /// True where one more turn surely fits: two pieces, and one for what is gathered at last.
    fn has_room(&self, turn_bytes: usize) -> bool {
        self.pieces.len() < CHUNKS_MAX.saturating_sub(3)
            && self.bytes < TRANSMIT_BYTES
            && self.gathered.spare() >= turn_bytes
    }

    /// True where it fitted.
    fn gather(&mut self, bytes: &[u8]) -> bool {
        let fits = self.gathered.extend_from_slice(bytes).is_ok();
        if fits {
            self.bytes = self.bytes.saturating_add(bytes.len());
        }
        fits
    }

    fn chunk(&mut self, chunk: Chunk<R>) {
        self.bytes = self.bytes.saturating_add(chunk.len());
        self.place_gathered();
        // There is room: see `has_room`.
        let _ = self.pieces.push(Piece::Chunk(chunk));
    }

    fn place_gathered(&mut self) {
        let len = self.gathered.len();
        if len > self.placed {
            let _ = self.pieces.push(Piece::Gathered(len));
            self.placed = len;
        }
    }

    /// Hands it out. Gives back the buffer where nothing was gathered.
    fn hand_out(mut self, out: &mut Chunks<Chunk<R>>) -> Option<Lease<R>> {
        self.place_gathered();
        if self.placed == 0 {
            for piece in self.pieces {
                if let Piece::Chunk(chunk) = piece {
                    let _ = out.push(chunk);
                }
            }
            return Some(self.gathered);
        }
        let mut gathered = self.gathered.freeze();
        let mut from = 0_usize;
        for piece in self.pieces {
            let chunk = match piece {
                Piece::Chunk(chunk) => Ok(chunk),
                Piece::Gathered(to) => {
                    let front = gathered.split_to(to.saturating_sub(from));
                    from = to;
                    front
                }
            };
            if let Ok(chunk) = chunk {
                let _ = out.push(chunk);
            }
        }
        None
    }
}

impl<S: BufferSource> Streams<'_, S> {
    /// Puts as much of `data` as it can straight behind what is gathered for the next write, as a
    /// frame of its own. Only where that overtakes nobody.
    pub(super) fn write_through(&mut self, place: u32, data: &[u8]) -> usize {
        if !self.table.is_alone(List::Ready, place) {
            return 0;
        }
        let Some(found) = self.table.get_mut(place).filter(|found| found.queued == 0) else {
            return 0;
        };
        if self.outbound.gathered.is_none() {
            self.outbound.gathered = self.buffers.acquire(self.config.segment_bytes).ok();
        }
        let Some(gathered) = &mut self.outbound.gathered else {
            return 0;
        };
        let room = gathered.spare().saturating_sub(HEADER_BYTES);
        let bytes = data.len().min(found.window as usize).min(self.config.segment_bytes);
        if bytes == 0 || (bytes > room && room < self.config.segment_bytes / 4) {
            return 0;
        }
        let bytes = bytes.min(room);
        let flags = opening_flags(found.take(Is::SYN_DUE), found.take(Is::ACK_DUE));
        let header = data_header(flags, found.id, bytes).encode();
        let data = data.get(..bytes).unwrap_or_default();
        // There is room for both, as was just seen.
        if gathered.extend_from_slice(&header).is_err() || gathered.extend_from_slice(data).is_err()
        {
            return 0;
        }
        found.window = found.window.saturating_sub(bytes as u32);
        self.count_sent(bytes);
        bytes
    }

    /// Data up to this length is gathered.
    fn gather_bytes_max(&self) -> usize {
        GATHER_BYTES_MAX.min(self.config.segment_bytes / 4)
    }

    /// What one turn of a stream may gather at most.
    fn turn_bytes(&self) -> usize {
        self.gather_bytes_max().saturating_add(TURN_HEADERS_BYTES)
    }

    fn count_sent(&mut self, data_bytes: usize) {
        let counters = &mut self.counters;
        counters.frames_sent = counters.frames_sent.wrapping_add(1);
        counters.data_bytes_sent = counters.data_bytes_sent.wrapping_add(data_bytes as u64);
    }

    /// Puts some of `data` into a buffer of the stream's own; 0 where there is no room.
    pub(super) fn append(&mut self, place: u32, data: &[u8]) -> usize {
        let segment_bytes = self.config.segment_bytes;
        let Some(found) = self.table.get_mut(place) else {
            return 0;
        };
        if let Some(Segment::Lease(last)) = found.send.back_mut() {
            let room = last.spare().min(segment_bytes.saturating_sub(last.len()));
            let bytes = room.min(data.len());
            let fits = data.get(..bytes).is_some_and(|data| last.extend_from_slice(data).is_ok());
            if fits && bytes > 0 {
                found.queued = found.queued.saturating_add(bytes);
                return bytes;
            }
        }
        if found.send.is_full() {
            return 0;
        }
        // A second buffer is a large one: whoever fills the first has more.
        let bytes = data.len().min(segment_bytes);
        let len = if found.send.is_empty() { bytes } else { segment_bytes };
        let request = Request::bytes(len).with_headroom(HEADER_BYTES);
        let Ok(mut lease) = self.buffers.acquire_with(request) else {
            self.starve_until_next_time();
            return 0;
        };
        let bytes = bytes.min(lease.spare());
        if data.get(..bytes).is_none_or(|data| lease.extend_from_slice(data).is_err()) {
            return 0;
        }
        if found.send.push_back(Segment::Lease(lease)).is_err() {
            return 0;
        }
        found.queued = found.queued.saturating_add(bytes);
        bytes
    }

    /// The pool has no buffer: writers are woken in a while to try again.
    #[cold]
    fn starve_until_next_time(&mut self) {
        self.counters.starved = self.counters.starved.wrapping_add(1);
        // The time comes with the next call that has one.
        self.outbound.starved_until.get_or_insert(Instant::NEVER);
    }

    /// Hands out what is to be written next.
    pub(super) fn transmit(&mut self, now: Now, out: &mut Chunks<Chunk<S::Ref>>) {
        if let Some(until) = &mut self.outbound.starved_until {
            *until = (*until).min(now.at.plus_us(STARVED_US));
        }
        if !out.is_empty() || !self.wants_transmit() || self.closed().is_some() {
            return;
        }
        let gathered = self.outbound.gathered.take();
        let gathered = gathered.or_else(|| self.buffers.acquire(self.config.segment_bytes).ok());
        let Some(gathered) = gathered else {
            self.starve_until_next_time();
            self.outbound.starved_until = Some(now.at.plus_us(STARVED_US));
            return;
        };
        let mut sheet = Sheet::new(gathered);
        self.transmit_control(now, &mut sheet);
        // Ends, because a stream comes back only after a frame of data.
        let turn_bytes = self.turn_bytes();
        while sheet.has_room(turn_bytes)
            && let Some(place) = self.table.pop(List::Ready)
        {
            self.transmit_stream(now, place, &mut sheet);
        }
        self.outbound.gathered = sheet.hand_out(out).filter(|lease| !lease.is_empty());
    }

    /// What belongs to no stream that has a place.
    fn transmit_control(&mut self, now: Now, sheet: &mut Sheet<S::Ref>) {
        let gather = |sheet: &mut Sheet<S::Ref>, header: Header| sheet.gather(&header.encode());
        while let Some(last) = self.outbound.pongs_len.checked_sub(1) {
            let value = self.outbound.pongs.get(last).copied().unwrap_or_default();
            let header = control(FrameKind::Ping, Flags::ACK, 0, value);
            if !gather(sheet, header) {
                return;
            }
            self.outbound.pongs_len = last;
            self.count_sent(0);
        }
        if self.keep_alive.is_due() && sheet.gathered.spare() >= HEADER_BYTES {
            let value = self.keep_alive.asks(now.at);
            gather(sheet, control(FrameKind::Ping, Flags::SYN, 0, value));
            self.counters.pings_sent = self.counters.pings_sent.wrapping_add(1);
            self.count_sent(0);
        }
        while let Some(last) = self.outbound.refusals_len.checked_sub(1) {
            let id = self.outbound.refusals.get(last).copied().unwrap_or_default();
            if !gather(sheet, control(FrameKind::WindowUpdate, Flags::RST, id, 0)) {
                return;
            }
            self.outbound.refusals_len = last;
            self.count_sent(0);
        }
        if self.outbound.go_away_due {
            let code = self.go_away_sent.map_or(0, super::header::GoAwayReason::code);
            if gather(sheet, control(FrameKind::GoAway, Flags::NONE, 0, code)) {
                self.outbound.go_away_due = false;
                self.count_sent(0);
            }
        }
    }

    /// One stream's turn: what the peer is to be told, and one frame of data.
    fn transmit_stream(&mut self, now: Now, place: u32, sheet: &mut Sheet<S::Ref>) {
        let window_bytes = self.config.window_bytes;
        let Some(found) = self.table.get_mut(place) else {
            return;
        };
        if found.take(Is::RST_DUE) {
            sheet.gather(&control(FrameKind::WindowUpdate, Flags::RST, found.id, 0).encode());
            self.count_sent(0);
            return self.vacate_if_over(place);
        }
        if found.id == 0 || found.has_any(Is::DEAD.and(Is::WAITING)) {
            return;
        }
        let id = found.id;
        if found.has(Is::RELEASED) && found.linger_until == Instant::NEVER {
            found.linger_until = now.at.plus_us(self.config.linger_us);
            self.linger_until = self.linger_until.min(found.linger_until);
        }
        let mut flags = opening_flags(found.take(Is::SYN_DUE), found.take(Is::ACK_DUE));
        let grantable = found.grantable(window_bytes);
        let wants_grant = grantable > 0 && (!flags.is_empty() || found.is_grant_due(window_bytes));
        if wants_grant && self.ledger.may_grant(grantable) {
            found.credit = found.credit.saturating_add(grantable);
            self.ledger.granted(grantable);
            sheet.gather(&control(FrameKind::WindowUpdate, flags, id, grantable).encode());
            flags = Flags::NONE;
            self.count_sent(0);
        } else if wants_grant && !found.has(Is::WITHHELD) {
            found.set(Is::WITHHELD);
            self.withheld = self.withheld.saturating_add(1);
        }
        let data_bytes = self.transmit_data(place, flags, sheet);
        let Some(found) = self.table.get_mut(place) else {
            return;
        };
        // The end is a frame of its own: hashicorp/yamux tells its reader of an end before it takes
        // in the data that comes in the same frame, which is then lost.
        let finishes = found.queued == 0 && found.has(Is::FINISHED) && !found.has(Is::FIN_SENT);
        let unsaid = if data_bytes == 0 { flags } else { Flags::NONE };
        let flags = if finishes { unsaid.with(Flags::FIN) } else { unsaid };
        if finishes {
            found.set(Is::FIN_SENT);
        }
        let goes_on = data_bytes > 0 && found.queued > 0 && found.window > 0;
        if !flags.is_empty() {
            sheet.gather(&control(FrameKind::WindowUpdate, flags, id, 0).encode());
            self.count_sent(0);
        }
        if goes_on {
            self.table.push(List::Ready, place);
        }
        if data_bytes > 0 {
            self.tell(place, Is::WRITABLE);
        }
        self.vacate_if_over(place);
    }

    /// One frame of a stream's data, as the peer's window allows; returns its length.
    fn transmit_data(&mut self, place: u32, flags: Flags, sheet: &mut Sheet<S::Ref>) -> usize {
        let segment_bytes = self.config.segment_bytes;
        let gather_bytes_max = self.gather_bytes_max();
        let Some(found) = self.table.get_mut(place) else {
            return 0;
        };
        let front_len = found.send.front().map_or(0, |front| front.bytes().len());
        let bytes = front_len.min(found.window as usize).min(segment_bytes);
        if bytes == 0 {
            return 0;
        }
        let header = data_header(flags, found.id, bytes).encode();
        if bytes <= gather_bytes_max {
            sheet.gather(&header);
            if let Some(front) = found.send.front() {
                sheet.gather(front.bytes().get(..bytes).unwrap_or_default());
            }
            found.drop_front(bytes);
        } else {
            match found.take_front(bytes, &header) {
                Framed::Whole(frame) => sheet.chunk(frame),
                Framed::Apart(data) => {
                    sheet.gather(&header);
                    sheet.chunk(data);
                }
                Framed::Nothing => return 0,
            }
        }
        found.queued = found.queued.saturating_sub(bytes);
        found.window = found.window.saturating_sub(bytes as u32);
        self.count_sent(bytes);
        bytes
    }
}

impl<R: PoolRef> super::place::StreamPlace<R> {
    /// Drops the first `bytes` of the first buffer.
    fn drop_front(&mut self, bytes: usize) {
        let rest = match self.send.front_mut() {
            Some(Segment::Lease(lease)) => {
                lease.advance(bytes);
                lease.len()
            }
            Some(Segment::Chunk(chunk)) => {
                // It is that long, as was just seen.
                let _ = chunk.advance(bytes);
                chunk.len()
            }
            None => return,
        };
        if rest == 0 {
            self.send.pop_front();
        }
    }

    /// The first `bytes` of the first buffer: with the header in front where nobody else sees it,
    /// else without.
    fn take_front(&mut self, bytes: usize, header: &[u8; HEADER_BYTES]) -> Framed<R> {
        let mut chunk = match self.send.pop_front() {
            Some(Segment::Lease(mut lease)) => {
                if lease.len() == bytes && lease.prepend(header).is_ok() {
                    return Framed::Whole(lease.freeze());
                }
                lease.freeze()
            }
            Some(Segment::Chunk(chunk)) => chunk,
            None => return Framed::Nothing,
        };
        let Ok(front) = chunk.split_to(bytes) else {
            return Framed::Nothing;
        };
        if !chunk.is_empty() {
            // Its place was just left.
            let _ = self.send.push_front(Segment::Chunk(chunk));
        }
        Framed::Apart(front)
    }
}

const fn opening_flags(syn: bool, ack: bool) -> Flags {
    let flags = if syn { Flags::SYN } else { Flags::NONE };
    if ack { flags.with(Flags::ACK) } else { flags }
}

const fn control(kind: FrameKind, flags: Flags, stream: u32, length: u32) -> Header {
    Header { kind, flags, stream, length }
}

const fn data_header(flags: Flags, stream: u32, bytes: usize) -> Header {
    control(FrameKind::Data, flags, stream, bytes as u32)
}

//! From the wire to the streams.

use super::config::Role;
use super::error::StreamError;
use super::header::{Flags, FrameKind, GoAwayReason, HEADER_BYTES, Header, INITIAL_WINDOW_BYTES};
use super::machine::Streams;
use super::place::Is;
use super::table::{List, NOBODY};
use crate::frame::FrameError;
use crate::link::CloseReason;
use crate::pool::BufferSource;
use crate::time::Now;

/// The smallest buffer that is taken for what arrives.
const SEGMENT_BYTES_MIN: usize = 256;

/// The data frame that is arriving.
#[derive(Debug)]
pub(super) struct Inbound {
    /// Data of it that is missing.
    left: usize,
    /// Where it goes; the number says whether the stream is still there.
    place: u32,
    id: u32,
    /// The peer finishes with it.
    fin: bool,
    /// Bytes that were taken since the connection began.
    at: u64,
}

impl Inbound {
    pub(super) const fn new() -> Self {
        Self { left: 0, place: NOBODY, id: 0, fin: false, at: 0 }
    }
}

impl<S: BufferSource> Streams<'_, S> {
    /// Takes all of `window` but the beginning of a header.
    pub(super) fn receive(&mut self, now: Now, window: &[u8]) -> usize {
        self.keep_alive.heard(now.at);
        let mut rest = window;
        while self.ended().is_none() {
            if self.inbound.left > 0 {
                let Some((data, behind)) = rest.split_at_checked(self.inbound.left.min(rest.len()))
                else {
                    break;
                };
                if data.is_empty() {
                    break;
                }
                self.receive_data(data);
                self.inbound.at = self.inbound.at.wrapping_add(data.len() as u64);
                rest = behind;
                continue;
            }
            let Some((bytes, behind)) = rest.split_first_chunk::<HEADER_BYTES>() else {
                break;
            };
            let taken = Header::decode(bytes).and_then(|header| self.receive_header(now, header));
            if let Err(error) = taken {
                self.violated(error.shifted_by(self.inbound.at));
            }
            self.inbound.at = self.inbound.at.wrapping_add(HEADER_BYTES as u64);
            rest = behind;
        }
        if self.ended().is_some() {
            return window.len();
        }
        window.len().saturating_sub(rest.len())
    }

    /// The peer is told, then the connection is closed.
    fn violated(&mut self, error: FrameError) {
        if self.go_away_sent.is_none_or(|reason| reason == GoAwayReason::Normal) {
            self.go_away_sent = Some(GoAwayReason::ProtocolError);
            self.outbound.go_away_due = true;
        }
        self.begin_closing(CloseReason::Frame(error));
    }

    fn receive_header(&mut self, now: Now, header: Header) -> Result<(), FrameError> {
        self.counters.frames_received = self.counters.frames_received.wrapping_add(1);
        match header.kind {
            FrameKind::Data | FrameKind::WindowUpdate => self.receive_for_stream(header),
            FrameKind::Ping => {
                if header.flags.has(Flags::ACK) {
                    self.keep_alive.answered(now.at, header.length);
                } else if !self.outbound.answer_ping(header.length) {
                    self.counters.pings_dropped = self.counters.pings_dropped.wrapping_add(1);
                }
                Ok(())
            }
            FrameKind::GoAway => {
                let reason = GoAwayReason::from_code(header.length);
                self.go_away_received = Some(reason);
                self.wake_open();
                if reason != GoAwayReason::Normal {
                    self.begin_closing(CloseReason::Peer);
                }
                Ok(())
            }
        }
    }

    fn receive_for_stream(&mut self, header: Header) -> Result<(), FrameError> {
        if header.stream == 0 {
            return Err(malformed(4, "the number of a stream is not 0"));
        }
        let is_data = header.kind == FrameKind::Data;
        let length = if is_data { header.length as usize } else { 0 };
        self.inbound =
            Inbound { left: length, place: NOBODY, id: 0, fin: false, at: self.inbound.at };
        if header.flags.has(Flags::SYN) {
            self.receive_syn(header.stream)?;
        }
        let Some(place) = self.table.find(header.stream) else {
            // Refused, reset or over: frames that were on their way are no mistake.
            return Ok(());
        };
        if header.flags.has(Flags::RST) {
            let accepted =
                self.table.get(place).is_some_and(|found| !found.has(Is::UNACKNOWLEDGED));
            let error = if accepted { StreamError::Reset } else { StreamError::Refused };
            self.kill(place, error, false);
            return Ok(());
        }
        if header.flags.has(Flags::ACK) {
            self.acknowledge(place);
        }
        if is_data {
            self.begin_data(place, header)
        } else {
            self.receive_window(place, header);
            Ok(())
        }
    }

    /// The peer opens a stream: it gets a place, or is refused.
    fn receive_syn(&mut self, id: u32) -> Result<(), FrameError> {
        let is_odd = id & 1 == 1;
        if is_odd != (self.role == Role::Server) {
            return Err(malformed(4, "clients number their streams odd, servers even"));
        }
        if self.table.find(id).is_some() {
            return Err(malformed(4, "a stream is opened while one of this number is open"));
        }
        let admitted = self.go_away_sent.is_none()
            && self.table.len(List::Waiting) < self.config.accept_backlog
            && self.ledger.may_admit();
        let place = if admitted { self.table.claim(id, Is::WAITING) } else { None };
        let Some(place) = place else {
            self.counters.refused = self.counters.refused.wrapping_add(1);
            if !self.outbound.refuse(id) {
                return Err(malformed(4, "streams are opened faster than they can be refused"));
            }
            return Ok(());
        };
        self.ledger.granted(INITIAL_WINDOW_BYTES);
        self.table.push(List::Waiting, place);
        self.wake_accept();
        Ok(())
    }

    /// The peer may be sent more.
    fn receive_window(&mut self, place: u32, header: Header) {
        let Some(found) = self.table.get_mut(place) else {
            return;
        };
        let Some(window) = found.window.checked_add(header.length) else {
            return self.kill(place, StreamError::Violation, true);
        };
        let stalled = found.window == 0 && found.queued > 0;
        found.window = window;
        if stalled {
            self.table.push(List::Ready, place);
        }
        if header.flags.has(Flags::FIN) {
            self.receive_fin(place);
        }
    }

    /// A data frame for a stream that is there.
    fn begin_data(&mut self, place: u32, header: Header) -> Result<(), FrameError> {
        let Some(found) = self.table.get(place) else {
            return Ok(());
        };
        if header.length > 0 && found.has(Is::FIN_RECEIVED) {
            self.kill(place, StreamError::Violation, true);
            return Ok(());
        }
        if header.length > found.credit {
            return Err(malformed(8, "a stream's data is within the window that was granted"));
        }
        let fin = header.flags.has(Flags::FIN);
        if header.length > 0 {
            (self.inbound.place, self.inbound.id) = (place, header.stream);
            self.inbound.fin = fin;
        } else if fin {
            self.receive_fin(place);
        }
        Ok(())
    }

    fn receive_fin(&mut self, place: u32) {
        if let Some(found) = self.table.get_mut(place) {
            found.set(Is::FIN_RECEIVED);
            self.revoke(place);
            self.tell(place, Is::READABLE);
            self.vacate_if_over(place);
        }
    }

    /// The next bytes of the frame that is arriving.
    fn receive_data(&mut self, data: &[u8]) {
        let Inbound { place, id, left, fin, .. } = self.inbound;
        self.inbound.left = left.saturating_sub(data.len());
        let bytes = data.len() as u64;
        let counters = &mut self.counters;
        counters.data_bytes_received = counters.data_bytes_received.wrapping_add(bytes);
        let found = self.table.get_mut(place).filter(|found| found.id == id && id != 0);
        let Some(found) = found.filter(|found| !found.has(Is::DEAD)) else {
            counters.data_bytes_dropped = counters.data_bytes_dropped.wrapping_add(bytes);
            return;
        };
        found.credit = found.credit.saturating_sub(data.len() as u32);
        if found.has(Is::RELEASED) {
            counters.data_bytes_dropped = counters.data_bytes_dropped.wrapping_add(bytes);
            self.ledger.revoked(data.len() as u32);
            // Nobody reads it, so nothing more will be granted: the peer would wait for ever.
            if found.credit == 0 && !fin {
                return self.kill(place, StreamError::Aborted, true);
            }
        } else {
            found.unread = found.unread.saturating_add(data.len() as u32);
            self.ledger.arrived(data.len());
            if !self.keep(place, data) {
                return;
            }
            self.tell(place, Is::READABLE);
        }
        if self.inbound.left == 0 && fin {
            self.receive_fin(place);
        }
    }

    /// Copies `data`, which is counted already, behind what is to be read. False where that cost
    /// the stream its life.
    fn keep(&mut self, place: u32, data: &[u8]) -> bool {
        while !self.ledger.has_room(0) {
            let hog = self.most_unread();
            self.overrun(hog);
            if hog == place {
                return false;
            }
        }
        let mut rest = data;
        while !rest.is_empty() {
            let left = self.inbound.left.saturating_add(rest.len());
            let Some(found) = self.table.get_mut(place) else {
                return false;
            };
            let mut grown = SEGMENT_BYTES_MIN;
            if let Some(last) = found.receive.back_mut() {
                let bytes = last.spare().min(rest.len());
                if let Some((now, later)) = rest.split_at_checked(bytes)
                    && last.extend_from_slice(now).is_ok()
                {
                    rest = later;
                }
                grown = last.capacity().saturating_mul(2);
            }
            if rest.is_empty() {
                break;
            }
            let bytes = left.max(grown).min(self.config.segment_bytes);
            let kept = match self.buffers.acquire(bytes) {
                Ok(lease) => found.receive.push_back(lease).is_ok(),
                Err(_) => false,
            };
            if !kept {
                self.overrun(place);
                return false;
            }
        }
        true
    }

    /// Resets a stream for which there is no memory.
    #[cold]
    fn overrun(&mut self, place: u32) {
        self.counters.overruns = self.counters.overruns.wrapping_add(1);
        self.kill(place, StreamError::Overrun, true);
    }

    /// The stream with the most unread bytes.
    #[cold]
    fn most_unread(&self) -> u32 {
        let unread = |place: &u32| self.table.get(*place).map_or(0, |found| found.unread);
        self.table.numbers().max_by_key(unread).unwrap_or(NOBODY)
    }
}

/// What is wrong with a header, `at` bytes from its start.
const fn malformed(at: u64, reason: &'static str) -> FrameError {
    FrameError::Malformed { at, reason }
}

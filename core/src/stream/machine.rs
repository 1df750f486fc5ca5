//! The machine: its state, and what users ask of it.

use core::fmt;
use core::task::Poll;

use super::config::{ConfigError, Role, StreamConfig};
use super::counters::{StreamCounters, StreamStatus};
use super::error::{OpenRefused, StreamError};
use super::event::{StreamEvent, StreamKey};
use super::header::{GoAwayReason, INITIAL_WINDOW_BYTES};
use super::keep_alive::KeepAlive;
use super::ledger::Ledger;
use super::place::{Is, Segment};
use super::receive::Inbound;
use super::storage::StreamStorage;
use super::table::{List, Table};
use super::transmit::Outbound;
use crate::link::CloseReason;
use crate::pool::{BufferSource, Chunk};
use crate::time::{Instant, Now};

/// The logical streams of one connection, without IO: what is received goes in through
/// [`Machine`](crate::link::Machine), what is to be written comes out of it.
///
/// - Commands: [`open`](Self::open), [`accept`](Self::accept), [`read`](Self::read),
///   [`read_chunk`](Self::read_chunk), [`write`](Self::write), [`write_chunk`](Self::write_chunk),
///   [`flush`](Self::flush), [`finish`](Self::finish), [`reset`](Self::reset),
///   [`release`](Self::release), [`go_away`](Self::go_away), [`close`](Self::close).
/// - Beside the outputs of [`Machine`](crate::link::Machine): [`poll_event`](Self::poll_event).
///
/// A command that can't go on now is `Pending`, and an event says when it can: once for each time
/// that somebody was told to wait. After any command the machine may have something to write.
///
/// `S` is where buffers come from; none is kept by a stream that has nothing to read or to send.
pub struct Streams<'s, S: BufferSource> {
    pub(super) config: StreamConfig,
    pub(super) role: Role,
    pub(super) buffers: S,
    pub(super) table: Table<'s, S::Ref>,
    pub(super) ledger: Ledger,
    pub(super) inbound: Inbound,
    pub(super) outbound: Outbound<'s, S::Ref>,
    pub(super) keep_alive: KeepAlive,
    pub(super) counters: StreamCounters,
    /// The number of the next own stream; `None` when all are used up.
    pub(super) next_id: Option<u32>,
    pub(super) unacknowledged: usize,
    /// Streams to which more would be granted, were there a budget for it.
    pub(super) withheld: usize,
    /// When the first stream that lingers is given up, or earlier.
    pub(super) linger_until: Instant,
    pub(super) go_away_sent: Option<GoAwayReason>,
    pub(super) go_away_received: Option<GoAwayReason>,
    /// Why the connection is to be closed.
    pub(super) closing: Option<CloseReason>,
    /// Why it is.
    pub(super) closed: Option<CloseReason>,
    pub(super) accept_wanted: bool,
    pub(super) accept_due: bool,
    pub(super) open_wanted: bool,
    pub(super) open_due: bool,
}

impl<'s, S: BufferSource> Streams<'s, S> {
    /// The streams of a fresh connection.
    ///
    /// `seed` should differ from connection to connection: it keeps the peer from choosing
    /// numbers of streams that are slow to find.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] where a limit is impossible or the storage too small for it.
    pub fn new(
        config: StreamConfig,
        role: Role,
        storage: StreamStorage<'s, S::Ref>,
        buffers: S,
        now: Now,
        seed: u64,
    ) -> Result<Self, ConfigError> {
        config.check()?;
        if let Some((piece, len, needed)) = storage.lacks(&config) {
            return Err(ConfigError::Storage { piece, len, needed });
        }
        let StreamStorage { places, index, refusals } = storage;
        Ok(Self {
            table: Table::new(places, index, config.streams_max, seed),
            ledger: Ledger::new(config.receive_budget_bytes),
            inbound: Inbound::new(),
            outbound: Outbound::new(refusals, config.refusals_max),
            keep_alive: KeepAlive::new(&config, now.at),
            counters: StreamCounters::default(),
            next_id: Some(match role {
                Role::Client => 1,
                Role::Server => 2,
            }),
            unacknowledged: 0,
            withheld: 0,
            linger_until: Instant::NEVER,
            go_away_sent: None,
            go_away_received: None,
            closing: None,
            closed: None,
            accept_wanted: false,
            accept_due: false,
            open_wanted: false,
            open_due: false,
            config,
            role,
            buffers,
        })
    }

    /// Opens a stream. It can be written at once; the peer may still refuse it.
    ///
    /// # Errors
    ///
    /// [`OpenRefused`]; where that [is transient](OpenRefused::is_transient),
    /// [`StreamEvent::Open`] follows.
    pub fn open(&mut self) -> Result<StreamKey, OpenRefused> {
        let opened = self.try_open();
        self.open_wanted |= opened.is_err_and(|refused| refused.is_transient());
        opened
    }

    fn try_open(&mut self) -> Result<StreamKey, OpenRefused> {
        if let Some(reason) = self.ended() {
            return Err(OpenRefused::Closed(reason));
        }
        if let Some(reason) = self.go_away_received.or(self.go_away_sent) {
            return Err(OpenRefused::GoAway(reason));
        }
        let id = self.next_id.ok_or(OpenRefused::Numbers)?;
        let unacknowledged_max = self.config.unacknowledged_max;
        if self.unacknowledged >= unacknowledged_max {
            return Err(OpenRefused::Unacknowledged { unacknowledged_max });
        }
        if !self.ledger.may_admit() {
            return Err(OpenRefused::Budget { unread_bytes: self.ledger.unread() });
        }
        let streams_max = self.config.streams_max;
        let is = Is::SYN_DUE.and(Is::UNACKNOWLEDGED);
        let place = self.table.claim(id, is).ok_or(OpenRefused::Streams { streams_max })?;
        self.next_id = id.checked_add(2);
        self.unacknowledged = self.unacknowledged.saturating_add(1);
        self.ledger.granted(INITIAL_WINDOW_BYTES);
        self.counters.opened = self.counters.opened.wrapping_add(1);
        self.table.push(List::Ready, place);
        Ok(StreamKey { place, id })
    }

    /// The next stream that the peer opened, and tells the peer that it is accepted.
    /// [`StreamEvent::Accept`] follows where there is none.
    ///
    /// # Errors
    ///
    /// Why the connection is gone, after the streams that had arrived before.
    pub fn accept(&mut self) -> Poll<Result<StreamKey, CloseReason>> {
        while let Some(place) = self.table.pop(List::Waiting) {
            let Some(found) = self.table.get_mut(place) else {
                break;
            };
            found.clear(Is::WAITING);
            let key = StreamKey { place, id: found.id };
            if found.has(Is::DEAD) && found.unread == 0 {
                // The peer thought better of it, and nothing of it can be read.
                found.set(Is::RELEASED);
                self.vacate_if_over(place);
                continue;
            }
            found.set(Is::ACK_DUE);
            self.table.push(List::Ready, place);
            self.counters.accepted = self.counters.accepted.wrapping_add(1);
            return Poll::Ready(Ok(key));
        }
        if let Some(reason) = self.ended() {
            return Poll::Ready(Err(reason));
        }
        self.accept_wanted = true;
        Poll::Pending
    }

    /// Copies what has arrived to `into`; 0 where the peer has finished and all was read, or `into`
    /// is empty. What arrived before the connection was lost can be read afterwards.
    ///
    /// # Errors
    ///
    /// [`StreamError`] once nothing can be read any more.
    pub fn read(&mut self, key: StreamKey, into: &mut [u8]) -> Poll<Result<usize, StreamError>> {
        let Some(found) = self.table.keyed(key.place, key.id) else {
            return Poll::Ready(Err(StreamError::Unknown));
        };
        if into.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let mut copied = 0_usize;
        while let Some(lease) = found.receive.front_mut() {
            let rest = into.get_mut(copied..).unwrap_or_default();
            let bytes = rest.len().min(lease.len());
            if let (Some(to), Some(from)) = (rest.get_mut(..bytes), lease.get(..bytes)) {
                to.copy_from_slice(from);
            }
            lease.advance(bytes);
            copied = copied.saturating_add(bytes);
            if !lease.is_empty() {
                break;
            }
            found.receive.pop_front();
        }
        if copied > 0 {
            self.after_read(key.place, copied);
            return Poll::Ready(Ok(copied));
        }
        self.read_nothing(key).map_ok(|()| 0)
    }

    /// Takes the first buffer of what has arrived, without copying; `None` where the peer has
    /// finished and all was read.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn read_chunk(
        &mut self,
        key: StreamKey,
    ) -> Poll<Result<Option<Chunk<S::Ref>>, StreamError>> {
        let Some(found) = self.table.keyed(key.place, key.id) else {
            return Poll::Ready(Err(StreamError::Unknown));
        };
        if let Some(lease) = found.receive.pop_front() {
            self.after_read(key.place, lease.len());
            return Poll::Ready(Ok(Some(lease.freeze())));
        }
        self.read_nothing(key).map_ok(|()| None)
    }

    /// What to say to a reader for whom there are no bytes.
    fn read_nothing(&mut self, key: StreamKey) -> Poll<Result<(), StreamError>> {
        let Some(found) = self.table.keyed(key.place, key.id) else {
            return Poll::Ready(Err(StreamError::Unknown));
        };
        if found.has(Is::FIN_RECEIVED) {
            return Poll::Ready(Ok(()));
        }
        if let Some(error) = found.error {
            return Poll::Ready(Err(error));
        }
        found.set(Is::READ_WANTED);
        Poll::Pending
    }

    /// `bytes` were taken off the front of what is to be read.
    fn after_read(&mut self, place: u32, bytes: usize) {
        self.ledger.left(bytes);
        let window_bytes = self.config.window_bytes;
        if let Some(found) = self.table.get_mut(place) {
            found.unread = found.unread.saturating_sub(bytes as u32);
            if found.is_grant_due(window_bytes) && !found.has(Is::WITHHELD) {
                self.table.push(List::Ready, place);
            }
        }
        self.after_budget_freed();
    }

    /// Where the budget is not spent any more, those go on who waited for that.
    pub(super) fn after_budget_freed(&mut self) {
        if !self.ledger.is_spent() {
            self.grant_withheld();
            self.wake_open();
        }
    }

    /// Puts `data` behind what is to be sent, as much as there is room for.
    ///
    /// # Errors
    ///
    /// [`StreamError`] where nothing can be sent any more.
    pub fn write(&mut self, key: StreamKey, data: &[u8]) -> Poll<Result<usize, StreamError>> {
        if let Err(error) = self.check_writable(key) {
            return Poll::Ready(Err(error));
        }
        if data.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let mut written = self.write_through(key.place, data);
        while let Some(rest) = data.get(written..).filter(|rest| !rest.is_empty()) {
            let bytes = self.append(key.place, rest);
            if bytes == 0 {
                break;
            }
            written = written.saturating_add(bytes);
            self.table.push(List::Ready, key.place);
        }
        if written > 0 {
            return Poll::Ready(Ok(written));
        }
        self.want_write(key.place)
    }

    /// Puts a buffer behind what is to be sent, without copying.
    ///
    /// # Errors
    ///
    /// The buffer, with [`StreamError`] where nothing can be sent any more, without where there is
    /// no room for it now.
    pub fn write_chunk(
        &mut self,
        key: StreamKey,
        chunk: Chunk<S::Ref>,
    ) -> Result<(), (Chunk<S::Ref>, Option<StreamError>)> {
        if let Err(error) = self.check_writable(key) {
            return Err((chunk, Some(error)));
        }
        let bytes = chunk.len();
        let Some(found) = self.table.get_mut(key.place).filter(|_| bytes > 0) else {
            return Ok(());
        };
        match found.send.push_back(Segment::Chunk(chunk)) {
            Err(Segment::Chunk(chunk)) => {
                found.set(Is::WRITE_WANTED);
                return Err((chunk, None));
            }
            Err(Segment::Lease(lease)) => return Err((lease.freeze(), None)),
            Ok(()) => found.queued = found.queued.saturating_add(bytes),
        }
        self.table.push(List::Ready, key.place);
        Ok(())
    }

    /// `Ready` once all that was written has been handed out to be sent.
    ///
    /// # Errors
    ///
    /// [`StreamError`] where it can't be sent any more.
    pub fn flush(&mut self, key: StreamKey) -> Poll<Result<(), StreamError>> {
        let Some(found) = self.table.keyed(key.place, key.id) else {
            return Poll::Ready(Err(StreamError::Unknown));
        };
        if let Some(error) = found.error {
            return Poll::Ready(Err(error));
        }
        if found.queued == 0 {
            return Poll::Ready(Ok(()));
        }
        found.set(Is::WRITE_WANTED);
        Poll::Pending
    }

    fn check_writable(&mut self, key: StreamKey) -> Result<(), StreamError> {
        let found = self.table.keyed(key.place, key.id).ok_or(StreamError::Unknown)?;
        if let Some(error) = found.error {
            return Err(error);
        }
        if found.has(Is::FINISHED) {
            return Err(StreamError::Finished);
        }
        Ok(())
    }

    fn want_write<T>(&mut self, place: u32) -> Poll<Result<T, StreamError>> {
        if let Some(found) = self.table.get_mut(place) {
            found.set(Is::WRITE_WANTED);
        }
        Poll::Pending
    }

    /// Says that nothing will be written behind what was; reading goes on. Again is harmless.
    ///
    /// # Errors
    ///
    /// [`StreamError`] where the stream is not there any more.
    pub fn finish(&mut self, key: StreamKey) -> Result<(), StreamError> {
        match self.check_writable(key) {
            Ok(()) => {}
            Err(StreamError::Finished) => return Ok(()),
            Err(error) => return Err(error),
        }
        if let Some(found) = self.table.get_mut(key.place) {
            found.set(Is::FINISHED);
            self.table.push(List::Ready, key.place);
        }
        Ok(())
    }

    /// Ends a stream in both directions; what waits to be read or sent is dropped.
    pub fn reset(&mut self, key: StreamKey) {
        let found = self.table.keyed(key.place, key.id);
        if found.is_some_and(|found| !found.has(Is::DEAD) && !found.is_over()) {
            self.kill(key.place, StreamError::Aborted, true);
        }
    }

    /// Gives a stream up: its key is not used any more.
    ///
    /// What was written is sent, if the stream was finished; the peer may then finish for a while,
    /// [`StreamConfig::linger_us`], and what it sends is dropped. A stream that was not finished
    /// while the peer has not finished either is reset.
    pub fn release(&mut self, key: StreamKey) {
        let Some(found) = self.table.keyed(key.place, key.id) else {
            return;
        };
        found.set(Is::RELEASED);
        let (peer_finished, finished) = (found.has(Is::FIN_RECEIVED), found.has(Is::FINISHED));
        let dead = found.has(Is::DEAD);
        self.drop_unread(key.place);
        if !dead && !peer_finished && !finished {
            return self.kill(key.place, StreamError::Aborted, true);
        }
        if let Some(found) = self.table.get_mut(key.place).filter(|found| !found.is_over()) {
            found.set(Is::FINISHED);
            // It lingers from when it has its turn, which is when there is a time again.
            self.table.push(List::Ready, key.place);
        }
        self.vacate_if_over(key.place);
    }

    /// Tells the peer that no more streams are wanted, nor opened. Those that are there go on; the
    /// connection is closed after the last of them. The first reason stays.
    pub fn go_away(&mut self, reason: GoAwayReason) {
        if self.go_away_sent.is_none() {
            self.go_away_sent = Some(reason);
            self.outbound.go_away_due = true;
            self.wake_open();
        }
    }

    /// Closes the connection as soon as what was handed out is written. Streams are lost.
    pub fn close(&mut self) {
        self.go_away(GoAwayReason::Normal);
        self.begin_closing(CloseReason::Local);
    }

    /// How the streams are.
    #[must_use]
    pub fn status(&self) -> StreamStatus {
        StreamStatus {
            streams: self.table.occupied(self.config.streams_max),
            waiting: self.table.len(List::Waiting),
            unacknowledged: self.unacknowledged,
            unread_bytes: self.ledger.unread(),
            unread_bytes_max: self.ledger.unread_max(),
            round_trip_us: self.keep_alive.round_trip_us(),
            round_trip_smoothed_us: self.keep_alive.round_trip_smoothed_us(),
            go_away_sent: self.go_away_sent,
            go_away_received: self.go_away_received,
        }
    }

    /// What was counted.
    #[must_use]
    pub const fn counters(&self) -> &StreamCounters {
        &self.counters
    }

    /// The limits.
    #[must_use]
    pub const fn config(&self) -> &StreamConfig {
        &self.config
    }

    /// True where [`poll_transmit`](crate::link::Machine::poll_transmit) is to be called: what a
    /// command should wake a driver for.
    #[must_use]
    pub fn wants_transmit(&self) -> bool {
        self.outbound.is_waiting()
            || self.keep_alive.is_due()
            || self.table.len(List::Ready) > 0
            || self.closing.is_some()
            || self.is_drained()
    }

    /// No more streams are wanted here, and the last is over.
    pub(super) const fn is_drained(&self) -> bool {
        self.go_away_sent.is_some() && self.table.len(List::Free) == self.config.streams_max
    }

    /// True where [`poll_event`](Self::poll_event) may have something.
    #[must_use]
    pub const fn has_events(&self) -> bool {
        self.accept_due || self.open_due || self.table.len(List::Events) > 0
    }

    /// Why the connection is gone, once it is.
    #[must_use]
    pub const fn closed(&self) -> Option<CloseReason> {
        self.closed
    }

    /// What users are to be told next, until there is nothing more.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<StreamEvent> {
        if core::mem::take(&mut self.accept_due) {
            return Some(StreamEvent::Accept);
        }
        if core::mem::take(&mut self.open_due) {
            return Some(StreamEvent::Open);
        }
        while let Some(place) = self.table.pop(List::Events) {
            if let Some(found) = self.table.get_mut(place) {
                let (readable, writable) = (found.take(Is::READABLE), found.take(Is::WRITABLE));
                if readable || writable {
                    let key = StreamKey { place, id: found.id };
                    return Some(StreamEvent::Stream { key, readable, writable });
                }
            }
        }
        None
    }
}

impl<S: BufferSource> fmt::Debug for Streams<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams")
            .field("role", &self.role)
            .field("status", &self.status())
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}

impl<S: BufferSource> Drop for Streams<'_, S> {
    /// Borrowed storage outlives the machine: the buffers in it do not.
    fn drop(&mut self) {
        for place in self.table.numbers() {
            self.drop_unread(place);
            self.end_sending(place);
        }
    }
}

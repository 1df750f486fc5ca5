//! The machine as its driver sees it.

use core::convert::Infallible;

use super::error::StreamError;
use super::machine::Streams;
use super::place::Is;
use crate::frame::FrameError;
use crate::link::{Chunks, CloseReason, Machine, Received};
use crate::pool::{BufferSource, Chunk};
use crate::time::{Instant, Now};

/// Streams claim no memory for the driver to fill: frames of many streams come in one read, and
/// each goes to its stream's buffers in one copy.
#[derive(Debug)]
pub struct NoBody(Infallible);

impl AsMut<[u8]> for NoBody {
    fn as_mut(&mut self) -> &mut [u8] {
        match self.0 {}
    }
}

impl<S: BufferSource> Machine for Streams<'_, S> {
    type Body = NoBody;
    type Chunk = Chunk<S::Ref>;

    /// Takes all but the beginning of a header. A peer that breaks the protocol is told so before
    /// [`poll_close`](Machine::poll_close) gives the error, counted from the start of the
    /// connection; so this is never one.
    fn handle_bytes(&mut self, now: Now, window: &[u8]) -> Result<Received<NoBody>, FrameError> {
        Ok(Received::bytes(self.receive(now, window)))
    }

    fn handle_body(&mut self, _now: Now, body: NoBody) -> Result<(), FrameError> {
        match body.0 {}
    }

    fn poll_transmit(&mut self, now: Now, out: &mut Chunks<Self::Chunk>) {
        self.transmit(now, out);
    }

    fn handle_written(&mut self, _now: Now, bytes: usize) {
        self.counters.bytes_written = self.counters.bytes_written.wrapping_add(bytes as u64);
    }

    fn handle_timeout(&mut self, now: Now) {
        if !self.keep_alive.pass(now.at) {
            self.begin_closing(CloseReason::Idle);
        }
        if self.outbound.starved_until.is_some_and(|until| now.at >= until) {
            self.outbound.starved_until = None;
            for place in self.table.numbers() {
                self.tell(place, Is::WRITABLE);
            }
        }
        if now.at >= self.linger_until {
            self.linger_until = Instant::NEVER;
            for place in self.table.numbers() {
                let until =
                    self.table.get(place).map_or(Instant::NEVER, |found| found.linger_until);
                if now.at >= until {
                    self.kill(place, StreamError::Aborted, true);
                } else {
                    self.linger_until = self.linger_until.min(until);
                }
            }
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        if self.ended().is_some() {
            return None;
        }
        let starved = self.outbound.starved_until.unwrap_or(Instant::NEVER);
        let at = self.keep_alive.next_at().min(self.linger_until).min(starved);
        (at != Instant::NEVER).then_some(at)
    }

    fn poll_close(&self) -> Option<CloseReason> {
        self.closing.or_else(|| self.is_drained().then_some(CloseReason::Local))
    }

    fn handle_closed(&mut self, _now: Now, reason: CloseReason) {
        self.finish_closing(reason);
    }
}

//! What comes in: answers, other frames, the time, the end.

use super::Requests;
use super::place::State;
use crate::frame::{FrameError, Measured, measure};
use crate::link::{Chunks, CloseReason, Correlate, FrameKind, Machine, Received};
use crate::pool::{BufferSource, Chunk, Lease};
use crate::time::{Instant, Now, US_PER_MS};

impl<H: Correlate, B: BufferSource> Requests<'_, H, B> {
    /// The time of requests that were accepted since the last look at the clock begins.
    #[inline]
    fn stamp(&mut self, at: Instant) {
        let (timeout_us, earliest) = (self.timeout.us(), &mut self.earliest);
        self.places.stamp(|place| {
            let own = u64::from(place.timeout_us);
            place.stamped = at;
            place.deadline = at.plus_us(if own == 0 { timeout_us } else { own });
            *earliest = (*earliest).min(place.deadline);
        });
    }

    /// Takes the whole frame `frame`.
    #[inline]
    fn handle_frame(&mut self, at: Instant, frame: &[u8]) -> Result<(), FrameError> {
        match self.kind(frame)? {
            FrameKind::Answer(id) => self.handle_answer(at, id, frame),
            FrameKind::Unsolicited => {
                self.counters.unsolicited.increment();
                match copy_of(&self.buffers, frame) {
                    Some(lease) => self.keep_unsolicited(lease),
                    None => self.counters.unsolicited_dropped.increment(),
                }
            }
        }
        Ok(())
    }

    #[inline]
    fn kind(&self, frame: &[u8]) -> Result<FrameKind, FrameError> {
        let head_bytes = self.header.head_bytes(frame);
        if frame.len() < head_bytes {
            let frame_bytes = i64::try_from(frame.len()).unwrap_or(i64::MAX);
            return Err(FrameError::TooShort { at: 0, frame_bytes, frame_bytes_min: head_bytes });
        }
        self.header.kind(frame)
    }

    #[inline]
    fn handle_answer(&mut self, at: Instant, id: u32, frame: &[u8]) {
        match self.places.find(id) {
            Some(place) if place.state == State::Waiting => {
                let latency_us = at.us_since(place.stamped);
                let Some(answer) = copy_of(&self.buffers, frame) else {
                    self.finish(at, id, None, frame.len());
                    return;
                };
                (place.state, place.answer) = (State::Answered, Some(answer));
                self.places.complete(id);
                self.counters.answered.increment();
                self.observe(latency_us);
            }
            _ => self.count_late(id),
        }
    }

    #[inline]
    fn observe(&mut self, latency_us: u64) {
        self.timeout.observe(latency_us);
        let (count, same_us) = &mut self.latencies;
        if latency_us != *same_us {
            self.counters.latency_us.observe_many(*same_us, *count);
            (*count, *same_us) = (0, latency_us);
        }
        *count += 1;
    }

    #[inline]
    fn is_waiting(&mut self, id: u32) -> bool {
        self.places.find(id).is_some_and(|place| place.state == State::Waiting)
    }

    #[cold]
    fn count_late(&mut self, id: u32) {
        if self.places.is_possible(id) {
            self.counters.late.increment();
        } else {
            self.counters.unknown.increment();
        }
    }

    /// The request `id`, which waits, is answered; `None` where there is no memory for the answer.
    fn finish(&mut self, at: Instant, id: u32, answer: Option<Lease<B::Ref>>, bytes: usize) {
        let Some(place) = self.places.find(id) else {
            return;
        };
        let latency_us = at.us_since(place.stamped);
        if answer.is_some() {
            (place.state, place.answer) = (State::Answered, answer);
            self.counters.answered.increment();
        } else {
            (place.state, place.answer_bytes) = (State::NoBuffer, bytes);
            self.counters.without_buffer.increment();
        }
        self.places.complete(id);
        self.observe(latency_us);
    }

    fn keep_unsolicited(&mut self, lease: Lease<B::Ref>) {
        if !self.incoming.push(lease) {
            self.counters.unsolicited_dropped.increment();
        }
    }

    /// Memory for the large frame of `frame_bytes` that begins with `front`; `None` where nobody
    /// wants it or there is none.
    fn claim(
        &mut self,
        at: Instant,
        front: &[u8],
        frame_bytes: usize,
    ) -> Result<Option<Lease<B::Ref>>, FrameError> {
        let kind = self.kind(front)?;
        if let FrameKind::Answer(id) = kind
            && !self.is_waiting(id)
        {
            self.count_late(id);
            return Ok(None);
        }
        let lease = self.buffers.acquire(frame_bytes).ok().and_then(|mut lease| {
            // The driver fills all of it.
            lease.commit(frame_bytes).ok().map(|()| lease)
        });
        if lease.is_some() {
            self.body_for = Some(kind);
            return Ok(lease);
        }
        match kind {
            FrameKind::Answer(id) => self.finish(at, id, None, frame_bytes),
            FrameKind::Unsolicited => {
                self.counters.unsolicited.increment();
                self.counters.unsolicited_dropped.increment();
            }
        }
        Ok(None)
    }
}

impl<H: Correlate, B: BufferSource> Machine for Requests<'_, H, B> {
    type Body = Lease<B::Ref>;
    type Chunk = Chunk<B::Ref>;

    #[inline]
    fn handle_bytes(
        &mut self,
        now: Now,
        window: &[u8],
    ) -> Result<Received<Self::Body>, FrameError> {
        self.stamp(now.at);
        let mut consumed = self.skip.min(window.len());
        self.skip -= consumed;
        let received = loop {
            let rest = window.get(consumed..).unwrap_or_default();
            let shifted = |error: FrameError| error.shifted_by(consumed as u64);
            let frame_bytes = match measure(&self.header, rest).map_err(shifted)? {
                Measured::Whole(bytes) => bytes,
                Measured::Missing(bytes) => rest.len() + bytes,
            };
            if frame_bytes <= self.config.window_bytes {
                let Some(frame) = rest.get(..frame_bytes) else {
                    break Received::bytes(consumed);
                };
                self.handle_frame(now.at, frame).map_err(shifted)?;
                consumed += frame_bytes;
                continue;
            }
            if rest.len() < self.header.head_bytes(rest) {
                break Received::bytes(consumed);
            }
            if let Some(body) = self.claim(now.at, rest, frame_bytes).map_err(shifted)? {
                self.counters.bytes_in.add(frame_bytes as u64);
                break Received { consumed, body: Some(body) };
            }
            let here = frame_bytes.min(rest.len());
            consumed += here;
            self.skip = frame_bytes - here;
            if self.skip > 0 {
                break Received::bytes(consumed);
            }
        };
        self.counters.bytes_in.add(received.consumed as u64);
        Ok(received)
    }

    fn handle_body(&mut self, now: Now, body: Self::Body) -> Result<(), FrameError> {
        self.stamp(now.at);
        match self.body_for.take() {
            Some(FrameKind::Answer(id)) if self.is_waiting(id) => {
                let bytes = body.len();
                self.finish(now.at, id, Some(body), bytes);
            }
            Some(FrameKind::Answer(id)) => self.count_late(id),
            Some(FrameKind::Unsolicited) => {
                self.counters.unsolicited.increment();
                self.keep_unsolicited(body);
            }
            None => {}
        }
        Ok(())
    }

    #[inline]
    fn poll_transmit(&mut self, now: Now, out: &mut Chunks<Self::Chunk>) {
        self.stamp(now.at);
        self.outgoing.poll_transmit(out);
    }

    #[inline]
    fn handle_written(&mut self, _now: Now, bytes: usize) {
        self.outgoing.handle_written(bytes);
        self.counters.bytes_out.add(bytes as u64);
    }

    fn handle_timeout(&mut self, now: Now) {
        self.stamp(now.at);
        if self.earliest > now.at {
            return;
        }
        let handed_out = self.outgoing.handed_out();
        let (mut earliest, mut timed_out) = (Instant::NEVER, 0);
        self.places.judge(|place| {
            if place.deadline > now.at {
                earliest = earliest.min(place.deadline);
                return None;
            }
            place.maybe_sent = place.end <= handed_out;
            timed_out += 1;
            Some(State::TimedOut)
        });
        self.earliest = earliest;
        self.counters.timed_out.add(timed_out);
        if timed_out > 0 {
            self.timeout.observe_timeout();
        }
    }

    /// In whole milliseconds, so that the table is looked through a thousand times a second at
    /// most.
    #[inline]
    fn poll_timeout(&self) -> Option<Instant> {
        let tick = self.earliest.as_us().div_ceil(US_PER_MS);
        (self.earliest < Instant::NEVER).then(|| Instant::from_ms(tick))
    }

    fn poll_close(&self) -> Option<CloseReason> {
        let drained = self.in_flight() == 0 && self.outgoing.is_written();
        (!self.open && (drained || self.aborted)).then_some(CloseReason::Local)
    }

    fn handle_closed(&mut self, now: Now, reason: CloseReason) {
        self.stamp(now.at);
        (self.open, self.closed) = (false, Some(reason));
        let handed_out = self.outgoing.handed_out();
        let mut closed = 0;
        self.places.judge(|place| {
            place.maybe_sent = place.end <= handed_out;
            closed += 1;
            Some(State::Closed)
        });
        self.counters.closed.add(closed);
        self.earliest = Instant::NEVER;
        self.outgoing.clear();
        (self.body_for, self.skip) = (None, 0);
    }
}

/// A frame in memory of its own; `None` where there is none.
#[inline]
fn copy_of<B: BufferSource>(buffers: &B, frame: &[u8]) -> Option<Lease<B::Ref>> {
    let mut lease = buffers.acquire(frame.len()).ok()?;
    lease.extend_from_slice(frame).ok()?;
    Some(lease)
}

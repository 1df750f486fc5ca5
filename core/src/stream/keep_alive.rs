//! Pings: how long a round trip takes, and whether the peer is there.

use super::config::StreamConfig;
use crate::time::Instant;

/// The smoothed round trip moves by one part in so many.
const SMOOTHING: u64 = 8;

#[derive(Debug)]
pub(super) struct KeepAlive {
    interval_us: Option<u64>,
    timeout_us: u64,
    /// When the next ping is to be sent.
    next_at: Instant,
    /// One is to be written.
    due: bool,
    /// What the ping that was not answered says, and when it was handed out.
    asked: Option<(u32, Instant)>,
    value: u32,
    /// When the peer showed its last sign of life.
    heard_at: Instant,
    latest_us: Option<u64>,
    smoothed_us: Option<u64>,
}

impl KeepAlive {
    pub(super) fn new(config: &StreamConfig, now: Instant) -> Self {
        Self {
            interval_us: config.keep_alive_us,
            timeout_us: config.keep_alive_timeout_us,
            next_at: config.keep_alive_us.map_or(Instant::NEVER, |us| now.plus_us(us)),
            due: false,
            asked: None,
            value: 0,
            heard_at: now,
            latest_us: None,
            smoothed_us: None,
        }
    }

    pub(super) const fn heard(&mut self, now: Instant) {
        self.heard_at = now;
    }

    /// A ping with `value` was answered.
    pub(super) fn answered(&mut self, now: Instant, value: u32) {
        let Some((_, asked_at)) = self.asked.take_if(|(asked, _)| *asked == value) else {
            return;
        };
        let us = now.us_since(asked_at);
        self.latest_us = Some(us);
        self.smoothed_us = Some(self.smoothed_us.map_or(us, |smoothed| {
            let sum = smoothed.saturating_mul(SMOOTHING.saturating_sub(1)).saturating_add(us);
            sum / SMOOTHING
        }));
    }

    pub(super) const fn is_due(&self) -> bool {
        self.due
    }

    /// The value of the ping that is written now.
    pub(super) fn asks(&mut self, now: Instant) -> u32 {
        self.due = false;
        self.value = self.value.wrapping_add(1);
        self.asked = Some((self.value, now));
        self.value
    }

    /// When nothing was heard since the ping for so long that the peer must be gone.
    fn gives_up_at(&self) -> Instant {
        self.asked.map_or(Instant::NEVER, |(_, asked_at)| {
            asked_at.max(self.heard_at).plus_us(self.timeout_us)
        })
    }

    pub(super) fn next_at(&self) -> Instant {
        self.next_at.min(self.gives_up_at())
    }

    /// False where the peer must be gone.
    pub(super) fn pass(&mut self, now: Instant) -> bool {
        if now >= self.gives_up_at() {
            return false;
        }
        if let Some(interval_us) = self.interval_us
            && now >= self.next_at
        {
            self.next_at = now.plus_us(interval_us.max(1));
            // One at a time: an answer that is late is still an answer.
            self.due = self.asked.is_none();
        }
        true
    }

    pub(super) const fn round_trip_us(&self) -> Option<u64> {
        self.latest_us
    }

    pub(super) const fn round_trip_smoothed_us(&self) -> Option<u64> {
        self.smoothed_us
    }
}

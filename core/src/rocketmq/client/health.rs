//! Whether a broker is well: slow ones and those that fail are avoided for a while, then tried with
//! one request before they get more.
//!
//! The times by latency are those of RocketMQ's client (its latency fault table). A failure is
//! avoided for a second there and twice as long each time, up to 30 seconds, where Java takes 10
//! seconds: the one request that is tried first makes short times harmless.

use crate::time::Instant;

/// Latencies from which on a broker is avoided, and for how long.
const AVOIDED_MS: [(u64, u64); 5] =
    [(550, 2_000), (1_800, 5_000), (3_000, 6_000), (5_000, 10_000), (15_000, 30_000)];
/// After the first failure.
const FAILED_MS: u64 = 1_000;
const FAILED_MS_MAX: u64 = 30_000;

/// What is known of one broker; whoever knows brokers keeps one for each.
///
/// ```
/// use turbopump_core::rocketmq::client::{Health, HealthState};
/// use turbopump_core::time::Instant;
///
/// let mut health = Health::default();
/// health.handle_failed(Instant::from_ms(0));
/// assert!(matches!(health.state(Instant::from_ms(999)), HealthState::Avoided { .. }));
/// assert_eq!(health.state(Instant::from_ms(1_000)), HealthState::HalfOpen);
/// // One request is on its way: others don't follow yet.
/// health.handle_sent(Instant::from_ms(1_000));
/// assert!(matches!(health.state(Instant::from_ms(1_001)), HealthState::Avoided { .. }));
/// health.handle_answered(Instant::from_ms(1_010), 10_000);
/// assert_eq!(health.state(Instant::from_ms(1_010)), HealthState::Well);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// `None` for one that is well.
    avoided_until: Option<Instant>,
    /// Failures since it was last well.
    failures: u32,
}

/// What is to be done about a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HealthState {
    /// It may be used.
    Well,
    /// One request may try whether it is well again.
    HalfOpen,
    /// Others are better.
    Avoided {
        /// When it may be tried.
        until: Instant,
    },
}

impl Health {
    /// A broker of which nothing is known.
    pub const NEW: Self = Self { avoided_until: None, failures: 0 };

    /// What is to be done about the broker now.
    #[must_use]
    pub fn state(&self, now: Instant) -> HealthState {
        match self.avoided_until {
            None => HealthState::Well,
            Some(until) if until <= now => HealthState::HalfOpen,
            Some(until) => HealthState::Avoided { until },
        }
    }

    /// Failures since it was last well.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// Something is being sent to it. Where it was to be tried, it is avoided again until that is
    /// known to have gone well, or for as long as after a failure.
    pub fn handle_sent(&mut self, now: Instant) {
        if self.state(now) == HealthState::HalfOpen {
            self.avoided_until = Some(now.plus_us(self.failure_us()));
        }
    }

    /// It has answered after so long, whatever it said: it can be reached.
    pub fn handle_answered(&mut self, now: Instant, latency_us: u64) {
        let slow = AVOIDED_MS.iter().rev();
        let slow = slow.copied().find(|(from_ms, _)| latency_us >= from_ms.saturating_mul(1_000));
        match slow {
            None => *self = Self::default(),
            Some((_, ms)) => {
                self.failures = 0;
                self.avoid_for(now, ms.saturating_mul(1_000));
            }
        }
    }

    /// It could not be reached, has not answered, or has closed the connection.
    pub fn handle_failed(&mut self, now: Instant) {
        let us = self.failure_us();
        self.failures = self.failures.saturating_add(1);
        self.avoid_for(now, us);
    }

    /// The time only grows: what was worse still counts.
    fn avoid_for(&mut self, now: Instant, us: u64) {
        self.avoided_until = self.avoided_until.max(Some(now.plus_us(us)));
    }

    fn failure_us(&self) -> u64 {
        let ms = FAILED_MS.saturating_mul(1 << self.failures.min(10));
        ms.min(FAILED_MS_MAX).saturating_mul(1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Instant {
        Instant::from_ms(ms)
    }

    #[test]
    fn the_slower_the_longer() {
        for (latency_ms, avoided_ms) in [
            (0, 0),
            (549, 0),
            (550, 2_000),
            (1_800, 5_000),
            (3_000, 6_000),
            (5_000, 10_000),
            (15_000, 30_000),
            (1_000_000, 30_000),
        ] {
            let mut health = Health::default();
            health.handle_answered(at(5), latency_ms * 1_000);
            let expected = match avoided_ms {
                0 => HealthState::Well,
                ms => HealthState::Avoided { until: at(5 + ms) },
            };
            assert_eq!(health.state(at(5)), expected, "{latency_ms} ms");
        }
    }

    #[test]
    fn who_fails_is_tried_again_by_one_at_a_time_and_ever_more_rarely() {
        let mut health = Health::default();
        let mut now = 0;
        let mut pauses = [0; 8];
        for pause in &mut pauses {
            health.handle_failed(at(now));
            let HealthState::Avoided { until } = health.state(at(now)) else { panic!() };
            *pause = until.as_us() / 1_000 - now;
            now += *pause;
            assert_eq!(health.state(at(now)), HealthState::HalfOpen);
            health.handle_sent(at(now));
            assert!(matches!(health.state(at(now)), HealthState::Avoided { .. }));
            now += 1;
        }
        assert_eq!(pauses, [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
        health.handle_answered(at(now), 1_000);
        assert_eq!((health.state(at(now)), health.failures()), (HealthState::Well, 0));
    }

    #[test]
    fn a_late_good_word_does_not_shorten_what_was_bad_but_ends_it_when_it_is_quick() {
        let mut health = Health::default();
        health.handle_answered(at(0), 15_000_000);
        health.handle_answered(at(1), 600_000);
        assert_eq!(health.state(at(1)), HealthState::Avoided { until: at(30_000) });
        health.handle_answered(at(2), 1_000);
        assert_eq!(health.state(at(2)), HealthState::Well);
    }
}

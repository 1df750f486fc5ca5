//! When a group's queues are shared anew.
//!
//! The module decides when it is time: at once on start and on whatever may have changed the
//! members or the queues, soon again where nobody could say who the members are, and every 20
//! seconds otherwise. What follows from a new share is
//! [`Assignments`](super::Assignments)' business; asking for members and routes is left to the
//! caller.

use super::pause_us;
use crate::random::SplitMix64;
use crate::time::Instant;

/// How often queues are shared anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RebalancePolicy {
    /// From one time to the next where nothing happens, in microseconds; 20 seconds.
    pub interval_us: u64,
    /// From one time to the next at least, however many notices come; 100 milliseconds.
    pub gap_us: u64,
    /// After the first failure, in microseconds; 200 milliseconds. Doubled with each, with a random
    /// part of up to as much again.
    pub failure_us: u64,
    /// The longest of these, without the random part; 5 seconds.
    pub failure_us_max: u64,
}

impl RebalancePolicy {
    /// The defaults.
    pub const DEFAULT: Self = Self {
        interval_us: 20_000_000,
        gap_us: 100_000,
        failure_us: 200_000,
        failure_us_max: 5_000_000,
    };
}

impl Default for RebalancePolicy {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The times at which a group's queues are shared anew.
///
/// ```
/// use turbopump_core::rocketmq::consumer::{RebalancePolicy, Rebalancing};
/// use turbopump_core::time::Instant;
///
/// let at = Instant::from_ms;
/// let mut rebalancing = Rebalancing::new(RebalancePolicy::DEFAULT, at(0));
/// assert!(rebalancing.begin(at(0)), "at once");
/// rebalancing.handle_done(at(5));
/// assert_eq!(rebalancing.poll_timeout(), Some(at(20_005)));
/// // A notice that the members have changed (request 40).
/// rebalancing.request(at(1_000));
/// assert!(rebalancing.begin(at(1_000)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rebalancing {
    policy: RebalancePolicy,
    due: Instant,
    /// When the last one began.
    begun: Option<Instant>,
    is_running: bool,
    /// Something has changed since it began.
    is_requested: bool,
    failures: u32,
}

impl Rebalancing {
    /// The first is due at once.
    #[must_use]
    pub const fn new(policy: RebalancePolicy, now: Instant) -> Self {
        let (is_running, is_requested) = (false, false);
        Self { policy, due: now, begun: None, is_running, is_requested, failures: 0 }
    }

    /// Members or queues may have changed: a notice, a new route, a topic that was subscribed, a
    /// queue that was taken away.
    pub fn request(&mut self, now: Instant) {
        if self.is_running {
            self.is_requested = true;
        } else {
            self.due = self.due.min(self.soonest(now));
        }
    }

    /// Whether it is time; then it has begun, and [`handle_done`](Self::handle_done) or
    /// [`handle_failed`](Self::handle_failed) ends it.
    #[must_use]
    pub fn begin(&mut self, now: Instant) -> bool {
        if self.is_running || now < self.due {
            return false;
        }
        (self.is_running, self.is_requested, self.begun) = (true, false, Some(now));
        true
    }

    /// All topics were shared.
    pub fn handle_done(&mut self, now: Instant) {
        self.failures = 0;
        self.end(now, self.policy.interval_us);
    }

    /// Of a topic nobody could say who the members are or which queues it has, or this member is
    /// not among them: again soon.
    pub fn handle_failed(&mut self, now: Instant, random: &mut SplitMix64) {
        let RebalancePolicy { failure_us, failure_us_max, .. } = self.policy;
        let us = pause_us(failure_us, failure_us_max, self.failures, random);
        self.failures = self.failures.saturating_add(1);
        self.end(now, us);
    }

    /// Times that failed since the last that did not.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// When it is time; `None` while it runs.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        (!self.is_running).then_some(self.due)
    }

    fn end(&mut self, now: Instant, us: u64) {
        self.is_running = false;
        self.due = now.plus_us(us);
        if core::mem::take(&mut self.is_requested) {
            self.due = self.due.min(self.soonest(now));
        }
    }

    fn soonest(&self, now: Instant) -> Instant {
        self.begun.map_or(now, |begun| now.max(begun.plus_us(self.policy.gap_us)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Instant {
        Instant::from_ms(ms)
    }

    #[test]
    fn notices_are_followed_at_once_but_not_each_of_a_storm() {
        let mut rebalancing = Rebalancing::new(RebalancePolicy::DEFAULT, at(0));
        let mut begun = 0;
        for ms in 0..1_000 {
            rebalancing.request(at(ms));
            if rebalancing.begin(at(ms)) {
                begun += 1;
                assert!(!rebalancing.begin(at(ms)) && rebalancing.poll_timeout().is_none());
                rebalancing.request(at(ms));
                rebalancing.handle_done(at(ms));
            }
        }
        assert_eq!(begun, 10);
        assert_eq!(rebalancing.poll_timeout(), Some(at(1_000)), "the last notice counts");
        assert!(rebalancing.begin(at(1_000)));
        rebalancing.handle_done(at(1_001));
        assert_eq!(rebalancing.poll_timeout(), Some(at(21_001)));
        rebalancing.request(at(5_000));
        assert_eq!(rebalancing.poll_timeout(), Some(at(5_000)));
    }

    #[test]
    fn what_fails_is_tried_again_soon_then_less_often() {
        for seed in 0..50 {
            let random = &mut SplitMix64::new(seed);
            let mut rebalancing = Rebalancing::new(RebalancePolicy::DEFAULT, at(0));
            let mut now = at(0);
            for least_ms in [200, 400, 800, 1_600, 3_200, 5_000, 5_000] {
                assert!(rebalancing.begin(now));
                rebalancing.handle_failed(now, random);
                let due = rebalancing.poll_timeout().unwrap();
                let us = due.us_since(now);
                assert!((least_ms * 1_000..2_000 * least_ms).contains(&us), "seed {seed}");
                now = due;
            }
            assert_eq!(rebalancing.failures(), 7);
            assert!(rebalancing.begin(now));
            rebalancing.handle_done(now);
            assert_eq!(rebalancing.failures(), 0);
        }
    }
}

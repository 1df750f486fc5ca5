//! How often a message is sent, for how long each time, and after which pause.
//!
//! There is one deadline, that of the call, and everything fits into it. An attempt that may be
//! repeated gets a part of what is left, so that time for another one remains.

use super::busy::Busy;
use crate::random::SplitMix64;
use crate::rocketmq::wire::header::response_code;
use crate::time::Instant;

/// How long and how often something is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SendPolicy {
    /// For all attempts together, in microseconds; 3 seconds.
    pub timeout_us: u64,
    /// Attempts on failures of brokers and connections; 3. Busy brokers are asked again until the
    /// deadline, whatever is here.
    pub attempts_max: u32,
    /// The longest that one attempt may take, in microseconds; 0 for no limit but the deadline,
    /// which is the default.
    pub attempt_us_max: u64,
    /// The shortest pause before a busy broker is asked again, in microseconds; 10 milliseconds.
    /// It is doubled each time, with a random part of up to as much again.
    pub busy_pause_us: u64,
    /// The longest such pause, without its random part; 500 milliseconds.
    pub busy_pause_us_max: u64,
}

impl SendPolicy {
    /// The defaults.
    pub const DEFAULT: Self = Self {
        timeout_us: 3_000_000,
        attempts_max: 3,
        attempt_us_max: 0,
        busy_pause_us: 10_000,
        busy_pause_us_max: 500_000,
    };
}

impl Default for SendPolicy {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What may become of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// The broker has not answered, or has closed the connection: it may have the message.
    Transport,
    /// Nobody has got it: the broker can't be reached, or nobody says where the topic is. That can
    /// do no harm, and is tried until the deadline, the first time at once, then with pauses as for
    /// busy brokers.
    Unsent,
    /// The broker has too much to do.
    Busy(Busy),
    /// The broker has refused it with this code.
    Code(i32),
}

/// An attempt that is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// Its number, from 0.
    pub number: u32,
    /// When it is given up.
    pub until: Instant,
}

/// What follows from a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// Another attempt, not before this time.
    Again {
        /// When.
        at: Instant,
    },
    /// It makes no sense to try again: no other broker would decide otherwise, it was tried often
    /// enough, or there is no time.
    GiveUp,
}

/// The attempts of one send.
///
/// ```
/// use turbopump_core::random::SplitMix64;
/// use turbopump_core::rocketmq::client::{Attempts, Failure, SendPolicy, Verdict};
/// use turbopump_core::time::Instant;
///
/// let now = Instant::from_ms(0);
/// let mut random = SplitMix64::new(1);
/// let mut attempts = Attempts::new(now, &SendPolicy::DEFAULT);
/// let first = attempts.begin(now).unwrap();
/// // A third of the three seconds, so that two more fit.
/// assert_eq!(first.until, Instant::from_ms(1_000));
/// let verdict = attempts.fail(now, Failure::Transport, &mut random);
/// assert_eq!(verdict, Verdict::Again { at: now });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempts {
    policy: SendPolicy,
    deadline: Instant,
    /// Attempts that were begun.
    begun: u32,
    /// Of these, those that did not end at a busy broker.
    failed: u32,
    busy: u32,
    unsent: u32,
}

impl Attempts {
    /// Everything that follows is over by `now` and the policy's time.
    #[must_use]
    pub fn new(now: Instant, policy: &SendPolicy) -> Self {
        let deadline = now.plus_us(policy.timeout_us);
        Self { policy: *policy, deadline, begun: 0, failed: 0, busy: 0, unsent: 0 }
    }

    /// When everything is over.
    #[must_use]
    pub const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Attempts that were begun.
    #[must_use]
    pub const fn begun(&self) -> u32 {
        self.begun
    }

    /// Answers of busy brokers.
    #[must_use]
    pub const fn busy(&self) -> u32 {
        self.busy
    }

    /// The next attempt; `None` once the deadline has passed.
    pub fn begin(&mut self, now: Instant) -> Option<Attempt> {
        let left_us = self.deadline.us_since(now);
        if left_us == 0 {
            return None;
        }
        let attempts_left = self.policy.attempts_max.saturating_sub(self.failed).max(1);
        let mut us = left_us.div_ceil(u64::from(attempts_left));
        if self.policy.attempt_us_max > 0 {
            us = us.min(self.policy.attempt_us_max);
        }
        let number = self.begun;
        self.begun = self.begun.saturating_add(1);
        Some(Attempt { number, until: now.plus_us(us) })
    }

    /// What follows from a failure of the last attempt.
    pub fn fail(&mut self, now: Instant, failure: Failure, random: &mut SplitMix64) -> Verdict {
        let at = match failure {
            Failure::Busy(_) => {
                let before = self.busy;
                self.busy = self.busy.saturating_add(1);
                self.after_pause(now, before, random)
            }
            Failure::Unsent if self.policy.attempts_max < 2 => return Verdict::GiveUp,
            Failure::Unsent => {
                let before = self.unsent;
                self.unsent = self.unsent.saturating_add(1);
                match before.checked_sub(1) {
                    // Another broker may be there.
                    None => now,
                    Some(before) => self.after_pause(now, before, random),
                }
            }
            Failure::Code(code) if !is_worth_a_retry(code) => return Verdict::GiveUp,
            Failure::Code(_) | Failure::Transport => {
                self.failed = self.failed.saturating_add(1);
                if self.failed >= self.policy.attempts_max {
                    return Verdict::GiveUp;
                }
                now
            }
        };
        // There has to be time for the attempt, too.
        if at < self.deadline { Verdict::Again { at } } else { Verdict::GiveUp }
    }

    /// After a pause that grows with the number of those before.
    fn after_pause(&self, now: Instant, before: u32, random: &mut SplitMix64) -> Instant {
        let doubled = self.policy.busy_pause_us.saturating_mul(1 << before.min(20));
        let pause_us = doubled.min(self.policy.busy_pause_us_max);
        now.plus_us(pause_us.saturating_add(random.below(pause_us)))
    }
}

/// Whether another broker may well decide otherwise: the codes that Java's client sends again for.
#[must_use]
pub const fn is_worth_a_retry(code: i32) -> bool {
    matches!(
        code,
        response_code::SYSTEM_ERROR
            | response_code::SYSTEM_BUSY
            | response_code::SERVICE_NOT_AVAILABLE
            | response_code::NO_PERMISSION
            | response_code::TOPIC_NOT_EXIST
            | response_code::FLOW_CONTROL
            | 204
            | 205
            | 1_500
    )
}

#[cfg(test)]
mod tests {
    use super::super::busy::BusyKind;
    use super::*;

    const fn at(ms: u64) -> Instant {
        Instant::from_ms(ms)
    }

    const BUSY: Failure = Failure::Busy(Busy { kind: BusyKind::Overload, queued_ms: None });

    #[test]
    fn each_attempt_leaves_time_for_those_that_follow() {
        let mut random = SplitMix64::new(1);
        let mut attempts = Attempts::new(at(0), &SendPolicy::DEFAULT);
        let mut now = at(0);
        let mut ends = [0; 3];
        for end in &mut ends {
            let attempt = attempts.begin(now).unwrap();
            *end = attempt.until.as_us() / 1_000;
            // It takes all the time that it has.
            now = attempt.until;
            let verdict = attempts.fail(now, Failure::Transport, &mut random);
            assert_eq!(verdict == Verdict::GiveUp, attempt.number == 2);
        }
        assert_eq!(ends, [1_000, 2_000, 3_000]);
        assert_eq!(attempts.begin(now), None, "the deadline has passed");
        // One that fails at once leaves its time to the others.
        let mut attempts = Attempts::new(at(0), &SendPolicy::DEFAULT);
        attempts.begin(at(0)).unwrap();
        attempts.fail(at(0), Failure::Code(14), &mut random);
        assert_eq!(attempts.begin(at(0)).unwrap().until, at(1_500));
        let policy = SendPolicy { attempt_us_max: 200_000, ..SendPolicy::DEFAULT };
        let attempt = Attempts::new(at(0), &policy).begin(at(0)).unwrap();
        assert_eq!(attempt.until, at(200));
    }

    #[test]
    fn busy_brokers_are_asked_until_the_deadline_with_growing_pauses() {
        for seed in 0..100 {
            let mut random = SplitMix64::new(seed);
            let mut attempts = Attempts::new(at(0), &SendPolicy::DEFAULT);
            let mut now = at(0);
            let mut pauses = 0;
            while attempts.begin(now).is_some() {
                let Verdict::Again { at } = attempts.fail(now, BUSY, &mut random) else {
                    break;
                };
                let least_us = 10_000 << pauses.min(6);
                let pause_us = at.us_since(now);
                let (least_us, most_us) = (least_us.min(500_000), least_us.min(500_000) * 2);
                assert!((least_us..most_us).contains(&pause_us), "{pause_us} us, seed {seed}");
                assert!(at < attempts.deadline());
                (now, pauses) = (at, pauses + 1);
            }
            assert!((6..=13).contains(&pauses), "{pauses} pauses, seed {seed}");
        }
    }

    #[test]
    fn what_nobody_has_got_is_tried_until_the_deadline() {
        let mut random = SplitMix64::new(1);
        let mut attempts = Attempts::new(at(0), &SendPolicy::DEFAULT);
        let mut now = at(0);
        let mut tries = 0;
        while attempts.begin(now).is_some() {
            let Verdict::Again { at } = attempts.fail(now, Failure::Unsent, &mut random) else {
                break;
            };
            // At once for another broker, then with pauses.
            let pause_us = at.us_since(now);
            assert!((tries == 0) == (pause_us == 0) && (tries == 0 || pause_us >= 10_000));
            (now, tries) = (at, tries + 1);
        }
        assert!(tries > 6, "{tries}");
        assert!(attempts.deadline().us_since(now) < 1_000_000);
        let policy = SendPolicy { attempts_max: 1, ..SendPolicy::DEFAULT };
        let mut once = Attempts::new(at(0), &policy);
        once.begin(at(0)).unwrap();
        assert_eq!(once.fail(at(0), Failure::Unsent, &mut random), Verdict::GiveUp);
    }

    #[test]
    fn what_no_broker_would_take_is_not_sent_again() {
        let mut random = SplitMix64::new(1);
        for (code, is_final) in [(13, true), (29, true), (1, false), (17, false), (16, false)] {
            let mut attempts = Attempts::new(at(0), &SendPolicy::DEFAULT);
            attempts.begin(at(0)).unwrap();
            let verdict = attempts.fail(at(0), Failure::Code(code), &mut random);
            assert_eq!(verdict == Verdict::GiveUp, is_final, "{code}");
        }
        // Once is once.
        let policy = SendPolicy { attempts_max: 1, ..SendPolicy::DEFAULT };
        let mut attempts = Attempts::new(at(0), &policy);
        assert_eq!(attempts.begin(at(0)).unwrap().until, at(3_000));
        assert_eq!(attempts.fail(at(0), Failure::Transport, &mut random), Verdict::GiveUp);
    }
}

//! What becomes of a message once its handler is through.
//!
//! The module decides whether the message is settled, stored at the broker to be tried later or as
//! a dead letter, or handled again here. A message is settled when it was handled or is stored
//! elsewhere, and never before; in ordered queues nothing overtakes it. Running handlers, and
//! sending back, is left to the caller.

use super::pause_us;
use crate::random::SplitMix64;
use crate::rocketmq::wire::properties::delay_level_ms;
use crate::time::{Instant, US_PER_MS};

/// How a group gets its messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConsumeMode {
    /// Any number of a queue at a time; what fails goes back to the broker.
    #[default]
    Concurrent,
    /// One of a queue at a time, in order; what fails holds the queue.
    Ordered,
    /// Each member gets all: the broker keeps nothing for it, so that what fails is tried here.
    Broadcasting,
}

/// How often and when a message is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// How messages come.
    pub mode: ConsumeMode,
    /// How often a message may be tried again; -1 for what RocketMQ does: 16 times, and without end
    /// in ordered queues.
    pub retries_max: i32,
    /// The pause before a message is handled again here, in microseconds; 1 second. In ordered
    /// queues it is the same each time, otherwise doubled, with a random part of up to as much
    /// again.
    pub again_us: u64,
    /// The longest pause, without its random part, and the longest that a handler can ask for in an
    /// ordered queue; 30 seconds.
    pub again_us_max: u64,
}

impl RetryPolicy {
    /// The defaults.
    pub const DEFAULT: Self = Self {
        mode: ConsumeMode::Concurrent,
        retries_max: -1,
        again_us: 1_000_000,
        again_us_max: 30_000_000,
    };

    /// The retries that this comes to.
    #[must_use]
    pub const fn retries_max(&self) -> i32 {
        match (self.retries_max, self.mode) {
            (retries_max @ 0.., _) => retries_max,
            (_, ConsumeMode::Ordered) => i32::MAX,
            (_, ConsumeMode::Concurrent | ConsumeMode::Broadcasting) => 16,
        }
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What a handler says of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Handled {
    /// It is done.
    Done,
    /// It failed, or panicked: again, when the group's rule says.
    Failed,
    /// Again at this delay level, 1 to 18.
    LaterLevel(u8),
    /// Again after so many microseconds at least: at the broker that is the next level, and the
    /// last one for all that is longer.
    LaterUs(u64),
    /// Trying again makes no sense: to the dead letters.
    Dead,
}

/// What is to be done about a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Next {
    /// Its offset is settled.
    Settle,
    /// It goes back to the broker, request 36; its offset is settled when the broker has it:
    /// [`Handling::handle_sent_back`] or [`Handling::handle_send_back_failed`].
    SendBack {
        /// 0 for the broker's rule (by how often it was tried), -1 for the dead letters.
        delay_level: i32,
        /// `maxReconsumeTimes`.
        retries_max: i32,
        /// Whether it becomes a dead letter.
        is_dead: bool,
    },
    /// Its handler runs again here, not before this time; its offset stays pending.
    Again {
        /// When.
        at: Instant,
    },
    /// The whole queue rests, and begins with this message again: nothing overtakes it.
    Suspend {
        /// Until when.
        until: Instant,
        /// How often the message was tried again, the coming time included, for the handler.
        reconsume_times: i32,
    },
    /// It was tried often enough, and nobody keeps it: its offset is settled, and somebody is told.
    GiveUp,
}

/// What is known about the tries of one message, for as long as it is under way.
///
/// ```
/// use turbopump_core::random::SplitMix64;
/// use turbopump_core::rocketmq::consumer::{Handled, Handling, Next, RetryPolicy};
/// use turbopump_core::time::Instant;
///
/// let (now, mut random) = (Instant::from_ms(0), SplitMix64::new(1));
/// let policy = RetryPolicy::DEFAULT;
/// // It was never tried before.
/// let mut handling = Handling::new(0);
/// let next = handling.handle(now, Handled::Failed, &policy, &mut random);
/// assert_eq!(next, Next::SendBack { delay_level: 0, retries_max: 16, is_dead: false });
/// assert_eq!(handling.handle_sent_back(), Next::Settle);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handling {
    /// As the broker counts.
    reconsume_times: i32,
    /// Tries here that failed, or whose sending back did.
    here: u32,
}

impl Handling {
    /// A message that the broker has delivered again so often: `reconsumeTimes`.
    #[must_use]
    pub const fn new(reconsume_times: i32) -> Self {
        Self { reconsume_times, here: 0 }
    }

    /// How often it was tried before, at the broker's count and here.
    #[must_use]
    pub fn reconsume_times(&self) -> i32 {
        let here = i32::try_from(self.here).unwrap_or(i32::MAX);
        self.reconsume_times.max(0).saturating_add(here)
    }

    /// Its handler is through.
    #[must_use]
    pub fn handle(
        &mut self,
        now: Instant,
        handled: Handled,
        policy: &RetryPolicy,
        random: &mut SplitMix64,
    ) -> Next {
        let retries_max = policy.retries_max();
        match (handled, policy.mode) {
            (Handled::Done, _) => Next::Settle,
            (Handled::Dead, ConsumeMode::Broadcasting) => Next::GiveUp,
            (Handled::Dead, _) => Next::SendBack { delay_level: -1, retries_max, is_dead: true },
            (_, ConsumeMode::Concurrent) => {
                let delay_level = delay_level(handled);
                // The broker counts itself, not what was tried here.
                let is_dead = self.reconsume_times >= retries_max;
                Next::SendBack { delay_level, retries_max, is_dead }
            }
            (_, ConsumeMode::Ordered) if self.reconsume_times() >= retries_max => {
                Next::SendBack { delay_level: -1, retries_max, is_dead: true }
            }
            (_, ConsumeMode::Ordered) => {
                self.here = self.here.saturating_add(1);
                let us = delay_us(handled).unwrap_or(policy.again_us);
                let until = now.plus_us(us.min(policy.again_us_max).max(SUSPEND_US_MIN));
                Next::Suspend { until, reconsume_times: self.reconsume_times() }
            }
            (_, ConsumeMode::Broadcasting) if self.reconsume_times() >= retries_max => Next::GiveUp,
            (_, ConsumeMode::Broadcasting) => {
                Next::Again { at: self.again_at(now, delay_us(handled), policy, random) }
            }
        }
    }

    /// The broker has stored it, to be tried later or as a dead letter.
    #[must_use]
    pub const fn handle_sent_back(&self) -> Next {
        Next::Settle
    }

    /// The broker has not stored it, or nobody knows: it stays pending, and is handled again here.
    #[must_use]
    pub fn handle_send_back_failed(
        &mut self,
        now: Instant,
        policy: &RetryPolicy,
        random: &mut SplitMix64,
    ) -> Next {
        let at = self.again_at(now, None, policy, random);
        match policy.mode {
            ConsumeMode::Ordered => {
                Next::Suspend { until: at, reconsume_times: self.reconsume_times() }
            }
            ConsumeMode::Concurrent | ConsumeMode::Broadcasting => Next::Again { at },
        }
    }

    fn again_at(
        &mut self,
        now: Instant,
        wanted_us: Option<u64>,
        policy: &RetryPolicy,
        random: &mut SplitMix64,
    ) -> Instant {
        let us = pause_us(policy.again_us, policy.again_us_max, self.here, random);
        self.here = self.here.saturating_add(1);
        now.plus_us(wanted_us.unwrap_or(us))
    }
}

/// Java's bound: a queue that rests less than this spins.
const SUSPEND_US_MIN: u64 = 10_000;
const LEVEL_MAX: u8 = 18;

/// The level that is at least as long as what the handler asks for.
fn delay_level(handled: Handled) -> i32 {
    match handled {
        Handled::LaterLevel(level) => level.clamp(1, LEVEL_MAX).into(),
        Handled::LaterUs(us) => {
            let is_enough = |level: &u8| level_us(*level) >= us;
            (1..=LEVEL_MAX).find(is_enough).unwrap_or(LEVEL_MAX).into()
        }
        Handled::Done | Handled::Failed | Handled::Dead => 0,
    }
}

fn delay_us(handled: Handled) -> Option<u64> {
    match handled {
        Handled::LaterLevel(level) => Some(level_us(level.clamp(1, LEVEL_MAX))),
        Handled::LaterUs(us) => Some(us),
        Handled::Done | Handled::Failed | Handled::Dead => None,
    }
}

fn level_us(level: u8) -> u64 {
    delay_level_ms(level.into()).unwrap_or(0).saturating_mul(US_PER_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Instant {
        Instant::from_ms(ms)
    }

    fn policy(mode: ConsumeMode, retries_max: i32) -> RetryPolicy {
        RetryPolicy { mode, retries_max, ..RetryPolicy::DEFAULT }
    }

    #[test]
    fn what_fails_goes_back_with_the_level_that_was_asked_for() {
        let random = &mut SplitMix64::new(1);
        let cases = [
            (Handled::Failed, 0),
            (Handled::LaterLevel(4), 4),
            (Handled::LaterLevel(0), 1),
            (Handled::LaterLevel(99), 18),
            (Handled::LaterUs(0), 1),
            (Handled::LaterUs(10_000_000), 3),
            (Handled::LaterUs(10_000_001), 4),
            (Handled::LaterUs(u64::MAX), 18),
        ];
        for (handled, delay_level) in cases {
            for (before, is_dead) in [(0, false), (15, false), (16, true), (99, true)] {
                let mut handling = Handling::new(before);
                let next = handling.handle(at(0), handled, &RetryPolicy::DEFAULT, random);
                assert_eq!(next, Next::SendBack { delay_level, retries_max: 16, is_dead });
            }
        }
        let dead = Handling::new(0).handle(at(0), Handled::Dead, &RetryPolicy::DEFAULT, random);
        let expected = Next::SendBack { delay_level: -1, retries_max: 16, is_dead: true };
        assert_eq!(dead, expected);
    }

    #[test]
    fn what_could_not_be_sent_back_is_handled_again_here_and_never_settled() {
        for seed in 0..50 {
            let random = &mut SplitMix64::new(seed);
            let mut handling = Handling::new(2);
            for least_ms in [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000] {
                let next = handling.handle(at(0), Handled::Failed, &RetryPolicy::DEFAULT, random);
                assert!(matches!(next, Next::SendBack { is_dead: false, .. }), "{next:?}");
                let next = handling.handle_send_back_failed(at(0), &RetryPolicy::DEFAULT, random);
                let Next::Again { at: again } = next else { panic!("{next:?}, seed {seed}") };
                assert!((at(least_ms)..at(2 * least_ms)).contains(&again), "seed {seed}");
            }
            assert_eq!(handling.reconsume_times(), 9);
            let next = handling.handle(at(0), Handled::Done, &RetryPolicy::DEFAULT, random);
            assert_eq!(next, Next::Settle);
        }
    }

    #[test]
    fn ordered_queues_rest_and_skip_nothing() {
        let random = &mut SplitMix64::new(1);
        let ordered = policy(ConsumeMode::Ordered, -1);
        let mut handling = Handling::new(0);
        for reconsume_times in 1..100 {
            let next = handling.handle(at(5), Handled::Failed, &ordered, random);
            assert_eq!(next, Next::Suspend { until: at(1_005), reconsume_times });
        }
        for (handled, ms) in [
            (Handled::LaterUs(0), 10),
            (Handled::LaterUs(50_000), 50),
            (Handled::LaterLevel(2), 5_000),
            (Handled::LaterLevel(18), 30_000),
        ] {
            let next = Handling::new(0).handle(at(0), handled, &ordered, random);
            assert_eq!(next, Next::Suspend { until: at(ms), reconsume_times: 1 });
        }
        // With a limit the message goes to the dead letters, and waits until it is there.
        let limited = policy(ConsumeMode::Ordered, 1);
        let mut handling = Handling::new(0);
        let next = handling.handle(at(0), Handled::Failed, &limited, random);
        assert!(matches!(next, Next::Suspend { .. }));
        let next = handling.handle(at(0), Handled::Failed, &limited, random);
        assert_eq!(next, Next::SendBack { delay_level: -1, retries_max: 1, is_dead: true });
        let next = handling.handle_send_back_failed(at(0), &limited, random);
        assert!(matches!(next, Next::Suspend { reconsume_times: 2, .. }), "{next:?}");
        assert_eq!(handling.handle_sent_back(), Next::Settle);
    }

    #[test]
    fn who_broadcasts_tries_here_and_says_when_it_gives_up() {
        let random = &mut SplitMix64::new(1);
        let all = policy(ConsumeMode::Broadcasting, 2);
        let mut handling = Handling::new(0);
        let next = handling.handle(at(0), Handled::LaterUs(7_000), &all, random);
        assert_eq!(next, Next::Again { at: at(7) });
        let next = handling.handle(at(0), Handled::Failed, &all, random);
        assert!(matches!(next, Next::Again { at: again } if again >= at(2_000)), "{next:?}");
        assert_eq!(handling.handle(at(0), Handled::Failed, &all, random), Next::GiveUp);
        assert_eq!(handling.handle(at(0), Handled::Done, &all, random), Next::Settle);
        assert_eq!(Handling::new(0).handle(at(0), Handled::Dead, &all, random), Next::GiveUp);
    }
}

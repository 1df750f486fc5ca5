//! What is done at which time.

use alloc::collections::BTreeSet;

use turbopump_core::time::{Instant, Now};

use super::Broker;
use super::figures::SAMPLE_US;
use super::sessions::SessionId;

/// How often offsets that were committed in passing are remembered.
const REMEMBER_US: u64 = 1_000_000;

/// Something that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// The place of a pull that has waited long enough.
    Pull(u32),
    /// A delay level, whose oldest message may go.
    Delay(u32),
    /// Messages that wait for a time of their own.
    Timed,
    /// What has changed is written down.
    Remember,
    /// Open transactions are looked at.
    Transactions,
    /// Connections without a word are looked for.
    Idle,
    /// A client that was handed a request has not answered it.
    Relay(SessionId, i32),
    /// A request that was held back on purpose.
    Held(u64),
    /// Counters are looked at, for rates.
    Sample,
}

#[derive(Debug, Default)]
pub(super) struct Timers(BTreeSet<(Instant, Due)>);

impl Timers {
    pub(super) fn add(&mut self, at: Instant, due: Due) {
        self.0.insert((at, due));
    }

    pub(super) fn remove(&mut self, at: Instant, due: Due) {
        self.0.remove(&(at, due));
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.0.first().map(|(at, _)| *at)
    }

    #[cfg(test)]
    pub(super) fn has(&self, wanted: Due) -> bool {
        self.0.iter().any(|(_, due)| *due == wanted)
    }

    fn pop(&mut self, now: Instant) -> Option<Due> {
        let (at, due) = *self.0.first()?;
        if at > now {
            return None;
        }
        self.0.pop_first();
        Some(due)
    }
}

impl Broker {
    pub(super) fn start_timers(&mut self, now: Now) {
        // Without a disk there is nothing to be remembered.
        if self.log.has_disk() {
            self.timers.add(now.at.plus_us(REMEMBER_US), Due::Remember);
        }
        self.timers.add(now.at.plus_us(SAMPLE_US), Due::Sample);
    }

    pub(super) fn run_timers(&mut self, now: Now) {
        // Each of them comes again later than now, if at all.
        while let Some(due) = self.timers.pop(now.at) {
            match due {
                Due::Pull(number) => self.end_pull(now, number),
                Due::Delay(level) => self.deliver_delayed(now, level),
                Due::Timed => self.deliver_timed(now),
                Due::Transactions => self.check_transactions(now),
                Due::Idle => self.scan_idle(now),
                Due::Relay(client, opaque) => self.end_relay(client, opaque),
                Due::Held(number) => self.release_held(now, number),
                Due::Remember => {
                    self.remember(now, true);
                    self.timers.add(now.at.plus_us(REMEMBER_US), Due::Remember);
                }
                Due::Sample => {
                    self.figures.sample(now, &self.counts);
                    self.timers.add(now.at.plus_us(SAMPLE_US), Due::Sample);
                }
            }
        }
    }
}

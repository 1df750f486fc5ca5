//! The system's clocks.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant as SystemInstant, SystemTime, UNIX_EPOCH};

use turbopump_core::time::{Clock, Instant, Now, US_PER_MS, US_PER_SECOND};

use crate::backend::{Backend, TimeSource};

/// Time from the operating system, with one clock read per call.
///
/// Wall time is monotonic time plus an offset that is looked up anew once a second; so it follows
/// somebody who sets the wall clock within that time, and two stamps of one second never run
/// backwards.
///
/// ```
/// use turbopump_core::time::Clock;
/// use turbopump_std::clock::SystemClock;
///
/// let clock = SystemClock::new();
/// let first = clock.now();
/// assert!(clock.now().at >= first.at);
/// ```
pub struct SystemClock {
    epoch: SystemInstant,
    /// Where the time comes from, if not from the system.
    source: Option<TimeSource>,
    /// Wall time at the epoch, as seen last: milliseconds since 1970.
    epoch_unix_ms: AtomicU64,
    /// When that was looked up: microseconds since the epoch.
    looked_up_us: AtomicU64,
}

impl SystemClock {
    /// A clock whose epoch is now.
    #[must_use]
    pub fn new() -> Self {
        Self {
            epoch: SystemInstant::now(),
            source: None,
            epoch_unix_ms: AtomicU64::new(unix_ms()),
            looked_up_us: AtomicU64::new(0),
        }
    }

    /// A clock by which a backend's timers go: that of the system, as a rule. Where it is not, wall
    /// time begins in 2023.
    #[must_use]
    pub fn of<B: Backend>(backend: &B) -> Self {
        let Some(source) = backend.time_source() else { return Self::new() };
        let epoch_unix_ms = AtomicU64::new(SIMULATED_UNIX_MS);
        let looked_up_us = AtomicU64::new(0);
        Self { epoch: source(), source: Some(source), epoch_unix_ms, looked_up_us }
    }

    #[cold]
    fn simulated(&self, now: SystemInstant) -> Now {
        let us = now.saturating_duration_since(self.epoch).as_micros();
        let us = u64::try_from(us).unwrap_or(u64::MAX);
        let unix_ms = self.epoch_unix_ms.load(Ordering::Relaxed);
        Now::new(Instant::from_us(us), unix_ms.saturating_add(us / US_PER_MS))
    }

    /// The system's instant for one of this clock: for timers.
    #[must_use]
    pub fn system_instant(&self, at: Instant) -> Option<SystemInstant> {
        self.epoch.checked_add(core::time::Duration::from_micros(at.as_us()))
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Now {
        if let Some(source) = &self.source {
            return self.simulated(source());
        }
        let us = u64::try_from(self.epoch.elapsed().as_micros()).unwrap_or(u64::MAX);
        if us.saturating_sub(self.looked_up_us.load(Ordering::Relaxed)) >= US_PER_SECOND {
            // Threads that race here store nearly the same.
            self.epoch_unix_ms.store(unix_ms().saturating_sub(us / US_PER_MS), Ordering::Relaxed);
            self.looked_up_us.store(us, Ordering::Relaxed);
        }
        let epoch_unix_ms = self.epoch_unix_ms.load(Ordering::Relaxed);
        Now::new(Instant::from_us(us), epoch_unix_ms.saturating_add(us / US_PER_MS))
    }
}

impl fmt::Debug for SystemClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemClock").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

/// Wall time of a simulation's begin: a day in November 2023.
const SIMULATED_UNIX_MS: u64 = 1_700_000_000_000;

/// Wall time; 0 where the system believes it is before 1970.
fn unix_ms() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_system() {
        let clock = SystemClock::new();
        let (before, now, after) = (unix_ms(), clock.now(), unix_ms());
        assert!((before.saturating_sub(1)..=after + 1).contains(&now.unix_ms));
        assert!(clock.system_instant(now.at).is_some_and(|at| at <= SystemInstant::now()));
        assert!(clock.now().at >= now.at);
    }
}

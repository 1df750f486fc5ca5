//! The system's clocks.

use core::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant as SystemInstant, SystemTime, UNIX_EPOCH};

use turbopump_core::time::{Clock, Instant, Now, US_PER_MS, US_PER_SECOND};

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
#[derive(Debug)]
pub struct SystemClock {
    epoch: SystemInstant,
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
            epoch_unix_ms: AtomicU64::new(unix_ms()),
            looked_up_us: AtomicU64::new(0),
        }
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

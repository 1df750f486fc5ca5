//! Time as a value: nothing in this crate reads a clock.
//!
//! Every machine takes [`Now`] (or an [`Instant`]) as an argument and reports the next instant at
//! which it wants to be called again. So the same code runs under a virtual clock in tests, under a
//! tick counter on a microcontroller and under the system's clock on a server.

use core::fmt;

/// Microseconds in a millisecond.
pub const US_PER_MS: u64 = 1_000;
/// Microseconds in a second.
pub const US_PER_SECOND: u64 = 1_000_000;

/// A point in monotonic time: microseconds since an epoch that the caller picked.
///
/// Two instants are comparable only when they come from the same clock.
///
/// ```
/// use turbopump_core::time::Instant;
///
/// let start = Instant::from_us(1_000);
/// let later = start.plus_us(500);
/// assert_eq!(later.us_since(start), 500);
/// assert_eq!(start.us_since(later), 0, "time that has not passed counts as zero");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(u64);

impl Instant {
    /// The epoch itself.
    pub const ZERO: Self = Self(0);
    /// An instant that no clock reaches; stands for "never" where a deadline is compared.
    pub const NEVER: Self = Self(u64::MAX);

    /// The instant `us` microseconds after the epoch.
    #[must_use]
    pub const fn from_us(us: u64) -> Self {
        Self(us)
    }

    /// The instant `ms` milliseconds after the epoch; saturates at [`Instant::NEVER`].
    #[must_use]
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms.saturating_mul(US_PER_MS))
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub const fn as_us(self) -> u64 {
        self.0
    }

    /// This instant moved `us` microseconds into the future; saturates at [`Instant::NEVER`].
    #[must_use]
    pub const fn plus_us(self, us: u64) -> Self {
        Self(self.0.saturating_add(us))
    }

    /// Microseconds from `earlier` to this instant, 0 where `earlier` is not earlier.
    #[must_use]
    pub const fn us_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::NEVER {
            return f.write_str("never");
        }
        write!(f, "{}.{:06}s", self.0 / US_PER_SECOND, self.0 % US_PER_SECOND)
    }
}

/// What every input of a machine carries: monotonic time for deadlines, wall time for stamps.
///
/// They are two clocks because messages are stamped with wall time, while time-outs must not jump
/// when somebody sets the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Now {
    /// Monotonic time.
    pub at: Instant,
    /// Wall time: milliseconds since 1970-01-01 00:00 UTC.
    pub unix_ms: u64,
}

impl Now {
    /// A point in time from both clocks.
    #[must_use]
    pub const fn new(at: Instant, unix_ms: u64) -> Self {
        Self { at, unix_ms }
    }
}

/// Where time comes from, for those who drive the machines.
///
/// [`ManualClock`] is the implementation for tests and simulations; hosts bring one over the
/// system's clock, microcontrollers one over a timer.
pub trait Clock {
    /// The present. Never earlier than what an earlier call returned.
    fn now(&self) -> Now;
}

impl<C: Clock + ?Sized> Clock for &C {
    fn now(&self) -> Now {
        (**self).now()
    }
}

/// A clock that stands still until it is moved.
///
/// ```
/// use turbopump_core::time::{Clock, ManualClock};
///
/// let clock = ManualClock::starting_at_unix_ms(1_700_000_000_000);
/// clock.advance_us(2_500);
/// assert_eq!(clock.now().at.as_us(), 2_500);
/// assert_eq!(clock.now().unix_ms, 1_700_000_000_002);
/// ```
#[derive(Debug, Default)]
pub struct ManualClock {
    elapsed_us: core::cell::Cell<u64>,
    started_unix_ms: u64,
}

impl ManualClock {
    /// A clock at [`Instant::ZERO`] whose wall time is `unix_ms`.
    #[must_use]
    pub const fn starting_at_unix_ms(unix_ms: u64) -> Self {
        Self { elapsed_us: core::cell::Cell::new(0), started_unix_ms: unix_ms }
    }

    /// Moves both clocks forward by `us` microseconds.
    pub fn advance_us(&self, us: u64) {
        self.elapsed_us.set(self.elapsed_us.get().saturating_add(us));
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Now {
        let us = self.elapsed_us.get();
        Now::new(Instant::from_us(us), self.started_unix_ms.saturating_add(us / US_PER_MS))
    }
}

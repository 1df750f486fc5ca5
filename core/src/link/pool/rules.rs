//! What a pool is told and what it tells.

use core::fmt;

use crate::time::{US_PER_MS, US_PER_SECOND};

/// By which rules connections are opened and closed; times are microseconds.
///
/// [`Rules::default`] has the values that are named here.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rules {
    /// Connections that are kept open although nobody uses them: 0.
    pub idle_min: u32,
    /// Idle connections are closed after this time: 30 minutes. `u64::MAX` for never.
    pub idle_us_max: u64,
    /// Connections are closed after this time, once they are idle: never (`u64::MAX`). Each lives
    /// up to a quarter shorter, by chance, so that they are not all replaced at once.
    pub lifetime_us_max: u64,
    /// A connection that was idle for this time is to be checked before it is used again:
    /// 1 second.
    pub check_after_us: u64,
    /// A waiter fails after this time: 10 seconds. `u64::MAX` for never.
    pub wait_us_max: u64,
    /// The time without dialing after a failure: 50 ms. It doubles with each further failure; the
    /// second half of it is cut short by chance.
    pub backoff_us_min: u64,
    /// The longest time without dialing: 5 seconds.
    pub backoff_us_max: u64,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            idle_min: 0,
            idle_us_max: 30 * 60 * US_PER_SECOND,
            lifetime_us_max: u64::MAX,
            check_after_us: US_PER_SECOND,
            wait_us_max: 10 * US_PER_SECOND,
            backoff_us_min: 50 * US_PER_MS,
            backoff_us_max: 5 * US_PER_SECOND,
        }
    }
}

/// Why a connection was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Retired {
    /// Nobody had used it for too long.
    Idle,
    /// It had reached its age.
    Lifetime,
    /// Reading or writing failed, ran out of time or was cut short.
    Broken,
    /// It did not pass the check before reuse: as a rule, the peer had closed it.
    Unhealthy,
    /// Its user asked for that.
    Discarded,
    /// The pool is closed.
    PoolClosed,
}

impl Retired {
    /// All reasons, in the order in which they count in [`Counts::closed`].
    pub const ALL: [Self; 6] = [
        Self::Idle,
        Self::Lifetime,
        Self::Broken,
        Self::Unhealthy,
        Self::Discarded,
        Self::PoolClosed,
    ];

    /// A word for labels.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Lifetime => "lifetime",
            Self::Broken => "broken",
            Self::Unhealthy => "unhealthy",
            Self::Discarded => "discarded",
            Self::PoolClosed => "pool_closed",
        }
    }
}

impl fmt::Display for Retired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Idle => "idle for too long",
            Self::Lifetime => "reached its lifetime",
            Self::Broken => "broken",
            Self::Unhealthy => "did not pass the check before reuse",
            Self::Discarded => "discarded by its user",
            Self::PoolClosed => "the pool is closed",
        })
    }
}

/// How many connections and waiters there are, and how many there have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counts {
    /// Connections that are checked out, or handed to a waiter who has not fetched them yet.
    pub active: u32,
    /// Connections that wait for a user.
    pub idle: u32,
    /// Connections that are being opened.
    pub dialing: u32,
    /// Users who wait for a connection.
    pub waiting: u32,
    /// Connections that may exist, those being opened included.
    pub connections_max: u32,
    /// Checkouts so far.
    pub checkouts: u64,
    /// Checkouts that had to wait.
    pub waits: u64,
    /// Waiters whose time was over.
    pub wait_timeouts: u64,
    /// Connections opened.
    pub opened: u64,
    /// Dials that failed.
    pub dial_failures: u64,
    /// Connections closed, by reason.
    pub(super) closed: [u64; Retired::ALL.len()],
}

impl Counts {
    /// Connections that exist, those being opened included.
    #[must_use]
    pub const fn total(&self) -> u32 {
        self.active + self.idle + self.dialing
    }

    /// Connections closed for one reason.
    #[must_use]
    pub const fn closed(&self, reason: Retired) -> u64 {
        self.closed[reason as usize]
    }

    pub(super) const fn count_closed(&mut self, reason: Retired) {
        self.closed[reason as usize] += 1;
    }
}

/// Why nobody may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitRefused {
    /// The pool is closed.
    Closed,
    /// As many wait as there is room for.
    TooMany {
        /// That many.
        waiting_max: u32,
    },
}

impl fmt::Display for WaitRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the pool is closed"),
            Self::TooMany { waiting_max } => write!(
                f,
                "{waiting_max} wait for a connection already; allow more connections or waiters"
            ),
        }
    }
}

impl core::error::Error for WaitRefused {}

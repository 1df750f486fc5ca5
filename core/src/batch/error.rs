//! Why an accumulator refuses something. What is refused comes back.

use core::fmt;

use super::config::ConfigError;

/// Why there is no accumulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NewRefused {
    /// A number in the configuration is out of its limits.
    Config(ConfigError),
    /// The storage is too small for the configuration.
    Storage(StorageTooSmall),
}

impl fmt::Display for NewRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Storage(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for NewRefused {}

/// An item that was not taken in, and why.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PushRefused<T> {
    /// The item.
    pub item: T,
    /// Why.
    pub reason: Refusal,
}

/// Why an item was not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// It has more bytes than an item may have: it never will be taken in.
    TooLarge {
        /// Its bytes.
        bytes: u64,
        /// The most that an item may have.
        max: u64,
    },
    /// As many items wait as may: try again when a batch was handed out.
    Full {
        /// Items that wait.
        waiting: usize,
        /// The most that may.
        max: usize,
    },
    /// The accumulator shuts down.
    ShuttingDown,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { bytes, max } => write!(
                f,
                "an item of {bytes} bytes exceeds item_bytes_max ({max}); split it or raise that"
            ),
            Self::Full { waiting, max } => {
                write!(f, "{waiting} items wait, waiting_max is {max}; try again when some are out")
            }
            Self::ShuttingDown => f.write_str("the accumulator shuts down and takes nothing in"),
        }
    }
}

impl<T> fmt::Debug for PushRefused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PushRefused").field("reason", &self.reason).finish_non_exhaustive()
    }
}

impl<T> fmt::Display for PushRefused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl<T> core::error::Error for PushRefused<T> {}

/// What [`Accumulator::push_many`](super::Accumulator::push_many) did before an item was refused.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ManyRefused<T> {
    /// Items that were taken in.
    pub pushed: usize,
    /// The first that was not. Those behind it are still in the iterator.
    pub refused: PushRefused<T>,
}

impl<T> fmt::Debug for ManyRefused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pushed, refused } = self;
        f.debug_struct("ManyRefused").field("pushed", pushed).field("refused", refused).finish()
    }
}

impl<T> fmt::Display for ManyRefused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "after {} items: {}", self.pushed, self.refused)
    }
}

impl<T> core::error::Error for ManyRefused<T> {}

/// Why a batch is not filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PollRefused {
    /// It is still out: settle it first.
    Unsettled,
    /// It has too little room for this accumulator's batches.
    TooSmall {
        /// Items that it has room for.
        len: usize,
        /// Items that a batch can have.
        needed: usize,
    },
}

impl fmt::Display for PollRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsettled => f.write_str("the batch is still out; settle it first"),
            Self::TooSmall { len, needed } => write!(
                f,
                "the batch has room for {len} items, the configuration needs {needed}; make it \
                 with items_capacity()"
            ),
        }
    }
}

impl core::error::Error for PollRefused {}

/// The batch is not out, or not from this accumulator: nothing was settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettleRefused;

impl fmt::Display for SettleRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the batch is not out; settle it once, with the accumulator it came from")
    }
}

impl core::error::Error for SettleRefused {}

/// Storage is smaller than a configuration needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StorageTooSmall {
    /// Which part: `places` or `cells`.
    pub part: &'static str,
    /// How many there are.
    pub len: usize,
    /// How many are needed.
    pub needed: usize,
}

impl fmt::Display for StorageTooSmall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { part, len, needed } = self;
        write!(f, "the storage has {len} {part}, the configuration needs {needed}")
    }
}

impl core::error::Error for StorageTooSmall {}

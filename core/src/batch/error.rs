//! Why an accumulator refuses something. What is refused comes back.

use core::fmt;

use super::config::ConfigError;
use super::entry::Batch;

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
    /// All batches are in use, although few items wait: they are large. Try again when one was
    /// settled.
    NoBatch {
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
            Self::NoBatch { waiting, max } => write!(
                f,
                "all batches are in use with {waiting} of {max} items waiting; raise bytes_max or \
                 try again when a batch was settled"
            ),
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

/// A batch that came back to the wrong accumulator.
pub struct SettleRefused<'e, T> {
    /// The batch.
    pub batch: Batch<'e, T>,
}

impl<T> fmt::Debug for SettleRefused<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SettleRefused").field("batch", &self.batch).finish()
    }
}

impl<T> fmt::Display for SettleRefused<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the batch is not one of this accumulator's; settle it where it came from")
    }
}

impl<T> core::error::Error for SettleRefused<'_, T> {}

/// Storage is smaller than a configuration needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StorageTooSmall {
    /// Which part: `places` or `entries`.
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

//! Why items are not taken in. What is refused comes back.

use core::fmt;

use turbopump_core::batch::Refusal;

/// An item that was not taken in.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SendRefused<T> {
    /// The item.
    pub item: T,
    /// Why.
    pub reason: RefusedReason,
}

/// Why an item was not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefusedReason {
    /// It is larger than any may be.
    TooLarge {
        /// Its bytes.
        bytes: u64,
        /// What one may have.
        max: u64,
    },
    /// There is no room, or others wait for it already.
    Full {
        /// Items that wait.
        items: usize,
        /// Their bytes.
        bytes: u64,
    },
    /// As many senders wait as may.
    TooManySenders {
        /// So many.
        max: usize,
    },
    /// The handle stops or has stopped.
    Stopped,
}

impl RefusedReason {
    pub(super) const fn of(refusal: Refusal, waiting_bytes: u64) -> Self {
        match refusal {
            Refusal::TooLarge { bytes, max } => Self::TooLarge { bytes, max },
            Refusal::Full { waiting, .. } => Self::Full { items: waiting, bytes: waiting_bytes },
            _ => Self::Stopped,
        }
    }
}

impl fmt::Display for RefusedReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { bytes, max } => write!(
                f,
                "an item of {bytes} bytes exceeds item_bytes_max ({max}); split it or raise that"
            ),
            Self::Full { items, bytes } => write!(
                f,
                "{items} items of {bytes} bytes wait already; try again later, or wait with send()"
            ),
            Self::TooManySenders { max } => {
                write!(f, "{max} senders wait already, as many as waiting_senders_max allows")
            }
            Self::Stopped => f.write_str("the batch handle has stopped and takes nothing in"),
        }
    }
}

impl<T> fmt::Debug for SendRefused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendRefused").field("reason", &self.reason).finish_non_exhaustive()
    }
}

impl<T> fmt::Display for SendRefused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl<T> core::error::Error for SendRefused<T> {}

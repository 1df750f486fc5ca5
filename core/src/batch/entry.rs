//! What becomes of items.

use core::fmt;

use super::cells::Note;
use crate::time::Instant;

/// What a batch function says of one item.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It is done: the outcome of every item of which nothing else is said.
    #[default]
    Done,
    /// It has failed for good.
    Failed,
    /// It has failed, and another attempt may help.
    Retry,
}

/// How an item ended. Each item is settled once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Settled {
    /// The batch function said so.
    Done,
    /// The batch function said that no attempt will help.
    Failed,
    /// The last attempt that the retry policy allows has failed.
    Exhausted {
        /// Attempts that were made.
        attempts: u32,
    },
    /// There is no time left for another attempt before the item's deadline, or for the first.
    Expired {
        /// Attempts that were made.
        attempts: u32,
    },
    /// The accumulator was told to give up what is not settled yet.
    Abandoned {
        /// Attempts that were made.
        attempts: u32,
    },
}

/// One item of a batch that is out, to be worked on.
pub struct Entry<'a, T> {
    pub(super) item: &'a mut T,
    pub(super) note: &'a mut Note,
    pub(super) deadline: Instant,
}

impl<T> Entry<'_, T> {
    /// The item.
    #[inline]
    #[must_use]
    pub fn item(&self) -> &T {
        self.item
    }

    /// The item, to be changed: the change stays for the next attempt.
    #[inline]
    pub fn item_mut(&mut self) -> &mut T {
        self.item
    }

    /// Its size, as said when it was pushed, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.note.bytes()
    }

    /// When it is too late for it; [`Instant::NEVER`] where that does not come.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Says what became of it. The last word counts.
    #[inline]
    pub fn set(&mut self, outcome: Outcome) {
        self.note.set_outcome(outcome);
    }
}

impl<T: fmt::Debug> fmt::Debug for Entry<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("item", &self.item).finish_non_exhaustive()
    }
}

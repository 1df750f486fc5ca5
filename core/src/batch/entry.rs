//! Items in a batch, and what becomes of each.

use core::fmt;

use crate::backing::Backing;
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

/// What is known of an entry of a batch that is out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Outcome(Outcome),
    /// Its deadline passed before it was handed out: the batch function does not see it.
    Expired,
}

/// One item of a batch.
pub struct Entry<T> {
    pub(super) item: T,
    pub(super) deadline: Instant,
    /// When it was pushed: microseconds after the batch's base.
    pub(super) pushed_us: u32,
    pub(super) bytes: u32,
    pub(super) mark: Mark,
}

impl<T> Entry<T> {
    /// The item.
    #[inline]
    pub fn item(&self) -> &T {
        &self.item
    }

    /// The item, to be changed: the change stays for the next attempt.
    #[inline]
    pub fn item_mut(&mut self) -> &mut T {
        &mut self.item
    }

    /// Its size, as said when it was pushed, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.into()
    }

    /// When it is too late for it; [`Instant::NEVER`] where that does not come.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Says what became of it. The last word counts.
    #[inline]
    pub fn set(&mut self, outcome: Outcome) {
        self.mark = Mark::Outcome(outcome);
    }
}

impl<T: fmt::Debug> fmt::Debug for Entry<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("item", &self.item).finish_non_exhaustive()
    }
}

/// A batch that is out: items in the order in which they were pushed.
///
/// Goes back to its accumulator with [`Accumulator::settle`](super::Accumulator::settle). A batch
/// that is dropped instead takes its items and its place with it.
#[must_use = "a batch that is not settled takes its place in the accumulator with it"]
pub struct Batch<'e, T> {
    pub(super) entries: Backing<'e, Option<Entry<T>>>,
    /// Entries are those from here
    pub(super) start: u32,
    /// to here.
    pub(super) end: u32,
    /// How many of them the batch function doesn't see.
    pub(super) expired: u32,
    pub(super) attempt: u32,
    pub(super) bytes: u64,
    /// What entries count the time of their push from.
    pub(super) base: Instant,
    /// When it was handed out, or is to be handed out again.
    pub(super) at: Instant,
    /// Whether any entry has one.
    pub(super) has_deadlines: bool,
    pub(super) place: u16,
}

impl<'e, T> Batch<'e, T> {
    pub(super) fn new(entries: Backing<'e, Option<Entry<T>>>, place: u16) -> Self {
        Self {
            entries,
            start: 0,
            end: 0,
            expired: 0,
            attempt: 0,
            bytes: 0,
            base: Instant::ZERO,
            at: Instant::ZERO,
            has_deadlines: false,
            place,
        }
    }

    /// Items in it that the batch function is to work on. None where all of them have expired.
    #[must_use]
    pub fn len(&self) -> usize {
        (self.held() - self.expired) as usize
    }

    /// True where there is nothing to work on; it is to be settled all the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of all items, as said when they were pushed.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Earlier attempts with these items.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The items to work on.
    pub fn iter(&self) -> impl Iterator<Item = &Entry<T>> {
        let range = self.start as usize..self.end as usize;
        let entries = self.entries.get(range).unwrap_or_default();
        entries.iter().flatten().filter(|entry| entry.mark != Mark::Expired)
    }

    /// The items to work on, to be marked.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Entry<T>> {
        let range = self.start as usize..self.end as usize;
        let entries = self.entries.get_mut(range).unwrap_or_default();
        entries.iter_mut().flatten().filter(|entry| entry.mark != Mark::Expired)
    }

    /// Says the same of all items.
    pub fn set_all(&mut self, outcome: Outcome) {
        self.iter_mut().for_each(|entry| entry.set(outcome));
    }

    /// Where its entries are: what tells it from every other batch.
    pub(super) fn address(&self) -> usize {
        self.entries.as_ptr() as usize
    }

    /// Entries, expired ones included.
    #[inline]
    pub(super) fn held(&self) -> u32 {
        self.end - self.start
    }

    /// Room for another entry behind the last.
    #[inline]
    pub(super) fn has_room(&self) -> bool {
        (self.end as usize) < self.entries.len()
    }

    /// Puts an entry behind the last, for which there is room.
    #[inline]
    pub(super) fn push(&mut self, now: Instant, item: T, bytes: u32, deadline: Instant) {
        if self.end == self.start {
            self.base = now;
        }
        let pushed_us = u32::try_from(now.us_since(self.base)).unwrap_or(u32::MAX);
        let mark = Mark::Outcome(Outcome::Done);
        if let Some(place) = self.entries.get_mut(self.end as usize) {
            *place = Some(Entry { item, deadline, pushed_us, bytes, mark });
            self.end += 1;
            self.bytes += u64::from(bytes);
            self.has_deadlines |= deadline != Instant::NEVER;
        }
    }

    /// When the first entry was pushed.
    pub(super) fn first_pushed_at(&self) -> Instant {
        let first = self.entries.get(self.start as usize).and_then(Option::as_ref);
        self.base.plus_us(first.map_or(0, |entry| entry.pushed_us.into()))
    }

    /// Moves the first `count` entries to `other`, which is empty.
    pub(super) fn split_front(&mut self, count: u32, other: &mut Self) {
        (other.base, other.has_deadlines) = (self.base, self.has_deadlines);
        while other.held() < count && self.start < self.end {
            let from = self.entries.get_mut(self.start as usize).and_then(Option::take);
            let (Some(entry), Some(to)) = (from, other.entries.get_mut(other.end as usize)) else {
                return;
            };
            self.start += 1;
            self.bytes -= u64::from(entry.bytes);
            other.bytes += u64::from(entry.bytes);
            *to = Some(entry);
            other.end += 1;
        }
    }

    /// Marks what is too late at `now`, so that the batch function does not see it.
    pub(super) fn expire(&mut self, now: Instant) {
        if !self.has_deadlines {
            return;
        }
        let range = self.start as usize..self.end as usize;
        for entry in self.entries.get_mut(range).unwrap_or_default().iter_mut().flatten() {
            if entry.deadline <= now {
                entry.mark = Mark::Expired;
                self.expired += 1;
            }
        }
    }

    /// Passes each entry to `decide`, which keeps some by returning them; order is kept.
    pub(super) fn retain(&mut self, mut decide: impl FnMut(Entry<T>) -> Option<Entry<T>>) {
        let (start, end) = (self.start as usize, self.end as usize);
        let (mut kept, mut bytes) = (0, 0);
        for index in start..end {
            let taken = self.entries.get_mut(index).and_then(Option::take);
            let Some(entry) = taken.and_then(&mut decide) else { continue };
            bytes += u64::from(entry.bytes);
            if let Some(place) = self.entries.get_mut(kept as usize) {
                *place = Some(entry);
                kept += 1;
            }
        }
        (self.start, self.end, self.expired, self.bytes) = (0, kept, 0, bytes);
    }

    /// As new.
    pub(super) fn clear(&mut self) {
        self.retain(|_| None);
        (self.attempt, self.has_deadlines) = (0, false);
    }
}

impl<'a, 'e, T> IntoIterator for &'a mut Batch<'e, T> {
    type Item = &'a mut Entry<T>;
    type IntoIter = EntriesMut<'a, T>;

    fn into_iter(self) -> EntriesMut<'a, T> {
        let range = self.start as usize..self.end as usize;
        EntriesMut(self.entries.get_mut(range).unwrap_or_default().iter_mut())
    }
}

/// The items of a batch, to be marked.
pub struct EntriesMut<'a, T>(core::slice::IterMut<'a, Option<Entry<T>>>);

impl<'a, T> Iterator for EntriesMut<'a, T> {
    type Item = &'a mut Entry<T>;

    fn next(&mut self) -> Option<&'a mut Entry<T>> {
        self.0.by_ref().flatten().find(|entry| entry.mark != Mark::Expired)
    }
}

impl<T> fmt::Debug for Batch<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("len", &self.len())
            .field("bytes", &self.bytes)
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}

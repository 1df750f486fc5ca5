//! The index of one queue: where its messages are, and who waits for the next.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::log::Range;

/// Messages that may be missing between two others that are found.
const HOLES_MAX: u64 = 1 << 20;

/// Where one message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// In the log.
    pub(super) position: u64,
    pub(super) stored_ms: u64,
    pub(super) size_bytes: u32,
    /// The hash of its tag, as brokers filter by it.
    pub(super) tags_code: i32,
}

/// A queue of a topic.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// The offset of the first entry: the queue's smallest.
    min: u64,
    entries: VecDeque<Entry>,
    /// How many of them may be seen: what is not yet stored as it must be comes behind.
    visible: usize,
    /// Places of pulls that wait here.
    pub(super) waiting: Vec<u32>,
    /// Something became visible, and those who wait were not told yet.
    pub(super) has_news: bool,
}

impl Queue {
    /// The smallest offset that can be read.
    pub(super) const fn min(&self) -> u64 {
        self.min
    }

    /// The offset that the next visible message will have.
    pub(super) const fn max(&self) -> u64 {
        self.min + self.visible as u64
    }

    /// The offset that the next message to be appended will have.
    pub(super) fn next(&self) -> u64 {
        self.min + self.entries.len() as u64
    }

    /// The entry at this offset, if it may be seen.
    pub(super) fn get(&self, offset: u64) -> Option<&Entry> {
        let index = usize::try_from(offset.checked_sub(self.min)?).ok()?;
        if index < self.visible { self.entries.get(index) } else { None }
    }

    /// What may be seen, from this offset on.
    pub(super) fn from(&self, offset: u64) -> impl Iterator<Item = (u64, &Entry)> {
        let start = usize::try_from(offset.saturating_sub(self.min)).unwrap_or(usize::MAX);
        let start = start.min(self.visible);
        let first = self.min + start as u64;
        (first..).zip(self.entries.range(start..self.visible))
    }

    /// Appends what may not be seen yet, and returns its offset.
    pub(super) fn push(&mut self, entry: Entry) -> u64 {
        let offset = self.next();
        self.entries.push_back(entry);
        offset
    }

    /// The oldest entry that may not be seen may be seen.
    pub(super) fn show_next(&mut self) {
        self.visible = (self.visible + 1).min(self.entries.len());
    }

    /// Takes back the newest entry, which could not be stored.
    pub(super) fn pop_hidden(&mut self) {
        if self.entries.len() > self.visible {
            self.entries.pop_back();
        }
    }

    /// Puts an entry that was found on disk where it was, with holes where messages are lost.
    /// Entries come in the order of their offsets. False where it makes no sense.
    pub(super) fn restore(&mut self, offset: u64, entry: Entry) -> bool {
        let is_far = !self.entries.is_empty() && offset.saturating_sub(self.next()) > HOLES_MAX;
        if offset < self.next() && !self.entries.is_empty() || is_far {
            return false;
        }
        if self.entries.is_empty() {
            self.min = offset;
        }
        // What is lost in between has no size: readers step over it.
        while self.next() < offset {
            let lost = Entry { size_bytes: 0, ..entry };
            self.entries.push_back(lost);
        }
        self.entries.push_back(entry);
        self.visible = self.entries.len();
        true
    }

    /// An empty queue goes on at this offset.
    pub(super) fn begin_at(&mut self, offset: u64) {
        if self.entries.is_empty() {
            self.min = self.min.max(offset);
        }
    }

    /// Forgets what lies before this position of the log; returns how many.
    pub(super) fn trim(&mut self, position: u64) -> u64 {
        let mut gone = 0;
        while self.visible > 0 && self.entries.front().is_some_and(|e| e.position < position) {
            self.entries.pop_front();
            self.visible -= 1;
            self.min += 1;
            gone += 1;
        }
        gone
    }

    /// What lies from this position of the log on, before that one, is lost: readers step over it.
    /// Returns how many messages that were.
    pub(super) fn lose(&mut self, position: u64, end: u64) -> u64 {
        let first = self.entries.partition_point(|entry| {
            entry.position.saturating_add(entry.size_bytes.into()) <= position
        });
        let mut lost = 0;
        for entry in self.entries.range_mut(first..).take_while(|entry| entry.position < end) {
            lost += u64::from(entry.size_bytes > 0);
            entry.size_bytes = 0;
        }
        lost
    }

    /// The offset of the first message that was stored at this time or later; the next offset
    /// where all are older.
    pub(super) fn at_time(&self, unix_ms: u64) -> u64 {
        let visible = self.entries.range(..self.visible);
        // Stamps may step back with the clock; then any answer is as good.
        let mut low = 0;
        let mut high = visible.len();
        while low < high {
            let middle = low.midpoint(high);
            match self.entries.get(middle) {
                Some(entry) if entry.stored_ms < unix_ms => low = middle + 1,
                _ => high = middle,
            }
        }
        self.min + low as u64
    }

    /// The visible message that begins at this position of the log.
    pub(super) fn at_position(&self, position: u64) -> Option<Range> {
        let entry = self.get(self.offset_at(position)?)?;
        Some(Range { position, size_bytes: entry.size_bytes })
    }

    /// The offset of the visible message that begins at this position of the log.
    pub(super) fn offset_at(&self, position: u64) -> Option<u64> {
        // In the order of the log, whatever the offsets.
        let index = self.entries.partition_point(|entry| entry.position < position);
        let entry = self.entries.get(index)?;
        let is_there = index < self.visible && entry.position == position && entry.size_bytes > 0;
        is_there.then_some(self.min + index as u64)
    }

    /// When the first message that may be seen was stored.
    pub(super) fn first_stored_ms(&self) -> Option<u64> {
        self.get(self.min).map(|entry| entry.stored_ms)
    }

    /// When the last message that may be seen was stored.
    pub(super) fn last_stored_ms(&self) -> Option<u64> {
        self.get(self.max().checked_sub(1)?).map(|entry| entry.stored_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn entry(position: u64, stored_ms: u64) -> Entry {
        Entry { position, stored_ms, size_bytes: 10, tags_code: 0 }
    }

    #[test]
    fn what_is_not_stored_is_not_seen() {
        let mut queue = Queue::default();
        assert_eq!((queue.push(entry(0, 5)), queue.push(entry(10, 6))), (0, 1));
        assert_eq!((queue.max(), queue.next(), queue.get(0)), (0, 2, None));
        queue.show_next();
        assert_eq!((queue.max(), queue.get(0).map(|entry| entry.position)), (1, Some(0)));
        queue.pop_hidden();
        queue.pop_hidden();
        assert_eq!((queue.max(), queue.next()), (1, 1));
        assert_eq!((queue.first_stored_ms(), queue.last_stored_ms()), (Some(5), Some(5)));
    }

    #[test]
    fn offsets_stay_when_the_front_goes() {
        let mut queue = Queue::default();
        for n in 0..5 {
            queue.push(entry(n * 10, n * 100));
            queue.show_next();
        }
        assert_eq!(queue.trim(25), 3);
        assert_eq!((queue.min(), queue.max(), queue.get(2)), (3, 5, None));
        assert_eq!(queue.from(0).map(|(offset, _)| offset).collect::<Vec<_>>(), [3, 4]);
        let times = [0, 300, 301, 400, 401].map(|at| queue.at_time(at));
        assert_eq!(times, [3, 3, 4, 4, 5]);
    }

    #[test]
    fn what_is_lost_leaves_a_hole() {
        let mut queue = Queue::default();
        assert!(queue.restore(7, entry(0, 1)) && queue.restore(9, entry(20, 2)));
        assert!(!queue.restore(9, entry(30, 2)) && !queue.restore(u64::MAX / 2, entry(30, 2)));
        assert_eq!((queue.min(), queue.max()), (7, 10));
        assert_eq!(queue.get(8).map(|entry| entry.size_bytes), Some(0));
    }
}

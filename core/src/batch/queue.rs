//! Items that wait for their first attempt.

use super::cells::{Cells, Note};
use super::config::BatchConfig;
use super::counters::Reason;
use super::work::Batch;
use crate::time::Instant;

/// A ring of items in the order in which they were pushed, and what is known about when they are to
/// go.
///
/// Items are numbered, beginning with 0. Where one is follows from its number, as the ring is a
/// power of two: that pushing depends on the push before it only by one number is what makes it
/// fast. A queue that was empty begins at the front, so that few items stay in few cache lines.
pub(super) struct Queue<'s, T> {
    /// The number of the next item,
    pushed: u64,
    /// which must be below this.
    limit: u64,
    /// Bytes of those that wait.
    bytes: u64,
    /// The number of an item that is or would be in the first cell,
    base: u64,
    /// and the length of the ring less one.
    mask: u32,
    item_bytes_max: u32,
    /// The number of the first item: so many were taken out.
    taken: u64,
    /// When the first was pushed. The others have noted the lower half of their times; if two of
    /// them are more than 35 minutes apart, the second may pass for older than it is.
    first_at: Instant,
    linger_us: u64,
    bytes_max: u64,
    /// Items below this number are to go as soon as possible,
    flush_to: u64,
    /// those below this one are to go at that time, because one of them has a deadline,
    urgent_to: u64,
    urgent_at: Instant,
    /// and from this one on none has a deadline.
    deadlines_to: u64,
    /// No deadline of those that wait is before this.
    expires_at: Instant,
    /// As many as the ring is long.
    cells: Cells<'s, T>,
}

impl<'s, T> Queue<'s, T> {
    pub(super) fn new(config: &BatchConfig, cells: Cells<'s, T>) -> Self {
        Self {
            pushed: 0,
            limit: config.waiting_max.into(),
            bytes: 0,
            base: 0,
            mask: config.ring_len() as u32 - 1,
            item_bytes_max: config.item_bytes_max as u32,
            taken: 0,
            first_at: Instant::ZERO,
            linger_us: config.linger_us,
            bytes_max: config.bytes_max,
            flush_to: 0,
            urgent_to: 0,
            urgent_at: Instant::NEVER,
            deadlines_to: 0,
            expires_at: Instant::NEVER,
            cells,
        }
    }

    /// Items that wait.
    #[inline]
    pub(super) fn len(&self) -> u32 {
        (self.pushed - self.taken) as u32
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.pushed == self.taken
    }

    /// Items that were ever taken in.
    pub(super) fn pushed(&self) -> u64 {
        self.pushed
    }

    /// Items that there is room for.
    pub(super) fn room(&self) -> u32 {
        self.limit.saturating_sub(self.pushed) as u32
    }

    pub(super) fn is_closed(&self) -> bool {
        self.limit == 0
    }

    /// Takes in nothing more.
    pub(super) fn close(&mut self) {
        self.limit = 0;
    }

    /// Takes in an item, or gives it back.
    #[inline]
    pub(super) fn push(&mut self, now: Instant, item: T, bytes: u64) -> Result<(), T> {
        if self.pushed >= self.limit || bytes > self.item_bytes_max.into() {
            return Err(item);
        }
        if self.is_empty() {
            self.first_at = now;
        }
        let note = Note::new(now.as_us() as u32, bytes as u32);
        self.cells.put(self.index(self.pushed), item, note);
        self.pushed += 1;
        self.bytes += bytes;
        Ok(())
    }

    /// As [`push`](Self::push), with a deadline.
    pub(super) fn push_until(
        &mut self,
        now: Instant,
        item: T,
        bytes: u64,
        deadline: Instant,
    ) -> Result<(), T> {
        let index = self.index(self.pushed);
        self.push(now, item, bytes)?;
        self.cells.set_deadline(index, deadline);
        self.deadlines_to = self.pushed;
        self.expires_at = self.expires_at.min(deadline);
        let half_us = deadline.us_since(now) / 2;
        if half_us < self.linger_us {
            self.urgent_at = self.urgent_at.min(now.plus_us(half_us));
            self.urgent_to = self.pushed;
        }
        Ok(())
    }

    /// Takes in items until there are no more, no more room, or one that is too large, which comes
    /// back. Says how many were taken in.
    #[inline]
    pub(super) fn push_many(
        &mut self,
        now: Instant,
        items: &mut impl Iterator<Item = (T, u64)>,
    ) -> (usize, Option<(T, u64)>) {
        if self.is_empty() {
            self.first_at = now;
        }
        let (pushed_us, bytes_max) = (now.as_us() as u32, u64::from(self.item_bytes_max));
        let (mut pushed, mut sum, mut refused) = (0, 0, None);
        // Up to the end of the ring, then from its beginning.
        for _ in 0..2 {
            let start = self.index(self.pushed);
            let end = self.ring_len().min(start + self.room() as usize);
            let next = || {
                let (item, bytes) = items.next()?;
                if bytes > bytes_max {
                    refused = Some((item, bytes));
                    return None;
                }
                sum += bytes;
                Some((item, Note::new(pushed_us, bytes as u32)))
            };
            let count = self.cells.put_many(start..end, next);
            self.pushed += count as u64;
            pushed += count;
            if start + count < self.ring_len() {
                break;
            }
        }
        self.bytes += sum;
        (pushed, refused)
    }

    /// Where the item with this number is.
    #[inline]
    fn index(&self, number: u64) -> usize {
        ((number - self.base) as u32 & self.mask) as usize
    }

    fn ring_len(&self) -> usize {
        self.mask as usize + 1
    }

    fn first_note(&self) -> Note {
        self.cells.note(self.index(self.taken))
    }

    /// When the first item was pushed.
    pub(super) fn first_at(&self) -> Instant {
        self.first_at
    }

    /// All that wait now are to go as soon as possible.
    pub(super) fn flush(&mut self) {
        self.flush_to = self.pushed;
    }

    /// Why a batch is to go at once, if it is, when so many items make one.
    #[inline]
    pub(super) fn reason_at_once(&self, target: u32) -> Option<Reason> {
        if self.len() >= target {
            Some(Reason::Items)
        } else if self.bytes >= self.bytes_max {
            Some(Reason::Bytes)
        } else if self.taken < self.flush_to {
            Some(Reason::Flush)
        } else if self.is_closed() {
            Some(Reason::Shutdown)
        } else {
            None
        }
    }

    /// How much can be added before there is a reason to go at once; there is none yet.
    pub(super) fn slack(&self, target: u32) -> (u32, u64) {
        let items = target.saturating_sub(self.len()).saturating_sub(1);
        (items, self.bytes_max.saturating_sub(self.bytes).saturating_sub(1))
    }

    /// When those that wait, of which there is one, are to go although they are few.
    pub(super) fn due_at(&self) -> Instant {
        self.first_at.plus_us(self.linger_us).min(self.urgent_at)
    }

    /// How many of the first `target` items fit into a batch, and how many bytes these have.
    pub(super) fn fitting(&self, target: u32) -> (u32, u64) {
        let waiting = self.len();
        if waiting <= target && self.bytes <= self.bytes_max {
            return (waiting, self.bytes);
        }
        if self.bytes <= self.bytes_max {
            let numbers = self.taken..self.taken + u64::from(target);
            let bytes = numbers.map(|number| self.cells.note(self.index(number)).bytes()).sum();
            return (target, bytes);
        }
        let (mut items, mut bytes) = (0, 0);
        while items < waiting.min(target) {
            let number = self.taken + u64::from(items);
            let more = bytes + self.cells.note(self.index(number)).bytes();
            if more > self.bytes_max {
                break;
            }
            (items, bytes) = (items + 1, more);
        }
        (items, bytes)
    }

    /// Moves the first `len` items, which have so many bytes, into a batch. Says from where on they
    /// are there, and whether one of them may have a deadline.
    pub(super) fn move_to(
        &mut self,
        batch: &mut Batch<'_, T>,
        len: u32,
        bytes: u64,
    ) -> (u32, bool) {
        let deadlines = self.taken < self.deadlines_to;
        let (head, first) = (self.index(self.taken), self.first_note());
        let before_end = (len as usize).min(self.ring_len() - head);
        let behind_end = len as usize - before_end;
        let cells = batch.cells_mut();
        let all = len == self.len() && behind_end == 0 && self.cells.exchange(cells);
        if !all {
            self.cells.move_to(head, cells, 0, before_end, deadlines);
            self.cells.move_to(0, cells, before_end, behind_end, deadlines);
        }
        self.advance(first, len, bytes);
        (if all { head as u32 } else { 0 }, deadlines)
    }

    /// Takes out the first item.
    pub(super) fn pop(&mut self) -> Option<T> {
        if self.is_empty() {
            return None;
        }
        let (first, item) = (self.first_note(), self.cells.take(self.index(self.taken)));
        self.advance(first, 1, first.bytes());
        item
    }

    /// When one of those that wait may have no time left; not later than that is so.
    pub(super) fn expires_at(&self) -> Instant {
        self.expires_at
    }

    /// Takes out, in order, all whose deadline has passed.
    #[cold]
    pub(super) fn expire(&mut self, now: Instant, mut each: impl FnMut(T)) {
        // Closes the gaps even where `each` panics.
        let gaps = Gaps { first: self.first_note(), queue: self };
        for number in gaps.queue.taken..gaps.queue.deadlines_to {
            let index = gaps.queue.index(number);
            if gaps.queue.cells.deadline(index) <= now
                && let Some(item) = gaps.queue.cells.take(index)
            {
                each(item);
            }
        }
    }

    /// Moves those that are left towards the end, over the places of those that are gone, and
    /// looks when the next one expires. This was the note of the first.
    fn close_gaps(&mut self, first: Note) {
        let marks = [self.flush_to, self.urgent_to, self.deadlines_to];
        let mut moved = marks;
        let (mut gone, mut gone_bytes) = (0, 0);
        self.expires_at = Instant::NEVER;
        for number in (self.taken..self.pushed).rev() {
            let index = self.index(number);
            let Some(item) = self.cells.take(index) else {
                gone += 1;
                gone_bytes += self.cells.note(index).bytes();
                for (moved, mark) in moved.iter_mut().zip(marks) {
                    *moved += u64::from(number >= mark);
                }
                continue;
            };
            self.expires_at = self.expires_at.min(self.cells.deadline(index));
            self.cells.move_entry(index, self.index(number + gone), item);
        }
        [self.flush_to, self.urgent_to, self.deadlines_to] = moved;
        self.advance(first, gone as u32, gone_bytes);
    }

    /// The first `items` are gone, of which this was the first.
    fn advance(&mut self, first: Note, items: u32, bytes: u64) {
        self.taken += u64::from(items);
        self.bytes -= bytes;
        if !self.is_closed() {
            self.limit += u64::from(items);
        }
        if self.is_empty() {
            self.base = self.taken;
            self.expires_at = Instant::NEVER;
        } else {
            self.first_at = later(self.first_at, first, self.first_note());
        }
        if self.urgent_at != Instant::NEVER {
            self.urgent_at = self.next_urgent();
        }
    }

    /// The first time at which one of those that wait has lingered for half of its time.
    #[cold]
    fn next_urgent(&self) -> Instant {
        let (mut at, mut before, mut urgent_at) =
            (self.first_at, self.first_note(), Instant::NEVER);
        for number in self.taken..self.urgent_to {
            let index = self.index(number);
            let note = self.cells.note(index);
            at = later(at, before, note);
            before = note;
            let half_us = self.cells.deadline(index).us_since(at) / 2;
            if half_us < self.linger_us {
                urgent_at = urgent_at.min(at.plus_us(half_us));
            }
        }
        urgent_at
    }
}

/// A queue some of whose items are gone from between the others.
struct Gaps<'q, 's, T> {
    queue: &'q mut Queue<'s, T>,
    first: Note,
}

impl<T> Drop for Gaps<'_, '_, T> {
    fn drop(&mut self) {
        self.queue.close_gaps(self.first);
    }
}

/// When an item was pushed that came after one that was pushed at `at`. A clock that has stepped
/// back between them counts as one that stood still.
fn later(at: Instant, before: Note, after: Note) -> Instant {
    let apart_us = after.pushed_us.wrapping_sub(before.pushed_us) as i32;
    at.plus_us(apart_us.max(0) as u64)
}

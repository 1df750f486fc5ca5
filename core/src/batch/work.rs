//! Batches that are out: a worker's room for the items it works on.

use core::fmt;
use core::ops::Range;

use super::cells::{BatchCells, Cells, Entries, Mark};
#[cfg(feature = "alloc")]
use super::config::BatchConfig;
use super::entry::{Outcome, Settled};
use super::places::Ticket;
use crate::time::{Instant, Now};

/// Room for a batch, and the items that are out in it, in the order in which they were pushed.
///
/// Belongs to whoever works on batches, for as long as he does:
/// [`Accumulator::poll_batch`](super::Accumulator::poll_batch) fills it, and
/// [`Accumulator::settle`](super::Accumulator::settle) empties it for the next. It is not filled
/// again until it is settled, so that no batch is lost by leaving a function early.
///
/// Whoever drops one that is out drops its items unsettled, and takes up a place in the accumulator
/// until that is told so with [`Accumulator::forget`](super::Accumulator::forget). A handle keeps
/// the [`ticket`](Self::ticket) for that purpose.
pub struct Batch<'s, T> {
    cells: Cells<'s, T>,
    /// Entries that are out, expired ones included, are so many
    len: u32,
    /// from here on.
    start: u32,
    /// How many of them the batch function doesn't see.
    expired: u32,
    pub(super) attempt: u32,
    /// True where some item may have been marked.
    marked: bool,
    pub(super) bytes: u64,
    /// When it was handed out.
    at: Instant,
    /// How long to wait before what fails is tried again; `None` where this is the last attempt.
    retry_delay_us: Option<u64>,
    pub(super) ticket: Option<Ticket>,
    /// What is known while items are concluded: a panic there leaves it behind, to go on with.
    so_far: Option<Concluded>,
    pub(super) concluded: Option<Concluded>,
}

/// What has become of a batch.
#[derive(Clone, Copy)]
pub(super) struct Concluded {
    pub(super) took_us: u64,
    /// Items that were worked on.
    pub(super) worked: u32,
    pub(super) succeeded: u32,
    pub(super) failed: u32,
    pub(super) expired: u32,
    /// Items that are left, to be tried again
    pub(super) kept: u32,
    /// Items that were looked at.
    seen: u32,
    pub(super) kept_bytes: u64,
    /// at this time.
    pub(super) retry_at: Instant,
}

impl<'s, T> Batch<'s, T> {
    fn new(cells: Cells<'s, T>) -> Self {
        Self {
            cells,
            len: 0,
            start: 0,
            expired: 0,
            attempt: 0,
            marked: false,
            bytes: 0,
            at: Instant::ZERO,
            retry_delay_us: None,
            ticket: None,
            so_far: None,
            concluded: None,
        }
    }

    /// A batch over storage of the caller's, in which there must be room for
    /// [`BatchConfig::items_capacity`](super::BatchConfig::items_capacity) items.
    #[must_use]
    pub fn borrowed<const N: usize>(cells: &'s mut BatchCells<T, N>) -> Self {
        Self::new(Cells::borrowed(cells))
    }

    /// Items that are out in it and that the batch function is to work on. None where all of them
    /// have expired.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        (self.len - self.expired) as usize
    }

    /// True where there is nothing to work on. If it is out, it is to be settled all the same.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    fn range(&self) -> Range<usize> {
        self.start as usize..(self.start + self.len) as usize
    }

    /// Items that there is room for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.cells.len()
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

    /// What this batch is called in its accumulator as long as it is out.
    #[must_use]
    pub fn ticket(&self) -> Option<Ticket> {
        self.ticket
    }

    /// The items to work on.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.cells.iter(self.range(), self.expired == 0)
    }

    /// The items to work on, to be changed and marked.
    #[inline]
    pub fn iter_mut(&mut self) -> Entries<'_, T> {
        self.marked = true;
        self.cells.entries(self.range())
    }

    /// Says the same of all items.
    pub fn set_all(&mut self, outcome: Outcome) {
        self.iter_mut().for_each(|mut entry| entry.set(outcome));
    }

    /// Settles what is done, failed or too late, and keeps what is to be tried again, which
    /// [`Accumulator::settle`](super::Accumulator::settle) then takes back.
    ///
    /// To be called before that where the accumulator is behind a lock and `each` should not run
    /// under it; `settle` does it where it was not done. `each` is told of items in order.
    /// Where it panics, that item is gone, and calling this again goes on with the next.
    pub fn conclude(&mut self, now: Now, mut each: impl FnMut(T, Settled)) {
        if self.ticket.is_none() || self.concluded.is_some() {
            return;
        }
        let so_far = self.so_far.get_or_insert_with(|| Concluded {
            took_us: now.at.us_since(self.at),
            worked: self.len - self.expired,
            succeeded: 0,
            failed: 0,
            expired: 0,
            kept: 0,
            seen: 0,
            kept_bytes: 0,
            retry_at: Instant::NEVER,
        });
        if self.marked || self.expired > 0 {
            self.conclude_each(now, &mut each);
        } else {
            so_far.succeeded = so_far.worked;
            self.cells.drain(self.range()).for_each(|item| each(item, Settled::Done));
        }
        let Some(concluded) = self.so_far.take() else { return };
        (self.start, self.len, self.expired) = (0, concluded.kept, 0);
        self.bytes = concluded.kept_bytes;
        self.concluded = Some(concluded);
    }

    #[cold]
    fn conclude_each(&mut self, now: Now, each: &mut impl FnMut(T, Settled)) {
        // One time for all of them, so that they stay together and in order.
        let retry_at = self.retry_delay_us.map(|delay_us| now.at.plus_us(delay_us));
        let attempts = self.attempt + 1;
        let Range { start, end } = self.range();
        let Some(so_far) = &mut self.so_far else { return };
        for index in start + so_far.seen as usize..end {
            so_far.seen += 1;
            let Some(item) = self.cells.take(index) else { continue };
            let note = self.cells.note(index);
            let how = match (note.mark(), retry_at) {
                (Mark::Done, _) => Settled::Done,
                (Mark::Failed, _) => Settled::Failed,
                (Mark::Expired, _) => Settled::Expired { attempts: self.attempt },
                (Mark::Retry, None) => Settled::Exhausted { attempts },
                (Mark::Retry, Some(at)) if at >= self.cells.deadline(index) => {
                    Settled::Expired { attempts }
                }
                (Mark::Retry, Some(at)) => {
                    self.cells.move_entry(index, so_far.kept as usize, item);
                    so_far.kept += 1;
                    so_far.kept_bytes += note.bytes();
                    so_far.retry_at = at;
                    continue;
                }
            };
            match how {
                Settled::Done => so_far.succeeded += 1,
                Settled::Expired { .. } => {
                    so_far.expired += 1;
                    so_far.failed += 1;
                }
                _ => so_far.failed += 1,
            }
            each(item, how);
        }
    }

    pub(super) fn cells_mut(&mut self) -> &mut Cells<'s, T> {
        &mut self.cells
    }

    /// It has got items, and is out.
    pub(super) fn begin(&mut self, now: Instant, ticket: Ticket, work: &Work, deadlines: bool) {
        self.ticket = Some(ticket);
        (self.start, self.len, self.expired, self.marked) = (work.start, work.len, 0, false);
        (self.attempt, self.bytes, self.at) = (work.attempt, work.bytes, now);
        self.retry_delay_us = work.retry_delay_us;
        if deadlines {
            self.expire(now);
        }
    }

    /// Forgets what was said of the first `len` items in an earlier attempt.
    pub(super) fn unmark(&mut self, len: u32) {
        for (note, _) in self.cells.notes_mut(0..len as usize) {
            note.set(Mark::Done);
        }
    }

    /// Hides what is too late at `now` from the batch function.
    #[cold]
    fn expire(&mut self, now: Instant) {
        for (note, deadline) in self.cells.notes_mut(self.range()) {
            if note.has_deadline() && deadline <= now {
                note.set(Mark::Expired);
                self.expired += 1;
            }
        }
    }

    /// As new.
    #[inline]
    pub(super) fn end(&mut self) {
        (self.ticket, self.so_far, self.concluded) = (None, None, None);
        (self.len, self.expired, self.bytes, self.attempt) = (0, 0, 0, 0);
    }
}

#[cfg(feature = "alloc")]
impl<T> Batch<'static, T> {
    /// A batch on the heap for an accumulator with this configuration.
    ///
    /// It has as much room as there is for items that wait, so that a batch of all of them is
    /// handed out by exchanging that room instead of moving items, if both are on the heap.
    #[must_use]
    pub fn on_heap(config: &BatchConfig) -> Self {
        Self::new(Cells::on_heap(config.ring_len()))
    }
}

/// What is handed out.
pub(super) struct Work {
    pub(super) start: u32,
    pub(super) len: u32,
    pub(super) bytes: u64,
    pub(super) attempt: u32,
    pub(super) retry_delay_us: Option<u64>,
}

impl<'a, T> IntoIterator for &'a mut Batch<'_, T> {
    type Item = super::Entry<'a, T>;
    type IntoIter = Entries<'a, T>;

    fn into_iter(self) -> Entries<'a, T> {
        self.iter_mut()
    }
}

impl<T> fmt::Debug for Batch<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("len", &self.len())
            .field("bytes", &self.bytes)
            .field("attempt", &self.attempt)
            .field("ticket", &self.ticket)
            .finish_non_exhaustive()
    }
}

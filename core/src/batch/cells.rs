//! Where items are, and what is noted about each.
//!
//! An item that is passed from one thread to another takes only 8 bytes of notes along: deadlines
//! lie in an array of their own, and are touched only where there are any.

use core::fmt;
use core::ops::Range;

use super::entry::{Entry, Outcome};
use crate::backing::Backing;
use crate::time::Instant;

/// What is noted about an item: when it was pushed, how many bytes it has, what became of it.
///
/// The bytes share their word with the mark (2 bits) and whether there is a deadline (1 bit).
#[derive(Clone, Copy)]
pub(super) struct Note {
    /// The lower half of the time in microseconds.
    pub(super) pushed_us: u32,
    word: u32,
}

/// What is known of an item in a batch that is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Done,
    Failed,
    Retry,
    /// Its deadline had passed when the batch was handed out: the batch function does not see it.
    Expired,
}

const DEADLINE: u32 = 1 << 31;
const MARK_SHIFT: u32 = 29;
const MARK: u32 = 0b11 << MARK_SHIFT;

impl Note {
    /// Bytes that an item can have at most, whatever the configuration says: 512 MiB less one.
    pub(super) const BYTES_MAX: u32 = (1 << MARK_SHIFT) - 1;
    const EMPTY: Self = Self { pushed_us: 0, word: 0 };

    #[inline]
    pub(super) const fn new(pushed_us: u32, bytes: u32) -> Self {
        Self { pushed_us, word: bytes & Self::BYTES_MAX }
    }

    #[inline]
    pub(super) const fn with_deadline(self) -> Self {
        Self { word: self.word | DEADLINE, ..self }
    }

    #[inline]
    pub(super) const fn has_deadline(self) -> bool {
        self.word & DEADLINE != 0
    }

    #[inline]
    pub(super) const fn bytes(self) -> u64 {
        (self.word & Self::BYTES_MAX) as u64
    }

    #[inline]
    pub(super) const fn mark(self) -> Mark {
        match (self.word & MARK) >> MARK_SHIFT {
            0 => Mark::Done,
            1 => Mark::Failed,
            2 => Mark::Retry,
            _ => Mark::Expired,
        }
    }

    #[inline]
    pub(super) const fn set(&mut self, mark: Mark) {
        self.word = self.word & !MARK | (mark as u32) << MARK_SHIFT;
    }

    #[inline]
    pub(super) const fn set_outcome(&mut self, outcome: Outcome) {
        self.set(match outcome {
            Outcome::Done => Mark::Done,
            Outcome::Failed => Mark::Failed,
            Outcome::Retry => Mark::Retry,
        });
    }
}

/// Room for one item.
struct Slot<T> {
    item: Option<T>,
    note: Note,
}

impl<T> Slot<T> {
    const EMPTY: Self = Self { item: None, note: Note::EMPTY };

    /// Fills the slot, which is empty.
    #[inline]
    fn fill(&mut self, item: T, note: Note) {
        let before = self.item.replace(item);
        debug_assert!(before.is_none(), "a slot is filled when it is empty");
        // Nothing is there to be dropped, which the compiler doesn't know.
        core::mem::forget(before);
        self.note = note;
    }
}

/// Room for `N` items: storage for an [`Accumulator`](super::Accumulator) or for a
/// [`Batch`](super::Batch), made by the caller and borrowed.
///
/// Takes as much memory as `N` times `Option<T>` and 16 bytes. An accumulator needs
/// [`BatchConfig::cells_len`](super::BatchConfig::cells_len) of them, a batch
/// [`BatchConfig::items_capacity`](super::BatchConfig::items_capacity).
pub struct BatchCells<T, const N: usize> {
    slots: [Slot<T>; N],
    deadlines: [Instant; N],
}

impl<T, const N: usize> BatchCells<T, N> {
    /// Room that is empty.
    #[must_use]
    pub const fn new() -> Self {
        Self { slots: [const { Slot::EMPTY }; N], deadlines: [Instant::NEVER; N] }
    }
}

impl<T, const N: usize> Default for BatchCells<T, N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, const N: usize> fmt::Debug for BatchCells<T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "room for {N} x {}", core::any::type_name::<T>())
    }
}

/// Room for items, wherever it is. Those that are in use are `Some`, all others `None`.
pub(super) struct Cells<'s, T> {
    slots: Backing<'s, Slot<T>>,
    deadlines: Backing<'s, Instant>,
}

impl<'s, T> Cells<'s, T> {
    pub(super) fn borrowed<const N: usize>(cells: &'s mut BatchCells<T, N>) -> Self {
        // Whatever somebody left there is not this user's.
        cells.slots.iter_mut().for_each(|slot| slot.item = None);
        Self {
            slots: Backing::Borrowed(&mut cells.slots),
            deadlines: Backing::Borrowed(&mut cells.deadlines),
        }
    }

    #[cfg(feature = "alloc")]
    pub(super) fn on_heap(len: usize) -> Self {
        Self {
            slots: (0..len).map(|_| Slot::EMPTY).collect(),
            deadlines: (0..len).map(|_| Instant::NEVER).collect(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The first `at` cells, and the others.
    pub(super) fn split_at(self, at: usize) -> (Self, Self) {
        let (first, others) = self.slots.split_at(at);
        let (first_deadlines, other_deadlines) = self.deadlines.split_at(at);
        (
            Self { slots: first, deadlines: first_deadlines },
            Self { slots: others, deadlines: other_deadlines },
        )
    }

    /// Exchanges all cells with others, if they are on the heap and as many; false where they are
    /// not.
    #[inline]
    pub(super) fn exchange(&mut self, other: &mut Cells<'_, T>) -> bool {
        self.slots.exchange(&mut other.slots) && self.deadlines.exchange(&mut other.deadlines)
    }

    #[inline]
    pub(super) fn put(&mut self, index: usize, item: T, note: Note) {
        self.slots[index].fill(item, note);
    }

    /// Fills cells of `range` from the front, until `next` has no more; returns how many.
    #[inline]
    pub(super) fn put_many(
        &mut self,
        range: Range<usize>,
        mut next: impl FnMut() -> Option<(T, Note)>,
    ) -> usize {
        let slots = &mut self.slots[range];
        let len = slots.len();
        for (count, slot) in slots.iter_mut().enumerate() {
            let Some((item, note)) = next() else { return count };
            slot.fill(item, note);
        }
        len
    }

    pub(super) fn set_deadline(&mut self, index: usize, deadline: Instant) {
        self.deadlines[index] = deadline;
        self.slots[index].note = self.note(index).with_deadline();
    }

    #[inline]
    pub(super) fn take(&mut self, index: usize) -> Option<T> {
        self.slots[index].item.take()
    }

    /// Takes all items of a range, in order.
    #[inline]
    pub(super) fn drain(&mut self, range: Range<usize>) -> impl Iterator<Item = T> {
        self.slots[range].iter_mut().filter_map(|slot| slot.item.take())
    }

    #[inline]
    pub(super) fn note(&self, index: usize) -> Note {
        self.slots[index].note
    }

    pub(super) fn deadline(&self, index: usize) -> Instant {
        if self.note(index).has_deadline() { self.deadlines[index] } else { Instant::NEVER }
    }

    /// The items of a range that have not expired.
    #[inline]
    pub(super) fn iter(&self, range: Range<usize>, none_expired: bool) -> impl Iterator<Item = &T> {
        self.slots[range].iter().filter_map(move |slot| {
            slot.item.as_ref().filter(|_| none_expired || slot.note.mark() != Mark::Expired)
        })
    }

    #[inline]
    pub(super) fn entries(&mut self, range: Range<usize>) -> Entries<'_, T> {
        let Self { slots, deadlines } = self;
        let slots = slots[range.clone()].iter_mut();
        Entries { slots, deadlines: deadlines[range].iter() }
    }

    pub(super) fn notes_mut(
        &mut self,
        range: Range<usize>,
    ) -> impl Iterator<Item = (&mut Note, Instant)> {
        let Self { slots, deadlines } = self;
        let notes = slots[range.clone()].iter_mut().map(|slot| &mut slot.note);
        notes.zip(deadlines[range].iter().copied())
    }

    /// Moves an entry, whose item is this, to a place that is empty.
    pub(super) fn move_entry(&mut self, from: usize, to: usize, item: T) {
        self.slots[to] = Slot { item: Some(item), note: self.note(from) };
        self.deadlines[to] = self.deadlines[from];
    }

    /// Moves `len` entries from here to cells that are empty; deadlines only if asked to.
    #[inline]
    pub(super) fn move_to(
        &mut self,
        from: usize,
        other: &mut Cells<'_, T>,
        to: usize,
        len: usize,
        deadlines: bool,
    ) {
        let (from, to) = (from..from + len, to..to + len);
        // What comes back is empty: no item is looked at, let alone dropped.
        other.slots[to.clone()].swap_with_slice(&mut self.slots[from.clone()]);
        if deadlines {
            other.deadlines[to].copy_from_slice(&self.deadlines[from]);
        }
    }
}

/// The items of a batch, to be worked on: what `for entry in &mut batch` goes through.
pub struct Entries<'a, T> {
    slots: core::slice::IterMut<'a, Slot<T>>,
    deadlines: core::slice::Iter<'a, Instant>,
}

impl<'a, T> Iterator for Entries<'a, T> {
    type Item = Entry<'a, T>;

    #[inline]
    fn next(&mut self) -> Option<Entry<'a, T>> {
        loop {
            let (Slot { item, note }, deadline) = (self.slots.next()?, *self.deadlines.next()?);
            let deadline = if note.has_deadline() { deadline } else { Instant::NEVER };
            if let Some(item) = item
                && note.mark() != Mark::Expired
            {
                return Some(Entry { item, note, deadline });
            }
        }
    }
}

impl<T> fmt::Debug for Entries<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {} entries", self.slots.len())
    }
}

//! Where items are, and what is noted about each.
//!
//! Items, notes and deadlines lie in arrays of their own: an item that is passed from one thread to
//! another takes only 8 bytes of notes along, and deadlines are touched only where there are any.

use core::fmt;

use super::entry::Outcome;
use crate::backing::Backing;
use crate::time::Instant;

/// What is noted about an item: when it was pushed, how many bytes it has, what became of it.
///
/// The bytes share their word with the mark (2 bits) and whether there is a deadline (1 bit).
#[derive(Clone, Copy)]
pub(super) struct Note {
    /// Microseconds after the accumulator's base.
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

/// Room for `N` items: storage for an [`Accumulator`](super::Accumulator) or for a
/// [`Batch`](super::Batch), made by the caller and borrowed.
///
/// Takes as much memory as `N` times `Option<T>` and 16 bytes. An accumulator needs
/// [`BatchConfig::cells_len`](super::BatchConfig::cells_len) of them, a batch
/// [`BatchConfig::items_capacity`](super::BatchConfig::items_capacity).
pub struct BatchCells<T, const N: usize> {
    items: [Option<T>; N],
    notes: [Note; N],
    deadlines: [Instant; N],
}

impl<T, const N: usize> BatchCells<T, N> {
    /// Room that is empty.
    #[must_use]
    pub const fn new() -> Self {
        Self { items: [const { None }; N], notes: [Note::EMPTY; N], deadlines: [Instant::NEVER; N] }
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
    items: Backing<'s, Option<T>>,
    notes: Backing<'s, Note>,
    deadlines: Backing<'s, Instant>,
}

impl<'s, T> Cells<'s, T> {
    pub(super) fn borrowed<const N: usize>(cells: &'s mut BatchCells<T, N>) -> Self {
        // Whatever somebody left there is not this user's.
        cells.items.iter_mut().for_each(|item| *item = None);
        Self {
            items: Backing::Borrowed(&mut cells.items),
            notes: Backing::Borrowed(&mut cells.notes),
            deadlines: Backing::Borrowed(&mut cells.deadlines),
        }
    }

    #[cfg(feature = "alloc")]
    pub(super) fn on_heap(len: usize) -> Self {
        Self {
            items: (0..len).map(|_| None).collect(),
            notes: (0..len).map(|_| Note::EMPTY).collect(),
            deadlines: (0..len).map(|_| Instant::NEVER).collect(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// Where the items are: what tells these cells from all others.
    pub(super) fn address(&self) -> usize {
        self.items.as_ptr() as usize
    }

    #[inline]
    pub(super) fn put(&mut self, index: usize, item: T, note: Note) {
        self.items[index] = Some(item);
        self.notes[index] = note;
    }

    #[inline]
    pub(super) fn set_deadline(&mut self, index: usize, deadline: Instant) {
        self.deadlines[index] = deadline;
    }

    #[inline]
    pub(super) fn take(&mut self, index: usize) -> Option<T> {
        self.items[index].take()
    }

    #[inline]
    pub(super) fn note(&self, index: usize) -> Note {
        self.notes[index]
    }

    pub(super) fn deadline(&self, index: usize) -> Instant {
        if self.notes[index].has_deadline() { self.deadlines[index] } else { Instant::NEVER }
    }

    #[inline]
    pub(super) fn items(&self, range: core::ops::Range<usize>) -> &[Option<T>] {
        &self.items[range]
    }

    #[inline]
    pub(super) fn items_mut(&mut self, range: core::ops::Range<usize>) -> &mut [Option<T>] {
        &mut self.items[range]
    }

    #[inline]
    pub(super) fn notes(&self, range: core::ops::Range<usize>) -> &[Note] {
        &self.notes[range]
    }

    #[inline]
    pub(super) fn notes_mut(&mut self, range: core::ops::Range<usize>) -> &mut [Note] {
        &mut self.notes[range]
    }

    /// All three of a range, to be changed at once.
    #[inline]
    pub(super) fn parts_mut(
        &mut self,
        range: core::ops::Range<usize>,
    ) -> (&mut [Option<T>], &mut [Note], &[Instant]) {
        let Self { items, notes, deadlines } = self;
        (&mut items[range.clone()], &mut notes[range.clone()], &deadlines[range])
    }

    /// Moves an entry to a lower place, which is empty.
    pub(super) fn move_down(&mut self, from: usize, to: usize, item: T) {
        self.items[to] = Some(item);
        self.notes[to] = self.notes[from];
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
        // What comes back is `None`: no item is looked at, let alone dropped.
        other.items[to.clone()].swap_with_slice(&mut self.items[from.clone()]);
        other.notes[to.clone()].copy_from_slice(&self.notes[from.clone()]);
        if deadlines {
            other.deadlines[to].copy_from_slice(&self.deadlines[from]);
        }
    }
}

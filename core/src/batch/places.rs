//! Where batches are while they are not out: free, full and waiting, or waiting to be retried.
//!
//! Lists of places are linked through the places themselves, so that moving a batch from one list
//! to another moves no item.

use super::config::BatchConfig;
use super::entry::{Batch, Entry};
use super::error::StorageTooSmall;
use crate::backing::Backing;
use crate::time::Instant;

/// Ends a list.
const NONE: u16 = u16::MAX;

/// Room for one batch: an opaque value to make arrays of.
pub struct Place<'e, T> {
    batch: Option<Batch<'e, T>>,
    /// The address of the batch that belongs here.
    address: usize,
    next: u16,
}

impl<T> Place<'_, T> {
    /// Room that is empty.
    #[must_use]
    pub const fn new() -> Self {
        Self { batch: None, address: 0, next: NONE }
    }
}

impl<T> Default for Place<'_, T> {
    fn default() -> Self {
        Self::new()
    }
}

/// The storage of an [`Accumulator`](super::Accumulator).
///
/// Its sizes follow from the configuration: [`BatchConfig::batches_len`] places and
/// [`BatchConfig::entries_len`] entries.
///
/// ```
/// use turbopump_core::batch::{Accumulator, BatchConfig, BatchStorage, Entry, Place};
///
/// let mut config = BatchConfig::default();
/// (config.items_max, config.waiting_max, config.in_flight_max) = (8, 16, 1);
/// assert_eq!((config.batches_len(), config.entries_len()), (5, 40));
///
/// let mut entries = [const { None::<Entry<u32>> }; 40];
/// let mut places = [const { Place::new() }; 5];
/// let storage = BatchStorage::borrowed(&mut places, &mut entries);
/// let batcher = Accumulator::new(config, storage, 1)?;
/// # assert_eq!(batcher.waiting(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct BatchStorage<'p, 'e, T> {
    pub(super) places: Backing<'p, Place<'e, T>>,
    pub(super) entries: Entries<'e, T>,
}

pub(super) enum Entries<'e, T> {
    Borrowed(&'e mut [Option<Entry<T>>]),
    #[cfg(feature = "alloc")]
    OnHeap,
}

impl<'p, 'e, T> BatchStorage<'p, 'e, T> {
    /// Storage of the caller's.
    #[must_use]
    pub fn borrowed(places: &'p mut [Place<'e, T>], entries: &'e mut [Option<Entry<T>>]) -> Self {
        Self { places: Backing::Borrowed(places), entries: Entries::Borrowed(entries) }
    }
}

#[cfg(feature = "alloc")]
impl<T> BatchStorage<'static, 'static, T> {
    /// As much storage on the heap as `config` needs.
    #[must_use]
    pub fn on_heap(config: &BatchConfig) -> Self {
        let places = (0..config.batches_len()).map(|_| Place::new()).collect();
        Self { places, entries: Entries::OnHeap }
    }
}

/// A list of places, by number.
#[derive(Clone, Copy)]
pub(super) struct List {
    head: u16,
    tail: u16,
}

impl List {
    const EMPTY: Self = Self { head: NONE, tail: NONE };
}

/// All places, and what is in which list.
pub(super) struct Places<'p, 'e, T> {
    places: Backing<'p, Place<'e, T>>,
    free: List,
    /// Closed batches, oldest first.
    closed: List,
    /// Batches that wait to be handed out again.
    retrying: List,
}

impl<'p, 'e, T> Places<'p, 'e, T> {
    /// Divides the storage among the batches.
    pub(super) fn new(
        config: &BatchConfig,
        storage: BatchStorage<'p, 'e, T>,
    ) -> Result<Self, StorageTooSmall> {
        let BatchStorage { mut places, entries } = storage;
        let (batches, items) = (config.batches_len(), config.items_capacity());
        if places.len() < batches {
            let len = places.len();
            return Err(StorageTooSmall { part: "places", len, needed: batches });
        }
        let numbered = (0_u16..).zip(places.iter_mut()).take(batches);
        match entries {
            Entries::Borrowed(entries) => {
                if entries.len() < config.entries_len() {
                    let (len, needed) = (entries.len(), config.entries_len());
                    return Err(StorageTooSmall { part: "entries", len, needed });
                }
                for ((number, place), entries) in numbered.zip(entries.chunks_exact_mut(items)) {
                    entries.iter_mut().for_each(|entry| *entry = None);
                    place.batch = Some(Batch::new(Backing::Borrowed(entries), number));
                }
            }
            #[cfg(feature = "alloc")]
            Entries::OnHeap => {
                for (number, place) in numbered {
                    let entries = (0..items).map(|_| None).collect();
                    place.batch = Some(Batch::new(entries, number));
                }
            }
        }
        for place in places.iter_mut() {
            place.address = place.batch.as_ref().map_or(0, Batch::address);
        }
        let [free, closed, retrying] = [List::EMPTY; 3];
        let mut all = Self { places, free, closed, retrying };
        for number in (0..batches as u16).rev() {
            all.free = all.with_front(all.free, number);
        }
        Ok(all)
    }

    /// The list with one more place in front.
    fn with_front(&mut self, list: List, number: u16) -> List {
        if let Some(place) = self.places.get_mut(usize::from(number)) {
            place.next = list.head;
        }
        List { head: number, tail: if list.head == NONE { number } else { list.tail } }
    }

    /// The list with one more place behind.
    fn with_back(&mut self, list: List, number: u16) -> List {
        if let Some(place) = self.places.get_mut(usize::from(number)) {
            place.next = NONE;
        }
        match self.places.get_mut(usize::from(list.tail)) {
            Some(last) if list.head != NONE => {
                last.next = number;
                List { tail: number, ..list }
            }
            _ => List { head: number, tail: number },
        }
    }

    /// The batch at the front of a list, and the list without it.
    fn pop(&mut self, list: List) -> Option<(Batch<'e, T>, List)> {
        let place = self.places.get_mut(usize::from(list.head))?;
        let rest = List { head: place.next, ..list };
        place.batch.take().map(|batch| (batch, rest))
    }

    /// True where the batch came from here.
    pub(super) fn expects(&self, batch: &Batch<'e, T>) -> bool {
        let place = self.places.get(usize::from(batch.place));
        place.is_some_and(|place| place.address == batch.address())
    }

    /// Puts a batch back at its place; returns the number of that.
    fn put(&mut self, batch: Batch<'e, T>) -> u16 {
        let number = batch.place;
        if let Some(place) = self.places.get_mut(usize::from(number)) {
            place.batch = Some(batch);
        }
        number
    }

    /// A batch without items; `None` where all are in use.
    pub(super) fn take_free(&mut self) -> Option<Batch<'e, T>> {
        let (batch, rest) = self.pop(self.free)?;
        self.free = rest;
        Some(batch)
    }

    /// The batch is empty and can be used anew.
    pub(super) fn put_free(&mut self, mut batch: Batch<'e, T>) {
        batch.clear();
        let number = self.put(batch);
        self.free = self.with_front(self.free, number);
    }

    /// The oldest closed batch.
    pub(super) fn first_closed(&mut self) -> Option<&mut Batch<'e, T>> {
        self.places.get_mut(usize::from(self.closed.head))?.batch.as_mut()
    }

    pub(super) fn take_closed(&mut self) -> Option<Batch<'e, T>> {
        let (batch, rest) = self.pop(self.closed)?;
        self.closed = rest;
        Some(batch)
    }

    pub(super) fn put_closed(&mut self, batch: Batch<'e, T>) {
        let number = self.put(batch);
        self.closed = self.with_back(self.closed, number);
    }

    pub(super) fn put_retrying(&mut self, batch: Batch<'e, T>) {
        let number = self.put(batch);
        self.retrying = self.with_back(self.retrying, number);
    }

    /// When the first batch is to be handed out again.
    pub(super) fn next_retry(&self) -> Option<Instant> {
        self.retrying_numbers().filter_map(|number| self.retry_at(number)).min()
    }

    fn retry_at(&self, number: u16) -> Option<Instant> {
        let batch = self.places.get(usize::from(number))?.batch.as_ref()?;
        Some(batch.at)
    }

    fn retrying_numbers(&self) -> impl Iterator<Item = u16> {
        let mut next = self.retrying.head;
        core::iter::from_fn(move || {
            let number = next;
            next = self.places.get(usize::from(number))?.next;
            Some(number)
        })
    }

    /// The batch that was to be handed out again first, if that time has come. Of two that are due
    /// at the same time, the one that was settled first.
    pub(super) fn take_retrying(&mut self, now: Instant) -> Option<Batch<'e, T>> {
        let due = |number: &u16| self.retry_at(*number).is_some_and(|at| at <= now);
        let first =
            self.retrying_numbers().filter(due).min_by_key(|number| self.retry_at(*number))?;
        // Rebuilds the list without the one: there are few, and this is rare.
        let mut rest = List::EMPTY;
        let mut next = self.retrying.head;
        while let Some(place) = self.places.get(usize::from(next)) {
            let (number, following) = (next, place.next);
            if number != first {
                rest = self.with_back(rest, number);
            }
            next = following;
        }
        self.retrying = rest;
        self.places.get_mut(usize::from(first))?.batch.take()
    }
}

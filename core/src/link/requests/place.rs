//! The table of requests: places in the caller's storage, found by the low bits of their id.

use core::fmt;

use super::error::RequestStorageTooSmall;
use crate::backing::Backing;
use crate::pool::{Lease, PoolRef};
use crate::time::Instant;

/// Requests that one link can have in flight: half of an id's bits stay for the generation.
pub const IN_FLIGHT_MAX: usize = 1 << 16;

/// Ends a list.
const NONE: u32 = u32::MAX;

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Free,
    /// Accepted, but the clock was not read since.
    Unstamped,
    Waiting,
    Answered,
    TimedOut,
    /// It was answered, but there was no memory for so long an answer.
    NoBuffer,
    /// The link closed before it was answered.
    Closed,
}

/// Room for one request in flight: an opaque value to make arrays of.
pub struct RequestPlace<R: PoolRef> {
    /// The id of the request here or, while it is free, of the next: generation, then index.
    pub(super) id: u32,
    pub(super) state: State,
    /// For requests that timed out: whether the peer may have seen them.
    pub(super) maybe_sent: bool,
    next: u32,
    previous: u32,
    /// 0 stands for the link's own time-out.
    pub(super) timeout_us: u32,
    /// What was accepted for writing up to the end of the request, since the link began.
    pub(super) end: u64,
    pub(super) stamped: Instant,
    pub(super) deadline: Instant,
    pub(super) answer: Option<Lease<R>>,
    /// For answers without memory: how long they were.
    pub(super) answer_bytes: usize,
}

impl<R: PoolRef> RequestPlace<R> {
    /// Room that is free.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            id: 0,
            state: State::Free,
            maybe_sent: false,
            next: NONE,
            previous: NONE,
            timeout_us: 0,
            end: 0,
            stamped: Instant::ZERO,
            deadline: Instant::NEVER,
            answer: None,
            answer_bytes: 0,
        }
    }
}

impl<R: PoolRef> Default for RequestPlace<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R: PoolRef> fmt::Debug for RequestPlace<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x} {:?}", self.id, self.state)
    }
}

/// A list of places, linked through the places themselves. A place is in one list at most.
#[derive(Clone, Copy, Debug)]
struct List {
    head: u32,
    tail: u32,
}

impl List {
    const EMPTY: Self = Self { head: NONE, tail: NONE };
}

/// All places.
pub(super) struct Places<'s, R: PoolRef> {
    places: Backing<'s, RequestPlace<R>>,
    /// The bits of an id that are an index.
    index_mask: u32,
    free: List,
    unstamped: List,
    completed: List,
    /// Places that are not free, and the most that ever were.
    taken: usize,
    taken_max: usize,
    /// No place at or above this index was ever used: scans stop there.
    used_end: usize,
}

impl<'s, R: PoolRef> Places<'s, R> {
    pub(super) fn new(
        mut places: Backing<'s, RequestPlace<R>>,
    ) -> Result<Self, RequestStorageTooSmall> {
        let len = places.len();
        if len == 0 || len > IN_FLIGHT_MAX {
            return Err(RequestStorageTooSmall { part: "places", len, max: IN_FLIGHT_MAX });
        }
        let index_mask = (len.next_power_of_two() - 1) as u32;
        for (index, place) in (0..).zip(places.iter_mut()) {
            *place = RequestPlace { id: index, ..RequestPlace::new() };
        }
        let [free, unstamped, completed] = [List::EMPTY; 3];
        let mut all = Self {
            places,
            index_mask,
            free,
            unstamped,
            completed,
            taken: 0,
            taken_max: 0,
            used_end: 0,
        };
        for index in 0..len as u32 {
            all.free = all.with_back(all.free, index);
        }
        Ok(all)
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Places that are not free.
    #[inline]
    pub(super) const fn taken(&self) -> usize {
        self.taken
    }

    /// The most that were ever taken at once.
    pub(super) const fn taken_max(&self) -> usize {
        self.taken_max
    }

    /// The index in an id.
    #[inline]
    pub(super) const fn index(&self, id: u32) -> u32 {
        id & self.index_mask
    }

    /// The place of the request `id`, as long as that is there.
    /// Frees all that are taken.
    pub(super) fn clear(&mut self) {
        for index in 0..self.used_end {
            let taken = self.places.get(index).filter(|place| place.state != State::Free);
            if let Some(id) = taken.map(|place| place.id) {
                self.release(id);
            }
        }
    }

    #[inline]
    pub(super) fn find(&mut self, id: u32) -> Option<&mut RequestPlace<R>> {
        let place = self.places.get_mut((id & self.index_mask) as usize)?;
        (place.id == id && place.state != State::Free).then_some(place)
    }

    /// Whether an id can have been given out.
    #[inline]
    pub(super) fn is_possible(&self, id: u32) -> bool {
        ((id & self.index_mask) as usize) < self.used_end
    }

    /// The id that the next request gets, `None` where all places are taken.
    #[inline]
    pub(super) fn next_id(&self) -> Option<u32> {
        Some(self.places.get(self.free.head as usize)?.id)
    }

    /// Takes the place of [`Self::next_id`] for a request that ends at `end`.
    #[inline]
    pub(super) fn occupy(&mut self, timeout_us: u32, end: u64) {
        let index = self.free.head;
        let Some(place) = self.places.get_mut(index as usize) else {
            return;
        };
        self.free.head = place.next;
        (place.state, place.timeout_us, place.end) = (State::Unstamped, timeout_us, end);
        self.unstamped = self.with_back(self.unstamped, index);
        self.taken += 1;
        self.taken_max = self.taken_max.max(self.taken);
        self.used_end = self.used_end.max(index as usize + 1);
    }

    /// The answer of the request `id`, whose place is free then; `None` where it has none.
    #[inline]
    pub(super) fn take_answer(&mut self, id: u32) -> Option<Lease<R>> {
        let index = id & self.index_mask;
        let place = self.places.get_mut(index as usize)?;
        if place.id != id || place.state != State::Answered {
            return None;
        }
        let answer = place.answer.take();
        if self.completed.head == index || place.previous != NONE {
            self.completed = self.without(self.completed, index);
        }
        self.free(index, false);
        answer
    }

    /// Frees the place of a request that is in no list. The next one there has another id.
    ///
    /// A place whose answer may still come is used again last, so that as much time as can be had
    /// passes before its ids repeat; any other is used again first, while it is in the cache.
    #[inline]
    fn free(&mut self, index: u32, may_be_answered: bool) {
        let generation = self.index_mask + 1;
        let Some(place) = self.places.get_mut(index as usize) else {
            return;
        };
        place.id = place.id.wrapping_add(generation);
        place.state = State::Free;
        self.taken -= 1;
        if may_be_answered {
            self.free = self.with_back(self.free, index);
        } else {
            place.next = self.free.head;
            if self.free.head == NONE {
                self.free.tail = index;
            }
            self.free.head = index;
        }
    }

    /// Frees the place of the request `id`, whichever list it is in.
    pub(super) fn release(&mut self, id: u32) {
        let index = self.index(id);
        let Some(place) = self.places.get_mut(index as usize) else {
            return;
        };
        place.answer = None;
        let state = place.state;
        if state == State::Unstamped {
            self.unstamped = self.without(self.unstamped, index);
        } else if self.is_completed(index) {
            self.completed = self.without(self.completed, index);
        }
        self.free(index, !matches!(state, State::Answered | State::NoBuffer));
    }

    /// Calls `stamp` for each request that was accepted since the last time.
    #[inline]
    pub(super) fn stamp(&mut self, mut stamp: impl FnMut(&mut RequestPlace<R>)) {
        let mut index = self.unstamped.head;
        self.unstamped = List::EMPTY;
        while let Some(place) = self.places.get_mut(index as usize) {
            index = place.next;
            (place.next, place.previous) = (NONE, NONE);
            place.state = State::Waiting;
            stamp(place);
        }
    }

    /// The request `id` has its outcome: somebody is to be told.
    #[inline]
    pub(super) fn complete(&mut self, id: u32) {
        self.completed = self.with_back(self.completed, self.index(id));
    }

    /// Calls `judge` for each request that waits; those for which it gives an outcome have it from
    /// then on.
    pub(super) fn judge(&mut self, mut judge: impl FnMut(&mut RequestPlace<R>) -> Option<State>) {
        for index in 0..self.used_end as u32 {
            let Some(place) = self.places.get_mut(index as usize) else {
                return;
            };
            if place.state == State::Waiting
                && let Some(state) = judge(place)
            {
                place.state = state;
                self.completed = self.with_back(self.completed, index);
            }
        }
    }

    /// The id of the request that has had its outcome longest without anybody being told.
    #[inline]
    pub(super) fn pop_completed(&mut self) -> Option<u32> {
        let index = self.completed.head;
        let place = self.places.get_mut(index as usize)?;
        let id = place.id;
        self.completed.head = place.next;
        (place.next, place.previous) = (NONE, NONE);
        if let Some(first) = self.places.get_mut(self.completed.head as usize) {
            first.previous = NONE;
        }
        Some(id)
    }

    #[inline]
    fn is_completed(&self, index: u32) -> bool {
        self.completed.head == index
            || self.places.get(index as usize).is_some_and(|place| place.previous != NONE)
    }

    /// The list with one more place behind.
    #[inline]
    fn with_back(&mut self, list: List, index: u32) -> List {
        let last = if list.head == NONE { NONE } else { list.tail };
        if let Some(place) = self.places.get_mut(index as usize) {
            (place.next, place.previous) = (NONE, last);
        }
        match self.places.get_mut(last as usize) {
            Some(place) => {
                place.next = index;
                List { tail: index, ..list }
            }
            None => List { head: index, tail: index },
        }
    }

    /// The list without a place that is in it.
    #[cold]
    fn without(&mut self, list: List, index: u32) -> List {
        let Some(place) = self.places.get_mut(index as usize) else {
            return list;
        };
        let (next, previous) = (place.next, place.previous);
        (place.next, place.previous) = (NONE, NONE);
        if let Some(place) = self.places.get_mut(next as usize) {
            place.previous = previous;
        }
        if let Some(place) = self.places.get_mut(previous as usize) {
            place.next = next;
        }
        List {
            head: if list.head == index { next } else { list.head },
            tail: if list.tail == index { previous } else { list.tail },
        }
    }
}

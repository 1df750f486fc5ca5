//! Which batches are out, and which wait for another attempt.

use core::fmt;

use crate::backing::Backing;
use crate::time::Instant;

/// Ends the list of free places.
const NONE: u16 = u16::MAX;

/// One of the batches that may be in flight: an opaque value to make arrays of.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    state: State,
    /// The next free place.
    next: u16,
    pub(super) len: u32,
    pub(super) attempt: u32,
    pub(super) bytes: u64,
    /// Counts batches: the number of the one that is here, or was.
    number: u64,
    /// When it is to be handed out again.
    retry_at: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    /// With somebody who works on it
    Out,
    /// and if some of it is to be tried again, it is not.
    OutForGood,
    /// Here, waiting for another attempt.
    Retrying,
}

impl Place {
    /// A place that is free.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            state: State::Free,
            next: NONE,
            len: 0,
            attempt: 0,
            bytes: 0,
            number: 0,
            retry_at: Instant::NEVER,
        }
    }
}

impl Default for Place {
    fn default() -> Self {
        Self::new()
    }
}

/// What a batch that is out is called.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    /// Whose it is.
    owner: usize,
    place: u16,
    number: u64,
}

impl Ticket {
    pub(super) fn place(self) -> usize {
        self.place.into()
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "batch {}", self.number)
    }
}

/// All places.
pub(super) struct Places<'s> {
    places: Backing<'s, Place>,
    /// Where the places are: what tells them from those of another accumulator.
    owner: usize,
    /// The first free place.
    free: u16,
    in_use: u16,
    /// Batches that were handed out so far.
    numbers: u64,
    /// When the first of those that wait for it is to be handed out again.
    next_retry: Instant,
}

impl<'s> Places<'s> {
    /// All `len` first places of the storage, which has as many, are free.
    pub(super) fn new(mut places: Backing<'s, Place>, len: u16) -> Self {
        places.iter_mut().for_each(|place| *place = Place::new());
        for (place, next) in places.iter_mut().zip(1..len) {
            place.next = next;
        }
        let (owner, next_retry) = (places.as_ptr() as usize, Instant::NEVER);
        Self { places, owner, free: 0, in_use: 0, numbers: 0, next_retry }
    }

    pub(super) fn in_use(&self) -> usize {
        self.in_use.into()
    }

    #[inline]
    pub(super) fn has_free(&self) -> bool {
        self.free != NONE
    }

    #[inline]
    pub(super) fn next_retry(&self) -> Instant {
        self.next_retry
    }

    pub(super) fn get(&self, ticket: Ticket) -> &Place {
        &self.places[ticket.place()]
    }

    /// Takes a free place, of which there is one, for a batch with so many items.
    #[inline]
    pub(super) fn take_free(&mut self, len: u32) -> Ticket {
        let (owner, place, number) = (self.owner, self.free, self.numbers);
        let taken = &mut self.places[usize::from(place)];
        self.free = taken.next;
        (taken.state, taken.len, taken.number) = (State::Out, len, number);
        self.in_use += 1;
        self.numbers += 1;
        Ticket { owner, place, number }
    }

    /// True where a batch of that name is out, and from here.
    #[inline]
    pub(super) fn is_out(&self, ticket: Ticket) -> bool {
        let place = self.places.get(ticket.place());
        ticket.owner == self.owner
            && place.is_some_and(|place| {
                place.number == ticket.number
                    && matches!(place.state, State::Out | State::OutForGood)
            })
    }

    /// True where nothing of a batch that is out is to be tried again.
    pub(super) fn is_for_good(&self, ticket: Ticket) -> bool {
        self.get(ticket).state == State::OutForGood
    }

    /// The place's batch is settled.
    #[inline]
    pub(super) fn put_free(&mut self, ticket: Ticket) {
        let place = &mut self.places[ticket.place()];
        (place.state, place.next) = (State::Free, self.free);
        self.free = ticket.place;
        self.in_use -= 1;
    }

    /// The place's batch waits for another attempt with `len` items.
    pub(super) fn park(&mut self, ticket: Ticket, at: Instant, len: u32, attempt: u32, bytes: u64) {
        let place = &mut self.places[ticket.place()];
        (place.state, place.retry_at) = (State::Retrying, at);
        (place.len, place.attempt, place.bytes) = (len, attempt, bytes);
        self.next_retry = self.next_retry.min(at);
    }

    /// The place whose batch was to be handed out again first, if that time has come; of two at
    /// the same time the older batch. It is out from now on.
    #[cold]
    pub(super) fn take_retrying(&mut self, now: Instant) -> Option<Ticket> {
        let due = (0..)
            .zip(self.places.iter_mut())
            .filter(|(_, place)| place.state == State::Retrying && place.retry_at <= now);
        let (number, place) = due.min_by_key(|(_, place)| (place.retry_at, place.number))?;
        place.state = State::Out;
        let ticket = Ticket { owner: self.owner, place: number, number: place.number };
        let retrying = self.places.iter().filter(|place| place.state == State::Retrying);
        self.next_retry = retrying.map(|place| place.retry_at).min().unwrap_or(Instant::NEVER);
        Some(ticket)
    }

    /// Nothing of the batches that are out is to be tried again.
    pub(super) fn give_up_retries(&mut self) {
        for place in self.places.iter_mut().filter(|place| place.state == State::Out) {
            place.state = State::OutForGood;
        }
    }
}

//! All streams of a connection: their places, and who is on which list.

use super::index::{Index, IndexEntry, entries_for};
use super::place::{Is, StreamPlace};
use crate::backing::Backing;
use crate::pool::PoolRef;

/// Stands for the end of a list.
pub(super) const NOBODY: u32 = u32::MAX;

/// Lists that run through the places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    /// Those with something to send, in the order of their turns.
    Ready,
    /// Those whose user is to be told something.
    Events,
    /// Those that wait to be accepted; and the free ones.
    Waiting,
    Free,
}

pub(super) const LISTS: usize = 4;

#[derive(Clone, Copy, Debug)]
struct Ends {
    first: u32,
    last: u32,
    len: usize,
}

pub(super) struct Table<'s, R: PoolRef> {
    places: Backing<'s, StreamPlace<R>>,
    index: Index<'s>,
    lists: [Ends; LISTS],
}

impl<'s, R: PoolRef> Table<'s, R> {
    pub(super) fn new(
        places: Backing<'s, StreamPlace<R>>,
        index: Backing<'s, IndexEntry>,
        streams_max: usize,
        seed: u64,
    ) -> Self {
        let index = Index::new(index, entries_for(streams_max), seed);
        let nobody = Ends { first: NOBODY, last: NOBODY, len: 0 };
        let mut table = Self { places, index, lists: [nobody; LISTS] };
        for place in 0..streams_max as u32 {
            if let Some(fresh) = table.get_mut(place) {
                *fresh = StreamPlace::new();
            }
            table.push(List::Free, place);
        }
        table
    }

    pub(super) fn get(&self, place: u32) -> Option<&StreamPlace<R>> {
        self.places.get(place as usize)
    }

    pub(super) fn get_mut(&mut self, place: u32) -> Option<&mut StreamPlace<R>> {
        self.places.get_mut(place as usize)
    }

    /// The place that stream `id` has, as long as somebody may still refer to it.
    pub(super) fn keyed(&mut self, place: u32, id: u32) -> Option<&mut StreamPlace<R>> {
        let found = self.get_mut(place)?;
        (found.id == id && id != 0 && !found.has_any(Is::RELEASED.and(Is::WAITING)))
            .then_some(found)
    }

    /// The place of the peer's or our stream `id`.
    pub(super) fn find(&self, id: u32) -> Option<u32> {
        self.index.get(id)
    }

    /// Takes a free place for stream `id`.
    pub(super) fn claim(&mut self, id: u32, is: Is) -> Option<u32> {
        let place = self.pop(List::Free)?;
        self.get_mut(place)?.begin(id, is.and(Is::INDEXED));
        self.index.insert(id, place);
        Some(place)
    }

    /// Frames for the stream that is here shall not find it any more.
    pub(super) fn forget(&mut self, place: u32) {
        if let Some(found) = self.get_mut(place)
            && found.take(Is::INDEXED)
        {
            let id = found.id;
            self.index.remove(id);
        }
    }

    /// Gives a place back. Its queues are empty.
    pub(super) fn vacate(&mut self, place: u32) {
        self.forget(place);
        if let Some(found) = self.get_mut(place) {
            found.begin(0, Is::default());
            // The one whose memory is still warm is taken first.
            self.push_front(List::Free, place);
        }
    }

    /// Streams that have a place.
    pub(super) fn occupied(&self, streams_max: usize) -> usize {
        streams_max.saturating_sub(self.len(List::Free))
    }

    /// All places, free ones among them.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> + use<R> {
        0..self.places.len() as u32
    }

    const fn ends(&mut self, list: List) -> &mut Ends {
        let [ready, events, waiting, free] = &mut self.lists;
        match list {
            List::Ready => ready,
            List::Events => events,
            List::Waiting => waiting,
            List::Free => free,
        }
    }

    const fn ends_of(&self, list: List) -> &Ends {
        let [ready, events, waiting, free] = &self.lists;
        match list {
            List::Ready => ready,
            List::Events => events,
            List::Waiting => waiting,
            List::Free => free,
        }
    }

    pub(super) const fn len(&self, list: List) -> usize {
        self.ends_of(list).len
    }

    /// True where nobody but `place` is on the list.
    pub(super) const fn is_alone(&self, list: List, place: u32) -> bool {
        let ends = self.ends_of(list);
        ends.len == 0 || (ends.len == 1 && ends.first == place)
    }

    /// Puts `place` at the end of a list, unless it is on it.
    pub(super) fn push(&mut self, list: List, place: u32) {
        let Some(found) = self.get_mut(place).filter(|found| !found.is_on(list)) else {
            return;
        };
        found.link(list, NOBODY);
        let ends = self.ends(list);
        let before = core::mem::replace(&mut ends.last, place);
        ends.len = ends.len.saturating_add(1);
        if before == NOBODY {
            ends.first = place;
        } else if let Some(before) = self.get_mut(before) {
            before.link(list, place);
        }
    }

    /// Puts `place` back to the front of a list that it was just taken from.
    pub(super) fn push_front(&mut self, list: List, place: u32) {
        let first = self.ends(list).first;
        let Some(found) = self.get_mut(place).filter(|found| !found.is_on(list)) else {
            return;
        };
        found.link(list, first);
        let ends = self.ends(list);
        ends.first = place;
        ends.len = ends.len.saturating_add(1);
        if first == NOBODY {
            ends.last = place;
        }
    }

    /// The first of a list.
    pub(super) fn pop(&mut self, list: List) -> Option<u32> {
        let place = self.ends(list).first;
        let next = self.get_mut(place)?.unlink(list);
        let ends = self.ends(list);
        ends.first = next;
        ends.len = ends.len.saturating_sub(1);
        if next == NOBODY {
            ends.last = NOBODY;
        }
        Some(place)
    }
}

//! Connections as the machine sees them: who is there, and what is to be written to whom.

use core::net::SocketAddr;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

use turbopump_core::link::{Chunks, CloseReason};
use turbopump_core::rocketmq::wire::header::{Language, Serialization};
use turbopump_core::time::Instant;

/// Answers are collected in pieces of so many bytes.
const PIECE_BYTES: usize = 16 * 1024;
/// Bodies below this are copied behind their header: cheaper than a slice of their own.
const COPY_BYTES_MAX: usize = 1_024;
/// Requests of the broker's to one client that wait for their answer.
const RELAYS_MAX: usize = 64;

/// The place of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId {
    place: u32,
    generation: u32,
}

impl SessionId {
    /// Where it is kept: below the most connections that there were at one time.
    #[must_use]
    pub const fn place(self) -> usize {
        self.place as usize
    }
}

/// A request that is to be answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub(super) session: SessionId,
    pub(super) code: i32,
    pub(super) opaque: i32,
    pub(super) serialization: Serialization,
    pub(super) version: i32,
    pub(super) is_oneway: bool,
}

/// A request that was handed on to a client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Relay {
    /// Who gets the answer.
    pub(super) request: Request,
    /// When it is given up.
    pub(super) until: Instant,
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) peer: SocketAddr,
    /// When it last said something.
    pub(super) heard: Instant,
    pub(super) outbox: Outbox,
    /// Bytes that are being read from disk for answers to it.
    pub(super) owed_bytes: usize,
    /// Closed once everything is written.
    pub(super) closing: Option<CloseReason>,
    /// From its heartbeats.
    pub(super) client_id: Option<Box<str>>,
    pub(super) language: Option<Language>,
    pub(super) version: i32,
    /// The number of the next request of ours.
    pub(super) next_opaque: i32,
    /// Requests that were handed on to this client, by our number.
    pub(super) relays: BTreeMap<i32, Relay>,
    /// A fault that is being played: nothing more is written, and nothing said.
    pub(super) is_mute: bool,
}

impl Session {
    pub(super) fn take_opaque(&mut self) -> i32 {
        let opaque = self.next_opaque;
        self.next_opaque = opaque.wrapping_add(1);
        opaque
    }

    /// Answers that it has not read, those that are on their way included.
    pub(super) const fn unread_bytes(&self) -> usize {
        self.outbox.bytes() + self.owed_bytes
    }

    /// Whether one more request may be handed on to this client.
    pub(super) fn may_relay(&self) -> bool {
        self.relays.len() < RELAYS_MAX
    }
}

/// What is to be written to a connection, in order.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pieces: VecDeque<Bytes>,
    open: BytesMut,
    bytes: usize,
}

impl Outbox {
    /// Bytes that were not handed out.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Where a frame's head is put; its length has to be counted by [`wrote`](Self::wrote).
    pub(super) fn open(&mut self) -> &mut BytesMut {
        if self.open.capacity() - self.open.len() < 512 {
            self.seal();
            self.open.reserve(PIECE_BYTES);
        }
        &mut self.open
    }

    pub(super) const fn wrote(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    /// A slice of something larger, which is not copied unless it is short.
    pub(super) fn push(&mut self, piece: Bytes) {
        self.bytes += piece.len();
        if piece.len() <= COPY_BYTES_MAX {
            self.open.extend_from_slice(&piece);
            return;
        }
        self.seal();
        self.pieces.push_back(piece);
    }

    fn seal(&mut self) {
        if !self.open.is_empty() {
            self.pieces.push_back(self.open.split().freeze());
        }
    }

    /// Hands out what fits.
    pub(super) fn transmit(&mut self, chunks: &mut Chunks<Bytes>) {
        if self.pieces.len() < 4 {
            self.seal();
        }
        while !chunks.is_full()
            && let Some(piece) = self.pieces.pop_front()
        {
            self.bytes -= piece.len();
            if let Err(piece) = chunks.push(piece) {
                self.bytes += piece.len();
                self.pieces.push_front(piece);
                return;
            }
        }
        if !chunks.is_full() && !self.open.is_empty() {
            self.seal();
            self.transmit(chunks);
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[derive(Debug)]
struct Place {
    generation: u32,
    session: Option<Session>,
    is_listed: bool,
}

#[derive(Debug, Default)]
pub(super) struct Sessions {
    places: Vec<Place>,
    free: Vec<u32>,
    open: usize,
    /// Those that have something new to write or to close.
    woken: Vec<SessionId>,
}

impl Sessions {
    pub(super) const fn len(&self) -> usize {
        self.open
    }

    pub(super) fn open(&mut self, peer: SocketAddr, now: Instant) -> SessionId {
        let session = Session {
            peer,
            heard: now,
            outbox: Outbox::default(),
            owed_bytes: 0,
            closing: None,
            client_id: None,
            language: None,
            version: 0,
            next_opaque: 0,
            relays: BTreeMap::new(),
            is_mute: false,
        };
        self.open += 1;
        if let Some(number) = self.free.pop()
            && let Some(place) = self.places.get_mut(number as usize)
        {
            place.session = Some(session);
            return SessionId { place: number, generation: place.generation };
        }
        let number = u32::try_from(self.places.len()).unwrap_or(u32::MAX);
        self.places.push(Place { generation: 0, session: Some(session), is_listed: false });
        SessionId { place: number, generation: 0 }
    }

    pub(super) fn close(&mut self, id: SessionId) -> Option<Session> {
        let place = self.places.get_mut(id.place())?;
        if place.generation != id.generation {
            return None;
        }
        let session = place.session.take()?;
        place.generation = place.generation.wrapping_add(1);
        place.is_listed = false;
        self.free.push(id.place);
        self.open -= 1;
        Some(session)
    }

    pub(super) fn get(&self, id: SessionId) -> Option<&Session> {
        let place = self.places.get(id.place())?;
        if place.generation == id.generation { place.session.as_ref() } else { None }
    }

    pub(super) fn get_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        let place = self.places.get_mut(id.place())?;
        if place.generation == id.generation { place.session.as_mut() } else { None }
    }

    /// A connection that is to be woken, because there is something to be written to it.
    pub(super) fn wake(&mut self, id: SessionId) {
        if let Some(place) = self.places.get_mut(id.place())
            && place.generation == id.generation
            && !place.is_listed
        {
            place.is_listed = true;
            self.woken.push(id);
        }
    }

    pub(super) fn pop_woken(&mut self) -> Option<SessionId> {
        let id = self.woken.pop()?;
        if let Some(place) = self.places.get_mut(id.place()) {
            place.is_listed = false;
        }
        Some(id)
    }

    /// As if all of them had just said something.
    pub(super) fn hear_all(&mut self, now: Instant) {
        let sessions = self.places.iter_mut().filter_map(|place| place.session.as_mut());
        sessions.for_each(|session| session.heard = now);
    }

    /// All that are open, by place.
    pub(super) fn iter(&self) -> impl Iterator<Item = (SessionId, &Session)> {
        (0..).zip(&self.places).filter_map(|(number, place)| {
            let id = SessionId { place: number, generation: place.generation };
            Some((id, place.session.as_ref()?))
        })
    }
}

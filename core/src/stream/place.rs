//! One stream: what is waiting in both directions, and how far it has come.

use heapless::Deque;

use super::error::StreamError;
use super::header::INITIAL_WINDOW_BYTES;
use super::table::{LISTS, List, NOBODY};
use crate::pool::{Chunk, Lease, PoolRef};
use crate::time::Instant;

/// Buffers that a stream can keep to be sent.
pub const SEND_SEGMENTS: usize = 4;

/// Buffers that a stream can keep to be read. They grow from 256 bytes to 64 KiB at most, by
/// doubling, and all but the first and the last are full: one that is being read, eight that
/// grow, sixteen of the largest size, and one to spare.
const RECEIVE_SEGMENTS: usize = 26;

/// Bytes on their way to the peer.
pub(super) enum Segment<R: PoolRef> {
    /// Nobody else has seen them: more can be appended, and a header put in front.
    Lease(Lease<R>),
    /// A part of them is with the driver already, or they were the caller's.
    Chunk(Chunk<R>),
}

impl<R: PoolRef> Segment<R> {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Lease(lease) => lease,
            Self::Chunk(chunk) => chunk,
        }
    }
}

/// What is true of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Is(u16);

impl Is {
    /// The peer is to be told that there is this stream.
    pub(super) const SYN_DUE: Self = Self(1);
    /// The peer is to be told that its stream was accepted.
    pub(super) const ACK_DUE: Self = Self(1 << 1);
    /// The peer is to be told to forget it.
    pub(super) const RST_DUE: Self = Self(1 << 2);
    /// Nothing is written behind what is queued.
    pub(super) const FINISHED: Self = Self(1 << 3);
    /// The peer was told so.
    pub(super) const FIN_SENT: Self = Self(1 << 4);
    /// The peer has finished.
    pub(super) const FIN_RECEIVED: Self = Self(1 << 5);
    /// Opened here, and the peer has not accepted it.
    pub(super) const UNACKNOWLEDGED: Self = Self(1 << 6);
    /// Opened by the peer, and not accepted here.
    pub(super) const WAITING: Self = Self(1 << 7);
    /// Nobody has its key any more.
    pub(super) const RELEASED: Self = Self(1 << 8);
    /// Reset by either side, or the connection is gone.
    pub(super) const DEAD: Self = Self(1 << 9);
    /// More would be granted to the peer, were there a budget for it.
    pub(super) const WITHHELD: Self = Self(1 << 10);
    /// Somebody wants to know when there is something to be read,
    pub(super) const READ_WANTED: Self = Self(1 << 11);
    /// when there is room to write.
    pub(super) const WRITE_WANTED: Self = Self(1 << 12);
    /// The same, and it has come.
    pub(super) const READABLE: Self = Self(1 << 13);
    pub(super) const WRITABLE: Self = Self(1 << 14);
    /// The index leads here.
    pub(super) const INDEXED: Self = Self(1 << 15);

    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) const fn includes(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Room for one stream, in storage of the caller's.
pub struct StreamPlace<R: PoolRef> {
    /// The stream's number; 0 where the place is free.
    pub(super) id: u32,
    is: Is,
    pub(super) error: Option<StreamError>,
    /// What the peer may send.
    pub(super) credit: u32,
    /// What it sent and nobody read.
    pub(super) unread: u32,
    pub(super) receive: Deque<Lease<R>, RECEIVE_SEGMENTS>,
    /// What may be sent to the peer.
    pub(super) window: u32,
    pub(super) queued: usize,
    pub(super) send: Deque<Segment<R>, SEND_SEGMENTS>,
    /// When a stream that was finished and released is given up.
    pub(super) linger_until: Instant,
    /// Who comes after it on each list that it is on.
    links: [Option<u32>; LISTS],
}

impl<R: PoolRef> StreamPlace<R> {
    /// Room for one stream.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            id: 0,
            is: Is(0),
            error: None,
            credit: 0,
            unread: 0,
            receive: Deque::new(),
            window: 0,
            queued: 0,
            send: Deque::new(),
            linger_until: Instant::NEVER,
            links: [None; LISTS],
        }
    }

    /// A new stream takes the place. Lists that a predecessor is on it stays on: whoever comes to
    /// it there looks at what is true of it.
    pub(super) fn begin(&mut self, id: u32, is: Is) {
        self.id = id;
        self.is = is;
        self.error = None;
        self.credit = INITIAL_WINDOW_BYTES;
        self.window = INITIAL_WINDOW_BYTES;
        self.linger_until = Instant::NEVER;
    }

    pub(super) const fn has(&self, is: Is) -> bool {
        self.is.includes(is)
    }

    pub(super) const fn has_any(&self, is: Is) -> bool {
        self.is.0 & is.0 != 0
    }

    pub(super) const fn set(&mut self, is: Is) {
        self.is.0 |= is.0;
    }

    pub(super) const fn clear(&mut self, is: Is) {
        self.is.0 &= !is.0;
    }

    /// Clears `is`; true where it was set.
    pub(super) const fn take(&mut self, is: Is) -> bool {
        let had = self.has(is);
        self.clear(is);
        had
    }

    /// Both sides have finished, or one has reset it, and there is nothing left to say about it.
    pub(super) const fn is_over(&self) -> bool {
        let finished = self.has(Is::FIN_SENT.and(Is::FIN_RECEIVED)) || self.has(Is::DEAD);
        finished && !self.has(Is::RST_DUE)
    }

    /// What could be granted to the peer, were there a budget for it.
    pub(super) const fn grantable(&self, window_bytes: u32) -> u32 {
        if self.has_any(Is::FIN_RECEIVED.and(Is::DEAD).and(Is::RELEASED)) {
            return 0;
        }
        window_bytes.saturating_sub(self.credit.saturating_add(self.unread))
    }

    /// True where so much could be granted that a frame of its own is worth it.
    pub(super) const fn is_grant_due(&self, window_bytes: u32) -> bool {
        self.grantable(window_bytes) >= window_bytes / 2
    }

    pub(super) const fn is_on(&self, list: List) -> bool {
        self.link_of(list).is_some()
    }

    /// Puts it on a list, in front of `next`.
    pub(super) const fn link(&mut self, list: List, next: u32) {
        *self.link_mut(list) = Some(next);
    }

    /// Takes it off a list; returns who comes after it.
    pub(super) const fn unlink(&mut self, list: List) -> u32 {
        match self.link_mut(list).take() {
            Some(next) => next,
            None => NOBODY,
        }
    }

    const fn link_of(&self, list: List) -> &Option<u32> {
        let [ready, events, waiting, free] = &self.links;
        match list {
            List::Ready => ready,
            List::Events => events,
            List::Waiting => waiting,
            List::Free => free,
        }
    }

    const fn link_mut(&mut self, list: List) -> &mut Option<u32> {
        let [ready, events, waiting, free] = &mut self.links;
        match list {
            List::Ready => ready,
            List::Events => events,
            List::Waiting => waiting,
            List::Free => free,
        }
    }
}

impl<R: PoolRef> Default for StreamPlace<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R: PoolRef> core::fmt::Debug for StreamPlace<R> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("StreamPlace")
            .field("id", &self.id)
            .field("credit", &self.credit)
            .field("unread", &self.unread)
            .field("window", &self.window)
            .field("queued", &self.queued)
            .finish_non_exhaustive()
    }
}

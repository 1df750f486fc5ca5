//! Two ends of a connection, the wire between them, and what their users know of their streams.

use alloc::collections::{BTreeSet, VecDeque};
use core::task::Poll;

use turbopump_core::link::{Chunks, CloseReason, Machine};
use turbopump_core::pool::{ClassLayout, Heap, Layout, OwnedRef, Pool};
use turbopump_core::random::SplitMix64;
use turbopump_core::stream::{
    Role, StreamConfig, StreamError, StreamEvent, StreamKey, StreamStorage, Streams,
};
use turbopump_core::time::{Instant, Now};

pub(crate) type Buffers = OwnedRef<Pool<'static>>;
pub(crate) type End = Streams<'static, Buffers>;

pub(crate) fn pool() -> Buffers {
    pool_of(&[
        ClassLayout::new(256, 2_048),
        ClassLayout::new(1_024, 1_024),
        ClassLayout::new(4_096, 512),
        ClassLayout::new(16_384, 512),
    ])
}

pub(crate) fn pool_of(classes: &[ClassLayout]) -> Buffers {
    let layout = Layout::new(classes).expect("possible classes");
    OwnedRef::new(Pool::new(&layout, Heap).expect("the heap is large enough"))
}

pub(crate) fn end(config: &StreamConfig, role: Role, pool: &Buffers, now: Now) -> End {
    let storage = StreamStorage::on_heap(config);
    Streams::new(config.clone(), role, storage, pool.clone(), now, 0x9e37_79b9_7f4a_7c15)
        .expect("possible limits")
}

/// All that `end` wants to write now.
pub(crate) fn drain(end: &mut End, now: Now) -> Vec<u8> {
    let mut wire = Vec::new();
    loop {
        let mut chunks = Chunks::new();
        end.poll_transmit(now, &mut chunks);
        if chunks.is_empty() {
            return wire;
        }
        let bytes = chunks.bytes();
        chunks.iter().for_each(|chunk| wire.extend_from_slice(chunk));
        end.handle_written(now, bytes);
    }
}

/// The byte of a stream at an offset: no two streams or directions look alike.
pub(crate) fn byte_at(id: u32, from_opener: bool, offset: u64) -> u8 {
    let seed = (u64::from(id) << 33) ^ (u64::from(from_opener) << 32) ^ (offset / 8);
    let word = SplitMix64::new(seed).next_u64();
    word.to_le_bytes()[(offset % 8) as usize]
}

pub(crate) fn bytes_at(id: u32, from_opener: bool, offset: u64, len: usize) -> Vec<u8> {
    (offset..offset + len as u64).map(|offset| byte_at(id, from_opener, offset)).collect()
}

/// What one user knows of one stream.
#[derive(Debug)]
pub(crate) struct User {
    pub(crate) key: StreamKey,
    pub(crate) opener: bool,
    pub(crate) written: u64,
    pub(crate) read: u64,
    pub(crate) finished: bool,
    pub(crate) end_seen: bool,
    pub(crate) error: Option<StreamError>,
    /// Told to wait, and no event has come since.
    pub(crate) read_blocked: bool,
    pub(crate) write_blocked: bool,
}

pub(crate) struct Side {
    pub(crate) machine: End,
    pub(crate) pool: Buffers,
    pub(crate) users: Vec<User>,
    /// Those that are released.
    pub(crate) past: Vec<User>,
    pub(crate) accept_blocked: bool,
    /// Numbers of streams that anything but finishing has happened to.
    pub(crate) broken: BTreeSet<u32>,
    /// Read from the wire and not taken yet.
    window: Vec<u8>,
    pub(crate) closed: Option<CloseReason>,
}

impl Side {
    fn new(config: &StreamConfig, role: Role, now: Now) -> Self {
        let pool = pool();
        Self {
            machine: end(config, role, &pool, now),
            pool,
            users: Vec::new(),
            past: Vec::new(),
            accept_blocked: false,
            broken: BTreeSet::new(),
            window: Vec::new(),
            closed: None,
        }
    }

    pub(crate) fn open(&mut self) -> bool {
        let Ok(key) = self.machine.open() else {
            return false;
        };
        self.users.push(User::new(key, true));
        true
    }

    pub(crate) fn accept(&mut self) -> bool {
        match self.machine.accept() {
            Poll::Ready(Ok(key)) => {
                self.users.push(User::new(key, false));
                true
            }
            Poll::Ready(Err(_)) => false,
            Poll::Pending => {
                self.accept_blocked = true;
                false
            }
        }
    }

    /// Writes up to `len` bytes; how many were taken.
    pub(crate) fn write(&mut self, which: usize, len: usize, by_chunk: bool) -> usize {
        let Self { machine, pool, users, .. } = self;
        let user = &mut users[which];
        let data = bytes_at(user.key.id(), user.opener, user.written, len);
        let taken = if by_chunk && len > 0 {
            let mut lease = pool.acquire(len.min(16_384)).expect("the pool is large");
            let data = &data[..len.min(16_384)];
            lease.extend_from_slice(data).expect("it was acquired for that");
            match machine.write_chunk(user.key, lease.freeze()) {
                Ok(()) => Poll::Ready(Ok(data.len())),
                Err((chunk, refused)) => {
                    assert_eq!(chunk, data, "what is refused comes back");
                    refused.map_or(Poll::Pending, |error| Poll::Ready(Err(error)))
                }
            }
        } else {
            machine.write(user.key, &data)
        };
        match taken {
            Poll::Ready(Ok(taken)) => {
                assert!(taken <= len && (taken > 0 || len == 0));
                user.written += taken as u64;
                taken
            }
            Poll::Ready(Err(StreamError::Finished)) => {
                assert!(user.finished);
                0
            }
            Poll::Ready(Err(error)) => {
                user.fail(error);
                0
            }
            Poll::Pending => {
                user.write_blocked = true;
                0
            }
        }
    }

    /// Reads up to `len` bytes; how many came.
    pub(crate) fn read(&mut self, which: usize, len: usize, by_chunk: bool) -> usize {
        let user = &mut self.users[which];
        let got = if by_chunk {
            self.machine
                .read_chunk(user.key)
                .map_ok(|chunk| chunk.map(|chunk| chunk.to_vec()).unwrap_or_default())
        } else {
            let mut into = vec![0; len.max(1)];
            self.machine.read(user.key, &mut into).map_ok(|bytes| into[..bytes].to_vec())
        };
        match got {
            Poll::Ready(Ok(bytes)) if bytes.is_empty() => {
                user.end_seen = true;
                0
            }
            Poll::Ready(Ok(bytes)) => {
                assert!(!user.end_seen, "nothing comes behind the end");
                let expected = bytes_at(user.key.id(), !user.opener, user.read, bytes.len());
                assert!(bytes == expected, "stream {} at {}", user.key.id(), user.read);
                user.read += bytes.len() as u64;
                bytes.len()
            }
            Poll::Ready(Err(error)) => {
                user.fail(error);
                0
            }
            Poll::Pending => {
                user.read_blocked = true;
                0
            }
        }
    }

    pub(crate) fn finish(&mut self, which: usize) {
        let user = &mut self.users[which];
        match self.machine.finish(user.key) {
            Ok(()) => user.finished = true,
            Err(error) => user.fail(error),
        }
    }

    pub(crate) fn reset(&mut self, which: usize) {
        let key = self.users[which].key;
        self.machine.reset(key);
        self.broken.insert(key.id());
    }

    pub(crate) fn release(&mut self, which: usize) {
        let user = self.users.swap_remove(which);
        if !(user.finished && user.end_seen) {
            self.broken.insert(user.key.id());
        }
        self.machine.release(user.key);
        let read = self.machine.read(user.key, &mut [0]);
        assert_eq!(read, Poll::Ready(Err(StreamError::Unknown)));
        self.past.push(user);
    }

    /// Notes who need not wait any more.
    fn take_events(&mut self) {
        while let Some(event) = self.machine.poll_event() {
            match event {
                StreamEvent::Accept => {
                    assert!(core::mem::take(&mut self.accept_blocked), "nobody asked");
                }
                StreamEvent::Stream { key, readable, writable } => {
                    let user = self.users.iter_mut().find(|user| user.key == key);
                    // Whoever is released is not waiting any more.
                    if let Some(user) = user {
                        user.read_blocked &= !readable;
                        user.write_blocked &= !writable;
                    }
                }
                _ => {}
            }
        }
    }

    /// What must hold at any time.
    pub(crate) fn check(&self) {
        let (status, config) = (self.machine.status(), self.machine.config());
        assert!(status.streams <= config.streams_max);
        assert!(status.waiting <= config.accept_backlog);
        assert!(status.unacknowledged <= config.unacknowledged_max);
        assert!(status.unread_bytes <= config.receive_budget_bytes);
    }
}

impl User {
    fn new(key: StreamKey, opener: bool) -> Self {
        Self {
            key,
            opener,
            written: 0,
            read: 0,
            finished: false,
            end_seen: false,
            error: None,
            read_blocked: false,
            write_blocked: false,
        }
    }

    fn fail(&mut self, error: StreamError) {
        self.error.get_or_insert(error);
        self.end_seen = true;
    }
}

pub(crate) struct World {
    pub(crate) now: Now,
    pub(crate) sides: [Side; 2],
    /// To the first side, to the second.
    pub(crate) wires: [VecDeque<u8>; 2],
}

impl World {
    pub(crate) fn new(configs: [&StreamConfig; 2]) -> Self {
        let now = Now::default();
        let [client, server] = configs;
        Self {
            now,
            sides: [Side::new(client, Role::Client, now), Side::new(server, Role::Server, now)],
            wires: [VecDeque::new(), VecDeque::new()],
        }
    }

    /// One side writes up to `chunks` times what it wants to.
    pub(crate) fn transmit(&mut self, side: usize, writes: usize) {
        let (now, wire) = (self.now, &mut self.wires[1 - side]);
        let side = &mut self.sides[side];
        if side.closed.is_some() {
            return;
        }
        for _ in 0..writes {
            let mut chunks = Chunks::new();
            side.machine.poll_transmit(now, &mut chunks);
            let bytes = chunks.bytes();
            chunks.iter().for_each(|chunk| wire.extend(chunk));
            if bytes == 0 {
                if let Some(reason) = side.machine.poll_close() {
                    side.close(now, reason);
                }
                break;
            }
            side.machine.handle_written(now, bytes);
        }
        side.take_events();
    }

    /// One side reads up to `bytes` from its wire.
    pub(crate) fn receive(&mut self, side: usize, bytes: usize) {
        let (now, wire) = (self.now, &mut self.wires[side]);
        let peer_closed = self.sides[1 - side].closed.is_some();
        let side = &mut self.sides[side];
        let bytes = bytes.min(wire.len());
        side.window.extend(wire.drain(..bytes));
        if side.closed.is_some() {
            side.window.clear();
            return;
        }
        let received = side.machine.handle_bytes(now, &side.window).expect("errors come later");
        assert!(received.body.is_none());
        side.window.drain(..received.consumed);
        assert!(side.window.len() < 12, "all but the beginning of a header is taken");
        if peer_closed && wire.is_empty() {
            side.close(now, CloseReason::Peer);
        }
        side.take_events();
        side.check();
    }

    /// Time passes; each side is called when it wanted to be.
    pub(crate) fn advance(&mut self, us: u64) {
        let until = self.now.at.plus_us(us);
        loop {
            let due = |side: &Side| side.machine.poll_timeout().unwrap_or(Instant::NEVER);
            let next = self.sides.iter().map(due).min().expect("two sides").max(self.now.at);
            if next > until {
                break;
            }
            self.now.at = next;
            for index in 0..2 {
                if due(&self.sides[index]) <= next {
                    self.sides[index].machine.handle_timeout(self.now);
                    assert!(due(&self.sides[index]) > next, "its timers lie in the future");
                }
                self.transmit(index, usize::MAX);
            }
            self.settle();
        }
        self.now.at = until;
    }

    /// Both sides write and read until there is nothing more.
    pub(crate) fn settle(&mut self) {
        loop {
            self.transmit(0, usize::MAX);
            self.transmit(1, usize::MAX);
            if self.wires.iter().all(VecDeque::is_empty) {
                let closed = self.sides.iter().filter(|side| side.closed.is_some()).count();
                if closed != 1 {
                    return;
                }
            }
            self.receive(0, usize::MAX);
            self.receive(1, usize::MAX);
        }
    }
}

impl Side {
    fn close(&mut self, now: Now, reason: CloseReason) {
        self.machine.handle_closed(now, reason);
        self.closed = Some(reason);
        self.window.clear();
        self.take_events();
    }
}

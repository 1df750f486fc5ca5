//! What the lock of a server protects: its machine, and the wakers of its connections.
//!
//! All connections share one machine, so all of them share one lock. Each is driven by
//! [`run_link`](turbopump_core::driver::run_link) as any other link; what it locks is a [`Door`],
//! which says to the hub whose turn it is.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;

use turbopump_core::driver::{Shared, Shell, WakerSlot, Wakes};
use turbopump_core::frame::{FrameError, Measured, measure};
use turbopump_core::link::{Chunks, CloseReason, Machine, Received};
use turbopump_core::rocketmq::wire::frame::frames;
use turbopump_core::time::{Instant, Now};

use super::super::machine::SessionId;
use crate::bell::Bell;

/// Bytes that are read at once; longer frames are read into memory of their own.
pub(super) const WINDOW_BYTES: usize = 64 * 1024;

/// A machine that serves many connections.
pub trait Served: Send + 'static {
    /// Somebody has connected; `None` where there are too many.
    fn handle_opened(&mut self, now: Now, peer: SocketAddr) -> Option<SessionId>;
    /// Takes whole frames from the front of what was received; returns their length.
    ///
    /// # Errors
    ///
    /// What is wrong with the bytes: the connection is closed.
    fn handle_bytes(&mut self, now: Now, id: SessionId, window: &[u8])
    -> Result<usize, FrameError>;
    /// A connection can't be let in, because it is not encrypted as it has to be.
    fn handle_insecure(&mut self, id: SessionId, reason: &str);
    /// A connection is gone.
    fn handle_closed(&mut self, now: Now, id: SessionId, reason: CloseReason);
    /// Does what is due.
    fn handle_timeout(&mut self, now: Now);
    /// What is to be written next to a connection.
    fn poll_transmit(&mut self, id: SessionId, out: &mut Chunks<Bytes>);
    /// Whether more is to be read from a connection.
    fn takes_bytes(&self, id: SessionId) -> bool;
    /// Why a connection is to be closed.
    fn poll_close(&self, id: SessionId) -> Option<CloseReason>;
    /// A connection that has something to write, or is to be closed.
    fn poll_woken(&mut self) -> Option<SessionId>;
    /// When something is due.
    fn poll_timeout(&self) -> Option<Instant>;
    /// The longest frame.
    fn frame_bytes_max(&self) -> usize;
    /// Connections without a word for so long are closed.
    fn idle_max(&self) -> Duration;
    /// Whether it has ended, whatever is under way.
    fn is_killed(&self) -> bool {
        false
    }
    /// Whether something that was taken is not answered yet, because it is being stored or read.
    fn owes_answers(&self) -> bool {
        false
    }
    /// Grows with each change that name servers are to be told.
    fn registration_version(&self) -> u64 {
        0
    }
    /// Whether something is to be written to a store.
    fn has_write(&self) -> bool {
        false
    }
    /// Whether something is to be read from a store.
    fn has_read(&self) -> bool {
        false
    }
}

pub(super) struct Hub<M> {
    pub(super) machine: M,
    /// Whose turn it is; nobody's while the clock or the store has the lock.
    turn: Option<SessionId>,
    /// By place: the tasks that drive the connections.
    drivers: Vec<WakerSlot>,
    nobody: WakerSlot,
    /// Until when the clock's task sleeps.
    pub(super) sleeps_until: Option<Instant>,
    /// The store's thread that writes waits for work.
    pub(super) writer_sleeps: bool,
    /// The store's thread that reads waits for work.
    pub(super) reader_sleeps: bool,
    /// Nothing more is taken: what was is finished.
    pub(super) is_stopping: bool,
    pub(super) is_over: bool,
    /// What those who register were called for.
    registered_version: u64,
    /// Bytes of long frames that are being received.
    claimed_bytes: Arc<AtomicUsize>,
    claimed_bytes_max: usize,
}

/// The hub, its lock, and who is to be called.
pub(super) struct Common<M> {
    hub: Mutex<Hub<M>>,
    /// Rung when something is due earlier than the clock's task knows.
    pub(super) bell: Bell,
    /// Rung while it stops, when nothing is owed any more.
    pub(super) settled: Bell,
    /// For the store's thread that writes.
    pub(super) writes: Condvar,
    /// For the store's thread that reads.
    pub(super) reads: Condvar,
    /// Rung when name servers are to be told something, one for each of them.
    pub(super) registrars: Vec<Bell>,
}

impl<M: Served> Common<M> {
    pub(super) fn new(machine: M, claimed_bytes_max: usize, registrars: usize) -> Self {
        let registered_version = machine.registration_version();
        let hub = Hub {
            machine,
            turn: None,
            drivers: Vec::new(),
            nobody: WakerSlot::new(),
            sleeps_until: None,
            writer_sleeps: false,
            reader_sleeps: false,
            is_stopping: false,
            is_over: false,
            registered_version,
            claimed_bytes: Arc::default(),
            claimed_bytes_max,
        };
        Self {
            hub: Mutex::new(hub),
            bell: Bell::default(),
            settled: Bell::default(),
            writes: Condvar::new(),
            reads: Condvar::new(),
            registrars: (0..registrars).map(|_| Bell::default()).collect(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Hub<M>> {
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `act` with the machine, then wakes whoever can go on because of it.
    pub(super) fn with_machine<O>(&self, act: impl FnOnce(&mut M) -> O) -> O {
        let mut wakes = Wakes::new();
        let outcome = self.step(None, |hub| {
            let outcome = act(&mut hub.machine);
            hub.collect(&mut wakes);
            outcome
        });
        while wakes.is_full() {
            wakes.wake();
            self.step(None, |hub| hub.collect(&mut wakes));
        }
        wakes.wake();
        outcome
    }

    /// Nothing more is taken from anybody.
    pub(super) fn begin_to_stop(&self) {
        self.step(None, |hub| hub.is_stopping = true);
    }

    /// Connections close once they have written what they have.
    pub(super) fn call_it_over(&self) {
        let mut hub = self.lock();
        hub.is_over = true;
        let wakers: Vec<_> = hub.drivers.iter_mut().filter_map(WakerSlot::take).collect();
        drop(hub);
        wakers.into_iter().for_each(core::task::Waker::wake);
        self.writes.notify_all();
        self.reads.notify_all();
    }

    /// Calls `act` under the lock, then calls the clock and the store if they have work.
    fn step<O>(&self, turn: Option<SessionId>, act: impl FnOnce(&mut Hub<M>) -> O) -> O {
        let mut hub = self.lock();
        hub.turn = turn;
        let outcome = act(&mut hub);
        hub.turn = None;
        let is_early = match (hub.machine.poll_timeout(), hub.sleeps_until) {
            (Some(due), Some(until)) => due < until,
            (due, None) => due.is_some(),
            (None, Some(_)) => false,
        };
        if is_early {
            hub.sleeps_until = hub.machine.poll_timeout();
        }
        let has_write = hub.writer_sleeps && hub.machine.has_write();
        let has_read = hub.reader_sleeps && hub.machine.has_read();
        // Calling once is enough.
        hub.writer_sleeps &= !has_write;
        hub.reader_sleeps &= !has_read;
        let is_settled = hub.is_stopping && !hub.machine.owes_answers();
        let version = hub.machine.registration_version();
        let is_news = version != hub.registered_version;
        hub.registered_version = version;
        // The clock's task cuts everything off.
        let is_early = is_early || (hub.machine.is_killed() && !hub.is_over);
        drop(hub);
        if is_settled {
            self.settled.ring();
        }
        if is_news {
            self.registrars.iter().for_each(Bell::ring);
        }
        if is_early {
            self.bell.ring();
        }
        if has_write {
            self.writes.notify_one();
        }
        if has_read {
            self.reads.notify_one();
        }
        outcome
    }
}

impl<M: Served> Hub<M> {
    /// Room for a frame that is longer than the window.
    fn claim(&mut self, frame_bytes: usize) -> Result<Claimed, FrameError> {
        let claimed_bytes = self.claimed_bytes.load(Ordering::Relaxed);
        let frame_bytes_max = self.claimed_bytes_max.saturating_sub(claimed_bytes);
        if frame_bytes > frame_bytes_max {
            return Err(FrameError::Oversize {
                at: 0,
                frame_bytes: frame_bytes as u64,
                frame_bytes_max,
            });
        }
        self.claimed_bytes.fetch_add(frame_bytes, Ordering::Relaxed);
        Ok(Claimed { bytes: vec![0; frame_bytes], counted: Arc::clone(&self.claimed_bytes) })
    }
}

/// Memory for one long frame; counted until it is dropped, whether the frame came or not.
#[derive(Debug)]
pub(super) struct Claimed {
    bytes: Vec<u8>,
    counted: Arc<AtomicUsize>,
}

impl AsMut<[u8]> for Claimed {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        self.counted.fetch_sub(self.bytes.len(), Ordering::Relaxed);
    }
}

impl<M: Served> Shell for Hub<M> {
    type Machine = Self;

    fn machine(&mut self) -> &mut Self {
        self
    }

    fn driver(&mut self) -> &mut WakerSlot {
        let Some(id) = self.turn else {
            return &mut self.nobody;
        };
        if self.drivers.len() <= id.place() {
            self.drivers.resize_with(id.place() + 1, WakerSlot::new);
        }
        self.drivers.get_mut(id.place()).unwrap_or(&mut self.nobody)
    }

    fn collect(&mut self, wakes: &mut Wakes) {
        while !wakes.is_full()
            && let Some(id) = self.machine.poll_woken()
        {
            // Whose turn it is looks for itself.
            if self.turn != Some(id)
                && let Some(waker) = self.drivers.get_mut(id.place()).and_then(WakerSlot::take)
            {
                wakes.push(waker);
            }
        }
    }
}

impl<M: Served> Machine for Hub<M> {
    type Body = Claimed;
    type Chunk = Bytes;

    fn handle_bytes(&mut self, now: Now, window: &[u8]) -> Result<Received<Claimed>, FrameError> {
        let Some(id) = self.turn else {
            return Ok(Received::bytes(window.len()));
        };
        let consumed = self.machine.handle_bytes(now, id, window)?;
        let rest = window.get(consumed..).unwrap_or_default();
        let field = frames(self.machine.frame_bytes_max());
        if let Measured::Missing(missing) = measure(&field, rest)?
            && rest.len() + missing > WINDOW_BYTES
        {
            let body = self.claim(rest.len() + missing)?;
            return Ok(Received { consumed, body: Some(body) });
        }
        Ok(Received::bytes(consumed))
    }

    fn handle_body(&mut self, now: Now, body: Claimed) -> Result<(), FrameError> {
        if let Some(id) = self.turn {
            self.machine.handle_bytes(now, id, &body.bytes)?;
        }
        Ok(())
    }

    fn takes_bytes(&self) -> bool {
        !self.is_stopping && self.turn.is_none_or(|id| self.machine.takes_bytes(id))
    }

    fn poll_transmit(&mut self, _now: Now, out: &mut Chunks<Bytes>) {
        if let Some(id) = self.turn {
            self.machine.poll_transmit(id, out);
        }
    }

    fn handle_written(&mut self, _now: Now, _bytes: usize) {}

    fn handle_timeout(&mut self, _now: Now) {}

    fn poll_timeout(&self) -> Option<Instant> {
        // The clock's task does it for all connections.
        None
    }

    fn poll_close(&self) -> Option<CloseReason> {
        if self.is_over {
            return Some(CloseReason::Local);
        }
        self.turn.and_then(|id| self.machine.poll_close(id))
    }

    fn handle_closed(&mut self, now: Now, reason: CloseReason) {
        if let Some(id) = self.turn {
            self.machine.handle_closed(now, id, reason);
        }
    }
}

/// The hub, from one connection's side.
pub(super) struct Door<M> {
    pub(super) common: Arc<Common<M>>,
    pub(super) id: SessionId,
}

impl<M: Served> Shared<Hub<M>> for Door<M> {
    fn with<O>(&self, act: impl FnOnce(&mut Hub<M>) -> O) -> O {
        self.common.step(Some(self.id), act)
    }
}

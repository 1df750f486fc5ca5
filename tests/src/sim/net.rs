//! The network of a simulation: ordered streams of bytes that are late, in pieces, and cut.

use alloc::collections::{BTreeMap, BTreeSet};
use core::future::Future;
use core::net::{Ipv4Addr, SocketAddr};
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::collections::VecDeque;
use std::io::{self, ErrorKind};

use futures_io::{AsyncRead, AsyncWrite};
use turbopump_core::random::SplitMix64;

use super::backend::{Sim, State};
use super::faults::{FaultCounts, FaultKind};

/// All connections and listeners.
#[derive(Default)]
pub(super) struct Net {
    connections: Vec<Option<Connection>>,
    listeners: BTreeMap<SocketAddr, Listening>,
    next_port: u16,
    /// Nothing goes to these servers or comes from them.
    cut: BTreeSet<SocketAddr>,
    /// These are away: whoever dials is refused.
    down: BTreeSet<SocketAddr>,
    /// So many dials are refused.
    refusals: u64,
    /// Who waits for a partition to heal.
    healing: Vec<Waker>,
    pub(super) counts: FaultCounts,
}

#[derive(Default)]
struct Listening {
    waiting: VecDeque<(usize, SocketAddr)>,
    waker: Option<Waker>,
}

/// From whoever has dialled, and to them.
struct Connection {
    server: SocketAddr,
    pipes: [Pipe; 2],
    is_reset: bool,
    /// What is written is lost without a word.
    is_half_open: bool,
    halves: usize,
}

#[derive(Default)]
struct Pipe {
    /// When they arrive, and what.
    queue: VecDeque<(u64, VecDeque<u8>)>,
    bytes: usize,
    last_us: u64,
    is_closed: bool,
    has_no_reader: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// Bytes that are under way in one direction, at most.
const WINDOW_BYTES: usize = 64 << 10;
/// As long as a piece takes, at most, where nothing is wrong.
const LATENCY_US: u64 = 2_000;

impl Net {
    pub(super) fn halves(&self) -> usize {
        self.connections.iter().flatten().map(|connection| connection.halves).sum()
    }

    fn get(&mut self, index: usize) -> Option<&mut Connection> {
        self.connections.get_mut(index).and_then(Option::as_mut)
    }

    /// Connections that are not broken yet, to any server or this one.
    fn alive(&self) -> Vec<usize> {
        let is_alive = |one: &Connection| !one.is_reset && !one.is_half_open && one.halves == 4;
        let all = self.connections.iter().enumerate();
        all.filter(|(_, one)| one.as_ref().is_some_and(is_alive)).map(|(index, _)| index).collect()
    }

    fn reset(&mut self, index: usize) -> bool {
        let Some(connection) = self.get(index) else { return false };
        connection.is_reset = true;
        for pipe in &mut connection.pipes {
            pipe.queue.clear();
            pipe.reader.take().into_iter().chain(pipe.writer.take()).for_each(Waker::wake);
        }
        true
    }
}

impl State {
    /// Does something bad to the network, and counts it where that has hit somebody.
    pub(super) fn strike(&mut self, kind: FaultKind, now_us: u64) {
        let alive = self.net.alive();
        let victim = match alive.len() {
            0 => None,
            many => alive.get(self.random.below(many as u64) as usize).copied(),
        };
        let server = victim.and_then(|victim| self.net.get(victim)).map(|one| one.server);
        let has_hit = match kind {
            FaultKind::Reset => victim.is_some_and(|victim| self.net.reset(victim)),
            FaultKind::HalfOpen => {
                victim.and_then(|victim| self.net.get(victim)).is_some_and(|one| {
                    one.is_half_open = true;
                    one.pipes.iter_mut().for_each(|pipe| pipe.queue.clear());
                    true
                })
            }
            FaultKind::Stall => victim.and_then(|victim| self.net.get(victim)).is_some_and(|one| {
                // What follows can't overtake it.
                for pipe in &mut one.pipes {
                    pipe.last_us = pipe.last_us.max(now_us + 700_000);
                }
                true
            }),
            FaultKind::RefusedDial => {
                if self.net.refusals == 0 {
                    self.net.refusals = 1 + self.random.below(3);
                    let _ = victim.is_some_and(|victim| self.net.reset(victim));
                }
                // Hits whoever dials next.
                false
            }
            FaultKind::Partition => server.is_some_and(|server| self.net.cut.insert(server)),
            FaultKind::Restart => {
                let is_there = |index: &usize| {
                    let one = self.net.connections.get(*index).and_then(Option::as_ref);
                    one.map(|one| one.server) == server
                };
                let hit: Vec<usize> = alive.into_iter().filter(is_there).collect();
                self.net.down.extend(server);
                hit.into_iter().fold(false, |any, index| self.net.reset(index) | any)
            }
            // Those are the broker's.
            FaultKind::Busy | FaultKind::LostAnswer => false,
            // Those happen all the time.
            FaultKind::Delay | FaultKind::Fragment => false,
        };
        if has_hit {
            self.net.counts.add(kind);
        }
    }

    /// Everybody is there again; what is half open is found out at last.
    pub(super) fn heal(&mut self, is_end: bool) {
        self.net.cut.clear();
        self.net.down.clear();
        self.net.refusals = 0;
        if is_end {
            for index in 0..self.net.connections.len() {
                if self.net.get(index).is_some_and(|connection| connection.is_half_open) {
                    self.net.reset(index);
                }
            }
        }
        let readers = self.net.connections.iter_mut().flatten();
        let readers = readers.flat_map(|one| &mut one.pipes).filter_map(|pipe| pipe.reader.take());
        let wakers: Vec<Waker> = readers.chain(self.net.healing.drain(..)).collect();
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// Whoever dials.
pub(super) struct Connecting {
    sim: Sim,
    to: SocketAddr,
    at_us: Option<u64>,
}

impl Connecting {
    pub(super) const fn new(sim: Sim, to: SocketAddr) -> Self {
        Self { sim, to, at_us: None }
    }
}

impl Future for Connecting {
    type Output = io::Result<(Half, Half)>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let now_us = this.sim.now_us();
        let mut state = this.sim.state();
        let State { random, net, .. } = &mut *state;
        let at_us = *this.at_us.get_or_insert_with(|| now_us + 1 + random.below(LATENCY_US));
        if now_us < at_us {
            state.wake_at(at_us, cx.waker().clone());
            return Poll::Pending;
        }
        if net.cut.contains(&this.to) {
            net.healing.push(cx.waker().clone());
            return Poll::Pending;
        }
        if net.refusals > 0 {
            net.refusals -= 1;
            net.counts.add(FaultKind::RefusedDial);
            return Poll::Ready(Err(ErrorKind::ConnectionRefused.into()));
        }
        let is_there = net.listeners.contains_key(&this.to) && !net.down.contains(&this.to);
        if !is_there {
            return Poll::Ready(Err(ErrorKind::ConnectionRefused.into()));
        }
        let connection = Connection {
            server: this.to,
            pipes: Default::default(),
            is_reset: false,
            is_half_open: false,
            halves: 4,
        };
        let index = net.connections.iter().position(Option::is_none);
        let index = index.unwrap_or_else(|| {
            net.connections.push(None);
            net.connections.len() - 1
        });
        net.connections[index] = Some(connection);
        net.next_port = net.next_port.wrapping_add(1);
        let from = SocketAddr::from((Ipv4Addr::LOCALHOST, 50_000 + net.next_port % 10_000));
        if let Some(listening) = net.listeners.get_mut(&this.to) {
            listening.waiting.push_back((index, from));
            if let Some(waker) = listening.waker.take() {
                waker.wake();
            }
        }
        drop(state);
        Poll::Ready(Ok(halves(&this.sim, index, 0)))
    }
}

/// The two halves of one side: 0 of whoever has dialled.
fn halves(sim: &Sim, index: usize, side: usize) -> (Half, Half) {
    let half = |pipe, reads| Half { sim: sim.clone(), index, pipe, reads };
    (half(1 - side, true), half(side, false))
}

/// Something that accepts connections.
pub struct Listener {
    sim: Sim,
    pub(super) address: SocketAddr,
}

impl Listener {
    pub(super) fn new(sim: Sim, at: SocketAddr) -> io::Result<Self> {
        let mut state = sim.state();
        let mut address = at;
        if at.port() == 0 {
            let port = 10_000 + u16::try_from(state.net.listeners.len()).unwrap_or(0);
            address.set_port(port);
        }
        if state.net.listeners.contains_key(&address) {
            return Err(ErrorKind::AddrInUse.into());
        }
        state.net.listeners.insert(address, Listening::default());
        drop(state);
        Ok(Self { sim, address })
    }

    pub(super) fn poll_accept(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(Half, Half, SocketAddr)>> {
        let mut state = self.sim.state();
        let Some(listening) = state.net.listeners.get_mut(&self.address) else {
            return Poll::Ready(Err(ErrorKind::NotConnected.into()));
        };
        let Some((index, from)) = listening.waiting.pop_front() else {
            listening.waker = Some(cx.waker().clone());
            return Poll::Pending;
        };
        drop(state);
        let (reader, writer) = halves(&self.sim, index, 1);
        Poll::Ready(Ok((reader, writer, from)))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut state = self.sim.state();
        let listening = state.net.listeners.remove(&self.address);
        drop(state);
        // Whoever was not let in learns of it.
        for (index, _) in listening.into_iter().flat_map(|listening| listening.waiting) {
            drop(halves(&self.sim, index, 1));
        }
    }
}

/// A half of a connection.
pub struct Half {
    sim: Sim,
    index: usize,
    pipe: usize,
    reads: bool,
}

/// How much of so many bytes is handled at once: all, a part, or one.
fn part(random: &mut SplitMix64, counts: &mut FaultCounts, len: usize) -> usize {
    if len < 2 || random.below(3) > 0 {
        return len;
    }
    counts.add(FaultKind::Fragment);
    match random.below(2) {
        0 => 1,
        _ => 1 + random.below(len as u64 - 1) as usize,
    }
}

impl AsyncRead for Half {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let now_us = self.sim.now_us();
        let mut state = self.sim.state();
        let State { random, net, .. } = &mut *state;
        let Some(connection) = net.connections.get_mut(self.index).and_then(Option::as_mut) else {
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        };
        if connection.is_reset {
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        }
        let is_cut = net.cut.contains(&connection.server);
        let pipe = &mut connection.pipes[self.pipe];
        let wakes_at = match pipe.queue.front_mut() {
            Some((at_us, bytes)) if *at_us <= now_us && !is_cut => {
                let len = part(random, &mut net.counts, buffer.len().min(bytes.len()));
                for (place, byte) in buffer.iter_mut().zip(bytes.drain(..len)) {
                    *place = byte;
                }
                if bytes.is_empty() {
                    pipe.queue.pop_front();
                }
                pipe.bytes -= len;
                if let Some(writer) = pipe.writer.take() {
                    writer.wake();
                }
                return Poll::Ready(Ok(len));
            }
            Some((at_us, _)) => (!is_cut).then_some(*at_us),
            None if pipe.is_closed && !is_cut => return Poll::Ready(Ok(0)),
            None => None,
        };
        pipe.reader = Some(cx.waker().clone());
        if let Some(at_us) = wakes_at {
            state.wake_at(at_us, cx.waker().clone());
        }
        Poll::Pending
    }
}

impl AsyncWrite for Half {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let now_us = self.sim.now_us();
        let mut state = self.sim.state();
        let State { random, net, .. } = &mut *state;
        let Some(connection) = net.connections.get_mut(self.index).and_then(Option::as_mut) else {
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        };
        if connection.is_reset {
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        }
        let pipe = &mut connection.pipes[self.pipe];
        if pipe.has_no_reader || pipe.is_closed {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        if connection.is_half_open {
            return Poll::Ready(Ok(bytes.len()));
        }
        if pipe.bytes >= WINDOW_BYTES {
            pipe.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let len = part(random, &mut net.counts, bytes.len());
        net.counts.add(FaultKind::Delay);
        let at_us = pipe.last_us.max(now_us + 1 + random.below(LATENCY_US));
        pipe.last_us = at_us;
        let Some(written) = bytes.get(..len) else { return Poll::Ready(Ok(0)) };
        pipe.queue.push_back((at_us, written.iter().copied().collect()));
        pipe.bytes += len;
        if let Some(reader) = pipe.reader.take() {
            state.wake_at(at_us, reader);
        }
        Poll::Ready(Ok(len))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.close();
        Poll::Ready(Ok(()))
    }
}

impl Half {
    fn close(&self) {
        let mut state = self.sim.state();
        let Some(connection) = state.net.get(self.index) else { return };
        if let Some(pipe) = connection.pipes.get_mut(self.pipe) {
            pipe.is_closed = true;
            if let Some(reader) = pipe.reader.take() {
                reader.wake();
            }
        }
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        if !self.reads {
            self.close();
        }
        let mut state = self.sim.state();
        let Some(connection) = state.net.get(self.index) else { return };
        connection.halves -= 1;
        let is_gone = connection.halves == 0;
        if let Some(pipe) = connection.pipes.get_mut(self.pipe)
            && self.reads
        {
            pipe.has_no_reader = true;
            if let Some(writer) = pipe.writer.take() {
                writer.wake();
            }
        }
        if is_gone && let Some(place) = state.net.connections.get_mut(self.index) {
            *place = None;
        }
    }
}

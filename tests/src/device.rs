//! A device: the core's engine in the hands of one task, which dials, reads, writes and sleeps for
//! it over any backend.
//!
//! What a program on a microcontroller has in its main loop, with the sockets of a host.

use alloc::collections::BTreeMap;
use core::future::{Future, poll_fn};
use core::net::{IpAddr, SocketAddr};
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io;

use futures_io::{AsyncRead, AsyncWrite};
use turbopump_core::link::{
    Chunks, CloseReason, Machine, Received, RequestConfig, RequestStorage, Requests,
};
use turbopump_core::rocketmq::engine::{
    Action, BrokerPlace, Engine, EngineConfig, Event, LinkId, LinkPlace, QueuePlace, SendPlace,
    Storage, TopicPlace,
};
use turbopump_core::rocketmq::remoting::Remoting;
use turbopump_core::time::{Clock, Instant, Now};
use turbopump_std::backend::{Backend, SocketOptions};
use turbopump_std::clock::SystemClock;
use turbopump_std::memory::{BufferPool, Lease};

/// How many of each a device has room for.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Connections at a time.
    pub links: usize,
    /// Topics at a time.
    pub topics: usize,
    /// Queues of these.
    pub queues: usize,
    /// Brokers.
    pub brokers: usize,
    /// Messages and batches under way.
    pub sends: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self { links: 3, topics: 2, queues: 16, brokers: 2, sends: 8 }
    }
}

/// A dial that hangs is given up after so long.
const DIAL: Duration = Duration::from_secs(1);

/// The engine's type here.
pub type DeviceEngine = Engine<'static, BufferPool>;

type Dialing<B> = Pin<
    Box<dyn Future<Output = io::Result<(<B as Backend>::Reader, <B as Backend>::Writer)>> + Send>,
>;

type Timer = Pin<Box<dyn Future<Output = ()> + Send>>;

struct Wire<B: Backend> {
    dialing: Option<(Dialing<B>, Timer)>,
    halves: Option<(B::Reader, B::Writer)>,
    /// Read, and not taken yet.
    window: Vec<u8>,
    body: Option<(Lease, usize)>,
    /// To be written.
    out: Vec<u8>,
}

/// An engine, and its connections.
pub struct Device<B: Backend> {
    backend: B,
    clock: SystemClock,
    /// To send with, and to look at.
    pub engine: DeviceEngine,
    wires: Vec<Wire<B>>,
    /// Where hosts are that have names.
    pub hosts: BTreeMap<String, IpAddr>,
    /// Events that nobody has asked for yet.
    events: Vec<Event>,
}

impl<B: Backend> Device<B> {
    /// A device with so much room, over these buffers.
    #[must_use]
    pub fn new(
        backend: &B,
        config: EngineConfig<'static>,
        room: Room,
        buffers: &BufferPool,
        seed: u64,
    ) -> Self {
        let link = |_| {
            let storage = RequestStorage::on_heap(room.sends + 2, 4, 2);
            let config = RequestConfig::default();
            let requests = Requests::new(Remoting::default(), buffers.clone(), storage, &config);
            LinkPlace::new(requests.unwrap_or_else(|error| panic!("the defaults: {error:?}")))
        };
        let links: Box<[_]> = (0..room.links).map(link).collect();
        let topics: Box<[_]> = (0..room.topics).map(|_| TopicPlace::new()).collect();
        let queues: Box<[_]> = (0..room.queues).map(|_| QueuePlace::new()).collect();
        let brokers: Box<[_]> = (0..room.brokers).map(|_| BrokerPlace::new()).collect();
        let sends: Box<[_]> = (0..room.sends).map(|_| SendPlace::new()).collect();
        let storage = Storage::new(links, topics, queues, brokers, sends);
        let engine = Engine::new(config, storage, buffers.clone(), seed);
        let engine = engine.unwrap_or_else(|error| panic!("the device: {error}"));
        let wire = |_| Wire {
            dialing: None,
            halves: None,
            window: Vec::new(),
            body: None,
            out: Vec::new(),
        };
        let wires = (0..room.links).map(wire).collect();
        let (backend, clock) = (backend.clone(), SystemClock::of(backend));
        Self { backend, clock, engine, wires, hosts: BTreeMap::new(), events: Vec::new() }
    }

    /// The time, as the engine has it.
    #[must_use]
    pub fn now(&self) -> Now {
        self.clock.now()
    }

    /// What became of the next message; `None` where none is under way.
    pub async fn event(&mut self) -> Option<Event> {
        self.until(|device| !device.events.is_empty() || device.engine.in_flight() == 0).await;
        if self.events.is_empty() { None } else { Some(self.events.remove(0)) }
    }

    /// Goes on for so long.
    pub async fn run_for(&mut self, time: Duration) {
        let end = self.backend.now() + time;
        let mut sleep = core::pin::pin!(self.backend.clone().sleep_owned(end));
        let mut timer = None;
        poll_fn(|cx| {
            if sleep.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            self.poll(cx, &mut timer);
            Poll::Pending
        })
        .await;
    }

    /// Shuts the engine down, and ends when all is sent and closed.
    pub async fn shutdown(&mut self) {
        self.engine.shutdown();
        self.until(|device| device.engine.is_drained()).await;
    }

    async fn until(&mut self, is_reached: impl Fn(&Self) -> bool) {
        let mut timer = None;
        poll_fn(|cx| {
            self.poll(cx, &mut timer);
            if is_reached(self) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Moves whatever can be moved, then sleeps until something is due.
    fn poll(&mut self, cx: &mut Context<'_>, timer: &mut Option<Timer>) {
        loop {
            let mut has_moved = false;
            let now = self.now();
            self.engine.handle_progress(now);
            while let Some(Action::Dial { link, host, port }) = self.engine.poll_action() {
                let host = host.to_owned();
                has_moved = true;
                self.dial(link, &host, port);
            }
            while let Some(event) = self.engine.poll_event() {
                self.events.push(event);
            }
            // After the engine: it may have given them something to write.
            for link in 0..self.wires.len() {
                has_moved |= self.poll_dial(link, cx);
                has_moved |= self.poll_wire(link, cx);
            }
            if has_moved {
                continue;
            }
            let Some(at) = self.due() else {
                *timer = None;
                return;
            };
            assert!(at > now.at, "the engine's next time is not in the future");
            let Some(at) = self.clock.system_instant(at) else { return };
            let mut sleep = Box::pin(self.backend.clone().sleep_owned(at));
            let is_over = sleep.as_mut().poll(cx).is_ready();
            *timer = Some(sleep);
            if !is_over {
                return;
            }
        }
    }

    /// When something has to be done although nothing has happened.
    fn due(&mut self) -> Option<Instant> {
        let mut due = self.engine.poll_timeout();
        for (link, wire) in self.wires.iter().enumerate() {
            if wire.halves.is_some()
                && let Some(machine) = self.engine.link(link)
                && let Some(at) = machine.poll_timeout()
            {
                due = Some(due.map_or(at, |due| due.min(at)));
            }
        }
        due
    }

    fn dial(&mut self, link: LinkId, host: &str, port: u16) {
        let address = self.hosts.get(host).copied().or_else(|| host.parse().ok());
        let (backend, within) = (self.backend.clone(), self.backend.now() + DIAL);
        let dialing: Dialing<B> = Box::pin(async move {
            let ip = address.ok_or(io::ErrorKind::NotFound)?;
            backend.dial(SocketAddr::new(ip, port), &SocketOptions::default()).await
        });
        let timer = Box::pin(self.backend.clone().sleep_owned(within));
        self.wires[link].dialing = Some((dialing, timer));
    }

    fn poll_dial(&mut self, link: LinkId, cx: &mut Context<'_>) -> bool {
        let wire = &mut self.wires[link];
        let Some((dialing, timer)) = &mut wire.dialing else { return false };
        let dialed = match dialing.as_mut().poll(cx) {
            Poll::Ready(dialed) => dialed.ok(),
            Poll::Pending if timer.as_mut().poll(cx).is_pending() => return false,
            Poll::Pending => None,
        };
        wire.dialing = None;
        let now = self.clock.now();
        match dialed {
            Some(halves) => {
                (wire.halves, wire.body) = (Some(halves), None);
                wire.window.clear();
                wire.out.clear();
                self.engine.handle_dialed(now, link);
            }
            None => self.engine.handle_dial_failed(now, link),
        }
        true
    }

    /// One connection: what a driver does with a machine. Says whether something has moved.
    fn poll_wire(&mut self, link: LinkId, cx: &mut Context<'_>) -> bool {
        let (now, wire) = (self.clock.now(), &mut self.wires[link]);
        let (Some((reader, writer)), Some(machine)) = (&mut wire.halves, self.engine.link(link))
        else {
            return false;
        };
        let mut has_moved = false;
        if machine.poll_timeout().is_some_and(|at| at <= now.at) {
            machine.handle_timeout(now);
            has_moved = true;
        }
        let mut bytes = [0; 4_096];
        let mut closed = None;
        loop {
            match Pin::new(&mut *reader).poll_read(cx, &mut bytes) {
                Poll::Pending => break,
                Poll::Ready(Ok(0)) => closed = Some(CloseReason::Peer),
                Poll::Ready(Err(_)) => closed = Some(CloseReason::Read),
                Poll::Ready(Ok(len)) => {
                    has_moved = true;
                    let read =
                        take_in(machine, now, &mut wire.window, &mut wire.body, &bytes[..len]);
                    closed = read.err();
                }
            }
            if closed.is_some() {
                break;
            }
        }
        if wire.out.is_empty() {
            let mut chunks = Chunks::new();
            machine.poll_transmit(now, &mut chunks);
            wire.out.extend(chunks.iter().flatten());
        }
        while closed.is_none() && !wire.out.is_empty() {
            match Pin::new(&mut *writer).poll_write(cx, &wire.out) {
                Poll::Pending => break,
                Poll::Ready(Err(_) | Ok(0)) => closed = Some(CloseReason::Write),
                Poll::Ready(Ok(len)) => {
                    has_moved = true;
                    wire.out.drain(..len);
                    machine.handle_written(now, len);
                }
            }
        }
        if closed.is_none() && wire.out.is_empty() {
            closed = machine.poll_close();
        }
        if let Some(reason) = closed {
            machine.handle_closed(now, reason);
            wire.halves = None;
            has_moved = true;
        }
        has_moved
    }
}

/// Gives a machine what was read.
fn take_in(
    machine: &mut Requests<'static, Remoting, BufferPool>,
    now: Now,
    window: &mut Vec<u8>,
    body: &mut Option<(Lease, usize)>,
    mut bytes: &[u8],
) -> Result<(), CloseReason> {
    if let Some((lease, filled)) = body {
        let room = &mut lease.as_mut()[*filled..];
        let len = room.len().min(bytes.len());
        room[..len].copy_from_slice(&bytes[..len]);
        (*filled, bytes) = (*filled + len, &bytes[len..]);
        if *filled < lease.len() {
            return Ok(());
        }
        if let Some((lease, _)) = body.take() {
            machine.handle_body(now, lease).map_err(CloseReason::Frame)?;
        }
    }
    window.extend_from_slice(bytes);
    let received = machine.handle_bytes(now, window).map_err(CloseReason::Frame)?;
    let Received { consumed, body: claimed } = received;
    window.drain(..consumed);
    let Some(lease) = claimed else { return Ok(()) };
    *body = Some((lease, 0));
    let rest = core::mem::take(window);
    take_in(machine, now, window, body, &rest)
}

/// Futures that own their backend.
trait SleepOwned: Backend {
    fn sleep_owned(self, at: std::time::Instant) -> impl Future<Output = ()> + Send {
        async move { self.sleep_until(at).await }
    }
}

impl<B: Backend> SleepOwned for B {}

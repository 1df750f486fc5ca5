//! Steady state allocates nothing: counted around a million rounds of each thing.
//!
//! Without a harness, because the allocations of the whole process are counted, and a harness makes
//! some of its own, at any time.

extern crate alloc;

use alloc::sync::Arc;
use core::net::{Ipv4Addr, SocketAddr};
use core::pin::Pin;
use core::task::{Context, Poll};
use std::alloc::System;
use std::sync::mpsc;
use std::thread;

use futures_io::{AsyncRead, AsyncWrite};
use smol::future::zip;
use smol::io::{AsyncReadExt as _, AsyncWriteExt as _};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use turbopump_core::alert::{Engine, Limits, Operator, Rule, Selector, Term};
use turbopump_core::batch::{Accumulator, Batch, BatchConfig, BatchStorage, Outcome};
use turbopump_core::compress::{
    Compress as _, Decompress as _, Deflate, Format, Inflate, InflateState,
};
use turbopump_core::descriptor;
use turbopump_core::frame::{LengthField, Reader, decode, seal};
use turbopump_core::link::IdField;
use turbopump_core::pool::{ClassLayout, Layout, StaticPool};
use turbopump_core::rocketmq::wire::command::SendMessageRequestHeaderV2;
use turbopump_core::rocketmq::wire::frame::{Frame, encode_head, head_bytes};
use turbopump_core::rocketmq::wire::header::{Header, Serialization, request_code};
use turbopump_core::rocketmq::wire::message::{BatchEntries, BatchEntry};
use turbopump_core::stats::{
    Counter, Descriptor, Kind, LatencyHistogram, Samples, Source, VisitError, text,
};
use turbopump_core::time::{Instant, Now};
use turbopump_std::backend::{Backend as _, SocketOptions};
use turbopump_std::batch::{BatchSender, BatchSettings, handler_fn};
use turbopump_std::memory::{BufferPool, Chunk, Lease, ObjectPool};
use turbopump_std::net::async_io::{
    AsyncIo, AsyncIoConfig, Finished, IoTask, OnFinished, TaskConnection,
};
use turbopump_std::net::{ConnectionPool, PoolSettings, RequestLink, RequestLinkConfig};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Rounds of each thing.
const ROUNDS: u64 = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };
/// Rounds before counting begins.
const WARM_UP: u64 = 1_000;
/// Compressing takes a thousand times as long as the rest.
const COMPRESSIONS: u64 = ROUNDS / 100;

/// Runs `round` often, then says how many allocations the process made in `rounds` of them.
fn allocations(rounds: u64, mut round: impl FnMut(u64)) -> usize {
    (0..WARM_UP).for_each(&mut round);
    let region = Region::new(ALLOCATOR);
    (WARM_UP..WARM_UP + rounds).for_each(&mut round);
    let change = region.change();
    change.allocations + change.reallocations
}

fn main() {
    let counted = allocations(10, |_| drop(core::hint::black_box(Box::new(1))));
    assert_eq!(counted, 10, "what does allocate is seen");
    for (name, count) in [
        ("buffers", buffers as fn() -> usize),
        ("buffers without a heap", static_buffers),
        ("buffers passed to a thread", passed_buffers),
        ("objects", objects),
        ("batches", batches),
        ("frames", frames),
        ("a batch as a request of RocketMQ", send_requests),
        ("deflate and inflate", compression),
        ("counting", counting),
        ("judging and printing", judging),
        ("async IO", async_io),
        ("connections of a pool", checkouts),
        ("requests on one connection", requests),
        ("batch handles", batch_handles),
    ] {
        assert_eq!(count(), 0, "allocations after warming up: {name}");
        println!("{name}: no allocation");
    }
}

fn buffers() -> usize {
    let pool = BufferPool::standard();
    allocations(ROUNDS, |round| {
        let mut lease = pool.acquire(round as usize % 5_000).expect("one is free");
        lease.extend_from_slice(&round.to_be_bytes()).expect("classes begin at 64 bytes");
        let chunk = lease.freeze();
        let clone = chunk.clone();
        let part = chunk.slice(4..).expect("within");
        drop((chunk, clone));
        let lease = part.try_unique().expect("the last one");
        assert_eq!(lease[..], round.to_be_bytes()[4..]);
    })
}

fn static_buffers() -> usize {
    const CLASSES: [ClassLayout; 1] = [ClassLayout::new(64, 4)];
    const LAYOUT: Layout<'static> = Layout::constant(&CLASSES);
    static POOL: StaticPool<1, 4, { LAYOUT.bytes_len() }> = StaticPool::new();
    let pool = POOL.init(&LAYOUT).expect("the first time");
    allocations(ROUNDS, |round| {
        let mut lease = pool.acquire(8).expect("one is free");
        lease.extend_from_slice(&round.to_be_bytes()).expect("it fits");
        drop(lease.freeze().clone());
    })
}

fn passed_buffers() -> usize {
    let pool = BufferPool::standard();
    let (send, receive) = mpsc::sync_channel::<Chunk>(64);
    let thread = thread::spawn(move || receive.into_iter().map(|chunk| chunk.len()).sum::<usize>());
    let counted = allocations(ROUNDS / 10, |round| {
        let mut lease = pool.acquire(64).expect("64 are on their way at most");
        lease.extend_from_slice(&round.to_be_bytes()).expect("it fits");
        send.send(lease.freeze()).expect("the other thread listens");
    });
    drop(send);
    assert_eq!(thread.join().expect("no panic") as u64, 8 * (WARM_UP + ROUNDS / 10));
    counted
}

fn objects() -> usize {
    let pool = ObjectPool::new(4, || Vec::<u64>::with_capacity(8), Vec::clear).expect("room");
    allocations(ROUNDS, |round| {
        let mut list = pool.get().expect("one is free");
        assert!(list.is_empty());
        list.push(round);
    })
}

fn batches() -> usize {
    let config = BatchConfig::default();
    let mut batcher = Accumulator::new(config, BatchStorage::on_heap(&config), 1).expect("fits");
    let (pool, mut batch) = (BufferPool::standard(), Batch::on_heap(&config));
    let (mut settled, mut now) = (0, Now::default());
    allocations(ROUNDS, |round| {
        let mut lease = pool.acquire(8).expect("fewer wait than there are");
        lease.extend_from_slice(&round.to_be_bytes()).expect("it fits");
        batcher.push(now, lease.freeze(), 8).expect("there is room");
        now.at = now.at.plus_us(90);
        while batcher.poll_batch(now, &mut batch).expect("it is settled, and large enough") {
            // One of each new batch is tried once more.
            let is_new = batch.attempt() == 0;
            if let Some(mut entry) = batch.iter_mut().next().filter(|_| is_new) {
                entry.set(Outcome::Retry);
            }
            batcher.settle(now, &mut batch, |_, _| settled += 1).expect("it came from here");
        }
    })
}

fn frames() -> usize {
    const FRAME_BYTES_MAX: usize = 512;
    let header = LengthField::big_endian_u32(FRAME_BYTES_MAX).expect("a fair limit");
    let mut reader = Reader::new(header, vec![0; FRAME_BYTES_MAX].into_boxed_slice());
    let reader = reader.as_mut().expect("room for one frame");
    let pool = BufferPool::standard();
    allocations(ROUNDS, |round| {
        let mut lease = pool.acquire(64).expect("one is free");
        lease.extend_from_slice(&round.to_be_bytes()).expect("it fits");
        assert_eq!(seal(&header, &mut lease, &[0; 4]), Ok(12));
        let window = reader.receive_buffer_bulk().expect("no bad frame");
        window[..lease.len()].copy_from_slice(&lease);
        reader.commit(lease.len()).expect("it was there");
        assert_eq!(reader.next_frame(), Ok(Some(&lease[..])));
        assert_eq!(reader.next_frame(), Ok(None));
        assert_eq!(decode(&header, &lease).count(), 1);
    })
}

/// Writes a whole request into `frame`, and finds its bodies there. The head can't move them: it is
/// given nothing but what is in front of them.
fn send_request(opaque: i32, bodies: &[&[u8]], frame: &mut [u8]) -> usize {
    let fields = SendMessageRequestHeaderV2 {
        producer_group: "billing".into(),
        topic: "Orders".into(),
        default_topic: "TBW102".into(),
        batch: Some(true),
        ..Default::default()
    };
    let header = Header::request(request_code::SEND_BATCH_MESSAGE, opaque);
    let head_len = head_bytes(&header, Serialization::Json, &fields).expect("it can be carried");
    let (head, rest) = frame.split_at_mut(head_len);
    let mut body_bytes = 0;
    for body in bodies {
        let entry = BatchEntry { flag: 0, body, properties: b"TAGS\x01blue\x02" };
        body_bytes += entry.encode(&mut rest[body_bytes..]).expect("room enough");
    }
    let written = encode_head(&header, Serialization::Json, &fields, body_bytes, head);
    assert_eq!(written, Ok(head_len));
    let frame = Frame::decode(&frame[..head_len + body_bytes]).expect("a frame");
    let found = BatchEntries::new(frame.body).map(|entry| entry.expect("an entry").body);
    assert!(found.eq(bodies.iter().copied()));
    head_len + body_bytes
}

/// That each body is copied exactly once follows from where a second copy could be: not on the
/// heap, as allocations are counted; not on the stack, which is smaller than a body; not in the
/// frame, which has no byte to spare.
fn send_requests() -> usize {
    let bodies = [[7; 1_024]; 32];
    let bodies = bodies.each_ref().map(<[u8; 1_024]>::as_slice);
    let mut frame = vec![0; 64 * 1_024];
    let small = allocations(ROUNDS / 100, |round| {
        send_request(round as i32, &bodies, &mut frame);
    });
    let body = vec![8; STACK_BYTES + 1];
    let mut frame = vec![0; 5 * STACK_BYTES];
    let len = send_request(1, &[&body[..]; 4], &mut frame);
    let thread = thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
        let region = Region::new(ALLOCATOR);
        assert_eq!(send_request(1, &[&body[..]; 4], &mut frame[..len]), len);
        let change = region.change();
        change.allocations + change.reallocations
    });
    small + thread.expect("a thread").join().expect("the stack is large enough")
}

/// Less than a body, and enough for what calls what.
const STACK_BYTES: usize = 256 * 1_024;

fn compression() -> usize {
    let mut text = *b"the same words, the same words, and once more the same words: 00000000";
    let mut counted = 0;
    for format in [Format::Raw, Format::Zlib, Format::Gzip] {
        let mut deflate = Deflate::new(format, 5).expect("known");
        let mut inflate = Inflate::new(format, InflateState::new_boxed()).expect("known");
        let (mut compressed, mut restored) = ([0; 128], [0; 128]);
        counted += allocations(COMPRESSIONS, |round| {
            let digits = text.len() - 8;
            text[digits..].copy_from_slice(&round.to_be_bytes());
            let len = deflate.compress(&text, &mut compressed).expect("it shrinks");
            let len = inflate.decompress(&compressed[..len], &mut restored).expect("it is whole");
            assert_eq!(restored[..len], text);
        });
    }
    counted
}

static SENT: Descriptor = descriptor!(Kind::Counter, "sent_total", "Messages sent.");
static TOOK: Descriptor = descriptor!(Kind::Histogram, "took", "Time taken.");
static FAMILIES: [&Descriptor; 2] = [&SENT, &TOOK];

#[derive(Default)]
struct Stats {
    sent: Counter,
    took: LatencyHistogram,
}

impl Source for Stats {
    fn families(&self) -> &'static [&'static Descriptor] {
        &FAMILIES
    }

    fn visit(&self, samples: &mut Samples<'_>) -> Result<(), VisitError> {
        samples.counter(&SENT, &[], self.sent)?;
        samples.histogram(&TOOK, &[], &self.took)
    }
}

fn counting() -> usize {
    let mut stats = Stats::default();
    let pool = ObjectPool::new(1, || 0_u64, |_| ()).expect("room for one");
    allocations(ROUNDS, |round| {
        stats.sent.increment();
        stats.took.observe(round);
        assert_eq!(pool.stats().in_use, 0);
    })
}

fn judging() -> usize {
    let rate = Term::increase(Selector::new("sent_total"), 60_000_000);
    let rule = Rule::when("silence", rate, Operator::Below, 1.0).build().expect("a fair rule");
    let late = Term::quantile_over(Selector::new("took"), 0.99, 60_000_000);
    let late = Rule::when("late", late, Operator::Above, 500.0).build().expect("a fair rule");
    let limits = Limits { history_points: 12, buckets: 256 };
    let mut engine = Engine::with_rules([rule, late], 16, limits).expect("room for both");
    let mut stats = Stats::default();
    let mut page = String::with_capacity(64 << 10);
    allocations(ROUNDS / 100, |round| {
        stats.took.observe(round);
        if round % 20 < 10 {
            stats.sent.increment();
        }
        let now = Now::new(Instant::from_us(round * 10_000_000), round * 10_000);
        let changes = engine.evaluate(now, &[&stats], &[]).expect("the sources are sound");
        assert!(changes.count() <= 2);
        page.clear();
        text::write_prometheus(&[&stats], &[], &mut page).expect("a string takes all");
        assert!(!page.is_empty());
    })
}

/// A connection that is ready when it is asked the second time.
struct Hesitant(bool);

impl Hesitant {
    fn poll(&mut self, cx: &Context<'_>, bytes: usize) -> Poll<std::io::Result<usize>> {
        self.0 = !self.0;
        if self.0 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(bytes))
    }
}

impl AsyncRead for Hesitant {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut [u8],
    ) -> Poll<std::io::Result<usize>> {
        self.poll(cx, out.len())
    }
}

impl AsyncWrite for Hesitant {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.poll(cx, bytes.len())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl TaskConnection for Hesitant {}

/// Tasks with a future and tasks with a callback, each through the queue, a worker and a waker.
fn async_io() -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let backend = turbopump::tokio::Backend::on(runtime.handle().clone());
    runtime.block_on(async {
        let io = AsyncIo::start(&backend, &AsyncIoConfig::default()).unwrap();
        let pool = BufferPool::standard();
        let callback: Arc<dyn OnFinished<Hesitant>> =
            Arc::new(|_: u64, finished: Finished<Hesitant>| assert!(finished.result.is_ok()));
        let round = async |number| {
            let mut lease = pool.acquire(64).unwrap();
            lease.extend_from_slice(b"hello").unwrap();
            let chunk = lease.freeze();
            let task = IoTask::write(Hesitant(false), chunk.clone());
            io.submit_with(task, number, Arc::clone(&callback)).unwrap();
            let written = io.submit(IoTask::write(Hesitant(false), chunk)).unwrap().await;
            let read = IoTask::read(written.connection.unwrap(), pool.acquire(64).unwrap());
            assert!(io.submit(read).unwrap().await.result.unwrap() >= 64);
        };
        for number in 0..WARM_UP {
            round(number).await;
        }
        let region = Region::new(ALLOCATOR);
        for number in 0..ROUNDS {
            round(number).await;
        }
        let change = region.change();
        io.stop().await;
        assert_eq!(io.stats().succeeded.get(), 3 * (WARM_UP + ROUNDS));
        change.allocations + change.reallocations
    })
}

/// Counts around `rounds` of what waits, on a runtime of one thread.
async fn allocations_async(rounds: u64, mut round: impl AsyncFnMut()) -> usize {
    for _ in 0..WARM_UP {
        round().await;
    }
    let region = Region::new(ALLOCATOR);
    for _ in 0..rounds {
        round().await;
    }
    let change = region.change();
    change.allocations + change.reallocations
}

/// Sends back what comes on each connection; returns where.
async fn echo(backend: &turbopump::tokio::Backend) -> SocketAddr {
    let mut listener = backend.listen((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
    let address = turbopump::tokio::Backend::local_address(&listener).unwrap();
    let tasks = backend.clone();
    backend.spawn(async move {
        let options = SocketOptions::default();
        while let Ok((mut reader, mut writer, _)) =
            turbopump::tokio::Backend::accept(&mut listener, &options).await
        {
            tasks.spawn(async move {
                let mut bytes = [0; 4_096];
                while let Ok(len @ 1..) = reader.read(&mut bytes).await {
                    if writer.write_all(&bytes[..len]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// Those that are free, and those that somebody waits for.
fn checkouts() -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let backend = turbopump::tokio::Backend::on(runtime.handle().clone());
    runtime.block_on(async {
        let mut settings = PoolSettings::default();
        settings.connections_max = 1;
        let endpoint = echo(&backend).await.into();
        let pool = ConnectionPool::new(backend, endpoint, settings).unwrap();
        let counted = allocations_async(ROUNDS, async || {
            let held = pool.get().await.unwrap();
            let waiting = async { drop(pool.get().await.unwrap()) };
            zip(waiting, async { drop(held) }).await;
        });
        let counted = counted.await;
        let status = pool.status();
        assert_eq!(
            (status.connections.opened, status.connections.waits),
            (1, 1 + WARM_UP + ROUNDS)
        );
        counted
    })
}

fn requests() -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let backend = turbopump::tokio::Backend::on(runtime.handle().clone());
    runtime.block_on(async {
        let to = echo(&backend).await;
        let halves = backend.dial(to, &SocketOptions::default()).await.unwrap();
        let protocol = IdField::big_endian(LengthField::big_endian_u32(1 << 20).unwrap(), 4);
        let (buffers, config) = (BufferPool::standard(), RequestLinkConfig::default());
        let link = RequestLink::over(&backend, halves, protocol, buffers, &config).unwrap();
        let counted = allocations_async(ROUNDS / 10, async || {
            let (first, second) =
                zip(link.request(&[0; 8], &[1; 256]), link.request(&[0; 8], &[2; 256])).await;
            assert_eq!((first.unwrap()[8], second.unwrap()[8]), (1, 2));
        });
        counted.await
    })
}

/// Items that are sent, wait for room, are worked on and settled; buffers from a pool.
fn batch_handles() -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let backend = turbopump::tokio::Backend::on(runtime.handle().clone());
    runtime.block_on(async {
        let pool = BufferPool::standard();
        let mut settings = BatchSettings::of_bytes();
        settings.batch.items_max = 10;
        settings.batch.waiting_max = 20;
        let handler = handler_fn(|batch: &mut Batch<'static, Lease>| {
            assert!(batch.iter().all(|lease| lease.len() == 5));
        });
        let sender = BatchSender::new(backend, settings, handler).unwrap();
        sender.start().unwrap();
        let counted = allocations_async(ROUNDS / 10, async || {
            let mut lease = pool.acquire(5).unwrap();
            lease.extend_from_slice(b"hello").unwrap();
            sender.send(lease).await.unwrap();
        });
        let counted = counted.await;
        sender.stop().await;
        counted
    })
}

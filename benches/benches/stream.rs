//! Echo round trips of 256 bytes on 64 streams of one connection, beside the crate `yamux`: over
//! loopback TCP with both ends on one thread, and in memory.
//!
//! A time per iteration is one round trip. With `STREAM_PROFILE=NAME:COUNT` it runs COUNT round
//! trips of one peer and nothing else, for `valgrind --tool=callgrind`, and prints allocations.

use core::future::poll_fn;
use core::task::Poll;
use std::alloc::System;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use futures_io::{AsyncRead, AsyncWrite};
use smol::io::{AsyncReadExt, AsyncWriteExt};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_util::compat::TokioAsyncReadCompatExt;
use turbopump::tokio::Backend;
use turbopump_core::link::{Chunks, Machine};
use turbopump_core::stream::{Role, StreamConfig, StreamKey, StreamStorage, Streams};
use turbopump_core::time::Now;
use turbopump_std::backend::{Backend as _, SocketOptions};
use turbopump_std::memory::BufferPool;
use turbopump_std::net::{Stream, StreamLink, StreamLinkConfig};
use yamux::{Connection, Mode};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const BYTES: usize = 256;
const STREAMS: usize = 64;

/// What runs round trips: so many of them, over streams that stay.
trait Peer {
    fn run(&mut self, runtime: &Runtime, round_trips: usize);
}

type MakePeer = fn(&Runtime) -> Box<dyn Peer>;

const PEERS: [(&str, MakePeer); 4] = [
    ("loopback, StreamLink", ours_over_loopback),
    ("loopback, the crate yamux", yamux_over_loopback),
    ("in memory, two machines", Machines::make),
    ("in memory, the crate yamux", yamux_in_memory),
];

async fn echo(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let mut buffer = [0; BYTES];
    while stream.read_exact(&mut buffer).await.is_ok() {
        stream.write_all(&buffer).await.unwrap();
        stream.flush().await.unwrap();
    }
}

/// A task for each stream.
struct Tasks<S>(Vec<S>);

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Peer for Tasks<S> {
    fn run(&mut self, runtime: &Runtime, round_trips: usize) {
        runtime.block_on(async {
            let tasks: Vec<JoinHandle<S>> = self
                .0
                .drain(..)
                .enumerate()
                .map(|(number, mut stream)| {
                    tokio::spawn(async move {
                        let mut answer = [0; BYTES];
                        for _ in 0..(round_trips + number) / STREAMS {
                            stream.write_all(&[7; BYTES]).await.unwrap();
                            stream.flush().await.unwrap();
                            stream.read_exact(&mut answer).await.unwrap();
                        }
                        assert!(round_trips < STREAMS || answer == [7; BYTES]);
                        stream
                    })
                })
                .collect();
            for task in tasks {
                self.0.push(task.await.unwrap());
            }
        });
    }
}

fn ours_over_loopback(runtime: &Runtime) -> Box<dyn Peer> {
    let backend = Backend::on(runtime.handle().clone());
    let (options, config) = (SocketOptions::default(), StreamLinkConfig::default());
    let streams = runtime.block_on(async {
        let mut listener = backend.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = Backend::local_address(&listener).unwrap();
        let server = backend.clone();
        let server_config = config.clone();
        tokio::spawn(async move {
            let options = SocketOptions::default();
            let accepted = Backend::accept(&mut listener, &options).await;
            let (reader, writer, _) = accepted.unwrap();
            let pool = BufferPool::standard();
            let halves = (reader, writer);
            let link =
                StreamLink::over(&server, halves, Role::Server, pool, &server_config).unwrap();
            while let Ok(stream) = link.accept().await {
                tokio::spawn(echo(stream));
            }
        });
        let halves = backend.dial(address, &options).await.unwrap();
        let pool = BufferPool::standard();
        let link = StreamLink::over(&backend, halves, Role::Client, pool, &config).unwrap();
        let mut streams: Vec<Stream> = Vec::new();
        for _ in 0..STREAMS {
            streams.push(link.open().await.unwrap());
        }
        streams
    });
    Box::new(Tasks(streams))
}

/// Accepts streams until the connection ends.
async fn serve_yamux<T: AsyncRead + AsyncWrite + Unpin>(socket: T) {
    let mut connection = Connection::new(socket, yamux::Config::default(), Mode::Server);
    while let Some(Ok(stream)) = poll_fn(|context| connection.poll_next_inbound(context)).await {
        tokio::spawn(echo(stream));
    }
}

/// Opens all streams; a task drives the connection afterwards.
async fn open_yamux<T>(socket: T) -> Vec<yamux::Stream>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut connection = Connection::new(socket, yamux::Config::default(), Mode::Client);
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        let opening = poll_fn(|context| connection.poll_new_outbound(context));
        streams.push(opening.await.unwrap());
    }
    tokio::spawn(async move {
        poll_fn(|context| match connection.poll_next_inbound(context) {
            Poll::Ready(Some(Ok(_))) => panic!("nobody opens a stream here"),
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending => Poll::Pending,
        })
        .await;
    });
    streams
}

fn yamux_over_loopback(runtime: &Runtime) -> Box<dyn Peer> {
    Box::new(Tasks(runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (socket, _) = listener.accept().await.unwrap();
            socket.set_nodelay(true).unwrap();
            serve_yamux(socket.compat()).await;
        });
        let socket = TcpStream::connect(address).await.unwrap();
        socket.set_nodelay(true).unwrap();
        open_yamux(socket.compat()).await
    })))
}

fn yamux_in_memory(runtime: &Runtime) -> Box<dyn Peer> {
    Box::new(Tasks(runtime.block_on(async {
        let (near, far) = tokio::io::duplex(65_536);
        tokio::spawn(serve_yamux(far.compat()));
        open_yamux(near.compat()).await
    })))
}

/// Two machines without a runtime: what they do themselves.
struct Machines {
    near: Streams<'static, BufferPool>,
    far: Streams<'static, BufferPool>,
    keys: Vec<(StreamKey, StreamKey)>,
    wire: Vec<u8>,
}

impl Machines {
    fn make(_runtime: &Runtime) -> Box<dyn Peer> {
        let config = StreamConfig::default();
        let pool = BufferPool::standard();
        let machine = |role| {
            let storage = StreamStorage::on_heap(&config);
            Streams::new(config.clone(), role, storage, pool.clone(), Now::default(), 3).unwrap()
        };
        let (near, far) = (machine(Role::Client), machine(Role::Server));
        let mut machines = Self { near, far, keys: Vec::new(), wire: Vec::with_capacity(1 << 20) };
        let near: Vec<StreamKey> = (0..STREAMS).map(|_| machines.near.open().unwrap()).collect();
        transfer(&mut machines.near, &mut machines.far, &mut machines.wire);
        for near in near {
            let Poll::Ready(Ok(far)) = machines.far.accept() else { panic!("it was opened") };
            machines.keys.push((near, far));
        }
        transfer(&mut machines.far, &mut machines.near, &mut machines.wire);
        Box::new(machines)
    }
}

/// What a transport does: as a socket, it copies.
fn transfer(
    from: &mut Streams<'static, BufferPool>,
    to: &mut Streams<'static, BufferPool>,
    wire: &mut Vec<u8>,
) {
    loop {
        let mut chunks = Chunks::new();
        from.poll_transmit(Now::default(), &mut chunks);
        if chunks.is_empty() {
            break;
        }
        let bytes = chunks.bytes();
        chunks.iter().for_each(|chunk| wire.extend_from_slice(chunk));
        from.handle_written(Now::default(), bytes);
    }
    let received = to.handle_bytes(Now::default(), wire).unwrap();
    assert_eq!(received.consumed, wire.len());
    wire.clear();
}

impl Peer for Machines {
    fn run(&mut self, _runtime: &Runtime, round_trips: usize) {
        let Self { near, far, keys, wire } = self;
        let mut buffer = [0; BYTES];
        for _ in 0..round_trips.div_ceil(STREAMS) {
            for (key, _) in &*keys {
                assert_eq!(near.write(*key, &[7; BYTES]), Poll::Ready(Ok(BYTES)));
            }
            transfer(near, far, wire);
            for (_, key) in &*keys {
                assert_eq!(far.read(*key, &mut buffer), Poll::Ready(Ok(BYTES)));
                assert_eq!(far.write(*key, &buffer), Poll::Ready(Ok(BYTES)));
            }
            transfer(far, near, wire);
            for (key, _) in &*keys {
                assert_eq!(near.read(*key, &mut buffer), Poll::Ready(Ok(BYTES)));
            }
        }
        assert_eq!(buffer, [7; BYTES]);
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn stream(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("stream/256 bytes, 64 streams");
    group.measurement_time(Duration::from_secs(3)).sample_size(20);
    for (name, make) in PEERS {
        let runtime = runtime();
        let mut peer = make(&runtime);
        peer.run(&runtime, 10_000);
        group.bench_function(name, |b| {
            b.iter_custom(|round_trips| {
                let start = Instant::now();
                peer.run(&runtime, usize::try_from(round_trips).unwrap());
                start.elapsed()
            });
        });
    }
    group.finish();
}

/// One peer alone: returns false where that was not asked for.
fn profile() -> bool {
    let Ok(profile) = std::env::var("STREAM_PROFILE") else {
        return false;
    };
    let (wanted, count) = profile.rsplit_once(':').expect("STREAM_PROFILE=NAME:COUNT");
    let round_trips = count.parse().expect("a number of round trips");
    for (name, make) in PEERS.into_iter().filter(|(name, _)| name.contains(wanted)) {
        let runtime = runtime();
        let mut peer = make(&runtime);
        peer.run(&runtime, 2_000);
        let region = Region::new(ALLOCATOR);
        let start = Instant::now();
        peer.run(&runtime, round_trips);
        let (elapsed, change) = (start.elapsed(), region.change());
        let per_trip = |total: f64| total / round_trips as f64;
        println!(
            "{name}: {:.0} ns, {:.3} allocations a round trip",
            per_trip(elapsed.as_nanos() as f64),
            per_trip((change.allocations + change.reallocations) as f64),
        );
    }
    true
}

fn benches_or_profile(criterion: &mut Criterion) {
    if !profile() {
        stream(criterion);
    }
}

criterion_group!(benches, benches_or_profile);
criterion_main!(benches);

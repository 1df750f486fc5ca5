//! The async IO manager with 64 tasks in flight beside one blocking call after the other.
//!
//! An operation is one write or one read of 256 bytes; each connection does them in turns against a
//! peer that echoes: at once, which shows the costs of both sides on this machine, and after a
//! millisecond, which is what a network or a disk behind the peer adds.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;
use std::time::Instant;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use smol::io::{AsyncReadExt, AsyncWriteExt};
use turbopump_std::backend::{Backend, SocketOptions};
use turbopump_std::memory::{Chunk, default_pool};
use turbopump_std::net::async_io::{AsyncIo, AsyncIoConfig, IoTask, Joined};

const CONNECTIONS: usize = 64;
const BYTES: usize = 256;

type Connection<B> = Joined<<B as Backend>::Reader, <B as Backend>::Writer>;

/// Echoes on threads of its own, the same for all.
fn start_peer(delay: Duration) -> SocketAddr {
    let (send, address) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let backend = turbopump::tokio::Backend::on(runtime.handle().clone());
        runtime.block_on(async {
            let options = SocketOptions::default();
            let at = SocketAddr::from(([127, 0, 0, 1], 0));
            let mut listener = backend.listen(at).await.unwrap();
            send.send(<turbopump::tokio::Backend as Backend>::local_address(&listener)).unwrap();
            while let Ok((mut reader, mut writer, _)) =
                <turbopump::tokio::Backend as Backend>::accept(&mut listener, &options).await
            {
                backend.spawn(async move {
                    let mut bytes = [0; BYTES];
                    while reader.read_exact(&mut bytes).await.is_ok() {
                        if !delay.is_zero() {
                            tokio::time::sleep(delay).await;
                        }
                        if writer.write_all(&bytes).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
    });
    address.recv().unwrap().unwrap()
}

fn request() -> Chunk {
    let mut lease = default_pool().acquire(BYTES).unwrap();
    lease.extend_zeroed(BYTES).unwrap();
    lease.freeze()
}

/// One call after the other, over the same number of connections.
struct Blocking(Vec<TcpStream>);

impl Blocking {
    fn new(peer: SocketAddr) -> Self {
        let connect = |_| {
            let stream = TcpStream::connect(peer).unwrap();
            stream.set_nodelay(true).unwrap();
            stream
        };
        Self((0..CONNECTIONS).map(connect).collect())
    }

    fn rounds(&mut self, rounds: u64) -> Duration {
        let mut bytes = [0; BYTES];
        let started = Instant::now();
        for _ in 0..rounds {
            for stream in &mut self.0 {
                stream.write_all(&bytes).unwrap();
                stream.read_exact(&mut bytes).unwrap();
            }
        }
        started.elapsed()
    }
}

/// All connections at once.
struct Managed<B: Backend> {
    backend: B,
    io: AsyncIo<Connection<B>>,
    connections: Vec<Connection<B>>,
}

impl<B: Backend> Managed<B> {
    fn new(backend: B, peer: SocketAddr) -> Self {
        let (send, dialed) = mpsc::channel();
        let dialer = backend.clone();
        backend.spawn(async move {
            for _ in 0..CONNECTIONS {
                let halves = dialer.dial(peer, &SocketOptions::default()).await.unwrap();
                send.send(Joined::new(halves.0, halves.1)).unwrap();
            }
        });
        let io = AsyncIo::start(&backend, &AsyncIoConfig::default()).unwrap();
        Self { connections: dialed.into_iter().collect(), io, backend }
    }

    fn rounds(&mut self, rounds: u64) -> Duration {
        let (send, done) = mpsc::channel();
        let request = request();
        let started = Instant::now();
        for mut connection in self.connections.drain(..) {
            let (io, send, request) = (self.io.clone(), send.clone(), request.clone());
            self.backend.spawn(async move {
                for _ in 0..rounds {
                    let task = IoTask::write(connection, request.clone());
                    connection = io.submit(task).unwrap().await.connection.unwrap();
                    // With room, as most readers have: a full one could not know that it has all.
                    let answer = default_pool().acquire(2 * BYTES).unwrap();
                    let task = IoTask::read_at_least(connection, answer, BYTES);
                    connection = io.submit(task).unwrap().await.connection.unwrap();
                }
                send.send(connection).unwrap();
            });
        }
        drop(send);
        self.connections.extend(done);
        assert_eq!(self.connections.len(), CONNECTIONS);
        started.elapsed()
    }
}

/// `TURBOPUMP_ROUNDS=100000` runs one candidate only, without statistics: for `strace -cf`.
fn profile(peer: SocketAddr, tokio: &turbopump::tokio::Backend) -> bool {
    let Some(rounds) = std::env::var("TURBOPUMP_ROUNDS").ok().and_then(|text| text.parse().ok())
    else {
        return false;
    };
    let elapsed = match std::env::var("TURBOPUMP_CANDIDATE").as_deref() {
        Ok("smol") => Managed::new(turbopump::smol::Backend::new(), peer).rounds(rounds),
        Ok("blocking") => Blocking::new(peer).rounds(rounds),
        _ => Managed::new(tokio.clone(), peer).rounds(rounds),
    };
    let operations = rounds as f64 * 2.0 * CONNECTIONS as f64;
    println!("{:.0} operations per second", operations / elapsed.as_secs_f64());
    true
}

fn async_io(criterion: &mut Criterion) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let tokio = turbopump::tokio::Backend::on(runtime.handle().clone());
    for (name, delay) in [("at_once", 0), ("after_1_ms", 1)] {
        let peer = start_peer(Duration::from_millis(delay));
        if profile(peer, &tokio) {
            return;
        }
        let mut group = criterion.benchmark_group(format!("async_io/{name}"));
        group.throughput(Throughput::Elements(2 * CONNECTIONS as u64));
        let mut blocking = Blocking::new(peer);
        group.bench_function(BenchmarkId::from_parameter("blocking"), |bencher| {
            bencher.iter_custom(|rounds| blocking.rounds(rounds));
        });
        let mut managed = Managed::new(tokio.clone(), peer);
        group.bench_function(BenchmarkId::from_parameter("tokio"), |bencher| {
            bencher.iter_custom(|rounds| managed.rounds(rounds));
        });
        let mut managed = Managed::new(turbopump::smol::Backend::new(), peer);
        group.bench_function(BenchmarkId::from_parameter("smol"), |bencher| {
            bencher.iter_custom(|rounds| managed.rounds(rounds));
        });
        group.finish();
    }
}

criterion_group!(benches, async_io);
criterion_main!(benches);

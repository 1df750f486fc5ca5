//! Connection pools: checkout and return beside bb8, deadpool and mobc, and beside the least that a
//! pool with waiting can be, a semaphore and a queue; then what pooling saves over real sockets.
//!
//! For checkouts, connections are stubs, for the peers a box: sockets cost the same for everybody.
//! The time of an iteration is one checkout and return; `64_over_10` divides the time of all tasks,
//! each of which yields while it holds a connection.

extern crate alloc;

use alloc::sync::Arc;
use core::convert::Infallible;
use core::future::Future;
use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io;
use std::time::Instant;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use crossbeam_queue::ArrayQueue;
use futures_io::{AsyncRead, AsyncWrite};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use turbopump::runtime::backend::{Backend, Endpoint, SocketOptions};
use turbopump::runtime::net::{Connection, ConnectionPool, PoolSettings};

const CONNECTIONS: usize = 10;
const TASKS: u64 = 64;

/// A pool under test, as its users see it.
trait Lends: Clone + Send + Sync + 'static {
    type Lent: Send;
    fn lend(&self) -> impl Future<Output = Self::Lent> + Send;
}

/// Turbopump's backend for tokio, with connections that do nothing.
#[derive(Clone)]
struct Stubs(turbopump::tokio::Backend);

struct Stub;

impl AsyncRead for Stub {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Pending
    }
}

impl AsyncWrite for Stub {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Backend for Stubs {
    type Reader = Stub;
    type Writer = Stub;
    type Listener = ();

    async fn dial(&self, _: SocketAddr, _: &SocketOptions) -> io::Result<(Stub, Stub)> {
        Ok((Stub, Stub))
    }

    async fn resolve(&self, _: &str, _: u16) -> io::Result<Box<[SocketAddr]>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn listen(&self, _: SocketAddr) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn local_address((): &()) -> io::Result<SocketAddr> {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn accept((): &mut (), _: &SocketOptions) -> io::Result<(Stub, Stub, SocketAddr)> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sleep_until(&self, at: Instant) -> impl Future<Output = ()> + Send {
        self.0.sleep_until(at)
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(task);
    }

    fn run_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = T> + Send {
        self.0.run_blocking(work)
    }
}

impl Lends for ConnectionPool<Stubs> {
    type Lent = Connection<Stubs>;

    async fn lend(&self) -> Connection<Stubs> {
        self.get().await.expect("a connection")
    }
}

fn ours() -> ConnectionPool<Stubs> {
    let mut settings = PoolSettings::default();
    settings.connections_max = CONNECTIONS as u32;
    let endpoint = Endpoint::new("127.0.0.1", 1);
    let backend = Stubs(turbopump::tokio::Backend::new());
    ConnectionPool::new(backend, endpoint, settings).expect("settings")
}

/// A semaphore that counts, and a queue that holds.
#[derive(Clone)]
struct Bare {
    free: Arc<Semaphore>,
    queue: Arc<ArrayQueue<Box<u64>>>,
}

struct BareLent {
    bare: Bare,
    value: Option<Box<u64>>,
    permit: Option<tokio::sync::OwnedSemaphorePermit>,
}

impl Drop for BareLent {
    fn drop(&mut self) {
        if let Some(value) = self.value.take() {
            let _ = self.bare.queue.push(value);
        }
        drop(self.permit.take());
    }
}

impl Lends for Bare {
    type Lent = BareLent;

    async fn lend(&self) -> BareLent {
        let permit = Arc::clone(&self.free).acquire_owned().await.expect("never closed");
        BareLent { value: self.queue.pop(), permit: Some(permit), bare: self.clone() }
    }
}

fn bare() -> Bare {
    let queue = ArrayQueue::new(CONNECTIONS);
    for number in 0..CONNECTIONS {
        let _ = queue.push(Box::new(number as u64));
    }
    Bare { free: Arc::new(Semaphore::new(CONNECTIONS)), queue: Arc::new(queue) }
}

struct Boxes;

impl deadpool::managed::Manager for Boxes {
    type Type = Box<u64>;
    type Error = Infallible;

    async fn create(&self) -> Result<Box<u64>, Infallible> {
        Ok(Box::new(0))
    }

    async fn recycle(
        &self,
        _: &mut Box<u64>,
        _: &deadpool::managed::Metrics,
    ) -> deadpool::managed::RecycleResult<Infallible> {
        Ok(())
    }
}

impl Lends for deadpool::managed::Pool<Boxes> {
    type Lent = deadpool::managed::Object<Boxes>;

    async fn lend(&self) -> Self::Lent {
        self.get().await.expect("a connection")
    }
}

impl Lends for deadpool::unmanaged::Pool<Box<u64>> {
    type Lent = deadpool::unmanaged::Object<Box<u64>>;

    async fn lend(&self) -> Self::Lent {
        self.get().await.expect("a connection")
    }
}

impl bb8::ManageConnection for Boxes {
    type Connection = Box<u64>;
    type Error = Infallible;

    async fn connect(&self) -> Result<Box<u64>, Infallible> {
        Ok(Box::new(0))
    }

    async fn is_valid(&self, _: &mut Box<u64>) -> Result<(), Infallible> {
        Ok(())
    }

    fn has_broken(&self, _: &mut Box<u64>) -> bool {
        false
    }
}

impl Lends for bb8::Pool<Boxes> {
    type Lent = bb8::PooledConnection<'static, Boxes>;

    async fn lend(&self) -> Self::Lent {
        self.get_owned().await.expect("a connection")
    }
}

#[mobc::async_trait]
impl mobc::Manager for Boxes {
    type Connection = Box<u64>;
    type Error = Infallible;

    async fn connect(&self) -> Result<Box<u64>, Infallible> {
        Ok(Box::new(0))
    }

    async fn check(&self, connection: Box<u64>) -> Result<Box<u64>, Infallible> {
        Ok(connection)
    }
}

impl Lends for mobc::Pool<Boxes> {
    type Lent = mobc::Connection<Boxes>;

    async fn lend(&self) -> Self::Lent {
        self.get().await.expect("a connection")
    }
}

/// One after the other, in one task.
fn uncontended<P: Lends>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    runtime: &Runtime,
    name: &str,
    pool: &P,
) {
    group.bench_function(name, |b| {
        b.iter_custom(|iterations| {
            let pool = pool.clone();
            runtime.block_on(async move {
                drop(pool.lend().await);
                let started = Instant::now();
                for _ in 0..iterations {
                    drop(pool.lend().await);
                }
                started.elapsed()
            })
        });
    });
}

/// Many tasks over few connections, on two threads.
fn contended<P: Lends>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    runtime: &Runtime,
    name: &str,
    pool: &P,
) {
    group.bench_function(name, |b| {
        b.iter_custom(|iterations| {
            let each = iterations.div_ceil(TASKS);
            let started = Instant::now();
            runtime.block_on(async {
                let tasks: Vec<_> = (0..TASKS)
                    .map(|_| {
                        let pool = pool.clone();
                        tokio::spawn(async move {
                            for _ in 0..each {
                                let lent = pool.lend().await;
                                tokio::task::yield_now().await;
                                drop(lent);
                            }
                        })
                    })
                    .collect();
                for task in tasks {
                    task.await.expect("no panic");
                }
            });
            started.elapsed()
        });
    });
}

macro_rules! all_pools {
    ($measure:ident, $group:expr, $runtime:expr) => {{
        let _entered = $runtime.enter();
        $measure($group, $runtime, "turbopump", &ours());
        $measure($group, $runtime, "semaphore_and_queue", &bare());
        let unmanaged = deadpool::unmanaged::Pool::new(CONNECTIONS);
        for _ in 0..CONNECTIONS {
            unmanaged.try_add(Box::new(0)).expect("there is room");
        }
        $measure($group, $runtime, "deadpool_unmanaged", &unmanaged);
        let managed = deadpool::managed::Pool::<Boxes>::builder(Boxes).max_size(CONNECTIONS);
        $measure($group, $runtime, "deadpool_managed", &managed.build().expect("no time-outs"));
        let bb8 = bb8::Pool::builder().max_size(CONNECTIONS as u32).test_on_check_out(false);
        $measure($group, $runtime, "bb8", &bb8.build_unchecked(Boxes));
        let mobc = mobc::Pool::builder().max_open(CONNECTIONS as u64);
        $measure($group, $runtime, "mobc", &mobc.build(Boxes));
    }};
}

fn checkouts(criterion: &mut Criterion) {
    let current_thread =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut group = criterion.benchmark_group("connections/uncontended");
    all_pools!(uncontended, &mut group, &current_thread);
    group.finish();

    let two_threads = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let mut group = criterion.benchmark_group("connections/64_over_10");
    all_pools!(contended, &mut group, &two_threads);
    group.finish();
}

/// An echo server on a runtime of its own.
fn echo() -> (Runtime, SocketAddr) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
    let address = listener.local_addr().expect("an address");
    runtime.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut bytes = [0; 256];
                while let Ok(len @ 1..) = stream.read(&mut bytes).await {
                    if stream.write_all(&bytes[..len]).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    (runtime, address)
}

async fn ask(connection: &mut turbopump::tokio::Connection) {
    let mut answer = [0; 256];
    connection.write(&[7; 256]).await.expect("written");
    connection.read_exact(&mut answer).await.expect("an answer");
}

fn sockets(criterion: &mut Criterion) {
    let (_server, address) = echo();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let new_pool = |connections_max| {
        let mut settings = PoolSettings::default();
        settings.connections_max = connections_max;
        let backend = turbopump::tokio::Backend::on(runtime.handle().clone());
        ConnectionPool::new(backend, address.into(), settings).expect("settings")
    };
    let mut group = criterion.benchmark_group("connections/sockets");
    group.sample_size(20).measurement_time(Duration::from_secs(2));

    let pool = new_pool(1);
    group.bench_function("get_reused", |b| {
        b.iter(|| runtime.block_on(async { drop(pool.get().await.expect("one")) }));
    });
    group.bench_function("get_dialed", |b| {
        b.iter(|| runtime.block_on(async { pool.get().await.expect("one").discard() }));
    });
    group.bench_function("256_bytes_reusing", |b| {
        b.iter(|| runtime.block_on(async { ask(&mut pool.get().await.expect("one")).await }));
    });
    group.bench_function("256_bytes_reconnecting", |b| {
        b.iter(|| {
            runtime.block_on(async {
                let mut connection = pool.get().await.expect("one");
                ask(&mut connection).await;
                connection.discard();
            });
        });
    });
    group.bench_function("open_1000", |b| {
        b.iter_custom(|iterations| {
            let mut taken = Duration::ZERO;
            for _ in 0..iterations {
                let pool = new_pool(1_000);
                let started = Instant::now();
                assert_eq!(runtime.block_on(pool.warm_up(1_000)), 1_000);
                taken += started.elapsed();
                runtime.block_on(pool.close());
            }
            taken
        });
    });
    group.finish();
}

criterion_group!(benches, checkouts, sockets);
criterion_main!(benches);

//! Batch handles beside batch-channel and kanal, on tokio (two workers) and on smol.
//!
//! One or two tasks send pooled buffers of 1 KiB, which they fill at both ends; another takes up to
//! 100 at once and drops them. Times are per item, from the first to the last that is taken.
//! `send` sends one after the other; `send_many` and `send_iter` send 100 with one call.
//!
//! With `BATCH_HANDLES_PROFILE=NAME:COUNT`, as in `smol, 2/turbopump send:1000000`, it sends COUNT
//! items in that way and does nothing else, for `valgrind --tool=callgrind`.

extern crate alloc;

use alloc::sync::Arc;
use core::future::Future;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::time::Instant;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use turbopump_core::batch::Batch;
use turbopump_core::pool::{ClassLayout, Layout};
use turbopump_std::backend::Backend;
use turbopump_std::batch::{BatchHandler, BatchSender, BatchSettings};
use turbopump_std::memory::{BufferPool, Lease};

const ITEMS: usize = 100;
const WAITING_MAX: u32 = 1_024;
const BYTES: usize = 1_024;

/// Enough for all that wait and are under way, and for threads' caches.
fn pool() -> BufferPool {
    BufferPool::new(&Layout::constant(&[ClassLayout::new(BYTES, 16_384)]))
}

fn item(pool: &BufferPool, number: u64) -> Lease {
    let mut lease = pool.acquire(BYTES).expect("enough buffers");
    lease.dirty_mut()[0] = number as u8;
    lease.dirty_mut()[BYTES - 1] = number as u8;
    lease.commit(BYTES).expect("there is room");
    lease
}

fn touch(lease: &Lease) -> u64 {
    u64::from(lease[0]) + u64::from(lease[BYTES - 1])
}

/// Runs `senders` on the backend and ends when all have.
async fn all<B: Backend, F: Future<Output = ()> + Send + 'static>(
    backend: &B,
    senders: impl Iterator<Item = F>,
) {
    let senders: Vec<_> = senders.collect();
    let left = Arc::new(AtomicU64::new(senders.len() as u64));
    let (done, ended) = kanal::bounded_async::<()>(1);
    for sender in senders {
        let (left, done) = (Arc::clone(&left), done.clone());
        backend.spawn(async move {
            sender.await;
            if left.fetch_sub(1, Ordering::SeqCst) == 1 {
                let _ = done.send(()).await;
            }
        });
    }
    ended.recv().await.expect("they end");
}

struct Touch(AtomicU64);

impl BatchHandler<Lease> for Touch {
    async fn handle(&self, batch: &mut Batch<'static, Lease>) {
        let sum = batch.iter().map(touch).sum();
        self.0.fetch_add(sum, Ordering::Relaxed);
    }
}

async fn ours<B: Backend>(backend: B, producers: u64, each: u64, is_many: bool) -> Duration {
    let pool = pool();
    let mut settings = BatchSettings::of_bytes();
    settings.batch.items_max = ITEMS as u32;
    settings.batch.waiting_max = WAITING_MAX;
    settings.workers = 1;
    let sender = BatchSender::new(backend.clone(), settings, Touch(AtomicU64::new(0)));
    let sender = sender.expect("they can be meant");
    sender.start().expect("tasks");
    let started = Instant::now();
    let senders = (0..producers).map(|_| {
        let (sender, pool) = (sender.clone(), pool.clone());
        async move {
            let mut number = 0;
            while number < each {
                if is_many {
                    let end = each.min(number + ITEMS as u64);
                    let mut items = (number..end).map(|number| item(&pool, number));
                    sender.send_many(&mut items).await.expect("it is open");
                    number = end;
                } else {
                    sender.send(item(&pool, number)).await.expect("it is open");
                    number += 1;
                }
            }
        }
    });
    all(&backend, senders).await;
    sender.stop().await;
    started.elapsed()
}

async fn batch_channel<B: Backend>(
    backend: B,
    producers: u64,
    each: u64,
    is_many: bool,
) -> Duration {
    let pool = pool();
    let (sender, receiver) = batch_channel::bounded::<Lease>(WAITING_MAX as usize);
    let started = Instant::now();
    let (done, ended) = kanal::bounded_async(1);
    backend.spawn(async move {
        let mut sum = 0;
        loop {
            let batch = receiver.recv_batch(ITEMS).await;
            if batch.is_empty() {
                break;
            }
            sum += batch.iter().map(touch).sum::<u64>();
        }
        let _ = done.send(sum).await;
    });
    let senders = (0..producers).map(|_| {
        let (sender, pool) = (sender.clone(), pool.clone());
        async move {
            let mut number = 0;
            while number < each {
                if is_many {
                    let end = each.min(number + ITEMS as u64);
                    let items = (number..end).map(|number| item(&pool, number));
                    sender.send_iter(items).await.expect("it is open");
                    number = end;
                } else {
                    sender.send(item(&pool, number)).await.expect("it is open");
                    number += 1;
                }
            }
        }
    });
    all(&backend, senders).await;
    drop(sender);
    ended.recv().await.expect("it ends");
    started.elapsed()
}

async fn kanal_async<B: Backend>(backend: B, producers: u64, each: u64) -> Duration {
    let pool = pool();
    let (sender, receiver) = kanal::bounded_async::<Lease>(WAITING_MAX as usize);
    let started = Instant::now();
    let (done, ended) = kanal::bounded_async(1);
    backend.spawn(async move {
        let (mut sum, mut taken) = (0, Vec::with_capacity(WAITING_MAX as usize));
        while let Ok(first) = receiver.recv().await {
            sum += touch(&first);
            let _ = receiver.drain_into(&mut taken);
            sum += taken.drain(..).map(|item| touch(&item)).sum::<u64>();
        }
        let _ = done.send(sum).await;
    });
    let senders = (0..producers).map(|_| {
        let (sender, pool) = (sender.clone(), pool.clone());
        async move {
            for number in 0..each {
                sender.send(item(&pool, number)).await.expect("it is open");
            }
        }
    });
    all(&backend, senders).await;
    drop(sender);
    ended.recv().await.expect("it ends");
    started.elapsed()
}

/// One way alone, if it is the wanted one.
fn alone(name: &str, profile: &str, go: impl Fn(u64) -> Duration) {
    let (wanted, count) = profile.rsplit_once(':').expect("BATCH_HANDLES_PROFILE=NAME:COUNT");
    if wanted == name {
        let items = count.parse().expect("a number of items");
        println!("{name}: {:.1} ns per item", go(items).as_nanos() as f64 / items as f64);
    }
}

fn on<B: Backend>(
    criterion: &mut Criterion,
    name: &str,
    backend: &B,
    run: impl Fn(core::pin::Pin<Box<dyn Future<Output = Duration> + Send>>) -> Duration,
) {
    for producers in [1, 2] {
        let mut group = criterion.benchmark_group(format!("batch handles, {name}, {producers}"));
        group.throughput(Throughput::Elements(1));
        let mut measure = |way: &str, go: &dyn Fn(u64) -> Duration| {
            if let Ok(profile) = std::env::var("BATCH_HANDLES_PROFILE") {
                let full = format!("{name}, {producers}/{way}");
                return alone(&full, &profile, |items| go(items.div_ceil(producers)));
            }
            group.bench_function(BenchmarkId::new(way, "pooled 1 KiB"), |b| {
                b.iter_custom(|items| go(items.div_ceil(producers)));
            });
        };
        let own = || backend.clone();
        measure("turbopump send", &|each| run(Box::pin(ours(own(), producers, each, false))));
        measure("turbopump send_many", &|each| run(Box::pin(ours(own(), producers, each, true))));
        measure("batch-channel send", &|each| {
            run(Box::pin(batch_channel(own(), producers, each, false)))
        });
        measure("batch-channel send_iter", &|each| {
            run(Box::pin(batch_channel(own(), producers, each, true)))
        });
        measure("kanal send", &|each| run(Box::pin(kanal_async(own(), producers, each))));
        group.finish();
    }
}

fn handles(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let backend = turbopump::tokio::Backend::on(runtime.handle().clone());
    on(criterion, "tokio", &backend, |future| runtime.block_on(future));
    on(criterion, "smol", &turbopump::smol::Backend::new(), smol::block_on);
}

criterion_group!(benches, handles);
criterion_main!(benches);

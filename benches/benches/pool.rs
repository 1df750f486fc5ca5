//! Pools beside their peers: get a buffer of 1 KiB, touch its first and last byte, return it.
//!
//! Four workloads: one thread; two threads at once, each for itself; got on one thread and returned
//! on another, through a ring of 128 places; and the guide's own rows. Where there are two threads,
//! each is pinned to a core: unpinned ones often land on the same one.
//!
//! `--features jemalloc` adds the allocator of that name, called directly.

mod pool_peers;

use core::hint::black_box;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, criterion_group, criterion_main};
use turbopump_core::pool::{Functions, ObjectParts};
use turbopump_std::memory::{BufferPool, ObjectPool};

use self::pool_peers::{self as peers, Peer};

/// Places of the ring between two threads.
const RING_LEN: usize = 128;

fn pin(core: usize) {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    if let Some(core) = cores.get(core % cores.len().max(1)) {
        core_affinity::set_for_current(*core);
    }
}

fn alone<P: Peer>(group: &mut BenchmarkGroup<'_, WallTime>, peer: &'static P) {
    group.bench_function(P::NAME, |bencher| bencher.iter(|| peers::cycle(peer)));
}

fn one_thread(criterion: &mut Criterion) {
    pin(0);
    let mut group = criterion.benchmark_group("pool/one_thread");
    alone(&mut group, peers::Turbopump::leaked());
    alone(&mut group, peers::TurbopumpCore::leaked());
    alone(&mut group, peers::Opool::leaked());
    alone(&mut group, peers::LockfreeObjectPool::leaked());
    alone(&mut group, peers::Heapless::leaked());
    alone(&mut group, peers::ShardedSlab::leaked());
    alone(&mut group, peers::ArrayQueue::leaked());
    alone(&mut group, &peers::ThreadLocalVec);
    alone(&mut group, &peers::Native);
    #[cfg(feature = "jemalloc")]
    alone(&mut group, &peers::Jemalloc);
    group.finish();
}

/// Both threads do `iterations`, each for itself; what the slower one took.
fn at_once<P: Peer>(peer: &'static P, iterations: u64) -> Duration {
    let barrier = Barrier::new(2);
    let side = |core| {
        pin(core);
        peers::cycle(peer);
        barrier.wait();
        let start = Instant::now();
        for _ in 0..iterations {
            peers::cycle(peer);
        }
        start.elapsed()
    };
    thread::scope(|scope| {
        let other = scope.spawn(|| side(1));
        let here = scope.spawn(|| side(0));
        [other, here].map(|thread| thread.join().expect("no panic")).into_iter().max()
    })
    .unwrap_or_default()
}

fn together<P: Peer>(group: &mut BenchmarkGroup<'_, WallTime>, peer: &'static P) {
    group.bench_function(P::NAME, |bencher| {
        bencher.iter_custom(|iterations| at_once(peer, iterations));
    });
}

fn two_threads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pool/two_threads");
    together(&mut group, peers::Turbopump::leaked());
    together(&mut group, peers::TurbopumpCore::leaked());
    together(&mut group, peers::Opool::leaked());
    together(&mut group, peers::LockfreeObjectPool::leaked());
    together(&mut group, peers::Heapless::leaked());
    together(&mut group, peers::ShardedSlab::leaked());
    together(&mut group, peers::ArrayQueue::leaked());
    together(&mut group, &peers::ThreadLocalVec);
    together(&mut group, &peers::Native);
    #[cfg(feature = "jemalloc")]
    together(&mut group, &peers::Jemalloc);
    group.finish();
}

/// Waits for the other thread: spins, and gives way where that one does not even run.
fn wait(spins: &mut u32) {
    *spins += 1;
    if spins.is_multiple_of(1_024) {
        thread::yield_now();
    } else {
        core::hint::spin_loop();
    }
}

/// One thread gets and touches `iterations` buffers, another one returns them.
fn across<T: Send>(iterations: u64, get: impl Fn() -> T) -> Duration {
    let (mut send, mut receive) = rtrb::RingBuffer::<T>::new(RING_LEN);
    let ready = AtomicBool::new(false);
    thread::scope(|scope| {
        let returning = scope.spawn(|| {
            pin(1);
            ready.store(true, Ordering::Release);
            let (mut left, mut spins) = (iterations, 0);
            while left > 0 {
                match receive.pop() {
                    Ok(buffer) => {
                        drop(buffer);
                        left -= 1;
                    }
                    Err(_) => wait(&mut spins),
                }
            }
        });
        pin(0);
        while !ready.load(Ordering::Acquire) {
            core::hint::spin_loop();
        }
        let (start, mut spins) = (Instant::now(), 0);
        for _ in 0..iterations {
            let mut buffer = get();
            while let Err(rtrb::PushError::Full(back)) = send.push(buffer) {
                buffer = back;
                wait(&mut spins);
            }
        }
        returning.join().expect("no panic");
        start.elapsed()
    })
}

fn passed_on<P: Peer<Buffer: Send>>(group: &mut BenchmarkGroup<'_, WallTime>, peer: &'static P) {
    group.bench_function(P::NAME, |bencher| {
        bencher.iter_custom(|iterations| {
            across(iterations, || {
                let mut buffer = peer.get();
                P::touch(&mut buffer);
                buffer
            })
        });
    });
}

fn returned_elsewhere(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pool/returned_elsewhere");
    group.bench_function("ring alone", |bencher| {
        bencher.iter_custom(|iterations| across(iterations, || black_box([0_usize; 2])));
    });
    passed_on(&mut group, peers::Turbopump::leaked());
    passed_on(&mut group, peers::TurbopumpCore::leaked());
    passed_on(&mut group, peers::Opool::leaked());
    passed_on(&mut group, peers::LockfreeObjectPoolOwned::leaked());
    passed_on(&mut group, peers::Heapless::leaked());
    passed_on(&mut group, peers::ShardedSlabOwned::leaked());
    passed_on(&mut group, peers::ArrayQueue::leaked());
    passed_on(&mut group, &peers::ThreadLocalVec);
    passed_on(&mut group, &peers::Native);
    #[cfg(feature = "jemalloc")]
    passed_on(&mut group, &peers::Jemalloc);
    group.finish();
}

/// The rows of the guide: get a buffer and return it, by size; and against the allocator.
fn guide(criterion: &mut Criterion) {
    pin(0);
    let pool: &'static BufferPool = Box::leak(Box::new(BufferPool::standard()));
    let mut group = criterion.benchmark_group("pool/guide");
    for (name, len) in [("small", 64), ("medium", 1_024), ("large", 16_384)] {
        group.bench_function(BenchmarkId::new("GetBuffer", name), |bencher| {
            bencher.iter(|| {
                let lease = pool.acquire(black_box(len)).expect("one is free");
                black_box(&lease);
            });
        });
    }
    let turbopump = peers::Turbopump::leaked();
    group.bench_function("GetBuffer/concurrent", |bencher| {
        bencher.iter_custom(|iterations| at_once(turbopump, iterations));
    });
    // The guide's comparison writes the whole of it: a zeroed block, as Go's `make` gives it.
    group.bench_function("PoolAgainstNative/pool", |bencher| {
        bencher.iter(|| {
            let mut lease = pool.acquire(black_box(1_024)).expect("one is free");
            black_box(lease.extend_zeroed(1_024).expect("it fits"));
        });
    });
    group.bench_function("PoolAgainstNative/native", |bencher| {
        bencher.iter(|| black_box(vec![0_u8; black_box(1_024)]));
    });
    group.finish();
}

/// Values of one's own type: a vector that keeps its capacity.
fn objects(criterion: &mut Criterion) {
    const COUNT: usize = 64;
    pin(0);
    let create = || Vec::<u8>::with_capacity(1_024);
    let mut group = criterion.benchmark_group("pool/objects");
    let ours = ObjectPool::new(COUNT, create, Vec::clear).expect("room for some");
    ours.warm_up(COUNT);
    group.bench_function("turbopump", |bencher| {
        bencher.iter(|| ours.get().expect("one is free").push(black_box(1)));
    });
    let manage = Functions::new(create, |list: &mut Vec<u8>| list.clear());
    let core = turbopump_core::pool::ObjectPool::new(ObjectParts::on_heap(COUNT), manage);
    let core = core.expect("room for some");
    core.warm_up(COUNT);
    group.bench_function("turbopump core", |bencher| {
        bencher.iter(|| core.get().expect("one is free").push(black_box(1)));
    });
    let opool = opool::Pool::new_prefilled(COUNT, peers::Vectors);
    group.bench_function("opool", |bencher| {
        bencher.iter(|| opool.get().push(black_box(1)));
    });
    let lockfree = lockfree_object_pool::LinearObjectPool::new(create, Vec::clear);
    group.bench_function("lockfree-object-pool", |bencher| {
        bencher.iter(|| lockfree.pull().push(black_box(1)));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(40);
    targets = one_thread, two_threads, returned_elsewhere, guide, objects
}
criterion_main!(benches);

//! Batching beside batch-channel and kanal.
//!
//! Times are per item. One thread: 100 items are pushed, taken as one batch and settled. Threads:
//! one or two producers push behind a lock, a consumer takes up to 100 at once; what it drops goes
//! back to the pool it came from, on the consumer's thread.

use core::hint::black_box;
use core::time::Duration;
use std::sync::{Barrier, Mutex, MutexGuard};
use std::thread;
use std::time::Instant as Timer;

use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};
use turbopump_core::batch::{Accumulator, Batch, BatchConfig, BatchStorage, Settled};
use turbopump_core::time::{Instant, Now};
use turbopump_std::memory::{BufferPool, Lease};

/// Items of a batch.
const ITEMS: usize = 100;
/// Items that may wait, here and in the peers' channels.
const WAITING_MAX: u32 = 1_024;
const BYTES: usize = 1_024;

/// What is batched.
trait Item: Send + Sized + 'static {
    const NAME: &'static str;
    type Source: Send + Sync;

    fn source() -> Self::Source;
    fn make(source: &Self::Source, number: u64) -> Self;
    /// What a consumer does at least with an item: look at it.
    fn touch(&self) -> u64;
}

/// As large as most handles: a pointer and a length.
struct Handle(u64, u64);

impl Item for Handle {
    const NAME: &'static str = "16 B handle";
    type Source = ();

    fn source() {}

    fn make((): &(), number: u64) -> Self {
        Self(number, BYTES as u64)
    }

    fn touch(&self) -> u64 {
        self.0 + self.1
    }
}

impl Item for Lease {
    const NAME: &'static str = "pooled 1 KiB";
    type Source = BufferPool;

    fn source() -> BufferPool {
        let pool = BufferPool::server();
        pool.warm_up(1_024);
        pool
    }

    fn make(pool: &BufferPool, number: u64) -> Self {
        loop {
            // A producer that is ahead waits until the consumer has given some back.
            let Ok(mut lease) = pool.acquire(BYTES) else {
                thread::yield_now();
                continue;
            };
            lease.extend_from_slice(&number.to_le_bytes()).expect("room for 1 KiB");
            return lease;
        }
    }

    fn touch(&self) -> u64 {
        self.first().copied().unwrap_or(0).into()
    }
}

fn config() -> BatchConfig {
    // Hidden from the optimiser, as one that was read from a file is.
    black_box(BatchConfig { waiting_max: WAITING_MAX, ..BatchConfig::default() })
}

fn batcher<T>() -> (Accumulator<'static, T>, Batch<'static, T>) {
    let config = config();
    let storage = BatchStorage::on_heap(&config);
    (Accumulator::new(config, storage, 1).expect("a valid configuration"), Batch::on_heap(&config))
}

/// Works on a batch as a peer's consumer does on its vector: looks at each item and drops it.
fn work<T: Item>(
    batcher: &mut Accumulator<'static, T>,
    now: Now,
    batch: &mut Batch<'static, T>,
) -> u64 {
    let mut sum = 0;
    assert!(batcher.poll_batch(now, batch).expect("it is not out"));
    let each = |item: T, how| {
        if how == Settled::Done {
            sum += item.touch();
        }
    };
    batcher.settle(now, batch, each).expect("it is out");
    sum
}

fn one_thread<T: Item>(group: &mut BenchmarkGroup<'_, WallTime>) {
    group.throughput(Throughput::Elements(ITEMS as u64));
    let source = T::source();
    let all = || (0..ITEMS as u64).map(|number| T::make(&source, black_box(number)));
    group.bench_function(BenchmarkId::new("push", T::NAME), |b| {
        let (mut batcher, mut batch) = batcher::<T>();
        let mut us = 0;
        b.iter(|| {
            us += 10;
            let now = Now::new(Instant::from_us(us), 0);
            for item in all() {
                assert!(batcher.push(now, item, BYTES as u64).is_ok());
            }
            work(&mut batcher, now, &mut batch)
        });
    });
    group.bench_function(BenchmarkId::new("push_many", T::NAME), |b| {
        let (mut batcher, mut batch) = batcher::<T>();
        let mut us = 0;
        b.iter(|| {
            us += 10;
            let now = Now::new(Instant::from_us(us), 0);
            let pushed = batcher.push_many(now, &mut all().map(|item| (item, BYTES as u64)));
            assert!(pushed.is_ok());
            work(&mut batcher, now, &mut batch)
        });
    });
    group.bench_function(BenchmarkId::new("batch-channel send_iter", T::NAME), |b| {
        let (sender, receiver) = batch_channel::bounded_sync::<T>(WAITING_MAX as usize);
        let mut taken = Vec::with_capacity(ITEMS);
        b.iter(|| {
            assert!(sender.send_iter(all()).is_ok());
            receiver.recv_vec(ITEMS, &mut taken);
            taken.drain(..).map(|item| item.touch()).sum::<u64>()
        });
    });
    group.bench_function(BenchmarkId::new("kanal drain_into", T::NAME), |b| {
        let (sender, receiver) = kanal::bounded::<T>(WAITING_MAX as usize);
        let mut taken = Vec::with_capacity(ITEMS);
        b.iter(|| {
            all().for_each(|item| assert!(sender.send(item).is_ok()));
            receiver.drain_into(&mut taken).expect("the channel is open");
            taken.drain(..).map(|item| item.touch()).sum::<u64>()
        });
    });
}

/// How items get from producers to the consumer.
trait Way<T>: Sync {
    const NAME: &'static str;

    fn new() -> Self;
    /// Passes on all items of one producer.
    fn produce(&self, items: &mut dyn Iterator<Item = T>);
    /// Takes so many items; returns something made of all of them.
    fn consume(&self, items: u64) -> u64;
}

/// Our own: pushed a hundred at a time under the lock.
struct Ours<T: 'static>(Mutex<Accumulator<'static, T>>);

impl<T: 'static> Ours<T> {
    fn lock(&self) -> MutexGuard<'_, Accumulator<'static, T>> {
        self.0.lock().expect("nobody panics")
    }
}

/// Calls `again` until it says that it is done, giving others time where it could do nothing.
fn wait(mut again: impl FnMut() -> bool) {
    while !again() {
        for _ in 0..64 {
            core::hint::spin_loop();
        }
        thread::yield_now();
    }
}

impl<T: Item> Way<T> for Ours<T> {
    const NAME: &'static str = "push_many behind a mutex";

    fn new() -> Self {
        Self(Mutex::new(batcher().0))
    }

    fn produce(&self, items: &mut dyn Iterator<Item = T>) {
        let now = Now::default();
        let mut held = Vec::with_capacity(ITEMS);
        loop {
            held.extend(items.take(ITEMS));
            if held.is_empty() {
                break;
            }
            let mut left = held.drain(..).map(|item| (item, BYTES as u64));
            wait(|| {
                let pushed = self.lock().push_many(now, &mut left);
                assert!(pushed.is_ok());
                left.len() == 0
            });
        }
    }

    fn consume(&self, items: u64) -> u64 {
        let mut batch = Batch::on_heap(self.lock().config());
        let (mut seen, mut sum) = (0, 0);
        // Whatever is there is taken: its age is that of the linger time.
        let now = Now::new(Instant::from_ms(1_000), 0);
        while seen < items {
            wait(|| {
                let mut batcher = self.lock();
                if batch.ticket().is_some() {
                    assert!(batcher.settle(now, &mut batch, |_, _| ()).is_ok());
                }
                batcher.poll_batch(now, &mut batch).expect("it is settled")
            });
            seen += batch.len() as u64;
            batch.conclude(now, |item, _| sum += item.touch());
        }
        assert!(self.lock().settle(now, &mut batch, |_, _| ()).is_ok());
        sum
    }
}

struct BatchChannel<T>(
    Mutex<Option<batch_channel::SyncSender<T>>>,
    Mutex<Option<batch_channel::SyncReceiver<T>>>,
);

impl<T: Item> Way<T> for BatchChannel<T> {
    const NAME: &'static str = "batch-channel autobatch";

    fn new() -> Self {
        let (sender, receiver) = batch_channel::bounded_sync(WAITING_MAX as usize);
        Self(Mutex::new(Some(sender)), Mutex::new(Some(receiver)))
    }

    fn produce(&self, items: &mut dyn Iterator<Item = T>) {
        let mut sender = self.0.lock().expect("nobody panics").clone().expect("it is open");
        let sent = sender.autobatch(ITEMS, |sender| {
            for item in items {
                sender.send(item)?;
            }
            Ok(())
        });
        assert!(sent.is_ok());
    }

    fn consume(&self, items: u64) -> u64 {
        let receiver = self.1.lock().expect("nobody panics").take().expect("one consumer");
        let mut taken = Vec::with_capacity(ITEMS);
        let (mut seen, mut sum) = (0, 0);
        while seen < items {
            receiver.recv_vec(ITEMS, &mut taken);
            seen += taken.len() as u64;
            sum += taken.drain(..).map(|item| item.touch()).sum::<u64>();
        }
        sum
    }
}

struct Kanal<T>(kanal::Sender<T>, kanal::Receiver<T>);

impl<T: Item> Way<T> for Kanal<T> {
    const NAME: &'static str = "kanal drain_into";

    fn new() -> Self {
        let (sender, receiver) = kanal::bounded(WAITING_MAX as usize);
        Self(sender, receiver)
    }

    fn produce(&self, items: &mut dyn Iterator<Item = T>) {
        items.for_each(|item| assert!(self.0.send(item).is_ok()));
    }

    fn consume(&self, items: u64) -> u64 {
        let mut taken = Vec::with_capacity(ITEMS);
        let (mut seen, mut sum) = (0, 0);
        while seen < items {
            if self.1.drain_into(&mut taken).expect("it is open") == 0 {
                // Sleeps where there is nothing.
                taken.push(self.1.recv().expect("it is open"));
            }
            seen += taken.len() as u64;
            sum += taken.drain(..).map(|item| item.touch()).sum::<u64>();
        }
        sum
    }
}

/// The time that `items` take from all producers to the consumer, which is this thread.
fn pass<T: Item, W: Way<T>>(source: &T::Source, producers: u64, items: u64) -> Duration {
    let way = W::new();
    let begin = Barrier::new(producers as usize + 1);
    thread::scope(|scope| {
        for producer in 0..producers {
            let (way, begin) = (&way, &begin);
            // The first ones take what is left over.
            let share = items / producers + u64::from(producer < items % producers);
            scope.spawn(move || {
                begin.wait();
                way.produce(&mut (0..share).map(|number| T::make(source, black_box(number))));
            });
        }
        begin.wait();
        let start = Timer::now();
        black_box(way.consume(items));
        start.elapsed()
    })
}

fn threads<T: Item, W: Way<T>>(group: &mut BenchmarkGroup<'_, WallTime>, producers: u64) {
    group.throughput(Throughput::Elements(1));
    let source = T::source();
    group.bench_function(BenchmarkId::new(W::NAME, T::NAME), |b| {
        b.iter_custom(|items| pass::<T, W>(&source, producers, items));
    });
}

fn batches(c: &mut Criterion) {
    let mut group = c.benchmark_group("batch 100, one thread");
    one_thread::<Handle>(&mut group);
    one_thread::<Lease>(&mut group);
    group.finish();
    for producers in [1, 2] {
        let mut group = c.benchmark_group(format!("batch, {producers} producers"));
        threads::<Handle, Ours<_>>(&mut group, producers);
        threads::<Handle, BatchChannel<_>>(&mut group, producers);
        threads::<Handle, Kanal<_>>(&mut group, producers);
        threads::<Lease, Ours<_>>(&mut group, producers);
        threads::<Lease, BatchChannel<_>>(&mut group, producers);
        threads::<Lease, Kanal<_>>(&mut group, producers);
        group.finish();
    }
}

/// The rows of the guide: one item at a time, by one thread and by four behind a lock.
fn guide(c: &mut Criterion) {
    let mut group = c.benchmark_group("guide");
    group.throughput(Throughput::Elements(1));
    let now = Now::default();
    group.bench_function("AddItem", |b| {
        let (mut batcher, mut batch) = batcher::<Handle>();
        b.iter(|| add(&mut batcher, &mut batch, now));
    });
    group.bench_function("AddItem, 4 threads", |b| {
        b.iter_custom(|items| {
            let shared = Mutex::new(batcher::<Handle>());
            let start = Timer::now();
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        for _ in 0..items.div_ceil(4) {
                            let mut guard = shared.lock().expect("nobody panics");
                            let (batcher, batch) = &mut *guard;
                            add(batcher, batch, now);
                        }
                    });
                }
            });
            start.elapsed()
        });
    });
    group.finish();
}

/// Adds an item, and works on the batch when it is full.
fn add(batcher: &mut Accumulator<'static, Handle>, batch: &mut Batch<'static, Handle>, now: Now) {
    assert!(batcher.push(now, Handle::make(&(), black_box(1)), BYTES as u64).is_ok());
    if batcher.waiting() >= ITEMS {
        black_box(work(batcher, now, batch));
    }
}

criterion_group!(benches, batches, guide);
criterion_main!(benches);

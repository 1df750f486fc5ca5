//! What heap pools and their threads promise. Runs under Miri as it is.

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use alloc::string::String;
use alloc::vec::Vec;
use std::sync::{Barrier, Mutex, MutexGuard, mpsc};
use std::thread;

use turbopump_core::pool::{
    AcquireRefused, BufferSource, CLASS_BYTES, ClassLayout, LOCAL_CACHES, Layout, Request,
    WARM_UP_COUNT,
};

use super::caches::{lock, pools_alive};
use super::*;

/// The tests that count pools, and all others, run one after the other.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    lock(&ALONE)
}

fn pool(count: usize) -> BufferPool {
    BufferPool::new(&Layout::constant(&[ClassLayout::new(64, count), ClassLayout::new(256, 8)]))
}

fn assert_all_back(pool: &BufferPool, acquisitions: usize) {
    let stats = pool.stats();
    assert_eq!((stats.in_use, stats.acquisitions), (0, acquisitions), "{stats:?}");
    assert_eq!(stats.releases, acquisitions);
}

#[test]
fn numbers_are_exact_for_one_thread() {
    let _alone = alone();
    let pool = pool(64);
    let held: Vec<_> = (0..3).map(|_| pool.acquire(10).expect("one is free")).collect();
    let stats = pool.class_stats()[0];
    assert_eq!((stats.in_use, stats.acquisitions, stats.high_water), (3, 3, 3));
    assert_eq!((stats.hits, stats.misses), (3, 0));
    assert!(stats.parked > 0, "the cache holds some");
    drop(held);
    for _ in 0..100 {
        drop(pool.acquire(10).expect("one is free"));
    }
    let stats = pool.class_stats()[0];
    assert_eq!((stats.in_use, stats.acquisitions, stats.high_water), (0, 103, 3));
    pool.flush_this_thread();
    let stats = pool.class_stats()[0];
    assert_eq!((stats.in_use, stats.parked, stats.acquisitions), (0, 0, 103));
}

#[test]
fn one_thread_gets_all_there_are_and_then_a_refusal() {
    let _alone = alone();
    let pool = pool(32);
    let mut held: Vec<_> = (0..32).map(|_| pool.acquire(10).expect("one is free")).collect();
    let refused = pool.acquire(10).expect_err("all are taken");
    let expected =
        AcquireRefused::Empty { len: 10, class_bytes: 64, count: 32, next_class_bytes: Some(256) };
    assert_eq!(refused, expected);
    let larger = pool.acquire_with(Request::bytes(10).or_next_class()).expect("one is free");
    assert_eq!(larger.capacity(), 256);
    let refused = pool.acquire(257).expect_err("larger than any");
    assert_eq!(refused, AcquireRefused::TooLarge { len: 257, max: 256 });
    held.pop();
    assert!(pool.acquire(10).is_ok());
}

#[test]
fn a_thread_that_ends_gives_everything_back() {
    let _alone = alone();
    let pool = pool(64);
    for _ in 0..4 {
        let pool = pool.clone();
        let thread = thread::spawn(move || {
            let held: Vec<_> = (0..20).map(|_| pool.acquire(1).expect("one is free")).collect();
            drop(held);
            assert!(pool.stats().parked > 0);
        });
        thread.join().expect("no panic");
    }
    assert_all_back(&pool, 80);
    let stats = pool.stats();
    assert_eq!(stats.parked, 0);
    assert!((20..=64).contains(&stats.high_water), "{stats:?}");
    let all: Vec<_> = (0..64).map(|_| pool.acquire(1).expect("nothing is lost")).collect();
    assert_eq!(all.len(), 64);
}

#[test]
fn buffers_pass_from_thread_to_thread() {
    let _alone = alone();
    let pool = pool(64);
    let (send, receive) = mpsc::sync_channel::<Chunk>(16);
    let taker = thread::spawn(move || receive.into_iter().map(|chunk| chunk.len()).sum::<usize>());
    let rounds = if cfg!(miri) { 100 } else { 10_000 };
    for round in 0..rounds {
        let mut lease = loop {
            match pool.acquire(64) {
                Ok(lease) => break lease,
                Err(_) => thread::yield_now(),
            }
        };
        lease.extend_zeroed(round % 65).expect("it fits");
        send.send(lease.freeze()).expect("the other thread listens");
    }
    drop(send);
    assert_eq!(taker.join().expect("no panic"), (0..rounds).map(|round| round % 65).sum::<usize>());
    assert_all_back(&pool, rounds);
}

#[test]
fn threads_that_race_share_what_there_is() {
    let _alone = alone();
    let pool = pool(48);
    let (threads, rounds) = if cfg!(miri) { (2, 20) } else { (4, 20_000) };
    let (barrier, served) = (Barrier::new(threads), AtomicUsize::new(0));
    thread::scope(|scope| {
        let racer = |number: usize| {
            let (pool, barrier, served) = (&pool, &barrier, &served);
            move || {
                barrier.wait();
                let mut held: Vec<Lease> = Vec::new();
                for round in 0..rounds {
                    let Ok(mut lease) = pool.acquire(8) else {
                        held.clear();
                        continue;
                    };
                    served.fetch_add(1, Ordering::Relaxed);
                    let mark = [number as u8; 8];
                    lease.extend_from_slice(&mark).expect("it fits");
                    held.push(lease);
                    assert!(held.iter().all(|lease| lease[..] == mark), "written by another");
                    held.truncate(round % 9);
                }
            }
        };
        // Joined one by one: a scope alone does not wait for what threads do at their very end.
        let all: Vec<_> = (0..threads).map(|number| scope.spawn(racer(number))).collect();
        all.into_iter().for_each(|thread| thread.join().expect("no panic"));
    });
    assert_all_back(&pool, served.load(Ordering::Relaxed));
    assert_eq!(pool.stats().parked, 0, "all of them have ended");
}

#[test]
fn buffers_outlive_their_pool() {
    let _alone = alone();
    let before = pools_alive();
    let pool = pool(16);
    let mut lease = pool.acquire(5).expect("one is free");
    lease.extend_from_slice(b"bytes").expect("it fits");
    let bytes = lease.freeze().into_bytes();
    drop(pool);
    assert_eq!(pools_alive(), before + 1);
    let tail = bytes.slice(2..);
    drop(bytes);
    thread::spawn(move || assert_eq!(&tail[..], b"tes")).join().expect("no panic");
    assert_eq!(pools_alive(), before, "freed with the last of its bytes");
}

#[test]
fn pools_that_come_and_go_leave_nothing_behind() {
    let _alone = alone();
    let before = pools_alive();
    for _ in 0..if cfg!(miri) { 3 } else { 3 * LOCAL_CACHES } {
        let pool = pool(16);
        drop(pool.acquire(1).expect("one is free"));
        let other = pool.clone();
        thread::spawn(move || drop(other.acquire(1))).join().expect("no panic");
    }
    assert_eq!(pools_alive(), before);
}

#[test]
fn another_threads_cache_keeps_a_closed_pool_until_it_opens_another() {
    let _alone = alone();
    let before = pools_alive();
    let (first, second) = (pool(16), pool(16));
    let (send, receive) = mpsc::channel::<BufferPool>();
    let (done, wait) = mpsc::channel();
    let thread = thread::spawn(move || {
        for pool in receive {
            drop(pool.acquire(1));
            drop(pool);
            done.send(()).expect("the test listens");
        }
    });
    send.send(first.clone()).expect("the thread listens");
    wait.recv().expect("the thread answers");
    drop(first);
    assert_eq!(pools_alive(), before + 2, "the thread's cache is in front of the closed pool");
    send.send(second.clone()).expect("the thread listens");
    wait.recv().expect("the thread answers");
    assert_eq!(pools_alive(), before + 1);
    drop((second, send));
    thread.join().expect("no panic");
    assert_eq!(pools_alive(), before);
}

#[test]
fn more_pools_than_a_thread_has_caches_work_all_the_same() {
    let _alone = alone();
    // One more is enough for two of them to share a place.
    let more = if cfg!(miri) { LOCAL_CACHES + 1 } else { 2 * LOCAL_CACHES };
    let pools: Vec<_> = (0..more).map(|_| pool(8)).collect();
    for round in 0..if cfg!(miri) { 1 } else { 3 } {
        let held: Vec<_> = pools.iter().map(|pool| pool.acquire(1).expect("one is free")).collect();
        drop(held);
        pools.iter().for_each(|pool| assert_all_back(pool, round + 1));
    }
}

#[test]
fn classes_too_small_for_caches_lose_nothing() {
    let _alone = alone();
    let pool = pool(1);
    for _ in 0..10 {
        let held = pool.acquire(1).expect("the only one");
        assert!(pool.acquire(1).is_err());
        drop(held);
        let pool = pool.clone();
        thread::spawn(move || drop(pool.acquire(1).expect("the only one"))).join().expect("ok");
    }
    assert_all_back(&pool, 20);
}

#[test]
fn a_buffer_dropped_after_the_threads_cache_goes_to_the_pool() {
    std::thread_local! {
        static KEPT: core::cell::RefCell<Option<Lease>> = const { core::cell::RefCell::new(None) };
    }
    let _alone = alone();
    let pool = pool(16);
    let other = pool.clone();
    let thread = thread::spawn(move || {
        // Made before the cache's guard, so dropped after it.
        KEPT.with(|kept| *kept.borrow_mut() = None);
        let lease = other.acquire(1).expect("one is free");
        KEPT.with(|kept| *kept.borrow_mut() = Some(lease));
    });
    thread.join().expect("no panic");
    assert_all_back(&pool, 1);
    assert_eq!(pool.stats().parked, 0);
}

#[test]
fn warming_up_makes_buffers_ready_and_counts_nothing() {
    let _alone = alone();
    let pool = pool(2 * WARM_UP_COUNT);
    assert_eq!(pool.warm_up(WARM_UP_COUNT), WARM_UP_COUNT + 8);
    assert_eq!(pool.stats().acquisitions, 0);
}

#[test]
fn the_usual_pools_have_the_usual_classes() {
    let standard = Layout::constant(&STANDARD_CLASSES);
    assert_eq!(standard.classes().iter().map(ClassLayout::bytes).collect::<Vec<_>>(), CLASS_BYTES);
    assert!(standard.classes().iter().all(|class| class.count() >= WARM_UP_COUNT));
    // Miri would look after each of these bytes.
    if !cfg!(miri) {
        let _alone = alone();
        assert_eq!(BufferPool::standard().len_max(), 65_536);
        assert_eq!(BufferPool::server().len_max(), 4 << 20);
        assert_eq!(default_pool().warm_up(WARM_UP_COUNT), 6 * WARM_UP_COUNT);
    }
}

#[test]
fn a_pool_is_a_source_of_buffers() {
    fn first_byte(source: &impl BufferSource) -> Result<u8, AcquireRefused> {
        let mut lease = source.acquire_with(Request::bytes(10))?;
        lease.extend_zeroed(1).map(|bytes| bytes[0]).map_err(|_| unreachable!("it fits"))
    }
    let _alone = alone();
    assert_eq!(first_byte(&pool(16)), Ok(0));
    if !cfg!(miri) {
        assert_eq!(first_byte(default_pool()), Ok(0));
    }
}

#[test]
fn registered_pools_are_found_by_name_and_type() {
    const LINES: Key<String> = Key::new("lines");
    const NUMBERS: Key<u64> = Key::new("lines");
    let pools = ObjectPools::new();
    let lines = ObjectPool::new(2, String::new, String::clear).expect("room for two");
    pools.register(LINES, lines.clone()).expect("the first of its name");
    let refused = pools.register(LINES, lines.clone()).expect_err("the second of its name");
    assert_eq!(refused.pool.count(), 2, "what is refused comes back");
    let numbers = ObjectPool::new(3, || 7, |number| *number = 7).expect("room for three");
    pools.register(NUMBERS, numbers).expect("the same name, another type");
    let mut line = pools.get(LINES).expect("was registered").get().expect("one is free");
    line.push_str("text");
    assert_eq!(*pools.get(NUMBERS).expect("was registered").get().expect("one is free"), 7);
    let stats = pools.stats();
    assert_eq!(stats.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["lines", "lines"]);
    assert!(pools.remove(LINES).is_some() && pools.get(LINES).is_none());
    drop(line);
    assert_eq!(lines.stats().in_use, 0);
    assert!(default_object_pools().get(Key::<Vec<u8>>::new("none")).is_none());
}

#[test]
fn objects_are_shared_among_threads() {
    let pool = ObjectPool::new(8, Vec::<u8>::new, Vec::clear).expect("room for eight");
    let stop = AtomicBool::new(false);
    let rounds = if cfg!(miri) { 50 } else { 20_000 };
    thread::scope(|scope| {
        for number in 0..3_u8 {
            let (pool, stop) = (&pool, &stop);
            scope.spawn(move || {
                for _ in 0..rounds {
                    let mut list = pool.get().expect("there are more than threads");
                    assert!(list.is_empty());
                    list.extend([number; 3]);
                    assert_eq!(**list, [number; 3]);
                }
                stop.store(true, Ordering::Relaxed);
            });
        }
    });
    assert!(stop.load(Ordering::Relaxed));
    assert_eq!((pool.stats().in_use, pool.stats().acquisitions), (0, 3 * rounds));
}

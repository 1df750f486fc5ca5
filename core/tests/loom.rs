//! The pool under every interleaving of two threads, and every value a relaxed load may see.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test -p turbopump-core --features alloc --test loom
//! --release`. Models stay tiny on purpose: two threads, two slots, a handful of operations each;
//! loom explores all orders of those, and tells when the memory of a slot is touched by two threads
//! at once (through the witness that each slot has under loom).
//!
//! Loom 0.7 forgets an access to an atomic when the same thread accesses it once more, so it does
//! not run every order of two threads of which one loads a value and then changes it. Therefore
//! the spawned thread, which runs last unless something forces it forward, is always the one whose
//! view of the other's past is in question.
#![cfg(loom)]

use loom::thread;
use turbopump_core::pool::{
    BufferSource as _, Cache, Chunk, ClassLayout, Functions, Heap, Home, Layout, Lease, Magazine,
    ObjectParts, ObjectPool, OwnedRef, Pool, Recycle, Slot, SlotPool as _,
};

type Shared = OwnedRef<Pool<'static>>;

fn pool(slots: usize) -> Shared {
    let classes = [ClassLayout::new(64, slots).with_headroom(0)];
    let layout = Layout::new(&classes).expect("one class");
    OwnedRef::new(Pool::new(&layout, Heap).expect("the heap has enough"))
}

/// A chunk that shows `xy`.
fn frozen(pool: &Shared) -> Chunk<Shared> {
    let mut lease = pool.acquire(1).expect("one is free");
    lease.extend_from_slice(b"xy").expect("it fits");
    lease.freeze()
}

/// Writes a mark and reads it back: loom sees both.
fn use_up(mut lease: Lease<Shared>, mark: u8) {
    lease.extend_from_slice(&[mark]).expect("it fits");
    assert_eq!(lease[..], [mark]);
}

#[test]
fn two_threads_never_get_the_same_slot() {
    loom::model(|| {
        let pool = pool(2);
        let other = pool.clone();
        let thread = thread::spawn(move || {
            // Two slots for two threads with one lease each: neither may be refused.
            use_up(other.acquire(1).expect("one slot is free"), 1);
        });
        let lease = pool.acquire(1).expect("one slot is free");
        use_up(lease, 2);
        thread.join().expect("no panic");
        let stats = pool.stats();
        assert_eq!((stats.in_use, stats.acquisitions, stats.misses), (0, 2, 0));
    });
}

#[test]
fn a_slot_given_back_is_found_again() {
    loom::model(|| {
        let pool = pool(1);
        let held = pool.acquire(1).expect("the only one");
        let thread = thread::spawn(move || use_up(held, 1));
        // Refused or served, depending on who was first; never a slot that is still in use.
        if let Ok(lease) = pool.acquire(1) {
            use_up(lease, 2);
        }
        thread.join().expect("no panic");
        use_up(pool.acquire(1).expect("it is back"), 3);
    });
}

#[test]
fn racing_advice_loses_no_slot() {
    loom::model(|| {
        let pool = pool(2);
        let (first, second) = (pool.acquire(1), pool.acquire(1));
        let (first, second) = (first.expect("one is free"), second.expect("one is free"));
        // Both give back at once: one of them may fall out of the list of advice.
        let thread = thread::spawn(move || drop(first));
        drop(second);
        thread.join().expect("no panic");
        let both = [pool.acquire(1), pool.acquire(1)];
        assert!(both.iter().all(Result::is_ok), "a sweep finds what the list has lost");
        assert!(pool.acquire(1).is_err());
    });
}

#[test]
fn the_last_chunk_gives_the_slot_back_after_all_have_read() {
    loom::model(|| {
        let pool = pool(1);
        let chunk = frozen(&pool);
        let (clone, other) = (chunk.clone(), pool.clone());
        let thread = thread::spawn(move || {
            drop(clone);
            // Served if that was the last one, or the other is gone by now.
            if let Ok(lease) = other.acquire(1) {
                use_up(lease, 1);
            }
        });
        assert_eq!(chunk, b"xy");
        drop(chunk);
        thread.join().expect("no panic");
        use_up(pool.acquire(1).expect("nobody reads it any more"), 2);
    });
}

#[test]
fn cloning_and_dropping_race() {
    loom::model(|| {
        let pool = pool(1);
        let chunk = frozen(&pool);
        let part = chunk.slice(1..).expect("within");
        let thread = thread::spawn(move || {
            let again = part.clone();
            drop(part);
            assert_eq!(again, b"y");
        });
        drop(chunk);
        thread.join().expect("no panic");
        assert_eq!(pool.stats().in_use, 0);
    });
}

#[test]
fn a_sole_chunk_may_be_written_after_all_have_read() {
    loom::model(|| {
        let pool = pool(1);
        let chunk = frozen(&pool);
        let clone = chunk.clone();
        let thread = thread::spawn(move || match clone.try_unique() {
            Ok(mut lease) => lease[0] = b'!',
            Err(clone) => assert_eq!(clone, b"xy"),
        });
        assert_eq!(chunk, b"xy");
        drop(chunk);
        thread.join().expect("no panic");
        assert_eq!(pool.stats().in_use, 0);
    });
}

/// A recycler that can be read as long as the pool is there, and is written when that is freed.
#[derive(Default)]
struct Watched(loom::cell::UnsafeCell<()>);

impl Watched {
    fn read(&self) {
        self.0.with(|_| ());
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.with_mut(|_| ());
    }
}

impl<H: Home> Recycle<H> for Watched {
    fn recycle(slot: Slot<H>) {
        slot.release();
    }
}

#[test]
fn the_last_reference_frees_the_pool_after_all_have_used_it() {
    loom::model(|| {
        let classes = [ClassLayout::new(64, 1)];
        let layout = Layout::new(&classes).expect("one class");
        let pool = OwnedRef::new(Pool::on_heap(&layout, Watched::default()));
        let lease = pool.acquire(1).expect("the only one");
        let thread = thread::spawn(move || drop(lease));
        pool.recycler().read();
        drop(pool);
        thread.join().expect("no panic");
    });
}

#[test]
fn a_cache_and_a_thread_share_a_pool() {
    // Claims of three slots meet claims of one: more orders than there is time for. Three switches
    // at any point are what the mistakes in such code take.
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        // An eighth of eight slots: a magazine for one.
        let pool = pool(8);
        let magazines: std::sync::Arc<[Magazine]> = std::sync::Arc::new([Magazine::new()]);
        let cache = Cache::new(pool.clone(), magazines.clone()).expect("one per class");
        let thread = thread::spawn(move || {
            use_up(cache.acquire(1).expect("one is free"), 1);
            let slot = cache.take(0).expect("one is free");
            cache.put(slot).expect("its own pool");
        });
        use_up(pool.acquire(1).expect("one is free"), 2);
        thread.join().expect("no panic");
        let stats = pool.class_stats_with(0, [&magazines[..]]).expect("there is a class 0");
        assert_eq!((stats.in_use, stats.parked, stats.acquisitions), (0, 0, 3));
    });
}

#[test]
fn a_buffer_of_a_cache_comes_back_from_another_thread() {
    loom::model(|| {
        let pool = pool(8);
        let magazines: std::sync::Arc<[Magazine]> = std::sync::Arc::new([Magazine::new()]);
        let cache = Cache::new(pool.clone(), magazines.clone()).expect("one per class");
        // References are paid for in bulk: one for this lease, one for what stays in the magazine.
        let mut lease = cache.acquire(1).expect("one is free");
        lease.extend_from_slice(b"x").expect("it fits");
        let chunk = lease.freeze();
        let thread = thread::spawn(move || {
            assert_eq!(chunk, b"x");
            drop(chunk);
        });
        // Gives the magazine's slot and its reference back while the other thread does its own.
        drop(cache);
        thread.join().expect("no panic");
        let stats = pool.class_stats_with(0, [&magazines[..]]).expect("there is a class 0");
        assert_eq!((stats.in_use, stats.parked, stats.acquisitions), (0, 0, 1));
        let all: Vec<_> = core::iter::from_fn(|| pool.acquire(1).ok()).collect();
        assert_eq!(all.len(), 8, "nothing is lost");
    });
}

#[test]
fn objects_have_one_user() {
    loom::model(|| {
        let manage = Functions::new(|| 0_u32, |number: &mut u32| *number = 0);
        let pool = ObjectPool::new(ObjectParts::on_heap(1), manage).expect("room for one");
        let pool = OwnedRef::new(pool);
        let other = pool.clone();
        let thread = thread::spawn(move || {
            if let Ok(mut number) = other.get() {
                *number += 1;
                assert_eq!(*number, 1, "reset, and used by nobody else");
            }
        });
        if let Ok(mut number) = pool.get() {
            *number += 1;
            assert_eq!(*number, 1, "reset, and used by nobody else");
        }
        thread.join().expect("no panic");
        assert_eq!(pool.stats().in_use, 0);
    });
}

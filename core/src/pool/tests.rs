//! What pools promise, one promise at a time. Runs under Miri as it is.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Write as _;

use super::*;
use crate::backing::Backing;

extern crate std;

const CLASSES: [ClassLayout; 3] = [
    ClassLayout::new(64, 4).with_headroom(16),
    ClassLayout::new(100, 2).with_headroom(0),
    ClassLayout::new(5_000, 1).with_headroom(32),
];
const LAYOUT: Layout<'static> = Layout::constant(&CLASSES);

type SmallMemory = Memory<3, 7, { LAYOUT.bytes_len() }>;

/// Runs `test` with a pool over memory on the stack.
fn with_pool(test: impl FnOnce(&Pool<'_>)) {
    let mut memory = SmallMemory::new();
    test(&Pool::new(&LAYOUT, &mut memory).expect("memory of its own layout"));
}

#[test]
fn handles_are_two_words() {
    type Borrowed = BorrowedRef<'static, Pool<'static>>;
    type Owned = OwnedRef<Pool<'static>>;
    assert_eq!(size_of::<Lease<Borrowed>>(), 16);
    assert_eq!(size_of::<Option<Lease<Owned>>>(), 16);
    assert_eq!(size_of::<Option<Chunk<Owned>>>(), 16);
}

#[test]
fn the_smallest_class_that_fits_serves() {
    with_pool(|pool| {
        for (len, capacity) in [(0, 64), (1, 64), (64, 64), (65, 100), (100, 100), (101, 5_000)] {
            let lease = pool.acquire(len).expect("one is free");
            assert_eq!((lease.capacity(), lease.len()), (capacity, 0), "for {len} bytes");
        }
        let refused = pool.acquire(5_001).expect_err("larger than any");
        assert_eq!(refused, AcquireRefused::TooLarge { len: 5_001, max: 5_000 });
        assert!(pool.acquire(usize::MAX).is_err());
    });
}

#[test]
fn an_empty_class_refuses_and_names_the_next() {
    with_pool(|pool| {
        let held = [pool.acquire(70), pool.acquire(70)];
        assert!(held.iter().all(Result::is_ok));
        let empty = |next_class_bytes| AcquireRefused::Empty {
            len: 70,
            class_bytes: 100,
            count: 2,
            next_class_bytes,
        };
        assert_eq!(pool.acquire(70).expect_err("both are taken"), empty(Some(5_000)));
        let larger = pool.acquire_with(Request::bytes(70).or_next_class()).expect("one is free");
        assert_eq!(larger.capacity(), 5_000);
        assert_eq!(pool.acquire(70).expect_err("all are taken"), empty(None));
        let refused = pool.acquire_with(Request::bytes(70).or_next_class());
        assert_eq!(refused.expect_err("here as well"), empty(None));
        drop(held);
        assert_eq!(pool.acquire(70).expect("they are back").capacity(), 100);
        let stats = pool.class_stats(1).expect("there is a class 1");
        assert_eq!((stats.hits, stats.misses, stats.in_use), (3, 4, 0));
        let larger = pool.class_stats(2).expect("there is a class 2");
        assert_eq!((larger.acquisitions, larger.hits, larger.misses), (1, 0, 0));
    });
}

#[test]
fn a_fresh_lease_shows_no_byte_of_its_last_user() {
    with_pool(|pool| {
        let mut lease = pool.acquire(5_000).expect("one is free");
        lease.extend_from_slice(&[7; 5_000]).expect("it fits");
        lease.prepend(&[8; 32]).expect("it fits");
        assert_eq!(lease.extend_from_slice(b"x"), Err(Full { needed: 1, room: 0 }));
        drop(lease);
        let mut lease = pool.acquire(5_000).expect("the same slot");
        assert!(lease.is_empty() && lease.as_ref().is_empty());
        assert!(lease.extend_zeroed(100).expect("it fits").iter().all(|byte| *byte == 0));
        assert!(lease.prepend_zeroed(32).expect("it fits").iter().all(|byte| *byte == 0));
        assert!(lease.iter().all(|byte| *byte == 0));
        assert_eq!(lease.dirty_mut()[0], 7, "what is plainly named dirty is");
    });
}

#[test]
fn a_lease_grows_in_front_and_behind_and_shrinks() {
    with_pool(|pool| {
        let mut lease = pool.acquire(64).expect("one is free");
        assert_eq!((lease.headroom(), lease.spare(), lease.capacity()), (16, 64, 64));
        write!(lease, "{}-{}", 12, 34).expect("it fits");
        lease.prepend(b">>").expect("it fits");
        assert_eq!(&lease[..], b">>12-34");
        assert_eq!((lease.headroom(), lease.spare(), lease.capacity()), (14, 59, 66));
        lease[0] = b'<';
        lease.advance(1);
        lease.truncate(3);
        assert_eq!(&lease[..], b">12");
        lease.advance(100);
        assert!(lease.is_empty());
        assert_eq!(lease.prepend(&[0; 100]), Err(Full { needed: 100, room: 18 }));
        lease.clear();
        lease.dirty_mut()[..2].copy_from_slice(b"ok");
        lease.commit(2).expect("it was there");
        assert_eq!(&lease[..], b"ok");
        assert_eq!(lease.commit(1_000), Err(Full { needed: 1_000, room: 60 }));
        let long = "x".repeat(100);
        assert!(lease.write_str(&long).is_err(), "formatting beyond the end is an error");
    });
}

#[test]
fn headroom_can_be_asked_for() {
    with_pool(|pool| {
        let lease = |len, headroom| pool.acquire_with(Request::bytes(len).with_headroom(headroom));
        let roomy = lease(10, 70).expect("in the first class, whose slot has 80 bytes");
        assert_eq!((roomy.headroom(), roomy.capacity()), (70, 10));
        let own = lease(10, 3).expect("the class has more than that");
        assert_eq!((own.headroom(), own.capacity()), (16, 64));
        let next = lease(40, 41).expect("in the second class");
        assert_eq!((next.headroom(), next.capacity()), (41, 59));
        let refused = lease(5_000, 33).expect_err("one byte too many");
        assert_eq!(refused, AcquireRefused::TooLarge { len: 5_033, max: 5_000 });
        assert!(lease(usize::MAX, usize::MAX).is_err());
    });
}

#[test]
fn the_next_class_serves_only_if_the_headroom_fits_there_too() {
    let classes =
        [ClassLayout::new(64, 1).with_headroom(200), ClassLayout::new(100, 1).with_headroom(0)];
    let pool = OwnedRef::new(Pool::on_heap(&Layout::new(&classes).expect("ascending"), Direct));
    let request = Request::bytes(60).with_headroom(100).or_next_class();
    let held = pool.acquire_with(request).expect("one is free");
    assert!(held.headroom() >= 100 && held.capacity() >= 60);
    let refused =
        AcquireRefused::Empty { len: 60, class_bytes: 64, count: 1, next_class_bytes: None };
    assert_eq!(pool.acquire_with(request).expect_err("100 bytes are not 160"), refused);
    let smaller = Request::bytes(60).with_headroom(40).or_next_class();
    let next = pool.acquire_with(smaller).expect("100 bytes are just enough");
    assert_eq!((next.headroom(), next.capacity()), (40, 60));
}

#[test]
fn chunks_share_without_copying() {
    with_pool(|pool| {
        let mut lease = pool.acquire(11).expect("one is free");
        lease.extend_from_slice(b"hello world").expect("it fits");
        let address = lease.as_ptr();
        let chunk = lease.freeze();
        assert_eq!(chunk.as_ptr(), address);
        let (hello, world) = (chunk.slice(..5), chunk.slice(6..=10));
        let (hello, world) = (hello.expect("within"), world.expect("within"));
        assert_eq!((hello.as_ref(), world.as_ref()), (&b"hello"[..], &b"world"[..]));
        assert_eq!(world.as_ptr() as usize - address as usize, 6);
        assert!(hello < world && hello != world && hello == hello.clone());
        let (from, to) = (3, 2);
        assert_eq!(chunk.slice(from..to).expect_err("ends before it begins").start, 3);
        let beyond = chunk.slice(..12).expect_err("one byte too many");
        assert_eq!((beyond.start, beyond.end, beyond.len), (0, 12, 11));
        assert!(
            chunk
                .slice((core::ops::Bound::Excluded(usize::MAX), core::ops::Bound::Unbounded))
                .is_err()
        );
        let part = chunk.slice_ref(&chunk[2..4]).expect("its own memory");
        assert_eq!(part, b"ll");
        assert!(chunk.slice_ref(b"not of the pool").is_err());
        assert_eq!(chunk.into_iter().filter(|byte| **byte == b'o').count(), 2);
        assert_eq!(pool.stats().in_use, 1, "all of them are one slot");
    });
}

#[test]
fn chunks_split() {
    with_pool(|pool| {
        let mut lease = pool.acquire(9).expect("one is free");
        lease.extend_from_slice(b"key=value").expect("it fits");
        let mut chunk = lease.freeze();
        let mut value = chunk.split_off(4).expect("within");
        assert_eq!((&chunk[..], &value[..]), (&b"key="[..], &b"value"[..]));
        chunk.truncate(3);
        assert_eq!(chunk.split_to(1).expect("within"), b"k");
        assert_eq!(chunk, b"ey");
        assert!(chunk.split_to(3).is_err() && chunk.advance(3).is_err());
        value.advance(5).expect("all of it");
        assert!(value.is_empty());
        drop(chunk);
        assert_eq!(pool.stats().in_use, 1, "an empty chunk holds its slot, too");
        drop(value);
        assert_eq!(pool.stats().in_use, 0);
    });
}

#[test]
fn a_sole_chunk_becomes_a_lease_again() {
    with_pool(|pool| {
        let mut lease = pool.acquire(10).expect("one is free");
        lease.extend_from_slice(b"0123456789").expect("it fits");
        let chunk = lease.freeze();
        let part = chunk.slice(4..8).expect("within");
        let chunk = chunk.try_unique().expect_err("there are two");
        drop(chunk);
        let mut lease = part.try_unique().expect("there is one");
        assert_eq!(&lease[..], b"4567");
        assert_eq!((lease.headroom(), lease.capacity()), (20, 60));
        lease.prepend(b"!").expect("it fits");
        assert_eq!(&lease[..], b"!4567");
    });
}

#[test]
fn slots_come_back_from_any_thread() {
    let pool = OwnedRef::new(Pool::new(&LAYOUT, Heap).expect("the heap has enough"));
    let (send, receive) = std::sync::mpsc::channel();
    let taker = std::thread::spawn(move || {
        let mut sum = 0_u64;
        for chunk in receive {
            let chunk: Chunk<OwnedRef<Pool<'static>>> = chunk;
            sum += chunk.iter().map(|byte| u64::from(*byte)).sum::<u64>();
        }
        sum
    });
    let rounds: u8 = if cfg!(miri) { 20 } else { 200 };
    let mut expected = 0;
    for round in 0..rounds {
        let mut lease = loop {
            match pool.acquire(8) {
                Ok(lease) => break lease,
                Err(_) => std::thread::yield_now(),
            }
        };
        lease.extend_from_slice(&[round; 8]).expect("it fits");
        expected += u64::from(round) * 8;
        let chunk = lease.freeze();
        drop(chunk.clone());
        send.send(chunk).expect("the other thread listens");
    }
    drop(send);
    assert_eq!(taker.join().expect("no panic"), expected);
    let stats = pool.stats();
    assert_eq!((stats.in_use, stats.acquisitions), (0, usize::from(rounds)));
    assert_eq!(stats.releases, usize::from(rounds));
    assert!(stats.high_water <= 4);
}

#[test]
fn the_last_handle_frees_an_owned_pool() {
    struct Noted(Arc<()>);
    impl<H: Home> Recycle<H> for Noted {
        fn recycle(slot: Slot<H>) {
            slot.release();
        }
    }
    let alive = Arc::new(());
    let noted = Noted(Arc::clone(&alive));
    let pool = OwnedRef::new(Pool::with_recycler(&LAYOUT, Heap, noted).expect("enough"));
    assert_eq!(Arc::strong_count(&pool.recycler().0), 2);
    let chunk = pool.acquire(1).expect("one is free").freeze();
    let other = chunk.clone();
    drop(pool.clone());
    drop((pool, chunk));
    assert_eq!(Arc::strong_count(&alive), 2, "one chunk is left");
    drop(other);
    assert_eq!(Arc::strong_count(&alive), 1);
}

#[test]
fn counters_add_up() {
    with_pool(|pool| {
        let first = pool.acquire(1).expect("one is free");
        let second = pool.acquire(1).expect("one is free");
        drop(first);
        let third = pool.acquire(1).expect("one is free");
        let stats = pool.class_stats(0).expect("there is a class 0");
        assert_eq!((stats.class_bytes, stats.count, stats.in_use), (64, 4, 2));
        assert_eq!((stats.acquisitions, stats.releases), (3, 1));
        assert_eq!((stats.hits, stats.misses, stats.high_water), (3, 0, 2));
        assert_eq!(stats.bytes_held(), 2 * stats.slot_bytes);
        drop((second, third));
        let held: Vec<_> = (0..4).map(|_| pool.acquire(1).expect("one is free")).collect();
        assert!(pool.acquire(1).is_err());
        drop(held);
        let stats = pool.class_stats(0).expect("there is a class 0");
        assert_eq!((stats.in_use, stats.high_water, stats.misses), (0, 4, 1));
        assert!((stats.hit_rate() - 7.0 / 8.0).abs() < f64::EPSILON);
        let total = pool.stats();
        assert_eq!((total.count, total.acquisitions, total.high_water), (7, 7, 4));
        assert_eq!(total.bytes_held, 0);
        assert!(total.bytes_total >= 4 * 64 + 2 * 100 + 5_000);
        assert_eq!(pool.class_stats(3), None);
    });
}

#[test]
fn warming_up_changes_no_number() {
    with_pool(|pool| {
        let held = pool.acquire(64).expect("one is free");
        assert_eq!(pool.warm_up(3), 2 + 2 + 1, "one of the first three is in use");
        assert_eq!(pool.warm_up(WARM_UP_COUNT), 3 + 2 + 1);
        let stats = pool.stats();
        assert_eq!((stats.acquisitions, stats.in_use, stats.high_water), (1, 1, 1));
        drop(held);
    });
}

#[test]
fn storage_that_is_too_small_is_named() {
    let mut memory = Memory::<3, 6, { LAYOUT.bytes_len() }>::new();
    let refused = Pool::new(&LAYOUT, &mut memory).err();
    assert_eq!(refused, Some(StorageError::TooSmall { piece: "slots", len: 6, needed: 7 }));
    let mut memory = Memory::<2, 7, { LAYOUT.bytes_len() }>::new();
    assert!(matches!(
        Pool::new(&LAYOUT, &mut memory).err(),
        Some(StorageError::TooSmall { piece: "rows", .. })
    ));
    let mut bytes = [0; LAYOUT.bytes_len()];
    fn parts(bytes: &mut [u8]) -> Parts<'_> {
        Parts {
            rows: (0..3).map(|_| Row::new()).collect(),
            slots: (0..7).map(|_| SlotState::new()).collect(),
            bytes: Backing::Borrowed(bytes),
        }
    }
    // However the bytes lie, the length that the layout names is enough, and far less is not.
    for start in 0..16 {
        let len = LAYOUT.bytes_len() - 16;
        let short = Pool::new(&LAYOUT, parts(&mut bytes[start..start + len / 2])).err();
        assert!(matches!(short, Some(StorageError::TooSmall { piece: "bytes", .. })));
    }
    assert!(Pool::new(&LAYOUT, parts(&mut bytes)).is_ok());
}

#[test]
fn a_static_pool_is_initialised_once() {
    static POOL: StaticPool<3, 7, { LAYOUT.bytes_len() }> = StaticPool::new();
    let pool = POOL.init(&LAYOUT).expect("the first time");
    assert_eq!(POOL.init(&LAYOUT).err(), Some(StorageError::AlreadyTaken));
    let lease = pool.acquire(100).expect("one is free");
    let chunk: Chunk<BorrowedRef<'static, Pool<'static>>> = lease.freeze();
    std::thread::spawn(move || drop(chunk)).join().expect("no panic");
    assert_eq!(pool.stats().in_use, 0);
}

#[test]
fn objects_are_made_reset_and_kept() {
    let mut memory = ObjectMemory::<String, 2>::new();
    let manage = Functions::new(|| String::with_capacity(100), |text: &mut String| text.clear());
    let pool = ObjectPool::new(&mut memory, manage).expect("room for two");
    assert_eq!(pool.warm_up(10), 2);
    let mut first = pool.get().expect("one is free");
    first.push_str("something");
    assert_eq!(*first, "something");
    let second = pool.get().expect("one is free");
    assert_eq!(pool.get().err(), Some(Exhausted { count: 2 }));
    drop(first);
    let again = pool.get().expect("it came back");
    assert!(again.is_empty() && again.capacity() >= 100);
    assert_eq!(second.detach(), "");
    let fresh = pool.get().expect("its place is free");
    assert!(fresh.capacity() >= 100, "made anew");
    let stats = pool.stats();
    assert_eq!((stats.count, stats.acquisitions, stats.misses), (2, 4, 1));
    assert_eq!((stats.in_use, stats.high_water), (2, 2));
}

#[test]
fn an_object_whose_reset_panics_is_not_seen_again() {
    let reset = |item: &mut u32| assert_ne!(*item, 13, "can't clean this one");
    let pool = ObjectPool::new(ObjectParts::on_heap(1), Functions::new(|| 7_u32, reset));
    let pool = OwnedRef::new(pool.expect("room for one"));
    let mut object = pool.get().expect("one is free");
    *object = 13;
    let result = std::panic::catch_unwind(core::panic::AssertUnwindSafe(|| drop(object)));
    assert!(result.is_err());
    assert_eq!(*pool.get().expect("its place is free"), 7);
}

#[test]
fn an_object_that_cannot_be_made_leaves_its_place_free() {
    let attempts = core::cell::Cell::new(0);
    let create = || {
        attempts.set(attempts.get() + 1);
        assert!(attempts.get() > 2, "can't make this one");
        attempts.get()
    };
    let mut memory = ObjectMemory::<u32, 1>::new();
    let pool = ObjectPool::new(&mut memory, Functions::new(create, |_: &mut u32| ()));
    let pool = pool.expect("room for one");
    let warm_up = || pool.warm_up(1);
    assert!(std::panic::catch_unwind(core::panic::AssertUnwindSafe(warm_up)).is_err());
    let get = || pool.get().map(|object| *object);
    assert!(std::panic::catch_unwind(core::panic::AssertUnwindSafe(get)).is_err());
    assert_eq!(pool.stats().in_use, 0);
    assert_eq!(get(), Ok(3), "neither of them kept the place");
}

#[test]
fn objects_go_where_their_values_may() {
    type Of<T> = Object<OwnedRef<ObjectPool<'static, Functions<fn() -> T, fn(&mut T)>>>>;
    fn send_and_share<T: Send + Sync>() {}
    fn send<T: Send>() {}
    send_and_share::<Of<String>>();
    send::<Of<core::cell::Cell<u32>>>();
}

#[test]
fn an_object_pool_without_room_is_refused() {
    let make = |count| {
        ObjectPool::new(ObjectParts::on_heap(count), Functions::new(|| 0_u8, |_: &mut u8| ()))
    };
    assert!(matches!(make(0).err(), Some(LayoutError::Slots { count: 0, .. })));
    assert!(make(1).is_ok());
}

mod caches {
    use super::*;

    const CLASSES: [ClassLayout; 1] = [ClassLayout::new(64, 32)];
    const LAYOUT: Layout<'static> = Layout::constant(&CLASSES);
    type OneClass = Memory<1, 32, { LAYOUT.bytes_len() }>;

    /// Puts what comes back into the list of whoever asks for it: a recycler of one's own.
    #[derive(Default)]
    struct Kept;

    impl<H: Home> Recycle<H> for Kept {
        fn recycle(slot: Slot<H>) {
            slot.release();
        }
    }

    #[test]
    fn slots_are_exchanged_in_bulk_and_all_come_back() {
        let mut memory = OneClass::new();
        let pool = Pool::with_recycler(&LAYOUT, &mut memory, Kept).expect("memory of its layout");
        let magazines = [Magazine::new()];
        let cache = Cache::new(BorrowedRef::new(&pool), &magazines[..]).expect("one per class");
        let home = *cache.home();
        let first = cache.take(0).expect("one is free");
        let stats = pool.class_stats_with(0, [&magazines[..]]).expect("there is a class 0");
        // A cache asks for an eighth of 32 slots, and fills half of that.
        assert_eq!((stats.in_use, stats.parked), (1, 2));
        assert_eq!((stats.acquisitions, stats.high_water), (1, 1));
        cache.put(first).expect("its own pool");
        let slots: Vec<_> = (0..32).map(|_| cache.take(0).expect("one is free")).collect();
        assert!(cache.take(0).is_none() && home.claim(0).is_none());
        for slot in slots {
            cache.put(slot).expect("its own pool");
        }
        let stats = pool.class_stats_with(0, [&magazines[..]]).expect("there is a class 0");
        assert!((1..=4).contains(&stats.parked), "{stats:?}");
        assert_eq!((stats.in_use, stats.acquisitions, stats.releases), (0, 33, 33));
        assert_eq!(stats.high_water, 32);
        drop(cache);
        let stats = pool.class_stats_with(0, [&magazines[..]]).expect("there is a class 0");
        assert_eq!((stats.in_use, stats.parked, stats.acquisitions), (0, 0, 33));
        let all: Vec<_> = (0..32).map(|_| home.claim(0).expect("all came back")).collect();
        assert!(home.claim(0).is_none());
        drop(all);
    }

    #[test]
    fn foreign_slots_are_given_back_to_the_caller() {
        let (mut one, mut other) = (OneClass::new(), OneClass::new());
        let one = Pool::new(&LAYOUT, &mut one).expect("memory of its layout");
        let other = Pool::new(&LAYOUT, &mut other).expect("memory of its layout");
        let magazines = [Magazine::new()];
        let cache = Cache::new(BorrowedRef::new(&one), &magazines[..]).expect("one per class");
        let slot = BorrowedRef::new(&other).claim(0).expect("one is free");
        let slot = cache.put(slot).expect_err("of the other pool");
        drop(slot);
        assert_eq!(other.stats().in_use, 0);
    }

    #[test]
    fn a_magazine_has_one_owner() {
        let mut memory = OneClass::new();
        let pool = Pool::new(&LAYOUT, &mut memory).expect("memory of its layout");
        let home = BorrowedRef::new(&pool);
        let magazines = [Magazine::new()];
        let cache = Cache::new(home, &magazines[..]).expect("nobody owns it");
        let refused = Cache::new(home, &magazines[..]).err();
        assert_eq!(refused, Some(CacheRefused::Owned { class: 0 }));
        drop(cache);
        drop(Cache::new(home, &magazines[..]).expect("nobody owns it any more"));
        let many = [Magazine::new(), Magazine::new()];
        let refused = Cache::new(home, &many[..]).err();
        assert_eq!(refused, Some(CacheRefused::Magazines { len: 2, needed: 1 }));
    }

    #[test]
    fn caches_never_keep_more_than_half() {
        let mut memory = OneClass::new();
        let pool = Pool::new(&LAYOUT, &mut memory).expect("memory of its layout");
        let magazines: [[Magazine; 1]; 8] = Default::default();
        let caches: Vec<_> = magazines
            .iter()
            .map(|own| Cache::new(BorrowedRef::new(&pool), &own[..]).expect("its own"))
            .collect();
        for cache in &caches {
            let slots: Vec<_> = (0..8).filter_map(|_| cache.take(0)).collect();
            slots.into_iter().for_each(|slot| cache.put(slot).expect("its own pool"));
        }
        let sets = magazines.iter().map(|own| &own[..]);
        let stats = pool.class_stats_with(0, sets).expect("there is a class 0");
        assert!(stats.parked <= 16, "{stats:?}");
        assert_eq!(stats.in_use, 0);
        let free: Vec<_> = core::iter::from_fn(|| pool.acquire(1).ok()).collect();
        assert!(free.len() >= 16);
    }

    #[test]
    fn a_thread_local_that_panics_after_the_fact_leaves_one_owner() {
        use core::cell::Cell;

        type Home = OwnedRef<Pool<'static, Panicking>>;
        std::thread_local! {
            static CACHES: LocalCaches<Home, Arc<[Magazine]>> = const { LocalCaches::new() };
            static PANICS: Cell<bool> = const { Cell::new(false) };
        }
        struct Panicking;
        impl Recycle<Home> for Panicking {
            fn recycle(slot: Slot<Home>) {
                recycle_local::<Self, Home>(slot);
            }
        }
        impl ThreadLocal<Home> for Panicking {
            type Magazines = Arc<[Magazine]>;
            fn with<T>(f: impl FnOnce(&LocalCaches<Home, Self::Magazines>) -> T) -> T {
                let result = CACHES.with(|caches| f(caches));
                assert!(!PANICS.replace(false), "after the fact");
                result
            }
            fn number(&self) -> usize {
                0
            }
            fn open(home: &Home) -> Option<Cache<Home, Self::Magazines>> {
                Cache::new(home.clone(), [Magazine::new()].into()).ok()
            }
            fn is_closed(_: &Home) -> bool {
                false
            }
        }
        let home = OwnedRef::new(Pool::on_heap(&LAYOUT, Panicking));
        let acquire = || acquire_local::<Panicking, Home>(&home, Request::bytes(1));
        let lease = acquire().expect("one is free");
        PANICS.set(true);
        let dropped = std::panic::catch_unwind(core::panic::AssertUnwindSafe(|| drop(lease)));
        assert!(dropped.is_err());
        let all: Vec<_> = core::iter::from_fn(|| acquire().ok()).collect();
        let mut addresses: Vec<_> = all.iter().map(|lease| lease.as_ptr()).collect();
        addresses.sort_unstable();
        addresses.dedup();
        assert_eq!(addresses.len(), all.len(), "no buffer has two owners");
        drop(all);
        CACHES.with(|caches| caches.remove_if(|_| true));
    }

    #[test]
    fn a_cache_is_a_source_of_buffers() {
        let mut memory = OneClass::new();
        let pool = Pool::new(&LAYOUT, &mut memory).expect("memory of its layout");
        let magazines = [Magazine::new()];
        let cache = Cache::new(BorrowedRef::new(&pool), &magazines[..]).expect("one per class");
        let mut lease = cache.acquire(10).expect("one is free");
        lease.extend_from_slice(b"bytes").expect("it fits");
        assert_eq!(lease.freeze(), b"bytes");
        assert!(matches!(cache.acquire(65), Err(AcquireRefused::TooLarge { .. })));
        let all: Vec<_> = core::iter::from_fn(|| cache.acquire(1).ok()).collect();
        assert_eq!(all.len(), 32);
        assert!(matches!(cache.acquire(1), Err(AcquireRefused::Empty { count: 32, .. })));
    }
}

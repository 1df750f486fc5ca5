//! The caches of one thread: what goes into a thread-local variable.
//!
//! This module decides which cache serves which pool; the variable itself, and which pools there
//! are, is the business of whoever has threads: see [`ThreadLocal`].

use core::cell::{Cell, UnsafeCell};
use core::fmt;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;

use super::buffers::{AcquireRefused, Buffers, Request};
use super::cache::Cache;
use super::lease::Lease;
use super::magazine::{Magazine, MagazineSet, Note};
use super::reference::{Home, PoolRef, SlotPool};
use super::slot::Slot;
use super::span::{CLASSES, PLACES, TAGS, Tag};

/// Caches that a [`LocalCaches`] has room for.
pub const LOCAL_CACHES: usize = PLACES;

/// A pool's recycler that keeps slots in a thread-local variable.
pub trait ThreadLocal<R: PoolRef>: Sized {
    /// What the caches are made of.
    type Magazines: MagazineSet;

    /// Shows this thread's caches to `f`.
    fn with<T>(f: impl FnOnce(&LocalCaches<R, Self::Magazines>) -> T) -> T;

    /// A number of the pool's own, small where there are few pools.
    fn number(&self) -> usize;

    /// Makes a cache for this thread in front of `home`; called when there is none.
    /// `None` where the thread is about to end, or caches nothing.
    fn open(home: &R) -> Option<Cache<R, Self::Magazines>>;

    /// True where the cache in front of `home` should make room for others, because nobody will
    /// acquire from that pool any more.
    fn is_closed(home: &R) -> bool;
}

/// The caches of one thread, in front of several pools.
///
/// Pools are told apart by a number of their own, of which the lower bits choose the place. Where
/// two pools share a place, the first has it until [`LocalCaches::remove_if`] takes it away; the
/// other one works without a cache on this thread.
pub struct LocalCaches<R: PoolRef, M: MagazineSet> {
    /// By tag: the magazines of the caches below, or [`NOBODYS`].
    magazines: [Cell<*const Magazine>; TAGS],
    caches: [UnsafeCell<Option<Cache<R, M>>>; LOCAL_CACHES],
}

/// Stands where there is no magazine: belongs to no pool, and never holds a slot.
static NOBODYS: Magazine = Magazine::new();

impl<R: PoolRef, M: MagazineSet> LocalCaches<R, M> {
    /// No caches.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            magazines: [const { Cell::new(&raw const NOBODYS) }; TAGS],
            caches: [const { UnsafeCell::new(None) }; LOCAL_CACHES],
        }
    }

    /// This thread's magazine for slots with this tag of the pool at `home`.
    ///
    /// Must not be held across anything that may change the cache: only functions of this module
    /// that call nothing foreign use it.
    #[inline(always)]
    fn magazine(&self, tag: Tag, home: NonNull<()>) -> Option<(&Magazine, Note)> {
        // SAFETY: what stands here is a magazine of one of the caches, which holds it; `remove_if`
        // takes it out of here first. It is not used beyond that, as said above.
        let magazine = unsafe { &*self.magazines[tag.number()].get() };
        // SAFETY: the cache owns the magazine, is owned by this value, and that is not `Sync`; or
        // nobody owns it.
        let note = unsafe { magazine.note() };
        (note.home == home.as_ptr()).then_some((magazine, note))
    }

    /// The cache at the place of pool `number`. For how long: see [`LocalCaches::magazine`].
    fn cache(&self, number: usize) -> Option<&Cache<R, M>> {
        // SAFETY: the type is not `Sync`, so only this thread is here; no caller keeps the
        // reference while foreign code, `insert` or `remove_if` runs.
        unsafe { (*self.caches[number % LOCAL_CACHES].get()).as_ref() }
    }

    /// The cache in front of the pool at `home` with this number. For how long: as above.
    fn in_front_of(&self, number: usize, home: NonNull<()>) -> Option<&Cache<R, M>> {
        self.cache(number).filter(|cache| cache.home().address() == home)
    }

    /// True where the place of pool `number` has a cache, of this pool or of another.
    #[must_use]
    pub fn is_taken(&self, number: usize) -> bool {
        self.cache(number).is_some()
    }

    /// Puts a cache at the place of pool `number`.
    ///
    /// # Errors
    ///
    /// The cache, where the place is taken.
    pub fn insert(&self, number: usize, mut cache: Cache<R, M>) -> Result<(), Cache<R, M>> {
        if self.is_taken(number) {
            return Err(cache);
        }
        let place = number % LOCAL_CACHES;
        cache.set_place(place);
        for (class, magazine) in cache.magazines().iter().enumerate() {
            self.magazines[Tag::new(class, place).number()].set(magazine);
        }
        // SAFETY: only this thread is here, and nothing refers to the place: see `cache`. What is
        // overwritten is `None`, so no foreign code runs either.
        unsafe { *self.caches[place].get() = Some(cache) };
        Ok(())
    }

    /// Takes away, and drops, each cache for which `unwanted` says so; returns how many.
    pub fn remove_if(&self, mut unwanted: impl FnMut(&R) -> bool) -> usize {
        let mut removed = 0;
        for place in 0..LOCAL_CACHES {
            // A reference of its own, so that `unwanted` may do as it likes.
            let Some(home) = self.cache(place).map(|cache| cache.home().clone()) else { continue };
            if !unwanted(&home) {
                continue;
            }
            for class in 0..CLASSES {
                self.magazines[Tag::new(class, place).number()].set(&raw const NOBODYS);
            }
            // SAFETY: as in `insert`. The cache is moved out before it is dropped, because dropping
            // it may drop its pool and run foreign code.
            let cache = unsafe { (*self.caches[place].get()).take() };
            removed += usize::from(cache.is_some());
        }
        removed
    }
}

impl<R: PoolRef, M: MagazineSet> Default for LocalCaches<R, M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R: PoolRef, M: MagazineSet> fmt::Debug for LocalCaches<R, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let taken = (0..LOCAL_CACHES).filter(|number| self.is_taken(*number)).count();
        f.debug_struct("LocalCaches").field("taken", &taken).finish_non_exhaustive()
    }
}

/// A buffer as `request` says, from this thread's cache in front of `home`, which is made where
/// there is none yet.
///
/// # Errors
///
/// As [`Pool::acquire`](super::Pool::acquire).
// A call would return its result through memory, which takes as long as all the rest.
#[inline(always)]
pub fn acquire_local<X, R>(home: &R, request: Request) -> Result<Lease<R>, AcquireRefused>
where
    X: ThreadLocal<R>,
    R: PoolRef + Home<Pool: Buffers<Recycler = X>>,
{
    let class = home.pool().buffers().class_of(request)?;
    let tag = Tag::new(class % CLASSES, home.pool().recycler().number() % LOCAL_CACHES);
    let lease = X::with(|local| {
        let (magazine, note) = local.magazine(tag, home.address())?;
        // What is in a magazine was paid for when it came in.
        Some(Lease::showing(magazine.pop()?, note.fresh))
    });
    // What a closure or a cold function returns is two words at most, or an error: so a lease never
    // goes through memory on its way out.
    let lease = match lease {
        Some(lease) => lease,
        None => lease_elsewhere(home, request, class)?,
    };
    Ok(lease.with_headroom(request))
}

/// As [`acquire_local`], where the magazine at hand is not that of the pool, or is empty.
#[cold]
fn lease_elsewhere<X, R>(
    home: &R,
    request: Request,
    class: usize,
) -> Result<Lease<R>, AcquireRefused>
where
    X: ThreadLocal<R>,
    R: PoolRef + Home<Pool: Buffers<Recycler = X>>,
{
    match lease_without_cache(home, class) {
        Some(lease) => Ok(lease),
        None => {
            home.pool().buffers().miss(request, class, |class| lease_without_cache(home, class))
        }
    }
}

/// Opens a cache and takes from that, or takes from the pool.
fn lease_without_cache<X, R>(home: &R, class: usize) -> Option<Lease<R>>
where
    X: ThreadLocal<R>,
    R: PoolRef + Home<Pool: Buffers<Recycler = X>>,
{
    let number = home.pool().recycler().number();
    let cached = || {
        X::with(|local| local.in_front_of(number, home.address()).map(|cache| cache.lease(class)))
    };
    let lease = cached().or_else(|| open_local::<X, R>(home).then(cached).flatten());
    match lease {
        Some(lease) => lease,
        None => home.claim(class).map(Lease::fresh),
    }
}

/// Keeps a slot in this thread's cache in front of its pool, which is made where there is none yet.
/// Where there can't be one, the slot goes back to the pool.
#[inline(always)]
pub fn recycle_local<X, R>(slot: Slot<R>)
where
    X: ThreadLocal<R>,
    R: PoolRef + Home<Pool: SlotPool<Recycler = X>>,
{
    // Should `with` panic after the fact, the magazine has the slot: nobody else may drop it.
    let slot = ManuallyDrop::new(slot);
    let kept = X::with(|local| match local.magazine(slot.tag(), slot.state().home()) {
        // The reference stays paid for.
        Some((magazine, _)) => magazine.push(slot.raw()),
        None => false,
    });
    if !kept {
        recycle_elsewhere::<X, R>(ManuallyDrop::into_inner(slot));
    }
}

/// As [`recycle_local`], where the magazine at hand is not that of the slot, or is full.
#[cold]
fn recycle_elsewhere<X, R>(slot: Slot<R>)
where
    X: ThreadLocal<R>,
    R: PoolRef + Home<Pool: SlotPool<Recycler = X>>,
{
    let home = slot.home();
    let number = home.pool().recycler().number();
    let is_open = X::with(|local| local.in_front_of(number, home.address()).is_some());
    if !is_open && !open_local::<X, R>(&home) {
        return slot.release();
    }
    let left = X::with(|local| match local.in_front_of(number, home.address()) {
        Some(cache) => cache.keep(slot).err(),
        None => Some(slot),
    });
    drop(left);
}

/// Makes a cache in front of `home`; false where there can't be one.
fn open_local<X, R>(home: &R) -> bool
where
    X: ThreadLocal<R>,
    R: PoolRef + Home<Pool: SlotPool<Recycler = X>>,
{
    let number = home.pool().recycler().number();
    if X::with(|local| local.is_taken(number)) {
        let incumbent = X::with(|local| local.cache(number).map(|cache| cache.home().clone()));
        if !incumbent.is_some_and(|home| X::is_closed(&home)) {
            return false;
        }
    }
    // While at it, for all of them: a thread that opens caches is one that can close some.
    X::with(|local| local.remove_if(X::is_closed));
    let Some(cache) = X::open(home) else { return false };
    X::with(|local| local.insert(number, cache)).is_ok()
}

//! The threads' caches: which thread keeps slots of which pool.

use core::fmt;
use core::mem::ManuallyDrop;
use core::sync::atomic::{AtomicBool, Ordering};

use alloc::sync::Arc;
use alloc::vec::Vec;
use std::sync::{Mutex, MutexGuard, PoisonError};

use turbopump_core::pool::{
    Cache, LOCAL_CACHES, LocalCaches, Magazine, OwnedPool, OwnedRef, Recycle, Slot, SlotPool,
    ThreadLocal, recycle_local,
};

/// A counted reference to a pool whose slots are cached by threads: what keeps a lease's memory
/// alive.
pub type Reference = OwnedRef<OwnedPool<ThreadCaches>>;

type Magazines = Arc<[Magazine]>;

std::thread_local! {
    /// Never dropped, so that reaching it takes no check; [`Guard`] empties it instead.
    static LOCAL: ManuallyDrop<LocalCaches<Reference, Magazines>> =
        const { ManuallyDrop::new(LocalCaches::new()) };

    static GUARD: Guard = const { Guard };
}

/// Gives everything back when its thread ends.
struct Guard;

impl Drop for Guard {
    fn drop(&mut self) {
        LOCAL.with(|local| local.remove_if(|_| true));
    }
}

/// How many pools there are for each place in a thread's caches.
static POOLS_BY_PLACE: Mutex<[usize; LOCAL_CACHES]> = Mutex::new([0; LOCAL_CACHES]);

/// Keeps slots that come back with the thread that dropped them. The recycler of all pools here.
pub struct ThreadCaches {
    place: usize,
    closed: AtomicBool,
    /// One set per thread that has a cache, and those that wait for the next thread.
    magazines: Mutex<Vec<Magazines>>,
}

impl ThreadCaches {
    /// For a new pool, at the place that the fewest pools share.
    pub(super) fn new() -> Self {
        let mut pools = lock(&POOLS_BY_PLACE);
        let place = (0..LOCAL_CACHES).min_by_key(|place| pools[*place]).unwrap_or_default();
        pools[place] += 1;
        Self { place, closed: AtomicBool::new(false), magazines: Mutex::new(Vec::new()) }
    }

    /// Nobody will acquire from the pool any more: caches in front of it are to be given up.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// Shows the magazines of all threads to `read`.
    pub(super) fn with_magazines<T>(&self, read: impl FnOnce(&[Magazines]) -> T) -> T {
        read(&lock(&self.magazines))
    }

    /// Magazines for another thread: those of one that has ended, or new ones.
    fn magazines_for_thread(&self, classes: usize) -> Magazines {
        let mut all = lock(&self.magazines);
        // One holder: this list. The lock keeps others from taking the same.
        if let Some(free) = all.iter().find(|magazines| Arc::strong_count(magazines) == 1) {
            return Arc::clone(free);
        }
        let magazines: Magazines = (0..classes).map(|_| Magazine::new()).collect();
        all.push(Arc::clone(&magazines));
        magazines
    }
}

impl fmt::Debug for ThreadCaches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let threads = self.with_magazines(|magazines| magazines.len());
        f.debug_struct("ThreadCaches").field("threads", &threads).finish_non_exhaustive()
    }
}

impl Drop for ThreadCaches {
    fn drop(&mut self) {
        let mut pools = lock(&POOLS_BY_PLACE);
        pools[self.place] = pools[self.place].saturating_sub(1);
    }
}

impl Recycle<Reference> for ThreadCaches {
    #[inline(always)]
    fn recycle(slot: Slot<Reference>) {
        recycle_local::<Self, Reference>(slot);
    }
}

impl ThreadLocal<Reference> for ThreadCaches {
    type Magazines = Magazines;

    #[inline(always)]
    fn with<T>(f: impl FnOnce(&LocalCaches<Reference, Magazines>) -> T) -> T {
        LOCAL.with(|local| f(local))
    }

    #[inline(always)]
    fn number(&self) -> usize {
        self.place
    }

    fn open(home: &Reference) -> Option<Cache<Reference, Magazines>> {
        // From here on this thread gives back at its end what it has; if it is past that, it
        // caches nothing.
        GUARD.try_with(|_| ()).ok()?;
        if Self::is_closed(home) {
            return None;
        }
        let magazines = home.recycler().magazines_for_thread(home.classes_len());
        Cache::new(home.clone(), magazines).ok()
    }

    fn is_closed(home: &Reference) -> bool {
        home.recycler().closed.load(Ordering::Relaxed)
    }
}

/// Pools whose memory is not freed yet.
#[cfg(test)]
pub(super) fn pools_alive() -> usize {
    lock(&POOLS_BY_PLACE).iter().sum()
}

/// Gives up this thread's cache in front of `home`.
pub(super) fn flush_this_thread(home: &Reference) {
    LOCAL.with(|local| local.remove_if(|other| other.is_same(home)));
}

/// What the locks here protect is consistent at every step, so that a panic elsewhere is no reason
/// to stop.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

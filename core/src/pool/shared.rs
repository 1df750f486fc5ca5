//! A pool on the heap that lives as long as anybody refers to it.

use alloc::boxed::Box;
use core::fmt;
use core::mem::ManuallyDrop;
use core::ops::Deref;
use core::ptr::NonNull;

use super::reference::{Home, SlotPool};
use super::sealed::Reference;
use crate::sync::{AtomicUsize, Ordering, fence};

/// References above which some must have been leaked; the pool is then never freed.
const REFS_MAX: usize = usize::MAX / 2;
/// Where such a count is kept: far from both ends of its range.
const REFS_REST: usize = usize::MAX / 4 * 3;

struct Shared<P> {
    refs: AtomicUsize,
    pool: P,
}

/// A counted reference to a pool on the heap.
///
/// Unlike an `Arc` it can be counted in bulk: a cache takes in thirty slots, each with a reference
/// of its own, for one atomic operation.
///
/// ```
/// use turbopump_core::pool::{ClassLayout, Heap, Layout, OwnedRef, Pool};
///
/// let classes = [ClassLayout::new(256, 4)];
/// let pool = OwnedRef::new(Pool::new(&Layout::new(&classes)?, Heap)?);
/// let lease = pool.acquire(100)?;
/// drop(pool); // The lease keeps the memory.
/// assert_eq!(lease.capacity(), 256);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct OwnedRef<P>(NonNull<Shared<P>>);

impl<P> OwnedRef<P> {
    /// Moves `pool` to the heap.
    #[must_use]
    pub fn new(pool: P) -> Self {
        let shared = Box::new(Shared { refs: AtomicUsize::new(1), pool });
        Self(NonNull::from(Box::leak(shared)))
    }

    #[inline]
    fn shared(&self) -> &Shared<P> {
        // SAFETY: the count is above zero as long as `self` is there, and only the reference that
        // takes it to zero frees the memory.
        unsafe { self.0.as_ref() }
    }

    /// True where both refer to the same pool.
    #[inline]
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<P> Deref for OwnedRef<P> {
    type Target = P;

    #[inline]
    fn deref(&self) -> &P {
        &self.shared().pool
    }
}

impl<P> Clone for OwnedRef<P> {
    #[inline]
    fn clone(&self) -> Self {
        self.pay(1);
        Self(self.0)
    }
}

impl<P> Drop for OwnedRef<P> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: this reference was counted, and is not used any more.
        unsafe { Self::refund(self.0.cast(), 1) };
    }
}

impl<P: SlotPool> Home for OwnedRef<P> {
    type Pool = P;

    #[inline]
    fn pool(&self) -> &P {
        self
    }
}

impl<P> Reference for OwnedRef<P> {
    type Target = P;

    #[inline]
    fn pay(&self, count: usize) {
        // Relaxed as in `Arc`: whoever pays has a reference already.
        if self.shared().refs.fetch_add(count, Ordering::Relaxed) >= REFS_MAX {
            self.shared().refs.store(REFS_REST, Ordering::Relaxed);
        }
    }

    #[inline]
    fn address(&self) -> NonNull<()> {
        self.0.cast()
    }

    #[inline]
    unsafe fn target<'a>(address: NonNull<()>) -> &'a P {
        // SAFETY: the address is that of a `Shared<P>`, which a reference that is paid for keeps
        // alive for as long as the caller uses the result.
        unsafe { &address.cast::<Shared<P>>().as_ref().pool }
    }

    #[inline]
    unsafe fn another(address: NonNull<()>) -> Self {
        let existing = ManuallyDrop::new(Self(address.cast()));
        Self::clone(&existing)
    }

    #[inline]
    unsafe fn refund(address: NonNull<()>, count: usize) {
        let shared = address.cast::<Shared<P>>();
        // SAFETY: the references that are given back are still counted.
        let refs = unsafe { &shared.as_ref().refs };
        // Release: what was done with the pool comes before whoever frees it.
        let before = refs.fetch_sub(count, Ordering::Release);
        if before >= REFS_MAX {
            refs.store(REFS_REST, Ordering::Relaxed);
        } else if before == count {
            fence(Ordering::Acquire);
            // SAFETY: the pointer came from `Box::leak`, and these were the last references.
            drop(unsafe { Box::from_raw(shared.as_ptr()) });
        }
    }
}

// SAFETY: as an `Arc<P>`: sharing and freeing the pool from any thread needs both.
unsafe impl<P: Send + Sync> Send for OwnedRef<P> {}
// SAFETY: as above.
unsafe impl<P: Send + Sync> Sync for OwnedRef<P> {}

impl<P> fmt::Debug for OwnedRef<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OwnedRef({:p})", self.0)
    }
}

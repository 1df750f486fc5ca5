//! How a handle keeps its pool alive, and what becomes of a slot that nobody uses any more.

use core::fmt;
use core::ptr::NonNull;

use super::sealed::{self, Slots as _};
use super::slot::Slot;
use super::span::Tag;

/// A pool whose slots can be handed out: [`Pool`](super::Pool) of buffers,
/// [`ObjectPool`](super::ObjectPool) of values.
///
/// Implemented by this crate only: handles rely on it for memory safety.
pub trait SlotPool: sealed::Slots {
    /// What is done with slots that nobody uses any more; see [`Recycle`].
    type Recycler;

    /// The recycler that the pool was made with.
    fn recycler(&self) -> &Self::Recycler;
}

/// A reference to a pool that keeps it alive: [`BorrowedRef`] everywhere,
/// [`OwnedRef`](super::OwnedRef) with an allocator.
///
/// Implemented by this crate only: handles rely on it for memory safety.
pub trait Home: Clone + sealed::Reference<Target = Self::Pool> {
    /// The pool that is referred to.
    type Pool: SlotPool;

    /// The pool.
    fn pool(&self) -> &Self::Pool;

    /// A free slot of `class`, counted from the smallest; `None` after each slot of the class was
    /// seen taken, or where there is no such class.
    #[inline]
    fn claim(&self, class: usize) -> Option<Slot<Self>> {
        let state = self.pool().table().claim(class)?;
        // SAFETY: the state is part of the pool that `self` refers to.
        unsafe { state.as_ref() }.set_home(self.address());
        self.pay(1);
        Some(Slot::new(state, Tag::new(class, 0)))
    }
}

/// What a handle stands for: a reference to a pool, and the way back there.
///
/// Implemented for each [`Home`] whose pool's recycler can [`Recycle`] its slots.
pub trait PoolRef: Home {
    /// Passes the slot to the pool's recycler.
    fn recycle(slot: Slot<Self>);
}

impl<H: Home> PoolRef for H
where
    <H::Pool as SlotPool>::Recycler: Recycle<H>,
{
    #[inline(always)]
    fn recycle(slot: Slot<H>) {
        <H::Pool as SlotPool>::Recycler::recycle(slot);
    }
}

/// Decides what becomes of a slot when its last handle is gone.
///
/// [`Direct`] gives it back to the pool at once. A cache keeps it for the next request of the same
/// thread. A recycler is part of its pool: `slot.pool().recycler()` reaches it.
///
/// ```
/// use core::sync::atomic::{AtomicUsize, Ordering};
/// use turbopump_core::pool::{ClassLayout, Home, Layout, Memory, Pool, Recycle, Slot, SlotPool};
///
/// /// Counts what comes back.
/// #[derive(Default)]
/// struct Counting(AtomicUsize);
///
/// impl<H: Home<Pool: SlotPool<Recycler = Self>>> Recycle<H> for Counting {
///     fn recycle(slot: Slot<H>) {
///         slot.pool().recycler().0.fetch_add(1, Ordering::Relaxed);
///         slot.release();
///     }
/// }
///
/// const CLASSES: [ClassLayout; 1] = [ClassLayout::new(64, 2)];
/// const LAYOUT: Layout<'static> = Layout::constant(&CLASSES);
/// let mut memory = Memory::<1, 2, { LAYOUT.bytes_len() }>::new();
/// let pool = Pool::with_recycler(&LAYOUT, &mut memory, Counting::default())?;
/// drop(pool.acquire(10)?);
/// assert_eq!(pool.recycler().0.load(Ordering::Relaxed), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Recycle<H: Home>: Sized {
    /// Takes over a slot that nobody uses any more.
    ///
    /// Called from the `drop` of the last handle, on whichever thread that is: must not block.
    fn recycle(slot: Slot<H>);
}

/// Gives slots back to their pool at once.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Direct;

impl<H: Home> Recycle<H> for Direct {
    #[inline(always)]
    fn recycle(slot: Slot<H>) {
        slot.release();
    }
}

/// A reference to a pool that is borrowed: in a `static`, or further up the stack.
pub struct BorrowedRef<'p, P>(&'p P);

impl<'p, P> BorrowedRef<'p, P> {
    /// A reference to `pool`.
    #[inline]
    #[must_use]
    pub fn new(pool: &'p P) -> Self {
        Self(pool)
    }
}

impl<P> Clone for BorrowedRef<'_, P> {
    #[inline]
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for BorrowedRef<'_, P> {}

impl<P: SlotPool> Home for BorrowedRef<'_, P> {
    type Pool = P;

    #[inline]
    fn pool(&self) -> &P {
        self.0
    }
}

/// The borrow is in the type of whatever is made of the address, so nothing needs to be paid.
impl<P> sealed::Reference for BorrowedRef<'_, P> {
    type Target = P;

    #[inline]
    fn pay(&self, _count: usize) {}

    #[inline]
    fn address(&self) -> NonNull<()> {
        NonNull::from(self.0).cast()
    }

    #[inline]
    unsafe fn target<'a>(address: NonNull<()>) -> &'a P {
        // SAFETY: the address is that of a `P`, borrowed for at least as long as the caller uses
        // the result.
        unsafe { address.cast().as_ref() }
    }

    #[inline]
    unsafe fn another(address: NonNull<()>) -> Self {
        // SAFETY: as in `target`; the type says for how long the pool is borrowed.
        Self(unsafe { Self::target(address) })
    }

    #[inline]
    unsafe fn refund(_address: NonNull<()>, _count: usize) {}
}

impl<P> fmt::Debug for BorrowedRef<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BorrowedRef({:p})", self.0)
    }
}

//! Pools of buffers on the heap, referred to by count.

use core::fmt;
use core::ops::Deref;

use super::buffers::{AcquireRefused, BufferSource, Buffers, Pool, Request, acquire_from};
use super::layout::Layout;
use super::lease::Lease;
use super::reference::{Recycle, SlotPool};
use super::sealed;
use super::shared::OwnedRef;
use super::table::SlotTable;

/// A [`Pool`] on storage that it owns, in a type that names no lifetime.
///
/// Handles that asynchronous tasks hold while they wait need this: there the compiler forgets which
/// lifetime a type names, and then doubts that a recycler which is made for one pool serves it.
///
/// ```
/// use turbopump_core::pool::{ClassLayout, Direct, Layout, OwnedPool, OwnedRef};
///
/// let classes = [ClassLayout::new(256, 4)];
/// let pool = OwnedRef::new(OwnedPool::new(&Layout::new(&classes)?, Direct::default()));
/// assert_eq!(pool.acquire(100)?.capacity(), 256);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct OwnedPool<X>(Pool<'static, X>);

impl<X> OwnedPool<X> {
    /// A pool on the heap, of which there is enough or the program ends.
    #[must_use]
    pub fn new(layout: &Layout<'_>, recycler: X) -> Self {
        Self(Pool::on_heap(layout, recycler))
    }
}

impl<X> Deref for OwnedPool<X> {
    type Target = Pool<'static, X>;

    #[inline]
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<X> SlotPool for OwnedPool<X> {
    type Recycler = X;

    #[inline]
    fn recycler(&self) -> &X {
        self.0.recycler()
    }
}

impl<X> sealed::Slots for OwnedPool<X> {
    #[inline]
    fn table(&self) -> &SlotTable<'_> {
        self.0.table()
    }
}

impl<X> Buffers for OwnedPool<X> {
    #[inline]
    fn buffers(&self) -> &Pool<'_, X> {
        &self.0
    }
}

impl<P: Buffers<Recycler: Recycle<Self>>> BufferSource for OwnedRef<P> {
    type Ref = Self;

    #[inline]
    fn acquire_with(&self, request: Request) -> Result<Lease<Self>, AcquireRefused> {
        acquire_from(self, request)
    }
}

impl<P: Buffers<Recycler: Recycle<Self>>> OwnedRef<P> {
    /// As [`Pool::acquire`], with a buffer that keeps the pool alive.
    ///
    /// # Errors
    ///
    /// As [`Pool::acquire`].
    #[inline(always)]
    pub fn acquire(&self, len: usize) -> Result<Lease<Self>, AcquireRefused> {
        self.acquire_with(Request::bytes(len))
    }
}

impl<X> fmt::Debug for OwnedPool<X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedPool").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

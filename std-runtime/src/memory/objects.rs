//! Pools of values on the heap.

use core::fmt;

use alloc::boxed::Box;

use turbopump_core::pool::{
    self, ClassStats, Exhausted, LayoutError, Manage, ObjectParts, OwnedRef,
};

use super::report::PoolReport;

/// How values are made and cleaned, with the functions on the heap: so that a pool's type names
/// only what it holds.
pub struct Boxed<T> {
    create: Box<dyn Fn() -> T + Send + Sync>,
    reset: Box<dyn Fn(&mut T) + Send + Sync>,
}

impl<T> Manage for Boxed<T> {
    type Item = T;

    fn create(&self) -> T {
        (self.create)()
    }

    fn reset(&self, item: &mut T) {
        (self.reset)(item);
    }
}

type Home<T> = OwnedRef<pool::ObjectPool<'static, Boxed<T>>>;

/// A value of an [`ObjectPool`], which takes it back when this is dropped.
pub type Object<T> = pool::Object<Home<T>>;

/// A bounded pool of values on the heap.
///
/// A cheap handle: cloning it refers to the same pool. Values may outlive it, and may be dropped on
/// any thread. The pool never grows; when all values are in use, it says so.
///
/// ```
/// use turbopump_std::memory::ObjectPool;
///
/// let pool = ObjectPool::new(100, || String::with_capacity(64), String::clear)?;
/// let mut text = pool.get()?;
/// text.push_str("something");
/// drop(text);
/// assert_eq!(*pool.get()?, "");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ObjectPool<T: 'static> {
    home: Home<T>,
}

impl<T: 'static> ObjectPool<T> {
    /// A pool of up to `count` values, made by `create` when they are first needed and cleaned by
    /// `reset` when they come back.
    ///
    /// # Errors
    ///
    /// [`LayoutError`] where `count` is 0, or more than a pool can have.
    pub fn new(
        count: usize,
        create: impl Fn() -> T + Send + Sync + 'static,
        reset: impl Fn(&mut T) + Send + Sync + 'static,
    ) -> Result<Self, LayoutError> {
        let manage = Boxed { create: Box::new(create), reset: Box::new(reset) };
        let pool = pool::ObjectPool::new(ObjectParts::on_heap(count), manage)?;
        Ok(Self { home: OwnedRef::new(pool) })
    }

    /// A value, new or reset.
    ///
    /// # Errors
    ///
    /// [`Exhausted`] where all are in use.
    #[inline]
    pub fn get(&self) -> Result<Object<T>, Exhausted> {
        self.home.get()
    }

    /// Makes up to `count` values now, of those that were not needed yet. Returns how many.
    pub fn warm_up(&self, count: usize) -> usize {
        self.home.warm_up(count)
    }

    /// Values that can be in use at once.
    #[must_use]
    pub fn count(&self) -> usize {
        self.home.count()
    }

    /// As [`stats`](Self::stats), for who collects numbers.
    #[must_use]
    pub fn report(&self) -> PoolReport {
        PoolReport::new(alloc::vec![self.stats()])
    }

    /// What was counted.
    #[must_use]
    pub fn stats(&self) -> ClassStats {
        self.home.stats()
    }
}

impl<T: 'static> Clone for ObjectPool<T> {
    fn clone(&self) -> Self {
        Self { home: self.home.clone() }
    }
}

impl<T: 'static> fmt::Debug for ObjectPool<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectPool").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

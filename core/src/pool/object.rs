//! The pool of values of any type.

use core::cell::UnsafeCell;
use core::fmt;
use core::marker::PhantomData;
use core::mem::{ManuallyDrop, forget, size_of};
use core::ops::{Deref, DerefMut};

use super::counters::ClassStats;
use super::held::Held;
use super::layout::{ClassLayout, Layout, LayoutError};
use super::reference::{BorrowedRef, Direct, Home, PoolRef, SlotPool};
use super::sealed::{self, Slots};
use super::slot::{Slot, SlotState};
use super::table::{Row, SlotTable};
use crate::backing::Backing;
use crate::sync::{Ordering, array_of, const_unless_loom};

#[cfg(feature = "alloc")]
use super::shared::OwnedRef;

/// How the values of an [`ObjectPool`] are made, and made ready for their next user.
pub trait Manage {
    /// What is pooled.
    type Item;

    /// Makes a value; called when a slot is used for the first time.
    fn create(&self) -> Self::Item;

    /// Takes from a returned value what its last user left in it. What it keeps, such as the
    /// capacity of a vector, is what pooling saves.
    fn reset(&self, item: &mut Self::Item);
}

/// A [`Manage`] of two functions.
#[derive(Clone, Copy)]
pub struct Functions<C, F> {
    create: C,
    reset: F,
}

impl<C, F> Functions<C, F> {
    /// `create` makes values, `reset` cleans returned ones.
    pub const fn new<T>(create: C, reset: F) -> Self
    where
        C: Fn() -> T,
        F: Fn(&mut T),
    {
        Self { create, reset }
    }
}

impl<T, C: Fn() -> T, F: Fn(&mut T)> Manage for Functions<C, F> {
    type Item = T;

    fn create(&self) -> T {
        (self.create)()
    }

    fn reset(&self, item: &mut T) {
        (self.reset)(item);
    }
}

/// Room for one value of an [`ObjectPool`]: an opaque value to make arrays of.
///
/// On a cache line of its own, because the values next to it may be in use by other threads.
#[repr(C)]
#[cfg_attr(target_pointer_width = "64", repr(align(64)))]
#[cfg_attr(not(target_pointer_width = "64"), repr(align(8)))]
pub struct ObjectSlot<T>(UnsafeCell<Option<T>>);

impl<T> ObjectSlot<T> {
    /// Room that is empty.
    #[must_use]
    pub const fn new() -> Self {
        Self(UnsafeCell::new(None))
    }
}

impl<T> Default for ObjectSlot<T> {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: the value is reached by the owner of the slot only, on whichever thread that is.
unsafe impl<T: Send> Sync for ObjectSlot<T> {}

/// Memory for an [`ObjectPool`] of up to `COUNT` values, inline.
pub struct ObjectMemory<T, const COUNT: usize> {
    rows: [Row; 1],
    slots: [SlotState; COUNT],
    values: [ObjectSlot<T>; COUNT],
}

impl<T, const COUNT: usize> ObjectMemory<T, COUNT> {
    const_unless_loom! {
        /// Memory for one pool.
        #[must_use]
        pub fn new() -> Self {
            Self {
                rows: [Row::new()],
                slots: array_of!(SlotState::new(); COUNT),
                values: [const { ObjectSlot::new() }; COUNT],
            }
        }
    }
}

impl<T, const COUNT: usize> Default for ObjectMemory<T, COUNT> {
    fn default() -> Self {
        Self::new()
    }
}

/// The three pieces of memory that an [`ObjectPool`] runs on.
///
/// The pool has as many values as the shorter of `slots` and `values`.
pub struct ObjectParts<'s, T> {
    /// One row.
    pub rows: Backing<'s, Row>,
    /// One per value.
    pub slots: Backing<'s, SlotState>,
    /// The values.
    pub values: Backing<'s, ObjectSlot<T>>,
}

impl<'s, T, const COUNT: usize> From<&'s mut ObjectMemory<T, COUNT>> for ObjectParts<'s, T> {
    fn from(memory: &'s mut ObjectMemory<T, COUNT>) -> Self {
        let ObjectMemory { rows, slots, values } = memory;
        Self {
            rows: Backing::Borrowed(rows),
            slots: Backing::Borrowed(slots),
            values: Backing::Borrowed(values),
        }
    }
}

#[cfg(feature = "alloc")]
impl<T> ObjectParts<'static, T> {
    /// Memory on the heap for `count` values.
    #[must_use]
    pub fn on_heap(count: usize) -> Self {
        Self {
            rows: core::iter::once(Row::new()).collect(),
            slots: (0..count).map(|_| SlotState::new()).collect(),
            values: (0..count).map(|_| ObjectSlot::new()).collect(),
        }
    }
}

/// A lock-free, bounded pool of values.
///
/// Values are made when they are first needed, or by [`ObjectPool::warm_up`], and reset when they
/// come back. The pool never grows: when all values are in use, [`ObjectPool::get`] says so.
///
/// ```
/// use turbopump_core::pool::{Functions, ObjectMemory, ObjectPool};
///
/// let mut memory = ObjectMemory::<Vec<u8>, 4>::new();
/// let manage = Functions::new(|| Vec::with_capacity(512), |list: &mut Vec<u8>| list.clear());
/// let pool = ObjectPool::new(&mut memory, manage)?;
///
/// let mut list = pool.get()?;
/// list.extend_from_slice(b"something");
/// drop(list);
/// let list = pool.get()?;
/// assert!(list.is_empty() && list.capacity() >= 512);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ObjectPool<'s, M: Manage, X = Direct> {
    table: SlotTable<'s>,
    /// Keeps the values. They are reached through handles that own their slot, never through this.
    _values: Held<'s, ObjectSlot<M::Item>>,
    manage: M,
    recycler: X,
}

impl<'s, M: Manage> ObjectPool<'s, M> {
    /// A pool in the storage given, whose values `manage` makes and resets.
    ///
    /// # Errors
    ///
    /// [`LayoutError`] where there is no room for a value, or for more than a class can have.
    pub fn new(parts: impl Into<ObjectParts<'s, M::Item>>, manage: M) -> Result<Self, LayoutError> {
        Self::with_recycler(parts, manage, Direct)
    }
}

impl<'s, M: Manage, X> ObjectPool<'s, M, X> {
    /// As [`ObjectPool::new`], with a say in what becomes of returned slots; see
    /// [`Recycle`](super::Recycle).
    ///
    /// # Errors
    ///
    /// As [`ObjectPool::new`].
    pub fn with_recycler(
        parts: impl Into<ObjectParts<'s, M::Item>>,
        manage: M,
        recycler: X,
    ) -> Result<Self, LayoutError> {
        let ObjectParts { rows, slots, values } = parts.into();
        let count = slots.len().min(values.len());
        // One class, whose bytes are those of a place: its alignment makes that the stride, too.
        let bytes = size_of::<ObjectSlot<M::Item>>();
        let class = [ClassLayout::new(bytes, count).with_headroom(0)];
        let layout = Layout::new(&class)?;
        if rows.is_empty() {
            return Err(LayoutError::Classes { count: 0, max: 1 });
        }
        let mut values = Held::new(values);
        // What an earlier pool over the same memory left behind.
        values.as_mut_slice().iter_mut().for_each(|value| *value = ObjectSlot::new());
        let memory = values.start().cast();
        // SAFETY: the layout is `count` times the size of a place for a value, and there are that
        // many places, which the pool holds as long as the table.
        let table = unsafe { SlotTable::new(&layout, Held::new(rows), Held::new(slots), memory) };
        Ok(Self { table, _values: values, manage, recycler })
    }

    /// Values that can be in use at once.
    #[must_use]
    pub fn count(&self) -> usize {
        self.table.rows().first().map_or(0, |row| row.count as usize)
    }

    /// A value, reset or new.
    ///
    /// # Errors
    ///
    /// [`Exhausted`] where all are in use.
    #[inline]
    pub fn get<'p>(&'p self) -> Result<Object<BorrowedRef<'p, Self>>, Exhausted>
    where
        BorrowedRef<'p, Self>: PoolRef + Home<Pool = Self>,
    {
        BorrowedRef::new(self).claim(0).map(Object::new).ok_or_else(|| self.exhausted())
    }

    #[cold]
    fn exhausted(&self) -> Exhausted {
        let row = self.table.rows().first();
        row.inspect(|row| _ = row.state.misses.fetch_add(1, Ordering::Relaxed));
        Exhausted { count: self.count() }
    }

    /// Makes up to `count` values now, of those that were not needed yet. Returns how many.
    pub fn warm_up(&self, count: usize) -> usize {
        let mut made = 0;
        self.table.visit_free(0, count, |memory| {
            let place = memory.cast::<Option<M::Item>>();
            // SAFETY: `visit_free` claims the slot for as long as this runs, and its memory is a
            // place for a value, which begins with the value.
            let value = unsafe { &mut *place.as_ptr() };
            if value.is_none() {
                *value = Some(self.manage.create());
                made += 1;
            }
        });
        made
    }

    /// What was counted.
    #[must_use]
    pub fn stats(&self) -> ClassStats {
        let row = self.table.rows().first();
        let none = core::iter::empty();
        row.map(|row| ClassStats::of(&self.table, row, 0, none)).unwrap_or_default()
    }
}

#[cfg(feature = "alloc")]
impl<M: Manage, X> OwnedRef<ObjectPool<'static, M, X>>
where
    Self: PoolRef + Home<Pool = ObjectPool<'static, M, X>>,
{
    /// As [`ObjectPool::get`], with a value that keeps the pool alive.
    ///
    /// # Errors
    ///
    /// As [`ObjectPool::get`].
    #[inline]
    pub fn get(&self) -> Result<Object<Self>, Exhausted> {
        self.claim(0).map(Object::new).ok_or_else(|| self.exhausted())
    }
}

impl<M: Manage, X> SlotPool for ObjectPool<'_, M, X> {
    type Recycler = X;

    fn recycler(&self) -> &X {
        &self.recycler
    }
}

impl<M: Manage, X> Slots for ObjectPool<'_, M, X> {
    #[inline]
    fn table(&self) -> &SlotTable<'_> {
        &self.table
    }
}

/// A pool of values, seen from its handles.
///
/// Implemented by [`ObjectPool`]; handles rely on it for memory safety.
pub trait ValuePool: SlotPool + sealed::Values<Item = Self::Value> {
    /// What is pooled.
    type Value;
}

impl<M: Manage, X> ValuePool for ObjectPool<'_, M, X> {
    type Value = M::Item;
}

impl<M: Manage, X> sealed::Values for ObjectPool<'_, M, X> {
    type Item = M::Item;

    #[inline]
    fn fill(&self, value: &mut Option<M::Item>) {
        if value.is_none() {
            *value = Some(self.manage.create());
        }
    }

    #[inline]
    fn reset(&self, item: &mut M::Item) {
        self.manage.reset(item);
    }
}

/// What the pool behind a reference holds.
pub type Item<R> = <<R as Home>::Pool as ValuePool>::Value;

/// A value of an [`ObjectPool`], which takes it back when this is dropped.
///
/// Threads may share it, or pass it on, where they may do so with the value itself:
///
/// ```compile_fail,E0277
/// use core::cell::Cell;
/// use turbopump_core::pool::{Functions, ObjectMemory, ObjectPool};
///
/// fn share<T: Sync>(_: &T) {}
///
/// let mut memory = ObjectMemory::<Cell<u32>, 1>::new();
/// let manage = Functions::new(|| Cell::new(0), |cell: &mut Cell<u32>| cell.set(0));
/// let pool = ObjectPool::new(&mut memory, manage).unwrap();
/// share(&pool); // Threads may share the pool,
/// share(&pool.get().unwrap()); // but a cell is for one of them.
/// ```
pub struct Object<R: PoolRef + Home<Pool: ValuePool>> {
    slot: ManuallyDrop<Slot<R>>,
    /// Held as if it were here: what the value may not do, the handle may not do either.
    value: PhantomData<Item<R>>,
}

impl<R: PoolRef + Home<Pool: ValuePool>> Object<R> {
    /// The value of a slot: for caches. It is made now where it was not needed before.
    #[inline]
    #[must_use]
    pub fn new(slot: Slot<R>) -> Self {
        // Should making the value panic, dropping the slot gives it back.
        let mut value = slot.state().memory().cast::<Option<Item<R>>>();
        // SAFETY: the slot is claimed, and a slot of a pool of values begins with its value.
        sealed::Values::fill(slot.pool(), unsafe { value.as_mut() });
        Self { slot: ManuallyDrop::new(slot), value: PhantomData }
    }

    /// Takes the value out of the pool for good; a new one is made when its place is next used.
    #[must_use]
    pub fn detach(mut self) -> Item<R> {
        match self.option().take() {
            Some(value) => value,
            None => unreachable!("a value is there from claim to drop"),
        }
    }

    #[inline]
    fn option(&mut self) -> &mut Option<Item<R>> {
        // SAFETY: this handle owns the slot, which begins with its value, and is borrowed
        // exclusively.
        unsafe { self.slot.state().memory().cast().as_mut() }
    }
}

impl<R: PoolRef + Home<Pool: ValuePool>> Deref for Object<R> {
    type Target = Item<R>;

    #[inline]
    fn deref(&self) -> &Self::Target {
        let value = self.slot.state().memory().cast::<Option<Item<R>>>();
        // SAFETY: this handle owns the slot; shared borrows of it give shared borrows of the value.
        match unsafe { value.as_ref() } {
            Some(value) => value,
            None => unreachable!("a value is there from claim to drop"),
        }
    }
}

impl<R: PoolRef + Home<Pool: ValuePool>> DerefMut for Object<R> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Self::Target {
        match self.option() {
            Some(value) => value,
            None => unreachable!("a value is there from claim to drop"),
        }
    }
}

impl<R: PoolRef + Home<Pool: ValuePool>> Drop for Object<R> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: `drop` runs once and nothing uses the slot after it.
        let slot = unsafe { ManuallyDrop::take(&mut self.slot) };
        let mut value = slot.state().memory().cast::<Option<Item<R>>>();
        // SAFETY: the slot is still claimed, by `slot`.
        let guard = DiscardOnPanic(unsafe { value.as_mut() });
        if let Some(value) = guard.0 {
            sealed::Values::reset(slot.pool(), value);
        }
        forget(guard);
        slot.recycle();
    }
}

/// Drops a value whose cleaning panicked, so that nobody gets it as it is.
struct DiscardOnPanic<'a, T>(&'a mut Option<T>);

impl<T> Drop for DiscardOnPanic<'_, T> {
    fn drop(&mut self) {
        *self.0 = None;
    }
}

impl<R: PoolRef + Home<Pool: ValuePool>> fmt::Debug for Object<R>
where
    Item<R>: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// All values of a pool are in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exhausted {
    /// How many there are.
    pub count: usize,
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "all {} objects are in use; release some, or make the pool larger", self.count)
    }
}

impl core::error::Error for Exhausted {}

//! Where a pool's memory comes from: the caller's, a `static`, or the heap.

use core::cell::UnsafeCell;
use core::fmt;
use core::mem::MaybeUninit;

use super::buffers::Pool;
use super::layout::{Layout, SLOT_ALIGN};
use super::reference::Direct;
use super::slot::SlotState;
use super::table::Row;
use crate::backing::Backing;
use crate::sync::{AtomicBool, Ordering, array_of, const_unless_loom};

/// The three pieces of memory that a pool of buffers runs on.
///
/// Their lengths follow from the pool's [`Layout`]: [`Layout::classes_len`] rows,
/// [`Layout::slots_len`] slots, [`Layout::bytes_len`] bytes. Longer is fine.
pub struct Parts<'s> {
    /// One per size class.
    pub rows: Backing<'s, Row>,
    /// One per slot.
    pub slots: Backing<'s, SlotState>,
    /// The buffers themselves.
    pub bytes: Backing<'s, u8>,
}

/// Memory for a pool.
///
/// Built in: `&mut` [`Memory`] (on the stack or inside something else), [`StaticPool`], [`Heap`]
/// and [`Parts`] themselves. Others are possible: anything that can lend or give away three slices.
pub trait Storage<'s> {
    /// The memory, for a pool of this layout.
    ///
    /// # Errors
    ///
    /// [`StorageError`] where it is too small. The pool checks the lengths again.
    fn into_parts(self, layout: &Layout<'_>) -> Result<Parts<'s>, StorageError>;
}

impl<'s> Storage<'s> for Parts<'s> {
    fn into_parts(self, _layout: &Layout<'_>) -> Result<Self, StorageError> {
        Ok(self)
    }
}

/// Why memory does not do for a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StorageError {
    /// A piece is shorter than the layout asks for.
    TooSmall {
        /// Which piece: `rows`, `slots` or `bytes`.
        piece: &'static str,
        /// Its length.
        len: usize,
        /// The length that the layout asks for.
        needed: usize,
    },
    /// A [`StaticPool`] was initialised before.
    AlreadyTaken,
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TooSmall { piece, len, needed } => {
                write!(f, "the pool's storage has {len} {piece}, but its layout needs {needed}")
            }
            Self::AlreadyTaken => {
                f.write_str("the static pool is in use already; initialise it once and share it")
            }
        }
    }
}

impl core::error::Error for StorageError {}

/// Memory for a pool, inline: `CLASSES` rows, `SLOTS` slots, `BYTES` bytes.
///
/// The three numbers are [`Layout::classes_len`], [`Layout::slots_len`] and [`Layout::bytes_len`].
///
/// ```
/// use turbopump_core::pool::{ClassLayout, Layout, Memory, Pool};
///
/// const CLASSES: [ClassLayout; 2] = [ClassLayout::new(64, 8), ClassLayout::new(1_024, 2)];
/// const LAYOUT: Layout<'static> = Layout::constant(&CLASSES);
/// let mut memory =
///     Memory::<{ LAYOUT.classes_len() }, { LAYOUT.slots_len() }, { LAYOUT.bytes_len() }>::new();
/// let pool = Pool::new(&LAYOUT, &mut memory)?;
/// let mut lease = pool.acquire(5)?;
/// lease.extend_from_slice(b"hello")?;
/// assert_eq!(&lease[..], b"hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[repr(C)]
pub struct Memory<const CLASSES: usize, const SLOTS: usize, const BYTES: usize> {
    rows: [Row; CLASSES],
    slots: [SlotState; SLOTS],
    bytes: [u8; BYTES],
}

impl<const CLASSES: usize, const SLOTS: usize, const BYTES: usize> Memory<CLASSES, SLOTS, BYTES> {
    const_unless_loom! {
        /// Memory for one pool.
        #[must_use]
        pub fn new() -> Self {
            Self {
                rows: array_of!(Row::new(); CLASSES),
                slots: array_of!(SlotState::new(); SLOTS),
                bytes: [0; BYTES],
            }
        }
    }
}

impl<const C: usize, const S: usize, const B: usize> Default for Memory<C, S, B> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'s, const CLASSES: usize, const SLOTS: usize, const BYTES: usize> Storage<'s>
    for &'s mut Memory<CLASSES, SLOTS, BYTES>
{
    fn into_parts(self, _layout: &Layout<'_>) -> Result<Parts<'s>, StorageError> {
        let Memory { rows, slots, bytes } = self;
        Ok(Parts {
            rows: Backing::Borrowed(rows),
            slots: Backing::Borrowed(slots),
            bytes: Backing::Borrowed(bytes),
        })
    }
}

/// A pool and its memory in a `static`, for programs without an allocator.
///
/// ```
/// use turbopump_core::pool::{ClassLayout, Layout, StaticPool};
///
/// const CLASSES: [ClassLayout; 1] = [ClassLayout::new(256, 4)];
/// const LAYOUT: Layout<'static> = Layout::constant(&CLASSES);
/// static POOL: StaticPool<1, 4, { LAYOUT.bytes_len() }> = StaticPool::new();
///
/// let pool = POOL.init(&LAYOUT)?; // Once, at start; then share the reference.
/// let lease = pool.acquire(200)?;
/// assert_eq!(lease.capacity(), 256);
/// assert!(POOL.init(&LAYOUT).is_err(), "a second pool over the same memory is refused");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct StaticPool<const CLASSES: usize, const SLOTS: usize, const BYTES: usize> {
    taken: AtomicBool,
    memory: UnsafeCell<Memory<CLASSES, SLOTS, BYTES>>,
    pool: UnsafeCell<MaybeUninit<Pool<'static, Direct>>>,
}

impl<const C: usize, const S: usize, const B: usize> StaticPool<C, S, B> {
    const_unless_loom! {
        /// Memory that is not a pool yet; see [`StaticPool::init`].
        #[must_use]
        pub fn new() -> Self {
            Self {
                taken: AtomicBool::new(false),
                memory: UnsafeCell::new(Memory::new()),
                pool: UnsafeCell::new(MaybeUninit::uninit()),
            }
        }
    }

    /// Makes the pool. Possible once.
    ///
    /// # Errors
    ///
    /// [`StorageError::AlreadyTaken`] from the second call on, also where the first one failed;
    /// [`StorageError::TooSmall`] where the type's numbers are not those of `layout`.
    pub fn init(
        &'static self,
        layout: &Layout<'_>,
    ) -> Result<&'static Pool<'static>, StorageError> {
        if self.taken.swap(true, Ordering::AcqRel) {
            return Err(StorageError::AlreadyTaken);
        }
        // SAFETY: `taken` was false, so this is the first and only time that anybody gets here:
        // the reference is exclusive for ever.
        let memory: &'static mut Memory<C, S, B> = unsafe { &mut *self.memory.get() };
        // SAFETY: as above; nobody else reads the cell, since `init` is the only way to it.
        let place = unsafe { &mut *self.pool.get() };
        Pool::new(layout, memory).map(|pool| &*place.write(pool))
    }
}

impl<const C: usize, const S: usize, const B: usize> Default for StaticPool<C, S, B> {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: the cells are reached by one caller of `init` only, and what that hands out is a shared
// reference to a pool, which is `Sync`.
unsafe impl<const C: usize, const S: usize, const B: usize> Sync for StaticPool<C, S, B> {}

/// The heap: memory that is zeroed once, so that pages nobody uses cost nothing.
#[cfg(feature = "alloc")]
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::exhaustive_structs)]
pub struct Heap;

#[cfg(feature = "alloc")]
impl Heap {
    pub(super) fn parts<'s>(layout: &Layout<'_>) -> Parts<'s> {
        let bytes = alloc::vec![0; layout.bytes_len()].into_boxed_slice();
        Parts {
            rows: (0..layout.classes_len()).map(|_| Row::new()).collect(),
            slots: (0..layout.slots_len()).map(|_| SlotState::new()).collect(),
            bytes: Backing::Owned(bytes),
        }
    }
}

#[cfg(feature = "alloc")]
impl Storage<'static> for Heap {
    fn into_parts(self, layout: &Layout<'_>) -> Result<Parts<'static>, StorageError> {
        Ok(Self::parts(layout))
    }
}

/// Bytes to leave out in front so that slots begin where [`SLOT_ALIGN`] says.
pub(super) fn padding(address: usize) -> usize {
    address.next_multiple_of(SLOT_ALIGN) - address
}

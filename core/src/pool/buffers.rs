//! The pool of byte buffers.

use core::array;
use core::fmt;

use super::counters::{ClassStats, PoolStats};
use super::held::Held;
use super::layout::{Layout, SLOT_ALIGN};
use super::lease::Lease;
use super::magazine::Magazine;
use super::reference::{BorrowedRef, Direct, Home, PoolRef, Recycle, SlotPool};
use super::sealed;
use super::storage::{Parts, Storage, StorageError, padding};
use super::table::{Row, SlotTable};
use crate::sync::Ordering;

#[cfg(feature = "alloc")]
use super::storage::Heap;

/// Lengths are looked up in steps of this many bytes,
const STEP_BYTES: usize = 64;
/// up to this length.
const STEPS_LEN_MAX: usize = 4_096;
const STEPS: usize = STEPS_LEN_MAX / STEP_BYTES + 1;
/// Stands for a step that more than one class serves, or none.
const MIXED: u8 = u8::MAX;

/// Bytes that are surely on one page of memory.
const PAGE_BYTES: usize = 4_096;

/// A lock-free pool of byte buffers in size classes.
///
/// A buffer is acquired as a unique [`Lease`], written, perhaps frozen into a shared
/// [`Chunk`](super::Chunk), and returns to the pool when its last handle is dropped, on whichever
/// thread. The pool never grows: what it does not have it refuses, with the reason.
///
/// The same type runs over borrowed memory, a `static` ([`StaticPool`](super::StaticPool)) and the
/// heap ([`Heap`](super::Heap)); see [`Storage`].
///
/// ```
/// use turbopump_core::pool::{ClassLayout, Layout, Memory, Pool};
///
/// const CLASSES: [ClassLayout; 2] = [ClassLayout::new(64, 2), ClassLayout::new(1_024, 1)];
/// const LAYOUT: Layout<'static> = Layout::constant(&CLASSES);
/// let mut memory = Memory::<2, 3, { LAYOUT.bytes_len() }>::new();
/// let pool = Pool::new(&LAYOUT, &mut memory)?;
///
/// let mut lease = pool.acquire(11)?;
/// lease.extend_from_slice(b"hello world")?;
/// let chunk = lease.freeze();
/// let world = chunk.slice(6..)?;
/// drop(chunk);
/// assert_eq!(world, b"world");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Pool<'s, X = Direct> {
    table: SlotTable<'s>,
    /// Keeps the memory. It is reached through handles that own their slot, never through this.
    _bytes: Held<'s, u8>,
    /// By the length in steps, rounded up: the smallest class that holds so much.
    class_by_step: [u8; STEPS],
    recycler: X,
}

impl<'s> Pool<'s> {
    /// A pool of `layout` in `storage`.
    ///
    /// # Errors
    ///
    /// [`StorageError`] where the storage is smaller than the layout asks for.
    pub fn new(layout: &Layout<'_>, storage: impl Storage<'s>) -> Result<Self, StorageError> {
        Self::with_recycler(layout, storage, Direct)
    }
}

impl<'s, X> Pool<'s, X> {
    /// As [`Pool::new`], with a say in what becomes of returned slots; see [`Recycle`].
    ///
    /// # Errors
    ///
    /// As [`Pool::new`].
    pub fn with_recycler(
        layout: &Layout<'_>,
        storage: impl Storage<'s>,
        recycler: X,
    ) -> Result<Self, StorageError> {
        let parts = storage.into_parts(layout)?;
        let first_byte = padding(parts.bytes.as_ptr() as usize);
        let bytes_needed = layout.bytes_len() - (SLOT_ALIGN - 1) + first_byte;
        for (piece, len, needed) in [
            ("rows", parts.rows.len(), layout.classes_len()),
            ("slots", parts.slots.len(), layout.slots_len()),
            ("bytes", parts.bytes.len(), bytes_needed),
        ] {
            if len < needed {
                return Err(StorageError::TooSmall { piece, len, needed });
            }
        }
        // SAFETY: the lengths were checked.
        Ok(unsafe { Self::assemble(layout, parts, first_byte, recycler) })
    }

    /// As [`Pool::with_recycler`], on the heap, of which there is enough or the program ends.
    #[cfg(feature = "alloc")]
    #[must_use]
    pub fn on_heap(layout: &Layout<'_>, recycler: X) -> Self {
        let parts = Heap::parts(layout);
        let first_byte = padding(parts.bytes.as_ptr() as usize);
        // SAFETY: the parts were made for this layout.
        unsafe { Self::assemble(layout, parts, first_byte, recycler) }
    }

    /// # Safety
    ///
    /// The parts are as long as the layout says; slots begin at `first_byte`, where they are
    /// aligned.
    unsafe fn assemble(
        layout: &Layout<'_>,
        parts: Parts<'s>,
        first_byte: usize,
        recycler: X,
    ) -> Self {
        let (rows, slots) = (Held::new(parts.rows), Held::new(parts.slots));
        let bytes = Held::new(parts.bytes);
        // SAFETY: the bytes are long enough, and the pool holds them as long as the table.
        let table = unsafe { SlotTable::new(layout, rows, slots, bytes.start().add(first_byte)) };
        let class_by_step = class_by_step(table.rows());
        Self { table, _bytes: bytes, class_by_step, recycler }
    }

    /// The size classes' number.
    #[must_use]
    pub fn classes_len(&self) -> usize {
        self.table.rows().len()
    }

    /// The largest length that can be acquired.
    #[must_use]
    pub fn len_max(&self) -> usize {
        self.table.rows().last().map_or(0, |row| row.bytes as usize)
    }

    /// The class that serves `request`: the smallest in which its body and headroom fit.
    ///
    /// # Errors
    ///
    /// [`AcquireRefused::TooLarge`] where there is none.
    #[inline(always)]
    pub fn class_of(&self, request: Request) -> Result<usize, AcquireRefused> {
        if request.len <= STEPS_LEN_MAX && request.headroom == 0 {
            let class = self.class_by_step[request.len.div_ceil(STEP_BYTES)];
            if class != MIXED {
                return Ok(usize::from(class));
            }
        }
        self.search_class(request)
    }

    /// For lengths beyond the steps, where classes share a step, and with headroom.
    #[inline(never)]
    fn search_class(&self, request: Request) -> Result<usize, AcquireRefused> {
        let needed = request.slot_bytes();
        let class = self.table.rows().iter().position(|row| request.fits(row));
        class.ok_or_else(|| AcquireRefused::TooLarge { len: needed, max: self.len_max() })
    }

    /// What was counted of class `class`, from 0 for the smallest; `None` where there is none.
    #[must_use]
    pub fn class_stats(&self, class: usize) -> Option<ClassStats> {
        self.class_stats_with(class, [])
    }

    /// As [`Pool::class_stats`], with what happened in caches in front of the pool. Each item is
    /// the slice of magazines of one cache, in the order of the classes; those of caches that are
    /// gone belong to it as well, or their acquisitions are missing.
    #[must_use]
    pub fn class_stats_with<'m>(
        &self,
        class: usize,
        caches: impl IntoIterator<Item = &'m [Magazine]>,
    ) -> Option<ClassStats> {
        let row = self.table.rows().get(class)?;
        let magazines = caches.into_iter().filter_map(|cache| cache.get(class));
        Some(ClassStats::of(&self.table, row, class, magazines))
    }

    /// What was counted, all classes together.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        (0..self.classes_len()).filter_map(|class| self.class_stats(class)).collect()
    }

    /// Makes up to `count` buffers of each class ready for traffic: touches each page of those that
    /// are free, lowest first, so that the operating system provides the memory now and not under
    /// load. Returns how many buffers that were. [`WARM_UP_COUNT`](super::WARM_UP_COUNT) is the
    /// usual number. Not counted as acquisitions.
    pub fn warm_up(&self, count: usize) -> usize {
        let mut warmed = 0;
        for class in 0..self.classes_len() {
            let len = self.table.rows()[class].stride as usize;
            warmed += self.table.visit_free(class, count, |start| {
                for offset in (0..len).step_by(PAGE_BYTES) {
                    // SAFETY: `visit_free` claims the slot for as long as this runs, so nobody else
                    // touches its memory, and `offset` is below the slot's length.
                    unsafe { start.add(offset).write_volatile(0) };
                }
            });
        }
        warmed
    }

    /// A buffer for `len` bytes, empty, with its class's headroom in front.
    ///
    /// Takes a slot of the smallest class that holds `len` bytes, and only of that one;
    /// [`Pool::acquire_with`] can do otherwise.
    ///
    /// # Errors
    ///
    /// [`AcquireRefused`] where no class is large enough, or the class has no free slot.
    #[inline(always)]
    pub fn acquire<'p>(&'p self, len: usize) -> Result<Lease<BorrowedRef<'p, Self>>, AcquireRefused>
    where
        X: Recycle<BorrowedRef<'p, Self>>,
    {
        self.acquire_with(Request::bytes(len))
    }

    /// A buffer as `request` says.
    ///
    /// # Errors
    ///
    /// As [`Pool::acquire`].
    #[inline(always)]
    pub fn acquire_with<'p>(
        &'p self,
        request: Request,
    ) -> Result<Lease<BorrowedRef<'p, Self>>, AcquireRefused>
    where
        X: Recycle<BorrowedRef<'p, Self>>,
    {
        acquire_from(&BorrowedRef::new(self), request)
    }

    /// What to do for `request` when `class`, which should serve it, has no slot: counts the miss
    /// and tries the next class with `claim` if the request allows that. For caches.
    ///
    /// # Errors
    ///
    /// [`AcquireRefused::Empty`].
    #[cold]
    pub fn miss<T>(
        &self,
        request: Request,
        class: usize,
        claim: impl FnOnce(usize) -> Option<T>,
    ) -> Result<T, AcquireRefused> {
        let rows = self.table.rows();
        let Some(row) = rows.get(class) else {
            return Err(AcquireRefused::TooLarge { len: request.len, max: self.len_max() });
        };
        row.state.misses.fetch_add(1, Ordering::Relaxed);
        let next = rows.get(class + 1).filter(|next| request.fits(next));
        if let (Some(next), true) = (next, request.or_next_class)
            && let Some(slot) = claim(class + 1)
        {
            next.state.stepped_up.fetch_add(1, Ordering::Relaxed);
            return Ok(slot);
        }
        let next = next.filter(|_| self.table.has_free(class + 1));
        Err(AcquireRefused::Empty {
            len: request.len,
            class_bytes: row.bytes as usize,
            count: row.count as usize,
            next_class_bytes: next.map(|row| row.bytes as usize),
        })
    }
}

/// A buffer straight from the pool.
// Inlined for the same reason as `acquire_local`.
#[inline(always)]
pub(super) fn acquire_from<R>(home: &R, request: Request) -> Result<Lease<R>, AcquireRefused>
where
    R: PoolRef + Home<Pool: Buffers>,
{
    let pool = home.pool().buffers();
    let class = pool.class_of(request)?;
    let slot = match home.claim(class) {
        Some(slot) => slot,
        None => pool.miss(request, class, |class| home.claim(class))?,
    };
    Ok(Lease::new(slot, request))
}

/// For each step, the smallest class that holds any length of it, if that is one.
fn class_by_step(rows: &[Row]) -> [u8; STEPS] {
    let class_for = |len: usize| rows.iter().take_while(|row| (row.bytes as usize) < len).count();
    array::from_fn(|step| {
        let len_max = step * STEP_BYTES;
        let class = class_for(len_max);
        let same = class_for(len_max.saturating_sub(STEP_BYTES - 1)) == class;
        if same && class < rows.len() { class as u8 } else { MIXED }
    })
}

/// What somebody wants of a pool.
///
/// ```
/// use turbopump_core::pool::Request;
///
/// let request = Request::bytes(1_000).with_headroom(256).or_next_class();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    pub(super) len: usize,
    pub(super) headroom: usize,
    pub(super) or_next_class: bool,
}

impl Request {
    /// A buffer whose body may grow to `len` bytes.
    #[inline]
    #[must_use]
    pub const fn bytes(len: usize) -> Self {
        Self { len, headroom: 0, or_next_class: false }
    }

    /// At least `headroom` bytes in front of the body. They count towards the length where the
    /// headroom of the class alone does not do.
    #[inline]
    #[must_use]
    pub const fn with_headroom(self, headroom: usize) -> Self {
        Self { headroom, ..self }
    }

    /// Where the smallest class that fits has no free slot, take one of the class above it; never
    /// go further up than that.
    #[inline]
    #[must_use]
    pub const fn or_next_class(self) -> Self {
        Self { or_next_class: true, ..self }
    }

    /// Bytes that body and headroom take together.
    fn slot_bytes(&self) -> usize {
        self.len.saturating_add(self.headroom)
    }

    /// True where a slot of the class has room for it.
    fn fits(&self, row: &Row) -> bool {
        row.bytes as usize >= self.len && (row.headroom + row.bytes) as usize >= self.slot_bytes()
    }
}

/// Why there is no buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AcquireRefused {
    /// No class is that large: never ask again.
    TooLarge {
        /// The length that was asked for, in bytes, with the headroom where that was too much.
        len: usize,
        /// The largest length of this pool, in bytes.
        max: usize,
    },
    /// All slots of the class are taken: one may come back.
    Empty {
        /// The length that was asked for, in bytes.
        len: usize,
        /// The size of the class that is empty, in bytes.
        class_bytes: usize,
        /// How many slots it has.
        count: usize,
        /// The size of the next larger class in bytes, where that had a free slot at that moment in
        /// which the request fits; [`Request::or_next_class`] would have taken it.
        next_class_bytes: Option<usize>,
    },
}

impl fmt::Display for AcquireRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TooLarge { len, max } => write!(
                f,
                "no class holds {len} bytes, the largest has {max}; add a class or split the data"
            ),
            Self::Empty { len, class_bytes, count, next_class_bytes } => {
                write!(f, "all {count} buffers of {class_bytes} bytes are in use, {len} wanted; ")?;
                match next_class_bytes {
                    Some(bytes) => write!(f, "the next class ({bytes} bytes) has one free"),
                    None => f.write_str("release some, or give the class more"),
                }
            }
        }
    }
}

impl core::error::Error for AcquireRefused {}

/// Anything that buffers can be got from: a pool, a shared pool, a cache in front of one.
///
/// Machines take this as a type parameter where a buffer may outlive them on a host but not on a
/// microcontroller.
pub trait BufferSource {
    /// What keeps the buffers' pool alive.
    type Ref: PoolRef;

    /// A buffer as `request` says, empty.
    ///
    /// # Errors
    ///
    /// [`AcquireRefused`] where there is none at this moment, or never will be.
    fn acquire_with(&self, request: Request) -> Result<Lease<Self::Ref>, AcquireRefused>;

    /// A buffer for `len` bytes, empty.
    ///
    /// # Errors
    ///
    /// As [`BufferSource::acquire_with`].
    #[inline]
    fn acquire(&self, len: usize) -> Result<Lease<Self::Ref>, AcquireRefused> {
        self.acquire_with(Request::bytes(len))
    }
}

impl<'p, 's, X: Recycle<BorrowedRef<'p, Pool<'s, X>>>> BufferSource for &'p Pool<'s, X> {
    type Ref = BorrowedRef<'p, Pool<'s, X>>;

    #[inline]
    fn acquire_with(&self, request: Request) -> Result<Lease<Self::Ref>, AcquireRefused> {
        Pool::acquire_with(self, request)
    }
}

/// A pool of buffers, seen from its handles: a [`Pool`], or what owns one.
///
/// Implemented by this crate only: handles rely on it for memory safety.
pub trait Buffers: SlotPool {
    /// The pool.
    fn buffers(&self) -> &Pool<'_, Self::Recycler>;
}

impl<X> Buffers for Pool<'_, X> {
    #[inline]
    fn buffers(&self) -> &Pool<'_, X> {
        self
    }
}

impl<X> SlotPool for Pool<'_, X> {
    type Recycler = X;

    #[inline]
    fn recycler(&self) -> &X {
        &self.recycler
    }
}

impl<X> sealed::Slots for Pool<'_, X> {
    #[inline]
    fn table(&self) -> &SlotTable<'_> {
        &self.table
    }
}

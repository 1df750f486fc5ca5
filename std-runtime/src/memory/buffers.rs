//! Pools of buffers on the heap.

use core::fmt;

use alloc::sync::Arc;
use alloc::vec::Vec;
use std::sync::LazyLock;

use turbopump_core::pool::{
    self, AcquireRefused, BufferSource, CLASS_BYTES, ClassLayout, ClassStats, Layout, OwnedPool,
    OwnedRef, PoolStats, Request, SERVER_CLASS_BYTES, SlotPool, acquire_local,
};

use super::caches::{Reference, ThreadCaches, flush_this_thread};
use super::report::PoolReport;

/// A buffer with one owner; see [`turbopump_core::pool::Lease`].
pub type Lease = pool::Lease<Reference>;

/// A buffer with many readers; see [`turbopump_core::pool::Chunk`].
pub type Chunk = pool::Chunk<Reference>;

/// Buffers of each class in [`STANDARD_CLASSES`], smallest class first.
const STANDARD_COUNTS: [usize; CLASS_BYTES.len()] = [1_024, 1_024, 1_024, 512, 256, 128];

/// Buffers of each class that [`SERVER_CLASSES`] add.
const SERVER_COUNTS: [usize; SERVER_CLASS_BYTES.len()] = [64, 32, 16];

/// The size classes of [`default_pool`]: those of [`CLASS_BYTES`], 17 MiB of address space in all.
///
/// Pages that nobody touches cost no memory.
pub const STANDARD_CLASSES: [ClassLayout; CLASS_BYTES.len()] = {
    let mut classes = [ClassLayout::new(1, 1); CLASS_BYTES.len()];
    let mut class = 0;
    while class < classes.len() {
        classes[class] = ClassLayout::new(CLASS_BYTES[class], STANDARD_COUNTS[class]);
        class += 1;
    }
    classes
};

/// [`STANDARD_CLASSES`] and three larger ones, for servers: up to 4 MiB a buffer.
pub const SERVER_CLASSES: [ClassLayout; CLASS_BYTES.len() + SERVER_CLASS_BYTES.len()] = {
    let mut classes = [ClassLayout::new(1, 1); CLASS_BYTES.len() + SERVER_CLASS_BYTES.len()];
    let mut class = 0;
    while class < classes.len() {
        classes[class] = match class.checked_sub(CLASS_BYTES.len()) {
            Some(server) => ClassLayout::new(SERVER_CLASS_BYTES[server], SERVER_COUNTS[server]),
            None => STANDARD_CLASSES[class],
        };
        class += 1;
    }
    classes
};

/// A pool of buffers on the heap, with a cache per thread in front of it.
///
/// A cheap handle: cloning it refers to the same pool. Buffers may outlive it, and may be dropped
/// on any thread. The pool never grows; what it does not have it refuses, with the reason.
///
/// Caches keep at most half of a class's free buffers, so that a thread may be refused while others
/// have free ones: size pools for what is in use at once, plus an eighth of each class per thread.
/// When the last handle is gone, threads give their caches back as they end or open another one.
///
/// ```
/// use turbopump_core::pool::{ClassLayout, Layout};
/// use turbopump_std::memory::{BufferPool, IntoBytes};
///
/// let classes = [ClassLayout::new(256, 64), ClassLayout::new(4_096, 32)];
/// let pool = BufferPool::new(&Layout::new(&classes)?);
///
/// let mut lease = pool.acquire(1_000)?;
/// lease.extend_from_slice(b"hello")?;
/// let bytes = lease.freeze().into_bytes(); // bytes::Bytes, without copying
/// assert_eq!(&bytes[..], b"hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct BufferPool {
    home: Reference,
    /// Shared by the handles alone: when the last one goes, nobody acquires any more.
    _open: Arc<Open>,
}

struct Open(Reference);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.recycler().close();
        flush_this_thread(&self.0);
    }
}

impl BufferPool {
    /// A pool of `layout`.
    #[must_use]
    pub fn new(layout: &Layout<'_>) -> Self {
        let home = OwnedRef::new(OwnedPool::new(layout, ThreadCaches::new()));
        Self { _open: Arc::new(Open(home.clone())), home }
    }

    /// A pool of [`STANDARD_CLASSES`].
    #[must_use]
    pub fn standard() -> Self {
        Self::new(&Layout::constant(&STANDARD_CLASSES))
    }

    /// A pool of [`SERVER_CLASSES`].
    #[must_use]
    pub fn server() -> Self {
        Self::new(&Layout::constant(&SERVER_CLASSES))
    }

    /// A buffer for `len` bytes, empty, from the smallest class that holds them.
    ///
    /// # Errors
    ///
    /// [`AcquireRefused`] where no class is large enough, or the class has no free buffer.
    #[inline(always)]
    pub fn acquire(&self, len: usize) -> Result<Lease, AcquireRefused> {
        acquire_local::<ThreadCaches, Reference>(&self.home, Request::bytes(len))
    }

    /// A buffer as `request` says, empty.
    ///
    /// # Errors
    ///
    /// As [`BufferPool::acquire`].
    #[inline]
    pub fn acquire_with(&self, request: Request) -> Result<Lease, AcquireRefused> {
        acquire_local::<ThreadCaches, Reference>(&self.home, request)
    }

    /// Makes up to `count` buffers of each class ready before traffic comes; see
    /// [`Pool::warm_up`](turbopump_core::pool::Pool::warm_up). The usual number is
    /// [`WARM_UP_COUNT`](turbopump_core::pool::WARM_UP_COUNT). Returns how many buffers that were.
    pub fn warm_up(&self, count: usize) -> usize {
        self.home.warm_up(count)
    }

    /// The largest length that can be acquired, in bytes.
    #[must_use]
    pub fn len_max(&self) -> usize {
        self.home.len_max()
    }

    /// What was counted of each class, smallest first, the threads' caches included.
    #[must_use]
    pub fn class_stats(&self) -> Vec<ClassStats> {
        self.home.recycler().with_magazines(|magazines| {
            let caches = || magazines.iter().map(|magazines| &magazines[..]);
            let stats = |class| self.home.class_stats_with(class, caches());
            (0..self.home.classes_len()).filter_map(stats).collect()
        })
    }

    /// As [`class_stats`](Self::class_stats), for who collects numbers.
    #[must_use]
    pub fn report(&self) -> PoolReport {
        PoolReport::new(self.class_stats())
    }

    /// What was counted, all classes together, the threads' caches included.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        self.class_stats().into_iter().collect()
    }

    /// Gives the free buffers that this thread keeps back to the pool, for threads that are about
    /// to be idle for long.
    pub fn flush_this_thread(&self) {
        flush_this_thread(&self.home);
    }
}

impl BufferSource for BufferPool {
    type Ref = Reference;

    #[inline]
    fn acquire_with(&self, request: Request) -> Result<Lease, AcquireRefused> {
        Self::acquire_with(self, request)
    }
}

impl fmt::Debug for BufferPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferPool").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// The pool of the whole process, of [`STANDARD_CLASSES`]; made when it is first asked for.
///
/// For programs. Libraries take a pool from their user.
pub fn default_pool() -> &'static BufferPool {
    static POOL: LazyLock<BufferPool> = LazyLock::new(BufferPool::standard);
    &POOL
}

//! A buffer with many readers.

use core::borrow::Borrow;
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::marker::PhantomData;
use core::mem::forget;
use core::ops::{Bound, Deref, RangeBounds};
use core::ptr::NonNull;

use super::lease::Lease;
use super::reference::PoolRef;
use super::slot::{Slot, SlotState};
use super::span::Span;

/// Bytes that `Debug` shows: enough to recognise a message, not enough to flood a log.
const DEBUG_BYTES_MAX: usize = 64;

/// A part of a pooled buffer that is shared and can no longer be written.
///
/// Cloning, slicing and splitting copy no bytes: they make another handle to the same slot, which
/// returns to its pool when the last of them is dropped. So a small slice keeps its whole slot; who
/// keeps slices for long copies them out.
///
/// Compares, orders and hashes as the bytes it shows.
///
/// ```
/// use turbopump_core::pool::{ClassLayout, Layout, Memory, Pool};
/// # const CLASSES: [ClassLayout; 1] = [ClassLayout::new(64, 2)];
/// # const LAYOUT: Layout<'static> = Layout::constant(&CLASSES);
/// # let mut memory = Memory::<1, 2, { LAYOUT.bytes_len() }>::new();
/// # let pool = Pool::new(&LAYOUT, &mut memory)?;
/// let mut lease = pool.acquire(10)?;
/// lease.extend_from_slice(b"key=value")?;
/// let mut chunk = lease.freeze();
/// let key = chunk.split_to(3)?;
/// chunk.advance(1)?;
/// assert_eq!(key, b"key");
/// assert_eq!(chunk, b"value");
///
/// drop(key);
/// let lease = chunk.try_unique().expect("the only handle left");
/// assert_eq!(&lease[..], b"value");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Chunk<R: PoolRef> {
    slot: NonNull<SlotState>,
    shown: Span,
    /// Paid for once, by all chunks of the slot together, with the address in the slot.
    home: PhantomData<R>,
}

impl<R: PoolRef> Chunk<R> {
    /// A handle to a slot that counts it already.
    #[inline(always)]
    pub(super) fn over(slot: NonNull<SlotState>, shown: Span) -> Self {
        Self { slot, shown, home: PhantomData }
    }

    #[inline(always)]
    fn slot(&self) -> &SlotState {
        // SAFETY: the state is part of the pool, which the reference that is paid for keeps alive.
        unsafe { self.slot.as_ref() }
    }

    /// Bytes that it shows.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.shown.len()
    }

    /// True where it shows no byte.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Another handle to the bytes in `range` of this one.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`] where the range does not lie within the chunk.
    #[inline]
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Result<Self, OutOfRange> {
        let start = match range.start_bound() {
            Bound::Included(&start) => start,
            Bound::Excluded(&before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&last) => last.saturating_add(1),
            Bound::Excluded(&end) => end,
            Bound::Unbounded => self.len(),
        };
        if start > end || end > self.len() {
            return Err(OutOfRange { start, end, len: self.len() });
        }
        self.slot().retain();
        let first = self.shown.start();
        Ok(Self::over(self.slot, self.shown.with(first + start as u32, first + end as u32)))
    }

    /// The handle to `part`, where that lies within this chunk's memory: for parsers that return
    /// references.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`] where it is other memory.
    pub fn slice_ref(&self, part: &[u8]) -> Result<Self, OutOfRange> {
        let start = (part.as_ptr() as usize).wrapping_sub(self.as_ptr() as usize);
        self.slice(start..start.saturating_add(part.len()))
    }

    /// Cuts the chunk in two: the first `at` bytes are returned, the rest stays here.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`] where the chunk is shorter; it stays as it is then.
    #[inline]
    pub fn split_to(&mut self, at: usize) -> Result<Self, OutOfRange> {
        let front = self.slice(..at)?;
        self.advance(at)?;
        Ok(front)
    }

    /// Cuts the chunk in two: the first `at` bytes stay here, the rest is returned.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`] where the chunk is shorter; it stays as it is then.
    #[inline]
    pub fn split_off(&mut self, at: usize) -> Result<Self, OutOfRange> {
        let back = self.slice(at..)?;
        self.truncate(at);
        Ok(back)
    }

    /// Takes `len` bytes off the front.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`] where the chunk is shorter; it stays as it is then.
    #[inline]
    pub fn advance(&mut self, len: usize) -> Result<(), OutOfRange> {
        if len > self.len() {
            return Err(OutOfRange { start: len, end: self.len(), len: self.len() });
        }
        self.shown = self.shown.with(self.shown.start() + len as u32, self.shown.end());
        Ok(())
    }

    /// Shortens the chunk to `len` bytes; longer than it is changes nothing.
    #[inline]
    pub fn truncate(&mut self, len: usize) {
        if len < self.len() {
            self.shown = self.shown.with(self.shown.start(), self.shown.start() + len as u32);
        }
    }

    /// Turns the only handle to a slot back into a lease on it, with the same body.
    ///
    /// # Errors
    ///
    /// The chunk itself, where other handles share its slot.
    #[inline]
    pub fn try_unique(self) -> Result<Lease<R>, Self> {
        if !self.slot().try_own() {
            return Err(self);
        }
        let lease = Lease::showing(self.slot, self.shown);
        forget(self);
        Ok(lease)
    }
}

impl<R: PoolRef> Clone for Chunk<R> {
    #[inline]
    fn clone(&self) -> Self {
        self.slot().retain();
        Self::over(self.slot, self.shown)
    }
}

impl<R: PoolRef> Drop for Chunk<R> {
    #[inline]
    fn drop(&mut self) {
        if self.slot().release_share() {
            Slot::<R>::new(self.slot, self.shown.tag()).recycle();
        }
    }
}

impl<R: PoolRef> Deref for Chunk<R> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        #[cfg(loom)]
        self.slot().witness_read();
        // SAFETY: the range lies in the slot, as it did in the lease; a shared slot is written by
        // nobody until its last handle is gone; a pool's bytes are initialised from the start.
        unsafe {
            let first = self.slot().memory().as_ptr().add(self.shown.start() as usize);
            core::slice::from_raw_parts(first, self.len())
        }
    }
}

impl<R: PoolRef> AsRef<[u8]> for Chunk<R> {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl<R: PoolRef> Borrow<[u8]> for Chunk<R> {
    #[inline]
    fn borrow(&self) -> &[u8] {
        self
    }
}

impl<'a, R: PoolRef> IntoIterator for &'a Chunk<R> {
    type Item = &'a u8;
    type IntoIter = core::slice::Iter<'a, u8>;

    #[inline]
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<R: PoolRef, T: AsRef<[u8]> + ?Sized> PartialEq<T> for Chunk<R> {
    #[inline]
    fn eq(&self, other: &T) -> bool {
        **self == *other.as_ref()
    }
}

impl<R: PoolRef> Eq for Chunk<R> {}

impl<R: PoolRef> PartialOrd for Chunk<R> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<R: PoolRef> Ord for Chunk<R> {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl<R: PoolRef> Hash for Chunk<R> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (**self).hash(hasher);
    }
}

impl<R: PoolRef> From<Lease<R>> for Chunk<R> {
    fn from(lease: Lease<R>) -> Self {
        lease.freeze()
    }
}

impl<R: PoolRef> fmt::Debug for Chunk<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.len().min(DEBUG_BYTES_MAX);
        write!(f, "b\"{}\"", self[..shown].escape_ascii())?;
        if shown < self.len() {
            write!(f, " and {} bytes more", self.len() - shown)
        } else {
            Ok(())
        }
    }
}

// SAFETY: a chunk gives shared access to bytes that nobody writes, and a reference to its pool;
// the last one passes its slot on to whichever thread it is dropped on.
unsafe impl<R: PoolRef + Send + Sync> Send for Chunk<R> {}
// SAFETY: as above.
unsafe impl<R: PoolRef + Send + Sync> Sync for Chunk<R> {}

/// A range that does not lie within the chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutOfRange {
    /// Where the range begins.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
    /// Bytes of the chunk.
    pub len: usize,
}

impl fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { start, end, len } = self;
        write!(f, "bytes {start}..{end} do not lie within a chunk of {len}")
    }
}

impl core::error::Error for OutOfRange {}

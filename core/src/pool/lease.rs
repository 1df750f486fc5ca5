//! A buffer with one owner.

use core::fmt;
use core::marker::PhantomData;
use core::mem::forget;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;

use super::buffers::{Buffers, Request};
use super::chunk::Chunk;
use super::reference::{Home, PoolRef};
use super::slot::{Slot, SlotState};
use super::span::Span;

/// A buffer that nobody else can see: written, given away, frozen, or dropped back into its pool.
///
/// A fresh lease is empty and shows no byte of its last user: what is read through it has been
/// written through it, unless through [`Lease::dirty_mut`] and [`Lease::commit`]. In front of the
/// body is headroom, into which [`Lease::prepend`] puts what is known only when the body is
/// complete.
///
/// A lease is two words, wherever its pool is.
///
/// ```
/// use turbopump_core::pool::{ClassLayout, Layout, Memory, Pool};
/// # const CLASSES: [ClassLayout; 1] = [ClassLayout::new(64, 2)];
/// # const LAYOUT: Layout<'static> = Layout::constant(&CLASSES);
/// # let mut memory = Memory::<1, 2, { LAYOUT.bytes_len() }>::new();
/// # let pool = Pool::new(&LAYOUT, &mut memory)?;
/// let mut lease = pool.acquire(5)?;
/// lease.extend_from_slice(b"hello")?;
/// lease.prepend(&5_u32.to_be_bytes())?;
/// assert_eq!(&lease[..], b"\0\0\0\x05hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Lease<R: PoolRef> {
    slot: NonNull<SlotState>,
    body: Span,
    /// Paid for, with the address in the slot.
    home: PhantomData<R>,
}

impl<R: PoolRef> Lease<R> {
    /// A fresh lease on a slot: for caches. In front of it is the headroom of its class, or more
    /// if `request` says so and the slot is large enough.
    ///
    /// Only the slots of a pool of bytes can be leased, not the places of values:
    ///
    /// ```compile_fail,E0271
    /// use turbopump_core::pool::{
    ///     BorrowedRef, Functions, Home, Lease, ObjectMemory, ObjectPool, Request,
    /// };
    ///
    /// let mut memory = ObjectMemory::<String, 1>::new();
    /// let manage = Functions::new(String::new, String::clear);
    /// let pool = ObjectPool::new(&mut memory, manage).unwrap();
    /// let slot = BorrowedRef::new(&pool).claim(0).unwrap();
    /// let lease = Lease::new(slot, Request::bytes(1));
    /// ```
    #[inline]
    #[must_use]
    pub fn new(slot: Slot<R>, request: Request) -> Self
    where
        R: Home<Pool: Buffers>,
    {
        Self::fresh(slot).with_headroom(request)
    }

    /// A fresh lease with the headroom of its class.
    pub(super) fn fresh(slot: Slot<R>) -> Self
    where
        R: Home<Pool: Buffers>,
    {
        let headroom = slot.state().headroom();
        let body = Span::new(slot.tag(), headroom, headroom);
        Self::showing(slot.into_state(), body)
    }

    /// The same lease, still fresh, with the headroom that `request` wants.
    #[inline(always)]
    pub(super) fn with_headroom(mut self, request: Request) -> Self {
        if request.headroom > self.headroom() {
            let start = request.headroom.min(self.slot().limit() as usize) as u32;
            self.body = self.body.with(start, start);
        }
        self
    }

    /// The lease on a claimed slot with a reference paid for, and this body.
    #[inline(always)]
    pub(super) fn showing(slot: NonNull<SlotState>, body: Span) -> Self {
        Self { slot, body, home: PhantomData }
    }

    #[inline(always)]
    fn slot(&self) -> &SlotState {
        // SAFETY: the state is part of the pool, which the reference that is paid for keeps alive.
        unsafe { self.slot.as_ref() }
    }

    #[inline]
    fn range(&self, from: u32, to: u32) -> &[u8] {
        #[cfg(loom)]
        self.slot().witness_read();
        // SAFETY: `from <= to <= limit`, so the range lies in the slot; the lease owns the slot, so
        // nobody writes to it; all of a pool's bytes are initialised from the start.
        unsafe {
            let first = self.slot().memory().as_ptr().add(from as usize);
            core::slice::from_raw_parts(first, (to - from) as usize)
        }
    }

    #[inline]
    fn range_mut(&mut self, from: u32, to: u32) -> &mut [u8] {
        #[cfg(loom)]
        self.slot().witness_write();
        // SAFETY: as in `range`; the lease is the slot's only handle and is borrowed exclusively.
        unsafe {
            let first = self.slot().memory().as_ptr().add(from as usize);
            core::slice::from_raw_parts_mut(first, (to - from) as usize)
        }
    }

    /// Bytes of the body.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.body.len()
    }

    /// True where the body has no byte.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that the body could have if nothing more were put in front of it.
    #[inline]
    #[must_use]
    pub fn capacity(&self) -> usize {
        (self.slot().limit() - self.body.start()) as usize
    }

    /// Bytes that can still be appended.
    #[inline]
    #[must_use]
    pub fn spare(&self) -> usize {
        (self.slot().limit() - self.body.end()) as usize
    }

    /// Bytes that can still be put in front.
    #[inline]
    #[must_use]
    pub fn headroom(&self) -> usize {
        self.body.start() as usize
    }

    /// Appends `bytes`.
    ///
    /// # Errors
    ///
    /// [`Full`] where they do not fit; nothing is appended then.
    #[inline]
    pub fn extend_from_slice(&mut self, bytes: &[u8]) -> Result<(), Full> {
        self.grow(bytes.len())?.copy_from_slice(bytes);
        Ok(())
    }

    /// Appends `len` bytes of 0 and returns them to be overwritten.
    ///
    /// # Errors
    ///
    /// [`Full`] where they do not fit.
    #[inline]
    pub fn extend_zeroed(&mut self, len: usize) -> Result<&mut [u8], Full> {
        let grown = self.grow(len)?;
        grown.fill(0);
        Ok(grown)
    }

    /// The `len` bytes after the body, which become part of it. Every caller overwrites them all.
    #[inline]
    fn grow(&mut self, len: usize) -> Result<&mut [u8], Full> {
        let from = self.body.end();
        self.commit(len)?;
        Ok(self.range_mut(from, self.body.end()))
    }

    /// Puts `bytes` in front of the body.
    ///
    /// # Errors
    ///
    /// [`Full`] where the headroom is smaller than that; nothing changes then.
    #[inline]
    pub fn prepend(&mut self, bytes: &[u8]) -> Result<(), Full> {
        self.grow_front(bytes.len())?.copy_from_slice(bytes);
        Ok(())
    }

    /// Puts `len` bytes of 0 in front of the body and returns them to be overwritten.
    ///
    /// # Errors
    ///
    /// [`Full`] where the headroom is smaller than that.
    #[inline]
    pub fn prepend_zeroed(&mut self, len: usize) -> Result<&mut [u8], Full> {
        let grown = self.grow_front(len)?;
        grown.fill(0);
        Ok(grown)
    }

    /// The `len` bytes before the body, which become part of it. Every caller overwrites them all.
    #[inline]
    fn grow_front(&mut self, len: usize) -> Result<&mut [u8], Full> {
        if len > self.headroom() {
            return Err(Full { needed: len, room: self.headroom() });
        }
        let to = self.body.start();
        self.body = self.body.with(to - len as u32, self.body.end());
        Ok(self.range_mut(self.body.start(), to))
    }

    /// The free memory behind the body, as the last user left it: for readers that fill it from a
    /// socket without clearing it first. [`Lease::commit`] makes the first bytes of it part of the
    /// body.
    ///
    /// The bytes are initialised, but may be another user's data.
    #[inline]
    pub fn dirty_mut(&mut self) -> &mut [u8] {
        self.range_mut(self.body.end(), self.slot().limit())
    }

    /// Makes `len` bytes, written through [`Lease::dirty_mut`], part of the body. What of them was
    /// not written is the last user's.
    ///
    /// # Errors
    ///
    /// [`Full`] where there are not that many; nothing changes then.
    #[inline]
    pub fn commit(&mut self, len: usize) -> Result<(), Full> {
        if len > self.spare() {
            return Err(Full { needed: len, room: self.spare() });
        }
        self.body = self.body.with(self.body.start(), self.body.end() + len as u32);
        Ok(())
    }

    /// Shortens the body to `len` bytes; longer than it is changes nothing.
    #[inline]
    pub fn truncate(&mut self, len: usize) {
        if len < self.len() {
            self.body = self.body.with(self.body.start(), self.body.start() + len as u32);
        }
    }

    /// Takes up to `len` bytes off the front of the body; they become headroom.
    #[inline]
    pub fn advance(&mut self, len: usize) {
        let start = self.body.start() + len.min(self.len()) as u32;
        self.body = self.body.with(start, self.body.end());
    }

    /// Empties the body; the headroom stays as large as it is.
    #[inline]
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    /// Turns the lease into a shared, immutable chunk of the same bytes, without copying.
    #[inline]
    #[must_use]
    pub fn freeze(self) -> Chunk<R> {
        self.slot().share();
        let chunk = Chunk::over(self.slot, self.body);
        forget(self);
        chunk
    }
}

impl<R: PoolRef> Drop for Lease<R> {
    #[inline]
    fn drop(&mut self) {
        Slot::<R>::new(self.slot, self.body.tag()).recycle();
    }
}

impl<R: PoolRef> Deref for Lease<R> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.range(self.body.start(), self.body.end())
    }
}

impl<R: PoolRef> DerefMut for Lease<R> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        self.range_mut(self.body.start(), self.body.end())
    }
}

impl<R: PoolRef> AsRef<[u8]> for Lease<R> {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl<R: PoolRef> AsMut<[u8]> for Lease<R> {
    #[inline]
    fn as_mut(&mut self) -> &mut [u8] {
        self
    }
}

impl<R: PoolRef> fmt::Write for Lease<R> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.extend_from_slice(text.as_bytes()).map_err(|_| fmt::Error)
    }
}

impl<R: PoolRef> fmt::Debug for Lease<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("headroom", &self.headroom())
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}

// SAFETY: a lease is exclusive access to bytes, like a `Box<[u8]>`, and a reference to its pool.
unsafe impl<R: PoolRef + Send> Send for Lease<R> {}
// SAFETY: `&Lease` gives `&[u8]` only.
unsafe impl<R: PoolRef + Sync> Sync for Lease<R> {}

/// More bytes than there is room for. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Full {
    /// Bytes that should have fitted.
    pub needed: usize,
    /// Bytes of room.
    pub room: usize,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { needed, room } = self;
        write!(f, "{needed} bytes do not fit into {room}; acquire a larger buffer")
    }
}

impl core::error::Error for Full {}

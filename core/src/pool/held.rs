//! Storage that a pool holds for its life and shares with its handles.

use core::marker::PhantomData;
use core::ptr::NonNull;

use crate::backing::Backing;

#[cfg(feature = "alloc")]
use alloc::boxed::Box;

/// A slice, borrowed or owned, that is reached through one pointer: no branch per access, and the
/// address stays when the value is moved.
pub(super) struct Held<'s, T> {
    start: NonNull<T>,
    len: usize,
    /// Elements that the allocation has, where it is ours.
    #[cfg(feature = "alloc")]
    owned_len: Option<usize>,
    storage: PhantomData<&'s mut [T]>,
}

impl<'s, T> Held<'s, T> {
    pub(super) fn new(backing: Backing<'s, T>) -> Self {
        match backing {
            Backing::Borrowed(slice) => Self {
                len: slice.len(),
                start: NonNull::from(slice).cast(),
                #[cfg(feature = "alloc")]
                owned_len: None,
                storage: PhantomData,
            },
            #[cfg(feature = "alloc")]
            Backing::Owned(slice) => Self {
                len: slice.len(),
                owned_len: Some(slice.len()),
                // Taken apart, because a box that is moved ends all pointers into it.
                start: NonNull::from(Box::leak(slice)).cast(),
                storage: PhantomData,
            },
        }
    }

    /// Forgets all but the first `len` elements.
    pub(super) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    #[inline]
    pub(super) fn start(&self) -> NonNull<T> {
        self.start
    }

    #[inline]
    pub(super) fn as_slice(&self) -> &[T] {
        // SAFETY: `start` and `len` come from a slice that is borrowed exclusively for `'s` or was
        // leaked from a box that only `drop` takes back; nobody else has a reference to it.
        unsafe { core::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [T] {
        // SAFETY: as in `as_slice`, and `&mut self` excludes every other access through it.
        unsafe { core::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl<T> Drop for Held<'_, T> {
    fn drop(&mut self) {
        #[cfg(feature = "alloc")]
        if let Some(len) = self.owned_len {
            let slice = core::ptr::slice_from_raw_parts_mut(self.start.as_ptr(), len);
            // SAFETY: `start` and `owned_len` are those of the box that `new` leaked, and nobody
            // uses the storage any more: handles keep their pool, and thereby this value, alive.
            drop(unsafe { Box::from_raw(slice) });
        }
    }
}

// SAFETY: a `Held` is a `&mut [T]` or a `Box<[T]>` in another shape.
unsafe impl<T: Send> Send for Held<'_, T> {}
// SAFETY: through `&Held` only `&[T]` is reached, and bytes of slots through handles that own them.
unsafe impl<T: Sync> Sync for Held<'_, T> {}

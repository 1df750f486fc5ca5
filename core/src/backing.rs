//! Storage that is either borrowed from the caller or owned.
//!
//! The same machine runs over a `static` array on a microcontroller, over a slice on the stack in a
//! test and over the heap on a server, and its type does not say which.

use core::fmt;
use core::ops::{Deref, DerefMut};

#[cfg(feature = "alloc")]
use alloc::boxed::Box;

/// A slice that is borrowed for `'s` or, with the feature `alloc`, owned.
///
/// ```
/// use turbopump_core::backing::Backing;
///
/// let mut array = [1, 2, 3];
/// let mut borrowed = Backing::from(&mut array[..]);
/// borrowed[0] = 7;
/// assert_eq!(borrowed.len(), 3);
/// drop(borrowed);
/// assert_eq!(array, [7, 2, 3]);
/// ```
#[non_exhaustive]
pub enum Backing<'s, T> {
    /// Storage of the caller's.
    Borrowed(&'s mut [T]),
    /// Storage on the heap.
    #[cfg(feature = "alloc")]
    Owned(Box<[T]>),
}

impl<'s, T> Backing<'s, T> {
    /// Exchanges storage with another that is owned as well and as long; false where it is not.
    #[inline]
    pub(crate) fn exchange(&mut self, other: &mut Backing<'_, T>) -> bool {
        #[cfg(feature = "alloc")]
        if let (Self::Owned(ours), Backing::Owned(theirs)) = (self, other)
            && ours.len() == theirs.len()
        {
            core::mem::swap(ours, theirs);
            return true;
        }
        #[cfg(not(feature = "alloc"))]
        let _ = (self, other);
        false
    }

    /// The first `at` elements, and the others. `at` is at most the length.
    pub(crate) fn split_at(self, at: usize) -> (Self, Self) {
        match self {
            Self::Borrowed(slice) => {
                let (first, others) = slice.split_at_mut(at);
                (Self::Borrowed(first), Self::Borrowed(others))
            }
            #[cfg(feature = "alloc")]
            Self::Owned(slice) => {
                let mut first = slice.into_vec();
                let others = first.split_off(at);
                (Self::Owned(first.into()), Self::Owned(others.into()))
            }
        }
    }
}

impl<T> Deref for Backing<'_, T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        match self {
            Self::Borrowed(slice) => slice,
            #[cfg(feature = "alloc")]
            Self::Owned(slice) => slice,
        }
    }
}

impl<T> DerefMut for Backing<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        match self {
            Self::Borrowed(slice) => slice,
            #[cfg(feature = "alloc")]
            Self::Owned(slice) => slice,
        }
    }
}

impl<'s, T> From<&'s mut [T]> for Backing<'s, T> {
    fn from(slice: &'s mut [T]) -> Self {
        Self::Borrowed(slice)
    }
}

#[cfg(feature = "alloc")]
impl<T> From<Box<[T]>> for Backing<'_, T> {
    fn from(slice: Box<[T]>) -> Self {
        Self::Owned(slice)
    }
}

#[cfg(feature = "alloc")]
impl<T> FromIterator<T> for Backing<'_, T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self::Owned(items.into_iter().collect())
    }
}

impl<T> fmt::Debug for Backing<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Borrowed(_) => "borrowed",
            #[cfg(feature = "alloc")]
            Self::Owned(_) => "owned",
        };
        write!(f, "{} x {} ({kind})", self.len(), core::any::type_name::<T>())
    }
}

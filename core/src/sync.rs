//! The one place that says which atomics are used.
//!
//! `core`'s by default, `portable-atomic`'s for targets that lack compare-and-swap, loom's when the
//! model checker runs (`--cfg loom`).

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering, fence,
};

#[cfg(all(not(loom), feature = "portable-atomic"))]
pub(crate) use portable_atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering, fence};

#[cfg(all(not(loom), not(feature = "portable-atomic")))]
pub(crate) use core::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering, fence,
};

/// Adds to a counter that only the caller writes and others only read: no read-modify-write.
#[inline]
pub(crate) fn add_unshared(counter: &AtomicUsize, by: usize) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
}

/// Declares a constructor that is `const` in programs; loom's atomics can't be made in constants.
macro_rules! const_unless_loom {
    (
        $(#[$attribute:meta])*
        $visibility:vis fn $name:ident($($argument:ident: $type:ty),*) -> $result:ty $body:block
    ) => {
        #[cfg(not(loom))]
        $(#[$attribute])*
        $visibility const fn $name($($argument: $type),*) -> $result $body

        #[cfg(loom)]
        $(#[$attribute])*
        $visibility fn $name($($argument: $type),*) -> $result $body
    };
}
pub(crate) use const_unless_loom;

/// An array of so many times the same constructor's value, made as the place allows.
macro_rules! array_of {
    ($value:expr; $count:expr) => {{
        #[cfg(not(loom))]
        let array = [const { $value }; $count];
        #[cfg(loom)]
        let array = core::array::from_fn(|_| $value);
        array
    }};
}
pub(crate) use array_of;

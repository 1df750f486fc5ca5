//! Memory: buffers in size classes and pooled values, lock-free and without hidden growth.
//!
//! | want | take |
//! | --- | --- |
//! | a buffer to write | [`Pool::acquire`], which gives a [`Lease`] |
//! | the same bytes for many readers | [`Lease::freeze`], which gives a [`Chunk`] |
//! | a value of your own type | [`ObjectPool::get`], which gives an [`Object`] |
//! | no contention between threads | a [`Cache`] per thread in front of the pool |
//! | no allocator | [`StaticPool`], or any `&mut` [`Memory`] |
//! | leases that outlive the stack | [`OwnedRef`], with the feature `alloc` |
//! | leases that generic tasks hold while they wait | [`OwnedRef`] of an [`OwnedPool`] |
//! | memory of your own | implement [`Storage`] |
//! | a say in where slots go | implement [`Recycle`] |
//!
//! The module decides who may use which slot, and nothing else: where the memory comes from, how
//! large it is and whether threads keep some of it in reserve is the caller's to say.
//!
//! This is the only module with unsafe code. It rests on one invariant: *a claimed slot has exactly
//! one owner*. The compare-and-swap in `table` makes an owner; [`Slot`], [`Lease`], [`Object`], a
//! place in a [`Magazine`], or all chunks of a slot together are one; only an owner gives the slot
//! back. Memory is reached through owners only, and each of them keeps the pool alive.
//!
//! # How large should a pool be?
//!
//! Write it as a sum with a reason per term: buffers being filled, plus buffers on their way
//! (per connection: one being read, those queued for writing), plus what consumers keep, plus,
//! where caches are used, an eighth of the class per thread, half of it at most.
#![allow(unsafe_code)]
// Thread-local caches are not there when the model checker runs.
#![cfg_attr(loom, allow(dead_code))]

mod buffers;
mod cache;
mod chunk;
mod counters;
mod held;
mod layout;
mod lease;
#[cfg(not(loom))]
mod local;
mod magazine;
mod object;
#[cfg(feature = "alloc")]
mod owned;
mod reference;
mod sealed;
#[cfg(feature = "alloc")]
mod shared;
mod slot;
mod span;
mod storage;
mod table;

pub use buffers::{AcquireRefused, BufferSource, Buffers, Pool, Request};
pub use cache::{Cache, CacheRefused};
pub use chunk::{Chunk, OutOfRange};
pub use counters::{ClassStats, PoolStats};
pub use layout::{
    BUFFER_BYTES_MAX, CLASS_BYTES, CLASS_SLOTS_MAX, CLASSES_MAX, ClassLayout, HEADROOM_BYTES,
    Layout, LayoutError, SERVER_CLASS_BYTES, WARM_UP_COUNT,
};
pub use lease::{Full, Lease};
#[cfg(not(loom))]
pub use local::{LOCAL_CACHES, LocalCaches, ThreadLocal, acquire_local, recycle_local};
pub use magazine::{MAGAZINE_SLOTS, Magazine, MagazineSet};
pub use object::{
    Exhausted, Functions, Item, Manage, Object, ObjectMemory, ObjectParts, ObjectPool, ObjectSlot,
    ValuePool,
};
#[cfg(feature = "alloc")]
pub use owned::OwnedPool;
pub use reference::{BorrowedRef, Direct, Home, PoolRef, Recycle, SlotPool};
#[cfg(feature = "alloc")]
pub use shared::OwnedRef;
pub use slot::{Slot, SlotState};
#[cfg(feature = "alloc")]
pub use storage::Heap;
pub use storage::{Memory, Parts, StaticPool, Storage, StorageError};
pub use table::Row;

#[cfg(all(test, feature = "alloc", not(loom)))]
mod tests;

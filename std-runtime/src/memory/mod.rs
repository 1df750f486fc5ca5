//! Memory on hosts: heap-backed pools behind the core's handles, with a cache per thread.
//!
//! | want | take |
//! | --- | --- |
//! | a buffer | [`default_pool`]`().acquire(len)`, or a [`BufferPool`] of your own |
//! | pooled values of your own type | an [`ObjectPool`] |
//! | many object pools by name | [`ObjectPools`], with typed [`Key`]s |
//! | `bytes::Bytes` of a chunk | [`IntoBytes`] |
//!
//! Getting a buffer and giving it back on the same thread touches no memory that another thread
//! writes and performs no atomic read-modify-write. This module decides which thread caches what;
//! who owns which slot is decided in `turbopump_core::pool`.

mod buffers;
mod bytes;
mod caches;
mod objects;
mod registry;
mod report;

pub use self::buffers::{BufferPool, Chunk, Lease, SERVER_CLASSES, STANDARD_CLASSES, default_pool};
pub use self::bytes::IntoBytes;
pub use self::caches::{Reference, ThreadCaches};
pub use self::objects::{Boxed, Object, ObjectPool};
pub use self::registry::{AlreadyRegistered, Key, ObjectPools, default_object_pools};
pub use self::report::PoolReport;

#[cfg(test)]
mod tests;

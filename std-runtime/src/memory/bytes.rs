//! The way from pooled memory to `bytes::Bytes`.

use bytes::Bytes;
use turbopump_core::pool::{Chunk, Lease, PoolRef};

/// Turns pooled memory into [`Bytes`] without copying it.
///
/// The bytes keep their slot, and thereby their pool, until the last [`Bytes`] is dropped; the slot
/// then goes back as if the chunk itself were. One small allocation per call.
pub trait IntoBytes {
    /// The same bytes as [`Bytes`].
    fn into_bytes(self) -> Bytes;
}

impl<R: PoolRef + Send + Sync + 'static> IntoBytes for Chunk<R> {
    fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl<R: PoolRef + Send + Sync + 'static> IntoBytes for Lease<R> {
    fn into_bytes(self) -> Bytes {
        self.freeze().into_bytes()
    }
}

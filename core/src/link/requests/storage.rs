//! The memory of a link with requests, and how it is set.

use super::place::RequestPlace;
use crate::backing::Backing;
use crate::link::TimeoutRule;
use crate::pool::{Chunk, Lease, PoolRef};

#[cfg(doc)]
use super::Requests;

/// How [`Requests`] are set.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct RequestConfig {
    /// The time-out of requests that come without one of their own.
    pub timeout: TimeoutRule,
    /// Frames are encoded one behind the other into batches of up to this many bytes: one write
    /// each. 64 KiB; a class of the pool should have just this size.
    pub batch_bytes: usize,
    /// Bodies above this are written from memory of their own instead of being copied into a batch.
    /// 16 KiB.
    pub copy_bytes_max: usize,
    /// Incoming frames above this are read straight into memory of their own; smaller ones are
    /// copied out of the driver's window, which therefore must not be smaller than this. 16 KiB.
    pub window_bytes: usize,
}

impl Default for RequestConfig {
    fn default() -> Self {
        Self {
            timeout: TimeoutRule::default(),
            batch_bytes: 65_536,
            copy_bytes_max: 16_384,
            window_bytes: 16_384,
        }
    }
}

/// The storage of [`Requests`].
///
/// | part | one for each |
/// | --- | --- |
/// | places | request in flight, 1 to [`IN_FLIGHT_MAX`](super::IN_FLIGHT_MAX) |
/// | outgoing | batch or large body that waits to be written, at least 2 |
/// | incoming | frame that the peer sent of its own accord and nobody fetched yet, 0 for none |
pub struct RequestStorage<'s, R: PoolRef> {
    pub(super) places: Backing<'s, RequestPlace<R>>,
    pub(super) outgoing: Backing<'s, Option<Chunk<R>>>,
    pub(super) incoming: Backing<'s, Option<Lease<R>>>,
}

impl<'s, R: PoolRef> RequestStorage<'s, R> {
    /// Storage of the caller's.
    #[must_use]
    pub fn borrowed(
        places: &'s mut [RequestPlace<R>],
        outgoing: &'s mut [Option<Chunk<R>>],
        incoming: &'s mut [Option<Lease<R>>],
    ) -> Self {
        Self {
            places: Backing::Borrowed(places),
            outgoing: Backing::Borrowed(outgoing),
            incoming: Backing::Borrowed(incoming),
        }
    }
}

#[cfg(feature = "alloc")]
impl<R: PoolRef> RequestStorage<'static, R> {
    /// Storage on the heap for so many of each.
    #[must_use]
    pub fn on_heap(places: usize, outgoing: usize, incoming: usize) -> Self {
        Self {
            places: (0..places).map(|_| RequestPlace::new()).collect(),
            outgoing: (0..outgoing).map(|_| None).collect(),
            incoming: (0..incoming).map(|_| None).collect(),
        }
    }
}

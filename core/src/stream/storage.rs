//! Memory for a connection's streams, of the caller's.

use super::config::StreamConfig;
use super::index::IndexEntry;
use super::place::StreamPlace;
use crate::backing::Backing;
use crate::pool::PoolRef;

/// What [`Streams`](super::Streams) keeps its streams in: a place for each, an index of
/// [`StreamStorage::index_len`] entries, and a list of refusals.
///
/// The bytes themselves are in buffers of a pool.
///
/// ```
/// use turbopump_core::pool::BorrowedRef;
/// # use turbopump_core::pool::Pool;
/// use turbopump_core::stream::{IndexEntry, StreamPlace, StreamStorage};
///
/// const STREAMS: usize = 4;
/// # type Ref<'p> = BorrowedRef<'p, Pool<'p>>;
/// let mut places = [const { StreamPlace::<Ref<'_>>::new() }; STREAMS];
/// let mut index = [IndexEntry::default(); StreamStorage::<Ref<'_>>::index_len(STREAMS)];
/// let mut refusals = [0; 8];
/// let storage = StreamStorage {
///     places: (&mut places[..]).into(),
///     index: (&mut index[..]).into(),
///     refusals: (&mut refusals[..]).into(),
/// };
/// # drop(storage);
/// ```
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "callers without an allocator bring each piece")]
pub struct StreamStorage<'s, R: PoolRef> {
    /// As many as [`StreamConfig::streams_max`].
    pub places: Backing<'s, StreamPlace<R>>,
    /// Finds a stream by its number.
    pub index: Backing<'s, IndexEntry>,
    /// As many as [`StreamConfig::refusals_max`].
    pub refusals: Backing<'s, u32>,
}

impl<R: PoolRef> StreamStorage<'_, R> {
    /// Entries that the index needs for a number of streams.
    #[must_use]
    pub const fn index_len(streams_max: usize) -> usize {
        super::index::entries_for(streams_max)
    }

    /// As much as `config` asks for, on the heap.
    #[cfg(feature = "alloc")]
    #[must_use]
    pub fn on_heap(config: &StreamConfig) -> Self {
        Self {
            places: (0..config.streams_max).map(|_| StreamPlace::new()).collect(),
            index: (0..Self::index_len(config.streams_max))
                .map(|_| IndexEntry::default())
                .collect(),
            refusals: (0..config.refusals_max).map(|_| 0).collect(),
        }
    }

    /// The first piece that is too small: its name, its length, and what it should be.
    pub(super) fn lacks(&self, config: &StreamConfig) -> Option<(&'static str, usize, usize)> {
        [
            ("places", self.places.len(), config.streams_max),
            ("index entries", self.index.len(), Self::index_len(config.streams_max)),
            ("refusals", self.refusals.len(), config.refusals_max),
        ]
        .into_iter()
        .find(|(_, len, needed)| len < needed)
    }
}

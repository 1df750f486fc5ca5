//! What an accumulator counts.

use super::work::Concluded;
use crate::stats::{Counter, LogHistogram, log_buckets};

/// Why a batch was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// It has as many items as a batch should have.
    Items,
    /// The next item would have made it too many bytes.
    Bytes,
    /// Its first item has waited as long as an item should.
    Linger,
    /// Somebody asked for it.
    Flush,
    /// The accumulator shuts down.
    Shutdown,
}

impl Reason {
    /// All of them, in the order of [`BatchCounters::closed`].
    pub const ALL: [Self; 5] =
        [Self::Items, Self::Bytes, Self::Linger, Self::Flush, Self::Shutdown];

    /// The name under which it is shown: a metric's label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Items => "size",
            Self::Bytes => "bytes",
            Self::Linger => "linger",
            Self::Flush => "manual",
            Self::Shutdown => "shutdown",
        }
    }
}

/// How long batches took to come together, or from being handed out to being settled: microseconds
/// up to 67 seconds within 25 %.
pub type ProcessingHistogram = LogHistogram<2, { log_buckets(2, 1 << 26) }>;

/// What an [`Accumulator`](super::Accumulator) counted: a snapshot.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct BatchCounters {
    /// Items that were accepted.
    pub items: Counter,
    /// Items that were refused.
    pub refused: Counter,
    /// Of those that were accepted, those that were lost with a batch that nobody settled: see
    /// [`Accumulator::forget`](super::Accumulator::forget). They are settled as nothing.
    pub lost: Counter,
    /// Batches that were handed out for the first time.
    pub batches: Counter,
    /// Items in them.
    pub batched_items: Counter,
    /// Bytes of these items.
    pub batched_bytes: Counter,
    /// Batches by why they were closed, in the order of [`Reason::ALL`].
    pub closed: [Counter; Reason::ALL.len()],
    /// Items that were settled as done.
    pub succeeded: Counter,
    /// Items that were settled as anything else.
    pub failed: Counter,
    /// Of these, those that had no time left.
    pub expired: Counter,
    /// Attempts with an item after its first.
    pub retried: Counter,
    /// How long the first item of a batch waited until the batch was handed out: what lingering
    /// costs, and waiting for one that is in flight to be settled.
    pub linger_us: ProcessingHistogram,
    /// How long attempts took.
    pub processing_us: ProcessingHistogram,
}

impl BatchCounters {
    /// Items per batch, on average; 0 where there was none.
    #[must_use]
    pub fn items_mean(&self) -> f64 {
        match self.batches.get() {
            0 => 0.0,
            batches => self.batched_items.get() as f64 / batches as f64,
        }
    }

    pub(super) fn count_batch(&mut self, reason: Reason, items: u32, bytes: u64, linger_us: u64) {
        self.batches.increment();
        self.batched_items.add(items.into());
        self.batched_bytes.add(bytes);
        self.linger_us.observe(linger_us);
        if let Some(counter) = self.closed.get_mut(reason as usize) {
            counter.increment();
        }
    }

    pub(super) fn count_concluded(&mut self, concluded: &Concluded) {
        self.succeeded.add(concluded.succeeded.into());
        self.failed.add(concluded.failed.into());
        self.expired.add(concluded.expired.into());
        if concluded.worked > 0 {
            self.processing_us.observe(concluded.took_us);
        }
    }
}

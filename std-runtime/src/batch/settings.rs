//! How a batch handle is set.

use core::fmt;
use core::mem::size_of_val;

use turbopump_core::batch::{BatchConfig, ConfigError};

/// How a batch handle is set.
///
/// ```
/// use turbopump_std::batch::BatchSettings;
///
/// let mut settings = BatchSettings::<String>::of_bytes();
/// settings.batch.items_max = 500;
/// settings.workers = 2;
/// settings.check()?;
/// # Ok::<(), turbopump_std::batch::InvalidSettings>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BatchSettings<T> {
    /// What closes a batch, what is retried, how many items may wait.
    pub batch: BatchConfig,
    /// Batches that are worked on at once, at most 64; 1 where the order is kept. 4.
    pub workers: usize,
    /// Bytes of all items that wait for their first attempt, at most; 64 MiB. One item may always
    /// wait.
    pub waiting_bytes_max: u64,
    /// Senders that may wait for room; 65,536. They are let in when half of the room is free, or
    /// what there is when no further batch is due: waking them one by one costs more than sending.
    pub waiting_senders_max: usize,
    /// How many bytes an item counts as.
    pub bytes_of: fn(&T) -> u64,
}

impl<T> Default for BatchSettings<T> {
    /// Items count as the bytes of their values, without what those point to.
    fn default() -> Self {
        Self {
            batch: BatchConfig::default(),
            workers: 4,
            waiting_bytes_max: 64 << 20,
            waiting_senders_max: 65_536,
            bytes_of: |item| size_of_val(item) as u64,
        }
    }
}

impl<T: AsRef<[u8]>> BatchSettings<T> {
    /// For buffers, texts and the like: items count as the bytes that they hold.
    #[must_use]
    pub fn of_bytes() -> Self {
        Self { bytes_of: |item| item.as_ref().len() as u64, ..Self::default() }
    }
}

impl<T> BatchSettings<T> {
    /// Says whether these can be meant.
    ///
    /// # Errors
    ///
    /// [`InvalidSettings`], with the field.
    pub fn check(&self) -> Result<(), InvalidSettings> {
        self.batch.validate().map_err(InvalidSettings::Batch)?;
        let invalid = |field, reason| Err(InvalidSettings::Field { field, reason });
        if !(1..=WORKERS_MAX).contains(&self.workers) {
            return invalid("workers", "must lie between 1 and 64");
        }
        if self.waiting_bytes_max == 0 {
            return invalid("waiting_bytes_max", "must not be 0");
        }
        Ok(())
    }

    /// Whether an item has to wait for room, because of the bytes that wait already. One that is
    /// too large by itself has not: it is refused for that.
    #[inline]
    pub(super) fn is_full(&self, waiting_bytes: u64, item_bytes: u64) -> bool {
        waiting_bytes > 0
            && waiting_bytes.saturating_add(item_bytes) > self.waiting_bytes_max
            && item_bytes <= self.batch.item_bytes_max
    }

    /// As many workers as can have something to do.
    pub(super) fn workers(&self) -> usize {
        self.workers.min(self.batch.places_len())
    }
}

/// Workers are bits of one word.
const WORKERS_MAX: usize = 64;

/// Settings that can't be meant.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidSettings {
    /// Those of the batches.
    Batch(ConfigError),
    /// One of the handle's own.
    Field {
        /// Its name.
        field: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl fmt::Display for InvalidSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Batch(error) => error.fmt(f),
            Self::Field { field, reason } => write!(f, "{field} {reason}"),
        }
    }
}

impl core::error::Error for InvalidSettings {}

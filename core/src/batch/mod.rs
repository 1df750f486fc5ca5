//! Batching: many small things done at once, each with an outcome of its own.
//!
//! An [`Accumulator`] takes in items of any type, closes a batch when enough of them are there or
//! the oldest has waited long enough, and moves it into the [`Batch`] of whoever runs the batch
//! function. That says an [`Outcome`] per item; the accumulator settles what is done, and hands out
//! again, later and in order, what is to be retried. Each item is settled exactly once.
//!
//! The module decides *when* a batch is closed, *what* is retried and *when*, and how large batches
//! should be. It runs nothing, waits for nothing and reads no clock: a handle with threads or a
//! super-loop does, see [`Sink`]. Any number of workers, each with a [`Batch`] of his own, can
//! share one accumulator behind a lock, and hold that only while items are moved.
//!
//! # What is promised
//!
//! - Each item that was accepted is settled once, unless its batch is dropped.
//! - Items are handed out in the order in which they were pushed, and those of one batch that are
//!   tried again keep theirs. Batches overtake each other unless [`BatchConfig::ordered`] is set.
//! - A batch has at most [`Accumulator::items_target`] items and [`BatchConfig::bytes_max`] bytes.
//! - No attempt begins at an item's deadline or later.
//! - Nothing allocates after the storage is made.
//!
//! ```
//! use turbopump_core::batch::{Accumulator, Batch, BatchConfig, BatchStorage, Outcome, Settled};
//! use turbopump_core::time::Now;
//! # #[cfg(feature = "alloc")] {
//! let config = BatchConfig::default();
//! let mut batcher = Accumulator::new(config, BatchStorage::on_heap(&config), 7)?;
//! let mut batch = Batch::on_heap(&config);
//!
//! let mut now = Now::default();
//! batcher.push(now, "first", 5)?;
//! batcher.push(now, "second", 6)?;
//! assert!(!batcher.poll_batch(now, &mut batch)?, "neither full nor due");
//!
//! now.at = batcher.poll_timeout().expect("the linger time");
//! assert!(batcher.poll_batch(now, &mut batch)?, "the first item has waited 10 ms");
//! for mut entry in &mut batch {
//!     if *entry.item() == "second" {
//!         entry.set(Outcome::Retry);
//!     }
//! }
//! let mut settled = Vec::new();
//! batcher.settle(now, &mut batch, |item, how| settled.push((item, how)))?;
//! assert_eq!(settled, [("first", Settled::Done)]);
//!
//! now.at = batcher.poll_timeout().expect("50 ms later");
//! assert!(batcher.poll_batch(now, &mut batch)?);
//! assert_eq!(batch.iter().collect::<Vec<_>>(), [&"second"]);
//! # batcher.settle(now, &mut batch, |_, _| ())?;
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod accumulator;
mod adaptive;
mod cells;
mod config;
mod counters;
mod entry;
mod error;
mod places;
mod queue;
mod retry;
mod sink;
mod work;

pub use accumulator::{Accumulator, BatchStorage};
pub use adaptive::{AdaptiveSize, Goal, SizeController};
pub use cells::{BatchCells, Entries};
pub use config::{BatchConfig, ConfigError, Load, LoadRule, SizePolicy};
pub use counters::{BatchCounters, ProcessingHistogram, Reason};
pub use entry::{Entry, Outcome, Settled};
pub use error::{
    ManyRefused, NewRefused, PollRefused, PushRefused, Refusal, SettleRefused, StorageTooSmall,
};
pub use places::{Place, Ticket};
pub use retry::{Backoff, RetryPolicy};
pub use sink::{Sink, run};
pub use work::Batch;

#[cfg(all(test, feature = "alloc"))]
mod tests;

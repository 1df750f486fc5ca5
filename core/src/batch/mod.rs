//! Batching: many small things done at once, each with an outcome of its own.
//!
//! An [`Accumulator`] takes in items of any type, closes a batch when enough of them are there or
//! the oldest has waited long enough, and hands it to whoever runs the batch function. That reports
//! an [`Outcome`] per item; the accumulator settles what is done, and hands out again, later and in
//! order, what is to be retried. Each item is settled exactly once.
//!
//! The module decides *when* a batch is closed, *what* is retried and *when*, and how large batches
//! should be. It runs nothing, waits for nothing and reads no clock: a handle with threads or a
//! super-loop does, see [`Sink`].
//!
//! ```
//! use turbopump_core::batch::{Accumulator, BatchConfig, BatchStorage, Outcome, Settled};
//! use turbopump_core::time::Now;
//! # #[cfg(feature = "alloc")] {
//! let config = BatchConfig::default();
//! let mut batcher = Accumulator::new(config, BatchStorage::on_heap(&config), 7)?;
//!
//! let mut now = Now::default();
//! batcher.push(now, "first", 5)?;
//! batcher.push(now, "second", 6)?;
//! assert!(batcher.poll_batch(now).is_none(), "neither full nor due");
//!
//! now.at = batcher.poll_timeout().expect("the linger time");
//! let mut batch = batcher.poll_batch(now).expect("the first item has waited 10 ms");
//! for entry in &mut batch {
//!     if *entry.item() == "second" {
//!         entry.set(Outcome::Retry);
//!     }
//! }
//! let mut settled = Vec::new();
//! batcher.settle(now, batch, |item, how| settled.push((item, how)))?;
//! assert_eq!(settled, [("first", Settled::Done)]);
//!
//! now.at = batcher.poll_timeout().expect("50 ms later");
//! let retried = batcher.poll_batch(now).expect("the second item again");
//! assert_eq!(retried.len(), 1);
//! # batcher.settle(now, retried, |_, _| ())?;
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod accumulator;
mod adaptive;
mod config;
mod counters;
mod entry;
mod error;
mod places;
mod retry;
mod sink;

pub use accumulator::Accumulator;
pub use adaptive::{AdaptiveSize, Goal, SizeController};
pub use config::{BatchConfig, ConfigError, Load, LoadRule, SizePolicy};
pub use counters::{BatchCounters, ProcessingHistogram, Reason};
pub use entry::{Batch, EntriesMut, Entry, Outcome, Settled};
pub use error::{NewRefused, PushRefused, Refusal, SettleRefused, StorageTooSmall};
pub use places::{BatchStorage, Place};
pub use retry::{Backoff, RetryPolicy};
pub use sink::{Sink, run};

#[cfg(all(test, feature = "alloc"))]
mod tests;

//! Batches for functions of the user's own.
//!
//! | want | take |
//! | --- | --- |
//! | items out, a function works on batches of them | [`BatchSender`] with a [`BatchHandler`] |
//! | items from connections, pushed to a function or pulled | [`BatchReceiver`] |
//! | items to storage | [`BatchStore`] with a [`StoreSink`], such as [`FileSink`] |
//! | all of them by name | [`BatchManager`] |
//!
//! All of them run on [`turbopump_core::batch`], which decides when a batch is closed, what is
//! tried again and how large batches are; this module adds tasks, waiting and time.

mod allowance;
mod engine;
mod error;
mod file;
mod handle;
mod handler;
mod line;
mod manager;
mod receiver;
mod sender;
mod settings;
mod stats;
mod store;
mod worker;

pub use error::{RefusedReason, SendRefused};
pub use file::{FileRecords, FileSink, Recovered};
pub use handle::StopReport;
pub use handler::{BatchHandler, HandlerFn, handler_fn};
pub use manager::{BatchManager, BatchUnit, ManagerStats, NameTaken, Stopping};
pub use receiver::{BatchReceiver, Batches, Received};
pub use sender::BatchSender;
pub use settings::{BatchSettings, InvalidSettings};
pub use stats::BatchStats;
pub use store::{BatchStore, StoreSink, SyncPolicy};

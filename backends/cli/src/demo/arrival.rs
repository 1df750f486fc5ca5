//! The receiving end: messages are checked when they arrive, then stored.

use alloc::sync::Arc;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use turbopump::core::batch::{Batch, Outcome};
use turbopump::runtime::backend::Backend;
use turbopump::runtime::batch::{BatchHandler, BatchReceiver, BatchStore};
use turbopump::runtime::memory::Chunk;

use super::checker::{Checker, Found};
use super::collector::Deliver;
use super::input::Input;
use super::message::{Malformed, messages};

/// Checks messages and passes them on to the store.
pub(crate) struct Arrival<B: Backend> {
    pub(crate) input: Arc<Input>,
    pub(crate) checker: Arc<Mutex<Checker>>,
    pub(crate) store: BatchStore<Chunk, B>,
    pub(crate) epoch: Instant,
}

/// What was found until now.
pub(crate) fn found(checker: &Mutex<Checker>) -> Found {
    checker.lock().unwrap_or_else(PoisonError::into_inner).found().clone()
}

impl<B: Backend> BatchHandler<Chunk> for Arrival<B> {
    async fn handle(&self, batch: &mut Batch<'static, Chunk>) {
        let now_us = self.epoch.elapsed().as_micros() as u64;
        {
            let mut checker = self.checker.lock().unwrap_or_else(PoisonError::into_inner);
            for message in batch.iter() {
                // Whole, or the collector would have refused it.
                let _ = checker.check(&self.input, message, Some(now_us));
            }
        }
        if self.store.store_many(&mut batch.iter().cloned()).await.is_err() {
            batch.set_all(Outcome::Failed);
        }
    }
}

/// Hands the messages of a batch, which stay where they are, to the receiver.
pub(crate) struct ToReceiver<B: Backend>(pub(crate) BatchReceiver<Chunk, B>);

impl<B: Backend> Deliver for ToReceiver<B> {
    async fn deliver(&self, _: u16, batch: Chunk) -> Result<(), Malformed> {
        // All or nothing: a batch that is cut off comes again, whole.
        messages(&batch).try_for_each(|message| message.map(|_| ()))?;
        let mut slices = messages(&batch)
            .filter_map(Result::ok)
            .filter_map(|message| batch.slice_ref(message).ok());
        // Refused only at the end, when nobody sends any more.
        self.0.receive_many(&mut slices).await.map_err(|_| Malformed::RECEIVER)
    }
}

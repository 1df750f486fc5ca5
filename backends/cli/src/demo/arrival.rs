//! The receiving end: messages are checked when they arrive.

use alloc::sync::Arc;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use turbopump::core::batch::Batch;
use turbopump::runtime::batch::BatchHandler;
use turbopump::runtime::memory::Chunk;

use super::checker::{Checker, Found};
use super::input::Input;

/// Checks messages.
pub(crate) struct Arrival {
    pub(crate) input: Arc<Input>,
    pub(crate) checker: Arc<Mutex<Checker>>,
    pub(crate) epoch: Instant,
}

/// What was found until now.
pub(crate) fn found(checker: &Mutex<Checker>) -> Found {
    checker.lock().unwrap_or_else(PoisonError::into_inner).found().clone()
}

impl BatchHandler<Chunk> for Arrival {
    async fn handle(&self, batch: &mut Batch<'static, Chunk>) {
        let now_us = self.epoch.elapsed().as_micros() as u64;
        let mut checker = self.checker.lock().unwrap_or_else(PoisonError::into_inner);
        for message in batch.iter() {
            checker.check(&self.input, message, Some(now_us));
        }
    }
}

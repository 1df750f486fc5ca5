//! How a worker is called: one bit for each of its tasks and for each other reason.

use core::sync::atomic::{AtomicU64, Ordering};
use core::task::Waker;
use std::sync::{Mutex, PoisonError};

use alloc::sync::Arc;
use alloc::task::Wake;

/// Tasks that one worker can have at once.
pub(super) const CELLS_MAX: usize = 62;
/// There is something in the queue, or it was stopped.
pub(super) const CALLED: u64 = 1 << 62;
/// A task of this worker has to stop.
pub(super) const STOPS: u64 = 1 << 63;

#[derive(Debug, Default)]
pub(super) struct Board {
    raised: AtomicU64,
    waker: Mutex<Option<Waker>>,
}

impl Board {
    /// Adds reasons; wakes the worker with the first.
    pub(super) fn raise(&self, reasons: u64) {
        if self.raised.fetch_or(reasons, Ordering::AcqRel) == 0 {
            let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    /// All reasons since the last time.
    pub(super) fn take(&self) -> u64 {
        self.raised.swap(0, Ordering::AcqRel)
    }

    /// Whom to wake. What is raised before this call must be taken after it.
    pub(super) fn register(&self, waker: &Waker) {
        let mut known = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *known {
            Some(known) if known.will_wake(waker) => {}
            known => *known = Some(waker.clone()),
        }
    }
}

/// The waker of one cell, made once.
pub(super) struct CellWaker {
    pub(super) board: Arc<Board>,
    pub(super) bit: u64,
}

impl Wake for CellWaker {
    fn wake(self: Arc<Self>) {
        self.board.raise(self.bit);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.board.raise(self.bit);
    }
}

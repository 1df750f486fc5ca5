//! How a task that sleeps is called.

use core::future::poll_fn;
use core::mem;
use core::task::{Context, Poll, Waker};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::backend::Backend;
use crate::within::within;

/// Rung when a task is needed earlier than it meant to come.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    state: Mutex<BellState>,
}

#[derive(Debug, Default)]
struct BellState {
    is_rung: bool,
    is_over: bool,
    waker: Option<Waker>,
}

impl Bell {
    pub(crate) fn ring(&self) {
        self.change(|state| state.is_rung = true);
    }

    /// Whatever the task is there for is gone.
    pub(crate) fn end(&self) {
        self.change(|state| (state.is_rung, state.is_over) = (true, true));
    }

    fn change(&self, change: impl FnOnce(&mut BellState)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Waits until it is rung, or until this time.
    pub(crate) async fn rung_or_at<B: Backend>(&self, backend: &B, at: Option<Instant>) -> Rung {
        let rung = poll_fn(|cx| self.poll_rung(cx));
        match at {
            Some(at) => within(backend, at, rung).await.unwrap_or(Rung::Come),
            None => rung.await,
        }
    }

    fn poll_rung(&self, cx: &Context<'_>) -> Poll<Rung> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if mem::take(&mut state.is_rung) {
            return Poll::Ready(if state.is_over { Rung::Over } else { Rung::Come });
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// What a ring means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rung {
    Come,
    Over,
}

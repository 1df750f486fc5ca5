//! Queues that have messages to be handled, and the workers that wait for them.
//!
//! Queues stand in a ring: each gives what one handler takes, and goes to the end, so that none can
//! starve the others.

use core::future::poll_fn;
use core::task::{Poll, Waker};
use std::sync::{Mutex, MutexGuard, PoisonError};

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Of one consumer; `Q` is a queue of it.
pub(super) struct Ready<Q> {
    state: Mutex<State<Q>>,
}

struct State<Q> {
    queues: VecDeque<Arc<Q>>,
    /// Workers that have nothing to do, by their numbers.
    idle: Vec<(usize, Waker)>,
    is_over: bool,
}

impl<Q> Default for Ready<Q> {
    fn default() -> Self {
        let state = State { queues: VecDeque::new(), idle: Vec::new(), is_over: false };
        Self { state: Mutex::new(state) }
    }
}

impl<Q> Ready<Q> {
    fn state(&self) -> MutexGuard<'_, State<Q>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a queue at the end. It must not be in the ring, which it knows itself.
    pub(super) fn push(&self, queue: Arc<Q>) {
        let mut state = self.state();
        if state.is_over {
            return;
        }
        state.queues.push_back(queue);
        let worker = state.idle.pop();
        drop(state);
        if let Some((_, waker)) = worker {
            waker.wake();
        }
    }

    /// The next queue, for worker `number`; `None` when it is over.
    pub(super) async fn next(&self, number: usize) -> Option<Arc<Q>> {
        poll_fn(|cx| {
            let mut state = self.state();
            if state.is_over {
                return Poll::Ready(None);
            }
            if let Some(queue) = state.queues.pop_front() {
                state.idle.retain(|(other, _)| *other != number);
                return Poll::Ready(Some(queue));
            }
            match state.idle.iter_mut().find(|(other, _)| *other == number) {
                Some((_, waker)) => waker.clone_from(cx.waker()),
                None => state.idle.push((number, cx.waker().clone())),
            }
            Poll::Pending
        })
        .await
    }

    /// Nothing more is handed out.
    pub(super) fn end(&self) {
        let mut state = self.state();
        state.is_over = true;
        let queues = core::mem::take(&mut state.queues);
        let idle = core::mem::take(&mut state.idle);
        drop(state);
        drop(queues);
        idle.into_iter().for_each(|(_, waker)| waker.wake());
    }
}

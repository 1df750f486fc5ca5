//! How tasks learn that it is over, and how others learn that they have ended.

use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use std::sync::{Mutex, MutexGuard, PoisonError};

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

#[derive(Default)]
pub(crate) struct End {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    is_over: bool,
    /// Tasks that have entered and not left.
    inside: usize,
    next: u64,
    /// Of tasks that are inside.
    wakers: BTreeMap<u64, Waker>,
    /// Of those who wait until all have left.
    watchers: Vec<Waker>,
}

impl End {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that it is over.
    pub(crate) fn call(&self) {
        let mut state = self.lock();
        state.is_over = true;
        let wakers = core::mem::take(&mut state.wakers);
        drop(state);
        wakers.into_values().for_each(Waker::wake);
    }

    /// A task begins; it leaves by dropping the ticket.
    pub(crate) fn enter(self: &Arc<Self>) -> Ticket {
        self.lock().inside += 1;
        Ticket(Arc::clone(self))
    }

    /// What `future` ends with; `None` where it is over before.
    pub(crate) async fn unless_over<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let mut place = Place { end: self, key: None };
        let mut future = pin!(future);
        poll_fn(|cx| {
            if place.poll_over(cx) {
                return Poll::Ready(None);
            }
            future.as_mut().poll(cx).map(Some)
        })
        .await
    }

    /// Ends when all tasks have left.
    pub(crate) async fn all_have_left(&self) {
        poll_fn(|cx| {
            let mut state = self.lock();
            if state.inside == 0 {
                return Poll::Ready(());
            }
            state.watchers.push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl fmt::Debug for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("End")
            .field("is_over", &state.is_over)
            .field("inside", &state.inside)
            .finish_non_exhaustive()
    }
}

/// Of one wait; its waker is taken away with it.
struct Place<'e> {
    end: &'e End,
    key: Option<u64>,
}

impl Place<'_> {
    fn poll_over(&mut self, cx: &Context<'_>) -> bool {
        let mut state = self.end.lock();
        if state.is_over {
            return true;
        }
        let key = *self.key.get_or_insert_with(|| {
            state.next += 1;
            state.next
        });
        match state.wakers.get_mut(&key) {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            Some(waker) => *waker = cx.waker().clone(),
            None => {
                state.wakers.insert(key, cx.waker().clone());
            }
        }
        false
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let waker = self.end.lock().wakers.remove(&key);
            drop(waker);
        }
    }
}

/// A task that is inside.
#[derive(Debug)]
pub(crate) struct Ticket(Arc<End>);

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.inside -= 1;
        let wakers = match state.inside {
            0 => core::mem::take(&mut state.watchers),
            _ => Vec::new(),
        };
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }
}

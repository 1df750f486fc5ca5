//! The one task of a pool: it tells the books the time.

use core::future::{Future, poll_fn};
use core::mem;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::sync::{Mutex, PoisonError};

use alloc::sync::{Arc, Weak};

use turbopump_core::time::Instant;

use super::settings::{PoolSettings, us};
use super::shared::Shared;
use crate::backend::Backend;

/// Rung when the keeper is needed earlier than it meant to come.
#[derive(Debug, Default)]
pub(super) struct Bell {
    state: Mutex<BellState>,
}

#[derive(Debug, Default)]
struct BellState {
    is_rung: bool,
    is_over: bool,
    waker: Option<Waker>,
}

impl Bell {
    pub(super) fn ring(&self) {
        self.change(|state| state.is_rung = true);
    }

    /// The pool is gone.
    pub(super) fn end(&self) {
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

    fn poll_rung(&self, cx: &Context<'_>) -> Poll<Rung> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if mem::take(&mut state.is_rung) {
            return Poll::Ready(if state.is_over { Rung::Over } else { Rung::Come });
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

enum Rung {
    Come,
    Over,
}

/// Makes rounds until the pool is gone. While the pool is in use, there is a round each tick, so
/// that nobody else needs to look at the clock; otherwise only when something is due.
pub(super) async fn keep<B: Backend>(backend: B, bell: Arc<Bell>, pool: Weak<Shared<B>>) {
    let mut checkouts = 0;
    loop {
        let Some(shared) = pool.upgrade() else { return };
        let next = shared.round(&mut checkouts);
        // It must not keep the pool alive while it sleeps.
        drop(shared);
        let rung = match next {
            Some(at) => {
                let mut sleep = pin!(backend.sleep_until(at));
                poll_fn(|cx| match bell.poll_rung(cx) {
                    Poll::Pending => sleep.as_mut().poll(cx).map(|()| Rung::Come),
                    rung => rung,
                })
                .await
            }
            None => poll_fn(|cx| bell.poll_rung(cx)).await,
        };
        if matches!(rung, Rung::Over) {
            return;
        }
    }
}

impl<B: Backend> Shared<B> {
    /// Looks after everything that is due and says when to come again.
    fn round(self: &Arc<Self>, checkouts: &mut u64) -> Option<std::time::Instant> {
        let mut state = self.lock();
        state.is_kept = true;
        // What becomes due during the round is seen at its end: no need to ring.
        state.kept_until = Instant::ZERO;
        let now = self.exact_now(&mut state);
        state.book.handle_timeout(now);
        self.settle(state, now);

        let mut state = self.lock();
        let counts = state.book.counts();
        let in_use = mem::replace(checkouts, counts.checkouts) != counts.checkouts;
        let due = state.book.poll_timeout();
        let tick = in_use.then(|| now.plus_us(self.tick_us));
        let next = [due, tick].into_iter().flatten().min();
        // Without a tick ahead the coarse time would stand still.
        state.is_kept = in_use;
        state.kept_until = next.unwrap_or(Instant::NEVER);
        drop(state);
        next.and_then(|at| self.clock.system_instant(at))
    }
}

impl<B: Backend> Drop for Shared<B> {
    fn drop(&mut self) {
        self.bell.end();
    }
}

/// How long the keeper stays away while the pool is in use: a second, or less where something is to
/// happen within a few seconds.
pub(super) fn tick_us(settings: &PoolSettings) -> u64 {
    let times = [
        Some(settings.check_after / 4).filter(|time| !time.is_zero()),
        Some(settings.acquire_timeout / 8),
        settings.idle_max.map(|time| time / 4),
        settings.lifetime_max.map(|time| time / 4),
        Some(Duration::from_secs(1)),
    ];
    let shortest = times.into_iter().flatten().min();
    us(shortest.unwrap_or(Duration::from_secs(1))).max(TICK_US_MIN)
}

const TICK_US_MIN: u64 = 5_000;

//! The one task of a pool: it tells the books the time.

use core::mem;
use core::time::Duration;

use alloc::sync::{Arc, Weak};

use turbopump_core::time::Instant;

use super::settings::{PoolSettings, us};
use super::shared::Shared;
use crate::backend::Backend;
use crate::bell::{Bell, Rung};

/// Makes rounds until the pool is gone. While the pool is in use, there is a round each tick, so
/// that nobody else needs to look at the clock; otherwise only when something is due.
pub(super) async fn keep<B: Backend>(backend: B, bell: Arc<Bell>, pool: Weak<Shared<B>>) {
    let mut checkouts = 0;
    loop {
        let Some(shared) = pool.upgrade() else { return };
        let next = shared.round(&mut checkouts);
        // It must not keep the pool alive while it sleeps.
        drop(shared);
        let rung = bell.rung_or_at(&backend, next).await;
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

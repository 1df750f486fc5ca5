//! The tasks of a batch handle: workers, and the keeper that tells them the time.

use core::future::{Future, poll_fn};
use core::panic::AssertUnwindSafe;
use core::pin::pin;
use core::task::Poll;
use std::panic::catch_unwind;

use alloc::sync::Arc;

use turbopump_core::batch::{Batch, Outcome, Settled};
use turbopump_core::time::Instant;

use super::engine::Engine;
use super::handler::BatchHandler;
use crate::backend::Backend;

/// Works on batches until the handle has stopped and everything is settled.
pub(super) async fn work<T, H>(engine: Arc<Engine<T>>, handler: Arc<H>, index: usize)
where
    T: Send + 'static,
    H: BatchHandler<T>,
{
    let batch = Batch::on_heap(&engine.settings.batch);
    let mut desk = Desk { engine, batch, index };
    loop {
        let Desk { engine, batch, index } = &mut desk;
        if poll_fn(|cx| engine.poll_batch(*index, batch, cx)).await.is_none() {
            return;
        }
        if batch.is_empty() {
            // All its items have expired.
        } else if is_panicking(handler.handle(batch)).await {
            engine.count_panic();
            batch.set_all(Outcome::Retry);
        }
        let now = engine.clock.now();
        // After a panic it goes on with the next item: one guard for all of them.
        while catch_unwind(AssertUnwindSafe(|| {
            batch.conclude(now, |item, how| handler.settled(item, how));
        }))
        .is_err()
        {
            engine.count_panic();
        }
        engine.settle_concluded(now, batch, |item, how| tell(engine, &*handler, item, how));
    }
}

/// Tells the user what became of an item; a panic of theirs is theirs.
pub(super) fn tell<T: 'static, H: BatchHandler<T>>(
    engine: &Engine<T>,
    handler: &H,
    item: T,
    how: Settled,
) {
    if catch_unwind(AssertUnwindSafe(|| handler.settled(item, how))).is_err() {
        engine.count_panic();
    }
}

/// Polls to the end, or to the first panic.
async fn is_panicking(future: impl Future<Output = ()>) -> bool {
    let mut future = pin!(future);
    poll_fn(|cx| {
        // What is left behind by a panic is not used any more; the batch is consistent at any time.
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(poll) => poll.map(|()| false),
            Err(_) => Poll::Ready(true),
        }
    })
    .await
}

/// What a worker has; says so when it is gone, however that comes about.
pub(super) struct Desk<T: 'static> {
    pub(super) engine: Arc<Engine<T>>,
    pub(super) batch: Batch<'static, T>,
    pub(super) index: usize,
}

impl<T: 'static> Drop for Desk<T> {
    fn drop(&mut self) {
        self.engine.worker_gone(self.index, self.batch.ticket());
    }
}

/// Sleeps until something is due, so that idle workers need no timers; `settled` is told of what
/// has no time left while all workers are busy.
pub(super) async fn keep<T, B: Backend>(
    backend: B,
    engine: Arc<Engine<T>>,
    settled: impl Fn(T, Settled) + Send,
) where
    T: Send + 'static,
{
    loop {
        let armed = poll_fn(|cx| {
            let mut state = engine.lock();
            if state.running == 0 {
                return Poll::Ready(None);
            }
            if state.armed < Instant::NEVER {
                return Poll::Ready(Some(state.armed));
            }
            state.keeper = Some(cx.waker().clone());
            Poll::Pending
        });
        let Some(at) = armed.await else { return };
        let Some(system_at) = engine.clock.system_instant(at) else { return };
        let mut sleep = pin!(backend.sleep_until(system_at));
        poll_fn(|cx| {
            if sleep.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            let mut state = engine.lock();
            if state.armed < at || state.running == 0 {
                return Poll::Ready(());
            }
            state.keeper = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
        engine.round(&settled);
    }
}

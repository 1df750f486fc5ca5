//! What sender, receiver and store have in common: a cheap handle on an engine and its tasks.

use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io;
use std::sync::{Mutex, PoisonError};

use alloc::boxed::Box;
use alloc::sync::Arc;

use turbopump_core::batch::Settled;
use turbopump_core::time::Instant;

use super::engine::{Engine, PushEnd};
use super::error::{RefusedReason, SendRefused};
use super::settings::{BatchSettings, InvalidSettings};
use super::stats::BatchStats;
use crate::backend::Backend;
use crate::clock::SystemClock;
use crate::within::within;

type Starter = Box<dyn FnOnce() -> io::Result<()> + Send>;
type Tell<T> = dyn Fn(T, Settled) + Send + Sync;

/// A cheap handle; the last one stops what runs.
pub(super) struct Handle<T: 'static, B> {
    inner: Arc<Inner<T, B>>,
}

struct Inner<T: 'static, B> {
    backend: B,
    engine: Arc<Engine<T>>,
    starter: Mutex<Option<Starter>>,
    /// How users learn of what was given up without having been worked on.
    tell: Box<Tell<T>>,
}

impl<T: 'static, B> Clone for Handle<T, B> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<T: 'static, B> Drop for Inner<T, B> {
    fn drop(&mut self) {
        self.engine.stop();
        if self.engine.lock().running == 0 {
            // Nobody has worked on anything, and nobody will.
            self.engine.abandon(&*self.tell);
        }
    }
}

impl<T: Send + 'static, B: Backend> Handle<T, B> {
    /// `starter` runs the workers of an engine; `tell` passes on what becomes of items.
    pub(super) fn new(
        backend: B,
        settings: BatchSettings<T>,
        tell: impl FnOnce(&Arc<Engine<T>>) -> Box<Tell<T>>,
        starter: impl FnOnce(&Arc<Engine<T>>) -> io::Result<()> + Send + 'static,
    ) -> Result<Self, InvalidSettings> {
        let clock = SystemClock::of(&backend);
        let engine = Arc::new(Engine::new(settings, clock, backend.random_seed())?);
        let (tell, started) = (tell(&engine), Arc::clone(&engine));
        let starter: Starter = Box::new(move || starter(&started));
        let starter = Mutex::new(Some(starter));
        Ok(Self { inner: Arc::new(Inner { backend, engine, starter, tell }) })
    }

    pub(super) fn engine(&self) -> &Arc<Engine<T>> {
        &self.inner.engine
    }

    /// Runs the workers, unless they run already or the handle was stopped.
    pub(super) fn start(&self) -> io::Result<()> {
        if self.engine().lock().is_stopping {
            return Ok(());
        }
        let starter = self.inner.starter.lock().unwrap_or_else(PoisonError::into_inner).take();
        starter.map_or(Ok(()), |start| start())
    }

    #[inline(always)]
    pub(super) fn try_send(&self, item: T, deadline: Instant) -> Result<(), SendRefused<T>> {
        self.engine().try_push(item, deadline)
    }

    /// As many as there is room for; the one that there is none for comes back.
    pub(super) fn try_send_many(
        &self,
        items: &mut impl Iterator<Item = T>,
    ) -> (usize, Option<SendRefused<T>>) {
        let engine = self.engine();
        let mut sent = 0;
        loop {
            let mut state = engine.lock();
            let (pushed, wakers, end) = engine.push_many(&mut state, items);
            drop(state);
            wakers.wake();
            sent += pushed;
            match end {
                PushEnd::More => {}
                PushEnd::Empty => return (sent, None),
                PushEnd::Refused(refused) => return (sent, Some(refused)),
            }
        }
    }

    pub(super) fn deadline_in(&self, time: Duration) -> Instant {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.engine().clock.now().at.plus_us(us)
    }

    /// For those that [`try_send`](Self::try_send) had no room for.
    #[inline(never)]
    pub(super) fn send_later(&self, item: T, deadline: Instant) -> Sending<'_, T> {
        Sending { engine: self.engine(), item: Some(item), deadline, number: None }
    }

    /// All of them, waiting for room where there is none.
    pub(super) async fn send_many(
        &self,
        items: &mut impl Iterator<Item = T>,
    ) -> Result<(), SendRefused<T>> {
        while let (_, Some(refused)) = self.try_send_many(items) {
            match refused.reason {
                RefusedReason::Full { .. } => self.send_later(refused.item, Instant::NEVER).await?,
                _ => return Err(refused),
            }
        }
        Ok(())
    }

    pub(super) fn flush(&self) {
        self.engine().flush();
    }

    pub(super) async fn drained(&self) {
        poll_fn(|cx| self.engine().poll_drained(cx)).await;
    }

    pub(super) async fn stop(&self, time: Option<Duration>) -> StopReport {
        let engine = self.engine();
        let before = engine.stats();
        engine.stop();
        drop(self.inner.starter.lock().unwrap_or_else(PoisonError::into_inner).take());
        let ended = poll_fn(|cx| engine.poll_ended(cx));
        let in_time = match time {
            None => {
                ended.await;
                true
            }
            Some(time) => {
                let until = self.inner.backend.now() + time;
                within(&self.inner.backend, until, ended).await.is_some()
            }
        };
        // Only after the time is over, or where no worker has ever run, is something left.
        engine.abandon(&*self.inner.tell);
        StopReport::since(&before, &engine.stats(), in_time)
    }

    pub(super) fn stats(&self) -> BatchStats {
        self.engine().stats()
    }
}

/// Sends by a handle. As a rule there is room, and nothing to keep from one poll to the next; as a
/// macro it makes no future within the caller's.
macro_rules! send_by {
    ($handle:expr, $item:expr, $deadline:expr) => {
        match $handle.try_send($item, $deadline) {
            Err(SendRefused { item, reason: RefusedReason::Full { .. } }) => {
                $handle.send_later(item, $deadline).await
            }
            done => done,
        }
    };
}
pub(super) use send_by;

/// The methods that every handle has.
macro_rules! handle_methods {
    ($handle:ident $(, $more:ident)*) => {
        impl<T: Send + 'static, B: Backend> $handle<T, B> {
            /// Has the work begin, unless it has or the handle was stopped.
            ///
            /// # Errors
            ///
            /// The operating system gives no thread, where one is needed.
            pub fn start(&self) -> std::io::Result<()> {
                self.handle.start()
            }

            /// Has all items that wait now handed out without waiting for more.
            pub fn flush(&self) {
                self.handle.flush();
            }

            /// Ends when all items that were taken in are settled; more may come meanwhile.
            ///
            /// # Cancel safety
            ///
            /// Dropping the future changes nothing.
            pub async fn drained(&self) {
                self.handle.drained().await;
            }

            /// Takes nothing in any more, has everything worked on, retries included, and ends when
            /// all is settled.
            ///
            /// # Cancel safety
            ///
            /// The handle goes on stopping when the future is dropped.
            pub async fn stop(&self) -> $crate::batch::StopReport {
                self.handle.stop(None).await
            }

            /// As [`stop`](Self::stop), but gives up what waits for an attempt when the time is
            /// over.
            ///
            /// # Cancel safety
            ///
            /// As [`stop`](Self::stop), without the time limit.
            pub async fn stop_within(
                &self,
                time: core::time::Duration,
            ) -> $crate::batch::StopReport {
                self.handle.stop(Some(time)).await
            }

            /// What there is and what there has been.
            #[must_use]
            pub fn stats(&self) -> $crate::batch::BatchStats {
                self.handle.stats()
            }
        }

        impl<T: 'static, B> Clone for $handle<T, B> {
            fn clone(&self) -> Self {
                Self { handle: self.handle.clone() $(, $more: self.$more.clone())* }
            }
        }

        impl<T: 'static, B> core::fmt::Debug for $handle<T, B> {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.debug_tuple(stringify!($handle)).field(&self.handle).finish()
            }
        }
    };
}
pub(super) use handle_methods;

/// What became of items from the moment when a handle was told to stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StopReport {
    /// Done.
    pub succeeded: u64,
    /// Given up by the handler, out of retries, or expired.
    pub failed: u64,
    /// Given up because the time was over.
    pub abandoned: u64,
    /// Gone with a worker whose runtime has ended.
    pub lost: u64,
    /// Items that are still being worked on: the handler has not returned in time.
    pub unfinished_batches: usize,
    /// Whether everything was settled in time.
    pub in_time: bool,
}

impl StopReport {
    fn since(before: &BatchStats, after: &BatchStats, in_time: bool) -> Self {
        let abandoned = after.abandoned.since(before.abandoned);
        let failed = after.counters.failed.since(before.counters.failed);
        Self {
            succeeded: after.counters.succeeded.since(before.counters.succeeded),
            failed: failed.saturating_sub(abandoned),
            abandoned,
            lost: after.counters.lost.since(before.counters.lost),
            unfinished_batches: after.in_flight,
            in_time,
        }
    }
}

/// Waits for room. Dropping it gives the place in the queue up, and drops the item.
pub(super) struct Sending<'s, T: 'static> {
    engine: &'s Engine<T>,
    item: Option<T>,
    deadline: Instant,
    number: Option<u64>,
}

// Nothing is pinned: the item moves into the queue.
impl<T: 'static> Unpin for Sending<'_, T> {}

impl<T: 'static> Future for Sending<'_, T> {
    type Output = Result<(), SendRefused<T>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let Some(item) = this.item.take() else { return Poll::Pending };
        let mut state = this.engine.lock();
        let pushed = match this.number {
            None => this.engine.push_in_turn(&mut state, item, this.deadline),
            Some(number) if state.line.is_granted(number) || state.is_stopping => {
                this.engine.push(&mut state, item, this.deadline, 0)
            }
            Some(_) => Err(SendRefused { item, reason: state.full() }),
        };
        match pushed {
            Ok(wakers) => {
                state.line.leave(this.number.take());
                drop(state);
                wakers.wake();
                Poll::Ready(Ok(()))
            }
            Err(SendRefused { item, reason: RefusedReason::Full { .. } }) => {
                let max = this.engine.settings.waiting_senders_max;
                if this.number.is_none() && state.line.len() >= max {
                    let reason = RefusedReason::TooManySenders { max };
                    return Poll::Ready(Err(SendRefused { item, reason }));
                }
                state.line.wait(&mut this.number, cx.waker());
                this.item = Some(item);
                Poll::Pending
            }
            Err(refused) => {
                drop(state);
                if let Some(number) = this.number.take() {
                    this.engine.give_up(number);
                }
                Poll::Ready(Err(refused))
            }
        }
    }
}

impl<T: 'static> Drop for Sending<'_, T> {
    fn drop(&mut self) {
        if let Some(number) = self.number.take() {
            self.engine.give_up(number);
        }
    }
}

impl<T: 'static, B> fmt::Debug for Handle<T, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stats = self.inner.engine.stats();
        f.debug_struct("Handle")
            .field("waiting", &stats.waiting)
            .field("in_flight", &stats.in_flight)
            .finish_non_exhaustive()
    }
}

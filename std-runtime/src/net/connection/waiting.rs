//! The future of a checkout.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use alloc::boxed::Box;
use alloc::sync::Arc;

use turbopump_core::link::pool::{Held, Outcome, Retired, WaitRefused, Waiter};

use super::desk::Found;
use super::error::AcquireError;
use super::handle::Connection;
use super::live::Live;
use super::shared::{Shared, State};
use crate::backend::Backend;

/// Ends with a connection. Dropping it gives up its place in the queue; a connection that it was
/// given meanwhile goes to the next.
pub(super) struct Acquire<'p, B: Backend> {
    shared: &'p Arc<Shared<B>>,
    waiter: Option<Waiter>,
}

impl<'p, B: Backend> Acquire<'p, B> {
    pub(super) const fn new(shared: &'p Arc<Shared<B>>) -> Self {
        Self { shared, waiter: None }
    }

    /// An idle connection that is as good as can be told, else the lock under which there is none.
    #[inline]
    fn poll_idle(
        &self,
        cx: &mut Context<'_>,
    ) -> Result<Connection<B>, std::sync::MutexGuard<'p, State<B>>> {
        loop {
            let mut state = self.shared.lock();
            let now = self.shared.coarse_now(&mut state);
            let Some(held) = state.book.acquire(now) else { return Err(state) };
            let live = state.live[held.place()].take();
            drop(state);
            if let Some(connection) = self.checked(cx, held, live) {
                return Ok(connection);
            }
        }
    }

    #[inline]
    fn checked(
        &self,
        cx: &mut Context<'_>,
        held: Held,
        live: Option<Box<Live<B>>>,
    ) -> Option<Connection<B>> {
        // An idle place has a connection: both change under the same lock.
        let mut live = live?;
        if held.is_stale() && !live.incoming.is_healthy(cx) {
            self.shared.discard(held, *live, Retired::Unhealthy);
            return None;
        }
        Some(Connection::new(Arc::clone(self.shared), held, live))
    }

    /// Takes what is idle; does not wait.
    pub(super) fn poll_now(
        &self,
        cx: &mut Context<'_>,
    ) -> Result<Option<Connection<B>>, AcquireError> {
        match self.poll_idle(cx) {
            Ok(connection) => Ok(Some(connection)),
            Err(state) if state.book.is_closed() => Err(AcquireError::Closed),
            Err(_) => Ok(None),
        }
    }

    /// Goes to the desk, where a connection lies or the waker is left. `None` for who has none.
    // Who finds an idle connection has no desk: this is not to cost them anything.
    #[inline(never)]
    fn poll_desk(&mut self, cx: &Context<'_>) -> Option<Poll<Result<Connection<B>, AcquireError>>> {
        let desk = &self.shared.desks[self.waiter.as_ref()?.index()];
        let result = match desk.find(cx) {
            Found::Nothing => return Some(Poll::Pending),
            Found::Served((held, live)) => {
                self.waiter = None;
                Ok(Connection::new(Arc::clone(self.shared), held, live))
            }
            Found::Ended => {
                let waiter = self.waiter.take()?;
                Err(self.why_ended(waiter))
            }
        };
        Some(Poll::Ready(result))
    }

    #[cold]
    fn why_ended(&self, waiter: Waiter) -> AcquireError {
        let mut state = self.shared.lock();
        let outcome = state.book.outcome(waiter);
        let last_dial = state.last_dial.clone();
        if matches!(outcome, Outcome::TimedOut) {
            let after = self.shared.settings.acquire_timeout;
            return AcquireError::TimedOut { after, last_dial };
        }
        match last_dial {
            Some(error) if !state.book.is_closed() => AcquireError::Dial(error),
            _ => AcquireError::Closed,
        }
    }
}

impl<B: Backend> Future for Acquire<'_, B> {
    type Output = Result<Connection<B>, AcquireError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.waiter.is_some() {
            return self.poll_desk(cx).unwrap_or(Poll::Pending);
        }
        let mut state = match self.poll_idle(cx) {
            Ok(connection) => return Poll::Ready(Ok(connection)),
            Err(state) => state,
        };
        let shared = self.shared;
        let now = shared.coarse_now(&mut state);
        // The coarse time may be this much late; nobody's time ends too early.
        let waits_from = now.plus_us(shared.tick_us);
        let waiter = match state.book.wait(waits_from) {
            Ok(waiter) => waiter,
            Err(WaitRefused::TooMany { waiting_max }) => {
                return Poll::Ready(Err(AcquireError::TooManyWaiting { waiting_max }));
            }
            Err(_) => return Poll::Ready(Err(AcquireError::Closed)),
        };
        self.waiter = Some(waiter);
        // As a rule all connections are in use and the keeper comes before anybody's time ends.
        if state.book.wants_dial() || state.kept_until > waits_from {
            let now = shared.exact_now(&mut state);
            shared.settle(state, now);
        } else {
            drop(state);
        }
        self.poll_desk(cx).unwrap_or(Poll::Pending)
    }
}

impl<B: Backend> Drop for Acquire<'_, B> {
    fn drop(&mut self) {
        if let Some(waiter) = self.waiter.take() {
            self.shared.cancel(waiter);
        }
    }
}

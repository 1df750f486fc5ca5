//! A timer that is seldom set anew and seldom polled.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use crate::time::{Clock, Instant, Now};

/// The timer of a link.
///
/// Deadlines move with nearly every request, nearly always to later; so the timer is set anew only
/// for an earlier one, and when it has gone off. And because whoever polls it has looked at the
/// clock, the timer itself is polled only in order to be set, or when another task waits.
pub(super) struct Alarm<'p, C, M, F> {
    clock: &'p C,
    make: M,
    sleeping: Pin<&'p mut Option<F>>,
    /// When it goes off, if there is one.
    at: Instant,
    /// Whom it wakes.
    waker: Option<Waker>,
}

impl<'p, C, M, F> Alarm<'p, C, M, F>
where
    C: Clock,
    M: FnMut(Instant) -> F,
    F: Future<Output = ()>,
{
    /// An alarm that is not set. `make` makes the timers, `sleeping` is where they are kept.
    pub(super) fn new(clock: &'p C, make: M, sleeping: Pin<&'p mut Option<F>>) -> Self {
        Self { clock, make, sleeping, at: Instant::NEVER, waker: None }
    }

    /// What its clock shows.
    #[inline]
    pub(super) fn now(&self) -> Now {
        self.clock.now()
    }

    /// Ready where `until` has come at `now`. Otherwise the task is woken at that time at the
    /// latest, perhaps earlier.
    #[inline]
    pub(super) fn poll(
        &mut self,
        context: &mut Context<'_>,
        until: Option<Instant>,
        now: Instant,
    ) -> Poll<()> {
        let Some(until) = until else {
            return Poll::Pending;
        };
        if until <= now {
            return Poll::Ready(());
        }
        let known = self.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker()));
        if known && now < self.at && self.at <= until {
            return Poll::Pending;
        }
        self.set(context, until, now)
    }

    #[cold]
    fn set(&mut self, context: &mut Context<'_>, until: Instant, now: Instant) -> Poll<()> {
        if until < self.at || self.at <= now || self.sleeping.is_none() {
            self.sleeping.set(Some((self.make)(until)));
            self.at = until;
        }
        self.waker = Some(context.waker().clone());
        let Some(sleeping) = self.sleeping.as_mut().as_pin_mut() else {
            return Poll::Pending;
        };
        if sleeping.poll(context).is_pending() {
            return Poll::Pending;
        }
        // It went off while it was set: the clock has moved on, and is to be looked at again.
        self.sleeping.set(None);
        self.at = Instant::NEVER;
        Poll::Ready(())
    }
}

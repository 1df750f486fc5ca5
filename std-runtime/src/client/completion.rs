//! How whoever sent a message learns what became of it, without anything on the heap for each.
//!
//! A slot is used for one message after the other. What is told to nobody, because nobody waits any
//! more, is counted; what is never told, because whoever should have is gone, is told by that.

use core::fmt;
use core::future::Future;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::sync::{Mutex, MutexGuard, PoisonError};

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::error::{SendError, SendErrorKind};
use super::receipt::SendReceipt;

/// What became of a message.
pub(super) type Outcome = Result<SendReceipt, SendError>;
type Callback = Box<dyn FnOnce(Outcome) + Send>;

/// Slots of one producer.
#[derive(Default)]
pub(super) struct Completions {
    free: Mutex<Vec<Arc<Slot>>>,
}

#[derive(Default)]
struct Slot {
    state: Mutex<State>,
}

#[derive(Default)]
enum State {
    #[default]
    New,
    Waiting(Waker),
    Callback(Callback),
    /// Nobody wants to know.
    Dropped,
    Told(Outcome),
}

impl Slot {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Completions {
    fn free(&self) -> MutexGuard<'_, Vec<Arc<Slot>>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot(&self) -> Arc<Slot> {
        let slot = self.free().pop();
        slot.unwrap_or_default()
    }

    /// The two ends for one message.
    pub(super) fn pair(self: &Arc<Self>) -> (Completion, Acknowledgement) {
        let slot = self.slot();
        let completion = Completion { slot: Some(Arc::clone(&slot)), home: Arc::clone(self) };
        (completion, Acknowledgement { slot: Some(slot), home: Arc::clone(self) })
    }

    /// For a message whose outcome is told to a function.
    pub(super) fn callback(self: &Arc<Self>, callback: Callback) -> Completion {
        let slot = self.slot();
        *slot.state() = State::Callback(callback);
        Completion { slot: Some(slot), home: Arc::clone(self) }
    }

    /// No more slots than were in use at once, which the budget bounds.
    fn recycle(&self, slot: Arc<Slot>) {
        self.free().push(slot);
    }
}

/// The end that tells.
pub(super) struct Completion {
    slot: Option<Arc<Slot>>,
    home: Arc<Completions>,
}

impl Completion {
    /// Tells the outcome, once: true where somebody still wanted to know.
    pub(super) fn tell(&mut self, outcome: Outcome) -> bool {
        let Some(slot) = self.slot.take() else { return false };
        let mut state = slot.state();
        match mem::take(&mut *state) {
            State::Waiting(waker) => {
                *state = State::Told(outcome);
                drop(state);
                drop(slot);
                waker.wake();
                true
            }
            State::Callback(callback) => {
                drop(state);
                self.home.recycle(slot);
                callback(outcome);
                true
            }
            State::Dropped => {
                drop(state);
                self.home.recycle(slot);
                false
            }
            State::New | State::Told(_) => {
                *state = State::Told(outcome);
                true
            }
        }
    }

    /// Never tells it, which is a bug.
    pub(super) fn lose(&mut self) {
        mem::forget(self.slot.take());
    }

    pub(super) const fn is_told(&self) -> bool {
        self.slot.is_none()
    }
}

/// Whoever should have told it is gone, with its runtime.
impl Drop for Completion {
    fn drop(&mut self) {
        if !self.is_told() {
            self.tell(Err(SendError::refused("", SendErrorKind::Abandoned)));
        }
    }
}

/// What becomes of a message that was handed over: a future.
///
/// Dropping it takes nothing back; the message is sent all the same.
#[must_use = "says whether the message was sent"]
pub struct Acknowledgement {
    slot: Option<Arc<Slot>>,
    home: Arc<Completions>,
}

impl Future for Acknowledgement {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let this = &mut *self;
        let Some(slot) = &this.slot else {
            // Polled once more than it should be.
            return Poll::Ready(Err(SendError::refused("", SendErrorKind::Abandoned)));
        };
        let mut state = slot.state();
        match mem::take(&mut *state) {
            State::Told(outcome) => {
                drop(state);
                if let Some(slot) = this.slot.take() {
                    this.home.recycle(slot);
                }
                Poll::Ready(outcome)
            }
            State::Waiting(waker) if waker.will_wake(cx.waker()) => {
                *state = State::Waiting(waker);
                Poll::Pending
            }
            _ => {
                *state = State::Waiting(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Acknowledgement {
    fn drop(&mut self) {
        let Some(slot) = self.slot.take() else { return };
        let mut state = slot.state();
        let was = mem::replace(&mut *state, State::Dropped);
        if matches!(was, State::Told(_)) {
            *state = State::New;
            drop(state);
            self.home.recycle(slot);
        }
    }
}

impl fmt::Debug for Acknowledgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acknowledgement").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use core::pin::pin;
    use core::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn poll(future: Pin<&mut Acknowledgement>) -> Poll<Outcome> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    fn outcome() -> Outcome {
        Err(SendError::refused("T", SendErrorKind::Empty))
    }

    #[test]
    fn each_outcome_is_told_once_and_slots_come_back() {
        let home = Arc::new(Completions::default());
        for is_early in [false, true, false] {
            let (mut completion, acknowledgement) = home.pair();
            let mut acknowledgement = pin!(acknowledgement);
            if !is_early {
                assert!(poll(acknowledgement.as_mut()).is_pending());
            }
            assert!(completion.tell(outcome()));
            assert!(!completion.tell(outcome()), "once");
            assert!(poll(acknowledgement.as_mut()).is_ready());
        }
        assert_eq!(home.free().len(), 1, "one slot served all");
        let (mut completion, acknowledgement) = home.pair();
        drop(acknowledgement);
        assert!(!completion.tell(outcome()), "nobody wants to know");
        let (completion, acknowledgement) = home.pair();
        drop(completion);
        let mut acknowledgement = pin!(acknowledgement);
        let Poll::Ready(Err(error)) = poll(acknowledgement.as_mut()) else { panic!("told") };
        assert_eq!(error.kind(), &SendErrorKind::Abandoned);
        let (mut completion, acknowledgement) = home.pair();
        assert!(completion.tell(outcome()));
        drop(acknowledgement);
        assert_eq!(home.free().len(), 1);
    }

    #[test]
    fn a_function_is_told() {
        let (home, told) = (Arc::new(Completions::default()), Arc::new(AtomicUsize::new(0)));
        for _ in 0..2 {
            let count = Arc::clone(&told);
            let callback = Box::new(move |_: Outcome| {
                count.fetch_add(1, Ordering::SeqCst);
            });
            assert!(home.callback(callback).tell(outcome()));
        }
        assert_eq!((told.load(Ordering::SeqCst), home.free().len()), (2, 1));
    }
}

//! How much may be under way: messages and bytes of one client, over all of its producers.
//!
//! The module decides who may go on and in which order: first come, first served. A permit is given
//! back when it is dropped, however that comes about.

use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::sync::{Mutex, MutexGuard, PoisonError};

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Shared by all that sends.
pub(super) struct Budget {
    messages_max: usize,
    bytes_max: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    messages: usize,
    bytes: u64,
    /// Those who wait, first come first; a few of the first may have been granted a permit.
    line: VecDeque<Waiting>,
    next: u64,
    is_closed: bool,
    /// Who waits until nothing is under way.
    watchers: Vec<Waker>,
    /// Since the beginning.
    returned: u64,
}

struct Waiting {
    number: u64,
    messages: usize,
    bytes: u64,
    is_granted: bool,
    waker: Waker,
}

/// Why there is no permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoPermit {
    /// As much is under way as may be, or others wait.
    Full { messages: usize, bytes: u64 },
    /// As many wait as may.
    TooManyWait,
    /// Nothing is sent any more.
    Closed,
}

/// Who may wait at once.
const WAITING_MAX: usize = 65_536;

/// Leave to have so much under way.
pub(super) struct Permit {
    budget: Arc<Budget>,
    messages: usize,
    bytes: u64,
}

/// How much is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) messages: usize,
    pub(super) bytes: u64,
    pub(super) waiting: usize,
    /// Messages that came to their end, one way or the other.
    pub(super) returned: u64,
    pub(super) is_closed: bool,
}

impl State {
    /// One may always be under way, however long it is.
    fn fits(&self, budget: &Budget, messages: usize, bytes: u64) -> bool {
        self.messages == 0
            || (self.messages.saturating_add(messages) <= budget.messages_max
                && self.bytes.saturating_add(bytes) <= budget.bytes_max)
    }

    const fn take(&mut self, messages: usize, bytes: u64) {
        self.messages = self.messages.saturating_add(messages);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Gives what there is to the first who wait. At most eight are woken at a time.
    fn grant(&mut self, budget: &Budget, wakers: &mut WakeList) -> bool {
        let granted = self.line.iter().take_while(|waiting| waiting.is_granted).count();
        for place in granted..self.line.len() {
            let Some(waiting) = self.line.get(place) else { break };
            let (messages, bytes) = (waiting.messages, waiting.bytes);
            if !self.fits(budget, messages, bytes) {
                break;
            }
            let Some(room) = wakers.iter_mut().find(|waker| waker.is_none()) else { return true };
            if let Some(waiting) = self.line.get_mut(place) {
                waiting.is_granted = true;
                *room = Some(waiting.waker.clone());
            }
            self.take(messages, bytes);
        }
        false
    }

    fn place(&self, number: u64) -> Option<usize> {
        self.line.binary_search_by_key(&number, |waiting| waiting.number).ok()
    }
}

type WakeList = [Option<Waker>; 8];

fn wake_all(wakers: &mut WakeList) {
    wakers.iter_mut().filter_map(Option::take).for_each(Waker::wake);
}

impl Budget {
    pub(super) fn new(messages_max: usize, bytes_max: u64) -> Self {
        Self { messages_max, bytes_max, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leave, if there is room and nobody waits for it.
    pub(super) fn try_acquire(
        self: &Arc<Self>,
        messages: usize,
        bytes: u64,
    ) -> Result<Permit, NoPermit> {
        let mut state = self.state();
        if state.is_closed {
            return Err(NoPermit::Closed);
        }
        if !state.line.is_empty() || !state.fits(self, messages, bytes) {
            return Err(NoPermit::Full { messages: state.messages, bytes: state.bytes });
        }
        state.take(messages, bytes);
        drop(state);
        Ok(Permit { budget: Arc::clone(self), messages, bytes })
    }

    /// Leave, once there is room.
    ///
    /// Cancel-safe: who gives up leaves the line.
    pub(super) async fn acquire(
        self: &Arc<Self>,
        messages: usize,
        bytes: u64,
    ) -> Result<Permit, NoPermit> {
        match self.try_acquire(messages, bytes) {
            Err(NoPermit::Full { .. }) => {}
            done => return done,
        }
        Acquire { budget: self, messages, bytes, number: None }.await
    }

    fn leave(&self, number: u64) {
        let mut state = self.state();
        let Some(left) = state.place(number).and_then(|place| state.line.remove(place)) else {
            return;
        };
        if left.is_granted {
            state.messages = state.messages.saturating_sub(left.messages);
            state.bytes = state.bytes.saturating_sub(left.bytes);
        }
        self.hand_on(state);
    }

    /// Wakes those who have room now, and those who wait for the end.
    fn hand_on<'b>(&'b self, mut state: MutexGuard<'b, State>) {
        let watchers = match state.messages {
            0 if !state.watchers.is_empty() => core::mem::take(&mut state.watchers),
            _ => Vec::new(),
        };
        loop {
            let mut wakers = WakeList::default();
            let is_more = !state.line.is_empty() && state.grant(self, &mut wakers);
            drop(state);
            wake_all(&mut wakers);
            if !is_more {
                break;
            }
            state = self.state();
        }
        watchers.into_iter().for_each(Waker::wake);
    }

    /// Gives no more leave; who waits for it learns of that.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        let waiting: Vec<Waker> = state.line.iter().map(|waiting| waiting.waker.clone()).collect();
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Ends when nothing is under way.
    pub(super) async fn drained(&self) {
        poll_fn(|cx| {
            let mut state = self.state();
            if state.messages == 0 {
                return Poll::Ready(());
            }
            if !state.watchers.iter().any(|waker| waker.will_wake(cx.waker())) {
                state.watchers.push(cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    /// Messages and bytes that may be under way.
    pub(super) const fn limits(&self) -> (usize, u64) {
        (self.messages_max, self.bytes_max)
    }

    pub(super) fn usage(&self) -> Usage {
        let state = self.state();
        Usage {
            messages: state.messages,
            bytes: state.bytes,
            waiting: state.line.len(),
            returned: state.returned,
            is_closed: state.is_closed,
        }
    }
}

struct Acquire<'b> {
    budget: &'b Arc<Budget>,
    messages: usize,
    bytes: u64,
    /// In the line.
    number: Option<u64>,
}

impl Future for Acquire<'_> {
    type Output = Result<Permit, NoPermit>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let budget = self.budget;
        let mut state = budget.state();
        let place = self.number.and_then(|number| state.place(number));
        if let Some(place) = place
            && let Some(waiting) = state.line.get_mut(place)
        {
            if waiting.is_granted {
                state.line.remove(place);
                drop(state);
                self.number = None;
                let (messages, bytes) = (self.messages, self.bytes);
                return Poll::Ready(Ok(Permit { budget: Arc::clone(budget), messages, bytes }));
            }
            if !waiting.waker.will_wake(cx.waker()) {
                waiting.waker = cx.waker().clone();
            }
            if !state.is_closed {
                return Poll::Pending;
            }
            state.line.remove(place);
            drop(state);
            self.number = None;
            return Poll::Ready(Err(NoPermit::Closed));
        }
        let refused = match (state.is_closed, state.line.len() >= WAITING_MAX) {
            (true, _) => Some(NoPermit::Closed),
            (false, true) => Some(NoPermit::TooManyWait),
            _ => None,
        };
        if let Some(refused) = refused {
            return Poll::Ready(Err(refused));
        }
        let (messages, bytes) = (self.messages, self.bytes);
        if state.line.is_empty() && state.fits(budget, messages, bytes) {
            state.take(messages, bytes);
            return Poll::Ready(Ok(Permit { budget: Arc::clone(budget), messages, bytes }));
        }
        let number = state.next;
        state.next = number.wrapping_add(1);
        let waker = cx.waker().clone();
        state.line.push_back(Waiting { number, messages, bytes, is_granted: false, waker });
        drop(state);
        self.number = Some(number);
        Poll::Pending
    }
}

impl Drop for Acquire<'_> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.budget.leave(number);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.budget.state();
        state.messages = state.messages.saturating_sub(self.messages);
        state.bytes = state.bytes.saturating_sub(self.bytes);
        state.returned = state.returned.saturating_add(self.messages as u64);
        self.budget.hand_on(state);
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("messages", &self.messages)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use core::pin::pin;

    use super::*;

    fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn who_came_first_goes_first_and_who_gives_up_loses_nothing() {
        let budget = Arc::new(Budget::new(2, 100));
        let first = budget.try_acquire(1, 60).unwrap();
        assert_eq!(
            budget.try_acquire(1, 60).unwrap_err(),
            NoPermit::Full { messages: 1, bytes: 60 }
        );
        let mut large = pin!(budget.acquire(1, 60));
        assert!(poll(large.as_mut()).is_pending());
        {
            // Small enough, but behind somebody.
            let mut small = pin!(budget.acquire(1, 10));
            assert!(poll(small.as_mut()).is_pending());
            drop(first);
            assert!(poll(small.as_mut()).is_ready(), "there was room for both");
        }
        assert!(poll(large.as_mut()).is_ready());
        assert_eq!(budget.usage(), Usage { returned: 3, ..Usage::default() });
    }

    #[test]
    fn what_is_larger_than_the_budget_goes_alone() {
        let budget = Arc::new(Budget::new(2, 100));
        let whole = budget.try_acquire(1, 1_000).unwrap();
        assert!(budget.try_acquire(1, 0).is_err());
        drop(whole);
        assert!(budget.try_acquire(1, 0).is_ok());
    }

    #[test]
    fn permits_survive_any_order_of_giving_up() {
        let budget = Arc::new(Budget::new(3, 30));
        let mut random = turbopump_core::random::SplitMix64::new(7);
        let mut waiting: Vec<Pin<alloc::boxed::Box<_>>> = Vec::new();
        let mut permits = Vec::new();
        for _ in 0..10_000 {
            match random.below(3) {
                0 => waiting.push(alloc::boxed::Box::pin(budget.acquire(1, random.below(20)))),
                1 if !waiting.is_empty() => {
                    let index = random.below(waiting.len() as u64) as usize;
                    drop(waiting.swap_remove(index));
                }
                _ if !permits.is_empty() => {
                    let index = random.below(permits.len() as u64) as usize;
                    drop(permits.swap_remove(index));
                }
                _ => {}
            }
            let mut ready = 0;
            while ready < waiting.len() {
                match poll(waiting.get_mut(ready).unwrap().as_mut()) {
                    Poll::Ready(permit) => {
                        permits.push(permit.unwrap());
                        drop(waiting.swap_remove(ready));
                    }
                    Poll::Pending => ready += 1,
                }
            }
            assert!(budget.usage().messages <= 3);
        }
        waiting.clear();
        permits.clear();
        let usage = budget.usage();
        assert_eq!((usage.messages, usage.bytes, usage.waiting), (0, 0, 0));
    }

    #[test]
    fn a_closed_one_sends_everybody_away() {
        let budget = Arc::new(Budget::new(1, 1));
        let first = budget.try_acquire(1, 1).unwrap();
        let mut second = pin!(budget.acquire(1, 1));
        assert!(poll(second.as_mut()).is_pending());
        budget.close();
        assert!(matches!(poll(second.as_mut()), Poll::Ready(Err(NoPermit::Closed))));
        let mut drained = pin!(budget.drained());
        assert!(poll(drained.as_mut()).is_pending());
        drop(first);
        assert!(poll(drained.as_mut()).is_ready());
    }
}

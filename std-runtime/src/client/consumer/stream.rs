//! Messages as a stream: each is settled by whoever takes it.

use core::fmt;
use core::future::poll_fn;
use core::ops::Deref;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::sync::{Mutex, MutexGuard, PoisonError};

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use futures_core::Stream;

use super::Consumer;
use super::handler::{Consumed, Handler, Said};
use super::received::ReceivedMessage;
use crate::backend::Backend;

/// The messages of a consumer: a [`Stream`] that has no end before the consumer has.
///
/// At most [`handlers_max`](super::ConsumerConfig::handlers_max) messages are out at a time: those
/// that were taken from the stream and are not settled count, too. Dropping the stream ends the
/// consumer, unless there is another handle of it.
pub struct MessageStream<B: Backend> {
    consumer: Consumer<B>,
    waiting: Arc<Waiting>,
}

/// What stands between workers and the stream.
#[derive(Default)]
pub(super) struct Waiting {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    messages: VecDeque<StreamMessage>,
    waker: Option<Waker>,
    /// The consumer has ended.
    is_over: bool,
}

impl Waiting {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// A message of a stream. Whoever is through with it says so; one that is dropped without a word
/// is tried again later.
#[must_use = "a message that nothing is said of is tried again"]
pub struct StreamMessage {
    message: ReceivedMessage,
    outcome: Arc<Outcome>,
}

#[derive(Default)]
struct Outcome(Mutex<(Option<Consumed>, Option<Waker>)>);

impl Outcome {
    fn tell(&self, consumed: Consumed) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // What was said first counts.
        told.0.get_or_insert(consumed);
        let waker = told.1.take();
        drop(told);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<Consumed> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match told.0 {
            Some(consumed) => Poll::Ready(consumed),
            None => {
                told.1 = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl StreamMessage {
    /// It is done.
    pub fn done(self) {
        self.settle(Consumed::Done);
    }

    /// Says what becomes of it.
    pub fn settle(self, consumed: Consumed) {
        self.outcome.tell(consumed);
    }
}

impl Drop for StreamMessage {
    fn drop(&mut self) {
        self.outcome.tell(Consumed::Retry);
    }
}

impl Deref for StreamMessage {
    type Target = ReceivedMessage;

    fn deref(&self) -> &ReceivedMessage {
        &self.message
    }
}

impl fmt::Debug for StreamMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StreamMessage").field(&self.message).finish()
    }
}

/// Hands messages to a stream.
pub(super) struct Streaming(pub(super) Arc<Waiting>);

impl Handler for Streaming {
    fn messages_max(&self) -> usize {
        1
    }

    fn end(&self) {
        let mut left = VecDeque::new();
        self.0.change(|state| {
            state.is_over = true;
            left = core::mem::take(&mut state.messages);
        });
        // Nobody waits for what is said of them.
        drop(left);
    }

    async fn handle(&self, messages: Vec<ReceivedMessage>) -> Vec<Said> {
        let mut said = Vec::with_capacity(messages.len());
        for message in messages {
            let outcome: Arc<Outcome> = Arc::default();
            let for_stream = StreamMessage { message, outcome: Arc::clone(&outcome) };
            self.0.change(|state| state.messages.push_back(for_stream));
            said.push(Said::of(poll_fn(|cx| outcome.poll(cx)).await));
        }
        said
    }
}

impl<B: Backend> MessageStream<B> {
    pub(super) const fn new(consumer: Consumer<B>, waiting: Arc<Waiting>) -> Self {
        Self { consumer, waiting }
    }

    /// The consumer whose messages these are.
    pub const fn consumer(&self) -> &Consumer<B> {
        &self.consumer
    }
}

impl<B: Backend> Stream for MessageStream<B> {
    type Item = StreamMessage;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<StreamMessage>> {
        let mut state = self.waiting.state();
        if let Some(message) = state.messages.pop_front() {
            return Poll::Ready(Some(message));
        }
        if state.is_over {
            return Poll::Ready(None);
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl<B: Backend> fmt::Debug for MessageStream<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageStream").field("consumer", &self.consumer).finish_non_exhaustive()
    }
}

//! Functions of the user's that handle messages, and what they say of them.

use core::fmt::Display;
use core::future::{Future, poll_fn};
use core::panic::AssertUnwindSafe;
use core::pin::{Pin, pin};
use core::task::Poll;
use core::time::Duration;
use std::panic::catch_unwind;

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use turbopump_core::rocketmq::consumer::Handled;

use super::received::ReceivedMessage;

/// What becomes of a message, as its handler says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Consumed {
    /// It is done.
    Done,
    /// It failed: it is tried again later, the later the more often it has failed, and becomes a
    /// dead letter in the end.
    Retry,
    /// As [`Retry`](Self::Retry), at this of RocketMQ's delay levels: from 1 (a second) to 18 (two
    /// hours).
    RetryAtLevel(u8),
    /// As [`Retry`](Self::Retry), after so long at least: at the next longer delay level, two hours
    /// at most.
    RetryAfter(Duration),
    /// To try it again makes no sense: it becomes a dead letter at once.
    Dead,
}

impl Consumed {
    pub(super) fn handled(self) -> Handled {
        match self {
            Self::Done => Handled::Done,
            Self::Retry => Handled::Failed,
            Self::RetryAtLevel(level) => Handled::LaterLevel(level),
            Self::RetryAfter(after) => {
                Handled::LaterUs(u64::try_from(after.as_micros()).unwrap_or(u64::MAX))
            }
            Self::Dead => Handled::Dead,
        }
    }
}

/// What handlers may return: [`Consumed`], nothing where all is done, or a [`Result`] of these,
/// whose errors mean [`Consumed::Retry`].
pub trait IntoConsumed {
    /// Why it failed, for whoever looks after the program.
    fn reason(&self) -> Option<String> {
        None
    }

    /// What it means.
    fn into_consumed(self) -> Consumed;
}

impl IntoConsumed for Consumed {
    fn into_consumed(self) -> Consumed {
        self
    }
}

impl IntoConsumed for () {
    fn into_consumed(self) -> Consumed {
        Consumed::Done
    }
}

impl<T: IntoConsumed, E: Display> IntoConsumed for Result<T, E> {
    fn reason(&self) -> Option<String> {
        match self {
            Ok(consumed) => consumed.reason(),
            Err(error) => Some(error.to_string()),
        }
    }

    fn into_consumed(self) -> Consumed {
        self.map_or(Consumed::Retry, T::into_consumed)
    }
}

/// What was said of one message.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) consumed: Consumed,
    pub(super) reason: Option<Box<str>>,
    pub(super) is_panic: bool,
}

impl Said {
    pub(super) fn of(consumed: impl IntoConsumed) -> Self {
        let reason = consumed.reason().map(String::into_boxed_str);
        Self { reason, consumed: consumed.into_consumed(), is_panic: false }
    }

    fn panicked() -> Self {
        let reason = Some("the handler has panicked".into());
        Self { consumed: Consumed::Retry, reason, is_panic: true }
    }

    fn forgotten() -> Self {
        let reason = Some("the handler has said nothing of it".into());
        Self { consumed: Consumed::Retry, reason, is_panic: false }
    }
}

/// A function that handles messages, one or many at a time.
pub(super) trait Handler: Send + Sync + 'static {
    /// How many it takes at most.
    fn messages_max(&self) -> usize;

    /// It gets nothing more.
    fn end(&self) {}

    /// What it says of each, in their order.
    fn handle(&self, messages: Vec<ReceivedMessage>) -> impl Future<Output = Vec<Said>> + Send;
}

/// One message at a time.
pub(super) struct Single<F>(pub(super) F);

impl<F, R> Handler for Single<F>
where
    F: Fn(ReceivedMessage) -> R + Send + Sync + 'static,
    R: Future<Output: IntoConsumed> + Send,
{
    fn messages_max(&self) -> usize {
        1
    }

    async fn handle(&self, messages: Vec<ReceivedMessage>) -> Vec<Said> {
        let mut said = Vec::with_capacity(messages.len());
        for message in messages {
            said.push(Said::of((self.0)(message).await));
        }
        said
    }
}

/// Any handler.
pub(super) trait AnyHandler: Send + Sync {
    fn handle_boxed(&self, messages: Vec<ReceivedMessage>) -> Handling<'_>;

    fn end_any(&self);
}

pub(super) type Handling<'h> = Pin<Box<dyn Future<Output = Vec<Said>> + Send + 'h>>;

impl<H: Handler> AnyHandler for H {
    fn handle_boxed(&self, messages: Vec<ReceivedMessage>) -> Handling<'_> {
        Box::pin(self.handle(messages))
    }

    fn end_any(&self) {
        self.end();
    }
}

/// What a handler says, of as many messages as it was given: a panic is a failure of all.
pub(super) async fn caught(future: impl Future<Output = Vec<Said>>, messages: usize) -> Vec<Said> {
    let mut future = pin!(future);
    let mut said =
        poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(poll) => poll,
            Err(_) => Poll::Ready(alloc::vec![Said::panicked(); messages]),
        })
        .await;
    said.resize(messages, Said::forgotten());
    said
}

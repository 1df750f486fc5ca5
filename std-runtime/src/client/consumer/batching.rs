//! Handlers that take many messages at a time.

use core::fmt::Display;
use core::future::Future;

use alloc::string::String;
use alloc::vec::Vec;

use super::handler::{Consumed, Handler, IntoConsumed, Said};
use super::received::ReceivedMessage;

/// What handlers of many messages may return: one [`Consumed`] for each message, in their order, or
/// whatever says the same of all of them. Messages that nothing is said of are tried again.
pub trait IntoAllConsumed {
    /// Why it failed, for whoever looks after the program.
    fn reason_of_all(&self) -> Option<String> {
        None
    }

    /// What it means, for so many messages.
    fn into_all_consumed(self, messages: usize) -> Vec<Consumed>;
}

impl<T: IntoConsumed> IntoAllConsumed for T {
    fn reason_of_all(&self) -> Option<String> {
        self.reason()
    }

    fn into_all_consumed(self, messages: usize) -> Vec<Consumed> {
        alloc::vec![self.into_consumed(); messages]
    }
}

impl IntoAllConsumed for Vec<Consumed> {
    fn into_all_consumed(self, _: usize) -> Vec<Consumed> {
        self
    }
}

impl<E: Display> IntoAllConsumed for Result<Vec<Consumed>, E> {
    fn reason_of_all(&self) -> Option<String> {
        use alloc::string::ToString;

        self.as_ref().err().map(ToString::to_string)
    }

    fn into_all_consumed(self, messages: usize) -> Vec<Consumed> {
        self.unwrap_or_else(|_| alloc::vec![Consumed::Retry; messages])
    }
}

/// Many messages at a time.
pub(super) struct Many<F> {
    pub(super) function: F,
    pub(super) messages_max: usize,
}

impl<F, R> Handler for Many<F>
where
    F: Fn(Vec<ReceivedMessage>) -> R + Send + Sync + 'static,
    R: Future<Output: IntoAllConsumed> + Send,
{
    fn messages_max(&self) -> usize {
        self.messages_max
    }

    async fn handle(&self, messages: Vec<ReceivedMessage>) -> Vec<Said> {
        let count = messages.len();
        let all = (self.function)(messages).await;
        let mut reason = all.reason_of_all().map(String::into_boxed_str);
        let consumed = all.into_all_consumed(count).into_iter();
        consumed.map(|consumed| Said { consumed, reason: reason.take(), is_panic: false }).collect()
    }
}

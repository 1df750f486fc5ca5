//! What is recorded without the feature `tracing`: nothing.

use core::future::Future;

use turbopump_core::rocketmq::wire::identity::UniqueKey;

use crate::client::completion::Outcome;
use crate::client::error::{SendError, SendErrorKind};
use crate::client::receipt::Taken;

#[derive(Debug)]
pub(in crate::client) struct MessageSpan;

#[allow(clippy::unused_self, reason = "as the ones that record")]
impl MessageSpan {
    pub(in crate::client) const fn none() -> Self {
        Self
    }

    pub(in crate::client) const fn begin(_group: &str, _topic: &str) -> Self {
        Self
    }

    pub(in crate::client) fn within<T>(&self, run: impl FnOnce() -> T) -> T {
        run()
    }

    pub(in crate::client) const fn note_context(&self, _traceparent: Option<&str>) {}

    pub(in crate::client) const fn fail(&self, _error: &SendError) {}

    pub(in crate::client) const fn end(&self, _outcome: &Outcome) {}
}

pub(in crate::client) struct RequestSpan;

#[allow(clippy::unused_self, reason = "as the ones that record")]
impl RequestSpan {
    pub(in crate::client) const fn of_caller(_topic: &str, _messages: usize) -> Self {
        Self
    }

    pub(in crate::client) const fn of_message(_: &MessageSpan, _topic: &str, _: UniqueKey) -> Self {
        Self
    }

    pub(in crate::client) fn of_batch<'s>(
        _topic: &str,
        _messages: usize,
        _: impl Iterator<Item = &'s MessageSpan>,
    ) -> Self {
        Self
    }

    pub(in crate::client) fn run<F: Future>(&self, future: F) -> F {
        future
    }

    pub(in crate::client) const fn attempt_failed(&self, _: u32, _: Option<&SendErrorKind>) {}

    pub(in crate::client) const fn end(&self, _attempts: u32, _taken: Result<&Taken, &SendError>) {}
}

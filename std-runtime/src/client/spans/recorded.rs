//! Spans that are recorded, where somebody subscribes to them.

use core::fmt;
use core::future::Future;

use tracing::field::{Empty, display};
use tracing::{Instrument, Level, Span, debug, span};
use turbopump_core::rocketmq::wire::identity::UniqueKey;

use crate::client::completion::Outcome;
use crate::client::error::{SendError, SendErrorKind};
use crate::client::receipt::Taken;

/// What filters know it by.
const TARGET: &str = "turbopump::client";

/// Of a message, from when it is handed over until its outcome is told.
#[derive(Debug)]
pub(in crate::client) struct MessageSpan(Span);

impl MessageSpan {
    /// Of a message that was not handed over yet.
    pub(in crate::client) const fn none() -> Self {
        Self(Span::none())
    }

    /// Begins within the span of whoever sends it.
    pub(in crate::client) fn begin(group: &str, topic: &str) -> Self {
        Self(span!(
            target: TARGET,
            Level::INFO,
            "send",
            otel.kind = "producer",
            messaging.system = "rocketmq",
            messaging.operation.type = "send",
            messaging.destination.name = topic,
            messaging.rocketmq.client_group = group,
            messaging.message.id = Empty,
            messaging.destination.partition.id = Empty,
            messaging.rocketmq.broker = Empty,
            messaging.rocketmq.offset = Empty,
            traceparent = Empty,
            otel.status_code = Empty,
            error = Empty,
        ))
    }

    pub(in crate::client) fn within<T>(&self, run: impl FnOnce() -> T) -> T {
        self.0.in_scope(run)
    }

    /// The trace that the message says it belongs to.
    pub(in crate::client) fn note_context(&self, traceparent: Option<&str>) {
        if let Some(traceparent) = traceparent {
            self.0.record("traceparent", traceparent);
        }
    }

    pub(in crate::client) fn fail(&self, error: &SendError) {
        fail(&self.0, error);
    }

    pub(in crate::client) fn end(&self, outcome: &Outcome) {
        if self.0.is_disabled() {
            return;
        }
        match outcome {
            Ok(sent) => {
                self.0.record("messaging.message.id", display(sent.message_id));
                note_place(&self.0, &sent.broker, sent.queue, sent.offset);
            }
            Err(error) => self.fail(error),
        }
    }
}

/// Of a request with one message or a batch, with all its attempts.
pub(in crate::client) struct RequestSpan(Span);

/// The parent is an argument; all else is the same.
macro_rules! request {
    ($($parent:tt)*) => {
        span!(
            target: TARGET,
            $($parent)*
            Level::DEBUG,
            "request",
            otel.kind = "client",
            messaging.system = "rocketmq",
            messaging.operation.type = "send",
            messaging.destination.name = Empty,
            messaging.batch.message_count = Empty,
            messaging.message.id = Empty,
            messaging.destination.partition.id = Empty,
            messaging.rocketmq.broker = Empty,
            messaging.rocketmq.offset = Empty,
            attempts = Empty,
            otel.status_code = Empty,
            error = Empty,
        )
    };
}

impl RequestSpan {
    /// Of messages that whoever waits for it has put together.
    pub(in crate::client) fn of_caller(topic: &str, messages: usize) -> Self {
        Self::new(request!(), topic, messages)
    }

    pub(in crate::client) fn of_message(message: &MessageSpan, topic: &str, id: UniqueKey) -> Self {
        let span = Self::new(request!(parent: &message.0,), topic, 1);
        if !span.0.is_disabled() {
            span.0.record("messaging.message.id", display(id));
        }
        span
    }

    /// Of messages that many have handed over.
    pub(in crate::client) fn of_batch<'s>(
        topic: &str,
        messages: usize,
        spans: impl Iterator<Item = &'s MessageSpan>,
    ) -> Self {
        let span = Self::new(request!(parent: None,), topic, messages);
        if !span.0.is_disabled() {
            spans.for_each(|message| {
                span.0.follows_from(&message.0);
            });
        }
        span
    }

    fn new(span: Span, topic: &str, messages: usize) -> Self {
        span.record("messaging.destination.name", topic);
        span.record("messaging.batch.message_count", messages);
        Self(span)
    }

    pub(in crate::client) fn run<F: Future>(&self, future: F) -> impl Future<Output = F::Output> {
        future.instrument(self.0.clone())
    }

    pub(in crate::client) fn attempt_failed(&self, attempt: u32, why: Option<&SendErrorKind>) {
        if self.0.is_disabled() {
            return;
        }
        let error = why.map(|kind| display(Why(kind)));
        debug!(target: TARGET, parent: &self.0, attempt, error, "attempt failed");
    }

    pub(in crate::client) fn end(&self, attempts: u32, taken: Result<&Taken, &SendError>) {
        self.0.record("attempts", attempts);
        match taken {
            Ok(taken) => note_place(&self.0, &taken.broker, taken.queue, taken.offset),
            Err(error) => fail(&self.0, error),
        }
    }
}

fn note_place(span: &Span, broker: &str, queue: i32, offset: i64) {
    span.record("messaging.destination.partition.id", queue);
    span.record("messaging.rocketmq.broker", broker);
    span.record("messaging.rocketmq.offset", offset);
}

fn fail(span: &Span, error: &SendError) {
    if !span.is_disabled() {
        span.record("otel.status_code", "ERROR");
        span.record("error", display(error));
    }
}

/// Why one attempt has failed, without advice.
struct Why<'k>(&'k SendErrorKind);

impl fmt::Display for Why<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            SendErrorKind::NoRoute { reason } | SendErrorKind::Unreachable { reason } => {
                f.write_str(reason)
            }
            SendErrorKind::Busy { busy, remark } => write!(f, "busy, {}: {remark}", busy.kind),
            SendErrorKind::Refused { code, remark } => write!(f, "refused, {code}: {remark}"),
            other => write!(f, "{other:?}"),
        }
    }
}

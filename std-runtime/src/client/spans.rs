//! Spans of the crate `tracing` (feature `tracing`); without it, nothing at all.
//!
//! A message has a span from when it is handed over until its outcome is told; the request that
//! carries it has another, a child of the message's, or one that follows from the spans of all
//! messages that go together. Names of fields are those of OpenTelemetry's conventions for
//! messaging. Bodies and properties are never recorded, except for `traceparent`.

#[cfg(not(feature = "tracing"))]
mod nothing;
#[cfg(feature = "tracing")]
mod recorded;

#[cfg(not(feature = "tracing"))]
pub(super) use nothing::{MessageSpan, RequestSpan};
#[cfg(feature = "tracing")]
pub(super) use recorded::{MessageSpan, RequestSpan};

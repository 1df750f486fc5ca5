//! Why a request was not accepted, and why an accepted one has no answer.

use core::fmt;

use crate::frame::FrameError;
use crate::link::CloseReason;
use crate::link::InvalidRule;
use crate::pool::{AcquireRefused, Chunk, PoolRef};

/// Why a request was not accepted: nothing happened, and it is still the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubmitRefused {
    /// As many requests as the link has places are in flight. One may be answered.
    Full {
        /// Places.
        in_flight_max: usize,
    },
    /// The transport takes bytes more slowly than they come. Some may be written.
    Backlog {
        /// Bytes that wait to be handed to it.
        queued_bytes: u64,
    },
    /// There is no memory to encode the request in. Some may come back.
    NoBuffer(AcquireRefused),
    /// The protocol cannot express such a request: never ask again.
    Frame(FrameError),
    /// The link takes no more requests, because this side is closing it.
    Closing,
    /// The link is closed.
    Closed(CloseReason),
}

impl SubmitRefused {
    /// True where the same request may be accepted later on the same link.
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::Backlog { .. } | Self::NoBuffer(_))
    }
}

impl From<FrameError> for SubmitRefused {
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}

impl From<AcquireRefused> for SubmitRefused {
    fn from(error: AcquireRefused) -> Self {
        Self::NoBuffer(error)
    }
}

impl fmt::Display for SubmitRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { in_flight_max } => write!(
                f,
                "all {in_flight_max} places for requests in flight are taken; wait for an answer, \
                 give the link more, or use another link"
            ),
            Self::Backlog { queued_bytes } => write!(
                f,
                "{queued_bytes} bytes wait to be written already; wait until the peer has taken \
                 some"
            ),
            Self::NoBuffer(error) => write!(f, "no memory for the request: {error}"),
            Self::Frame(error) => write!(f, "the protocol has no such frame: {error}"),
            Self::Closing => f.write_str("the link is being closed; use another"),
            Self::Closed(reason) => write!(f, "the link is gone ({reason}); use another"),
        }
    }
}

impl core::error::Error for SubmitRefused {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::NoBuffer(error) => Some(error),
            Self::Frame(error) => Some(error),
            Self::Closed(reason) => Some(reason),
            _ => None,
        }
    }
}

/// A request whose body is a chunk was not accepted; the chunk comes back.
pub struct ChunkRefused<R: PoolRef> {
    /// The body.
    pub body: Chunk<R>,
    /// Why.
    pub reason: SubmitRefused,
}

impl<R: PoolRef> fmt::Debug for ChunkRefused<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { body, reason } = self;
        f.debug_struct("ChunkRefused").field("body", &body.len()).field("reason", reason).finish()
    }
}

impl<R: PoolRef> fmt::Display for ChunkRefused<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl<R: PoolRef> core::error::Error for ChunkRefused<R> {}

/// Why an accepted request has no answer.
///
/// `maybe_sent` is false only where the peer cannot have seen the whole request, because its last
/// byte was never handed to the transport: then it is safe to send it again elsewhere, whatever it
/// does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoAnswer {
    /// None came in time. One that comes later is dropped.
    TimedOut {
        /// Whether the peer may have seen the request.
        maybe_sent: bool,
    },
    /// The link closed before one came.
    Closed {
        /// Why.
        reason: CloseReason,
        /// Whether the peer may have seen the request.
        maybe_sent: bool,
    },
    /// One came, but there was no memory for it, and it was dropped.
    NoBuffer {
        /// How long it was.
        answer_bytes: usize,
    },
    /// There is no request with this ticket: its outcome was taken already, or it was abandoned.
    Unknown,
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seen = |maybe_sent: bool| {
            if maybe_sent { "the peer may have seen it" } else { "the peer has not seen it" }
        };
        match self {
            Self::TimedOut { maybe_sent } => {
                write!(f, "no answer within the request's time; {}", seen(*maybe_sent))
            }
            Self::Closed { reason, maybe_sent } => {
                write!(f, "no answer, because the link is gone ({reason}); {}", seen(*maybe_sent))
            }
            Self::NoBuffer { answer_bytes } => write!(
                f,
                "no memory for the answer of {answer_bytes} bytes; give the pool more of that size"
            ),
            Self::Unknown => f.write_str("no such request: its outcome was taken already"),
        }
    }
}

impl core::error::Error for NoAnswer {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Closed { reason, .. } => Some(reason),
            _ => None,
        }
    }
}

/// Storage that no link can work with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestStorageTooSmall {
    /// Which part.
    pub part: &'static str,
    /// How many there are.
    pub len: usize,
    /// How many there may be; at least one is needed (two for `outgoing`).
    pub max: usize,
}

impl fmt::Display for RequestStorageTooSmall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { part, len, max } = self;
        write!(f, "storage with {len} {part}; a link needs some and can use {max}")
    }
}

impl core::error::Error for RequestStorageTooSmall {}

/// Why there is no request machine.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum RequestsRefused {
    /// The storage cannot be used.
    Storage(RequestStorageTooSmall),
    /// The time-out cannot be meant.
    Timeout(InvalidRule),
}

impl From<RequestStorageTooSmall> for RequestsRefused {
    fn from(error: RequestStorageTooSmall) -> Self {
        Self::Storage(error)
    }
}

impl From<InvalidRule> for RequestsRefused {
    fn from(error: InvalidRule) -> Self {
        Self::Timeout(error)
    }
}

impl fmt::Display for RequestsRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Storage(error) => error.fmt(f),
            Self::Timeout(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for RequestsRefused {}

//! Why something can't be done with a stream.

use core::fmt;

use super::header::GoAwayReason;
use crate::link::CloseReason;

/// Why a stream can't be read or written any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamError {
    /// The peer did not accept the stream: too many are open, or it is about to end.
    Refused,
    /// The peer ended the stream in both directions.
    Reset,
    /// This side ended the stream in both directions.
    Aborted,
    /// This side reset the stream, because too much was waiting to be read and most of it here, or
    /// because the pool had no buffer for what arrived.
    Overrun,
    /// This side reset the stream, because the peer sent data after it had finished or granted more
    /// than can be counted.
    Violation,
    /// It was finished by this side: nothing can be written behind that.
    Finished,
    /// The connection is gone.
    Closed(CloseReason),
    /// The key belongs to a stream that was released.
    Unknown,
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("the peer refused the stream: open it again later"),
            Self::Reset => f.write_str("the peer reset the stream"),
            Self::Aborted => f.write_str("the stream was reset by this side"),
            Self::Overrun => f.write_str(
                "the stream was reset, because too many bytes waited to be read: read faster, or \
                 raise the receive budget and the pool",
            ),
            Self::Violation => {
                f.write_str("the stream was reset, because the peer broke the protocol on it")
            }
            Self::Finished => f.write_str("the stream was finished: nothing can follow"),
            Self::Closed(reason) => write!(f, "the connection is gone: {reason}"),
            Self::Unknown => f.write_str("the stream was released"),
        }
    }
}

impl core::error::Error for StreamError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Closed(reason) => Some(reason),
            _ => None,
        }
    }
}

/// Why no stream can be opened, now or ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenRefused {
    /// As many streams are open as may be. One may end.
    Streams {
        /// How many that is.
        streams_max: usize,
    },
    /// As many streams wait for the peer to accept them as may. It may do so.
    Unacknowledged {
        /// How many that is.
        unacknowledged_max: usize,
    },
    /// Too many bytes wait to be read. Somebody may read them.
    Budget {
        /// How many do.
        unread_bytes: usize,
    },
    /// One side said that it wants no more streams.
    GoAway(GoAwayReason),
    /// All numbers for streams of this connection are used up.
    Numbers,
    /// The connection is gone.
    Closed(CloseReason),
}

impl OpenRefused {
    /// True where a stream may be opened on this connection later;
    /// [`StreamEvent::Open`](super::StreamEvent::Open) says when.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Streams { .. } | Self::Unacknowledged { .. } | Self::Budget { .. })
    }
}

impl fmt::Display for OpenRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Streams { streams_max } => {
                write!(f, "all {streams_max} streams are in use: release one, or raise the limit")
            }
            Self::Unacknowledged { unacknowledged_max } => write!(
                f,
                "{unacknowledged_max} streams wait for the peer to accept them: wait, or raise the \
                 limit if the peer's is higher"
            ),
            Self::Budget { unread_bytes } => write!(
                f,
                "{unread_bytes} bytes wait to be read: read them, or raise the receive budget"
            ),
            Self::GoAway(reason) => {
                write!(f, "the connection takes no more streams ({reason:?}): use another one")
            }
            Self::Numbers => f.write_str("all numbers of streams are used: use another connection"),
            Self::Closed(reason) => write!(f, "the connection is gone: {reason}"),
        }
    }
}

impl core::error::Error for OpenRefused {}

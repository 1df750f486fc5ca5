//! What can go wrong, by phase.

use core::fmt;
use core::time::Duration;
use std::io;

use alloc::sync::Arc;

use turbopump_core::compress::InflateError;

use crate::backend::Endpoint;

/// A part of a connection's life that has a time-out of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Waiting for a connection of the pool.
    Acquire,
    /// Looking up a name; shares its time with dialing.
    Resolve,
    /// Connecting.
    Dial,
    /// The TLS handshake.
    Tls,
    /// Waiting for bytes.
    Read,
    /// Waiting for the peer to take bytes.
    Write,
}

impl Phase {
    /// All phases.
    pub const ALL: [Self; 6] =
        [Self::Acquire, Self::Resolve, Self::Dial, Self::Tls, Self::Read, Self::Write];

    /// A word for labels.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Acquire => "acquire",
            Self::Resolve => "resolve",
            Self::Dial => "dial",
            Self::Tls => "tls",
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// Why the pool gives no connection. Nothing was sent to anybody.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum AcquireError {
    /// The pool is closed.
    Closed,
    /// As many wait as may.
    TooManyWaiting {
        /// That many.
        waiting_max: u32,
    },
    /// No connection became free in time.
    TimedOut {
        /// How long it was waited for.
        after: Duration,
        /// Why the pool could not open another one, if the last dial failed.
        last_dial: Option<DialError>,
    },
    /// Dialing failed, and there was no other connection to wait for.
    Dial(DialError),
}

impl fmt::Display for AcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the connection pool is closed"),
            Self::TooManyWaiting { waiting_max } => {
                write!(f, "{waiting_max} wait for a connection already, which is the limit")
            }
            Self::TimedOut { after, last_dial: None } => {
                write!(f, "no connection was given back within {after:?}")
            }
            Self::TimedOut { after, last_dial: Some(error) } => {
                write!(f, "no connection within {after:?}: {error}")
            }
            Self::Dial(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for AcquireError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Dial(error) | Self::TimedOut { last_dial: Some(error), .. } => Some(error),
            _ => None,
        }
    }
}

/// Why a connection could not be opened. Cheap to clone: many may wait for the same one.
#[derive(Clone, Debug)]
pub struct DialError {
    inner: Arc<DialFailure>,
}

#[derive(Debug)]
struct DialFailure {
    endpoint: Endpoint,
    phase: Phase,
    cause: DialCause,
}

#[derive(Debug)]
pub(super) enum DialCause {
    Io(io::Error),
    TimedOut { after: Duration },
    NoAddress,
    Abandoned,
}

impl DialError {
    pub(super) fn new(endpoint: &Endpoint, phase: Phase, cause: DialCause) -> Self {
        Self { inner: Arc::new(DialFailure { endpoint: endpoint.clone(), phase, cause }) }
    }

    /// To whom.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.inner.endpoint
    }

    /// In which phase: [`Phase::Resolve`], [`Phase::Dial`] or [`Phase::Tls`].
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.inner.phase
    }

    /// True where the phase ran out of time.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self.inner.cause, DialCause::TimedOut { .. })
    }

    /// What the operating system or TLS says, if it was they.
    #[must_use]
    pub fn io(&self) -> Option<&io::Error> {
        match &self.inner.cause {
            DialCause::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DialFailure { endpoint, phase, cause } = &*self.inner;
        let doing = match phase {
            Phase::Resolve => "looking up",
            Phase::Tls => "TLS handshake with",
            _ => "connecting to",
        };
        match cause {
            DialCause::Io(error) => write!(f, "{doing} {endpoint} failed: {error}"),
            DialCause::TimedOut { after } => {
                write!(f, "{doing} {endpoint} took longer than {after:?}")
            }
            DialCause::NoAddress => write!(f, "{doing} {endpoint} gave no address"),
            DialCause::Abandoned => write!(f, "{doing} {endpoint} was given up"),
        }
    }
}

impl core::error::Error for DialError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        self.io().map(|error| error as _)
    }
}

/// Why reading or writing failed. The connection is closed when it is dropped, not used again.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectionError {
    /// Reading or writing ran out of time.
    TimedOut {
        /// [`Phase::Read`] or [`Phase::Write`].
        phase: Phase,
        /// How long it was waited.
        after: Duration,
    },
    /// The transport failed.
    Io {
        /// [`Phase::Read`] or [`Phase::Write`].
        phase: Phase,
        /// What it says.
        error: io::Error,
    },
    /// The peer closed the connection while more was expected of it.
    PeerClosed {
        /// Bytes that are missing.
        missing: usize,
    },
    /// A body is longer than `compression.body_bytes_max` allows. When writing, nothing was sent
    /// and the connection stays usable.
    TooLong {
        /// Its length in bytes.
        len: u64,
        /// The limit.
        bytes_max: u32,
    },
    /// The peer sends frames of another kind: it does not use `write_compressed`.
    UnknownFrame {
        /// The first byte, which should say whether the body is compressed.
        flag: u8,
    },
    /// A compressed body is damaged, or longer than it may be.
    Inflate(InflateError),
    /// An earlier read or write was cut short, so that nobody knows where a message begins.
    CutShort,
}

impl ConnectionError {
    /// True where a time-out ended it.
    #[must_use]
    pub const fn is_timeout(&self) -> bool {
        matches!(self, Self::TimedOut { .. })
    }
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut { phase: Phase::Write, after } => {
                write!(f, "the peer did not take all bytes within {after:?}")
            }
            Self::TimedOut { after, .. } => write!(f, "nothing came from the peer for {after:?}"),
            Self::Io { phase, error } => write!(f, "{phase} failed: {error}"),
            Self::PeerClosed { missing } => {
                write!(f, "the peer closed the connection, {missing} bytes too early")
            }
            Self::TooLong { len, bytes_max } => {
                write!(f, "a body of {len} bytes, but {bytes_max} are allowed by body_bytes_max")
            }
            Self::UnknownFrame { flag } => write!(
                f,
                "a frame begins with {flag:#04x}, not with 0 or 1: does the peer compress, too?"
            ),
            Self::Inflate(error) => write!(f, "a compressed body: {error}"),
            Self::CutShort => {
                f.write_str("an earlier read or write on this connection was cut short")
            }
        }
    }
}

impl core::error::Error for ConnectionError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Io { error, .. } => Some(error),
            Self::Inflate(error) => Some(error),
            _ => None,
        }
    }
}

/// The kind tells those who know only of streams whether to try again.
impl From<ConnectionError> for io::Error {
    fn from(error: ConnectionError) -> Self {
        let kind = match error {
            ConnectionError::Io { error, .. } => return error,
            ConnectionError::TimedOut { .. } => io::ErrorKind::TimedOut,
            ConnectionError::PeerClosed { .. } => io::ErrorKind::UnexpectedEof,
            ConnectionError::TooLong { .. } => io::ErrorKind::InvalidInput,
            ConnectionError::UnknownFrame { .. } | ConnectionError::Inflate(_) => {
                io::ErrorKind::InvalidData
            }
            ConnectionError::CutShort => io::ErrorKind::BrokenPipe,
        };
        Self::new(kind, error)
    }
}

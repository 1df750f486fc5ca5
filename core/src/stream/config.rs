//! Limits of a connection's streams.

use core::fmt;

use super::header::INITIAL_WINDOW_BYTES;
use crate::time::US_PER_SECOND;

/// Which end of a connection this is: they number their streams differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Role {
    /// The end that dialed; its streams have odd numbers.
    Client,
    /// The end that accepted; its streams have even numbers.
    Server,
}

/// Limits of one connection, with defaults for a server of a few connections.
///
/// # How large should the budget be?
///
/// The specification lets a peer send [`INITIAL_WINDOW_BYTES`] on a stream before it hears
/// anything, so the only budget that is never overdrawn is `streams_max` times that: 256 MiB for
/// the default of 1,024 streams. It is a limit, not memory that is taken: that is taken as bytes
/// arrive, and given back as they are read.
///
/// A smaller budget is kept all the same. While more than half of it is waiting to be read, no
/// stream is admitted and no window is renewed; should peers send more than the whole of it, the
/// stream with the most unread bytes is reset.
///
/// # How large should the pool be?
///
/// Buffers of [`segment_bytes`](Self::segment_bytes): as many as the budget holds, one for each
/// stream that is being read slowly, [`SEND_SEGMENTS`](super::SEND_SEGMENTS) for each stream that
/// is written faster than its peer reads, and two for the connection. Short messages take buffers
/// of smaller classes, from 256 bytes on. Where the pool has none for what arrives, the stream is
/// reset; where it has none for what is written, writers wait and try again.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamConfig {
    /// Streams that may be open at once, opened by either side; 1,024.
    pub streams_max: usize,
    /// Streams of the peer's that may wait to be accepted; more are refused. 256, as its other
    /// implementations have it.
    pub accept_backlog: usize,
    /// Own streams that may wait for the peer to accept them; 256, for the same reason.
    pub unacknowledged_max: usize,
    /// Streams of the peer's that may be refused before the connection can be written again; a
    /// peer that opens more is cut off. 256.
    pub refusals_max: usize,
    /// What the peer may send on one stream ahead of its reader, in bytes: 262,144 at least.
    pub window_bytes: u32,
    /// Bytes that may wait to be read on all streams together; 268,435,456.
    pub receive_budget_bytes: usize,
    /// The largest buffer that is taken from the pool, and the most data in a frame that is sent;
    /// 16,384. A stream keeps at most [`SEND_SEGMENTS`](super::SEND_SEGMENTS) of them to be sent,
    /// and 16 to be read: the latter is the true limit where the window is larger.
    pub segment_bytes: usize,
    /// A ping is sent this often, in microseconds, to measure the round trip and to see whether the
    /// peer is there; every 30 s. `None` for never.
    pub keep_alive_us: Option<u64>,
    /// A ping without any byte from the peer for so long ends the connection; 10 s.
    pub keep_alive_timeout_us: u64,
    /// How long a stream that was finished and released waits for the peer to finish; 30 s.
    pub linger_us: u64,
}

impl Default for StreamConfig {
    fn default() -> Self {
        Self {
            streams_max: 1_024,
            accept_backlog: 256,
            unacknowledged_max: 256,
            refusals_max: 256,
            window_bytes: INITIAL_WINDOW_BYTES,
            receive_budget_bytes: 268_435_456,
            segment_bytes: 16_384,
            keep_alive_us: Some(30_000_000),
            keep_alive_timeout_us: 10 * US_PER_SECOND,
            linger_us: 30_000_000,
        }
    }
}

/// Places of streams there can be: more are told apart by nobody.
const STREAMS_MAX: usize = 1 << 24;
/// In a buffer of this size there is room for a few frames.
const SEGMENT_BYTES_MIN: usize = 1_024;
/// Of a segment of this size, sixteen make a MiB.
const SEGMENT_BYTES_MAX: usize = 65_536;

impl StreamConfig {
    /// Whether these limits are possible.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the first that is not.
    pub const fn check(&self) -> Result<(), ConfigError> {
        if self.streams_max == 0 || self.streams_max > STREAMS_MAX {
            return Err(ConfigError::Streams { streams_max: self.streams_max, max: STREAMS_MAX });
        }
        if self.window_bytes < INITIAL_WINDOW_BYTES {
            return Err(ConfigError::Window { window_bytes: self.window_bytes });
        }
        let (min, max) = (SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX);
        if self.segment_bytes < min || self.segment_bytes > max {
            return Err(ConfigError::Segment { segment_bytes: self.segment_bytes, min, max });
        }
        if self.receive_budget_bytes < self.segment_bytes {
            let receive_budget_bytes = self.receive_budget_bytes;
            return Err(ConfigError::Budget { receive_budget_bytes, min: self.segment_bytes });
        }
        Ok(())
    }
}

/// What is wrong with a [`StreamConfig`], or with the storage for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// No streams, or more than there can be.
    Streams {
        /// What was asked for.
        streams_max: usize,
        /// The most there can be.
        max: usize,
    },
    /// The window is smaller than the specification lets a peer assume.
    Window {
        /// What was asked for, in bytes.
        window_bytes: u32,
    },
    /// Segments are too small for frames or too large for a turn.
    Segment {
        /// What was asked for, in bytes.
        segment_bytes: usize,
        /// The smallest possible.
        min: usize,
        /// The largest possible.
        max: usize,
    },
    /// The budget does not hold one segment.
    Budget {
        /// What was asked for, in bytes.
        receive_budget_bytes: usize,
        /// The smallest possible.
        min: usize,
    },
    /// There is less storage than the limits ask for.
    Storage {
        /// Which part of it.
        piece: &'static str,
        /// What was given.
        len: usize,
        /// What is needed.
        needed: usize,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Streams { streams_max, max } => {
                write!(f, "{streams_max} streams: use 1 to {max}")
            }
            Self::Window { window_bytes } => write!(
                f,
                "a window of {window_bytes} bytes: peers assume {INITIAL_WINDOW_BYTES}, so use \
                 that or more"
            ),
            Self::Segment { segment_bytes, min, max } => {
                write!(f, "segments of {segment_bytes} bytes: use {min} to {max}")
            }
            Self::Budget { receive_budget_bytes, min } => write!(
                f,
                "a receive budget of {receive_budget_bytes} bytes does not hold one segment: use \
                 {min} or more"
            ),
            Self::Storage { piece, len, needed } => {
                write!(f, "storage with {len} {piece}, of which {needed} are needed")
            }
        }
    }
}

impl core::error::Error for ConfigError {}

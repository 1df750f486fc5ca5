//! What can be wrong with a header that is read or written.

use core::error::Error;
use core::fmt;

use crate::frame::{NoHeadroom, SealError};
use crate::rocketmq::wire::json::{JsonError, JsonProblem};

/// Why bytes are no header, or no frame. The peer speaks another protocol: close the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeaderError {
    /// Where it is wrong, in bytes from the start of what was to be decoded.
    pub position: usize,
    /// What is wrong there.
    pub problem: HeaderProblem,
}

/// What is wrong with a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeaderProblem {
    /// The frame's length says another number of bytes than there are.
    FrameLength {
        /// What it says, the length included.
        announced_bytes: i64,
        /// What is there.
        frame_bytes: usize,
    },
    /// Nobody has defined that serialization.
    Serialization {
        /// Its byte.
        found: u8,
    },
    /// Something is longer than what is left for it.
    Truncated {
        /// What it is.
        part: &'static str,
        /// Its length in bytes.
        needed_bytes: usize,
        /// What is left.
        left_bytes: usize,
    },
    /// A length is below zero.
    Negative {
        /// Of what.
        part: &'static str,
        /// The length.
        value: i32,
    },
    /// Bytes that belong to nothing follow the header.
    Trailing {
        /// How many.
        left_bytes: usize,
    },
    /// A text is no UTF-8.
    NotUtf8,
    /// The JSON is wrong.
    Json(JsonProblem),
}

impl HeaderError {
    /// The same error for bytes that start `bytes` earlier.
    pub(in crate::rocketmq::wire) const fn behind(mut self, bytes: usize) -> Self {
        self.position = self.position.saturating_add(bytes);
        self
    }
}

impl From<JsonError> for HeaderError {
    fn from(JsonError { position, problem }: JsonError) -> Self {
        match problem {
            JsonProblem::NotUtf8 => Self { position, problem: HeaderProblem::NotUtf8 },
            problem => Self { position, problem: HeaderProblem::Json(problem) },
        }
    }
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "header at byte {}: ", self.position)?;
        match self.problem {
            HeaderProblem::FrameLength { announced_bytes, frame_bytes } => write!(
                f,
                "the frame announces {announced_bytes} bytes and has {frame_bytes}: pass one \
                 whole frame"
            ),
            HeaderProblem::Serialization { found } => {
                write!(f, "unknown serialization {found}: 0 is JSON, 1 is binary")
            }
            HeaderProblem::Truncated { part, needed_bytes, left_bytes } => {
                write!(f, "{part} has {needed_bytes} bytes, but {left_bytes} are left for it")
            }
            HeaderProblem::Negative { part, value } => {
                write!(f, "{part} has the negative length {value}")
            }
            HeaderProblem::Trailing { left_bytes } => {
                write!(f, "{left_bytes} bytes belong to nothing")
            }
            HeaderProblem::NotUtf8 => f.write_str("a text is no UTF-8"),
            HeaderProblem::Json(problem) => problem.fmt(f),
        }
    }
}

impl Error for HeaderError {}

/// Why a header was not written, or a frame not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// There is no room for it.
    NoRoom {
        /// What it needs.
        needed_bytes: usize,
        /// What there is.
        room_bytes: usize,
    },
    /// A number is out of the range that the serialization has for it.
    OutOfRange {
        /// Which number.
        part: &'static str,
        /// Its value.
        value: i32,
    },
    /// A text or the whole header is longer than its length can say.
    TooLong {
        /// What it is.
        part: &'static str,
        /// Its length in bytes.
        len_bytes: usize,
        /// The limit in bytes.
        len_bytes_max: usize,
    },
    /// The frame around it was refused.
    Seal(SealError),
}

impl From<SealError> for EncodeError {
    fn from(error: SealError) -> Self {
        Self::Seal(error)
    }
}

impl From<NoHeadroom> for EncodeError {
    fn from(error: NoHeadroom) -> Self {
        Self::Seal(error.into())
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRoom { needed_bytes, room_bytes } => {
                write!(f, "{needed_bytes} bytes do not fit into {room_bytes}: give more memory")
            }
            Self::OutOfRange { part, value } => {
                write!(f, "{part} {value} does not fit into a binary header: write it as JSON")
            }
            Self::TooLong { part, len_bytes, len_bytes_max } => {
                write!(f, "{part} has {len_bytes} bytes, at most {len_bytes_max} can be sent")
            }
            Self::Seal(error) => error.fmt(f),
        }
    }
}

impl Error for EncodeError {}

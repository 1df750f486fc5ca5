//! What can be wrong with a frame, by culprit: the peer, the storage, the configuration.

use core::error::Error;
use core::fmt;

/// What is wrong with the bytes of a stream.
///
/// `at` is a byte offset. A [`Header`](super::Header) counts it from the first byte of the frame;
/// [`Frames`](super::Frames) and [`Reader`](super::Reader) count it from the start of the stream.
///
/// None of these can be repaired by reading on, because nobody knows where the next frame would
/// start: close the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// The header announces a longer frame than is allowed. The peer is hostile, speaks another
    /// protocol, or the limit is too low for it.
    Oversize {
        /// Where the frame starts.
        at: u64,
        /// What the header announces, in bytes, header included.
        frame_bytes: u64,
        /// The most that is allowed.
        frame_bytes_max: usize,
    },
    /// The length is below zero. The peer is broken or speaks another protocol.
    Negative {
        /// Where the frame starts.
        at: u64,
        /// The length as it stands in the header.
        value: i64,
    },
    /// The header announces a frame that is too short to hold the header itself.
    TooShort {
        /// Where the frame starts.
        at: u64,
        /// What the header announces, in bytes; may be below zero after adjustment.
        frame_bytes: i64,
        /// The shortest possible frame.
        frame_bytes_min: usize,
    },
    /// The header refuses its bytes for a reason of its own, such as a wrong magic number.
    Malformed {
        /// Where the offending byte is.
        at: u64,
        /// What the header expected.
        reason: &'static str,
    },
    /// The stream ended within a frame. The peer or the network gave up.
    Torn {
        /// Where the frame starts.
        at: u64,
        /// How much of it arrived.
        received_bytes: usize,
        /// How much more was needed, as far as can be told from what arrived.
        missing_bytes: usize,
    },
    /// More bytes were committed than the window could hold: a mistake of the calling code.
    Overcommit {
        /// Where the window started.
        at: u64,
        /// What was committed.
        committed_bytes: usize,
        /// The length of the window that was handed out last.
        window_bytes: usize,
    },
}

impl FrameError {
    /// The byte offset of the error; see the type for what it is counted from.
    #[must_use]
    pub const fn at(&self) -> u64 {
        match *self {
            Self::Oversize { at, .. }
            | Self::Negative { at, .. }
            | Self::TooShort { at, .. }
            | Self::Malformed { at, .. }
            | Self::Torn { at, .. }
            | Self::Overcommit { at, .. } => at,
        }
    }

    /// The same error `bytes` further on: from an offset in the frame to one in the stream.
    #[must_use]
    pub const fn shifted_by(mut self, bytes: u64) -> Self {
        match &mut self {
            Self::Oversize { at, .. }
            | Self::Negative { at, .. }
            | Self::TooShort { at, .. }
            | Self::Malformed { at, .. }
            | Self::Torn { at, .. }
            | Self::Overcommit { at, .. } => *at = at.saturating_add(bytes),
        }
        self
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Oversize { at, frame_bytes, frame_bytes_max } => write!(
                f,
                "frame at byte {at} announces {frame_bytes} bytes, the limit is {frame_bytes_max}: \
                 raise the limit if the peer is trusted, else close the connection"
            ),
            Self::Negative { at, value } => write!(
                f,
                "frame at byte {at} has the negative length {value}: close the connection, \
                 the peer speaks another protocol"
            ),
            Self::TooShort { at, frame_bytes, frame_bytes_min } => write!(
                f,
                "frame at byte {at} announces {frame_bytes} bytes, its header alone has \
                 {frame_bytes_min}: close the connection, the peer speaks another protocol"
            ),
            Self::Malformed { at, reason } => write!(
                f,
                "header at byte {at} is malformed, {reason}: close the connection, \
                 the peer speaks another protocol"
            ),
            Self::Torn { at, received_bytes, missing_bytes } => write!(
                f,
                "the stream ended within the frame at byte {at}, {received_bytes} bytes arrived \
                 and {missing_bytes} are missing: ask for it again on a new connection"
            ),
            Self::Overcommit { at, committed_bytes, window_bytes } => write!(
                f,
                "{committed_bytes} bytes were committed at byte {at} to a window of \
                 {window_bytes}: commit what was read into the last window, once"
            ),
        }
    }
}

impl Error for FrameError {}

/// Why a [`LengthField`](super::LengthField) can't be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LengthFieldError {
    /// The width is not 1 to 8 bytes.
    Width {
        /// The width that was asked for.
        width_bytes: usize,
    },
    /// The field would end beyond the address space.
    Offset {
        /// The offset that was asked for.
        offset_bytes: usize,
    },
    /// The header ends before the length field does.
    Header {
        /// The header's length that was asked for.
        header_bytes: usize,
        /// Where the length field ends.
        field_end_bytes: usize,
    },
    /// No frame could be legal: the shortest one is above the limit.
    MaximumTooLow {
        /// The limit that was asked for.
        frame_bytes_max: usize,
        /// The shortest frame that the header allows.
        frame_bytes_min: u64,
    },
    /// The field can't express frames as long as the limit.
    MaximumTooHigh {
        /// The limit that was asked for.
        frame_bytes_max: usize,
        /// The longest frame that the field can express; 0 where it can express none.
        expressible_bytes: u64,
    },
}

impl fmt::Display for LengthFieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Width { width_bytes } => {
                write!(f, "a length field of {width_bytes} bytes: use 1 to 8")
            }
            Self::Offset { offset_bytes } => {
                write!(f, "a length field at byte {offset_bytes}: it must end within memory")
            }
            Self::Header { header_bytes, field_end_bytes } => write!(
                f,
                "a header of {header_bytes} bytes whose length field ends at {field_end_bytes}: \
                 make the header at least as long"
            ),
            Self::MaximumTooLow { frame_bytes_max, frame_bytes_min } => write!(
                f,
                "frames of at most {frame_bytes_max} bytes, but the shortest has \
                 {frame_bytes_min}: raise the limit"
            ),
            Self::MaximumTooHigh { frame_bytes_max, expressible_bytes } => write!(
                f,
                "frames of up to {frame_bytes_max} bytes, but the field can express at most \
                 {expressible_bytes}: lower the limit or widen the field"
            ),
        }
    }
}

impl Error for LengthFieldError {}

/// The storage is smaller than what has to fit into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StorageTooSmall {
    /// What was given, in bytes.
    pub storage_bytes: usize,
    /// What is needed, in bytes.
    pub required_bytes: usize,
}

impl fmt::Display for StorageTooSmall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { storage_bytes, required_bytes } = *self;
        write!(f, "storage of {storage_bytes} bytes where {required_bytes} are required")
    }
}

impl Error for StorageTooSmall {}

/// The room in front of a body is too small for the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoHeadroom {
    /// What was asked for, in bytes.
    pub needed_bytes: usize,
    /// What is free in front of the body, in bytes.
    pub headroom_bytes: usize,
}

impl fmt::Display for NoHeadroom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { needed_bytes, headroom_bytes } = *self;
        write!(
            f,
            "a header of {needed_bytes} bytes in front of a body with {headroom_bytes} bytes of \
             headroom: reserve more, or write the header separately"
        )
    }
}

impl Error for NoHeadroom {}

/// The room behind a body is too small for what should be appended. Nothing was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NoRoom {
    /// What was asked for, in bytes.
    pub needed_bytes: usize,
    /// What is free behind the body, in bytes.
    pub spare_bytes: usize,
}

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { needed_bytes, spare_bytes } = *self;
        write!(
            f,
            "{needed_bytes} bytes behind a body with room for {spare_bytes}: seal this frame and \
             start another, or use larger storage"
        )
    }
}

impl Error for NoRoom {}

/// Why a frame was not sealed. Its body is untouched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SealError {
    /// The header doesn't fit in front of the body.
    NoHeadroom(NoHeadroom),
    /// The header given is too short to hold the length.
    HeaderTooShort {
        /// The header that was given, in bytes.
        header_bytes: usize,
        /// How much the length needs, in bytes.
        prefix_bytes: usize,
    },
    /// The frame is longer or shorter than the header allows.
    Length(FrameError),
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHeadroom(error) => error.fmt(f),
            Self::HeaderTooShort { header_bytes, prefix_bytes } => write!(
                f,
                "a header of {header_bytes} bytes, but the length needs {prefix_bytes}: pass the \
                 whole header with room for its length"
            ),
            Self::Length(FrameError::Oversize { frame_bytes, frame_bytes_max, .. }) => write!(
                f,
                "a frame of {frame_bytes} bytes, the limit is {frame_bytes_max}: split the body"
            ),
            Self::Length(FrameError::TooShort { frame_bytes, frame_bytes_min, .. }) => write!(
                f,
                "a frame of {frame_bytes} bytes, the shortest has {frame_bytes_min}: pass the \
                 whole header"
            ),
            Self::Length(error) => error.fmt(f),
        }
    }
}

impl Error for SealError {}

impl From<NoHeadroom> for SealError {
    fn from(error: NoHeadroom) -> Self {
        Self::NoHeadroom(error)
    }
}

impl From<FrameError> for SealError {
    fn from(error: FrameError) -> Self {
        Self::Length(error)
    }
}

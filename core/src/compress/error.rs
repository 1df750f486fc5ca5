//! What can go wrong with compressed bytes.

use core::error::Error;
use core::fmt;

use super::Format;

/// Why compressed bytes were refused.
///
/// `at` is a byte offset in the compressed stream. What was written to the output before the error
/// is not to be used: nothing has vouched for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InflateError {
    /// The header is not one of the expected format.
    Header {
        /// Where the offending byte is.
        at: u64,
        /// What is wrong with it.
        problem: HeaderProblem,
    },
    /// The compressed data is damaged.
    Corrupt {
        /// Where that was noticed; the damage may lie before.
        at: u64,
    },
    /// The data does not match its checksum, Adler-32 in zlib and CRC-32 in gzip.
    Checksum {
        /// Where the checksum ends.
        at: u64,
        /// The checksum that the stream carries.
        expected: u32,
        /// The checksum of what was inflated.
        found: u32,
    },
    /// The data does not have the length that a gzip trailer says (both modulo 2^32).
    Length {
        /// Where the length ends.
        at: u64,
        /// The length that the stream carries.
        expected: u32,
        /// The length of what was inflated.
        found: u32,
    },
    /// The data is longer than the output, which is the limit set by the caller.
    OutputLimit {
        /// How far the compressed stream was read.
        at: u64,
        /// The length of the output in bytes.
        limit_bytes: usize,
    },
    /// The compressed stream ended too early.
    Truncated {
        /// Its length.
        at: u64,
    },
    /// Something follows the compressed stream that does not belong to it.
    Trailing {
        /// Where the compressed stream ended.
        at: u64,
    },
    /// This decompressor does not know the format.
    Unsupported {
        /// The format that was asked for.
        format: Format,
    },
}

impl InflateError {
    /// The same error `bytes` further on: from an offset in a part of a stream to one in the whole.
    #[must_use]
    pub const fn shifted_by(mut self, bytes: u64) -> Self {
        match &mut self {
            Self::Header { at, .. }
            | Self::Corrupt { at }
            | Self::Checksum { at, .. }
            | Self::Length { at, .. }
            | Self::OutputLimit { at, .. }
            | Self::Truncated { at }
            | Self::Trailing { at } => *at = at.saturating_add(bytes),
            Self::Unsupported { .. } => {}
        }
        self
    }

    /// Names the limit of the whole output where one for a part of it was reached.
    pub(super) const fn with_limit(self, limit_bytes: usize) -> Self {
        match self {
            Self::OutputLimit { at, .. } => Self::OutputLimit { at, limit_bytes },
            other => other,
        }
    }
}

impl fmt::Display for InflateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Header { at, problem } => write!(
                f,
                "bad header at byte {at}, {problem}: find out which format the sender uses"
            ),
            Self::Corrupt { at } => {
                write!(f, "corrupt data, noticed at byte {at}: ask for the data again")
            }
            Self::Checksum { at, expected, found } => write!(
                f,
                "the checksum before byte {at} is {expected:#010x}, the data has {found:#010x}: \
                 ask for the data again"
            ),
            Self::Length { at, expected, found } => write!(
                f,
                "the length before byte {at} is {expected}, the data has {found} bytes: \
                 ask for the data again"
            ),
            Self::OutputLimit { at, limit_bytes } => write!(
                f,
                "the data is longer than the limit of {limit_bytes} bytes, reached at byte {at}: \
                 give more room if the sender is trusted"
            ),
            Self::Truncated { at } => write!(
                f,
                "the compressed stream ends too early, at byte {at}: ask for the data again"
            ),
            Self::Trailing { at } => {
                write!(f, "the compressed stream ended at byte {at}, but something follows it")
            }
            Self::Unsupported { format } => {
                write!(f, "the format {format} is not supported by this decompressor")
            }
        }
    }
}

impl Error for InflateError {}

/// What is wrong with the header of a compressed stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeaderProblem {
    /// The two bytes of RFC 1950 are not deflate with a window of at most 32 KiB and no preset
    /// dictionary, or their check bits are wrong.
    NotZlib,
    /// The magic number of RFC 1952 is missing.
    NotGzip,
    /// A compression method other than deflate.
    Method {
        /// The method's number.
        method: u8,
    },
    /// Flags that RFC 1952 reserves, so that nobody knows what they add to the header.
    ReservedFlags {
        /// All flags.
        flags: u8,
    },
    /// The header does not match its own checksum.
    Checksum {
        /// The checksum that the header carries.
        expected: u16,
        /// The checksum of what was read.
        found: u16,
    },
}

impl fmt::Display for HeaderProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotZlib => f.write_str("not a zlib header"),
            Self::NotGzip => f.write_str("not a gzip header"),
            Self::Method { method } => write!(f, "compression method {method}, expected 8"),
            Self::ReservedFlags { flags } => write!(f, "reserved flags in {flags:#010b}"),
            Self::Checksum { expected, found } => {
                write!(f, "its checksum is {expected:#06x}, it has {found:#06x}")
            }
        }
    }
}

/// Why nothing was compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CompressError {
    /// The compressed form is longer than the output. Send the data as it is, or give as much room
    /// as [`compressed_len_max`](super::compressed_len_max) says.
    OutputLimit {
        /// The length of the output in bytes.
        limit_bytes: usize,
    },
    /// The level is not 1 to 9.
    Level {
        /// The level that was asked for.
        level: u8,
    },
    /// This compressor does not know the format.
    Unsupported {
        /// The format that was asked for.
        format: Format,
    },
    /// The compressor gave up for a reason of its own. The built-in ones have none.
    Failed {
        /// What it said.
        reason: &'static str,
    },
}

impl fmt::Display for CompressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::OutputLimit { limit_bytes } => write!(
                f,
                "the compressed form is longer than the limit of {limit_bytes} bytes: \
                 send the data as it is"
            ),
            Self::Level { level } => write!(f, "compression level {level}: use 1 to 9"),
            Self::Unsupported { format } => {
                write!(f, "the format {format} is not known here: use its own compressor")
            }
            Self::Failed { reason } => write!(f, "the compressor failed: {reason}"),
        }
    }
}

impl Error for CompressError {}

//! What stands in front of each frame.

use crate::frame::FrameError;

/// Bytes of a header.
pub const HEADER_BYTES: usize = 12;

/// What each side may send on a new stream before the other says more, in bytes. Fixed by the
/// specification.
pub const INITIAL_WINDOW_BYTES: u32 = 262_144;

/// The only version there is.
const VERSION: u8 = 0;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameKind {
    /// Bytes of a stream: as many as the length says.
    Data,
    /// The length is what the receiver may send more, in bytes.
    WindowUpdate,
    /// The length is a value to be sent back.
    Ping,
    /// No more streams are wanted; the length says why.
    GoAway,
}

/// What a frame says beside its kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u16);

impl Flags {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Starts a stream; on a ping: please answer.
    pub const SYN: Self = Self(1);
    /// Accepts a stream; on a ping: this is the answer.
    pub const ACK: Self = Self(2);
    /// The sender sends no more data on this stream.
    pub const FIN: Self = Self(4);
    /// The stream ends here, in both directions.
    pub const RST: Self = Self(8);

    /// The flags as they stand in a header; unknown ones are kept and mean nothing.
    #[must_use]
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// As they stand in a header.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// These flags and those of `other`.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// True where all flags of `other` are set.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// True where no flag is set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// What stands in front of each frame: twelve bytes, all numbers big-endian.
///
/// ```
/// use turbopump_core::stream::{Flags, FrameKind, Header};
///
/// let header = Header { kind: FrameKind::WindowUpdate, flags: Flags::SYN, stream: 1, length: 0 };
/// assert_eq!(header.encode(), [0, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0]);
/// assert_eq!(Header::decode(&header.encode()), Ok(header));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the version byte stands for these fields")]
pub struct Header {
    /// What the frame is.
    pub kind: FrameKind,
    /// What it says beside that.
    pub flags: Flags,
    /// The stream it belongs to, 0 for the connection.
    pub stream: u32,
    /// What this is depends on the kind.
    pub length: u32,
}

impl Header {
    /// As it stands on the wire.
    #[must_use]
    pub const fn encode(self) -> [u8; HEADER_BYTES] {
        let kind = match self.kind {
            FrameKind::Data => 0,
            FrameKind::WindowUpdate => 1,
            FrameKind::Ping => 2,
            FrameKind::GoAway => 3,
        };
        let [f0, f1] = self.flags.0.to_be_bytes();
        let [s0, s1, s2, s3] = self.stream.to_be_bytes();
        let [l0, l1, l2, l3] = self.length.to_be_bytes();
        [VERSION, kind, f0, f1, s0, s1, s2, s3, l0, l1, l2, l3]
    }

    /// From the wire.
    ///
    /// # Errors
    ///
    /// [`FrameError::Malformed`], counted from the start of the header, for a version or a kind
    /// that the specification does not know.
    pub const fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, FrameError> {
        let [version, kind, f0, f1, s0, s1, s2, s3, l0, l1, l2, l3] = *bytes;
        if version != VERSION {
            let reason = "the version of a stream frame is 0";
            return Err(FrameError::Malformed { at: 0, reason });
        }
        let kind = match kind {
            0 => FrameKind::Data,
            1 => FrameKind::WindowUpdate,
            2 => FrameKind::Ping,
            3 => FrameKind::GoAway,
            _ => {
                let reason = "the kind of a stream frame is 0 to 3";
                return Err(FrameError::Malformed { at: 1, reason });
            }
        };
        Ok(Self {
            kind,
            flags: Flags(u16::from_be_bytes([f0, f1])),
            stream: u32::from_be_bytes([s0, s1, s2, s3]),
            length: u32::from_be_bytes([l0, l1, l2, l3]),
        })
    }
}

/// Why a side wants no more streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GoAwayReason {
    /// It is about to end; streams that are there may go on.
    Normal,
    /// The other side broke the protocol.
    ProtocolError,
    /// It failed.
    InternalError,
    /// A code that the specification does not know.
    Other(u32),
}

impl GoAwayReason {
    /// As it stands in a header's length.
    #[must_use]
    pub const fn code(self) -> u32 {
        match self {
            Self::Normal => 0,
            Self::ProtocolError => 1,
            Self::InternalError => 2,
            Self::Other(code) => code,
        }
    }

    /// From a header's length.
    #[must_use]
    pub const fn from_code(code: u32) -> Self {
        match code {
            0 => Self::Normal,
            1 => Self::ProtocolError,
            2 => Self::InternalError,
            code => Self::Other(code),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fields of the specification, one at a time.
    #[test]
    fn the_encoding_of_the_specification() {
        let header = |kind, flags, stream, length| Header { kind, flags, stream, length };
        let vectors = [
            (
                header(FrameKind::Data, Flags::SYN, 1, 5),
                *b"\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x05",
            ),
            (
                header(FrameKind::WindowUpdate, Flags::ACK, 2, INITIAL_WINDOW_BYTES),
                *b"\x00\x01\x00\x02\x00\x00\x00\x02\x00\x04\x00\x00",
            ),
            (
                header(FrameKind::WindowUpdate, Flags::RST, 0x0102_0304, 0),
                *b"\x00\x01\x00\x08\x01\x02\x03\x04\x00\x00\x00\x00",
            ),
            (
                header(FrameKind::Data, Flags::ACK.with(Flags::FIN), u32::MAX, 0x0a0b_0c0d),
                *b"\x00\x00\x00\x06\xff\xff\xff\xff\x0a\x0b\x0c\x0d",
            ),
            (
                header(FrameKind::Ping, Flags::SYN, 0, 0xdead_beef),
                *b"\x00\x02\x00\x01\x00\x00\x00\x00\xde\xad\xbe\xef",
            ),
            (
                header(FrameKind::GoAway, Flags::NONE, 0, GoAwayReason::InternalError.code()),
                *b"\x00\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02",
            ),
        ];
        for (header, bytes) in vectors {
            assert_eq!(header.encode(), bytes, "{header:?}");
            assert_eq!(Header::decode(&bytes), Ok(header));
        }
    }

    #[test]
    fn other_versions_and_kinds_are_refused_where_they_stand() {
        let refused = |bytes: &[u8; HEADER_BYTES]| Header::decode(bytes).unwrap_err().at();
        assert_eq!(refused(b"\x01\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00"), 0);
        assert_eq!(refused(b"\x00\x04\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00"), 1);
        assert_eq!(refused(b"\x00\xff\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00"), 1);
    }

    #[test]
    fn codes_of_going_away() {
        for code in [0, 1, 2, 3, u32::MAX] {
            assert_eq!(GoAwayReason::from_code(code).code(), code);
        }
        assert_eq!(GoAwayReason::from_code(1), GoAwayReason::ProtocolError);
    }
}

//! What is in a message's body.
//!
//! Its number (eight bytes), the microsecond of its sending (eight), both big-endian, and the line.

use core::fmt;

pub(crate) const MESSAGE_HEAD_BYTES: usize = 16;
/// A batch is not larger than this: half of what a broker takes.
pub(crate) const BATCH_BYTES_MAX: usize = 2 << 20;

/// One message, wherever it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Message<'b> {
    pub(crate) sequence: u64,
    pub(crate) sent_us: u64,
    pub(crate) line: &'b [u8],
}

impl<'b> Message<'b> {
    pub(crate) fn head(sequence: u64, sent_us: u64) -> [u8; MESSAGE_HEAD_BYTES] {
        let mut head = [0; MESSAGE_HEAD_BYTES];
        let (front, back) = head.split_at_mut(8);
        front.copy_from_slice(&sequence.to_be_bytes());
        back.copy_from_slice(&sent_us.to_be_bytes());
        head
    }

    pub(crate) fn parse(bytes: &'b [u8]) -> Result<Self, Malformed> {
        let (sequence, rest) = bytes.split_first_chunk().ok_or(Malformed("a message's number"))?;
        let (sent_us, line) = rest.split_first_chunk().ok_or(Malformed("a message's time"))?;
        let (sequence, sent_us) = (u64::from_be_bytes(*sequence), u64::from_be_bytes(*sent_us));
        Ok(Self { sequence, sent_us, line })
    }
}

/// What a body lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(&'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a message without {}; does somebody else use this topic?", self.0)
    }
}

impl core::error::Error for Malformed {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_is_cut_off_refused() {
        let bytes = [&Message::head(5, 6)[..], b"line"].concat();
        let message = Message { sequence: 5, sent_us: 6, line: b"line" };
        assert_eq!(Message::parse(&bytes), Ok(message));
        for len in 0..MESSAGE_HEAD_BYTES {
            assert!(Message::parse(&bytes[..len]).is_err(), "{len}");
        }
    }
}

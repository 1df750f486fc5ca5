//! What goes over the wire: messages, and batches of them as requests.
//!
//! A message is its number (eight bytes), the microsecond of its sending (eight) and the line. In a
//! batch, four bytes of length precede each. A request is four bytes of length, four of correlation
//! id, then lane (two), number of the batch within its lane (eight), one byte that says whether the
//! rest is zlib, the length of the rest when it is not (four), and the rest. An answer has the same
//! front and one byte. All numbers are big-endian.

use core::fmt;

use turbopump::core::frame::{LengthField, LengthFieldError};
use turbopump::core::link::IdField;

pub(crate) const MESSAGE_HEAD_BYTES: usize = 16;
pub(crate) const LENGTH_BYTES: usize = 4;
/// Length and correlation id.
pub(crate) const FRONT_BYTES: usize = 8;
pub(crate) const REQUEST_HEAD_BYTES: usize = 15;
/// A batch is not larger than this, compressed or not.
pub(crate) const BATCH_BYTES_MAX: usize = 4 << 20;
pub(crate) const FRAME_BYTES_MAX: usize = BATCH_BYTES_MAX + FRONT_BYTES + REQUEST_HEAD_BYTES;
/// What an answer says.
pub(crate) const ACCEPTED: u8 = 0;
/// Try again later.
pub(crate) const BUSY: u8 = 1;

/// Where length and correlation id are.
pub(crate) fn protocol() -> Result<IdField, LengthFieldError> {
    Ok(IdField::big_endian(length()?, 4))
}

pub(crate) fn length() -> Result<LengthField, LengthFieldError> {
    LengthField::big_endian_u32(FRAME_BYTES_MAX)
}

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

/// A request's part before the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchHead {
    pub(crate) lane: u16,
    /// From 0 within the lane; the same again when it is sent again.
    pub(crate) number: u64,
    pub(crate) is_compressed: bool,
    /// Of the messages when they are not compressed.
    pub(crate) plain_bytes: u32,
}

impl BatchHead {
    pub(crate) fn encode(&self) -> [u8; REQUEST_HEAD_BYTES] {
        let mut head = [0; REQUEST_HEAD_BYTES];
        let (lane, rest) = head.split_at_mut(2);
        let (number, rest) = rest.split_at_mut(8);
        let (flag, plain) = rest.split_at_mut(1);
        lane.copy_from_slice(&self.lane.to_be_bytes());
        number.copy_from_slice(&self.number.to_be_bytes());
        flag.copy_from_slice(&[u8::from(self.is_compressed)]);
        plain.copy_from_slice(&self.plain_bytes.to_be_bytes());
        head
    }

    /// The head and what follows it, of a whole frame.
    pub(crate) fn parse(frame: &[u8]) -> Result<(Self, &[u8]), Malformed> {
        let body = frame.get(FRONT_BYTES..).ok_or(Malformed("a request's front"))?;
        let (lane, rest) = body.split_first_chunk().ok_or(Malformed("a lane"))?;
        let (number, rest) = rest.split_first_chunk().ok_or(Malformed("a batch's number"))?;
        let ([flag], rest) = rest.split_first_chunk().ok_or(Malformed("a flag"))?;
        let (plain, rest) = rest.split_first_chunk().ok_or(Malformed("a batch's length"))?;
        let plain_bytes = u32::from_be_bytes(*plain);
        if *flag > 1 || plain_bytes as usize > BATCH_BYTES_MAX {
            return Err(Malformed("a flag or length that there is"));
        }
        let (lane, number) = (u16::from_be_bytes(*lane), u64::from_be_bytes(*number));
        Ok((Self { lane, number, is_compressed: *flag == 1, plain_bytes }, rest))
    }
}

/// The messages of a batch, one after the other; an error where one is cut off.
pub(crate) fn messages(mut batch: &[u8]) -> impl Iterator<Item = Result<&[u8], Malformed>> {
    core::iter::from_fn(move || {
        if batch.is_empty() {
            return None;
        }
        let message = take(&mut batch);
        if message.is_none() {
            batch = &[];
        }
        Some(message.ok_or(Malformed("the rest of a message")))
    })
}

fn take<'b>(batch: &mut &'b [u8]) -> Option<&'b [u8]> {
    let (len, rest) = batch.split_first_chunk::<LENGTH_BYTES>()?;
    let (message, rest) = rest.split_at_checked(u32::from_be_bytes(*len) as usize)?;
    *batch = rest;
    Some(message)
}

/// What a frame lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(&'static str);

impl Malformed {
    pub(crate) const LENGTH: Self = Self("the length that it says");
    pub(crate) const RECEIVER: Self = Self("somebody to receive it");
    pub(crate) const LANE: Self = Self("a lane that there is");
    pub(crate) const ZLIB: Self = Self("whole zlib");
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a frame without {}; does something else use this port?", self.0)
    }
}

impl core::error::Error for Malformed {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_parsed() {
        let head = BatchHead { lane: 3, number: 1 << 40, is_compressed: true, plain_bytes: 77 };
        let frame = [&[0; FRONT_BYTES][..], &head.encode(), b"rest"].concat();
        assert_eq!(BatchHead::parse(&frame), Ok((head, &b"rest"[..])));
        let bytes = [&Message::head(5, 6)[..], b"line"].concat();
        let message = Message { sequence: 5, sent_us: 6, line: b"line" };
        assert_eq!(Message::parse(&bytes), Ok(message));
    }

    #[test]
    fn what_is_cut_off_is_refused() {
        let head = BatchHead { lane: 0, number: 0, is_compressed: false, plain_bytes: 0 };
        let frame = [&[0; FRONT_BYTES][..], &head.encode()].concat();
        for len in 0..frame.len() {
            assert!(BatchHead::parse(&frame[..len]).is_err(), "{len}");
        }
        let batch = [0, 0, 0, 2, b'a', b'b', 0, 0, 0, 9, b'c'];
        let all: Vec<_> = messages(&batch).collect();
        assert_eq!(all, [Ok(&b"ab"[..]), Err(Malformed("the rest of a message"))]);
    }
}

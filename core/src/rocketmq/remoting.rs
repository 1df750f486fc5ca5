//! Requests and answers of RocketMQ over one connection.
//!
//! The module decides whose answer a frame is; everything else about requests in flight is up to
//! [`link`](crate::link), and what they say to [`wire`](super::wire).

use super::wire::frame::{PREFIX_BYTES, frames};
use super::wire::header::{Header, HeaderError, Serialization};
use crate::frame::{FrameError, Header as FrameHeader, LengthField};
use crate::link::{Correlate, FrameKind};

/// The longest header of a frame that a peer may send over a [`Remoting`] link.
///
/// It has to fit what is read at once; the longest that brokers send, those of send-backs and of
/// transaction checks, have some hundred bytes.
pub const REMOTING_HEADER_BYTES_MAX: usize = 32 * 1024;

/// The `opaque` of a request's header whose number is still to be put in its place: in JSON that is
/// done by [`Remoting`] only over this one.
pub const UNNUMBERED: i32 = i32::MIN;

/// RocketMQ's frames as requests and answers: the field `opaque` is the correlation id, the lowest
/// bit of `flag` says which frames are answers.
///
/// Requests may have binary headers, whose `opaque` is at a fixed place, or JSON with
/// [`UNNUMBERED`]; answers, and what the peer asks, may have either kind, because servers answer in
/// the way that they are set to.
///
/// ```
/// use turbopump_core::link::{Correlate, FrameKind};
/// use turbopump_core::rocketmq::remoting::Remoting;
/// use turbopump_core::rocketmq::wire::frame::encode_head;
/// use turbopump_core::rocketmq::wire::header::{Header, Serialization, request_code};
///
/// let protocol = Remoting::default();
/// let header = Header::request(request_code::GET_ROUTEINFO_BY_TOPIC, 0);
/// let (mut head, fields) = ([0; 64], [("topic", "Orders")]);
/// let len = encode_head(&header, Serialization::Rocketmq, &fields, 0, &mut head)?;
/// protocol.write_id(7, &mut head[..len])?;
/// // What a request looks like to the other side.
/// assert_eq!(protocol.kind(&head[..len]), Ok(FrameKind::Unsolicited));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remoting {
    length: LengthField,
}

impl Remoting {
    /// With a limit for whole frames.
    #[must_use]
    pub const fn new(frame_bytes_max: usize) -> Self {
        Self { length: frames(frame_bytes_max) }
    }
}

/// With [`FRAME_BYTES_MAX`](super::wire::frame::FRAME_BYTES_MAX).
impl Default for Remoting {
    fn default() -> Self {
        Self::new(super::wire::frame::FRAME_BYTES_MAX)
    }
}

impl FrameHeader for Remoting {
    #[inline]
    fn prefix_bytes(&self, window: &[u8]) -> usize {
        self.length.prefix_bytes(window)
    }

    #[inline]
    fn frame_bytes(&self, window: &[u8]) -> Result<usize, FrameError> {
        self.length.frame_bytes(window)
    }

    #[inline]
    fn frame_bytes_max(&self) -> usize {
        self.length.frame_bytes_max()
    }

    #[inline]
    fn check_frame_bytes(&self, frame_bytes: usize) -> Result<(), FrameError> {
        self.length.check_frame_bytes(frame_bytes)
    }

    #[inline]
    fn write_length(&self, frame_bytes: usize, header: &mut [u8]) -> Result<(), FrameError> {
        self.length.write_length(frame_bytes, header)
    }
}

impl Correlate for Remoting {
    #[inline]
    fn head_bytes(&self, window: &[u8]) -> usize {
        match header_bytes(window) {
            // What is longer is refused as soon as its length is there.
            Some(bytes) if bytes <= REMOTING_HEADER_BYTES_MAX => bytes.saturating_add(PREFIX_BYTES),
            _ => PREFIX_BYTES,
        }
    }

    fn kind(&self, frame: &[u8]) -> Result<FrameKind, FrameError> {
        let malformed = |at: usize, reason| FrameError::Malformed { at: at as u64, reason };
        let header_bytes = header_bytes(frame).unwrap_or(usize::MAX);
        if header_bytes > REMOTING_HEADER_BYTES_MAX {
            return Err(malformed(LENGTH_BYTES, "a header of at most 32 KiB"));
        }
        let serialization = frame.get(LENGTH_BYTES).copied().and_then(Serialization::from_code);
        let end = PREFIX_BYTES.saturating_add(header_bytes);
        let header = frame.get(PREFIX_BYTES..end);
        let (Some(serialization), Some(header)) = (serialization, header) else {
            return Err(malformed(LENGTH_BYTES, "a header in JSON or binary form"));
        };
        match Header::decode(serialization, header) {
            Ok((header, _)) if header.is_response() => {
                Ok(FrameKind::Answer(header.opaque.cast_unsigned()))
            }
            Ok(_) => Ok(FrameKind::Unsolicited),
            Err(HeaderError { position, .. }) => {
                let at = PREFIX_BYTES.saturating_add(position);
                Err(malformed(at, "a RocketMQ header"))
            }
        }
    }

    fn write_id(&self, id: u32, head: &mut [u8]) -> Result<(), FrameError> {
        if head.get(LENGTH_BYTES) != Some(&Serialization::Rocketmq.code()) {
            return write_json_id(id, head);
        }
        let frame_bytes = i64::try_from(head.len()).unwrap_or(i64::MAX);
        let place: Option<&mut [u8; 4]> =
            head.get_mut(OPAQUE_AT..).and_then(<[u8]>::first_chunk_mut);
        let Some(place) = place else {
            let frame_bytes_min = OPAQUE_AT + 4;
            return Err(FrameError::TooShort { at: 0, frame_bytes, frame_bytes_min });
        };
        *place = id.to_be_bytes();
        Ok(())
    }
}

/// Puts the number over that of [`UNNUMBERED`], with spaces before it, so that lengths stay as they
/// are.
fn write_json_id(id: u32, head: &mut [u8]) -> Result<(), FrameError> {
    // Nowhere else: within texts, quotes are escaped.
    const MARK: &[u8] = b"\"opaque\":-2147483648";
    const DIGITS: usize = 11;
    let found = head.windows(MARK.len()).position(|part| part == MARK);
    let end = found.map(|at| at.saturating_add(MARK.len()));
    let start = end.map(|end| end.saturating_sub(DIGITS));
    let place = start.zip(end).and_then(|(start, end)| head.get_mut(start..end));
    let Some(place) = place else {
        let reason = "a header with a place for the number of a request";
        return Err(FrameError::Malformed { at: LENGTH_BYTES as u64, reason });
    };
    let number = id.cast_signed();
    let mut left = number.unsigned_abs();
    for (index, digit) in place.iter_mut().rev().enumerate() {
        *digit = match (left, index) {
            (0, 1..) => b' ',
            _ => b'0'.saturating_add((left % 10) as u8),
        };
        left /= 10;
    }
    if number < 0
        && let Some(sign) = place.iter_mut().rev().find(|digit| **digit == b' ')
    {
        *sign = b'-';
    }
    Ok(())
}

/// The header's length, once it is there.
fn header_bytes(window: &[u8]) -> Option<usize> {
    let [_, h0, h1, h2] = window.get(LENGTH_BYTES..)?.first_chunk::<4>()?;
    Some(u32::from_be_bytes([0, *h0, *h1, *h2]) as usize)
}

/// Of the frame.
const LENGTH_BYTES: usize = 4;
/// Behind the prefix, the code, the language and the version of a binary header.
const OPAQUE_AT: usize = PREFIX_BYTES + 2 + 1 + 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rocketmq::wire::frame::{Frame, encode};
    use crate::rocketmq::wire::header::request_code::HEART_BEAT;

    fn frame(header: &Header<'_>, serialization: Serialization, memory: &mut [u8]) -> usize {
        encode(header, serialization, &[("a", "b")], b"body", memory).unwrap()
    }

    #[test]
    fn answers_of_either_kind_find_their_request() {
        let protocol = Remoting::default();
        let mut memory = [0; 256];
        for serialization in [Serialization::Json, Serialization::Rocketmq] {
            for id in [0, 7, 0x7fff_ffff, u32::MAX] {
                let answer = Header::response(0, id.cast_signed(), None);
                let len = frame(&answer, serialization, &mut memory);
                let head_bytes = protocol.head_bytes(&memory[..len]);
                assert_eq!(head_bytes, len - 4, "the body is not needed");
                assert_eq!(protocol.head_bytes(&memory[..7]), PREFIX_BYTES);
                assert_eq!(protocol.kind(&memory[..head_bytes]), Ok(FrameKind::Answer(id)));
                let request = Header::request(HEART_BEAT, id.cast_signed());
                let len = frame(&request, serialization, &mut memory);
                assert_eq!(protocol.kind(&memory[..len]), Ok(FrameKind::Unsolicited));
            }
        }
    }

    #[test]
    fn a_request_gets_its_number_and_nothing_else_changes() {
        let protocol = Remoting::default();
        let (mut memory, mut numbered) = ([0; 256], [0; 256]);
        let len = frame(&Header::request(HEART_BEAT, 0), Serialization::Rocketmq, &mut memory);
        protocol.write_id(u32::MAX, &mut memory[..len]).unwrap();
        frame(&Header::request(HEART_BEAT, -1), Serialization::Rocketmq, &mut numbered);
        assert_eq!(memory, numbered);
        assert_eq!(Frame::decode(&memory[..len]).unwrap().header.opaque, -1);
    }

    #[test]
    fn a_request_in_json_gets_its_number_where_it_belongs() {
        let protocol = Remoting::default();
        let header = Header::request(HEART_BEAT, UNNUMBERED);
        // What looks like it is left alone.
        let fields = [
            ("opaque", "-2147483648"),
            ("\"opaque\":-2147483648", "x"),
            ("z", "\"opaque\":-2147483648"),
        ];
        for id in [0, 7, 1_234_567_890, 0x7fff_ffff, 1 << 31, u32::MAX] {
            let mut memory = [0; 512];
            let len = encode(&header, Serialization::Json, &fields, b"body", &mut memory).unwrap();
            protocol.write_id(id, &mut memory[..len]).unwrap();
            let read = Frame::decode(&memory[..len]).unwrap();
            assert_eq!((read.header.opaque, read.body), (id.cast_signed(), &b"body"[..]));
            assert_eq!(read.header.code, HEART_BEAT);
            for (name, value) in fields {
                assert_eq!(read.ext.get(name).unwrap(), Some(value.into()));
            }
        }
    }

    #[test]
    fn what_is_no_header_is_refused_where_it_is_wrong() {
        let protocol = Remoting::default();
        let mut memory = [0; 256];
        let len = frame(&Header::request(HEART_BEAT, 0), Serialization::Json, &mut memory);
        assert!(protocol.write_id(1, &mut memory[..len]).is_err(), "there is no place for it");
        assert!(protocol.write_id(1, &mut [0, 0, 0, 0, 1, 0, 0, 0]).is_err(), "too short");
        let long = [0, 1, 0, 0, 0, 0, 0x80, 1];
        assert_eq!(protocol.head_bytes(&long), PREFIX_BYTES);
        assert!(matches!(protocol.kind(&long), Err(FrameError::Malformed { at: 4, .. })));
        for broken in [&b"\0\0\0\x08\0\0\0\x04{\"a\""[..], b"\0\0\0\x08\x02\0\0\x04abcd", b"\0\0"] {
            assert!(protocol.kind(broken).is_err());
        }
    }
}

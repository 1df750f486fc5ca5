//! Frames: a length, a header in one of two serializations, a body.
//!
//! The module decides where the parts of a frame are. Finding frames in a stream is left to
//! [`crate::frame`] with [`FRAMES`], the header to [`header`](super::header).
//!
//! | bytes | what |
//! | --- | --- |
//! | 4 | how many bytes follow |
//! | 1 | how the header is written, a [`Serialization`] |
//! | 3 | the header's length |
//! | | the header |
//! | | the body, up to the frame's end |
//!
//! ```
//! use turbopump_core::rocketmq::wire::frame::{Frame, encode};
//! use turbopump_core::rocketmq::wire::header::{Header, Serialization, request_code};
//!
//! let header = Header::request(request_code::GET_ROUTEINFO_BY_TOPIC, 1);
//! let mut memory = [0; 256];
//! let fields = [("topic", "Orders")];
//! let len = encode(&header, Serialization::Json, &fields, b"", &mut memory)?;
//!
//! let frame = Frame::decode(&memory[..len])?;
//! assert_eq!(frame.header, header);
//! assert_eq!(frame.ext.get("topic")?, Some("Orders".into()));
//! assert_eq!(frame.body, b"");
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

use super::header::{
    EncodeError, ExtFields, ExtSource, Header, HeaderError, HeaderProblem, Output, Serialization,
};
use crate::frame::{Header as _, LengthField, Prepend, SealError};

/// The longest frame that Java sends or takes unless told otherwise, its length included.
pub const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The longest header: its length has three bytes.
pub const HEADER_BYTES_MAX: usize = 0x00ff_ffff;
/// The length of the frame and what is said about the header.
pub const PREFIX_BYTES: usize = 8;

/// Where frames end in a stream, with the default limit; for any other there is [`frames`].
pub const FRAMES: LengthField = frames(FRAME_BYTES_MAX);

/// Where frames end in a stream, with a limit for the whole frame that is raised to
/// [`PREFIX_BYTES`] and lowered to 2 GiB.
///
/// ```
/// use turbopump_core::frame::Reader;
/// use turbopump_core::rocketmq::wire::frame::frames;
///
/// let mut storage = [0; 1_024];
/// let reader = Reader::new(frames(1_024), &mut storage[..])?;
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[must_use]
pub const fn frames(frame_bytes_max: usize) -> LengthField {
    let frame_bytes_max = if frame_bytes_max < PREFIX_BYTES {
        PREFIX_BYTES
    } else if frame_bytes_max > 0x7fff_ffff {
        0x7fff_ffff
    } else {
        frame_bytes_max
    };
    match LengthField::builder(frame_bytes_max).signed().header_bytes(PREFIX_BYTES).build() {
        Ok(field) => field,
        Err(_) => panic!("four bytes can express these limits"),
    }
}

/// A whole frame, taken apart where it stands.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Frame<'a> {
    /// How the header was written. An answer may be written in any way.
    pub serialization: Serialization,
    /// The header.
    pub header: Header<'a>,
    /// The fields of its command.
    pub ext: ExtFields<'a>,
    /// The body; no body and an empty one are the same.
    pub body: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Takes one whole frame apart, as [`crate::frame`] finds them in a stream.
    ///
    /// # Errors
    ///
    /// [`HeaderError`], with a position from the start of `frame`.
    #[inline]
    pub fn decode(frame: &'a [u8]) -> Result<Self, HeaderError> {
        let Some((&[l0, l1, l2, l3, code, h0, h1, h2], rest)) = frame.split_first_chunk() else {
            let problem = HeaderProblem::Truncated {
                part: "the frame's prefix",
                needed_bytes: PREFIX_BYTES,
                left_bytes: frame.len(),
            };
            return Err(HeaderError { position: 0, problem });
        };
        let announced_bytes = i64::from(i32::from_be_bytes([l0, l1, l2, l3])).saturating_add(4);
        if usize::try_from(announced_bytes) != Ok(frame.len()) {
            let frame_bytes = frame.len();
            let problem = HeaderProblem::FrameLength { announced_bytes, frame_bytes };
            return Err(HeaderError { position: 0, problem });
        }
        let Some(serialization) = Serialization::from_code(code) else {
            let problem = HeaderProblem::Serialization { found: code };
            return Err(HeaderError { position: 4, problem });
        };
        let header_bytes = u32::from_be_bytes([0, h0, h1, h2]) as usize;
        let Some((header, body)) = rest.split_at_checked(header_bytes) else {
            let problem = HeaderProblem::Truncated {
                part: "the header",
                needed_bytes: header_bytes,
                left_bytes: rest.len(),
            };
            return Err(HeaderError { position: 5, problem });
        };
        let decoded = Header::decode(serialization, header);
        let (header, ext) = decoded.map_err(|error| error.behind(PREFIX_BYTES))?;
        Ok(Self { serialization, header, ext, body })
    }
}

/// Writes a whole frame to the start of `memory` and returns its length.
///
/// # Errors
///
/// [`EncodeError`]: no room, a frame above [`FRAME_BYTES_MAX`], or what the header can't carry.
pub fn encode(
    header: &Header<'_>,
    serialization: Serialization,
    ext: &(impl ExtSource + ?Sized),
    body: &[u8],
    memory: &mut [u8],
) -> Result<usize, EncodeError> {
    let room_bytes = memory.len();
    let head_bytes = match encode_head(header, serialization, ext, body.len(), memory) {
        // Say how much the whole frame needs.
        Err(EncodeError::NoRoom { needed_bytes, .. }) => {
            let needed_bytes = needed_bytes.saturating_add(body.len());
            return Err(EncodeError::NoRoom { needed_bytes, room_bytes });
        }
        written => written?,
    };
    let needed_bytes = head_bytes.saturating_add(body.len());
    let Some(room) = memory.get_mut(head_bytes..needed_bytes) else {
        return Err(EncodeError::NoRoom { needed_bytes, room_bytes });
    };
    room.copy_from_slice(body);
    Ok(needed_bytes)
}

/// Writes everything of a frame but its body of `body_bytes`, for those who write that from where
/// it is; returns the length of what was written.
///
/// # Errors
///
/// As [`encode`].
pub fn encode_head(
    header: &Header<'_>,
    serialization: Serialization,
    ext: &(impl ExtSource + ?Sized),
    body_bytes: usize,
    memory: &mut [u8],
) -> Result<usize, EncodeError> {
    let mut output = Output::new(memory);
    output.put(&[0; PREFIX_BYTES]);
    header.encode_to(serialization, ext, &mut output)?;
    let head_bytes = output.len();
    let prefix = prefix(serialization, head_bytes.saturating_sub(PREFIX_BYTES), body_bytes)?;
    output.patch(0, &prefix);
    output.finish()
}

/// The length of everything in a frame but its body.
///
/// # Errors
///
/// [`EncodeError`] for what the header can't carry.
pub fn head_bytes(
    header: &Header<'_>,
    serialization: Serialization,
    ext: &(impl ExtSource + ?Sized),
) -> Result<usize, EncodeError> {
    let mut output = Output::new(&mut []);
    header.encode_to(serialization, ext, &mut output)?;
    Ok(output.len().saturating_add(PREFIX_BYTES))
}

/// Puts prefix and header in front of the body that is in `target`; returns the frame's length.
///
/// # Errors
///
/// As [`encode`], and [`SealError::NoHeadroom`]. The body is untouched then.
pub fn seal(
    header: &Header<'_>,
    serialization: Serialization,
    ext: &(impl ExtSource + ?Sized),
    target: &mut (impl Prepend + ?Sized),
) -> Result<usize, EncodeError> {
    let head_bytes = head_bytes(header, serialization, ext)?;
    let body_bytes = target.body_len();
    // Before the headroom is taken.
    prefix(serialization, head_bytes.saturating_sub(PREFIX_BYTES), body_bytes)?;
    let front = target.prepend(head_bytes)?;
    encode_head(header, serialization, ext, body_bytes, front)?;
    Ok(head_bytes.saturating_add(body_bytes))
}

fn prefix(
    serialization: Serialization,
    header_bytes: usize,
    body_bytes: usize,
) -> Result<[u8; PREFIX_BYTES], EncodeError> {
    if header_bytes > HEADER_BYTES_MAX {
        let (len_bytes, len_bytes_max) = (header_bytes, HEADER_BYTES_MAX);
        return Err(EncodeError::TooLong { part: "the header", len_bytes, len_bytes_max });
    }
    let frame_bytes = PREFIX_BYTES.saturating_add(header_bytes).saturating_add(body_bytes);
    FRAMES.check_frame_bytes(frame_bytes).map_err(SealError::from)?;
    let mut prefix = [0; PREFIX_BYTES];
    FRAMES.write_length(frame_bytes, &mut prefix).map_err(SealError::from)?;
    let [_, h0, h1, h2] = (header_bytes as u32).to_be_bytes();
    let [l0, l1, l2, l3, ..] = prefix;
    Ok([l0, l1, l2, l3, serialization.code(), h0, h1, h2])
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests {
    use super::*;
    use crate::frame::{FrameError, FrameWriter, decode};
    use crate::rocketmq::wire::header::Absent;

    #[test]
    fn a_frame_is_sealed_as_it_is_encoded() {
        for serialization in [Serialization::Json, Serialization::Rocketmq] {
            let header = Header::response(17, -3, Some("no \"route\"".into()));
            let fields = [("topic", "主题")];
            let mut memory = [0; 256];
            let len = encode(&header, serialization, &fields, b"body", &mut memory).unwrap();
            let mut other = [0; 256];
            let mut writer = FrameWriter::new(&mut other[..], 200).unwrap();
            writer.extend_from_slice(b"body").unwrap();
            assert_eq!(seal(&header, serialization, &fields, &mut writer), Ok(len));
            assert_eq!(writer.as_slice(), &memory[..len]);
            assert_eq!(decode(&FRAMES, &memory[..len]).next(), Some(Ok(&memory[..len])));
            let again = Frame::decode(&memory[..len]).unwrap();
            assert_eq!((again.header, again.body), (header, &b"body"[..]));
            for room in 0..len {
                let error = encode(&header, serialization, &fields, b"body", &mut memory[..room]);
                let needed = EncodeError::NoRoom { needed_bytes: len, room_bytes: room };
                assert_eq!(error, Err(needed));
            }
        }
    }

    #[test]
    fn the_limit_counts_the_length_itself() {
        let header = Header::request(34, 1);
        let head = head_bytes(&header, Serialization::Json, &Absent).unwrap();
        let encode = |body| encode_head(&header, Serialization::Json, &Absent, body, &mut [0; 256]);
        assert!(encode(FRAME_BYTES_MAX - head).is_ok());
        assert!(matches!(encode(FRAME_BYTES_MAX - head + 1), Err(EncodeError::Seal(_))));
        let length = |value: i32| {
            let mut prefix = [0; 8];
            prefix[..4].copy_from_slice(&value.to_be_bytes());
            decode(&FRAMES, &prefix).next().and_then(Result::err)
        };
        assert_eq!(length(16_777_212), None);
        assert!(matches!(length(16_777_213), Some(FrameError::Oversize { .. })));
        assert!(matches!(length(3), Some(FrameError::TooShort { .. })));
        assert!(matches!(length(-1), Some(FrameError::Negative { .. })));
    }

    #[test]
    fn a_damaged_prefix_is_refused_where_it_is() {
        let mut frame = [0, 0, 0, 6, 0, 0, 0, 2, b'{', b'}'];
        assert!(Frame::decode(&frame).is_ok());
        let problem = |frame: &[u8]| Frame::decode(frame).map(|_| ()).unwrap_err();
        assert_eq!(problem(&frame[..9]).position, 0);
        assert_eq!(problem(&frame[..7]).position, 0);
        frame[7] = 3;
        assert_eq!(problem(&frame).position, 5);
        frame[4] = 2;
        let error = problem(&frame);
        assert_eq!(error.problem, HeaderProblem::Serialization { found: 2 });
        assert_eq!(error.position, 4);
        frame = [0, 0, 0, 6, 0, 0, 0, 2, b'{', b'x'];
        assert_eq!(problem(&frame).position, 10);
    }
}

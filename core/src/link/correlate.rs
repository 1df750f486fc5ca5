//! What a framed protocol has to say so that many requests share one connection.

use crate::frame::{FrameError, Header, LengthField};

/// Whose frame a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
// A frame answers or it does not: no third case can be added later.
#[allow(clippy::exhaustive_enums)]
pub enum FrameKind {
    /// The answer to the request with this correlation id.
    Answer(u32),
    /// Something that the peer sent of its own accord.
    Unsolicited,
}

/// A protocol whose answers carry the correlation id of their request.
///
/// [`IdField`] is the usual implementation. Ids are numbers of 32 bits that
/// [`Requests`](super::Requests) picks and that the peer sends back unchanged; a protocol with
/// wider ones leaves the other bits at 0.
///
/// A *head* is what stands in front of a body: the length, the id, whatever else the protocol has.
/// Whoever makes a request writes it, with any value where the length and the id belong.
pub trait Correlate: Header {
    /// How many bytes of a frame, from its start, must be there before [`Correlate::kind`] can
    /// tell. `window` is what is there so far; a fixed head ignores it.
    fn head_bytes(&self, window: &[u8]) -> usize;

    /// Whose frame this is. `frame` holds at least [`Correlate::head_bytes`] of it.
    ///
    /// # Errors
    ///
    /// What is wrong with the head, with `at` counted from the first byte of the frame. It ends the
    /// connection.
    fn kind(&self, frame: &[u8]) -> Result<FrameKind, FrameError>;

    /// Puts a request's id into its head, whose other bytes stay as they are.
    ///
    /// # Errors
    ///
    /// [`FrameError::TooShort`] or [`FrameError::Malformed`] for a head without a place for the id.
    fn write_id(&self, id: u32, head: &mut [u8]) -> Result<(), FrameError>;
}

impl<H: Correlate + ?Sized> Correlate for &H {
    #[inline]
    fn head_bytes(&self, window: &[u8]) -> usize {
        (**self).head_bytes(window)
    }

    #[inline]
    fn kind(&self, frame: &[u8]) -> Result<FrameKind, FrameError> {
        (**self).kind(frame)
    }

    #[inline]
    fn write_id(&self, id: u32, head: &mut [u8]) -> Result<(), FrameError> {
        (**self).write_id(id, head)
    }
}

/// Bytes of the correlation id.
const ID_BYTES: usize = 4;

/// The usual protocol: a length and a 32-bit correlation id, each at a fixed place.
///
/// ```
/// use turbopump_core::frame::LengthField;
/// use turbopump_core::link::{Correlate, FrameKind, IdField};
///
/// // Four bytes of length, four bytes of id, one byte of flags of which the lowest bit says that
/// // the peer asks for something.
/// let length = LengthField::big_endian_u32(1 << 20)?;
/// let protocol = IdField::big_endian(length, 4).unsolicited_if(8, 1);
///
/// let mut head = [0; 9];
/// protocol.write_id(7, &mut head)?;
/// assert_eq!(head, [0, 0, 0, 0, 0, 0, 0, 7, 0]);
/// assert_eq!(protocol.kind(&head), Ok(FrameKind::Answer(7)));
/// head[8] = 1;
/// assert_eq!(protocol.kind(&head), Ok(FrameKind::Unsolicited));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdField {
    length: LengthField,
    offset: usize,
    little_endian: bool,
    /// Where the flags are, and which of them say that a frame is no answer; 0 for none.
    flags_offset: usize,
    flags: u8,
    head_bytes: usize,
}

impl IdField {
    /// Frames of `length` with a big-endian id at `offset`. All that comes in is an answer.
    #[must_use]
    pub fn big_endian(length: LengthField, offset: usize) -> Self {
        let head_bytes = offset.saturating_add(ID_BYTES).max(length.prefix_bytes(&[]));
        Self { length, offset, little_endian: false, flags_offset: 0, flags: 0, head_bytes }
    }

    /// As [`IdField::big_endian`], with a little-endian id.
    #[must_use]
    pub fn little_endian(length: LengthField, offset: usize) -> Self {
        Self { little_endian: true, ..Self::big_endian(length, offset) }
    }

    /// A frame is no answer where the byte at `offset` has one of the bits in `flags`.
    #[must_use]
    pub fn unsolicited_if(self, offset: usize, flags: u8) -> Self {
        let head_bytes = self.head_bytes.max(offset.saturating_add(1));
        Self { flags_offset: offset, flags, head_bytes, ..self }
    }

    #[cold]
    fn too_short(&self, bytes: usize) -> FrameError {
        let frame_bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        FrameError::TooShort { at: 0, frame_bytes, frame_bytes_min: self.head_bytes }
    }
}

impl Header for IdField {
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

impl Correlate for IdField {
    #[inline]
    fn head_bytes(&self, _window: &[u8]) -> usize {
        self.head_bytes
    }

    #[inline]
    fn kind(&self, frame: &[u8]) -> Result<FrameKind, FrameError> {
        let Some(id) = frame.get(self.offset..).and_then(<[u8]>::first_chunk) else {
            return Err(self.too_short(frame.len()));
        };
        if self.flags != 0 {
            let Some(flags) = frame.get(self.flags_offset) else {
                return Err(self.too_short(frame.len()));
            };
            if flags & self.flags != 0 {
                return Ok(FrameKind::Unsolicited);
            }
        }
        let id = if self.little_endian { u32::from_le_bytes(*id) } else { u32::from_be_bytes(*id) };
        Ok(FrameKind::Answer(id))
    }

    #[inline]
    fn write_id(&self, id: u32, head: &mut [u8]) -> Result<(), FrameError> {
        let head_bytes = head.len();
        let place: Option<&mut [u8; ID_BYTES]> =
            head.get_mut(self.offset..).and_then(<[u8]>::first_chunk_mut);
        let Some(place) = place else {
            return Err(self.too_short(head_bytes));
        };
        *place = if self.little_endian { id.to_le_bytes() } else { id.to_be_bytes() };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Correlate, FrameKind, IdField};
    use crate::frame::{FrameError, LengthField};

    #[test]
    fn an_id_comes_back_in_either_order_and_short_frames_are_refused() {
        let length = LengthField::big_endian_u16(100).unwrap();
        for protocol in [IdField::big_endian(length, 2), IdField::little_endian(length, 2)] {
            let mut head = [0xff; 6];
            protocol.write_id(0x0102_0304, &mut head).unwrap();
            assert_eq!(protocol.kind(&head), Ok(FrameKind::Answer(0x0102_0304)));
            assert_eq!(head[..2], [0xff; 2], "the rest stays");
            let error = FrameError::TooShort { at: 0, frame_bytes: 5, frame_bytes_min: 6 };
            assert_eq!(protocol.kind(&head[..5]), Err(error));
            assert_eq!(protocol.write_id(1, &mut head[..5]), Err(error));
        }
    }

    #[test]
    fn flags_are_part_of_the_head() {
        let length = LengthField::big_endian_u16(100).unwrap();
        let protocol = IdField::big_endian(length, 2).unsolicited_if(9, 0b100);
        assert_eq!(protocol.head_bytes(&[]), 10);
        assert!(matches!(protocol.kind(&[0; 9]), Err(FrameError::TooShort { .. })));
        assert_eq!(protocol.kind(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0b111]), Ok(FrameKind::Unsolicited));
        assert_eq!(protocol.kind(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0b011]), Ok(FrameKind::Answer(0)));
    }
}

//! Decoding without state: all complete frames of a window that somebody else owns.

use core::iter::FusedIterator;

use super::{FrameError, Header};

/// What the front of a window holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
// A frame is there or it is not: no third case can be added later.
#[allow(clippy::exhaustive_enums)]
pub enum Measured {
    /// A whole frame of that many bytes.
    Whole(usize),
    /// A part of a frame. That many bytes are missing, at least 1: those of the prefix while the
    /// length is not known yet, then those of the frame.
    Missing(usize),
}

/// Measures the frame at the front of `window`.
///
/// # Errors
///
/// The header's, with `at` counted from the start of the window, and [`FrameError::TooShort`] for
/// a header that announces a frame shorter than the prefix it has just read.
///
/// ```
/// use turbopump_core::frame::{LengthField, Measured, measure};
///
/// let header = LengthField::big_endian_u16(64)?;
/// assert_eq!(measure(&header, &[0]), Ok(Measured::Missing(1)));
/// assert_eq!(measure(&header, &[0, 3, 7]), Ok(Measured::Missing(2)));
/// assert_eq!(measure(&header, &[0, 3, 7, 8, 9, 0]), Ok(Measured::Whole(5)));
/// # Ok::<(), turbopump_core::frame::LengthFieldError>(())
/// ```
#[inline]
pub fn measure<H: Header + ?Sized>(header: &H, window: &[u8]) -> Result<Measured, FrameError> {
    Ok(match split(header, window)? {
        Split::Whole(frame, _) => Measured::Whole(frame.len()),
        Split::Missing(missing) => Measured::Missing(missing),
    })
}

/// A window cut behind its first frame.
pub(super) enum Split<'w> {
    Whole(&'w [u8], &'w [u8]),
    Missing(usize),
}

#[inline]
pub(super) fn split<'w, H: Header + ?Sized>(
    header: &H,
    window: &'w [u8],
) -> Result<Split<'w>, FrameError> {
    // Neither a prefix nor a frame of no bytes may exist: a walk over frames would stand still.
    let prefix_bytes = header.prefix_bytes(window).max(1);
    if window.len() < prefix_bytes {
        return Ok(Split::Missing(prefix_bytes.saturating_sub(window.len())));
    }
    let frame_bytes = header.frame_bytes(window)?;
    if frame_bytes < prefix_bytes {
        return Err(too_short(frame_bytes, prefix_bytes));
    }
    Ok(match window.split_at_checked(frame_bytes) {
        Some((frame, rest)) => Split::Whole(frame, rest),
        None => Split::Missing(frame_bytes.saturating_sub(window.len())),
    })
}

/// Walks the complete frames of `window`, one after the other, without copying.
///
/// The window starts at the first byte of a frame. What stays behind the last complete frame
/// belongs at the front of the next window: see [`Frames::consumed`] and [`Frames::missing`].
///
/// ```
/// use turbopump_core::frame::{LengthField, decode};
///
/// let header = LengthField::big_endian_u16(64)?;
/// let window = [0, 1, b'a', 0, 2, b'b', b'c', 0, 9, b'd'];
/// let mut frames = decode(&header, &window);
/// for frame in &mut frames {
///     let body = &frame?[2..];
///     assert!(!body.is_empty());
/// }
/// assert_eq!(frames.consumed(), 7);
/// assert_eq!(frames.missing(), 8);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[inline]
pub fn decode<'h, 'w, H: Header + ?Sized>(header: &'h H, window: &'w [u8]) -> Frames<'h, 'w, H> {
    Frames { header, rest: window, window_bytes: window.len(), refused_bytes: 0, stream_offset: 0 }
}

/// The complete frames of a window; made by [`decode`].
///
/// Each item is a whole frame, header included. After an error the iterator ends.
#[derive(Debug)]
#[must_use = "nothing is decoded until the frames are taken"]
pub struct Frames<'h, 'w, H: ?Sized> {
    header: &'h H,
    rest: &'w [u8],
    window_bytes: usize,
    /// Bytes from a bad frame to the end of the window. They are taken off `rest`, so that the
    /// hot path needs no flag to know that the walk is over.
    refused_bytes: usize,
    stream_offset: u64,
}

impl<'w, H: Header + ?Sized> Frames<'_, 'w, H> {
    /// Says that the window starts `bytes` after the start of the stream, for the offsets in
    /// errors.
    pub const fn at_stream_offset(mut self, bytes: u64) -> Self {
        self.stream_offset = bytes;
        self
    }

    /// The bytes of the frames that were taken so far.
    #[inline]
    #[must_use]
    pub const fn consumed(&self) -> usize {
        let kept = self.rest.len().saturating_add(self.refused_bytes);
        self.window_bytes.saturating_sub(kept)
    }

    /// The bytes that were not taken: a part of a frame, once the iterator has ended without an
    /// error.
    #[inline]
    #[must_use]
    pub const fn rest(&self) -> &'w [u8] {
        self.rest
    }

    /// How many bytes the next frame still needs, as far as can be told; 0 while a complete frame
    /// waits and after an error.
    #[inline]
    #[must_use]
    pub fn missing(&self) -> usize {
        if self.refused_bytes > 0 {
            return 0;
        }
        match measure(self.header, self.rest) {
            Ok(Measured::Missing(missing)) => missing,
            Ok(Measured::Whole(_)) | Err(_) => 0,
        }
    }

    #[cold]
    fn refuse(&mut self, error: FrameError) -> FrameError {
        let offset = self.stream_offset.saturating_add(self.consumed() as u64);
        self.refused_bytes = self.rest.len();
        self.rest = &[];
        error.shifted_by(offset)
    }
}

impl<'w, H: Header + ?Sized> Iterator for Frames<'_, 'w, H> {
    type Item = Result<&'w [u8], FrameError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match split(self.header, self.rest) {
            Ok(Split::Whole(frame, rest)) => {
                self.rest = rest;
                Some(Ok(frame))
            }
            Ok(Split::Missing(_)) => None,
            Err(error) => Some(Err(self.refuse(error))),
        }
    }
}

impl<H: Header + ?Sized> FusedIterator for Frames<'_, '_, H> {}

#[cold]
fn too_short(frame_bytes: usize, frame_bytes_min: usize) -> FrameError {
    let frame_bytes = i64::try_from(frame_bytes).unwrap_or(i64::MAX);
    FrameError::TooShort { at: 0, frame_bytes, frame_bytes_min }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests {
    use super::{Measured, decode, measure};
    use crate::frame::{FrameError, Header, LengthField};

    const HEADER: LengthField = match LengthField::big_endian_u16(10) {
        Ok(header) => header,
        Err(_) => panic!(),
    };

    #[test]
    fn every_cut_of_a_window_says_what_is_missing() {
        let window = b"\0\x03abc\0\x00\0\x01d";
        let expected = [2, 1, 3, 2, 1, 2, 1, 2, 1, 1, 2];
        let frames = [0, 0, 0, 0, 0, 1, 1, 2, 2, 2, 3];
        for len in 0..=window.len() {
            let mut decoded = decode(&HEADER, &window[..len]);
            assert_eq!(decoded.by_ref().filter(Result::is_ok).count(), frames[len]);
            assert_eq!(decoded.missing(), expected[len], "{len} bytes");
            assert_eq!(decoded.consumed() + decoded.rest().len(), len);
        }
    }

    #[test]
    fn a_bad_length_ends_the_walk_and_says_where() {
        let window = b"\0\x01a\0\x09bcdef";
        let mut frames = decode(&HEADER, window).at_stream_offset(1_000);
        assert_eq!(frames.missing(), 0, "a whole frame waits");
        assert!(frames.next().unwrap().is_ok());
        let error = FrameError::Oversize { at: 1_003, frame_bytes: 11, frame_bytes_max: 10 };
        assert_eq!(frames.next(), Some(Err(error)));
        assert_eq!(frames.next(), None);
        assert_eq!((frames.consumed(), frames.missing()), (3, 0));
    }

    /// A variable-length integer, seven bits to the byte, that counts what follows it.
    struct Variable;

    impl Header for Variable {
        fn prefix_bytes(&self, window: &[u8]) -> usize {
            1 + window.iter().take(2).take_while(|byte| **byte > 127).count()
        }

        fn frame_bytes(&self, window: &[u8]) -> Result<usize, FrameError> {
            let prefix_bytes = self.prefix_bytes(window);
            let body = window[..prefix_bytes]
                .iter()
                .enumerate()
                .fold(0, |sum, (index, byte)| sum | (usize::from(byte & 127) << (7 * index)));
            Ok(prefix_bytes + body)
        }

        fn frame_bytes_max(&self) -> usize {
            3 + (1 << 21)
        }

        fn write_length(&self, _: usize, _: &mut [u8]) -> Result<(), FrameError> {
            Ok(())
        }
    }

    #[test]
    fn a_header_may_find_out_on_the_way_how_long_it_is() {
        assert_eq!(measure(&Variable, &[]), Ok(Measured::Missing(1)));
        assert_eq!(measure(&Variable, &[2]), Ok(Measured::Missing(2)));
        assert_eq!(measure(&Variable, &[0x80]), Ok(Measured::Missing(1)));
        assert_eq!(measure(&Variable, &[0x80, 0x01]), Ok(Measured::Missing(128)));
        assert_eq!(measure(&Variable, &[0x83, 0x00, 7, 8, 9, 1]), Ok(Measured::Whole(5)));
    }
}

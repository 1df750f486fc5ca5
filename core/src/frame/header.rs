//! What a framed protocol has to say about its header.

use super::FrameError;

/// How a protocol says where its frames end.
///
/// [`LengthField`](super::LengthField) is the usual implementation; a protocol with more to check
/// (a magic number, a length that only some frame types have, a variable-length integer) brings its
/// own. A frame's length always counts the whole frame, header included.
///
/// ```
/// use turbopump_core::frame::{FrameError, Header, decode};
///
/// /// One byte `b'#'`, one byte that counts the body.
/// struct Tagged;
///
/// impl Header for Tagged {
///     fn prefix_bytes(&self, _window: &[u8]) -> usize {
///         2
///     }
///
///     fn frame_bytes(&self, window: &[u8]) -> Result<usize, FrameError> {
///         match *window {
///             [b'#', len, ..] => Ok(2 + usize::from(len)),
///             _ => Err(FrameError::Malformed { at: 0, reason: "a frame starts with #" }),
///         }
///     }
///
///     fn frame_bytes_max(&self) -> usize {
///         2 + 255
///     }
///
///     fn write_length(&self, frame_bytes: usize, header: &mut [u8]) -> Result<(), FrameError> {
///         self.check_frame_bytes(frame_bytes)?;
///         header[1] = (frame_bytes - 2) as u8;
///         Ok(())
///     }
/// }
///
/// let mut frames = decode(&Tagged, b"#\x02ab#\x00#\x05abc");
/// assert_eq!(frames.next(), Some(Ok(&b"#\x02ab"[..])));
/// assert_eq!(frames.next(), Some(Ok(&b"#\x00"[..])));
/// assert_eq!(frames.next(), None);
/// assert_eq!((frames.consumed(), frames.missing()), (6, 2));
/// ```
pub trait Header {
    /// How many bytes of a frame must be there before [`Header::frame_bytes`] can tell its length.
    ///
    /// `window` is what is there so far, so that a header of variable length can look at it and
    /// ask for more; a fixed header ignores it. 0 is taken as 1.
    fn prefix_bytes(&self, window: &[u8]) -> usize;

    /// The length of the whole frame at the front of `window`, which holds at least
    /// [`Header::prefix_bytes`] bytes and may hold much more.
    ///
    /// # Errors
    ///
    /// Any length that is above [`Header::frame_bytes_max`] or otherwise illegal, with `at` counted
    /// from the first byte of the frame.
    fn frame_bytes(&self, window: &[u8]) -> Result<usize, FrameError>;

    /// The longest legal frame in bytes, header included.
    fn frame_bytes_max(&self) -> usize;

    /// Whether a frame of `frame_bytes` may be written. The default compares with
    /// [`Header::frame_bytes_max`].
    ///
    /// # Errors
    ///
    /// [`FrameError::Oversize`] or whatever else keeps the header from expressing this length.
    #[inline]
    fn check_frame_bytes(&self, frame_bytes: usize) -> Result<(), FrameError> {
        let frame_bytes_max = self.frame_bytes_max();
        if frame_bytes > frame_bytes_max {
            let frame_bytes = frame_bytes as u64;
            return Err(FrameError::Oversize { at: 0, frame_bytes, frame_bytes_max });
        }
        Ok(())
    }

    /// Puts the length of a finished frame of `frame_bytes` into its `header`, whose other bytes
    /// are already there and stay as they are.
    ///
    /// # Errors
    ///
    /// As [`Header::check_frame_bytes`]; a length that passed that check and a header of at least
    /// [`Header::prefix_bytes`] must be accepted.
    fn write_length(&self, frame_bytes: usize, header: &mut [u8]) -> Result<(), FrameError>;
}

impl<H: Header + ?Sized> Header for &H {
    #[inline]
    fn prefix_bytes(&self, window: &[u8]) -> usize {
        (**self).prefix_bytes(window)
    }

    #[inline]
    fn frame_bytes(&self, window: &[u8]) -> Result<usize, FrameError> {
        (**self).frame_bytes(window)
    }

    #[inline]
    fn frame_bytes_max(&self) -> usize {
        (**self).frame_bytes_max()
    }

    #[inline]
    fn check_frame_bytes(&self, frame_bytes: usize) -> Result<(), FrameError> {
        (**self).check_frame_bytes(frame_bytes)
    }

    #[inline]
    fn write_length(&self, frame_bytes: usize, header: &mut [u8]) -> Result<(), FrameError> {
        (**self).write_length(frame_bytes, header)
    }
}

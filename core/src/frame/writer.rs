//! Encoding: a body first, then the header in front of it, in one piece and without moving it.

use super::{Header, NoHeadroom, NoRoom, SealError, StorageTooSmall};
use crate::backing::Backing;

/// Memory with room in front: what a header can be put in front of without moving the body.
///
/// [`FrameWriter`] implements it over a slice. Anything that keeps its bytes at the end of a larger
/// piece of memory can implement it, such as a lease from a pool. After [`Prepend::prepend`] the
/// new bytes are part of the body, so headers can be nested.
pub trait Prepend {
    /// The bytes that are free in front of the body.
    fn headroom(&self) -> usize;

    /// The length of the body in bytes, everything that was put in front of it included.
    fn body_len(&self) -> usize;

    /// Makes the body `bytes` longer at its front and returns those new bytes to be written; what
    /// they hold before that is unspecified.
    ///
    /// # Errors
    ///
    /// [`NoHeadroom`] for more than [`Prepend::headroom`]; nothing has changed then.
    fn prepend(&mut self, bytes: usize) -> Result<&mut [u8], NoHeadroom>;
}

impl<P: Prepend + ?Sized> Prepend for &mut P {
    fn headroom(&self) -> usize {
        (**self).headroom()
    }

    fn body_len(&self) -> usize {
        (**self).body_len()
    }

    fn prepend(&mut self, bytes: usize) -> Result<&mut [u8], NoHeadroom> {
        (**self).prepend(bytes)
    }
}

/// Puts `header_bytes` in front of the body of `target` and the frame's length into them; returns
/// the length of the whole frame.
///
/// `header_bytes` is the whole header with any value where the length belongs. Afterwards length,
/// header and body are one contiguous piece.
///
/// # Errors
///
/// [`SealError`] for a frame that the header can't express, a header too short for its length, or
/// too little headroom. The body is untouched then and can be sent in another way.
#[inline]
pub fn seal<H, P>(header: &H, target: &mut P, header_bytes: &[u8]) -> Result<usize, SealError>
where
    H: Header + ?Sized,
    P: Prepend + ?Sized,
{
    let prefix_bytes = header.prefix_bytes(header_bytes);
    if header_bytes.len() < prefix_bytes {
        return Err(header_too_short(header_bytes.len(), prefix_bytes));
    }
    let (front, frame_bytes) = prepend_checked(header, target, header_bytes.len())?;
    copy(front, header_bytes);
    header.write_length(frame_bytes, front)?;
    Ok(frame_bytes)
}

/// As [`seal`], for a header that `emit` writes in place: it gets exactly `header_bytes` bytes of
/// unspecified content and writes all of them, except those where the length belongs.
///
/// ```
/// use turbopump_core::frame::{FrameWriter, LengthField, seal_with};
///
/// let header = LengthField::big_endian_u16(100)?;
/// let mut memory = [0; 32];
/// let mut writer = FrameWriter::new(&mut memory[..], 8)?;
/// writer.extend_from_slice(b"body")?;
/// let frame_bytes = seal_with(&header, &mut writer, 3, |front| front[2] = b'#')?;
/// assert_eq!(frame_bytes, 7);
/// assert_eq!(writer.as_slice(), b"\x00\x05#body");
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
///
/// # Errors
///
/// As [`seal`]. A header that [`Header::prefix_bytes`] finds too short only after it was emitted
/// (one of variable length) is reported by [`Header::write_length`].
#[inline]
pub fn seal_with<H, P>(
    header: &H,
    target: &mut P,
    header_bytes: usize,
    emit: impl FnOnce(&mut [u8]),
) -> Result<usize, SealError>
where
    H: Header + ?Sized,
    P: Prepend + ?Sized,
{
    let prefix_bytes = header.prefix_bytes(&[]);
    if header_bytes < prefix_bytes {
        return Err(header_too_short(header_bytes, prefix_bytes));
    }
    let (front, frame_bytes) = prepend_checked(header, target, header_bytes)?;
    emit(front);
    header.write_length(frame_bytes, front)?;
    Ok(frame_bytes)
}

/// Everything that can be refused is refused before the headroom is taken.
#[inline]
fn prepend_checked<'t, H, P>(
    header: &H,
    target: &'t mut P,
    header_bytes: usize,
) -> Result<(&'t mut [u8], usize), SealError>
where
    H: Header + ?Sized,
    P: Prepend + ?Sized,
{
    let frame_bytes = target.body_len().saturating_add(header_bytes);
    header.check_frame_bytes(frame_bytes)?;
    let front = target.prepend(header_bytes)?;
    Ok((front, frame_bytes))
}

/// A body in a slice, with room in front for its header.
///
/// The body is appended first; [`seal`] then writes the header right-aligned into the headroom, so
/// that [`as_slice`](Self::as_slice) is the whole frame in one piece.
#[derive(Debug)]
pub struct FrameWriter<'b> {
    storage: Backing<'b, u8>,
    headroom_bytes: usize,
    /// The body is `storage[start..end]`.
    start: usize,
    end: usize,
}

impl<'b> FrameWriter<'b> {
    /// An empty body behind `headroom_bytes` of headroom.
    ///
    /// # Errors
    ///
    /// [`StorageTooSmall`] for storage shorter than the headroom.
    pub fn new(
        storage: impl Into<Backing<'b, u8>>,
        headroom_bytes: usize,
    ) -> Result<Self, StorageTooSmall> {
        let storage = storage.into();
        if storage.len() < headroom_bytes {
            let (storage_bytes, required_bytes) = (storage.len(), headroom_bytes);
            return Err(StorageTooSmall { storage_bytes, required_bytes });
        }
        Ok(Self { storage, headroom_bytes, start: headroom_bytes, end: headroom_bytes })
    }

    /// The storage in bytes for a header and a body of those lengths.
    #[must_use]
    pub const fn required_len(headroom_bytes: usize, body_bytes_max: usize) -> usize {
        headroom_bytes.saturating_add(body_bytes_max)
    }

    /// Everything written so far: the body, and in front of it what was prepended.
    #[inline]
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.storage.get(self.start..self.end).unwrap_or_default()
    }

    /// Appends `bytes` to the body.
    ///
    /// # Errors
    ///
    /// [`NoRoom`] if they don't fit; nothing was appended then.
    #[inline]
    pub fn extend_from_slice(&mut self, bytes: &[u8]) -> Result<(), NoRoom> {
        let spare = self.storage.get_mut(self.end..).unwrap_or_default();
        let spare_bytes = spare.len();
        let Some(target) = spare.get_mut(..bytes.len()) else {
            return Err(NoRoom { needed_bytes: bytes.len(), spare_bytes });
        };
        target.copy_from_slice(bytes);
        self.end = self.end.saturating_add(bytes.len());
        Ok(())
    }

    /// The room behind the body, to be written in place and then taken over by
    /// [`advance`](Self::advance). Holds whatever was there before.
    #[inline]
    #[must_use]
    pub fn spare_mut(&mut self) -> &mut [u8] {
        self.storage.get_mut(self.end..).unwrap_or_default()
    }

    /// Makes the first `bytes` of [`spare_mut`](Self::spare_mut) part of the body.
    ///
    /// # Errors
    ///
    /// [`NoRoom`] if there are not as many; nothing has changed then.
    #[inline]
    pub fn advance(&mut self, bytes: usize) -> Result<(), NoRoom> {
        let spare_bytes = self.storage.len().saturating_sub(self.end);
        if bytes > spare_bytes {
            return Err(NoRoom { needed_bytes: bytes, spare_bytes });
        }
        self.end = self.end.saturating_add(bytes);
        Ok(())
    }

    /// Empties the body and restores the headroom, for the next frame.
    #[inline]
    pub const fn clear(&mut self) {
        self.start = self.headroom_bytes;
        self.end = self.headroom_bytes;
    }
}

impl Prepend for FrameWriter<'_> {
    #[inline]
    fn headroom(&self) -> usize {
        self.start
    }

    #[inline]
    fn body_len(&self) -> usize {
        self.end.saturating_sub(self.start)
    }

    #[inline]
    fn prepend(&mut self, bytes: usize) -> Result<&mut [u8], NoHeadroom> {
        let Some(start) = self.start.checked_sub(bytes) else {
            return Err(NoHeadroom { needed_bytes: bytes, headroom_bytes: self.start });
        };
        let end = self.start;
        self.start = start;
        Ok(self.storage.get_mut(start..end).unwrap_or_default())
    }
}

impl AsRef<[u8]> for FrameWriter<'_> {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

/// Both have the same length when `Prepend` keeps its promise; if not, no panic comes of it.
#[inline]
fn copy(to: &mut [u8], from: &[u8]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
}

#[cold]
const fn header_too_short(header_bytes: usize, prefix_bytes: usize) -> SealError {
    SealError::HeaderTooShort { header_bytes, prefix_bytes }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests {
    use super::{FrameWriter, Prepend, seal, seal_with};
    use crate::frame::{FrameError, LengthField, NoHeadroom, NoRoom, SealError, StorageTooSmall};

    const HEADER: LengthField = match LengthField::big_endian_u16(16) {
        Ok(header) => header,
        Err(_) => panic!(),
    };

    #[test]
    fn the_header_is_right_aligned_and_nothing_moves() {
        let mut storage = [0xee; 16];
        let mut writer = FrameWriter::new(&mut storage[..], 6).unwrap();
        writer.extend_from_slice(b"bo").unwrap();
        writer.spare_mut()[..2].copy_from_slice(b"dy");
        writer.advance(2).unwrap();
        let body = writer.as_slice().as_ptr();
        assert_eq!(seal(&HEADER, &mut writer, &[0, 0, 7]), Ok(7));
        assert_eq!(writer.as_slice(), b"\0\x05\x07body");
        assert_eq!(writer.as_slice()[3..].as_ptr(), body);
        assert_eq!(writer.headroom(), 3);

        writer.clear();
        assert_eq!((writer.headroom(), writer.body_len()), (6, 0));
        assert_eq!(seal(&HEADER, &mut writer, &[0; 2]), Ok(2), "an empty body");
    }

    #[test]
    fn headers_can_be_nested() {
        let mut storage = [0; 16];
        let mut writer = FrameWriter::new(&mut storage[..], 4).unwrap();
        writer.extend_from_slice(b"x").unwrap();
        seal(&HEADER, &mut writer, &[0; 2]).unwrap();
        seal(&HEADER, &mut writer, &[0; 2]).unwrap();
        assert_eq!(writer.as_slice(), b"\0\x03\0\x01x");
    }

    #[test]
    fn a_refused_header_leaves_the_body_alone() {
        let mut storage = [0; 40];
        let mut writer = FrameWriter::new(&mut storage[..], 3).unwrap();
        writer.extend_from_slice(b"body").unwrap();

        let no_headroom = NoHeadroom { needed_bytes: 4, headroom_bytes: 3 };
        assert_eq!(seal(&HEADER, &mut writer, &[0; 4]), Err(SealError::NoHeadroom(no_headroom)));
        let too_short = SealError::HeaderTooShort { header_bytes: 1, prefix_bytes: 2 };
        assert_eq!(seal(&HEADER, &mut writer, &[0]), Err(too_short));
        assert_eq!(seal_with(&HEADER, &mut writer, 1, |_| panic!()), Err(too_short));
        assert_eq!((writer.as_slice(), writer.headroom()), (&b"body"[..], 3));

        writer.extend_from_slice(&[b'.'; 11]).unwrap();
        let oversize = FrameError::Oversize { at: 0, frame_bytes: 17, frame_bytes_max: 16 };
        assert_eq!(seal(&HEADER, &mut writer, &[0; 2]), Err(SealError::Length(oversize)));
        assert_eq!((writer.body_len(), writer.headroom()), (15, 3));
    }

    #[test]
    fn a_body_never_leaves_its_storage() {
        let mut storage = [0; 6];
        let mut writer = FrameWriter::new(&mut storage[..], 2).unwrap();
        writer.extend_from_slice(b"abc").unwrap();
        let no_room = NoRoom { needed_bytes: 2, spare_bytes: 1 };
        assert_eq!(writer.extend_from_slice(b"de"), Err(no_room));
        assert_eq!(writer.advance(2), Err(no_room));
        assert_eq!(writer.as_slice(), b"abc");
        writer.extend_from_slice(b"d").unwrap();
        assert_eq!(writer.as_slice(), b"abcd");

        let refused = FrameWriter::new(&mut storage[..], 7).unwrap_err();
        assert_eq!(refused, StorageTooSmall { storage_bytes: 6, required_bytes: 7 });
    }
}

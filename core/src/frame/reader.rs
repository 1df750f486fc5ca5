//! Decoding with a window of its own, filled piece by piece from a stream.

use self::cursor::Cursor;
pub use self::cursor::ReaderFrames;
use super::decode::{Split, split};
use super::{FrameError, Header, Measured, StorageTooSmall, decode, measure};
use crate::backing::Backing;

mod cursor;

/// Collects the bytes of a stream in the caller's storage and hands out whole frames.
///
/// Inputs: ask for a window, read into it, [`commit`](Self::commit) what was read; call
/// [`finish`](Self::finish) at the end of the stream. Output: [`next_frame`](Self::next_frame),
/// to be called until it returns `None` before the next window is asked for, or
/// [`frames`](Self::frames), which does that.
///
/// There are two kinds of window, which may be mixed:
///
/// - [`receive_buffer`](Self::receive_buffer) is *exactly* what is still missing, so that no byte
///   behind the frame is ever read. It takes two reads per frame.
/// - [`receive_buffer_bulk`](Self::receive_buffer_bulk) is all the room there is, so that one read
///   brings many frames.
///
/// After an error the reader is poisoned: it returns the same error again and takes nothing more,
/// until [`reset`](Self::reset) prepares it for a new stream.
///
/// ```
/// use turbopump_core::frame::{LengthField, Reader};
///
/// let header = LengthField::big_endian_u16(32)?;
/// let mut storage = [0; Reader::<LengthField>::required_len(32)];
/// let mut reader = Reader::new(header, &mut storage[..])?;
///
/// let from_the_network = b"\x00\x02hi\x00\x03you\x00\x09part";
/// let window = reader.receive_buffer_bulk()?;
/// window[..from_the_network.len()].copy_from_slice(from_the_network);
/// reader.commit(from_the_network.len())?;
///
/// assert_eq!(reader.next_frame()?, Some(&b"\x00\x02hi"[..]));
/// assert_eq!(reader.next_frame()?, Some(&b"\x00\x03you"[..]));
/// assert_eq!(reader.next_frame()?, None);
/// assert_eq!(reader.receive_buffer()?.len(), 5, "what the third frame still needs");
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Reader<'s, H> {
    header: H,
    storage: Backing<'s, u8>,
    cursor: Cursor,
}

impl<'s, H: Header> Reader<'s, H> {
    /// A reader for one stream.
    ///
    /// # Errors
    ///
    /// [`StorageTooSmall`] for storage shorter than the longest frame.
    pub fn new(header: H, storage: impl Into<Backing<'s, u8>>) -> Result<Self, StorageTooSmall> {
        let storage = storage.into();
        let required_bytes = Self::required_len(header.frame_bytes_max()).max(1);
        let storage_bytes = storage.len();
        if storage_bytes < required_bytes {
            return Err(StorageTooSmall { storage_bytes, required_bytes });
        }
        Ok(Self { header, storage, cursor: Cursor::default() })
    }

    /// The least storage in bytes: one frame of the greatest length.
    ///
    /// With this much, bulk windows shrink to what is missing while a long frame arrives.
    #[must_use]
    pub const fn required_len(frame_bytes_max: usize) -> usize {
        frame_bytes_max
    }

    /// The storage in bytes with which a bulk window never has less than `read_bytes`: the longest
    /// incomplete frame twice, because it is not moved before as much was taken in front of it,
    /// and a whole read.
    ///
    /// With less storage a window is still long enough for the frame that it continues.
    #[must_use]
    pub const fn bulk_len(frame_bytes_max: usize, read_bytes: usize) -> usize {
        frame_bytes_max.saturating_sub(1).saturating_mul(2).saturating_add(read_bytes)
    }

    /// The header this reader goes by.
    #[must_use]
    pub const fn header(&self) -> &H {
        &self.header
    }

    /// Bytes received and not handed out yet.
    #[must_use]
    pub const fn pending_bytes(&self) -> usize {
        self.cursor.pending_bytes()
    }

    /// Where in the stream the next frame starts, in bytes.
    #[must_use]
    pub const fn stream_offset(&self) -> u64 {
        self.cursor.stream_offset()
    }

    /// A window of exactly the bytes that the next frame still needs, as far as can be told: first
    /// those that say how long it is, then the rest. Empty only while a whole frame waits to be
    /// taken.
    ///
    /// # Errors
    ///
    /// A bad header among the bytes received so far, or the error that poisoned the reader.
    pub fn receive_buffer(&mut self) -> Result<&mut [u8], FrameError> {
        let missing = self.missing()?;
        // Nothing has to be moved when nothing waits: start again at the front, where it is warm.
        if self.spare_bytes() < missing || self.pending_bytes() == 0 {
            self.compact();
        }
        Ok(self.hand_out(missing))
    }

    /// A window of all the room there is, so that one read can bring many frames; it is at least
    /// as long as [`receive_buffer`](Self::receive_buffer)'s.
    ///
    /// Received bytes are moved to the front when the window would be too short for the frame, or
    /// when fewer bytes are moved than are gained: so a byte is moved at most once on average.
    ///
    /// # Errors
    ///
    /// As [`receive_buffer`](Self::receive_buffer).
    pub fn receive_buffer_bulk(&mut self) -> Result<&mut [u8], FrameError> {
        let missing = self.missing()?;
        if self.spare_bytes() < missing || self.pending_bytes() <= self.cursor.start {
            self.compact();
        }
        Ok(self.hand_out(self.spare_bytes()))
    }

    /// Says that the first `bytes` of the last window were read into.
    ///
    /// Several commits may share a window, as long as the bytes lie one behind the other.
    ///
    /// # Errors
    ///
    /// [`FrameError::Overcommit`] for more than the window has left; it poisons the reader, because
    /// bytes of the stream are lost. The error that poisoned the reader earlier.
    pub fn commit(&mut self, bytes: usize) -> Result<(), FrameError> {
        self.cursor.check_poison()?;
        let window_bytes = self.cursor.window_bytes;
        let Some(left_bytes) = window_bytes.checked_sub(bytes) else {
            let (at, committed_bytes) = (self.cursor.received_bytes, bytes);
            let error = FrameError::Overcommit { at, committed_bytes, window_bytes };
            return Err(self.cursor.fail(error));
        };
        self.cursor.window_bytes = left_bytes;
        // Within the storage, because the window was.
        self.cursor.end = self.cursor.end.saturating_add(bytes);
        self.cursor.received_bytes = self.cursor.received_bytes.saturating_add(bytes as u64);
        Ok(())
    }

    /// The next whole frame, header included, or `None` while more bytes are needed.
    ///
    /// # Errors
    ///
    /// The header's for a bad length; the error that poisoned the reader.
    #[inline]
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, FrameError> {
        let pending = self.cursor.pending(&self.storage);
        match split(&self.header, pending) {
            Ok(Split::Whole(frame, _)) => {
                let start = self.cursor.start;
                self.cursor.start = start.saturating_add(frame.len());
                Ok(self.storage.get(start..self.cursor.start))
            }
            // A poisoned reader holds no bytes, so only this branch has to look.
            Ok(Split::Missing(missing)) => self.check_missing(missing).map(|()| None),
            Err(error) => Err(self.cursor.refuse(error)),
        }
    }

    /// All whole frames that were received: as [`next_frame`](Self::next_frame) until it returns
    /// `None`, but faster, because what changes from frame to frame stays in registers.
    ///
    /// A frame is taken when the iterator returns it; those it has not returned stay.
    ///
    /// ```
    /// # use turbopump_core::frame::{LengthField, Reader};
    /// # let mut storage = [0; 32];
    /// # let mut reader = Reader::new(LengthField::big_endian_u16(32)?, &mut storage[..])?;
    /// # reader.receive_buffer_bulk()?[..6].copy_from_slice(&[0, 1, b'a', 0, 1, b'b']);
    /// # reader.commit(6)?;
    /// for frame in reader.frames() {
    ///     let frame = frame?;
    ///     assert_eq!(frame.len(), 3);
    /// }
    /// assert_eq!(reader.pending_bytes(), 0);
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[inline]
    pub fn frames(&mut self) -> ReaderFrames<'_, H> {
        let frames = decode(&self.header, self.cursor.pending(&self.storage));
        ReaderFrames::new(frames, &mut self.cursor)
    }

    /// Says that the stream has ended.
    ///
    /// # Errors
    ///
    /// [`FrameError::Torn`] if it ended within a frame; a bad header among the bytes that were not
    /// taken; the error that poisoned the reader. All of them poison it.
    pub fn finish(&mut self) -> Result<(), FrameError> {
        self.cursor.check_poison()?;
        let mut frames = decode(&self.header, self.cursor.pending(&self.storage));
        let refused = frames.by_ref().find_map(Result::err);
        let torn = FrameError::Torn {
            at: frames.consumed() as u64,
            received_bytes: frames.rest().len(),
            missing_bytes: frames.missing(),
        };
        let is_torn = !frames.rest().is_empty();
        match refused {
            Some(error) => Err(self.cursor.refuse(error)),
            None if is_torn => Err(self.cursor.refuse(torn)),
            None => Ok(()),
        }
    }

    /// Forgets all bytes and any error, for a new stream.
    pub fn reset(&mut self) {
        self.cursor = Cursor::default();
    }

    fn spare_bytes(&self) -> usize {
        self.storage.len().saturating_sub(self.cursor.end)
    }

    /// What the next frame still needs; fits into the storage.
    fn missing(&mut self) -> Result<usize, FrameError> {
        match measure(&self.header, self.cursor.pending(&self.storage)) {
            Ok(Measured::Whole(_)) => Ok(0),
            Ok(Measured::Missing(missing)) => self.check_missing(missing).map(|()| missing),
            Err(error) => Err(self.cursor.refuse(error)),
        }
    }

    /// Refuses what can never fit, so that a header which breaks its own limit can't stall us.
    fn check_missing(&mut self, missing: usize) -> Result<(), FrameError> {
        self.cursor.check_poison()?;
        let frame_bytes = self.pending_bytes().saturating_add(missing);
        if frame_bytes <= self.storage.len() {
            return Ok(());
        }
        let (frame_bytes, frame_bytes_max) = (frame_bytes as u64, self.storage.len());
        let error = FrameError::Oversize { at: 0, frame_bytes, frame_bytes_max };
        Err(self.cursor.refuse(error))
    }

    fn compact(&mut self) {
        let Cursor { start, end, .. } = self.cursor;
        if start > 0 {
            // `start <= end <= len` at all times, so this can't panic.
            self.storage.copy_within(start..end, 0);
            (self.cursor.start, self.cursor.end) = (0, end.saturating_sub(start));
        }
    }

    fn hand_out(&mut self, bytes: usize) -> &mut [u8] {
        self.cursor.window_bytes = bytes;
        let spare = self.storage.get_mut(self.cursor.end..).unwrap_or_default();
        spare.get_mut(..bytes).unwrap_or_default()
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests;

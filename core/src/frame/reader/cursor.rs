//! Where a reader stands in its storage, and the walk over the frames there.

use core::iter::FusedIterator;

use crate::frame::{FrameError, Frames, Header};

/// The whole frames that a reader has received; made by
/// [`Reader::frames`](super::Reader::frames).
///
/// After an error, which poisons the reader, the iterator ends.
#[derive(Debug)]
#[must_use = "nothing is taken from the reader until the frames are"]
pub struct ReaderFrames<'r, H> {
    frames: Frames<'r, 'r, H>,
    /// Where the cursor stood when the walk began.
    first: usize,
    cursor: &'r mut Cursor,
    over: bool,
}

impl<'r, H: Header> Iterator for ReaderFrames<'r, H> {
    type Item = Result<&'r [u8], FrameError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match self.frames.next() {
            Some(Ok(frame)) => {
                // Written but never read back while the walk lasts.
                self.cursor.start = self.first.saturating_add(self.frames.consumed());
                Some(Ok(frame))
            }
            Some(Err(error)) => Some(Err(self.refuse(error))),
            None => self.poison_once(),
        }
    }
}

impl<H: Header> FusedIterator for ReaderFrames<'_, H> {}

impl<'r, H> ReaderFrames<'r, H> {
    #[inline]
    pub(super) const fn new(frames: Frames<'r, 'r, H>, cursor: &'r mut Cursor) -> Self {
        Self { frames, first: cursor.start, cursor, over: false }
    }

    #[cold]
    fn refuse(&mut self, error: FrameError) -> FrameError {
        self.over = true;
        // The walk counts from where it began, the cursor has moved on since.
        let walked = self.cursor.start.saturating_sub(self.first) as u64;
        let offset = self.cursor.stream_offset().saturating_sub(walked);
        self.cursor.fail(error.shifted_by(offset))
    }

    /// A reader that was poisoned before says so, once.
    fn poison_once<T>(&mut self) -> Option<Result<T, FrameError>> {
        let error = if self.over { None } else { self.cursor.poison };
        self.over = true;
        error.map(Err)
    }
}

/// Where the reader stands, apart from its storage so that both can be borrowed.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    /// The bytes received and not handed out yet are `storage[start..end]`.
    pub(super) start: usize,
    pub(super) end: usize,
    /// How much of the last window may still be committed.
    pub(super) window_bytes: usize,
    /// All bytes committed since the stream began.
    pub(super) received_bytes: u64,
    poison: Option<FrameError>,
}

impl Cursor {
    #[inline]
    pub(super) fn pending<'b>(&self, storage: &'b [u8]) -> &'b [u8] {
        storage.get(self.start..self.end).unwrap_or_default()
    }

    pub(super) const fn pending_bytes(&self) -> usize {
        self.end.saturating_sub(self.start)
    }

    pub(super) const fn stream_offset(&self) -> u64 {
        self.received_bytes.saturating_sub(self.pending_bytes() as u64)
    }

    pub(super) fn check_poison(&self) -> Result<(), FrameError> {
        self.poison.map_or(Ok(()), Err)
    }

    /// Fails with an error whose offset is counted from the first pending byte.
    #[cold]
    pub(super) fn refuse(&mut self, error: FrameError) -> FrameError {
        self.fail(error.shifted_by(self.stream_offset()))
    }

    #[cold]
    pub(super) fn fail(&mut self, error: FrameError) -> FrameError {
        self.poison = Some(error);
        (self.start, self.end, self.window_bytes) = (0, 0, 0);
        error
    }
}

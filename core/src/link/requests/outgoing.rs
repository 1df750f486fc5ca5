//! What waits to be written: frames in one open batch, and whole chunks before it.

use super::error::{RequestStorageTooSmall, SubmitRefused};
use crate::backing::Backing;
use crate::link::{Chunks, Correlate};
use crate::pool::{BufferSource, Chunk, Lease, PoolRef};

/// The smallest batch that is opened where larger ones were not needed lately.
const BATCH_BYTES_MIN: usize = 4_096;

/// A batch four times as large is opened after one that was filled, one four times as small after
/// one of which less than this fraction was used.
const BATCH_STEP: usize = 4;
const BATCH_USED_MIN: usize = 16;

/// Chunks that wait, the one batch that is still open, and how far the stream has come.
pub(super) struct Outgoing<'s, R: PoolRef> {
    open: Option<Lease<R>>,
    ring: Backing<'s, Option<Chunk<R>>>,
    first: usize,
    len: usize,
    batch_bytes_max: usize,
    /// What the next batch is opened with.
    batch_bytes: usize,
    /// Bytes since the link began: accepted, handed to the driver, written.
    accepted: u64,
    handed_out: u64,
    written: u64,
}

impl<'s, R: PoolRef> Outgoing<'s, R> {
    pub(super) fn new(
        ring: Backing<'s, Option<Chunk<R>>>,
        batch_bytes_max: usize,
    ) -> Result<Self, RequestStorageTooSmall> {
        // A body of its own needs a place, and so does what stands before it.
        if ring.len() < 2 {
            let (len, max) = (ring.len(), usize::MAX);
            return Err(RequestStorageTooSmall { part: "outgoing", len, max });
        }
        let batch_bytes = batch_bytes_max.min(BATCH_BYTES_MIN);
        let (accepted, handed_out, written) = (0, 0, 0);
        let (open, first, len) = (None, 0, 0);
        Ok(Self {
            open,
            ring,
            first,
            len,
            batch_bytes_max,
            batch_bytes,
            accepted,
            handed_out,
            written,
        })
    }

    /// Where the stream ends that was accepted so far.
    #[inline]
    pub(super) const fn accepted(&self) -> u64 {
        self.accepted
    }

    /// Where the stream ends that was handed to the driver.
    #[inline]
    pub(super) const fn handed_out(&self) -> u64 {
        self.handed_out
    }

    /// Bytes that wait to be handed to the driver.
    #[inline]
    pub(super) const fn queued_bytes(&self) -> u64 {
        self.accepted - self.handed_out
    }

    /// Whether all that was accepted is written.
    pub(super) const fn is_written(&self) -> bool {
        self.accepted == self.written
    }

    /// Whether a frame of any size can be queued: what callers wait for after a refusal.
    #[inline]
    pub(super) fn has_room(&self) -> bool {
        self.len + 2 <= self.ring.len()
    }

    /// Appends a frame to the open batch; `finish` completes its head there.
    #[inline]
    pub(super) fn push<B, H>(
        &mut self,
        buffers: &B,
        header: &H,
        id: Option<u32>,
        [head, body]: [&[u8]; 2],
        frame_bytes: usize,
    ) -> Result<(), SubmitRefused>
    where
        B: BufferSource<Ref = R>,
        H: Correlate,
    {
        let needed = head.len() + body.len();
        let open = match &mut self.open {
            Some(open) if open.spare() >= needed => open,
            _ => self.reopen(buffers, needed)?,
        };
        // Both fit: there is room for their sum. Only what is committed is ever seen.
        let Some((front, rest)) = open.dirty_mut().split_at_mut_checked(head.len()) else {
            return Err(self.backlog());
        };
        let Some(rest) = rest.get_mut(..body.len()) else {
            return Err(self.backlog());
        };
        front.copy_from_slice(head);
        rest.copy_from_slice(body);
        header.write_length(frame_bytes, front)?;
        if let Some(id) = id {
            header.write_id(id, front)?;
        }
        let _ = open.commit(needed);
        self.accepted += needed as u64;
        Ok(())
    }

    /// Appends a frame whose body stays where it is.
    pub(super) fn push_chunk<B, H>(
        &mut self,
        buffers: &B,
        header: &H,
        id: Option<u32>,
        head: &[u8],
        body: Chunk<R>,
    ) -> Result<(), (SubmitRefused, Chunk<R>)>
    where
        B: BufferSource<Ref = R>,
        H: Correlate,
    {
        if !self.has_room() {
            return Err((self.backlog(), body));
        }
        let frame_bytes = head.len() + body.len();
        if let Err(error) = self.push(buffers, header, id, [head, &[]], frame_bytes) {
            return Err((error, body));
        }
        // Pushing the head may have closed the batch before it.
        if self.len + 2 > self.ring.len()
            && let Some(open) = &mut self.open
        {
            open.truncate(open.len() - head.len());
            self.accepted -= head.len() as u64;
            return Err((self.backlog(), body));
        }
        self.close_batch();
        self.accepted += body.len() as u64;
        self.enqueue(body);
        Ok(())
    }

    /// Another batch with room for `needed` bytes, in place of the open one.
    #[cold]
    #[inline(never)]
    fn reopen<B: BufferSource<Ref = R>>(
        &mut self,
        buffers: &B,
        needed: usize,
    ) -> Result<&mut Lease<R>, SubmitRefused> {
        if self.open.is_some() {
            if self.len == self.ring.len() {
                return Err(self.backlog());
            }
            self.batch_bytes = (self.batch_bytes * BATCH_STEP).min(self.batch_bytes_max);
        }
        let wanted = self.batch_bytes.max(needed);
        let lease = buffers.acquire(wanted).or_else(|_| buffers.acquire(needed))?;
        self.close_batch();
        Ok(self.open.insert(lease))
    }

    /// Puts the open batch behind what waits already; there is room.
    fn close_batch(&mut self) {
        if let Some(open) = self.open.take_if(|open| !open.is_empty()) {
            self.enqueue(open.freeze());
        }
    }

    fn enqueue(&mut self, chunk: Chunk<R>) {
        let index = (self.first + self.len) % self.ring.len();
        if let Some(place) = self.ring.get_mut(index) {
            *place = Some(chunk);
            self.len += 1;
        }
    }

    #[cold]
    fn backlog(&self) -> SubmitRefused {
        SubmitRefused::Backlog { queued_bytes: self.queued_bytes() }
    }

    /// Hands out what waits, in order, until `out` is full.
    pub(super) fn poll_transmit(&mut self, out: &mut Chunks<Chunk<R>>) {
        while self.len > 0 && !out.is_full() {
            let Some(chunk) = self.ring.get_mut(self.first).and_then(Option::take) else {
                return;
            };
            self.first = (self.first + 1) % self.ring.len();
            self.len -= 1;
            self.hand_out(chunk, out);
        }
        if self.len == 0
            && !out.is_full()
            && let Some(open) = self.open.take_if(|open| !open.is_empty())
        {
            if open.len() * BATCH_USED_MIN < open.capacity() {
                self.batch_bytes = (self.batch_bytes / BATCH_STEP).max(BATCH_BYTES_MIN);
            }
            self.hand_out(open.freeze(), out);
        }
    }

    fn hand_out(&mut self, chunk: Chunk<R>, out: &mut Chunks<Chunk<R>>) {
        self.handed_out += chunk.len() as u64;
        // It is not full, and chunks that are queued are not empty.
        let _ = out.push(chunk);
    }

    pub(super) const fn handle_written(&mut self, bytes: usize) {
        self.written += bytes as u64;
    }

    /// Lets go of everything: nothing more is handed out.
    pub(super) fn clear(&mut self) {
        self.open = None;
        self.ring.iter_mut().for_each(|chunk| *chunk = None);
        self.len = 0;
        (self.handed_out, self.written) = (self.accepted, self.accepted);
    }
}

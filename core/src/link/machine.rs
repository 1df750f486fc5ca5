//! The seam between a connection's logic and whoever does its IO.

use core::fmt;

use crate::frame::FrameError;
use crate::time::{Instant, Now};

/// Chunks that one [`Machine::poll_transmit`] can hand out.
pub const CHUNKS_MAX: usize = 16;

/// A machine stops handing out chunks when it has handed out this many bytes: enough for one large
/// write, little enough that the other side of the connection gets its turn.
pub const TRANSMIT_BYTES: usize = 65_536;

/// What one connection does, without IO.
///
/// Whoever drives it calls the methods under a short lock, and reads and writes outside of it, on
/// memory that it owns or was handed:
///
/// - Inputs: [`handle_bytes`](Self::handle_bytes), [`handle_body`](Self::handle_body),
///   [`handle_written`](Self::handle_written), [`handle_timeout`](Self::handle_timeout),
///   [`handle_closed`](Self::handle_closed).
/// - Outputs, to be asked for after every input and every command of the concrete machine:
///   [`poll_transmit`](Self::poll_transmit) until it hands out nothing,
///   [`poll_close`](Self::poll_close), then [`poll_timeout`](Self::poll_timeout).
///
/// After an error, or after [`poll_close`](Self::poll_close) gave a reason, the driver closes the
/// connection and calls [`handle_closed`](Self::handle_closed) once; nothing else is called after
/// that.
pub trait Machine {
    /// Memory that was reserved for one large body; the driver fills it straight from the wire.
    type Body: AsMut<[u8]>;
    /// Bytes to write, held by the driver while it writes them.
    type Chunk: AsRef<[u8]>;

    /// Takes whole frames from the front of `window`, which holds all that was read and not taken
    /// yet. What is not taken is shown again, with more behind it.
    ///
    /// A machine never waits for more than the driver's window can hold: a longer body is claimed
    /// as [`Received::body`].
    ///
    /// # Errors
    ///
    /// What is wrong with the peer's bytes; counted from the start of `window`.
    fn handle_bytes(&mut self, now: Now, window: &[u8])
    -> Result<Received<Self::Body>, FrameError>;

    /// Whether more is to be read now. While it is not, the peer's bytes stay in the transport, so
    /// that a peer that does not read what it is sent is not served any further. It is asked again
    /// whenever something was written and whenever the driver is woken. Whole frames that
    /// [`handle_bytes`](Self::handle_bytes) has left because of it are offered again then.
    ///
    /// By default it always is.
    #[must_use]
    fn takes_bytes(&self) -> bool {
        true
    }

    /// Takes back a body that was claimed, filled to its last byte.
    ///
    /// # Errors
    ///
    /// What is wrong with the peer's bytes, counted from the start of the body.
    fn handle_body(&mut self, now: Now, body: Self::Body) -> Result<(), FrameError>;

    /// Hands out what is to be written next, in order, until there is nothing more,
    /// [`CHUNKS_MAX`] chunks or [`TRANSMIT_BYTES`] bytes.
    fn poll_transmit(&mut self, now: Now, out: &mut Chunks<Self::Chunk>);

    /// `bytes` of what was handed out have been given to the transport.
    fn handle_written(&mut self, now: Now, bytes: usize);

    /// The time that [`poll_timeout`](Self::poll_timeout) gave has come. Calling it early is
    /// harmless.
    fn handle_timeout(&mut self, now: Now);

    /// When [`handle_timeout`](Self::handle_timeout) is to be called, `None` for never. After that
    /// call it lies in the future.
    #[must_use]
    fn poll_timeout(&self) -> Option<Instant>;

    /// Whether the connection is to be closed, and why. Asked only when there is nothing left to
    /// write.
    #[must_use]
    fn poll_close(&self) -> Option<CloseReason>;

    /// The connection is gone. Whatever waits for it gets `reason`.
    fn handle_closed(&mut self, now: Now, reason: CloseReason);
}

/// What a machine took of a window.
#[derive(Debug, PartialEq, Eq)]
pub struct Received<B> {
    /// Bytes taken from the front of the window.
    pub consumed: usize,
    /// Memory for the bytes that come next: the driver fills all of it, first from what is left of
    /// the window, then from the transport, and gives it to [`Machine::handle_body`].
    pub body: Option<B>,
}

impl<B> Received<B> {
    /// `consumed` bytes were taken and nothing is claimed.
    #[must_use]
    pub const fn bytes(consumed: usize) -> Self {
        Self { consumed, body: None }
    }
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// This side asked for it, and all that was accepted before has been written.
    Local,
    /// The peer closed it between two frames.
    Peer,
    /// The peer sent what it must not; every request on the connection gets this error.
    Frame(FrameError),
    /// Reading failed or the peer closed it within a frame.
    Read,
    /// Writing failed.
    Write,
    /// Nothing could be written for too long.
    WriteTimeout,
    /// The peer did not show a sign of life for too long.
    Idle,
    /// Whoever drove the connection was dropped.
    Abandoned,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("closed by this side"),
            Self::Peer => f.write_str("closed by the peer"),
            Self::Frame(error) => write!(f, "closed because of what the peer sent: {error}"),
            Self::Read => f.write_str("reading failed"),
            Self::Write => f.write_str("writing failed"),
            Self::WriteTimeout => f.write_str("the peer took no bytes for too long"),
            Self::Idle => f.write_str("no sign of life from the peer for too long"),
            Self::Abandoned => f.write_str("its driver was dropped"),
        }
    }
}

impl core::error::Error for CloseReason {}

/// What a machine hands to its driver for one write.
///
/// ```
/// use turbopump_core::link::Chunks;
///
/// let mut chunks = Chunks::new();
/// assert!(chunks.push(&b"head"[..]).is_ok());
/// assert!(chunks.push(&b"body"[..]).is_ok());
/// assert_eq!((chunks.len(), chunks.bytes()), (2, 8));
/// assert_eq!(chunks.advance(6), 6);
/// assert_eq!(chunks.iter().collect::<Vec<_>>(), [b"dy"]);
/// ```
#[derive(Debug)]
pub struct Chunks<C> {
    chunks: [Option<C>; CHUNKS_MAX],
    /// The first one that is not written yet.
    first: usize,
    end: usize,
    /// What of the first one is written.
    written: usize,
    bytes: usize,
}

impl<C: AsRef<[u8]>> Chunks<C> {
    /// No chunks.
    #[must_use]
    pub fn new() -> Self {
        Self { chunks: [const { None }; CHUNKS_MAX], first: 0, end: 0, written: 0, bytes: 0 }
    }

    /// Chunks that have bytes to be written.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.end - self.first
    }

    /// True where nothing is left to be written.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Bytes that are left to be written.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// True where a machine is to stop: all places are taken or there are enough bytes.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        // Once everything is written all places are free again.
        !self.is_empty() && (self.end == CHUNKS_MAX || self.bytes >= TRANSMIT_BYTES)
    }

    /// Appends a chunk; an empty one is dropped.
    ///
    /// # Errors
    ///
    /// The chunk itself, when all places are taken.
    pub fn push(&mut self, chunk: C) -> Result<(), C> {
        let bytes = chunk.as_ref().len();
        if bytes == 0 {
            return Ok(());
        }
        if self.is_empty() {
            (self.first, self.end, self.written) = (0, 0, 0);
        }
        let Some(place) = self.chunks.get_mut(self.end) else {
            return Err(chunk);
        };
        *place = Some(chunk);
        self.end += 1;
        self.bytes += bytes;
        Ok(())
    }

    /// What is left to be written, in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut skip = self.written;
        let chunks = self.chunks.get(self.first..self.end).unwrap_or_default();
        chunks.iter().flatten().map(move |chunk| {
            let bytes = chunk.as_ref();
            bytes.get(core::mem::take(&mut skip)..).unwrap_or_default()
        })
    }

    /// Says that the first `bytes` bytes are written, and lets go of the chunks that are written
    /// whole. Returns how many of these bytes there were.
    pub fn advance(&mut self, bytes: usize) -> usize {
        let taken = bytes.min(self.bytes);
        let mut left = taken;
        while let Some(place) = self.chunks.get_mut(self.first..self.end).and_then(<[_]>::first_mut)
        {
            let unwritten = place.as_ref().map_or(0, |chunk| chunk.as_ref().len()) - self.written;
            if left < unwritten {
                self.written += left;
                break;
            }
            left -= unwritten;
            *place = None;
            self.written = 0;
            self.first += 1;
        }
        self.bytes -= taken;
        taken
    }

    /// Lets go of everything.
    pub fn clear(&mut self) {
        *self = Self::new();
    }
}

impl<C: AsRef<[u8]>> Default for Chunks<C> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_leaves_room() {
        let mut chunks = Chunks::new();
        for _ in 0..CHUNKS_MAX {
            assert!(!chunks.is_full() && chunks.push(&b"chunk"[..]).is_ok());
        }
        assert!(chunks.is_full() && chunks.push(&b"one more"[..]).is_err());
        chunks.advance(5);
        assert!(chunks.is_full(), "its place is not free until all are");
        chunks.advance(usize::MAX);
        assert!(!chunks.is_full() && chunks.push(&b"next"[..]).is_ok());
        assert!(chunks.iter().eq([b"next"]));
    }
}

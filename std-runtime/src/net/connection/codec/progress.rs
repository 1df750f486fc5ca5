//! Compressed bodies written bit by bit, for who polls instead of awaiting.

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io::{self, IoSlice};

use futures_io::AsyncWrite;

use super::{Borrowed, Codec, HEAD_BYTES, PLAIN, head};
use crate::backend::Backend;
use crate::net::async_io::TaskConnection;
use crate::net::connection::{Connection, ConnectionError};

/// How far the writing of one body is. Begins as the default.
#[derive(Default)]
pub struct CompressedWrite {
    frame: Frame,
    written: usize,
}

#[derive(Default)]
enum Frame {
    /// Not looked at yet.
    #[default]
    None,
    Plain,
    Compressed(Codec),
}

impl CompressedWrite {
    /// Bytes that the connection has taken, those of the frame's head included.
    #[must_use]
    pub const fn written(&self) -> usize {
        self.written
    }

    /// Writes the rest of a frame whose body is sent as it is.
    ///
    /// # Errors
    ///
    /// Those of `writer`.
    pub fn poll_plain<W: AsyncWrite + Unpin>(
        &mut self,
        writer: &mut W,
        cx: &mut Context<'_>,
        body: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Ok(len) = u32::try_from(body.len()) else {
            return Poll::Ready(Err(io::ErrorKind::InvalidInput.into()));
        };
        let head = head(PLAIN, len);
        while self.written < HEAD_BYTES + body.len() {
            let head = head.get(self.written..).unwrap_or_default();
            let rest = body.get(self.written.saturating_sub(HEAD_BYTES)..).unwrap_or_default();
            let slices = [IoSlice::new(head), IoSlice::new(rest)];
            let taken = ready!(Pin::new(&mut *writer).poll_write_vectored(cx, &slices))?;
            self.advance(taken)?;
        }
        Pin::new(writer).poll_flush(cx).map_ok(|()| self.written)
    }

    fn advance(&mut self, taken: usize) -> io::Result<()> {
        if taken == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.written += taken;
        Ok(())
    }
}

impl<B: Backend> TaskConnection for Connection<B> {
    fn abandon(self) {
        self.discard();
    }

    fn poll_write_compressed(
        &mut self,
        cx: &mut Context<'_>,
        body: &[u8],
        progress: &mut CompressedWrite,
    ) -> Poll<io::Result<usize>> {
        if matches!(progress.frame, Frame::None) {
            progress.frame = self.frame(body)?;
        }
        let Frame::Compressed(codec) = &progress.frame else {
            return progress.poll_plain(self, cx, body);
        };
        let len = codec.wire.len();
        while progress.written < len {
            let Frame::Compressed(codec) = &progress.frame else { break };
            let rest = codec.wire.get(progress.written..).unwrap_or_default();
            let taken = ready!(Pin::new(&mut *self).poll_write(cx, rest))?;
            progress.advance(taken)?;
        }
        ready!(Pin::new(&mut *self).poll_flush(cx))?;
        if let Frame::Compressed(codec) = core::mem::take(&mut progress.frame) {
            // Back to the pool's others.
            drop(Borrowed { codecs: &self.shared.codecs, codec: Some(codec) });
        }
        Poll::Ready(Ok(len))
    }
}

impl<B: Backend> Connection<B> {
    fn frame(&mut self, body: &[u8]) -> io::Result<Frame> {
        let (shared, live) = self.parts();
        let bytes_max = shared.settings.compression.body_bytes_max;
        if u32::try_from(body.len()).ok().is_none_or(|len| len > bytes_max) {
            let error = ConnectionError::TooLong { len: body.len() as u64, bytes_max };
            return Err(io::Error::new(io::ErrorKind::InvalidInput, error));
        }
        let Some(mut borrowed) = shared.codecs.compress(body) else {
            return Ok(Frame::Plain);
        };
        live.counts.compressed_plain_bytes += body.len() as u64;
        live.counts.compressed_wire_bytes += borrowed.wire.len() as u64;
        Ok(borrowed.codec.take().map_or(Frame::Plain, Frame::Compressed))
    }
}

impl fmt::Debug for CompressedWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompressedWrite").field("written", &self.written).finish_non_exhaustive()
    }
}

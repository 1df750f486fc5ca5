//! Reading and writing within the pool's times.

use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::io::{self, IoSlice};
use std::sync::PoisonError;

use futures_io::AsyncWrite;
use turbopump_core::link::{CHUNKS_MAX, Chunks};

use super::dial::at_once_or_within;
use super::error::{ConnectionError, Phase};
use super::halves::WriteHalf;
use super::handle::Connection;
use super::live::Live;
use super::shared::Shared;
use crate::backend::Backend;

impl<B: Backend> Connection<B> {
    /// Reads what the peer has sent, at least one byte, and returns how many; 0 where it has closed
    /// the connection or `into` is empty.
    ///
    /// # Errors
    ///
    /// After `read_timeout` at the latest. The connection is not used again.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn read(&mut self, into: &mut [u8]) -> Result<usize, ConnectionError> {
        let (shared, live) = self.parts();
        live.read(shared, into).await
    }

    /// Reads as many bytes as `into` takes.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read), which waits anew whenever bytes have come, and
    /// [`ConnectionError::PeerClosed`].
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped after the first bytes came, they are lost, and the connection is
    /// closed.
    pub async fn read_exact(&mut self, into: &mut [u8]) -> Result<(), ConnectionError> {
        let (shared, live) = self.parts();
        live.read_exact(shared, into).await
    }

    /// Writes all bytes and hands them to the operating system.
    ///
    /// # Errors
    ///
    /// After `write_timeout` at the latest. The peer may have got some of the bytes; the connection
    /// is not used again.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped after the first bytes were written, the connection is closed.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), ConnectionError> {
        let (shared, live) = self.parts();
        let mut written = 0;
        live.write_all(shared, bytes.len(), |writer, cx| {
            let rest = bytes.get(written..).unwrap_or_default();
            let len = ready!(writer.poll_write(cx, rest))?;
            written += len;
            Poll::Ready(Ok(len))
        })
        .await
    }

    /// Writes leases, chunks or other buffers from where they are, several by one system call.
    /// `chunks` lets go of each as soon as it is written.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write); `chunks` holds what is not written.
    ///
    /// # Cancel safety
    ///
    /// As [`write`](Self::write); `chunks` holds what is not written.
    pub async fn write_chunks<C: AsRef<[u8]> + Send>(
        &mut self,
        chunks: &mut Chunks<C>,
    ) -> Result<(), ConnectionError> {
        let (shared, live) = self.parts();
        live.write_all(shared, chunks.bytes(), |writer, cx| {
            let mut slices = [IoSlice::new(&[]); CHUNKS_MAX];
            let mut count = 0;
            for (slice, chunk) in slices.iter_mut().zip(chunks.iter()) {
                *slice = IoSlice::new(chunk);
                count += 1;
            }
            let slices = slices.get(..count).unwrap_or_default();
            let len = ready!(writer.poll_write_vectored(cx, slices))?;
            Poll::Ready(Ok(chunks.advance(len)))
        })
        .await
    }

    /// Waits until the operating system has all bytes: for who has written by
    /// [`AsyncWrite`](futures_io::AsyncWrite). The other methods do so by themselves.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn flush(&mut self) -> Result<(), ConnectionError> {
        let (shared, live) = self.parts();
        let timeout = shared.settings.write_timeout;
        let flushed = at_once_or_within(&shared.backend, timeout, |cx| {
            Pin::new(&mut live.writer).poll_flush(cx)
        })
        .await;
        live.finish(shared, Phase::Write, timeout, flushed)
    }
}

impl<B: Backend> Live<B> {
    pub(super) async fn read(
        &mut self,
        shared: &Shared<B>,
        into: &mut [u8],
    ) -> Result<usize, ConnectionError> {
        let timeout = shared.settings.read_timeout;
        let read = at_once_or_within(&shared.backend, timeout, |cx| {
            retry(|| self.incoming.poll_read(cx, into))
        })
        .await;
        let len = self.finish(shared, Phase::Read, timeout, read)?;
        self.counts.bytes_read += len as u64;
        if let Some(written_at) = self.written_at.take() {
            let us = u64::try_from(
                shared.backend.now().saturating_duration_since(written_at).as_micros(),
            )
            .unwrap_or(u64::MAX);
            shared.latency.lock().unwrap_or_else(PoisonError::into_inner).observe(us);
        }
        if len == 0 && !into.is_empty() {
            self.is_broken = true;
        }
        Ok(len)
    }

    pub(super) async fn read_exact(
        &mut self,
        shared: &Shared<B>,
        into: &mut [u8],
    ) -> Result<(), ConnectionError> {
        let was_cut = self.is_cut;
        let mut filled = 0;
        while filled < into.len() {
            let rest = into.get_mut(filled..).unwrap_or_default();
            match self.read(shared, rest).await? {
                0 => return Err(ConnectionError::PeerClosed { missing: into.len() - filled }),
                len => filled += len,
            }
            self.is_cut = true;
        }
        self.is_cut = was_cut;
        Ok(())
    }

    /// Writes `len` bytes by as many calls of `write` as it takes, then flushes.
    pub(super) async fn write_all(
        &mut self,
        shared: &Shared<B>,
        len: usize,
        mut write: impl FnMut(
            Pin<&mut WriteHalf<B::Writer>>,
            &mut Context<'_>,
        ) -> Poll<io::Result<usize>>,
    ) -> Result<(), ConnectionError> {
        if !self.can_be_used() {
            return Err(ConnectionError::CutShort);
        }
        let timeout = shared.settings.write_timeout;
        let mut written = 0;
        let result = at_once_or_within(&shared.backend, timeout, |cx| {
            while written < len {
                match ready!(retry(|| write(Pin::new(&mut self.writer), cx)))? {
                    0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    taken => written += taken,
                }
                self.is_cut = true;
            }
            Pin::new(&mut self.writer).poll_flush(cx)
        })
        .await;
        self.counts.bytes_written += written as u64;
        self.finish(shared, Phase::Write, timeout, result)?;
        self.is_cut = false;
        self.written_at = Some(shared.backend.now());
        Ok(())
    }

    /// Says what a result, or the lack of one in time, means for the connection.
    fn finish<T>(
        &mut self,
        shared: &Shared<B>,
        phase: Phase,
        after: Duration,
        result: Option<io::Result<T>>,
    ) -> Result<T, ConnectionError> {
        match result {
            Some(Ok(value)) => Ok(value),
            Some(Err(error)) => {
                self.is_broken = true;
                Err(ConnectionError::Io { phase, error })
            }
            None => {
                self.is_broken = true;
                shared.count_timeout(phase);
                Err(ConnectionError::TimedOut { phase, after })
            }
        }
    }
}

/// Again, if a signal came in between.
fn retry<T>(mut poll: impl FnMut() -> Poll<io::Result<T>>) -> Poll<io::Result<T>> {
    loop {
        match poll() {
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

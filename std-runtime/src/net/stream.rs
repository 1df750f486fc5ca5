//! Logical streams over one connection: handles over [`turbopump_core::stream`].

use core::fmt;
use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io;

use alloc::sync::Arc;

use futures_io::{AsyncRead, AsyncWrite};
use turbopump_core::driver::{LinkLimits, Shared};
use turbopump_core::link::CloseReason;
use turbopump_core::stream::{
    ConfigError, GoAwayReason, OpenRefused, Role, StreamConfig, StreamCounters, StreamError,
    StreamStatus, StreamStorage, Streams,
};
use turbopump_core::time::Now;

use super::link::{Locked, spawn_link};
use super::stream_shell::{Owner, StreamShell, Turn, act};
use crate::backend::Backend;
use crate::memory::{BufferPool, Chunk};

/// How a [`StreamLink`] is set.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamLinkConfig {
    /// The limits of the streams.
    pub streams: StreamConfig,
    /// Tasks that may wait to open a stream; 1,024.
    pub waiting_max: usize,
    /// What is read at once: 64 KiB.
    pub window_bytes: usize,
    /// The peer has to take something within this time, or the link is closed; 30 seconds.
    pub write_timeout: Duration,
}

impl Default for StreamLinkConfig {
    fn default() -> Self {
        Self {
            streams: StreamConfig::default(),
            waiting_max: 1_024,
            window_bytes: 65_536,
            write_timeout: Duration::from_secs(30),
        }
    }
}

/// A connection that carries many streams: a cheap handle.
///
/// Either side opens streams and accepts those of the other; the other may be any implementation of
/// yamux. A task of the runtime does all reading and writing: what many streams write shares a
/// write, and a stream that nobody reads holds back no other.
///
/// When the last handle is dropped, no more streams are opened or accepted, and the connection
/// closes after the last [`Stream`].
pub struct StreamLink {
    shell: Arc<Locked<StreamShell>>,
}

impl StreamLink {
    /// Streams over an open connection, whose task runs on `backend`. The halves are the
    /// backend's, or others over them, such as those of TLS.
    ///
    /// One end has to be the client, the other the server. All memory for what is read and written
    /// comes from `buffers`, which should hold buffers of
    /// [`segment_bytes`](StreamConfig::segment_bytes).
    ///
    /// # Errors
    ///
    /// Limits that are impossible.
    pub fn over<B, R, W>(
        backend: &B,
        (reader, writer): (R, W),
        role: Role,
        buffers: BufferPool,
        config: &StreamLinkConfig,
    ) -> Result<Self, ConfigError>
    where
        B: Backend,
        R: AsyncRead + Unpin + Send + 'static,
        W: AsyncWrite + Unpin + Send + 'static,
    {
        config.streams.check()?;
        let storage = StreamStorage::on_heap(&config.streams);
        let (limits, now) = (config.streams.clone(), Now::default());
        let machine = Streams::new(limits, role, storage, buffers, now, seed())?;
        let shell = Arc::new(Locked::new(StreamShell::new(machine, config.waiting_max)));
        let mut limits = LinkLimits::default();
        limits.write_timeout_us =
            u64::try_from(config.write_timeout.as_micros()).unwrap_or(u64::MAX);
        spawn_link(backend, shell.clone(), reader, writer, config.window_bytes, limits);
        Ok(Self { shell })
    }

    /// Opens a stream. Where as many are open as may be, or wait for the peer to accept them, it
    /// waits for its turn, first come, first served. The peer hears of the stream with the first
    /// bytes written, or at once where there are none; it may still refuse it.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future opens no stream and gives up its turn.
    pub async fn open(&self) -> Result<Stream, OpenError> {
        let mut turn = Turn::opening(&self.shell);
        let key = poll_fn(|context| turn.poll_open(context)).await?;
        Ok(Stream { owner: Owner::new(self.shell.clone(), key) })
    }

    /// The next stream that the peer opened.
    ///
    /// # Errors
    ///
    /// Why the connection is gone, after the streams that had arrived before.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no stream.
    pub async fn accept(&self) -> Result<Stream, CloseReason> {
        let mut turn = Turn::accepting(&self.shell);
        let key = poll_fn(|context| turn.poll_accept(context)).await?;
        Ok(Stream { owner: Owner::new(self.shell.clone(), key) })
    }

    /// Opens and accepts no more streams, waits until those that are there are over, and closes the
    /// connection. Returns why it is closed, which may be another reason than this call.
    ///
    /// # Cancel safety
    ///
    /// The link closes even if the future is dropped, once it was polled.
    pub async fn close(&self) -> CloseReason {
        act(&self.shell, |shell| shell.machine.go_away(GoAwayReason::Normal));
        self.closed().await
    }

    /// Closes the connection at once. Streams are lost.
    pub fn abort(&self) {
        act(&self.shell, |shell| shell.machine.close());
    }

    /// Waits for the connection's end, for whatever reason.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn closed(&self) -> CloseReason {
        poll_fn(|context| self.shell.with(|shell| shell.poll_closed(context))).await
    }

    /// How the streams are.
    #[must_use]
    pub fn status(&self) -> StreamStatus {
        self.shell.with(|shell| shell.machine.status())
    }

    /// What was counted: a snapshot of one moment.
    #[must_use]
    pub fn counters(&self) -> StreamCounters {
        self.shell.with(|shell| *shell.machine.counters())
    }
}

/// Differs from link to link, and can't be guessed by a peer.
fn seed() -> u64 {
    use core::hash::{BuildHasher, Hasher};
    std::hash::RandomState::new().build_hasher().finish()
}

impl Clone for StreamLink {
    fn clone(&self) -> Self {
        self.shell.with(|shell| shell.handles += 1);
        Self { shell: self.shell.clone() }
    }
}

impl Drop for StreamLink {
    fn drop(&mut self) {
        act(&self.shell, |shell| {
            shell.handles -= 1;
            if shell.handles == 0 {
                shell.machine.go_away(GoAwayReason::Normal);
            }
        });
    }
}

impl fmt::Debug for StreamLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamLink").field("status", &self.status()).finish_non_exhaustive()
    }
}

/// Why no stream was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// The connection takes no more streams.
    Refused(OpenRefused),
    /// As many tasks wait to open one as may.
    QueueFull {
        /// How many that are.
        waiting_max: usize,
    },
}

impl From<OpenRefused> for OpenError {
    fn from(refused: OpenRefused) -> Self {
        Self::Refused(refused)
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refused) => refused.fmt(f),
            Self::QueueFull { waiting_max } => write!(
                f,
                "{waiting_max} tasks wait to open a stream already; use another connection"
            ),
        }
    }
}

impl core::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Refused(refused) => Some(refused),
            Self::QueueFull { .. } => None,
        }
    }
}

/// One stream: bytes in order, both ways.
///
/// It is read and written through [`AsyncRead`] and [`AsyncWrite`] of `futures-io`, or buffer by
/// buffer without copying. Whole or [`split`](Self::split) in halves, it can go to any task.
///
/// [`close`](AsyncWrite::poll_close) says that nothing more is written; what was written is sent
/// even if the stream is dropped then. A stream that is dropped without, while the peer has not
/// finished either, is reset: the peer sees an error, and no end that nobody meant.
///
/// Reading and writing are cancel-safe: a future that is dropped has read or written nothing.
pub struct Stream {
    owner: Owner,
}

/// The half of a [`Stream`] that reads.
pub struct StreamReader {
    owner: Arc<Owner>,
}

/// The half of a [`Stream`] that writes.
///
/// Dropping it alone says nothing to the peer; [`close`](AsyncWrite::poll_close) does.
pub struct StreamWriter {
    owner: Arc<Owner>,
}

impl Stream {
    /// Two halves for two tasks. The stream is released when both are dropped.
    #[must_use]
    pub fn split(self) -> (StreamReader, StreamWriter) {
        let owner = Arc::new(self.owner);
        (StreamReader { owner: owner.clone() }, StreamWriter { owner })
    }

    /// The stream's number on the wire.
    #[must_use]
    pub const fn id(&self) -> u32 {
        self.owner.key.id()
    }

    /// Ends the stream in both directions, at once; what waits to be sent or read is dropped.
    pub fn reset(&self) {
        self.owner.reset();
    }

    /// The next buffer that has arrived, without copying; `None` where the peer has finished and
    /// all was read.
    ///
    /// # Errors
    ///
    /// [`StreamError`] once nothing can be read any more.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no bytes.
    pub async fn read_chunk(&mut self) -> Result<Option<Chunk>, StreamError> {
        self.owner.read_chunk().await
    }

    /// Sends a buffer, without copying. Ends when it is in the queue to be sent.
    ///
    /// # Errors
    ///
    /// [`StreamError`] where nothing can be sent any more.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the buffer, unless it was in the queue already.
    pub async fn write_chunk(&mut self, chunk: Chunk) -> Result<(), StreamError> {
        self.owner.write_chunk(chunk).await
    }
}

impl StreamReader {
    /// As [`Stream::read_chunk`].
    ///
    /// # Errors
    ///
    /// As [`Stream::read_chunk`].
    ///
    /// # Cancel safety
    ///
    /// As [`Stream::read_chunk`].
    pub async fn read_chunk(&mut self) -> Result<Option<Chunk>, StreamError> {
        self.owner.read_chunk().await
    }

    /// As [`Stream::reset`].
    pub fn reset(&self) {
        self.owner.reset();
    }
}

impl StreamWriter {
    /// As [`Stream::write_chunk`].
    ///
    /// # Errors
    ///
    /// As [`Stream::write_chunk`].
    ///
    /// # Cancel safety
    ///
    /// As [`Stream::write_chunk`].
    pub async fn write_chunk(&mut self, chunk: Chunk) -> Result<(), StreamError> {
        self.owner.write_chunk(chunk).await
    }

    /// As [`Stream::reset`].
    pub fn reset(&self) {
        self.owner.reset();
    }
}

macro_rules! read_and_write {
    ($($reads:ty),*; $($writes:ty),*) => {
        $(impl AsyncRead for $reads {
            #[inline]
            fn poll_read(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                into: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                self.owner.poll_read(context, into).map_err(into_io)
            }
        })*
        $(impl AsyncWrite for $writes {
            #[inline]
            fn poll_write(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                data: &[u8],
            ) -> Poll<io::Result<usize>> {
                self.owner.poll_write(context, data).map_err(into_io)
            }

            /// Ends when all that was written is on its way.
            fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.owner.poll_flush(context).map_err(into_io)
            }

            /// Says that nothing more is written; ends when all that was is on its way.
            fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.owner.poll_close(context).map_err(into_io)
            }
        })*
    };
}

read_and_write!(Stream, StreamReader; Stream, StreamWriter);

#[cold]
fn into_io(error: StreamError) -> io::Error {
    let kind = match error {
        StreamError::Refused => io::ErrorKind::ConnectionRefused,
        StreamError::Reset => io::ErrorKind::ConnectionReset,
        StreamError::Violation => io::ErrorKind::InvalidData,
        StreamError::Finished => io::ErrorKind::BrokenPipe,
        StreamError::Unknown => io::ErrorKind::NotConnected,
        _ => io::ErrorKind::ConnectionAborted,
    };
    io::Error::new(kind, error)
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stream({})", self.id())
    }
}

impl fmt::Debug for StreamReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamReader({})", self.owner.key.id())
    }
}

impl fmt::Debug for StreamWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamWriter({})", self.owner.key.id())
    }
}

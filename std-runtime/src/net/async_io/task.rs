//! Tasks: what is asked for, how it goes on, what comes of it.

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::io;

use futures_io::{AsyncRead, AsyncWrite};

use crate::memory::{Chunk, Lease};
use crate::net::connection::CompressedWrite;

/// Submitters write so much by themselves.
const QUICK_BYTES: usize = 16_384;

/// A connection that tasks can work on.
pub trait TaskConnection: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Closes it: something was half done on it, so that nobody must use it again.
    ///
    /// Dropping is enough for connections that are not pooled.
    fn abandon(self)
    where
        Self: Sized,
    {
    }

    /// Writes the rest of a frame with `body` for
    /// [`read_decompressed`](crate::net::Connection::read_decompressed) at the other end, flushes
    /// it, and returns how many bytes it took on the wire.
    ///
    /// Connections of a pool compress as its settings say; others send the body as it is.
    ///
    /// # Errors
    ///
    /// Those of the connection.
    fn poll_write_compressed(
        &mut self,
        cx: &mut Context<'_>,
        body: &[u8],
        progress: &mut CompressedWrite,
    ) -> Poll<io::Result<usize>>
    where
        Self: Sized,
    {
        progress.poll_plain(self, cx, body)
    }
}

/// One piece of work on one connection, with the time it may take.
///
/// The connection belongs to the task while it runs and comes back in [`Finished`].
#[must_use = "a task does nothing until it is submitted"]
pub struct IoTask<C> {
    pub(super) work: Work<C>,
    pub(super) within: Option<Duration>,
}

pub(super) struct Work<C> {
    connection: C,
    step: Step,
    /// Whether something is half done on the connection.
    begun: bool,
}

enum Step {
    Read { into: Lease, at_least: usize, got: usize },
    Write { bytes: Chunk, written: usize },
    WriteCompressed { body: Chunk, progress: CompressedWrite },
}

impl<C: TaskConnection> IoTask<C> {
    /// Reads what comes next, at least one byte, to the end of `into`.
    pub const fn read(connection: C, into: Lease) -> Self {
        Self::read_at_least(connection, into, 1)
    }

    /// Reads at least `at_least` bytes to the end of `into`, and more if they are there. What
    /// `into` has no room for is not read: `at_least` is taken to be no more than its room.
    pub const fn read_at_least(connection: C, into: Lease, at_least: usize) -> Self {
        Self::new(connection, Step::Read { into, at_least, got: 0 })
    }

    /// Writes all of `bytes` and flushes them.
    pub const fn write(connection: C, bytes: Chunk) -> Self {
        Self::new(connection, Step::Write { bytes, written: 0 })
    }

    /// Writes `body`, compressed where the connection's settings say so, for
    /// [`read_decompressed`](crate::net::Connection::read_decompressed) at the other end, and
    /// flushes it. The result is the number of bytes that it took on the wire.
    ///
    /// Compressing takes the time of a worker's thread: about 10 ms per MB.
    pub fn write_compressed(connection: C, body: Chunk) -> Self {
        Self::new(connection, Step::WriteCompressed { body, progress: CompressedWrite::default() })
    }

    /// Limits the time from submission to completion, in the queue and at work. Without this it is
    /// the [`AsyncIoConfig::time_out`](super::AsyncIoConfig::time_out).
    pub const fn within(mut self, time: Duration) -> Self {
        self.within = Some(time);
        self
    }

    const fn new(connection: C, step: Step) -> Self {
        Self { work: Work { connection, step, begun: false }, within: None }
    }
}

impl<C: TaskConnection> Work<C> {
    /// Whether it mostly can be done at once, in less time than it takes to call a worker.
    pub(super) fn is_quick(&self) -> bool {
        matches!(&self.step, Step::Write { bytes, .. } if bytes.len() <= QUICK_BYTES)
    }

    /// Whether something is half done on the connection.
    pub(super) const fn has_begun(&self) -> bool {
        self.begun
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, IoTaskError>> {
        match &mut self.step {
            Step::Read { into, at_least, got } => {
                self.begun = true;
                let connection = &mut self.connection;
                let result = ready!(poll_read(connection, into, *at_least, got, cx));
                self.begun = result.is_err();
                Poll::Ready(result.map(|()| *got))
            }
            Step::Write { bytes, written } => {
                let connection = &mut self.connection;
                let poll = poll_write(connection, bytes, written, cx);
                self.begun = match &poll {
                    Poll::Ready(result) => result.is_err(),
                    Poll::Pending => *written > 0,
                };
                poll.map_ok(|()| *written).map_err(IoTaskError::Io)
            }
            Step::WriteCompressed { body, progress } => {
                let poll = self.connection.poll_write_compressed(cx, body, progress);
                self.begun = match &poll {
                    Poll::Ready(result) => result.is_err(),
                    Poll::Pending => progress.written() > 0,
                };
                poll.map_err(IoTaskError::Io)
            }
        }
    }

    /// What is left of it when nothing more is done.
    pub(super) fn finish(self, result: Result<usize, IoTaskError>) -> Finished<C> {
        let connection = if self.begun {
            self.connection.abandon();
            None
        } else {
            Some(self.connection)
        };
        let buffer = match self.step {
            Step::Read { into, .. } => Some(into),
            Step::Write { .. } | Step::WriteCompressed { .. } => None,
        };
        Finished { result, connection, buffer }
    }
}

fn poll_read<C: AsyncRead + Unpin>(
    connection: &mut C,
    into: &mut Lease,
    at_least: usize,
    got: &mut usize,
    cx: &mut Context<'_>,
) -> Poll<Result<(), IoTaskError>> {
    while *got < at_least && into.spare() > 0 {
        let read = Pin::new(&mut *connection).poll_read(cx, into.dirty_mut());
        match ready!(read).map_err(IoTaskError::Io)? {
            0 => return Poll::Ready(Err(IoTaskError::PeerClosed { bytes: *got })),
            count => {
                let overrun = |_| IoTaskError::Io(io::ErrorKind::InvalidData.into());
                into.commit(count).map_err(overrun)?;
                *got += count;
            }
        }
    }
    Poll::Ready(Ok(()))
}

fn poll_write<C: AsyncWrite + Unpin>(
    connection: &mut C,
    bytes: &Chunk,
    written: &mut usize,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    while let Some(rest) = bytes.get(*written..).filter(|rest| !rest.is_empty()) {
        match ready!(Pin::new(&mut *connection).poll_write(cx, rest))? {
            0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            count => *written += count,
        }
    }
    Pin::new(connection).poll_flush(cx)
}

/// What came of a task.
#[derive(Debug)]
#[non_exhaustive]
pub struct Finished<C> {
    /// Bytes read or written, or why it failed.
    pub result: Result<usize, IoTaskError>,
    /// The connection; `None` where the task failed in the middle of something, so that it had to
    /// be closed.
    pub connection: Option<C>,
    /// The buffer that was read into, with what was read; `None` of tasks that write.
    pub buffer: Option<Lease>,
}

/// Why a task failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum IoTaskError {
    /// It was not done in time.
    TimedOut {
        /// Whether it had been begun.
        begun: bool,
    },
    /// The peer closed the connection before enough was read.
    PeerClosed {
        /// Bytes read before that.
        bytes: usize,
    },
    /// The connection failed.
    Io(io::Error),
    /// The runtime of the workers ended before the task was done.
    RuntimeEnded,
    /// Its future was dropped. Nobody gets to see this one.
    Cancelled,
}

impl fmt::Display for IoTaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut { begun: true } => f.write_str("not done in time"),
            Self::TimedOut { begun: false } => {
                f.write_str("waited in the queue for too long; are there enough workers?")
            }
            Self::PeerClosed { bytes } => {
                write!(f, "the peer closed the connection after {bytes} bytes")
            }
            Self::Io(error) => write!(f, "the connection failed: {error}"),
            Self::RuntimeEnded => f.write_str("the runtime of the workers has ended"),
            Self::Cancelled => f.write_str("cancelled"),
        }
    }
}

impl core::error::Error for IoTaskError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

/// A task that was not accepted, given back as it was.
pub struct Refused<C> {
    /// Why.
    pub reason: RefusedReason,
    /// The task.
    pub task: IoTask<C>,
}

/// Why a task was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefusedReason {
    /// As many tasks as may be are queued, running or waiting for somebody to take their result.
    Full,
    /// [`AsyncIo::stop`](super::AsyncIo::stop) was called.
    Stopped,
    /// The runtime of the workers has ended.
    RuntimeEnded,
}

impl fmt::Display for RefusedReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "too many tasks are outstanding; submit again when some are done",
            Self::Stopped => "no tasks are accepted any more, because it was stopped",
            Self::RuntimeEnded => "the runtime of the workers has ended",
        })
    }
}

impl<C> fmt::Display for Refused<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task refused: {}", self.reason)
    }
}

impl<C> fmt::Debug for Refused<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refused").field("reason", &self.reason).finish_non_exhaustive()
    }
}

impl<C> core::error::Error for Refused<C> {}

impl<C> fmt::Debug for IoTask<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let work = match &self.work.step {
            Step::Read { .. } => "read",
            Step::Write { .. } => "write",
            Step::WriteCompressed { .. } => "write compressed",
        };
        let within = &self.within;
        f.debug_struct("IoTask")
            .field("work", &work)
            .field("within", within)
            .finish_non_exhaustive()
    }
}

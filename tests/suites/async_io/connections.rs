//! Connections in memory, each with one habit, that count themselves.

use alloc::sync::Arc;
use core::pin::Pin;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::{Context, Poll};
use std::io;

use futures_io::{AsyncRead, AsyncWrite};
use turbopump_std::net::async_io::TaskConnection;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Habit {
    /// Does everything at once.
    Instant,
    /// Moves one byte at a time and makes wait for each.
    Slow,
    /// Never does anything.
    Silent,
    /// Takes or gives one byte, then nothing.
    Stalls,
    /// Fails.
    Broken,
    /// Has ended.
    Ended,
}

#[derive(Default)]
pub(crate) struct Census {
    alive: AtomicUsize,
    abandoned: AtomicUsize,
}

impl Census {
    pub(crate) fn alive(&self) -> usize {
        self.alive.load(Ordering::SeqCst)
    }

    pub(crate) fn abandoned(&self) -> usize {
        self.abandoned.load(Ordering::SeqCst)
    }

    pub(crate) fn connection(self: &Arc<Self>, habit: Habit) -> Connection {
        self.alive.fetch_add(1, Ordering::SeqCst);
        Connection { habit, moved: 0, hesitated: false, census: Arc::clone(self) }
    }
}

pub(crate) struct Connection {
    habit: Habit,
    moved: usize,
    hesitated: bool,
    census: Arc<Census>,
}

impl Connection {
    fn poll_move(&mut self, cx: &Context<'_>, bytes: usize) -> Poll<io::Result<usize>> {
        let count = match self.habit {
            Habit::Instant => bytes,
            Habit::Slow => {
                self.hesitated = !self.hesitated;
                if self.hesitated {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                1
            }
            Habit::Stalls if self.moved == 0 => 1,
            Habit::Silent | Habit::Stalls => return Poll::Pending,
            Habit::Broken => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            Habit::Ended => 0,
        };
        self.moved += count;
        Poll::Ready(Ok(count))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.census.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

impl TaskConnection for Connection {
    fn abandon(self) {
        self.census.abandoned.fetch_add(1, Ordering::SeqCst);
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let poll = self.poll_move(cx, out.len());
        if let Poll::Ready(Ok(count)) = poll {
            out[..count].fill(7);
        }
        poll
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_move(cx, bytes.len())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

//! The halves of a backend's connection, the backend's timers and its tasks, as hyper takes them.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use alloc::boxed::Box;

use futures_io::{AsyncRead, AsyncWrite};
use hyper::rt::{Read, ReadBufCursor, Sleep, Timer, Write};

use crate::backend::Backend;

/// Both halves of a connection.
pub(in super::super) struct Joined<R, W> {
    pub(in super::super) reader: R,
    pub(in super::super) writer: W,
}

/// What is read at once; requests are short.
const READ_BYTES: usize = 4_096;

impl<R: AsyncRead + Unpin, W: Unpin> Read for Joined<R, W> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        // By way of the stack: to read in place takes unsafe code.
        let mut bytes = [0; READ_BYTES];
        let room = bytes.get_mut(..into.remaining().min(READ_BYTES)).unwrap_or_default();
        let len = ready!(Pin::new(&mut self.get_mut().reader).poll_read(cx, room))?;
        into.put_slice(room.get(..len).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl<R: Unpin, W: AsyncWrite + Unpin> Write for Joined<R, W> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().writer).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().writer).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().writer).poll_close(cx)
    }
}

/// The timers of a backend.
#[derive(Clone)]
pub(in super::super) struct BackendTimer<B>(pub(in super::super) B);

impl<B: Backend> Timer for BackendTimer<B> {
    fn sleep(&self, duration: core::time::Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(Instant::now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        let backend = self.0.clone();
        let sleep = async move { backend.sleep_until(deadline).await };
        Box::pin(Sleeping(Mutex::new(Box::pin(sleep))))
    }
}

/// Behind a lock that nobody waits for, because hyper wants timers to be `Sync`.
struct Sleeping(Mutex<Pin<Box<dyn Future<Output = ()> + Send>>>);

impl Sleep for Sleeping {}

impl Future for Sleeping {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.get_mut().0.get_mut().unwrap_or_else(PoisonError::into_inner);
        sleep.as_mut().poll(cx)
    }
}

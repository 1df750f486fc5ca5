//! A connection in somebody's hands.

use core::fmt;
use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io::{self, IoSlice};

use alloc::boxed::Box;
use alloc::sync::Arc;

use futures_io::{AsyncRead, AsyncWrite};
use turbopump_core::link::pool::{Held, Retired};

use super::live::Live;
use super::shared::Shared;
use super::split::{ConnectionReader, ConnectionWriter, split};
use super::status::IoCounts;
use crate::backend::Backend;

/// A connection of a [`ConnectionPool`](super::ConnectionPool). Dropping it gives it back.
///
/// It is closed instead where it can't be used again: something failed or timed out, or a read or
/// write was cut short because its future was dropped. That a question was asked and its answer
/// not read is known to its user only: say so by [`begin_exchange`](Self::begin_exchange), or the
/// next user gets the answer.
///
/// ```no_run
/// # use turbopump_std::net::{Connection, ConnectionError};
/// async fn ask<B: turbopump_std::backend::Backend>(
///     connection: &mut Connection<B>,
///     question: &[u8],
///     answer: &mut [u8],
/// ) -> Result<(), ConnectionError> {
///     connection.begin_exchange();
///     connection.write(question).await?;
///     connection.read_exact(answer).await?;
///     connection.end_exchange();
///     Ok(())
/// }
/// ```
///
/// The methods have the pool's time-outs. The traits [`AsyncRead`] and [`AsyncWrite`] are for
/// protocol implementations that expect them: they have no time-outs, and since they don't know
/// where a message ends, a connection is given back as if all were well unless one of them failed.
pub struct Connection<B: Backend> {
    pub(super) shared: Arc<Shared<B>>,
    /// Taken when it is dropped only.
    inner: Option<(Held, Box<Live<B>>)>,
}

impl<B: Backend> Connection<B> {
    #[inline]
    pub(super) const fn new(shared: Arc<Shared<B>>, held: Held, live: Box<Live<B>>) -> Self {
        Self { shared, inner: Some((held, live)) }
    }

    /// The address of the peer.
    #[must_use]
    pub fn peer_address(&self) -> SocketAddr {
        self.live().address
    }

    /// What went through it since it was checked out.
    #[must_use]
    pub fn counts(&self) -> IoCounts {
        self.live().counts
    }

    /// From now on the connection is closed when it is dropped, until
    /// [`end_exchange`](Self::end_exchange): because its user's future may be dropped after the
    /// question and before the whole answer.
    pub fn begin_exchange(&mut self) {
        self.live_mut().in_exchange = true;
    }

    /// Nothing is left that the peer could send.
    pub fn end_exchange(&mut self) {
        self.live_mut().in_exchange = false;
    }

    /// False within an exchange and once something has failed, so that it will be closed when it is
    /// dropped.
    #[must_use]
    pub fn can_be_reused(&self) -> bool {
        self.live().can_be_reused()
    }

    /// Closes the connection: for who knows that it can't be used again, because an answer is left
    /// unread or the peer talks nonsense.
    pub fn discard(mut self) {
        if let Some((held, live)) = self.inner.take() {
            self.shared.discard(held, *live, Retired::Discarded);
        }
    }

    /// The halves that read and write, for what uses both at once and for good, such as
    /// [`RequestLink::over`](crate::net::RequestLink::over) and
    /// [`StreamLink::over`](crate::net::StreamLink::over).
    ///
    /// The connection keeps its place in the pool until both halves are dropped, and is closed
    /// then: nobody knows in the middle of what. The halves have no time-outs of their own.
    #[must_use]
    pub fn split(mut self) -> (ConnectionReader<B>, ConnectionWriter<B>) {
        match self.inner.take() {
            Some((held, live)) => split(Arc::clone(&self.shared), held, *live),
            None => unreachable!("a connection is taken only when it is dropped"),
        }
    }

    pub(super) fn live(&self) -> &Live<B> {
        match &self.inner {
            Some((_, live)) => live,
            None => unreachable!("a connection is taken only when it is dropped"),
        }
    }

    pub(super) fn live_mut(&mut self) -> &mut Live<B> {
        match &mut self.inner {
            Some((_, live)) => live,
            None => unreachable!("a connection is taken only when it is dropped"),
        }
    }

    pub(super) fn parts(&mut self) -> (&Shared<B>, &mut Live<B>) {
        match &mut self.inner {
            Some((_, live)) => (&self.shared, live),
            None => unreachable!("a connection is taken only when it is dropped"),
        }
    }
}

impl<B: Backend> Drop for Connection<B> {
    #[inline]
    fn drop(&mut self) {
        if let Some((held, live)) = self.inner.take() {
            self.shared.give_back(held, live);
        }
    }
}

impl<B: Backend> AsyncRead for Connection<B> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let live = self.get_mut().live_mut();
        let result = ready!(live.incoming.poll_read(cx, into));
        match &result {
            Ok(0) if !into.is_empty() => live.is_broken = true,
            Ok(len) => live.counts.bytes_read += *len as u64,
            Err(_) => live.is_broken = true,
        }
        Poll::Ready(result)
    }
}

impl<B: Backend> AsyncWrite for Connection<B> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let live = self.get_mut().live_mut();
        let result = ready!(Pin::new(&mut live.writer).poll_write(cx, bytes));
        Poll::Ready(live.note_written(result))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let live = self.get_mut().live_mut();
        let result = ready!(Pin::new(&mut live.writer).poll_write_vectored(cx, slices));
        Poll::Ready(live.note_written(result))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let live = self.get_mut().live_mut();
        let result = ready!(Pin::new(&mut live.writer).poll_flush(cx));
        live.is_broken |= result.is_err();
        Poll::Ready(result)
    }

    /// Tells the peer that nothing follows. The connection is not used again.
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let live = self.get_mut().live_mut();
        live.is_broken = true;
        Pin::new(&mut live.writer).poll_close(cx)
    }
}

impl<B: Backend> Live<B> {
    pub(super) fn note_written(&mut self, result: io::Result<usize>) -> io::Result<usize> {
        match &result {
            Ok(len) => self.counts.bytes_written += *len as u64,
            Err(_) => self.is_broken = true,
        }
        result
    }
}

impl<B: Backend> fmt::Debug for Connection<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("endpoint", &self.shared.endpoint)
            .field("peer_address", &self.peer_address())
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}

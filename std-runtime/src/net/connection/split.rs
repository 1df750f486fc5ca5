//! A pooled connection whose halves go separate ways.

use core::fmt;
use core::pin::Pin;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::{Context, Poll, ready};
use std::io::{self, IoSlice};

use alloc::sync::Arc;

use futures_io::{AsyncRead, AsyncWrite};
use turbopump_core::link::pool::{Held, Retired};

use super::halves::WriteHalf;
use super::incoming::Incoming;
use super::live::Live;
use super::shared::Shared;
use super::status::IoCounts;
use crate::backend::Backend;

/// The half of a pooled connection that reads; see
/// [`Connection::split`](super::Connection::split).
pub struct ConnectionReader<B: Backend> {
    incoming: Incoming<B::Reader>,
    // Behind the socket, so that the place is free when both sockets' halves are gone.
    place: Arc<HeldPlace<B>>,
}

/// The half of a pooled connection that writes; see
/// [`Connection::split`](super::Connection::split).
pub struct ConnectionWriter<B: Backend> {
    writer: WriteHalf<B::Writer>,
    place: Arc<HeldPlace<B>>,
}

/// Gives the place back with the last half.
struct HeldPlace<B: Backend> {
    shared: Arc<Shared<B>>,
    held: Option<Held>,
    before: IoCounts,
    bytes_read: AtomicU64,
    bytes_written: AtomicU64,
}

pub(super) fn split<B: Backend>(
    shared: Arc<Shared<B>>,
    held: Held,
    live: Live<B>,
) -> (ConnectionReader<B>, ConnectionWriter<B>) {
    let Live { incoming, writer, counts, .. } = live;
    let place = Arc::new(HeldPlace {
        shared,
        held: Some(held),
        before: counts,
        bytes_read: AtomicU64::new(0),
        bytes_written: AtomicU64::new(0),
    });
    (ConnectionReader { incoming, place: Arc::clone(&place) }, ConnectionWriter { writer, place })
}

impl<B: Backend> Drop for HeldPlace<B> {
    fn drop(&mut self) {
        let Some(held) = self.held.take() else { return };
        let mut counts = self.before;
        counts.bytes_read += *self.bytes_read.get_mut();
        counts.bytes_written += *self.bytes_written.get_mut();
        self.shared.forget(held, counts, Retired::Discarded);
    }
}

impl<B: Backend> AsyncRead for ConnectionReader<B> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let len = ready!(this.incoming.poll_read(cx, into))?;
        this.place.bytes_read.fetch_add(len as u64, Ordering::Relaxed);
        Poll::Ready(Ok(len))
    }
}

impl<B: Backend> ConnectionWriter<B> {
    fn count(&self, result: io::Result<usize>) -> Poll<io::Result<usize>> {
        if let Ok(len) = &result {
            self.place.bytes_written.fetch_add(*len as u64, Ordering::Relaxed);
        }
        Poll::Ready(result)
    }
}

impl<B: Backend> AsyncWrite for ConnectionWriter<B> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = ready!(Pin::new(&mut this.writer).poll_write(cx, bytes));
        this.count(result)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = ready!(Pin::new(&mut this.writer).poll_write_vectored(cx, slices));
        this.count(result)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().writer).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().writer).poll_close(cx)
    }
}

impl<B: Backend> fmt::Debug for ConnectionReader<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionReader")
            .field("endpoint", &self.place.shared.endpoint)
            .finish_non_exhaustive()
    }
}

impl<B: Backend> fmt::Debug for ConnectionWriter<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionWriter")
            .field("endpoint", &self.place.shared.endpoint)
            .finish_non_exhaustive()
    }
}

//! The two halves of a connection over one socket in smol's reactor.

use ::core::pin::Pin;
use ::core::task::{Context, Poll};
use alloc::sync::Arc;
use std::io::{IoSlice, IoSliceMut, Result};
use std::net::{Shutdown, TcpStream};

use futures_io::{AsyncRead, AsyncWrite};
use smol::Async;

/// The half that reads.
#[derive(Debug)]
pub struct Reader(pub(super) Arc<Async<TcpStream>>);

/// The half that writes. Dropping it closes this direction, as closing it does.
#[derive(Debug)]
pub struct Writer(pub(super) Arc<Async<TcpStream>>);

impl AsyncRead for Reader {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut &*self.0).poll_read(cx, into)
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut [IoSliceMut<'_>],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut &*self.0).poll_read_vectored(cx, into)
    }
}

impl AsyncWrite for Writer {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        Pin::new(&mut &*self.0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut &*self.0).poll_write_vectored(cx, slices)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut &*self.0).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        // The reactor's own closing flushes only.
        Poll::Ready(self.0.get_ref().shutdown(Shutdown::Write))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // As on tokio: the peer of a reader that lives on learns that nothing follows. Fails where
        // the connection is gone, and then there is nobody to tell.
        let _ = self.0.get_ref().shutdown(Shutdown::Write);
    }
}

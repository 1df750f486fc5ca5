//! The halves of a connection, encrypted or not.

use core::pin::Pin;
use core::task::{Context, Poll};
use std::io::{IoSlice, Result};

use futures_io::{AsyncRead, AsyncWrite};

#[cfg(feature = "tls")]
use crate::net::tls::{TlsReader, TlsWriter};

/// The half that reads.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReadHalf<R> {
    /// Straight from the transport.
    Plain(R),
    /// Decrypted.
    #[cfg(feature = "tls")]
    Tls(TlsReader<R>),
}

/// The half that writes.
#[derive(Debug)]
#[non_exhaustive]
pub enum WriteHalf<W> {
    /// Straight to the transport.
    Plain(W),
    /// Encrypted.
    #[cfg(feature = "tls")]
    Tls(TlsWriter<W>),
}

impl<R: AsyncRead + Unpin> AsyncRead for ReadHalf<R> {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<Result<usize>> {
        match self.get_mut() {
            Self::Plain(reader) => Pin::new(reader).poll_read(cx, into),
            #[cfg(feature = "tls")]
            Self::Tls(reader) => Pin::new(reader).poll_read(cx, into),
        }
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for WriteHalf<W> {
    #[inline]
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        match self.get_mut() {
            Self::Plain(writer) => Pin::new(writer).poll_write(cx, bytes),
            #[cfg(feature = "tls")]
            Self::Tls(writer) => Pin::new(writer).poll_write(cx, bytes),
        }
    }

    #[inline]
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        match self.get_mut() {
            Self::Plain(writer) => Pin::new(writer).poll_write_vectored(cx, slices),
            #[cfg(feature = "tls")]
            Self::Tls(writer) => Pin::new(writer).poll_write_vectored(cx, slices),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match self.get_mut() {
            Self::Plain(writer) => Pin::new(writer).poll_flush(cx),
            #[cfg(feature = "tls")]
            Self::Tls(writer) => Pin::new(writer).poll_flush(cx),
        }
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match self.get_mut() {
            Self::Plain(writer) => Pin::new(writer).poll_close(cx),
            #[cfg(feature = "tls")]
            Self::Tls(writer) => Pin::new(writer).poll_close(cx),
        }
    }
}

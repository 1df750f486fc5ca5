//! The halves of a [`Backend`](crate::backend::Backend) as the core's drivers take them.

use core::future::poll_fn;
use core::pin::Pin;
use std::io::{self, IoSlice};

use embedded_io_async::{ErrorType, Read};
use futures_io::{AsyncRead, AsyncWrite};
use turbopump_core::driver::LinkWrite;
use turbopump_core::link::CHUNKS_MAX;

/// Any `futures_io` half, with the traits of [`turbopump_core::driver`].
#[derive(Debug)]
pub struct FuturesIo<T>(pub T);

impl<T> ErrorType for FuturesIo<T> {
    type Error = io::Error;
}

impl<T: AsyncRead + Unpin> Read for FuturesIo<T> {
    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        poll_fn(|context| Pin::new(&mut self.0).poll_read(context, buffer)).await
    }
}

impl<T: AsyncWrite + Unpin> LinkWrite for FuturesIo<T> {
    async fn write_chunks(&mut self, chunks: &[&[u8]]) -> io::Result<usize> {
        if let [chunk] = chunks {
            return poll_fn(|context| Pin::new(&mut self.0).poll_write(context, chunk)).await;
        }
        let mut slices = [IoSlice::new(&[]); CHUNKS_MAX];
        for (slice, chunk) in slices.iter_mut().zip(chunks) {
            *slice = IoSlice::new(chunk);
        }
        let slices = slices.get(..chunks.len()).unwrap_or(&slices);
        poll_fn(|context| Pin::new(&mut self.0).poll_write_vectored(context, slices)).await
    }

    async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|context| Pin::new(&mut self.0).poll_flush(context)).await
    }

    async fn close(&mut self) -> io::Result<()> {
        poll_fn(|context| Pin::new(&mut self.0).poll_close(context)).await
    }
}

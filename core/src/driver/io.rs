//! Writing, as a link wants it.

use embedded_io_async::{ErrorType, Write};

/// The half of a connection that writes, several pieces at once where it can.
///
/// [`Plain`] makes one of any `embedded-io-async` writer.
#[allow(async_fn_in_trait)] // No bounds on the futures: see the module.
pub trait LinkWrite: ErrorType {
    /// Writes some of `chunks`, in order, and returns how many bytes; never 0 unless there is
    /// nothing to be written or the transport takes no more.
    ///
    /// Never cancelled, except when the whole link is given up.
    ///
    /// # Errors
    ///
    /// What the transport says; the link is closed then.
    async fn write_chunks(&mut self, chunks: &[&[u8]]) -> Result<usize, Self::Error>;

    /// Sees to it that all that was written reaches the peer without further calls. Called whenever
    /// there is nothing more to write.
    ///
    /// # Errors
    ///
    /// What the transport says; the link is closed then.
    async fn flush(&mut self) -> Result<(), Self::Error>;

    /// Says to the peer that nothing follows, where the transport can say that.
    ///
    /// # Errors
    ///
    /// What the transport says; the link is closed anyway.
    async fn close(&mut self) -> Result<(), Self::Error> {
        self.flush().await
    }
}

/// Any `embedded-io-async` writer as a [`LinkWrite`]: one piece after the other.
#[derive(Debug)]
pub struct Plain<W>(pub W);

impl<W: ErrorType> ErrorType for Plain<W> {
    type Error = W::Error;
}

impl<W: Write> LinkWrite for Plain<W> {
    async fn write_chunks(&mut self, chunks: &[&[u8]]) -> Result<usize, W::Error> {
        match chunks.iter().find(|chunk| !chunk.is_empty()) {
            Some(chunk) => self.0.write(chunk).await,
            None => Ok(0),
        }
    }

    async fn flush(&mut self) -> Result<(), W::Error> {
        self.0.flush().await
    }
}

//! The half of a connection that reads, with what a check has read already.

use core::pin::Pin;
use core::task::{Context, Poll};
use std::io;

use futures_io::AsyncRead;

use super::halves::ReadHalf;

pub(super) struct Incoming<R> {
    reader: ReadHalf<R>,
    /// What a check before reuse has read: to be read before anything else.
    prefix: [u8; PREFIX_BYTES],
    prefix_from: u8,
    prefix_to: u8,
}

impl<R> Incoming<R> {
    pub(super) const fn new(reader: ReadHalf<R>) -> Self {
        Self { reader, prefix: [0; PREFIX_BYTES], prefix_from: 0, prefix_to: 0 }
    }
}

impl<R: AsyncRead + Unpin> Incoming<R> {
    /// Whether the peer is still there, as far as can be told without waiting. What it has sent is
    /// kept for whoever reads next.
    pub(super) fn is_healthy(&mut self, cx: &mut Context<'_>) -> bool {
        if self.prefix_from == self.prefix_to {
            (self.prefix_from, self.prefix_to) = (0, 0);
        }
        while let Some(room) = self.prefix.get_mut(usize::from(self.prefix_to)..)
            && !room.is_empty()
        {
            match Pin::new(&mut self.reader).poll_read(cx, room) {
                Poll::Pending => return true,
                Poll::Ready(Ok(0)) => return false,
                // Never more than there is room for.
                Poll::Ready(Ok(len)) => self.prefix_to += len as u8,
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Poll::Ready(Err(_)) => return false,
            }
        }
        true
    }

    /// Reads what the last check has left, then from the peer.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let kept = self.prefix.get(usize::from(self.prefix_from)..usize::from(self.prefix_to));
        match kept {
            Some(kept) if !kept.is_empty() => {
                let len = kept.len().min(into.len());
                let (from, to) = (kept.get(..len), into.get_mut(..len));
                if let (Some(from), Some(to)) = (from, to) {
                    to.copy_from_slice(from);
                }
                self.prefix_from += len as u8;
                Poll::Ready(Ok(len))
            }
            _ => Pin::new(&mut self.reader).poll_read(cx, into),
        }
    }
}

/// Enough for a farewell such as a TLS alert or a line of text, so that what lies behind it, the
/// end of the stream, is seen.
const PREFIX_BYTES: usize = 64;

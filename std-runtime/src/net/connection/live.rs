//! One open connection, wherever it is.

use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io;
use std::time::Instant;

use futures_io::AsyncRead;

use super::halves::{ReadHalf, WriteHalf};
use super::status::IoCounts;
use crate::backend::Backend;

/// What belongs to a connection and stays with it when it changes hands.
pub(super) struct Live<B: Backend> {
    pub(super) reader: ReadHalf<B::Reader>,
    pub(super) writer: WriteHalf<B::Writer>,
    pub(super) address: SocketAddr,
    /// What a check before reuse has read: to be read before anything else.
    prefix: [u8; PREFIX_BYTES],
    prefix_from: u8,
    prefix_to: u8,
    /// A read or write has begun and not ended: where a message begins is unknown.
    pub(super) is_cut: bool,
    /// Its user waits for an answer.
    pub(super) in_exchange: bool,
    /// Something has failed.
    pub(super) is_broken: bool,
    /// When the last write ended, until something was read.
    pub(super) written_at: Option<Instant>,
    /// Since it was checked out.
    pub(super) counts: IoCounts,
}

impl<B: Backend> Live<B> {
    pub(super) fn new(
        reader: ReadHalf<B::Reader>,
        writer: WriteHalf<B::Writer>,
        address: SocketAddr,
    ) -> Self {
        Self {
            reader,
            writer,
            address,
            prefix: [0; PREFIX_BYTES],
            prefix_from: 0,
            prefix_to: 0,
            is_cut: false,
            in_exchange: false,
            is_broken: false,
            written_at: None,
            counts: IoCounts::default(),
        }
    }

    pub(super) const fn can_be_used(&self) -> bool {
        !self.is_cut && !self.is_broken
    }

    pub(super) const fn can_be_reused(&self) -> bool {
        self.can_be_used() && !self.in_exchange
    }

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

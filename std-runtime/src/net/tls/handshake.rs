//! The handshake: both halves in one hand, so that the peer gets every answer.

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::{Context, Poll};
use std::time::Instant;

use futures_io::{AsyncRead, AsyncWrite};
use rustls::Connection;

use super::error::TlsError;
use super::halves::{TlsReader, TlsWriter, halves};

/// A handshake under way. Dropping it closes the connection.
pub(super) struct Handshake<R, W> {
    reader: TlsReader<R>,
    writer: TlsWriter<W>,
    /// Why it failed; the peer is still to be told.
    failed: Option<TlsError>,
}

impl<R, W> Handshake<R, W> {
    pub(super) fn new(connection: Connection, reader: R, writer: W) -> Self {
        let (reader, writer) = halves(connection, reader, writer);
        Self { reader, writer, failed: None }
    }
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Handshake<R, W> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TlsError>> {
        loop {
            let sent = self.writer.poll_flush_transport(cx);
            if let Some(error) = self.failed.take() {
                if sent.is_pending() {
                    self.failed = Some(error);
                    return Poll::Pending;
                }
                // The error of who failed counts, not that the peer could not be told.
                return Poll::Ready(Err(error));
            }
            match sent {
                Poll::Ready(Err(error)) => return self.poll_last_word(cx, error),
                Poll::Ready(Ok(())) if !self.reader.session().is_handshaking() => {
                    return Poll::Ready(Ok(()));
                }
                // A peer may want to be read before it reads.
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
            if !self.reader.session().is_handshaking() {
                return Poll::Pending;
            }
            match self.reader.poll_receive(cx) {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false)) => return Poll::Ready(Err(TlsError::PeerClosed)),
                Poll::Ready(Err(error @ TlsError::Transport(_))) => return Poll::Ready(Err(error)),
                Poll::Ready(Err(error)) => self.failed = Some(error),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// A peer that refuses this side says why and closes; then writing fails first.
    fn poll_last_word(
        &mut self,
        cx: &mut Context<'_>,
        failed: TlsError,
    ) -> Poll<Result<(), TlsError>> {
        loop {
            match self.reader.poll_receive(cx) {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Err(error @ TlsError::PeerRefused { .. })) => {
                    return Poll::Ready(Err(error));
                }
                _ => return Poll::Ready(Err(failed)),
            }
        }
    }
}

/// The halves, once the handshake is done before `timer` ends.
pub(super) async fn within<R, W>(
    mut handshake: Handshake<R, W>,
    timer: impl Future<Output = ()>,
    started: Instant,
) -> Result<(TlsReader<R>, TlsWriter<W>), TlsError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut timer = pin!(timer);
    poll_fn(|cx| {
        if let Poll::Ready(result) = handshake.poll(cx) {
            return Poll::Ready(result);
        }
        let timed_out = || TlsError::HandshakeTimedOut { after: started.elapsed() };
        timer.as_mut().poll(cx).map(|()| Err(handshake.failed.take().unwrap_or_else(timed_out)))
    })
    .await?;
    Ok((handshake.reader, handshake.writer))
}

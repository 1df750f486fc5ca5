//! Where a connection comes in: plainly or by TLS.
//!
//! The first byte says which: a TLS handshake begins with 0x16, which no RocketMQ frame does, as it
//! would be one of 369 MB. Who is trusted is decided by the settings of the
//! [`TlsServer`](crate::net::tls::TlsServer).

use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io;

use alloc::string::{String, ToString};

use futures_io::{AsyncRead, AsyncWrite};

use crate::backend::Backend;
use crate::broker::config::{TlsConfig, TlsMode};
use crate::net::tls::{TlsError, TlsReader, TlsWriter};
use crate::within::within;

/// The first byte of a record of TLS that belongs to a handshake (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 0x16;
/// After the first byte; somebody who never ends the handshake holds a place until then.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// A connection that may say what it wants.
pub(super) enum Entered<R, W> {
    Plain(Peeked<R>, W),
    Secured(TlsReader<Peeked<R>>, TlsWriter<W>),
    /// It was closed, or said nothing for too long.
    Silent,
    /// It must not come in.
    Refused(String),
}

/// Waits for the first byte until `silent_max` is over, then does what that and the mode ask for.
pub(super) async fn enter<B, R, W>(
    backend: &B,
    tls: &TlsConfig,
    (mut reader, writer): (R, W),
    silent_max: Duration,
) -> Entered<R, W>
where
    B: Backend,
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let first = within(backend, backend.now() + silent_max, first_byte(&mut reader)).await;
    let Some(Ok(Some(first))) = first else {
        return Entered::Silent;
    };
    let reader = Peeked { first: Some(first), reader };
    if first != HANDSHAKE {
        return match tls.mode {
            TlsMode::Permissive => Entered::Plain(reader, writer),
            TlsMode::Enforcing => Entered::Refused(TlsError::NotTls.to_string()),
        };
    }
    let until = backend.now() + HANDSHAKE_WITHIN;
    match within(backend, until, tls.server.accept_over(reader, writer)).await {
        Some(Ok((reader, writer))) => Entered::Secured(reader, writer),
        Some(Err(error)) => Entered::Refused(error.to_string()),
        None => {
            Entered::Refused(TlsError::HandshakeTimedOut { after: HANDSHAKE_WITHIN }.to_string())
        }
    }
}

async fn first_byte<R: AsyncRead + Unpin>(reader: &mut R) -> io::Result<Option<u8>> {
    let mut byte = [0];
    let read = poll_fn(|cx| Pin::new(&mut *reader).poll_read(cx, &mut byte)).await?;
    Ok((read > 0).then_some(byte[0]))
}

/// A reader whose first byte was looked at.
pub(super) struct Peeked<R> {
    first: Option<u8>,
    reader: R,
}

impl<R: AsyncRead + Unpin> AsyncRead for Peeked<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if let (Some(first), [place, ..]) = (this.first, &mut *buffer) {
            this.first = None;
            *place = first;
            // More may be there, but that is for the next read: nobody waits for it here.
            return Poll::Ready(Ok(1));
        }
        Pin::new(&mut this.reader).poll_read(cx, buffer)
    }
}

//! The two halves of a secured connection and the session that they share.

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io::{self, IoSlice, Read, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use futures_io::{AsyncRead, AsyncWrite};
use rustls::{Connection, ProtocolVersion};

use super::error::TlsError;

/// The most plain text of a record; also the most that one write takes.
const RECORD_BYTES: usize = 16_384;
/// What a record adds at most: its header, a type, padding, an authentication tag.
const RECORD_OVERHEAD_BYTES: usize = 261;

/// The half that reads.
///
/// Reading gives 0 bytes after the peer said that nothing follows, and [`TlsError::Truncated`] when
/// the connection ended without that.
pub struct TlsReader<R> {
    transport: R,
    session: Arc<Mutex<Session>>,
    /// What the transport gave; the session has not seen `pending` of it.
    received: Box<[u8]>,
    pending: core::ops::Range<usize>,
}

/// The half that writes.
///
/// A write takes up to 16 KiB, encrypts them and hands on what the transport takes at once; flush
/// to have it take the rest. Closing tells the peer that nothing follows; reading goes on.
pub struct TlsWriter<W> {
    transport: W,
    session: Arc<Mutex<Session>>,
    /// Encrypted; the transport has not taken what lies behind `taken`.
    encrypted: Vec<u8>,
    taken: usize,
    closed: bool,
}

/// What both halves use, under a lock that is held only while bytes are worked on.
pub(super) struct Session {
    connection: Connection,
}

pub(super) fn halves<R, W>(
    mut connection: Connection,
    reader: R,
    writer: W,
) -> (TlsReader<R>, TlsWriter<W>) {
    connection.set_buffer_limit(Some(RECORD_BYTES));
    let session = Arc::new(Mutex::new(Session { connection }));
    let capacity = RECORD_BYTES + RECORD_OVERHEAD_BYTES;
    let tls_reader = TlsReader {
        transport: reader,
        session: Arc::clone(&session),
        received: alloc::vec![0; capacity].into_boxed_slice(),
        pending: 0..0,
    };
    let tls_writer = TlsWriter {
        transport: writer,
        session,
        encrypted: Vec::with_capacity(capacity),
        taken: 0,
        closed: false,
    };
    (tls_reader, tls_writer)
}

/// A panic within the session's code leaves it unusable by its own account, not by ours.
fn lock(session: &Mutex<Session>) -> MutexGuard<'_, Session> {
    session.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Session {
    /// Takes from the front of `received` until there is plain text to read or all is taken.
    fn decrypt(&mut self, received: &[u8]) -> Result<usize, TlsError> {
        let mut rest = received;
        while !rest.is_empty() {
            let read = self.connection.read_tls(&mut rest).map_err(TlsError::Transport)?;
            let state = self.connection.process_new_packets()?;
            if state.plaintext_bytes_to_read() > 0 || read == 0 {
                break;
            }
        }
        Ok(received.len() - rest.len())
    }

    /// The transport has ended.
    fn end(&mut self) -> Result<(), TlsError> {
        self.connection.read_tls(&mut io::empty()).map_err(TlsError::Transport)?;
        self.connection.process_new_packets()?;
        Ok(())
    }

    /// `None` where more must be received first.
    fn read(&mut self, out: &mut [u8]) -> Option<Result<usize, TlsError>> {
        match self.connection.reader().read(out) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Some(Err(TlsError::Truncated))
            }
            result => Some(result.map_err(from_session)),
        }
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }
}

/// The session's own errors hide in those of its reader and writer.
fn from_session(error: io::Error) -> TlsError {
    match error.downcast::<rustls::Error>() {
        Ok(error) => error.into(),
        Err(error) => TlsError::Transport(error),
    }
}

impl<R> TlsReader<R> {
    /// The certificate that the peer proved to own, DER; `None` for an anonymous client.
    #[must_use]
    pub fn peer_certificate(&self) -> Option<Vec<u8>> {
        let session = lock(&self.session);
        let certificates = session.connection.peer_certificates()?;
        certificates.first().map(|certificate| certificate.to_vec())
    }

    /// `"TLSv1.3"` or `"TLSv1.2"`.
    #[must_use]
    pub fn protocol(&self) -> &'static str {
        match lock(&self.session).connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "TLSv1.3",
        }
    }

    pub(super) fn session(&self) -> MutexGuard<'_, Session> {
        lock(&self.session)
    }
}

impl<R: AsyncRead + Unpin> TlsReader<R> {
    /// Gives the session what came, after waiting for some; `false` at the transport's end.
    pub(super) fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, TlsError>> {
        if self.pending.is_empty() {
            let transport = Pin::new(&mut self.transport);
            let received = ready!(transport.poll_read(cx, &mut self.received));
            self.pending = 0..received.map_err(TlsError::Transport)?;
        }
        let mut session = lock(&self.session);
        if self.pending.is_empty() {
            return Poll::Ready(session.end().map(|()| false));
        }
        // A transport can't give more than there was room for.
        let pending = self.received.get(self.pending.clone()).unwrap_or_default();
        match session.decrypt(pending) {
            Ok(0) => {
                // After the peer's last word the session takes no more.
                self.pending = 0..0;
            }
            Ok(taken) => self.pending.start += taken,
            Err(error) => {
                self.pending = 0..0;
                return Poll::Ready(Err(error));
            }
        }
        Poll::Ready(Ok(true))
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for TlsReader<R> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if out.is_empty() {
            return Poll::Ready(Ok(0));
        }
        loop {
            if let Some(result) = lock(&this.session).read(out) {
                return Poll::Ready(result.map_err(Into::into));
            }
            ready!(this.poll_receive(cx))?;
        }
    }
}

impl<W: AsyncWrite + Unpin> TlsWriter<W> {
    /// Fetches what the session wants to send and waits until the transport has taken all of it.
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TlsError>> {
        self.fetch()?;
        while self.taken < self.encrypted.len() {
            let rest = self.encrypted.get(self.taken..).unwrap_or_default();
            match ready!(Pin::new(&mut self.transport).poll_write(cx, rest)) {
                Ok(0) => {
                    let error = io::Error::from(io::ErrorKind::WriteZero);
                    return Poll::Ready(Err(TlsError::Transport(error)));
                }
                Ok(taken) => self.taken += taken,
                Err(error) => return Poll::Ready(Err(TlsError::Transport(error))),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn fetch(&mut self) -> Result<(), TlsError> {
        if self.taken == self.encrypted.len() {
            self.encrypted.clear();
            self.taken = 0;
        }
        let mut session = lock(&self.session);
        while session.connection.wants_write() {
            let written = session.connection.write_tls(&mut self.encrypted);
            written.map_err(TlsError::Transport)?;
        }
        Ok(())
    }

    /// Encrypts by `write` what the session takes, once all before it is with the transport.
    fn poll_encrypt(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(&mut rustls::Writer<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        if self.closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        ready!(self.poll_send(cx))?;
        let written = write(&mut lock(&self.session).connection.writer());
        let written = written.map_err(|error| io::Error::from(from_session(error)))?;
        match self.poll_send(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
            // What the transport did not take waits for the next write or flush.
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(written)),
        }
    }

    pub(super) fn poll_flush_transport(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), TlsError>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.transport).poll_flush(cx).map_err(TlsError::Transport)
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for TlsWriter<W> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_encrypt(cx, |writer| writer.write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_encrypt(cx, |writer| writer.write_vectored(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_flush_transport(cx).map_err(Into::into)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.closed {
            lock(&this.session).connection.send_close_notify();
            this.closed = true;
        }
        ready!(this.poll_flush_transport(cx))?;
        Pin::new(&mut this.transport).poll_close(cx)
    }
}

impl<R> fmt::Debug for TlsReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsReader").field("pending", &self.pending.len()).finish_non_exhaustive()
    }
}

impl<W> fmt::Debug for TlsWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pending = self.encrypted.len() - self.taken;
        f.debug_struct("TlsWriter").field("pending", &pending).finish_non_exhaustive()
    }
}

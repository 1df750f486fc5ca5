//! The listener and its connections.

use core::convert::Infallible;
use core::future::poll_fn;
use core::net::SocketAddr;
use core::pin::Pin;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::io;
use std::time::Instant;

use alloc::sync::Arc;

use futures_io::AsyncWrite;
use http::Request;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;

use super::io::{BackendTimer, Joined};
use super::router::Pages;
use crate::backend::{Backend, SocketOptions};
use crate::end::End;
use crate::tasks::kinds;
use crate::within::within;

/// Serves pages until the end.
pub(in super::super) struct Server<B: Backend, P: Pages> {
    pub(in super::super) backend: B,
    pub(in super::super) pages: P,
    pub(in super::super) end: Arc<End>,
    pub(in super::super) connections_max: usize,
    pub(in super::super) head_timeout: Duration,
    pub(in super::super) connection_lifetime: Duration,
    pub(in super::super) connections: AtomicUsize,
}

impl<B: Backend, P: Pages> Server<B, P> {
    /// Listens, and serves whoever comes in tasks of their own.
    pub(in super::super) async fn open(self: &Arc<Self>, at: SocketAddr) -> io::Result<SocketAddr> {
        let listener = self.backend.listen(at).await?;
        let address = B::local_address(&listener)?;
        let this = Arc::clone(self);
        let ticket = self.end.enter();
        kinds::MONITOR_LISTENER.spawn(&self.backend, async move {
            // Left last, when the listener is closed.
            let _ticket = ticket;
            let mut listener = listener;
            let options = SocketOptions::default();
            while let Some(accepted) =
                this.end.unless_over(B::accept(&mut listener, &options)).await
            {
                match accepted {
                    Ok((reader, writer, _)) => this.take(reader, writer),
                    // Too many files are open, as a rule: some will be closed.
                    Err(_) => this.backend.sleep_until(Instant::now() + PAUSE).await,
                }
            }
        });
        Ok(address)
    }

    fn take(self: &Arc<Self>, reader: B::Reader, writer: B::Writer) {
        let this = Arc::clone(self);
        // Left last, when both halves are closed.
        let ticket = self.end.enter();
        let (before, counted) = Counted::new(self);
        kinds::MONITOR_CONNECTION.spawn(&self.backend, async move {
            let (_ticket, _counted) = (ticket, counted);
            let (reader, writer) = (reader, writer);
            if before >= this.connections_max {
                this.turn_away(writer).await;
            } else {
                this.serve(Joined { reader, writer }).await;
            }
        });
    }

    async fn turn_away(&self, mut writer: B::Writer) {
        let written = poll_fn(|cx| Pin::new(&mut writer).poll_write(cx, BUSY));
        let closing = async {
            // It fits into the socket's buffer; who is gone already does not miss it.
            let _ = written.await;
        };
        self.end.unless_over(closing).await;
    }

    async fn serve(self: &Arc<Self>, io: Joined<B::Reader, B::Writer>) {
        let service = service_fn(move |request: Request<Incoming>| {
            let server = Arc::clone(self);
            async move {
                let (parts, _) = request.into_parts();
                let response = server.pages.respond(&parts).await;
                Ok::<_, Infallible>(response.map(Full::new))
            }
        });
        let connection = http1::Builder::new()
            .timer(BackendTimer(self.backend.clone()))
            .header_read_timeout(self.head_timeout)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(io, service);
        // Whatever it is at then, it has had enough time.
        let until = Instant::now() + self.connection_lifetime;
        self.end.unless_over(within(&self.backend, until, connection)).await;
    }
}

/// A connection that counts, however its task ends.
struct Counted<B: Backend, P: Pages>(Arc<Server<B, P>>);

impl<B: Backend, P: Pages> Counted<B, P> {
    /// How many there were before.
    fn new(server: &Arc<Server<B, P>>) -> (usize, Self) {
        let before = server.connections.fetch_add(1, Ordering::Relaxed);
        (before, Self(Arc::clone(server)))
    }
}

impl<B: Backend, P: Pages> Drop for Counted<B, P> {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Of a request's head; hyper answers longer ones with 431.
const HEAD_BYTES_MAX: usize = 16_384;

/// After an error of the listener.
const PAUSE: Duration = Duration::from_millis(50);

static BUSY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 26\r\n\
    content-type: text/plain\r\nconnection: close\r\n\r\ntoo many connections; wait\n";

//! A name server that runs on its own: the machine, its connections and its clock.

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use std::io;

use alloc::sync::Arc;

use bytes::Bytes;

use turbopump_core::frame::FrameError;
use turbopump_core::link::{Chunks, CloseReason};
use turbopump_core::time::{Instant, Now};

use super::STOP_WITHIN;
use super::clock::ServerClock;
use super::hub::{Common, Served};
use super::listener::Serving;
use crate::backend::Backend;
use crate::broker::machine::SessionId;
use crate::broker::name_server::{NameServer, NameServerConfig, NameServerStats};

impl Served for NameServer {
    fn handle_opened(&mut self, now: Now, peer: SocketAddr) -> Option<SessionId> {
        self.handle_opened(now, peer)
    }

    fn handle_bytes(
        &mut self,
        now: Now,
        id: SessionId,
        window: &[u8],
    ) -> Result<usize, FrameError> {
        self.handle_bytes(now, id, window)
    }

    fn handle_insecure(&mut self, _id: SessionId, _reason: &str) {
        self.handle_insecure();
    }

    fn handle_closed(&mut self, now: Now, id: SessionId, reason: CloseReason) {
        self.handle_closed(now, id, reason);
    }

    fn handle_timeout(&mut self, now: Now) {
        self.handle_timeout(now);
    }

    fn poll_transmit(&mut self, id: SessionId, out: &mut Chunks<Bytes>) {
        self.poll_transmit(id, out);
    }

    fn takes_bytes(&self, id: SessionId) -> bool {
        self.takes_bytes(id)
    }

    fn poll_close(&self, id: SessionId) -> Option<CloseReason> {
        self.poll_close(id)
    }

    fn poll_woken(&mut self) -> Option<SessionId> {
        self.poll_woken()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.poll_timeout()
    }

    fn frame_bytes_max(&self) -> usize {
        self.config().frame_bytes_max
    }

    fn idle_max(&self) -> Duration {
        self.config().idle_max
    }
}

/// A name server without a broker, running on a backend in this process. Brokers register at it,
/// clients ask it for routes.
///
/// Ends when it is dropped; [`shutdown`](Self::shutdown) waits until everything has ended.
pub struct EmbeddedNameServer<B: Backend> {
    serving: Arc<Serving<NameServer, B>>,
    address: SocketAddr,
}

impl<B: Backend> EmbeddedNameServer<B> {
    /// Starts a name server, which is ready when this returns.
    ///
    /// # Errors
    ///
    /// What the operating system says about the address.
    ///
    /// # Cancel safety
    ///
    /// Whatever was started ends when the future is dropped.
    pub async fn start(backend: B, config: NameServerConfig) -> io::Result<Self> {
        let (listen, receiving_bytes_max) = (config.listen, config.receiving_bytes_max);
        #[cfg(feature = "tls")]
        let tls = config.tls.clone();
        let clock = ServerClock::new(backend.clone());
        let common = Common::new(NameServer::new(config), receiving_bytes_max, 0);
        let serving = Arc::new(Serving {
            backend,
            common: Arc::new(common),
            clock,
            end: Arc::default(),
            visits: Arc::default(),
            #[cfg(feature = "tls")]
            tls,
        });
        let mut server = Self { serving, address: listen };
        server.address = server.serving.listen(listen).await?;
        server.serving.run_clock();
        Ok(server)
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it is like now.
    #[must_use]
    pub fn stats(&self) -> NameServerStats {
        self.serving.common.with_machine(|machine| machine.stats())
    }

    /// Asks for [`stats`](Self::stats) for as long as anybody wants them: for a monitor.
    pub fn stats_source(&self) -> impl Fn() -> NameServerStats + Send + Sync + 'static {
        let serving = Arc::clone(&self.serving);
        move || serving.common.with_machine(|machine| machine.stats())
    }

    /// Stops: nothing more is accepted, what was answered is written, connections are closed, and
    /// all tasks end. Peers that do not read are cut off after a second.
    ///
    /// # Cancel safety
    ///
    /// It ends all the same, but nobody waits for it.
    pub async fn shutdown(self) {
        self.serving.stop(STOP_WITHIN).await;
    }
}

impl<B: Backend> Drop for EmbeddedNameServer<B> {
    fn drop(&mut self) {
        self.serving.cut_off();
    }
}

impl<B: Backend> fmt::Debug for EmbeddedNameServer<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedNameServer").field("address", &self.address).finish_non_exhaustive()
    }
}

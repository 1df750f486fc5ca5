//! A broker that runs: the machine, its connections, its clock and its store.

mod clock;
#[cfg(feature = "tls")]
mod entrance;
mod hub;
mod listener;
mod name_server;
mod registrar;
mod store_thread;

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use std::io;

use alloc::sync::Arc;
use alloc::vec::Vec;

use turbopump_core::frame::FrameError;
use turbopump_core::link::{Chunks, CloseReason};
use turbopump_core::time::{Clock, Instant, Now};

use bytes::Bytes;

use super::config::{BrokerConfig, FlushPolicy, StoreConfig};
use super::machine::{Broker, BrokerStats, Fault, JournalEntry, NOTES, Notice, SessionId};
use super::store::{DiskStore, Folder, StoreSettings};
use crate::backend::Backend;

pub use hub::Served;
pub use name_server::EmbeddedNameServer;

use clock::ServerClock;
use hub::Common;
use listener::Serving;

impl Served for Broker {
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

    fn handle_insecure(&mut self, id: SessionId, reason: &str) {
        self.handle_insecure(id, reason);
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
        self.config().limits.frame_bytes_max
    }

    fn idle_max(&self) -> Duration {
        self.config().limits.idle_max
    }

    fn is_killed(&self) -> bool {
        self.is_killed()
    }

    fn owes_answers(&self) -> bool {
        self.owes_answers()
    }

    fn registration_version(&self) -> u64 {
        self.registration_version()
    }

    fn has_write(&self) -> bool {
        self.has_group()
    }

    fn has_read(&self) -> bool {
        self.has_read()
    }
}

/// How long what was taken may take to be answered when a server stops.
const STOP_WITHIN: Duration = Duration::from_secs(1);

/// A machine with what was found on disk, and the store.
fn open(
    config: BrokerConfig,
    store: &StoreConfig,
    now: Now,
) -> io::Result<(Broker, (DiskStore<Folder>, FlushPolicy))> {
    let settings = StoreSettings::default();
    let flush = store.flush;
    let folder = Folder::open(&store.folder)?;
    let listen = config.listen;
    let mut machine = Broker::new(config, listen, true, now);
    let opened = DiskStore::open(folder, settings, NOTES, &mut |position, finding| {
        machine.recover_finding(position, finding);
    });
    let (store, recovery) = opened.map_err(io::Error::other)?;
    machine.handle_recovered(now, store.start(), store.end());
    machine.note_recovery(recovery);
    Ok((machine, (store, flush)))
}

/// A broker with its name server, running on a backend in this process.
///
/// Ends when it is dropped; [`shutdown`](Self::shutdown) waits until everything has ended.
pub struct EmbeddedBroker<B: Backend> {
    serving: Arc<Serving<Broker, B>>,
    address: SocketAddr,
    name_server: Option<SocketAddr>,
}

impl<B: Backend> EmbeddedBroker<B> {
    /// Starts a broker, which is ready when this returns.
    ///
    /// # Errors
    ///
    /// What the operating system says about an address.
    ///
    /// # Cancel safety
    ///
    /// Whatever was started ends when the future is dropped.
    pub async fn start(backend: B, config: BrokerConfig) -> io::Result<Self> {
        let (listen, name_server) = (config.listen, config.name_server);
        let registrars = config.register_at.len();
        let receiving_bytes_max = config.limits.receiving_bytes_max;
        #[cfg(feature = "tls")]
        let tls = config.tls.clone();
        let clock = ServerClock::new(backend.clone());
        let (machine, store) = match config.store.clone() {
            None => (Broker::new(config, listen, false, clock.now()), None),
            Some(store) => {
                let now = clock.now();
                let opened = backend.run_blocking(move || open(config, &store, now)).await?;
                (opened.0, Some(opened.1))
            }
        };
        let serving = Arc::new(Serving {
            backend,
            common: Arc::new(Common::new(machine, receiving_bytes_max, registrars)),
            clock,
            end: Arc::default(),
            visits: Arc::default(),
            #[cfg(feature = "tls")]
            tls,
        });
        if let Some((store, flush)) = store {
            store_thread::start(&serving, store, flush)?;
        }
        let mut broker = Self { serving, address: listen, name_server: None };
        broker.address = broker.serving.listen(listen).await?;
        let address = broker.address;
        broker.serving.common.with_machine(|machine| {
            machine.set_address(address);
            machine.handle_listening(address);
        });
        if let Some(at) = name_server {
            let address = broker.serving.listen(at).await?;
            broker.name_server = Some(address);
            broker.serving.common.with_machine(|machine| machine.handle_listening(address));
        }
        broker.serving.run_clock();
        registrar::start(&broker.serving);
        Ok(broker)
    }

    /// Where the broker listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its name server listens: the broker's own address where that has none of its own.
    #[must_use]
    pub fn name_server_address(&self) -> SocketAddr {
        self.name_server.unwrap_or(self.address)
    }

    /// What it is like now.
    #[must_use]
    pub fn stats(&self) -> BrokerStats {
        self.serving.common.with_machine(|machine| machine.stats())
    }

    /// Asks for [`stats`](Self::stats) for as long as anybody wants them: for a monitor.
    pub fn stats_source(&self) -> impl Fn() -> BrokerStats + Send + Sync + 'static {
        let serving = Arc::clone(&self.serving);
        move || serving.common.with_machine(|machine| machine.stats())
    }

    /// Something that somebody should know of, oldest first; the last 256 are kept.
    #[must_use]
    pub fn poll_notice(&self) -> Option<Notice> {
        self.serving.common.with_machine(Broker::poll_notice)
    }

    /// From now on something goes wrong.
    pub fn inject(&self, fault: Fault) {
        self.serving.common.with_machine(|machine| machine.inject(fault));
    }

    /// From now on nothing goes wrong any more.
    pub fn clear_faults(&self) {
        self.serving.common.with_machine(Broker::clear_faults);
    }

    /// From now on each write to disk, and each read from it, takes so much longer, until faults
    /// are cleared; nothing in a broker without a disk.
    pub fn slow_down_disk(&self, by: Duration) {
        self.serving.common.with_machine(|machine| machine.slow_down_disk(by));
    }

    /// Ends it as `kill -9` would: connections end without a word, and nothing more is written.
    /// Ready when another one can be started in its place.
    ///
    /// # Cancel safety
    ///
    /// It ends all the same, but nobody waits for it.
    pub async fn kill(self) {
        self.serving.common.with_machine(Broker::kill);
        self.serving.cut_off();
        self.serving.end.all_have_left().await;
    }

    /// Keeps the last requests, so many at most.
    pub fn keep_journal(&self, entries_max: usize) {
        self.serving.common.with_machine(|machine| machine.keep_journal(entries_max));
    }

    /// The requests that were kept, oldest first; they are not kept any longer.
    #[must_use]
    pub fn take_journal(&self) -> Vec<JournalEntry> {
        self.serving.common.with_machine(Broker::take_journal)
    }

    /// Puts the broker's clock forward: what is due by then is done at once. For tests of delays,
    /// transactions and everything else that takes long.
    pub fn advance_clock(&self, by: Duration) {
        self.serving.clock.advance(by);
        let now = self.serving.clock.now();
        self.serving.common.with_machine(|machine| {
            machine.forgive_silence(now);
            machine.handle_timeout(now);
        });
        // The clock's task measures by the old time.
        self.serving.common.bell.ring();
    }

    /// Stops: nothing more is taken, what was taken is stored and answered, connections are closed,
    /// and all tasks end. Peers that do not read, and a disk that does not write, are cut off after
    /// a second; dropping the broker cuts off everything at once.
    ///
    /// # Cancel safety
    ///
    /// It ends all the same, but at once, and nobody waits for it.
    pub async fn shutdown(self) {
        let now = self.serving.clock.now();
        self.serving.common.with_machine(|machine| machine.handle_stopping(now));
        self.serving.stop(STOP_WITHIN).await;
    }
}

impl<B: Backend> Drop for EmbeddedBroker<B> {
    fn drop(&mut self) {
        let now = self.serving.clock.now();
        self.serving.common.with_machine(|machine| machine.handle_stopping(now));
        self.serving.cut_off();
    }
}

impl<B: Backend> fmt::Debug for EmbeddedBroker<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedBroker")
            .field("address", &self.address)
            .field("name_server", &self.name_server)
            .finish_non_exhaustive()
    }
}

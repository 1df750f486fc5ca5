//! The broker that the demo sends to, which can go away and come back.

use core::time::Duration;
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use alloc::sync::Arc;
use core::net::SocketAddr;

use turbopump::runtime::backend::Backend;
use turbopump::runtime::broker::{
    BrokerConfig, BrokerStats, EmbeddedBroker, FlushPolicy, StoreConfig,
};

/// A broker on disk, always at the same address once it has run.
pub(crate) struct Server<B: Backend> {
    backend: B,
    config: BrokerConfig,
    address: SocketAddr,
    running: Mutex<Option<EmbeddedBroker<B>>>,
}

impl<B: Backend> Server<B> {
    /// Starts it; its messages are kept in `folder`, so many of them at least.
    pub(crate) async fn start(backend: B, folder: &Path, messages: u64) -> io::Result<Arc<Self>> {
        let mut store = StoreConfig::new(folder);
        store.flush = FlushPolicy::Interval(Duration::from_secs(1));
        let mut config = BrokerConfig::default();
        config.store = Some(store);
        config.name_server = None;
        config.retention.bytes_max = u64::MAX;
        config.retention.messages_max = config.retention.messages_max.max(2 * messages);
        let broker = EmbeddedBroker::start(backend.clone(), config.clone()).await?;
        let address = broker.address();
        config.listen = address;
        let running = Mutex::new(Some(broker));
        Ok(Arc::new(Self { backend, config, address, running }))
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    fn running(&self) -> MutexGuard<'_, Option<EmbeddedBroker<B>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing but zeros while it is away.
    pub(crate) fn stats(&self) -> BrokerStats {
        self.running().as_ref().map(EmbeddedBroker::stats).unwrap_or_default()
    }

    pub(crate) async fn stop(&self) {
        let broker = self.running().take();
        if let Some(broker) = broker {
            broker.shutdown().await;
        }
    }

    /// Starts it again, with all that is on disk.
    pub(crate) async fn start_again(&self) -> io::Result<()> {
        let broker = EmbeddedBroker::start(self.backend.clone(), self.config.clone()).await?;
        *self.running() = Some(broker);
        Ok(())
    }
}

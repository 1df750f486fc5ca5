//! A client of RocketMQ: sends messages to the brokers of a cluster.
//!
//! The module decides nothing about failures: that is done by
//! [`turbopump_core::rocketmq::client`]. It keeps connections and routes, and waits.
//!
//! | module | holds |
//! | --- | --- |
//! | `config` | how a client is set |
//! | `peers` | one connection to each broker and name server that is needed |
//! | `routes` | where topics are |
//! | `message` | what is sent |
//! | `producer` | sending |
//! | `error` | why something was not sent |
//!
//! A client is a value: several of them, for several clusters, know nothing of each other.
//!
//! ```no_run
//! use turbopump_std::backend::Backend;
//! use turbopump_std::client::{Client, ClientConfig, Message};
//!
//! async fn hello<B: Backend>(backend: B) -> Result<(), Box<dyn std::error::Error>> {
//!     let client = Client::start(backend, ClientConfig::new("127.0.0.1:9876")).await?;
//!     let producer = client.producer("group");
//!     let sent = producer.send(Message::new("topic", "hi")).await?;
//!     println!("{sent:?}");
//!     client.close().await;
//!     Ok(())
//! }
//! ```

mod config;
mod error;
mod ids;
mod message;
mod peers;
mod producer;
mod routes;

use core::fmt;

use alloc::sync::Arc;
use alloc::vec::Vec;

use turbopump_core::rocketmq::client::{NameServer, name_servers};

use crate::backend::{Backend, Endpoint};
use crate::clock::SystemClock;

use ids::Ids;
use peers::Peers;
use routes::Routes;

pub use config::{AddressMapper, ClientConfig};
pub use error::{ConnectError, SendError, SendErrorKind};
pub use message::Message;
pub use producer::{Producer, SendReceipt, SendStatus};

/// A client of one cluster: a cheap handle.
pub struct Client<B: Backend> {
    inner: Arc<Inner<B>>,
}

struct Inner<B: Backend> {
    config: ClientConfig,
    clock: SystemClock,
    backend: B,
    peers: Peers<B>,
    routes: Routes<B>,
    ids: Ids,
}

impl<B: Backend> Client<B> {
    /// A client that has reached one of its name servers.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] for a list that is none, and where no name server can be reached within
    /// the time for a send.
    ///
    /// # Cancel safety
    ///
    /// Whatever was started ends when the future is dropped.
    pub async fn start(backend: B, config: ClientConfig) -> Result<Self, ConnectError> {
        let servers = endpoints(&config.name_servers)?;
        let peers = Peers::new(&backend, &config)?;
        let routes = Routes::new(servers.iter().map(|server| peers.at(server)).collect());
        let (clock, ids) = (SystemClock::new(), Ids::new());
        let inner = Inner { config, clock, backend, peers, routes, ids };
        let client = Self { inner: Arc::new(inner) };
        client.inner.reach_name_server().await?;
        Ok(client)
    }

    /// A client on the runtime that runs the caller: [`start`](Self::start) with the defaults.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    ///
    /// # Cancel safety
    ///
    /// As [`start`](Self::start).
    pub async fn connect(name_servers: &str) -> Result<Self, ConnectError>
    where
        B: Default,
    {
        Self::start(B::default(), ClientConfig::new(name_servers)).await
    }

    /// Sends in the name of a producer group.
    #[must_use]
    pub fn producer(&self, group: &str) -> Producer<B> {
        Producer::new(Arc::clone(&self.inner), group)
    }

    /// How it is set.
    #[must_use]
    pub fn config(&self) -> &ClientConfig {
        &self.inner.config
    }

    /// Finishes what is under way, and closes all connections; what is sent later fails.
    ///
    /// # Cancel safety
    ///
    /// What was closed stays closed.
    pub async fn close(&self) {
        self.inner.peers.close().await;
    }
}

/// The addresses of a list. Address servers are not asked yet.
fn endpoints(list: &str) -> Result<Vec<Endpoint>, ConnectError> {
    let mut endpoints = Vec::new();
    for server in name_servers(list) {
        match server {
            Ok(NameServer::Endpoint { host, port }) => endpoints.push(Endpoint::new(host, port)),
            Ok(_) => return Err(ConnectError::AddressServer { list: list.into() }),
            Err(invalid) => {
                let (entry, reason) = (invalid.entry.into(), invalid.reason);
                return Err(ConnectError::NameServers { entry, reason });
            }
        }
    }
    match endpoints.is_empty() {
        true => Err(ConnectError::NameServers { entry: list.into(), reason: "names nobody" }),
        false => Ok(endpoints),
    }
}

impl<B: Backend> Clone for Client<B> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<B: Backend> fmt::Debug for Client<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("config", &self.inner.config).finish_non_exhaustive()
    }
}

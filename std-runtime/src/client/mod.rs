//! A client of RocketMQ: sends messages to the brokers of a cluster, and consumes them.
//!
//! The module decides nothing about failures: that is done by
//! [`turbopump_core::rocketmq::client`]. It keeps connections and routes, and waits.
//!
//! | module | holds |
//! | --- | --- |
//! | `admin` | making, listing, describing and deleting topics; consumer groups |
//! | `config` | how a client is set |
//! | `consumer` | messages of a group's topics, handed to functions of the user's |
//! | `peers` | one connection to each broker and name server that is needed |
//! | `routes` | where topics are |
//! | `name_servers`, `address_server` | who is asked for that, and where this is said |
//! | `message` | what is sent |
//! | `outgoing` | requests that hold messages, made once |
//! | `producer`, `settings` | the ways of sending, and how a producer is set |
//! | `sending` | attempts, until a broker has taken it |
//! | `lanes`, `completion` | automatic batching, and how each message's outcome is told |
//! | `budget` | how much may be under way |
//! | `rules` | when somebody should look after a client (feature `monitor`) |
//! | `hooks`, `spans`, `send_stats` | who sees messages go, and what is counted |
//! | `receipt`, `error` | where a message went, or why it was not sent |
//! | `shutdown` | the end, in order |
//! | `groups`, `keeper` | what brokers are told of the client, and when |
//! | `counts` | what is counted about connections, heartbeats and routes |
//! | `health` | what is to be seen of all this from outside |
//! | `transaction` | messages that are seen once what they are about is done |
//! | `planted` | bugs on purpose, for the simulation |
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

mod address_server;
mod admin;
mod budget;
mod completion;
mod config;
mod consumer;
mod counts;
mod error;
mod groups;
mod health;
mod hooks;
mod ids;
mod keeper;
mod lanes;
mod message;
mod name_servers;
mod outgoing;
mod peers;
mod planted;
mod producer;
mod receipt;
mod routes;
#[cfg(feature = "monitor")]
mod rules;
mod send_stats;
mod sending;
mod settings;
mod shutdown;
mod spans;
mod transaction;

use core::fmt;
use core::time::Duration;

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::ToString;
use alloc::sync::Arc;

use turbopump_core::rocketmq::wire::names::InNamespace;

use turbopump_core::time::Clock;

use crate::backend::Backend;
use crate::batch::InvalidSettings;
use crate::clock::SystemClock;
use crate::memory::PoolReport;

use budget::Budget;
use consumer::SharedFlow;
use groups::Groups;
use ids::Ids;
use name_servers::NameServers;
use peers::Peers;
use planted::Planted;
use routes::Routes;
use shutdown::Closing;

pub use admin::{
    Admin, AdminError, AdminErrorKind, GroupMember, GroupProgress, GroupQueue, ListedGroup,
    ListedTopic, ResetQueue, ResetTo, TopicBroker, TopicConfig, TopicDescription, TopicKind,
    TopicPermission, TopicQueue,
};
pub use completion::Acknowledgement;
pub use config::{AddressMapper, ClientConfig};
#[cfg(feature = "config")]
pub use config::{ConfigError, ConfigErrorKind};
#[cfg(feature = "monitor")]
pub use consumer::consumer_alert_rules;
pub use consumer::{
    AssignedQueue, ConsumeError, ConsumeErrorKind, Consumed, ConsumedQueue, Consumer,
    ConsumerBuilder, ConsumerConfig, ConsumerReport, ConsumerStats, FileOffsetStore,
    IntoAllConsumed, IntoConsumed, LitePullConsumer, MessageStream, NoStore, OffsetStore,
    PullConsumer, PullError, PullRequest, PullResult, ReceivedMessage, StreamMessage,
    TopicConsumes, UnreadableBody,
};
pub use counts::{ClientStats, Closed, PeerCounts, PeerStats};
pub use error::{ConnectError, SendError, SendErrorKind};
pub use health::{ClientHealth, PeerHealth};
pub use hooks::SendHook;
pub use message::{Message, OutgoingMessage};
pub use outgoing::MessageQueue;
#[cfg(feature = "planted-bugs")]
#[doc(hidden)]
pub use planted::PlantedBug;
pub use producer::{Producer, TrySendError};
pub use receipt::{BatchReceipt, SendReceipt, SendStatus};
#[cfg(feature = "monitor")]
pub use rules::alert_rules;
pub use send_stats::{ProducerStats, TopicSends};
pub use settings::{Batching, ProducerConfig};
pub use shutdown::ShutdownReport;
pub use transaction::{
    HalfMessage, TransactionListener, TransactionProducer, TransactionReceipt, TransactionState,
};
pub use turbopump_core::rocketmq::consumer::{
    ConsumeMode, FlowLimits, StartFrom, StartPolicy, Strategy,
};
pub use turbopump_core::rocketmq::wire::header::Serialization;

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
    name_servers: NameServers,
    ids: Ids,
    budget: Arc<Budget>,
    flow: Arc<SharedFlow>,
    closing: Closing,
    groups: Arc<Groups>,
    /// What brokers tell clients apart by.
    client_id: Box<str>,
    planted: Planted,
}

impl<B: Backend> Drop for Inner<B> {
    fn drop(&mut self) {
        self.groups.bell.end();
    }
}

impl<B: Backend> Inner<B> {
    /// What brokers call a topic or group of this client's.
    fn wire_name<'n>(&self, name: &'n str) -> Cow<'n, str> {
        match &self.config.namespace {
            None => Cow::Borrowed(name),
            Some(namespace) => Cow::Owned(InNamespace { namespace, name }.to_string()),
        }
    }
}

impl<B: Backend> Client<B> {
    /// A client that has reached one of its name servers.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] for a list that is none or can't be fetched, and where no name server can
    /// be reached within the time for a send.
    ///
    /// # Cancel safety
    ///
    /// Whatever was started ends when the future is dropped.
    pub async fn start(backend: B, config: ClientConfig) -> Result<Self, ConnectError> {
        let groups = Arc::new(Groups::new());
        let peers = Peers::new(&backend, &config, &groups)?;
        let (name_servers, found) = NameServers::find(&backend, &config, &peers.settings).await?;
        let routes = Routes::new(found.iter().map(|server| peers.at(server)).collect());
        let (clock, ids) = (SystemClock::of(&backend), Ids::new(backend.random_seed()));
        let budget = Budget::new(config.in_flight_messages_max, config.in_flight_bytes_max);
        let (budget, closing) = (Arc::new(budget), Closing::default());
        let flow = Arc::new(SharedFlow::new(config.flow));
        let planted = Planted::of(&config);
        let id = ids.next(clock.now().unix_ms);
        let client_id = format!("turbopump@{}#{:08X}", id.process_id, id.loader_hash).into();
        let client = Self {
            inner: Arc::new(Inner {
                config,
                clock,
                backend,
                peers,
                routes,
                name_servers,
                ids,
                budget,
                flow,
                closing,
                groups,
                client_id,
                planted,
            }),
        };
        keeper::start(&client.inner);
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

    /// Sends in the name of a producer group, each message by itself.
    #[must_use]
    pub fn producer(&self, group: &str) -> Producer<B> {
        let producer = Producer::new(Arc::clone(&self.inner), group, ProducerConfig::default());
        producer.unwrap_or_else(|_| unreachable!("the defaults can be meant"))
    }

    /// Sends in the name of a producer group, as the settings say: messages together, for example.
    ///
    /// # Errors
    ///
    /// [`InvalidSettings`] with the field that can't be meant.
    pub fn producer_with(
        &self,
        group: &str,
        config: ProducerConfig,
    ) -> Result<Producer<B>, InvalidSettings> {
        Producer::new(Arc::clone(&self.inner), group, config)
    }

    /// Sends messages in transactions, in the name of a group; `listener` knows what becomes of
    /// them.
    #[must_use]
    pub fn transaction_producer<L: TransactionListener>(
        &self,
        group: &str,
        listener: L,
    ) -> TransactionProducer<B, L> {
        TransactionProducer::new(Arc::clone(&self.inner), self.producer(group), listener)
    }

    /// Consumes in the name of a group: says what is subscribed, and begins with a function that
    /// handles messages.
    pub fn consumer(&self, group: &str) -> ConsumerBuilder<B> {
        ConsumerBuilder::new(Arc::clone(&self.inner), group)
    }

    /// Pulls messages by hand, in the name of a group: from whichever queue and offset.
    #[must_use]
    pub fn pull_consumer(&self, group: &str) -> PullConsumer<B> {
        PullConsumer::new(Arc::clone(&self.inner), group)
    }

    /// Pulls messages of queues that are assigned by hand, in the name of a group.
    #[must_use]
    pub fn lite_pull_consumer(&self, group: &str) -> LitePullConsumer<B> {
        LitePullConsumer::new(self.pull_consumer(group))
    }

    /// How its connections, routes and budget are at this moment.
    #[must_use]
    pub fn health(&self) -> ClientHealth {
        self.inner.look()
    }

    /// What was counted about its connections, heartbeats and routes, and how they are at this
    /// moment: a source for the monitor. What producers count is told by their
    /// [`stats`](Producer::stats).
    #[must_use]
    pub fn stats(&self) -> ClientStats {
        self.inner.stats()
    }

    /// What its buffers are used for, which is all memory that grows with what is under way: a
    /// source for the monitor.
    #[must_use]
    pub fn memory(&self) -> PoolReport {
        self.inner.peers.buffers.report()
    }

    /// Makes, lists, describes and deletes topics, and looks after consumer groups.
    #[must_use]
    pub fn admin(&self) -> Admin<B> {
        Admin::new(Arc::clone(&self.inner))
    }

    /// From now on asks these name servers, which are given as in
    /// [`ClientConfig::name_servers`]. Connections to the others are closed; routes stay until the
    /// new ones have been asked, which is before the next message to a topic. Of two calls at the
    /// same time, the one that ends later counts.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] for a list that is none or can't be fetched within the time for a send:
    /// the client goes on with those that it has.
    ///
    /// # Cancel safety
    ///
    /// Nothing is changed when the future is dropped.
    pub async fn set_name_servers(&self, list: &str) -> Result<(), ConnectError> {
        self.inner.set_name_servers(list).await
    }

    /// How it was set at the start.
    #[must_use]
    pub fn config(&self) -> &ClientConfig {
        &self.inner.config
    }

    /// Finishes what is under way, within the time for a send, and closes all connections; what is
    /// sent later is refused.
    ///
    /// # Cancel safety
    ///
    /// What was closed stays closed.
    pub async fn close(&self) {
        self.shutdown(Duration::from_micros(self.inner.config.send.timeout_us)).await;
    }

    /// Takes nothing more, has everything sent that was handed over, and closes all connections: in
    /// this order, and by `timeout`. What is not settled by then is given up, and said so to
    /// whoever waits for it.
    ///
    /// # Cancel safety
    ///
    /// What was closed stays closed.
    pub async fn shutdown(&self, timeout: Duration) -> ShutdownReport {
        self.inner.shutdown(timeout).await
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

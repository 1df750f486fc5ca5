//! Connections on tokio.
//!
//! [`Backend`] runs on the runtime in which it is made, whoever polls its futures afterwards: they
//! may well be awaited on another runtime.

use turbopump_std::{batch, net};

mod backend;
mod halves;

pub use backend::{Backend, Listener};
pub use halves::{Reader, Writer};

/// A client of RocketMQ, on tokio.
pub type Client = turbopump_std::client::Client<Backend>;
/// Makes, lists, describes and deletes topics, on tokio.
pub type Admin = turbopump_std::client::Admin<Backend>;
/// Sends messages to RocketMQ's brokers, on tokio.
pub type Producer = turbopump_std::client::Producer<Backend>;
/// Consumes messages of RocketMQ's brokers, on tokio.
pub type Consumer = turbopump_std::client::Consumer<Backend>;
/// The messages of a consumer as a stream, on tokio.
pub type MessageStream = turbopump_std::client::MessageStream<Backend>;
/// Pulls messages by hand, on tokio.
pub type PullConsumer = turbopump_std::client::PullConsumer<Backend>;
/// Pulls messages of queues that are assigned by hand, on tokio.
pub type LitePullConsumer = turbopump_std::client::LitePullConsumer<Backend>;
/// Connections to one endpoint, on tokio.
pub type ConnectionPool = net::ConnectionPool<Backend>;
/// A connection of a [`ConnectionPool`].
pub type Connection = net::Connection<Backend>;
/// Pools by name, on tokio.
pub type Network = net::Network<Backend>;
/// Reads and writes as tasks of a few workers, over connections of a [`ConnectionPool`].
pub type AsyncIo = net::async_io::AsyncIo<Connection>;
/// Batches what is sent, for a function of the user's, on tokio.
pub type BatchSender<T> = batch::BatchSender<T, Backend>;
/// Batches what is received, on tokio.
pub type BatchReceiver<T> = batch::BatchReceiver<T, Backend>;
/// Writes to storage in batches; its timers run on tokio.
pub type BatchStore<T> = batch::BatchStore<T, Backend>;
/// A broker and its name server in this process, on tokio.
#[cfg(feature = "broker")]
pub type EmbeddedBroker = turbopump_std::broker::EmbeddedBroker<Backend>;
/// A name server in this process, without a broker, on tokio.
#[cfg(feature = "broker")]
pub type EmbeddedNameServer = turbopump_std::broker::EmbeddedNameServer<Backend>;

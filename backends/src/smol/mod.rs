//! Connections on smol.
//!
//! Sockets and timers live in smol's reactor, which has a thread of its own where nobody else turns
//! it. Tasks run on smol's global executor, the one of `smol::spawn`, or on one that is given to
//! [`Backend::on`].

use turbopump_std::{batch, net};

mod backend;
mod halves;

pub use backend::{Backend, Listener};
pub use halves::{Reader, Writer};

/// A client of RocketMQ, on smol.
pub type Client = turbopump_std::client::Client<Backend>;
/// Makes, lists, describes and deletes topics, on smol.
pub type Admin = turbopump_std::client::Admin<Backend>;
/// Sends messages to RocketMQ's brokers, on smol.
pub type Producer = turbopump_std::client::Producer<Backend>;
/// Consumes messages of RocketMQ's brokers, on smol.
pub type Consumer = turbopump_std::client::Consumer<Backend>;
/// The messages of a consumer as a stream, on smol.
pub type MessageStream = turbopump_std::client::MessageStream<Backend>;
/// Pulls messages by hand, on smol.
pub type PullConsumer = turbopump_std::client::PullConsumer<Backend>;
/// Pulls messages of queues that are assigned by hand, on smol.
pub type LitePullConsumer = turbopump_std::client::LitePullConsumer<Backend>;
/// Connections to one endpoint, on smol.
pub type ConnectionPool = net::ConnectionPool<Backend>;
/// A connection of a [`ConnectionPool`].
pub type Connection = net::Connection<Backend>;
/// Pools by name, on smol.
pub type Network = net::Network<Backend>;
/// Reads and writes as tasks of a few workers, over connections of a [`ConnectionPool`].
pub type AsyncIo = net::async_io::AsyncIo<Connection>;
/// Batches what is sent, for a function of the user's, on smol.
pub type BatchSender<T> = batch::BatchSender<T, Backend>;
/// Batches what is received, on smol.
pub type BatchReceiver<T> = batch::BatchReceiver<T, Backend>;
/// Writes to storage in batches; its timers run on smol.
pub type BatchStore<T> = batch::BatchStore<T, Backend>;
/// A broker and its name server in this process, on smol.
#[cfg(feature = "broker")]
pub type EmbeddedBroker = turbopump_std::broker::EmbeddedBroker<Backend>;
/// A name server in this process, without a broker, on smol.
#[cfg(feature = "broker")]
pub type EmbeddedNameServer = turbopump_std::broker::EmbeddedNameServer<Backend>;

//! Connections on smol.
//!
//! Sockets and timers live in smol's reactor, which has a thread of its own where nobody else turns
//! it. Tasks run on smol's global executor, the one of `smol::spawn`, or on one that is given to
//! [`Backend::on`].

use turbopump_std::net;

mod backend;
mod halves;

pub use backend::{Backend, Listener};
pub use halves::{Reader, Writer};

/// Connections to one endpoint, on smol.
pub type ConnectionPool = net::ConnectionPool<Backend>;
/// A connection of a [`ConnectionPool`].
pub type Connection = net::Connection<Backend>;
/// Pools by name, on smol.
pub type Network = net::Network<Backend>;
/// Reads and writes as tasks of a few workers, over connections of a [`ConnectionPool`].
pub type AsyncIo = net::async_io::AsyncIo<Connection>;

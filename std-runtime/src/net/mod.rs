//! Connections on any backend: handles over the core's machines.

mod adapter;
pub mod async_io;
mod connection;
mod link;
mod request;
mod request_shell;
mod stream;
mod stream_shell;
#[cfg(feature = "tls")]
pub mod tls;

pub use adapter::FuturesIo;
pub use connection::{
    AcquireError, CompressedWrite, CompressionSettings, Connection, ConnectionError,
    ConnectionPool, ConnectionReader, ConnectionWriter, DialError, InvalidSettings, IoCounts,
    Network, NetworkConfig, NetworkError, Phase, PoolConfig, PoolSettings, PoolStatus, ReadHalf,
    WriteHalf,
};
pub(crate) use connection::{CLOSED, DIAL_FAILURES, OPENED};
pub use link::{BackendClock, Locked, spawn_link};
pub use request::{Body, Request, RequestError, RequestLink, RequestLinkConfig, RequestStatus};
pub use stream::{OpenError, Stream, StreamLink, StreamLinkConfig, StreamReader, StreamWriter};

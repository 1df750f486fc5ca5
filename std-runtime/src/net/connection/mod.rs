//! Pooled connections.
//!
//! [`ConnectionPool`] opens connections to one [`Endpoint`](crate::backend::Endpoint), lends them
//! as [`Connection`]s and takes them back when those are dropped. Which connection goes where is
//! decided by [`turbopump_core::link::pool`]; this module adds sockets, wakers and time.
//!
//! | want | take |
//! | --- | --- |
//! | limits, times, TLS | [`PoolSettings`] |
//! | several pools by name | [`Network`] |
//! | why there is no connection | [`AcquireError`], [`DialError`] |
//! | why a connection failed | [`ConnectionError`], with the [`Phase`] |

mod addresses;
mod codec;
mod desk;
mod dial;
mod error;
mod halves;
mod handle;
mod incoming;
mod io;
mod keeper;
mod live;
mod network;
mod pool;
mod settings;
mod shared;
mod split;
mod status;
mod waiting;

pub use codec::CompressedWrite;
pub use error::{AcquireError, ConnectionError, DialError, Phase};
pub use halves::{ReadHalf, WriteHalf};
pub use handle::Connection;
pub use network::{Network, NetworkConfig, NetworkError, PoolConfig};
pub use pool::ConnectionPool;
pub use settings::{CompressionSettings, InvalidSettings, PoolSettings};
pub use split::{ConnectionReader, ConnectionWriter};
pub(crate) use status::{CLOSED, DIAL_FAILURES, OPENED};
pub use status::{IoCounts, PoolStatus};

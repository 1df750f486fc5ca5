//! How a name server that stands apart is set.

use core::net::SocketAddr;
use core::time::Duration;

use crate::broker::config::LOOPBACK;
#[cfg(feature = "tls")]
use crate::broker::config::TlsConfig;

/// The settings of a name server.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NameServerConfig {
    /// Where it listens; a free port of this machine by default.
    pub listen: SocketAddr,
    /// How connections are encrypted; not at all by default.
    #[cfg(feature = "tls")]
    pub tls: Option<TlsConfig>,
    /// Connections at one time; 4,096. More are closed at once.
    pub connections_max: usize,
    /// The longest frame, its length included, and the longest body once it is inflated; 16 MiB.
    pub frame_bytes_max: usize,
    /// Answers of one connection that its peer has not read; 8 MiB. Nothing more is read from it
    /// until it has.
    pub unread_bytes_max: usize,
    /// Long frames that are being received, over all connections, in bytes; 64 MiB.
    pub receiving_bytes_max: usize,
    /// Brokers, masters and slaves; 1,024.
    pub brokers_max: usize,
    /// Topics of each broker, one by one; 262,144.
    pub routes_max: usize,
    /// Brokers that were not heard of for so long are forgotten, unless they say something else;
    /// 120 seconds.
    pub heartbeat_timeout: Duration,
    /// Connections without a word for so long are closed; 120 seconds.
    pub idle_max: Duration,
}

impl Default for NameServerConfig {
    fn default() -> Self {
        Self {
            listen: LOOPBACK,
            #[cfg(feature = "tls")]
            tls: None,
            connections_max: 4_096,
            frame_bytes_max: 16 << 20,
            unread_bytes_max: 8 << 20,
            receiving_bytes_max: 64 << 20,
            brokers_max: 1_024,
            routes_max: 262_144,
            heartbeat_timeout: Duration::from_secs(120),
            idle_max: Duration::from_secs(120),
        }
    }
}

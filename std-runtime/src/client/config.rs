//! How a client is set: in the program, or by a file and the environment (feature `config`).

#[cfg(feature = "config")]
mod load;

use core::fmt;
use core::time::Duration;

use alloc::string::String;
use alloc::sync::Arc;

use turbopump_core::rocketmq::client::SendPolicy;
use turbopump_core::rocketmq::consumer::FlowLimits;
use turbopump_core::rocketmq::wire::header::Serialization;

use super::name_servers::without_queries;
use crate::backend::Endpoint;

#[cfg(feature = "config")]
pub use load::{ConfigError, ConfigErrorKind};

/// The settings of a client.
///
/// ```
/// use turbopump_std::client::ClientConfig;
///
/// let mut config = ClientConfig::new("ns-1:9876;ns-2:9876");
/// config.send.timeout_us = 5_000_000;
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct ClientConfig {
    /// Name servers: `HOST:PORT`, several by `;` or `,`, IPv6 addresses in brackets; or from where
    /// such a list is fetched, `http://HOST/PATH`. By `https://` it is fetched as `tls` says.
    pub name_servers: String,
    /// How often lists are fetched and names looked up again; 2 minutes. Where no name server
    /// answers this is done earlier, at most once a second.
    pub name_servers_interval: Duration,
    /// How long and how often a message is sent.
    pub send: SendPolicy,
    /// How long a route is believed before it is asked for again; 30 seconds.
    pub route_age_max: Duration,
    /// How often brokers hear that the client is there; 30 seconds. Not answering, they are found
    /// to be away.
    pub heartbeat_interval: Duration,
    /// How long one name server may take, where others could be asked instead; 1 second.
    pub name_server_timeout: Duration,
    /// Messages that may be under way at once, over all producers; 10,000. More wait.
    pub in_flight_messages_max: usize,
    /// Their bytes; 64 MiB. A single message may always be under way.
    pub in_flight_bytes_max: u64,
    /// What all consumers of this client may have under way, together: messages, bytes, and the
    /// span of offsets in each queue.
    pub flow: FlowLimits,
    /// How the headers of requests are written; in binary form. JSON is longer, and for what stands
    /// between that knows nothing else.
    pub header_serialization: Serialization,
    /// The namespace of all topics and groups; none by default.
    pub namespace: Option<String>,
    /// The longest body in bytes; 4 MiB, as brokers have it.
    pub message_bytes_max: usize,
    /// Bodies from so many bytes on are compressed where that makes them shorter; 4,096.
    pub compress_from_bytes: usize,
    /// Where a broker really is that says it is somewhere else, as behind NAT or in containers.
    pub address_mapper: Option<AddressMapper>,
    /// What is wrong with this client on purpose.
    #[cfg(feature = "planted-bugs")]
    #[doc(hidden)]
    pub planted_bug: Option<super::PlantedBug>,
    /// How connections are encrypted; not at all by default.
    #[cfg(feature = "tls")]
    pub tls: Option<crate::net::tls::TlsClient>,
    /// By whom requests are signed; by nobody by default.
    #[cfg(feature = "acl")]
    pub user: Option<crate::rocketmq::User>,
}

/// From where a broker says it is to where it is.
pub type AddressMapper = Arc<dyn Fn(&Endpoint) -> Endpoint + Send + Sync>;

impl ClientConfig {
    /// With these name servers, and the defaults.
    #[must_use]
    pub fn new(name_servers: &str) -> Self {
        Self {
            name_servers: name_servers.into(),
            name_servers_interval: Duration::from_secs(120),
            send: SendPolicy::DEFAULT,
            route_age_max: Duration::from_secs(30),
            heartbeat_interval: Duration::from_secs(30),
            name_server_timeout: Duration::from_secs(1),
            in_flight_messages_max: 10_000,
            in_flight_bytes_max: 64 << 20,
            flow: FlowLimits::DEFAULT,
            header_serialization: Serialization::Rocketmq,
            namespace: None,
            message_bytes_max: 4 << 20,
            compress_from_bytes: 4_096,
            address_mapper: None,
            #[cfg(feature = "planted-bugs")]
            planted_bug: None,
            #[cfg(feature = "tls")]
            tls: None,
            #[cfg(feature = "acl")]
            user: None,
        }
    }
}

/// Without secrets.
impl fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig")
            .field("name_servers", &without_queries(&self.name_servers))
            .field("send", &self.send)
            .field("route_age_max", &self.route_age_max)
            .field("in_flight_messages_max", &self.in_flight_messages_max)
            .field("in_flight_bytes_max", &self.in_flight_bytes_max)
            .field("namespace", &self.namespace)
            .field("message_bytes_max", &self.message_bytes_max)
            .field("compress_from_bytes", &self.compress_from_bytes)
            .finish_non_exhaustive()
    }
}

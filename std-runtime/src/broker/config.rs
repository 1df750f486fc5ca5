//! How a broker is set: what it is called, what it allows, what it keeps.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;

use alloc::string::String;
use alloc::vec::Vec;
use std::path::PathBuf;

use crate::backend::Endpoint;
use crate::rocketmq::User;

/// The settings of a broker and its name server.
///
/// By default it listens at free ports of this machine only, and keeps its messages in memory.
///
/// ```
/// use turbopump_std::broker::BrokerConfig;
///
/// let mut config = BrokerConfig::default();
/// config.broker_name = "broker-a".into();
/// config.auto_create_topics = false;
/// assert!(config.limits.frame_bytes_max > config.limits.message_bytes_max);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BrokerConfig {
    /// Where the broker listens; a free port of this machine by default. Port 0 is any that is
    /// free.
    pub listen: SocketAddr,
    /// Where its name server listens; a free port of this machine by default, `None` for none. Both
    /// ports answer everything, so that one is enough.
    pub name_server: Option<SocketAddr>,
    /// Name servers that stand apart, at which it registers; none by default.
    pub register_at: Vec<Endpoint>,
    /// How connections to them are encrypted; not at all by default.
    #[cfg(feature = "tls")]
    pub register_tls: Option<crate::net::tls::TlsClient>,
    /// Where messages are kept; in memory by default.
    pub store: Option<StoreConfig>,
    /// `DefaultCluster` by default.
    pub cluster_name: String,
    /// `broker-a` by default.
    pub broker_name: String,
    /// What clients are told to connect to; where it listens by default.
    pub advertised: Option<SocketAddr>,
    /// Topics that nobody has made are made by the first message to them; on by default.
    pub auto_create_topics: bool,
    /// Consumer groups that nobody has made are made by their first member; on by default.
    pub auto_create_groups: bool,
    /// Queues of topics that are made by a message, unless it asks for fewer; 8.
    pub default_topic_queues: u32,
    /// How long messages of each delay level wait, from level 1 on; RocketMQ's 18 by default.
    pub delay_levels: Vec<Duration>,
    /// How far ahead a message may be sent with a time of its own (`TIMER_DELIVER_MS`,
    /// `TIMER_DELAY_MS`, `TIMER_DELAY_SEC`); three days. Later times are refused. Messages wait no
    /// longer than [`RetentionConfig`] keeps them.
    pub timer_delay_max: Duration,
    /// When transactions are asked about.
    pub transactions: TransactionConfig,
    /// What is kept, and for how long.
    pub retention: RetentionConfig,
    /// What is held in memory at most, and how much of anything there may be.
    pub limits: BrokerLimits,
    /// Who may do anything, by access key; nobody is asked for a signature while it is empty.
    pub users: Vec<User>,
    /// How connections are encrypted; not at all by default.
    #[cfg(feature = "tls")]
    pub tls: Option<TlsConfig>,
    /// Where random numbers start, for brokers that are to do the same again.
    pub seed: u64,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self {
            listen: LOOPBACK,
            name_server: Some(LOOPBACK),
            register_at: Vec::new(),
            #[cfg(feature = "tls")]
            register_tls: None,
            store: None,
            cluster_name: "DefaultCluster".into(),
            broker_name: "broker-a".into(),
            advertised: None,
            auto_create_topics: true,
            auto_create_groups: true,
            default_topic_queues: 8,
            delay_levels: DELAY_LEVELS_S.map(Duration::from_secs).to_vec(),
            timer_delay_max: Duration::from_secs(3 * 86_400),
            transactions: TransactionConfig::default(),
            retention: RetentionConfig::default(),
            limits: BrokerLimits::default(),
            users: Vec::new(),
            #[cfg(feature = "tls")]
            tls: None,
            seed: 0x7475_7262_6f70_756d,
        }
    }
}

impl BrokerConfig {
    /// Whether all connections are encrypted.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.tls.as_ref().is_some_and(|tls| tls.mode == TlsMode::Enforcing);
        #[cfg(not(feature = "tls"))]
        false
    }

    /// Whether only those are served who sign, or show a certificate.
    #[must_use]
    pub fn asks_who(&self) -> bool {
        #[cfg(feature = "tls")]
        let shows = self.is_encrypted()
            && self.tls.as_ref().is_some_and(|tls| tls.server.requires_client_certificate());
        #[cfg(not(feature = "tls"))]
        let shows = false;
        shows || !self.users.is_empty()
    }
}

/// RocketMQ's levels, in seconds.
const DELAY_LEVELS_S: [u64; 18] =
    [1, 5, 10, 30, 60, 120, 180, 240, 300, 360, 420, 480, 540, 600, 1_200, 1_800, 3_600, 7_200];

/// Messages on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreConfig {
    /// The folder, which belongs to one broker alone. It is made if it is not there.
    pub folder: PathBuf,
    /// When messages are forced to disk; twice a second by default.
    pub flush: FlushPolicy,
}

impl StoreConfig {
    /// Messages in this folder.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        let flush = FlushPolicy::Interval(Duration::from_millis(500));
        Self { folder: folder.into(), flush }
    }
}

/// When messages are forced to disk, and so what an acknowledgement means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlushPolicy {
    /// The operating system decides. What was acknowledged survives the end of the process, not
    /// that of the machine.
    Never,
    /// Once in so much time. What was acknowledged survives the end of the process; what was
    /// acknowledged before that time survives that of the machine.
    Interval(Duration),
    /// Before they are acknowledged: they survive both.
    Always,
}

/// When a producer is asked what became of its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransactionConfig {
    /// A half message is left alone for so long; 6 seconds.
    pub timeout: Duration,
    /// Time between two looks at half messages; 30 seconds.
    pub check_interval: Duration,
    /// Then it is given up and moved to `TRANS_CHECK_MAX_TIME_TOPIC`; 15.
    pub checks_max: u32,
}

impl Default for TransactionConfig {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(6),
            check_interval: Duration::from_secs(30),
            checks_max: 15,
        }
    }
}

/// What is kept. What goes beyond goes away, oldest first, in pieces of a block or a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetentionConfig {
    /// Bytes of messages on disk; 16 GiB. In memory [`BrokerLimits::memory_bytes_max`] counts.
    pub bytes_max: u64,
    /// Messages; 16 million, whose index takes 24 bytes each.
    pub messages_max: u64,
    /// Age of messages; 72 hours.
    pub age_max: Duration,
}

impl Default for RetentionConfig {
    fn default() -> Self {
        Self {
            bytes_max: 16 << 30,
            messages_max: 16_000_000,
            age_max: Duration::from_secs(72 * 3_600),
        }
    }
}

/// Bounds. What goes beyond is refused with an error that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BrokerLimits {
    /// Connections at one time; 4,096. More are closed at once.
    pub connections_max: usize,
    /// The longest frame, its length included; 16 MiB.
    pub frame_bytes_max: usize,
    /// The longest body of a message, or of a batch; 4 MiB.
    pub message_bytes_max: usize,
    /// Answers of one connection that its peer has not read; 8 MiB. Nothing more is read from it
    /// until it has.
    pub unread_bytes_max: usize,
    /// Pulls that wait for messages, over all connections; 100,000.
    pub waiting_pulls_max: usize,
    /// Topics, those of groups included; 16,384.
    pub topics_max: usize,
    /// Queues of a topic; 1,024.
    pub queues_max: u32,
    /// Consumer groups, and producer groups; 16,384 each.
    pub groups_max: usize,
    /// Messages that wait for a time of their own; 1,000,000. Each takes some 50 bytes besides its
    /// index. More are refused as busy; those that are found on disk are taken all the same.
    pub timed_messages_max: usize,
    /// Messages that are held in memory, in bytes; 256 MiB. With a disk these are the newest.
    pub memory_bytes_max: usize,
    /// Long frames that are being received, over all connections, in bytes; 256 MiB.
    pub receiving_bytes_max: usize,
    /// Bytes that wait to be written to disk; 64 MiB. Beyond it sending is refused as busy.
    pub unwritten_bytes_max: usize,
    /// Connections without a word for so long are closed; 120 seconds.
    pub idle_max: Duration,
}

impl Default for BrokerLimits {
    fn default() -> Self {
        Self {
            connections_max: 4_096,
            frame_bytes_max: 16 << 20,
            message_bytes_max: 4 << 20,
            unread_bytes_max: 8 << 20,
            waiting_pulls_max: 100_000,
            topics_max: 16_384,
            queues_max: 1_024,
            groups_max: 16_384,
            timed_messages_max: 1_000_000,
            memory_bytes_max: 256 << 20,
            receiving_bytes_max: 256 << 20,
            unwritten_bytes_max: 64 << 20,
            idle_max: Duration::from_secs(120),
        }
    }
}

/// How connections are encrypted.
#[cfg(feature = "tls")]
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TlsConfig {
    /// Who this side is, and whom it asks for a certificate.
    pub server: crate::net::tls::TlsServer,
    /// Who may come in without.
    pub mode: TlsMode,
}

#[cfg(feature = "tls")]
impl TlsConfig {
    /// Encrypts connections as `server` says.
    #[must_use]
    pub const fn new(server: crate::net::tls::TlsServer, mode: TlsMode) -> Self {
        Self { server, mode }
    }
}

/// Who may come in without TLS, as RocketMQ's `tls.server.mode` says.
#[cfg(feature = "tls")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsMode {
    /// Whoever wants to: the first byte of a connection says whether it is encrypted.
    Permissive,
    /// Nobody: connections that do not begin with a handshake are closed.
    Enforcing,
}

/// A free port of this machine.
pub(super) const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

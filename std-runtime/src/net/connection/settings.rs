//! How a pool and its connections are set.

use core::fmt;
use core::time::Duration;

use turbopump_core::link::pool::Rules;

use crate::backend::SocketOptions;
#[cfg(feature = "tls")]
use crate::net::tls::TlsClient;

/// How a pool and its connections are set. [`PoolSettings::default`] has the values named here.
///
/// ```
/// use core::time::Duration;
/// use turbopump_std::net::PoolSettings;
///
/// let mut settings = PoolSettings::default();
/// settings.connections_max = 8;
/// settings.acquire_timeout = Duration::from_secs(1);
/// assert!(settings.check().is_ok());
/// settings.connections_max = 0;
/// assert!(settings.check().is_err());
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PoolSettings {
    /// Connections that may be open at once: 100.
    pub connections_max: u32,
    /// Connections that are kept open although nobody uses them: 0.
    pub idle_min: u32,
    /// Idle connections are closed after this time, `None` for never: 30 minutes.
    pub idle_max: Option<Duration>,
    /// Connections are closed after this time, once nobody uses them, `None` for never: 1 hour.
    /// Each lives up to a quarter shorter, by chance, so that they are not all replaced at once.
    pub lifetime_max: Option<Duration>,
    /// A connection that was idle for this time is checked before it is used again: 1 second.
    pub check_after: Duration,
    /// Who waits for a connection gets [`AcquireError::TimedOut`](super::AcquireError::TimedOut)
    /// after this time, or up to an eighth later: 10 seconds.
    pub acquire_timeout: Duration,
    /// So many may wait at once: 1,024.
    pub waiting_max: u32,
    /// The time for looking up the name and connecting: 5 seconds.
    pub connect_timeout: Duration,
    /// The time for the TLS handshake: 5 seconds.
    pub tls_timeout: Duration,
    /// The time for which one read waits for bytes: 30 seconds.
    pub read_timeout: Duration,
    /// The time for one whole write: 30 seconds.
    pub write_timeout: Duration,
    /// The time without dialing after a dial failed: 50 ms. It doubles with each further failure;
    /// the second half of it is cut short by chance.
    pub backoff_min: Duration,
    /// The longest time without dialing: 5 seconds.
    pub backoff_max: Duration,
    /// What a name was resolved to is forgotten after this time, and when dialing it fails:
    /// 1 minute.
    pub addresses_max_age: Duration,
    /// `TCP_NODELAY` and keep-alive, both on.
    pub socket: SocketOptions,
    /// For [`write_compressed`](super::Connection::write_compressed).
    pub compression: CompressionSettings,
    /// Encrypts connections, `None` for not.
    #[cfg(feature = "tls")]
    pub tls: Option<TlsClient>,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self {
            connections_max: 100,
            idle_min: 0,
            idle_max: Some(Duration::from_secs(30 * 60)),
            lifetime_max: Some(Duration::from_secs(60 * 60)),
            check_after: Duration::from_secs(1),
            acquire_timeout: Duration::from_secs(10),
            waiting_max: 1_024,
            connect_timeout: Duration::from_secs(5),
            tls_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            backoff_min: Duration::from_millis(50),
            backoff_max: Duration::from_secs(5),
            addresses_max_age: Duration::from_secs(60),
            socket: SocketOptions::default(),
            compression: CompressionSettings::default(),
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}

/// How [`write_compressed`](super::Connection::write_compressed) compresses.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompressionSettings {
    /// Off sends everything plain, still framed: on.
    pub enabled: bool,
    /// Shorter bodies are sent plain: 1,024 bytes.
    pub threshold_bytes: usize,
    /// From 1, the fastest, to 9, the tightest: 4.
    pub level: u8,
    /// The longest body that is written or read, before compression: 16 MiB.
    pub body_bytes_max: u32,
    /// Stop compressing for a while where it does not pay: on.
    pub adaptive: bool,
}

impl Default for CompressionSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            threshold_bytes: 1_024,
            level: 4,
            body_bytes_max: 16 << 20,
            adaptive: true,
        }
    }
}

impl PoolSettings {
    /// Whether the settings can be meant.
    ///
    /// # Errors
    ///
    /// The first that can't.
    pub fn check(&self) -> Result<(), InvalidSettings> {
        let invalid = |setting, reason| Err(InvalidSettings { setting, reason });
        if !(1..=CONNECTIONS_MAX).contains(&self.connections_max) {
            return invalid("connections_max", "must lie between 1 and 65,536");
        }
        if self.idle_min > self.connections_max {
            return invalid("idle_min", "must not be above connections_max");
        }
        if !(1..=WAITING_MAX).contains(&self.waiting_max) {
            return invalid("waiting_max", "must lie between 1 and 1,048,576");
        }
        for (setting, time) in [
            ("acquire_timeout", self.acquire_timeout),
            ("connect_timeout", self.connect_timeout),
            ("tls_timeout", self.tls_timeout),
            ("read_timeout", self.read_timeout),
            ("write_timeout", self.write_timeout),
            ("backoff_min", self.backoff_min),
            ("idle_max", self.idle_max.unwrap_or(Duration::MAX)),
            ("lifetime_max", self.lifetime_max.unwrap_or(Duration::MAX)),
        ] {
            if time < Duration::from_millis(1) {
                return invalid(setting, "must be at least a millisecond");
            }
        }
        if self.backoff_max < self.backoff_min {
            return invalid("backoff_max", "must not be below backoff_min");
        }
        if !(1..=9).contains(&self.compression.level) {
            return invalid("compression.level", "must lie between 1 and 9");
        }
        Ok(())
    }

    pub(super) fn rules(&self) -> Rules {
        let mut rules = Rules::default();
        rules.idle_min = self.idle_min;
        rules.idle_us_max = self.idle_max.map_or(u64::MAX, us);
        rules.lifetime_us_max = self.lifetime_max.map_or(u64::MAX, us);
        rules.check_after_us = us(self.check_after);
        rules.wait_us_max = us(self.acquire_timeout);
        rules.backoff_us_min = us(self.backoff_min);
        rules.backoff_us_max = us(self.backoff_max);
        rules
    }
}

/// In whole microseconds.
pub(super) fn us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// A setting that can't be meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidSettings {
    pub(super) setting: &'static str,
    pub(super) reason: &'static str,
}

impl InvalidSettings {
    /// Its name.
    #[must_use]
    pub const fn setting(&self) -> &'static str {
        self.setting
    }
}

impl fmt::Display for InvalidSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.setting, self.reason)
    }
}

impl core::error::Error for InvalidSettings {}

const CONNECTIONS_MAX: u32 = 1 << 16;
const WAITING_MAX: u32 = 1 << 20;

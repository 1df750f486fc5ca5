//! The seam to a runtime: everything that this crate needs of one.
//!
//! A backend opens and accepts connections, tells when time has passed, and runs tasks. All else,
//! pools, streams, requests, TLS, is written once, generically over [`Backend`]. The built-in ones
//! are in the crate `turbopump`, behind its features `tokio` and `smol`; a third is a page of code.

use core::fmt;
use core::future::Future;
use core::hash::BuildHasher;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use core::str::FromStr;
use core::time::Duration;
use std::hash::RandomState;
use std::io;
use std::time::Instant;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;

use futures_io::{AsyncRead, AsyncWrite};

mod figures;

pub use figures::RuntimeFigures;

/// What a runtime provides.
///
/// Values are cheap to clone and refer to the same runtime. The two halves of a connection are
/// owned and independent, so that reading never waits for writing; they are poll-shaped, so that
/// the compiler can prove for any backend that what is built on them is `Send`.
pub trait Backend: Clone + Send + Sync + 'static {
    /// The half of a connection that reads.
    type Reader: AsyncRead + Unpin + Send + 'static;
    /// The half of a connection that writes. Closing it says to the peer that nothing follows.
    type Writer: AsyncWrite + Unpin + Send + 'static;
    /// Something that accepts connections.
    type Listener: Send + 'static;

    /// Opens a connection to one address.
    ///
    /// Has no time limit of its own. Cancel-safe: dropping the future closes the socket.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    fn dial(
        &self,
        to: SocketAddr,
        options: &SocketOptions,
    ) -> impl Future<Output = io::Result<(Self::Reader, Self::Writer)>> + Send;

    /// Looks up a name. Called only for endpoints that are not addresses.
    ///
    /// # Errors
    ///
    /// What the operating system's resolver says.
    fn resolve(
        &self,
        host: &str,
        port: u16,
    ) -> impl Future<Output = io::Result<Box<[SocketAddr]>>> + Send;

    /// Listens at an address; port 0 stands for any that is free.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    fn listen(&self, at: SocketAddr) -> impl Future<Output = io::Result<Self::Listener>> + Send;

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    fn local_address(listener: &Self::Listener) -> io::Result<SocketAddr>;

    /// The next connection. Cancel-safe: a connection that was accepted is returned.
    ///
    /// # Errors
    ///
    /// What the operating system says; most of these concern one connection only, so that the
    /// caller should go on.
    fn accept(
        listener: &mut Self::Listener,
        options: &SocketOptions,
    ) -> impl Future<Output = io::Result<(Self::Reader, Self::Writer, SocketAddr)>> + Send;

    /// Ends at an instant, at once where that has passed.
    fn sleep_until(&self, at: Instant) -> impl Future<Output = ()> + Send;

    /// Runs a task to its end, whoever waits for it. A task that panics ends alone.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static);

    /// Runs work that blocks, on a thread where that does no harm.
    ///
    /// Dropping the future does not stop the work.
    fn run_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = T> + Send;

    /// The time by which this backend sleeps; the system's monotonic clock by default. A backend
    /// that simulates has its own, and a [`TimeSource`] for clocks that outlive calls.
    fn now(&self) -> Instant {
        match self.time_source() {
            None => Instant::now(),
            Some(time) => time(),
        }
    }

    /// Where clocks get the time from that are made for this backend: from the system by default.
    fn time_source(&self) -> Option<TimeSource> {
        None
    }

    /// Something that nobody can guess: what jitter, turns and ids begin with.
    fn random_seed(&self) -> u64 {
        RandomState::new().hash_one(0)
    }

    /// What the runtime tells about itself at this moment; nothing by default.
    ///
    /// Called once per look at the numbers, from any thread.
    fn runtime_figures(&self) -> RuntimeFigures {
        RuntimeFigures::default()
    }
}

/// Tells the time.
pub type TimeSource = Arc<dyn Fn() -> Instant + Send + Sync>;

/// How a connection's socket is set.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SocketOptions {
    /// Send small writes at once (`TCP_NODELAY`); on by default.
    pub no_delay: bool,
    /// Let the operating system ask idle peers whether they are there, first after this time
    /// (`SO_KEEPALIVE`); after 60 seconds by default.
    pub keep_alive: Option<Duration>,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self { no_delay: true, keep_alive: Some(Duration::from_secs(60)) }
    }
}

/// Whom to connect to: a name or an IP address, and a port.
///
/// ```
/// use turbopump_std::backend::Endpoint;
///
/// let endpoint: Endpoint = "broker-a.example:10911".parse()?;
/// assert_eq!((endpoint.host(), endpoint.port()), ("broker-a.example", 10_911));
/// let address: Endpoint = "[::1]:9876".parse()?;
/// assert!(address.socket_address().is_some());
/// assert!("localhost".parse::<Endpoint>().is_err());
/// # Ok::<(), turbopump_std::backend::InvalidEndpoint>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    host: Box<str>,
    port: u16,
}

impl Endpoint {
    /// A name or address without brackets, and a port.
    #[must_use]
    pub fn new(host: &str, port: u16) -> Self {
        Self { host: host.into(), port }
    }

    /// The name, or the address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The address, where the host is one and needs no looking up.
    #[must_use]
    pub fn socket_address(&self) -> Option<SocketAddr> {
        let address = self.host.parse::<IpAddr>().ok()?;
        Some(SocketAddr::new(address, self.port))
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        let mut host = String::new();
        // Writing to a string can't fail.
        let _ = fmt::write(&mut host, format_args!("{}", address.ip()));
        Self { host: host.into_boxed_str(), port: address.port() }
    }
}

impl FromStr for Endpoint {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, InvalidEndpoint> {
        let invalid = |reason| InvalidEndpoint { endpoint: text.into(), reason };
        let (host, port) = text.trim().rsplit_once(':').ok_or_else(|| invalid("has no port"))?;
        let port = port.parse().map_err(|_| invalid("has a port that is not 0 to 65535"))?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        match bare {
            Some(bare) if bare.parse::<Ipv6Addr>().is_err() => {
                Err(invalid("has something else than an IPv6 address in brackets"))
            }
            Some(bare) => Ok(Self::new(bare, port)),
            None if host.is_empty() => Err(invalid("has no host")),
            None if host.contains(':') => Err(invalid("needs brackets around its IPv6 address")),
            None if host.contains(char::is_whitespace) => Err(invalid("has a space in its host")),
            None => Ok(Self::new(host, port)),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            return write!(f, "[{}]:{}", self.host, self.port);
        }
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// A text that is not an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidEndpoint {
    endpoint: Box<str>,
    reason: &'static str,
}

impl fmt::Display for InvalidEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}; write HOST:PORT or [IPV6]:PORT", self.endpoint, self.reason)
    }
}

impl core::error::Error for InvalidEndpoint {}

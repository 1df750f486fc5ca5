//! How a monitor is set.

use core::fmt;
use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::debug::Events;
use super::http::{Reply, Route};
use super::observer::Observer;

/// How a [`Monitor`](super::Monitor) is set.
#[non_exhaustive]
pub struct MonitorConfig {
    /// How often numbers are collected for observers: alerts, exports. 10 seconds.
    pub collect_interval: Duration,
    /// Where it listens; `None` for nowhere, port 0 for any that is free. 127.0.0.1:8080.
    pub address: Option<SocketAddr>,
    /// Where debug pages and profiles are served; `None`, as it is by default, for nowhere, port 0
    /// for any that is free. See [`Monitor`](super::Monitor) for what they show.
    pub debug_address: Option<SocketAddr>,
    /// Whether `debug_address` may lie beyond the loopback interface. There is no password; false.
    pub debug_beyond_loopback: bool,
    /// What has happened lately, as the debug pages show it. Alerts come by
    /// [`tell`](super::alerts::Alerts::tell).
    pub events: Events,
    /// Path of the numbers; with `.json` behind it, as JSON. `/metrics`.
    pub metrics_path: String,
    /// Labels that every sample gets.
    pub labels: Vec<(String, String)>,
    /// Connections at once; more are told to come back later. 64.
    pub connections_max: usize,
    /// A request's head has to be there within this time; 5 seconds.
    pub head_timeout: Duration,
    /// A connection is closed after this time, whatever it does; 5 minutes.
    pub connection_lifetime: Duration,
    pub(super) observers: Vec<Arc<dyn Observer>>,
    pub(super) routes: Vec<(String, Route)>,
    pub(super) checks: Vec<(String, Check)>,
    pub(super) settings: Vec<(String, String)>,
}

/// Says what keeps the program from being ready.
pub(super) type Check = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

impl Default for MonitorConfig {
    fn default() -> Self {
        Self {
            collect_interval: Duration::from_secs(10),
            address: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 8_080))),
            debug_address: None,
            debug_beyond_loopback: false,
            events: Events::default(),
            metrics_path: String::from("/metrics"),
            labels: Vec::new(),
            connections_max: 64,
            head_timeout: Duration::from_secs(5),
            connection_lifetime: Duration::from_secs(300),
            observers: Vec::new(),
            routes: Vec::new(),
            checks: Vec::new(),
            settings: Vec::new(),
        }
    }
}

impl MonitorConfig {
    /// Has somebody see every collection.
    pub fn observe(&mut self, observer: Arc<dyn Observer>) -> &mut Self {
        self.observers.push(observer);
        self
    }

    /// Adds a page, which only GET and HEAD ask for. It replaces one of the same path.
    pub fn route(
        &mut self,
        path: &str,
        page: impl Fn() -> Reply + Send + Sync + 'static,
    ) -> &mut Self {
        self.routes.push((path.into(), Arc::new(page)));
        self
    }

    /// Adds something that has to be well before the program counts as ready (`/readyz`).
    pub fn ready_when(
        &mut self,
        name: &str,
        check: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) -> &mut Self {
        self.checks.push((name.into(), Arc::new(check)));
        self
    }

    /// Adds a setting of the program's, which the page `/debug` shows.
    ///
    /// What looks like a secret is hidden there: values whose name speaks of a password, key or
    /// token, or that do so themselves, and of URLs everything but scheme and host.
    pub fn setting(&mut self, name: &str, value: impl Into<String>) -> &mut Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    pub(super) fn check(&self) -> Result<(), InvalidConfig> {
        let invalid = |field, reason| Err(InvalidConfig { field, reason });
        if self.collect_interval < Duration::from_millis(10) {
            return invalid("collect_interval", "must be at least 10 ms");
        }
        if !self.metrics_path.starts_with('/') || self.metrics_path.len() < 2 {
            return invalid("metrics_path", "must begin with a slash and name something");
        }
        let is_beyond = self.debug_address.is_some_and(|address| !address.ip().is_loopback());
        if is_beyond && !self.debug_beyond_loopback {
            let why = "must be on the loopback interface, or debug_beyond_loopback be set";
            return invalid("debug_address", why);
        }
        if self.connections_max == 0 {
            return invalid("connections_max", "must not be 0");
        }
        for time in [self.head_timeout, self.connection_lifetime] {
            if time.is_zero() {
                return invalid("head_timeout and connection_lifetime", "must not be 0");
            }
        }
        Ok(())
    }
}

impl fmt::Debug for MonitorConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MonitorConfig")
            .field("collect_interval", &self.collect_interval)
            .field("address", &self.address)
            .field("debug_address", &self.debug_address)
            .field("metrics_path", &self.metrics_path)
            .field("labels", &self.labels)
            .field("connections_max", &self.connections_max)
            .field("head_timeout", &self.head_timeout)
            .field("connection_lifetime", &self.connection_lifetime)
            .finish_non_exhaustive()
    }
}

/// A setting that can't be meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidConfig {
    field: &'static str,
    reason: &'static str,
}

impl fmt::Display for InvalidConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field, self.reason)
    }
}

impl core::error::Error for InvalidConfig {}

//! Who is told.

use core::fmt;
use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

use alloc::string::String;

use turbopump_core::alert::Severity;
use turbopump_core::time::Instant;

/// An alert that fires or is resolved.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Alert {
    /// Of the rule.
    pub name: String,
    /// Of the rule.
    pub severity: Severity,
    /// Of the rule.
    pub description: String,
    /// The rule as text.
    pub rule: String,
    /// What has happened.
    pub state: AlertState,
    /// The value of the rule's expression.
    pub value: Option<f64>,
    /// Since when the condition has held, in milliseconds since 1970.
    pub since_unix_ms: u64,
    /// When it was seen, in milliseconds since 1970.
    pub at_unix_ms: u64,
}

/// What has happened to an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums)]
pub enum AlertState {
    /// Its condition has held for long enough.
    Firing,
    /// It fired, and its condition is gone.
    Resolved,
}

impl AlertState {
    /// `firing` or `resolved`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }
}

impl fmt::Display for AlertState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Somebody who is told of alerts. Functions are.
pub trait AlertHandler: Send + Sync + 'static {
    /// An alert fires or is resolved. Called on the monitor's task: it should return soon.
    fn tell(&self, alert: &Alert);

    /// An alert fires on, with its present value. Called at each collection, beginning with the one
    /// that made it fire, for those who say things again after a while; nothing by default.
    fn still_firing(&self, now: Instant, alert: &Alert) {
        let _ = (now, alert);
    }
}

impl<F: Fn(&Alert) + Send + Sync + 'static> AlertHandler for F {
    fn tell(&self, alert: &Alert) {
        self(alert);
    }
}

/// One that panics is no reason not to tell the others.
pub(super) fn quietly(
    handler: &dyn AlertHandler,
    alert: &Alert,
    tell: impl FnOnce(&dyn AlertHandler, &Alert),
) {
    if catch_unwind(AssertUnwindSafe(|| tell(handler, alert))).is_err() {
        log::error!("a handler of alerts has panicked at {} ({})", alert.name, alert.state);
    }
}

/// Writes alerts to the log.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogHandler;

impl AlertHandler for LogHandler {
    fn tell(&self, alert: &Alert) {
        let Alert { name, state, description, rule, .. } = alert;
        match (state, alert.severity) {
            (AlertState::Resolved, _) => log::info!("alert {name} is over: {rule}"),
            (_, Severity::Info) => log::info!("alert {name}: {description} ({rule})"),
            (_, Severity::Critical) => log::error!("alert {name}: {description} ({rule})"),
            _ => log::warn!("alert {name}: {description} ({rule})"),
        }
    }
}

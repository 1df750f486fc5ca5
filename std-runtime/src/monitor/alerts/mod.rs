//! Alert rules over the collected numbers, and who is told.
//!
//! When a rule fires is decided by [`turbopump_core::alert`]; this module feeds it every
//! collection, keeps what it says, and tells handlers: the log, a webhook, functions of the user's.

mod defaults;
mod file;
mod handler;
mod webhook;

use core::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use serde_json::json;
use turbopump_core::alert::{Engine, EngineError, Limits, Rule, State, Transition};
use turbopump_core::time::Now;

use super::http::Reply;
use super::observer::Observer;
use super::sources::Snapshot;

pub use defaults::default_rules;
pub use file::{RulesError, rules_from_toml};
pub use handler::{Alert, AlertHandler, AlertState, LogHandler};
pub(super) use webhook::rfc_3339;

pub use webhook::{Webhook, WebhookStats};

/// The text of rules: written into the program, or read.
pub type Text = Cow<'static, str>;

/// Judges every collection by a set of rules: a cheap handle, and an [`Observer`].
///
/// ```
/// use std::sync::Arc;
/// use turbopump_std::monitor::alerts::{Alert, Alerts, default_rules};
/// use turbopump_std::monitor::{Observer, Sources};
///
/// let alerts = Alerts::new(default_rules())?;
/// alerts.tell(|alert: &Alert| println!("{}: {}", alert.name, alert.state));
/// alerts.observe(&Arc::new(Sources::new().snapshot()));
/// assert!(alerts.to_json().contains("memory_use"));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Alerts {
    shared: Arc<Shared>,
}

struct Shared {
    engine: Mutex<Engine<'static, Text>>,
    handlers: Mutex<Vec<Arc<dyn AlertHandler>>>,
}

/// Series that rules with windows may look at, all together.
const SERIES_MAX: usize = 4_096;

impl Alerts {
    /// Judges by these rules.
    ///
    /// # Errors
    ///
    /// Two rules have one name.
    pub fn new(rules: impl IntoIterator<Item = Rule<Text>>) -> Result<Self, EngineError> {
        let engine = Engine::with_rules(rules, SERIES_MAX, Limits::default())?;
        let (engine, handlers) = (Mutex::new(engine), Mutex::default());
        Ok(Self { shared: Arc::new(Shared { engine, handlers }) })
    }

    fn engine(&self) -> MutexGuard<'_, Engine<'static, Text>> {
        self.shared.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has somebody told of alerts that fire and are resolved.
    pub fn tell(&self, handler: impl AlertHandler) {
        let mut handlers = self.shared.handlers.lock().unwrap_or_else(PoisonError::into_inner);
        handlers.push(Arc::new(handler));
    }

    /// All rules with their states, as JSON: `{"alerts": [{"name", "severity", "state", "value",
    /// "since_unix_ms", "description", "rule"}]}`.
    #[must_use]
    pub fn to_json(&self) -> String {
        let engine = self.engine();
        let alerts: Vec<_> = engine
            .statuses()
            .map(|status| {
                json!({
                    "name": status.rule.name(),
                    "severity": status.rule.severity().as_str(),
                    "state": status.state.as_str(),
                    "value": status.value,
                    "since_unix_ms": since(status.state).map(|since| since.unix_ms),
                    "description": status.rule.description(),
                    "rule": status.rule.to_string(),
                })
            })
            .collect();
        json!({ "alerts": alerts }).to_string()
    }

    /// The page `/alerts.json`.
    #[must_use]
    pub fn page(&self) -> Reply {
        Reply::json(self.to_json())
    }

    /// Judges by what is there now: what has changed, and what fires. A source that is wrong leaves
    /// everything as it was.
    fn evaluate(&self, snapshot: &Snapshot) -> (Vec<Alert>, Vec<Alert>) {
        let mut engine = self.engine();
        let changed = match engine.evaluate(snapshot.now(), snapshot.sources(), &[]) {
            Ok(transitions) => transitions.filter_map(|transition| of(&transition)).collect(),
            Err(error) => {
                log::error!("alerts are not judged: {error}");
                return (Vec::new(), Vec::new());
            }
        };
        let firing = engine.statuses().filter_map(|status| {
            let State::Firing { since, .. } = status.state else { return None };
            let since_and_at = (since.unix_ms, snapshot.now().unix_ms);
            Some(alert(status.rule, AlertState::Firing, status.value, since_and_at))
        });
        let firing = firing.collect();
        (changed, firing)
    }
}

impl Observer for Alerts {
    fn observe(&self, snapshot: &Arc<Snapshot>) {
        let (changed, firing) = self.evaluate(snapshot);
        if changed.is_empty() && firing.is_empty() {
            return;
        }
        let handlers = self.shared.handlers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let now = snapshot.now().at;
        for handler in &handlers {
            for alert in &changed {
                handler::quietly(&**handler, alert, |handler, alert| handler.tell(alert));
            }
            for alert in &firing {
                let again =
                    |handler: &dyn AlertHandler, alert: &_| handler.still_firing(now, alert);
                handler::quietly(&**handler, alert, again);
            }
        }
    }
}

/// What handlers are told; nothing of conditions that have not held for long enough.
fn of(transition: &Transition<'_, Text>) -> Option<Alert> {
    let state = match transition.to {
        State::Firing { .. } => AlertState::Firing,
        State::Resolved { .. } => AlertState::Resolved,
        _ => return None,
    };
    let since_and_at = (transition.since.unix_ms, transition.at.unix_ms);
    Some(alert(transition.rule, state, transition.value, since_and_at))
}

fn alert(
    rule: &Rule<Text>,
    state: AlertState,
    value: Option<f64>,
    (since_unix_ms, at_unix_ms): (u64, u64),
) -> Alert {
    Alert {
        name: rule.name().into(),
        severity: rule.severity(),
        description: rule.description().into(),
        rule: rule.to_string(),
        state,
        value,
        since_unix_ms,
        at_unix_ms,
    }
}

fn since(state: State) -> Option<Now> {
    match state {
        State::Pending { since } | State::Firing { since, .. } => Some(since),
        State::Resolved { resolved, .. } => Some(resolved),
        _ => None,
    }
}

impl fmt::Debug for Alerts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Alerts").field(&*self.engine()).finish()
    }
}

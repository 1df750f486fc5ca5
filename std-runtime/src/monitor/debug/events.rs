//! What has happened lately: a bounded ring, and what it learns from numbers.
//!
//! Alerts come by [`AlertHandler`], all else from the monitor itself. Exports and targets have no
//! handle of the monitor's, so that their troubles are read off the numbers of two collections.

use core::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use serde_json::{Value, json};
use turbopump_core::stats::{Descriptor, Distribution, Series, VisitError, Visitor};
use turbopump_core::time::Clock;

use crate::clock::SystemClock;
use crate::monitor::alerts::{Alert, AlertHandler};
use crate::monitor::sources::Snapshot;

/// Events that are kept; older ones are forgotten, and counted.
pub const EVENTS_MAX: usize = 256;

/// What has happened lately to a monitor: a cheap handle, and an [`AlertHandler`].
///
/// ```
/// use turbopump_std::monitor::MonitorConfig;
/// use turbopump_std::monitor::alerts::{Alerts, default_rules};
///
/// let config = MonitorConfig::default();
/// let alerts = Alerts::new(default_rules())?;
/// alerts.tell(config.events.clone()); // shown at /debug
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Events {
    shared: Arc<Shared>,
}

struct Shared {
    clock: SystemClock,
    ring: Mutex<Ring>,
}

#[derive(Default)]
struct Ring {
    events: VecDeque<Event>,
    forgotten: u64,
}

struct Event {
    at_unix_ms: u64,
    what: &'static str,
    about: String,
}

/// Of the text of one event.
const ABOUT_BYTES_MAX: usize = 512;

impl Default for Events {
    fn default() -> Self {
        Self { shared: Arc::new(Shared { clock: SystemClock::new(), ring: Mutex::default() }) }
    }
}

impl Events {
    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.shared.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes something. Texts are cut at 512 bytes.
    pub fn note(&self, what: &'static str, about: impl Into<String>) {
        let mut about = about.into();
        about.truncate(about.floor_char_boundary_or(ABOUT_BYTES_MAX));
        let at_unix_ms = self.shared.clock.now().unix_ms;
        let mut ring = self.lock();
        if ring.events.len() >= EVENTS_MAX {
            ring.events.pop_front();
            ring.forgotten += 1;
        }
        ring.events.push_back(Event { at_unix_ms, what, about });
    }

    /// The youngest first.
    pub(super) fn to_json(&self) -> Value {
        let ring = self.lock();
        let events: Vec<_> = ring
            .events
            .iter()
            .rev()
            .map(|Event { at_unix_ms, what, about }| {
                json!({"at_unix_ms": at_unix_ms, "what": what, "about": about})
            })
            .collect();
        json!({"forgotten": ring.forgotten, "list": events})
    }
}

/// `str::floor_char_boundary` is younger than the oldest compiler we promise.
trait FloorBoundary {
    fn floor_char_boundary_or(&self, max: usize) -> usize;
}

impl FloorBoundary for String {
    fn floor_char_boundary_or(&self, max: usize) -> usize {
        let max = max.min(self.len());
        (0..=max).rev().find(|at| self.is_char_boundary(*at)).unwrap_or(0)
    }
}

impl AlertHandler for Events {
    fn tell(&self, alert: &Alert) {
        self.note("alert", format!("{} is {}: {}", alert.name, alert.state, alert.rule));
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("len", &self.lock().events.len()).finish_non_exhaustive()
    }
}

/// Finds events in numbers, by what was seen before.
#[derive(Default)]
pub(in super::super) struct Changes {
    before: BTreeMap<String, u64>,
}

/// Series that are remembered; more are not looked at.
const SERIES_MAX: usize = 1_024;

impl Changes {
    /// Notes what has changed since the last snapshot.
    pub(in super::super) fn note(&mut self, snapshot: &Snapshot, events: &Events) {
        let mut seen = Seen { changes: self, events };
        // A source that is wrong is said where its numbers are asked for.
        let _ = snapshot.visit(&mut seen);
    }
}

struct Seen<'c> {
    changes: &'c mut Changes,
    events: &'c Events,
}

/// Counters of troubles.
const TROUBLES: [&str; 4] = [
    "turbopump_alert_notices_total",
    "turbopump_exports_total",
    "turbopump_async_io_callback_panics_total",
    "turbopump_handler_panics_total",
];
const FAILING: &str = "turbopump_pool_failing";

impl Seen<'_> {
    /// What it was, unless it is the same.
    fn changed(&mut self, series: &Series<'_>, value: u64) -> Option<(u64, String)> {
        let labels: Vec<_> =
            series.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let key = format!("{}{{{}}}", series.family.name(), labels.join(","));
        let is_new = !self.changes.before.contains_key(&key);
        if is_new && self.changes.before.len() >= SERIES_MAX {
            return None;
        }
        let before = self.changes.before.insert(key.clone(), value).unwrap_or(0);
        (before != value).then_some((before, key))
    }
}

impl Visitor for Seen<'_> {
    fn wants(&mut self, family: &'static Descriptor) -> bool {
        family.name() == FAILING || TROUBLES.contains(&family.name())
    }

    fn counter(&mut self, series: &Series<'_>, value: u64) -> Result<(), VisitError> {
        if matches!(series.labels.get("result"), Some("posted" | "delivered")) {
            return Ok(());
        }
        if let Some((before, key)) = self.changed(series, value)
            && value > before
        {
            self.events.note("trouble", format!("{key} has risen by {}", value - before));
        }
        Ok(())
    }

    fn gauge(&mut self, series: &Series<'_>, value: i64) -> Result<(), VisitError> {
        if let Some((_, key)) = self.changed(series, value.unsigned_abs()) {
            let what = if value == 0 { "target is back" } else { "target is down" };
            self.events.note(what, key);
        }
        Ok(())
    }

    fn float_gauge(&mut self, _: &Series<'_>, _: f64) -> Result<(), VisitError> {
        Ok(())
    }

    fn histogram(&mut self, _: &Series<'_>, _: &dyn Distribution) -> Result<(), VisitError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_is_bounded_and_texts_are_cut() {
        let events = Events::default();
        for number in 0..EVENTS_MAX + 3 {
            events.note("test", format!("{number}"));
        }
        let shown = events.to_json();
        assert_eq!(shown["forgotten"], 3);
        assert_eq!(shown["list"].as_array().map(Vec::len), Some(EVENTS_MAX));
        assert_eq!(shown["list"][0]["about"], format!("{}", EVENTS_MAX + 2));
        events.note("test", "é".repeat(ABOUT_BYTES_MAX) + "x");
        let cut = events.to_json()["list"][0]["about"].as_str().map(str::len);
        assert_eq!(cut, Some(ABOUT_BYTES_MAX));
        events.note("test", String::from("x") + &"é".repeat(ABOUT_BYTES_MAX));
        let cut = events.to_json()["list"][0]["about"].as_str().map(str::len);
        assert_eq!(cut, Some(ABOUT_BYTES_MAX - 1));
    }
}

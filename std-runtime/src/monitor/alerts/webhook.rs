//! Alerts to a webhook, in the JSON of Alertmanager's webhooks (version 4), which many receivers
//! understand.

use core::fmt;
use core::hash::{Hash, Hasher};
use core::time::Duration;
use std::hash::DefaultHasher;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use serde_json::json;
use turbopump_core::descriptor;
use turbopump_core::stats::{Descriptor, Kind, Samples, Source, VisitError};
use turbopump_core::time::Instant;

use super::handler::{Alert, AlertHandler, AlertState};
use crate::backend::Backend;
use crate::monitor::client::InvalidUrl;
use crate::monitor::delivery::Counts;
use crate::monitor::poster::{Posted, Poster};

/// Posts alerts to a URL. A cheap handle; its task ends with the last one.
///
/// Notices are delivered in order, tried again with growing pauses for about a quarter of an hour,
/// and dropped, and counted, where the receiver refuses them (a status of 4xx), or where more than
/// 256 wait.
///
/// What fires on is said again every four hours, or as often as
/// [`repeating`](Self::repeating) says: receivers may forget, or close what they hear no more of.
#[derive(Clone)]
pub struct Webhook {
    poster: Poster,
    repeats: Arc<Mutex<Repeats>>,
}

impl Webhook {
    /// Posts to a URL such as `http://127.0.0.1:9093/hook`.
    ///
    /// # Errors
    ///
    /// It is no `http` URL.
    pub fn new<B: Backend>(backend: &B, url: &str) -> Result<Self, InvalidUrl> {
        Self::repeating(backend, url, REPEAT_EVERY)
    }

    /// As [`new`](Self::new); says again what fires on after this time, [`Duration::MAX`] for
    /// never. Not more often than is collected.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn repeating<B: Backend>(
        backend: &B,
        url: &str,
        every: Duration,
    ) -> Result<Self, InvalidUrl> {
        let what = Posted {
            name: "webhook",
            content_type: "application/json",
            is_gzip: false,
            batch_bytes_max: 0,
        };
        let poster = Poster::new(backend, url, what, Vec::new())?;
        let every_us = u64::try_from(every.as_micros()).unwrap_or(u64::MAX);
        let repeats = Repeats { every_us, said: BTreeMap::new() };
        Ok(Self { poster, repeats: Arc::new(Mutex::new(repeats)) })
    }

    fn repeats(&self) -> MutexGuard<'_, Repeats> {
        self.repeats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was delivered, and what was not.
    #[must_use]
    pub fn stats(&self) -> WebhookStats {
        let (counts, waiting) = self.poster.stats();
        WebhookStats { counts, waiting }
    }
}

impl AlertHandler for Webhook {
    fn tell(&self, alert: &Alert) {
        let fingerprint = fingerprint(alert);
        if alert.state == AlertState::Resolved {
            self.repeats().said.remove(&fingerprint);
        }
        self.poster.push(fingerprint, body(alert));
    }

    fn still_firing(&self, now: Instant, alert: &Alert) {
        let fingerprint = fingerprint(alert);
        let is_due = self.repeats().is_due(now, fingerprint);
        if is_due {
            self.poster.push(fingerprint, body(alert));
        }
    }
}

const REPEAT_EVERY: Duration = Duration::from_secs(4 * 3_600);

/// When what fires was said last: a machine without a clock, bounded by the number of rules.
#[derive(Debug)]
struct Repeats {
    every_us: u64,
    said: BTreeMap<u64, Instant>,
}

impl Repeats {
    /// Whether something that fires is to be said again. What was not heard of before has been said
    /// just now.
    fn is_due(&mut self, now: Instant, fingerprint: u64) -> bool {
        let said_at = self.said.entry(fingerprint).or_insert(now);
        let is_due = *said_at != now && now.us_since(*said_at) >= self.every_us;
        if is_due {
            *said_at = now;
        }
        is_due
    }
}

/// Tells alerts apart, whatever their state.
fn fingerprint(alert: &Alert) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&alert.name, alert.severity.as_str()).hash(&mut hasher);
    hasher.finish()
}

fn body(alert: &Alert) -> String {
    let labels = json!({"alertname": alert.name, "severity": alert.severity.as_str()});
    let annotations = json!({
        "description": alert.description,
        "summary": alert.rule,
        "value": alert.value.map(|value| value.to_string()).unwrap_or_default(),
    });
    let ends_at = match alert.state {
        AlertState::Firing => String::from("0001-01-01T00:00:00Z"),
        AlertState::Resolved => rfc_3339(alert.at_unix_ms),
    };
    let status = alert.state.as_str();
    let one = json!({
        "status": status,
        "labels": labels,
        "annotations": annotations,
        "startsAt": rfc_3339(alert.since_unix_ms),
        "endsAt": ends_at,
        "generatorURL": "",
        "fingerprint": format!("{:016x}", fingerprint(alert)),
    });
    json!({
        "version": "4",
        "groupKey": format!("{{}}:{{alertname={:?}}}", alert.name),
        "truncatedAlerts": 0,
        "status": status,
        "receiver": "turbopump",
        "groupLabels": {"alertname": alert.name},
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": "",
        "alerts": [one],
    })
    .to_string()
}

/// A time as text, until the year 9999.
pub(in crate::monitor) fn rfc_3339(unix_ms: u64) -> String {
    const MS_MAX: u64 = 253_402_300_799_999;
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(unix_ms.min(MS_MAX));
    humantime::format_rfc3339_millis(at).to_string()
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A URL may hold a secret.
        f.debug_struct("Webhook").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// What a webhook has delivered.
#[derive(Clone, Copy, Debug)]
pub struct WebhookStats {
    counts: Counts,
    waiting: usize,
}

impl WebhookStats {
    /// Notices that were taken.
    #[must_use]
    pub const fn delivered(&self) -> u64 {
        self.counts.delivered
    }

    /// Notices that were given up.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.counts.dropped
    }
}

static NOTICES: Descriptor = descriptor!(
    Kind::Counter,
    "turbopump_alert_notices_total",
    "Notices of alerts, by what became of them; retried ones are counted at each attempt."
);
static WAITING: Descriptor = descriptor!(
    Kind::Gauge,
    "turbopump_alert_notices_waiting",
    "Notices of alerts that are still to be delivered."
);
static FAMILIES: [&Descriptor; 2] = [&NOTICES, &WAITING];

impl Source for WebhookStats {
    fn families(&self) -> &'static [&'static Descriptor] {
        &FAMILIES
    }

    fn visit(&self, samples: &mut Samples<'_>) -> Result<(), VisitError> {
        let Counts { delivered, retried, dropped } = self.counts;
        for (result, count) in
            [("delivered", delivered), ("retried", retried), ("dropped", dropped)]
        {
            samples.counter(&NOTICES, &[("result", result)], count)?;
        }
        samples.gauge(&WAITING, &[], self.waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fires_is_due_again_after_the_interval() {
        let mut repeats = Repeats { every_us: 100, said: BTreeMap::new() };
        let due = [0, 0, 99, 100, 150, 199, 200, 450, 500, 550]
            .map(|us| repeats.is_due(Instant::from_us(us), 1));
        assert_eq!(due, [false, false, false, true, false, false, true, true, false, true]);
        assert!(!repeats.is_due(Instant::from_us(550), 2), "another one");
        repeats.said.remove(&1);
        assert!(!repeats.is_due(Instant::from_us(900), 1), "it begins anew");
        repeats.every_us = u64::MAX;
        assert!(!repeats.is_due(Instant::from_us(u64::MAX), 1), "never");
    }
}

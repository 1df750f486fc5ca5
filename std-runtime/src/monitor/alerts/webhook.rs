//! Alerts to a webhook, in the JSON of Alertmanager's webhooks (version 4), which many receivers
//! understand.

use core::fmt;
use core::hash::{Hash, Hasher};
use core::time::Duration;
use std::hash::DefaultHasher;
use std::time::SystemTime;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde_json::json;
use turbopump_core::descriptor;
use turbopump_core::stats::{Descriptor, Kind, Samples, Source, VisitError};

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
#[derive(Clone)]
pub struct Webhook {
    poster: Poster,
}

impl Webhook {
    /// Posts to a URL such as `http://127.0.0.1:9093/hook`.
    ///
    /// # Errors
    ///
    /// It is no `http` URL.
    pub fn new<B: Backend>(backend: &B, url: &str) -> Result<Self, InvalidUrl> {
        let what = Posted {
            name: "webhook",
            content_type: "application/json",
            is_gzip: false,
            batch_bytes_max: 0,
        };
        Ok(Self { poster: Poster::new(backend, url, what, Vec::new())? })
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
        self.poster.push(fingerprint(alert), body(alert));
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

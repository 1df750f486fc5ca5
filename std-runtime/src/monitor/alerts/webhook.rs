//! Alerts to a webhook, in the JSON of Alertmanager's webhooks (version 4), which many receivers
//! understand.

use core::fmt;
use core::future::{Future, poll_fn};
use core::hash::{BuildHasher, Hash, Hasher};
use core::pin::pin;
use core::task::{Poll, Waker};
use core::time::Duration;
use std::hash::{DefaultHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::{Arc, Weak};

use serde_json::json;
use turbopump_core::descriptor;
use turbopump_core::stats::{Descriptor, Kind, Samples, Source, VisitError};
use turbopump_core::time::{Clock, Instant};

use super::delivery::{Counts, Delivery};
use super::handler::{Alert, AlertHandler, AlertState};
use crate::backend::Backend;
use crate::clock::SystemClock;
use crate::monitor::client::Client;

pub use crate::monitor::client::InvalidUrl;

/// Posts alerts to a URL. A cheap handle; its task ends with the last one.
///
/// Notices are delivered in order, tried again with growing pauses for about a quarter of an hour,
/// and dropped, and counted, where the receiver refuses them (a status of 4xx), or where more than
/// 256 wait.
#[derive(Clone)]
pub struct Webhook {
    shared: Arc<Shared>,
}

struct Shared {
    url: String,
    clock: SystemClock,
    state: Mutex<State>,
}

struct State {
    delivery: Delivery,
    waker: Option<Waker>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Webhook {
    /// Posts to a URL such as `http://127.0.0.1:9093/hook`.
    ///
    /// # Errors
    ///
    /// It is no `http` URL.
    pub fn new<B: Backend>(backend: &B, url: &str) -> Result<Self, InvalidUrl> {
        let client = Client::new(backend.clone(), url)?;
        let delivery = Delivery::new(RandomState::new().hash_one(url));
        let state = Mutex::new(State { delivery, waker: None });
        let shared = Arc::new(Shared { url: url.into(), clock: SystemClock::new(), state });
        backend.spawn(deliver(backend.clone(), client, Arc::downgrade(&shared)));
        Ok(Self { shared })
    }

    /// What was delivered, and what was not.
    #[must_use]
    pub fn stats(&self) -> WebhookStats {
        let state = self.shared.lock();
        WebhookStats { counts: state.delivery.counts, waiting: state.delivery.waiting() }
    }
}

impl AlertHandler for Webhook {
    fn tell(&self, alert: &Alert) {
        let body = body(alert);
        let mut state = self.shared.lock();
        state.delivery.push(fingerprint(alert), body);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let waker = self.lock().waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Delivers until the last handle is gone.
async fn deliver<B: Backend>(backend: B, client: Client<B>, shared: Weak<Shared>) {
    loop {
        let Some(body) = next(&backend, &shared).await else { return };
        let posted = client.post("application/json", &[], body.into_bytes()).await;
        let Some(shared) = shared.upgrade() else { return };
        let now = shared.clock.now().at;
        let mut state = shared.lock();
        match posted {
            Ok(()) => state.delivery.succeeded(),
            Err(error) => {
                state.delivery.failed(now, error.is_final());
                // Once per notice that is lost; attempts are counted.
                if error.is_final() {
                    log::error!("{}: an alert was not taken: {error}", shared.url);
                }
            }
        }
    }
}

/// The next notice, when its time has come; `None` once nobody has a handle.
async fn next<B: Backend>(backend: &B, shared: &Weak<Shared>) -> Option<String> {
    loop {
        let wait = {
            let shared = shared.upgrade()?;
            let mut state = shared.lock();
            let now = shared.clock.now().at;
            if let Some(body) = state.delivery.poll(now) {
                return Some(body.to_string());
            }
            state.delivery.poll_timeout().and_then(|at: Instant| shared.clock.system_instant(at))
        };
        let mut sleep = wait.map(|at| alloc::boxed::Box::pin(backend.sleep_until(at)));
        let mut is_first = true;
        let mut woken = pin!(poll_fn(|cx| {
            let Some(shared) = shared.upgrade() else { return Poll::Ready(()) };
            let mut state = shared.lock();
            if !core::mem::take(&mut is_first) {
                return Poll::Ready(());
            }
            if state.delivery.poll_timeout().is_some() && wait.is_none() {
                return Poll::Ready(());
            }
            state.waker = Some(cx.waker().clone());
            Poll::Pending
        }));
        poll_fn(|cx| {
            if let Some(sleep) = &mut sleep
                && sleep.as_mut().poll(cx).is_ready()
            {
                return Poll::Ready(());
            }
            woken.as_mut().poll(cx)
        })
        .await;
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
        AlertState::Resolved => time(alert.at_unix_ms),
    };
    let status = alert.state.as_str();
    let one = json!({
        "status": status,
        "labels": labels,
        "annotations": annotations,
        "startsAt": time(alert.since_unix_ms),
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

fn time(unix_ms: u64) -> String {
    let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(unix_ms));
    humantime::format_rfc3339_millis(at.unwrap_or(SystemTime::UNIX_EPOCH)).to_string()
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

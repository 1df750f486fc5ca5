//! Numbers to InfluxDB, as line protocol over HTTP.

use core::fmt;
use core::time::Duration;
use std::sync::{Mutex, PoisonError};

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use turbopump_core::descriptor;
use turbopump_core::stats::{Descriptor, Kind, Samples, Source, VisitError, text};

use super::schedule::Schedule;
use crate::backend::Backend;
use crate::monitor::client::InvalidUrl;
use crate::monitor::delivery::Counts;
use crate::monitor::observer::Observer;
use crate::monitor::poster::{Posted, Poster};
use crate::monitor::sources::Snapshot;

/// Where to and how often an [`InfluxExport`] posts.
#[derive(Clone)]
#[non_exhaustive]
pub struct InfluxExportConfig {
    /// The whole URL: `http://HOST:8086/write?db=NAME` for version 1,
    /// `http://HOST:8086/api/v2/write?org=ORG&bucket=BUCKET` for version 2.
    pub url: String,
    /// For version 2, and version 1 with authentication: sent as `Authorization: Token ...`.
    pub token: Option<String>,
    /// How often; hourly. Not more often than is collected.
    pub every: Duration,
    /// Labels that every point gets, as tags.
    pub labels: Vec<(String, String)>,
}

impl InfluxExportConfig {
    /// Hourly to this URL.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        let every = Duration::from_secs(3_600);
        Self { url: url.into(), token: None, every, labels: Vec::new() }
    }
}

impl fmt::Debug for InfluxExportConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may hold a password, too.
        f.debug_struct("InfluxExportConfig")
            .field("has_token", &self.token.is_some())
            .field("every", &self.every)
            .field("labels", &self.labels)
            .finish_non_exhaustive()
    }
}

/// Posts numbers to InfluxDB: an [`Observer`], to be registered with a monitor.
///
/// Exports that wait go in one request, of at most 1 MiB before it is compressed. Requests that
/// fail are made again with growing pauses; what is refused together is posted one by one. At most
/// 256 exports wait, the oldest are dropped and counted.
pub struct InfluxExport {
    schedule: Mutex<Schedule>,
    labels: Vec<(String, String)>,
    poster: Poster,
}

impl InfluxExport {
    /// Posts by a task of its own, which ends with the export.
    ///
    /// # Errors
    ///
    /// The URL is no `http` URL.
    pub fn start<B: Backend>(
        backend: &B,
        config: InfluxExportConfig,
    ) -> Result<Arc<Self>, InvalidUrl> {
        let what = Posted {
            name: "InfluxDB",
            content_type: "text/plain; charset=utf-8",
            is_gzip: true,
            batch_bytes_max: REQUEST_BYTES_MAX,
        };
        let token = config.token.map(|token| ("authorization", alloc::format!("Token {token}")));
        let poster = Poster::new(backend, &config.url, what, token.into_iter().collect())?;
        let schedule = Mutex::new(Schedule::new(config.every));
        Ok(Arc::new(Self { schedule, labels: config.labels, poster }))
    }

    /// What was posted, and what was not.
    #[must_use]
    pub fn stats(&self) -> ExportStats {
        let (counts, waiting) = self.poster.stats();
        ExportStats { counts, waiting }
    }
}

impl Observer for InfluxExport {
    fn observe(&self, snapshot: &Arc<Snapshot>) {
        let mut schedule = self.schedule.lock().unwrap_or_else(PoisonError::into_inner);
        if !schedule.is_due(snapshot.now().at) {
            return;
        }
        drop(schedule);
        let labels: Vec<_> =
            self.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let at_unix_ms = snapshot.now().unix_ms;
        let mut lines = String::new();
        let at_ns = at_unix_ms.saturating_mul(1_000_000);
        match text::write_influx(snapshot.sources(), &labels, at_ns, &mut lines) {
            Ok(()) => self.poster.push(at_unix_ms, lines),
            Err(error) => log::error!("numbers are not exported: {error}"),
        }
    }
}

impl fmt::Debug for InfluxExport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InfluxExport").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// Of exports that go in one request, before compression; a single one may be longer.
const REQUEST_BYTES_MAX: usize = 1 << 20;

/// What an export has posted.
#[derive(Clone, Copy, Debug)]
pub struct ExportStats {
    counts: Counts,
    waiting: usize,
}

impl ExportStats {
    /// Exports that were taken.
    #[must_use]
    pub const fn posted(&self) -> u64 {
        self.counts.delivered
    }

    /// Exports that were given up.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.counts.dropped
    }

    /// Exports that are still to be taken.
    #[must_use]
    pub const fn waiting(&self) -> usize {
        self.waiting
    }
}

static EXPORTS: Descriptor = descriptor!(
    Kind::Counter,
    "turbopump_exports_total",
    "Exports, by what became of them; retried ones are counted at each attempt."
);
static WAITING: Descriptor =
    descriptor!(Kind::Gauge, "turbopump_exports_waiting", "Exports that are still to be taken.");
static FAMILIES: [&Descriptor; 2] = [&EXPORTS, &WAITING];

impl Source for ExportStats {
    fn families(&self) -> &'static [&'static Descriptor] {
        &FAMILIES
    }

    fn visit(&self, samples: &mut Samples<'_>) -> Result<(), VisitError> {
        let Counts { delivered, retried, dropped } = self.counts;
        for (result, count) in [("posted", delivered), ("retried", retried), ("dropped", dropped)] {
            samples.counter(&EXPORTS, &[("result", result)], count)?;
        }
        samples.gauge(&WAITING, &[], self.waiting)
    }
}

//! What is counted.

use turbopump_core::descriptor;
use turbopump_core::stats::{
    Counter, Descriptor, Gauge, Kind, LatencyHistogram, Samples, Source, Unit, VisitError,
};

/// A snapshot of an [`AsyncIo`](super::AsyncIo)'s numbers, all of one moment.
///
/// Every submitted task is queued, running or in exactly one of the counters of outcomes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AsyncIoStats {
    /// Tasks that were accepted.
    pub submitted: Counter,
    /// Tasks that were given back.
    pub refused: Counter,
    /// Tasks that wait for a worker.
    pub queued: Gauge,
    /// Tasks that a worker has.
    pub running: Gauge,
    /// Tasks that did what they should.
    pub succeeded: Counter,
    /// Tasks whose connection failed.
    pub failed: Counter,
    /// Tasks that were not done in time.
    pub timed_out: Counter,
    /// Tasks whose future was dropped before they were done.
    pub cancelled: Counter,
    /// Tasks that were left when the workers' runtime ended.
    pub ended: Counter,
    /// Callbacks that panicked.
    pub callback_panics: Counter,
    /// Times from submission to completion, whatever the outcome, in microseconds.
    pub latency_us: LatencyHistogram,
}

/// How a task completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Succeeded,
    Failed,
    TimedOut,
    Cancelled,
    Ended,
}

impl AsyncIoStats {
    pub(super) const fn new(latency_us: LatencyHistogram) -> Self {
        Self {
            submitted: Counter::new(),
            refused: Counter::new(),
            queued: Gauge::new(),
            running: Gauge::new(),
            succeeded: Counter::new(),
            failed: Counter::new(),
            timed_out: Counter::new(),
            cancelled: Counter::new(),
            ended: Counter::new(),
            callback_panics: Counter::new(),
            latency_us,
        }
    }

    pub(super) fn count(&mut self, outcome: Outcome, latency_us: u64) {
        self.latency_us.observe(latency_us);
        match outcome {
            Outcome::Succeeded => self.succeeded.increment(),
            Outcome::Failed => self.failed.increment(),
            Outcome::TimedOut => self.timed_out.increment(),
            Outcome::Cancelled => self.cancelled.increment(),
            Outcome::Ended => self.ended.increment(),
        }
    }

    /// Tasks that completed, in whatever way.
    #[must_use]
    pub const fn completed(&self) -> u64 {
        self.succeeded.get()
            + self.failed.get()
            + self.timed_out.get()
            + self.cancelled.get()
            + self.ended.get()
    }
}

static SUBMITTED: Descriptor =
    descriptor!(Kind::Counter, "turbopump_async_io_submitted_total", "Tasks accepted.");
static REFUSED: Descriptor =
    descriptor!(Kind::Counter, "turbopump_async_io_refused_total", "Tasks given back.");
static QUEUED: Descriptor =
    descriptor!(Kind::Gauge, "turbopump_async_io_queued", "Tasks that wait for a worker.");
static RUNNING: Descriptor =
    descriptor!(Kind::Gauge, "turbopump_async_io_running", "Tasks that a worker has.");
static COMPLETED: Descriptor =
    descriptor!(Kind::Counter, "turbopump_async_io_completed_total", "Tasks done, by outcome.");
static PANICS: Descriptor = descriptor!(
    Kind::Counter,
    "turbopump_async_io_callback_panics_total",
    "Callbacks that panicked."
);
static LATENCY: Descriptor = descriptor!(
    Kind::Histogram,
    "turbopump_async_io_latency_seconds",
    "Time from submission to completion.",
    Unit::MICROSECONDS
);
static FAMILIES: [&Descriptor; 7] =
    [&SUBMITTED, &REFUSED, &QUEUED, &RUNNING, &COMPLETED, &PANICS, &LATENCY];

impl Source for AsyncIoStats {
    fn families(&self) -> &'static [&'static Descriptor] {
        &FAMILIES
    }

    fn visit(&self, samples: &mut Samples<'_>) -> Result<(), VisitError> {
        samples.counter(&SUBMITTED, &[], self.submitted)?;
        samples.counter(&REFUSED, &[], self.refused)?;
        samples.gauge(&QUEUED, &[], self.queued)?;
        samples.gauge(&RUNNING, &[], self.running)?;
        for (outcome, count) in [
            ("succeeded", self.succeeded),
            ("failed", self.failed),
            ("timed_out", self.timed_out),
            ("cancelled", self.cancelled),
            ("ended", self.ended),
        ] {
            samples.counter(&COMPLETED, &[("outcome", outcome)], count)?;
        }
        samples.counter(&PANICS, &[], self.callback_panics)?;
        samples.histogram(&LATENCY, &[], &self.latency_us)
    }
}

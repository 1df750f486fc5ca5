//! What a link with requests counts.

use crate::descriptor;
use crate::stats::{
    Counter, Descriptor, Kind, LatencyHistogram, PeakGauge, Samples, Source, Unit, VisitError,
};

/// What [`Requests`](super::Requests) counted: a snapshot.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RequestCounters {
    /// Requests that were accepted.
    pub sent: Counter,
    /// Requests that were answered in time.
    pub answered: Counter,
    /// Requests whose time passed before an answer came.
    pub timed_out: Counter,
    /// Requests that whoever made them gave up.
    pub abandoned: Counter,
    /// Requests that had no answer when the link closed.
    pub closed: Counter,
    /// Requests that were not accepted.
    pub refused: Counter,
    /// Answers that came too late and were dropped.
    pub late: Counter,
    /// Answers to requests that were never made; they were dropped.
    pub unknown: Counter,
    /// Answers for which there was no memory; they were dropped.
    pub without_buffer: Counter,
    /// Frames that the peer sent of its own accord.
    pub unsolicited: Counter,
    /// Of these, those that were dropped, because nobody fetched the ones before them or there was
    /// no memory.
    pub unsolicited_dropped: Counter,
    /// Bytes of whole frames that came in.
    pub bytes_in: Counter,
    /// Bytes that were written.
    pub bytes_out: Counter,
    /// Requests that have no outcome yet; the peak counts those as well whose outcome nobody took.
    pub in_flight: PeakGauge,
    /// From the first look at the clock after a request was accepted to its answer.
    pub latency_us: LatencyHistogram,
}

impl RequestCounters {
    /// Adds what another link has counted.
    pub fn merge(&mut self, other: &Self) {
        for (ours, theirs) in [
            (&mut self.sent, other.sent),
            (&mut self.answered, other.answered),
            (&mut self.timed_out, other.timed_out),
            (&mut self.abandoned, other.abandoned),
            (&mut self.closed, other.closed),
            (&mut self.refused, other.refused),
            (&mut self.late, other.late),
            (&mut self.unknown, other.unknown),
            (&mut self.without_buffer, other.without_buffer),
            (&mut self.unsolicited, other.unsolicited),
            (&mut self.unsolicited_dropped, other.unsolicited_dropped),
            (&mut self.bytes_in, other.bytes_in),
            (&mut self.bytes_out, other.bytes_out),
        ] {
            ours.merge(theirs);
        }
        self.in_flight.merge(other.in_flight);
        self.latency_us.merge(&other.latency_us);
    }
}

static SENT: Descriptor =
    descriptor!(Kind::Counter, "turbopump_requests_total", "Requests that were accepted.");
static OUTCOMES: Descriptor = descriptor!(
    Kind::Counter,
    "turbopump_request_outcomes_total",
    "Requests by how they ended, and those that were not accepted (refused)."
);
static LATE: Descriptor = descriptor!(
    Kind::Counter,
    "turbopump_late_responses_total",
    "Answers that nobody waited for any more, or ever did (unknown); they were dropped."
);
static UNSOLICITED: Descriptor = descriptor!(
    Kind::Counter,
    "turbopump_unsolicited_total",
    "Frames that peers sent of their own accord, by whether they were dropped."
);
static BYTES: Descriptor = descriptor!(
    Kind::Counter,
    "turbopump_request_bytes_total",
    "Bytes on links with requests, by direction.",
    Unit::BYTES
);
static PENDING: Descriptor =
    descriptor!(Kind::Gauge, "turbopump_requests_pending", "Requests without outcome.");
static PENDING_MAX: Descriptor = descriptor!(
    Kind::Gauge,
    "turbopump_requests_pending_max",
    "The most requests without outcome at once."
);
static DURATION: Descriptor = descriptor!(
    Kind::Histogram,
    "turbopump_request_duration_seconds",
    "From a request to its answer.",
    Unit::MICROSECONDS
);
static FAMILIES: [&Descriptor; 8] =
    [&SENT, &OUTCOMES, &LATE, &UNSOLICITED, &BYTES, &PENDING, &PENDING_MAX, &DURATION];

impl Source for RequestCounters {
    fn families(&self) -> &'static [&'static Descriptor] {
        &FAMILIES
    }

    fn visit(&self, samples: &mut Samples<'_>) -> Result<(), VisitError> {
        samples.counter(&SENT, &[], self.sent)?;
        for (outcome, count) in [
            ("answered", self.answered),
            ("timeout", self.timed_out),
            ("abandoned", self.abandoned),
            ("closed", self.closed),
            ("no_buffer", self.without_buffer),
            ("refused", self.refused),
        ] {
            samples.counter(&OUTCOMES, &[("outcome", outcome)], count)?;
        }
        samples.counter(&LATE, &[("kind", "late")], self.late)?;
        samples.counter(&LATE, &[("kind", "unknown")], self.unknown)?;
        let dropped = self.unsolicited_dropped;
        let kept = self.unsolicited.get().saturating_sub(dropped.get());
        samples.counter(&UNSOLICITED, &[("dropped", "no")], kept)?;
        samples.counter(&UNSOLICITED, &[("dropped", "yes")], dropped)?;
        samples.counter(&BYTES, &[("direction", "in")], self.bytes_in)?;
        samples.counter(&BYTES, &[("direction", "out")], self.bytes_out)?;
        samples.gauge(&PENDING, &[], self.in_flight.get())?;
        samples.gauge(&PENDING_MAX, &[], self.in_flight.peak())?;
        samples.histogram(&DURATION, &[], &self.latency_us)
    }
}

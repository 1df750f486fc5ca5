//! What a producer counts, by topic, and what it is called.

use turbopump_core::descriptor;
use turbopump_core::rocketmq::client::{BusyKind, Failure};
use turbopump_core::stats::{
    Counter, Descriptor, DurationHistogram, ItemsHistogram, Kind, Samples, Source, Unit, VisitError,
};

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use super::budget::{Budget, Usage};
use super::error::SendErrorKind;
use super::outgoing::Outgoing;
use crate::labeled::{Labeled, LabeledStats};

/// How a send came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempted {
    Taken,
    Busy,
    Timeout,
    Rejected,
    Error,
}

impl Attempted {
    const ALL: [Self; 5] = [Self::Taken, Self::Busy, Self::Timeout, Self::Rejected, Self::Error];

    pub(super) const fn of(kind: &SendErrorKind) -> Self {
        match kind {
            SendErrorKind::Busy { .. } => Self::Busy,
            SendErrorKind::Unreachable { .. } => Self::Timeout,
            SendErrorKind::Refused { .. } => Self::Rejected,
            _ => Self::Error,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Taken => "ok",
            Self::Busy => "busy",
            Self::Timeout => "timeout",
            Self::Rejected => "rejected",
            Self::Error => "error",
        }
    }
}

/// Messages of one topic.
#[derive(Clone, Debug)]
pub struct TopicSends {
    messages: [Counter; Attempted::ALL.len()],
    bytes: Counter,
    refused: Counter,
    duration_us: DurationHistogram,
    batch_messages: ItemsHistogram,
}

impl Default for TopicSends {
    fn default() -> Self {
        Self {
            messages: Default::default(),
            bytes: Counter::new(),
            refused: Counter::new(),
            duration_us: DurationHistogram::durations_us(),
            batch_messages: ItemsHistogram::items(),
        }
    }
}

impl TopicSends {
    /// Messages that brokers have taken.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.messages.first().map_or(0, |count| count.get())
    }

    /// Messages that were not sent, or not as far as is known, after they were tried.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.messages.iter().skip(1).map(|count| count.get()).sum()
    }

    /// Bytes of what brokers have taken, as it was sent.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// Messages that were not even tried, for lack of room.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused.get()
    }

    /// How long requests took until they were answered, repetitions included; in microseconds.
    #[must_use]
    pub const fn duration_us(&self) -> &DurationHistogram {
        &self.duration_us
    }

    /// How many messages requests had.
    #[must_use]
    pub const fn batch_messages(&self) -> &ItemsHistogram {
        &self.batch_messages
    }
}

static BATCH: Descriptor = descriptor!(
    Kind::Histogram,
    "turbopump_send_batch_messages",
    "Messages of one request, whatever became of them."
);
static MESSAGES: Descriptor = descriptor!(
    Kind::Counter,
    "turbopump_send_messages_total",
    "Messages by how sending them came out: ok, busy, timeout, rejected, error."
);
static BYTES: Descriptor = descriptor!(
    Kind::Counter,
    "turbopump_send_bytes_total",
    "Bytes of messages that brokers have taken, as they were sent.",
    Unit::BYTES
);
static REFUSED: Descriptor = descriptor!(
    Kind::Counter,
    "turbopump_send_refused_total",
    "Messages that were not tried for lack of room."
);
static DURATION: Descriptor = descriptor!(
    Kind::Histogram,
    "turbopump_send_duration_seconds",
    "Time from sending a request to its last answer.",
    Unit::MICROSECONDS
);
static FAILED_ATTEMPTS: Descriptor = descriptor!(
    Kind::Counter,
    "turbopump_send_attempts_failed_total",
    "Attempts that failed: transport, busy, code, unsent."
);
static BUSY: Descriptor = descriptor!(
    Kind::Counter,
    "turbopump_send_busy_total",
    "Attempts that busy brokers refused, by what they said."
);
static IN_FLIGHT: Descriptor = descriptor!(
    Kind::Gauge,
    "turbopump_send_in_flight_messages",
    "Messages of the client that are under way."
);
static IN_FLIGHT_BYTES: Descriptor = descriptor!(
    Kind::Gauge,
    "turbopump_send_in_flight_bytes",
    "Bytes of the messages of the client that are under way.",
    Unit::BYTES
);
static IN_FLIGHT_MAX: Descriptor = descriptor!(
    Kind::Gauge,
    "turbopump_send_in_flight_limit_messages",
    "Messages of the client that may be under way."
);
static IN_FLIGHT_BYTES_MAX: Descriptor = descriptor!(
    Kind::Gauge,
    "turbopump_send_in_flight_limit_bytes",
    "Bytes of messages of the client that may be under way.",
    Unit::BYTES
);
static WAITING: Descriptor = descriptor!(
    Kind::Gauge,
    "turbopump_send_waiting_senders",
    "Senders of the client that wait for room."
);
static TOPIC_FAMILIES: [&Descriptor; 5] = [&MESSAGES, &BYTES, &REFUSED, &DURATION, &BATCH];
static FAMILIES: [&Descriptor; 12] = [
    &MESSAGES,
    &BYTES,
    &REFUSED,
    &DURATION,
    &BATCH,
    &FAILED_ATTEMPTS,
    &BUSY,
    &IN_FLIGHT,
    &IN_FLIGHT_BYTES,
    &IN_FLIGHT_MAX,
    &IN_FLIGHT_BYTES_MAX,
    &WAITING,
];

impl Source for TopicSends {
    fn families(&self) -> &'static [&'static Descriptor] {
        &TOPIC_FAMILIES
    }

    fn visit(&self, samples: &mut Samples<'_>) -> Result<(), VisitError> {
        for (result, count) in Attempted::ALL.iter().zip(self.messages) {
            samples.counter(&MESSAGES, &[("result", result.name())], count)?;
        }
        samples.counter(&BYTES, &[], self.bytes)?;
        samples.counter(&REFUSED, &[], self.refused)?;
        samples.histogram(&DURATION, &[], &self.duration_us)?;
        samples.histogram(&BATCH, &[], &self.batch_messages)
    }
}

/// What a producer's handles count together.
pub(super) struct SendStats {
    topics: Labeled<TopicSends>,
    failed: [AtomicU64; FAILURES.len()],
    busy: [AtomicU64; BusyKind::ALL.len()],
}

const FAILURES: [&str; 4] = ["transport", "busy", "code", "unsent"];

impl SendStats {
    pub(super) fn new() -> Self {
        Self { topics: Labeled::new("topic"), failed: Default::default(), busy: Default::default() }
    }

    pub(super) fn count(&self, outgoing: &Outgoing<'_>, how: Attempted, us: u64) {
        let place = Attempted::ALL.iter().position(|other| *other == how).unwrap_or(0);
        self.topics.count(outgoing.topic, |sends| {
            if let Some(count) = sends.messages.get_mut(place) {
                count.add(outgoing.messages as u64);
            }
            if how == Attempted::Taken {
                sends.bytes.add(outgoing.body.len() as u64);
            }
            sends.duration_us.observe(us);
            sends.batch_messages.observe(outgoing.messages as u64);
        });
    }

    pub(super) fn count_refused(&self, topic: &str) {
        self.topics.count(topic, |sends| sends.refused.increment());
    }

    pub(super) fn count_attempt_failed(&self, failure: Failure) {
        let place = match failure {
            Failure::Busy(busy) => {
                let place = BusyKind::ALL.iter().position(|kind| *kind == busy.kind);
                if let Some(count) = place.and_then(|place| self.busy.get(place)) {
                    count.fetch_add(1, Ordering::Relaxed);
                }
                1
            }
            Failure::Code(_) => 2,
            Failure::Unsent => 3,
            _ => 0,
        };
        if let Some(count) = self.failed.get(place) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn report(&self, budget: &Arc<Budget>) -> ProducerStats {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        ProducerStats {
            topics: self.topics.stats(),
            failed: self.failed.each_ref().map(read),
            busy: self.busy.each_ref().map(read),
            usage: budget.usage(),
            limits: budget.limits(),
        }
    }
}

/// A producer at one moment: a [`Source`].
#[derive(Clone, Debug)]
pub struct ProducerStats {
    topics: LabeledStats<TopicSends>,
    failed: [u64; FAILURES.len()],
    busy: [u64; BusyKind::ALL.len()],
    usage: Usage,
    limits: (usize, u64),
}

impl ProducerStats {
    /// By topic.
    pub fn topics(&self) -> impl Iterator<Item = (&str, &TopicSends)> {
        self.topics.iter()
    }

    /// Attempts that busy brokers refused for this reason.
    #[must_use]
    pub fn busy(&self, kind: BusyKind) -> u64 {
        let place = BusyKind::ALL.iter().position(|other| *other == kind);
        place.and_then(|place| self.busy.get(place)).copied().unwrap_or(0)
    }

    /// Messages under way, of all producers of the client.
    #[must_use]
    pub const fn in_flight(&self) -> usize {
        self.usage.messages
    }

    /// Their bytes.
    #[must_use]
    pub const fn in_flight_bytes(&self) -> u64 {
        self.usage.bytes
    }

    /// Senders that wait for room.
    #[must_use]
    pub const fn waiting(&self) -> usize {
        self.usage.waiting
    }
}

impl Source for ProducerStats {
    fn families(&self) -> &'static [&'static Descriptor] {
        &FAMILIES
    }

    fn visit(&self, samples: &mut Samples<'_>) -> Result<(), VisitError> {
        self.topics.visit(samples)?;
        for (reason, count) in FAILURES.iter().zip(self.failed) {
            samples.counter(&FAILED_ATTEMPTS, &[("reason", reason)], Counter::from(count))?;
        }
        for (kind, count) in BusyKind::ALL.iter().zip(self.busy) {
            samples.counter(&BUSY, &[("kind", kind.name())], Counter::from(count))?;
        }
        samples.gauge(&IN_FLIGHT, &[], self.usage.messages)?;
        samples.gauge(&IN_FLIGHT_BYTES, &[], self.usage.bytes)?;
        samples.gauge(&IN_FLIGHT_MAX, &[], self.limits.0)?;
        samples.gauge(&IN_FLIGHT_BYTES_MAX, &[], self.limits.1)?;
        samples.gauge(&WAITING, &[], self.usage.waiting)
    }
}

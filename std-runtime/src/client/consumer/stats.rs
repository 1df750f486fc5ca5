//! What a consumer counts, and what it is called.

use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use turbopump_core::descriptor;
use turbopump_core::stats::{
    Counter, Descriptor, Distribution, DurationHistogram, Kind, Samples, Source, Unit, VisitError,
};

use crate::labeled::{Labeled, LabeledStats};

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Became {
    Done,
    /// It is stored at the broker, to be tried again.
    Retried,
    Dead,
    /// Its handler has panicked; what became of it then is counted as well.
    Panicked,
    /// It is tried again here.
    Again,
    /// Nobody tries it again.
    GivenUp,
    /// Somebody else has the queue by now, or its offset was set anew.
    Stale,
    /// It was done before.
    Repeated,
}

impl Became {
    const ALL: [Self; 8] = [
        Self::Done,
        Self::Retried,
        Self::Dead,
        Self::Panicked,
        Self::Again,
        Self::GivenUp,
        Self::Stale,
        Self::Repeated,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Done => "ok",
            Self::Retried => "retry",
            Self::Dead => "dlq",
            Self::Panicked => "panic",
            Self::Again => "again",
            Self::GivenUp => "given_up",
            Self::Stale => "stale",
            Self::Repeated => "repeated",
        }
    }
}

/// Messages of one topic.
#[derive(Clone, Debug)]
pub struct TopicConsumes {
    messages: [Counter; Became::ALL.len()],
    bytes: Counter,
    pulls: Counter,
    duration_us: DurationHistogram,
}

impl Default for TopicConsumes {
    fn default() -> Self {
        Self {
            messages: Default::default(),
            bytes: Counter::new(),
            pulls: Counter::new(),
            duration_us: DurationHistogram::durations_us(),
        }
    }
}

impl TopicConsumes {
    fn count(&self, became: Became) -> u64 {
        self.messages.get(became as usize).map_or(0, |count| count.get())
    }

    /// Messages that are done.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.count(Became::Done)
    }

    /// Messages that are stored at a broker to be tried again.
    #[must_use]
    pub fn retried(&self) -> u64 {
        self.count(Became::Retried)
    }

    /// Messages that became dead letters.
    #[must_use]
    pub fn dead(&self) -> u64 {
        self.count(Became::Dead)
    }

    /// Messages whose handlers have panicked.
    #[must_use]
    pub fn panicked(&self) -> u64 {
        self.count(Became::Panicked)
    }

    /// Messages that were tried again by this consumer itself, once for each time.
    #[must_use]
    pub fn tried_again(&self) -> u64 {
        self.count(Became::Again)
    }

    /// Messages that nobody tries again: of groups whose members each get all.
    #[must_use]
    pub fn given_up(&self) -> u64 {
        self.count(Became::GivenUp)
    }

    /// Messages that somebody else handles again, because their queue was given away or its offset
    /// set anew meanwhile.
    #[must_use]
    pub fn stale(&self) -> u64 {
        self.count(Became::Stale)
    }

    /// Messages that were done before, and not handled again:
    /// [`ConsumerConfig::seen_max`](super::ConsumerConfig::seen_max).
    #[must_use]
    pub fn repeated(&self) -> u64 {
        self.count(Became::Repeated)
    }

    /// Bytes that pulls have brought.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// Pulls that have brought messages.
    #[must_use]
    pub const fn pulls(&self) -> u64 {
        self.pulls.get()
    }

    /// How long a handler took on average, in microseconds.
    pub(super) fn duration_mean_us(&self) -> f64 {
        match self.duration_us.count() {
            0 => 0.0,
            count => self.duration_us.sum() as f64 / count as f64,
        }
    }

    /// How long handlers took, in microseconds.
    #[must_use]
    pub const fn duration_us(&self) -> &DurationHistogram {
        &self.duration_us
    }
}

static MESSAGES: Descriptor = descriptor!(
    Kind::Counter,
    "turbopump_consume_messages_total",
    "Messages by what became of them: ok, retry, dlq, panic, again, given_up, stale, repeated."
);
static BYTES: Descriptor = descriptor!(
    Kind::Counter,
    "turbopump_consume_bytes_total",
    "Bytes of messages that were pulled.",
    Unit::BYTES
);
static PULLS: Descriptor = descriptor!(
    Kind::Counter,
    "turbopump_consume_pulls_total",
    "Pulls that have brought messages."
);
static DURATION: Descriptor = descriptor!(
    Kind::Histogram,
    "turbopump_consume_duration_seconds",
    "Time that handlers took.",
    Unit::MICROSECONDS
);
static CACHED: Descriptor = descriptor!(
    Kind::Gauge,
    "turbopump_consumer_cached_messages",
    "Messages that were pulled and are not done."
);
static CACHED_BYTES: Descriptor = descriptor!(
    Kind::Gauge,
    "turbopump_consumer_cached_bytes",
    "Bytes of messages that were pulled and are not done.",
    Unit::BYTES
);
static UNDER_WAY: Descriptor = descriptor!(
    Kind::Gauge,
    "turbopump_consumer_under_way_messages",
    "Messages of all consumers of the client that are under way, with what pulls may bring."
);
static UNDER_WAY_BYTES: Descriptor = descriptor!(
    Kind::Gauge,
    "turbopump_consumer_under_way_bytes",
    "Bytes of all consumers of the client that are under way, with what pulls may bring.",
    Unit::BYTES
);
static DIFFERENCES: Descriptor = descriptor!(
    Kind::Gauge,
    "turbopump_consumer_subscription_differences",
    "In how much another member of the group subscribes to something else."
);
static ASSIGNED: Descriptor = descriptor!(
    Kind::Gauge,
    "turbopump_consumer_assigned_queues",
    "Queues that this consumer has."
);
static EVENTS: [Descriptor; Event::ALL.len()] = [
    descriptor!(Kind::Counter, "turbopump_rebalances_total", "Times that queues were shared anew."),
    descriptor!(
        Kind::Counter,
        "turbopump_rebalances_failed_total",
        "Times that nobody could say who has which queue."
    ),
    descriptor!(
        Kind::Counter,
        "turbopump_offset_commits_total",
        "Offsets that brokers have taken."
    ),
    descriptor!(
        Kind::Counter,
        "turbopump_offset_commits_failed_total",
        "Offsets that were not taken; they are committed again."
    ),
    descriptor!(
        Kind::Counter,
        "turbopump_send_backs_failed_total",
        "Messages that a broker did not take to be tried again; they are tried again here."
    ),
    descriptor!(
        Kind::Counter,
        "turbopump_pulls_failed_total",
        "Pulls that were not answered well."
    ),
    descriptor!(
        Kind::Counter,
        "turbopump_offsets_moved_total",
        "Queues that went on elsewhere: their offset was set anew, or was outside."
    ),
    descriptor!(
        Kind::Counter,
        "turbopump_subscriptions_unknown_total",
        "Pulls of which the broker did not know the subscription."
    ),
];
static FAMILIES: [&Descriptor; 18] = [
    &DIFFERENCES,
    &UNDER_WAY,
    &UNDER_WAY_BYTES,
    &MESSAGES,
    &BYTES,
    &PULLS,
    &DURATION,
    &CACHED,
    &CACHED_BYTES,
    &ASSIGNED,
    &EVENTS[0],
    &EVENTS[1],
    &EVENTS[2],
    &EVENTS[3],
    &EVENTS[4],
    &EVENTS[5],
    &EVENTS[6],
    &EVENTS[7],
];
static TOPIC_FAMILIES: [&Descriptor; 4] = [&MESSAGES, &BYTES, &PULLS, &DURATION];

impl Source for TopicConsumes {
    fn families(&self) -> &'static [&'static Descriptor] {
        &TOPIC_FAMILIES
    }

    fn visit(&self, samples: &mut Samples<'_>) -> Result<(), VisitError> {
        for (became, count) in Became::ALL.iter().zip(self.messages) {
            samples.counter(&MESSAGES, &[("result", became.name())], count)?;
        }
        samples.counter(&BYTES, &[], self.bytes)?;
        samples.counter(&PULLS, &[], self.pulls)?;
        samples.histogram(&DURATION, &[], &self.duration_us)
    }
}

/// Something that happens to a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Rebalanced,
    RebalanceFailed,
    Committed,
    CommitFailed,
    SendBackFailed,
    PullFailed,
    Moved,
    SubscriptionUnknown,
}

impl Event {
    const ALL: [Self; 8] = [
        Self::Rebalanced,
        Self::RebalanceFailed,
        Self::Committed,
        Self::CommitFailed,
        Self::SendBackFailed,
        Self::PullFailed,
        Self::Moved,
        Self::SubscriptionUnknown,
    ];
}

/// What the tasks of one consumer count together.
pub(super) struct ConsumeStats {
    topics: Labeled<TopicConsumes>,
    events: [AtomicU64; Event::ALL.len()],
    /// Handlers that came to their end.
    pub(super) completed: AtomicU64,
    /// Messages whose handlers were given up.
    pub(super) abandoned: AtomicU64,
    /// Why a handler has failed last.
    failure: Mutex<Option<Box<str>>>,
    /// In what members of the group differ.
    differences: Mutex<Vec<String>>,
}

impl ConsumeStats {
    pub(super) fn new() -> Self {
        Self {
            topics: Labeled::new("topic"),
            events: Default::default(),
            completed: AtomicU64::new(0),
            abandoned: AtomicU64::new(0),
            failure: Mutex::default(),
            differences: Mutex::default(),
        }
    }

    pub(super) fn count(&self, event: Event) {
        if let Some(count) = self.events.get(event as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn count_message(&self, topic: &str, became: Became) {
        self.topics.count(topic, |consumes| {
            if let Some(count) = consumes.messages.get_mut(became as usize) {
                count.increment();
            }
        });
    }

    pub(super) fn count_handled(&self, topic: &str, us: u64) {
        self.completed.fetch_add(1, Ordering::Relaxed);
        self.topics.count(topic, |consumes| consumes.duration_us.observe(us));
    }

    pub(super) fn count_pull(&self, topic: &str, bytes: usize) {
        self.topics.count(topic, |consumes| {
            consumes.pulls.increment();
            consumes.bytes.add(bytes as u64);
        });
    }

    pub(super) fn note_failure(&self, reason: Box<str>) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
    }

    fn differences(&self) -> MutexGuard<'_, Vec<String>> {
        self.differences.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note_differences(&self, found: Vec<String>) {
        *self.differences() = found;
    }

    pub(super) fn report(
        &self,
        queues: usize,
        (messages, bytes): (usize, u64),
        under_way: (u64, u64),
    ) -> ConsumerStats {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        ConsumerStats {
            topics: self.topics.stats(),
            events: self.events.each_ref().map(|count| count.load(Ordering::Relaxed)),
            queues,
            messages,
            bytes,
            under_way,
            differences: self.differences().clone(),
            last_failure: failure.as_deref().map(String::from),
        }
    }
}

/// A consumer at one moment: a [`Source`].
#[derive(Clone, Debug)]
pub struct ConsumerStats {
    topics: LabeledStats<TopicConsumes>,
    events: [u64; Event::ALL.len()],
    queues: usize,
    messages: usize,
    bytes: u64,
    under_way: (u64, u64),
    differences: Vec<String>,
    last_failure: Option<String>,
}

impl ConsumerStats {
    fn event(&self, event: Event) -> u64 {
        self.events.get(event as usize).copied().unwrap_or(0)
    }

    /// By topic, the group's retry topic among them.
    pub fn topics(&self) -> impl Iterator<Item = (&str, &TopicConsumes)> {
        self.topics.iter()
    }

    /// Messages that are done, of all topics.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.topics().map(|(_, consumes)| consumes.done()).sum()
    }

    /// Queues that it has.
    #[must_use]
    pub const fn assigned_queues(&self) -> usize {
        self.queues
    }

    /// Messages that were pulled and are not done.
    #[must_use]
    pub const fn cached_messages(&self) -> usize {
        self.messages
    }

    /// Their bytes.
    #[must_use]
    pub const fn cached_bytes(&self) -> u64 {
        self.bytes
    }

    /// Messages of all consumers of the client that are under way, those that pulls in flight may
    /// bring included: what [`ClientConfig::flow`](crate::client::ClientConfig::flow) bounds.
    #[must_use]
    pub const fn under_way_messages(&self) -> u64 {
        self.under_way.0
    }

    /// Their bytes.
    #[must_use]
    pub const fn under_way_bytes(&self) -> u64 {
        self.under_way.1
    }

    /// Times that queues were shared anew.
    #[must_use]
    pub fn rebalances(&self) -> u64 {
        self.event(Event::Rebalanced)
    }

    /// Times that nobody could say who has which queue of some topic; tried again soon.
    #[must_use]
    pub fn rebalances_failed(&self) -> u64 {
        self.event(Event::RebalanceFailed)
    }

    /// Offsets that brokers have taken.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.event(Event::Committed)
    }

    /// Offsets that were not taken; they are committed again.
    #[must_use]
    pub fn commits_failed(&self) -> u64 {
        self.event(Event::CommitFailed)
    }

    /// Messages that a broker did not take to be tried again later; they are tried again here.
    #[must_use]
    pub fn send_backs_failed(&self) -> u64 {
        self.event(Event::SendBackFailed)
    }

    /// Pulls that were not answered, or refused.
    #[must_use]
    pub fn pulls_failed(&self) -> u64 {
        self.event(Event::PullFailed)
    }

    /// Queues that went on at another offset, because somebody has set it anew, or messages are
    /// gone.
    #[must_use]
    pub fn offsets_moved(&self) -> u64 {
        self.event(Event::Moved)
    }

    /// Pulls of which a broker did not know the subscription: other members of the group may
    /// subscribe to something else, by which messages are lost.
    #[must_use]
    pub fn subscriptions_unknown(&self) -> u64 {
        self.event(Event::SubscriptionUnknown)
    }

    /// In what another member of the group subscribes to something else, as a broker was told last:
    /// messages are lost until all members subscribe to the same.
    #[must_use]
    pub fn subscription_differences(&self) -> &[String] {
        &self.differences
    }

    /// Why a handler has failed last.
    #[must_use]
    pub fn last_failure(&self) -> Option<&str> {
        self.last_failure.as_deref()
    }
}

impl Source for ConsumerStats {
    fn families(&self) -> &'static [&'static Descriptor] {
        &FAMILIES
    }

    fn visit(&self, samples: &mut Samples<'_>) -> Result<(), VisitError> {
        self.topics.visit(samples)?;
        samples.gauge(&CACHED, &[], self.messages)?;
        samples.gauge(&CACHED_BYTES, &[], usize::try_from(self.bytes).unwrap_or(usize::MAX))?;
        let (messages, bytes) = self.under_way;
        let gauge = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        samples.gauge(&UNDER_WAY, &[], gauge(messages))?;
        samples.gauge(&UNDER_WAY_BYTES, &[], gauge(bytes))?;
        samples.gauge(&DIFFERENCES, &[], self.differences.len())?;
        samples.gauge(&ASSIGNED, &[], self.queues)?;
        for (descriptor, count) in EVENTS.iter().zip(self.events) {
            samples.counter(descriptor, &[], Counter::from(count))?;
        }
        Ok(())
    }
}

//! What a batch handle tells about itself.

use turbopump_core::batch::{BatchCounters, Reason};
use turbopump_core::descriptor;
use turbopump_core::stats::{
    Counter, Descriptor, ItemsHistogram, Kind, Samples, SizeHistogram, Source, Unit, VisitError,
};

/// A batch handle at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BatchStats {
    /// Items and batches so far.
    pub counters: BatchCounters,
    /// Items that wait for their first attempt.
    pub waiting: usize,
    /// Their bytes.
    pub waiting_bytes: u64,
    /// Batches that are worked on or wait for another attempt.
    pub in_flight: usize,
    /// How many items close a batch now.
    pub items_target: u32,
    /// Workers that there are.
    pub workers: usize,
    /// Items that were given up when the handle was stopped.
    pub abandoned: Counter,
    /// Calls of the handler that panicked.
    pub handler_panics: Counter,
    /// Items of batches.
    pub sizes: ItemsHistogram,
    /// Bytes of batches.
    pub bytes: SizeHistogram,
}

static ITEMS: Descriptor =
    descriptor!(Kind::Counter, "turbopump_batch_items_total", "Items that were taken in.");
static REFUSED: Descriptor = descriptor!(
    Kind::Counter,
    "turbopump_batch_items_refused_total",
    "Items that were not taken in and came back."
);
static SUCCEEDED: Descriptor =
    descriptor!(Kind::Counter, "turbopump_batch_items_succeeded_total", "Items that are done.");
static FAILED: Descriptor = descriptor!(
    Kind::Counter,
    "turbopump_batch_items_failed_total",
    "Items that were given up: failed, expired, out of retries, abandoned."
);
static RETRIED: Descriptor = descriptor!(
    Kind::Counter,
    "turbopump_batch_items_retried_total",
    "Items that were handed out again, once for each time."
);
static BATCHES: Descriptor =
    descriptor!(Kind::Counter, "turbopump_batch_batches_total", "Batches that were handed out.");
static FLUSHES: Descriptor = descriptor!(
    Kind::Counter,
    "turbopump_batch_flush_total",
    "Batches by what closed them: size, bytes, linger, manual, shutdown."
);
static MESSAGES: Descriptor =
    descriptor!(Kind::Histogram, "turbopump_batch_messages", "Items of one batch.");
static BYTES: Descriptor =
    descriptor!(Kind::Histogram, "turbopump_batch_bytes", "Bytes of one batch.", Unit::BYTES);
static LINGER: Descriptor = descriptor!(
    Kind::Histogram,
    "turbopump_batch_linger_seconds",
    "How long a batch's first item waited until the batch was handed out.",
    Unit::MICROSECONDS
);
static DURATION: Descriptor = descriptor!(
    Kind::Histogram,
    "turbopump_batch_process_duration_seconds",
    "Time to work on one batch.",
    Unit::MICROSECONDS
);
static WAITING: Descriptor = descriptor!(
    Kind::Gauge,
    "turbopump_batch_waiting_items",
    "Items that wait for their first attempt."
);
static WAITING_BYTES: Descriptor = descriptor!(
    Kind::Gauge,
    "turbopump_batch_waiting_bytes",
    "Bytes of the items that wait for their first attempt.",
    Unit::BYTES
);
static IN_FLIGHT: Descriptor = descriptor!(
    Kind::Gauge,
    "turbopump_batch_in_flight_batches",
    "Batches that are worked on or wait for another attempt."
);
static TARGET: Descriptor =
    descriptor!(Kind::Gauge, "turbopump_batch_target_items", "Items that close a batch now.");
static PANICS: Descriptor = descriptor!(
    Kind::Counter,
    "turbopump_handler_panics_total",
    "Calls of users' functions that panicked."
);
static FAMILIES: [&Descriptor; 16] = [
    &ITEMS,
    &REFUSED,
    &SUCCEEDED,
    &FAILED,
    &RETRIED,
    &BATCHES,
    &FLUSHES,
    &MESSAGES,
    &BYTES,
    &LINGER,
    &DURATION,
    &WAITING,
    &WAITING_BYTES,
    &IN_FLIGHT,
    &TARGET,
    &PANICS,
];

pub(super) fn families() -> &'static [&'static Descriptor] {
    &FAMILIES
}

impl Source for BatchStats {
    fn families(&self) -> &'static [&'static Descriptor] {
        &FAMILIES
    }

    fn visit(&self, samples: &mut Samples<'_>) -> Result<(), VisitError> {
        let counters = &self.counters;
        samples.counter(&ITEMS, &[], counters.items)?;
        samples.counter(&REFUSED, &[], counters.refused)?;
        samples.counter(&SUCCEEDED, &[], counters.succeeded)?;
        samples.counter(&FAILED, &[], counters.failed)?;
        samples.counter(&RETRIED, &[], counters.retried)?;
        samples.counter(&BATCHES, &[], counters.batches)?;
        for (reason, closed) in Reason::ALL.iter().zip(counters.closed) {
            samples.counter(&FLUSHES, &[("reason", reason.name())], closed)?;
        }
        samples.histogram(&MESSAGES, &[], &self.sizes)?;
        samples.histogram(&BYTES, &[], &self.bytes)?;
        samples.histogram(&LINGER, &[], &counters.linger_us)?;
        samples.histogram(&DURATION, &[], &counters.processing_us)?;
        samples.gauge(&WAITING, &[], self.waiting)?;
        samples.gauge(&WAITING_BYTES, &[], self.waiting_bytes)?;
        samples.gauge(&IN_FLIGHT, &[], self.in_flight)?;
        samples.gauge(&TARGET, &[], self.items_target)?;
        samples.counter(&PANICS, &[], self.handler_panics)
    }
}

//! The demo's own numbers, for the monitor.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::Mutex;

use turbopump::core::descriptor;
use turbopump::core::stats::{
    Descriptor, Kind, LatencyHistogram, Samples, Source, Unit, VisitError,
};

use super::arrival::found;
use super::checker::Checker;
use super::uplink::UplinkCounts;

/// A snapshot.
pub(crate) struct Figures {
    sent: u64,
    arrived: u64,
    wrong: [u64; 3],
    latency_us: LatencyHistogram,
    plain_bytes: u64,
    wire_bytes: u64,
    failed_requests: u64,
    repeated: u64,
}

impl Figures {
    pub(crate) fn new(
        sent: &AtomicU64,
        checker: &Arc<Mutex<Checker>>,
        uplink: &UplinkCounts,
    ) -> Self {
        let found = found(checker);
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Self {
            sent: load(sent),
            arrived: found.received,
            wrong: [found.duplicated, found.out_of_order, found.damaged],
            latency_us: found.latency_us,
            plain_bytes: load(&uplink.plain_bytes),
            wire_bytes: load(&uplink.wire_bytes),
            failed_requests: load(&uplink.failed_requests),
            repeated: load(&uplink.repeated),
        }
    }
}

static MESSAGES: Descriptor = descriptor!(
    Kind::Counter,
    "turbopump_demo_messages_total",
    "Messages of the demo, by how far they have come."
);
static WRONG: Descriptor = descriptor!(
    Kind::Counter,
    "turbopump_demo_wrong_messages_total",
    "Messages that arrived twice, out of order or damaged."
);
static LATENCY: Descriptor = descriptor!(
    Kind::Histogram,
    "turbopump_demo_latency_seconds",
    "From the sender to the arrival.",
    Unit::MICROSECONDS
);
static COMPRESSION: Descriptor = descriptor!(
    Kind::Counter,
    "turbopump_compression_bytes_total",
    "Bytes before and after compression (in, out) and before and after decompression.",
    Unit::BYTES
);
static FAILED: Descriptor = descriptor!(
    Kind::Counter,
    "turbopump_demo_failed_requests_total",
    "Batches that the broker did not take at an attempt; they are sent again."
);
static REPEATED: Descriptor = descriptor!(
    Kind::Counter,
    "turbopump_demo_repeated_messages_total",
    "Messages that came again because an acknowledgement was lost; they were not taken twice."
);
static FAMILIES: [&Descriptor; 6] = [&MESSAGES, &WRONG, &LATENCY, &COMPRESSION, &FAILED, &REPEATED];

impl Source for Figures {
    fn families(&self) -> &'static [&'static Descriptor] {
        &FAMILIES
    }

    fn visit(&self, samples: &mut Samples<'_>) -> Result<(), VisitError> {
        samples.counter(&MESSAGES, &[("stage", "sent")], self.sent)?;
        samples.counter(&MESSAGES, &[("stage", "arrived")], self.arrived)?;
        for (how, count) in ["duplicated", "out_of_order", "damaged"].iter().zip(self.wrong) {
            samples.counter(&WRONG, &[("how", how)], count)?;
        }
        samples.histogram(&LATENCY, &[], &self.latency_us)?;
        for (stage, bytes) in [("in", self.plain_bytes), ("out", self.wire_bytes)] {
            let labels = [("operation", "compress"), ("stage", stage)];
            samples.counter(&COMPRESSION, &labels, bytes)?;
        }
        samples.counter(&FAILED, &[], self.failed_requests)?;
        samples.counter(&REPEATED, &[], self.repeated)
    }
}

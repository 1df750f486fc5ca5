//! What a pool tells about itself.

use core::ops::AddAssign;

use turbopump_core::descriptor;
use turbopump_core::link::pool::{Counts, Retired};
use turbopump_core::stats::{
    Descriptor, Kind, LatencyHistogram, Samples, Source, Unit, VisitError,
};

use super::error::Phase;

/// What went through connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct IoCounts {
    /// Bytes read.
    pub bytes_read: u64,
    /// Bytes written.
    pub bytes_written: u64,
    /// Plain bytes that were compressed.
    pub compressed_plain_bytes: u64,
    /// What they became on the wire.
    pub compressed_wire_bytes: u64,
    /// Compressed bytes that were read.
    pub inflated_wire_bytes: u64,
    /// What they became.
    pub inflated_plain_bytes: u64,
}

impl IoCounts {
    pub(super) fn is_zero(&self) -> bool {
        // Nothing else counts without one of these.
        self.bytes_read == 0 && self.bytes_written == 0
    }
}

impl AddAssign for IoCounts {
    fn add_assign(&mut self, other: Self) {
        self.bytes_read += other.bytes_read;
        self.bytes_written += other.bytes_written;
        self.compressed_plain_bytes += other.compressed_plain_bytes;
        self.compressed_wire_bytes += other.compressed_wire_bytes;
        self.inflated_wire_bytes += other.inflated_wire_bytes;
        self.inflated_plain_bytes += other.inflated_plain_bytes;
    }
}

/// A pool at one point in time.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PoolStatus {
    /// Connections and waiters, now and so far.
    pub connections: Counts,
    /// What went through connections that were given back; those in use count then.
    pub io: IoCounts,
    /// From the end of a write to the first bytes read after it, in microseconds.
    pub latency: LatencyHistogram,
    /// True once the pool is closed.
    pub is_closed: bool,
    /// True as long as the last dial has failed.
    pub is_failing: bool,
    pub(super) timeouts: [u64; Phase::ALL.len()],
}

impl PoolStatus {
    /// Time-outs so far, of one phase.
    #[must_use]
    pub const fn timeouts(&self, phase: Phase) -> u64 {
        self.timeouts[phase as usize]
    }
}

static CONNECTIONS: Descriptor =
    descriptor!(Kind::Gauge, "turbopump_pool_connections", "Connections of pools, by state.");
static CONNECTIONS_MAX: Descriptor =
    descriptor!(Kind::Gauge, "turbopump_pool_connections_max", "Connections that pools may have.");
static WAITING: Descriptor =
    descriptor!(Kind::Gauge, "turbopump_pool_waiting", "Users who wait for a connection.");
static FAILING: Descriptor = descriptor!(
    Kind::Gauge,
    "turbopump_pool_failing",
    "1 as long as the last attempt to open a connection has failed."
);
static CHECKOUTS: Descriptor =
    descriptor!(Kind::Counter, "turbopump_pool_checkouts_total", "Connections handed out.");
static WAITS: Descriptor =
    descriptor!(Kind::Counter, "turbopump_pool_waits_total", "Checkouts that had to wait.");
static TIMEOUTS: Descriptor =
    descriptor!(Kind::Counter, "turbopump_pool_timeouts_total", "Time-outs, by phase.");
pub(crate) static OPENED: Descriptor =
    descriptor!(Kind::Counter, "turbopump_connections_opened_total", "Connections opened.");
pub(crate) static DIAL_FAILURES: Descriptor = descriptor!(
    Kind::Counter,
    "turbopump_connections_failed_total",
    "Attempts to open a connection that failed."
);
pub(crate) static CLOSED: Descriptor = descriptor!(
    Kind::Counter,
    "turbopump_connections_closed_total",
    "Connections closed, by reason."
);
static NETWORK_BYTES: Descriptor = descriptor!(
    Kind::Counter,
    "turbopump_network_bytes_total",
    "Bytes on pooled connections, by direction.",
    Unit::BYTES
);
static COMPRESSION_BYTES: Descriptor = descriptor!(
    Kind::Counter,
    "turbopump_compression_bytes_total",
    "Bytes before and after compression (in, out) and before and after decompression.",
    Unit::BYTES
);
static LATENCY: Descriptor = descriptor!(
    Kind::Histogram,
    "turbopump_network_latency_seconds",
    "From the end of a write to the first bytes read after it.",
    Unit::MICROSECONDS
);
static FAMILIES: [&Descriptor; 13] = [
    &CONNECTIONS,
    &CONNECTIONS_MAX,
    &WAITING,
    &FAILING,
    &CHECKOUTS,
    &WAITS,
    &TIMEOUTS,
    &OPENED,
    &DIAL_FAILURES,
    &CLOSED,
    &NETWORK_BYTES,
    &COMPRESSION_BYTES,
    &LATENCY,
];

impl Source for PoolStatus {
    fn families(&self) -> &'static [&'static Descriptor] {
        &FAMILIES
    }

    fn visit(&self, samples: &mut Samples<'_>) -> Result<(), VisitError> {
        let counts = &self.connections;
        for (state, connections) in
            [("active", counts.active), ("idle", counts.idle), ("dialing", counts.dialing)]
        {
            samples.gauge(&CONNECTIONS, &[("state", state)], connections)?;
        }
        samples.gauge(&CONNECTIONS_MAX, &[], counts.connections_max)?;
        samples.gauge(&WAITING, &[], counts.waiting)?;
        samples.gauge(&FAILING, &[], u8::from(self.is_failing))?;
        samples.counter(&CHECKOUTS, &[], counts.checkouts)?;
        samples.counter(&WAITS, &[], counts.waits)?;
        for phase in Phase::ALL {
            samples.counter(&TIMEOUTS, &[("phase", phase.label())], self.timeouts(phase))?;
        }
        samples.counter(&OPENED, &[], counts.opened)?;
        samples.counter(&DIAL_FAILURES, &[], counts.dial_failures)?;
        for reason in Retired::ALL {
            samples.counter(&CLOSED, &[("reason", reason.label())], counts.closed(reason))?;
        }
        let io = &self.io;
        samples.counter(&NETWORK_BYTES, &[("direction", "in")], io.bytes_read)?;
        samples.counter(&NETWORK_BYTES, &[("direction", "out")], io.bytes_written)?;
        for (operation, stage, bytes) in [
            ("compress", "in", io.compressed_plain_bytes),
            ("compress", "out", io.compressed_wire_bytes),
            ("decompress", "in", io.inflated_wire_bytes),
            ("decompress", "out", io.inflated_plain_bytes),
        ] {
            let labels = [("operation", operation), ("stage", stage)];
            samples.counter(&COMPRESSION_BYTES, &labels, bytes)?;
        }
        samples.histogram(&LATENCY, &[], &self.latency)
    }
}

//! What a pool tells about itself.

use core::ops::AddAssign;

use turbopump_core::link::pool::Counts;
use turbopump_core::stats::LatencyHistogram;

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

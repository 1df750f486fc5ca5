//! What a pool counted, for who collects numbers.

use alloc::vec::Vec;

use turbopump_core::descriptor;
use turbopump_core::pool::{ClassStats, PoolStats};
use turbopump_core::stats::{Decimal, Descriptor, Kind, Samples, Source, Unit, VisitError};

/// What a pool counted, class by class, at one moment: a [`Source`].
///
/// Counters follow the pool's rules: read while others use it, they may be a few operations apart.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolReport {
    /// Smallest class first; a pool of values has one class.
    pub classes: Vec<ClassStats>,
}

impl PoolReport {
    pub(super) const fn new(classes: Vec<ClassStats>) -> Self {
        Self { classes }
    }

    /// All classes together.
    #[must_use]
    pub fn total(&self) -> PoolStats {
        self.classes.iter().copied().collect()
    }
}

static BLOCKS: Descriptor =
    descriptor!(Kind::Gauge, "turbopump_mempool_blocks", "Blocks of memory pools, by state.");
static HIGH_WATER: Descriptor = descriptor!(
    Kind::Gauge,
    "turbopump_mempool_high_water_blocks",
    "The most blocks that were in use at once."
);
static HELD: Descriptor = descriptor!(
    Kind::Gauge,
    "turbopump_mempool_held_bytes",
    "Memory of the blocks in use.",
    Unit::BYTES
);
static SIZE: Descriptor = descriptor!(
    Kind::Gauge,
    "turbopump_mempool_size_bytes",
    "Memory of all blocks, in use or not.",
    Unit::BYTES
);
static ACQUISITIONS: Descriptor =
    descriptor!(Kind::Counter, "turbopump_mempool_acquisitions_total", "Blocks handed out.");
static RELEASES: Descriptor =
    descriptor!(Kind::Counter, "turbopump_mempool_releases_total", "Blocks that came back.");
static HITS: Descriptor = descriptor!(
    Kind::Counter,
    "turbopump_mempool_hits_total",
    "Requests served by the smallest class that fits."
);
static MISSES: Descriptor = descriptor!(
    Kind::Counter,
    "turbopump_mempool_exhausted_total",
    "Requests that found the smallest class that fits empty."
);
static HIT_RATIO: Descriptor = descriptor!(
    Kind::FloatGauge,
    "turbopump_mempool_hit_ratio",
    "Requests served by the smallest class that fits, of all so far.",
    Unit::RATIO
);
static FAMILIES: [&Descriptor; 9] =
    [&BLOCKS, &HIGH_WATER, &HELD, &SIZE, &ACQUISITIONS, &RELEASES, &HITS, &MISSES, &HIT_RATIO];

impl Source for PoolReport {
    fn families(&self) -> &'static [&'static Descriptor] {
        &FAMILIES
    }

    fn visit(&self, samples: &mut Samples<'_>) -> Result<(), VisitError> {
        for class in &self.classes {
            let bytes = Decimal::new(class.class_bytes as u64);
            let of_class = [("class", bytes.as_str())];
            let free = class.count.saturating_sub(class.in_use + class.parked);
            for (state, blocks) in
                [("in_use", class.in_use), ("parked", class.parked), ("free", free)]
            {
                samples.gauge(&BLOCKS, &[of_class[0], ("state", state)], blocks)?;
            }
            samples.gauge(&HIGH_WATER, &of_class, class.high_water)?;
            samples.gauge(&HELD, &of_class, class.bytes_held())?;
            samples.gauge(&SIZE, &of_class, class.count * class.slot_bytes)?;
            samples.counter(&ACQUISITIONS, &of_class, class.acquisitions as u64)?;
            samples.counter(&RELEASES, &of_class, class.releases as u64)?;
            samples.counter(&HITS, &of_class, class.hits as u64)?;
            samples.counter(&MISSES, &of_class, class.misses as u64)?;
            samples.float_gauge(&HIT_RATIO, &of_class, class.hit_rate())?;
        }
        Ok(())
    }
}

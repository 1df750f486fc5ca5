//! What pools count.
//!
//! Nothing here costs a read-modify-write on the way of a buffer: claims are counted in the slot by
//! whoever just claimed it, hits and releases follow from other numbers, and the high-water mark is
//! the number of slots ever used. On 32-bit targets, counters wrap at 2^32.

use super::magazine::Magazine;
use super::table::{Row, SlotTable};
use crate::sync::Ordering;

/// What a pool counted of one size class.
///
/// Read while others use the pool, the numbers may be a few operations apart from each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClassStats {
    /// Usable bytes of a buffer.
    pub class_bytes: usize,
    /// Bytes of memory that a buffer takes, with headroom and alignment.
    pub slot_bytes: usize,
    /// Buffers that there are.
    pub count: usize,
    /// Buffers handed out so far.
    pub acquisitions: usize,
    /// Buffers that came back so far.
    pub releases: usize,
    /// Requests that the class served, of those for which it was the smallest that fits.
    pub hits: usize,
    /// Requests that found the class empty, whether or not the next one helped out.
    pub misses: usize,
    /// Buffers that users have at this moment.
    pub in_use: usize,
    /// Free buffers that caches keep for themselves at this moment.
    pub parked: usize,
    /// Most buffers that were in use at once. Exact for one thread; where several race or pass
    /// buffers on to each other, at most too high by what caches may park.
    pub high_water: usize,
}

impl ClassStats {
    pub(super) fn of<'m>(
        table: &SlotTable<'_>,
        row: &Row,
        class: usize,
        magazines: impl Iterator<Item = &'m Magazine>,
    ) -> Self {
        let load = |counter: &crate::sync::AtomicUsize| counter.load(Ordering::Relaxed);
        let (mut acquired, mut refilled, mut peak, mut parked) = (0_usize, 0_usize, 0_usize, 0);
        for counted in magazines.filter_map(|magazine| magazine.counted(row)) {
            acquired = acquired.wrapping_add(counted.acquired);
            refilled = refilled.wrapping_add(counted.refilled);
            peak = peak.saturating_add(counted.peak);
            parked += counted.parked;
        }
        let claims = table.claims(class);
        let claimed = table.claimed(class);
        let direct = claims.wrapping_sub(refilled);
        let acquisitions = direct.wrapping_add(acquired);
        let in_use = claimed.saturating_sub(parked);
        let through_caches = peak.saturating_add(direct);
        Self {
            class_bytes: row.bytes as usize,
            slot_bytes: row.stride as usize,
            count: row.count as usize,
            acquisitions,
            releases: acquisitions.wrapping_sub(in_use),
            hits: acquisitions.wrapping_sub(load(&row.state.stepped_up)),
            misses: load(&row.state.misses),
            in_use,
            parked,
            high_water: table.claimed_peak(class).min(through_caches).max(in_use),
        }
    }

    /// The share of requests that found a buffer in the class they asked for; 1 where there was no
    /// request.
    #[must_use]
    pub fn hit_rate(&self) -> f64 {
        hit_rate(self.hits, self.misses)
    }

    /// Bytes of memory that users hold at this moment.
    #[must_use]
    pub fn bytes_held(&self) -> usize {
        self.in_use * self.slot_bytes
    }
}

/// What a pool counted, all classes together: the sums of [`ClassStats`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStats {
    /// Bytes of memory that the pool has for buffers.
    pub bytes_total: usize,
    /// Bytes of memory that users hold at this moment.
    pub bytes_held: usize,
    /// Buffers that there are.
    pub count: usize,
    /// Buffers handed out so far.
    pub acquisitions: usize,
    /// Buffers that came back so far.
    pub releases: usize,
    /// Requests that were served by the smallest class that fits.
    pub hits: usize,
    /// Requests that found the smallest class that fits empty.
    pub misses: usize,
    /// Buffers that users have at this moment.
    pub in_use: usize,
    /// Free buffers that caches keep for themselves at this moment.
    pub parked: usize,
    /// The sum of the classes' high-water marks.
    pub high_water: usize,
}

impl PoolStats {
    /// The share of requests that found a buffer in the class they asked for; 1 where there was no
    /// request.
    #[must_use]
    pub fn hit_rate(&self) -> f64 {
        hit_rate(self.hits, self.misses)
    }
}

impl FromIterator<ClassStats> for PoolStats {
    fn from_iter<I: IntoIterator<Item = ClassStats>>(classes: I) -> Self {
        classes.into_iter().fold(Self::default(), |sum, class| Self {
            bytes_total: sum.bytes_total + class.count * class.slot_bytes,
            bytes_held: sum.bytes_held + class.bytes_held(),
            count: sum.count + class.count,
            acquisitions: sum.acquisitions.wrapping_add(class.acquisitions),
            releases: sum.releases.wrapping_add(class.releases),
            hits: sum.hits.wrapping_add(class.hits),
            misses: sum.misses.wrapping_add(class.misses),
            in_use: sum.in_use + class.in_use,
            parked: sum.parked + class.parked,
            high_water: sum.high_water + class.high_water,
        })
    }
}

fn hit_rate(hits: usize, misses: usize) -> f64 {
    match hits.saturating_add(misses) {
        0 => 1.0,
        requests => hits as f64 / requests as f64,
    }
}

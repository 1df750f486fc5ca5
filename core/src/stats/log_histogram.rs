//! Histograms over powers of two, each cut into equal parts: any range, bounded relative error.

use super::distribution::{Bucket, Distribution};

/// A log-linear histogram: between each power of two and the next lie `2^BITS` equal buckets.
///
/// Values are integers in the caller's unit. Up to `2^(BITS + 1)` every value has a bucket of its
/// own, only 0 shares that of 1. Above that a bucket is narrower than `2^-BITS` of any value in it,
/// so a quantile is off by less than that fraction (12.5 % with 3 bits, 25 % with 2), or by at most
/// 1 where it is 0 or 1.
///
/// `BUCKETS` gives the range: [`log_buckets`] says how many are needed up to a value. The last
/// bucket takes all that is above; a quantile that falls into it lies between its start and the
/// largest value.
///
/// Counting is a shift and a few additions, whatever the size. Powers of two, bounds of a bucket
/// each and included in it, are what text formats get as `le`: exact, one per octave.
///
/// ```
/// use turbopump_core::stats::{Distribution, LogHistogram, log_buckets};
///
/// // Sizes up to 1 MiB within 25 %.
/// const BUCKETS: usize = log_buckets(2, 1 << 20);
/// let mut sizes: LogHistogram<2, BUCKETS> = LogHistogram::new();
/// for bytes in 1..=1_000 {
///     sizes.observe(bytes);
/// }
/// let median = sizes.quantile(0.5).unwrap();
/// assert!((median - 500.0).abs() < 0.25 * 500.0);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogHistogram<const BITS: u32, const BUCKETS: usize> {
    counts: [u64; BUCKETS],
    sum: u64,
    /// Above `max` as long as nothing was observed.
    min: u64,
    max: u64,
}

/// Latencies in microseconds up to 67 seconds, quantiles within 12.5 %: 1.6 kB.
pub type LatencyHistogram = LogHistogram<3, { log_buckets(3, 1 << 26) }>;

/// How many buckets a [`LogHistogram`] with `bits` needs so that `value_max` is not yet in the
/// last, endless one.
#[must_use]
pub const fn log_buckets(bits: u32, value_max: u64) -> usize {
    index(bits, value_max) + 2
}

impl<const BITS: u32, const BUCKETS: usize> LogHistogram<BITS, BUCKETS> {
    /// An empty histogram.
    ///
    /// More than 8 bits, fewer than 2 buckets and more buckets than 64-bit values can fill don't
    /// compile.
    #[must_use]
    pub const fn new() -> Self {
        const {
            assert!(BITS <= 8, "at most 8 bits: 256 buckets per power of two");
            assert!(BUCKETS >= 2, "at least 2 buckets: one with an end and one without");
            assert!(BUCKETS <= log_buckets(BITS, u64::MAX), "more buckets than values can fill");
        }
        Self { counts: [0; BUCKETS], sum: 0, min: u64::MAX, max: 0 }
    }

    /// Counts one value.
    #[inline]
    pub fn observe(&mut self, value: u64) {
        self.observe_many(value, 1);
    }

    /// Counts the same value `times` times.
    #[inline]
    pub fn observe_many(&mut self, value: u64, times: u64) {
        if times == 0 {
            return;
        }
        let index = index(BITS, value).min(BUCKETS - 1);
        self.counts[index] = self.counts[index].wrapping_add(times);
        self.sum = self.sum.saturating_add(value.saturating_mul(times));
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// Adds all that `other` has counted: the result is the same as if this one had observed it.
    ///
    /// It can't be refused, because the bounds are part of the type.
    pub fn merge(&mut self, other: &Self) {
        for (ours, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *ours = ours.wrapping_add(*theirs);
        }
        self.sum = self.sum.saturating_add(other.sum);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// What was counted after the snapshot `earlier`: the values of a window.
    ///
    /// If any bucket is below its earlier count, the histogram was reset in between and all it
    /// shows is new. The smallest and largest value of the window aren't known: the ends of its
    /// outermost buckets stand for them, tightened by those of the whole.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let fell = self.counts.iter().zip(&earlier.counts).any(|(now, then)| now < then);
        if fell || self.sum < earlier.sum {
            return self.clone();
        }
        let mut window = Self::new();
        for (index, count) in window.counts.iter_mut().enumerate() {
            *count = self.counts[index] - earlier.counts[index];
        }
        window.sum = self.sum - earlier.sum;
        let filled = |count: &u64| *count > 0;
        let first = window.counts.iter().position(filled);
        let last = window.counts.iter().rposition(filled);
        if let (Some(first), Some(last)) = (first, last) {
            let low =
                first.checked_sub(1).map_or(0, |before| upper(BITS, before).saturating_add(1));
            let high = if last == BUCKETS - 1 { u64::MAX } else { upper(BITS, last) };
            (window.min, window.max) = (low.max(self.min), high.min(self.max));
        }
        window
    }

    /// Forgets all values.
    pub fn reset(&mut self) {
        *self = Self::new();
    }
}

impl<const BITS: u32, const BUCKETS: usize> Default for LogHistogram<BITS, BUCKETS> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const BITS: u32, const BUCKETS: usize> Distribution for LogHistogram<BITS, BUCKETS> {
    fn buckets(&self) -> usize {
        BUCKETS
    }

    fn bucket(&self, index: usize) -> Bucket {
        let count = self.counts.get(index).copied().unwrap_or(0);
        if index + 1 >= BUCKETS {
            return Bucket { upper: None, count, exported: true };
        }
        let upper = upper(BITS, index);
        Bucket { upper: Some(upper), count, exported: upper.is_power_of_two() }
    }

    fn sum(&self) -> u64 {
        self.sum
    }

    fn min(&self) -> Option<u64> {
        (self.min <= self.max).then_some(self.min)
    }

    fn max(&self) -> Option<u64> {
        (self.min <= self.max).then_some(self.max)
    }
}

/// The bucket of `value`.
///
/// Buckets end in a power of two *inclusive*, as `le` does, so it is `value - 1` whose leading bits
/// choose: the position of the highest bit gives the octave, the `bits` below it the part.
#[inline]
const fn index(bits: u32, value: u64) -> usize {
    let below = value.saturating_sub(1);
    let shift = 63 - (below | 1 << bits).leading_zeros() - bits;
    ((shift as usize) << bits) + (below >> shift) as usize
}

/// The largest value in the bucket at `index`.
const fn upper(bits: u32, index: usize) -> u64 {
    let octave = index >> bits;
    let shift = octave.saturating_sub(1);
    let part = (index - (shift << bits)) as u64;
    // Only the last bucket of the highest octave would end above what 64 bits hold.
    match (part + 1).checked_mul(1 << shift) {
        Some(upper) => upper,
        None => u64::MAX,
    }
}

#[cfg(test)]
mod tests {
    extern crate alloc;

    use super::{LatencyHistogram, LogHistogram, index, log_buckets, upper};
    use crate::stats::Distribution;
    use alloc::vec::Vec;

    #[test]
    fn buckets_follow_each_other_without_gap() {
        for bits in 0..=8 {
            let mut previous = 0;
            for bucket in 0..log_buckets(bits, u64::MAX) - 1 {
                let end = upper(bits, bucket);
                assert_eq!(index(bits, end), bucket, "{bits} bits, end {end}");
                assert_eq!(index(bits, previous + 1), bucket, "{bits} bits, start");
                previous = end;
                if previous == u64::MAX {
                    break;
                }
            }
            assert_eq!(previous, u64::MAX);
            assert_eq!(index(bits, 0), 0);
        }
    }

    #[test]
    fn a_bucket_is_narrower_than_its_share_of_any_value_in_it() {
        for bits in 0..=8 {
            for bucket in (1 << (bits + 1))..log_buckets(bits, u64::MAX) - 2 {
                let (low, high) = (upper(bits, bucket - 1) + 1, upper(bits, bucket));
                assert!(((high - low) as u128) << bits < u128::from(low), "{bits}, {bucket}");
            }
        }
    }

    #[test]
    fn every_octave_ends_in_an_exported_bound() {
        let histogram = LatencyHistogram::new();
        let exported: Vec<_> = (0..histogram.buckets())
            .map(|index| histogram.bucket(index))
            .filter(|bucket| bucket.exported)
            .map(|bucket| bucket.upper)
            .collect();
        let powers = (0..=26).map(|power| Some(1_u64 << power)).chain([None]);
        assert_eq!(exported, powers.collect::<Vec<_>>());
    }

    #[test]
    fn values_above_the_range_go_to_the_last_bucket() {
        let mut histogram: LogHistogram<2, { log_buckets(2, 100) }> = LogHistogram::new();
        let last = histogram.buckets() - 1;
        histogram.observe(100);
        assert_eq!(histogram.bucket(last).count, 0);
        for value in [1 << 20, u64::MAX] {
            histogram.observe(value);
        }
        assert_eq!(histogram.bucket(last).count, 2);
        assert_eq!(histogram.bucket(last).upper, None);
        assert_eq!(histogram.quantile(1.0), Some(u64::MAX as f64));
        assert_eq!(histogram.sum(), u64::MAX);
    }

    #[test]
    fn many_of_a_value_are_as_good_as_one_after_the_other() {
        let (mut many, mut single) = (LatencyHistogram::new(), LatencyHistogram::new());
        for (value, times) in [(7, 3), (70_000, 1), (9, 0)] {
            many.observe_many(value, times);
            (0..times).for_each(|_| single.observe(value));
        }
        assert_eq!(many, single);
        assert_eq!(many.max(), Some(70_000));
    }

    #[test]
    fn a_difference_holds_what_came_later_and_a_reset_counts_from_zero() {
        let mut histogram = LatencyHistogram::new();
        histogram.observe(10);
        let earlier = histogram.clone();
        histogram.observe(1_000);
        let window = histogram.since(&earlier);
        assert_eq!((window.count(), window.sum(), window.max()), (1, 1_000, Some(1_000)));
        assert_eq!(window.min(), Some(961));

        histogram.reset();
        histogram.observe(3);
        assert_eq!(histogram.since(&earlier), histogram);
    }
}

//! Histograms whose bounds the caller lists.

use core::fmt;

use super::distribution::{Bucket, Distribution};

/// Upper bounds of buckets, each included in its bucket: ascending, none twice.
///
/// ```
/// use turbopump_core::stats::{Bounds, BoundsError, Histogram};
///
/// static BOUNDS: Bounds<3> = match Bounds::new([10, 100, 1_000]) {
///     Ok(bounds) => bounds,
///     Err(_) => panic!("ascending bounds"),
/// };
/// let mut sizes = Histogram::new(&BOUNDS);
/// sizes.observe(100);
/// assert_eq!(Bounds::new([10, 10]), Err(BoundsError::Order { index: 1, bound: 10 }));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds<const N: usize>([u64; N]);

impl<const N: usize> Bounds<N> {
    /// Checks the bounds.
    ///
    /// # Errors
    ///
    /// [`BoundsError`] where there are none, or one is not above the one before it.
    pub const fn new(bounds: [u64; N]) -> Result<Self, BoundsError> {
        if N == 0 {
            return Err(BoundsError::Empty);
        }
        let mut index = 1;
        while index < N {
            if bounds[index] <= bounds[index - 1] {
                return Err(BoundsError::Order { index, bound: bounds[index] });
            }
            index += 1;
        }
        Ok(Self(bounds))
    }

    /// The bounds.
    #[must_use]
    pub const fn as_array(&self) -> &[u64; N] {
        &self.0
    }

    /// The first bucket whose bound is not below `value`; `N` where all are below it.
    #[inline]
    fn index(&self, value: u64) -> usize {
        // The search halves without branches, which no latency could make predictable.
        self.0.partition_point(|&bound| bound < value)
    }
}

/// Why bounds were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BoundsError {
    /// There are none.
    Empty,
    /// A bound is not above the one before it.
    Order {
        /// Its position.
        index: usize,
        /// Its value.
        bound: u64,
    },
}

impl fmt::Display for BoundsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a histogram needs at least one bound"),
            Self::Order { index, bound } => {
                write!(f, "bound {index} ({bound}) must be above the one before it")
            }
        }
    }
}

impl core::error::Error for BoundsError {}

/// A histogram over listed bounds and a last bucket for all that is above them.
///
/// Values are integers in the caller's unit. A quantile is off by less than the width of the bucket
/// it falls into; one that falls above the last bound lies between that and the largest value.
///
/// Counting touches no floating point and costs a comparison per doubling of the bounds. Where the
/// range isn't known beforehand, [`LogHistogram`](super::LogHistogram) is finer at the same cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram<'b, const N: usize> {
    bounds: &'b Bounds<N>,
    counts: [u64; N],
    above: u64,
    sum: u64,
    /// Above `max` as long as nothing was observed.
    min: u64,
    max: u64,
}

impl<'b, const N: usize> Histogram<'b, N> {
    /// An empty histogram over `bounds`.
    #[must_use]
    pub const fn new(bounds: &'b Bounds<N>) -> Self {
        Self { bounds, counts: [0; N], above: 0, sum: 0, min: u64::MAX, max: 0 }
    }

    /// Counts one value.
    #[inline]
    pub fn observe(&mut self, value: u64) {
        let count = match self.counts.get_mut(self.bounds.index(value)) {
            Some(count) => count,
            None => &mut self.above,
        };
        *count = count.wrapping_add(1);
        self.sum = self.sum.saturating_add(value);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// The bounds.
    #[must_use]
    pub const fn bounds(&self) -> &'b Bounds<N> {
        self.bounds
    }

    /// Adds all that `other` has counted: the result is the same as if this one had observed it.
    ///
    /// # Errors
    ///
    /// [`MergeError`] where the bounds differ; nothing was added.
    pub fn merge(&mut self, other: &Histogram<'_, N>) -> Result<(), MergeError> {
        self.check_bounds(other)?;
        for (ours, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *ours = ours.wrapping_add(*theirs);
        }
        self.above = self.above.wrapping_add(other.above);
        self.sum = self.sum.saturating_add(other.sum);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        Ok(())
    }

    /// What was counted after the snapshot `earlier`: the values of a window.
    ///
    /// If any bucket is below its earlier count, the histogram was reset in between and all it
    /// shows is new. The smallest and largest value of the window aren't known: the ends of its
    /// outermost buckets stand for them, tightened by those of the whole.
    ///
    /// # Errors
    ///
    /// [`MergeError`] where the bounds differ.
    pub fn since(&self, earlier: &Histogram<'_, N>) -> Result<Self, MergeError> {
        self.check_bounds(earlier)?;
        let fell = self.counts.iter().zip(&earlier.counts).any(|(now, then)| now < then);
        if fell || self.above < earlier.above || self.sum < earlier.sum {
            return Ok(self.clone());
        }
        let mut window = Self::new(self.bounds);
        for (index, count) in window.counts.iter_mut().enumerate() {
            *count = self.counts[index] - earlier.counts[index];
        }
        window.above = self.above - earlier.above;
        window.sum = self.sum - earlier.sum;
        window.limit_extremes(self.min, self.max);
        Ok(window)
    }

    /// Forgets all values.
    pub fn reset(&mut self) {
        *self = Self::new(self.bounds);
    }

    fn check_bounds(&self, other: &Histogram<'_, N>) -> Result<(), MergeError> {
        // Nearly always both point to the same static.
        if core::ptr::eq(self.bounds, other.bounds) {
            return Ok(());
        }
        let pairs = self.bounds.0.iter().zip(&other.bounds.0).enumerate();
        match pairs.into_iter().find(|(_, (ours, theirs))| ours != theirs) {
            None => Ok(()),
            Some((index, (&ours, &theirs))) => Err(MergeError { index, ours, theirs }),
        }
    }

    /// Sets the extremes to the ends of the outermost filled buckets, within `min` and `max`.
    fn limit_extremes(&mut self, min: u64, max: u64) {
        let filled = |index: &usize| self.bucket(*index).count > 0;
        let (first, last) = ((0..=N).find(filled), (0..=N).rfind(filled));
        let (Some(first), Some(last)) = (first, last) else {
            return;
        };
        let low = first.checked_sub(1).map_or(0, |before| self.bounds.0[before].saturating_add(1));
        let high = self.bounds.0.get(last).copied().unwrap_or(u64::MAX);
        (self.min, self.max) = (low.max(min), high.min(max));
    }
}

impl<const N: usize> Distribution for Histogram<'_, N> {
    fn buckets(&self) -> usize {
        N + 1
    }

    fn bucket(&self, index: usize) -> Bucket {
        match (self.bounds.0.get(index), self.counts.get(index)) {
            (Some(&upper), Some(&count)) => Bucket { upper: Some(upper), count, exported: true },
            _ => Bucket { upper: None, count: self.above, exported: true },
        }
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

/// Two histograms can't be put together: their bounds differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MergeError {
    /// The first position at which they differ.
    pub index: usize,
    /// The bound of the histogram that was asked.
    pub ours: u64,
    /// The bound of the other one.
    pub theirs: u64,
}

impl fmt::Display for MergeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the histograms differ in bound {}: {} here, {} there; only equal bounds can be merged",
            self.index, self.ours, self.theirs
        )
    }
}

impl core::error::Error for MergeError {}

/// Bounds for durations in microseconds, from half a millisecond to 5 seconds.
pub const DURATION_BOUNDS_US: Bounds<13> = Bounds([
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000,
]);

/// Bounds for sizes in bytes: powers of four from 64 bytes to 4 MiB, and 32 MiB.
pub const SIZE_BOUNDS_BYTES: Bounds<10> = Bounds([
    1 << 6,
    1 << 8,
    1 << 10,
    1 << 12,
    1 << 14,
    1 << 16,
    1 << 18,
    1 << 20,
    1 << 22,
    1 << 25,
]);

/// Bounds for counts of items, such as the messages of a batch, from 1 to 5,000.
pub const ITEMS_BOUNDS: Bounds<12> =
    Bounds([1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000]);

/// A histogram over [`DURATION_BOUNDS_US`].
pub type DurationHistogram = Histogram<'static, 13>;
/// A histogram over [`SIZE_BOUNDS_BYTES`].
pub type SizeHistogram = Histogram<'static, 10>;
/// A histogram over [`ITEMS_BOUNDS`].
pub type ItemsHistogram = Histogram<'static, 12>;

impl DurationHistogram {
    /// An empty histogram over [`DURATION_BOUNDS_US`].
    #[must_use]
    pub const fn durations_us() -> Self {
        Self::new(const { &DURATION_BOUNDS_US })
    }
}

impl SizeHistogram {
    /// An empty histogram over [`SIZE_BOUNDS_BYTES`].
    #[must_use]
    pub const fn sizes_bytes() -> Self {
        Self::new(const { &SIZE_BOUNDS_BYTES })
    }
}

impl ItemsHistogram {
    /// An empty histogram over [`ITEMS_BOUNDS`].
    #[must_use]
    pub const fn items() -> Self {
        Self::new(const { &ITEMS_BOUNDS })
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Bounds, BoundsError, DURATION_BOUNDS_US, Histogram, ITEMS_BOUNDS, MergeError,
        SIZE_BOUNDS_BYTES,
    };
    use crate::stats::Distribution;

    const BOUNDS: Bounds<3> = Bounds([10, 100, 1_000]);

    fn observed(values: &[u64]) -> Histogram<'static, 3> {
        let mut histogram = Histogram::new(&BOUNDS);
        values.iter().for_each(|&value| histogram.observe(value));
        histogram
    }

    #[test]
    fn bounds_belong_to_their_bucket() {
        let histogram = observed(&[0, 10, 11, 100, 1_000, 1_001, u64::MAX]);
        let counts = [0, 1, 2, 3].map(|index| histogram.bucket(index).count);
        assert_eq!(counts, [2, 2, 1, 2]);
        assert_eq!(histogram.bucket(3).upper, None);
        assert_eq!((histogram.count(), histogram.sum()), (7, u64::MAX));
        assert_eq!((histogram.min(), histogram.max()), (Some(0), Some(u64::MAX)));
    }

    #[test]
    fn an_empty_histogram_has_no_values() {
        let histogram = observed(&[]);
        assert_eq!((histogram.count(), histogram.sum()), (0, 0));
        assert_eq!((histogram.min(), histogram.max(), histogram.mean()), (None, None, None));
        assert_eq!(histogram.quantile(0.5), None);
    }

    #[test]
    fn bad_bounds_are_refused() {
        assert_eq!(Bounds::new([]), Err(BoundsError::Empty));
        assert_eq!(Bounds::new([1, 3, 2]), Err(BoundsError::Order { index: 2, bound: 2 }));
    }

    #[test]
    fn the_presets_are_in_order() {
        assert!(Bounds::new(*DURATION_BOUNDS_US.as_array()).is_ok());
        assert!(Bounds::new(*SIZE_BOUNDS_BYTES.as_array()).is_ok());
        assert!(Bounds::new(*ITEMS_BOUNDS.as_array()).is_ok());
    }

    #[test]
    fn merging_is_refused_when_bounds_differ_and_compares_their_values() {
        let mut histogram = observed(&[5]);
        let same = Bounds::new([10, 100, 1_000]).unwrap();
        assert_eq!(histogram.merge(&Histogram::new(&same)), Ok(()));

        let other = Bounds::new([10, 101, 1_000]).unwrap();
        let mut stranger = Histogram::new(&other);
        stranger.observe(1);
        let refused = MergeError { index: 1, ours: 100, theirs: 101 };
        assert_eq!(histogram.merge(&stranger), Err(refused));
        assert_eq!(histogram.since(&stranger), Err(refused));
        assert_eq!(histogram, observed(&[5]));
    }

    #[test]
    fn a_difference_holds_what_came_later() {
        let earlier = observed(&[5, 50]);
        let mut later = earlier.clone();
        later.observe(60);
        later.observe(5_000);
        let window = later.since(&earlier).unwrap();
        assert_eq!((window.count(), window.sum()), (2, 5_060));
        assert_eq!((window.min(), window.max()), (Some(11), Some(5_000)));

        let after_reset = observed(&[7]);
        assert_eq!(after_reset.since(&earlier), Ok(after_reset));
        let nothing = earlier.since(&earlier).unwrap();
        assert_eq!((nothing.count(), nothing.min()), (0, None));
    }

    #[test]
    fn reset_forgets_everything() {
        let mut histogram = observed(&[5, 6]);
        histogram.reset();
        assert_eq!(histogram, observed(&[]));
    }
}

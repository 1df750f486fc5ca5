//! What all histograms have in common for those who read them.

use core::fmt;

use super::decimal::Decimal;
use super::descriptor::Unit;

/// One bucket of a [`Distribution`]: how many values fell into its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// The largest value of the range, `None` where it has no end.
    pub upper: Option<u64>,
    /// How many values fell into this range (not into lower ones).
    pub count: u64,
    /// Whether `upper` is written as a bound (`le`) to text. A histogram with many fine buckets
    /// names only some, and the others count towards the next that is named.
    pub exported: bool,
}

/// Anything with buckets: what text writers, alert rules and summaries read.
///
/// Buckets are in ascending order and don't overlap: the range of each starts one above the `upper`
/// of the one before it, the first at 0. The last has no end. Values are integers in the unit in
/// which they were counted.
pub trait Distribution {
    /// How many buckets there are, at least 1. It must not change while the value is borrowed.
    fn buckets(&self) -> usize;

    /// The bucket at `index`, which is below [`Distribution::buckets`].
    fn bucket(&self, index: usize) -> Bucket;

    /// The sum of all values; sticks at 2^64 - 1.
    fn sum(&self) -> u64;

    /// A value that none of them is below, the smallest itself where it is known; `None` where
    /// nothing was observed.
    fn min(&self) -> Option<u64>;

    /// A value that none of them is above, the largest itself where it is known; `None` where
    /// nothing was observed.
    fn max(&self) -> Option<u64>;

    /// How many values were observed.
    fn count(&self) -> u64 {
        (0..self.buckets()).fold(0, |count, index| count.wrapping_add(self.bucket(index).count))
    }

    /// The average, `None` where nothing was observed.
    fn mean(&self) -> Option<f64> {
        let count = self.count();
        (count > 0).then(|| self.sum() as f64 / count as f64)
    }

    /// The value below or at which the fraction `q` of all values lies: the one of rank
    /// `ceil(q * count)`, at least 1, in ascending order.
    ///
    /// `None` where nothing was observed, and where `q` is not within 0 and 1.
    ///
    /// The value is interpolated inside the bucket that holds this rank and never leaves it (nor
    /// the range from [`Distribution::min`] to [`Distribution::max`]), so it is off by less than
    /// the bucket's width.
    fn quantile(&self, q: f64) -> Option<f64> {
        let cells = (0..self.buckets()).map(|index| {
            let bucket = self.bucket(index);
            (bucket.upper, bucket.count)
        });
        quantile_of(cells, self.count(), q, self.min(), self.max())
    }
}

/// Interpolates a quantile over `(upper, count)` cells in ascending order.
pub(crate) fn quantile_of(
    cells: impl Iterator<Item = (Option<u64>, u64)>,
    count: u64,
    q: f64,
    min: Option<u64>,
    max: Option<u64>,
) -> Option<f64> {
    if count == 0 || !(0.0..=1.0).contains(&q) {
        return None;
    }
    let rank = rank_of(q, count);
    let (mut before, mut lower) = (0_u64, 0_u64);
    for (upper, inside) in cells {
        if inside > 0 && before.saturating_add(inside) >= rank {
            let low = lower.max(min.unwrap_or(0));
            // Where not even a largest value is known, the start of the range is all there is.
            let high = upper.into_iter().chain(max).min().map_or(low, |end| end.max(low));
            return Some(match rank {
                // The ends are known exactly; all others lie evenly spaced.
                1 => low as f64,
                _ if rank == count => high as f64,
                _ => {
                    let position = ((rank - before) as f64 - 0.5) / inside as f64;
                    low as f64 + (high - low) as f64 * position
                }
            });
        }
        before = before.saturating_add(inside);
        lower = upper.unwrap_or(u64::MAX).saturating_add(1);
    }
    None
}

/// `ceil(q * count)`, from 1 to `count`; `core` has no `ceil` for floats.
fn rank_of(q: f64, count: u64) -> u64 {
    let exact = q * count as f64;
    let whole = exact as u64;
    let rank = if (whole as f64) < exact { whole.saturating_add(1) } else { whole };
    rank.clamp(1, count)
}

/// A histogram in one line for terminals: count, smallest, quantiles, largest.
///
/// ```
/// use turbopump_core::stats::{LatencyHistogram, Summary, Unit};
///
/// let mut waits_us = LatencyHistogram::new();
/// waits_us.observe(1_500);
/// let line = Summary::new(&waits_us, Unit::MICROSECONDS).to_string();
/// assert_eq!(line, "1 value: min 0.0015, p50 0.0015, p99 0.0015, max 0.0015 seconds");
/// ```
pub struct Summary<'d> {
    distribution: &'d dyn Distribution,
    unit: Unit,
}

impl<'d> Summary<'d> {
    /// The summary of `distribution`, whose values are counted in `unit`.
    #[must_use]
    pub const fn new(distribution: &'d dyn Distribution, unit: Unit) -> Self {
        Self { distribution, unit }
    }
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.distribution.count();
        write!(f, "{count} {}", if count == 1 { "value" } else { "values" })?;
        let value = |q| self.distribution.quantile(q).map(|value| value as u64);
        for (index, (name, value)) in [
            ("min", self.distribution.min()),
            ("p50", value(0.5)),
            ("p99", value(0.99)),
            ("max", self.distribution.max()),
        ]
        .into_iter()
        .enumerate()
        {
            let Some(value) = value else { return Ok(()) };
            let shown = Decimal::scaled(value, self.unit.decimals());
            write!(f, "{} {name} {shown}", if index == 0 { ":" } else { "," })?;
        }
        if self.unit.name().is_empty() { Ok(()) } else { write!(f, " {}", self.unit.name()) }
    }
}

impl fmt::Debug for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    extern crate alloc;

    use super::{Summary, quantile_of, rank_of};
    use crate::stats::{ItemsHistogram, Unit};
    use alloc::string::ToString;

    #[test]
    fn ranks_are_rounded_up_and_kept_in_range() {
        for (q, count, rank) in
            [(0.0, 10, 1), (0.05, 10, 1), (0.5, 10, 5), (0.51, 10, 6), (0.99, 100, 99), (1.0, 3, 3)]
        {
            assert_eq!(rank_of(q, count), rank, "{q} of {count}");
        }
        assert_eq!(rank_of(1.0, u64::MAX), u64::MAX);
    }

    #[test]
    fn the_ends_are_exact_and_the_rest_stays_in_its_bucket() {
        let cells = [(Some(10), 4), (Some(20), 0), (None, 2)];
        let quantile = |q| quantile_of(cells.into_iter(), 6, q, Some(3), Some(90)).unwrap();
        assert_eq!(quantile(0.0), 3.0);
        assert_eq!(quantile(1.0), 90.0);
        assert!((3.0..=10.0).contains(&quantile(0.6)));
        assert!((21.0..=90.0).contains(&quantile(0.7)));
    }

    #[test]
    fn no_value_without_values_and_for_a_bad_fraction() {
        let none = || core::iter::empty();
        assert_eq!(quantile_of(none(), 0, 0.5, None, None), None);
        for q in [-0.1, 1.1, f64::NAN] {
            assert_eq!(quantile_of([(None, 1)].into_iter(), 1, q, Some(1), Some(1)), None);
        }
    }

    #[test]
    fn an_endless_bucket_of_unknown_values_counts_from_its_start() {
        let cells = [(Some(10), 1), (None, 3)];
        assert_eq!(quantile_of(cells.into_iter(), 4, 0.5, None, None), Some(11.0));
    }

    #[test]
    fn the_summary_of_nothing_is_short() {
        let mut items = ItemsHistogram::items();
        assert_eq!(Summary::new(&items, Unit::NONE).to_string(), "0 values");
        items.observe(3);
        items.observe(3);
        let line = Summary::new(&items, Unit::NONE).to_string();
        assert_eq!(line, "2 values: min 3, p50 3, p99 3, max 3");
    }
}

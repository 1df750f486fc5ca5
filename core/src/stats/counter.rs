//! Counters and gauges: integers with the arithmetic that suits them.

/// A number that only grows: events, bytes, microseconds spent.
///
/// It is a plain integer, changed through `&mut`, because the machines that count hold their lock
/// anyway. At 2^64 it wraps around to 0, which readers take for a restart; at one event per
/// nanosecond that takes 584 years.
///
/// ```
/// use turbopump_core::stats::Counter;
///
/// let mut sent = Counter::new();
/// sent.increment();
/// sent.add(9);
/// assert_eq!(sent.get(), 10);
///
/// let earlier = sent;
/// sent.add(5);
/// assert_eq!(sent.since(earlier), 5);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counter(u64);

impl Counter {
    /// A counter at 0.
    #[must_use]
    pub const fn new() -> Self {
        Self(0)
    }

    /// Counts one event.
    #[inline]
    pub const fn increment(&mut self) {
        self.add(1);
    }

    /// Counts `events` at once.
    #[inline]
    pub const fn add(&mut self, events: u64) {
        self.0 = self.0.wrapping_add(events);
    }

    /// What has been counted.
    #[must_use]
    #[inline]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// What was counted after the snapshot `earlier`.
    ///
    /// A counter below its earlier value was reset in between, so all it shows is new.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        if self.0 < earlier.0 { self.0 } else { self.0 - earlier.0 }
    }

    /// Adds what another counter of the same thing has counted.
    pub const fn merge(&mut self, other: Self) {
        self.add(other.0);
    }

    /// Back to 0.
    pub const fn reset(&mut self) {
        self.0 = 0;
    }
}

impl From<u64> for Counter {
    fn from(value: u64) -> Self {
        Self(value)
    }
}

impl From<Counter> for u64 {
    fn from(counter: Counter) -> Self {
        counter.0
    }
}

/// A number that goes up and down: buffers in use, connections, bytes held.
///
/// It is a signed integer rather than a float because what machines hold is counted by adding and
/// subtracting, which must come out exact after any number of steps and must not need a floating
/// point unit. Fractions (a hit rate, a load) are computed when somebody looks, and handed over
/// with [`Samples::float_gauge`](super::Samples::float_gauge). It sticks at the ends of its range.
///
/// ```
/// use turbopump_core::stats::Gauge;
///
/// let mut in_use = Gauge::new();
/// in_use.add(3);
/// in_use.subtract(1);
/// assert_eq!(in_use.get(), 2);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauge(i64);

impl Gauge {
    /// A gauge at 0.
    #[must_use]
    pub const fn new() -> Self {
        Self(0)
    }

    /// Sets the value.
    #[inline]
    pub const fn set(&mut self, value: i64) {
        self.0 = value;
    }

    /// Moves the value up by `amount`.
    #[inline]
    pub const fn add(&mut self, amount: i64) {
        self.0 = self.0.saturating_add(amount);
    }

    /// Moves the value down by `amount`.
    #[inline]
    pub const fn subtract(&mut self, amount: i64) {
        self.0 = self.0.saturating_sub(amount);
    }

    /// The value.
    #[must_use]
    #[inline]
    pub const fn get(self) -> i64 {
        self.0
    }

    /// Adds the value of another gauge, for things that are held in several places.
    pub const fn merge(&mut self, other: Self) {
        self.add(other.0);
    }
}

impl From<i64> for Gauge {
    fn from(value: i64) -> Self {
        Self(value)
    }
}

/// A gauge that remembers the highest value it has had: its high-water mark.
///
/// ```
/// use turbopump_core::stats::PeakGauge;
///
/// let mut in_use = PeakGauge::new();
/// in_use.add(5);
/// in_use.subtract(4);
/// assert_eq!((in_use.get(), in_use.peak()), (1, 5));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeakGauge {
    current: i64,
    peak: i64,
}

impl PeakGauge {
    /// A gauge at 0 whose peak is 0.
    #[must_use]
    pub const fn new() -> Self {
        Self { current: 0, peak: 0 }
    }

    /// Sets the value.
    #[inline]
    pub const fn set(&mut self, value: i64) {
        self.current = value;
        if value > self.peak {
            self.peak = value;
        }
    }

    /// Moves the value up by `amount`; it sticks at the end of its range.
    #[inline]
    pub const fn add(&mut self, amount: i64) {
        self.set(self.current.saturating_add(amount));
    }

    /// Moves the value down by `amount`; it sticks at the end of its range.
    #[inline]
    pub const fn subtract(&mut self, amount: i64) {
        self.set(self.current.saturating_sub(amount));
    }

    /// The value.
    #[must_use]
    #[inline]
    pub const fn get(self) -> i64 {
        self.current
    }

    /// The highest value since the start or the last [`PeakGauge::reset_peak`], at least 0.
    #[must_use]
    #[inline]
    pub const fn peak(self) -> i64 {
        self.peak
    }

    /// Forgets earlier peaks: from now on the peak is the present value.
    pub const fn reset_peak(&mut self) {
        self.peak = if self.current > 0 { self.current } else { 0 };
    }

    /// Adds another gauge of the same thing held elsewhere.
    ///
    /// The peaks are added too. They need not have happened together, so the sum is an upper bound
    /// of the joint peak, which nobody has seen.
    pub const fn merge(&mut self, other: Self) {
        self.current = self.current.saturating_add(other.current);
        self.peak = self.peak.saturating_add(other.peak);
    }
}

#[cfg(test)]
mod tests {
    use super::{Counter, Gauge, PeakGauge};

    #[test]
    fn a_counter_wraps_and_a_lower_value_counts_from_zero() {
        let mut counter = Counter::from(u64::MAX);
        counter.increment();
        assert_eq!(counter.get(), 0);

        let earlier = Counter::from(100);
        assert_eq!(Counter::from(130).since(earlier), 30);
        assert_eq!(Counter::from(7).since(earlier), 7);
    }

    #[test]
    fn gauges_stick_at_the_ends() {
        let mut gauge = Gauge::from(i64::MAX);
        gauge.add(1);
        assert_eq!(gauge.get(), i64::MAX);
        gauge.set(i64::MIN);
        gauge.subtract(1);
        assert_eq!(gauge.get(), i64::MIN);
    }

    #[test]
    fn the_peak_stays_and_can_be_forgotten() {
        let mut gauge = PeakGauge::new();
        gauge.set(9);
        gauge.set(-3);
        assert_eq!((gauge.get(), gauge.peak()), (-3, 9));
        gauge.reset_peak();
        assert_eq!(gauge.peak(), 0);
    }

    #[test]
    fn merging_adds() {
        let (mut counter, mut gauge, mut peak) =
            (Counter::from(1), Gauge::from(2), PeakGauge::new());
        peak.set(4);
        counter.merge(Counter::from(10));
        gauge.merge(Gauge::from(20));
        let mut other = PeakGauge::new();
        other.set(7);
        other.set(1);
        peak.merge(other);
        assert_eq!((counter.get(), gauge.get()), (11, 22));
        assert_eq!((peak.get(), peak.peak()), (5, 11));
    }
}

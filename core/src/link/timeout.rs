//! How long to wait for an answer: fixed, or from what was measured.

use core::fmt;

use crate::stats::{Distribution, LogHistogram, log_buckets};

/// How a time-out follows from latencies. All times are in microseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum TimeoutRule {
    /// Always the same.
    Fixed {
        /// The time-out.
        us: u64,
    },
    /// Three times the smoothed average: the simple rule.
    Smoothed {
        /// What it starts with and falls back to after time-outs.
        initial_us: u64,
        /// It is never less than this.
        min_us: u64,
        /// It is never more than this.
        max_us: u64,
    },
    /// So many times a quantile of what was measured lately: for latencies with a long tail, where
    /// an average says little.
    Quantile {
        /// Which quantile, between 0 and 1.
        quantile: f64,
        /// By how much it is multiplied, in percent.
        percent: u32,
        /// What it starts with and falls back to after time-outs.
        initial_us: u64,
        /// It is never less than this.
        min_us: u64,
        /// It is never more than this.
        max_us: u64,
    },
}

impl TimeoutRule {
    /// Five seconds, then three times the smoothed average, between 10 milliseconds and 30 seconds.
    pub const SMOOTHED: Self =
        Self::Smoothed { initial_us: 5_000_000, min_us: 10_000, max_us: 30_000_000 };

    /// Five seconds, then one and a half times the 99.9th percentile, between 10 milliseconds and
    /// 30 seconds.
    pub const QUANTILE: Self = Self::Quantile {
        quantile: 0.999,
        percent: 150,
        initial_us: 5_000_000,
        min_us: 10_000,
        max_us: 30_000_000,
    };

    const fn bounds(self) -> Bounds {
        match self {
            Self::Fixed { us } => Bounds { initial_us: us, min_us: us, max_us: us },
            Self::Smoothed { initial_us, min_us, max_us }
            | Self::Quantile { initial_us, min_us, max_us, .. } => {
                Bounds { initial_us, min_us, max_us }
            }
        }
    }

    /// Whether its numbers make sense together.
    ///
    /// # Errors
    ///
    /// [`InvalidRule`] says which of them do not.
    pub fn check(self) -> Result<(), InvalidRule> {
        let Bounds { initial_us, min_us, max_us } = self.bounds();
        if min_us == 0 || initial_us < min_us || initial_us > max_us {
            return Err(InvalidRule::Bounds { initial_us, min_us, max_us });
        }
        match self {
            Self::Quantile { quantile, .. } if !(0.0..=1.0).contains(&quantile) => {
                Err(InvalidRule::Quantile { quantile })
            }
            _ => Ok(()),
        }
    }
}

impl Default for TimeoutRule {
    /// 30 seconds.
    fn default() -> Self {
        Self::Fixed { us: 30_000_000 }
    }
}

#[derive(Clone, Copy)]
struct Bounds {
    initial_us: u64,
    min_us: u64,
    max_us: u64,
}

/// Why a [`TimeoutRule`] was refused.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum InvalidRule {
    /// The smallest time-out must be above 0, and the first between the smallest and the largest.
    Bounds {
        /// The first time-out in microseconds.
        initial_us: u64,
        /// The smallest.
        min_us: u64,
        /// The largest.
        max_us: u64,
    },
    /// A quantile lies between 0 and 1.
    Quantile {
        /// What was given.
        quantile: f64,
    },
}

impl fmt::Display for InvalidRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bounds { initial_us, min_us, max_us } => write!(
                f,
                "a time-out that starts at {initial_us} us and stays within {min_us} to {max_us} \
                 us; the smallest must be above 0 and the first within the two"
            ),
            Self::Quantile { quantile } => {
                write!(f, "the quantile {quantile} is not within 0 and 1")
            }
        }
    }
}

impl core::error::Error for InvalidRule {}

/// Latencies weigh an eighth in the average, as in TCP.
const SMOOTHING_SHIFT: u32 = 3;

/// The simple rule's factor.
const SMOOTHED_FACTOR: u64 = 3;

/// Latencies after which a quantile is looked up, and a new window begins.
const WINDOW: u32 = 1_024;

/// What was measured lately, up to 67 seconds within 25 %.
type Window = LogHistogram<2, { log_buckets(2, 1 << 26) }>;

/// A time-out that follows a [`TimeoutRule`].
///
/// Pure: it is told latencies and time-outs, and says how long to wait. After a time-out it
/// doubles, because a peer that became slow would otherwise never be measured again; answers bring
/// it back.
///
/// ```
/// use turbopump_core::link::{AdaptiveTimeout, TimeoutRule};
///
/// let mut timeout = AdaptiveTimeout::new(TimeoutRule::SMOOTHED)?;
/// assert_eq!(timeout.us(), 5_000_000);
/// for _ in 0..100 {
///     timeout.observe(20_000);
/// }
/// assert_eq!(timeout.us(), 60_000);
/// timeout.observe_timeout();
/// assert_eq!(timeout.us(), 120_000);
/// # Ok::<(), turbopump_core::link::InvalidRule>(())
/// ```
#[derive(Clone, Debug)]
pub struct AdaptiveTimeout {
    rule: TimeoutRule,
    us: u64,
    /// The smoothed average, shifted up by [`SMOOTHING_SHIFT`]; 0 before the first latency.
    average: u64,
    /// For rules with a quantile: latencies since it was looked up.
    window: Window,
    fresh: u32,
    /// Doublings since the last answer.
    doublings: u32,
}

impl AdaptiveTimeout {
    /// A time-out that has not measured anything yet.
    ///
    /// # Errors
    ///
    /// As [`TimeoutRule::check`].
    pub fn new(rule: TimeoutRule) -> Result<Self, InvalidRule> {
        rule.check()?;
        let us = rule.bounds().initial_us;
        Ok(Self { rule, us, average: 0, window: Window::new(), fresh: 0, doublings: 0 })
    }

    /// How long to wait for the next answer, in microseconds.
    #[inline]
    #[must_use]
    pub fn us(&self) -> u64 {
        if self.doublings == 0 { self.us } else { self.backed_off() }
    }

    /// The smoothed average of the latencies in microseconds, `None` before the first.
    #[must_use]
    pub const fn average_us(&self) -> Option<u64> {
        if self.average == 0 { None } else { Some(self.average >> SMOOTHING_SHIFT) }
    }

    #[cold]
    fn backed_off(&self) -> u64 {
        let factor = 1_u64.checked_shl(self.doublings).unwrap_or(u64::MAX);
        self.us.saturating_mul(factor).min(self.rule.bounds().max_us)
    }

    /// An answer came after `latency_us`.
    #[inline]
    pub fn observe(&mut self, latency_us: u64) {
        if matches!(self.rule, TimeoutRule::Fixed { .. }) {
            return;
        }
        self.doublings = 0;
        // Latencies of less than a microsecond count as one, so that 0 stays free for "none yet".
        let latency_us = latency_us.clamp(1, u64::MAX >> (SMOOTHING_SHIFT + 2));
        self.average = match self.average {
            0 => latency_us << SMOOTHING_SHIFT,
            average => average - (average >> SMOOTHING_SHIFT) + latency_us,
        };
        match self.rule {
            TimeoutRule::Smoothed { .. } => {
                self.set((self.average >> SMOOTHING_SHIFT).saturating_mul(SMOOTHED_FACTOR));
            }
            _ => self.observe_in_window(latency_us),
        }
    }

    fn observe_in_window(&mut self, latency_us: u64) {
        self.window.observe(latency_us);
        self.fresh += 1;
        if self.fresh < WINDOW {
            return;
        }
        let TimeoutRule::Quantile { quantile, percent, .. } = self.rule else {
            return;
        };
        if let Some(us) = self.window.quantile(quantile) {
            self.set((us as u64).saturating_mul(u64::from(percent)) / 100);
        }
        self.window.reset();
        self.fresh = 0;
    }

    /// No answer came in time.
    pub fn observe_timeout(&mut self) {
        if !matches!(self.rule, TimeoutRule::Fixed { .. }) {
            self.doublings = self.doublings.saturating_add(1);
        }
    }

    #[inline]
    fn set(&mut self, us: u64) {
        let Bounds { min_us, max_us, .. } = self.rule.bounds();
        self.us = us.clamp(min_us, max_us);
    }
}

#[cfg(test)]
mod tests {
    use super::{AdaptiveTimeout, InvalidRule, TimeoutRule};

    #[test]
    fn three_times_the_average_within_its_bounds() {
        let mut timeout = AdaptiveTimeout::new(TimeoutRule::SMOOTHED).unwrap();
        assert_eq!(timeout.average_us(), None);
        for _ in 0..200 {
            timeout.observe(100_000);
        }
        assert_eq!((timeout.average_us(), timeout.us()), (Some(100_000), 300_000));
        for _ in 0..200 {
            timeout.observe(0);
        }
        assert_eq!(timeout.us(), 10_000, "the lower bound");
        for _ in 0..200 {
            timeout.observe(u64::MAX);
        }
        assert_eq!(timeout.us(), 30_000_000, "the upper bound");
    }

    #[test]
    fn it_doubles_until_an_answer_comes() {
        let mut timeout = AdaptiveTimeout::new(TimeoutRule::SMOOTHED).unwrap();
        timeout.observe(10_000);
        let expected = [60_000, 120_000, 240_000];
        for us in expected {
            timeout.observe_timeout();
            assert_eq!(timeout.us(), us);
        }
        (0..100).for_each(|_| timeout.observe_timeout());
        assert_eq!(timeout.us(), 30_000_000);
        timeout.observe(10_000);
        assert_eq!(timeout.us(), 30_000);
    }

    #[test]
    fn a_quantile_sees_the_tail_that_an_average_hides() {
        let mut smoothed = AdaptiveTimeout::new(TimeoutRule::SMOOTHED).unwrap();
        let mut quantile = AdaptiveTimeout::new(TimeoutRule::QUANTILE).unwrap();
        for index in 0..2_000 {
            let latency_us = if index % 100 == 0 { 400_000 } else { 10_000 };
            smoothed.observe(latency_us);
            quantile.observe(latency_us);
        }
        assert!(smoothed.us() < 400_000, "{}", smoothed.us());
        assert!((500_000..=700_000).contains(&quantile.us()), "{}", quantile.us());
    }

    #[test]
    fn a_fixed_one_stays_and_bad_numbers_are_refused() {
        let mut fixed = AdaptiveTimeout::new(TimeoutRule::Fixed { us: 7 }).unwrap();
        fixed.observe(1_000_000);
        fixed.observe_timeout();
        assert_eq!(fixed.us(), 7);

        let bounds = TimeoutRule::Smoothed { initial_us: 5, min_us: 6, max_us: 7 };
        assert!(matches!(bounds.check(), Err(InvalidRule::Bounds { .. })));
        assert!(TimeoutRule::Fixed { us: 0 }.check().is_err());
        let TimeoutRule::Quantile { percent, initial_us, min_us, max_us, .. } =
            TimeoutRule::QUANTILE
        else {
            panic!()
        };
        for quantile in [1.5, -0.1, f64::NAN] {
            let rule = TimeoutRule::Quantile { quantile, percent, initial_us, min_us, max_us };
            assert!(matches!(rule.check(), Err(InvalidRule::Quantile { .. })));
        }
    }
}

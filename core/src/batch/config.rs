//! How an accumulator behaves: limits, times, and the policy for the size of batches.

use core::fmt;

use super::adaptive::AdaptiveSize;
use super::cells::Note;
use super::retry::RetryPolicy;
use crate::time::US_PER_MS;

/// Bytes in a mebibyte.
const MIB: u64 = 1 << 20;

/// Batches that may be handed out and not settled for good, at most: places are 16-bit numbers.
const BATCHES_MAX: u32 = 4_096;

/// How an [`Accumulator`](super::Accumulator) behaves.
///
/// ```
/// use turbopump_core::batch::BatchConfig;
///
/// let config = BatchConfig { items_max: 50, ..BatchConfig::default() };
/// assert_eq!((config.linger_us, config.waiting_max), (10_000, 1_000));
/// config.validate()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchConfig {
    /// Items that close a batch, unless [`BatchConfig::size`] says otherwise. 100.
    pub items_max: u32,
    /// Bytes of one batch at most: an item that would exceed them goes into the next. 32 MiB.
    pub bytes_max: u64,
    /// Bytes of one item at most: a larger one is refused. 4 MiB.
    pub item_bytes_max: u64,
    /// How long the first item of a batch waits for others, in microseconds. 10 ms.
    ///
    /// Bounds the age of a batch when it is closed, not the rate of batches.
    pub linger_us: u64,
    /// Items that may wait for their first attempt, at most: more are refused. 1,000.
    pub waiting_max: u32,
    /// Batches that may be handed out, or wait for another attempt, at the same time. 16.
    pub in_flight_max: u32,
    /// Whether a batch is handed out only when all earlier items are settled. No.
    pub ordered: bool,
    /// What happens to items whose outcome is to try again: 3 retries, 50 ms apart.
    pub retry: RetryPolicy,
    /// How many items close a batch.
    pub size: SizePolicy,
}

impl Default for BatchConfig {
    fn default() -> Self {
        Self {
            items_max: 100,
            bytes_max: 32 * MIB,
            item_bytes_max: 4 * MIB,
            linger_us: 10 * US_PER_MS,
            waiting_max: 1_000,
            in_flight_max: 16,
            ordered: false,
            retry: RetryPolicy::DEFAULT,
            size: SizePolicy::Fixed,
        }
    }
}

impl BatchConfig {
    /// Items that a batch can have at most, whatever the policy makes of it: no more than may wait.
    #[must_use]
    pub const fn items_capacity(&self) -> usize {
        let items = match self.size {
            SizePolicy::Fixed => self.items_max,
            SizePolicy::ByLoad(rule) => rule.items_max(),
            SizePolicy::Adaptive(size) => size.items_max,
        };
        if items < self.waiting_max { items as usize } else { self.waiting_max as usize }
    }

    /// Batches that may be in flight: places that the storage needs. One where they are ordered.
    #[must_use]
    pub const fn places_len(&self) -> usize {
        if self.ordered { 1 } else { self.in_flight_max as usize }
    }

    /// Items that the storage needs room for: those that wait, up to the next power of two, and as
    /// many as can be in the batches in flight, so that what is to be tried again never lacks it.
    #[must_use]
    pub const fn cells_len(&self) -> usize {
        let in_flight = self.places_len().saturating_mul(self.items_capacity());
        in_flight.saturating_add(self.ring_len())
    }

    pub(super) const fn ring_len(&self) -> usize {
        (self.waiting_max as usize).next_power_of_two()
    }

    /// Checks that the numbers make sense together.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the field and its limits.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let within = |field, value: u64, min: u64, max: u64| match value {
            value if value < min || value > max => Err(ConfigError { field, value, min, max }),
            _ => Ok(()),
        };
        let items = u64::from(u32::MAX / 2);
        within("items_max", self.items_max.into(), 1, items)?;
        within("item_bytes_max", self.item_bytes_max, 0, Note::BYTES_MAX.into())?;
        within("bytes_max", self.bytes_max, self.item_bytes_max.max(1), u64::MAX / 2)?;
        within("waiting_max", self.waiting_max.into(), 1, items)?;
        within("in_flight_max", self.in_flight_max.into(), 1, BATCHES_MAX.into())?;
        within("retry.retries_max", self.retry.retries_max.into(), 0, u64::from(u32::MAX - 1))?;
        match self.size {
            SizePolicy::Fixed => {}
            SizePolicy::ByLoad(rule) => {
                for (field, items_of) in [
                    ("size.items_at_high", rule.items_at_high),
                    ("size.items_between", rule.items_between),
                    ("size.items_at_low", rule.items_at_low),
                ] {
                    within(field, items_of.into(), 1, items)?;
                }
            }
            SizePolicy::Adaptive(size) => {
                within("size.items_min", size.items_min.into(), 1, size.items_max.into())?;
                within("size.items_max", size.items_max.into(), size.items_min.into(), items)?;
            }
        }
        within("cells_len()", self.cells_len() as u64, 1, items)
    }
}

/// A number in a configuration is out of its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigError {
    /// Which one.
    pub field: &'static str,
    /// Its value.
    pub value: u64,
    /// The least that is possible.
    pub min: u64,
    /// The most that is possible.
    pub max: u64,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, value, min, max } = self;
        write!(f, "{field} is {value}; set it to something between {min} and {max}")
    }
}

impl core::error::Error for ConfigError {}

/// How many items close a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum SizePolicy {
    /// Always [`BatchConfig::items_max`].
    Fixed,
    /// Few under high load, many under low load.
    ByLoad(LoadRule),
    /// Whatever turns out best; see [`AdaptiveSize`].
    Adaptive(AdaptiveSize),
}

/// The simple rule: one of three sizes, by load.
///
/// ```
/// use turbopump_core::batch::{Load, LoadRule};
///
/// let rule = LoadRule::DEFAULT;
/// assert_eq!(rule.items(Load { queue_fill: 0.9, cpu_share: 0.1 }), 50);
/// assert_eq!(rule.items(Load { queue_fill: 0.1, cpu_share: 0.5 }), 100);
/// assert_eq!(rule.items(Load { queue_fill: 0.1, cpu_share: 0.2 }), 200);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LoadRule {
    /// Load above which [`LoadRule::items_at_high`] holds. 0.8.
    pub high: f64,
    /// Load below which [`LoadRule::items_at_low`] holds. 0.3.
    pub low: f64,
    /// Items of a batch at high load. 50.
    pub items_at_high: u32,
    /// Items of a batch at neither. 100.
    pub items_between: u32,
    /// Items of a batch at low load. 200.
    pub items_at_low: u32,
}

impl LoadRule {
    /// Above 0.8 fifty items, below 0.3 two hundred, else one hundred.
    pub const DEFAULT: Self =
        Self { high: 0.8, low: 0.3, items_at_high: 50, items_between: 100, items_at_low: 200 };

    /// How many items close a batch at this load. A load that is no number counts as neither high
    /// nor low.
    #[must_use]
    pub fn items(&self, load: Load) -> u32 {
        let load = load.value();
        if load > self.high {
            self.items_at_high
        } else if load < self.low {
            self.items_at_low
        } else {
            self.items_between
        }
    }

    const fn items_max(&self) -> u32 {
        let mut max = self.items_at_high;
        if self.items_between > max {
            max = self.items_between;
        }
        if self.items_at_low > max {
            max = self.items_at_low;
        }
        max
    }
}

impl Default for LoadRule {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// How busy things are, each from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    /// Waiting items as a share of those that may wait.
    pub queue_fill: f64,
    /// The share of the processors' time that is used.
    pub cpu_share: f64,
}

impl Load {
    /// The larger of the two.
    #[must_use]
    pub fn value(&self) -> f64 {
        self.queue_fill.max(self.cpu_share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_documented() {
        let config = BatchConfig::default();
        assert_eq!(config.validate(), Ok(()));
        assert_eq!((config.bytes_max, config.item_bytes_max), (33_554_432, 4_194_304));
        assert_eq!((config.items_capacity(), config.places_len()), (100, 16));
        assert_eq!(config.cells_len(), 1_024 + 1_600);
    }

    #[test]
    fn impossible_numbers_are_named() {
        let field = |change: fn(&mut BatchConfig)| {
            let mut config = BatchConfig::default();
            change(&mut config);
            config.validate().map_err(|error| error.field)
        };
        assert_eq!(field(|config| config.items_max = 0), Err("items_max"));
        assert_eq!(field(|config| config.waiting_max = 0), Err("waiting_max"));
        assert_eq!(field(|config| config.in_flight_max = 0), Err("in_flight_max"));
        assert_eq!(field(|config| config.bytes_max = 1_000), Err("bytes_max"));
        assert_eq!(field(|config| config.item_bytes_max = 1 << 40), Err("item_bytes_max"));
        let rule = LoadRule { items_at_low: 0, ..LoadRule::DEFAULT };
        let mut config = BatchConfig { size: SizePolicy::ByLoad(rule), ..BatchConfig::default() };
        assert_eq!(config.validate().map_err(|error| error.field), Err("size.items_at_low"));
        let size = AdaptiveSize { items_min: 10, items_max: 5, ..AdaptiveSize::DEFAULT };
        config.size = SizePolicy::Adaptive(size);
        assert_eq!(config.validate().map_err(|error| error.field), Err("size.items_min"));
        config.size = SizePolicy::Fixed;
        (config.items_max, config.waiting_max) = (u32::MAX / 4, u32::MAX / 4);
        assert_eq!(config.validate().map_err(|error| error.field), Err("cells_len()"));
    }

    #[test]
    fn the_load_rule_at_its_edges() {
        let rule = LoadRule::DEFAULT;
        for (load, items) in [(0.0, 200), (0.29, 200), (0.3, 100), (0.8, 100), (0.81, 50)] {
            assert_eq!(rule.items(Load { queue_fill: load, cpu_share: 0.0 }), items);
            assert_eq!(rule.items(Load { queue_fill: 0.0, cpu_share: load }), items);
        }
        assert_eq!(rule.items(Load { queue_fill: f64::NAN, cpu_share: f64::NAN }), 100);
    }
}

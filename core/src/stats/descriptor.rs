//! What a family of metrics is called and means, checked once.

use core::fmt;

use super::decimal::{DECIMALS_MAX, scaled_float};

/// What kind of numbers a family holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A number that only grows, or starts again from 0.
    Counter,
    /// An integer that goes up and down.
    Gauge,
    /// A gauge whose values are fractions, such as a ratio.
    ///
    /// It is a kind of its own because InfluxDB fixes a field's type at the first write: a family
    /// that was sometimes an integer would have its later points refused.
    FloatGauge,
    /// How often values fell into each of several ranges.
    Histogram,
}

impl Kind {
    /// The name that both text formats of Prometheus use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge | Self::FloatGauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if matches!(self, Self::FloatGauge) { "float gauge" } else { self.as_str() })
    }
}

/// The unit in which a family is shown, and how far its integers are from it.
///
/// Shown are base units (seconds, bytes), as Prometheus' naming rules ask; counted are integers in
/// whatever smaller unit the machine uses. [`Unit::MICROSECONDS`] says both: count microseconds,
/// show seconds. The default is [`Unit::NONE`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Unit {
    name: &'static str,
    decimals: u8,
}

impl Unit {
    /// Bare numbers: nothing is appended to the name.
    pub const NONE: Self = Self { name: "", decimals: 0 };
    /// Bytes.
    pub const BYTES: Self = Self { name: "bytes", decimals: 0 };
    /// Whole seconds, or floats that are seconds already.
    pub const SECONDS: Self = Self { name: "seconds", decimals: 0 };
    /// Counted in milliseconds, shown in seconds.
    pub const MILLISECONDS: Self = Self { name: "seconds", decimals: 3 };
    /// Counted in microseconds, shown in seconds.
    pub const MICROSECONDS: Self = Self { name: "seconds", decimals: 6 };
    /// Counted in nanoseconds, shown in seconds.
    pub const NANOSECONDS: Self = Self { name: "seconds", decimals: 9 };
    /// A fraction between 0 and 1.
    pub const RATIO: Self = Self { name: "ratio", decimals: 0 };

    /// A unit called `name` (what the family's name ends in; empty for none), whose integers are
    /// counted in steps of 10 to the power of minus `decimals`.
    #[must_use]
    pub const fn new(name: &'static str, decimals: u8) -> Self {
        Self { name, decimals }
    }

    /// The name, empty for bare numbers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// By how many decimal places the integers are shifted to be shown.
    #[must_use]
    pub const fn decimals(self) -> u8 {
        self.decimals
    }

    /// A counted value in the unit that is shown: 1,500 microseconds are 0.0015 seconds.
    #[must_use]
    pub fn scale(self, counted: f64) -> f64 {
        scaled_float(counted, self.decimals)
    }
}

/// Name, help, kind and unit of one family of metrics; always fit to be written.
///
/// Make one with [`descriptor!`](crate::descriptor), which turns a bad name into a compile error,
/// and keep it in a `static`: [`visit_all`](super::visit_all) tells families apart by address first
/// and by name only where that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Descriptor {
    name: &'static str,
    base: &'static str,
    help: &'static str,
    kind: Kind,
    unit: Unit,
}

impl Descriptor {
    /// Checks and makes a descriptor.
    ///
    /// - `name`: letters, digits and underscores, a letter first (colons belong to recording rules,
    ///   leading underscores to the formats). A counter's name ends in `_total` and no other name
    ///   does; no name ends (before `_total`) in what the formats append themselves: `_bucket`,
    ///   `_count`, `_sum`, `_created`, `_total`. So no two families can share a sample's name.
    /// - `help`: one sentence, not empty.
    /// - `unit`: if it has a name, then `name` ends in it (before `_total`), as OpenMetrics
    ///   demands.
    ///
    /// # Errors
    ///
    /// [`DescriptorError`] says which rule was broken.
    pub const fn new(
        kind: Kind,
        name: &'static str,
        help: &'static str,
        unit: Unit,
    ) -> Result<Self, DescriptorError> {
        if let Err(error) = check_characters(name) {
            return Err(error);
        }
        let (base, total) = match strip_suffix(name, "_total") {
            Some(base) => (base, true),
            None => (name, false),
        };
        if total != matches!(kind, Kind::Counter) {
            return Err(if total {
                DescriptorError::TotalOnOther
            } else {
                DescriptorError::CounterWithoutTotal
            });
        }
        if ends_in_reserved(base) {
            return Err(DescriptorError::ReservedSuffix);
        }
        if help.is_empty() {
            return Err(DescriptorError::HelpEmpty);
        }
        if let Err(error) = check_unit(kind, base, unit) {
            return Err(error);
        }
        Ok(Self { name, base, help, kind, unit })
    }

    /// The name of a sample of a counter or gauge, and of a histogram before its suffixes.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The family's name in OpenMetrics: [`Descriptor::name`] without `_total`.
    #[must_use]
    pub const fn base(&self) -> &'static str {
        self.base
    }

    /// What the numbers mean.
    #[must_use]
    pub const fn help(&self) -> &'static str {
        self.help
    }

    /// What kind of numbers they are.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Their unit.
    #[must_use]
    pub const fn unit(&self) -> Unit {
        self.unit
    }
}

/// A [`Descriptor`](crate::stats::Descriptor) whose name, help and unit are checked by the
/// compiler.
///
/// Takes what [`Descriptor::new`](crate::stats::Descriptor::new) takes; the unit may be left out.
///
/// ```
/// use turbopump_core::descriptor;
/// use turbopump_core::stats::{Descriptor, Kind, Unit};
///
/// static HELD: Descriptor =
///     descriptor!(Kind::Gauge, "app_pool_bytes", "Bytes held by the pool.", Unit::BYTES);
/// assert_eq!(HELD.name(), "app_pool_bytes");
/// ```
///
/// ```compile_fail
/// use turbopump_core::descriptor;
/// use turbopump_core::stats::{Descriptor, Kind};
///
/// static BAD: Descriptor = descriptor!(Kind::Counter, "app-sent", "Counters end in _total.");
/// ```
#[macro_export]
macro_rules! descriptor {
    ($kind:expr, $name:expr, $help:expr $(,)?) => {
        $crate::descriptor!($kind, $name, $help, $crate::stats::Unit::NONE)
    };
    ($kind:expr, $name:expr, $help:expr, $unit:expr $(,)?) => {
        const {
            match $crate::stats::Descriptor::new($kind, $name, $help, $unit) {
                ::core::result::Result::Ok(descriptor) => descriptor,
                ::core::result::Result::Err(error) => ::core::panic!("{}", error.as_str()),
            }
        }
    };
}

/// Why a descriptor was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DescriptorError {
    /// The name is empty.
    NameEmpty,
    /// The name doesn't start with a letter.
    FirstCharacter,
    /// The name has something else than letters, digits and underscores at this byte.
    Character {
        /// Offset of the byte in the name.
        at: usize,
    },
    /// A counter's name doesn't end in `_total`.
    CounterWithoutTotal,
    /// The name of something that is no counter ends in `_total`.
    TotalOnOther,
    /// The name ends in something that the text formats append themselves.
    ReservedSuffix,
    /// The help is empty.
    HelpEmpty,
    /// The name (before `_total`) doesn't end in an underscore and the unit's name.
    UnitSuffix,
    /// The unit's name has something else than letters, digits and underscores.
    UnitName,
    /// The unit moves the point by more than 18 places.
    UnitDecimals {
        /// By how many places.
        decimals: u8,
    },
    /// A float gauge is never shifted: its values are in the unit already.
    FloatShifted,
}

impl DescriptorError {
    /// What is wrong and what to do.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::NameEmpty => "the metric's name is empty",
            Self::FirstCharacter => "the metric's name must start with a letter",
            Self::Character { .. } => {
                "the metric's name may hold letters, digits and underscores only"
            }
            Self::CounterWithoutTotal => "a counter's name must end in `_total`",
            Self::TotalOnOther => "only a counter's name may end in `_total`",
            Self::ReservedSuffix => {
                "the metric's name may not end in `_bucket`, `_count`, `_sum`, `_created` or \
                 `_total` (before a counter's `_total`): the text formats append these"
            }
            Self::HelpEmpty => "the metric's help is empty: say in one sentence what it counts",
            Self::UnitSuffix => {
                "the metric's name (before `_total`) must end in an underscore and its unit"
            }
            Self::UnitName => "the unit's name may hold letters, digits and underscores only",
            Self::UnitDecimals { .. } => "the unit may move the point by at most 18 places",
            Self::FloatShifted => {
                "a float gauge holds values in its unit: give it a unit with 0 decimals"
            }
        }
    }
}

impl fmt::Display for DescriptorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())?;
        match self {
            Self::Character { at } => write!(f, " (byte {at})"),
            Self::UnitDecimals { decimals } => write!(f, " (it moves it by {decimals})"),
            _ => Ok(()),
        }
    }
}

impl core::error::Error for DescriptorError {}

/// What the text formats append to names themselves.
const RESERVED: [&str; 5] = ["_bucket", "_count", "_sum", "_created", "_total"];

/// Letters, digits and underscores, a letter first: the part of Prometheus' and OpenMetrics' rules
/// for names that is free for everybody to use, for metrics and labels alike.
pub(crate) const fn check_characters(name: &str) -> Result<(), DescriptorError> {
    let bytes = name.as_bytes();
    if bytes.is_empty() {
        return Err(DescriptorError::NameEmpty);
    }
    if !bytes[0].is_ascii_alphabetic() {
        return Err(DescriptorError::FirstCharacter);
    }
    let mut at = 1;
    while at < bytes.len() {
        if !bytes[at].is_ascii_alphanumeric() && bytes[at] != b'_' {
            return Err(DescriptorError::Character { at });
        }
        at += 1;
    }
    Ok(())
}

/// Whether a family could have this name, whatever its kind.
pub(crate) const fn name_is_valid(name: &str) -> bool {
    check_characters(name).is_ok()
}

const fn check_unit(kind: Kind, base: &str, unit: Unit) -> Result<(), DescriptorError> {
    if unit.decimals > DECIMALS_MAX {
        return Err(DescriptorError::UnitDecimals { decimals: unit.decimals });
    }
    if unit.decimals > 0 && matches!(kind, Kind::FloatGauge) {
        return Err(DescriptorError::FloatShifted);
    }
    if unit.name.is_empty() {
        return Ok(());
    }
    if check_characters(unit.name).is_err() {
        return Err(DescriptorError::UnitName);
    }
    match strip_suffix(base, unit.name) {
        Some(rest) if rest.len() > 1 && rest.as_bytes()[rest.len() - 1] == b'_' => Ok(()),
        _ => Err(DescriptorError::UnitSuffix),
    }
}

const fn ends_in_reserved(name: &str) -> bool {
    let mut index = 0;
    while index < RESERVED.len() {
        if strip_suffix(name, RESERVED[index]).is_some() {
            return true;
        }
        index += 1;
    }
    false
}

/// `str::strip_suffix`, which is not yet const.
const fn strip_suffix<'a>(text: &'a str, suffix: &str) -> Option<&'a str> {
    let (text_bytes, suffix_bytes) = (text.as_bytes(), suffix.as_bytes());
    if text_bytes.len() < suffix_bytes.len() {
        return None;
    }
    let kept = text_bytes.len() - suffix_bytes.len();
    let mut index = 0;
    while index < suffix_bytes.len() {
        if text_bytes[kept + index] != suffix_bytes[index] {
            return None;
        }
        index += 1;
    }
    // Names were checked to be ASCII, so this never cuts a character.
    Some(text.split_at(kept).0)
}

#[cfg(test)]
mod tests {
    use super::{Descriptor, DescriptorError, Kind, Unit};

    fn check(kind: Kind, name: &'static str, unit: Unit) -> Result<(), DescriptorError> {
        Descriptor::new(kind, name, "Help.", unit).map(|_| ())
    }

    #[test]
    fn good_names_pass() {
        for (kind, name, unit) in [
            (Kind::Counter, "a_total", Unit::NONE),
            (Kind::Counter, "a_cpu_seconds_total", Unit::MICROSECONDS),
            (Kind::Gauge, "A9_bytes", Unit::BYTES),
            (Kind::Gauge, "a_build_info", Unit::NONE),
            (Kind::FloatGauge, "a_hit_ratio", Unit::RATIO),
            (Kind::Histogram, "a_batch_messages", Unit::new("messages", 0)),
            (Kind::Histogram, "a_wait", Unit::new("", 3)),
        ] {
            assert_eq!(check(kind, name, unit), Ok(()), "{name}");
        }
    }

    #[test]
    fn bad_names_are_refused_with_the_reason() {
        use DescriptorError as E;
        for (kind, name, unit, error) in [
            (Kind::Gauge, "", Unit::NONE, E::NameEmpty),
            (Kind::Gauge, "9a", Unit::NONE, E::FirstCharacter),
            (Kind::Gauge, "_a", Unit::NONE, E::FirstCharacter),
            (Kind::Gauge, "a-b", Unit::NONE, E::Character { at: 1 }),
            (Kind::Gauge, "a:b", Unit::NONE, E::Character { at: 1 }),
            (Kind::Gauge, "aé", Unit::NONE, E::Character { at: 1 }),
            (Kind::Gauge, "a b", Unit::NONE, E::Character { at: 1 }),
            (Kind::Counter, "a", Unit::NONE, E::CounterWithoutTotal),
            (Kind::Gauge, "a_total", Unit::NONE, E::TotalOnOther),
            (Kind::Counter, "a_total_total", Unit::NONE, E::ReservedSuffix),
            (Kind::Counter, "a_count_total", Unit::NONE, E::ReservedSuffix),
            (Kind::Gauge, "a_sum", Unit::NONE, E::ReservedSuffix),
            (Kind::Histogram, "a_bucket", Unit::NONE, E::ReservedSuffix),
            (Kind::Gauge, "a_created", Unit::NONE, E::ReservedSuffix),
            (Kind::Gauge, "a", Unit::BYTES, E::UnitSuffix),
            (Kind::Gauge, "bytes", Unit::BYTES, E::UnitSuffix),
            (Kind::Gauge, "abytes", Unit::BYTES, E::UnitSuffix),
            (Kind::Counter, "a_total", Unit::BYTES, E::UnitSuffix),
            (Kind::Gauge, "a_b c", Unit::NONE, E::Character { at: 3 }),
            (Kind::Gauge, "a_x", Unit::new("x-y", 0), E::UnitName),
            (Kind::Gauge, "a_x", Unit::new("x", 19), E::UnitDecimals { decimals: 19 }),
            (Kind::FloatGauge, "a_seconds", Unit::MICROSECONDS, E::FloatShifted),
        ] {
            assert_eq!(check(kind, name, unit), Err(error), "{name}");
        }
        assert_eq!(
            Descriptor::new(Kind::Gauge, "a", "", Unit::NONE),
            Err(DescriptorError::HelpEmpty)
        );
    }

    #[test]
    fn a_counter_is_known_by_its_name_without_total() {
        let sent = descriptor!(Kind::Counter, "a_sent_bytes_total", "Sent.", Unit::BYTES);
        assert_eq!((sent.name(), sent.base()), ("a_sent_bytes_total", "a_sent_bytes"));
        assert_eq!(sent.unit().scale(7.0), 7.0);
        assert_eq!(Unit::MICROSECONDS.scale(1_500.0), 0.0015);
    }
}

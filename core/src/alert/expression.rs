//! What a rule looks at.

use core::fmt;

use crate::stats::{Decimal, Descriptor, Kind, Labels};

/// The most labels a [`Selector`] can ask for.
pub const MATCHERS_MAX: usize = 4;

/// Chooses series: a metric's name, and labels with the values they must have.
///
/// The name is the one that Prometheus text shows: a counter's with `_total`, a histogram's without
/// `_bucket`, `_sum` or `_count`. Labels that aren't asked for may have any value; asking for an
/// empty value asks for series without that label. All series that match are **summed**.
///
/// The text is of any type that is `AsRef<str>`: `&'static str` where rules are written in code,
/// `String` where they are read from a file, so that the rules own what they need.
///
/// ```
/// use turbopump_core::alert::Selector;
///
/// let failed = Selector::new("app_sent_total").with("result", "error");
/// assert_eq!(failed.to_string(), "app_sent_total{result=\"error\"}");
/// let seconds = Selector::sum_of("app_send_duration_seconds");
/// assert_eq!(seconds.to_string(), "app_send_duration_seconds_sum");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector<T = &'static str> {
    pub(super) metric: T,
    pub(super) part: Part,
    pub(super) matchers: [Option<(T, T)>; MATCHERS_MAX],
    /// How many were asked for, which may be more than there is room for: then the rule is refused.
    pub(super) matchers_given: usize,
}

/// Which number of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The value itself, or the whole histogram.
    Whole,
    /// The sum of a histogram's values.
    Sum,
    /// The count of a histogram's values.
    Count,
}

impl<T> Selector<T> {
    /// All series of a counter, gauge or histogram.
    #[must_use]
    pub const fn new(metric: T) -> Self {
        Self {
            metric,
            part: Part::Whole,
            matchers: [const { None }; MATCHERS_MAX],
            matchers_given: 0,
        }
    }

    /// The sums of all series of a histogram.
    #[must_use]
    pub const fn sum_of(metric: T) -> Self {
        let mut selector = Self::new(metric);
        selector.part = Part::Sum;
        selector
    }

    /// The counts of all series of a histogram.
    #[must_use]
    pub const fn count_of(metric: T) -> Self {
        let mut selector = Self::new(metric);
        selector.part = Part::Count;
        selector
    }

    /// Only those series whose `label` has this `value`.
    ///
    /// More than [`MATCHERS_MAX`] of these are refused when the rule is built.
    #[must_use]
    pub fn with(mut self, label: T, value: T) -> Self {
        if let Some(matcher) = self.matchers.get_mut(self.matchers_given) {
            *matcher = Some((label, value));
        }
        self.matchers_given = self.matchers_given.saturating_add(1);
        self
    }
}

impl<T: AsRef<str>> Selector<T> {
    pub(super) fn matches(&self, labels: &Labels<'_>) -> bool {
        self.matchers
            .iter()
            .flatten()
            .all(|(label, value)| labels.get(label.as_ref()).unwrap_or_default() == value.as_ref())
    }
}

impl<T: AsRef<str>> fmt::Display for Selector<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.metric.as_ref())?;
        f.write_str(match self.part {
            Part::Whole => "",
            Part::Sum => "_sum",
            Part::Count => "_count",
        })?;
        let mut before = "{";
        for (label, value) in self.matchers.iter().flatten() {
            write!(f, "{before}{}={:?}", label.as_ref(), value.as_ref())?;
            before = ",";
        }
        f.write_str(if before == "," { "}" } else { "" })
    }
}

/// One number computed from the series of a [`Selector`].
///
/// Values are in the unit that is shown (seconds, bytes). Windows are in microseconds.
///
/// # Windows
///
/// The history of a window keeps a bounded number of points, so what it covers is a little longer
/// than asked for: by at most one part in [`Limits::history_points`](super::Limits) and the
/// interval between two evaluations. Rates are divided by the time really covered; increases are
/// never extrapolated. If evaluations come so rarely that twice the window is exceeded, there is no
/// value.
///
/// When the engine has not yet run for a whole window, what counts as known depends on the rule's
/// [`Operator`]: a condition that much happens (`>`, `>=`) may use less than a window, one that
/// little happens (`<`, `<=`, `==`) needs all of it, with the series there all the time. So
/// "nothing sent for 2 minutes" can't fire in the first 2 minutes of a process.
///
/// | term | with `>`, `>=` | with `<`, `<=`, `==` |
/// | --- | --- | --- |
/// | increase alone | from the second evaluation on | whole window |
/// | rate, quantile over a window | half the window | whole window |
/// | increase in a ratio with another over the same window | half the window | whole window |
/// | increase in any other ratio | whole window | whole window |
///
/// # Resets
///
/// Increases are counted series by series. A value below its last one started again from 0, so all
/// of it is new. A series that appears later than the engine's first evaluation counts from 0, too,
/// because series appear with their first event; one that is gone stops counting, and goes on from
/// its last value when it comes back.
#[derive(Clone, Debug, PartialEq)]
pub struct Term<T = &'static str> {
    pub(super) selector: Selector<T>,
    pub(super) reading: Reading,
    /// 0 where there is no window.
    pub(super) window_us: u64,
}

/// How a term's number comes about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Reading {
    Value,
    Increase,
    Rate,
    Quantile(f64),
    Absence,
}

impl<T> Term<T> {
    /// The value of a counter or gauge, or the sum or count of a histogram, as it is now.
    #[must_use]
    pub const fn value(selector: Selector<T>) -> Self {
        Self { selector, reading: Reading::Value, window_us: 0 }
    }

    /// By how much a counter, or the sum or count of a histogram, grew within `window_us`.
    #[must_use]
    pub const fn increase(selector: Selector<T>, window_us: u64) -> Self {
        Self { selector, reading: Reading::Increase, window_us }
    }

    /// How fast a counter, or the sum or count of a histogram, grew within `window_us`: per second.
    #[must_use]
    pub const fn rate(selector: Selector<T>, window_us: u64) -> Self {
        Self { selector, reading: Reading::Rate, window_us }
    }

    /// The quantile `q` (0 to 1) of all values a histogram has had.
    ///
    /// Resolution: the histogram's buckets, or where the engine has room for fewer, groups of them.
    /// Series whose bounds differ from those first seen are counted by their upper bounds.
    #[must_use]
    pub const fn quantile(selector: Selector<T>, q: f64) -> Self {
        Self { selector, reading: Reading::Quantile(q), window_us: 0 }
    }

    /// The quantile `q` (0 to 1) of the values of the last `window_us`.
    ///
    /// Resolution as with [`Term::quantile`]. When some of the series are reset, disappear or come
    /// back, the values between those two evaluations are left out.
    #[must_use]
    pub const fn quantile_over(selector: Selector<T>, q: f64, window_us: u64) -> Self {
        Self { selector, reading: Reading::Quantile(q), window_us }
    }

    pub(super) const fn is_windowed(&self) -> bool {
        matches!(self.reading, Reading::Increase | Reading::Rate)
            || (matches!(self.reading, Reading::Quantile(_)) && self.window_us > 0)
    }
}

impl<T: AsRef<str>> Term<T> {
    /// Whether the samples of `family` are of a kind this term can use, and of its name.
    pub(super) fn reads(&self, family: &Descriptor) -> bool {
        let histogram = family.kind() == Kind::Histogram;
        let fits = match (self.reading, self.selector.part) {
            (Reading::Absence, _) => true,
            (Reading::Quantile(_), _) | (_, Part::Sum | Part::Count) => histogram,
            (Reading::Increase | Reading::Rate, Part::Whole) => family.kind() == Kind::Counter,
            (Reading::Value, Part::Whole) => !histogram,
        };
        fits && family.name() == self.selector.metric.as_ref()
    }
}

impl<T: AsRef<str>> fmt::Display for Term<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { selector, .. } = self;
        let window = Decimal::scaled(self.window_us, 6);
        match self.reading {
            Reading::Value => write!(f, "{selector}"),
            Reading::Increase => write!(f, "increase({selector}[{window}s])"),
            Reading::Rate => write!(f, "rate({selector}[{window}s])"),
            Reading::Quantile(q) if self.window_us == 0 => write!(f, "quantile({q}, {selector})"),
            Reading::Quantile(q) => write!(f, "quantile({q}, {selector}[{window}s])"),
            Reading::Absence => write!(f, "absent({selector})"),
        }
    }
}

/// What a rule compares with its threshold: a term, the ratio of two, or the absence of a metric.
///
/// ```
/// use turbopump_core::alert::{Expression, Selector, Term};
///
/// const MINUTE_US: u64 = 60_000_000;
/// let failed = Selector::new("app_sent_total").with("result", "error");
/// let errors = Expression::ratio(
///     Term::increase(failed, MINUTE_US),
///     Term::increase(Selector::new("app_sent_total"), MINUTE_US),
/// );
/// assert_eq!(
///     errors.to_string(),
///     "increase(app_sent_total{result=\"error\"}[60s]) / increase(app_sent_total[60s])"
/// );
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Expression<T = &'static str> {
    pub(super) left: Term<T>,
    pub(super) right: Option<Term<T>>,
}

impl<T> Expression<T> {
    /// One term.
    #[must_use]
    pub const fn term(term: Term<T>) -> Self {
        Self { left: term, right: None }
    }

    /// One term divided by another; no value while the divisor is 0.
    #[must_use]
    pub const fn ratio(dividend: Term<T>, divisor: Term<T>) -> Self {
        Self { left: dividend, right: Some(divisor) }
    }

    /// 1 while no series matches, else 0.
    #[must_use]
    pub const fn absent(selector: Selector<T>) -> Self {
        Self::term(Term { selector, reading: Reading::Absence, window_us: 0 })
    }

    pub(super) fn terms(&self) -> impl Iterator<Item = &Term<T>> {
        core::iter::once(&self.left).chain(&self.right)
    }
}

impl<T> From<Term<T>> for Expression<T> {
    fn from(term: Term<T>) -> Self {
        Self::term(term)
    }
}

impl<T: AsRef<str>> fmt::Display for Expression<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.left)?;
        self.right.as_ref().map_or(Ok(()), |right| write!(f, " / {right}"))
    }
}

/// How the expression's value is compared with the threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operator {
    /// `>`
    Above,
    /// `<`
    Below,
    /// `>=`
    AtLeast,
    /// `<=`
    AtMost,
    /// `==`, exactly: meant for counts, such as an increase of 0.
    Equal,
}

impl Operator {
    /// The operator as text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Above => ">",
            Self::Below => "<",
            Self::AtLeast => ">=",
            Self::AtMost => "<=",
            Self::Equal => "==",
        }
    }

    /// The operator that `text` stands for, `None` where it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Above, Self::Below, Self::AtLeast, Self::AtMost, Self::Equal]
            .into_iter()
            .find(|operator| operator.as_str() == text)
    }

    /// Whether the condition holds; never where a side is NaN.
    pub(super) fn holds(self, value: f64, threshold: f64) -> bool {
        match self {
            Self::Above => value > threshold,
            Self::Below => value < threshold,
            Self::AtLeast => value >= threshold,
            Self::AtMost => value <= threshold,
            Self::Equal => value == threshold,
        }
    }

    /// Whether the condition is that much happens, so that a part of the window may suffice.
    pub(super) const fn is_upward(self) -> bool {
        matches!(self, Self::Above | Self::AtLeast)
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

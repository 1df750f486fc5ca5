//! Rules: a condition, how long it must hold, and what to call it.

use core::fmt;

use super::expression::{Expression, MATCHERS_MAX, Operator, Part, Reading, Selector, Term};
use crate::stats::{Decimal, label_name_is_valid, metric_name_is_valid};

/// How bad it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Somebody should look at it.
    #[default]
    Warning,
    /// Somebody should look at it now.
    Critical,
}

impl Severity {
    /// The severity as text: `info`, `warning`, `critical`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// The severity that `text` stands for, `None` where it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Info, Self::Warning, Self::Critical]
            .into_iter()
            .find(|severity| severity.as_str() == text)
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A condition on what is visited, and how long it must hold before somebody is told.
///
/// A rule that exists is valid: [`RuleBuilder::build`] refuses all others.
///
/// ```
/// use turbopump_core::alert::{Operator, Rule, RuleError, Selector, Severity, Term};
///
/// let silent = Term::increase(Selector::new("app_sent_total"), 120_000_000);
/// let rule = Rule::when("nothing_sent", silent, Operator::Equal, 0.0)
///     .severity(Severity::Critical)
///     .description("Nothing was sent for 2 minutes.")
///     .build()?;
/// assert_eq!(rule.to_string(), "increase(app_sent_total[120s]) == 0");
/// # Ok::<(), RuleError<&'static str>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Rule<T = &'static str> {
    name: T,
    expression: Expression<T>,
    operator: Operator,
    threshold: f64,
    for_us: u64,
    keep_firing_us: u64,
    severity: Severity,
    description: Option<T>,
}

impl<T> Rule<T> {
    /// Starts a rule that is met while `expression` compares so with `threshold`.
    pub fn when(
        name: T,
        expression: impl Into<Expression<T>>,
        operator: Operator,
        threshold: f64,
    ) -> RuleBuilder<T> {
        RuleBuilder(Self {
            name,
            expression: expression.into(),
            operator,
            threshold,
            for_us: 0,
            keep_firing_us: 0,
            severity: Severity::default(),
            description: None,
        })
    }

    /// What the rule looks at.
    #[must_use]
    pub const fn expression(&self) -> &Expression<T> {
        &self.expression
    }

    /// How the value is compared.
    #[must_use]
    pub const fn operator(&self) -> Operator {
        self.operator
    }

    /// What the value is compared with.
    #[must_use]
    pub const fn threshold(&self) -> f64 {
        self.threshold
    }

    /// How long the condition must hold before the rule fires, in microseconds.
    #[must_use]
    pub const fn for_us(&self) -> u64 {
        self.for_us
    }

    /// How long the condition must be gone before the rule is resolved, in microseconds.
    #[must_use]
    pub const fn keep_firing_us(&self) -> u64 {
        self.keep_firing_us
    }

    /// How bad it is.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        self.severity
    }
}

impl<T: AsRef<str>> Rule<T> {
    /// The rule's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_ref()
    }

    /// What it means and perhaps what to do; empty where nothing was said.
    #[must_use]
    pub fn description(&self) -> &str {
        self.description.as_ref().map_or("", AsRef::as_ref)
    }
}

/// The condition as text, in the manner of Prometheus.
impl<T: AsRef<str>> fmt::Display for Rule<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.expression, self.operator, self.threshold)?;
        if self.for_us == 0 {
            return Ok(());
        }
        write!(f, " for {}s", Decimal::scaled(self.for_us, 6))
    }
}

/// A rule that has not been checked yet.
#[derive(Clone, Debug)]
#[must_use = "a rule exists once it is built"]
pub struct RuleBuilder<T = &'static str>(Rule<T>);

impl<T> RuleBuilder<T> {
    /// How long the condition must hold before the rule fires; 0 (the default) is at once.
    pub const fn for_us(mut self, for_us: u64) -> Self {
        self.0.for_us = for_us;
        self
    }

    /// How long the condition must be gone before a firing rule is resolved; 0 (the default) is at
    /// once. Keeps an alert together that would come and go with every gap in the data.
    pub const fn keep_firing_us(mut self, keep_firing_us: u64) -> Self {
        self.0.keep_firing_us = keep_firing_us;
        self
    }

    /// How bad it is; a warning by default.
    pub const fn severity(mut self, severity: Severity) -> Self {
        self.0.severity = severity;
        self
    }

    /// What it means and perhaps what to do.
    pub fn description(mut self, description: T) -> Self {
        self.0.description = Some(description);
        self
    }

    /// Another threshold than the one it was started with.
    pub const fn threshold(mut self, threshold: f64) -> Self {
        self.0.threshold = threshold;
        self
    }
}

impl<T: AsRef<str>> RuleBuilder<T> {
    /// Checks the rule.
    ///
    /// # Errors
    ///
    /// [`RuleError`] names the rule, the field and the reason:
    ///
    /// - the name is empty;
    /// - a metric's or label's name isn't one that a source could have;
    /// - a selector asks for more than [`MATCHERS_MAX`] labels;
    /// - the threshold is NaN or infinite;
    /// - an increase or rate has a window of 0;
    /// - a quantile isn't within 0 and 1, or is asked of the sum or count of a histogram.
    pub fn build(self) -> Result<Rule<T>, RuleError<T>> {
        match self.0.check() {
            Ok(()) => Ok(self.0),
            Err((field, reason)) => Err(RuleError { rule: self.0.name, field, reason }),
        }
    }
}

impl<T: AsRef<str>> Rule<T> {
    fn check(&self) -> Result<(), (Field, Reason)> {
        if self.name().is_empty() {
            return Err((Field::Name, Reason::Empty));
        }
        if !self.threshold.is_finite() {
            return Err((Field::Threshold, Reason::NotFinite));
        }
        self.expression.terms().try_for_each(check_term)
    }
}

fn check_term<T: AsRef<str>>(term: &Term<T>) -> Result<(), (Field, Reason)> {
    check_selector(&term.selector)?;
    match term.reading {
        Reading::Increase | Reading::Rate if term.window_us == 0 => {
            Err((Field::Window, Reason::Zero))
        }
        Reading::Quantile(q) if !(0.0..=1.0).contains(&q) => {
            Err((Field::Quantile, Reason::OutOfRange))
        }
        Reading::Quantile(_) if term.selector.part != Part::Whole => {
            Err((Field::Quantile, Reason::NotOfHistogram))
        }
        _ => Ok(()),
    }
}

fn check_selector<T: AsRef<str>>(selector: &Selector<T>) -> Result<(), (Field, Reason)> {
    let metric = selector.metric.as_ref();
    if metric.is_empty() {
        return Err((Field::Metric, Reason::Empty));
    }
    if !metric_name_is_valid(metric) {
        return Err((Field::Metric, Reason::BadName));
    }
    if selector.matchers_given > MATCHERS_MAX {
        return Err((Field::Labels, Reason::TooMany { given: selector.matchers_given }));
    }
    for (label, _) in selector.matchers.iter().flatten() {
        if !label_name_is_valid(label.as_ref()) {
            return Err((Field::Labels, Reason::BadName));
        }
    }
    Ok(())
}

/// Which part of a rule was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Field {
    /// The rule's name.
    Name,
    /// The name of a metric.
    Metric,
    /// The labels of a selector.
    Labels,
    /// The window of an increase or rate.
    Window,
    /// The fraction of a quantile.
    Quantile,
    /// The threshold.
    Threshold,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "name",
            Self::Metric => "metric",
            Self::Labels => "labels",
            Self::Window => "window",
            Self::Quantile => "quantile",
            Self::Threshold => "threshold",
        })
    }
}

/// Why a part of a rule was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// It is empty.
    Empty,
    /// It isn't a name: letters, digits and underscores, a letter first, none that a text format
    /// uses itself.
    BadName,
    /// It is NaN or infinite.
    NotFinite,
    /// It is 0.
    Zero,
    /// It isn't within 0 and 1.
    OutOfRange,
    /// Only a whole histogram has quantiles, not its sum or count.
    NotOfHistogram,
    /// There are more than [`MATCHERS_MAX`].
    TooMany {
        /// How many there are.
        given: usize,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("is empty"),
            Self::BadName => f.write_str(
                "must be letters, digits and underscores, a letter first, and not reserved",
            ),
            Self::NotFinite => f.write_str("must be a finite number"),
            Self::Zero => f.write_str("must be above 0"),
            Self::OutOfRange => f.write_str("must be within 0 and 1"),
            Self::NotOfHistogram => f.write_str("needs a whole histogram, not its sum or count"),
            Self::TooMany { given } => write!(f, "are {given}, at most {MATCHERS_MAX} are allowed"),
        }
    }
}

/// A rule was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleError<T = &'static str> {
    /// The rule's name, given back.
    pub rule: T,
    /// Which part of it.
    pub field: Field,
    /// Why.
    pub reason: Reason,
}

impl<T: AsRef<str>> fmt::Display for RuleError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "alert rule `{}`: {} {}", self.rule.as_ref(), self.field, self.reason)
    }
}

impl<T: AsRef<str> + fmt::Debug> core::error::Error for RuleError<T> {}

#[cfg(test)]
mod tests {
    extern crate alloc;

    use super::{Field, Reason, Rule, RuleError, Severity};
    use crate::alert::{Expression, Operator, Selector, Term};
    use alloc::string::{String, ToString};

    fn refused(expression: impl Into<Expression>) -> (Field, Reason) {
        let error = Rule::when("r", expression, Operator::Above, 1.0).build().unwrap_err();
        assert_eq!(error.rule, "r");
        (error.field, error.reason)
    }

    #[test]
    fn invalid_rules_are_refused_with_rule_field_and_reason() {
        let good = || Selector::new("a_total");
        for (expression, field, reason) in [
            (Term::value(Selector::new("")), Field::Metric, Reason::Empty),
            (Term::value(Selector::new("a-b")), Field::Metric, Reason::BadName),
            (Term::value(Selector::new("1a")), Field::Metric, Reason::BadName),
            (Term::value(good().with("a b", "x")), Field::Labels, Reason::BadName),
            (Term::value(good().with("", "x")), Field::Labels, Reason::BadName),
            (Term::value(good().with("le", "x")), Field::Labels, Reason::BadName),
            (Term::increase(good(), 0), Field::Window, Reason::Zero),
            (Term::rate(good(), 0), Field::Window, Reason::Zero),
            (Term::quantile(good(), -0.1), Field::Quantile, Reason::OutOfRange),
            (Term::quantile(good(), 1.1), Field::Quantile, Reason::OutOfRange),
            (Term::quantile_over(good(), f64::NAN, 1), Field::Quantile, Reason::OutOfRange),
            (Term::quantile(Selector::sum_of("a"), 0.5), Field::Quantile, Reason::NotOfHistogram),
        ] {
            // Wherever the term stands.
            assert_eq!(refused(expression.clone()), (field, reason), "{expression}");
            let ratio = Expression::ratio(Term::value(good()), expression);
            assert_eq!(refused(ratio), (field, reason));
        }
        assert_eq!(refused(Expression::absent(Selector::new("?"))).0, Field::Metric);
    }

    #[test]
    fn more_labels_than_there_is_room_for_are_refused_not_dropped() {
        let many = ["a", "b", "c", "d", "e", "f"];
        let selector = many.into_iter().fold(Selector::new("m"), |s, name| s.with(name, "x"));
        assert_eq!(refused(Term::value(selector)), (Field::Labels, Reason::TooMany { given: 6 }));
    }

    #[test]
    fn names_and_thresholds_are_checked() {
        let build = |name, threshold| {
            let value = Term::value(Selector::new("m"));
            Rule::when(name, value, Operator::Above, threshold).build().map(|_| ())
        };
        let error = |rule, field, reason| Err(RuleError { rule, field, reason });
        assert_eq!(build("", 1.0), error("", Field::Name, Reason::Empty));
        for threshold in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(build("r", threshold), error("r", Field::Threshold, Reason::NotFinite));
        }
        let text = build("r", f64::NAN).unwrap_err().to_string();
        assert_eq!(text, "alert rule `r`: threshold must be a finite number");
    }

    #[test]
    fn a_rule_may_own_its_text() {
        let name = String::from("busy");
        let metric = ["app", "_busy"].concat();
        let rule = Rule::when(name, Term::value(Selector::new(metric)), Operator::AtLeast, 3.0)
            .for_us(1_500_000)
            .severity(Severity::Info)
            .description(String::from("Busy."))
            .build()
            .unwrap();
        assert_eq!(rule.to_string(), "app_busy >= 3 for 1.5s");
        assert_eq!((rule.name(), rule.description()), ("busy", "Busy."));
        assert_eq!(Operator::parse(">="), Some(Operator::AtLeast));
        assert_eq!(Severity::parse("info"), Some(Severity::Info));
        assert_eq!((Operator::parse("="), Severity::parse("")), (None, None));
    }
}

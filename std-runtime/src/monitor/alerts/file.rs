//! Rules from TOML.
//!
//! ```toml
//! [[rule]]
//! name = "slow_batches"
//! metric = "turbopump_batch_process_duration_seconds"
//! labels = { batch = "orders" }  # optional
//! read = "quantile"              # or "value" (as it is), "increase", "rate", "absent"
//! quantile = 0.99                # for "quantile" only
//! window_seconds = 60            # not for "value"; for "quantile" optional
//! operator = ">"                 # or "<", ">=", "<=", "=="
//! threshold = 0.5
//! for_seconds = 30               # optional, 0
//! keep_firing_seconds = 0        # optional, 0
//! severity = "critical"          # or "warning" (as it is), "info"
//! description = "..."            # optional
//!
//! [rule.divided_by]              # optional: another metric, read in a way of its own
//! metric = "turbopump_batch_items_total"
//! ```

use core::fmt;
use core::ops::Range;

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::Deserialize;
use toml::Spanned;
use turbopump_core::alert::{Expression, Operator, Rule, Selector, Severity, Term};

use super::Text;

/// Reads rules from TOML; the format is at the head of this module's source and in the manual.
///
/// ```
/// use turbopump_std::monitor::alerts::rules_from_toml;
///
/// let rules = rules_from_toml(
///     r#"
///     [[rule]]
///     name = "errors"
///     metric = "app_failed_total"
///     read = "rate"
///     window_seconds = 60
///     operator = ">"
///     threshold = 5
///     "#,
/// )?;
/// assert_eq!(rules[0].to_string(), "rate(app_failed_total[60s]) > 5");
/// let error = rules_from_toml("[[rule]]\nname = \"x\"\nmetrik = 1").unwrap_err();
/// assert!(error.to_string().starts_with("line 3: "));
/// # Ok::<(), turbopump_std::monitor::alerts::RulesError>(())
/// ```
///
/// # Errors
///
/// [`RulesError`], with the line: no TOML, unknown or missing keys, rules that can't be meant, two
/// of one name.
pub fn rules_from_toml(text: &str) -> Result<Vec<Rule<Text>>, RulesError> {
    let error_at = |span: Option<Range<usize>>, reason: String| RulesError {
        line: line_of(text, span.map_or(0, |span| span.start)),
        reason,
    };
    let file: File =
        toml::from_str(text).map_err(|error| error_at(error.span(), error.message().into()))?;
    let mut rules: Vec<Rule<Text>> = Vec::new();
    for spanned in file.rule {
        let span = spanned.span();
        let rule =
            spanned.into_inner().build().map_err(|reason| error_at(Some(span.clone()), reason))?;
        if rules.iter().any(|other| other.name() == rule.name()) {
            let reason = alloc::format!("another rule is called {:?} already", rule.name());
            return Err(error_at(Some(span), reason));
        }
        rules.push(rule);
    }
    Ok(rules)
}

fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or_default();
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    rule: Vec<Spanned<FileRule>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileRule {
    name: String,
    metric: String,
    part: Option<Part>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    read: Read,
    quantile: Option<f64>,
    window_seconds: Option<f64>,
    divided_by: Option<Divisor>,
    operator: String,
    threshold: f64,
    #[serde(default)]
    for_seconds: f64,
    #[serde(default)]
    keep_firing_seconds: f64,
    severity: Option<String>,
    #[serde(default)]
    description: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Divisor {
    metric: String,
    part: Option<Part>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    read: Read,
    quantile: Option<f64>,
    window_seconds: Option<f64>,
}

/// Of a histogram.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Part {
    Sum,
    Count,
}

#[derive(Clone, Copy, Default, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Read {
    #[default]
    Value,
    Increase,
    Rate,
    Quantile,
    Absent,
}

/// One metric and how it is read.
struct Reading {
    selector: Selector<Text>,
    read: Read,
    quantile: Option<f64>,
    window_seconds: Option<f64>,
}

impl FileRule {
    fn build(self) -> Result<Rule<Text>, String> {
        let operator = Operator::parse(&self.operator)
            .ok_or("operator must be one of \">\", \"<\", \">=\", \"<=\", \"==\"")?;
        let severity = match &self.severity {
            None => Severity::Warning,
            Some(text) => Severity::parse(text)
                .ok_or("severity must be \"info\", \"warning\" or \"critical\"")?,
        };
        let left = Reading {
            selector: selector(self.metric, self.part, self.labels),
            read: self.read,
            quantile: self.quantile,
            window_seconds: self.window_seconds,
        };
        let expression = match self.divided_by {
            None if left.read == Read::Absent => Expression::absent(left.selector),
            None => Expression::term(left.term()?),
            Some(right) => {
                let right = Reading {
                    selector: selector(right.metric, right.part, right.labels),
                    read: right.read,
                    quantile: right.quantile,
                    window_seconds: right.window_seconds,
                };
                Expression::ratio(left.term()?, right.term()?)
            }
        };
        Rule::when(Text::from(self.name), expression, operator, self.threshold)
            .for_us(us("for_seconds", self.for_seconds)?)
            .keep_firing_us(us("keep_firing_seconds", self.keep_firing_seconds)?)
            .severity(severity)
            .description(Text::from(self.description))
            .build()
            .map_err(|error| error.to_string())
    }
}

fn selector(
    metric: String,
    part: Option<Part>,
    labels: BTreeMap<String, String>,
) -> Selector<Text> {
    let metric = Text::from(metric);
    let selector = match part {
        None => Selector::new(metric),
        Some(Part::Sum) => Selector::sum_of(metric),
        Some(Part::Count) => Selector::count_of(metric),
    };
    labels
        .into_iter()
        .fold(selector, |selector, (label, value)| selector.with(label.into(), value.into()))
}

impl Reading {
    fn term(self) -> Result<Term<Text>, String> {
        let needs_window = || -> Result<u64, String> {
            let seconds = self.window_seconds.ok_or("window_seconds is missing")?;
            us("window_seconds", seconds)
        };
        let needs_quantile = || self.quantile.ok_or("quantile is missing");
        if self.read != Read::Quantile && self.quantile.is_some() {
            return Err("quantile is for read = \"quantile\" only".into());
        }
        if self.read == Read::Value && self.window_seconds.is_some() {
            return Err("window_seconds needs read = \"increase\", \"rate\" or \"quantile\"".into());
        }
        Ok(match self.read {
            Read::Value => Term::value(self.selector),
            Read::Increase => {
                let window_us = needs_window()?;
                Term::increase(self.selector, window_us)
            }
            Read::Rate => {
                let window_us = needs_window()?;
                Term::rate(self.selector, window_us)
            }
            Read::Quantile => {
                let q = needs_quantile()?;
                match self.window_seconds {
                    None => Term::quantile(self.selector, q),
                    Some(seconds) => {
                        Term::quantile_over(self.selector, q, us("window_seconds", seconds)?)
                    }
                }
            }
            Read::Absent => return Err("absent can't be part of a ratio".into()),
        })
    }
}

/// Whole microseconds of a time of at most a year.
fn us(field: &str, seconds: f64) -> Result<u64, String> {
    if (0.0..=SECONDS_MAX).contains(&seconds) {
        return Ok((seconds * 1e6) as u64);
    }
    Err(alloc::format!("{field} must lie between 0 and {SECONDS_MAX}"))
}

const SECONDS_MAX: f64 = 366.0 * 86_400.0;

/// Why a file of rules was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulesError {
    line: usize,
    reason: String,
}

impl RulesError {
    /// Where, counted from 1.
    #[must_use]
    pub const fn line(&self) -> usize {
        self.line
    }
}

impl fmt::Display for RulesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

impl core::error::Error for RulesError {}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::rules_from_toml;

    const GOOD: &str = "[[rule]]\nname = \"a\"\nmetric = \"m\"\noperator = \">\"\nthreshold = 1\n";

    #[test]
    fn rules_are_read() {
        let text = "[[rule]]\nname = \"ratio\"\nmetric = \"failed_total\"\nread = \"increase\"\n\
            window_seconds = 60\noperator = \">=\"\nthreshold = 0.05\nfor_seconds = 90\n\
            severity = \"critical\"\nlabels = { result = \"error\" }\n\
            [rule.divided_by]\nmetric = \"all_total\"\nread = \"increase\"\nwindow_seconds = 60\n";
        let rules = rules_from_toml(text).unwrap();
        assert_eq!(
            rules[0].to_string(),
            "increase(failed_total{result=\"error\"}[60s]) / increase(all_total[60s]) >= 0.05 \
             for 90s"
        );
        assert_eq!(rules_from_toml(GOOD).unwrap()[0].to_string(), "m > 1");
        assert!(rules_from_toml("").unwrap().is_empty());
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (text, expected) in [
            ("[[rule]]\nname = 7", "line 2: "),
            ("[[rule]\n", "line 1: "),
            ("\n\n[[rule]]\nname = \"x\"\n", "line 3: missing field"),
            ("[[rule]]\nname = \"x\"\nmetrics = \"m\"\n", "line 3: unknown field `metrics`"),
        ] {
            let error = rules_from_toml(text).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
        for (change, expected) in [
            (("\">\"", "\"=>\""), "line 1: operator must be"),
            (("\"m\"", "\"m m\""), "line 1: alert rule `a`: metric must be letters"),
            (("threshold = 1", "threshold = nan"), "line 1: alert rule `a`: threshold must be"),
            (("\"m\"", "\"m\"\nread = \"rate\""), "line 1: window_seconds is missing"),
            (("\"m\"", "\"m\"\nfor_seconds = -1"), "line 1: for_seconds must lie between"),
            (("\"m\"", "\"m\"\nseverity = \"bad\""), "line 1: severity must be"),
        ] {
            let text = GOOD.replace(change.0, change.1);
            let error = rules_from_toml(&text).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
        let twice = [GOOD, GOOD].concat();
        let error = rules_from_toml(&twice).unwrap_err();
        assert_eq!((error.line(), error.to_string().contains("already")), (6, true), "{error}");
    }
}

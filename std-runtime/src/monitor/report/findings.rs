//! What stands out in a run.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::checks::{CHECKS, Check, Measure, Pick};
use super::run::{Point, Run, Series};

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Weight {
    /// Something failed.
    Fails,
    /// Throughput is limited by this.
    Limits,
    /// Something is slow.
    Slow,
}

impl Weight {
    /// `fails`, `limits`, `slow`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fails => "fails",
            Self::Limits => "limits",
            Self::Slow => "slow",
        }
    }
}

/// Something that stands out.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Finding {
    /// What it is about.
    pub weight: Weight,
    /// What was found, with its number.
    pub says: String,
    /// What to do.
    pub advice: &'static str,
}

/// What stands out in a run: failures first, then what limits throughput, then what is slow; the
/// largest first among equals.
#[must_use]
pub fn findings(run: &Run) -> Vec<Finding> {
    let mut findings = Vec::new();
    for check in &CHECKS {
        let mut measured = measure(run, &check.measure);
        measured.retain(|(_, value)| value.is_finite() && *value > check.threshold);
        measured.sort_by(|left, right| right.1.total_cmp(&left.1));
        findings.extend(measured.iter().map(|(subject, value)| found(check, subject, *value)));
    }
    findings.sort_by_key(|finding| finding.weight);
    findings
}

type Subject = BTreeMap<String, String>;

fn found(check: &Check, subject: &Subject, value: f64) -> Finding {
    let labels: Vec<_> = subject.iter().map(|(name, value)| format!("{name} {value}")).collect();
    let subject =
        if labels.is_empty() { String::new() } else { format!(" ({})", labels.join(", ")) };
    let says = check
        .says
        .replace("{value}", &number(value))
        .replace("{percent}", &format!("{:.1} %", value * 100.0))
        // Last, because a label may hold braces.
        .replace("{subject}", &subject);
    Finding { weight: check.weight, says, advice: check.advice }
}

/// A number for people: whole, or with three digits.
pub(super) fn number(value: f64) -> String {
    let size = value.abs();
    if value == value.trunc() && size < 1e15 {
        format!("{value}")
    } else if size >= 100.0 {
        format!("{value:.0}")
    } else if size >= 1.0 {
        format!("{value:.2}")
    } else if size >= 0.001 {
        format!("{value:.4}")
    } else {
        format!("{value:.3e}")
    }
}

/// The labels that a pick doesn't ask for, where the series has those it does.
fn subject_of(pick: &Pick, series: &Series) -> Option<Subject> {
    let asked = |name: &str| pick.labels.iter().find(|label| label.0 == name);
    let has_all = pick
        .labels
        .iter()
        .all(|(name, value)| series.labels.get(*name).is_some_and(|own| own == value));
    let others = series.labels.iter().filter(|(name, _)| asked(name).is_none());
    has_all.then(|| others.map(|(name, value)| (name.clone(), value.clone())).collect())
}

/// What `read` makes of the series of a pick, by subject.
fn by_subject(
    point: &Point,
    pick: &Pick,
    read: impl Fn(&Series) -> Option<f64>,
) -> BTreeMap<Subject, f64> {
    let mut found = BTreeMap::new();
    for series in point.series(pick.metric) {
        if let (Some(subject), Some(value)) = (subject_of(pick, series), read(series)) {
            *found.entry(subject).or_insert(0.0) += value;
        }
    }
    found
}

/// By how much counters grew in all, restarts included: a value below the one before it counts
/// from 0, and so does a series that appears after the first snapshot.
fn increases(
    run: &Run,
    pick: &Pick,
    read: impl Fn(&Series) -> Option<f64>,
) -> BTreeMap<Subject, f64> {
    let mut last = by_subject(run.first(), pick, &read);
    let mut total: BTreeMap<_, _> = last.keys().map(|subject| (subject.clone(), 0.0)).collect();
    for point in run.points().iter().skip(1) {
        for (subject, value) in by_subject(point, pick, &read) {
            let before = last.insert(subject.clone(), value).unwrap_or(0.0);
            let step = if value < before { value } else { value - before };
            *total.entry(subject).or_insert(0.0) += step;
        }
    }
    total
}

fn measure(run: &Run, measure: &Measure) -> Vec<(Subject, f64)> {
    let value = |series: &Series| series.value;
    let combined = |left: &Pick, right: &Pick, combine: fn(f64, f64) -> f64| {
        let right = increases(run, right, value);
        let left = increases(run, left, value).into_iter();
        let pairs = left.filter_map(|(subject, left)| {
            let right = *right.get(&subject)?;
            Some((subject, combine(left, right)))
        });
        pairs.collect()
    };
    match measure {
        Measure::Increase(pick) => increases(run, pick, value).into_iter().collect(),
        Measure::Share(left, right) => combined(left, right, |left, right| left / (left + right)),
        Measure::Ratio(left, right) => combined(left, right, |left, right| left / right),
        Measure::Peak(left, right) => peaks(run, left, right),
        Measure::Average(pick) => averages(run, pick),
        Measure::Slowest(pick) => {
            let averages = averages(run, pick);
            let mut sorted: Vec<f64> = averages.iter().map(|(_, average)| *average).collect();
            sorted.sort_by(f64::total_cmp);
            // The lower of two in the middle: of two peers the slower is compared with the other.
            let middle = sorted.len().saturating_sub(1) / 2;
            let Some(median) = sorted.get(middle).filter(|_| sorted.len() > 1) else {
                return Vec::new();
            };
            averages.into_iter().map(|(subject, average)| (subject, average / median)).collect()
        }
    }
}

fn peaks(run: &Run, left: &Pick, right: &Pick) -> Vec<(Subject, f64)> {
    let mut peaks: BTreeMap<Subject, f64> = BTreeMap::new();
    for point in run.points() {
        for (subject, value) in by_subject(point, left, |series| series.value) {
            let peak = peaks.entry(subject).or_insert(value);
            *peak = peak.max(value);
        }
    }
    let limits = by_subject(run.last(), right, |series| series.value);
    let ratio = |(subject, peak): (Subject, f64)| {
        let limit = *limits.get(&subject)?;
        Some((subject, peak / limit))
    };
    peaks.into_iter().filter_map(ratio).collect()
}

fn averages(run: &Run, pick: &Pick) -> Vec<(Subject, f64)> {
    let counts = increases(run, pick, |series| series.count);
    let sums = increases(run, pick, |series| series.sum).into_iter();
    let averages = sums.filter_map(|(subject, sum)| {
        let count = *counts.get(&subject)?;
        (count > 0.0).then_some((subject, sum / count))
    });
    averages.collect()
}

/// For tables: by how much a counter grew in all, all series together, `None` where nobody has it.
pub(super) fn total(run: &Run, metric: &'static str) -> Option<f64> {
    let found =
        increases(run, &Pick { metric, labels: &[] }, |series| series.value.or(series.count));
    (!found.is_empty()).then(|| found.values().sum())
}

/// The labels as a short text.
pub(super) fn label_text(labels: &Subject) -> String {
    let texts: Vec<_> = labels.values().map(ToString::to_string).collect();
    texts.join(" ")
}

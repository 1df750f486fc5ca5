//! Numbers under random values: quantiles against exact order statistics, merging and windows
//! against counting again, text against a reader; and every trait implemented from outside.

use proptest::prelude::*;
use turbopump_core::descriptor;
use turbopump_core::stats::{
    Bounds, Bucket, Counter, Decimal, Descriptor, Distribution, Gauge, Histogram, Kind, Labels,
    LatencyHistogram, LogHistogram, Samples, Series, Source, Unit, VisitError, Visitor,
    log_buckets, text, visit_all,
};

static BOUNDS: Bounds<6> = match Bounds::new([0, 10, 11, 1_000, 50_000, 1 << 40]) {
    Ok(bounds) => bounds,
    Err(_) => panic!("ascending"),
};

type Listed = Histogram<'static, 6>;
type Coarse = LogHistogram<0, { log_buckets(0, 1 << 30) }>;
type Fine = LogHistogram<5, { log_buckets(5, u64::MAX) }>;

fn listed(values: &[u64]) -> Listed {
    let mut histogram = Histogram::new(&BOUNDS);
    values.iter().for_each(|&value| histogram.observe(value));
    histogram
}

fn log<const BITS: u32, const BUCKETS: usize>(values: &[u64]) -> LogHistogram<BITS, BUCKETS> {
    let mut histogram = LogHistogram::new();
    values.iter().for_each(|&value| histogram.observe(value));
    histogram
}

/// Values of all sizes: a random number of low bits of a random number.
fn value() -> impl Strategy<Value = u64> {
    prop_oneof![
        8 => (0_u32..64, any::<u64>()).prop_map(|(shift, bits)| bits >> shift),
        1 => (0_u32..64).prop_map(|power| 1 << power),
        1 => prop_oneof![Just(0), Just(u64::MAX)],
    ]
}

fn values() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec(value(), 1..200)
}

/// The value of rank `ceil(q * count)`.
fn exact_quantile(values: &[u64], q: f64) -> u64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let rank = (q * values.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, values.len()) - 1]
}

/// Checks that a quantile lies in the bucket of the exact one, and within smallest and largest.
fn check_quantile(values: &[u64], histogram: &dyn Distribution, q: f64) -> f64 {
    let exact = exact_quantile(values, q);
    let estimate = histogram.quantile(q).unwrap();
    let mut low = 0;
    for index in 0..histogram.buckets() {
        let upper = histogram.bucket(index).upper.unwrap_or(u64::MAX);
        if exact <= upper {
            assert!(estimate >= low as f64, "{estimate} below the bucket of {exact}");
            assert!(estimate <= upper as f64, "{estimate} above the bucket of {exact}");
            break;
        }
        low = upper + 1;
    }
    assert!(estimate >= *values.iter().min().unwrap() as f64);
    assert!(estimate <= *values.iter().max().unwrap() as f64);
    estimate
}

/// What must be equal for two histograms to be the same to any reader.
fn shown(histogram: &dyn Distribution) -> (Vec<Bucket>, u64, u64) {
    let buckets = (0..histogram.buckets()).map(|index| histogram.bucket(index)).collect();
    (buckets, histogram.count(), histogram.sum())
}

proptest! {
    #[test]
    fn quantiles_stay_within_the_stated_error(values in values(), q in 0.0..=1.0) {
        check_quantile(&values, &listed(&values), q);
        check_quantile(&values, &log::<0, { log_buckets(0, 1 << 30) }>(&values), q);
        let fine: Fine = log(&values);
        let estimate = check_quantile(&values, &fine, q);
        let exact = exact_quantile(&values, q) as f64;
        // One part in 2^52 for the rounding of floats; 0 and 1 share a bucket.
        let error = if exact <= 1.0 { 1.0 } else { exact / 32.0 + exact * f64::EPSILON };
        prop_assert!((estimate - exact).abs() <= error);
    }

    #[test]
    fn the_ends_and_the_average_are_exact(values in prop::collection::vec(0_u64..1 << 40, 1..99)) {
        for histogram in [&listed(&values) as &dyn Distribution, &log::<3, 99>(&values)] {
            let (min, max) = (*values.iter().min().unwrap(), *values.iter().max().unwrap());
            prop_assert_eq!((histogram.min(), histogram.max()), (Some(min), Some(max)));
            prop_assert_eq!(histogram.quantile(0.0), Some(min as f64));
            prop_assert_eq!(histogram.quantile(1.0), Some(max as f64));
            let mean = values.iter().sum::<u64>() as f64 / values.len() as f64;
            prop_assert_eq!(histogram.mean(), Some(mean));
            prop_assert_eq!(histogram.count(), values.len() as u64);
        }
    }

    #[test]
    fn merging_is_observing_all(first in values(), second in values()) {
        let both: Vec<u64> = first.iter().chain(&second).copied().collect();
        let mut merged = listed(&first);
        merged.merge(&listed(&second)).unwrap();
        prop_assert_eq!(merged, listed(&both));
        let mut merged: Coarse = log(&first);
        merged.merge(&log(&second));
        prop_assert_eq!(merged, log(&both));
    }

    #[test]
    fn a_difference_is_what_was_observed_in_between(
        before in prop::collection::vec(0_u64..1 << 50, 0..99),
        after in prop::collection::vec(0_u64..1 << 50, 1..99),
        q in 0.0..=1.0,
    ) {
        let all: Vec<u64> = before.iter().chain(&after).copied().collect();
        let window = listed(&all).since(&listed(&before)).unwrap();
        prop_assert_eq!(shown(&window), shown(&listed(&after)));
        let window: LatencyHistogram = log(&all);
        let window = window.since(&log(&before));
        prop_assert_eq!(shown(&window), shown(&log::<3, { log_buckets(3, 1 << 26) }>(&after)));
        prop_assert!(window.min() <= after.iter().min().copied());
        prop_assert!(window.max() >= after.iter().max().copied());
        // The extremes of a window are not known, so its quantiles are bounded by buckets alone.
        let (exact, estimate) = (exact_quantile(&after, q), window.quantile(q).unwrap());
        if exact <= 1 << 26 {
            let error = if exact <= 1 { 1.0 } else { exact as f64 / 8.0 };
            prop_assert!((estimate - exact as f64).abs() <= error);
        }
    }

    #[test]
    fn decimals_are_the_digits_of_the_integer(value in value(), decimals in 0_u8..=18) {
        let text = Decimal::scaled(value, decimals);
        let (whole, fraction) = text.as_str().split_once('.').unwrap_or((text.as_str(), ""));
        prop_assert!(!fraction.ends_with('0') && fraction.len() <= decimals.into());
        let digits = format!("{whole}{fraction:0<width$}", width = decimals.into());
        prop_assert_eq!(digits.parse::<u128>().unwrap(), u128::from(value));
    }

    #[test]
    fn no_name_panics_and_none_that_is_refused_reaches_the_text(name in ".{0,12}") {
        let plain = name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let label = [(name.as_str(), "x")];
        let reserved = ["le", "quantile", "time"].contains(&name.as_str());
        prop_assert_eq!(Labels::new(&label).is_ok(), plain && !reserved);
        let name: &'static str = name.leak();
        let gauge = Descriptor::new(Kind::Gauge, name, "Help.", Unit::NONE);
        prop_assert!(plain || gauge.is_err());
    }

    #[test]
    fn label_values_come_back_from_the_text(value in "[a\\\\\"\n\r,= {}é]{0,12}") {
        let page = Page { topic: value.clone() };
        let mut written = String::new();
        text::write_prometheus(&[&page], &[], &mut written).unwrap();
        let line = written.lines().last().unwrap();
        let read = line.strip_prefix("suite_level{topic=\"").map_or_else(String::new, unescaped);
        prop_assert_eq!(&read, &value);
        prop_assert!(line.ends_with(" -3"));

        let mut written = String::new();
        text::write_influx(&[&page], &[], 7, &mut written).unwrap();
        prop_assert_eq!(written.matches('\n').count(), 1);
        prop_assert!(written.ends_with(" value=-3i 7\n"), "{}", written);

        let mut length = text::TextLength::new();
        text::write_influx(&[&page], &[], 7, &mut length).unwrap();
        prop_assert_eq!(length.bytes(), written.len());
    }
}

/// What stands in a quoted label value, up to its closing quote.
fn unescaped(quoted: &str) -> String {
    let mut value = String::new();
    let mut characters = quoted.chars();
    loop {
        match characters.next().expect("a closing quote") {
            '"' => return value,
            '\\' => value.push(match characters.next().expect("an escaped character") {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
}

static LEVEL: Descriptor = descriptor!(Kind::Gauge, "suite_level", "A level.");
static LEVELS: [&Descriptor; 1] = [&LEVEL];

struct Page {
    topic: String,
}

impl Source for Page {
    fn families(&self) -> &'static [&'static Descriptor] {
        &LEVELS
    }

    fn visit(&self, samples: &mut Samples<'_>) -> Result<(), VisitError> {
        samples.gauge(&LEVEL, &[("topic", self.topic.as_str())], -3)
    }
}

/// A histogram of somebody else's, over fixed numbers.
struct Foreign;

impl Distribution for Foreign {
    fn buckets(&self) -> usize {
        2
    }

    fn bucket(&self, index: usize) -> Bucket {
        let upper = [Some(9), None][index];
        Bucket { upper, count: 2, exported: true }
    }

    fn sum(&self) -> u64 {
        40
    }

    fn min(&self) -> Option<u64> {
        None
    }

    fn max(&self) -> Option<u64> {
        None
    }
}

static SEEN: Descriptor = descriptor!(Kind::Counter, "foreign_seen_total", "Seen.");
static SHARE: Descriptor =
    descriptor!(Kind::FloatGauge, "foreign_share_ratio", "Share.", Unit::RATIO);
static SIZES: Descriptor =
    descriptor!(Kind::Histogram, "foreign_size_bytes", "Sizes.", Unit::BYTES);
static FOREIGN: [&Descriptor; 4] = [&SEEN, &LEVEL, &SHARE, &SIZES];

/// A source from outside the crate, with another inside it.
struct Outer {
    inner: Page,
    seen: Counter,
    level: Gauge,
}

impl Source for Outer {
    fn families(&self) -> &'static [&'static Descriptor] {
        &FOREIGN
    }

    fn visit(&self, samples: &mut Samples<'_>) -> Result<(), VisitError> {
        samples.counter(&SEEN, &[("part", "a")], self.seen)?;
        samples.gauge(&LEVEL, &[], self.level)?;
        samples.float_gauge(&SHARE, &[], 0.5)?;
        if samples.wants(&SIZES) {
            samples.histogram(&SIZES, &[], &Foreign)?;
        }
        self.inner.visit(&mut samples.with_labels(&[("part", "inner")])?)
    }
}

/// A visitor from outside the crate: keeps one string per sample.
#[derive(Default)]
struct Lines(Vec<String>);

impl Lines {
    fn add(&mut self, series: &Series<'_>, value: String) -> Result<(), VisitError> {
        self.0.push(format!("{}{:?}={value}", series.family.name(), series.labels));
        Ok(())
    }
}

impl Visitor for Lines {
    fn counter(&mut self, series: &Series<'_>, value: u64) -> Result<(), VisitError> {
        self.add(series, value.to_string())
    }

    fn gauge(&mut self, series: &Series<'_>, value: i64) -> Result<(), VisitError> {
        self.add(series, value.to_string())
    }

    fn float_gauge(&mut self, series: &Series<'_>, value: f64) -> Result<(), VisitError> {
        self.add(series, value.to_string())
    }

    fn histogram(
        &mut self,
        series: &Series<'_>,
        value: &dyn Distribution,
    ) -> Result<(), VisitError> {
        self.add(series, format!("{}/{}", value.sum(), value.count()))
    }
}

#[test]
fn sources_visitors_and_histograms_can_be_implemented_from_outside() {
    let (mut seen, mut level) = (Counter::new(), Gauge::new());
    seen.add(3);
    level.set(5);
    let outer = Outer { inner: Page { topic: "t".into() }, seen, level };
    let page = Page { topic: "u".into() };
    let mut lines = Lines::default();
    let sources: [&dyn Source; 2] = [&page, &outer];
    visit_all(&sources, &[], &mut lines).unwrap();
    assert_eq!(
        lines.0,
        [
            r#"suite_level{"topic": "u"}=-3"#,
            r#"suite_level{}=5"#,
            r#"suite_level{"topic": "t", "part": "inner"}=-3"#,
            r#"foreign_seen_total{"part": "a"}=3"#,
            r#"foreign_share_ratio{}=0.5"#,
            r#"foreign_size_bytes{}=40/4"#,
        ]
    );
}

#[test]
fn a_foreign_histogram_has_quantiles_and_text() {
    assert_eq!(Foreign.mean(), Some(10.0));
    // Ranks 2 and 3 of 4; nobody knows what the largest value is.
    assert_eq!(Foreign.quantile(0.5), Some(6.75));
    assert_eq!(Foreign.quantile(0.75), Some(10.0));
    let outer =
        Outer { inner: Page { topic: String::new() }, seen: Counter::new(), level: Gauge::new() };
    let mut written = String::new();
    text::write_openmetrics(&[outer], &[], &mut written).unwrap();
    assert!(written.contains("foreign_size_bytes_bucket{le=\"9.0\"} 2\n"));
    assert!(written.contains("foreign_size_bytes_bucket{le=\"+Inf\"} 4\n"));
}

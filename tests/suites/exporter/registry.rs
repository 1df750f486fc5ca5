//! A registry with everything in it, and what readers should make of it.

use alloc::collections::BTreeMap;

use turbopump_core::descriptor;
use turbopump_core::stats::{
    Descriptor, Distribution, DurationHistogram, Kind, LogHistogram, Samples, Series,
    SizeHistogram, Source, Unit, VisitError, Visitor,
};

use crate::peers::{Number, Reading};

/// Labels that the writer adds to every sample.
pub(crate) const CONSTANT: [(&str, &str); 2] = [("client", "a \"b\" \\ c"), ("empty", "")];

/// Label values with every character that one of the formats treats specially.
pub(crate) const NASTY: [&str; 20] = [
    "plain",
    "",
    "\"quoted\"",
    "back\\slash",
    "ends in a backslash\\",
    "ends in two\\\\",
    "back\\ slash\\, before\\= special",
    "new\nline",
    "\n",
    "carriage\r\nreturn",
    "literal \\n and \\\"",
    "comma, space and = sign",
    " leading and trailing ",
    "{braces} # hash",
    "tab\tand\u{1}control",
    "é ü ß",
    "漢字",
    "🚀",
    "line\u{2028}separator\u{85}next",
    "a=b,c=d e\\",
];

static SENT: Descriptor = descriptor!(
    Kind::Counter,
    "exporter_sent_bytes_total",
    "Bytes sent, \"all\" of them:\nheaders \\ bodies.",
    Unit::BYTES
);
static CPU: Descriptor =
    descriptor!(Kind::Counter, "exporter_cpu_seconds_total", "CPU time.", Unit::MICROSECONDS);
static LEVEL: Descriptor = descriptor!(Kind::Gauge, "exporter_level", "A level.");
static LAG: Descriptor =
    descriptor!(Kind::Gauge, "exporter_lag_seconds", "Lag.", Unit::MILLISECONDS);
static RATIO: Descriptor =
    descriptor!(Kind::FloatGauge, "exporter_hit_ratio", "Hit rate.", Unit::RATIO);
static INFO: Descriptor = descriptor!(Kind::Gauge, "exporter_build_info", "Build.");
static WAIT: Descriptor =
    descriptor!(Kind::Histogram, "exporter_wait_seconds", "Waits.", Unit::MICROSECONDS);
static FINE: Descriptor =
    descriptor!(Kind::Histogram, "exporter_fine_seconds", "Fine waits.", Unit::NANOSECONDS);
static SIZE: Descriptor =
    descriptor!(Kind::Histogram, "exporter_size_bytes", "Sizes.", Unit::BYTES);
static TOPIC: [&Descriptor; 5] = [&SENT, &LEVEL, &WAIT, &FINE, &SIZE];
static NUMBERS: [&Descriptor; 5] = [&CPU, &LAG, &RATIO, &LEVEL, &INFO];

/// One topic's numbers; there are many of these, each a source of the same families.
struct Topic {
    name: &'static str,
    sent: u64,
    wait_us: DurationHistogram,
    fine_ns: LogHistogram<2, 60>,
    size_bytes: SizeHistogram,
}

impl Source for Topic {
    fn families(&self) -> &'static [&'static Descriptor] {
        &TOPIC
    }

    fn visit(&self, samples: &mut Samples<'_>) -> Result<(), VisitError> {
        // An empty value is no label at all: the topic without a name has none.
        let labels = [("topic", self.name), ("zone", "")];
        samples.gauge(&LEVEL, &labels, self.sent)?;
        samples.histogram(&FINE, &labels, &self.fine_ns)?;
        samples.counter(&SENT, &labels, self.sent)?;
        samples.histogram(&SIZE, &labels, &self.size_bytes)?;
        samples.histogram(&WAIT, &labels, &self.wait_us)
    }
}

/// Numbers at the ends of their ranges; shares a family with the topics.
struct Numbers;

impl Source for Numbers {
    fn families(&self) -> &'static [&'static Descriptor] {
        &NUMBERS
    }

    fn visit(&self, samples: &mut Samples<'_>) -> Result<(), VisitError> {
        for (index, name) in NAMES.iter().enumerate() {
            let labels = [("number", *name)];
            samples.counter(&CPU, &labels, COUNTERS[index])?;
            samples.gauge(&LAG, &labels, GAUGES[index])?;
            samples.gauge(&LEVEL, &labels, GAUGES[index])?;
            samples.float_gauge(&RATIO, &labels, FLOATS[index])?;
        }
        samples.gauge(&INFO, &[("version", "0.1.0"), ("runtime", "none")], 1)
    }
}

const NAMES: [&str; 10] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
const COUNTERS: [u64; 10] =
    [0, 1, 1_500, 999_999, 1_000_000, (1 << 53) + 1, 123_456_789, 10, 1 << 60, u64::MAX];
const GAUGES: [i64; 10] =
    [0, -1, 1, -1_500, 42, (1 << 53) + 1, -(1 << 53) - 1, 1 << 62, i64::MIN, i64::MAX];
const FLOATS: [f64; 10] = [
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    5e-324,
    f64::MAX,
    f64::MIN,
    0.1,
    1.0 / 3.0,
    1e-5,
    123_456_789_012_345_680_000.0,
];

/// All sources, in no helpful order.
pub(crate) struct Registry {
    topics: Vec<Topic>,
}

impl Registry {
    pub(crate) fn new() -> Self {
        let mut topics = Vec::new();
        for (index, name) in (0_u64..).zip(NASTY) {
            let mut topic = Topic {
                name,
                sent: index * 1_000_003,
                wait_us: DurationHistogram::durations_us(),
                fine_ns: LogHistogram::new(),
                size_bytes: SizeHistogram::sizes_bytes(),
            };
            // The first topics' histograms stay empty.
            for step in 0..index.saturating_sub(2) {
                topic.wait_us.observe(step * step * 700);
                topic.fine_ns.observe(step * 777);
                topic.size_bytes.observe(1 << step);
            }
            topics.push(topic);
        }
        topics[5].wait_us.observe(u64::MAX);
        topics[6].size_bytes.observe(u64::MAX);
        Self { topics }
    }

    /// Topics with the odd one out among them, so that families are spread over the list.
    pub(crate) fn sources(&self) -> Vec<&dyn Source> {
        let mut sources: Vec<&dyn Source> =
            self.topics.iter().map(|topic| topic as &dyn Source).collect();
        sources.insert(7, &Numbers);
        sources
    }
}

/// What was put in: collected through the visiting seam, scaled by parsing decimal digits, which is
/// another way than that of the writers.
#[derive(Default)]
pub(crate) struct Expected {
    /// Samples as Prometheus names them.
    pub(crate) prometheus: BTreeMap<Reading, u64>,
    influx: Vec<Reading>,
}

impl Expected {
    /// Fields as InfluxDB names them, all at `unix_ns`.
    pub(crate) fn influx(&self, unix_ns: u64) -> BTreeMap<Reading, u64> {
        let mut numbers = BTreeMap::new();
        for reading in &self.influx {
            *numbers.entry(reading.clone()).or_default() += 1;
        }
        // One time per line; a line has one `value` or one `count`.
        for reading in &self.influx {
            let Some((measurement, "value" | "count")) = reading.name.rsplit_once('.') else {
                continue;
            };
            let name = format!("{measurement}.time");
            let number = Number::Integer(unix_ns as i64);
            let time = Reading { name, labels: reading.labels.clone(), number };
            *numbers.entry(time).or_default() += 1;
        }
        numbers
    }

    fn sample(&mut self, series: &Series<'_>, suffix: &str, le: Option<String>, value: f64) {
        let mut labels = labels_of(series);
        labels.extend(le.map(|le| ("le".to_owned(), le)));
        let name = format!("{}{suffix}", series.family.name());
        let reading = Reading { name, labels, number: Number::float(value) };
        *self.prometheus.entry(reading).or_default() += 1;
    }

    /// A field; integers where the unit isn't shifted.
    fn field(&mut self, series: &Series<'_>, field: &str, value: Number) {
        let name = format!("{}.{field}", series.family.name());
        let labels = labels_of(series).into_iter().map(|(name, value)| {
            let value = value.replace(['\n', '\r'], " ");
            let value = value.strip_suffix('\\').map(|rest| format!("{rest}/")).unwrap_or(value);
            (name, value)
        });
        self.influx.push(Reading { name, labels: labels.collect(), number: value });
    }

    fn shifted(&mut self, series: &Series<'_>, field: &str, value: u64) {
        let number = match series.family.unit().decimals() {
            0 => Number::Integer(i64::try_from(value).unwrap_or(i64::MAX)),
            _ => Number::float(shift(series, value)),
        };
        self.field(series, field, number);
    }
}

impl Visitor for Expected {
    fn counter(&mut self, series: &Series<'_>, value: u64) -> Result<(), VisitError> {
        self.sample(series, "", None, shift(series, value));
        self.shifted(series, "value", value);
        Ok(())
    }

    fn gauge(&mut self, series: &Series<'_>, value: i64) -> Result<(), VisitError> {
        let size = shift(series, value.unsigned_abs());
        // There is no negative zero among integers.
        let shifted = if value < 0 { -size } else { size };
        self.sample(series, "", None, shifted);
        let number = match series.family.unit().decimals() {
            0 => Number::Integer(value),
            _ => Number::float(shifted),
        };
        self.field(series, "value", number);
        Ok(())
    }

    fn float_gauge(&mut self, series: &Series<'_>, value: f64) -> Result<(), VisitError> {
        self.sample(series, "", None, value);
        if value.is_finite() {
            self.field(series, "value", Number::float(value));
        }
        Ok(())
    }

    fn histogram(
        &mut self,
        series: &Series<'_>,
        value: &dyn Distribution,
    ) -> Result<(), VisitError> {
        let mut total = 0;
        for bucket in (0..value.buckets()).map(|index| value.bucket(index)) {
            total += bucket.count;
            if bucket.exported {
                let le = bucket
                    .upper
                    .map_or_else(|| "+Inf".into(), |upper| canonical(shift(series, upper)));
                self.sample(series, "_bucket", Some(le.clone()), total as f64);
                self.field(series, &le, Number::Integer(total as i64));
            }
        }
        self.sample(series, "_count", None, total as f64);
        self.sample(series, "_sum", None, shift(series, value.sum()));
        self.field(series, "count", Number::Integer(total as i64));
        self.shifted(series, "sum", value.sum());
        for (field, extreme) in [("min", value.min()), ("max", value.max())] {
            extreme.into_iter().for_each(|extreme| self.shifted(series, field, extreme));
        }
        for (field, q) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)] {
            if let Some(quantile) = value.quantile(q) {
                self.field(series, field, Number::float(series.family.unit().scale(quantile)));
            }
        }
        Ok(())
    }
}

fn labels_of(series: &Series<'_>) -> BTreeMap<String, String> {
    series.labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The float nearest to the integer with its point moved: as decimal text, read by the standard
/// library.
fn shift(series: &Series<'_>, value: u64) -> f64 {
    format!("{value}e-{}", series.family.unit().decimals()).parse().unwrap()
}

/// A bound as Go's `%g` prints it, with `.0` where it looks like an integer.
fn canonical(value: f64) -> String {
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap();
    match exponent.parse::<i32>().unwrap() {
        exponent if value != 0.0 && !(-4..6).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
        _ if value == value.trunc() => format!("{value}.0"),
        _ => format!("{value}"),
    }
}

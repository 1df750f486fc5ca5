//! Counting, observing, writing and judging numbers, beside peers in the same run.
//!
//! Counting takes less than a nanosecond, which no harness can time alone: each iteration counts
//! [`OPERATIONS`] times through `black_box`, and criterion divides ("elements per second").

use core::fmt::Write as _;
use core::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use metrics_util::registry::{AtomicStorage, Registry};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use turbopump_core::alert::{Engine, Expression, Limits, Operator, Rule, Selector, Term};
use turbopump_core::descriptor;
use turbopump_core::random::SplitMix64;
use turbopump_core::stats::{
    Counter, Decimal, Descriptor, DurationHistogram, Histogram, Kind, LatencyHistogram, Samples,
    Source, Unit, VisitError, text,
};
use turbopump_core::time::{Instant, Now};

/// Counting steps in one iteration.
const OPERATIONS: usize = 1_024;
/// Label sets in the pages that are written.
const TOPICS: usize = 1_250;

fn counters(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("stats/counter_increment");
    group.throughput(Throughput::Elements(OPERATIONS as u64));

    let mut ours = Counter::new();
    group.bench_function("turbopump", |bencher| {
        bencher.iter(|| {
            for _ in 0..OPERATIONS {
                black_box(&mut ours).increment();
            }
        });
    });
    let prometheus = prometheus_client::metrics::counter::Counter::<u64>::default();
    group.bench_function("prometheus-client", |bencher| {
        bencher.iter(|| {
            for _ in 0..OPERATIONS {
                black_box(&prometheus).inc();
            }
        });
    });
    let handle = handle_of("sent", |registry, key| {
        registry.get_or_create_counter(key, |counter| metrics::Counter::from_arc(counter.clone()))
    });
    group.bench_function("metrics", |bencher| {
        bencher.iter(|| {
            for _ in 0..OPERATIONS {
                black_box(&handle).increment(1);
            }
        });
    });
    group.finish();
}

fn histograms(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("stats/histogram_observe");
    group.throughput(Throughput::Elements(OPERATIONS as u64));
    let values = latencies_us();

    let mut log_linear = LatencyHistogram::new();
    group.bench_function("turbopump log-linear", |bencher| {
        bencher.iter(|| {
            for &value in &values {
                black_box(&mut log_linear).observe(value);
            }
        });
    });
    let mut listed = DurationHistogram::durations_us();
    group.bench_function("turbopump 13 bounds", |bencher| {
        bencher.iter(|| {
            for &value in &values {
                black_box(&mut listed).observe(value);
            }
        });
    });
    // One significant digit is the nearest to 12.5 % that it offers.
    let mut hdr = hdrhistogram::Histogram::<u64>::new_with_bounds(1, 1 << 26, 1).unwrap();
    group.bench_function("hdrhistogram", |bencher| {
        bencher.iter(|| {
            for &value in &values {
                black_box(&mut hdr).saturating_record(value);
            }
        });
    });
    let prometheus = prometheus_client::metrics::histogram::Histogram::new(bounds_seconds());
    let seconds: Vec<f64> = values.iter().map(|&us| us as f64 / 1e6).collect();
    group.bench_function("prometheus-client 13 bounds", |bencher| {
        bencher.iter(|| {
            for &value in &seconds {
                black_box(&prometheus).observe(value);
            }
        });
    });
    let handle = handle_of("wait", |registry, key| {
        registry.get_or_create_histogram(key, |bucket| metrics::Histogram::from_arc(bucket.clone()))
    });
    group.bench_function("metrics", |bencher| {
        // It keeps every value until somebody reads them, so each batch gets an empty one.
        bencher.iter_batched(
            || handle.clone(),
            |handle| {
                for &value in &seconds {
                    black_box(&handle).record(value);
                }
            },
            criterion::BatchSize::SmallInput,
        );
    });
    group.finish();
}

static SENT: Descriptor = descriptor!(Kind::Counter, "bench_sent_total", "Messages sent.");
static FAILED: Descriptor = descriptor!(Kind::Counter, "bench_failed_total", "Sends that failed.");
static BYTES: Descriptor =
    descriptor!(Kind::Counter, "bench_sent_bytes_total", "Bytes sent.", Unit::BYTES);
static PENDING: Descriptor = descriptor!(Kind::Gauge, "bench_pending", "Messages waiting.");
static DURATION: Descriptor =
    descriptor!(Kind::Histogram, "bench_duration_seconds", "Send time.", Unit::MICROSECONDS);
static SCALARS: [&Descriptor; 4] = [&SENT, &FAILED, &BYTES, &PENDING];
static HISTOGRAMS: [&Descriptor; 1] = [&DURATION];

struct Scalars {
    topics: Vec<String>,
}

impl Source for Scalars {
    fn families(&self) -> &'static [&'static Descriptor] {
        &SCALARS
    }

    fn visit(&self, samples: &mut Samples<'_>) -> Result<(), VisitError> {
        for (index, topic) in self.topics.iter().enumerate() {
            let queue = Decimal::new(index as u64 % 16);
            let labels = [("topic", topic.as_str()), ("queue", queue.as_str())];
            samples.counter(&SENT, &labels, index as u64 * 1_000)?;
            samples.counter(&FAILED, &labels, index as u64)?;
            samples.counter(&BYTES, &labels, index as u64 * 1_000_000)?;
            samples.gauge(&PENDING, &labels, index)?;
        }
        Ok(())
    }
}

/// 334 histograms with 15 buckets, sum and count each: about 5,000 lines again.
struct Distributions {
    topics: Vec<(String, DurationHistogram)>,
}

impl Source for Distributions {
    fn families(&self) -> &'static [&'static Descriptor] {
        &HISTOGRAMS
    }

    fn visit(&self, samples: &mut Samples<'_>) -> Result<(), VisitError> {
        self.topics.iter().try_for_each(|(topic, duration)| {
            samples.histogram(&DURATION, &[("topic", topic.as_str())], duration)
        })
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct TopicLabels {
    client: String,
    topic: String,
    queue: u64,
}

fn pages(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("stats/write_5000_series");
    let topics = (0..TOPICS).map(|index| format!("orders-{index}")).collect();
    let (scalars, distributions) = (Scalars { topics }, distributions());
    let constant = [("client", "bench")];

    let mut page = String::with_capacity(4 << 20);
    group.bench_function("turbopump prometheus", |bencher| {
        bencher.iter(|| {
            page.clear();
            text::write_prometheus(black_box(&[&scalars]), &constant, &mut page).unwrap();
        });
    });
    group.bench_function("turbopump openmetrics", |bencher| {
        bencher.iter(|| {
            page.clear();
            text::write_openmetrics(black_box(&[&scalars]), &constant, &mut page).unwrap();
        });
    });
    group.bench_function("turbopump influx", |bencher| {
        bencher.iter(|| {
            page.clear();
            text::write_influx(black_box(&[&scalars]), &constant, 1, &mut page).unwrap();
        });
    });
    let registry = prometheus_scalars();
    group.bench_function("prometheus-client openmetrics", |bencher| {
        bencher.iter(|| {
            page.clear();
            prometheus_client::encoding::text::encode(&mut page, black_box(&registry)).unwrap();
        });
    });
    group.bench_function("turbopump openmetrics, histograms", |bencher| {
        bencher.iter(|| {
            page.clear();
            text::write_openmetrics(black_box(&[&distributions]), &constant, &mut page).unwrap();
        });
    });
    let registry = prometheus_histograms(&distributions);
    group.bench_function("prometheus-client openmetrics, histograms", |bencher| {
        bencher.iter(|| {
            page.clear();
            prometheus_client::encoding::text::encode(&mut page, black_box(&registry)).unwrap();
        });
    });
    group.finish();
}

fn distributions() -> Distributions {
    let values = latencies_us();
    let topics = (0..334).map(|index| {
        let mut duration = DurationHistogram::durations_us();
        values.iter().for_each(|&value| duration.observe(value));
        let mut topic = String::new();
        write!(topic, "orders-{index}").unwrap();
        (topic, duration)
    });
    Distributions { topics: topics.collect() }
}

fn prometheus_scalars() -> prometheus_client::registry::Registry {
    use prometheus_client::metrics::{counter::Counter, gauge::Gauge};
    let mut registry = prometheus_client::registry::Registry::default();
    let counters: [Family<TopicLabels, Counter>; 3] = Default::default();
    let pending = Family::<TopicLabels, Gauge>::default();
    for index in 0..TOPICS as u64 {
        let labels = TopicLabels {
            client: "bench".into(),
            topic: format!("orders-{index}"),
            queue: index % 16,
        };
        for (family, factor) in counters.iter().zip([1_000, 1, 1_000_000]) {
            family.get_or_create(&labels).inc_by(index * factor);
        }
        pending.get_or_create(&labels).set(index as i64);
    }
    for (family, name) in counters.into_iter().zip(["bench_sent", "bench_failed", "bench_bytes"]) {
        registry.register(name, "A counter", family);
    }
    registry.register("bench_pending", "Messages waiting", pending);
    registry
}

fn prometheus_histograms(ours: &Distributions) -> prometheus_client::registry::Registry {
    type Constructor = fn() -> prometheus_client::metrics::histogram::Histogram;
    let constructor: Constructor =
        || prometheus_client::metrics::histogram::Histogram::new(bounds_seconds());
    let family = Family::<Vec<(String, String)>, _, Constructor>::new_with_constructor(constructor);
    let values = latencies_us();
    for (topic, _) in &ours.topics {
        let labels = vec![("client".into(), "bench".into()), ("topic".into(), topic.clone())];
        let histogram = family.get_or_create(&labels);
        values.iter().for_each(|&us| histogram.observe(us as f64 / 1e6));
    }
    let mut registry = prometheus_client::registry::Registry::default();
    registry.register("bench_duration_seconds", "Send time", family);
    registry
}

/// Latencies whose logarithm is spread evenly, from 1 µs to 1 s.
fn latencies_us() -> [u64; OPERATIONS] {
    let mut random = SplitMix64::new(7);
    core::array::from_fn(|_| {
        let octave = random.below(20);
        (1 << octave) + random.below(1 << octave)
    })
}

fn bounds_seconds() -> impl Iterator<Item = f64> {
    let listed: &Histogram<'static, 13> = &DurationHistogram::durations_us();
    listed.bounds().as_array().map(|us| us as f64 / 1e6).into_iter()
}

/// A handle of `metrics` over the storage that its own exporters use.
fn handle_of<H>(
    name: &'static str,
    make: impl Fn(&Registry<metrics::Key, AtomicStorage>, &metrics::Key) -> H,
) -> H {
    make(&Registry::new(AtomicStorage), &metrics::Key::from_name(name))
}

/// 20 rules of all sorts over the page of 5,000 counters and gauges and the one of 334 histograms.
fn alerts(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("stats/alerts");
    let topics = (0..TOPICS).map(|index| format!("orders-{index}")).collect();
    let (scalars, distributions) = (Scalars { topics }, distributions());
    let sources: [&dyn Source; 2] = [&scalars, &distributions];
    let rules = |count: usize| {
        const NAMES: [&str; 20] = [
            "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q",
            "r", "s", "t",
        ];
        NAMES.into_iter().take(count).enumerate().map(|(index, name)| rule(index, name))
    };
    for (name, count) in [("20 rules, 5,334 series", 20), ("1 rule, 5,334 series", 1)] {
        let series_max = 64 * 1_024;
        let mut engine = Engine::with_rules(rules(count), series_max, Limits::default()).unwrap();
        let mut second = 0;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                second += 10;
                let now = Now::new(Instant::from_ms(second * 1_000), 0);
                engine.evaluate(now, black_box(&sources), &[]).unwrap().count()
            });
        });
        assert_eq!(engine.untracked_series(), 0);
    }
    group.finish();
}

/// A rule of one of five sorts; of each sort, all but one ask for a single topic.
fn rule(index: usize, name: &'static str) -> Rule {
    const MINUTE_US: u64 = 60_000_000;
    let picked = |selector: Selector| {
        if index < 5 { selector } else { selector.with("topic", "orders-7") }
    };
    let sent = || picked(Selector::new("bench_sent_total"));
    let failed = picked(Selector::new("bench_failed_total"));
    let duration = picked(Selector::new("bench_duration_seconds"));
    let expression = match index % 5 {
        0 => {
            Expression::ratio(Term::increase(failed, MINUTE_US), Term::increase(sent(), MINUTE_US))
        }
        1 => Term::value(picked(Selector::new("bench_pending"))).into(),
        2 => Term::rate(sent(), MINUTE_US).into(),
        3 => Term::quantile_over(duration, 0.99, MINUTE_US).into(),
        _ => Expression::absent(picked(Selector::new("bench_sent_bytes_total"))),
    };
    Rule::when(name, expression, Operator::Above, 1e18).for_us(MINUTE_US).build().unwrap()
}

criterion_group!(benches, counters, histograms, pages, alerts);
criterion_main!(benches);

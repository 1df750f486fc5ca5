extern crate alloc;

use super::{TextBuffer, TextLength, write_influx, write_openmetrics, write_prometheus};
use crate::descriptor;
use crate::stats::{
    Bounds, Descriptor, Histogram, Kind, LogHistogram, Samples, Source, Unit, VisitError,
};
use alloc::string::String;
use alloc::vec;
use core::fmt;

static SENT: Descriptor =
    descriptor!(Kind::Counter, "t_sent_bytes_total", "Sent \"all\" of\n\\it.", Unit::BYTES);
static SPENT: Descriptor =
    descriptor!(Kind::Counter, "t_cpu_seconds_total", "CPU time.", Unit::MICROSECONDS);
static LEVEL: Descriptor = descriptor!(Kind::Gauge, "t_level", "Level.");
static RATIO: Descriptor = descriptor!(Kind::FloatGauge, "t_hit_ratio", "Hit rate.", Unit::RATIO);
static WAIT: Descriptor =
    descriptor!(Kind::Histogram, "t_wait_seconds", "Waits.", Unit::MILLISECONDS);

static FAMILIES: [&Descriptor; 5] = [&SENT, &SPENT, &LEVEL, &RATIO, &WAIT];

static BOUNDS: Bounds<2> = match Bounds::new([5, 1_000]) {
    Ok(bounds) => bounds,
    Err(_) => panic!("ascending"),
};

struct Page {
    topic: &'static str,
    ratio: f64,
    wait_ms: Histogram<'static, 2>,
}

impl Page {
    fn new(topic: &'static str, waits_ms: &[u64]) -> Self {
        let mut wait_ms = Histogram::new(&BOUNDS);
        waits_ms.iter().for_each(|&wait| wait_ms.observe(wait));
        Self { topic, ratio: 0.25, wait_ms }
    }
}

impl Source for Page {
    fn families(&self) -> &'static [&'static Descriptor] {
        &FAMILIES
    }

    fn visit(&self, samples: &mut Samples<'_>) -> Result<(), VisitError> {
        let labels = [("topic", self.topic)];
        samples.counter(&SENT, &labels, u64::MAX)?;
        samples.counter(&SPENT, &labels, 1_500_u64)?;
        samples.gauge(&LEVEL, &labels, -7)?;
        samples.float_gauge(&RATIO, &labels, self.ratio)?;
        samples.histogram(&WAIT, &labels, &self.wait_ms)
    }
}

fn text(write: impl Fn(&mut String) -> Result<(), VisitError>) -> String {
    let mut sink = String::new();
    write(&mut sink).unwrap();
    sink
}

#[test]
fn prometheus_text_is_this() {
    let pages = [Page::new("a", &[5, 1_500]), Page::new("\"b\"\n\\,= ", &[])];
    let written = text(|sink| write_prometheus(&pages, &[("client", "x")], sink));
    let expected = r#"# HELP t_sent_bytes_total Sent "all" of\n\\it.
# TYPE t_sent_bytes_total counter
t_sent_bytes_total{topic="a",client="x"} 18446744073709551615
t_sent_bytes_total{topic="\"b\"\n\\,= ",client="x"} 18446744073709551615
# HELP t_cpu_seconds_total CPU time.
# TYPE t_cpu_seconds_total counter
t_cpu_seconds_total{topic="a",client="x"} 0.0015
t_cpu_seconds_total{topic="\"b\"\n\\,= ",client="x"} 0.0015
# HELP t_level Level.
# TYPE t_level gauge
t_level{topic="a",client="x"} -7
t_level{topic="\"b\"\n\\,= ",client="x"} -7
# HELP t_hit_ratio Hit rate.
# TYPE t_hit_ratio gauge
t_hit_ratio{topic="a",client="x"} 0.25
t_hit_ratio{topic="\"b\"\n\\,= ",client="x"} 0.25
# HELP t_wait_seconds Waits.
# TYPE t_wait_seconds histogram
t_wait_seconds_bucket{topic="a",client="x",le="0.005"} 1
t_wait_seconds_bucket{topic="a",client="x",le="1.0"} 1
t_wait_seconds_bucket{topic="a",client="x",le="+Inf"} 2
t_wait_seconds_count{topic="a",client="x"} 2
t_wait_seconds_sum{topic="a",client="x"} 1.505
t_wait_seconds_bucket{topic="\"b\"\n\\,= ",client="x",le="0.005"} 0
t_wait_seconds_bucket{topic="\"b\"\n\\,= ",client="x",le="1.0"} 0
t_wait_seconds_bucket{topic="\"b\"\n\\,= ",client="x",le="+Inf"} 0
t_wait_seconds_count{topic="\"b\"\n\\,= ",client="x"} 0
t_wait_seconds_sum{topic="\"b\"\n\\,= ",client="x"} 0
"#;
    assert_eq!(written, expected);
}

#[test]
fn openmetrics_text_is_this() {
    let written = text(|sink| write_openmetrics(&[Page::new("", &[5])], &[], sink));
    let expected = r#"# TYPE t_sent_bytes counter
# UNIT t_sent_bytes bytes
# HELP t_sent_bytes Sent \"all\" of\n\\it.
t_sent_bytes_total 18446744073709551615
# TYPE t_cpu_seconds counter
# UNIT t_cpu_seconds seconds
# HELP t_cpu_seconds CPU time.
t_cpu_seconds_total 0.0015
# TYPE t_level gauge
# HELP t_level Level.
t_level -7
# TYPE t_hit_ratio gauge
# UNIT t_hit_ratio ratio
# HELP t_hit_ratio Hit rate.
t_hit_ratio 0.25
# TYPE t_wait_seconds histogram
# UNIT t_wait_seconds seconds
# HELP t_wait_seconds Waits.
t_wait_seconds_bucket{le="0.005"} 1
t_wait_seconds_bucket{le="1.0"} 1
t_wait_seconds_bucket{le="+Inf"} 1
t_wait_seconds_count 1
t_wait_seconds_sum 0.005
# EOF
"#;
    assert_eq!(written, expected);
}

#[test]
fn influx_lines_are_these() {
    let pages = [Page::new("a b,c=d\\", &[5]), Page::new("two\nlines\\,", &[])];
    let written = text(|sink| write_influx(&pages, &[("client", "x")], 1_700, sink));
    let expected = r"t_sent_bytes_total,client=x,topic=a\ b\,c\=d/ value=9223372036854775807i 1700
t_sent_bytes_total,client=x,topic=two\ lines\\, value=9223372036854775807i 1700
t_cpu_seconds_total,client=x,topic=a\ b\,c\=d/ value=0.0015 1700
t_cpu_seconds_total,client=x,topic=two\ lines\\, value=0.0015 1700
t_level,client=x,topic=a\ b\,c\=d/ value=-7i 1700
t_level,client=x,topic=two\ lines\\, value=-7i 1700
t_hit_ratio,client=x,topic=a\ b\,c\=d/ value=0.25 1700
t_hit_ratio,client=x,topic=two\ lines\\, value=0.25 1700
t_wait_seconds,client=x,topic=a\ b\,c\=d/ count=1i,sum=0.005,min=0.005,max=0.005,{MORE} 1700
t_wait_seconds,client=x,topic=two\ lines\\, count=0i,sum=0,0.005=0i,1.0=0i,+Inf=0i 1700
";
    let more = "p50=0.005,p90=0.005,p99=0.005,p999=0.005,0.005=1i,1.0=1i,+Inf=1i";
    assert_eq!(written, expected.replace("{MORE}", more));
}

#[test]
fn floats_that_influx_cannot_store_are_left_out() {
    for ratio in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let page = Page { ratio, ..Page::new("a", &[]) };
        let influx = text(|sink| write_influx(&[&page], &[], 1, sink));
        assert!(!influx.contains("t_hit_ratio"));
        let prometheus = text(|sink| write_prometheus(&[&page], &[], sink));
        let shown = if ratio.is_nan() { "NaN" } else { "Inf" };
        assert!(prometheus.contains(shown), "{prometheus}");
    }
}

#[test]
fn times_beyond_the_range_of_influx_stick_at_its_end() {
    let written = text(|sink| write_influx(&[Page::new("a", &[])], &[], u64::MAX, sink));
    assert!(written.lines().all(|line| line.ends_with(" 9223372036854775806")));
}

#[test]
fn a_sink_that_is_full_ends_the_visit_with_its_error() {
    let pages = [Page::new("a", &[1])];
    let mut length = TextLength::new();
    write_openmetrics(&pages, &[], &mut length).unwrap();
    for bytes in [0, 1, 100, length.bytes() - 1] {
        let mut storage = vec![0; bytes];
        let refused = write_openmetrics(&pages, &[], &mut TextBuffer::new(&mut storage));
        assert_eq!(refused, Err(VisitError::Sink(fmt::Error)));
    }
    let mut storage = vec![0; length.bytes()];
    let mut buffer = TextBuffer::new(&mut storage);
    assert_eq!(write_openmetrics(&pages, &[], &mut buffer), Ok(()));
    assert!(buffer.as_str().ends_with("# EOF\n"));
}

#[test]
fn fine_buckets_count_towards_the_next_octave() {
    static FINE: Descriptor = descriptor!(Kind::Histogram, "t_fine_bytes", "Fine.", Unit::BYTES);
    struct Fine(LogHistogram<2, 10>);
    impl Source for Fine {
        fn families(&self) -> &'static [&'static Descriptor] {
            const { &[&FINE] }
        }
        fn visit(&self, samples: &mut Samples<'_>) -> Result<(), VisitError> {
            samples.histogram(&FINE, &[], &self.0)
        }
    }
    let mut fine = LogHistogram::new();
    // The buckets end at 1, 2, 3, 4, 5, 6, 7, 8, 10 and nowhere.
    [3, 4, 5, 10, 11].into_iter().for_each(|value| fine.observe(value));
    let sources = [Fine(fine)];
    let written = text(|sink| write_prometheus(&sources, &[], sink));
    let samples: vec::Vec<_> = written.lines().skip(2).collect();
    assert_eq!(
        samples,
        [
            "t_fine_bytes_bucket{le=\"1.0\"} 0",
            "t_fine_bytes_bucket{le=\"2.0\"} 0",
            "t_fine_bytes_bucket{le=\"4.0\"} 2",
            "t_fine_bytes_bucket{le=\"8.0\"} 3",
            "t_fine_bytes_bucket{le=\"+Inf\"} 5",
            "t_fine_bytes_count 5",
            "t_fine_bytes_sum 33",
        ]
    );
}

//! The text formats before the programs that read them: `promtool`, Python's `prometheus_client`
//! and a real InfluxDB. Behind the feature `peers`; `.ci/peers-install` gets all three.
//!
//! One registry holds every kind of metric, several sources per family, numbers at the ends of
//! their ranges and labels with every character that any of the formats treats specially. Each
//! reader's numbers are compared with what was put in, bit by bit.
//!
//! Waits in real time: until InfluxDB answers after its start, about a second, 30 at most.

extern crate alloc;

mod influxd;
mod peers;
mod registry;

use alloc::collections::{BTreeMap, BTreeSet};

use peers::{Reading, check_with_promtool, read_with_python};
use registry::{CONSTANT, Expected, NASTY, Registry};
use turbopump_core::stats::{Source, text, visit_all};

/// Some time in 2023, with digits down to the nanosecond.
const UNIX_NS: u64 = 1_700_000_000_123_456_789;

fn written<E: core::fmt::Debug>(write: impl FnOnce(&mut String) -> Result<(), E>) -> String {
    let mut text = String::new();
    write(&mut text).unwrap();
    text
}

fn prometheus(sources: &[&dyn Source]) -> String {
    written(|sink| text::write_prometheus(sources, &CONSTANT, sink))
}

fn openmetrics(sources: &[&dyn Source]) -> String {
    written(|sink| text::write_openmetrics(sources, &CONSTANT, sink))
}

fn expected(sources: &[&dyn Source]) -> Expected {
    let mut expected = Expected::default();
    visit_all(sources, &CONSTANT, &mut expected).unwrap();
    expected
}

/// Compares two sets of numbers and shows the first difference.
fn assert_same(expected: &BTreeMap<Reading, u64>, read: &BTreeMap<Reading, u64>) {
    for (reading, times) in expected {
        assert_eq!(read.get(reading), Some(times), "put in, not read: {reading:?}");
    }
    for (reading, times) in read {
        assert_eq!(expected.get(reading), Some(times), "read, not put in: {reading:?}");
    }
    assert!(expected.len() > 300, "the registry is rich: {}", expected.len());
}

#[test]
fn promtool_accepts_the_prometheus_text_without_a_remark() {
    let registry = Registry::new();
    assert_eq!(check_with_promtool(&prometheus(&registry.sources())), Ok(()));
}

#[test]
fn python_reads_every_number_of_the_prometheus_text() {
    let registry = Registry::new();
    let read = read_with_python("prometheus", &prometheus(&registry.sources())).unwrap();
    assert_same(&expected(&registry.sources()).prometheus, &read.numbers);
}

#[test]
fn python_reads_every_number_of_the_openmetrics_text() {
    let registry = Registry::new();
    let read = read_with_python("openmetrics", &openmetrics(&registry.sources())).unwrap();
    assert_same(&expected(&registry.sources()).prometheus, &read.numbers);
    for family in ["exporter_sent_bytes counter bytes", "exporter_wait_seconds histogram seconds"] {
        assert!(read.families.iter().any(|read| read == family), "{:?}", read.families);
    }
}

#[test]
fn the_order_of_sources_makes_no_difference_to_the_checkers() {
    let registry = Registry::new();
    let mut sources = registry.sources();
    for _ in 0..sources.len() {
        sources.rotate_left(1);
        assert_eq!(check_with_promtool(&prometheus(&sources)), Ok(()));
        assert!(read_with_python("openmetrics", &openmetrics(&sources)).is_ok());
    }
}

/// Were the checkers to accept anything, the tests above would say nothing.
#[test]
fn the_checkers_refuse_families_that_stand_apart() {
    let registry = Registry::new();
    // A sample away from its family, which promtool puts up with.
    let text = openmetrics(&registry.sources());
    let mut lines: Vec<&str> = text.lines().collect();
    let first = lines.iter().position(|line| line.starts_with("exporter_sent")).unwrap();
    let line = lines.remove(first);
    lines.insert(lines.len() - 1, line);
    assert!(read_with_python("openmetrics", &(lines.join("\n") + "\n")).is_err());

    // A family that is begun twice.
    let text = prometheus(&registry.sources());
    let twice = text.lines().take(3).fold(text.clone(), |text, line| text + line + "\n");
    assert!(check_with_promtool(&twice).is_err());
    assert!(check_with_promtool("# TYPE a counter\na 1\n").is_err());
}

#[test]
fn influxdb_stores_every_line_and_gives_every_number_back() {
    let registry = Registry::new();
    let lines = written(|sink| text::write_influx(&registry.sources(), &CONSTANT, UNIX_NS, sink));
    let server = influxd::Server::start();
    server.post("/query?q=CREATE%20DATABASE%20peers", "");
    // InfluxDB answers 204 only if it took every single line.
    assert_eq!(server.post("/write?db=peers&precision=ns", &lines), (204, String::new()));

    let expected = expected(&registry.sources()).influx(UNIX_NS);
    let (status, answer) = server.post(&query_of_all(&expected), "");
    assert_eq!(status, 200, "{answer}");
    assert_same(&expected, &read_with_python("influx", &answer).unwrap().numbers);
}

/// Asks for the types of all fields and for all points.
///
/// Each measurement is asked for alone: InfluxDB makes integers floats where one query covers
/// fields of both types under one name.
fn query_of_all(expected: &BTreeMap<Reading, u64>) -> String {
    let names: BTreeSet<&str> = expected.keys().map(Reading::measurement).collect();
    let selects = names.iter().map(|name| format!("SELECT%20*%20FROM%20{name}%20GROUP%20BY%20*"));
    let query: Vec<String> =
        [String::from("SHOW%20FIELD%20KEYS")].into_iter().chain(selects).collect();
    format!("/query?db=peers&epoch=ns&q={}", query.join("%3B"))
}

#[test]
fn every_nasty_label_is_read_back_as_it_was() {
    let registry = Registry::new();
    let sources = registry.sources();
    for (format, text) in
        [("prometheus", prometheus(&sources)), ("openmetrics", openmetrics(&sources))]
    {
        let read = read_with_python(format, &text).unwrap();
        for value in NASTY {
            let found = read
                .numbers
                .keys()
                .any(|reading| reading.labels.get("topic").is_some_and(|topic| topic == value));
            assert!(found || value.is_empty(), "{format}: {value:?}");
        }
    }
}

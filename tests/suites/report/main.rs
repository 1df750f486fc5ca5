//! The report on a recorded run.

extern crate alloc;

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use turbopump_core::descriptor;
use turbopump_core::pool::{ClassLayout, Layout};
use turbopump_core::stats::{
    Descriptor, DurationHistogram, Kind, Samples, Source, Unit, VisitError,
};
use turbopump_std::memory::BufferPool;
use turbopump_std::monitor::Sources;
use turbopump_std::monitor::report::{self, ReportError, Run, Weight};

static LATENCY: Descriptor = descriptor!(
    Kind::Histogram,
    "turbopump_network_latency_seconds",
    "Latency.",
    Unit::MICROSECONDS
);
static FAMILIES: [&Descriptor; 1] = [&LATENCY];

/// A peer that answers after so many microseconds, asked once per second.
struct Peer(DurationHistogram);

impl Source for Peer {
    fn families(&self) -> &'static [&'static Descriptor] {
        &FAMILIES
    }

    fn visit(&self, samples: &mut Samples<'_>) -> Result<(), VisitError> {
        samples.histogram(&LATENCY, &[], &self.0)
    }
}

/// A folder of its own, gone with this.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("turbopump-report-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("run.jsonl")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const START_UNIX_MS: u64 = 1_700_000_000_000;

/// The numbers of this moment, as exported at another second.
fn exported(sources: &Sources, second: u64) -> String {
    let json = sources.snapshot().to_json().unwrap();
    let mut value: serde_json::Value = serde_json::from_str(&json).unwrap();
    value["at_unix_ms"] = (START_UNIX_MS + second * 1_000).into();
    value.to_string() + "\n"
}

/// A run of a real pool of memory that is far too small, and of a slow peer among three.
fn recorded(path: &Path) {
    let sources = Sources::new();
    let pool = BufferPool::new(&Layout::constant(&[ClassLayout::new(64, 2)]));
    let watched = pool.clone();
    sources.register(&[("pool", "<small>")], move || watched.report()).unwrap().forever();
    let second = Arc::new(AtomicU64::new(0));
    for (peer, us) in [("a", 1_000), ("b", 1_200), ("c", 9_000)] {
        let second = Arc::clone(&second);
        let take = move || {
            let mut latency = DurationHistogram::durations_us();
            (0..second.load(Ordering::Relaxed)).for_each(|_| latency.observe(us));
            Peer(latency)
        };
        sources.register(&[("peer", peer)], take).unwrap().forever();
    }
    // The first half was put aside.
    let mut halves = [String::new(), String::new()];
    for now in 0..60 {
        second.store(now, Ordering::Relaxed);
        let held: Vec<_> = (0..3).map(|_| pool.acquire(64)).collect();
        drop(held);
        halves[now as usize / 30] += &exported(&sources, now);
    }
    let [old, new] = halves;
    fs::write(path.with_extension("jsonl.1"), old).unwrap();
    fs::write(path, new).unwrap();
}

fn finding<'r>(findings: &'r [report::Finding], part: &str) -> &'r report::Finding {
    let found = findings.iter().find(|finding| finding.says.contains(part));
    found.unwrap_or_else(|| panic!("{part} in {findings:#?}"))
}

#[test]
fn a_run_is_read_back_with_its_findings() {
    let folder = Folder::new();
    recorded(&folder.file());
    let run = report::read(&folder.file()).unwrap();
    assert_eq!((run.len(), run.seconds()), (60, 59.0));
    assert_eq!(run.start_unix_ms(), START_UNIX_MS);

    let findings = report::findings(&run);
    let misses = finding(&findings, "requests for memory missed (class 64, pool <small>)");
    assert_eq!(misses.weight, Weight::Limits);
    assert!(misses.says.starts_with("33.3 %"), "{misses:?}");
    let slow = finding(&findings, "(peer c)");
    assert_eq!(
        (slow.weight, &*slow.says),
        (Weight::Slow, "A peer took 7.50 times as long to answer as the median (peer c)")
    );
    assert_eq!(findings.len(), 2, "{findings:#?}");

    let text = report::text(&run);
    assert!(text.starts_with("60 snapshots, 59 s from 2023-11-14T22:13:20.000Z\n"), "{text}");
    assert!(text.contains("[limits] 33.3 % of the requests for memory missed"), "{text}");
    assert!(text.contains(": Memory pools: hit ratio"), "{text}");

    let page = report::html(&run);
    assert!(page.contains("(class 64, pool &lt;small&gt;)") && !page.contains("<small>"));
    assert!(page.contains("<polyline class=\"c0\" points=\""));
    assert!(page.contains("prefers-color-scheme:dark"));
    for outside in ["<script", "http://", "https://", "url(", "@import", "src="] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert_eq!(page.matches("<section>").count(), page.matches("</section>").count());
}

#[test]
fn a_run_without_our_metrics_has_an_empty_report() {
    let run = read(&[line(1, &[("other_total", "{}", 1.0)]), line(2, &[])].concat()).unwrap();
    assert_eq!(report::findings(&run), []);
    assert!(report::text(&run).contains("Nothing stands out."));
    assert!(report::html(&run).contains("Nothing stands out."));
}

/// A snapshot with counters of the given names and one histogram.
fn line(second: u64, counters: &[(&str, &str, f64)]) -> String {
    let families = counters.iter().map(|(name, labels, value)| {
        format!(
            "{{\"name\":\"{name}\",\"kind\":\"counter\",\"unit\":\"\",\"help\":\"H.\",\
             \"series\":[{{\"labels\":{labels},\"value\":{value}}}]}}"
        )
    });
    let families: Vec<String> = families.collect();
    format!("{{\"at_unix_ms\":{},\"families\":[{}]}}\n", second * 1_000, families.join(","))
}

fn read(text: &str) -> Result<Run, ReportError> {
    let folder = Folder::new();
    fs::write(folder.file(), text).unwrap();
    report::read(&folder.file())
}

#[test]
fn failures_are_found_and_restarts_are_counted_on() {
    let run = |values: [f64; 3]| {
        let lines = (1..).zip(values).map(|(second, value)| {
            line(
                second,
                &[
                    ("turbopump_batch_items_failed_total", "{}", value),
                    ("turbopump_batch_items_total", "{}", value * 10.0),
                    ("turbopump_pool_timeouts_total", "{\"phase\":\"dial\"}", value),
                    ("turbopump_process_resident_bytes", "{}", 900.0),
                    ("turbopump_system_memory_total_bytes", "{}", 1_000.0),
                ],
            )
        });
        read(&lines.collect::<String>()).unwrap()
    };
    let findings = report::findings(&run([3.0, 5.0, 2.0]));
    // From 3 to 5, then started again and at 2.
    assert_eq!(finding(&findings, "items failed").says, "4 items failed");
    let dial = finding(&findings, "time-outs");
    assert_eq!(dial.says, "4 time-outs of connections (phase dial)");
    assert!(finding(&findings, "system's memory").says.contains("90.0 %"));
    assert!(findings.iter().all(|finding| finding.weight == Weight::Fails));
    assert!(report::text(&run([3.0, 5.0, 2.0])).contains("40 batch items, 20 per second"));
    // What failed before the run is none of its failures.
    let quiet = report::findings(&run([3.0, 3.0, 3.0]));
    assert_eq!(quiet.len(), 1, "{quiet:#?}");
}

#[test]
fn broken_lines_are_refused_with_their_number() {
    let good = line(1, &[]);
    for (text, number) in [
        (format!("{good}\n{good}{{\"at_unix_ms\":1\n"), 4),
        (format!("{good}[]\n{good}"), 2),
        (format!("{good}{{\"at_unix_ms\":-1,\"families\":[]}}\n"), 2),
        (String::from("\u{0}\n"), 1),
    ] {
        let error = read(&text).unwrap_err();
        assert!(matches!(error, ReportError::Line { line, .. } if line == number), "{error}");
        assert!(error.to_string().contains(&format!("run.jsonl:{number}: no snapshot: ")));
    }
    let error = read(&good).unwrap_err();
    assert!(matches!(error, ReportError::TooShort { snapshots: 1, .. }), "{error}");
    let error = report::read(Path::new("/no/such/run")).unwrap_err();
    assert!(matches!(error, ReportError::Io { .. }), "{error}");
}

proptest! {
    /// Whatever numbers and names a run has, there is a report.
    #[test]
    fn no_run_panics(
        values in prop::collection::vec((0..3_u64, -1e18..1e18_f64, "[a-z<&\"]{0,5}"), 2..20),
    ) {
        let lines = values.iter().map(|(second, value, name)| {
            let labels = serde_json::json!({ "a": name }).to_string();
            line(*second, &[
                ("turbopump_requests_total", &labels, *value),
                ("turbopump_pool_connections", &labels, *value),
                ("turbopump_pool_waits_total", &labels, *value),
                ("turbopump_pool_checkouts_total", &labels, -value),
            ])
        });
        let run = read(&lines.collect::<String>()).unwrap();
        prop_assert!(!report::text(&run).is_empty());
        prop_assert!(report::html(&run).ends_with("</html>\n"));
    }
}

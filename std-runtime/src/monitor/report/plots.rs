//! What the report plots: a table, and the lines made of it.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::findings::label_text;
use super::run::{Run, Series};

/// How a metric becomes lines.
#[derive(Clone, Copy)]
pub(super) enum Draw {
    /// A counter per second, one line per series.
    Rate,
    /// A gauge as it is, one line per series.
    Value,
    /// The 50th and 99th percentile of a histogram since the start, in milliseconds.
    Quantiles,
}

pub(super) struct Plot {
    pub(super) metric: &'static str,
    pub(super) title: &'static str,
    pub(super) unit: &'static str,
    draw: Draw,
}

const fn plot(metric: &'static str, title: &'static str, unit: &'static str, draw: Draw) -> Plot {
    Plot { metric, title, unit, draw }
}

/// All plots; those of metrics that a run doesn't have are left out.
pub(super) static PLOTS: [Plot; 12] = [
    plot("turbopump_requests_total", "Requests", "per second", Draw::Rate),
    plot("turbopump_request_duration_seconds", "Request duration", "ms", Draw::Quantiles),
    plot("turbopump_batch_items_total", "Batch items", "per second", Draw::Rate),
    plot(
        "turbopump_batch_process_duration_seconds",
        "Batch process duration",
        "ms",
        Draw::Quantiles,
    ),
    plot("turbopump_network_bytes_total", "Network", "bytes per second", Draw::Rate),
    plot("turbopump_network_latency_seconds", "Network latency", "ms", Draw::Quantiles),
    plot("turbopump_pool_connections", "Connections", "", Draw::Value),
    plot("turbopump_pool_timeouts_total", "Time-outs", "per second", Draw::Rate),
    plot("turbopump_mempool_hit_ratio", "Memory pools: hit ratio", "", Draw::Value),
    plot("turbopump_mempool_held_bytes", "Memory pools: in use", "bytes", Draw::Value),
    plot("turbopump_async_io_completed_total", "Asynchronous IO", "per second", Draw::Rate),
    plot("turbopump_process_resident_bytes", "Memory of the process", "bytes", Draw::Value),
];

/// How many lines a plot shows, the ones with the largest values.
const LINES_MAX: usize = 8;

/// One line: its name, and points of seconds and values.
pub(super) struct Line {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
}

impl Line {
    pub(super) fn top(&self) -> f64 {
        self.points.iter().fold(0.0, |top: f64, point| top.max(point.1))
    }
}

impl Plot {
    /// The lines with the largest values, and how many were left out. Lines of zeros only are left
    /// out where there are others.
    pub(super) fn lines(&self, run: &Run) -> (Vec<Line>, usize) {
        let mut lines: Vec<Line> = match self.draw {
            Draw::Rate => self.each(run, rates),
            Draw::Value => self.each(run, |points| points),
            Draw::Quantiles => [("p50", true), ("p99", false)]
                .into_iter()
                .flat_map(|(name, half)| self.quantiles(run, name, half))
                .collect(),
        };
        lines.retain(|line| line.points.len() > 1);
        if lines.iter().any(|line| line.top() > 0.0) {
            lines.retain(|line| line.top() > 0.0);
        }
        lines.sort_by(|left, right| right.top().total_cmp(&left.top()));
        let others = lines.len().saturating_sub(LINES_MAX);
        lines.truncate(LINES_MAX);
        (lines, others)
    }

    fn each(&self, run: &Run, make: impl Fn(Vec<(f64, f64)>) -> Vec<(f64, f64)>) -> Vec<Line> {
        let read = |series: &Series| series.value;
        let lines = run.label_sets(self.metric).into_iter().map(|labels| Line {
            points: make(self.points(run, &labels, read)),
            name: label_text(&labels),
        });
        lines.collect()
    }

    fn quantiles(&self, run: &Run, name: &str, half: bool) -> Vec<Line> {
        let read = |series: &Series| {
            let quantile = if half { series.p50 } else { series.p99 };
            quantile.map(|seconds| seconds * 1_000.0)
        };
        let lines = run.label_sets(self.metric).into_iter().map(|labels| {
            let label = label_text(&labels);
            let space = if label.is_empty() { "" } else { " " };
            Line { points: self.points(run, &labels, read), name: [name, space, &label].concat() }
        });
        lines.collect()
    }

    fn points(
        &self,
        run: &Run,
        labels: &BTreeMap<String, String>,
        read: impl Fn(&Series) -> Option<f64>,
    ) -> Vec<(f64, f64)> {
        let points = run.points().iter().filter_map(|point| {
            let all = point.series(self.metric).iter();
            let series = all.into_iter().find(|series| series.labels == *labels)?;
            Some((run.second(point), read(series)?))
        });
        points.collect()
    }
}

/// Increases per second; a value that fell counts from 0.
fn rates(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    let steps = points.windows(2).filter_map(|pair| {
        let [(start, before), (end, after)] = pair else { return None };
        let increase = if after < before { *after } else { after - before };
        (end > start).then(|| (*end, increase / (end - start)))
    });
    steps.collect()
}

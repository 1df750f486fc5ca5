//! The report for terminals.

use core::fmt::{self, Write as _};

use alloc::string::String;
use alloc::vec::Vec;

use super::findings::{findings, number, total};
use super::plots::PLOTS;
use super::run::Run;
use crate::monitor::alerts::rfc_3339;

/// Totals that begin a report, those that the run has.
static TOTALS: [(&str, &str); 8] = [
    ("turbopump_requests_total", "requests"),
    ("turbopump_batch_items_total", "batch items"),
    ("turbopump_batch_items_failed_total", "failed items"),
    ("turbopump_network_bytes_total", "bytes on the network"),
    ("turbopump_pool_checkouts_total", "checkouts of connections"),
    ("turbopump_connections_opened_total", "connections opened"),
    ("turbopump_mempool_acquisitions_total", "blocks of memory"),
    ("turbopump_async_io_completed_total", "tasks of asynchronous IO"),
];

/// Name, total and total per second.
pub(super) fn totals(run: &Run) -> Vec<(&'static str, f64, f64)> {
    let found = TOTALS.iter().filter_map(|(metric, name)| {
        let total = total(run, metric)?;
        Some((*name, total, total / run.seconds().max(0.001)))
    });
    found.collect()
}

/// The report as plain text: totals, the largest value of each plot, findings.
#[must_use]
pub fn text(run: &Run) -> String {
    let mut report = String::new();
    // Writing to a string can't fail.
    let _ = write_text(run, &mut report);
    report
}

fn write_text(run: &Run, into: &mut String) -> fmt::Result {
    let (snapshots, seconds) = (run.len(), number(run.seconds()));
    writeln!(into, "{snapshots} snapshots, {seconds} s from {}", rfc_3339(run.start_unix_ms()))?;
    writeln!(into)?;
    for (name, total, rate) in totals(run) {
        let (total, rate) = (number(total), number(rate));
        writeln!(into, "{total:>16} {name}, {rate} per second")?;
    }
    writeln!(into, "\nPeaks")?;
    for plot in &PLOTS {
        let (lines, _) = plot.lines(run);
        for line in lines.iter().take(3) {
            let (top, title) = (number(line.top()), plot.title);
            let (unit, name) = (plot.unit, &line.name);
            let space = if unit.is_empty() || name.is_empty() { "" } else { " " };
            writeln!(into, "{top:>16} {unit}{space}{name}: {title}")?;
        }
    }
    writeln!(into, "\nFindings")?;
    let findings = findings(run);
    for finding in &findings {
        let weight = finding.weight.as_str();
        writeln!(into, "  [{weight}] {}. {}", finding.says, finding.advice)?;
    }
    if findings.is_empty() {
        writeln!(into, "  Nothing stands out.")?;
    }
    Ok(())
}

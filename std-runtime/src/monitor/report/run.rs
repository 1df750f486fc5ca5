//! A run as it was exported.

use core::fmt;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::Deserialize;

use crate::monitor::export::numbered;

/// How much is read of all files of a run together.
const RUN_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// The snapshots of a run in the order of their times, at least two.
#[derive(Debug)]
pub struct Run {
    points: Vec<Point>,
}

/// One snapshot.
#[derive(Debug, Deserialize)]
pub(super) struct Point {
    at_unix_ms: u64,
    families: Vec<Family>,
}

#[derive(Debug, Deserialize)]
struct Family {
    name: String,
    series: Vec<Series>,
}

/// One series; those of histograms have all but `value`.
#[derive(Debug, Deserialize)]
pub(super) struct Series {
    pub(super) labels: BTreeMap<String, String>,
    pub(super) value: Option<f64>,
    pub(super) count: Option<f64>,
    pub(super) sum: Option<f64>,
    pub(super) p50: Option<f64>,
    pub(super) p99: Option<f64>,
}

impl Point {
    pub(super) fn series(&self, metric: &str) -> &[Series] {
        let family = self.families.iter().find(|family| family.name == metric);
        family.map_or(&[], |family| &family.series)
    }
}

impl Run {
    pub(super) fn points(&self) -> &[Point] {
        &self.points
    }

    /// How many snapshots there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.points.len()
    }

    /// Never: a run has two snapshots.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// From the first snapshot to the last.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        (self.last().at_unix_ms - self.first().at_unix_ms) as f64 / 1_000.0
    }

    /// The time of a snapshot since the first.
    pub(super) fn second(&self, point: &Point) -> f64 {
        (point.at_unix_ms - self.first().at_unix_ms) as f64 / 1_000.0
    }

    /// When the first snapshot was taken: milliseconds since 1970.
    #[must_use]
    pub fn start_unix_ms(&self) -> u64 {
        self.first().at_unix_ms
    }

    pub(super) fn first(&self) -> &Point {
        &self.points[0]
    }

    pub(super) fn last(&self) -> &Point {
        &self.points[self.points.len() - 1]
    }

    /// The label sets that a metric has anywhere in the run.
    pub(super) fn label_sets(&self, metric: &str) -> BTreeSet<BTreeMap<String, String>> {
        let series = self.points.iter().flat_map(|point| point.series(metric));
        series.map(|series| series.labels.clone()).collect()
    }
}

/// Reads what a [`FileExport`](crate::monitor::export::FileExport) wrote: `path`, after the rotated
/// files beside it (`path.1`, `path.2`, ...), the oldest first; 256 MiB at most. Blocks.
///
/// # Errors
///
/// [`ReportError`] names the file, and the line where one is broken.
pub fn read(path: &Path) -> Result<Run, ReportError> {
    let old = (1..).map(|number| numbered(path, number)).take_while(|path| path.exists());
    let mut files: Vec<PathBuf> = old.collect();
    files.reverse();
    files.push(path.into());
    let (mut points, mut room) = (Vec::new(), RUN_BYTES_MAX);
    for file in &files {
        read_file(file, &mut points, &mut room)?;
    }
    points.sort_by_key(|point: &Point| point.at_unix_ms);
    if points.len() < 2 {
        return Err(ReportError::TooShort { file: path.into(), snapshots: points.len() });
    }
    Ok(Run { points })
}

fn read_file(file: &Path, points: &mut Vec<Point>, room: &mut u64) -> Result<(), ReportError> {
    let unreadable = |error| ReportError::Io { file: file.into(), error };
    let opened = File::open(file).map_err(unreadable)?;
    let mut reader = BufReader::new(opened).take(*room + 1);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let read = reader.read_until(b'\n', &mut line).map_err(unreadable)? as u64;
        if read == 0 {
            break;
        }
        let Some(left) = room.checked_sub(read) else {
            return Err(ReportError::TooLarge { file: file.into() });
        };
        *room = left;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let point = serde_json::from_slice(&line).map_err(|error| ReportError::Line {
            file: file.into(),
            line: number,
            reason: error.to_string(),
        })?;
        points.push(point);
    }
    Ok(())
}

/// Why there is no report.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReportError {
    /// A file can't be read.
    Io {
        /// Which.
        file: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A line is no snapshot.
    Line {
        /// Of which file.
        file: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// There is more than is read.
    TooLarge {
        /// The file in which the limit was passed.
        file: PathBuf,
    },
    /// A report needs two snapshots.
    TooShort {
        /// The run's file.
        file: PathBuf,
        /// How many there are.
        snapshots: usize,
    },
}

impl fmt::Display for ReportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { file, error } => write!(f, "{}: can't be read: {error}", file.display()),
            Self::Line { file, line, reason } => write!(
                f,
                "{}:{line}: no snapshot: {reason}; give the file that an export wrote",
                file.display()
            ),
            Self::TooLarge { file } => write!(
                f,
                "{}: the run has more than {RUN_BYTES_MAX} bytes; export less often",
                file.display()
            ),
            Self::TooShort { file, snapshots } => write!(
                f,
                "{}: {snapshots} snapshots, a report needs 2; export more often",
                file.display()
            ),
        }
    }
}

impl core::error::Error for ReportError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}

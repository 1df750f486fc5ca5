//! Numbers that leave the program on a schedule: to files, to InfluxDB.

mod file;
mod influx;
mod schedule;

pub(super) use file::numbered;

pub use file::{FileExport, FileExportConfig};
pub use influx::{ExportStats, InfluxExport, InfluxExportConfig};

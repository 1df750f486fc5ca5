//! The performance report: from exported snapshots to a page with plots and findings.
//!
//! ```no_run
//! use std::path::Path;
//! use turbopump_std::monitor::report;
//!
//! let run = report::read(Path::new("run.jsonl"))?;
//! std::fs::write("report.html", report::html(&run))?;
//! println!("{}", report::text(&run));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod checks;
mod findings;
mod page;
mod plots;
mod run;
mod svg;
mod text;

pub use findings::{Finding, Weight, findings};
pub use page::html;
pub use run::{ReportError, Run, read};
pub use text::text;

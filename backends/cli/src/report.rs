//! `turbopump report`: what a run was like.

use core::error::Error;
use std::fs;
use std::io::{self, Write};

use turbopump::runtime::monitor::report;

use crate::arguments::ReportArguments;
use crate::exit::Ended;

pub(crate) fn run(arguments: &ReportArguments) -> Result<Ended, Box<dyn Error>> {
    let run = report::read(&arguments.run)?;
    if let Some(out) = &arguments.out {
        let written = fs::write(out, report::html(&run));
        written.map_err(|error| format!("can't write {}: {error}", out.display()))?;
        eprintln!("turbopump: the page is {}", out.display());
    }
    match writeln!(io::stdout().lock(), "{}", report::text(&run).trim_end()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(Ended::Well),
    }
}

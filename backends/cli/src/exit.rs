//! How the program ends: what scripts see.

use core::error::Error;
use std::process::ExitCode;

/// Says on standard error why, with all causes, and ends with 1 where something failed and with 2
/// where what was asked for can't be done.
pub(crate) fn code_of(result: Result<Ended, Box<dyn Error>>) -> ExitCode {
    match result {
        Ok(Ended::Well) => ExitCode::SUCCESS,
        Ok(Ended::Badly) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("turbopump: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                eprintln!("  because: {error}");
                cause = error.source();
            }
            ExitCode::from(2)
        }
    }
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Well,
    /// It ran, and found something wrong; it has said so.
    Badly,
}

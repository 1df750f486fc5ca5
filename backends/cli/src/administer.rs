//! What commands that administer something share: what they say, and what they ask first.

use core::error::Error;
use std::io::{self, IsTerminal, Write};

use serde_json::json;

use turbopump::runtime::client::{AdminError, AdminErrorKind};

use crate::exit::Ended;

/// Whether somebody means it: asks at a terminal, and wants to be told elsewhere.
pub(crate) fn is_meant(yes: bool, question: &str, why: &str) -> Result<bool, Box<dyn Error>> {
    if yes {
        return Ok(true);
    }
    if !io::stdin().is_terminal() {
        return Err(format!("{why}, and nobody can be asked here: say --yes").into());
    }
    eprint!("{question} Write yes: ");
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "yes"))
}

/// What can't be asked for is an error of the caller's; anything else has failed there.
pub(crate) fn told(error: AdminError, is_json: bool) -> Result<Ended, Box<dyn Error>> {
    if matches!(error.kind(), AdminErrorKind::Name { .. } | AdminErrorKind::Setting { .. }) {
        return Err(error.into());
    }
    if is_json {
        say(&json!({ "error": error.to_string(), "done": error.done() }).to_string());
    }
    eprintln!("turbopump: {error}");
    Ok(Ended::Badly)
}

/// Whoever has read enough closes the pipe; that is no failure.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}

//! `turbopump demo`: real lines through everything there is.

mod arrival;
mod checker;
mod figures;
mod input;
mod lane;
mod message;
mod pipeline;
mod progress;
mod puller;
mod scratch;
mod server;
mod summary;
mod uplink;
mod watching;

use alloc::sync::Arc;
use core::error::Error;
use std::io::{self, Write};

use crate::arguments::{BackendName, DemoArguments};
use crate::exit::Ended;
use crate::switch::stop_at_ctrl_c;

use input::Input;
use summary::Summary;

/// Messages where nobody says how many: enough for some seconds.
const MESSAGES: u64 = 1_000_000;

pub(crate) fn run(arguments: &DemoArguments) -> Result<Ended, Box<dyn Error>> {
    let input = match &arguments.input {
        Some(path) => Input::file(path, arguments.key)?,
        None => Input::flights()?,
    };
    let all = if arguments.input.is_some() { input.lines() as u64 } else { MESSAGES };
    let messages = arguments.messages.unwrap_or(all);
    let stop = stop_at_ctrl_c()?;
    let input = Arc::new(input);
    let summary = match arguments.backend {
        BackendName::Tokio => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            let backend = turbopump::tokio::Backend::on(runtime.handle().clone());
            runtime.block_on(pipeline::run(backend, arguments, input, messages, stop))?
        }
        BackendName::Smol => {
            let backend = turbopump::smol::Backend::new();
            smol::block_on(pipeline::run(backend, arguments, input, messages, stop))?
        }
    };
    print(&summary, arguments.json)?;
    Ok(if summary.is_flawless() { Ended::Well } else { Ended::Badly })
}

/// Whoever has read enough closes the pipe; that is no failure.
fn print(summary: &Summary, as_json: bool) -> Result<(), Box<dyn Error>> {
    let text = if as_json { serde_json::to_string(summary)? } else { summary.to_string() };
    match writeln!(io::stdout().lock(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

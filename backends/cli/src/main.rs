//! The program `turbopump`.

extern crate alloc;

mod allocations;
mod arguments;
mod demo;
mod exit;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command};

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Demo(arguments) => demo::run(&arguments),
    };
    exit::code_of(result)
}

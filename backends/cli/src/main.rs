//! The program `turbopump`.

extern crate alloc;

mod administer;
mod allocations;
mod arguments;
mod broker;
mod client;
mod consume;
mod demo;
mod exit;
mod group;
mod load;
mod moment;
mod produce;
mod report;
mod switch;
mod tables;
mod topic;
mod watch;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command};

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Broker(arguments) => broker::run(&arguments),
        Command::Namesrv(arguments) => broker::run_namesrv(&arguments),
        Command::Produce(arguments) => produce::run(&arguments),
        Command::Consume(arguments) => consume::run(&arguments),
        Command::Load(arguments) => load::run(&arguments),
        Command::Topic(arguments) => topic::run(&arguments),
        Command::Group(arguments) => group::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Report(arguments) => report::run(&arguments),
    };
    exit::code_of(result)
}

//! The core on a bare Cortex-M: every part does its work once, without an allocator, and what it
//! says is checked. Runs under QEMU, which is told by semihosting whether all went well.
//!
//! `run.sh` builds and runs it. One argument makes it fail on purpose, in one of three ways, so
//! that a run that passes means something: `fail-check`, `fail-panic`, `fail-fault`.
#![no_std]
#![no_main]

mod check;
mod host;
mod parts;
mod stack;

use cortex_m_rt::entry;
use cortex_m_semihosting::hprintln;

use check::Checks;

#[entry]
fn main() -> ! {
    let mut checks = Checks::new();
    parts::run_all(&mut checks);

    let mut argument = [0; 32];
    match host::argument(&mut argument) {
        Some("fail-check") => checks.that(false, "this check fails on purpose", line!()),
        Some("fail-panic") => panic!("this panic is on purpose"),
        Some("fail-fault") => cortex_m::asm::udf(),
        Some(other) => {
            panic!("unknown argument {other}; give fail-check, fail-panic or fail-fault")
        }
        None => {}
    }

    let (used, room) = stack::usage();
    checks.that(used < room, "the stack never reached the static variables", line!());
    hprintln!("stack {} of {} bytes", used, room);
    hprintln!("{} passed, {} failed", checks.passed(), checks.failed());
    host::exit(checks.failed() == 0 && checks.passed() > 0)
}

//! Checks that are counted, and printed where they fail.

use cortex_m_semihosting::hprintln;

/// How many checks have passed and failed so far.
pub(crate) struct Checks {
    part: &'static str,
    passed: u32,
    failed: u32,
}

impl Checks {
    pub(crate) const fn new() -> Self {
        Self { part: "firmware", passed: 0, failed: 0 }
    }

    /// Says which part the next checks belong to.
    pub(crate) fn begin(&mut self, part: &'static str) {
        self.part = part;
    }

    #[inline(never)]
    pub(crate) fn that(&mut self, holds: bool, what: &'static str, line: u32) {
        if holds {
            self.passed += 1;
        } else {
            self.failed += 1;
            hprintln!("{} (line {}) failed: {}", self.part, line, what);
        }
    }

    pub(crate) const fn passed(&self) -> u32 {
        self.passed
    }

    pub(crate) const fn failed(&self) -> u32 {
        self.failed
    }
}

/// Counts whether a condition holds.
#[allow(unused_macros)] // Unused where no part is built in.
macro_rules! check {
    ($checks:expr, $holds:expr) => {
        $checks.that($holds, stringify!($holds), line!())
    };
}
#[allow(unused_imports)] // Unused where no part is built in.
pub(crate) use check;

/// What a step gave that later checks build on; its refusal ends the program.
#[track_caller]
#[allow(dead_code)] // Unused where no part is built in.
pub(crate) fn must<T, E>(result: Result<T, E>) -> T {
    match result {
        Ok(value) => value,
        Err(_) => panic!("this step must not be refused"),
    }
}

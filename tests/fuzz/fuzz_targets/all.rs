//! Runs the target that the environment variable `FUZZ_TARGET` names.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use turbopump_fuzz::{TARGETS, Target};

static SELECTED: LazyLock<Target> = LazyLock::new(|| {
    let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    let wanted = std::env::var("FUZZ_TARGET").unwrap_or_default();
    match TARGETS.iter().find(|(name, _)| *name == wanted) {
        Some((_, target)) => *target,
        None => panic!("set FUZZ_TARGET to one of {names:?}, it is {wanted:?}"),
    }
});

fuzz_target!(|data: &[u8]| SELECTED(data));

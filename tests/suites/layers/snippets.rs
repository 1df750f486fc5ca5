//! The rules on snippets that break them, and on such that only look as if they did.

use crate::rules::{self, File};

/// Layers of an imaginary core.
fn layers() -> Vec<String> {
    ["time", "pool", "frame", "rocketmq", "driver"].map(str::to_owned).to_vec()
}

fn file(path: &str, text: &str) -> File {
    File::new(path, text.to_owned()).expect("the snippet is Rust")
}

/// Applies `rule` to each snippet: what it finds begins with the second part, nothing if empty.
#[track_caller]
fn check(rule: impl Fn(&File, &mut Vec<String>), snippets: &[(&str, &str, &str)]) {
    for (path, text, expected) in snippets {
        let mut findings = Vec::new();
        rule(&file(path, text), &mut findings);
        match findings.as_slice() {
            [] => assert!(expected.is_empty(), "nothing was found in {path}: {text}"),
            [finding] => assert!(
                !expected.is_empty() && finding.contains(expected),
                "{finding} instead of '{expected}' in {path}: {text}"
            ),
            more => panic!("{more:?} in {path}: {text}"),
        }
    }
}

#[test]
fn uses_of_higher_layers_are_found() {
    let layering = |file: &File, findings: &mut Vec<String>| {
        rules::layering(file, &layers(), findings);
    };
    check(
        layering,
        &[
            ("core/src/pool/a.rs", "use crate::frame::Reader;", "pool uses frame"),
            ("core/src/pool/a.rs", "use crate::{time::Now, frame::Reader};", "pool uses frame"),
            ("core/src/pool/a.rs", "fn f() { g(\n&crate::frame::X) }", "a.rs:2: pool uses frame"),
            ("core/src/pool/a.rs", "m! { crate::frame::X }", "pool uses frame"),
            ("core/src/pool/a.rs", "use super::super::frame::Reader;", "pool uses frame"),
            ("core/src/pool/mod.rs", "use super::frame::Reader;", "pool uses frame"),
            ("core/src/pool.rs", "mod inner { use super::super::frame::X; }", "pool uses frame"),
            ("core/src/sync.rs", "use crate::time::Now;", "sync uses time"),
            ("core/src/frame/a.rs", "use crate::pool::Lease;", ""),
            ("core/src/frame/a.rs", "use crate::sync::AtomicU32;", ""),
            ("core/src/frame/a.rs", "use super::super::frame::b::X; use super::pool::Y;", ""),
            ("core/src/pool/a.rs", "// crate::frame::X\nconst A: &str = \"crate::frame\";", ""),
            ("core/src/pool/a.rs", "/// See [`crate::frame::Reader`].\nstruct A;", ""),
            ("core/src/pool/a.rs", "#[cfg(test)] mod tests { use crate::frame::X; }", ""),
            ("core/src/pool/tests.rs", "use crate::frame::X;", ""),
            ("core/src/pool/a.rs", "#[cfg(not(test))] use crate::frame::X;", "pool uses frame"),
        ],
    );
}

#[test]
fn uses_of_rocketmq_are_found() {
    check(
        rules::rocketmq,
        &[
            ("core/src/driver/mod.rs", "use crate::rocketmq::Engine;", "uses rocketmq"),
            ("core/src/pool/a.rs", "#[cfg(test)] mod t { use crate::rocketmq::X; }", "rocketmq"),
            ("core/src/rocketmq/a.rs", "use crate::rocketmq::wire::X;", ""),
            ("core/src/lib.rs", "pub mod rocketmq;", ""),
        ],
    );
}

#[test]
fn transports_outside_the_driver_are_found() {
    check(
        rules::transport,
        &[
            ("core/src/link/mod.rs", "use embedded_io_async::Read;", "only driver"),
            ("core/src/link/mod.rs", "fn f<R: embedded_io::Read>() {}", "only driver"),
            ("core/src/driver/mod.rs", "use embedded_io_async::Read;", ""),
        ],
    );
}

#[test]
fn unsafe_code_is_found() {
    let safety =
        |file: &File, findings: &mut Vec<String>| rules::safety(file, Some("pool"), findings);
    check(
        safety,
        &[
            ("core/src/frame/a.rs", "fn f() { unsafe { g() } }", "unsafe code"),
            ("core/src/frame/a.rs", "unsafe impl Send for A {}", "unsafe code"),
            ("core/src/frame/a.rs", "m!(unsafe { g() });", "unsafe code"),
            ("core/src/lib.rs", "#![allow(unsafe_code)]", "unsafe code"),
            ("core/src/pool/a.rs", "fn f() { unsafe { g() } }", ""),
            ("core/src/frame/a.rs", "// unsafe\nconst A: &str = \"unsafe\";", ""),
        ],
    );
    let nowhere = |file: &File, findings: &mut Vec<String>| rules::safety(file, None, findings);
    check(nowhere, &[("std-runtime/src/lib.rs", "fn f() { unsafe { g() } }", "unsafe code")]);
}

#[test]
fn clocks_are_found() {
    check(
        rules::clocks,
        &[
            ("core/src/batch/a.rs", "fn f() { std::time::Instant::now(); }", "reads no clock"),
            ("core/src/batch/a.rs", "use std::time::SystemTime;", "reads no clock"),
            ("core/src/batch/a.rs", "fn f(now: Now) { Instant::from_us(1); }", ""),
        ],
    );
}

#[test]
fn promises_that_are_missing_are_found() {
    check(
        rules::promises,
        &[
            ("core/src/a.rs", "/// Waits.\npub async fn f() {}", "Cancel safety"),
            ("core/src/a.rs", "/// # Cancel safety\n\npub async fn f() {}", "Cancel safety"),
            ("core/src/a.rs", "/// # Cancel safety\n///\n/// Safe.\npub async fn f() {}", ""),
            ("core/src/a.rs", "/// # Cancel safety\n#[inline]\npub async fn f() {}", ""),
            ("core/src/a.rs", "async fn f() {}\npub fn g() {}", ""),
        ],
    );
}

#[test]
fn what_is_too_long_is_found() {
    let long = "const A: u8 = 1;\n".repeat(601);
    let tests = format!("const A: u8 = 1;\n#[cfg(test)]\nmod tests {{\n{long}}}\n");
    let function = |lines: usize| format!("fn f() {{\n{}}}\n", "    g();\n".repeat(lines));
    check(
        rules::sizes,
        &[
            ("core/src/a.rs", &long, "601 lines"),
            ("core/src/a.rs", &tests, ""),
            ("core/src/a.rs", &function(69), "f has 71 lines"),
            ("core/src/a.rs", &function(68), ""),
        ],
    );
    let mut findings = Vec::new();
    rules::columns("a.rs", &format!("{}\n{}\n", "é".repeat(100), "x".repeat(101)), &mut findings);
    assert_eq!(findings, ["a.rs:2: 101 columns, at most 100"]);
}

#[test]
fn a_table_that_is_out_of_date_is_found() {
    let lib = file(
        "core/src/lib.rs",
        "//! | [`time`] | a | b |\n//! | [`gone`] | a | b |\n\
         pub mod time;\npub mod new;\nmod sync;",
    );
    let layers = rules::layers_of(&lib.text);
    assert_eq!(layers, ["time", "gone"]);
    let mut findings = Vec::new();
    rules::table(&lib, &layers, &mut findings);
    assert_eq!(findings.len(), 2, "{findings:?}");
    assert!(findings[0].contains("module new has no row"), "{findings:?}");
    assert!(findings[1].contains("gone is in the table"), "{findings:?}");
}

#[test]
fn paths_of_a_machine_are_found() {
    let found = |line: &str| {
        let mut findings = Vec::new();
        rules::paths("a.md", line, &mut findings);
        findings.len()
    };
    let home = ["/ho", "me/someone/file"].concat();
    assert_eq!(found(&home), 1);
    assert_eq!(found(&format!("see `{home}`.")), 1);
    assert_eq!(found(&format!("path=\"{home}\"")), 1);
    assert_eq!(found(&format!("example.org{home}")), 0);
    assert_eq!(found(&format!("..{home}")), 0);
}

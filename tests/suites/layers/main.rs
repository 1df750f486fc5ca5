//! The invariants of the architecture that can be read off the sources.
//!
//! What the compiler can't hold is held here: who may use whom, where unsafe code may be, that the
//! core reads no clock, and how long files, functions and lines may get. Each rule is tested
//! itself, on a snippet that breaks it.

extern crate alloc;

use std::fs;
use std::path::{Path, PathBuf};

use rules::File;

mod rules;
mod scan;
mod snippets;

/// Folders with what is made, not written.
const MADE: [&str; 6] =
    [".git", "target", "corpus", "artifacts", "node_modules", "proptest-regressions"];
/// Files of these kinds are read line by line.
const TEXTS: [&str; 8] = ["rs", "toml", "md", "sh", "py", "txt", "lock", "html"];

fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the tests are a folder of the repository").to_owned()
}

/// All written files below `folder`, from the repository's root, in order.
fn files_below(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
        for entry in entries.map(|entry| entry.expect("a folder can be listed")) {
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = entry.path();
            let kind = entry.file_type().expect("an entry has a kind");
            if kind.is_dir() && !MADE.contains(&name.as_str()) {
                folders.push(path);
            } else if kind.is_file() {
                let inside = path.strip_prefix(root()).expect("below the root");
                found.push(inside.to_str().expect("names are UTF-8").replace('\\', "/"));
            }
        }
    }
    found.sort();
    found
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The Rust files below `folder`.
fn sources_below(folder: &str) -> Vec<File> {
    let paths = files_below(folder).into_iter().filter(|path| path.ends_with(".rs"));
    let files: Result<Vec<File>, String> =
        paths.map(|path| File::new(&path, read(&path))).collect();
    let files = files.unwrap_or_else(|error| panic!("{error}"));
    assert!(!files.is_empty(), "no sources in {folder}: were they moved?");
    files
}

fn is_written(path: &str) -> bool {
    let kind = path.rsplit_once('.').map_or("", |(_, kind)| kind);
    TEXTS.contains(&kind) || path.starts_with(".ci/")
}

#[track_caller]
fn assert_none(findings: &[String]) {
    assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
}

#[test]
fn modules_of_the_core_use_those_above_them() {
    let core = sources_below("core/src");
    let lib = core.iter().find(|file| file.module.is_empty()).expect("core has a lib.rs");
    let layers = rules::layers_of(&lib.text);
    assert!(layers.len() >= 9, "the table of layers was not found: {layers:?}");
    let mut findings = Vec::new();
    rules::table(lib, &layers, &mut findings);
    for file in &core {
        rules::layering(file, &layers, &mut findings);
        rules::rocketmq(file, &mut findings);
        rules::transport(file, &mut findings);
    }
    assert_none(&findings);
}

#[test]
fn unsafe_code_is_in_the_pool_only() {
    let mut findings = Vec::new();
    for file in sources_below("core/src") {
        rules::safety(&file, Some("pool"), &mut findings);
    }
    for folder in ["std-runtime/src", "backends/src"] {
        for file in sources_below(folder) {
            rules::safety(&file, None, &mut findings);
        }
    }
    assert_none(&findings);
    for file in sources_below("core/src/pool") {
        rules::safety(&file, None, &mut findings);
    }
    assert!(!findings.is_empty(), "the pool has unsafe code, so this must find some");
}

#[test]
fn the_core_reads_no_clock() {
    let mut findings = Vec::new();
    for file in sources_below("core/src") {
        rules::clocks(&file, &mut findings);
    }
    assert_none(&findings);
}

#[test]
fn files_and_functions_can_be_read_in_one_go() {
    let mut findings = Vec::new();
    for file in sources_below("") {
        rules::sizes(&file, &mut findings);
    }
    assert_none(&findings);
}

#[test]
fn what_is_dropped_is_said_of_every_asynchronous_function() {
    let mut findings = Vec::new();
    for folder in ["core/src", "std-runtime/src", "backends/src"] {
        for file in sources_below(folder) {
            rules::promises(&file, &mut findings);
        }
    }
    assert_none(&findings);
}

#[test]
fn lines_fit_a_window() {
    let mut findings = Vec::new();
    // Elsewhere a line is a sentence, or a string that can't be broken.
    let kinds = [".rs", ".sh", ".py"];
    let wraps = |path: &str| kinds.iter().any(|kind| path.ends_with(kind));
    for path in files_below("").iter().filter(|path| wraps(path) || path.starts_with(".ci/")) {
        rules::columns(path, &read(path), &mut findings);
    }
    assert_none(&findings);
}

#[test]
fn nothing_points_at_one_machine() {
    let mut findings = Vec::new();
    for path in files_below("").iter().filter(|path| is_written(path)) {
        rules::paths(path, &read(path), &mut findings);
    }
    assert_none(&findings);
}

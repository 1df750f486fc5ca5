//! Golden vectors: what RocketMQ's own Java code has written is read, and written byte by byte.
//!
//! `tests/vectors/rocketmq-vectors.json` was made by the official jars. Another file of the same
//! kinds is checked as well if the environment variable `ROCKETMQ_VECTORS` names one.

use std::fmt::Debug;
use std::{env, fs};

use serde_json::Value;

mod bodies;
mod messages;
mod pure;

/// What a vector's check has found.
type Check = Result<(), String>;

/// Checks one vector, given its input and its output.
type Checker = fn(&Value, &Value) -> Check;

/// Checks all vectors of these kinds, and names all that are wrong.
fn check_all(kinds: &[(&str, Checker)]) {
    let recorded = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/rocketmq-vectors.json").to_owned();
    let more = env::var("ROCKETMQ_VECTORS").ok();
    for (path, is_recorded) in [(Some(recorded), true), (more, false)] {
        let Some(path) = path else { continue };
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let file: Value = serde_json::from_str(&text).expect("a file of vectors");
        let vectors = file["vectors"].as_array().expect("a list of vectors");
        let mut findings = Vec::new();
        for (kind, checker) in kinds {
            let of_kind = vectors.iter().filter(|vector| vector["kind"] == **kind);
            let mut count = 0;
            for vector in of_kind {
                count += 1;
                if let Err(finding) = checker(&vector["input"], &vector["output"]) {
                    findings.push(format!("{}: {finding}", vector["id"]));
                }
            }
            assert!(count > 0 || !is_recorded, "no vectors of kind {kind} in {path}");
            println!("{kind}: {count} vectors");
        }
        assert!(findings.is_empty(), "{path}:\n{}", findings.join("\n"));
    }
}

fn same<F: Debug + PartialEq<E>, E: Debug>(what: &str, found: F, expected: E) -> Check {
    if found == expected {
        return Ok(());
    }
    Err(format!("{what} is {found:?}, should be {expected:?}"))
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_else(|| panic!("{name} is no text in {value}"))
}

fn number(value: &Value, name: &str) -> i64 {
    value[name].as_i64().unwrap_or_else(|| panic!("{name} is no number in {value}"))
}

fn small(value: &Value, name: &str) -> i32 {
    i32::try_from(number(value, name)).unwrap_or_else(|_| panic!("{name} in {value}"))
}

fn flag(value: &Value, name: &str) -> bool {
    value[name].as_bool().unwrap_or_else(|| panic!("{name} is neither true nor false in {value}"))
}

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value[name].as_array().unwrap_or_else(|| panic!("{name} is no list in {value}"))
}

fn bytes(value: &Value, name: &str) -> Vec<u8> {
    from_hex(text(value, name))
}

fn from_hex(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    pairs.map(byte).collect()
}

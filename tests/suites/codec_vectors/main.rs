//! Golden vectors: what RocketMQ's own Java code has written is read, and written byte by byte.
//!
//! `tests/vectors/rocketmq-vectors.json` was made by the official jars. Any other file of the same
//! kinds is checked instead if the environment variable `VECTORS` names one. A kind that nobody
//! checks is a failure.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::{env, fs};

use serde_json::Value;

mod bodies;
mod compressed;
mod frames;
mod loose;
mod messages;
mod pure;

/// What a vector's check has found.
type Check = Result<(), String>;

/// Checks one vector, given its input and its output.
type Checker = fn(&Value, &Value) -> Check;

/// Kinds that are known but not checked yet.
const NOT_YET: &[&str] = &[];

#[test]
fn all_vectors() {
    let recorded = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/rocketmq-vectors.json");
    let other = env::var("VECTORS").ok();
    let path = other.as_deref().unwrap_or(recorded);
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let file = loose::ordered(&text);

    let kinds = [frames::KINDS, bodies::KINDS, compressed::KINDS, messages::KINDS, pure::KINDS];
    let checkers: Vec<(&str, Checker)> = kinds.into_iter().flatten().copied().collect();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut findings, mut skipped) = (Vec::new(), 0);
    for vector in file["vectors"].as_array().expect("a list of vectors") {
        let kind = vector["kind"].as_str().expect("a vector has a kind");
        let mut known = false;
        for (_, checker) in checkers.iter().filter(|(checked, _)| *checked == kind) {
            known = true;
            if let Err(finding) = checker(&vector["input"], &vector["output"]) {
                findings.push(format!("{}: {finding}", vector["id"]));
            }
        }
        if known {
            *counts.entry(kind).or_default() += 1;
        } else if NOT_YET.contains(&kind) {
            skipped += 1;
        } else {
            findings.push(format!("{}: nobody checks the kind {kind}", vector["id"]));
        }
    }
    let by_kind: Vec<String> =
        counts.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    let checked: usize = counts.values().sum();
    println!("{path}: {checked} vectors checked: {}", by_kind.join(", "));
    println!("not yet: {skipped} vectors, kinds {NOT_YET:?}");
    assert!(findings.is_empty(), "{path}: {} findings\n{}", findings.len(), findings.join("\n"));
    if other.is_none() {
        let kinds = checkers.iter().map(|(kind, _)| *kind);
        let unused: Vec<&str> = kinds.filter(|kind| !counts.contains_key(kind)).collect();
        assert!(unused.is_empty(), "the recorded file has no vectors of {unused:?}");
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

//! Running the programs that read the text formats.
//!
//! A program that is missing fails the test with a sentence that says how to get it.

use alloc::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// One number as a reader saw it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Reading {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) number: Number,
}

impl Reading {
    /// The name without the field that InfluxDB's readings append.
    pub(crate) fn measurement(&self) -> &str {
        self.name.split('.').next().unwrap_or_default()
    }
}

/// A number, so that equal means equal in every bit (of one NaN).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Number {
    Integer(i64),
    Float(u64),
}

impl Number {
    pub(crate) fn float(value: f64) -> Self {
        Self::Float(if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() })
    }
}

impl core::fmt::Debug for Number {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Integer(value) => write!(f, "{value}i"),
            Self::Float(bits) => write!(f, "{:?}", f64::from_bits(*bits)),
        }
    }
}

/// What Python read.
#[derive(Debug, Default)]
pub(crate) struct Read {
    /// Name, type and unit of each family, in order.
    pub(crate) families: Vec<String>,
    /// Each number, and how often it came.
    pub(crate) numbers: BTreeMap<Reading, u64>,
}

/// `promtool check metrics`: accepted, and nothing to remark.
pub(crate) fn check_with_promtool(text: &str) -> Result<(), String> {
    let mut command = Command::new("promtool");
    let output = run(command.args(["check", "metrics"]), text, "promtool (Debian: prometheus)");
    let remarks = remarks_of(&output);
    if output.status.success() && remarks.is_empty() { Ok(()) } else { Err(remarks) }
}

/// Python's `prometheus_client`, or its `json` for what InfluxDB answers.
pub(crate) fn read_with_python(format: &str, text: &str) -> Result<Read, String> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root.join("../target"), |target| root.join("..").join(target));
    let mut command = Command::new(target.join("peers/venv/bin/python"));
    command.arg(root.join("suites/exporter/read.py")).arg(format);
    let output = run(&mut command, text, "Python's prometheus_client");
    if !output.status.success() {
        return Err(remarks_of(&output));
    }
    let mut read = Read::default();
    for line in String::from_utf8(output.stdout).expect("ASCII").lines() {
        match line.strip_prefix("# ") {
            Some(family) => read.families.push(family.to_owned()),
            None => *read.numbers.entry(reading(line)).or_default() += 1,
        }
    }
    Ok(read)
}

/// Runs a program with `input` on its standard input.
fn run(command: &mut Command, input: &str, name: &str) -> Output {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped
        .spawn()
        .unwrap_or_else(|error| panic!("{name} is missing ({error}): run .ci/peers-install"));
    let mut stdin = child.stdin.take().expect("a piped standard input");
    let input = input.to_owned();
    // A thread of its own: the program may write more than a pipe holds before it has read all.
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("the program ends");
    // A program that stops reading at its first complaint breaks the pipe; its status says so.
    let _ = writer.join().expect("the writer does not panic");
    output
}

fn remarks_of(output: &Output) -> String {
    let texts = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    texts.concat()
}

/// A line of `read.py`.
fn reading(line: &str) -> Reading {
    let mut parts = line.split('\t');
    let name = parts.next().expect("a name").to_owned();
    let value = parts.next().expect("a value");
    let number = match value.strip_prefix('i') {
        Some(integer) => Number::Integer(integer.parse().expect("an integer")),
        None => Number::float(f64::from_bits(u64::from_str_radix(value, 16).expect("64 bits"))),
    };
    let labels = parts.map(|part| {
        let (name, value) = part.split_once('=').expect("name=value");
        (from_hex(name), from_hex(value))
    });
    Reading { name, labels: labels.collect(), number }
}

fn from_hex(digits: &str) -> String {
    let pairs = digits.as_bytes().chunks(2).map(|pair| {
        let pair = core::str::from_utf8(pair).expect("ASCII");
        u8::from_str_radix(pair, 16).expect("hexadecimal digits")
    });
    String::from_utf8(pairs.collect()).expect("UTF-8")
}

//! The format of pprof's profiles (`profile.proto` of github.com/google/pprof), as far as it is
//! used here; prost writes it.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use prost::Message;

use crate::monitor::http::{Reply, gzip};

#[derive(Clone, PartialEq, Message)]
struct Profile {
    #[prost(message, repeated, tag = "1")]
    sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    sample: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    string_table: Vec<String>,
    #[prost(int64, tag = "9")]
    time_nanos: i64,
    #[prost(int64, tag = "10")]
    duration_nanos: i64,
    #[prost(message, optional, tag = "11")]
    period_type: Option<ValueType>,
    #[prost(int64, tag = "12")]
    period: i64,
    #[prost(int64, tag = "14")]
    default_sample_type: i64,
}

/// Names are places in the table of strings.
#[derive(Clone, PartialEq, Message)]
struct ValueType {
    #[prost(int64, tag = "1")]
    kind: i64,
    #[prost(int64, tag = "2")]
    unit: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    /// The leaf first.
    #[prost(uint64, repeated, tag = "1")]
    location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
    #[prost(message, repeated, tag = "3")]
    label: Vec<Label>,
}

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(int64, tag = "1")]
    key: i64,
    #[prost(int64, tag = "2")]
    str: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Location {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(message, repeated, tag = "4")]
    line: Vec<Line>,
}

#[derive(Clone, PartialEq, Message)]
struct Line {
    #[prost(uint64, tag = "1")]
    function_id: u64,
    #[prost(int64, tag = "2")]
    line: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Function {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "2")]
    name: i64,
    #[prost(int64, tag = "3")]
    system_name: i64,
    #[prost(int64, tag = "4")]
    filename: i64,
}

/// Where something is: a function, with its file and line where they are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place<'p> {
    pub(super) function: &'p str,
    pub(super) file: &'p str,
    pub(super) line: u32,
}

/// Puts a profile together.
pub(super) struct Builder {
    profile: Profile,
    strings: BTreeMap<String, i64>,
    functions: BTreeMap<(i64, i64), u64>,
    locations: BTreeMap<(u64, u32), u64>,
}

impl Builder {
    /// Of samples with values of these kinds and units; the first is what is looked at first.
    pub(super) fn new(types: &[(&str, &str)], at_unix_ms: u64) -> Self {
        let mut this = Self {
            profile: Profile::default(),
            strings: BTreeMap::new(),
            functions: BTreeMap::new(),
            locations: BTreeMap::new(),
        };
        // The first string has to be empty.
        this.string("");
        this.profile.sample_type =
            types.iter().map(|(kind, unit)| this.value_type(kind, unit)).collect();
        this.look_at(types.first().map_or("", |(kind, _)| kind));
        this.profile.time_nanos =
            i64::try_from(at_unix_ms.saturating_mul(1_000_000)).unwrap_or(i64::MAX);
        this
    }

    /// Which kind of values is looked at first.
    pub(super) fn look_at(&mut self, kind: &str) {
        self.profile.default_sample_type = self.string(kind);
    }

    /// How long it took, and what lies between two samples.
    pub(super) fn period(&mut self, duration_ns: i64, kind: &str, unit: &str, every: i64) {
        self.profile.duration_nanos = duration_ns;
        self.profile.period_type = Some(self.value_type(kind, unit));
        self.profile.period = every;
    }

    /// Adds a sample of named frames, the leaf first.
    pub(super) fn sample(&mut self, stack: &[&str], values: &[i64], labels: &[(&str, &str)]) {
        let places = stack.iter().map(|function| Place { function, ..Place::default() });
        self.sample_at(places, values, labels);
    }

    /// Adds a sample, the leaf first.
    pub(super) fn sample_at<'p>(
        &mut self,
        stack: impl Iterator<Item = Place<'p>>,
        values: &[i64],
        labels: &[(&str, &str)],
    ) {
        let location_id = stack.map(|place| self.location(place)).collect();
        let labels = labels.iter();
        let label =
            labels.map(|(key, value)| Label { key: self.string(key), str: self.string(value) });
        let label = label.collect();
        self.profile.sample.push(Sample { location_id, value: values.into(), label });
    }

    fn value_type(&mut self, kind: &str, unit: &str) -> ValueType {
        ValueType { kind: self.string(kind), unit: self.string(unit) }
    }

    fn string(&mut self, text: &str) -> i64 {
        if let Some(at) = self.strings.get(text) {
            return *at;
        }
        let at = self.profile.string_table.len() as i64;
        self.profile.string_table.push(text.into());
        self.strings.insert(text.into(), at);
        at
    }

    fn location(&mut self, place: Place<'_>) -> u64 {
        let (name, filename) = (self.string(place.function), self.string(place.file));
        // Ids begin with 1.
        let next = self.profile.function.len() as u64 + 1;
        let function_id = *self.functions.entry((name, filename)).or_insert(next);
        if function_id == next {
            let function = Function { id: next, name, system_name: name, filename };
            self.profile.function.push(function);
        }
        let next = self.profile.location.len() as u64 + 1;
        let id = *self.locations.entry((function_id, place.line)).or_insert(next);
        if id == next {
            let line = Vec::from([Line { function_id, line: place.line.into() }]);
            self.profile.location.push(Location { id, line });
        }
        id
    }

    /// The profile, compressed where that is shorter; readers take both.
    pub(super) fn reply(&self) -> Reply {
        let bytes = self.profile.encode_to_vec();
        Reply::new("application/octet-stream", gzip(&bytes).unwrap_or(bytes))
    }
}

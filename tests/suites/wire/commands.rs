//! Every command: all fields, each field missing, fields that nobody knows.

use std::fmt::Debug;

use proptest::collection::vec;
use proptest::prelude::*;
use turbopump_core::rocketmq::wire::command::*;
use turbopump_core::rocketmq::wire::header::{Header, Serialization};

use crate::any_text;

type Fields = Vec<(String, String)>;

/// Writes fields and has a command read and write them.
type Through = fn(Serialization, &[(&str, &str)]) -> Result<Fields, CommandError>;

fn written(serialization: Serialization, fields: &[(&str, &str)], memory: &mut [u8]) -> usize {
    Header::request(1, 1).encode(serialization, fields, memory).expect("room enough")
}

/// Reads a command, writes it, and reads the same again.
fn reread<'a, C: Command<'a> + PartialEq + Debug>(
    serialization: Serialization,
    bytes: &'a [u8],
    memory: &'a mut [u8],
) -> Result<Fields, CommandError> {
    let (header, ext) = Header::decode(serialization, bytes).expect("a header");
    let command = C::decode(&ext)?;
    let len = header.encode(serialization, &command, memory).expect("room enough");
    let (_, ext) = Header::decode(serialization, &memory[..len]).expect("a header");
    assert_eq!(C::decode(&ext), Ok(command));
    let field = |field: turbopump_core::rocketmq::wire::header::ExtField<'_>| {
        let (name, value) = (field.name().expect("UTF-8"), field.value().expect("UTF-8"));
        (name.to_string(), value.map(|value| value.to_string()).unwrap_or_default())
    };
    Ok(ext.iter().map(field).collect())
}

/// Numbers are texts as well, and for booleans they are false.
fn check(name: &str, fields: &[&'static str], through: Through) {
    let values: Vec<String> = (7..).take(fields.len()).map(|value| format!("-{value}")).collect();
    let all: Vec<(&str, &str)> =
        fields.iter().copied().zip(values.iter().map(String::as_str)).collect();
    for serialization in [Serialization::Json, Serialization::Rocketmq] {
        let mut unknown = all.clone();
        unknown.push(("nobodyKnows", "this"));
        let written = through(serialization, &unknown);
        let written = written.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(written.len(), all.len(), "{name}: {written:?}");
        for ((field, value), (given, number)) in written.iter().zip(&all) {
            assert_eq!(field, given, "{name}");
            assert!(value == number || value == "false", "{name}: {field} is {value}");
        }
        for (boolean, _) in written.iter().filter(|(_, value)| value == "false") {
            let mut all = all.clone();
            all.iter_mut().filter(|(field, _)| field == boolean).for_each(|one| one.1 = "tRue");
            let written = through(serialization, &all).expect("all is there");
            assert!(written.contains(&(boolean.clone(), "true".into())), "{name}: {boolean}");
        }
        for (without, missing) in fields.iter().enumerate() {
            let mut some = all.clone();
            some.remove(without);
            match through(serialization, &some) {
                Err(error) => assert_eq!(error, CommandError::Missing { field: missing }, "{name}"),
                Ok(written) => {
                    // An optional field stays away, one with a default comes back with that.
                    let back = written.iter().find(|(field, _)| field == missing);
                    assert_ne!(back.map(|(_, value)| value), Some(&values[without]), "{name}");
                    assert!(written.len() + 1 >= all.len(), "{name}: {written:?}");
                }
            }
        }
    }
}

/// Any texts: where a field wants something else, it gets a number, and where one is missing, too.
fn check_any(name: &str, through: Through, values: &[(&'static str, String)], number: i32) {
    let number = number.to_string();
    for serialization in [Serialization::Json, Serialization::Rocketmq] {
        let mut given = values.to_vec();
        let written = loop {
            let fields: Vec<(&str, &str)> =
                given.iter().map(|(field, value)| (*field, &**value)).collect();
            match through(serialization, &fields) {
                Ok(written) => break written,
                Err(CommandError::Missing { field }) => given.push((field, number.clone())),
                Err(CommandError::Invalid { field, .. }) => {
                    let value = given.iter_mut().find(|(other, _)| *other == field);
                    let (_, value) = value.unwrap_or_else(|| panic!("{name} has no {field}"));
                    assert_ne!(*value, number, "{name}: {field} takes numbers");
                    value.clone_from(&number);
                }
                Err(error) => panic!("{name}: {error}"),
            }
        };
        for (field, value) in &written {
            let Some((_, given)) = given.iter().find(|(other, _)| other == field) else {
                // A default.
                continue;
            };
            let is_same = value == given
                || given.parse::<i64>().is_ok_and(|number| number.to_string() == *value)
                || given.eq_ignore_ascii_case("true").to_string() == *value;
            assert!(is_same, "{name}: {field} is {value:?} and was {given:?}");
        }
    }
}

fn any_value() -> impl Strategy<Value = String> {
    prop_oneof![any_text(), any::<i64>().prop_map(|number| number.to_string())]
}

/// The fields that all requests with a base have.
const BASE: [&str; 5] = ["ns", "nsd", "bname", "oway", "lo"];

type Named = (&'static str, &'static [&'static str], Through);

macro_rules! all {
    ($($command:ty,)*) => {&[$({
        fn through(
            serialization: Serialization,
            fields: &[(&str, &str)],
        ) -> Result<Fields, CommandError> {
            let (mut memory, mut again) = (vec![0; 32 * 1024], vec![0; 32 * 1024]);
            let len = written(serialization, fields, &mut memory);
            reread::<$command>(serialization, &memory[..len], &mut again)
        }
        (<$command as Command<'_>>::NAME, <$command as Command<'_>>::FIELDS, through as Through)
    }),*]};
}

const ALL: &[Named] = turbopump_tests::with_all_commands!(all);

#[test]
fn all_commands_are_read_as_they_are_written() {
    for (name, fields, through) in ALL {
        check(name, fields, *through);
    }
}

proptest! {
    #[test]
    fn all_commands_come_back_with_any_values(
        texts in vec(any_value(), 24),
        left_out in any::<u32>(),
        number in any::<i32>(),
    ) {
        for (name, fields, through) in ALL {
            let fields = fields.iter().chain(&BASE).copied().zip(&texts).enumerate();
            // What is empty is as good as not there in a binary header.
            let some = fields.filter(|(index, (_, value))| {
                left_out >> index & 1 == 0 && !value.is_empty()
            });
            let values: Vec<(&'static str, String)> =
                some.map(|(_, (field, value))| (field, value.clone())).collect();
            check_any(name, *through, &values, number);
        }
    }
}

//! Every body: JSON that looks like it is read, written and read again, in both dialects.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::BoxedStrategy;
use proptest::test_runner::{Config, TestRunner};
use turbopump_core::rocketmq::wire::body::*;
use turbopump_core::rocketmq::wire::json::{Dialect, JsonError};

use crate::any_text;

/// A value in fastjson's form, whose maps may have numbers and objects as keys.
fn any_value(shape: &'static Shape) -> BoxedStrategy<String> {
    match shape {
        Shape::Text => any_text().prop_map(quoted).boxed(),
        Shape::Name(names) => {
            prop::sample::select(*names).prop_map(|name| quoted(name.into())).boxed()
        }
        Shape::Whole(32) => any::<i32>().prop_map(|number| number.to_string()).boxed(),
        Shape::Whole(_) => any::<i64>().prop_map(|number| number.to_string()).boxed(),
        Shape::Number => (-1e6..1e6)
            .prop_filter("Java has an exponent here", |number: &f64| number.abs() > 1e-3)
            .prop_map(|number| format!("{number:?}"))
            .boxed(),
        Shape::Boolean => any::<bool>().prop_map(|value| value.to_string()).boxed(),
        Shape::Any => any_text().prop_map(|text| format!("[{}]", quoted(text))).boxed(),
        Shape::List(item) => vec(any_value(item), 0..3).prop_map(list).boxed(),
        Shape::Map(key, value) => {
            let entry = (any_value(key), any_value(value));
            vec(entry.prop_map(|(key, value)| format!("{key}:{value}")), 0..3)
                .prop_map(object)
                .boxed()
        }
        Shape::Object(members) => {
            let member = |member: &'static Member| {
                let name = quoted(member.name.into());
                any_value(member.shape).prop_map(move |value| format!("{name}:{value}"))
            };
            let members: Vec<_> = members.iter().map(member).collect();
            members.prop_map(object).boxed()
        }
        other => panic!("nobody makes a {other:?}"),
    }
}

fn quoted(text: String) -> String {
    let escaped = text.chars().map(|character| match character {
        '"' | '\\' => format!("\\{character}"),
        '\n' => "\\n".into(),
        '\r' => "\\r".into(),
        '\t' => "\\t".into(),
        '\u{8}' => "\\b".into(),
        '\u{c}' => "\\f".into(),
        '\0'..' ' => format!("\\u{:04X}", u32::from(character)),
        other => other.into(),
    });
    format!("\"{}\"", escaped.collect::<String>())
}

fn list(items: Vec<String>) -> String {
    format!("[{}]", items.join(","))
}

fn object(members: Vec<String>) -> String {
    format!("{{{}}}", members.join(","))
}

/// Reads JSON as one class and writes it in a dialect.
type Through = fn(&str, Dialect) -> Result<String, JsonError>;

fn check(name: &str, shape: &'static Shape, through: Through) {
    let Shape::Object(members) = shape else { panic!("{shape:?} is no body") };
    let names: Vec<&str> = members.iter().map(|member| member.name).collect();
    assert!(names.is_sorted(), "Java writes members by name: {names:?}");
    let mut runner = TestRunner::new(Config { cases: 24, ..Config::default() });
    let result = runner.run(&any_value(shape), |json| {
        // It is as fastjson writes it, so that it comes back byte by byte.
        prop_assert_eq!(through(&json, Dialect::Fastjson), Ok(json.clone()));
        let strict = through(&json, Dialect::Strict).expect("it was read before");
        prop_assert_eq!(through(&strict, Dialect::Fastjson), Ok(json.clone()));
        // What is cut is refused, and where is said.
        let cut = json.char_indices().map(|(at, _)| at).nth(json.chars().count() / 2).unwrap_or(0);
        let error = through(&json[..cut], Dialect::Fastjson).unwrap_err();
        prop_assert!(error.position <= cut);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{name}: {error}");
    }
}

fn encoded<'a>(body: &impl Body<'a>, dialect: Dialect) -> String {
    let mut memory = vec![0; 64 * 1024];
    let len = body.encode(dialect, &mut memory).expect("room enough");
    memory.truncate(len);
    String::from_utf8(memory).expect("only texts are written")
}

macro_rules! check_all {
    ($($class:ty,)*) => {$({
        fn through(json: &str, dialect: Dialect) -> Result<String, JsonError> {
            let body = <$class>::decode(json.as_bytes())?;
            let written = encoded(&body, dialect);
            assert_eq!(<$class>::decode(written.as_bytes()), Ok(body));
            Ok(written)
        }
        check(stringify!($class), &<$class as FromJson<'_>>::SHAPE, through);
    })*};
}

#[test]
fn all_bodies_come_back() {
    turbopump_tests::with_all_bodies!(check_all);
}

/// Nobody has to remember the lists.
#[test]
fn all_classes_are_in_the_lists() {
    let wire = concat!(env!("CARGO_MANIFEST_DIR"), "/../core/src/rocketmq/wire");
    macro_rules! names {
        ($($class:ty,)*) => { [$(stringify!($class)),*] };
    }
    let commands: BTreeSet<&str> = turbopump_tests::with_all_commands!(names).into();
    let bodies: BTreeSet<&str> = turbopump_tests::with_all_bodies!(names).into();
    for (folder, begin, listed) in
        [("command", "commands! {", commands), ("body", "bodies! {", bodies)]
    {
        let mut declared = BTreeSet::new();
        for file in std::fs::read_dir(format!("{wire}/{folder}")).expect("a folder") {
            let source = std::fs::read_to_string(file.expect("a file").path()).expect("a source");
            let Some((_, list)) = source.split_once(&format!("\n{begin}\n")) else { continue };
            let (list, _) = list.split_once("\n}\n").expect("its end");
            let heads = list.lines().filter(|line| line.starts_with("    ") && line.ends_with('{'));
            let name = |line: &str| line.trim().split(['<', ' ']).next().map(str::to_owned);
            declared.extend(heads.filter_map(name));
        }
        let bare = |name: &str| name.split([' ', '<']).next().map(str::to_owned);
        let listed: BTreeSet<String> = listed.into_iter().filter_map(bare).collect();
        assert_eq!(declared, listed, "{folder}");
    }
}

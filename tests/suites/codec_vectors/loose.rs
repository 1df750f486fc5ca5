//! What fastjson writes, as values of a JSON library: a second opinion that shares no code with
//! what is tested. The order of members, which that library does not keep, is found here as well.

use serde_json::{Map, Value};

/// JSON whose objects know the order of their members; [`pairs`] tells it.
pub(crate) fn ordered(text: &str) -> Value {
    let mut rest = text;
    let (value, _) = ordered_value(&mut rest);
    assert!(rest.trim().is_empty(), "something follows: {rest}");
    value
}

/// The members of an object that is a member, in the order of the file; none where it is `null`.
pub(crate) fn pairs<'v>(value: &'v Value, name: &str) -> Vec<(&'v str, Option<&'v str>)> {
    let Some(members) = value[name].as_object() else { return Vec::new() };
    let order = value[order_of(name)].as_array().expect("objects have an order").iter();
    let text = |name: &'v Value| name.as_str().expect("a name");
    order.map(text).map(|name| (name, members[name].as_str())).collect()
}

fn order_of(name: &str) -> String {
    format!("{name}, in order")
}

/// A value, and the names of its members if it is an object.
fn ordered_value(rest: &mut &str) -> (Value, Option<Vec<Value>>) {
    *rest = rest.trim_start();
    if take(rest, '[') {
        let mut items = Vec::new();
        while !take_next(rest, ']') {
            items.push(ordered_value(rest).0);
            take_next(rest, ',');
        }
        return (items.into(), None);
    }
    if !take(rest, '{') {
        return (scalar(rest), None);
    }
    let (mut members, mut names) = (Map::new(), Vec::new());
    while !take_next(rest, '}') {
        let name = scalar(rest);
        let key = name.as_str().expect("a name").to_owned();
        names.push(name);
        assert!(take_next(rest, ':'), "a colon before {rest}");
        let (value, order) = ordered_value(rest);
        if let Some(order) = order {
            members.insert(order_of(&key), order.into());
        }
        let before = members.insert(key, value);
        assert!(before.is_none(), "a name is there twice before {rest}");
        take_next(rest, ',');
    }
    (members.into(), Some(names))
}

fn take_next(rest: &mut &str, wanted: char) -> bool {
    *rest = rest.trim_start();
    take(rest, wanted)
}

/// The text with its arrays sorted, because Java's sets have no order; keys that are numbers or
/// objects become texts.
pub(crate) fn normal(text: &str) -> Value {
    let mut rest = text;
    let value = value(&mut rest);
    assert!(rest.is_empty(), "something follows: {rest}");
    value
}

fn value(rest: &mut &str) -> Value {
    match rest.as_bytes()[0] {
        b'{' => {
            *rest = &rest[1..];
            let mut members = Map::new();
            while !take(rest, '}') {
                let key = match value(rest) {
                    Value::String(key) => key,
                    other => other.to_string(),
                };
                assert!(take(rest, ':'), "a colon before {rest}");
                let before = members.insert(key, value(rest));
                assert!(before.is_none(), "a key is there twice before {rest}");
                take(rest, ',');
            }
            Value::Object(members)
        }
        b'[' => {
            *rest = &rest[1..];
            let mut items = Vec::new();
            while !take(rest, ']') {
                items.push(value(rest));
                take(rest, ',');
            }
            items.sort_by_key(Value::to_string);
            Value::Array(items)
        }
        _ => scalar(rest),
    }
}

fn scalar(rest: &mut &str) -> Value {
    let mut stream = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
    let value = stream.next().expect("a value").expect("valid JSON");
    let read = stream.byte_offset();
    *rest = &rest[read..];
    value
}

fn take(rest: &mut &str, wanted: char) -> bool {
    let found = rest.strip_prefix(wanted);
    *rest = found.unwrap_or(rest);
    found.is_some()
}

//! What fastjson writes, as values of a JSON library: a second opinion that shares no code with
//! what is tested.

use serde_json::{Map, Value};

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
        _ => {
            let mut stream = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
            let value = stream.next().expect("a value").expect("valid JSON");
            let read = stream.byte_offset();
            *rest = &rest[read..];
            value
        }
    }
}

fn take(rest: &mut &str, wanted: char) -> bool {
    let found = rest.strip_prefix(wanted);
    *rest = found.unwrap_or(rest);
    found.is_some()
}

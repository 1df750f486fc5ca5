//! RocketMQ's headers, commands, JSON and bodies: what is written is read again, and what other
//! people's JSON says is what ours says.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::Value;
use turbopump_core::rocketmq::wire::body::{
    Body, ConsumeType, ConsumerData, HeartbeatData, ProducerData, SubscriptionData, bits,
    write_bits,
};
use turbopump_core::rocketmq::wire::frame::{Frame, encode};
use turbopump_core::rocketmq::wire::header::{EncodeError, Header, Language, Serialization};
use turbopump_core::rocketmq::wire::json::{Dialect, JsonError, Reader, Text, Writer};

mod bodies;
mod commands;

/// Also what has to be escaped, and what takes two escapes.
fn any_text() -> impl Strategy<Value = String> {
    vec(prop_oneof![any::<char>(), prop::char::range('\0', '\u{7f}'), Just('"'), Just('\\')], 0..24)
        .prop_map(|characters| characters.into_iter().collect())
}

fn any_serialization() -> impl Strategy<Value = Serialization> {
    prop_oneof![Just(Serialization::Json), Just(Serialization::Rocketmq)]
}

/// Any value, with few levels.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e12..1e12).prop_map(Value::from),
        any_text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::from),
            vec((any_text(), inner), 0..5).prop_map(|members| members.into_iter().collect()),
        ]
    })
}

/// What our reader finds.
fn read(reader: &mut Reader<'_>, like: &Value) -> Result<Value, JsonError> {
    if reader.null()? {
        return Ok(Value::Null);
    }
    Ok(match like {
        Value::Null => Value::from("this is not null"),
        Value::Bool(_) => reader.bool()?.into(),
        Value::Number(number) if number.is_i64() => reader.i64()?.into(),
        Value::Number(_) => reader.f64()?.into(),
        Value::String(_) => reader.text()?.to_string().into(),
        Value::Array(items) => {
            let mut found = Vec::new();
            reader.begin_array()?;
            while reader.next_item()? {
                found.push(read(reader, items.get(found.len()).unwrap_or(&Value::Null))?);
            }
            found.into()
        }
        Value::Object(members) => {
            let mut found = serde_json::Map::new();
            reader.begin_object()?;
            while let Some(key) = reader.next_key()? {
                let key = key.raw().text()?.to_string();
                let value = read(reader, members.get(&key).unwrap_or(&Value::Null))?;
                found.insert(key, value);
            }
            found.into()
        }
    })
}

proptest! {
    #[test]
    fn frames_come_back(
        numbers in any::<[i16; 2]>(),
        (opaque, flag) in any::<(i32, i32)>(),
        language in 0_u8..14,
        remark in option::of(any_text()),
        fields in vec((any_text(), any_text()), 0..12),
        body in vec(any::<u8>(), 0..64),
        serialization in any_serialization(),
    ) {
        let [code, version] = numbers.map(i32::from);
        let language = Language::from_code(language);
        let mut remark = remark.as_deref().map(Text::from);
        let header = Header { code, language, version, opaque, flag, remark };
        let mut expected: Vec<(&str, Option<&str>)> =
            fields.iter().map(|(name, value)| (&**name, Some(&**value))).collect();
        let fields: Vec<(&str, &str)> =
            fields.iter().map(|(name, value)| (&**name, &**value)).collect();
        let mut memory = vec![0; 16 * 1024];
        let len = encode(&header, serialization, &fields[..], &body, &mut memory).unwrap();
        let frame = Frame::decode(&memory[..len]).unwrap();
        if serialization == Serialization::Rocketmq {
            // What is empty does not survive.
            remark = remark.filter(|remark| !remark.is_empty());
            expected.iter_mut().for_each(|(_, value)| *value = value.filter(|it| !it.is_empty()));
        }
        prop_assert_eq!(frame.header, Header { remark, ..header });
        prop_assert_eq!(frame.body, &body[..]);
        let found: Vec<(String, Option<String>)> = frame.ext.iter().map(|field| {
            let value = field.value().unwrap().map(|value| value.to_string());
            (field.name().unwrap().to_string(), value)
        }).collect();
        let found: Vec<(&str, Option<&str>)> =
            found.iter().map(|(name, value)| (&**name, value.as_deref())).collect();
        prop_assert_eq!(found, expected);
        // One byte less is too little, and is said so.
        let short = encode(&header, serialization, &fields[..], &body, &mut memory[..len - 1]);
        let needed = EncodeError::NoRoom { needed_bytes: len, room_bytes: len - 1 };
        prop_assert_eq!(short, Err(needed));
        for cut in 0..len {
            let error = Frame::decode(&memory[..cut]).map(|_| ()).unwrap_err();
            prop_assert!(error.position <= cut);
        }
    }

    #[test]
    fn anything_is_a_header_or_an_error_within(
        bytes in vec(any::<u8>(), 0..200),
        serialization in any_serialization(),
    ) {
        if let Err(error) = Header::decode(serialization, &bytes) {
            prop_assert!(error.position <= bytes.len());
        }
    }

    #[test]
    fn json_of_others_is_read(value in any_json(), pretty in any::<bool>()) {
        let to_text = if pretty { serde_json::to_string_pretty } else { serde_json::to_string };
        let text = to_text(&value).unwrap();
        let mut reader = Reader::new(text.as_bytes());
        prop_assert_eq!(read(&mut reader, &value), Ok(value.clone()));
        prop_assert_eq!(reader.end(), Ok(()));
        let mut reader = Reader::new(text.as_bytes());
        prop_assert!(reader.skip().is_ok());
        prop_assert_eq!(reader.end(), Ok(()));
        // No part of it is whole, but numbers are.
        let cut = text.len() / 2;
        if text.is_char_boundary(cut) && !value.is_number() {
            prop_assert!(Reader::new(&text.as_bytes()[..cut]).skip().is_err());
        }
    }

    #[test]
    fn texts_are_read_by_others(text in any_text(), strict in any::<bool>()) {
        let mut json = String::new();
        let dialect = if strict { Dialect::Strict } else { Dialect::Fastjson };
        Writer::new(&mut json, dialect).text((&*text).into()).unwrap();
        prop_assert!(!strict || json.is_ascii());
        prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text.clone());
        let read = Reader::new(json.as_bytes()).text().unwrap();
        prop_assert_eq!(read, &*text);
        let mut memory = vec![0; read.len_max()];
        prop_assert_eq!(read.copy_to(&mut memory), Ok(&*text));
    }

    #[test]
    fn heartbeats_come_back(
        texts in vec(any_text(), 6),
        tags in vec(any_text(), 0..4),
        codes in vec(any::<i32>(), 0..4),
        sub_version in any::<i64>(),
        strict in any::<bool>(),
    ) {
        let [client, producer, consumer, topic, sub_string, kind] = &texts[..] else { panic!() };
        let producers = [ProducerData { group_name: (&**producer).into() }];
        let tags: Vec<Text<'_>> = tags.iter().map(|tag| (&**tag).into()).collect();
        let subscriptions = [SubscriptionData {
            class_filter_mode: strict,
            code_set: codes.as_slice().into(),
            expression_type: Some((&**kind).into()),
            filter_class_source: None,
            sub_string: Some((&**sub_string).into()),
            sub_version,
            tags_set: tags.as_slice().into(),
            topic: (&**topic).into(),
        }];
        let consumers = [ConsumerData {
            consume_from_where: None,
            consume_type: Some(ConsumeType::Pop),
            group_name: (&**consumer).into(),
            message_model: None,
            subscription_data_set: (&subscriptions).into(),
            unit_mode: true,
        }];
        let heartbeat = HeartbeatData {
            client_id: (&**client).into(),
            consumer_data_set: (&consumers).into(),
            heartbeat_fingerprint: codes.len() as i32,
            producer_data_set: (&producers).into(),
            without_sub: false,
        };
        let dialect = if strict { Dialect::Strict } else { Dialect::Fastjson };
        let mut memory = vec![0; 16 * 1024];
        let len = heartbeat.encode(dialect, &mut memory).unwrap();
        prop_assert_eq!(HeartbeatData::decode(&memory[..len]), Ok(heartbeat));
        prop_assert!(serde_json::from_slice::<Value>(&memory[..len]).is_ok());
        let decoded = HeartbeatData::decode(&memory[..len]).unwrap();
        prop_assert_eq!(decoded.fingerprint(), heartbeat.fingerprint());
        for cut in 0..len {
            let error = HeartbeatData::decode(&memory[..cut]).unwrap_err();
            prop_assert!(error.position <= cut);
        }
    }

    #[test]
    fn sets_of_bits_come_back(mut numbers in vec(0_u32..200, 0..20)) {
        let mut text = String::new();
        write_bits(numbers.iter().copied(), &mut text).unwrap();
        numbers.sort_unstable();
        numbers.dedup();
        let read: Vec<u32> = bits((&*text).into()).unwrap().collect();
        prop_assert_eq!(read, numbers);
    }
}

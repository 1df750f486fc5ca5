//! RocketMQ's headers and frames: whatever is read is written and read again as the same, errors
//! say where within the input, and typed commands agree with a plain look-up.

use turbopump_core::rocketmq::wire::command::{
    Command, CommandError, PullMessageRequestHeader, SendMessageRequestHeaderV2,
};
use turbopump_core::rocketmq::wire::frame::{Frame, encode};
use turbopump_core::rocketmq::wire::header::{EncodeError, ExtFields, Header, Serialization};

/// Any bytes as a JSON header.
pub fn header_json(data: &[u8]) {
    header(Serialization::Json, data);
}

/// Any bytes as a binary header.
pub fn header_binary(data: &[u8]) {
    header(Serialization::Rocketmq, data);
}

/// Any bytes as a frame.
pub fn command_frame(data: &[u8]) {
    match Frame::decode(data) {
        Err(error) => assert!(error.position <= data.len(), "{error}"),
        Ok(frame) => {
            check_fields(&frame.ext);
            check_again(&frame.header, &frame.ext, frame.body);
        }
    }
}

fn header(serialization: Serialization, data: &[u8]) {
    match Header::decode(serialization, data) {
        Err(error) => assert!(error.position <= data.len(), "{error}"),
        Ok((header, ext)) => {
            check_fields(&ext);
            check_again(&header, &ext, b"");
        }
    }
}

type Fields = Vec<(String, Option<String>)>;

/// The fields in the order of the header, unless one is no UTF-8.
fn fields(ext: &ExtFields<'_>) -> Option<Fields> {
    let field = |field: turbopump_core::rocketmq::wire::header::ExtField<'_>| {
        let value = field.value().ok()?.map(|value| value.to_string());
        Some((field.name().ok()?.to_string(), value))
    };
    ext.iter().map(field).collect()
}

fn check_fields(ext: &ExtFields<'_>) {
    let Some(fields) = fields(ext) else { return };
    for (name, _) in &fields {
        let last = fields.iter().rev().find(|(other, _)| other == name).expect("it is there");
        let found = ext.get(name).expect("all are UTF-8").map(|value| value.to_string());
        assert_eq!(found, last.1);
    }
    let get = |name: &str| {
        let last = fields.iter().rev().find(|(other, _)| other == name);
        last.and_then(|(_, value)| value.clone())
    };
    match PullMessageRequestHeader::decode(ext) {
        Ok(pull) => {
            assert_eq!(Some(pull.topic.to_string()), get("topic"));
            assert_eq!(pull.queue_offset, get("queueOffset").unwrap().parse::<i64>().unwrap());
        }
        Err(CommandError::Missing { field }) => assert_eq!(get(field), None),
        Err(CommandError::Invalid { field, .. }) => assert!(get(field).is_some()),
        Err(error) => panic!("{error}"),
    }
    let _ = SendMessageRequestHeaderV2::decode(ext);
}

/// Written in both ways and read again.
fn check_again(header: &Header<'_>, ext: &ExtFields<'_>, body: &[u8]) {
    let Some(mut expected) = fields(ext) else { return };
    expected.retain(|(_, value)| value.is_some());
    let mut memory = vec![0; 64 * 1024];
    for serialization in [Serialization::Json, Serialization::Rocketmq] {
        let len = match encode(header, serialization, ext, body, &mut memory) {
            Ok(len) => len,
            Err(EncodeError::OutOfRange { .. }) if serialization == Serialization::Rocketmq => {
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        let again = Frame::decode(&memory[..len]).expect("it was written");
        let mut expected = expected.clone();
        let mut header = *header;
        if serialization == Serialization::Rocketmq {
            // What is empty does not survive.
            for (_, value) in &mut expected {
                *value = value.take().filter(|value| !value.is_empty());
            }
            header.remark = header.remark.filter(|remark| !remark.is_empty());
        }
        // An unknown language is written as another one.
        header.language = header.language.or(again.header.language);
        assert_eq!(again.header, header);
        assert_eq!(fields(&again.ext), Some(expected));
        assert_eq!(again.body, body);
    }
}

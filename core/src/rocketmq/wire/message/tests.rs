extern crate alloc;
use alloc::vec;
use alloc::vec::Vec;

use super::{
    BatchEntries, BatchEntry, Compression, EncodeError, Field, Message, MessageProblem, Messages,
    SysFlag, Transaction, Version,
};

fn encoded(message: &Message<'_>) -> Vec<u8> {
    let mut memory = vec![0; message.encoded_len()];
    assert_eq!(message.encode(&mut memory), Ok(memory.len()));
    memory
}

#[test]
fn nothing_but_the_fixed_part_takes_91_or_92_bytes() {
    assert_eq!(Message::new("", b"").encoded_len(), 91);
    assert_eq!(Message { version: Version::V2, ..Message::new("", b"") }.encoded_len(), 92);
    let v6 = "[::1]:1".parse().unwrap();
    let message = Message { born_host: v6, store_host: v6, ..Message::new("", b"") };
    let bytes = encoded(&message);
    assert_eq!(bytes.len(), 91 + 24);
    assert_eq!(Message::decode(&bytes).unwrap().0.sys_flag, SysFlag(0x30));
}

#[test]
fn a_message_is_refused_wherever_it_is_cut() {
    let message =
        Message { properties: b"a\x01b\x02", sys_flag: SysFlag(0x100), ..Message::new("T", b"b") };
    let bytes = encoded(&message);
    for len in 0..bytes.len() {
        let error = Message::decode(&bytes[..len]).unwrap_err();
        assert!(matches!(error.problem, MessageProblem::Truncated { .. }), "{len}: {error}");
        assert!(error.position <= len);
    }
    assert_eq!(Message::decode(&bytes), Ok((message, bytes.len())));
}

#[test]
fn an_error_says_where_it_is_in_the_whole() {
    let mut body = encoded(&Message::new("T", b"first"));
    let start = body.len();
    body.extend(encoded(&Message::new("T", b"second")));
    body[start + 4] = 0;
    let mut messages = Messages::new(&body);
    assert_eq!(messages.next().unwrap().unwrap().body, b"first");
    let error = messages.next().unwrap().unwrap_err();
    assert_eq!((error.position, error.field), (start + 4, Field::Magic));
    assert_eq!(messages.next(), None);
    assert_eq!(messages.position(), start);
}

#[test]
fn an_unknown_compression_does_not_hide_what_follows() {
    let unknown = Message { sys_flag: SysFlag(0x701), ..Message::new("T", b"?") };
    let mut body = encoded(&unknown);
    body.extend(encoded(&Message::new("T", b"second")));
    let mut messages = Messages::new(&body);
    let error = messages.next().unwrap().unwrap_err();
    assert_eq!((error.position, error.field), (36, Field::SysFlag));
    assert_eq!(messages.next().unwrap().unwrap().body, b"second");
}

#[test]
fn lengths_below_zero_and_odd_texts_are_refused() {
    let problem = |at: usize, byte: u8| {
        let mut bytes = encoded(&Message::new("T", b""));
        bytes[at] = byte;
        Message::decode(&bytes)
            .map(|(message, _)| message.properties.len())
            .map_err(|error| (error.field, error.problem))
    };
    let negative = |value| MessageProblem::Negative { value };
    assert_eq!(problem(84, 0x80).unwrap_err(), (Field::Body, negative(i32::MIN)));
    assert_eq!(problem(88, 0xff).unwrap_err(), (Field::Topic, negative(-1)));
    assert_eq!(problem(89, 0xff).unwrap_err(), (Field::Topic, MessageProblem::NotUtf8));
    let port = MessageProblem::Port { found: 1 << 24 };
    assert_eq!(problem(52, 1).unwrap_err(), (Field::BornHost, port));
    assert_eq!(problem(90, 0x80), Ok(0), "none, as to Java");
}

#[test]
fn fields_that_are_too_long_are_not_written() {
    let topic = "t".repeat(128);
    let long = Message { version: Version::V1, ..Message::new(&topic, b"") };
    let (field, len_bytes, len_bytes_max) = (Field::Topic, 128, 127);
    let too_long = EncodeError::TooLong { field, len_bytes, len_bytes_max };
    assert_eq!(long.encode(&mut [0; 512]), Err(too_long));
    assert!(Message::new(&topic, b"").encode(&mut [0; 512]).is_ok(), "the second version");

    let properties = vec![b'x'; 32_768];
    let entry = BatchEntry { properties: &properties, ..BatchEntry::default() };
    assert!(matches!(entry.encode(&mut []), Err(EncodeError::TooLong { .. })));
    let short = Message::new("T", b"body").encode(&mut [0; 95]);
    assert_eq!(short, Err(EncodeError::NoRoom { needed_bytes: 96, room_bytes: 95 }));
}

#[test]
fn an_inner_batch_is_split() {
    let entries = [(1, &b"one"[..]), (2, b"two")];
    let mut body = Vec::new();
    for (flag, entry_body) in entries {
        let entry = BatchEntry { flag, body: entry_body, properties: b"a\x01b\x02" };
        let mut memory = vec![0; entry.encoded_len()];
        entry.encode(&mut memory).unwrap();
        body.extend(memory);
    }
    let outer = Message {
        sys_flag: SysFlag(SysFlag::INNER_BATCH | SysFlag::NEED_UNWRAP),
        queue_offset: 7,
        ..Message::new("T", &body)
    };
    let inner: Vec<Message<'_>> = outer.inner(outer.body).unwrap().map(Result::unwrap).collect();
    assert_eq!(inner.len(), 2);
    for (index, (message, (flag, body))) in inner.iter().zip(entries).enumerate() {
        assert_eq!((message.flag, message.body), (flag, body));
        assert_eq!(message.queue_offset, 7 + index as i64);
        assert!(message.is_body_intact());
        assert_eq!(message.topic, "T");
    }
    assert!(Message { sys_flag: SysFlag(0x80), ..outer }.inner(&body).is_none());
    let cut = outer.inner(&body[..body.len() - 1]).unwrap().nth(1).unwrap().unwrap_err();
    assert_eq!(cut.field, Field::Properties);
}

#[test]
fn a_batch_ends_where_it_is_wrong() {
    let mut memory = [0; 64];
    let entry = BatchEntry { flag: 1, body: b"abc", properties: b"" };
    let len = entry.encode(&mut memory).unwrap();
    let mut entries = BatchEntries::new(&memory[..len + 3]);
    assert_eq!(entries.next(), Some(Ok(entry)));
    assert_eq!(entries.next().unwrap().unwrap_err().position, len);
    assert_eq!(entries.next(), None);
}

#[test]
fn the_flag_says_what_a_body_is() {
    assert_eq!(SysFlag(0x700).compression(), Ok(None));
    assert_eq!(SysFlag(0x001).compression(), Ok(Some(Compression::Zlib)));
    for compression in [Compression::Zlib, Compression::Lz4, Compression::Zstd] {
        let flag = SysFlag(0x48).with_compression(Some(compression));
        assert_eq!(flag.compression(), Ok(Some(compression)));
        assert_eq!(flag.restored().compression(), Ok(None));
        assert_eq!(flag.with_compression(None), SysFlag(0x48));
    }
    assert_eq!(SysFlag(0x401).compression().map_err(|error| error.number), Err(4));
    for transaction in [Transaction::None, Transaction::Prepared, Transaction::Rollback] {
        let flag = SysFlag(0x1 | 0x8).with_transaction(transaction);
        assert_eq!((flag.transaction(), flag.0 & 1), (transaction, 1));
    }
}

#[test]
fn a_damaged_body_is_noticed() {
    let message = Message::new("T", b"body");
    assert!(message.is_body_intact());
    assert!(!Message { body: b"bodY", ..message }.is_body_intact());
}

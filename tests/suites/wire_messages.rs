//! RocketMQ's messages, properties and texts: what is written is read again, whatever it holds,
//! and what is no message is an error that says where.

use std::net::SocketAddr;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use turbopump_core::rocketmq::wire::identity::{OffsetMessageId, UniqueKey};
use turbopump_core::rocketmq::wire::message::{
    BatchEntries, BatchEntry, EncodeError, Message, Messages, SysFlag, Version,
};
use turbopump_core::rocketmq::wire::pop::{
    OrderCount, OrderCountInfo, PopHandle, TopicMark, order_counts,
};
use turbopump_core::rocketmq::wire::properties::{
    NAME_END, Properties, PropertyError, VALUE_END, write_property,
};
use turbopump_core::rocketmq::wire::recall::RecallHandle;
use turbopump_core::rocketmq::wire::trace::records;

/// A message that owns what it borrows elsewhere.
#[derive(Clone, Debug)]
struct Owned {
    numbers: [i32; 3],
    offsets: [i64; 5],
    sys_flag: i32,
    hosts: [SocketAddr; 2],
    version: Version,
    topic: String,
    body: Vec<u8>,
    properties: Vec<u8>,
}

impl Owned {
    fn message(&self) -> Message<'_> {
        let [queue_id, flag, reconsume_times] = self.numbers;
        let [queue_offset, physical_offset, born_timestamp_ms, store_timestamp_ms, prepared] =
            self.offsets;
        let [born_host, store_host] = self.hosts;
        Message {
            version: self.version,
            queue_id,
            flag,
            queue_offset,
            physical_offset,
            // The bits for hosts follow from those; unknown compressions are refused.
            sys_flag: SysFlag(self.sys_flag & !0x431),
            born_timestamp_ms,
            born_host,
            store_timestamp_ms,
            store_host,
            reconsume_times,
            prepared_transaction_offset: prepared,
            properties: &self.properties,
            ..Message::new(&self.topic, &self.body)
        }
    }
}

fn owned() -> impl Strategy<Value = Owned> {
    let version = prop_oneof![Just(Version::V1), Just(Version::V2)];
    let bytes = (vec(any::<u8>(), 0..300), vec(any::<u8>(), 0..100));
    (any::<([i32; 3], [i64; 5], i32, [SocketAddr; 2])>(), version, "\\PC{0,30}", bytes).prop_map(
        |((numbers, offsets, sys_flag, hosts), version, topic, (body, properties))| Owned {
            numbers,
            offsets,
            sys_flag,
            hosts: hosts.map(|host| SocketAddr::new(host.ip(), host.port())),
            version,
            topic,
            body,
            properties,
        },
    )
}

/// What comes back: the flag says which hosts are of IPv6.
fn with_host_bits<'a>(message: &Message<'a>) -> Message<'a> {
    let born = if message.born_host.is_ipv6() { SysFlag::BORN_HOST_V6 } else { 0 };
    let store = if message.store_host.is_ipv6() { SysFlag::STORE_HOST_V6 } else { 0 };
    Message { sys_flag: SysFlag(message.sys_flag.0 | born | store), ..*message }
}

/// Each record's name, which of its fields is true or false, and how many fields there are.
const RECORDS: [(&str, usize, usize); 8] = [
    ("Pub", 13, 14),
    ("Pub", 13, 15),
    ("SubBefore", usize::MAX, 8),
    ("SubBefore", usize::MAX, 9),
    ("SubAfter", 4, 7),
    ("SubAfter", 4, 9),
    ("EndTransaction", 12, 13),
    ("Recall", 6, 7),
];

proptest! {
    #[test]
    fn messages_come_back_one_by_one(all in vec(owned(), 0..5)) {
        let mut body = Vec::new();
        for owned in &all {
            let message = owned.message();
            let start = body.len();
            body.resize(start + message.encoded_len(), 0);
            match message.encode(&mut body[start..]) {
                Ok(len) => prop_assert_eq!(start + len, body.len()),
                Err(EncodeError::TooLong { .. }) => {
                    prop_assert!(owned.version == Version::V1 && owned.topic.len() > 127);
                    return Ok(());
                }
                Err(other) => prop_assert!(false, "{other}"),
            }
        }
        let found: Vec<_> = Messages::new(&body).collect::<Result<_, _>>().unwrap();
        let expected: Vec<_> = all.iter().map(|owned| with_host_bits(&owned.message())).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn walking_anything_ends_within_it(
        owned in owned(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let message = owned.message();
        let mut body = vec![0; message.encoded_len()];
        if message.encode(&mut body).is_err() {
            return Ok(());
        }
        for (index, byte) in damage {
            *index.get_mut(&mut body) = byte;
        }
        let mut messages = Messages::new(&body);
        while let Some(found) = messages.next() {
            match found {
                Ok(found) => {
                    prop_assert!(messages.position() <= body.len());
                    if let Some(inner) = found.inner(found.body) {
                        inner.for_each(drop);
                    }
                }
                Err(error) => prop_assert!(error.position <= body.len()),
            }
        }
        let entries = BatchEntries::new(&body).filter_map(Result::err);
        for error in entries {
            prop_assert!(error.position <= body.len());
        }
    }

    #[test]
    fn batches_come_back(all in vec((any::<i32>(), vec(any::<u8>(), 0..99), "\\PC{0,9}"), 0..9)) {
        let mut body = Vec::new();
        let entries: Vec<BatchEntry<'_>> = all
            .iter()
            .map(|(flag, body, text)| BatchEntry { flag: *flag, body, properties: text.as_bytes() })
            .collect();
        for entry in &entries {
            let start = body.len();
            body.resize(start + entry.encoded_len(), 0);
            prop_assert_eq!(entry.encode(&mut body[start..]), Ok(entry.encoded_len()));
        }
        let found: Vec<_> = BatchEntries::new(&body).collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(found, entries);
    }

    #[test]
    fn properties_come_back(
        all in vec(("[a-c\u{1}\u{2}é]{0,3}", "[x-z\u{1}\u{2}🚀]{0,3}"), 0..12),
    ) {
        let mut text = String::new();
        let mut written = Vec::new();
        for (name, value) in &all {
            match write_property(&mut text, name, value) {
                Ok(()) => written.push((&**name, &**value)),
                Err(PropertyError::Empty { .. }) => {
                    prop_assert!(name.is_empty() || value.is_empty());
                }
                Err(PropertyError::Separator { .. }) => {
                    let both = format!("{name}{value}");
                    prop_assert!(both.contains([NAME_END, VALUE_END]));
                }
                Err(other) => prop_assert!(false, "{other}"),
            }
        }
        let properties = Properties::new(&text);
        prop_assert_eq!(properties.iter().collect::<Vec<_>>(), written.clone());
        for (name, _) in &written {
            let last = written.iter().rev().find(|(other, _)| other == name);
            prop_assert_eq!(properties.get(name), last.map(|(_, value)| *value));
        }
    }

    #[test]
    fn ids_and_handles_come_back(
        host in any::<SocketAddr>(),
        physical_offset in any::<i64>(),
        (process_id, loader_hash, month_ms, counter) in any::<(u16, i32, i32, u16)>(),
        (broker_name, topic, numbers) in ("[^ ]{1,9}", "[^ ]{0,9}", any::<[i64; 4]>()),
        (revive_queue_id, queue_id) in any::<(i32, i32)>(),
        offset in option::of(any::<i64>()),
    ) {
        let store_host = SocketAddr::new(host.ip(), host.port());
        let id = OffsetMessageId { store_host, physical_offset };
        prop_assert_eq!(id.to_string().parse(), Ok(id));
        let key = UniqueKey { ip: host.ip(), process_id, loader_hash, month_ms, counter };
        prop_assert_eq!(key.to_string().parse(), Ok(key));

        let [start_offset, pop_time_ms, invisible_time_ms, queue_offset] = numbers;
        let mark = TopicMark::RetryV1;
        let handle = PopHandle {
            start_offset,
            pop_time_ms,
            invisible_time_ms,
            revive_queue_id,
            mark,
            broker_name: &broker_name,
            queue_id,
            queue_offset,
        };
        let text = handle.to_string();
        prop_assert_eq!(PopHandle::parse(&text), Ok(handle));

        let count = OrderCount { mark, queue_id, offset, count: revive_queue_id };
        let text = OrderCountInfo(&[count]).to_string();
        prop_assert!(order_counts(&text).eq([Ok(count)]));

        let unique_key = key.to_string();
        let handle = RecallHandle {
            topic: &topic,
            broker_name: &broker_name,
            deliver_time_ms: physical_offset,
            unique_key: &unique_key,
        };
        let mut memory = [0; 512];
        prop_assert_eq!(RecallHandle::decode(&handle.to_string(), &mut memory), Ok(handle));
    }

    #[test]
    fn trace_records_are_written_as_they_were_read(
        (name, flag_at, count) in prop::sample::select(&RECORDS[..]),
        (mut fields, flag) in (vec("0|-?[1-9][0-9]{0,8}", 15), any::<bool>()),
        more in "[01]{0,1}",
    ) {
        fields.truncate(count);
        fields[0] = name.to_owned();
        if let Some(field) = fields.get_mut(flag_at) {
            *field = flag.to_string();
        }
        let text = fields.join("\u{1}") + "\u{2}";
        let found: Vec<_> = records(&text).collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(found.len(), 1);
        prop_assert_eq!(found[0].to_string(), text.clone());
        // One that is cut is refused, and the next one is read.
        let cut = fields[..count.min(6)].join("\u{1}") + "\u{2}" + &text + &more;
        let results: Vec<bool> = records(&cut).map(|record| record.is_ok()).collect();
        prop_assert_eq!(&results[..2], &[false, true]);
        prop_assert_eq!(results.len(), 2 + more.len());
    }
}

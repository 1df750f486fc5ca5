//! Texts of RocketMQ: properties, handles, offsets, ids and trace records.
//!
//! An input is one text that is read as each of them; what can be read comes back when written.

use turbopump_core::rocketmq::wire::identity::{OffsetMessageId, UniqueKey};
use turbopump_core::rocketmq::wire::names::{InNamespace, WithoutNamespace};
use turbopump_core::rocketmq::wire::pop::{
    OrderCountInfo, PopHandle, message_offsets, order_counts, start_offsets,
};
use turbopump_core::rocketmq::wire::properties::{
    Properties, crc_of_property, crc_property, write_property,
};
use turbopump_core::rocketmq::wire::recall::RecallHandle;
use turbopump_core::rocketmq::wire::trace::{TraceRecord, records};

/// Runs the target.
pub fn run(data: &[u8]) {
    if let Some(crc) = crc_of_property(data) {
        assert!(data.ends_with(&crc_property(crc)));
    }
    let properties = match Properties::from_bytes(data) {
        Ok(properties) => properties,
        Err(error) => {
            assert!(std::str::from_utf8(&data[..error.position]).is_ok());
            return;
        }
    };
    check_properties(properties);
    let text = properties.as_str();
    check_pop(text);
    if let Ok(id) = text.parse::<OffsetMessageId>() {
        assert!(id.to_string().eq_ignore_ascii_case(text));
    }
    if let Ok(key) = text.parse::<UniqueKey>() {
        assert!(key.to_string().eq_ignore_ascii_case(text));
    }
    let mut memory = vec![0; data.len()];
    if let Ok(handle) = RecallHandle::decode(text, &mut memory) {
        let mut memory = vec![0; data.len() + 4];
        assert_eq!(RecallHandle::decode(&handle.to_string(), &mut memory), Ok(handle));
    }
    for record in records(text).flatten() {
        check_record(&record);
    }
    let wrapped = InNamespace { namespace: "ns", name: text }.to_string();
    if wrapped != text {
        assert_eq!(WithoutNamespace(&wrapped).to_string(), text);
    }
}

fn check_properties(properties: Properties<'_>) {
    let mut text = String::new();
    let mut all = Vec::new();
    for (name, value) in properties {
        // A value may hold the separator of names: readers accept it, writers don't.
        if write_property(&mut text, name, value).is_ok() {
            all.push((name, value));
        }
    }
    assert!(Properties::new(&text).iter().eq(all));
    let _ = properties.delay();
    assert!(properties.index_keys().all(|key| !key.is_empty()));
}

fn check_pop(text: &str) {
    if let Ok(handle) = PopHandle::parse(text) {
        assert_eq!(PopHandle::parse(&handle.to_string()), Ok(handle));
    }
    if let Ok(counts) = order_counts(text).collect::<Result<Vec<_>, _>>() {
        let again = OrderCountInfo(&counts).to_string();
        assert_eq!(order_counts(&again).collect::<Result<Vec<_>, _>>(), Ok(counts));
    }
    for error in start_offsets(text).filter_map(Result::err) {
        assert!(error.position <= text.len() + 1, "{error}");
    }
    for queue in message_offsets(text).flatten() {
        assert!(queue.offsets().count() > 0);
    }
}

fn check_record(record: &TraceRecord<'_>) {
    let again = record.to_string();
    assert!(records(&again).eq([Ok(*record)]));
}

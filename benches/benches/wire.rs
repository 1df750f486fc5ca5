//! RocketMQ's headers: decoding the thirteen fields of a pull into their types, in both
//! serializations, and encoding them.
//!
//! The peers of JSON fill the same fields from the same text with derived code: serde_json and
//! sonic-rs, borrowing texts where they can. Decoding JSON should take less than sonic-rs, better
//! half. The peer of the binary layout is what a user would write by hand: one loop, one `match`,
//! texts borrowed. Fields also come in an order that nobody expects.

use core::hint::black_box;
use std::alloc::System;
use std::borrow::Cow;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde::Deserialize;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use turbopump_core::rocketmq::wire::command::{Command, PullMessageRequestHeader, RequestBase};
use turbopump_core::rocketmq::wire::header::{Header, Serialization, request_code};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn pull() -> PullMessageRequestHeader<'static> {
    PullMessageRequestHeader {
        consumer_group: "billing-consumers".into(),
        topic: "Orders".into(),
        queue_id: 3,
        queue_offset: 1_099_511_627_776,
        max_msg_nums: 32,
        sys_flag: 3,
        commit_offset: 1_099_511_627_000,
        suspend_timeout_millis: 15_000,
        subscription: Some("red || blue".into()),
        sub_version: 1_700_000_000_125,
        expression_type: Some("TAG".into()),
        max_msg_bytes: Some(262_144),
        base: RequestBase::of_broker("broker-a"),
        ..Default::default()
    }
}

fn encoded(serialization: Serialization) -> Vec<u8> {
    let mut memory = vec![0; 1_024];
    let header = Header::request(request_code::PULL_MESSAGE, 77);
    let len = header.encode(serialization, &pull(), &mut memory).expect("room enough");
    memory.truncate(len);
    memory
}

fn typed(serialization: Serialization, bytes: &[u8]) -> (Header<'_>, PullMessageRequestHeader<'_>) {
    let (header, ext) = Header::decode(serialization, bytes).expect("a header");
    (header, PullMessageRequestHeader::decode(&ext).expect("a pull"))
}

/// What derived code makes of the header. Numbers in quotes are parsed as ours are.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PeerHeader<'a> {
    code: i32,
    #[serde(borrow)]
    language: Cow<'a, str>,
    version: i32,
    opaque: i32,
    flag: i32,
    #[serde(borrow)]
    ext_fields: PeerFields<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PeerFields<'a> {
    #[serde(borrow)]
    consumer_group: Cow<'a, str>,
    #[serde(borrow)]
    topic: Cow<'a, str>,
    queue_id: &'a str,
    queue_offset: &'a str,
    max_msg_nums: &'a str,
    sys_flag: &'a str,
    commit_offset: &'a str,
    suspend_timeout_millis: &'a str,
    #[serde(borrow)]
    subscription: Option<Cow<'a, str>>,
    sub_version: &'a str,
    #[serde(borrow)]
    expression_type: Option<Cow<'a, str>>,
    max_msg_bytes: &'a str,
    #[serde(borrow)]
    bname: Option<Cow<'a, str>>,
}

impl PeerHeader<'_> {
    /// All there is, with its numbers as numbers.
    fn sum(&self) -> i64 {
        let fields = &self.ext_fields;
        let numbers = [
            fields.queue_id,
            fields.queue_offset,
            fields.max_msg_nums,
            fields.sys_flag,
            fields.commit_offset,
            fields.suspend_timeout_millis,
            fields.sub_version,
            fields.max_msg_bytes,
        ];
        let sum: i64 = numbers.iter().map(|number| number.parse::<i64>().expect("a number")).sum();
        let texts = [Some(&fields.consumer_group), Some(&fields.topic), Some(&self.language)];
        let options = [&fields.subscription, &fields.expression_type, &fields.bname];
        let texts = texts.into_iter().chain(options.map(Option::as_ref)).flatten();
        let head = [self.code, self.version, self.opaque, self.flag];
        sum + texts.map(|text| text.len() as i64).sum::<i64>() + i64::from(head.iter().sum::<i32>())
    }
}

/// The same by hand, for this one command.
#[derive(Debug, Default)]
#[allow(dead_code, reason = "decoded as a user would, whether the bench reads them or not")]
struct HandWritten<'a> {
    code: i16,
    language: u8,
    version: i16,
    opaque: i32,
    flag: i32,
    remark: Option<&'a str>,
    consumer_group: &'a str,
    topic: &'a str,
    queue_id: i32,
    queue_offset: i64,
    max_msg_nums: i32,
    sys_flag: i32,
    commit_offset: i64,
    suspend_timeout_millis: i64,
    subscription: Option<&'a str>,
    sub_version: i64,
    expression_type: Option<&'a str>,
    max_msg_bytes: Option<i32>,
    broker_name: Option<&'a str>,
}

fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(taken)
}

fn take_i16(bytes: &mut &[u8]) -> Option<i16> {
    Some(i16::from_be_bytes(take(bytes, 2)?.try_into().ok()?))
}

fn take_i32(bytes: &mut &[u8]) -> Option<i32> {
    Some(i32::from_be_bytes(take(bytes, 4)?.try_into().ok()?))
}

fn take_text<'a>(bytes: &mut &'a [u8], len: usize) -> Option<&'a str> {
    str::from_utf8(take(bytes, len)?).ok()
}

fn by_hand(mut bytes: &[u8]) -> Option<HandWritten<'_>> {
    let bytes = &mut bytes;
    let mut pull = HandWritten {
        code: take_i16(bytes)?,
        language: take(bytes, 1)?[0],
        version: take_i16(bytes)?,
        opaque: take_i32(bytes)?,
        flag: take_i32(bytes)?,
        ..Default::default()
    };
    let len = usize::try_from(take_i32(bytes)?).ok()?;
    pull.remark = Some(take_text(bytes, len)?).filter(|remark| !remark.is_empty());
    let len = usize::try_from(take_i32(bytes)?).ok()?;
    let mut fields = take(bytes, len)?;
    while !fields.is_empty() {
        let len = usize::try_from(take_i16(&mut fields)?).ok()?;
        let name = take(&mut fields, len)?;
        let len = usize::try_from(take_i32(&mut fields)?).ok()?;
        let value = take_text(&mut fields, len)?;
        match name {
            b"consumerGroup" => pull.consumer_group = value,
            b"topic" => pull.topic = value,
            b"queueId" => pull.queue_id = value.parse().ok()?,
            b"queueOffset" => pull.queue_offset = value.parse().ok()?,
            b"maxMsgNums" => pull.max_msg_nums = value.parse().ok()?,
            b"sysFlag" => pull.sys_flag = value.parse().ok()?,
            b"commitOffset" => pull.commit_offset = value.parse().ok()?,
            b"suspendTimeoutMillis" => pull.suspend_timeout_millis = value.parse().ok()?,
            b"subscription" => pull.subscription = Some(value),
            b"subVersion" => pull.sub_version = value.parse().ok()?,
            b"expressionType" => pull.expression_type = Some(value),
            b"maxMsgBytes" => pull.max_msg_bytes = Some(value.parse().ok()?),
            b"bname" => pull.broker_name = Some(value),
            _ => {}
        }
    }
    Some(pull)
}

/// The same header with its fields backwards.
fn backwards(serialization: Serialization) -> Vec<u8> {
    let bytes = encoded(serialization);
    let (header, ext) = Header::decode(serialization, &bytes).expect("a header");
    let mut fields: Vec<(&str, &str)> = Vec::new();
    for field in ext.iter() {
        let (name, value) = (field.name().unwrap(), field.value().unwrap().unwrap());
        fields.push((name.as_str().unwrap(), value.as_str().unwrap()));
    }
    fields.reverse();
    let mut memory = vec![0; 1_024];
    let len = header.encode(serialization, &fields[..], &mut memory).expect("room enough");
    memory.truncate(len);
    memory
}

fn decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode a pull of 13 fields");
    group.throughput(Throughput::Elements(1));
    for (name, serialization) in
        [("JSON", Serialization::Json), ("binary", Serialization::Rocketmq)]
    {
        let bytes = encoded(serialization);
        let region = Region::new(ALLOCATOR);
        let (header, fields) = typed(serialization, &bytes);
        assert_eq!((header.opaque, fields), (77, pull()));
        assert_eq!(region.change().allocations, 0);
        group.bench_function(name, |b| b.iter(|| typed(serialization, black_box(&bytes))));
        group.bench_function(format!("{name}, header only"), |b| {
            b.iter(|| Header::decode(serialization, black_box(&bytes)).expect("a header"));
        });
        let bytes = backwards(serialization);
        assert_eq!(typed(serialization, &bytes).1, pull());
        group.bench_function(format!("{name}, fields backwards"), |b| {
            b.iter(|| typed(serialization, black_box(&bytes)));
        });
    }
    let bytes = encoded(Serialization::Rocketmq);
    let pulled = by_hand(&bytes).expect("a header");
    let expected = pull();
    assert_eq!((pulled.opaque, pulled.queue_offset), (77, expected.queue_offset));
    assert_eq!(pulled.broker_name.map(Into::into), expected.base.broker_name);
    group.bench_function("binary by hand", |b| {
        b.iter(|| by_hand(black_box(&bytes)).expect("a header"));
    });
    let bytes = encoded(Serialization::Json);
    let by_serde: PeerHeader<'_> = serde_json::from_slice(&bytes).expect("a header");
    let by_sonic: PeerHeader<'_> = sonic_rs::from_slice(&bytes).expect("a header");
    assert_eq!(by_serde.sum(), by_sonic.sum());
    group.bench_function("JSON by serde_json", |b| {
        b.iter(|| serde_json::from_slice::<PeerHeader<'_>>(black_box(&bytes)).unwrap().sum());
    });
    group.bench_function("JSON by sonic-rs", |b| {
        b.iter(|| sonic_rs::from_slice::<PeerHeader<'_>>(black_box(&bytes)).unwrap().sum());
    });
    group.finish();
}

fn encode(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode a pull of 13 fields");
    group.throughput(Throughput::Elements(1));
    let header = Header::request(request_code::PULL_MESSAGE, 77);
    let fields = pull();
    let mut memory = vec![0; 1_024];
    for (name, serialization) in
        [("JSON", Serialization::Json), ("binary", Serialization::Rocketmq)]
    {
        group.bench_function(name, |b| {
            b.iter(|| header.encode(serialization, black_box(&fields), &mut memory).unwrap());
        });
    }
    group.finish();
}

criterion_group!(benches, decode, encode);
criterion_main!(benches);

//! RocketMQ's messages: walking the body of a pull, and writing a batch, alone and as the request
//! that sends it.
//!
//! A time per iteration covers 32 messages of 1 KiB; divide by 32, or read the elements per second.
//! Walking without the CRC should take less than 25 ns a message. Beside the batch stands what it
//! can't be faster than: one copy of each body.

use core::hint::black_box;
use std::alloc::System;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use turbopump_core::rocketmq::wire::command::SendMessageRequestHeaderV2;
use turbopump_core::rocketmq::wire::frame::{encode_head, head_bytes};
use turbopump_core::rocketmq::wire::header::{Header, Serialization, request_code};
use turbopump_core::rocketmq::wire::message::{BatchEntry, Message, Messages};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const MESSAGES: usize = 32;
const BODY_BYTES: usize = 1_024;
const PROPERTIES: &[u8] =
    b"UNIQ_KEY\x017F00000100012A139A7D18B4AAC20000\x02WAIT\x01true\x02TAGS\x01blue\x02";

fn pull_body() -> Vec<u8> {
    let body = [7; BODY_BYTES];
    let mut bytes = Vec::new();
    for index in 0..MESSAGES {
        let queue_offset = index as i64;
        let message =
            Message { queue_offset, properties: PROPERTIES, ..Message::new("Orders", &body) };
        let start = bytes.len();
        bytes.resize(start + message.encoded_len(), 0);
        message.encode(&mut bytes[start..]).expect("room enough");
    }
    bytes
}

/// What a consumer does at least with a message: look where it is and what it holds.
fn touch(message: &Message<'_>) -> u64 {
    let last = message.body.last().copied().unwrap_or(0);
    u64::from(last) + message.queue_offset as u64 + message.topic.len() as u64
}

fn walk(c: &mut Criterion) {
    let bytes = pull_body();
    let mut group = c.benchmark_group("walk a pull of 32 messages");
    group.throughput(Throughput::Elements(MESSAGES as u64));
    let region = Region::new(ALLOCATOR);
    let walked = Messages::new(&bytes).filter(|message| message.is_ok()).count();
    assert_eq!((walked, region.change().allocations), (MESSAGES, 0));
    group.bench_function("fields only", |b| {
        b.iter(|| {
            let messages = Messages::new(black_box(&bytes));
            messages.map(|message| touch(&message.unwrap())).sum::<u64>()
        });
    });
    group.bench_function("with tags", |b| {
        b.iter(|| {
            let messages = Messages::new(black_box(&bytes));
            let tags = messages.map(|message| message.unwrap().properties().unwrap().tags());
            tags.map(|tags| tags.map_or(0, str::len)).sum::<usize>()
        });
    });
    group.bench_function("with the CRC", |b| {
        b.iter(|| {
            let messages = Messages::new(black_box(&bytes));
            messages.filter(|message| message.unwrap().is_body_intact()).count()
        });
    });
    group.finish();
}

/// A whole request into the buffer that is sent: the bodies go straight behind the room for the
/// head, whose length is known before.
fn send(serialization: Serialization, bodies: &[[u8; BODY_BYTES]], memory: &mut [u8]) -> usize {
    let fields = SendMessageRequestHeaderV2 {
        producer_group: "billing".into(),
        topic: "Orders".into(),
        default_topic: "TBW102".into(),
        default_topic_queue_nums: 4,
        queue_id: 3,
        born_timestamp: 1_700_000_000_125,
        batch: Some(true),
        broker_name: Some("broker-a".into()),
        ..Default::default()
    };
    let header = Header::request(request_code::SEND_BATCH_MESSAGE, 77);
    let head_len = head_bytes(&header, serialization, &fields).expect("it can be carried");
    let (head, rest) = memory.split_at_mut(head_len);
    let mut body_bytes = 0;
    for body in bodies {
        let entry = BatchEntry { flag: 0, body, properties: PROPERTIES };
        body_bytes += entry.encode(&mut rest[body_bytes..]).expect("room enough");
    }
    encode_head(&header, serialization, &fields, body_bytes, head).expect("room enough");
    head_len + body_bytes
}

fn batch(c: &mut Criterion) {
    let bodies = [[7; BODY_BYTES]; MESSAGES];
    let mut memory = vec![0; 2 * MESSAGES * BODY_BYTES];
    let mut group = c.benchmark_group("write a batch of 32 messages");
    group.throughput(Throughput::Elements(MESSAGES as u64));
    let mut write = |bodies: &[[u8; BODY_BYTES]]| {
        let mut end = 0;
        for body in bodies {
            let entry = BatchEntry { flag: 0, body, properties: PROPERTIES };
            end += entry.encode(&mut memory[end..]).expect("room enough");
        }
        end
    };
    let region = Region::new(ALLOCATOR);
    let len = write(&bodies);
    assert_eq!(len, MESSAGES * (22 + BODY_BYTES + PROPERTIES.len()));
    assert_eq!(region.change().allocations, 0);
    group.bench_function("BatchEntry::encode", |b| b.iter(|| write(black_box(&bodies))));
    let mut frame = vec![0; 2 * MESSAGES * BODY_BYTES];
    for (name, serialization) in
        [("JSON", Serialization::Json), ("binary", Serialization::Rocketmq)]
    {
        let region = Region::new(ALLOCATOR);
        assert!(send(serialization, &bodies, &mut frame) > len);
        assert_eq!(region.change().allocations, 0);
        group.bench_function(format!("as a whole request, {name}"), |b| {
            b.iter(|| send(serialization, black_box(&bodies), &mut frame));
        });
    }
    let mut target = vec![0; MESSAGES * BODY_BYTES];
    group.bench_function("a copy of the bodies", |b| {
        b.iter(|| {
            for (to, from) in target.chunks_exact_mut(BODY_BYTES).zip(black_box(&bodies)) {
                to.copy_from_slice(from);
            }
            black_box(&mut target);
        });
    });
    group.finish();
}

criterion_group!(benches, walk, batch);
criterion_main!(benches);

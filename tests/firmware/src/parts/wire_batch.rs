//! Messages of RocketMQ that are written: stored ones and those of a batch.

use turbopump_core::rocketmq::wire::message::{BatchEntry, Message};
use turbopump_core::rocketmq::wire::properties::{keys, write_property};
use turbopump_core::rocketmq::wire::text::TextBuffer;

use crate::check::{Checks, check, must};

#[inline(never)]
pub(crate) fn run(checks: &mut Checks) {
    let mut memory = [0; 64];
    let mut properties = TextBuffer::new(&mut memory);
    must(write_property(&mut properties, keys::TAGS, "red"));
    let message =
        Message { properties: properties.as_bytes(), ..Message::new("Orders", b"hello") };
    let mut stored = [0; 128];
    let len = must(message.encode(&mut stored));
    check!(checks, len == message.encoded_len());
    check!(checks, message.encode(&mut stored[..len - 1]).is_err());
    let entry = BatchEntry { flag: 0, body: b"hello", properties: properties.as_bytes() };
    check!(checks, must(entry.encode(&mut stored)) == entry.encoded_len());
}

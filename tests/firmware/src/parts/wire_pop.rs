//! Receipt handles and offsets of RocketMQ's pop consumers, and handles that recall a message.

use core::fmt::Write;

use turbopump_core::rocketmq::wire::pop::{PopHandle, TopicMark, message_offsets};
use turbopump_core::rocketmq::wire::recall::RecallHandle;
use turbopump_core::rocketmq::wire::text::TextBuffer;

use crate::check::{Checks, check, must};

const HANDLE: &str = "0 1700000000000 30000 0 2 broker-0 1 7";

#[inline(never)]
pub(crate) fn run(checks: &mut Checks) {
    let handle = must(PopHandle::parse(HANDLE));
    check!(checks, handle.mark == TopicMark::RetryV2 && handle.queue_offset == 7);
    let mut memory = [0; 64];
    let mut text = TextBuffer::new(&mut memory);
    must(write!(text, "{handle}"));
    check!(checks, text.as_str() == HANDLE);
    let queue = message_offsets("0 3 7,9").next().unwrap_or_else(|| panic!("there is one"));
    check!(checks, must(queue).offsets().eq([7, 9]));
    let recall =
        RecallHandle { topic: "T", broker_name: "b", deliver_time_ms: 7, unique_key: "U" };
    text.clear();
    must(write!(text, "{recall}"));
    let mut plain = [0; 64];
    check!(checks, RecallHandle::decode(text.as_str(), &mut plain) == Ok(recall));
}

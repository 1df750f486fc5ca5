//! Messages of RocketMQ, read from the body of a pull, with their properties.

use turbopump_core::rocketmq::wire::message::Messages;

use crate::check::{Checks, check, must};

/// One message with an empty head, and the magic number of the next.
const BODY: &[u8] = b"\0\0\0\x65\xda\xa3\x20\xa7\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\0\0\0\0\x09\
    \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x0a\0\0\x01\0\0\0\x01\0\0\0\0\0\0\0\0\
    \x0a\0\0\x02\0\0\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02hi\x01T\0\x07TAGS\x01t\x02\
    \0\0\0\x07\xda\xa3";

#[inline(never)]
pub(crate) fn run(checks: &mut Checks) {
    let mut messages = Messages::new(BODY);
    let message = must(messages.next().unwrap_or_else(|| panic!("there is one")));
    check!(checks, message.queue_id == 3 && message.queue_offset == 9);
    check!(checks, message.topic == "T" && message.body == b"hi");
    check!(checks, must(message.properties()).tags() == Some("t"));
    check!(checks, !message.is_body_intact());
    check!(checks, messages.next().is_some_and(|message| message.is_err()));
}

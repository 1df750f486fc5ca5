//! Whole frames of RocketMQ, in either serialization, with the fields of no particular command.

use turbopump_core::rocketmq::wire::frame::{Frame, encode};
use turbopump_core::rocketmq::wire::header::{Header, Serialization, request_code};

use crate::check::{Checks, check, must};

#[inline(never)]
pub(crate) fn run(checks: &mut Checks) {
    for serialization in [Serialization::Json, Serialization::Rocketmq] {
        let header = Header::request(request_code::SEND_MESSAGE_V2, 7);
        let mut memory = [0; 256];
        let fields = [("topic", "Orders"), ("queueId", "3")];
        let len = must(encode(&header, serialization, &fields, b"body", &mut memory));
        let frame = must(Frame::decode(&memory[..len]));
        check!(checks, frame.header == header && frame.body == b"body");
        check!(checks, must(frame.ext.get("queueId")) == Some("3".into()));
        check!(checks, Frame::decode(&memory[..len - 1]).is_err());
    }
}

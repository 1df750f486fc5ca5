//! A header that is written and read again; what a serialization costs is seen by its caller only.

use turbopump_core::rocketmq::wire::command::{Command, PullMessageRequestHeader};
use turbopump_core::rocketmq::wire::header::{Header, Serialization, request_code};

use crate::check::{Checks, check, must};

// Always, so that the serialization is known where the code is made.
#[inline(always)]
pub(super) fn there_and_back(checks: &mut Checks, serialization: Serialization) {
    let fields = PullMessageRequestHeader {
        consumer_group: "g".into(),
        topic: "Orders".into(),
        queue_id: 3,
        queue_offset: 1 << 40,
        max_msg_nums: 32,
        subscription: Some("red || \"blue\"".into()),
        ..Default::default()
    };
    let header = Header::request(request_code::PULL_MESSAGE, 7);
    let mut memory = [0; 512];
    let len = must(header.encode(serialization, &fields, &mut memory));
    let (again, ext) = must(Header::decode(serialization, &memory[..len]));
    check!(checks, again == header);
    check!(checks, must(PullMessageRequestHeader::decode(&ext)) == fields);
    check!(checks, Header::decode(serialization, &memory[..len - 1]).is_err());
}

//! Records of RocketMQ's trace topic.

use core::fmt::Write;

use turbopump_core::rocketmq::wire::text::TextBuffer;
use turbopump_core::rocketmq::wire::trace::records;

use crate::check::{Checks, check, must};

const RECORD: &str = "SubAfter\x01R\x01M\x015\x01false\x01k\x012\x02";

#[inline(never)]
pub(crate) fn run(checks: &mut Checks) {
    let record = must(records(RECORD).next().unwrap_or_else(|| panic!("there is one")));
    let mut memory = [0; 64];
    let mut text = TextBuffer::new(&mut memory);
    must(write!(text, "{record}"));
    check!(checks, text.as_str() == RECORD);
}

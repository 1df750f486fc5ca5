//! A request of RocketMQ that is signed.

use turbopump_core::rocketmq::wire::acl::Credentials;

use crate::check::{Checks, check, must};

#[inline(never)]
pub(crate) fn run(checks: &mut Checks) {
    let credentials = Credentials::new("rocketmq", "12345678");
    let fields = [("topic", "OrdersA"), ("queueId", "1")];
    let signed = must(credentials.sign(&fields, b"hello"));
    check!(checks, signed.signature().as_str() == "A1McF781gCftwtlXkVQOB4Ar2T8=");
}

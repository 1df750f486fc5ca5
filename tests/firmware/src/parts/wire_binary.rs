//! Headers of RocketMQ in the binary layout, with the fields of a command.

use turbopump_core::rocketmq::wire::header::Serialization;

use super::wire_header::there_and_back;
use crate::check::Checks;

#[inline(never)]
pub(crate) fn run(checks: &mut Checks) {
    there_and_back(checks, Serialization::Rocketmq);
}

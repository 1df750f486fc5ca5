//! Messages that wait for the end of their transaction.

use alloc::vec::Vec;

use turbopump_core::time::Now;

use super::Broker;
use super::answer::Refusal;
use super::append::Placed;
use super::topics::QueueId;

impl Broker {
    pub(super) fn hold_half(
        &mut self,
        target: QueueId,
        _properties: &mut Vec<u8>,
    ) -> Result<QueueId, Refusal> {
        Ok(target)
    }

    pub(super) fn half_appended(&mut self, _now: Now, _placed: Placed) {}
}

//! Messages whose consumption has failed: again later, or never again.

use alloc::vec::Vec;

use turbopump_core::rocketmq::wire::command::SendMessageRequestHeaderV2;

use super::Broker;
use super::answer::Refusal;
use super::topics::{QueueId, TopicId};

impl Broker {
    /// The retry topic of a group, to which a consumer sends by itself.
    pub(super) fn group_topic_for_send(&mut self, _name: &str) -> Result<Option<TopicId>, Refusal> {
        Ok(None)
    }

    pub(super) fn after_retries(
        &mut self,
        _header: &SendMessageRequestHeaderV2<'_>,
        queue: QueueId,
        _properties: &mut Vec<u8>,
    ) -> Result<QueueId, Refusal> {
        Ok(queue)
    }
}

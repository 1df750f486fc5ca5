//! Finding messages: by where they are, and by their keys.

use turbopump_core::rocketmq::wire::header::response_code;

use super::Broker;
use super::answer::Refusal;
use super::log::Range;

impl Broker {
    /// The message that begins at this position.
    pub(super) fn message_at(&self, physical_offset: i64) -> Result<Range, Refusal> {
        let position = u64::try_from(physical_offset).unwrap_or(u64::MAX);
        let queues = self.topics.iter().flat_map(|(_, topic)| &topic.queues);
        let range = queues.filter_map(|queue| queue.at_position(position)).next();
        range.ok_or_else(|| {
            let remark = alloc::format!("there is no message at offset {physical_offset}");
            Refusal::new(response_code::SYSTEM_ERROR, remark)
        })
    }
}

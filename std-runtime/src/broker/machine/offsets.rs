//! How far queues reach, and how far groups are.
//!
//! Decides which offsets are answered, taken and set anew. Telling consumers of a reset is left to
//! `pull`: the next pull of the queue is answered with where to go on.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use turbopump_core::rocketmq::wire::body::{MessageQueue, ResetOffsetBody};
use turbopump_core::rocketmq::wire::command::{
    Command, GetEarliestMsgStoretimeRequestHeader, GetEarliestMsgStoretimeResponseHeader,
    GetMaxOffsetRequestHeader, GetMaxOffsetResponseHeader, GetMinOffsetRequestHeader,
    QueryConsumerOffsetRequestHeader, ResetOffsetRequestHeader, SearchOffsetRequestHeader,
    UpdateConsumerOffsetRequestHeader,
};
use turbopump_core::rocketmq::wire::frame::Frame;
use turbopump_core::rocketmq::wire::header::{Absent, response_code};
use turbopump_core::rocketmq::wire::json::{Dialect, Text};

use super::Broker;
use super::answer::{Outcome, Refusal, plain};
use super::append::Receipt;
use super::queue::Queue;
use super::send::no_topic;
use super::sessions::Request;
use super::topics::{QueueId, TopicId};
use crate::broker::answers::json;

impl Broker {
    /// A queue that there is.
    pub(super) fn queue_of(&self, topic: Text<'_>, queue_id: i32) -> Result<QueueId, Refusal> {
        let name = plain(topic);
        let id = self.topics.find(&name).ok_or_else(|| no_topic(&name))?;
        let queue = u32::try_from(queue_id).ok().map(|queue| QueueId { topic: id, queue });
        queue.filter(|id| self.topics.queue(*id).is_some()).ok_or_else(|| {
            let remark = alloc::format!("the topic[{name}] has no queue {queue_id}");
            Refusal::new(response_code::INVALID_PARAMETER, remark)
        })
    }

    fn answer_offset(&mut self, request: Request, offset: u64) {
        let header = GetMaxOffsetResponseHeader { offset: offset as i64 };
        self.answer_with(request, response_code::SUCCESS, None, &header, &[]);
    }

    /// Request 30.
    pub(super) fn handle_max_offset(&mut self, request: Request, frame: &Frame<'_>) -> Outcome {
        let header = GetMaxOffsetRequestHeader::decode(&frame.ext)?;
        let id = self.queue_of(header.topic, header.queue_id)?;
        let offset = self.topics.queue(id).map_or(0, Queue::max);
        self.answer_offset(request, offset);
        Ok(())
    }

    /// Request 31.
    pub(super) fn handle_min_offset(&mut self, request: Request, frame: &Frame<'_>) -> Outcome {
        let header = GetMinOffsetRequestHeader::decode(&frame.ext)?;
        let id = self.queue_of(header.topic, header.queue_id)?;
        let offset = self.topics.queue(id).map_or(0, Queue::min);
        self.answer_offset(request, offset);
        Ok(())
    }

    /// Request 29.
    pub(super) fn handle_search_offset(&mut self, request: Request, frame: &Frame<'_>) -> Outcome {
        let header = SearchOffsetRequestHeader::decode(&frame.ext)?;
        let id = self.queue_of(header.topic, header.queue_id)?;
        let boundary = header.boundary_type.map_or(Cow::Borrowed(""), plain);
        let is_upper = boundary.eq_ignore_ascii_case("upper");
        let unix_ms = u64::try_from(header.timestamp).unwrap_or(0);
        let offset = self.topics.queue(id).map_or(0, |queue| {
            let first = queue.at_time(unix_ms);
            let behind = queue.at_time(unix_ms.saturating_add(1));
            // The last of those that were stored in this very millisecond.
            if is_upper && behind > first { behind - 1 } else { first }
        });
        self.answer_offset(request, offset);
        Ok(())
    }

    /// Request 32.
    pub(super) fn handle_earliest_time(&mut self, request: Request, frame: &Frame<'_>) -> Outcome {
        let header = GetEarliestMsgStoretimeRequestHeader::decode(&frame.ext)?;
        let id = self.queue_of(header.topic, header.queue_id)?;
        let stored_ms = self.topics.queue(id).and_then(Queue::first_stored_ms);
        let timestamp = stored_ms.map_or(-1, |ms| ms as i64);
        let header = GetEarliestMsgStoretimeResponseHeader { timestamp };
        self.answer_with(request, response_code::SUCCESS, None, &header, &[]);
        Ok(())
    }

    /// Request 14. A group that is new to a young queue starts at its beginning.
    pub(super) fn handle_query_offset(&mut self, request: Request, frame: &Frame<'_>) -> Outcome {
        let header = QueryConsumerOffsetRequestHeader::decode(&frame.ext)?;
        let id = self.queue_of(header.topic, header.queue_id)?;
        let group = self.groups.get(&plain(header.consumer_group));
        if let Some(offset) = group.and_then(|group| group.offsets.get(&id)) {
            let offset = *offset;
            self.answer_offset(request, offset);
            return Ok(());
        }
        let is_young = self
            .topics
            .queue(id)
            .is_some_and(|queue| queue.get(0).is_some_and(|entry| self.log.is_hot(entry.position)));
        if is_young && header.set_zero_if_not_found != Some(false) {
            self.answer_offset(request, 0);
            return Ok(());
        }
        let remark = "Not found, maybe this group consumer boot first";
        Err(Refusal::new(response_code::QUERY_NOT_FOUND, remark))
    }

    /// Request 15.
    pub(super) fn handle_commit(&mut self, request: Request, frame: &Frame<'_>) -> Outcome {
        let header = UpdateConsumerOffsetRequestHeader::decode(&frame.ext)?;
        let id = self.queue_of(header.topic, header.queue_id)?;
        let name = plain(header.consumer_group);
        let Ok(offset) = u64::try_from(header.commit_offset) else {
            let remark = alloc::format!("the offset {} is below 0", header.commit_offset);
            return Err(Refusal::new(response_code::SYSTEM_ERROR, remark));
        };
        if self.groups.get(&name).is_none() {
            self.create_group(&name)?;
        }
        if let Some(group) = self.groups.get_mut(&name) {
            group.commit_of_client(id, offset);
        }
        if request.is_oneway {
            return Ok(());
        }
        // Whoever asks for an answer is told only what is remembered.
        let answer = self.prepare_answer(request, response_code::SUCCESS, &Absent);
        self.answer_once_remembered(Receipt { request, answer });
        Ok(())
    }

    /// Request 222: the consumers of a group go on somewhere else.
    pub(super) fn handle_reset(&mut self, request: Request, frame: &Frame<'_>) -> Outcome {
        let header = ResetOffsetRequestHeader::decode(&frame.ext)?;
        let (group, topic) = (plain(header.group), plain(header.topic));
        let id = self.topics.find(&topic).ok_or_else(|| no_topic(&topic))?;
        if self.groups.get(&group).is_none() {
            let remark = alloc::format!("the group[{group}] does not exist");
            return Err(Refusal::new(response_code::SUBSCRIPTION_GROUP_NOT_EXIST, remark));
        }
        if header.queue_id >= 0 {
            self.queue_of(header.topic, header.queue_id)?;
        }
        let targets = self.reset_targets(id, &group, &header);
        for (queue, offset) in &targets {
            if let Some(group) = self.groups.get_mut(&group) {
                group.reset(*queue, *offset);
            }
            self.end_pulls_for_reset(*queue, &group, *offset);
        }
        let broker: String = self.config.broker_name.clone();
        let table: Vec<(MessageQueue<'_>, i64)> = targets
            .iter()
            .map(|(queue, offset)| {
                let queue = MessageQueue {
                    broker_name: Text::plain(&broker),
                    queue_id: i32::try_from(queue.queue).unwrap_or(i32::MAX),
                    topic: Text::plain(&topic),
                };
                (queue, *offset as i64)
            })
            .collect();
        let body = json(&ResetOffsetBody { offset_table: (&*table).into() }, Dialect::Fastjson);
        // A reset that was confirmed is not lost.
        let answer = self.prepare_answer_with(request, response_code::SUCCESS, &Absent, &body);
        self.answer_once_remembered(Receipt { request, answer });
        Ok(())
    }

    /// Where each queue goes on.
    fn reset_targets(
        &self,
        id: TopicId,
        group: &str,
        header: &ResetOffsetRequestHeader<'_>,
    ) -> Vec<(QueueId, u64)> {
        let queues = self.topics.get(id).map_or(&[][..], |topic| &topic.queues);
        let group = self.groups.get(group);
        let mut targets = Vec::new();
        for (number, queue) in (0..).zip(queues) {
            if header.queue_id >= 0 && u32::try_from(header.queue_id) != Ok(number) {
                continue;
            }
            let named = header.offset.filter(|_| header.queue_id >= 0);
            let named = named.and_then(|offset| u64::try_from(offset).ok());
            let wanted = named.unwrap_or_else(|| match u64::try_from(header.timestamp) {
                Ok(unix_ms) => queue.at_time(unix_ms),
                Err(_) => queue.max(),
            });
            let wanted = wanted.clamp(queue.min(), queue.max());
            let id = QueueId { topic: id, queue: number };
            let known = group.and_then(|group| group.offsets.get(&id)).copied();
            // By time it only goes back, unless it is forced; an offset is meant as it is.
            let target = match known {
                Some(known) if named.is_none() && !header.is_force => known.min(wanted),
                _ => wanted,
            };
            targets.push((id, target));
        }
        targets
    }
}

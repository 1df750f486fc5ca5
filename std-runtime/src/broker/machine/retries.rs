//! Messages whose consumption has failed: again later, or never again.
//!
//! Each failure puts a copy of the message into the retry topic of its group, by way of the delay
//! levels, the later the more often it has failed; in the end it goes to the dead-letter topic.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use turbopump_core::rocketmq::wire::command::{
    Command, ConsumerSendMsgBackRequestHeader, SendMessageRequestHeaderV2,
};
use turbopump_core::rocketmq::wire::frame::Frame;
use turbopump_core::rocketmq::wire::header::{Absent, response_code};
use turbopump_core::rocketmq::wire::message::Message;
use turbopump_core::rocketmq::wire::names::{DEAD_LETTER_PREFIX, RETRY_PREFIX};
use turbopump_core::rocketmq::wire::properties::{Properties, keys};
use turbopump_core::time::Now;

use super::Broker;
use super::answer::{Outcome, Refusal, plain};
use super::append::{Draft, Receipt, unavailable};
use super::delays::join;
use super::fetch::After;
use super::send::{check_properties, put_property, without};
use super::sessions::Request;
use super::topics::{QueueId, TopicId, TopicSettings};

/// Clients from 3.4.9 on say themselves how often a message is tried.
const COUNTS_ITSELF: i32 = 121;
/// The delay level of the first retry.
const FIRST_LEVEL: i32 = 3;

/// A message that a consumer has sent back.
#[derive(Debug)]
pub(super) struct SentBack {
    request: Request,
    group: String,
    delay_level: i32,
    retries_max: i32,
}

impl Broker {
    /// Request 36.
    pub(super) fn handle_send_back(
        &mut self,
        now: Now,
        request: Request,
        frame: &Frame<'_>,
    ) -> Outcome {
        let header = ConsumerSendMsgBackRequestHeader::decode(&frame.ext)?;
        let group = plain(header.group);
        let retries_max = self.retries_max(&group, request, header.max_reconsume_times)?;
        if let Some(reason) = &self.closed_store {
            return Err(unavailable(reason));
        }
        let range = self.message_at(header.offset)?;
        let group = group.into_owned();
        let delay_level = header.delay_level;
        let sent_back = SentBack { request, group, delay_level, retries_max };
        self.fetch(now, &[range], After::SendBack(sent_back));
        Ok(())
    }

    /// How often a group tries a message, by its settings or by the client itself.
    fn retries_max(
        &self,
        name: &str,
        request: Request,
        of_client: Option<i32>,
    ) -> Result<i32, Refusal> {
        let Some(group) = self.groups.get(name) else {
            let remark = alloc::format!("subscription group not exist, {name}");
            return Err(Refusal::new(response_code::SUBSCRIPTION_GROUP_NOT_EXIST, remark));
        };
        let of_client = of_client.filter(|max| request.version >= COUNTS_ITSELF && *max >= 0);
        Ok(of_client.unwrap_or(group.settings.retries_max))
    }

    /// The message was read: it is put where it is tried again, or where it is not.
    pub(super) fn send_back(
        &mut self,
        now: Now,
        sent_back: SentBack,
        slices: Option<&mut Vec<Bytes>>,
    ) {
        let request = sent_back.request;
        let outcome = match slices.map(join) {
            Some(bytes) => self.try_again(now, sent_back, &bytes),
            None => Err(Refusal::new(response_code::SYSTEM_ERROR, "the message can't be read")),
        };
        if let Err(refusal) = outcome {
            self.refuse(request, &refusal);
        }
    }

    fn try_again(&mut self, now: Now, sent_back: SentBack, bytes: &[u8]) -> Outcome {
        let SentBack { request, group, delay_level, retries_max } = sent_back;
        let unreadable = |_| Refusal::new(response_code::SYSTEM_ERROR, "the message can't be read");
        let (message, _) = Message::decode(bytes).map_err(unreadable)?;
        let mut properties = again(&message);
        let target = if message.reconsume_times >= retries_max || delay_level < 0 {
            self.counts.messages_dead += 1;
            put_dead(&mut properties, &message);
            self.dead_letter_queue(&group)?
        } else {
            self.counts.messages_retried += 1;
            let level = match delay_level {
                0 => FIRST_LEVEL.saturating_add(message.reconsume_times),
                asked => asked,
            };
            put_property(&mut properties, keys::DELAY, &alloc::format!("{level}"));
            let topic = self.retry_topic(&group)?;
            let queues = self.topics.get(topic).map_or(1, |topic| topic.settings.write_queues);
            let queue = u32::try_from(self.random.below(queues.max(1).into())).unwrap_or(0);
            self.hold_delayed(QueueId { topic, queue }, level.into(), &mut properties)?
        };
        check_properties(&properties)?;
        let draft = Draft {
            reconsume_times: message.reconsume_times.saturating_add(1),
            prepared_transaction_offset: 0,
            properties: &properties,
            ..Draft::of(&message)
        };
        let placed = self.append(now, target, &draft).ok_or_else(|| unavailable("no queue"))?;
        let answer = self.prepare_answer(request, response_code::SUCCESS, &Absent);
        self.confirm(target, placed, Some(Receipt { request, answer }));
        Ok(())
    }

    fn retry_topic(&mut self, group: &str) -> Result<TopicId, Refusal> {
        let name = alloc::format!("{RETRY_PREFIX}{group}");
        match self.topics.find(&name) {
            Some(topic) => Ok(topic),
            None => {
                let queues = self.groups.get(group).map_or(1, |group| group.settings.retry_queues);
                self.create_topic(&name, TopicSettings::with_queues(queues.max(1), 6))
            }
        }
    }

    fn dead_letter_queue(&mut self, group: &str) -> Result<QueueId, Refusal> {
        let name = alloc::format!("{DEAD_LETTER_PREFIX}{group}");
        let topic = match self.topics.find(&name) {
            Some(topic) => topic,
            None => self.create_topic(&name, TopicSettings::with_queues(1, 6))?,
        };
        Ok(QueueId { topic, queue: 0 })
    }

    /// The retry topic of a group, to which a consumer sends by itself. There is one for each group
    /// that there is; `None` for other topics.
    pub(super) fn group_topic_for_send(&mut self, name: &str) -> Result<Option<TopicId>, Refusal> {
        let Some(group) = name.strip_prefix(RETRY_PREFIX) else {
            return Ok(None);
        };
        if self.groups.get(group).is_none() {
            self.create_group(group)?;
        }
        self.retry_topic(group).map(Some)
    }

    /// Where a message to a retry topic goes that a consumer sends by itself: there, or to the
    /// dead-letter topic, where it has failed too often, or other messages of its queue must not
    /// wait for it. True with the latter.
    pub(super) fn after_retries(
        &mut self,
        now: Now,
        request: Request,
        header: &SendMessageRequestHeaderV2<'_>,
        queue: QueueId,
        properties: &mut Vec<u8>,
    ) -> Result<(QueueId, bool), Refusal> {
        let Some(topic) = self.topics.get(queue.topic) else {
            return Ok((queue, false));
        };
        let Some(group) = topic.name.strip_prefix(RETRY_PREFIX).map(String::from) else {
            return Ok((queue, false));
        };
        let reconsume_times = header.reconsume_times.unwrap_or(0);
        let retries_max = self.retries_max(&group, request, header.max_reconsume_times)?;
        if reconsume_times <= retries_max && !self.has_locks(now, &group) {
            return Ok((queue, false));
        }
        self.counts.messages_dead += 1;
        let text = Properties::from_bytes(properties).unwrap_or_default();
        *properties = without(text, &[keys::DELAY]);
        Ok((self.dead_letter_queue(&group)?, true))
    }
}

/// The properties of a message that is tried again, without those of its last delay.
fn again(message: &Message<'_>) -> Vec<u8> {
    let known = message.properties().unwrap_or_default();
    let delays = [keys::DELAY, keys::REAL_TOPIC, keys::REAL_QUEUE_ID, keys::CONSUME_START_TIME];
    let mut properties = without(known, &delays);
    if known.get(keys::RETRY_TOPIC).is_none() {
        put_property(&mut properties, keys::RETRY_TOPIC, message.topic);
    }
    if known.get(keys::ORIGIN_MESSAGE_ID).is_none() {
        let id = alloc::format!("{}", message.offset_message_id());
        put_property(&mut properties, keys::ORIGIN_MESSAGE_ID, &id);
    }
    properties
}

/// Says where a dead message came from.
fn put_dead(properties: &mut Vec<u8>, message: &Message<'_>) {
    let known = message.properties().unwrap_or_default();
    let topic = known.get(keys::RETRY_TOPIC).unwrap_or(message.topic);
    let id: Cow<'_, str> = match known.get(keys::ORIGIN_MESSAGE_ID) {
        Some(id) => id.into(),
        None => alloc::format!("{}", message.offset_message_id()).into(),
    };
    put_property(properties, keys::DLQ_ORIGIN_TOPIC, topic);
    put_property(properties, keys::DLQ_ORIGIN_MESSAGE_ID, &id);
}

#[cfg(test)]
mod tests;

//! Sending: which queue a message goes to, and what its producer is told.

use core::fmt::Write;

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use turbopump_core::rocketmq::wire::command::{
    Command, SendMessageRequestHeader, SendMessageRequestHeaderV2, SendMessageResponseHeader,
};
use turbopump_core::rocketmq::wire::frame::Frame;
use turbopump_core::rocketmq::wire::header::{request_code, response_code};
use turbopump_core::rocketmq::wire::identity::{OffsetMessageId, UniqueKey};
use turbopump_core::rocketmq::wire::json::Text;
use turbopump_core::rocketmq::wire::message::{BatchEntries, SysFlag, Transaction};
use turbopump_core::rocketmq::wire::names::is_sendable;
use turbopump_core::rocketmq::wire::properties::{
    NAME_END, PROPERTIES_BYTES_MAX, Properties, VALUE_END, keys,
};
use turbopump_core::time::Now;

use super::Broker;
use super::answer::{Outcome, Refusal, plain};
use super::append::{Draft, Placed, Receipt, unavailable};
use super::log::Range;
use super::sessions::Request;
use super::topics::{
    DEFAULT_TOPIC, PERM_INHERIT, QueueId, TIMER_TOPIC, TopicId, TopicSettings, check_name,
};

/// What `MSG_REGION` says.
const REGION: &str = "DefaultRegion";
/// Fields that Java's client looks for in any answer to a send.
const SENT: [(&str, &str); 2] = [("MSG_REGION", REGION), ("TRACE_ON", "true")];

/// What is said of half messages with a time of their own.
const TIMED_HALF: &str = "messages of transactions have no time of delivery: send without \
                          TIMER_DELAY_SEC, TIMER_DELAY_MS and TIMER_DELIVER_MS";
/// What is said of batches with messages that are to be delivered later.
const DELAYED_BATCH: &str = "batches are not delayed: send messages with a delay level or a time \
                             of delivery one by one";

type Sending<'a> = SendMessageRequestHeaderV2<'a>;

/// The fields of a send with long names, under the short ones.
fn of_long<'a>(long: SendMessageRequestHeader<'a>) -> Sending<'a> {
    Sending {
        producer_group: long.producer_group,
        topic: long.topic,
        default_topic: long.default_topic,
        default_topic_queue_nums: long.default_topic_queue_nums,
        queue_id: long.queue_id,
        sys_flag: long.sys_flag,
        born_timestamp: long.born_timestamp,
        flag: long.flag,
        properties: long.properties,
        reconsume_times: long.reconsume_times,
        unit_mode: long.unit_mode,
        max_reconsume_times: long.max_reconsume_times,
        batch: long.batch,
        broker_name: None,
        base: long.base,
    }
}

/// What the broker has to know of a message's properties, found in one pass.
#[derive(Clone, Copy, Debug, Default)]
struct Facts {
    delay_level: i64,
    has_key: bool,
    is_half: bool,
    /// It is to wait for a time of its own, and has not done so already.
    has_timer: bool,
    has_region: bool,
    has_trace: bool,
    has_cluster: bool,
    /// What belongs to one delivery, and is not kept.
    has_receipt: bool,
}

impl Facts {
    fn of(properties: Properties<'_>) -> Self {
        let mut facts = Self::default();
        let mut has_waited = false;
        for (name, value) in properties {
            match name {
                keys::DELAY => facts.delay_level = value.parse().unwrap_or(0),
                keys::UNIQ_KEY => facts.has_key = true,
                keys::TRAN_MSG => facts.is_half = value.eq_ignore_ascii_case("true"),
                keys::TIMER_DELAY_SEC | keys::TIMER_DELAY_MS | keys::TIMER_DELIVER_MS => {
                    facts.has_timer = true;
                }
                keys::TIMER_OUT_MS => has_waited = true,
                keys::MSG_REGION => facts.has_region = true,
                keys::TRACE_ON => facts.has_trace = true,
                keys::CLUSTER => facts.has_cluster = true,
                keys::POP_CK => facts.has_receipt = true,
                _ => {}
            }
        }
        facts.has_timer &= !has_waited;
        facts
    }
}

/// What the answer to a send says.
#[derive(Clone, Copy, Debug)]
struct Sent<'a> {
    /// The one that the producer has asked for, wherever the message waits first.
    queue: u32,
    target: QueueId,
    first: Placed,
    ranges: &'a [Range],
    unique_key: Option<&'a str>,
    recall_handle: Option<&'a str>,
}

fn illegal(remark: String) -> Refusal {
    Refusal::new(response_code::MESSAGE_ILLEGAL, remark)
}

/// Whether a message of a batch, or all of it, is to be delivered later.
fn is_delayed(properties: &[u8]) -> bool {
    let facts = Facts::of(Properties::from_bytes(properties).unwrap_or_default());
    facts.delay_level > 0 || facts.has_timer
}

/// Appends a property to a text of properties.
pub(super) fn put_property(text: &mut Vec<u8>, name: &str, value: &str) {
    if let Some(last) = text.last()
        && *last != VALUE_END as u8
    {
        text.push(VALUE_END as u8);
    }
    text.extend_from_slice(name.as_bytes());
    text.push(NAME_END as u8);
    text.extend_from_slice(value.as_bytes());
    text.push(VALUE_END as u8);
}

/// The text without the properties of these names.
pub(super) fn without(properties: Properties<'_>, names: &[&str]) -> Vec<u8> {
    let mut left = Vec::with_capacity(properties.as_str().len());
    for (name, value) in properties {
        if !names.contains(&name) {
            put_property(&mut left, name, value);
        }
    }
    left
}

impl Broker {
    /// Requests 10, 310 and 320.
    pub(super) fn handle_send(&mut self, now: Now, request: Request, frame: &Frame<'_>) -> Outcome {
        let header = match request.code {
            request_code::SEND_MESSAGE => of_long(SendMessageRequestHeader::decode(&frame.ext)?),
            _ => Sending::decode(&frame.ext)?,
        };
        if let Some(reason) = &self.closed_store {
            return Err(unavailable(reason));
        }
        self.check_load()?;
        let topic = self.topic_for_send(&header)?;
        let queue = self.queue_for_send(topic, header.queue_id)?;
        self.check_body(frame.body)?;
        if request.code == request_code::SEND_BATCH_MESSAGE || header.batch == Some(true) {
            return self.send_batch(now, request, &header, queue, frame.body);
        }
        let mut properties = core::mem::take(&mut self.scratch);
        let outcome = copy_properties(header.properties, &mut properties).and_then(|()| {
            self.send_one(now, request, &header, queue, frame.body, &mut properties)
        });
        properties.clear();
        self.scratch = properties;
        outcome
    }

    pub(super) fn check_load(&self) -> Outcome {
        let unwritten_bytes_max = self.config.limits.unwritten_bytes_max;
        if self.log.unwritten_bytes <= unwritten_bytes_max {
            return Ok(());
        }
        let remark = alloc::format!(
            "[REJECTREQUEST]system busy, start flow control for a while: more than \
             {unwritten_bytes_max} bytes wait to be written to disk"
        );
        Err(Refusal::new(response_code::SYSTEM_BUSY, remark))
    }

    fn check_body(&self, body: &[u8]) -> Outcome {
        let message_bytes_max = self.config.limits.message_bytes_max;
        if body.len() <= message_bytes_max {
            return Ok(());
        }
        let remark = alloc::format!(
            "the message body size is over max value, {} of {message_bytes_max} bytes",
            body.len()
        );
        Err(Refusal::new(response_code::MESSAGE_ILLEGAL, remark))
    }

    fn topic_for_send(&mut self, header: &Sending<'_>) -> Result<TopicId, Refusal> {
        let name = plain(header.topic);
        if !is_sendable(&name) || name == TIMER_TOPIC {
            let remark = alloc::format!("Sending message to topic[{name}] is forbidden.");
            return Err(Refusal::new(response_code::NO_PERMISSION, remark));
        }
        let id = match self.topics.find(&name) {
            Some(id) => id,
            None => self.create_for_send(&name, header)?,
        };
        match self.topics.get(id) {
            Some(topic) if !topic.is_writable() || topic.is_internal => {
                let remark = alloc::format!("the topic[{name}] sending message is forbidden");
                Err(Refusal::new(response_code::NO_PERMISSION, remark))
            }
            Some(_) => Ok(id),
            None => Err(no_topic(&name)),
        }
    }

    /// A topic that nobody has made, after the one that the producer names.
    fn create_for_send(&mut self, name: &str, header: &Sending<'_>) -> Result<TopicId, Refusal> {
        if let Err(reason) = check_name(name) {
            let remark = alloc::format!("the topic[{name}] {reason}");
            return Err(Refusal::new(response_code::INVALID_PARAMETER, remark));
        }
        if let Some(id) = self.group_topic_for_send(name)? {
            return Ok(id);
        }
        let template = plain(header.default_topic);
        let template = self.topics.by_name(&template).map(|topic| &topic.settings);
        let Some(template) = template.filter(|settings| settings.perm & PERM_INHERIT != 0) else {
            return Err(no_topic(name));
        };
        let asked = u32::try_from(header.default_topic_queue_nums).unwrap_or(1).max(1);
        let queues = asked.min(template.write_queues);
        let settings = TopicSettings::with_queues(queues, template.perm & !PERM_INHERIT);
        self.create_topic(name, settings)
    }

    /// Makes a topic or changes it, within the limits.
    pub(super) fn create_topic(
        &mut self,
        name: &str,
        settings: TopicSettings,
    ) -> Result<TopicId, Refusal> {
        let (topics_max, queues_max) = {
            let limits = &self.config.limits;
            (limits.topics_max, limits.queues_max)
        };
        if self.topics.find(name).is_none() && self.topics.len() >= topics_max {
            let remark = alloc::format!("there are {topics_max} topics already; delete some");
            return Err(Refusal::new(response_code::SYSTEM_ERROR, remark));
        }
        let queues = settings.read_queues.max(settings.write_queues);
        if queues > queues_max {
            let remark = alloc::format!("a topic can have {queues_max} queues, not {queues}");
            return Err(Refusal::new(response_code::INVALID_PARAMETER, remark));
        }
        let (id, is_new) = self.topics.put(name, settings);
        if is_new {
            self.state.topic_changed(name);
        }
        Ok(id)
    }

    fn queue_for_send(&mut self, id: TopicId, queue_id: i32) -> Result<QueueId, Refusal> {
        let topic = self.topics.get(id).ok_or_else(|| no_topic("that was deleted"))?;
        let queue = match u32::try_from(queue_id) {
            Ok(queue) if queue >= topic.queue_ids() => {
                let remark = alloc::format!(
                    "request queueId[{queue}] is illegal, topic:[{}] \
                     topicConfig.readQueueNums:[{}] topicConfig.writeQueueNums:[{}]",
                    topic.name,
                    topic.settings.read_queues,
                    topic.settings.write_queues
                );
                return Err(Refusal::new(response_code::INVALID_PARAMETER, remark));
            }
            Ok(queue) => queue,
            Err(_) => {
                let queues = u64::from(topic.settings.write_queues.max(1));
                u32::try_from(self.random.below(queues)).unwrap_or(0)
            }
        };
        Ok(QueueId { topic: id, queue })
    }

    fn send_one(
        &mut self,
        now: Now,
        request: Request,
        header: &Sending<'_>,
        queue: QueueId,
        body: &[u8],
        properties: &mut Vec<u8>,
    ) -> Outcome {
        let sys_flag = SysFlag(header.sys_flag);
        let facts = Facts::of(Properties::from_bytes(properties).unwrap_or_default());
        let is_half = facts.is_half && sys_flag.transaction() == Transaction::Prepared;
        let text = Properties::from_bytes(properties).unwrap_or_default();
        let due_ms = match facts.has_timer && facts.delay_level <= 0 {
            true if is_half => return Err(illegal(TIMED_HALF.into())),
            true => self.due_of(now, text)?,
            false => None,
        };
        let (delay_level, has_key) = (facts.delay_level, facts.has_key);
        self.complete_properties(now, facts, properties);
        let (queue, is_dead) = self.after_retries(now, request, header, queue, properties)?;
        let due_ms = due_ms.filter(|_| !is_dead);
        let (target, sys_flag) = if is_half {
            (self.hold_half(queue, properties)?, sys_flag.with_transaction(Transaction::None))
        } else if delay_level > 0 && !is_dead {
            (self.hold_delayed(queue, delay_level, properties)?, sys_flag)
        } else if let Some(due_ms) = due_ms {
            (self.hold_timed(queue, due_ms, properties)?, sys_flag)
        } else {
            (queue, sys_flag)
        };
        check_properties(properties)?;
        let draft = Draft {
            flag: header.flag,
            sys_flag,
            born_ms: header.born_timestamp,
            born_host: self.peer_of(request),
            reconsume_times: header.reconsume_times.unwrap_or(0),
            prepared_transaction_offset: 0,
            body,
            properties,
        };
        let placed = self.append(now, target, &draft).ok_or_else(|| unavailable("no queue"))?;
        if is_half {
            self.half_appended(now, placed);
        }
        if due_ms.is_some() {
            self.timed.push(placed.queue_offset, due_ms);
        }
        let text = Properties::from_bytes(properties).unwrap_or_default();
        let key = text.unique_key();
        let recall_handle = due_ms.and_then(|due_ms| self.recall_handle(queue, due_ms, key));
        let sent = Sent {
            queue: queue.queue,
            target,
            first: placed,
            ranges: &[placed.range],
            unique_key: key.filter(|_| has_key || is_half),
            recall_handle: recall_handle.as_deref(),
        };
        self.answer_sent(request, sent);
        Ok(())
    }

    fn send_batch(
        &mut self,
        now: Now,
        request: Request,
        header: &Sending<'_>,
        queue: QueueId,
        body: &[u8],
    ) -> Outcome {
        let mut properties = core::mem::take(&mut self.scratch);
        let outcome = copy_properties(header.properties, &mut properties);
        let mut is_late = is_delayed(&properties);
        properties.clear();
        self.scratch = properties;
        outcome?;
        let mut is_empty = true;
        for entry in BatchEntries::new(body) {
            let entry = entry.map_err(|error| illegal(alloc::format!("the batch: {error}")))?;
            is_late |= is_delayed(entry.properties);
            is_empty = false;
        }
        if is_late {
            return Err(illegal(DELAYED_BATCH.into()));
        }
        if is_empty {
            return Err(illegal("the batch has no messages".into()));
        }
        if self.topics.get(queue.topic).is_some_and(|topic| topic.name.starts_with("%RETRY%")) {
            return Err(illegal("batch request does not support retry group".into()));
        }
        let born_host = self.peer_of(request);
        let mut ranges = core::mem::take(&mut self.ranges);
        ranges.clear();
        let (mut first, mut last) = (None, None);
        for entry in BatchEntries::new(body).flatten() {
            let draft = Draft {
                flag: entry.flag,
                sys_flag: SysFlag(header.sys_flag),
                born_ms: header.born_timestamp,
                born_host,
                reconsume_times: header.reconsume_times.unwrap_or(0),
                prepared_transaction_offset: 0,
                body: entry.body,
                properties: entry.properties,
            };
            let Some(placed) = self.append(now, queue, &draft) else {
                break;
            };
            ranges.push(placed.range);
            first.get_or_insert(placed);
            // The last one is confirmed with the answer.
            if let Some(before) = last.replace(placed) {
                self.confirm(queue, before, None);
            }
        }
        if let Some(first) = first {
            let (unique_key, recall_handle) = (None, None);
            let target = queue;
            let queue = queue.queue;
            let sent = Sent { queue, target, first, ranges: &ranges, unique_key, recall_handle };
            self.answer_sent(request, sent);
        }
        self.counts.messages_sent += ranges.len() as u64 - u64::from(first.is_some());
        ranges.clear();
        self.ranges = ranges;
        Ok(())
    }

    /// Says where a message is, or the messages of a batch, once they are stored.
    fn answer_sent(&mut self, request: Request, sent: Sent<'_>) {
        let Sent { queue, target, first, ranges, unique_key, recall_handle } = sent;
        let mut ids = String::with_capacity(ranges.len() * 33);
        for range in ranges {
            let physical_offset = range.position as i64;
            let id = OffsetMessageId { store_host: self.host, physical_offset };
            let separator = if ids.is_empty() { "" } else { "," };
            // Writing to a string can't fail.
            let _ = write!(ids, "{separator}{id}");
        }
        self.counts.messages_sent += 1;
        self.counts.bytes_sent +=
            ranges.iter().map(|range| u64::from(range.size_bytes)).sum::<u64>();
        let response = SendMessageResponseHeader {
            msg_id: Text::plain(&ids),
            queue_id: i32::try_from(queue).unwrap_or(i32::MAX),
            queue_offset: first.queue_offset as i64,
            transaction_id: unique_key.map(Text::plain),
            recall_handle: recall_handle.map(Text::plain),
            ..Default::default()
        };
        let last = Placed { range: ranges.last().copied().unwrap_or(first.range), ..first };
        if self.log.has_disk() {
            let answer = self.prepare_answer(request, response_code::SUCCESS, &(response, SENT));
            self.confirm(target, last, Some(Receipt { request, answer }));
        } else {
            self.confirm(target, last, None);
            self.answer_with(request, response_code::SUCCESS, None, &(response, SENT), &[]);
        }
    }

    /// Adds what every stored message has.
    fn complete_properties(&mut self, now: Now, facts: Facts, properties: &mut Vec<u8>) {
        let Facts { has_key, has_region, has_trace, has_cluster, has_receipt, .. } = facts;
        if has_receipt {
            let text = Properties::from_bytes(properties).unwrap_or_default();
            *properties = without(text, &[keys::POP_CK]);
        }
        if !has_key {
            let key = self.make_unique_key(now);
            put_property(properties, keys::UNIQ_KEY, &key);
        }
        if !has_region {
            put_property(properties, keys::MSG_REGION, REGION);
        }
        if !has_trace {
            put_property(properties, keys::TRACE_ON, "true");
        }
        if !has_cluster {
            put_property(properties, keys::CLUSTER, &self.config.cluster_name);
        }
    }

    fn make_unique_key(&mut self, now: Now) -> String {
        let key = UniqueKey {
            ip: self.host.ip(),
            process_id: self.host.port(),
            loader_hash: self.random.next_u64() as i32,
            month_ms: (now.unix_ms % (28 * 86_400_000)) as i32,
            counter: self.counts.messages_sent as u16,
        };
        alloc::format!("{key}")
    }

    /// The address that a request came from.
    pub(super) fn peer_of(&self, request: Request) -> core::net::SocketAddr {
        self.sessions.get(request.session).map_or(self.host, |session| session.peer)
    }
}

pub(super) fn no_topic(name: &str) -> Refusal {
    let remark = alloc::format!(
        "topic[{name}] not exist, apply first please! See {DEFAULT_TOPIC} or create it"
    );
    Refusal::new(response_code::TOPIC_NOT_EXIST, remark)
}

fn copy_properties(text: Option<Text<'_>>, into: &mut Vec<u8>) -> Outcome {
    into.clear();
    let Some(text) = text else {
        return Ok(());
    };
    into.resize(text.len_max(), 0);
    let len = text.copy_to(into).map_or(0, str::len);
    into.truncate(len);
    Ok(())
}

pub(super) fn check_properties(properties: &[u8]) -> Outcome {
    if properties.len() <= PROPERTIES_BYTES_MAX {
        return Ok(());
    }
    let remark: Cow<'static, str> = alloc::format!(
        "the properties have {} bytes, more than {PROPERTIES_BYTES_MAX}",
        properties.len()
    )
    .into();
    Err(Refusal::new(response_code::MESSAGE_ILLEGAL, remark))
}

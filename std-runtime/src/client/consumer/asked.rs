//! What brokers ask of a consumer of their own accord, as dashboards have them do.

use core::sync::atomic::{AtomicUsize, Ordering};

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;

use turbopump_core::rocketmq::consumer::ConsumeMode;
use turbopump_core::rocketmq::wire::body::{
    Body, ConsumeMessageDirectlyResult, ConsumeResult, ConsumeStatus, ConsumerRunningInfo,
    GetConsumerStatusBody, List, Map, MessageQueue, ProcessQueueInfo, ResetOffsetBody,
};
use turbopump_core::rocketmq::wire::command::{
    Command, ConsumeMessageDirectlyResultRequestHeader, GetConsumerRunningInfoRequestHeader,
    GetConsumerStatusRequestHeader, NotifyConsumerIdsChangedRequestHeader,
    ResetOffsetRequestHeader,
};
use turbopump_core::rocketmq::wire::frame::Frame;
use turbopump_core::rocketmq::wire::header::{Header, request_code, response_code};
use turbopump_core::rocketmq::wire::json::{Dialect, Text};
use turbopump_core::rocketmq::wire::message::Message as StoredMessage;
use turbopump_core::time::{Clock, Instant, Now};

use super::Consumed;
use super::group::Group;
use super::handler::{Said, caught};
use super::queue::{OwnedQueue, Stage};
use super::received::ReceivedFrom;
use super::unpack::Delivery;
use crate::backend::Backend;
use crate::client::keeper::json;
use crate::rocketmq::RemotingLink;
use crate::tasks::kinds;

/// A consumer, as brokers ask it.
pub(in crate::client) trait Asked: Send + Sync {
    /// A broker asks something of it.
    fn handle(self: Arc<Self>, link: &RemotingLink, frame: &Frame<'_>);
}

/// The group that a broker asks something of; `None` for what is not for consumers.
pub(in crate::client) fn group_asked(frame: &Frame<'_>) -> Option<String> {
    let ext = &frame.ext;
    let group = match frame.header.code {
        request_code::NOTIFY_CONSUMER_IDS_CHANGED => {
            NotifyConsumerIdsChangedRequestHeader::decode(ext).ok()?.consumer_group
        }
        request_code::RESET_CONSUMER_CLIENT_OFFSET => {
            ResetOffsetRequestHeader::decode(ext).ok()?.group
        }
        request_code::GET_CONSUMER_STATUS_FROM_CLIENT => {
            GetConsumerStatusRequestHeader::decode(ext).ok()?.group
        }
        request_code::GET_CONSUMER_RUNNING_INFO => {
            GetConsumerRunningInfoRequestHeader::decode(ext).ok()?.consumer_group
        }
        request_code::CONSUME_MESSAGE_DIRECTLY => {
            ConsumeMessageDirectlyResultRequestHeader::decode(ext).ok()?.consumer_group
        }
        _ => return None,
    };
    Some(group.chars().collect())
}

impl<B: Backend> Asked for Group<B> {
    fn handle(self: Arc<Self>, link: &RemotingLink, frame: &Frame<'_>) {
        let body = match frame.header.code {
            request_code::NOTIFY_CONSUMER_IDS_CHANGED => {
                self.request_rebalance();
                return;
            }
            request_code::RESET_CONSUMER_CLIENT_OFFSET => {
                self.reset_offsets(frame.body);
                return;
            }
            request_code::CONSUME_MESSAGE_DIRECTLY => {
                self.consume_directly(link, frame);
                return;
            }
            request_code::GET_CONSUMER_STATUS_FROM_CLIENT => self.status(),
            _ => self.running_info(),
        };
        answer(link, &frame.header, body.as_deref());
    }
}

fn answer(link: &RemotingLink, asked: &Header<'_>, body: Option<&[u8]>) {
    let fields: &[(&str, &str)] = &[];
    let code = match body {
        Some(_) => response_code::SUCCESS,
        None => response_code::SYSTEM_ERROR,
    };
    // It is not asked for again where that is lost.
    let _ = link.answer(asked, code, fields, body.unwrap_or_default());
}

impl<B: Backend> Group<B> {
    fn wire_queue_of<'q>(queue: &'q OwnedQueue) -> MessageQueue<'q> {
        MessageQueue {
            broker_name: Text::plain(&queue.from.broker),
            queue_id: queue.from.queue_id,
            topic: Text::plain(&queue.wire_topic),
        }
    }

    /// Request 220: queues go on where somebody says.
    fn reset_offsets(&self, body: &[u8]) {
        let Ok(body) = ResetOffsetBody::decode(body) else { return };
        let queues = self.queues();
        for (wanted, offset) in body.offset_table.iter().flatten() {
            let is_it = |queue: &&Arc<OwnedQueue>| Self::wire_queue_of(queue) == wanted;
            if let Some(queue) = queues.iter().find(is_it) {
                self.restart(queue, queue.epoch(), offset);
            }
        }
    }

    /// The answer to request 221: how far it is.
    fn status(&self) -> Option<Vec<u8>> {
        let queues = self.queues();
        let offsets: Vec<(MessageQueue<'_>, i64)> = queues
            .iter()
            .map(|queue| (Self::wire_queue_of(queue), queue.look().commit_offset))
            .collect();
        let body = GetConsumerStatusBody {
            consumer_table: Map::default(),
            message_queue_table: offsets.as_slice().into(),
        };
        json(&body, Dialect::Fastjson)
    }

    /// The answer to request 307: how it is set, and how it is doing.
    fn running_info(&self) -> Option<Vec<u8>> {
        let (queues, now) = (self.queues(), self.inner.clock.now());
        let looks: Vec<(MessageQueue<'_>, ProcessQueueInfo)> = queues
            .iter()
            .map(|queue| (Self::wire_queue_of(queue), queue_info(queue, now)))
            .collect();
        let is_ordered = self.config.mode == ConsumeMode::Ordered;
        let properties = [
            ("PROP_CLIENT_VERSION", "V5_3_3".to_owned()),
            ("PROP_CONSUMEORDERLY", is_ordered.to_string()),
            ("PROP_CONSUMER_START_TIMESTAMP", self.description.version_ms.to_string()),
            ("PROP_CONSUME_TYPE", "CONSUME_PASSIVELY".to_owned()),
            ("PROP_NAMESERVER_ADDR", self.inner.config.name_servers.clone()),
            ("PROP_THREADPOOL_CORE_SIZE", self.config.handlers_max.to_string()),
        ];
        let properties: Vec<_> = properties
            .iter()
            .map(|(name, value)| (Text::plain(name), Text::plain(value)))
            .collect();
        let tags = self.description.tags();
        let subscriptions = self.description.subscriptions(&tags);
        let statuses = self.statuses();
        let statuses: Vec<_> =
            statuses.iter().map(|(topic, status)| (Text::plain(topic), *status)).collect();
        let body = ConsumerRunningInfo {
            jstack: None,
            mq_pop_table: Map::default(),
            mq_table: looks.as_slice().into(),
            properties: properties.as_slice().into(),
            status_table: statuses.as_slice().into(),
            subscription_set: List::from(subscriptions.as_slice()),
            user_consumer_info: Map::default(),
        };
        json(&body, Dialect::Fastjson)
    }

    /// By topic, since it began.
    fn statuses(&self) -> Vec<(String, ConsumeStatus)> {
        let begun_ms = u64::try_from(self.description.version_ms).unwrap_or(0);
        let ms = self.inner.clock.now().unix_ms.saturating_sub(begun_ms).max(1);
        let per_second = |count: u64| count as f64 * 1_000.0 / ms as f64;
        let stats = self.look();
        let status = |(topic, consumes): (&str, &super::TopicConsumes)| {
            let failed = consumes.retried() + consumes.dead() + consumes.tried_again();
            let status = ConsumeStatus {
                consume_failed_msgs: i64::try_from(failed).unwrap_or(i64::MAX),
                consume_failed_tps: per_second(failed),
                consume_ok_tps: per_second(consumes.done()),
                consume_rt: consumes.duration_mean_us() / 1_000.0,
                pull_rt: 0.0,
                pull_tps: per_second(consumes.pulls()),
            };
            (topic.to_owned(), status)
        };
        stats.topics().map(status).collect()
    }

    /// Request 309: one message is handled at once, whatever becomes of it.
    fn consume_directly(self: Arc<Self>, link: &RemotingLink, frame: &Frame<'_>) {
        let asked = Header::request(frame.header.code, frame.header.opaque);
        let broker = ConsumeMessageDirectlyResultRequestHeader::decode(&frame.ext)
            .ok()
            .and_then(|header| header.broker_name)
            .map(|name| name.chars().collect::<String>());
        let record = Bytes::copy_from_slice(frame.body);
        let Some(place) = Place::take(&self) else {
            answer(link, &asked, None);
            return;
        };
        let (link, ticket, opaque) = (link.clone(), self.tasks.enter(), frame.header.opaque);
        let backend = self.inner.backend.clone();
        kinds::CONSUMER_ASKED.spawn(&backend, async move {
            let (_ticket, place) = (ticket, place);
            let handled = place.0.handle_record(record, broker.as_deref().unwrap_or_default());
            let body = place.0.abandon.unless_over(handled).await.flatten();
            let asked = Header::request(request_code::CONSUME_MESSAGE_DIRECTLY, opaque);
            answer(&link, &asked, body.as_deref());
        });
    }

    async fn handle_record(&self, record: Bytes, broker: &str) -> Option<Vec<u8>> {
        let delivery = Delivery::of(record.clone())?;
        let (stored, _) = StoredMessage::decode(&record).ok()?;
        let topics = &self.description.topics;
        let topic = topics.iter().find(|topic| *topic.wire_name == *stored.topic);
        let from = ReceivedFrom {
            topic: topic.map_or_else(|| stored.topic.into(), |topic| Arc::clone(&topic.name)),
            broker: broker.into(),
            queue_id: stored.queue_id,
            namespace: self.inner.config.namespace.as_deref().map(Arc::from),
            is_retry: topic.is_some_and(|topic| topic.is_retry),
        };
        let message = delivery.message(&Arc::new(from), &self.restorer)?;
        let begin = self.now();
        let mut said = caught(self.handler.handle_boxed(Vec::from([message])), 1).await;
        let Said { consumed, reason, is_panic } = said.pop()?;
        let result = match consumed {
            _ if is_panic => ConsumeResult::ThrowException,
            Consumed::Done => ConsumeResult::Success,
            _ => ConsumeResult::Later,
        };
        let reason: Option<Box<str>> = reason;
        let body = ConsumeMessageDirectlyResult {
            auto_commit: true,
            consume_result: Some(result),
            order: self.config.mode == ConsumeMode::Ordered,
            remark: reason.as_deref().map(Text::plain),
            spent_time_mills: i64::try_from(self.now().us_since(begin) / 1_000).unwrap_or(0),
        };
        json(&body, Dialect::Strict)
    }
}

/// Messages that are handled at brokers' wish, at a time.
const DIRECT_MAX: usize = 4;

/// Leave to handle one.
struct Place<B: Backend>(Arc<Group<B>>);

impl<B: Backend> Place<B> {
    fn take(group: &Arc<Group<B>>) -> Option<Self> {
        let direct: &AtomicUsize = &group.direct;
        if direct.fetch_add(1, Ordering::Relaxed) < DIRECT_MAX {
            return Some(Self(Arc::clone(group)));
        }
        direct.fetch_sub(1, Ordering::Relaxed);
        None
    }
}

impl<B: Backend> Drop for Place<B> {
    fn drop(&mut self) {
        self.0.direct.fetch_sub(1, Ordering::Relaxed);
    }
}

fn queue_info(queue: &OwnedQueue, now: Now) -> ProcessQueueInfo {
    let look = queue.look();
    let unix_ms = |at: Option<Instant>| {
        let ms = at.map_or(0, |at| now.unix_ms.saturating_sub(now.at.us_since(at) / 1_000));
        i64::try_from(ms).unwrap_or(i64::MAX)
    };
    ProcessQueueInfo {
        cached_msg_count: i32::try_from(look.messages).unwrap_or(i32::MAX),
        cached_msg_max_offset: if look.messages > 0 { look.next_offset - 1 } else { 0 },
        cached_msg_min_offset: if look.messages > 0 { look.commit_offset } else { 0 },
        cached_msg_size_in_mib: i32::try_from(look.bytes >> 20).unwrap_or(i32::MAX),
        commit_offset: look.commit_offset,
        dropped: !matches!(look.stage, Stage::Running | Stage::Finding | Stage::Locking),
        last_consume_timestamp: unix_ms(look.handled_at),
        last_lock_timestamp: 0,
        last_pull_timestamp: unix_ms(look.pulled_at),
        locked: look.stage != Stage::Locking,
        transaction_msg_count: 0,
        transaction_msg_max_offset: 0,
        transaction_msg_min_offset: 0,
        try_unlock_times: 0,
    }
}

//! What a consumer asks of brokers: where queues begin, messages, and to take offsets and messages
//! back.

use core::time::Duration;

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use turbopump_core::rocketmq::consumer::{Epoch, Pull, PullAnswer, StartQuestion, StartRequest};
use turbopump_core::rocketmq::wire::body::{Body, GetConsumerListByGroupResponseBody};
use turbopump_core::rocketmq::wire::command::{
    Command, ConsumerSendMsgBackRequestHeader, GetConsumerListByGroupRequestHeader,
    GetMaxOffsetRequestHeader, GetMaxOffsetResponseHeader, GetMinOffsetRequestHeader,
    PullMessageRequestHeader, PullMessageResponseHeader, QueryConsumerOffsetRequestHeader,
    SearchOffsetRequestHeader, UpdateConsumerOffsetRequestHeader,
};
use turbopump_core::rocketmq::wire::frame::Frame;
use turbopump_core::rocketmq::wire::header::{ExtSource, request_code, response_code};
use turbopump_core::rocketmq::wire::json::Text;
use turbopump_core::rocketmq::wire::pull::PullFlags;
use turbopump_core::time::Instant;

use super::group::Group;
use super::queue::{Commit, OwnedQueue};
use super::received::{ReceivedMessage, offset_id_text};
use super::stats::Event;
use super::task::Answered;
use super::unpack::{Unpacked, body_of, unpack};
use crate::backend::Backend;
use crate::client::peers::Peer;
use crate::memory::IntoBytes;
use crate::rocketmq::Answer;

/// What is to be done with a message that is sent back.
#[derive(Clone, Copy, Debug)]
pub(super) struct SendBack {
    pub(super) delay_level: i32,
    pub(super) retries_max: i32,
}

impl<B: Backend> Group<B> {
    /// The broker of a queue, once it has heard of this consumer.
    async fn broker(&self, queue: &OwnedQueue, until: Instant) -> Option<Arc<Peer<B>>> {
        let peer = self.inner.routes.broker(&queue.wire_topic, &queue.from.broker)?;
        let until = self.inner.clock.system_instant(until)?;
        self.inner.introduce(&peer, until).await.then_some(peer)
    }

    pub(super) fn left(&self, until: Instant) -> Duration {
        Duration::from_micros(until.us_since(self.now()))
    }

    /// An answer that names an offset: its code, and the offset.
    async fn ask_offset(
        &self,
        peer: &Peer<B>,
        code: i32,
        header: &impl ExtSource,
        until: Instant,
    ) -> Option<(i32, i64)> {
        let answer = peer.ask(code, header, b"", self.left(until)).await.ok()?;
        let frame = answer.frame().ok()?;
        let code = frame.header.code;
        if code != response_code::SUCCESS {
            return Some((code, -1));
        }
        // All of these have the same field.
        let header = GetMaxOffsetResponseHeader::decode(&frame.ext).ok()?;
        Some((code, header.offset))
    }

    /// Asks where a queue begins.
    pub(super) async fn ask_start(
        &self,
        queue: &OwnedQueue,
        epoch: Epoch,
        request: StartRequest,
    ) -> Answered {
        let StartRequest { number, question, until, .. } = request;
        let answer = match (&self.store, question) {
            (Some(store), StartQuestion::Committed { .. }) => {
                let none = (response_code::QUERY_NOT_FOUND, -1);
                let told = store.load(queue.from.queue_name()).await;
                told.map(|known| known.map_or(none, |offset| (0, offset)))
            }
            _ => self.ask_question(queue, question, until).await,
        };
        Answered::Start { epoch, number, answer }
    }

    pub(super) async fn ask_question(
        &self,
        queue: &OwnedQueue,
        question: StartQuestion,
        until: Instant,
    ) -> Option<(i32, i64)> {
        let peer = self.broker(queue, until).await?;
        let (topic, queue_id) = (Text::plain(&queue.wire_topic), queue.from.queue_id);
        match question {
            StartQuestion::Committed { zero_if_not_found } => {
                let header = QueryConsumerOffsetRequestHeader {
                    consumer_group: Text::plain(&self.description.group),
                    topic,
                    queue_id,
                    set_zero_if_not_found: zero_if_not_found,
                    ..QueryConsumerOffsetRequestHeader::default()
                };
                self.ask_offset(&peer, request_code::QUERY_CONSUMER_OFFSET, &header, until).await
            }
            StartQuestion::MaxOffset => {
                let header = GetMaxOffsetRequestHeader {
                    topic,
                    queue_id,
                    committed: true,
                    ..GetMaxOffsetRequestHeader::default()
                };
                self.ask_offset(&peer, request_code::GET_MAX_OFFSET, &header, until).await
            }
            StartQuestion::OffsetAt { unix_ms } => {
                let header = SearchOffsetRequestHeader {
                    topic,
                    queue_id,
                    timestamp: unix_ms,
                    ..SearchOffsetRequestHeader::default()
                };
                let code = request_code::SEARCH_OFFSET_BY_TIMESTAMP;
                self.ask_offset(&peer, code, &header, until).await
            }
            _ => {
                let header = GetMinOffsetRequestHeader {
                    topic,
                    queue_id,
                    ..GetMinOffsetRequestHeader::default()
                };
                self.ask_offset(&peer, request_code::GET_MIN_OFFSET, &header, until).await
            }
        }
    }

    /// Pulls messages; the broker waits where there are none.
    pub(super) async fn pull(&self, queue: &OwnedQueue, epoch: Epoch, pull: Pull) -> Answered {
        let answer = self.try_pull(queue, pull).await;
        Answered::Pull { epoch, number: pull.number, answer }
    }

    async fn try_pull(&self, queue: &OwnedQueue, pull: Pull) -> Option<(PullAnswer, Unpacked)> {
        let peer = self.broker(queue, pull.until).await?;
        let topic = self.description.topics.get(queue.topic)?;
        let subscription = topic.subscription(self.description.version_ms);
        let suspend_us = queue.flow.suspend_us(pull.suspend_us);
        let header = PullMessageRequestHeader {
            consumer_group: Text::plain(&self.description.group),
            topic: Text::plain(&queue.wire_topic),
            queue_id: queue.from.queue_id,
            queue_offset: pull.offset,
            max_msg_nums: i32::try_from(pull.messages_max).unwrap_or(i32::MAX),
            // Offsets are committed by requests of their own, whose answers say so.
            sys_flag: PullFlags::default().with(PullFlags::SUSPEND).0,
            commit_offset: 0,
            suspend_timeout_millis: i64::try_from(suspend_us / 1_000).unwrap_or(i64::MAX),
            sub_version: self.description.version_ms,
            expression_type: Some(Text::plain(subscription.expression_type())),
            max_msg_bytes: Some(i32::try_from(pull.bytes_max).unwrap_or(i32::MAX)),
            ..PullMessageRequestHeader::default()
        };
        let left = self.left(pull.until);
        let answer = peer.ask(request_code::PULL_MESSAGE, &header, b"", left).await.ok()?;
        let bytes = answer.into_lease().into_bytes();
        let frame = Frame::decode(&bytes).ok()?;
        let code = frame.header.code;
        let Ok(said) = PullMessageResponseHeader::decode(&frame.ext) else {
            let nowhere = PullAnswer { code, next_offset: -1, min_offset: 0, max_offset: 0 };
            // Only refusals say nothing of offsets.
            let is_refusal = !matches!(code, response_code::SUCCESS | PULL_FIRST..=PULL_LAST);
            return is_refusal.then(|| (nowhere, Unpacked::default()));
        };
        let answer = PullAnswer {
            code,
            next_offset: said.next_begin_offset,
            min_offset: said.min_offset,
            max_offset: said.max_offset,
        };
        let unpacked = match code {
            response_code::SUCCESS => unpack(&body_of(&bytes, frame.body), &subscription),
            _ => Unpacked::default(),
        };
        Some((answer, unpacked))
    }

    /// The broker does not know what the group subscribes to, or something older: it is told again
    /// before the next pull.
    pub(super) fn introduce_again(&self, queue: &OwnedQueue) {
        self.stats.count(Event::SubscriptionUnknown);
        if let Some(peer) = self.inner.routes.broker(&queue.wire_topic, &queue.from.broker) {
            peer.has_forgotten();
        }
    }

    /// Commits an offset; true where it is committed.
    pub(super) async fn commit(&self, queue: &OwnedQueue, commit: Commit) -> bool {
        if let Some(store) = &self.store {
            return store.save(queue.from.queue_name(), commit.offset).await;
        }
        let until = self.now().plus_us(self.config.give_away.commit_us);
        let Some(peer) = self.inner.routes.broker(&queue.wire_topic, &queue.from.broker) else {
            return false;
        };
        let header = UpdateConsumerOffsetRequestHeader {
            consumer_group: Text::plain(&self.description.group),
            topic: Text::plain(&queue.wire_topic),
            queue_id: queue.from.queue_id,
            commit_offset: commit.offset,
            ..UpdateConsumerOffsetRequestHeader::default()
        };
        let code = request_code::UPDATE_CONSUMER_OFFSET;
        is_success(peer.ask(code, &header, b"", self.left(until)).await.ok())
    }

    /// Has the broker store a message to be tried later, or as a dead letter; true where it has.
    pub(super) async fn send_back(
        &self,
        queue: &OwnedQueue,
        message: &ReceivedMessage,
        back: SendBack,
    ) -> bool {
        let Some(peer) = self.inner.routes.broker(&queue.wire_topic, &queue.from.broker) else {
            return false;
        };
        let id = offset_id_text(&message.head);
        let header = ConsumerSendMsgBackRequestHeader {
            offset: message.head.physical_offset,
            group: Text::plain(&self.description.group),
            delay_level: back.delay_level,
            origin_msg_id: Some(Text::plain(&id)),
            origin_topic: Some(Text::plain(&queue.wire_topic)),
            unit_mode: false,
            max_reconsume_times: Some(back.retries_max),
            ..ConsumerSendMsgBackRequestHeader::default()
        };
        let code = request_code::CONSUMER_SEND_MSG_BACK;
        is_success(peer.ask(code, &header, b"", self.config.ask_timeout).await.ok())
    }

    /// The ids of all members of the group, sorted, as one of these brokers knows them.
    pub(super) async fn members(&self, peers: &[Arc<Peer<B>>]) -> Option<Vec<String>> {
        let header = GetConsumerListByGroupRequestHeader {
            consumer_group: Text::plain(&self.description.group),
            ..GetConsumerListByGroupRequestHeader::default()
        };
        for peer in peers {
            let code = request_code::GET_CONSUMER_LIST_BY_GROUP;
            let asked = peer.ask(code, &header, b"", self.config.ask_timeout).await;
            let members = asked.ok().and_then(|answer| read_members(&answer));
            if members.is_some() {
                return members;
            }
        }
        None
    }
}

/// Codes of answers to pulls that name offsets.
const PULL_FIRST: i32 = response_code::PULL_NOT_FOUND;
const PULL_LAST: i32 = response_code::PULL_OFFSET_MOVED;

fn is_success(answer: Option<Answer>) -> bool {
    answer.is_some_and(|answer| {
        answer.frame().is_ok_and(|frame| frame.header.code == response_code::SUCCESS)
    })
}

fn read_members(answer: &Answer) -> Option<Vec<String>> {
    let frame = answer.frame().ok()?;
    if frame.header.code != response_code::SUCCESS {
        return None;
    }
    let body = GetConsumerListByGroupResponseBody::decode(frame.body).ok()?;
    let mut members = Vec::new();
    for member in body.consumer_id_list.iter() {
        let member = member.ok()?;
        members.push(match member.as_str() {
            Some(plain) => plain.to_owned(),
            None => member.chars().collect(),
        });
    }
    members.sort_unstable();
    members.dedup();
    Some(members)
}

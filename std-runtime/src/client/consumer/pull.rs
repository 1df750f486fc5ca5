//! Pulling by hand: whoever calls says which queue, from which offset, and how much.

use core::fmt;
use core::time::Duration;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use turbopump_core::rocketmq::consumer::Subscription;
use turbopump_core::rocketmq::wire::command::{
    Command, GetMaxOffsetRequestHeader, GetMaxOffsetResponseHeader, GetMinOffsetRequestHeader,
    PullMessageRequestHeader, PullMessageResponseHeader, QueryConsumerOffsetRequestHeader,
    SearchOffsetRequestHeader, UpdateConsumerOffsetRequestHeader,
};
use turbopump_core::rocketmq::wire::frame::Frame;
use turbopump_core::rocketmq::wire::header::{ExtSource, request_code, response_code};
use turbopump_core::rocketmq::wire::json::Text;
use turbopump_core::rocketmq::wire::pull::PullFlags;
use turbopump_core::time::Clock;

use super::offsets::ConsumedQueue;
use super::received::{ReceivedFrom, ReceivedMessage, Restorer};
use super::unpack::{Unpacked, body_of, unpack};
use crate::backend::Backend;
use crate::client::Inner;
use crate::client::peers::Peer;
use crate::memory::IntoBytes;
use crate::rocketmq::Answer;

/// Pulls messages in the name of a group, of whichever queues it is told: a cheap handle without
/// tasks of its own. Nothing is shared with other members, and nothing is committed by itself.
pub struct PullConsumer<B: Backend> {
    core: Arc<Core<B>>,
}

struct Core<B: Backend> {
    inner: Arc<Inner<B>>,
    group: Box<str>,
    wire_group: Box<str>,
    restorer: Restorer,
}

/// What is pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
// Made with `..PullRequest::from_offset(0)`, so that more fields can come.
#[allow(clippy::exhaustive_structs)]
pub struct PullRequest<'a> {
    /// Where it begins.
    pub offset: i64,
    /// Tags between `||`, or `*` for all.
    pub tags: &'a str,
    /// Messages at most; 32, which is what brokers give by default.
    pub messages_max: u32,
    /// Bytes at most; 256 KiB. Brokers give one message whatever its length.
    pub bytes_max: u32,
    /// How long the broker may wait where there are no messages; not at all by default.
    pub wait: Duration,
}

impl PullRequest<'static> {
    /// All messages from this offset on.
    #[must_use]
    pub const fn from_offset(offset: i64) -> Self {
        Self { offset, tags: "*", messages_max: 32, bytes_max: 256 << 10, wait: Duration::ZERO }
    }
}

/// What a pull has brought.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PullResult {
    /// The messages; none where there are none that are wanted.
    pub messages: Vec<ReceivedMessage>,
    /// Where the next pull begins.
    pub next_offset: i64,
    /// The first offset that the queue still has.
    pub min_offset: i64,
    /// The offset behind its last message.
    pub max_offset: i64,
}

/// Why something was not pulled, asked or committed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PullError {
    /// Nobody knows where the queue is.
    NoRoute {
        /// What was tried.
        reason: Box<str>,
    },
    /// The offset is outside the queue, or the group's offset was set anew.
    OffsetMoved {
        /// Where to go on.
        to: i64,
    },
    /// A broker has refused it.
    Refused {
        /// The code.
        code: i32,
        /// The remark.
        remark: String,
    },
    /// No broker could be reached, or none has answered.
    Unreachable {
        /// Why.
        reason: Box<str>,
    },
    /// The answer can't be read.
    Damaged,
    /// What is wanted can't be meant.
    Expression {
        /// The text.
        tags: Box<str>,
    },
}

impl fmt::Display for PullError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRoute { reason } => write!(f, "{reason}; create the topic first"),
            Self::OffsetMoved { to } => {
                write!(f, "there is nothing at that offset: go on at {to}")
            }
            Self::Refused { code, remark } => {
                let name = response_code::name(*code).unwrap_or("unknown");
                write!(f, "the broker refuses with {name} ({code}): {remark}")
            }
            Self::Unreachable { reason } => write!(
                f,
                "{reason}; where brokers advertise addresses that can't be reached from here, set \
                 `address_mapper`"
            ),
            Self::Damaged => f.write_str("the broker's answer can't be read; pull again"),
            Self::Expression { tags } => {
                write!(f, "{tags:?} names no tags: write `*` for all, or tags between `||`")
            }
        }
    }
}

impl core::error::Error for PullError {}

impl<B: Backend> PullConsumer<B> {
    pub(in crate::client) fn new(inner: Arc<Inner<B>>, group: &str) -> Self {
        let wire_group = inner.wire_name(group).into();
        let restorer = Restorer::new(inner.config.message_bytes_max);
        Self { core: Arc::new(Core { inner, group: group.into(), wire_group, restorer }) }
    }

    pub(super) fn backend(&self) -> &B {
        &self.core.inner.backend
    }

    /// Its group.
    #[must_use]
    pub fn group(&self) -> &str {
        &self.core.group
    }

    /// The queues of a topic that can be read.
    ///
    /// # Errors
    ///
    /// [`PullError::NoRoute`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn queues(&self, topic: &str) -> Result<Vec<ConsumedQueue>, PullError> {
        let inner = &self.core.inner;
        let until = inner.clock.now().at.plus_us(inner.config.send.timeout_us);
        let route = inner.route_to_read(&inner.wire_name(topic), until).await;
        let route =
            route.map_err(|error| PullError::NoRoute { reason: error.into_text().into() })?;
        let queue = |(broker, queue): (&crate::client::routes::Broker<B>, i32)| {
            ConsumedQueue::new(topic, &broker.name, queue)
        };
        Ok(route.readable().map(queue).collect())
    }

    async fn broker(&self, queue: &ConsumedQueue) -> Result<Arc<Peer<B>>, PullError> {
        let inner = &self.core.inner;
        let until = inner.clock.now().at.plus_us(inner.config.send.timeout_us);
        let topic = inner.wire_name(&queue.topic);
        let route = inner.route_to_read(&topic, until).await;
        let route =
            route.map_err(|error| PullError::NoRoute { reason: error.into_text().into() })?;
        let broker = route.brokers.iter().find(|broker| *broker.name == *queue.broker);
        broker.and_then(|broker| broker.peer.clone()).ok_or_else(|| PullError::NoRoute {
            reason: format!("the topic {:?} has no broker {:?}", queue.topic, queue.broker).into(),
        })
    }

    async fn ask(
        &self,
        queue: &ConsumedQueue,
        code: i32,
        header: &impl ExtSource,
        timeout: Duration,
    ) -> Result<Answer, PullError> {
        let peer = self.broker(queue).await?;
        let asked = peer.ask(code, header, b"", timeout).await;
        asked.map_err(|error| {
            self.core.inner.routes.doubt(&self.core.inner.wire_name(&queue.topic));
            PullError::Unreachable { reason: error.reason }
        })
    }

    fn timeout(&self) -> Duration {
        Duration::from_micros(self.core.inner.config.send.timeout_us)
    }

    /// An answer that names an offset.
    async fn ask_offset(
        &self,
        queue: &ConsumedQueue,
        code: i32,
        header: &impl ExtSource,
    ) -> Result<i64, PullError> {
        let answer = self.ask(queue, code, header, self.timeout()).await?;
        let frame = answer.frame().map_err(|_| PullError::Damaged)?;
        if frame.header.code != response_code::SUCCESS {
            return Err(refused(&frame));
        }
        // All of these have the same field.
        let header = GetMaxOffsetResponseHeader::decode(&frame.ext);
        header.map(|header| header.offset).map_err(|_| PullError::Damaged)
    }

    /// Pulls messages of a queue.
    ///
    /// # Errors
    ///
    /// [`PullError`]; [`PullError::OffsetMoved`] says where to go on.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no message: nothing moves on by itself.
    pub async fn pull(
        &self,
        queue: &ConsumedQueue,
        request: PullRequest<'_>,
    ) -> Result<PullResult, PullError> {
        let inner = &self.core.inner;
        let topic = inner.wire_name(&queue.topic);
        let subscription = Subscription::by_tags(&topic, request.tags, 0)
            .map_err(|_| PullError::Expression { tags: request.tags.into() })?;
        // The subscription goes with it: brokers need no heartbeat for that.
        let waits = if request.wait.is_zero() { 0 } else { PullFlags::SUSPEND };
        let header = PullMessageRequestHeader {
            consumer_group: Text::plain(&self.core.wire_group),
            topic: Text::plain(&topic),
            queue_id: queue.queue,
            queue_offset: request.offset,
            max_msg_nums: i32::try_from(request.messages_max.max(1)).unwrap_or(i32::MAX),
            sys_flag: PullFlags::default().with(PullFlags::SUBSCRIPTION | waits).0,
            suspend_timeout_millis: i64::try_from(request.wait.as_millis()).unwrap_or(i64::MAX),
            subscription: Some(Text::plain(subscription.sub_string())),
            expression_type: Some(Text::plain(subscription.expression_type())),
            max_msg_bytes: Some(i32::try_from(request.bytes_max).unwrap_or(i32::MAX)),
            ..PullMessageRequestHeader::default()
        };
        let timeout = self.timeout().saturating_add(request.wait);
        let answer = self.ask(queue, request_code::PULL_MESSAGE, &header, timeout).await?;
        let bytes = answer.into_lease().into_bytes();
        let frame = Frame::decode(&bytes).map_err(|_| PullError::Damaged)?;
        let code = frame.header.code;
        let is_answer = matches!(
            code,
            response_code::SUCCESS
                | response_code::PULL_NOT_FOUND
                | response_code::PULL_RETRY_IMMEDIATELY
                | response_code::PULL_OFFSET_MOVED
        );
        if !is_answer {
            return Err(refused(&frame));
        }
        let said = PullMessageResponseHeader::decode(&frame.ext).map_err(|_| PullError::Damaged)?;
        if code == response_code::PULL_OFFSET_MOVED {
            let most = said.max_offset.max(said.min_offset);
            let to = said.next_begin_offset.min(most).max(said.min_offset).max(0);
            return Err(PullError::OffsetMoved { to });
        }
        let unpacked = match code {
            response_code::SUCCESS => unpack(&body_of(&bytes, frame.body), &subscription),
            _ => Unpacked::default(),
        };
        let mut result = PullResult {
            messages: Vec::new(),
            next_offset: said.next_begin_offset.max(request.offset),
            min_offset: said.min_offset,
            max_offset: said.max_offset,
        };
        if unpacked.is_damaged {
            // Behind what can't be read nothing is known.
            let last = unpacked.deliveries.last().ok_or(PullError::Damaged)?;
            result.next_offset = last.offset.saturating_add(1);
        }
        self.read(queue, unpacked, request.offset, &mut result);
        Ok(result)
    }

    fn read(
        &self,
        queue: &ConsumedQueue,
        unpacked: Unpacked,
        offset: i64,
        result: &mut PullResult,
    ) {
        let from = Arc::new(ReceivedFrom {
            topic: Arc::clone(&queue.topic),
            broker: Arc::clone(&queue.broker),
            queue_id: queue.queue,
            namespace: self.core.inner.config.namespace.as_deref().map(Arc::from),
            is_retry: false,
        });
        // Brokers answer with whole inner batches.
        let wanted = unpacked
            .deliveries
            .iter()
            .filter(|delivery| delivery.offset >= offset && !delivery.is_unwanted);
        let messages = wanted.filter_map(|one| one.message(&from, &self.core.restorer));
        result.messages.extend(messages);
    }

    /// The first offset that a queue still has.
    ///
    /// # Errors
    ///
    /// [`PullError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn min_offset(&self, queue: &ConsumedQueue) -> Result<i64, PullError> {
        let topic = self.core.inner.wire_name(&queue.topic);
        let header = GetMinOffsetRequestHeader {
            topic: Text::plain(&topic),
            queue_id: queue.queue,
            ..GetMinOffsetRequestHeader::default()
        };
        self.ask_offset(queue, request_code::GET_MIN_OFFSET, &header).await
    }

    /// The offset behind the last message of a queue.
    ///
    /// # Errors
    ///
    /// [`PullError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn max_offset(&self, queue: &ConsumedQueue) -> Result<i64, PullError> {
        let topic = self.core.inner.wire_name(&queue.topic);
        let header = GetMaxOffsetRequestHeader {
            topic: Text::plain(&topic),
            queue_id: queue.queue,
            committed: true,
            ..GetMaxOffsetRequestHeader::default()
        };
        self.ask_offset(queue, request_code::GET_MAX_OFFSET, &header).await
    }

    /// The offset of the first message of a queue that was stored at this time or later; in
    /// milliseconds since 1970, by the broker's clock.
    ///
    /// # Errors
    ///
    /// [`PullError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn offset_at(&self, queue: &ConsumedQueue, unix_ms: i64) -> Result<i64, PullError> {
        let topic = self.core.inner.wire_name(&queue.topic);
        let header = SearchOffsetRequestHeader {
            topic: Text::plain(&topic),
            queue_id: queue.queue,
            timestamp: unix_ms,
            ..SearchOffsetRequestHeader::default()
        };
        self.ask_offset(queue, request_code::SEARCH_OFFSET_BY_TIMESTAMP, &header).await
    }

    /// What the group has committed of a queue; `None` where that is nothing.
    ///
    /// # Errors
    ///
    /// [`PullError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn committed(&self, queue: &ConsumedQueue) -> Result<Option<i64>, PullError> {
        let topic = self.core.inner.wire_name(&queue.topic);
        let header = QueryConsumerOffsetRequestHeader {
            consumer_group: Text::plain(&self.core.wire_group),
            topic: Text::plain(&topic),
            queue_id: queue.queue,
            // Else brokers say 0 of young queues.
            set_zero_if_not_found: Some(false),
            ..QueryConsumerOffsetRequestHeader::default()
        };
        match self.ask_offset(queue, request_code::QUERY_CONSUMER_OFFSET, &header).await {
            Ok(offset) => Ok(Some(offset)),
            Err(PullError::Refused { code: response_code::QUERY_NOT_FOUND, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Commits the offset of the next message that the group is to handle.
    ///
    /// # Errors
    ///
    /// [`PullError`]; it may be committed all the same where no answer came.
    ///
    /// # Cancel safety
    ///
    /// It may be committed.
    pub async fn commit(&self, queue: &ConsumedQueue, offset: i64) -> Result<(), PullError> {
        let topic = self.core.inner.wire_name(&queue.topic);
        let header = UpdateConsumerOffsetRequestHeader {
            consumer_group: Text::plain(&self.core.wire_group),
            topic: Text::plain(&topic),
            queue_id: queue.queue,
            commit_offset: offset,
            ..UpdateConsumerOffsetRequestHeader::default()
        };
        let code = request_code::UPDATE_CONSUMER_OFFSET;
        let answer = self.ask(queue, code, &header, self.timeout()).await?;
        let frame = answer.frame().map_err(|_| PullError::Damaged)?;
        match frame.header.code {
            response_code::SUCCESS => Ok(()),
            _ => Err(refused(&frame)),
        }
    }
}

fn refused(frame: &Frame<'_>) -> PullError {
    let remark = frame.header.remark.map(|remark| remark.to_string());
    PullError::Refused { code: frame.header.code, remark: remark.unwrap_or_default() }
}

impl<B: Backend> Clone for PullConsumer<B> {
    fn clone(&self) -> Self {
        Self { core: Arc::clone(&self.core) }
    }
}

impl<B: Backend> fmt::Debug for PullConsumer<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PullConsumer").field("group", &self.group()).finish_non_exhaustive()
    }
}

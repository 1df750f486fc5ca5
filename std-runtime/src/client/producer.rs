//! Sending: one message or a batch, with or without an answer.

use core::fmt;
use core::time::Duration;
use std::sync::{Mutex, MutexGuard, PoisonError};

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use turbopump_core::random::SplitMix64;
use turbopump_core::rocketmq::client::{Attempts, Busy, Failure, Preference, Verdict};
use turbopump_core::rocketmq::wire::command::{
    Command, SendMessageRequestHeaderV2, SendMessageResponseHeader,
};
use turbopump_core::rocketmq::wire::header::{request_code, response_code};
use turbopump_core::rocketmq::wire::identity::java_hash;
use turbopump_core::rocketmq::wire::message::{BatchEntry, Compression, SysFlag};
use turbopump_core::rocketmq::wire::names::is_sendable;
use turbopump_core::rocketmq::wire::properties::{keys, write_property};
use turbopump_core::time::{Clock, Instant, Now};

use super::Inner;
use super::error::{SendError, SendErrorKind};
use super::message::Message;
use super::routes::{Route, TEMPLATE_QUEUES};
use crate::backend::Backend;
use crate::memory::Lease;
use crate::rocketmq::BodyCodec;

/// The longest properties that the wire format has room for.
const PROPERTIES_BYTES_MAX: usize = 32_767;
const NO_QUEUE: &str = "its route has no queue that may be written to";
/// The longest name of a topic that brokers take.
const TOPIC_BYTES_MAX: usize = 127;

/// Sends messages in the name of a group: a cheap handle.
pub struct Producer<B: Backend> {
    inner: Arc<Inner<B>>,
    shared: Arc<Shared>,
}

struct Shared {
    group: Box<str>,
    random: Mutex<SplitMix64>,
    codec: Mutex<BodyCodec>,
}

/// A message that a broker has taken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SendReceipt {
    /// The id that it was given here: the same for all attempts.
    pub message_id: Box<str>,
    /// The id by which brokers find it.
    pub offset_message_id: Box<str>,
    /// The broker's name.
    pub broker: Box<str>,
    /// The queue.
    pub queue: i32,
    /// Its offset there.
    pub offset: i64,
    /// How safe it is.
    pub status: SendStatus,
}

/// How safe a message is that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendStatus {
    /// As the broker is set to.
    Ok,
    /// It is in the broker's memory, but was not written to disk in time.
    FlushDiskTimeout,
    /// It is at the broker, but not at a slave in time.
    FlushSlaveTimeout,
    /// It is at the broker, but there is no slave.
    SlaveNotAvailable,
}

impl SendStatus {
    const fn of(code: i32) -> Option<Self> {
        Some(match code {
            response_code::SUCCESS => Self::Ok,
            response_code::FLUSH_DISK_TIMEOUT => Self::FlushDiskTimeout,
            response_code::SLAVE_NOT_AVAILABLE => Self::SlaveNotAvailable,
            response_code::FLUSH_SLAVE_TIMEOUT => Self::FlushSlaveTimeout,
            _ => return None,
        })
    }
}

/// One request, made once for all attempts.
struct Outgoing<'m> {
    topic: &'m str,
    code: i32,
    properties: String,
    flag: SysFlag,
    user_flag: i32,
    body: Cow<'m, [u8]>,
    /// Whose hash says which queue it is; any queue without one.
    sharding: Option<&'m str>,
}

/// What a broker has said to a request that it took.
struct Taken {
    broker: Box<str>,
    /// One for each message, with commas between.
    offset_message_ids: String,
    queue: i32,
    offset: i64,
    status: SendStatus,
}

impl<B: Backend> Producer<B> {
    pub(super) fn new(inner: Arc<Inner<B>>, group: &str) -> Self {
        let seed = inner.ids.next(inner.clock.now().unix_ms);
        let random = SplitMix64::new(u64::from(seed.loader_hash.unsigned_abs()));
        let shared = Shared {
            group: group.into(),
            random: Mutex::new(random),
            codec: Mutex::new(BodyCodec::new()),
        };
        Self { inner, shared: Arc::new(shared) }
    }

    /// Its group.
    #[must_use]
    pub fn group(&self) -> &str {
        &self.shared.group
    }

    /// Sends a message; ready once a broker has taken it. It is sent again, to other brokers where
    /// there are some, within the time of [`ClientConfig::send`](super::ClientConfig::send).
    ///
    /// # Errors
    ///
    /// [`SendError`] says why, how often it was tried, whether trying again makes sense, and
    /// whether the message may be there all the same.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the attempts; the message may have been sent.
    pub async fn send(&self, message: Message) -> Result<SendReceipt, SendError> {
        self.send_one(&message, None).await
    }

    /// As [`send`](Self::send), always to the same queue for the same key, as long as the topic has
    /// as many queues: messages of one key that are sent one after the other stay in order. Queues
    /// are chosen as by Java's `SelectMessageQueueByHash`, and no other one is tried.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// As [`send`](Self::send).
    pub async fn send_ordered(
        &self,
        message: Message,
        sharding_key: &str,
    ) -> Result<SendReceipt, SendError> {
        let message = message.property(keys::SHARDING_KEY, sharding_key);
        self.send_one(&message, Some(sharding_key)).await
    }

    async fn send_one(
        &self,
        message: &Message,
        sharding: Option<&str>,
    ) -> Result<SendReceipt, SendError> {
        let prepared = self.prepare_one(message, sharding);
        let (id, outgoing) = prepared.map_err(|kind| refused(message.topic(), kind))?;
        let taken = self.send_all(&outgoing).await?;
        Ok(SendReceipt {
            message_id: id.into(),
            offset_message_id: taken.offset_message_ids.into(),
            broker: taken.broker,
            queue: taken.queue,
            offset: taken.offset,
            status: taken.status,
        })
    }

    /// Sends messages of one topic as one batch, which a broker takes or refuses as a whole; the
    /// receipts are in the order of the messages. Batches are not compressed, and not delayed.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send); also for messages of several topics, for none at all, and where
    /// they are too long together.
    ///
    /// # Cancel safety
    ///
    /// As [`send`](Self::send).
    pub async fn send_batch(&self, messages: &[Message]) -> Result<Vec<SendReceipt>, SendError> {
        let topic = messages.first().map_or("", Message::topic);
        let prepared = self.prepare_batch(topic, messages);
        let (ids, outgoing) = prepared.map_err(|kind| refused(topic, kind))?;
        let taken = self.send_all(&outgoing).await?;
        let mut offset_message_ids = taken.offset_message_ids.split(',');
        let receipts = ids.into_iter().zip(0..).map(|(id, place)| SendReceipt {
            message_id: id.into(),
            offset_message_id: offset_message_ids.next().unwrap_or_default().into(),
            broker: taken.broker.clone(),
            queue: taken.queue,
            offset: taken.offset.saturating_add(place),
            status: taken.status,
        });
        Ok(receipts.collect())
    }

    /// Sends a message without waiting for an answer, which brokers don't give then: ready once it
    /// is handed to the connection. It is tried once.
    ///
    /// # Errors
    ///
    /// [`SendError`] where it was certainly not sent.
    ///
    /// # Cancel safety
    ///
    /// The message was sent as a whole, or not at all.
    pub async fn send_oneway(&self, message: Message) -> Result<(), SendError> {
        let topic = message.topic();
        let prepared = self.prepare_one(&message, None);
        let (_, outgoing) = prepared.map_err(|kind| refused(topic, kind))?;
        let now = self.inner.clock.now();
        let until = now.at.plus_us(self.inner.config.send.timeout_us);
        let failed = |kind| SendError { attempts: 1, ..refused(topic, kind) };
        let no_route = |reason: Box<str>| failed(SendErrorKind::NoRoute { reason });
        let route = self.inner.route(topic, until).await;
        let route = route.map_err(|reason| no_route(reason.into()))?;
        let none = Trace { failed_at: None, maybe_sent: false, last: None };
        let picked = pick(&route, now.at, &none, None);
        let (broker, queue) = picked.ok_or_else(|| no_route(NO_QUEUE.into()))?;
        let header = self.header(&outgoing, now, &broker.name, queue);
        let timeout = Duration::from_micros(until.us_since(self.inner.clock.now().at));
        let told = broker.peer.tell(outgoing.code, &header, &outgoing.body, timeout).await;
        told.map_err(|error| failed(SendErrorKind::Unreachable { reason: error.reason }))
    }

    /// Attempts until one succeeds, none makes sense any more, or the time is over.
    async fn send_all(&self, outgoing: &Outgoing<'_>) -> Result<Taken, SendError> {
        let begin = self.inner.clock.now().at;
        let mut attempts = Attempts::new(begin, &self.inner.config.send);
        let mut trace = Trace { failed_at: None, maybe_sent: false, last: None };
        loop {
            let at = self.inner.clock.now().at;
            let Some(attempt) = attempts.begin(at) else { break };
            let failure = match self.attempt(outgoing, attempt.until, &mut trace).await {
                Ok(taken) => return Ok(taken),
                Err(failure) => failure,
            };
            let at = self.inner.clock.now().at;
            let verdict = attempts.fail(at, failure, &mut self.random());
            match verdict {
                Verdict::Again { at: again } if again > at => self.pause_until(again).await,
                Verdict::Again { .. } => {}
                _ => break,
            }
        }
        let after = Duration::from_micros(self.inner.clock.now().at.us_since(begin));
        let unreachable = || SendErrorKind::Unreachable { reason: "no time was left".into() };
        Err(SendError {
            topic: outgoing.topic.into(),
            attempts: attempts.begun(),
            after,
            kind: trace.last.unwrap_or_else(unreachable),
            maybe_sent: trace.maybe_sent,
        })
    }

    fn random(&self) -> MutexGuard<'_, SplitMix64> {
        self.shared.random.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn pause_until(&self, at: Instant) {
        if let Some(at) = self.inner.clock.system_instant(at) {
            self.inner.backend.sleep_until(at).await;
        }
    }

    /// Refuses what no broker would take; else the message's id, and what is to be sent.
    fn prepare_one<'m>(
        &self,
        message: &'m Message,
        sharding: Option<&'m str>,
    ) -> Result<(String, Outgoing<'m>), SendErrorKind> {
        check_topic(message.topic())?;
        let body = message.body();
        self.check_body(body.len())?;
        let (id, properties) = self.identify(message)?;
        let packed = self.pack(body);
        let compression = packed.as_ref().map(|_| Compression::Zlib);
        let outgoing = Outgoing {
            topic: message.topic(),
            code: request_code::SEND_MESSAGE_V2,
            properties,
            flag: SysFlag::default().with_compression(compression),
            user_flag: message.user_flag(),
            body: packed.map_or(Cow::Borrowed(body), Cow::Owned),
            sharding,
        };
        Ok((id, outgoing))
    }

    fn prepare_batch<'m>(
        &self,
        topic: &'m str,
        messages: &[Message],
    ) -> Result<(Vec<String>, Outgoing<'m>), SendErrorKind> {
        if messages.is_empty() {
            return Err(SendErrorKind::Empty);
        }
        check_topic(topic)?;
        if messages.iter().any(|message| message.topic() != topic) {
            let reason = "a batch has one topic, and these messages have several";
            return Err(SendErrorKind::Topic { reason });
        }
        let (mut ids, mut body) = (Vec::with_capacity(messages.len()), Vec::new());
        for message in messages {
            self.check_body(message.body().len())?;
            let (id, properties) = self.identify(message)?;
            let properties = properties.as_bytes();
            let entry = BatchEntry { flag: message.user_flag(), body: message.body(), properties };
            let end = body.len();
            body.resize(end + entry.encoded_len(), 0);
            let room = body.get_mut(end..).unwrap_or_default();
            if entry.encode(room).is_err() {
                let bytes = message.body().len() + properties.len();
                return Err(SendErrorKind::TooLarge { bytes, bytes_max: PROPERTIES_BYTES_MAX });
            }
            ids.push(id);
        }
        // All of it, as it is on the wire, is what brokers measure.
        self.check_body(body.len())?;
        let id = self.inner.ids.next(self.inner.clock.now().unix_ms).to_string();
        let mut properties = String::new();
        let written = write_property(&mut properties, keys::UNIQ_KEY, &id)
            .and_then(|()| write_property(&mut properties, keys::WAIT, "true"));
        written.map_err(SendErrorKind::Property)?;
        let outgoing = Outgoing {
            topic,
            code: request_code::SEND_BATCH_MESSAGE,
            properties,
            flag: SysFlag::default(),
            user_flag: 0,
            body: Cow::Owned(body),
            sharding: None,
        };
        Ok((ids, outgoing))
    }

    fn check_body(&self, bytes: usize) -> Result<(), SendErrorKind> {
        let bytes_max = self.inner.config.message_bytes_max;
        match bytes {
            0 => Err(SendErrorKind::Empty),
            bytes if bytes > bytes_max => Err(SendErrorKind::TooLarge { bytes, bytes_max }),
            _ => Ok(()),
        }
    }

    /// A message's id, and its properties with it.
    fn identify(&self, message: &Message) -> Result<(String, String), SendErrorKind> {
        let id = self.inner.ids.next(self.inner.clock.now().unix_ms).to_string();
        let mut properties = String::with_capacity(128);
        message.write_properties(&id, &mut properties).map_err(SendErrorKind::Property)?;
        if properties.len() > PROPERTIES_BYTES_MAX {
            let (bytes, bytes_max) = (properties.len(), PROPERTIES_BYTES_MAX);
            return Err(SendErrorKind::TooLarge { bytes, bytes_max });
        }
        Ok((id, properties))
    }

    /// The body compressed, where it is long enough and gets shorter.
    fn pack(&self, body: &[u8]) -> Option<Vec<u8>> {
        if body.len() < self.inner.config.compress_from_bytes {
            return None;
        }
        let mut lease: Lease = self.inner.peers.buffers.acquire(body.len()).ok()?;
        let mut codec = self.shared.codec.lock().unwrap_or_else(PoisonError::into_inner);
        let room = lease.dirty_mut().get_mut(..body.len())?;
        let len = codec.compress(Compression::Zlib, body, room).ok()?;
        Some(room.get(..len)?.to_vec())
    }

    fn header<'h>(
        &'h self,
        outgoing: &'h Outgoing<'_>,
        now: Now,
        broker: &'h str,
        queue: i32,
    ) -> SendMessageRequestHeaderV2<'h> {
        SendMessageRequestHeaderV2 {
            producer_group: (*self.shared.group).into(),
            topic: outgoing.topic.into(),
            default_topic: "TBW102".into(),
            default_topic_queue_nums: TEMPLATE_QUEUES,
            queue_id: queue,
            sys_flag: outgoing.flag.0,
            born_timestamp: now.unix_ms as i64,
            flag: outgoing.user_flag,
            properties: Some(outgoing.properties.as_str().into()),
            reconsume_times: Some(0),
            unit_mode: Some(false),
            batch: Some(outgoing.code == request_code::SEND_BATCH_MESSAGE),
            broker_name: Some(broker.into()),
            ..SendMessageRequestHeaderV2::default()
        }
    }

    async fn attempt(
        &self,
        outgoing: &Outgoing<'_>,
        until: Instant,
        trace: &mut Trace,
    ) -> Result<Taken, Failure> {
        let inner = &self.inner;
        let route = match inner.route(outgoing.topic, until).await {
            Ok(route) => route,
            Err(reason) => return Err(trace.no_route(reason.into())),
        };
        let now = inner.clock.now();
        let Some((broker, queue)) = pick(&route, now.at, trace, outgoing.sharding) else {
            return Err(trace.no_route(NO_QUEUE.into()));
        };
        let peer = Arc::clone(&broker.peer);
        peer.health().handle_sent(now.at);
        let header = self.header(outgoing, now, &broker.name, queue);
        let timeout = Duration::from_micros(until.us_since(now.at));
        let asked = peer.ask(outgoing.code, &header, &outgoing.body, timeout).await;
        let at = inner.clock.now().at;
        let answer = match asked {
            Ok(answer) => answer,
            Err(error) => {
                peer.health().handle_failed(at);
                trace.maybe_sent |= error.maybe_sent;
                trace.failed_at = Some(broker.name.clone());
                inner.routes.doubt(outgoing.topic);
                let reason = format!("broker {:?} at {}", broker.name, error.reason);
                trace.last = Some(SendErrorKind::Unreachable { reason: reason.into() });
                return Err(Failure::Transport);
            }
        };
        peer.health().handle_answered(at, at.us_since(now.at));
        read(&answer, &broker.name).map_err(|(kind, failure)| {
            if matches!(failure, Failure::Code(_)) {
                inner.routes.doubt(outgoing.topic);
            }
            trace.failed_at = Some(broker.name.clone());
            trace.last = Some(kind);
            failure
        })
    }
}

/// Whether a topic may be sent to, as far as its name says.
fn check_topic(topic: &str) -> Result<(), SendErrorKind> {
    let is_allowed =
        |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '%' | '-' | '_' | '|');
    let reason = if topic.is_empty() {
        "it has no name"
    } else if topic.len() > TOPIC_BYTES_MAX {
        "its name has more than 127 letters"
    } else if !topic.chars().all(is_allowed) {
        "its name may have letters, digits, `%`, `-`, `_` and `|`"
    } else if !is_sendable(topic) {
        "it belongs to the brokers"
    } else {
        return Ok(());
    };
    Err(SendErrorKind::Topic { reason })
}

/// An error for what is not even tried.
fn refused(topic: &str, kind: SendErrorKind) -> SendError {
    let (attempts, after) = (0, Duration::ZERO);
    SendError { topic: topic.into(), attempts, after, kind, maybe_sent: false }
}

/// What has happened in the attempts until now.
struct Trace {
    /// The broker that has failed last.
    failed_at: Option<Box<str>>,
    maybe_sent: bool,
    last: Option<SendErrorKind>,
}

impl Trace {
    fn no_route(&mut self, reason: Box<str>) -> Failure {
        self.last = Some(SendErrorKind::NoRoute { reason });
        Failure::Transport
    }
}

/// The next queue, at a broker that is well where there is one; or the one of a key.
fn pick<'r, B: Backend>(
    route: &'r Route<B>,
    now: Instant,
    trace: &Trace,
    sharding: Option<&str>,
) -> Option<(&'r super::routes::Broker<B>, i32)> {
    let len = route.queues.len();
    let index = if let Some(key) = sharding {
        // As Java has it: the remainder first, then its absolute value.
        let remainder = java_hash(key).checked_rem(i32::try_from(len).ok()?)?;
        usize::try_from(remainder.unsigned_abs()).ok()?
    } else {
        let wanted = |index: usize| {
            let broker = route.queues.get(index).and_then(|(place, _)| route.brokers.get(*place));
            broker.map_or(Preference::Never, |broker| {
                let has_failed = trace.failed_at.as_ref() == Some(&broker.name);
                Preference::of(broker.peer.health().state(now), has_failed)
            })
        };
        route.turns().pick(len, wanted)?
    };
    let (place, queue) = route.queues.get(index)?;
    Some((route.brokers.get(*place)?, *queue))
}

/// What a broker says to a send.
fn read(answer: &crate::rocketmq::Answer, broker: &str) -> Result<Taken, (SendErrorKind, Failure)> {
    let broken = |error: &dyn fmt::Display| {
        let reason = format!("broker {broker:?}: its answer can't be read: {error}").into();
        (SendErrorKind::Unreachable { reason }, Failure::Transport)
    };
    let frame = answer.frame().map_err(|error| broken(&error))?;
    let code = frame.header.code;
    let Some(status) = SendStatus::of(code) else {
        let remark = frame.header.remark.map(|remark| remark.to_string()).unwrap_or_default();
        return Err(match Busy::of(code, &remark) {
            Some(busy) => (SendErrorKind::Busy { busy, remark }, Failure::Busy(busy)),
            None => (SendErrorKind::Refused { code, remark }, Failure::Code(code)),
        });
    };
    let header = SendMessageResponseHeader::decode(&frame.ext).map_err(|error| broken(&error))?;
    Ok(Taken {
        broker: broker.into(),
        offset_message_ids: header.msg_id.to_string(),
        queue: header.queue_id,
        offset: header.queue_offset,
        status,
    })
}

impl<B: Backend> Clone for Producer<B> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), shared: Arc::clone(&self.shared) }
    }
}

impl<B: Backend> fmt::Debug for Producer<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("group", &self.shared.group).finish_non_exhaustive()
    }
}

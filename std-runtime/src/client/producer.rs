//! Sending, one message at a time.

use core::fmt;
use core::time::Duration;
use std::sync::{Mutex, MutexGuard, PoisonError};

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;

use bytes::Bytes;

use turbopump_core::random::SplitMix64;
use turbopump_core::rocketmq::client::{Attempts, Busy, Failure, Preference, Verdict};
use turbopump_core::rocketmq::wire::command::{
    Command, SendMessageRequestHeaderV2, SendMessageResponseHeader,
};
use turbopump_core::rocketmq::wire::header::{request_code, response_code};
use turbopump_core::rocketmq::wire::message::{Compression, SysFlag};
use turbopump_core::rocketmq::wire::names::is_sendable;
use turbopump_core::time::{Clock, Instant};

use super::Inner;
use super::error::{SendError, SendErrorKind};
use super::message::Message;
use super::routes::{Route, TEMPLATE_QUEUES};
use crate::backend::Backend;
use crate::memory::Lease;
use crate::net::Body;
use crate::rocketmq::BodyCodec;

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

/// What is to be sent, made once for all attempts.
struct Prepared {
    id: String,
    properties: String,
    flag: SysFlag,
    /// Compressed; `None` for one that is sent as it is.
    packed: Option<Bytes>,
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
        let now = self.inner.clock.now();
        let refused = |kind| SendError {
            topic: message.topic().into(),
            attempts: 0,
            after: Duration::ZERO,
            kind,
            maybe_sent: false,
        };
        let prepared = self.prepare(now.unix_ms, &message).map_err(refused)?;
        let mut attempts = Attempts::new(now.at, &self.inner.config.send);
        let mut trace = Trace { failed_at: None, maybe_sent: false, last: None };
        loop {
            let at = self.inner.clock.now().at;
            let Some(attempt) = attempts.begin(at) else { break };
            let outcome = self.attempt(&message, &prepared, attempt.until, &mut trace).await;
            let failure = match outcome {
                Ok(receipt) => return Ok(receipt),
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
        let after = Duration::from_micros(self.inner.clock.now().at.us_since(now.at));
        let unreachable = || SendErrorKind::Unreachable { reason: "no time was left".into() };
        Err(SendError {
            topic: message.topic().into(),
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

    /// Refuses what no broker would take.
    fn prepare(&self, unix_ms: u64, message: &Message) -> Result<Prepared, SendErrorKind> {
        let (topic, body) = (message.topic(), message.body());
        let topic_refused = |reason| Err(SendErrorKind::Topic { reason });
        let is_allowed = |letter: char| {
            letter.is_ascii_alphanumeric() || matches!(letter, '%' | '-' | '_' | '|')
        };
        if topic.is_empty() {
            return topic_refused("it has no name");
        } else if topic.len() > TOPIC_BYTES_MAX {
            return topic_refused("its name has more than 127 letters");
        } else if !topic.chars().all(is_allowed) {
            return topic_refused("its name may have letters, digits, `%`, `-`, `_` and `|`");
        } else if !is_sendable(topic) {
            return topic_refused("it belongs to the brokers");
        }
        if body.is_empty() {
            return Err(SendErrorKind::Empty);
        }
        let bytes_max = self.inner.config.message_bytes_max;
        if body.len() > bytes_max {
            return Err(SendErrorKind::TooLarge { bytes: body.len(), bytes_max });
        }
        let id = self.inner.ids.next(unix_ms).to_string();
        let mut properties = String::with_capacity(128);
        message.write_properties(&id, &mut properties).map_err(SendErrorKind::Property)?;
        let packed = self.pack(body);
        let compression = packed.as_ref().map(|_| Compression::Zlib);
        let flag = SysFlag::default().with_compression(compression);
        Ok(Prepared { id, properties, flag, packed })
    }

    /// The body compressed, where it is long enough and gets shorter.
    fn pack(&self, body: &[u8]) -> Option<Bytes> {
        if body.len() < self.inner.config.compress_from_bytes {
            return None;
        }
        let mut lease: Lease = self.inner.peers.buffers.acquire(body.len()).ok()?;
        let mut codec = self.shared.codec.lock().unwrap_or_else(PoisonError::into_inner);
        let room = lease.dirty_mut().get_mut(..body.len())?;
        let len = codec.compress(Compression::Zlib, body, room).ok()?;
        Some(Bytes::copy_from_slice(room.get(..len)?))
    }

    async fn attempt(
        &self,
        message: &Message,
        prepared: &Prepared,
        until: Instant,
        trace: &mut Trace,
    ) -> Result<SendReceipt, Failure> {
        let inner = &self.inner;
        let route = match inner.route(message.topic(), until).await {
            Ok(route) => route,
            Err(reason) => {
                let reason = reason.into_boxed_str();
                trace.last = Some(SendErrorKind::NoRoute { reason });
                return Err(Failure::Transport);
            }
        };
        let now = inner.clock.now();
        let Some((broker, queue)) = pick(&route, now.at, trace) else {
            let reason = "its route has no queue that may be written to".into();
            trace.last = Some(SendErrorKind::NoRoute { reason });
            return Err(Failure::Transport);
        };
        let peer = Arc::clone(&broker.peer);
        peer.health().handle_sent(now.at);
        let header = SendMessageRequestHeaderV2 {
            producer_group: (*self.shared.group).into(),
            topic: message.topic().into(),
            default_topic: "TBW102".into(),
            default_topic_queue_nums: TEMPLATE_QUEUES,
            queue_id: queue,
            sys_flag: prepared.flag.0,
            born_timestamp: now.unix_ms as i64,
            flag: message.user_flag(),
            properties: Some(prepared.properties.as_str().into()),
            reconsume_times: Some(0),
            unit_mode: Some(false),
            batch: Some(false),
            broker_name: Some((*broker.name).into()),
            ..SendMessageRequestHeaderV2::default()
        };
        let body = prepared.packed.as_deref().unwrap_or_else(|| message.body());
        let timeout = Duration::from_micros(until.us_since(now.at));
        let code = request_code::SEND_MESSAGE_V2;
        let asked = peer.ask(code, &header, Body::from(body), timeout).await;
        let at = inner.clock.now().at;
        let answer = match asked {
            Ok(answer) => answer,
            Err(error) => {
                peer.health().handle_failed(at);
                trace.maybe_sent |= error.maybe_sent;
                trace.failed_at = Some(broker.name.clone());
                inner.routes.doubt(message.topic());
                let reason = format!("broker {:?} at {}", broker.name, error.reason);
                trace.last = Some(SendErrorKind::Unreachable { reason: reason.into() });
                return Err(Failure::Transport);
            }
        };
        peer.health().handle_answered(at, at.us_since(now.at));
        let receipt = read(&answer, prepared, &broker.name);
        receipt.map_err(|(kind, failure)| {
            if matches!(failure, Failure::Code(_)) {
                inner.routes.doubt(message.topic());
            }
            trace.failed_at = Some(broker.name.clone());
            trace.last = Some(kind);
            failure
        })
    }
}

/// What has happened in the attempts until now.
struct Trace {
    /// The broker that has failed last.
    failed_at: Option<Box<str>>,
    maybe_sent: bool,
    last: Option<SendErrorKind>,
}

/// The next queue, at a broker that is well where there is one.
fn pick<'r, B: Backend>(
    route: &'r Route<B>,
    now: Instant,
    trace: &Trace,
) -> Option<(&'r super::routes::Broker<B>, i32)> {
    let wanted = |index: usize| {
        let broker = route.queues.get(index).and_then(|(place, _)| route.brokers.get(*place));
        broker.map_or(Preference::Never, |broker| {
            let has_failed = trace.failed_at.as_ref() == Some(&broker.name);
            Preference::of(broker.peer.health().state(now), has_failed)
        })
    };
    let index = route.turns().pick(route.queues.len(), wanted)?;
    let (place, queue) = route.queues.get(index)?;
    Some((route.brokers.get(*place)?, *queue))
}

/// What a broker says to a send.
fn read(
    answer: &crate::rocketmq::Answer,
    prepared: &Prepared,
    broker: &str,
) -> Result<SendReceipt, (SendErrorKind, Failure)> {
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
    Ok(SendReceipt {
        message_id: prepared.id.as_str().into(),
        offset_message_id: header.msg_id.to_string().into(),
        broker: broker.into(),
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

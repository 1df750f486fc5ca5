//! One request that holds a message or a batch: made once, for all attempts.
//!
//! The module refuses what no broker would take. When and where it is sent is decided elsewhere.

use core::fmt;

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use turbopump_core::rocketmq::client::topic_problem;
use turbopump_core::rocketmq::wire::command::SendMessageRequestHeaderV2;
use turbopump_core::rocketmq::wire::header::request_code;
use turbopump_core::rocketmq::wire::identity::UniqueKey;
use turbopump_core::rocketmq::wire::message::{BatchEntry, Compression, SysFlag, Transaction};
use turbopump_core::rocketmq::wire::properties::{keys, write_property};
use turbopump_core::time::Now;

use super::error::SendErrorKind;
use super::message::{Message, write_id};
use super::routes::TEMPLATE_QUEUES;
use crate::memory::{BufferPool, Lease, Object, ObjectPool};
use crate::rocketmq::BodyCodec;

/// The longest properties that the wire format has room for.
const PROPERTIES_BYTES_MAX: usize = 32_767;
/// What an entry of a batch has besides body and properties.
const ENTRY_BYTES: usize = BatchEntry { flag: 0, body: b"", properties: b"" }.encoded_len();

/// A queue of a topic at a broker.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct MessageQueue {
    /// The broker's name.
    pub broker: Arc<str>,
    /// The number of the queue there.
    pub queue: i32,
}

impl MessageQueue {
    /// A queue.
    #[must_use]
    pub fn new(broker: &str, queue: i32) -> Self {
        Self { broker: broker.into(), queue }
    }
}

/// Which queue a message is for.
#[derive(Clone, Copy)]
pub(super) enum Target<'t> {
    /// Any: they take turns.
    Any,
    /// The one that this key's hash says.
    Key(&'t str),
    /// This one.
    Queue(&'t MessageQueue),
}

/// One request, made once for all attempts.
pub(super) struct Outgoing<'m> {
    pub(super) topic: &'m str,
    pub(super) code: i32,
    pub(super) properties: Text,
    pub(super) flag: SysFlag,
    pub(super) user_flag: i32,
    pub(super) body: OutgoingBody<'m>,
    pub(super) target: Target<'m>,
    /// Messages of it.
    pub(super) messages: usize,
}

impl Outgoing<'_> {
    pub(super) fn header<'h>(
        &'h self,
        group: &'h str,
        now: Now,
        broker: &'h str,
        queue: i32,
    ) -> SendMessageRequestHeaderV2<'h> {
        SendMessageRequestHeaderV2 {
            producer_group: group.into(),
            topic: self.topic.into(),
            default_topic: "TBW102".into(),
            default_topic_queue_nums: TEMPLATE_QUEUES,
            queue_id: queue,
            sys_flag: self.flag.0,
            born_timestamp: now.unix_ms as i64,
            flag: self.user_flag,
            properties: Some(self.properties.as_str().into()),
            reconsume_times: Some(0),
            unit_mode: Some(false),
            batch: Some(self.code == request_code::SEND_BATCH_MESSAGE),
            broker_name: Some(broker.into()),
            ..SendMessageRequestHeaderV2::default()
        }
    }
}

pub(super) enum OutgoingBody<'m> {
    Borrowed(&'m [u8]),
    Pooled(Lease),
    /// Where the pool had no room.
    Own(Vec<u8>),
}

impl core::ops::Deref for OutgoingBody<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Pooled(lease) => lease,
            Self::Own(bytes) => bytes,
        }
    }
}

/// A text whose memory is used again.
pub(super) enum Text {
    Pooled(Object<String>),
    /// Where the pool had none left.
    Own(String),
}

impl Text {
    pub(super) fn of(texts: &ObjectPool<String>) -> Self {
        texts.get().map_or_else(|_| Self::Own(String::new()), Self::Pooled)
    }

    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Pooled(text) => text,
            Self::Own(text) => text,
        }
    }

    pub(super) fn get_mut(&mut self) -> &mut String {
        match self {
            Self::Pooled(text) => text,
            Self::Own(text) => text,
        }
    }
}

/// Whether a topic may be sent to, as far as its name says.
pub(super) fn check_topic(topic: &str) -> Result<(), SendErrorKind> {
    topic_problem(topic).map_or(Ok(()), |reason| Err(SendErrorKind::Topic { reason }))
}

/// What messages are made into requests by.
pub(super) struct Workshop<'w> {
    pub(super) texts: &'w ObjectPool<String>,
    pub(super) buffers: &'w BufferPool,
    pub(super) message_bytes_max: usize,
}

/// How bodies are compressed.
pub(super) struct Packing<'p> {
    pub(super) from_bytes: usize,
    pub(super) compression: Compression,
    pub(super) codec: &'p std::sync::Mutex<BodyCodec>,
}

impl Workshop<'_> {
    fn check_body(&self, bytes: usize) -> Result<(), SendErrorKind> {
        let bytes_max = self.message_bytes_max;
        match bytes {
            0 => Err(SendErrorKind::Empty),
            bytes if bytes > bytes_max => Err(SendErrorKind::TooLarge { bytes, bytes_max }),
            _ => Ok(()),
        }
    }

    /// Refuses what no broker would take, before anything is done; else how long the message is as
    /// an entry of a batch.
    pub(super) fn check(&self, message: &Message, id_bytes: usize) -> Result<usize, SendErrorKind> {
        check_topic(message.topic())?;
        let body_bytes = message.body().len();
        self.check_body(body_bytes)?;
        let properties_bytes = message.properties_bytes(id_bytes);
        check_properties(properties_bytes)?;
        Ok(ENTRY_BYTES + body_bytes + properties_bytes)
    }

    /// A message by itself. `properties` are put behind its own.
    pub(super) fn single<'m>(
        &self,
        message: &'m Message,
        topic: &'m str,
        id: UniqueKey,
        target: Target<'m>,
        packing: &Packing<'_>,
        properties: &[(&str, &str)],
    ) -> Result<Outgoing<'m>, SendErrorKind> {
        check_topic(topic)?;
        let body = message.body();
        self.check_body(body.len())?;
        let mut text = Text::of(self.texts);
        let written = message.write_properties(id, text.get_mut());
        written.map_err(SendErrorKind::Property)?;
        for (name, value) in properties {
            let written = write_property(text.get_mut(), name, value);
            written.map_err(SendErrorKind::Property)?;
        }
        check_properties(text.as_str().len())?;
        let is_half = properties.iter().any(|(name, _)| *name == keys::TRAN_MSG);
        let transaction = if is_half { Transaction::Prepared } else { Transaction::None };
        let packed = self.pack(body, packing);
        let compression = packed.as_ref().map(|_| packing.compression);
        Ok(Outgoing {
            topic,
            code: request_code::SEND_MESSAGE_V2,
            properties: text,
            flag: SysFlag::default().with_compression(compression).with_transaction(transaction),
            user_flag: message.user_flag(),
            body: packed.unwrap_or(OutgoingBody::Borrowed(body)),
            target,
            messages: 1,
        })
    }

    /// The body compressed, where it is long enough and gets shorter.
    fn pack(&self, body: &[u8], packing: &Packing<'_>) -> Option<OutgoingBody<'static>> {
        if body.len() < packing.from_bytes {
            return None;
        }
        let mut lease: Lease = self.buffers.acquire(body.len()).ok()?;
        let codec = packing.codec.lock();
        let mut codec = codec.unwrap_or_else(std::sync::PoisonError::into_inner);
        let room = lease.dirty_mut().get_mut(..body.len())?;
        let len = codec.compress(packing.compression, body, room).ok()?;
        // Not where it is as long as before, or longer.
        lease.commit(len).ok()?;
        (len < body.len()).then_some(OutgoingBody::Pooled(lease))
    }

    /// Messages of one topic, each with its id, as one batch; `id` is the batch's own.
    pub(super) fn batch<'n, 'm, I: Iterator<Item = (&'n Message, UniqueKey)>>(
        &self,
        messages: impl Fn() -> I,
        topic: &'m str,
        id: UniqueKey,
        id_bytes: usize,
        target: Target<'m>,
    ) -> Result<Outgoing<'m>, SendErrorKind> {
        let (mut count, mut bytes) = (0, 0_usize);
        for (message, _) in messages() {
            self.check_body(message.body().len())?;
            let properties_bytes = message.properties_bytes(id_bytes);
            check_properties(properties_bytes)?;
            bytes = bytes.saturating_add(ENTRY_BYTES + message.body().len() + properties_bytes);
            count += 1;
        }
        // All of it, as it is on the wire, is what brokers measure.
        self.check_body(bytes)?;
        let body = match self.buffers.acquire(bytes) {
            Ok(mut lease) => {
                let room = lease.dirty_mut().get_mut(..bytes).unwrap_or_default();
                self.encode(messages(), room)?;
                let committed = lease.commit(bytes);
                let bytes_max = self.message_bytes_max;
                committed.map_err(|_| SendErrorKind::TooLarge { bytes, bytes_max })?;
                OutgoingBody::Pooled(lease)
            }
            Err(_) => {
                let mut own = alloc::vec![0; bytes];
                self.encode(messages(), &mut own)?;
                OutgoingBody::Own(own)
            }
        };
        let mut properties = Text::of(self.texts);
        let text = properties.get_mut();
        let written = write_id(id, text).and_then(|()| write_property(text, keys::WAIT, "true"));
        written.map_err(SendErrorKind::Property)?;
        let flag = SysFlag::default();
        let code = request_code::SEND_BATCH_MESSAGE;
        Ok(Outgoing { topic, code, properties, flag, user_flag: 0, body, target, messages: count })
    }

    fn encode<'m>(
        &self,
        messages: impl Iterator<Item = (&'m Message, UniqueKey)>,
        mut room: &mut [u8],
    ) -> Result<(), SendErrorKind> {
        let mut text = Text::of(self.texts);
        for (message, id) in messages {
            let properties = text.get_mut();
            properties.clear();
            message.write_properties(id, properties).map_err(SendErrorKind::Property)?;
            let properties = properties.as_bytes();
            let entry = BatchEntry { flag: message.user_flag(), body: message.body(), properties };
            let unfit = |_: &dyn fmt::Debug| {
                let bytes = message.body().len() + properties.len();
                SendErrorKind::TooLarge { bytes, bytes_max: PROPERTIES_BYTES_MAX }
            };
            let len = entry.encode(room).map_err(|error| unfit(&error))?;
            room = room.get_mut(len..).unwrap_or_default();
        }
        Ok(())
    }
}

fn check_properties(bytes: usize) -> Result<(), SendErrorKind> {
    if bytes > PROPERTIES_BYTES_MAX {
        let bytes_max = PROPERTIES_BYTES_MAX;
        return Err(SendErrorKind::Properties { bytes, bytes_max });
    }
    Ok(())
}

//! Messages as handlers get them: slices of the frame that was read.

use core::fmt;
use core::net::SocketAddr;
use core::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;

use turbopump_core::compress::InflateError;
use turbopump_core::rocketmq::wire::identity::OffsetMessageId;
use turbopump_core::rocketmq::wire::message::{
    Message as StoredMessage, UnknownCompression, body_crc,
};
use turbopump_core::rocketmq::wire::properties::{Properties, keys};

use crate::rocketmq::{BodyCodec, BodyError};

/// A message that was pulled: a cheap handle.
///
/// Nothing of it is copied, but for a body that was compressed: the bytes are those that were read
/// from the connection, and the buffer of the whole pull stays in use as long as one of its
/// messages is kept. Who keeps messages for long copies what it needs.
#[derive(Clone)]
pub struct ReceivedMessage {
    /// As brokers store it.
    record: Bytes,
    body: Result<Bytes, UnreadableBody>,
    topic: Topic,
    properties: Range<usize>,
    queue: Arc<ReceivedFrom>,
    pub(super) head: Head,
}

/// What has a fixed length.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) flag: i32,
    pub(super) queue_offset: i64,
    pub(super) physical_offset: i64,
    pub(super) born_ms: i64,
    pub(super) born_host: SocketAddr,
    pub(super) store_ms: i64,
    pub(super) store_host: SocketAddr,
    pub(super) reconsume_times: i32,
}

impl Head {
    pub(super) const fn of(stored: &StoredMessage<'_>) -> Self {
        Self {
            flag: stored.flag,
            queue_offset: stored.queue_offset,
            physical_offset: stored.physical_offset,
            born_ms: stored.born_timestamp_ms,
            born_host: stored.born_host,
            store_ms: stored.store_timestamp_ms,
            store_host: stored.store_host,
            reconsume_times: stored.reconsume_times,
        }
    }

    /// The id that the broker gave it.
    pub(super) const fn offset_id(&self) -> OffsetMessageId {
        OffsetMessageId { store_host: self.store_host, physical_offset: self.physical_offset }
    }
}

/// Where messages come from.
#[derive(Debug)]
pub(super) struct ReceivedFrom {
    /// As the user has subscribed to it.
    pub(super) topic: Arc<str>,
    pub(super) broker: Arc<str>,
    pub(super) queue_id: i32,
    /// Whose names begin with this, and `%`.
    pub(super) namespace: Option<Arc<str>>,
    pub(super) is_retry: bool,
}

#[derive(Clone)]
enum Topic {
    /// That of the queue.
    Subscribed,
    /// It is tried again: where it was sent to is a property.
    Original(Range<usize>),
}

/// Why the body of a message can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnreadableBody {
    /// It is not what the broker has stored: damaged on its disk, or on the way.
    Damaged {
        /// The checksum that the broker has.
        expected: i32,
        /// That of what came.
        found: i32,
    },
    /// It can't be restored: its compression is unknown or not built in, it is damaged, or longer
    /// than [`ClientConfig::message_bytes_max`](crate::client::ClientConfig::message_bytes_max).
    Restore(BodyError),
}

impl fmt::Display for UnreadableBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged { expected, found } => write!(
                f,
                "the body has the checksum {found}, and should have {expected}: it is damaged; \
                 look at the broker's disk"
            ),
            Self::Restore(error) => write!(f, "the body can't be restored: {error}"),
        }
    }
}

impl core::error::Error for UnreadableBody {}

impl ReceivedMessage {
    /// From a record that was found to be one; `None` where it is none.
    pub(super) fn read(
        record: &Bytes,
        queue: &Arc<ReceivedFrom>,
        restorer: &Restorer,
    ) -> Option<Self> {
        let (stored, _) = StoredMessage::decode(record).ok()?;
        let properties = range_in(record, stored.properties)?;
        let found = body_crc(stored.body);
        let body = if found == stored.body_crc {
            restorer.restore(record, &stored).map_err(UnreadableBody::Restore)
        } else {
            Err(UnreadableBody::Damaged { expected: stored.body_crc, found })
        };
        let original = || stored.properties().ok()?.get(keys::RETRY_TOPIC);
        let topic = match queue.is_retry.then(original).flatten() {
            None => Topic::Subscribed,
            Some(name) => Topic::Original(range_in(record, queue.bare(name).as_bytes())?),
        };
        let (record, queue) = (record.clone(), Arc::clone(queue));
        Some(Self { body, topic, properties, queue, head: Head::of(&stored), record })
    }

    /// With what is known besides: how often it was tried, here too, and that nobody knows how its
    /// body was compressed.
    pub(super) fn with(mut self, tries: i32, unknown: Option<UnknownCompression>) -> Self {
        self.head.reconsume_times = tries;
        if let Some(unknown) = unknown {
            self.body = Err(UnreadableBody::Restore(BodyError::Unknown(unknown)));
        }
        self
    }

    /// Where it was sent to, also if it comes from the group's retry topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        match &self.topic {
            Topic::Subscribed => &self.queue.topic,
            Topic::Original(range) => {
                let bytes = self.record.get(range.clone()).unwrap_or_default();
                core::str::from_utf8(bytes).unwrap_or_default()
            }
        }
    }

    /// What it says, restored where it was compressed.
    ///
    /// # Errors
    ///
    /// [`UnreadableBody`] for one that is damaged, or that can't be restored.
    pub const fn body(&self) -> Result<&Bytes, UnreadableBody> {
        match &self.body {
            Ok(body) => Ok(body),
            Err(error) => Err(*error),
        }
    }

    /// As [`body`](Self::body).
    ///
    /// # Errors
    ///
    /// As [`body`](Self::body).
    pub fn into_body(self) -> Result<Bytes, UnreadableBody> {
        self.body
    }

    fn properties(&self) -> Properties<'_> {
        let bytes = self.record.get(self.properties.clone()).unwrap_or_default();
        Properties::from_bytes(bytes).unwrap_or_default()
    }

    /// The value of a property, of the user's or of RocketMQ's own.
    #[must_use]
    pub fn get_property(&self, name: &str) -> Option<&str> {
        self.properties().get(name)
    }

    /// All properties, in the order in which they are stored.
    pub fn iter_properties(&self) -> impl Iterator<Item = (&str, &str)> {
        self.properties().iter()
    }

    /// Its tag.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.properties().tags()
    }

    /// Its keys.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.properties().index_keys()
    }

    /// The id that the producer gave it: the same however often it is sent or tried again. Where
    /// there is none, an empty text.
    #[must_use]
    pub fn message_id(&self) -> &str {
        self.properties().unique_key().unwrap_or_default()
    }

    /// The id that the broker gave it: another one each time it is tried again.
    #[must_use]
    pub const fn offset_message_id(&self) -> OffsetMessageId {
        self.head.offset_id()
    }

    /// The broker's name.
    #[must_use]
    pub fn broker(&self) -> &str {
        &self.queue.broker
    }

    /// The number of its queue there.
    #[must_use]
    pub fn queue(&self) -> i32 {
        self.queue.queue_id
    }

    /// Its position in the queue.
    #[must_use]
    pub const fn offset(&self) -> i64 {
        self.head.queue_offset
    }

    /// How often it was tried before.
    #[must_use]
    pub const fn reconsume_times(&self) -> i32 {
        self.head.reconsume_times
    }

    /// A number of the user's.
    #[must_use]
    pub const fn flag(&self) -> i32 {
        self.head.flag
    }

    /// When the producer made it, in milliseconds since 1970, by its clock.
    #[must_use]
    pub const fn born_unix_ms(&self) -> i64 {
        self.head.born_ms
    }

    /// The producer's address, as the broker saw it.
    #[must_use]
    pub const fn born_host(&self) -> SocketAddr {
        self.head.born_host
    }

    /// When the broker stored it, in milliseconds since 1970, by its clock.
    #[must_use]
    pub const fn store_unix_ms(&self) -> i64 {
        self.head.store_ms
    }
}

impl fmt::Debug for ReceivedMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceivedMessage")
            .field("topic", &self.topic())
            .field("broker", &self.broker())
            .field("queue", &self.queue())
            .field("offset", &self.offset())
            .field("message_id", &self.message_id())
            .field("body_bytes", &self.body.as_ref().map(Bytes::len))
            .finish_non_exhaustive()
    }
}

impl ReceivedFrom {
    /// A name without the client's namespace.
    fn bare<'n>(&self, name: &'n str) -> &'n str {
        let inside = self.namespace.as_ref().and_then(|namespace| {
            let rest = name.strip_prefix(&**namespace)?;
            rest.strip_prefix('%')
        });
        inside.unwrap_or(name)
    }
}

/// Where a part of `whole` is.
pub(super) fn range_in(whole: &[u8], part: &[u8]) -> Option<Range<usize>> {
    let begin = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)?;
    let end = begin.checked_add(part.len())?;
    (end <= whole.len()).then_some(begin..end)
}

/// Restores bodies; as many at once as there are threads that do.
pub(super) struct Restorer {
    body_bytes_max: usize,
    idle: Mutex<Vec<Workplace>>,
}

/// What one body at a time is restored with.
struct Workplace {
    codec: BodyCodec,
    output: Vec<u8>,
}

impl Restorer {
    pub(super) fn new(body_bytes_max: usize) -> Self {
        Self { body_bytes_max, idle: Mutex::default() }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Workplace>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The body of `stored`, which is in `record`: a part of it, unless it was compressed.
    fn restore(&self, record: &Bytes, stored: &StoredMessage<'_>) -> Result<Bytes, BodyError> {
        if stored.sys_flag.compression()?.is_none() {
            return Ok(record.slice_ref(stored.body));
        }
        let idle = self.idle().pop();
        let new = || Workplace { codec: BodyCodec::new(), output: Vec::new() };
        let mut place = idle.unwrap_or_else(new);
        let restored = place.restore(stored, self.body_bytes_max);
        self.idle().push(place);
        restored
    }
}

impl Workplace {
    fn restore(&mut self, stored: &StoredMessage<'_>, most: usize) -> Result<Bytes, BodyError> {
        let wanted = stored.body.len().saturating_mul(8).max(OUTPUT_BYTES).min(most);
        if self.output.len() < wanted {
            self.output.resize(wanted, 0);
        }
        loop {
            match self.codec.restore(stored.sys_flag, stored.body, &mut self.output) {
                Ok(len) => {
                    return Ok(Bytes::copy_from_slice(self.output.get(..len).unwrap_or_default()));
                }
                Err(BodyError::Restore(InflateError::OutputLimit { .. }))
                    if self.output.len() < most =>
                {
                    let longer = self.output.len().saturating_mul(4).min(most);
                    self.output.resize(longer, 0);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// What bodies are restored into at first.
const OUTPUT_BYTES: usize = 64 << 10;

impl fmt::Debug for Restorer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Restorer").finish_non_exhaustive()
    }
}

/// The id that the broker gave a message, as text.
pub(super) fn offset_id_text(head: &Head) -> String {
    alloc::format!("{}", head.offset_id())
}

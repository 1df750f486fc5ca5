//! What is sent.

use core::fmt::{self, Write};
use core::time::Duration;
use std::time::{SystemTime, UNIX_EPOCH};

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use turbopump_core::rocketmq::wire::properties::{Properties, PropertyError, keys, write_property};

use super::spans::MessageSpan;
use crate::memory::Object;

/// W3C Trace Context: which span of which trace a message belongs to.
pub(super) const TRACEPARENT: &str = "traceparent";
/// W3C Trace Context: what vendors add.
const TRACESTATE: &str = "tracestate";

/// A message to a topic.
///
/// ```
/// use turbopump_std::client::Message;
///
/// let message = Message::new("Orders", "hi").tag("new").key("17").property("origin", "here");
/// assert_eq!((message.topic(), message.body()), ("Orders", &b"hi"[..]));
/// ```
///
/// Where messages are made over and over, a pool of them spares the heap: what one holds is used
/// again for the next.
///
/// ```
/// use turbopump_std::client::Message;
/// use turbopump_std::memory::ObjectPool;
///
/// let pool = ObjectPool::new(1_000, Message::default, Message::clear)?;
/// let mut message = pool.get()?;
/// message.set_topic("Orders");
/// message.copy_body(b"hi");
/// message.set_tag("new");
/// assert_eq!(message.get_property("TAGS"), Some("new"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Message {
    topic: Cow<'static, str>,
    body: MessageBody,
    /// As they are sent.
    properties: String,
    /// What was wrong with one of them.
    wrong: Option<PropertyError>,
    keys: String,
    flag: i32,
    /// Brokers take it in no batch.
    is_alone: bool,
}

#[derive(Clone, PartialEq, Eq)]
enum MessageBody {
    Shared(Bytes),
    Own(Vec<u8>),
}

impl Default for MessageBody {
    fn default() -> Self {
        Self::Own(Vec::new())
    }
}

impl Message {
    /// A message without properties. The body is not copied.
    #[must_use]
    pub fn new(topic: impl Into<Cow<'static, str>>, body: impl Into<Bytes>) -> Self {
        let (topic, body) = (topic.into(), MessageBody::Shared(body.into()));
        Self { topic, body, ..Self::default() }
    }

    /// What consumers can choose by.
    #[must_use]
    pub fn tag(mut self, tag: &str) -> Self {
        self.set_tag(tag);
        self
    }

    /// Something by which it can be looked up; once more for another. Brokers separate keys by
    /// spaces.
    #[must_use]
    pub fn key(mut self, key: &str) -> Self {
        self.add_key(key);
        self
    }

    /// A property of the user's. A name or value that can't be one is told when it is sent.
    #[must_use]
    pub fn property(mut self, name: &str, value: &str) -> Self {
        self.set_property(name, value);
        self
    }

    /// Delivered later: RocketMQ's delay levels, from 1 (a second) to 18 (two hours).
    #[must_use]
    pub fn delay_level(mut self, level: u8) -> Self {
        self.set_number(keys::DELAY, u64::from(level));
        self
    }

    /// Delivered at that time, or at once where it has passed. Brokers have this from 5.0 on, for
    /// times of up to three days.
    #[must_use]
    pub fn deliver_at(mut self, time: SystemTime) -> Self {
        let since_1970 = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.set_number(keys::TIMER_DELIVER_MS, ms(since_1970));
        self
    }

    /// Delivered so much later than a broker has taken it; as [`deliver_at`](Self::deliver_at).
    #[must_use]
    pub fn deliver_after(mut self, delay: Duration) -> Self {
        self.set_number(keys::TIMER_DELAY_MS, ms(delay));
        self
    }

    /// Which trace it belongs to, by the texts of W3C Trace Context; whoever receives it finds them
    /// as the properties `traceparent` and `tracestate`.
    #[must_use]
    pub fn trace_context(mut self, traceparent: &str, tracestate: Option<&str>) -> Self {
        self.set_property(TRACEPARENT, traceparent);
        if let Some(tracestate) = tracestate {
            self.set_property(TRACESTATE, tracestate);
        }
        self
    }

    /// A number of the user's.
    #[must_use]
    pub const fn flag(mut self, flag: i32) -> Self {
        self.flag = flag;
        self
    }

    /// Another topic; memory that the last one had is used again.
    pub fn set_topic(&mut self, topic: &str) {
        match &mut self.topic {
            Cow::Owned(text) => {
                text.clear();
                text.push_str(topic);
            }
            borrowed @ Cow::Borrowed(_) => *borrowed = Cow::Owned(topic.into()),
        }
    }

    /// Another body, which is not copied.
    pub fn set_body(&mut self, body: impl Into<Bytes>) {
        self.body = MessageBody::Shared(body.into());
    }

    /// Another body, copied to memory that is used again.
    pub fn copy_body(&mut self, body: &[u8]) {
        match &mut self.body {
            MessageBody::Own(bytes) => {
                bytes.clear();
                bytes.extend_from_slice(body);
            }
            shared @ MessageBody::Shared(_) => *shared = MessageBody::Own(body.into()),
        }
    }

    /// As [`tag`](Self::tag).
    pub fn set_tag(&mut self, tag: &str) {
        self.set_property(keys::TAGS, tag);
    }

    /// As [`key`](Self::key).
    pub fn add_key(&mut self, key: &str) {
        if !self.keys.is_empty() {
            self.keys.push(keys::KEY_SEPARATOR);
        }
        self.keys.push_str(key);
    }

    /// As [`property`](Self::property). Of a name that was set before, the last value counts.
    pub fn set_property(&mut self, name: &str, value: &str) {
        self.is_alone |= ALONE.contains(&name);
        if let Err(error) = write_property(&mut self.properties, name, value) {
            self.wrong.get_or_insert(error);
        }
    }

    fn set_number(&mut self, name: &str, value: u64) {
        let mut digits = Digits::default();
        // There is room for any of them.
        let _ = write!(digits, "{value}");
        self.set_property(name, digits.as_str());
    }

    /// As it was made, but for the memory that it has.
    pub fn clear(&mut self) {
        if let Cow::Owned(text) = &mut self.topic {
            text.clear();
        } else {
            self.topic = Cow::Borrowed("");
        }
        match &mut self.body {
            MessageBody::Own(bytes) => bytes.clear(),
            MessageBody::Shared(_) => self.body = MessageBody::default(),
        }
        self.properties.clear();
        self.keys.clear();
        (self.wrong, self.flag, self.is_alone) = (None, 0, false);
    }

    /// Where it goes.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// What it says.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        match &self.body {
            MessageBody::Shared(bytes) => bytes,
            MessageBody::Own(bytes) => bytes,
        }
    }

    /// The value of a property; keys are not among them.
    #[must_use]
    pub fn get_property(&self, name: &str) -> Option<&str> {
        Properties::new(&self.properties).get(name)
    }

    pub(super) const fn user_flag(&self) -> i32 {
        self.flag
    }

    /// Whether it may be sent with others.
    pub(super) const fn is_alone(&self) -> bool {
        self.is_alone
    }

    /// How long [`write_properties`](Self::write_properties) is with an id of so many letters.
    pub(super) fn properties_bytes(&self, id_bytes: usize) -> usize {
        let one = |name: &str, value_bytes: usize| name.len() + value_bytes + SEPARATORS;
        let keys = if self.keys.is_empty() { 0 } else { one(keys::KEYS, self.keys.len()) };
        let id = one(keys::UNIQ_KEY, id_bytes);
        self.properties.len() + keys + id + one(keys::WAIT, "true".len())
    }

    /// All properties as they are sent, with its id.
    pub(super) fn write_properties(
        &self,
        id: impl fmt::Display,
        text: &mut String,
    ) -> Result<(), PropertyError> {
        if let Some(error) = self.wrong {
            return Err(error);
        }
        text.push_str(&self.properties);
        if !self.keys.is_empty() {
            write_property(text, keys::KEYS, &self.keys)?;
        }
        write_id(id, text)?;
        write_property(text, keys::WAIT, "true")
    }
}

/// The property that holds a message's id, which is of digits only.
pub(super) fn write_id(id: impl fmt::Display, text: &mut String) -> Result<(), PropertyError> {
    let mut digits = Digits::default();
    write!(digits, "{id}").map_err(|fmt::Error| PropertyError::NoRoom)?;
    write_property(text, keys::UNIQ_KEY, digits.as_str())
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A message by which brokers do more than to store it.
const ALONE: [&str; 6] = [
    keys::DELAY,
    keys::TIMER_DELAY_SEC,
    keys::TIMER_DELAY_MS,
    keys::TIMER_DELIVER_MS,
    keys::TRAN_MSG,
    keys::TIMER_DEL_UNIQKEY,
];

/// Behind a name, and behind a value.
const SEPARATORS: usize = 2;

/// A short text on the stack: the longest are ids with an IPv6 address.
struct Digits {
    bytes: [u8; 64],
    len: usize,
}

impl Default for Digits {
    fn default() -> Self {
        Self { bytes: [0; 64], len: 0 }
    }
}

impl Digits {
    fn as_str(&self) -> &str {
        let written = self.bytes.get(..self.len).unwrap_or_default();
        core::str::from_utf8(written).unwrap_or_default()
    }
}

impl Write for Digits {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len.saturating_add(text.len());
        let room = self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("topic", &self.topic)
            .field("body_bytes", &self.body().len())
            .field("properties", &self.properties)
            .finish_non_exhaustive()
    }
}

/// A message on its way: one of the user's, or one of a pool, which takes it back afterwards.
#[derive(Debug)]
pub struct OutgoingMessage {
    kept: Kept,
    pub(super) span: MessageSpan,
}

#[derive(Debug)]
enum Kept {
    Own(Message),
    Pooled(Object<Message>),
}

impl core::ops::Deref for OutgoingMessage {
    type Target = Message;

    fn deref(&self) -> &Message {
        match &self.kept {
            Kept::Own(message) => message,
            Kept::Pooled(message) => message,
        }
    }
}

impl core::ops::DerefMut for OutgoingMessage {
    fn deref_mut(&mut self) -> &mut Message {
        match &mut self.kept {
            Kept::Own(message) => message,
            Kept::Pooled(message) => message,
        }
    }
}

impl OutgoingMessage {
    fn new(kept: Kept) -> Self {
        Self { kept, span: MessageSpan::none() }
    }
}

impl From<Message> for OutgoingMessage {
    fn from(message: Message) -> Self {
        Self::new(Kept::Own(message))
    }
}

impl From<&Message> for OutgoingMessage {
    fn from(message: &Message) -> Self {
        Self::new(Kept::Own(message.clone()))
    }
}

impl From<Object<Message>> for OutgoingMessage {
    fn from(message: Object<Message>) -> Self {
        Self::new(Kept::Pooled(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_written_once_and_wrong_ones_told() {
        let message = Message::new("T", "x").tag("t").key("a").key("b").delay_level(3);
        let mut text = String::new();
        message.write_properties("ID", &mut text).unwrap();
        let expected = "TAGS\u{1}t\u{2}DELAY\u{1}3\u{2}KEYS\u{1}a b\u{2}UNIQ_KEY\u{1}ID\u{2}\
                        WAIT\u{1}true\u{2}";
        assert_eq!(text, expected);
        assert_eq!(message.properties_bytes(2), text.len());
        for wrong in [message.clone().property("", "v"), message.property("n", "a\u{1}b")] {
            assert!(wrong.write_properties("ID", &mut String::new()).is_err());
        }
    }

    #[test]
    fn a_cleared_one_is_as_new() {
        let time = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
        let mut message = Message::new("T", "x").tag("t").key("a").flag(3).deliver_at(time);
        assert_eq!(message.get_property("TIMER_DELIVER_MS"), Some("1700000000123"));
        assert!(message.is_alone());
        message.clear();
        assert_eq!(message, Message::default());
        message.set_topic("Other");
        message.copy_body(b"again");
        assert_eq!((message.topic(), message.body()), ("Other", &b"again"[..]));
        assert!(!message.is_alone());
    }
}

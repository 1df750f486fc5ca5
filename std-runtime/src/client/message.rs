//! What is sent.

use core::fmt;

use alloc::borrow::Cow;
use alloc::string::String;

use bytes::Bytes;

use turbopump_core::rocketmq::wire::properties::{PropertyError, keys, write_property};

/// A message to a topic.
///
/// ```
/// use turbopump_std::client::Message;
///
/// let message = Message::new("Orders", "hi").tag("new").key("17").property("origin", "here");
/// assert_eq!((message.topic(), message.body()), ("Orders", &b"hi"[..]));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    topic: Cow<'static, str>,
    body: Bytes,
    /// As they are sent.
    properties: String,
    /// What was wrong with one of them.
    wrong: Option<PropertyError>,
    keys: String,
    flag: i32,
}

impl Message {
    /// A message without properties.
    #[must_use]
    pub fn new(topic: impl Into<Cow<'static, str>>, body: impl Into<Bytes>) -> Self {
        let (topic, body) = (topic.into(), body.into());
        Self { topic, body, properties: String::new(), wrong: None, keys: String::new(), flag: 0 }
    }

    /// What consumers can choose by.
    #[must_use]
    pub fn tag(self, tag: &str) -> Self {
        self.property(keys::TAGS, tag)
    }

    /// Something by which it can be looked up; once more for another. Brokers separate keys by
    /// spaces.
    #[must_use]
    pub fn key(mut self, key: &str) -> Self {
        if !self.keys.is_empty() {
            self.keys.push(keys::KEY_SEPARATOR);
        }
        self.keys.push_str(key);
        self
    }

    /// A property of the user's. A name or value that can't be one is told when it is sent.
    #[must_use]
    pub fn property(mut self, name: &str, value: &str) -> Self {
        if let Err(error) = write_property(&mut self.properties, name, value) {
            self.wrong.get_or_insert(error);
        }
        self
    }

    /// Delivered later: RocketMQ's delay levels, from 1 (a second) to 18 (two hours).
    #[must_use]
    pub fn delay_level(self, level: u8) -> Self {
        let mut digits = String::new();
        // Writing to a string can't fail.
        let _ = fmt::write(&mut digits, format_args!("{level}"));
        self.property(keys::DELAY, &digits)
    }

    /// A number of the user's.
    #[must_use]
    pub const fn flag(mut self, flag: i32) -> Self {
        self.flag = flag;
        self
    }

    /// Where it goes.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// What it says.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    pub(super) const fn user_flag(&self) -> i32 {
        self.flag
    }

    /// All properties as they are sent, with its id.
    pub(super) fn write_properties(
        &self,
        id: &str,
        text: &mut String,
    ) -> Result<(), PropertyError> {
        if let Some(error) = self.wrong {
            return Err(error);
        }
        text.push_str(&self.properties);
        if !self.keys.is_empty() {
            write_property(text, keys::KEYS, &self.keys)?;
        }
        write_property(text, keys::UNIQ_KEY, id)?;
        write_property(text, keys::WAIT, "true")
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("topic", &self.topic)
            .field("body_bytes", &self.body.len())
            .field("properties", &self.properties)
            .finish_non_exhaustive()
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
        for wrong in [message.clone().property("", "v"), message.property("n", "a\u{1}b")] {
            assert!(wrong.write_properties("ID", &mut String::new()).is_err());
        }
    }
}

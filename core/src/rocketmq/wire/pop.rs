//! What pop consumers and brokers tell each other in text: receipt handles and offsets.
//!
//! The module decides how those texts are written and read; matching messages with offsets is left
//! to the consumer.
//!
//! ```
//! use turbopump_core::rocketmq::wire::pop::{PopHandle, TopicMark};
//!
//! let handle = PopHandle::parse("0 1700000000000 30000 0 2 broker-0 1 7")?;
//! assert_eq!(handle.mark, TopicMark::RetryV2);
//! assert_eq!((handle.broker_name, handle.queue_offset), ("broker-0", 7));
//! assert_eq!(handle.to_string(), "0 1700000000000 30000 0 2 broker-0 1 7");
//! # Ok::<(), turbopump_core::rocketmq::wire::pop::PopTextError>(())
//! ```

use core::error::Error;
use core::fmt;
use core::str::FromStr;

use super::names::{PopRetryTopic, PopRetryVersion, RETRY_PREFIX};

mod offsets;

pub use offsets::{
    MessageOffsetInfo, MessageOffsets, OrderCount, OrderCountInfo, PoppedQueue, StartOffset,
    StartOffsetInfo, message_offsets, order_counts, start_offsets,
};

/// Which of a consumer's topics a message came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TopicMark {
    /// The topic itself.
    Normal,
    /// A retry topic with an underscore.
    RetryV1,
    /// A retry topic with a plus sign.
    RetryV2,
}

impl TopicMark {
    /// The mark of `topic`.
    #[must_use]
    pub fn of(topic: &str) -> Self {
        match topic.strip_prefix(RETRY_PREFIX) {
            Some(rest) if rest.contains('+') => Self::RetryV2,
            Some(_) => Self::RetryV1,
            None => Self::Normal,
        }
    }

    /// The character that stands for the mark.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "0",
            Self::RetryV1 => "1",
            Self::RetryV2 => "2",
        }
    }

    /// The topic that is meant when `group` consumes `topic`; acknowledgements name it.
    #[must_use]
    pub const fn real_topic<'a>(self, group: &'a str, topic: &'a str) -> RealTopic<'a> {
        RealTopic { mark: self, group, topic }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Normal, Self::RetryV1, Self::RetryV2].into_iter().find(|mark| mark.as_str() == text)
    }
}

/// The topic that a mark means; see [`TopicMark::real_topic`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RealTopic<'a> {
    mark: TopicMark,
    group: &'a str,
    topic: &'a str,
}

impl fmt::Display for RealTopic<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mark, group, topic } = *self;
        let version = match mark {
            TopicMark::Normal => return f.write_str(topic),
            TopicMark::RetryV1 => PopRetryVersion::V1,
            TopicMark::RetryV2 => PopRetryVersion::V2,
        };
        PopRetryTopic { group, topic, version }.fmt(f)
    }
}

/// A receipt handle: what acknowledges a popped message. [`Display`](fmt::Display) writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PopHandle<'a> {
    /// The first offset of the pop.
    pub start_offset: i64,
    /// When the messages were popped, in milliseconds of the broker's clock.
    pub pop_time_ms: i64,
    /// How long nobody else gets them.
    pub invisible_time_ms: i64,
    /// The queue of the broker's book-keeping; [`ORDERLY_REVIVE_QUEUE_ID`] for orderly pops.
    pub revive_queue_id: i32,
    /// Which topic.
    pub mark: TopicMark,
    /// The broker; its name has no space.
    pub broker_name: &'a str,
    /// The queue.
    pub queue_id: i32,
    /// The message's offset in the queue.
    pub queue_offset: i64,
}

/// Stands for orderly pops.
pub const ORDERLY_REVIVE_QUEUE_ID: i32 = 999;

impl<'a> PopHandle<'a> {
    /// Reads a handle: eight items with one space between them.
    ///
    /// # Errors
    ///
    /// [`PopTextError`] for anything else.
    pub fn parse(text: &'a str) -> Result<Self, PopTextError> {
        let mut items = TextItems::new(text, 0, ' ');
        let handle = Self {
            start_offset: items.number()?,
            pop_time_ms: items.number()?,
            invisible_time_ms: items.number()?,
            revive_queue_id: items.number()?,
            mark: items.mark()?,
            broker_name: items.text()?,
            queue_id: items.number()?,
            queue_offset: items.number()?,
        };
        items.end()?;
        Ok(handle)
    }
}

impl fmt::Display for PopHandle<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { start_offset, pop_time_ms, invisible_time_ms, revive_queue_id, .. } = self;
        write!(f, "{start_offset} {pop_time_ms} {invisible_time_ms} {revive_queue_id}")?;
        let Self { mark, broker_name, queue_id, queue_offset, .. } = self;
        write!(f, " {} {broker_name} {queue_id} {queue_offset}", mark.as_str())
    }
}

/// Text that is no handle, or no list of offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PopTextError {
    /// Where the offending item starts, in bytes from the start of the text.
    pub position: usize,
    /// What should be there.
    pub expected: &'static str,
}

impl fmt::Display for PopTextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { position, expected } = self;
        write!(f, "{expected} is expected at byte {position}: the text was not made by a broker")
    }
}

impl Error for PopTextError {}

/// Items of a text, one after the other, that know where they are.
#[derive(Clone, Debug)]
struct TextItems<'a> {
    rest: Option<&'a str>,
    position: usize,
    separator: char,
}

impl<'a> TextItems<'a> {
    const fn new(text: &'a str, position: usize, separator: char) -> Self {
        Self { rest: Some(text), position, separator }
    }

    const fn error(&self, expected: &'static str) -> PopTextError {
        PopTextError { position: self.position, expected }
    }

    /// Steps over an item that was understood.
    fn step<T>(
        &mut self,
        expected: &'static str,
        read: impl FnOnce(&'a str) -> Option<T>,
    ) -> Result<T, PopTextError> {
        let rest = self.rest.ok_or_else(|| self.error(expected))?;
        let (item, after) = match rest.split_once(self.separator) {
            Some((item, after)) => (item, Some(after)),
            None => (rest, None),
        };
        let value = read(item).ok_or_else(|| self.error(expected))?;
        self.rest = after;
        self.position = self.position.saturating_add(item.len()).saturating_add(1);
        Ok(value)
    }

    fn number<N: FromStr>(&mut self) -> Result<N, PopTextError> {
        self.step("a number", |item| item.parse().ok())
    }

    fn mark(&mut self) -> Result<TopicMark, PopTextError> {
        self.step("the mark 0, 1 or 2", TopicMark::parse)
    }

    fn text(&mut self) -> Result<&'a str, PopTextError> {
        self.step("a name", |item| Some(item).filter(|item| !item.is_empty()))
    }

    fn end(&self) -> Result<(), PopTextError> {
        match self.rest {
            None => Ok(()),
            Some(_) => Err(self.error("the end")),
        }
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests {
    extern crate alloc;
    use alloc::string::ToString;

    use super::{PopHandle, PopTextError, TopicMark};

    #[test]
    fn what_is_no_handle_is_refused_where_it_is_wrong() {
        let position = |text| PopHandle::parse(text).map_err(|error| error.position);
        assert_eq!(position("").map(|_| ()), Err(0));
        assert_eq!(position("0 x 3 0 0 b 0 2").map(|_| ()), Err(2));
        assert_eq!(position("0 1 3 0 7 b 0 2").map(|_| ()), Err(8));
        assert_eq!(position("0 1 3 0 0  0 2").map(|_| ()), Err(10));
        assert_eq!(position("0 1 3 0 0 b 0").map(|_| ()), Err(14));
        let trailing = PopTextError { position: 16, expected: "the end" };
        assert_eq!(PopHandle::parse("0 1 3 0 0 b 0 2 "), Err(trailing));
    }

    #[test]
    fn marks_follow_from_topics_and_back() {
        for (topic, mark) in [
            ("T", TopicMark::Normal),
            ("a+b", TopicMark::Normal),
            ("%RETRY%g_T", TopicMark::RetryV1),
            ("%RETRY%g+T", TopicMark::RetryV2),
        ] {
            assert_eq!(TopicMark::of(topic), mark);
        }
        assert_eq!(TopicMark::Normal.real_topic("g", "T").to_string(), "T");
        assert_eq!(TopicMark::RetryV1.real_topic("g", "T").to_string(), "%RETRY%g_T");
        assert_eq!(TopicMark::RetryV2.real_topic("g", "T").to_string(), "%RETRY%g+T");
    }
}

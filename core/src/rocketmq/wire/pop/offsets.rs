//! The offsets of popped messages, by topic and queue.
//!
//! Three lists of entries with semicolons between them: where each queue's pop starts, which
//! offsets it has, and how often ordered messages were popped before. All of them may be empty.

use core::fmt;
use core::iter::FusedIterator;

use super::{PopTextError, TextItems, TopicMark};

/// What was popped from one queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoppedQueue<'a> {
    /// Which topic.
    pub mark: TopicMark,
    /// The queue.
    pub queue_id: i32,
    /// Where the pop starts.
    pub start_offset: i64,
    /// The offsets of its messages, ascending.
    pub offsets: &'a [i64],
}

/// Writes where pops start.
///
/// ```
/// use turbopump_core::rocketmq::wire::pop::{
///     MessageOffsetInfo, PoppedQueue, StartOffsetInfo, TopicMark,
/// };
///
/// let queues = [
///     PoppedQueue { mark: TopicMark::Normal, queue_id: 3, start_offset: 7, offsets: &[7, 9] },
///     PoppedQueue { mark: TopicMark::RetryV1, queue_id: 0, start_offset: 1, offsets: &[1] },
/// ];
/// assert_eq!(StartOffsetInfo(&queues).to_string(), "0 3 7;1 0 1");
/// assert_eq!(MessageOffsetInfo(&queues).to_string(), "0 3 7,9;1 0 1");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct StartOffsetInfo<'a>(
    /// What was popped.
    pub &'a [PoppedQueue<'a>],
);

/// Writes the offsets of popped messages.
#[derive(Clone, Copy, Debug)]
pub struct MessageOffsetInfo<'a>(
    /// What was popped.
    pub &'a [PoppedQueue<'a>],
);

/// Writes how often messages were popped before.
#[derive(Clone, Copy, Debug)]
pub struct OrderCountInfo<'a>(
    /// The counts.
    pub &'a [OrderCount],
);

/// How often a message, or the messages of a queue, were popped before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderCount {
    /// Which topic.
    pub mark: TopicMark,
    /// The queue.
    pub queue_id: i32,
    /// The message, `None` for all of the queue.
    pub offset: Option<i64>,
    /// How often.
    pub count: i32,
}

/// Where the pop of one queue starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StartOffset {
    /// Which topic.
    pub mark: TopicMark,
    /// The queue.
    pub queue_id: i32,
    /// Where it starts.
    pub offset: i64,
}

/// The offsets of one queue's messages.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MessageOffsets<'a> {
    /// Which topic.
    pub mark: TopicMark,
    /// The queue.
    pub queue_id: i32,
    list: &'a str,
}

impl<'a> MessageOffsets<'a> {
    /// The offsets, in the order of the text.
    pub fn offsets(&self) -> impl Iterator<Item = i64> + use<'a> {
        // All of them were looked at before.
        self.list.split(',').filter_map(|offset| offset.parse().ok())
    }
}

/// Reads where pops start. Ends after the first error.
pub fn start_offsets(text: &str) -> impl Iterator<Item = Result<StartOffset, PopTextError>> + '_ {
    Entries::new(text, |items: &mut TextItems<'_>| {
        let (mark, queue_id, offset) = (items.mark()?, items.number()?, items.number()?);
        Ok(StartOffset { mark, queue_id, offset })
    })
}

/// Reads the offsets of popped messages. Ends after the first error.
///
/// ```
/// use turbopump_core::rocketmq::wire::pop::message_offsets;
///
/// let mut queues = message_offsets("0 3 7,9;1 0 1");
/// let first = queues.next().expect("two queues")?;
/// assert_eq!(first.queue_id, 3);
/// assert!(first.offsets().eq([7, 9]));
/// # Ok::<(), turbopump_core::rocketmq::wire::pop::PopTextError>(())
/// ```
pub fn message_offsets(
    text: &str,
) -> impl Iterator<Item = Result<MessageOffsets<'_>, PopTextError>> + '_ {
    Entries::new(text, read_message_offsets)
}

/// Reads how often messages were popped before. Ends after the first error.
pub fn order_counts(text: &str) -> impl Iterator<Item = Result<OrderCount, PopTextError>> + '_ {
    Entries::new(text, |items: &mut TextItems<'_>| {
        let mark = items.mark()?;
        let (queue_id, offset) = items.step("a queue, or a queue and an offset", read_place)?;
        Ok(OrderCount { mark, queue_id, offset, count: items.number()? })
    })
}

fn read_message_offsets<'a>(items: &mut TextItems<'a>) -> Result<MessageOffsets<'a>, PopTextError> {
    let (mark, queue_id) = (items.mark()?, items.number()?);
    let start = items.position;
    let list = items.text()?;
    let mut offsets = TextItems::new(list, start, ',');
    while offsets.rest.is_some() {
        let _: i64 = offsets.number()?;
    }
    Ok(MessageOffsets { mark, queue_id, list })
}

/// A queue, or `qo<queue>%<offset>`.
fn read_place(item: &str) -> Option<(i32, Option<i64>)> {
    match item.strip_prefix("qo") {
        Some(both) => {
            let (queue_id, offset) = both.split_once('%')?;
            Some((queue_id.parse().ok()?, Some(offset.parse().ok()?)))
        }
        None => Some((item.parse().ok()?, None)),
    }
}

impl fmt::Display for StartOffsetInfo<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        joined(f, self.0, |f, queue| {
            write!(f, "{} {} {}", queue.mark.as_str(), queue.queue_id, queue.start_offset)
        })
    }
}

impl fmt::Display for MessageOffsetInfo<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        joined(f, self.0, |f, queue| {
            write!(f, "{} {} ", queue.mark.as_str(), queue.queue_id)?;
            let mut separator = "";
            for offset in queue.offsets {
                write!(f, "{separator}{offset}")?;
                separator = ",";
            }
            Ok(())
        })
    }
}

impl fmt::Display for OrderCountInfo<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        joined(f, self.0, |f, entry| {
            let OrderCount { mark, queue_id, offset, count } = entry;
            match offset {
                Some(offset) => write!(f, "{} qo{queue_id}%{offset} {count}", mark.as_str()),
                None => write!(f, "{} {queue_id} {count}", mark.as_str()),
            }
        })
    }
}

fn joined<T>(
    f: &mut fmt::Formatter<'_>,
    entries: &[T],
    write: impl Fn(&mut fmt::Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    let mut separator = "";
    for entry in entries {
        f.write_str(separator)?;
        write(f, entry)?;
        separator = ";";
    }
    Ok(())
}

/// The entries of a list, each read by `read`.
struct Entries<'a, R> {
    rest: &'a str,
    position: usize,
    read: R,
}

impl<'a, R> Entries<'a, R> {
    const fn new(text: &'a str, read: R) -> Self {
        Self { rest: text, position: 0, read }
    }
}

impl<'a, T, R: FnMut(&mut TextItems<'a>) -> Result<T, PopTextError>> Iterator for Entries<'a, R> {
    type Item = Result<T, PopTextError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let (entry, after) = self.rest.split_once(';').unwrap_or((self.rest, ""));
        let mut items = TextItems::new(entry, self.position, ' ');
        let result = (self.read)(&mut items).and_then(|value| items.end().map(|()| value));
        self.rest = if result.is_ok() { after } else { "" };
        self.position = self.position.saturating_add(entry.len()).saturating_add(1);
        Some(result)
    }
}

impl<'a, T, R: FnMut(&mut TextItems<'a>) -> Result<T, PopTextError>> FusedIterator
    for Entries<'a, R>
{
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests {
    extern crate alloc;
    use alloc::string::ToString;

    use super::{
        OrderCount, OrderCountInfo, TopicMark, message_offsets, order_counts, start_offsets,
    };

    #[test]
    fn counts_are_of_messages_or_of_queues() {
        let text = "0 qo3%7 2;2 1 5";
        let counts = [
            OrderCount { mark: TopicMark::Normal, queue_id: 3, offset: Some(7), count: 2 },
            OrderCount { mark: TopicMark::RetryV2, queue_id: 1, offset: None, count: 5 },
        ];
        assert!(order_counts(text).eq(counts.map(Ok)));
        assert_eq!(OrderCountInfo(&counts).to_string(), text);
    }

    #[test]
    fn lists_end_where_they_are_wrong() {
        assert_eq!(start_offsets("").count(), 0);
        assert_eq!(message_offsets("").count(), 0);
        let mut offsets = message_offsets("0 3 7,9;1 0 1,x;0 1 2");
        assert!(offsets.next().is_some_and(|queue| queue.is_ok()));
        assert_eq!(offsets.next().and_then(Result::err).map(|error| error.position), Some(14));
        assert!(offsets.next().is_none());
        assert!(start_offsets("0 3").all(|queue| queue.is_err()));
        assert!(start_offsets("0 3 4 5").all(|queue| queue.is_err()));
        assert!(order_counts("0 qo3 4").all(|queue| queue.is_err()));
    }
}

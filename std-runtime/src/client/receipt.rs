//! What brokers say about messages that they have taken.

use alloc::sync::Arc;

use turbopump_core::rocketmq::wire::command::{Command, SendMessageResponseHeader};
use turbopump_core::rocketmq::wire::identity::{OffsetMessageId, UniqueKey};

use super::ids::IdRange;
use crate::rocketmq::Answer;

/// A message that a broker has taken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SendReceipt {
    /// The id that it was given here: the same for all attempts.
    pub message_id: UniqueKey,
    /// The id by which brokers find it; none where the broker's can't be read.
    pub offset_message_id: Option<OffsetMessageId>,
    /// The broker's name.
    pub broker: Arc<str>,
    /// The queue.
    pub queue: i32,
    /// Its offset there.
    pub offset: i64,
    /// How safe it is.
    pub status: SendStatus,
}

pub use turbopump_core::rocketmq::client::SendStatus;

/// What a broker has said to a request that it took.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) broker: Arc<str>,
    pub(super) answer: Answer,
    pub(super) queue: i32,
    pub(super) offset: i64,
    pub(super) status: SendStatus,
}

impl Taken {
    /// What `read` makes of the ids that the broker gave: one, or several with commas between.
    fn with_ids<R>(&self, read: impl FnOnce(&str) -> R) -> Option<R> {
        let frame = self.answer.frame().ok()?;
        let header = SendMessageResponseHeader::decode(&frame.ext).ok()?;
        header.msg_id.as_str().map(read)
    }

    pub(super) fn receipt(&self, message_id: UniqueKey) -> SendReceipt {
        let offset_message_id = self.with_ids(|id| id.parse().ok()).flatten();
        self.receipt_at(0, message_id, offset_message_id)
    }

    pub(super) fn receipt_at(
        &self,
        place: usize,
        message_id: UniqueKey,
        offset_message_id: Option<OffsetMessageId>,
    ) -> SendReceipt {
        SendReceipt {
            message_id,
            offset_message_id,
            broker: Arc::clone(&self.broker),
            queue: self.queue,
            offset: self.offset.saturating_add(i64::try_from(place).unwrap_or(i64::MAX)),
            status: self.status,
        }
    }

    /// The places of a batch's messages, in order, and the ids that the broker gave them.
    pub(super) fn for_each_place(
        &self,
        len: usize,
        mut each: impl FnMut(usize, Option<OffsetMessageId>),
    ) {
        let mut go = |ids: &str| {
            let mut ids = ids.split(',').map(|id| id.parse().ok());
            (0..len).for_each(|place| each(place, ids.next().flatten()));
        };
        if self.with_ids(&mut go).is_none() {
            go("");
        }
    }
}

/// A batch that a broker has taken: its messages are behind each other in one queue.
#[derive(Debug)]
pub struct BatchReceipt {
    pub(super) taken: Taken,
    pub(super) ids: IdRange,
    pub(super) len: usize,
}

impl BatchReceipt {
    /// Messages of the batch.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "no batch is empty")]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// The broker's name.
    #[must_use]
    pub fn broker(&self) -> &str {
        &self.taken.broker
    }

    /// The queue.
    #[must_use]
    pub const fn queue(&self) -> i32 {
        self.taken.queue
    }

    /// The offset of the first message; each has one more than the one before.
    #[must_use]
    pub const fn first_offset(&self) -> i64 {
        self.taken.offset
    }

    /// How safe they are.
    #[must_use]
    pub const fn status(&self) -> SendStatus {
        self.taken.status
    }

    /// The id of a message, by its place in the batch, from 0.
    #[must_use]
    pub fn message_id(&self, index: usize) -> Option<UniqueKey> {
        (index < self.len).then(|| self.ids.get(index))
    }

    /// The receipt of one message, without the id that the broker gave it.
    pub(super) fn get(&self, place: usize) -> SendReceipt {
        self.taken.receipt_at(place, self.ids.get(place), None)
    }

    /// Gives each message's receipt to `each`, in order.
    pub fn for_each(&self, mut each: impl FnMut(SendReceipt)) {
        self.taken.for_each_place(self.len, |place, offset_message_id| {
            each(self.taken.receipt_at(place, self.ids.get(place), offset_message_id));
        });
    }

    /// Each message's receipt, in order.
    #[must_use]
    pub fn to_vec(&self) -> alloc::vec::Vec<SendReceipt> {
        let mut receipts = alloc::vec::Vec::with_capacity(self.len);
        self.for_each(|receipt| receipts.push(receipt));
        receipts
    }
}

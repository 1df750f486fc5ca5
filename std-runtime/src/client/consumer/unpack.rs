//! What a pull has brought: records cut out of the frame, and which of them nobody wants.

use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;

use turbopump_core::rocketmq::consumer::{Handling, Subscription};
use turbopump_core::rocketmq::wire::message::{
    Message as StoredMessage, MessageProblem, Messages, SysFlag, UnknownCompression,
};

use super::received::{ReceivedFrom, ReceivedMessage, Restorer, range_in};

/// A message that waits for its handler.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    /// As brokers store it.
    record: Bytes,
    /// Its body is compressed in a way that nobody knows; the record does not say so any more.
    unknown: Option<UnknownCompression>,
    pub(super) offset: i64,
    pub(super) handling: Handling,
    /// The tag is not one of those that are wanted.
    pub(super) is_unwanted: bool,
}

impl Delivery {
    /// Of a whole record; `None` where it can't be read.
    pub(super) fn of(record: Bytes) -> Option<Self> {
        let (record, unknown) = match StoredMessage::decode(&record) {
            Ok(_) => (record, None),
            Err(error) => match error.problem {
                MessageProblem::Compression(unknown) => (as_plain(&record)?, Some(unknown)),
                _ => return None,
            },
        };
        let (stored, _) = StoredMessage::decode(&record).ok()?;
        let (offset, handling) = (stored.queue_offset, Handling::new(stored.reconsume_times));
        Some(Self { record, unknown, offset, handling, is_unwanted: false })
    }

    /// Its bytes, as they count.
    pub(super) fn bytes(&self) -> u32 {
        u32::try_from(self.record.len()).unwrap_or(u32::MAX)
    }

    /// For its handler.
    pub(super) fn message(
        &self,
        queue: &Arc<ReceivedFrom>,
        restorer: &Restorer,
    ) -> Option<ReceivedMessage> {
        let message = ReceivedMessage::read(&self.record, queue, restorer)?;
        let tries = self.handling.reconsume_times();
        Some(message.with(tries, self.unknown))
    }
}

/// The messages of an answer.
#[derive(Debug, Default)]
pub(super) struct Unpacked {
    pub(super) deliveries: Vec<Delivery>,
    /// What follows can't be read.
    pub(super) is_damaged: bool,
}

/// Takes the body of an answer apart.
pub(super) fn unpack(body: &Bytes, subscription: &Subscription<'_>) -> Unpacked {
    let filters = subscription.tags().next().is_some();
    // Where nobody can tell, the broker has chosen it.
    let is_unwanted = |stored: &StoredMessage<'_>| {
        let properties = stored.properties();
        filters && properties.is_ok_and(|properties| !subscription.matches(properties.tags()))
    };
    let mut unpacked = Unpacked::default();
    let mut messages = Messages::new(body);
    loop {
        let begin = messages.position();
        let Some(message) = messages.next() else { return unpacked };
        let record = || body.slice(begin..messages.position());
        match message {
            Ok(stored) if stored.sys_flag.is_inner_batch() => {
                let inner = unpack_inner(&stored, &is_unwanted, &mut unpacked.deliveries);
                unpacked.is_damaged |= inner.is_none();
            }
            Ok(stored) => {
                let (offset, handling) =
                    (stored.queue_offset, Handling::new(stored.reconsume_times));
                let (record, unknown) = (record(), None);
                let is_unwanted = is_unwanted(&stored);
                unpacked.deliveries.push(Delivery {
                    record,
                    unknown,
                    offset,
                    handling,
                    is_unwanted,
                });
            }
            // Whoever handles it is told what is wrong with its body.
            Err(error) if matches!(error.problem, MessageProblem::Compression(_)) => {
                match Delivery::of(record()) {
                    Some(delivery) => unpacked.deliveries.push(delivery),
                    None => unpacked.is_damaged = true,
                }
            }
            Err(_) => unpacked.is_damaged = true,
        }
        if unpacked.is_damaged {
            return unpacked;
        }
    }
}

/// The messages of an inner batch, each as a record of its own: these are copied. Brokers make such
/// batches for topics of the type batch only, and don't compress them as a whole.
fn unpack_inner(
    outer: &StoredMessage<'_>,
    is_unwanted: &impl Fn(&StoredMessage<'_>) -> bool,
    deliveries: &mut Vec<Delivery>,
) -> Option<()> {
    for message in outer.inner(outer.body)? {
        let message = message.ok()?;
        let sys_flag = SysFlag(message.sys_flag.0 & !(SysFlag::INNER_BATCH | SysFlag::NEED_UNWRAP));
        let single = StoredMessage { sys_flag, ..message };
        let mut record = alloc::vec![0; single.encoded_len()];
        let len = single.encode(&mut record).ok()?;
        record.truncate(len);
        let mut delivery = Delivery::of(record.into())?;
        delivery.is_unwanted = is_unwanted(&single);
        deliveries.push(delivery);
    }
    Some(())
}

/// A record without the word that its body is compressed.
fn as_plain(record: &Bytes) -> Option<Bytes> {
    let mut copy = Vec::from(&record[..]);
    // The last byte of the flag has it in its lowest bit.
    *copy.get_mut(SYS_FLAG_LAST)? &= !1;
    Some(copy.into())
}

/// The last byte of the system flag in a record.
const SYS_FLAG_LAST: usize = 39;

/// The body of an answer as a part of its frame.
pub(super) fn body_of(frame: &Bytes, body: &[u8]) -> Bytes {
    range_in(frame, body).map_or_else(Bytes::new, |range| frame.slice(range))
}

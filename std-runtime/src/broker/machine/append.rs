//! Putting messages into the log, and what follows from their being stored.

use core::net::SocketAddr;

use alloc::vec::Vec;

use bytes::Bytes;

use turbopump_core::rocketmq::wire::header::response_code;
use turbopump_core::rocketmq::wire::identity::{index_key_hash, java_hash};
use turbopump_core::rocketmq::wire::message::{Message, SysFlag, Version, body_crc};
use turbopump_core::rocketmq::wire::properties::Properties;
use turbopump_core::time::Now;

use super::Broker;
use super::answer::Refusal;
use super::clients::Notice;
use super::log::Range;
use super::queue::Entry;
use super::sessions::Request;
use super::topics::QueueId;

/// A message that is to be stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draft<'a> {
    pub(super) flag: i32,
    pub(super) sys_flag: SysFlag,
    pub(super) born_ms: i64,
    pub(super) born_host: SocketAddr,
    pub(super) reconsume_times: i32,
    pub(super) prepared_transaction_offset: i64,
    pub(super) body: &'a [u8],
    pub(super) properties: &'a [u8],
}

impl<'a> Draft<'a> {
    /// The same message as one that is stored, to be stored again.
    pub(super) const fn of(message: &Message<'a>) -> Self {
        Self {
            flag: message.flag,
            sys_flag: message.sys_flag,
            born_ms: message.born_timestamp_ms,
            born_host: message.born_host,
            reconsume_times: message.reconsume_times,
            prepared_transaction_offset: message.prepared_transaction_offset,
            body: message.body,
            properties: message.properties,
        }
    }
}

/// Where a message was put.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    pub(super) range: Range,
    pub(super) queue_offset: u64,
}

/// What is said once a message is stored as it must be.
#[derive(Debug)]
pub(super) struct Receipt {
    pub(super) request: Request,
    /// Prepared by [`Broker::prepare_answer`].
    pub(super) answer: Bytes,
}

/// A message that is not stored yet.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) end: u64,
    pub(super) queue: QueueId,
    pub(super) receipt: Option<Receipt>,
}

impl Broker {
    /// Appends a message to a queue that there is. It may be seen once it is stored; see
    /// [`confirm`](Self::confirm).
    pub(super) fn append(&mut self, now: Now, id: QueueId, draft: &Draft<'_>) -> Option<Placed> {
        let topic = self.topics.get_mut(id.topic)?;
        let queue = topic.queues.get_mut(id.queue as usize)?;
        let position = self.log.end();
        let message = Message {
            version: Version::for_topic(&topic.name),
            body_crc: body_crc(draft.body),
            queue_id: i32::try_from(id.queue).unwrap_or(i32::MAX),
            flag: draft.flag,
            queue_offset: queue.next() as i64,
            physical_offset: position as i64,
            sys_flag: draft.sys_flag,
            born_timestamp_ms: draft.born_ms,
            born_host: draft.born_host,
            store_timestamp_ms: now.unix_ms as i64,
            store_host: self.host,
            reconsume_times: draft.reconsume_times,
            prepared_transaction_offset: draft.prepared_transaction_offset,
            body: draft.body,
            topic: &topic.name,
            properties: draft.properties,
        };
        let size = message.encoded_len();
        // Lengths were checked by whoever made the draft.
        let size_bytes = u32::try_from(size).ok()?;
        if message.encode(self.log.append(size)).is_err() {
            self.log.take_back(size);
            return None;
        }
        let range = Range { position, size_bytes };
        let properties = Properties::from_bytes(draft.properties).unwrap_or_default();
        let tags_code = properties.tags().map_or(0, java_hash);
        let entry = Entry { position, stored_ms: now.unix_ms, size_bytes, tags_code };
        let queue_offset = queue.push(entry);
        for key in properties.index_keys().chain(properties.unique_key()) {
            self.keys.insert(index_key_hash(&topic.name, key), range);
        }
        Some(Placed { range, queue_offset })
    }

    /// Sees to it that a message that was appended is seen, and its receipt given, once it is
    /// stored: at once without a disk. Called for each message in the order of the log.
    pub(super) fn confirm(&mut self, id: QueueId, placed: Placed, receipt: Option<Receipt>) {
        if self.log.has_disk() {
            self.pending.push_back(Pending { end: placed.range.end(), queue: id, receipt });
            return;
        }
        self.show(id, receipt);
    }

    /// The next message of this queue is stored.
    fn show(&mut self, id: QueueId, receipt: Option<Receipt>) {
        self.counts.messages_stored += 1;
        if let Some(queue) = self.topics.queue_mut(id) {
            queue.show_next();
            if !queue.has_news {
                queue.has_news = true;
                self.news.push(id);
            }
        }
        if let Some(Receipt { request, answer }) = receipt {
            self.send_prepared(request.session, response_code::SUCCESS, answer);
        }
    }

    /// Everything before `end` is stored as the flush policy promises.
    pub fn handle_stored(&mut self, now: Now, end: u64) {
        self.state.hope();
        self.stored = self.stored.max(end);
        while self.pending.front().is_some_and(|pending| pending.end <= end) {
            if let Some(Pending { queue, receipt, .. }) = self.pending.pop_front() {
                self.show(queue, receipt);
            }
        }
        self.state.delays_stored(end);
        self.timed.stored(end);
        let left = self.log.end().saturating_sub(self.stored);
        self.log.unwritten_bytes = usize::try_from(left).unwrap_or(usize::MAX);
        self.settle(now);
    }

    /// Nothing of what was not yet stored could be: it is taken back, and whoever waits for it is
    /// told so. Where the log can't be written for good, sending is refused from now on.
    pub fn handle_store_failed(&mut self, now: Now, reason: &str, is_final: bool) {
        let failed: Vec<Pending> = self.pending.drain(..).collect();
        for Pending { queue, receipt, .. } in failed.into_iter().rev() {
            if let Some(queue) = self.topics.queue_mut(queue) {
                queue.pop_hidden();
            }
            if let Some(Receipt { request, .. }) = receipt {
                self.refuse(request, &unavailable(reason));
            }
        }
        self.keys.forget_from(self.stored);
        self.resume_delays(now);
        self.resume_timed(now);
        self.transactions.forget_from(self.stored);
        self.log.cut(self.stored);
        self.counts.store_failures += 1;
        self.note(Notice::StoreFailed { reason: reason.into(), is_final });
        if is_final {
            self.closed_store = Some(reason.into());
        }
        self.handle_state_lost();
        self.settle(now);
    }
}

/// What is said where nothing can be stored.
pub(super) fn unavailable(reason: &str) -> Refusal {
    let remark =
        alloc::format!("service not available now, because the message can't be stored: {reason}");
    Refusal::new(response_code::SERVICE_NOT_AVAILABLE, remark)
}

//! Messages that are not to be delivered after all, though they wait for their time.
//!
//! Decides which message a handle means, and whether it still waits. That it was recalled is
//! written behind it into the topic where it waits, so that a broker that is started again knows
//! it, and it goes away no earlier than the message.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use turbopump_core::rocketmq::wire::command::{
    Command, RecallMessageRequestHeader, RecallMessageResponseHeader,
};
use turbopump_core::rocketmq::wire::frame::Frame;
use turbopump_core::rocketmq::wire::header::response_code;
use turbopump_core::rocketmq::wire::identity::index_key_hash;
use turbopump_core::rocketmq::wire::json::Text;
use turbopump_core::rocketmq::wire::message::{Message, SysFlag};
use turbopump_core::rocketmq::wire::names::RETRY_PREFIX;
use turbopump_core::rocketmq::wire::properties::keys;
use turbopump_core::rocketmq::wire::recall::RecallHandle;
use turbopump_core::time::Now;

use super::Broker;
use super::answer::{Outcome, Refusal, plain};
use super::append::{Draft, Receipt, unavailable};
use super::delays::join;
use super::fetch::After;
use super::log::Range;
use super::send::{no_topic, put_property};
use super::sessions::Request;
use super::timed::Turn;
use super::topics::{QueueId, TIMER_TOPIC};

/// Messages with keys of the same hash that are looked at.
const LOOKED_AT_MAX: usize = 64;

/// A recall whose candidates are read.
#[derive(Debug)]
pub(super) struct Recall {
    pub(super) request: Request,
    topic: String,
    unique_key: String,
    candidates: Vec<(Turn, Range)>,
}

fn failed(reason: &str) -> Refusal {
    Refusal::new(response_code::ILLEGAL_OPERATION, alloc::format!("recall failed, {reason}"))
}

/// What is said of messages that were delivered, recalled before, or never there.
const NOT_WAITING: &str = "no such message waits: it was delivered or recalled, or never came";

impl Broker {
    /// By what a message can be recalled that waits for its time. Retries can't be.
    pub(super) fn recall_handle(
        &self,
        target: QueueId,
        due_ms: u64,
        unique_key: Option<&str>,
    ) -> Option<String> {
        let topic = &*self.topics.get(target.topic)?.name;
        let handle = RecallHandle {
            topic,
            broker_name: &self.config.broker_name,
            deliver_time_ms: i64::try_from(due_ms).ok()?,
            unique_key: unique_key?,
        };
        (!topic.starts_with(RETRY_PREFIX)).then(|| alloc::format!("{handle}"))
    }

    /// Request 370.
    pub(super) fn handle_recall(
        &mut self,
        now: Now,
        request: Request,
        frame: &Frame<'_>,
    ) -> Outcome {
        let header = RecallMessageRequestHeader::decode(&frame.ext)?;
        self.check_store()?;
        self.check_load()?;
        let topic = plain(header.topic);
        if self.topics.find(&topic).is_none() {
            return Err(no_topic(&topic));
        }
        let text = plain(header.recall_handle);
        let mut memory = alloc::vec![0; text.len()];
        let handle = RecallHandle::decode(&text, &mut memory)
            .map_err(|error| failed(&alloc::format!("{error}")))?;
        if handle.topic != topic {
            return Err(failed("the handle is for another topic"));
        }
        if handle.broker_name != self.config.broker_name {
            return Err(failed("the handle is for another broker"));
        }
        let candidates = self.candidates(&handle);
        if candidates.is_empty() {
            return Err(failed(NOT_WAITING));
        }
        let ranges: Vec<Range> = candidates.iter().map(|(_, range)| *range).collect();
        let unique_key = handle.unique_key.into();
        let recall = Recall { request, topic: topic.into_owned(), unique_key, candidates };
        self.fetch(now, &ranges, After::Recall(recall));
        Ok(())
    }

    /// Messages that wait until then and have a key of this hash.
    fn candidates(&self, handle: &RecallHandle<'_>) -> Vec<(Turn, Range)> {
        let queue = self.timer_queue().and_then(|id| self.topics.queue(id));
        let (Some(queue), Ok(due_ms)) = (queue, u64::try_from(handle.deliver_time_ms)) else {
            return Vec::new();
        };
        let hash = index_key_hash(TIMER_TOPIC, handle.unique_key);
        let found = self.keys.find(hash).filter_map(|range| {
            let turn = Turn { due_ms, offset: queue.offset_at(range.position)? };
            self.timed.is_waiting(turn).then_some((turn, range))
        });
        found.take(LOOKED_AT_MAX).collect()
    }

    /// Candidates were read, or could not be.
    pub(super) fn recall_read(
        &mut self,
        now: Now,
        recall: &Recall,
        slices: Option<&mut Vec<Bytes>>,
    ) {
        let outcome = match slices.map(join) {
            Some(bytes) => self.recall(now, recall, &bytes),
            None => Err(Refusal::new(response_code::SYSTEM_ERROR, "the message can't be read")),
        };
        if let Err(refusal) = outcome {
            self.refuse(recall.request, &refusal);
        }
    }

    fn recall(&mut self, now: Now, recall: &Recall, bytes: &[u8]) -> Outcome {
        let mut rest = bytes;
        for (turn, range) in &recall.candidates {
            let size_bytes = usize::try_from(range.size_bytes).unwrap_or(usize::MAX);
            let (record, behind) = rest.split_at(size_bytes.min(rest.len()));
            rest = behind;
            let Ok((message, _)) = Message::decode(record) else {
                continue;
            };
            let properties = message.properties().unwrap_or_default();
            // Somebody else may have been faster than the disk.
            if properties.unique_key() == Some(&recall.unique_key)
                && properties.get(keys::REAL_TOPIC) == Some(&recall.topic)
                && self.timed.is_waiting(*turn)
            {
                return self.write_recall(now, recall, *turn);
            }
        }
        Err(failed(NOT_WAITING))
    }

    /// Takes it out of the line; who has asked is told so once that is stored.
    fn write_recall(&mut self, now: Now, recall: &Recall, turn: Turn) -> Outcome {
        let queue = self.timer_queue().ok_or_else(|| unavailable("no topic for timers"))?;
        let mut properties = Vec::new();
        let due = alloc::format!("{}", turn.due_ms);
        for (name, value) in [
            (keys::TIMER_DEL_UNIQKEY, &*recall.unique_key),
            (keys::TIMER_OUT_MS, &*due),
            (keys::REAL_TOPIC, &*recall.topic),
        ] {
            put_property(&mut properties, name, value);
        }
        let body = alloc::format!("{}", turn.offset);
        let draft = Draft {
            flag: 0,
            sys_flag: SysFlag::default(),
            born_ms: now.unix_ms as i64,
            born_host: self.peer_of(recall.request),
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: body.as_bytes(),
            properties: &properties,
        };
        let placed = self.append(now, queue, &draft).ok_or_else(|| unavailable("no queue"))?;
        self.timed.push(placed.queue_offset, None);
        self.timed.take_recalled(turn, placed.range.end());
        if !self.log.has_disk() {
            self.timed.stored(u64::MAX);
        }
        self.counts.messages_recalled += 1;
        let answer = RecallMessageResponseHeader { msg_id: Text::plain(&recall.unique_key) };
        let answer = self.prepare_answer(recall.request, response_code::SUCCESS, &answer);
        let request = recall.request;
        self.confirm(queue, placed, Some(Receipt { request, answer }));
        Ok(())
    }
}

#[cfg(test)]
mod tests;

//! What a broker is told of its disk: what is there when it starts, and what turns out to be lost.
//!
//! Decides what is made of each message that was found, whole or by its note. What is good and
//! what is damaged is the store's to say.

use turbopump_core::rocketmq::wire::message::Message;
use turbopump_core::time::Now;

use super::Broker;
use super::clients::Notice;
use super::log::{Log, Range};
use super::notes::{Digest, Note, key_hashes};
use super::queue::{Entry, Queue};
use super::topics::{
    HALF_TOPIC, OPERATION_TOPIC, QueueId, SCHEDULE_TOPIC, STATE_TOPIC, TIMER_TOPIC, TopicSettings,
};
use crate::broker::store::{Damage, Finding, Recovery};

impl Broker {
    /// Takes a message that was found on disk; in the order of the log, before anything else.
    /// False where it makes no sense: it is left alone.
    pub fn recover(&mut self, position: u64, record: &[u8]) -> bool {
        let Ok((message, len)) = Message::decode(record) else {
            return false;
        };
        let range = Range { position, size_bytes: u32::try_from(len).unwrap_or(u32::MAX) };
        // Clocks may have been before 1970.
        let store_timestamp_ms = message.store_timestamp_ms.max(0);
        let Some(digest) = Digest::of(&Message { store_timestamp_ms, ..message }) else {
            return false;
        };
        if digest.queue >= self.config.limits.queues_max {
            return false;
        }
        match message.topic {
            STATE_TOPIC => self.recover_state(message.body),
            OPERATION_TOPIC => self.recover_operation(message.body),
            _ => {}
        }
        self.recover_digest(range, &digest, key_hashes(&message))
    }

    /// Takes what the index of a segment says of a message, as [`recover`](Self::recover) takes
    /// the message: both do the same.
    pub fn recover_note(&mut self, position: u64, size_bytes: u32, note: &[u8]) -> bool {
        match Note::from_bytes(note) {
            Some(Note::Whole(record)) => self.recover(position, record),
            Some(Note::Digest(digest, hashes)) => {
                let hashes = hashes.iter().map(|hash| i32::from_be_bytes(*hash));
                digest.queue < self.config.limits.queues_max
                    && self.recover_digest(Range { position, size_bytes }, &digest, hashes)
            }
            None => false,
        }
    }

    /// Takes whatever was found of a message.
    pub fn recover_finding(&mut self, position: u64, finding: Finding<'_>) -> bool {
        match finding {
            Finding::Record(record) => self.recover(position, record),
            Finding::Note { size_bytes, note } => self.recover_note(position, size_bytes, note),
        }
    }

    fn recover_digest(
        &mut self,
        range: Range,
        digest: &Digest<'_>,
        hashes: impl Iterator<Item = i32>,
    ) -> bool {
        let Digest { topic, queue, offset, stored_ms, tags_code, timer } = *digest;
        if topic == HALF_TOPIC {
            self.recover_half(offset, stored_ms, range);
        }
        let id = match self.topics.find(topic) {
            Some(id) => id,
            // What made it is lost, or its messages are older than that it was deleted.
            None => self.topics.put(topic, TopicSettings::with_queues(queue + 1, 6)).0,
        };
        if let Some(topic) = self.topics.get_mut(id) {
            while topic.queues.len() <= queue as usize {
                topic.queues.push(Queue::default());
            }
            let Range { position, size_bytes } = range;
            let entry = Entry { position, stored_ms, size_bytes, tags_code };
            if let Some(queue) = topic.queues.get_mut(queue as usize)
                && !queue.restore(offset, entry)
            {
                return false;
            }
        }
        if let Some(timer) = timer.filter(|_| topic == TIMER_TOPIC && queue == 0) {
            self.timed.recover(offset, timer);
        }
        hashes.for_each(|hash| self.keys.insert(hash, range));
        true
    }

    /// What the store has found, for those who want to know.
    pub fn note_recovery(&mut self, recovery: Recovery) {
        if recovery.segments > 0 {
            self.note(Notice::Recovered { recovery });
        }
    }

    /// All records that there are were taken: the log goes from `start` to `end`.
    pub fn handle_recovered(&mut self, now: Now, start: u64, end: u64) {
        self.log = Log::on_disk(start, end);
        self.stored = end;
        self.begin_remembering();
        self.resume_transactions(now);
        self.set_timed(now);
        if let Some(topic) = self.topics.find(SCHEDULE_TOPIC) {
            let levels = u32::try_from(self.config.delay_levels.len()).unwrap_or(0);
            (0..levels).for_each(|queue| self.arrived(now, QueueId { topic, queue }));
        }
    }

    /// Parts of the disk turned out to be damaged: what lies there is lost, and readers step over
    /// it from now on.
    pub fn handle_damaged(&mut self, damages: &[Damage]) {
        let (mut messages, mut bytes) = (0, 0);
        for damage in damages {
            let (position, end) = (damage.position, damage.end());
            bytes += damage.bytes;
            for (_, topic) in self.topics.iter_mut() {
                messages += topic.queues.iter_mut().map(|q| q.lose(position, end)).sum::<u64>();
            }
            self.keys.lose(position, end);
            self.transactions.lose(position, end);
        }
        if let Some(first) = damages.first() {
            self.note(Notice::Damaged { messages, bytes, position: first.position });
        }
    }
}

#[cfg(test)]
mod tests;

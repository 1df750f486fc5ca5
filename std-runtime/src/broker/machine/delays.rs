//! Messages that wait for their delay: each level is a queue of its own, first in, first out.

use alloc::vec::Vec;

use bytes::Bytes;

use turbopump_core::rocketmq::wire::message::Message;
use turbopump_core::rocketmq::wire::properties::keys;
use turbopump_core::time::Now;

use super::Broker;
use super::answer::Refusal;
use super::append::{Draft, unavailable};
use super::fetch::After;
use super::log::Range;
use super::send::{put_property, without};
use super::timers::Due;
use super::topics::{QueueId, SCHEDULE_TOPIC, TIMER_TOPIC};

/// Messages of a level that are delivered in one go.
const DELIVER_MAX: usize = 256;
/// How long a level rests after a failure to read or to store, in microseconds.
const PAUSE_US: u64 = 100_000;

/// Messages of one level whose time has come.
#[derive(Debug)]
pub(super) struct Delayed {
    level: u32,
    /// The offset behind the last of them.
    next: u64,
    ranges: Vec<Range>,
}

impl Broker {
    /// The queue where a message waits; its properties say where it goes then. Levels beyond the
    /// last are as the last.
    pub(super) fn hold_delayed(
        &mut self,
        target: QueueId,
        level: i64,
        properties: &mut Vec<u8>,
    ) -> Result<QueueId, Refusal> {
        let levels = self.config.delay_levels.len();
        let index = usize::try_from(level - 1).unwrap_or(0).min(levels.saturating_sub(1));
        let topic = self.topics.find(SCHEDULE_TOPIC);
        let topic = topic.filter(|_| levels > 0).ok_or_else(|| unavailable("no delay levels"))?;
        self.name_target(target, properties);
        Ok(QueueId { topic, queue: u32::try_from(index).unwrap_or(0) })
    }

    /// Writes down where a message really goes.
    pub(super) fn name_target(&self, target: QueueId, properties: &mut Vec<u8>) {
        if let Some(topic) = self.topics.get(target.topic) {
            put_property(properties, keys::REAL_TOPIC, &topic.name);
            let queue = alloc::format!("{}", target.queue);
            put_property(properties, keys::REAL_QUEUE_ID, &queue);
        }
    }

    /// Where a message really goes, by its properties; `None` where that is gone, and can't be made
    /// again.
    pub(super) fn real_target(&mut self, message: &Message<'_>) -> Option<QueueId> {
        let properties = message.properties().ok()?;
        let name = properties.get(keys::REAL_TOPIC)?;
        let queue = properties.number(keys::REAL_QUEUE_ID).ok().flatten().unwrap_or(0);
        let topic = self.topics.find(name)?;
        let queues = self.topics.get(topic)?.queues.len();
        // The topic may have fewer queues than it had.
        let queue = u32::try_from(queue).ok().filter(|queue| (*queue as usize) < queues);
        Some(QueueId { topic, queue: queue.unwrap_or(0) })
    }

    /// Something came into a queue: where messages wait there for their time, that may have to be
    /// set.
    pub(super) fn arrived(&mut self, now: Now, id: QueueId) {
        if self.topics.find(SCHEDULE_TOPIC) == Some(id.topic) {
            self.set_delay(now, id.queue);
        } else if self.topics.find(TIMER_TOPIC) == Some(id.topic) {
            self.set_timed(now);
        }
    }

    /// Sets the time of a level, by the oldest of its messages.
    fn set_delay(&mut self, now: Now, level: u32) {
        let Some(topic) = self.topics.find(SCHEDULE_TOPIC) else {
            return;
        };
        let (Some(queue), Some(delay)) = (
            self.topics.queue(QueueId { topic, queue: level }),
            self.config.delay_levels.get(level as usize),
        ) else {
            return;
        };
        let offset = self.state.delay(level).clamp(queue.min(), queue.max());
        let Some(entry) = queue.get(offset) else {
            return;
        };
        let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        let due_ms = entry.stored_ms.saturating_add(delay_ms);
        let wait_us = due_ms.saturating_sub(now.unix_ms).saturating_mul(1_000);
        if self.state.start_delay(level) {
            self.timers.add(now.at.plus_us(wait_us), Due::Delay(level));
        }
    }

    /// The oldest message of a level may go: so do all others whose time has come.
    pub(super) fn deliver_delayed(&mut self, now: Now, level: u32) {
        self.state.end_delay(level);
        let (Some(topic), Some(delay)) =
            (self.topics.find(SCHEDULE_TOPIC), self.config.delay_levels.get(level as usize))
        else {
            return;
        };
        let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        let Some(queue) = self.topics.queue(QueueId { topic, queue: level }) else {
            return;
        };
        let offset = self.state.delay(level).clamp(queue.min(), queue.max());
        let mut ranges = Vec::new();
        let mut next = offset;
        // Where some can't be read, those that can are found one by one.
        let messages_max = if self.state.is_careful(level) { 1 } else { DELIVER_MAX };
        for (offset, entry) in queue.from(offset).take(messages_max) {
            if entry.stored_ms.saturating_add(delay_ms) > now.unix_ms {
                break;
            }
            if entry.size_bytes > 0 {
                ranges.push(Range { position: entry.position, size_bytes: entry.size_bytes });
            }
            next = offset + 1;
        }
        if ranges.is_empty() {
            self.state.set_delay(level, next);
            self.set_delay(now, level);
            return;
        }
        let delayed = Delayed { level, next, ranges: ranges.clone() };
        // Nothing else is done with this level until these are read.
        self.state.start_delay(level);
        self.fetch(now, &ranges, After::Delayed(delayed));
    }

    /// Messages whose time has come have been read, or could not be.
    pub(super) fn release_delayed(
        &mut self,
        now: Now,
        delayed: Delayed,
        slices: Option<&mut Vec<Bytes>>,
    ) {
        let Delayed { level, next, ranges } = delayed;
        self.state.end_delay(level);
        let Some(slices) = slices else {
            if ranges.len() == 1 {
                // It is lost, and the others must not wait for it.
                self.counts.messages_unreadable += 1;
                self.state.set_delay(level, next);
            }
            self.state.be_careful(level, true);
            self.state.start_delay(level);
            self.timers.add(now.at.plus_us(PAUSE_US), Due::Delay(level));
            return;
        };
        let bytes = join(slices);
        let mut rest = &bytes[..];
        for range in &ranges {
            let size_bytes = usize::try_from(range.size_bytes).unwrap_or(usize::MAX);
            let (record, behind) = rest.split_at(size_bytes.min(rest.len()));
            rest = behind;
            match Message::decode(record) {
                Ok((message, _)) => self.release(now, &message),
                Err(_) => self.counts.messages_unreadable += 1,
            }
        }
        self.state.be_careful(level, false);
        self.state.set_delay(level, next);
        if self.log.has_disk() {
            self.state.delivered(level, next, self.log.end());
        }
        self.set_delay(now, level);
    }

    /// What was delivered may not have been stored: it is delivered again.
    pub(super) fn resume_delays(&mut self, now: Now) {
        for level in self.state.undelivered() {
            self.state.end_delay(level);
            self.set_delay(now, level);
        }
    }

    fn release(&mut self, now: Now, message: &Message<'_>) {
        let Some(target) = self.real_target(message) else {
            return;
        };
        let properties = message.properties().unwrap_or_default();
        let timers =
            [keys::DELAY, keys::TIMER_DELIVER_MS, keys::TIMER_DELAY_SEC, keys::TIMER_DELAY_MS];
        let properties = without(properties, &timers);
        let draft = Draft { properties: &properties, ..Draft::of(message) };
        if let Some(placed) = self.append(now, target, &draft) {
            self.counts.messages_delayed += 1;
            self.confirm(target, placed, None);
        }
    }
}

/// Slices as one; not copied where there is one only.
pub(super) fn join(slices: &mut Vec<Bytes>) -> Bytes {
    match slices.as_mut_slice() {
        [only] => core::mem::take(only),
        many => {
            let mut joined = Vec::with_capacity(many.iter().map(Bytes::len).sum());
            many.iter().for_each(|slice| joined.extend_from_slice(slice));
            Bytes::from(joined)
        }
    }
}

#[cfg(test)]
mod tests;

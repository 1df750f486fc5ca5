//! Messages that wait for a time of their own, whatever it is (`TIMER_DELIVER_MS` and its like).
//!
//! They lie in a topic of the broker's, in one queue. In memory each of them is its time and its
//! offset there; in the order of both they are delivered. How far that has gone is one such pair,
//! which is noted once the copies that were delivered are stored, and not before: of a group in
//! which a power cut leaves holes, the note could be left and a copy be lost. So a broker that ends
//! in between delivers them again.
//!
//! Decides when which message is delivered, what is refused, and what is found again. How a message
//! is taken out of the line is up to `recall`.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use turbopump_core::rocketmq::wire::header::response_code;
use turbopump_core::rocketmq::wire::message::Message;
use turbopump_core::rocketmq::wire::properties::{Delay, PROPERTIES_BYTES_MAX, Properties, keys};
use turbopump_core::time::{Instant, Now};

use super::Broker;
use super::answer::Refusal;
use super::append::{Draft, unavailable};
use super::clients::Notice;
use super::delays::join;
use super::fetch::After;
use super::log::Range;
use super::send::{check_properties, put_property};
use super::timers::Due;
use super::topics::{QueueId, TIMER_TOPIC};

/// Messages that are delivered in one go, and their bytes.
const DELIVER_MAX: usize = 256;
const DELIVER_BYTES_MAX: usize = 8 << 20;
/// How long it rests after a failure to read, or while too much waits for the disk, in
/// microseconds.
const PAUSE_US: u64 = 100_000;
/// The clock is looked at this often, because it may be set: in milliseconds.
const LOOK_MS: u64 = 60_000;
/// The properties that a message gets on its way out, in bytes.
const STAMPS_BYTES: usize = 64;

/// When it is a message's turn: at its time, and of those with the same one the first that came.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub(super) struct Turn {
    /// In milliseconds since 1970.
    pub(super) due_ms: u64,
    /// In the queue where it waits.
    pub(super) offset: u64,
}

/// What a message in the topic of those that wait says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timer {
    /// In milliseconds since 1970.
    pub(super) due_ms: u64,
    /// It is no message, but takes the one at this offset out of the line.
    pub(super) recalled: Option<u64>,
}

impl Timer {
    /// `None` for messages that belong to no timer.
    pub(super) fn of(message: &Message<'_>) -> Option<Self> {
        if message.topic != TIMER_TOPIC {
            return None;
        }
        let properties = message.properties().ok()?;
        let due_ms = properties.get(keys::TIMER_OUT_MS)?.parse().ok()?;
        let recalled = match properties.get(keys::TIMER_DEL_UNIQKEY) {
            Some(_) => Some(core::str::from_utf8(message.body).ok()?.parse().ok()?),
            None => None,
        };
        Some(Self { due_ms, recalled })
    }
}

/// A message that was taken out of the line by something that ends here in the log.
#[derive(Clone, Copy, Debug)]
struct Taken {
    end: u64,
    turn: Turn,
    is_delivered: bool,
}

/// Who waits for his time.
#[derive(Debug, Default)]
pub(super) struct Timed {
    waiting: BTreeSet<Turn>,
    /// Their times by offset, from `first` on; 0 for what does not wait.
    dues_ms: VecDeque<u64>,
    first: u64,
    /// Nothing that waits comes before this, nor will anything.
    through: Turn,
    /// So far what was delivered is stored, too.
    stored: Turn,
    /// That is not noted yet.
    has_moved: bool,
    /// The latest time of what was ever read to be delivered.
    read_ms: u64,
    /// What is not stored, in the order of the log.
    unsure: VecDeque<Taken>,
    /// When it is looked at next.
    alarm: Option<Instant>,
    /// Messages are being read, or it rests.
    is_busy: bool,
    /// Something could not be read: one by one, then.
    is_careful: bool,
}

impl Timed {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) const fn has_moved(&self) -> bool {
        self.has_moved
    }

    /// How far it is, to be noted.
    pub(super) const fn take_stored(&mut self) -> Turn {
        self.has_moved = false;
        self.stored
    }

    /// How far it is, where that has changed.
    pub(super) const fn take_move(&mut self) -> Option<Turn> {
        if self.has_moved { Some(self.take_stored()) } else { None }
    }

    /// No message gets an earlier time: where the clock was set back, it would come before what was
    /// delivered, and be taken for delivered.
    fn earliest_ms(&self) -> u64 {
        self.through.due_ms.max(self.read_ms)
    }

    pub(super) fn is_waiting(&self, turn: Turn) -> bool {
        self.waiting.contains(&turn)
    }

    /// The next message of the queue, which waits if it has a time.
    pub(super) fn push(&mut self, offset: u64, due_ms: Option<u64>) {
        if self.dues_ms.is_empty() {
            self.first = offset;
        }
        // As the queue has holes where messages are lost, which is bounded there.
        while self.first + (self.dues_ms.len() as u64) < offset {
            self.dues_ms.push_back(0);
        }
        self.dues_ms.push_back(0);
        if let Some(due_ms) = due_ms.filter(|due_ms| *due_ms > 0) {
            self.restore(Turn { due_ms, offset });
        }
    }

    /// Puts it in line (again), unless it is gone or its turn was.
    fn restore(&mut self, turn: Turn) {
        let index = turn.offset.checked_sub(self.first).and_then(|n| usize::try_from(n).ok());
        if let Some(due_ms) = index.and_then(|index| self.dues_ms.get_mut(index))
            && turn > self.through
        {
            *due_ms = turn.due_ms;
            self.waiting.insert(turn);
        }
    }

    /// Takes one out of the line; false where it was not there.
    fn take(&mut self, turn: Turn) -> bool {
        let index = turn.offset.checked_sub(self.first).and_then(|n| usize::try_from(n).ok());
        if let Some(due_ms) = index.and_then(|index| self.dues_ms.get_mut(index)) {
            *due_ms = 0;
        }
        self.waiting.remove(&turn)
    }

    /// It was delivered, by what ends here in the log, or can't be.
    fn take_delivered(&mut self, turn: Turn, end: u64) {
        self.take(turn);
        self.unsure.push_back(Taken { end, turn, is_delivered: true });
        self.through = self.through.max(turn);
    }

    /// It was recalled, by what ends here in the log.
    pub(super) fn take_recalled(&mut self, turn: Turn, end: u64) {
        if self.take(turn) {
            self.unsure.push_back(Taken { end, turn, is_delivered: false });
        }
    }

    /// Everything before this position is stored.
    pub(super) fn stored(&mut self, position: u64) {
        while let Some(taken) = self.unsure.front().copied()
            && taken.end <= position
        {
            self.unsure.pop_front();
            if taken.is_delivered && taken.turn > self.stored {
                (self.stored, self.has_moved) = (taken.turn, true);
            }
        }
    }

    /// What was not stored is lost, and so are messages from this offset on: who was taken out of
    /// the line for it is in it again.
    fn resume(&mut self, next: u64) {
        while self.first + self.dues_ms.len() as u64 > next
            && let Some(due_ms) = self.dues_ms.pop_back()
        {
            let offset = self.first + self.dues_ms.len() as u64;
            self.waiting.remove(&Turn { due_ms, offset });
        }
        self.through = self.stored;
        for taken in core::mem::take(&mut self.unsure) {
            self.restore(taken.turn);
        }
    }

    /// Messages before this offset are gone; returns how many of them have waited.
    fn trim(&mut self, min: u64) -> u64 {
        let mut dropped = 0;
        while self.first < min
            && let Some(due_ms) = self.dues_ms.pop_front()
        {
            dropped += u64::from(self.waiting.remove(&Turn { due_ms, offset: self.first }));
            self.first += 1;
        }
        dropped
    }

    /// A broker was this far: nothing before that waits.
    pub(super) fn pass(&mut self, through: Turn) {
        self.through = self.through.max(through);
        while let Some(turn) = self.waiting.first().copied()
            && turn <= self.through
        {
            self.take(turn);
        }
    }

    /// Takes what was found on disk.
    pub(super) fn recover(&mut self, offset: u64, timer: Timer) {
        match timer.recalled {
            None => self.push(offset, Some(timer.due_ms)),
            Some(recalled) => {
                self.push(offset, None);
                self.take(Turn { due_ms: timer.due_ms, offset: recalled });
            }
        }
    }

    /// Everything that there is was found.
    pub(super) const fn begin(&mut self) {
        (self.stored, self.has_moved) = (self.through, false);
    }
}

/// Messages whose time has come.
#[derive(Debug)]
pub(super) struct Timely(Vec<(Turn, Range)>);

impl Timely {
    fn ranges(&self) -> Vec<Range> {
        // What is lost has no bytes.
        self.0.iter().map(|(_, range)| *range).filter(|range| range.size_bytes > 0).collect()
    }
}

impl Broker {
    /// When a message is to be delivered that a client sends; `None` for at once.
    pub(super) fn due_of(
        &self,
        now: Now,
        properties: Properties<'_>,
    ) -> Result<Option<u64>, Refusal> {
        let illegal = |remark| Refusal::new(response_code::MESSAGE_ILLEGAL, remark);
        let now_ms = i64::try_from(now.unix_ms).unwrap_or(i64::MAX);
        let due_ms = match properties.delay() {
            Ok(Some(Delay::AfterMs(delay_ms))) => now_ms.saturating_add(delay_ms),
            Ok(Some(Delay::AtMs(due_ms))) => due_ms,
            Ok(_) => return Ok(None),
            Err(error) => return Err(illegal(alloc::format!("timer message illegal: {error}"))),
        };
        if properties.get(keys::TIMER_DEL_UNIQKEY).is_some() {
            let remark = "timer message illegal: messages are recalled by request 370, with the \
                          recallHandle that the answer to their send has";
            return Err(illegal(remark.into()));
        }
        if due_ms <= now_ms {
            return Ok(None);
        }
        let delay_ms = due_ms.saturating_sub(now_ms).unsigned_abs();
        let delay_max = self.config.timer_delay_max;
        if u128::from(delay_ms) > delay_max.as_millis() {
            return Err(illegal(alloc::format!(
                "timer message illegal: its time comes in {delay_ms} ms, later than the max delay \
                 of {} ms (timerMaxDelaySec): choose an earlier one",
                delay_max.as_millis()
            )));
        }
        let messages_max = self.config.limits.timed_messages_max;
        if self.timed.len() >= messages_max {
            let remark = alloc::format!(
                "timer message is under flow control: {messages_max} messages wait for their time \
                 already; send it again once some are delivered, or without a time"
            );
            return Err(Refusal::new(response_code::SYSTEM_BUSY, remark));
        }
        Ok(u64::try_from(due_ms).ok().map(|due_ms| due_ms.max(self.timed.earliest_ms())))
    }

    /// The queue where a message waits; its properties say until when, and where it goes then.
    pub(super) fn hold_timed(
        &self,
        target: QueueId,
        due_ms: u64,
        properties: &mut Vec<u8>,
    ) -> Result<QueueId, Refusal> {
        put_property(properties, keys::TIMER_OUT_MS, &alloc::format!("{due_ms}"));
        self.name_target(target, properties);
        if properties.len() + STAMPS_BYTES > PROPERTIES_BYTES_MAX {
            // There must be room for what it gets on its way out.
            let mut longest = properties.clone();
            longest.resize(properties.len() + STAMPS_BYTES, 0);
            check_properties(&longest)?;
        }
        self.timer_queue().ok_or_else(|| unavailable("no topic for timers"))
    }

    pub(super) fn timer_queue(&self) -> Option<QueueId> {
        self.topics.find(TIMER_TOPIC).map(|topic| QueueId { topic, queue: 0 })
    }

    /// Sets the time at which it is looked at who is due.
    pub(super) fn set_timed(&mut self, now: Now) {
        let queue = self.timer_queue().and_then(|id| self.topics.queue(id));
        let (Some(queue), Some(first)) = (queue, self.timed.waiting.first()) else {
            return;
        };
        // What is not stored yet sets the time once it is.
        if self.timed.is_busy || queue.get(first.offset).is_none() {
            return;
        }
        let wait_ms = first.due_ms.saturating_sub(now.unix_ms).min(LOOK_MS);
        // Others have their turn in between, where many are due.
        self.wake_timed(now, (wait_ms * 1_000).max(1));
    }

    fn wake_timed(&mut self, now: Now, wait_us: u64) {
        let at = now.at.plus_us(wait_us);
        if self.timed.alarm.is_some_and(|alarm| alarm <= at) {
            return;
        }
        if let Some(later) = self.timed.alarm.replace(at) {
            self.timers.remove(later, Due::Timed);
        }
        self.timers.add(at, Due::Timed);
    }

    /// Delivers what is due.
    pub(super) fn deliver_timed(&mut self, now: Now) {
        (self.timed.alarm, self.timed.is_busy) = (None, false);
        if self.log.unwritten_bytes > self.config.limits.unwritten_bytes_max {
            self.rest_timed(now);
            return;
        }
        let Some(queue) = self.timer_queue().and_then(|id| self.topics.queue(id)) else {
            return;
        };
        // Where some can't be read, those that can are found one by one.
        let messages_max = if self.timed.is_careful { 1 } else { DELIVER_MAX };
        let last = Turn { due_ms: now.unix_ms, offset: u64::MAX };
        let (mut due, mut bytes) = (Vec::new(), 0);
        for turn in self.timed.waiting.range(..=last).take(messages_max) {
            // Nobody is put before one that is not stored yet.
            let Some(entry) = queue.get(turn.offset).filter(|_| bytes < DELIVER_BYTES_MAX) else {
                break;
            };
            let range = Range { position: entry.position, size_bytes: entry.size_bytes };
            bytes += range.size_bytes as usize;
            due.push((*turn, range));
            self.timed.read_ms = self.timed.read_ms.max(turn.due_ms);
        }
        if due.is_empty() {
            self.set_timed(now);
            return;
        }
        self.timed.is_busy = true;
        let timely = Timely(due);
        self.fetch(now, &timely.ranges(), After::Timed(timely));
    }

    fn rest_timed(&mut self, now: Now) {
        self.timed.is_busy = true;
        self.wake_timed(now, PAUSE_US);
    }

    /// Messages whose time has come have been read, or could not be.
    pub(super) fn release_timed(
        &mut self,
        now: Now,
        timely: Timely,
        slices: Option<&mut Vec<Bytes>>,
    ) {
        self.timed.is_busy = false;
        let Some(slices) = slices else {
            if let [(turn, _)] = *timely.0 {
                // It is lost, and the others must not wait for it.
                self.counts.messages_unreadable += 1;
                self.timed.take_delivered(turn, self.log.end());
            }
            self.timed.is_careful = true;
            self.rest_timed(now);
            return;
        };
        let bytes = join(slices);
        let mut rest = &bytes[..];
        for (turn, range) in timely.0 {
            let size_bytes = usize::try_from(range.size_bytes).unwrap_or(usize::MAX);
            let (record, behind) = rest.split_at(size_bytes.min(rest.len()));
            rest = behind;
            if !self.timed.is_waiting(turn) {
                // It was recalled, or has gone, while it was read.
                continue;
            }
            match Message::decode(record) {
                Ok((message, _)) => self.release_at_last(now, &message),
                Err(_) => self.counts.messages_unreadable += 1,
            }
            self.timed.take_delivered(turn, self.log.end());
        }
        self.timed.is_careful = false;
        if !self.log.has_disk() {
            self.timed.stored(u64::MAX);
        }
        self.set_timed(now);
    }

    /// As Apache's broker leaves it: with all that it had while it waited, and when that was.
    fn release_at_last(&mut self, now: Now, message: &Message<'_>) {
        let mut properties = message.properties.to_vec();
        let stored_ms = message.store_timestamp_ms;
        for (name, ms) in
            [(keys::TIMER_ENQUEUE_MS, stored_ms), (keys::TIMER_DEQUEUE_MS, now.unix_ms as i64)]
        {
            put_property(&mut properties, name, &alloc::format!("{ms}"));
        }
        let draft = Draft { properties: &properties, ..Draft::of(message) };
        let placed = self.real_target(message).and_then(|target| {
            let placed = self.append(now, target, &draft)?;
            Some((target, placed))
        });
        match placed {
            Some((target, placed)) => {
                self.counts.messages_timed += 1;
                self.confirm(target, placed, None);
            }
            None => self.counts.messages_timed_dropped += 1,
        }
    }

    /// What was delivered or recalled may not have been stored: it waits again.
    pub(super) fn resume_timed(&mut self, now: Now) {
        if let Some(queue) = self.timer_queue().and_then(|id| self.topics.queue(id)) {
            self.timed.resume(queue.next());
            self.set_timed(now);
        }
    }

    /// Messages have gone away, some of which may have waited.
    pub(super) fn trim_timed(&mut self) {
        let Some(queue) = self.timer_queue().and_then(|id| self.topics.queue(id)) else {
            return;
        };
        let messages = self.timed.trim(queue.min());
        if messages > 0 {
            self.counts.messages_timed_dropped += messages;
            self.note(Notice::TimedDropped { messages });
        }
    }
}

#[cfg(test)]
mod tests;

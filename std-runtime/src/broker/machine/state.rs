//! What is remembered besides messages: topics, groups, offsets, how far delays and timers are.
//!
//! With a disk, changes are written into the log, as messages of a topic of the broker's own, so
//! that there is one log, one order, and one recovery. Without one there is nothing to be done.

use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use turbopump_core::rocketmq::wire::body::PERM_READ;
use turbopump_core::rocketmq::wire::message::SysFlag;
use turbopump_core::time::Now;

use super::Broker;
use super::append::{Draft, Receipt};
use super::groups::GroupSettings;
use super::timed::Turn;
use super::topics::{
    DEFAULT_TOPIC, GIVEN_UP_TOPIC, HALF_TOPIC, OPERATION_TOPIC, QueueId, SCHEDULE_TOPIC,
    STATE_TOPIC, TIMER_TOPIC, TopicSettings,
};

mod administered;

pub(super) use administered::Administered;
use administered::AdministeredRecord;

/// Offsets in one record; more are written in several.
const OFFSETS_MAX: usize = 4_096;

/// A record of what has changed. Members that are unknown or not there are nothing.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Change {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    topics: Vec<TopicRecord>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    deleted_topics: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    groups: Vec<GroupRecord>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    deleted_groups: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    offsets: Vec<OffsetRecord>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    delays: Vec<DelayRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timed: Option<Turn>,
    #[serde(skip_serializing_if = "AdministeredRecord::is_empty")]
    administered: AdministeredRecord,
}

impl Change {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct TopicRecord {
    name: String,
    read_queues: u32,
    write_queues: u32,
    perm: i32,
    sys_flag: i32,
    is_ordered: bool,
    filter_type: String,
    /// The next offset of each queue, for queues whose messages are all gone.
    next: Vec<u64>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct GroupRecord {
    name: String,
    is_enabled: bool,
    is_broadcast_enabled: bool,
    starts_at_min: bool,
    retries_max: i32,
    retry_queues: u32,
    notifies: bool,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct OffsetRecord {
    group: String,
    topic: String,
    queue: u32,
    offset: u64,
    /// Whether an administrator has set it, and the consumers have not heard of it.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    is_reset: bool,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct DelayRecord {
    level: u32,
    offset: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Delay {
    /// The next message to deliver.
    offset: u64,
    /// Its time is set, or it is being read.
    is_busy: bool,
    /// Something could not be read.
    is_careful: bool,
    /// What was delivered before this offset is stored.
    stored: u64,
}

/// What was deleted by a record that ends here.
#[derive(Debug)]
struct Unsure {
    end: u64,
    topics: Vec<String>,
    groups: Vec<String>,
}

/// What has changed since it was last written down. What is deleted and made again is both.
#[derive(Debug, Default)]
pub(super) struct State {
    topics: BTreeSet<Box<str>>,
    deleted_topics: BTreeSet<Box<str>>,
    groups: BTreeSet<Box<str>>,
    deleted_groups: BTreeSet<Box<str>>,
    delays: Vec<Delay>,
    changed_delays: BTreeSet<u32>,
    /// Deliveries that are not stored: where they end in the log, their level, and its next offset.
    delivered: VecDeque<(u64, u32, u64)>,
    /// Deletions that were written and are not stored: nothing else would say it again.
    unsure: VecDeque<Unsure>,
    /// To be given once all of that is stored.
    receipts: Vec<Receipt>,
    /// Everything is to be written down once more.
    is_lost: bool,
    /// Something else could be stored since.
    is_hopeful: bool,
}

impl State {
    pub(super) fn topic_changed(&mut self, name: &str) {
        self.topics.insert(name.into());
    }

    pub(super) fn topic_deleted(&mut self, name: &str) {
        self.topics.remove(name);
        self.deleted_topics.insert(name.into());
    }

    pub(super) fn group_changed(&mut self, name: &str) {
        self.groups.insert(name.into());
    }

    pub(super) fn group_deleted(&mut self, name: &str) {
        self.groups.remove(name);
        self.deleted_groups.insert(name.into());
    }

    /// The next offset of a delay level.
    pub(super) fn delay(&self, level: u32) -> u64 {
        self.delays.get(level as usize).map_or(0, |delay| delay.offset)
    }

    fn delay_mut(&mut self, level: u32) -> Option<&mut Delay> {
        // As many as there are queues of the topic.
        let len = self.delays.len().max(level as usize + 1);
        self.delays.resize(len, Delay::default());
        self.delays.get_mut(level as usize)
    }

    pub(super) fn set_delay(&mut self, level: u32, offset: u64) {
        if let Some(delay) = self.delay_mut(level)
            && delay.offset != offset
        {
            delay.offset = offset;
            self.changed_delays.insert(level);
        }
    }

    /// Messages of a level were delivered, which end here in the log.
    pub(super) fn delivered(&mut self, level: u32, next: u64, end: u64) {
        self.delivered.push_back((end, level, next));
    }

    /// Everything before this position is stored.
    pub(super) fn delays_stored(&mut self, position: u64) {
        while let Some((end, level, next)) = self.delivered.front().copied()
            && end <= position
        {
            self.delivered.pop_front();
            if let Some(delay) = self.delay_mut(level) {
                delay.stored = delay.stored.max(next);
            }
        }
    }

    /// Levels of which something was delivered that could not be stored; they go on there.
    pub(super) fn undelivered(&mut self) -> Vec<u32> {
        let mut levels: Vec<u32> = self.delivered.drain(..).map(|(_, level, _)| level).collect();
        levels.sort_unstable();
        levels.dedup();
        for level in &levels {
            let stored = self.delay_mut(*level).map_or(0, |delay| delay.stored);
            self.set_delay(*level, stored);
        }
        levels
    }

    pub(super) fn is_careful(&self, level: u32) -> bool {
        self.delays.get(level as usize).is_some_and(|delay| delay.is_careful)
    }

    /// From now on messages of a level are read one by one, or no longer.
    pub(super) fn be_careful(&mut self, level: u32, is_careful: bool) {
        if let Some(delay) = self.delay_mut(level) {
            delay.is_careful = is_careful;
        }
    }

    /// True where nobody was at it.
    pub(super) fn start_delay(&mut self, level: u32) -> bool {
        self.delay_mut(level).is_some_and(|delay| !core::mem::replace(&mut delay.is_busy, true))
    }

    pub(super) fn end_delay(&mut self, level: u32) {
        if let Some(delay) = self.delay_mut(level) {
            delay.is_busy = false;
        }
    }

    /// Deletions that may be lost, until everything before `stored` is.
    fn expect(&mut self, end: u64, stored: u64, change: &Change) {
        while self.unsure.front().is_some_and(|unsure| unsure.end <= stored) {
            self.unsure.pop_front();
        }
        let (topics, groups) = (&change.deleted_topics, &change.deleted_groups);
        if !(topics.is_empty() && groups.is_empty()) {
            let unsure = Unsure { end, topics: topics.clone(), groups: groups.clone() };
            self.unsure.push_back(unsure);
        }
    }

    /// What is behind `stored` is lost: what was deleted there is deleted once more.
    fn delete_again(&mut self, stored: u64) {
        for unsure in self.unsure.drain(..).filter(|unsure| unsure.end > stored) {
            self.deleted_topics.extend(unsure.topics.into_iter().map(Into::into));
            self.deleted_groups.extend(unsure.groups.into_iter().map(Into::into));
        }
    }

    /// Whether something must not wait for the timer. After a failure everything does, until
    /// something else could be stored: a disk that is full is not tried again and again.
    fn is_urgent(&self) -> bool {
        if self.is_lost {
            return self.is_hopeful;
        }
        !(self.receipts.is_empty()
            && self.topics.is_empty()
            && self.deleted_topics.is_empty()
            && self.groups.is_empty()
            && self.deleted_groups.is_empty()
            && self.changed_delays.is_empty())
    }

    /// Something could be stored.
    pub(super) const fn hope(&mut self) {
        self.is_hopeful = true;
    }
}

impl Broker {
    /// What every broker has from its start.
    pub(super) fn make_system_topics(&mut self) {
        let (cluster, broker) = (self.config.cluster_name.clone(), self.config.broker_name.clone());
        let levels = u32::try_from(self.config.delay_levels.len()).unwrap_or(u32::MAX);
        let default_perm = if self.config.auto_create_topics { 7 } else { 6 };
        let reply = alloc::format!("{cluster}_REPLY_TOPIC");
        for (name, queues, perm, is_internal) in [
            (DEFAULT_TOPIC, self.config.default_topic_queues, default_perm, false),
            ("SELF_TEST_TOPIC", 1, 6, false),
            ("OFFSET_MOVED_EVENT", 1, 6, false),
            (&*cluster, 16, 7, false),
            (&*broker, 1, 7, false),
            (&*reply, 1, 6, false),
            ("RMQ_SYS_TRACE_TOPIC", 1, 6, false),
            (SCHEDULE_TOPIC, levels.max(1), 6, false),
            (TIMER_TOPIC, 1, 6, false),
            (HALF_TOPIC, 1, 6, false),
            (OPERATION_TOPIC, 1, 6, false),
            (GIVEN_UP_TOPIC, 1, 6, false),
            (STATE_TOPIC, 1, PERM_READ, true),
        ] {
            let (id, _) = self.topics.put(name, TopicSettings::with_queues(queues, perm));
            if let Some(topic) = self.topics.get_mut(id) {
                topic.is_internal = is_internal;
            }
        }
    }

    /// Answers once everything that has changed is remembered.
    pub(super) fn answer_once_remembered(&mut self, receipt: Receipt) {
        self.state.receipts.push(receipt);
    }

    /// Writes down what has changed, if it is urgent or time.
    pub(super) fn remember(&mut self, now: Now, is_time: bool) {
        let is_remembered = self.administered.is_remembered() && !self.timed.has_moved();
        let is_urgent = self.state.is_urgent() || !(self.state.is_lost || is_remembered);
        if !(is_time || is_urgent) {
            return;
        }
        if !self.log.has_disk() {
            let receipts = core::mem::take(&mut self.state.receipts);
            let delays = core::mem::take(&mut self.state.delays);
            self.state = State { delays, ..State::default() };
            self.groups.iter_mut().for_each(|(_, group)| group.changed.clear());
            self.administered.forget_changes();
            self.timed.take_move();
            for Receipt { request, answer } in receipts {
                self.send_prepared(request.session, 0, answer);
            }
            return;
        }
        let mut change = if core::mem::take(&mut self.state.is_lost) {
            self.everything()
        } else {
            self.changes()
        };
        // Receipts come with the last record: nothing is confirmed that is in none.
        while change.offsets.len() == OFFSETS_MAX {
            self.write_change(now, &change, None);
            self.state.expect(self.log.end(), self.stored, &change);
            change = self.changes();
        }
        let mut receipts = core::mem::take(&mut self.state.receipts);
        let has_receipts = !receipts.is_empty();
        if change.is_empty() && !has_receipts {
            return;
        }
        let last = receipts.pop();
        for receipt in receipts {
            self.write_change(now, &Change::default(), Some(receipt));
        }
        self.write_change(now, &change, last);
        self.state.expect(self.log.end(), self.stored, &change);
    }

    /// All that there is, so that older records are not needed any more.
    pub fn remember_everything(&mut self, now: Now) {
        self.state.is_lost = true;
        self.remember(now, true);
    }

    /// What was to be remembered could not be stored.
    pub(super) fn handle_state_lost(&mut self) {
        self.state.is_lost = self.closed_store.is_none();
        self.state.is_hopeful = false;
        self.state.delete_again(self.stored);
    }

    fn write_change(&mut self, now: Now, change: &Change, receipt: Option<Receipt>) {
        let Some(topic) = self.topics.find(STATE_TOPIC) else {
            return;
        };
        let body = serde_json::to_vec(change).unwrap_or_default();
        let draft = Draft {
            flag: 0,
            sys_flag: SysFlag::default(),
            born_ms: now.unix_ms as i64,
            born_host: self.host,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: &body,
            properties: &[],
        };
        let queue = QueueId { topic, queue: 0 };
        if let Some(placed) = self.append(now, queue, &draft) {
            self.confirm(queue, placed, receipt);
        }
    }

    fn changes(&mut self) -> Change {
        let state = core::mem::take(&mut self.state);
        let mut change = Change {
            topics: state.topics.iter().filter_map(|name| self.topic_record(name)).collect(),
            groups: state.groups.iter().filter_map(|name| self.group_record(name)).collect(),
            deleted_topics: state.deleted_topics.iter().map(|name| (**name).into()).collect(),
            deleted_groups: state.deleted_groups.iter().map(|name| (**name).into()).collect(),
            offsets: Vec::new(),
            delays: Vec::new(),
            timed: self.timed.take_move(),
            administered: self.administered_changes(),
        };
        for level in state.changed_delays {
            let offset = state.delays.get(level as usize).map_or(0, |delay| delay.offset);
            change.delays.push(DelayRecord { level, offset });
        }
        self.state.delays = state.delays;
        self.state.unsure = state.unsure;
        self.state.delivered = state.delivered;
        self.state.receipts = state.receipts;
        let topics = &self.topics;
        'groups: for (name, group) in self.groups.iter_mut() {
            while let Some(queue) = group.changed.pop_first() {
                if let (Some(offset), Some(topic)) =
                    (group.offsets.get(&queue), topics.get(queue.topic))
                {
                    change.offsets.push(OffsetRecord {
                        group: name.into(),
                        topic: (*topic.name).into(),
                        queue: queue.queue,
                        offset: *offset,
                        is_reset: group.resets.contains_key(&queue),
                    });
                }
                if change.offsets.len() == OFFSETS_MAX {
                    break 'groups;
                }
            }
        }
        change
    }

    fn everything(&mut self) -> Change {
        let names: Vec<Box<str>> =
            self.topics.iter().map(|(_, topic)| topic.name.clone()).collect();
        let groups: Vec<Box<str>> = self.groups.iter().map(|(name, _)| name.into()).collect();
        let delays = 0..u32::try_from(self.state.delays.len()).unwrap_or(u32::MAX);
        let mut change = Change {
            topics: names.iter().filter_map(|name| self.topic_record(name)).collect(),
            groups: groups.iter().filter_map(|name| self.group_record(name)).collect(),
            delays: delays
                .map(|level| DelayRecord { level, offset: self.state.delay(level) })
                .collect(),
            deleted_topics: self.state.deleted_topics.iter().map(|n| (**n).into()).collect(),
            deleted_groups: self.state.deleted_groups.iter().map(|n| (**n).into()).collect(),
            offsets: Vec::new(),
            timed: Some(self.timed.take_stored()),
            administered: self.everything_administered(),
        };
        for (name, group) in self.groups.iter_mut() {
            group.changed.clear();
            for (queue, offset) in &group.offsets {
                if let Some(topic) = self.topics.get(queue.topic) {
                    change.offsets.push(OffsetRecord {
                        group: name.into(),
                        topic: (*topic.name).into(),
                        queue: queue.queue,
                        offset: *offset,
                        is_reset: group.resets.contains_key(queue),
                    });
                }
            }
        }
        let state = core::mem::take(&mut self.state);
        let State { delays, delivered, unsure, receipts, .. } = state;
        self.state = State { delays, delivered, unsure, receipts, ..State::default() };
        change
    }

    fn topic_record(&self, name: &str) -> Option<TopicRecord> {
        let topic = self.topics.by_name(name)?;
        let settings = &topic.settings;
        Some(TopicRecord {
            name: name.into(),
            read_queues: settings.read_queues,
            write_queues: settings.write_queues,
            perm: settings.perm,
            sys_flag: settings.sys_flag,
            is_ordered: settings.is_ordered,
            filter_type: settings.filter_type.clone(),
            next: topic.queues.iter().map(super::queue::Queue::next).collect(),
        })
    }

    fn group_record(&self, name: &str) -> Option<GroupRecord> {
        let settings = &self.groups.get(name)?.settings;
        Some(GroupRecord {
            name: name.into(),
            is_enabled: settings.is_enabled,
            is_broadcast_enabled: settings.is_broadcast_enabled,
            starts_at_min: settings.starts_at_min,
            retries_max: settings.retries_max,
            retry_queues: settings.retry_queues,
            notifies: settings.notifies,
        })
    }

    /// Deletions come first: what is there, too, was made again afterwards.
    fn apply(&mut self, change: Change) {
        for name in change.deleted_topics {
            if let Some(id) = self.topics.find(&name) {
                self.topics.remove(&name);
                self.forget_offsets(id);
            }
        }
        for name in change.deleted_groups {
            self.groups.remove(&name);
        }
        for topic in change.topics {
            let settings = TopicSettings {
                read_queues: topic.read_queues,
                write_queues: topic.write_queues,
                perm: topic.perm,
                sys_flag: topic.sys_flag,
                is_ordered: topic.is_ordered,
                filter_type: topic.filter_type,
            };
            let is_sane =
                settings.read_queues.max(settings.write_queues) <= self.config.limits.queues_max;
            if is_sane {
                let (id, _) = self.topics.put(&topic.name, settings);
                let queues = self.topics.get_mut(id).map(|topic| &mut topic.queues);
                for (queue, next) in queues.into_iter().flatten().zip(topic.next) {
                    queue.begin_at(next);
                }
            }
        }
        for group in change.groups {
            self.groups.make(&group.name).settings = GroupSettings {
                is_enabled: group.is_enabled,
                is_broadcast_enabled: group.is_broadcast_enabled,
                starts_at_min: group.starts_at_min,
                retries_max: group.retries_max,
                retry_queues: group.retry_queues,
                notifies: group.notifies,
            };
        }
        for offset in change.offsets {
            if let Some(topic) = self.topics.find(&offset.topic) {
                let queue = QueueId { topic, queue: offset.queue };
                let group = self.groups.make(&offset.group);
                group.offsets.insert(queue, offset.offset);
                match offset.is_reset {
                    true => group.resets.insert(queue, offset.offset),
                    false => group.resets.remove(&queue),
                };
            }
        }
        self.apply_administered(change.administered);
        if let Some(through) = change.timed {
            self.timed.pass(through);
        }
        for delay in change.delays.into_iter().filter(|delay| delay.level < 64) {
            self.state.set_delay(delay.level, delay.offset);
        }
    }

    /// Takes a message of the state's topic that was found on disk.
    pub(super) fn recover_state(&mut self, body: &[u8]) {
        if let Ok(change) = serde_json::from_slice(body) {
            self.apply(change);
        }
    }

    /// Nothing is to be remembered but what is known already.
    pub(super) fn begin_remembering(&mut self) {
        let mut delays = core::mem::take(&mut self.state.delays);
        delays.iter_mut().for_each(|delay| delay.stored = delay.offset);
        self.state = State { delays, ..State::default() };
        self.timed.begin();
        self.administered.forget_changes();
    }
}

#[cfg(test)]
mod tests;

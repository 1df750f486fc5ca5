//! What the tasks of one consumer share: its queues, and what it may do.

use core::sync::atomic::AtomicUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use turbopump_core::backing::Backing;
use turbopump_core::random::SplitMix64;
use turbopump_core::rocketmq::consumer::{
    AssignmentCell, Assignments, ConsumeMode, Epoch, LockCell, Locks, Rebalancing, Seen,
    Stage as Taken, Step,
};
use turbopump_core::time::{Clock, Instant};

use super::Store;
use super::checks;
use super::config::ConsumerConfig;
use super::description::Description;
use super::handler::AnyHandler;
use super::queue::OwnedQueue;
use super::ready::Ready;
use super::received::{ReceivedFrom, Restorer};
use super::report::Stopping;
use super::stats::{ConsumeStats, Event};
use super::task;
use crate::backend::Backend;
use crate::bell::Bell;
use crate::client::Inner;
use crate::end::End;
use crate::tasks::kinds;

/// A queue, as members of a group share it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct QueueKey {
    /// Which of the consumer's topics it is of.
    pub(super) topic: usize,
    pub(super) broker: Arc<str>,
    pub(super) queue_id: i32,
}

/// One consumer.
pub(in crate::client) struct Group<B: Backend> {
    pub(super) inner: Arc<Inner<B>>,
    /// As the user has written it.
    pub(super) name: Box<str>,
    pub(super) description: Arc<Description>,
    /// Names of topics, as brokers know them.
    pub(super) wire_topics: Vec<Arc<str>>,
    pub(super) config: Arc<ConsumerConfig>,
    pub(super) store: Option<Arc<dyn Store>>,
    pub(super) handler: Arc<dyn AnyHandler>,
    /// Calls the task that shares queues.
    pub(super) bell: Arc<Bell>,
    pub(super) ready: Ready<OwnedQueue>,
    pub(super) restorer: Restorer,
    pub(super) stats: ConsumeStats,
    /// All of its tasks.
    pub(super) tasks: Arc<End>,
    /// Handlers are not waited for any more.
    pub(super) abandon: Arc<End>,
    pub(super) stopping: Stopping,
    /// Messages that are handled at brokers' wish.
    pub(super) direct: AtomicUsize,
    table: Mutex<Table>,
    /// Ids of messages that are done.
    seen: Mutex<Option<Seen<'static>>>,
    random: Mutex<SplitMix64>,
}

/// Which queues it has.
pub(super) struct Table {
    pub(super) assignments: Assignments<'static, QueueKey>,
    /// By their places; those that were told to be taken.
    pub(super) queues: Vec<Option<Arc<OwnedQueue>>>,
    pub(super) rebalancing: Rebalancing,
    pub(super) locks: Option<Locks<'static>>,
    /// Brokers by their numbers in the locks.
    pub(super) brokers: Vec<Arc<str>>,
    /// The members of the group when queues were shared last, by topic.
    pub(super) members: BTreeMap<usize, Vec<String>>,
    /// Queues that members have who are still there, and when it begins with those of them that
    /// are taken.
    pub(super) late: Vec<QueueKey>,
    pub(super) late_until: Instant,
    /// Queues whose last offset may not be committed.
    pub(super) uncommitted: usize,
}

impl<B: Backend> Group<B> {
    pub(super) fn new(
        inner: Arc<Inner<B>>,
        name: &str,
        description: Arc<Description>,
        config: ConsumerConfig,
        store: Option<Arc<dyn Store>>,
        handler: Arc<dyn AnyHandler>,
    ) -> Self {
        let now = inner.clock.now().at;
        let places = config.queues_max;
        let cells: Backing<'static, AssignmentCell<QueueKey>> =
            (0..places).map(|_| AssignmentCell::FREE).collect();
        let is_ordered = config.mode == ConsumeMode::Ordered;
        let locks = is_ordered.then(|| {
            let cells: Backing<'static, LockCell> =
                (0..places).map(|_| LockCell::default()).collect();
            Locks::new(config.locks, cells)
        });
        let table = Table {
            assignments: Assignments::new(config.give_away, cells),
            queues: Vec::new(),
            rebalancing: Rebalancing::new(config.rebalance, now),
            locks,
            brokers: Vec::new(),
            members: BTreeMap::new(),
            late: Vec::new(),
            late_until: now,
            uncommitted: 0,
        };
        let seen = checks::seen(config.seen_max, inner.backend.random_seed());
        let random = SplitMix64::new(inner.backend.random_seed());
        let topics = description.topics.iter();
        Self {
            name: name.into(),
            wire_topics: topics.map(|topic| Arc::from(&*topic.wire_name)).collect(),
            description,
            restorer: Restorer::new(inner.config.message_bytes_max),
            config: Arc::new(config),
            store,
            handler,
            bell: Arc::default(),
            ready: Ready::default(),
            stats: ConsumeStats::new(),
            tasks: Arc::default(),
            abandon: Arc::default(),
            stopping: Stopping::default(),
            direct: AtomicUsize::new(0),
            table: Mutex::new(table),
            seen: Mutex::new(seen),
            random: Mutex::new(random),
            inner,
        }
    }

    /// Taken before a queue's own lock, never after it.
    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn seen(&self) -> MutexGuard<'_, Option<Seen<'static>>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn random(&self) -> MutexGuard<'_, SplitMix64> {
        self.random.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Instant {
        self.inner.clock.now().at
    }

    pub(super) fn is_broadcasting(&self) -> bool {
        self.config.mode == ConsumeMode::Broadcasting
    }

    /// All queues that it has, those that are being given away included.
    pub(super) fn queues(&self) -> Vec<Arc<OwnedQueue>> {
        self.table().queues.iter().flatten().map(Arc::clone).collect()
    }

    /// Does what has to be done about queues.
    pub(super) fn run_steps(self: &Arc<Self>, table: &mut Table, now: Instant) {
        while let Some(step) = table.assignments.poll_step() {
            match step {
                Step::Take { place, epoch } => self.take(table, now, place, epoch),
                Step::Stop { place, epoch, .. } => match table.queue(place) {
                    Some(queue) => queue.stop(),
                    None => table.assignments.handle_idle(now, place, epoch),
                },
                Step::Commit { place, epoch, .. } => match table.queue(place) {
                    Some(queue) => queue.commit_finally(now),
                    None => table.assignments.handle_committed(now, place, epoch),
                },
                Step::Unlock { place, epoch, .. } => match table.locks.as_mut() {
                    Some(locks) => {
                        locks.give_back(now, place);
                        self.bell.ring();
                    }
                    None => table.assignments.handle_unlocked(now, place, epoch),
                },
                Step::Drop { place, is_uncommitted, .. } => {
                    table.uncommitted += usize::from(is_uncommitted);
                    if let Some(locks) = table.locks.as_mut() {
                        locks.forget(place);
                    }
                    if let Some(queue) = table.queues.get_mut(place).and_then(Option::take) {
                        queue.leave();
                    }
                }
                _ => {}
            }
        }
    }

    fn take(self: &Arc<Self>, table: &mut Table, now: Instant, place: usize, epoch: Epoch) {
        let Some((key, _, _)) = table.assignments.get(place) else { return };
        let key = key.clone();
        let Some(topic) = self.description.topics.get(key.topic) else { return };
        let Some(wire_topic) = self.wire_topics.get(key.topic) else { return };
        let bell: Arc<Bell> = Arc::default();
        // Without a place nothing is pulled; the next time that queues are shared changes nothing
        // about that, so that it shows in the numbers.
        let Some(flow) = self.inner.flow.enter(&bell) else {
            self.stats.count(Event::PullFailed);
            return;
        };
        let namespace = self.inner.config.namespace.as_deref().map(Arc::from);
        let from = ReceivedFrom {
            topic: Arc::clone(&topic.name),
            broker: Arc::clone(&key.broker),
            queue_id: key.queue_id,
            namespace,
            is_retry: topic.is_retry,
        };
        let (from, wire_topic) = (Arc::new(from), Arc::clone(wire_topic));
        let (topic, config) = (key.topic, &self.config);
        let begin = if table.late.contains(&key) { table.late_until.max(now) } else { now };
        let queue =
            OwnedQueue::new(from, wire_topic, topic, place, epoch, bell, flow, config, begin);
        let queue = Arc::new(queue);
        if table.queues.len() <= place {
            table.queues.resize(place + 1, None);
        }
        if let Some(there) = table.queues.get_mut(place) {
            *there = Some(Arc::clone(&queue));
        }
        let broker = table.broker_number(&key.broker);
        if let Some(locks) = table.locks.as_mut() {
            // The place is free, so that its lock is, too.
            let _ = locks.hold(now, place, broker);
            self.bell.ring();
        }
        let task = task::run(Arc::clone(self), queue, self.tasks.enter());
        kinds::CONSUMER_QUEUE.spawn(&self.inner.backend, task);
    }

    /// No handler runs for a queue that is given away.
    pub(super) fn handle_idle(self: &Arc<Self>, queue: &OwnedQueue) {
        self.change(|table, now| table.assignments.handle_idle(now, queue.place, queue.epoch()));
    }

    /// The offset of a queue that is given away is committed, or there is none.
    pub(super) fn handle_committed(self: &Arc<Self>, queue: &OwnedQueue) {
        let change = |table: &mut Table, now| {
            table.assignments.handle_committed(now, queue.place, queue.epoch());
        };
        self.change(change);
    }

    fn change(self: &Arc<Self>, change: impl FnOnce(&mut Table, Instant)) {
        let now = self.now();
        let mut table = self.table();
        change(&mut table, now);
        self.run_steps(&mut table, now);
        drop(table);
        self.bell.ring();
    }

    /// A queue goes on at another offset, unless it is given away or has a newer epoch.
    pub(super) fn restart(&self, queue: &OwnedQueue, epoch: Epoch, offset: i64) {
        let now = self.now();
        let mut table = self.table();
        if let Some(epoch) = table.assignments.renew(queue.place, epoch) {
            self.stats.count(Event::Moved);
            queue.restart(now, epoch, offset);
        }
    }

    /// Members or queues may have changed.
    pub(super) fn request_rebalance(&self) {
        self.table().rebalancing.request(self.now());
        self.bell.ring();
    }
}

impl Table {
    pub(super) fn queue(&self, place: usize) -> Option<&Arc<OwnedQueue>> {
        self.queues.get(place)?.as_ref()
    }

    /// Whether no queue is left, in whichever state.
    pub(super) fn is_empty(&self) -> bool {
        let stages = [Taken::Owned, Taken::Stopping, Taken::Committing, Taken::Unlocking];
        let has = |stage| self.assignments.places(stage).next().is_some();
        !stages.into_iter().chain([Taken::Left, Taken::Lingering]).any(has)
    }

    fn broker_number(&mut self, name: &Arc<str>) -> u32 {
        let known = self.brokers.iter().position(|broker| broker == name);
        let number = known.unwrap_or_else(|| {
            self.brokers.push(Arc::clone(name));
            self.brokers.len() - 1
        });
        u32::try_from(number).unwrap_or(u32::MAX)
    }
}

//! The task of a consumer: shares queues with the other members of its group, and ends it.

use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::sync::atomic::Ordering;
use core::task::Poll;
use core::time::Duration;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use turbopump_core::rocketmq::consumer::{ConsumeMode, allocate};
use turbopump_core::rocketmq::wire::rebalance::{Queue, RingPoint};
use turbopump_core::time::Instant;

use super::group::{Group, QueueKey};
use super::report::{ConsumerReport, Deadlines};
use super::stats::Event;
use crate::backend::Backend;
use crate::client::peers::Peer;
use crate::client::routes::Route;
use crate::end::Ticket;

type Sharing = Pin<Box<dyn Future<Output = bool> + Send>>;

/// Runs until the consumer is told to end.
pub(super) async fn run<B: Backend>(group: Arc<Group<B>>, ticket: Ticket) {
    let _ticket = ticket;
    let mut sharing: Option<Sharing> = None;
    while group.stopping.deadlines().is_none() {
        let at = group.tend(&mut sharing);
        if let Some(is_done) = wait(&group, &mut sharing, at).await {
            sharing = None;
            group.handle_shared(is_done);
        }
    }
    drop(sharing);
    end(&group).await;
}

/// How sharing came out; `None` where there is something else to be done.
async fn wait<B: Backend>(
    group: &Group<B>,
    sharing: &mut Option<Sharing>,
    at: Option<Instant>,
) -> Option<bool> {
    let at = at.and_then(|at| group.inner.clock.system_instant(at));
    let mut called = pin!(group.bell.rung_or_at(&group.inner.backend, at));
    poll_fn(|cx| {
        if let Some(sharing) = sharing
            && let Poll::Ready(is_done) = sharing.as_mut().poll(cx)
        {
            return Poll::Ready(Some(is_done));
        }
        called.as_mut().poll(cx).map(|_| None)
    })
    .await
}

/// Gives all queues away, and says goodbye.
async fn end<B: Backend>(group: &Arc<Group<B>>) {
    group.ready.end();
    group.table().assignments.give_all_away(group.now());
    let mut nothing = None;
    while let Some(at) = group.tend_end() {
        wait(group, &mut nothing, Some(at)).await;
    }
    let report = group.close();
    group.inner.groups.consume_no_more(&group.description.group);
    let until = group.stopping.deadlines().map(|deadlines| deadlines.all);
    if let Some(until) = until.and_then(|until| group.inner.clock.system_instant(until)) {
        group.inner.leave_group(&group.description.group, until).await;
    }
    group.stopping.end(report);
}

impl<B: Backend> Group<B> {
    /// Does what is due; returns when something is due next.
    fn tend(self: &Arc<Self>, sharing: &mut Option<Sharing>) -> Option<Instant> {
        let now = self.now();
        let mut table = self.table();
        table.assignments.handle_timeout(now);
        self.run_steps(&mut table, now);
        self.tend_locks(&mut table, now);
        if sharing.is_none() && table.rebalancing.begin(now) {
            let group = Arc::clone(self);
            *sharing = Some(Box::pin(async move { group.share_all().await }));
        }
        let locks = table.locks.as_ref().and_then(|locks| locks.poll_timeout());
        let (steps, next) = (table.assignments.poll_timeout(), table.rebalancing.poll_timeout());
        [steps, next, locks].into_iter().flatten().min()
    }

    /// Does what is due at the end; returns when something is due next, unless it is over.
    fn tend_end(self: &Arc<Self>) -> Option<Instant> {
        let Deadlines { handlers, all } = self.stopping.deadlines()?;
        let now = self.now();
        if handlers <= now {
            self.abandon.call();
        }
        let mut table = self.table();
        table.assignments.handle_timeout(now);
        self.run_steps(&mut table, now);
        self.tend_locks(&mut table, now);
        if table.is_empty() || all <= now {
            return None;
        }
        let at = if handlers <= now { all } else { handlers };
        let locks_at = table.locks.as_ref().and_then(|locks| locks.poll_timeout());
        let steps_at = table.assignments.poll_timeout();
        [Some(at), locks_at, steps_at].into_iter().flatten().min()
    }

    fn handle_shared(&self, is_done: bool) {
        let now = self.now();
        let mut table = self.table();
        if is_done {
            table.rebalancing.handle_done(now);
            self.stats.count(Event::Rebalanced);
        } else {
            table.rebalancing.handle_failed(now, &mut self.random());
            self.stats.count(Event::RebalanceFailed);
        }
    }

    /// What is left is given up.
    pub(super) fn close(&self) -> ConsumerReport {
        self.abandon.call();
        self.handler.end_any();
        let mut table = self.table();
        let is_empty = table.is_empty();
        let queues: Vec<_> = table.queues.iter_mut().filter_map(Option::take).collect();
        let mut uncommitted = table.uncommitted;
        drop(table);
        for queue in &queues {
            uncommitted += usize::from(!queue.is_committed());
            queue.leave();
        }
        let abandoned = self.stats.abandoned.load(Ordering::Relaxed);
        let completed = self.stats.completed.load(Ordering::Relaxed);
        ConsumerReport {
            completed: self.stopping.completed_since(completed),
            abandoned,
            uncommitted,
            in_time: is_empty && abandoned == 0,
        }
    }

    /// Shares the queues of all topics; false where that could not be done for one of them.
    async fn share_all(self: &Arc<Self>) -> bool {
        let mut is_done = true;
        // The retry topic is the last: brokers make it when they hear of the group.
        for topic in 0..self.wire_topics.len() {
            is_done &= self.share(topic).await;
        }
        is_done
    }

    async fn share(self: &Arc<Self>, topic: usize) -> bool {
        let Some(name) = self.wire_topics.get(topic) else { return true };
        let until = self.now().plus_us(us(self.config.ask_timeout));
        let Ok(route) = self.inner.route_to_read(name, until).await else { return false };
        let peers = self.introduce_to_all(&route, until).await;
        if peers.is_empty() {
            return false;
        }
        let own = &*self.inner.client_id;
        let members = match self.is_broadcasting() {
            true => Vec::from([String::from(own)]),
            false => match self.members(&peers).await {
                Some(members) => members,
                None => return false,
            },
        };
        if members.binary_search_by(|member| (**member).cmp(own)).is_err() {
            // They have forgotten this one.
            peers.iter().for_each(|peer| peer.has_forgotten());
        }
        if topic == 0
            && members.len() > 1
            && let Some(peer) = peers.first()
        {
            self.compare_subscriptions(peer).await;
        }
        self.apply(topic, &route, &members)
    }

    /// Brokers of a topic that have heard of this consumer, all asked at once.
    async fn introduce_to_all(&self, route: &Route<B>, until: Instant) -> Vec<Arc<Peer<B>>> {
        let Some(until) = self.inner.clock.system_instant(until) else { return Vec::new() };
        let mut peers: Vec<Arc<Peer<B>>> = Vec::new();
        for peer in route.readable().filter_map(|(broker, _)| broker.peer.as_ref()) {
            if !peers.iter().any(|known| Arc::ptr_eq(known, peer)) {
                peers.push(Arc::clone(peer));
            }
        }
        let mut asking: Vec<_> =
            peers.iter().map(|peer| (peer, Box::pin(self.inner.introduce(peer, until)))).collect();
        let mut heard = Vec::new();
        poll_fn(|cx| {
            asking.retain_mut(|(peer, introducing)| match introducing.as_mut().poll(cx) {
                Poll::Pending => true,
                Poll::Ready(has_heard) => {
                    if has_heard {
                        heard.push(Arc::clone(peer));
                    }
                    false
                }
            });
            if asking.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        drop(asking);
        heard
    }

    /// Takes its share of a topic's queues; false where it can't be said which that is.
    fn apply(self: &Arc<Self>, topic: usize, route: &Route<B>, members: &[String]) -> bool {
        let mut queues: Vec<Queue<'_>> = route
            .readable()
            .map(|(broker, queue_id)| Queue { broker_name: &broker.name, queue_id })
            .collect();
        queues.sort_unstable();
        queues.dedup();
        let wanted = match self.is_broadcasting() {
            true => (0..queues.len()).collect(),
            false => match self.share_of(topic, &queues, members, &self.inner.client_id) {
                Some(wanted) => wanted,
                None => return false,
            },
        };
        let keys = keys_of(topic, &queues, wanted);
        let now = self.now();
        let mut table = self.table();
        if self.config.mode == ConsumeMode::Concurrent {
            let before = table.members.insert(topic, members.to_vec());
            let late = self.had_by_others(topic, &queues, before.unwrap_or_default(), members);
            table.late = keys_of(topic, &queues, late);
            table.late_until = now.plus_us(us(self.config.take_delay));
        }
        let applied = table.assignments.apply(now, &keys, |key| key.topic == topic);
        self.run_steps(&mut table, now);
        applied.is_ok()
    }

    /// Queues that other members had before, who are still there: they may not have committed what
    /// they have handled. Where nobody knows what was before, these are all.
    fn had_by_others(
        &self,
        topic: usize,
        queues: &[Queue<'_>],
        before: Vec<String>,
        members: &[String],
    ) -> Vec<usize> {
        let own = &*self.inner.client_id;
        if before.is_empty() {
            let is_alone = members.iter().all(|member| **member == *own);
            return if is_alone { Vec::new() } else { (0..queues.len()).collect() };
        }
        if before == members {
            return Vec::new();
        }
        let living = before.iter().filter(|member| ***member != *own && members.contains(member));
        let shares = living.filter_map(|member| self.share_of(topic, queues, &before, member));
        shares.flatten().collect()
    }

    fn share_of(
        &self,
        topic: usize,
        queues: &[Queue<'_>],
        members: &[String],
        member: &str,
    ) -> Option<Vec<usize>> {
        let members: Vec<&str> = members.iter().map(String::as_str).collect();
        let strategy = self.config.strategy;
        let mut memory = Vec::new();
        memory.resize(strategy.points(members.len()), RingPoint::default());
        let mut wanted = Vec::new();
        let name = self.wire_topics.get(topic)?;
        let take = |place| wanted.push(place);
        allocate(strategy, name, queues, &members, member, &mut memory, take).ok()?;
        Some(wanted)
    }
}

fn us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn keys_of(topic: usize, queues: &[Queue<'_>], places: Vec<usize>) -> Vec<QueueKey> {
    let queues = places.into_iter().filter_map(|place| queues.get(place));
    let key = |queue: &Queue<'_>| QueueKey {
        topic,
        broker: queue.broker_name.into(),
        queue_id: queue.queue_id,
    };
    queues.map(key).collect()
}

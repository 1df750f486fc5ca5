//! Locks of ordered queues: asked for, renewed and given back as the core's machine says.

use alloc::sync::Arc;
use alloc::vec::Vec;

use turbopump_core::rocketmq::consumer::{LockChange, LockKind, LockRequest};
use turbopump_core::rocketmq::wire::body::{
    Body, LockBatchRequestBody, LockBatchResponseBody, MessageQueue, UnlockBatchRequestBody,
};
use turbopump_core::rocketmq::wire::header::{request_code, response_code};
use turbopump_core::rocketmq::wire::json::{Dialect, Text};
use turbopump_core::time::Instant;

use super::group::{Group, QueueKey, Table};
use crate::backend::Backend;
use crate::client::keeper::json;
use crate::rocketmq::Answer;
use crate::tasks::kinds;

/// Queues of one broker, by their places.
type Locked = Vec<(usize, QueueKey)>;

impl<B: Backend> Group<B> {
    /// Asks for locks that are due, and follows what has changed about them.
    pub(super) fn tend_locks(self: &Arc<Self>, table: &mut Table, now: Instant) {
        let Some(locks) = table.locks.as_mut() else { return };
        locks.handle_timeout(now, &mut self.random());
        while let Some(request) = locks.poll_request(now) {
            let keys = locks.queues_of(request.number).filter_map(|place| {
                let (key, _, _) = table.assignments.get(place)?;
                Some((place, key.clone()))
            });
            let (keys, group): (Locked, _) = (keys.collect(), Arc::clone(self));
            let ticket = self.tasks.enter();
            kinds::CONSUMER_LOCK.spawn(&self.inner.backend, async move {
                let _ticket = ticket;
                let answer = group.ask_for_locks(&request, &keys).await;
                group.handle_locks(&request, answer.as_deref());
            });
        }
        while let Some(change) = table.locks.as_mut().and_then(|locks| locks.poll_change(now)) {
            self.follow_lock(table, now, change);
        }
    }

    fn follow_lock(self: &Arc<Self>, table: &mut Table, now: Instant, change: LockChange) {
        match change {
            LockChange::Gained { queue: place } => {
                let queue = table.queue(place).cloned();
                // It begins anew, at what whoever had it before has committed.
                if let Some(queue) = queue {
                    queue.unlock(now);
                }
            }
            LockChange::Lost { queue: place } => {
                let Some(queue) = table.queue(place).cloned() else { return };
                let epoch = queue.epoch();
                // Where it is given away its epoch stays, and nothing is committed either.
                let renewed = table.assignments.renew(place, epoch);
                queue.lose_lock(renewed.unwrap_or(epoch));
            }
            LockChange::Freed { queue: place } => {
                let epoch = table.assignments.get(place).map(|(_, epoch, _)| epoch);
                if let Some(epoch) = epoch {
                    table.assignments.handle_unlocked(now, place, epoch);
                    self.run_steps(table, now);
                }
            }
            _ => {}
        }
    }

    /// The places of queues that the broker names; `None` for no answer.
    async fn ask_for_locks(&self, request: &LockRequest, keys: &Locked) -> Option<Vec<usize>> {
        let (_, first) = keys.first()?;
        let topic = self.wire_topics.get(first.topic)?;
        let peer = self.inner.routes.broker(topic, &first.broker)?;
        let until = self.inner.clock.system_instant(request.until)?;
        // A broker that does not know the group may give the lock to somebody it forgets.
        if request.kind == LockKind::Lock && !self.inner.introduce(&peer, until).await {
            return None;
        }
        let queues: Vec<MessageQueue<'_>> =
            keys.iter().filter_map(|(_, key)| self.wire_queue(key)).collect();
        let (client_id, group) = (&*self.inner.client_id, &*self.description.group);
        let (code, body) = match request.kind {
            LockKind::Unlock => {
                let body = UnlockBatchRequestBody {
                    client_id: Text::plain(client_id),
                    consumer_group: Text::plain(group),
                    mq_set: queues.as_slice().into(),
                    only_this_broker: false,
                };
                (request_code::UNLOCK_BATCH_MQ, json(&body, Dialect::Fastjson)?)
            }
            _ => {
                let body = LockBatchRequestBody {
                    client_id: Text::plain(client_id),
                    consumer_group: Text::plain(group),
                    mq_set: queues.as_slice().into(),
                    only_this_broker: false,
                };
                (request_code::LOCK_BATCH_MQ, json(&body, Dialect::Fastjson)?)
            }
        };
        let fields: &[(&str, &str)] = &[];
        let answer = peer.ask(code, fields, &body, self.left(request.until)).await.ok()?;
        self.read_locked(&answer, keys, request.kind)
    }

    fn wire_queue<'k>(&'k self, key: &'k QueueKey) -> Option<MessageQueue<'k>> {
        let topic = self.wire_topics.get(key.topic)?;
        Some(MessageQueue {
            broker_name: Text::plain(&key.broker),
            queue_id: key.queue_id,
            topic: Text::plain(topic),
        })
    }

    fn read_locked(&self, answer: &Answer, keys: &Locked, kind: LockKind) -> Option<Vec<usize>> {
        let frame = answer.frame().ok()?;
        if frame.header.code != response_code::SUCCESS {
            return None;
        }
        if kind == LockKind::Unlock {
            return Some(Vec::new());
        }
        let body = LockBatchResponseBody::decode(frame.body).ok()?;
        let mut places = Vec::new();
        for queue in body.lock_ok_mq_set.iter() {
            let queue = queue.ok()?;
            let found = keys.iter().find(|(_, key)| self.wire_queue(key) == Some(queue));
            places.extend(found.map(|(place, _)| *place));
        }
        Some(places)
    }

    fn handle_locks(self: &Arc<Self>, request: &LockRequest, locked: Option<&[usize]>) {
        let now = self.now();
        let mut table = self.table();
        if let Some(locks) = table.locks.as_mut() {
            let random = &mut self.random();
            match locked {
                Some(places) => {
                    let is_locked = |place| places.contains(&place);
                    locks.handle_answer(now, request.number, is_locked, random);
                }
                None => locks.handle_failed(now, request.number, random),
            }
        }
        self.tend_locks(&mut table, now);
        drop(table);
        self.bell.ring();
    }
}

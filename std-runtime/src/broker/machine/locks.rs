//! Queues that belong to one consumer alone, for a while.
//!
//! Decides who has which queue. Whoever leaves the group is left to `clients`, which frees what it
//! had. There is at most one lock for each queue that there is.

use alloc::boxed::Box;
use alloc::vec::Vec;

use turbopump_core::rocketmq::wire::body::{
    Body, LockBatchRequestBody, LockBatchResponseBody, MessageQueue, UnlockBatchRequestBody,
};
use turbopump_core::rocketmq::wire::frame::Frame;
use turbopump_core::rocketmq::wire::header::{Absent, response_code};
use turbopump_core::rocketmq::wire::json::Dialect;
use turbopump_core::time::Now;

use super::Broker;
use super::answer::{Outcome, plain};
use super::clients::check_client_id;
use super::groups::Lock;
use super::sessions::Request;
use crate::broker::answers::json;

/// A lock that is not renewed is free after this time, in microseconds.
const LOCK_US: u64 = 60_000_000;

impl Broker {
    /// Request 41: answers which of the queues the client has now.
    pub(super) fn handle_lock(&mut self, now: Now, request: Request, frame: &Frame<'_>) -> Outcome {
        let body = LockBatchRequestBody::decode(frame.body)?;
        let (name, client_id) = (plain(body.consumer_group), plain(body.client_id));
        check_client_id(&client_id)?;
        if self.groups.get(&name).is_none() {
            self.create_group(&name)?;
        }
        let mut locked: Vec<MessageQueue<'_>> = Vec::new();
        for queue in body.mq_set.iter() {
            let queue = queue?;
            let Ok(id) = self.queue_of(queue.topic, queue.queue_id) else {
                continue;
            };
            let Some(group) = self.groups.get_mut(&name) else {
                continue;
            };
            let is_free = group
                .locks
                .get(&id)
                .is_none_or(|lock| lock.until <= now.at || *lock.client_id == *client_id);
            if is_free {
                let client_id: Box<str> = (*client_id).into();
                group.locks.insert(id, Lock { client_id, until: now.at.plus_us(LOCK_US) });
                locked.push(queue);
            }
        }
        let body = LockBatchResponseBody { lock_ok_mq_set: (&*locked).into() };
        let body = json(&body, Dialect::Strict);
        self.answer_with(request, response_code::SUCCESS, None, &Absent, &body);
        Ok(())
    }

    /// Request 42.
    pub(super) fn handle_unlock(&mut self, request: Request, frame: &Frame<'_>) -> Outcome {
        let body = UnlockBatchRequestBody::decode(frame.body)?;
        let (name, client_id) = (plain(body.consumer_group), plain(body.client_id));
        for queue in body.mq_set.iter() {
            let queue = queue?;
            if let Ok(id) = self.queue_of(queue.topic, queue.queue_id)
                && let Some(group) = self.groups.get_mut(&name)
                && group.locks.get(&id).is_some_and(|lock| *lock.client_id == *client_id)
            {
                group.locks.remove(&id);
            }
        }
        self.answer(request, response_code::SUCCESS, None);
        Ok(())
    }

    /// Whether any member of the group holds a queue for itself.
    pub(super) fn has_locks(&self, now: Now, group: &str) -> bool {
        let group = self.groups.get(group);
        group.is_some_and(|group| group.locks.values().any(|lock| lock.until > now.at))
    }
}

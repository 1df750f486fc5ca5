//! Heartbeats: brokers learn which groups a client has, and the client whether brokers are there.
//!
//! One task for each client. It sleeps until a heartbeat is due, a group is new, a connection was
//! made, or name servers are to be looked for; it ends with the client.

use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::Poll;
use core::time::Duration;
use std::time::Instant;

use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use alloc::vec;
use alloc::vec::Vec;

use turbopump_core::rocketmq::wire::body::{Body, HeartbeatData, ProducerData};
use turbopump_core::rocketmq::wire::command::UnregisterClientRequestHeader;
use turbopump_core::rocketmq::wire::header::{request_code, response_code};
use turbopump_core::rocketmq::wire::json::{Dialect, Text};

use super::Inner;
use super::peers::Peer;
use crate::backend::Backend;
use crate::bell::{Bell, Rung};
use crate::tasks::kinds;

/// A broker has to answer a heartbeat within this time.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// The longest body of a request that is not a message's.
const BODY_BYTES_MAX: usize = 16 << 20;
/// However often they are sent.
const ANSWER_WITHIN_LEAST: Duration = Duration::from_secs(1);

/// Runs the task.
pub(super) fn start<B: Backend>(inner: &Arc<Inner<B>>) {
    let (weak, bell) = (Arc::downgrade(inner), Arc::clone(&inner.groups.bell));
    let backend = inner.backend.clone();
    kinds::CLIENT_KEEPER.spawn(&inner.backend, keep(weak, backend, bell));
}

async fn keep<B: Backend>(inner: Weak<Inner<B>>, backend: B, bell: Arc<Bell>) {
    let mut at = None;
    loop {
        if bell.rung_or_at(&backend, at).await == Rung::Over {
            return;
        }
        let Some(inner) = inner.upgrade() else { return };
        let (beat, look) = (inner.beat_all(), inner.look_where_due());
        at = beat.into_iter().chain(look).min();
    }
}

type Beating<'b> = Pin<Box<dyn Future<Output = ()> + Send + 'b>>;

impl<B: Backend> Inner<B> {
    /// Brokers that are known of.
    pub(super) fn brokers(&self) -> Vec<Arc<Peer<B>>> {
        let mut brokers: Vec<Arc<Peer<B>>> = Vec::new();
        for peer in self.routes.brokers() {
            if !brokers.iter().any(|known| Arc::ptr_eq(known, &peer)) {
                brokers.push(peer);
            }
        }
        brokers
    }

    /// Sends the heartbeats that are due, each by a task of its own, so that a silent broker
    /// holds up nobody; returns when the next one is due. None is while there is no group.
    fn beat_all(self: &Arc<Self>) -> Option<Instant> {
        let tokens = self.groups.tokens();
        if tokens.is_empty() || self.closing.is_over() {
            return None;
        }
        let (now, every) = (self.backend.now(), self.config.heartbeat_interval);
        let names: Arc<[Box<str>]> = tokens.into();
        let within = ANSWER_WITHIN.min(every.max(ANSWER_WITHIN_LEAST));
        let brokers = self.brokers();
        for peer in brokers.iter().filter(|peer| peer.begin_beat(now, every, &names)) {
            let (peer, weak) = (Arc::clone(peer), Arc::downgrade(self));
            let bell = Arc::clone(&self.groups.bell);
            kinds::CLIENT_HEARTBEAT.spawn(&self.backend, async move {
                // As late as can be: what is older than what somebody else has said meanwhile would
                // take groups back that are new.
                let fresh = weak.upgrade().and_then(|inner| {
                    let names: Arc<[Box<str>]> = inner.groups.tokens().into();
                    Some((names, inner.heartbeat()?))
                });
                match fresh {
                    Some((names, body)) => peer.beat(&body, names, within).await,
                    None => peer.note_missed(now),
                }
                drop(peer);
                // The next one is due at another time now.
                bell.ring();
            });
        }
        let next = brokers.iter().filter_map(|peer| peer.next_beat(every)).min();
        // A broker that is away is asked again then, too.
        Some(next.unwrap_or(now + every).max(self.backend.now() + Duration::from_millis(100)))
    }

    fn heartbeat(&self) -> Option<Vec<u8>> {
        let (groups, consumers) = (self.groups.names(), self.groups.descriptions());
        let names = groups.iter().map(|group| ProducerData { group_name: Text::plain(group) });
        let producers: Vec<ProducerData<'_>> = names.collect();
        let tags: Vec<_> = consumers.iter().map(|consumer| consumer.tags()).collect();
        let subscriptions: Vec<_> = consumers
            .iter()
            .zip(&tags)
            .map(|(consumer, tags)| consumer.subscriptions(tags))
            .collect();
        let consumers: Vec<_> = consumers
            .iter()
            .zip(&subscriptions)
            .map(|(consumer, subscriptions)| consumer.data(subscriptions))
            .collect();
        let heartbeat = HeartbeatData {
            client_id: Text::plain(&self.client_id),
            consumer_data_set: consumers.as_slice().into(),
            heartbeat_fingerprint: 0,
            producer_data_set: producers.as_slice().into(),
            without_sub: false,
        };
        json(&heartbeat, Dialect::Strict)
    }

    /// Has a broker hear of all groups of this client by `until`, unless it has; whether it has
    /// then. What a consumer asks makes sense to those only that have.
    pub(super) async fn introduce(&self, peer: &Arc<Peer<B>>, until: Instant) -> bool {
        let names: Arc<[Box<str>]> = self.groups.tokens().into();
        if peer.has_heard(&names) {
            return true;
        }
        let Some(body) = self.heartbeat() else { return false };
        let left = until.saturating_duration_since(self.backend.now()).min(ANSWER_WITHIN);
        peer.beat(&body, Arc::clone(&names), left).await;
        peer.has_heard(&names)
    }

    /// A consumer is gone: brokers that there is a connection to give its queues to others at
    /// once; by `until`.
    pub(super) async fn leave_group(&self, group: &str, until: Instant) {
        let brokers = self.brokers();
        let mut asking: Vec<Beating<'_>> = Vec::new();
        for broker in brokers.iter().filter(|peer| peer.is_connected()) {
            asking.push(Box::pin(async move {
                let header = UnregisterClientRequestHeader {
                    client_id: Text::plain(&self.client_id),
                    consumer_group: Some(Text::plain(group)),
                    ..UnregisterClientRequestHeader::default()
                };
                let left = until.saturating_duration_since(self.backend.now());
                let left = left.min(ANSWER_WITHIN);
                // Brokers find out by the connection's end, or by heartbeats without the group.
                let _ = broker.ask(request_code::UNREGISTER_CLIENT, &header, b"", left).await;
            }));
        }
        join(asking).await;
    }

    /// Says farewell to brokers that there is a connection to, by `until`.
    pub(super) async fn unregister(&self, until: Instant) {
        let groups = self.groups.names();
        let brokers: Vec<_> =
            self.brokers().into_iter().filter(|peer| peer.is_connected()).collect();
        let mut asking: Vec<Beating<'_>> = Vec::new();
        for broker in &brokers {
            for group in &groups {
                asking.push(Box::pin(async move {
                    let header = UnregisterClientRequestHeader {
                        client_id: Text::plain(&self.client_id),
                        producer_group: Some(Text::plain(group)),
                        ..UnregisterClientRequestHeader::default()
                    };
                    let left = until.saturating_duration_since(self.backend.now());
                    let left = left.min(ANSWER_WITHIN);
                    // Brokers find out by themselves, later.
                    let _ = broker.ask(request_code::UNREGISTER_CLIENT, &header, b"", left).await;
                }));
            }
        }
        join(asking).await;
    }
}

impl<B: Backend> Peer<B> {
    async fn beat(&self, body: &[u8], names: Arc<[Box<str>]>, within: Duration) {
        let fields: &[(&str, &str)] = &[];
        let begin = self.backend.now();
        let asked = self.ask(request_code::HEART_BEAT, fields, body, within).await;
        let is_welcome = asked.is_ok_and(|answer| {
            answer.frame().is_ok_and(|frame| frame.header.code == response_code::SUCCESS)
        });
        // A broker that refuses it has not noted the groups.
        if is_welcome { self.note_beat(begin, names) } else { self.note_missed(begin) }
    }
}

/// A body as JSON. Names may be written longer than they are, so that its length is found by
/// trying.
pub(super) fn json<'a>(body: &impl Body<'a>, dialect: Dialect) -> Option<Vec<u8>> {
    let mut bytes = vec![0; 1_024];
    loop {
        match body.encode(dialect, &mut bytes) {
            Ok(len) => {
                bytes.truncate(len);
                return Some(bytes);
            }
            Err(_) if bytes.len() >= BODY_BYTES_MAX => return None,
            Err(_) => bytes.resize(bytes.len() * 4, 0),
        }
    }
}

/// Ends when all have.
async fn join(mut futures: Vec<Beating<'_>>) {
    poll_fn(|cx| {
        futures.retain_mut(|future| future.as_mut().poll(cx).is_pending());
        if futures.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

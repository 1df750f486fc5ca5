//! Sending: one message or many, awaited, by callback or without an answer.

use core::fmt;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use turbopump_core::rocketmq::client::place_of_key;
use turbopump_core::rocketmq::wire::properties::keys;
use turbopump_core::time::{Clock, Instant};

use super::Inner;
use super::budget::{NoPermit, Permit};
use super::completion::{Acknowledgement, Completion, Outcome};
use super::error::{SendError, SendErrorKind};
use super::ids::ID_BYTES;
use super::lanes::{Lanes, Pending};
use super::message::{Message, OutgoingMessage};
use super::outgoing::{MessageQueue, Target};
use super::planted::PlantedBug;
use super::receipt::{BatchReceipt, SendReceipt};
use super::routes::{NoRoute, Route};
use super::send_stats::ProducerStats;
use super::sending::Core;
use super::settings::ProducerConfig;
use super::spans::RequestSpan;
use crate::backend::Backend;
use crate::batch::{BatchStats, InvalidSettings};
use crate::tasks::kinds;

/// Sends messages in the name of a group: a cheap handle.
///
/// Whatever is sent counts against what its client may have under way. Where there is no room,
/// methods that wait do so in the order in which they were called, and
/// [`try_send`](Self::try_send) refuses.
pub struct Producer<B: Backend> {
    core: Arc<Core<B>>,
    lanes: Option<Arc<Lanes<B>>>,
}

/// A message that there was no room for.
#[derive(Debug)]
pub struct TrySendError {
    /// The message.
    pub message: OutgoingMessage,
    /// Why.
    pub error: SendError,
}

impl fmt::Display for TrySendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl core::error::Error for TrySendError {}

/// How a message goes on once it may.
enum Way<B: Backend> {
    /// With others.
    Lane(crate::batch::BatchSender<Pending<B>, B>),
    /// By itself.
    Alone,
}

impl<B: Backend> Producer<B> {
    pub(super) fn new(
        inner: Arc<Inner<B>>,
        group: &str,
        config: ProducerConfig,
    ) -> Result<Self, InvalidSettings> {
        let waiting_max = inner.config.in_flight_messages_max;
        let lanes = match config.batching {
            None => None,
            Some(batching) => {
                Lanes::<B>::check(&batching, waiting_max)?;
                Some(Arc::new(Lanes::new(inner.backend.clone(), batching, waiting_max)))
            }
        };
        if let Some(lanes) = &lanes {
            inner.register(lanes);
        }
        Ok(Self { core: Arc::new(Core::new(inner, group, config)), lanes })
    }

    /// Its group.
    #[must_use]
    pub fn group(&self) -> &str {
        &self.core.group
    }

    /// How it is set.
    #[must_use]
    pub fn config(&self) -> &ProducerConfig {
        &self.core.config
    }

    /// Sends a message; ready once a broker has taken it. It is sent again, to other brokers where
    /// there are some, within the time of [`ClientConfig::send`](super::ClientConfig::send), in
    /// which waiting for room counts.
    ///
    /// # Errors
    ///
    /// [`SendError`] says why, how often it was tried, whether trying again makes sense, and
    /// whether the message may be there all the same.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the attempts, or, where messages are put together, the waiting; the
    /// message may have been sent.
    pub async fn send(
        &self,
        message: impl Into<OutgoingMessage>,
    ) -> Result<SendReceipt, SendError> {
        self.send_for(message.into(), None, self.core.deadline()).await
    }

    /// As [`send`](Self::send), always to the same queue for the same key, as long as the topic has
    /// as many queues: messages of one key that are sent one after the other stay in order. Queues
    /// are chosen as by Java's `SelectMessageQueueByHash`, and no other one is tried.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// As [`send`](Self::send).
    pub async fn send_ordered(
        &self,
        message: impl Into<OutgoingMessage>,
        sharding_key: &str,
    ) -> Result<SendReceipt, SendError> {
        let mut message = message.into();
        message.set_property(keys::SHARDING_KEY, sharding_key);
        if self.lanes.is_none() {
            return self.send_alone(message, Target::Key(sharding_key)).await;
        }
        // Looking for the route counts.
        let deadline = self.core.deadline();
        let route = self.route(message.topic(), deadline).await?;
        let place = place_of_key(sharding_key, route.queues.len());
        let queue = place.and_then(|place| route.message_queue(place));
        self.send_for(message, queue, deadline).await
    }

    /// As [`send`](Self::send), to one queue and no other.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send); [`SendErrorKind::NoRoute`] where there is no such queue.
    ///
    /// # Cancel safety
    ///
    /// As [`send`](Self::send).
    pub async fn send_to(
        &self,
        message: impl Into<OutgoingMessage>,
        queue: &MessageQueue,
    ) -> Result<SendReceipt, SendError> {
        let message = message.into();
        if self.lanes.is_none() {
            return self.send_alone(message, Target::Queue(queue)).await;
        }
        self.send_for(message, Some(queue.clone()), self.core.deadline()).await
    }

    /// The queues of a topic that may be written to, in the order in which keys choose among them.
    ///
    /// # Errors
    ///
    /// [`SendErrorKind::NoRoute`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn queues(&self, topic: &str) -> Result<Vec<MessageQueue>, SendError> {
        let route = self.route(topic, self.core.deadline()).await?;
        Ok((0..route.queues.len()).filter_map(|place| route.message_queue(place)).collect())
    }

    async fn route(&self, topic: &str, deadline: Instant) -> Result<Arc<Route<B>>, SendError> {
        let wire_topic = self.core.inner.wire_name(topic);
        let route = self.core.inner.route(&wire_topic, deadline).await;
        route.map_err(|reason: NoRoute| {
            let reason = reason.into_text().into();
            SendError::refused(topic, SendErrorKind::NoRoute { reason })
        })
    }

    async fn send_for(
        &self,
        mut message: OutgoingMessage,
        queue: Option<MessageQueue>,
        deadline: Instant,
    ) -> Result<SendReceipt, SendError> {
        let core = &self.core;
        let (way, bytes) = self.prepare(&mut message, queue.as_ref())?;
        let permit = core.permit_for(&message, bytes, deadline).await?;
        match way {
            Way::Lane(lane) => {
                let (completion, acknowledgement) = core.completions.pair();
                let pending = self.pending(message, bytes, deadline, completion, permit);
                self.push(&lane, pending).await;
                acknowledgement.await
            }
            Way::Alone => {
                let target = queue.as_ref().map_or(Target::Any, Target::Queue);
                let outcome = core.send_single(&message, target, deadline, &[]).await;
                match core.inner.planted.is(PlantedBug::PermitLeaked) {
                    true => core::mem::forget(permit),
                    false => drop(permit),
                }
                core.note_outcome(&message, &outcome);
                outcome
            }
        }
    }

    async fn send_alone(
        &self,
        mut message: OutgoingMessage,
        target: Target<'_>,
    ) -> Result<SendReceipt, SendError> {
        let core = &self.core;
        let bytes = core.take_in(&mut message)?;
        let deadline = core.deadline();
        let permit = core.permit_for(&message, bytes, deadline).await?;
        let outcome = core.send_single(&message, target, deadline, &[]).await;
        drop(permit);
        core.note_outcome(&message, &outcome);
        outcome
    }

    /// A message by itself, with properties that only the client sets.
    pub(super) async fn send_half(
        &self,
        message: &mut OutgoingMessage,
        properties: &[(&str, &str)],
    ) -> Result<SendReceipt, SendError> {
        let core = &self.core;
        let bytes = core.take_in(message)?;
        let deadline = core.deadline();
        let _permit = core.permit_for(message, bytes, deadline).await?;
        let outcome = core.send_single(message, Target::Any, deadline, properties).await;
        core.note_outcome(message, &outcome);
        outcome
    }

    /// Refuses what no broker would take; else how the message goes on, and its bytes.
    fn prepare(
        &self,
        message: &mut OutgoingMessage,
        queue: Option<&MessageQueue>,
    ) -> Result<(Way<B>, usize), SendError> {
        let core = &self.core;
        let bytes = core.take_in(message)?;
        let way = self.lanes.as_ref().and_then(|lanes| {
            let is_packed = message.body().len() >= core.inner.config.compress_from_bytes;
            if message.is_alone() || is_packed || !lanes.takes(bytes) {
                return None;
            }
            lanes.lane(core, message.topic(), queue)
        });
        Ok((way.map_or(Way::Alone, Way::Lane), bytes))
    }

    fn pending(
        &self,
        message: OutgoingMessage,
        bytes: usize,
        until: Instant,
        completion: Completion,
        permit: Permit,
    ) -> Pending<B> {
        let core = Arc::clone(&self.core);
        let id = core.inner.ids.next(core.inner.clock.now().unix_ms);
        Pending { message, id, bytes: bytes as u64, until, completion, core, _permit: permit }
    }

    /// What a lane refuses learns of it by its completion.
    async fn push(&self, lane: &crate::batch::BatchSender<Pending<B>, B>, pending: Pending<B>) {
        let left_us = pending.until.us_since(self.core.inner.clock.now().at);
        let left = core::time::Duration::from_micros(left_us);
        drop(lane.send_within(pending, left).await);
    }

    /// Hands a message over, and says by another future what becomes of it: ready once there is
    /// room for the message. So one task can have many messages under way.
    ///
    /// # Errors
    ///
    /// What is wrong with the message, and no room in time.
    ///
    /// # Cancel safety
    ///
    /// Dropping this future before it is ready sends nothing. Dropping the acknowledgement takes
    /// nothing back.
    pub async fn submit(
        &self,
        message: impl Into<OutgoingMessage>,
    ) -> Result<Acknowledgement, SendError> {
        let (completion, acknowledgement) = self.core.completions.pair();
        self.submit_with(message.into(), None, completion).await?;
        Ok(acknowledgement)
    }

    /// As [`submit`](Self::submit), to one queue and no other. Where messages are put together,
    /// those that were submitted one after the other are stored in that order; where each goes by
    /// itself, several under way may overtake each other.
    ///
    /// # Errors
    ///
    /// As [`submit`](Self::submit).
    ///
    /// # Cancel safety
    ///
    /// As [`submit`](Self::submit).
    pub async fn submit_to(
        &self,
        message: impl Into<OutgoingMessage>,
        queue: &MessageQueue,
    ) -> Result<Acknowledgement, SendError> {
        let (completion, acknowledgement) = self.core.completions.pair();
        self.submit_with(message.into(), Some(queue), completion).await?;
        Ok(acknowledgement)
    }

    /// As [`submit`](Self::submit); `done` is called once, with the outcome, where answers are
    /// handled, and should return soon.
    ///
    /// # Errors
    ///
    /// As [`submit`](Self::submit); `done` is not called then.
    ///
    /// # Cancel safety
    ///
    /// As [`submit`](Self::submit).
    pub async fn send_with(
        &self,
        message: impl Into<OutgoingMessage>,
        done: impl FnOnce(Result<SendReceipt, SendError>) + Send + 'static,
    ) -> Result<(), SendError> {
        let mut message = message.into();
        let (way, bytes) = self.prepare(&mut message, None)?;
        let deadline = self.core.deadline();
        let permit = self.core.permit_for(&message, bytes, deadline).await?;
        let completion = self.core.completions.callback(Box::new(done));
        self.go(way, None, self.pending(message, bytes, deadline, completion, permit)).await;
        Ok(())
    }

    async fn submit_with(
        &self,
        mut message: OutgoingMessage,
        queue: Option<&MessageQueue>,
        completion: Completion,
    ) -> Result<(), SendError> {
        let (way, bytes) = self.prepare(&mut message, queue)?;
        let deadline = self.core.deadline();
        let permit = self.core.permit_for(&message, bytes, deadline).await?;
        self.go(way, queue, self.pending(message, bytes, deadline, completion, permit)).await;
        Ok(())
    }

    async fn go(&self, way: Way<B>, queue: Option<&MessageQueue>, pending: Pending<B>) {
        match way {
            Way::Lane(lane) => self.push(&lane, pending).await,
            Way::Alone => self.spawn(queue.cloned(), pending),
        }
    }

    /// By a task of its own, which tells the outcome.
    fn spawn(&self, queue: Option<MessageQueue>, mut pending: Pending<B>) {
        let backend = self.core.inner.backend.clone();
        kinds::SEND.spawn(&backend, async move {
            let Pending { message, id, until, core, .. } = &pending;
            let target = queue.as_ref().map_or(Target::Any, Target::Queue);
            let outcome = core.send_single_as(message, *id, target, *until, &[]).await;
            pending.tell(outcome);
        });
    }

    /// Hands a message over at once or not at all; as [`submit`](Self::submit) where it does.
    ///
    /// # Errors
    ///
    /// [`TrySendError`] with the message: there is no room, others wait for it, or something is
    /// wrong with the message.
    #[allow(clippy::result_large_err, reason = "the message is in it")]
    pub fn try_send(
        &self,
        message: impl Into<OutgoingMessage>,
    ) -> Result<Acknowledgement, TrySendError> {
        let mut message = message.into();
        let core = &self.core;
        let (way, bytes) = match self.prepare(&mut message, None) {
            Ok(prepared) => prepared,
            Err(error) => return Err(TrySendError { message, error }),
        };
        let permit = match core.inner.budget.try_acquire(1, bytes as u64) {
            Ok(permit) => permit,
            Err(refused) => {
                let error = core.no_permit(message.topic(), refused);
                message.span.fail(&error);
                return Err(TrySendError { message, error });
            }
        };
        let (completion, acknowledgement) = core.completions.pair();
        let pending = self.pending(message, bytes, core.deadline(), completion, permit);
        match way {
            Way::Alone => self.spawn(None, pending),
            Way::Lane(lane) => {
                if let Err(refused) = lane.try_send(pending) {
                    let Pending { message, mut completion, .. } = refused.item;
                    let usage = core.inner.budget.usage();
                    let (messages, bytes) = (usage.messages, usage.bytes);
                    let error = core.no_permit(message.topic(), NoPermit::Full { messages, bytes });
                    message.span.fail(&error);
                    completion.tell(Err(error.clone()));
                    return Err(TrySendError { message, error });
                }
            }
        }
        Ok(acknowledgement)
    }

    /// Sends messages of one topic as one batch, which a broker takes or refuses as a whole; the
    /// receipts are in the order of the messages. Batches are not compressed, and not delayed.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send); also for messages of several topics, for none at all, and where
    /// they are too long together.
    ///
    /// # Cancel safety
    ///
    /// As [`send`](Self::send).
    pub async fn send_batch(&self, messages: &[Message]) -> Result<BatchReceipt, SendError> {
        let core = &self.core;
        let topic = messages.first().map_or("", Message::topic);
        let refused = |kind| SendError::refused(topic, kind);
        if messages.is_empty() {
            return Err(refused(SendErrorKind::Empty));
        }
        if messages.iter().any(|message| message.topic() != topic) {
            let reason = "a batch has one topic, and these messages have several";
            return Err(refused(SendErrorKind::Topic { reason }));
        }
        if messages.iter().any(Message::is_alone) {
            let reason = "a batch has no messages that are delayed or half";
            return Err(refused(SendErrorKind::Topic { reason }));
        }
        super::outgoing::check_topic(topic).map_err(refused)?;
        if !core.hooks.is_empty() || core.config.begins_traces {
            let mut own = messages.to_vec();
            own.iter_mut().for_each(|message| core.hooks.before(&core.group, message));
            let sent = self.send_whole(topic, &own).await;
            own.iter().enumerate().for_each(|(place, message)| {
                let outcome: Outcome = match &sent {
                    Ok(receipt) => Ok(receipt.get(place)),
                    Err(error) => Err(error.clone()),
                };
                core.hooks.after(&core.group, message, &outcome);
            });
            return sent;
        }
        self.send_whole(topic, messages).await
    }

    async fn send_whole(
        &self,
        topic: &str,
        messages: &[Message],
    ) -> Result<BatchReceipt, SendError> {
        let core = &self.core;
        let deadline = core.deadline();
        let unix_ms = core.inner.clock.now().unix_ms;
        let ids = core.inner.ids.reserve(messages.len() + 1, unix_ms);
        let with_ids = || messages.iter().enumerate().map(|(place, one)| (one, ids.get(place)));
        let (id, target) = (ids.get(messages.len()), Target::Any);
        let wire_topic = core.inner.wire_name(topic);
        let outgoing = core.workshop().batch(with_ids, &wire_topic, id, ID_BYTES, target);
        let outgoing = outgoing.map_err(|kind| SendError::refused(topic, kind))?;
        let (len, bytes) = (messages.len(), outgoing.body.len());
        let permit = core.permit(topic, len, bytes, deadline).await?;
        let span = RequestSpan::of_caller(topic, len);
        let taken = core.deliver(&outgoing, deadline, &span).await?;
        drop(permit);
        Ok(BatchReceipt { taken, ids, len })
    }

    /// Sends a message without waiting for an answer, which brokers don't give then: ready once it
    /// is handed to the connection. It is tried once.
    ///
    /// # Errors
    ///
    /// [`SendError`] where it was certainly not sent.
    ///
    /// # Cancel safety
    ///
    /// The message was sent as a whole, or not at all.
    pub async fn send_oneway(&self, message: impl Into<OutgoingMessage>) -> Result<(), SendError> {
        let core = &self.core;
        let mut message = message.into();
        let bytes = core.take_in(&mut message)?;
        let deadline = core.deadline();
        let _permit = core.permit_for(&message, bytes, deadline).await?;
        let id = core.inner.ids.next(core.inner.clock.now().unix_ms);
        let topic = core.inner.wire_name(message.topic());
        let (workshop, packing) = (core.workshop(), core.packing());
        let outgoing = workshop.single(&message, &topic, id, Target::Any, &packing, &[]);
        let refused = |kind| SendError::refused(message.topic(), kind);
        let told = core.tell(&outgoing.map_err(refused)?, deadline).await;
        let told = told.map_err(|kind| SendError { attempts: 1, ..refused(kind) });
        told.inspect_err(|error| message.span.fail(error))
    }

    /// Sends what waits for others at once; ready when all that was handed over is settled. Nothing
    /// waits where messages are not put together.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn flush(&self) {
        if let Some(lanes) = &self.lanes {
            lanes.flush().await;
        }
    }

    /// What was counted: a source for the monitor.
    #[must_use]
    pub fn stats(&self) -> ProducerStats {
        self.core.stats.report(&self.core.inner.budget)
    }

    /// What was counted of messages that are put together, one entry for each lane: a topic, or a
    /// queue where they are ordered.
    #[must_use]
    pub fn batch_stats(&self) -> Vec<BatchStats> {
        self.lanes.as_ref().map(|lanes| lanes.stats()).unwrap_or_default()
    }
}

impl<B: Backend> Clone for Producer<B> {
    fn clone(&self) -> Self {
        Self { core: Arc::clone(&self.core), lanes: self.lanes.clone() }
    }
}

impl<B: Backend> fmt::Debug for Producer<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("group", &self.core.group).finish_non_exhaustive()
    }
}

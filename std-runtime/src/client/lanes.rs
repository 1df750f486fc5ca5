//! Automatic batching: a lane for each topic, and for each queue that messages are ordered in.
//!
//! When a batch is closed is decided by [`batch`](crate::batch); here is what is done with it, and
//! what becomes of each message of it.

use core::fmt;
use core::ops::Range;
use core::time::Duration;
use std::sync::{Mutex, MutexGuard, PoisonError};

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use turbopump_core::batch::{Batch, Outcome as ItemOutcome, Settled};
use turbopump_core::rocketmq::wire::header::response_code;
use turbopump_core::rocketmq::wire::identity::UniqueKey;
use turbopump_core::time::{Clock, Instant};

use super::budget::Permit;
use super::completion::{Completion, Outcome};
use super::error::{SendError, SendErrorKind};
use super::ids::ID_BYTES;
use super::message::OutgoingMessage;
use super::outgoing::{MessageQueue, Target};
use super::planted::PlantedBug;
use super::sending::Core;
use super::settings::Batching;
use super::spans::RequestSpan;
use crate::backend::Backend;
use crate::batch::{BatchHandler, BatchSender, BatchSettings, InvalidSettings, StopReport};

/// A message that waits for others.
pub(super) struct Pending<B: Backend> {
    pub(super) message: OutgoingMessage,
    pub(super) id: UniqueKey,
    /// As an entry of a batch.
    pub(super) bytes: u64,
    pub(super) until: Instant,
    pub(super) completion: Completion,
    pub(super) core: Arc<Core<B>>,
    /// Given back when all else is over.
    pub(super) _permit: Permit,
}

impl<B: Backend> Pending<B> {
    /// Tells the outcome to whoever waits, after the hooks.
    pub(super) fn tell(&mut self, outcome: Outcome) {
        if self.core.inner.planted.is(PlantedBug::LostOutcome) && self.id.counter.is_multiple_of(7)
        {
            return self.completion.lose();
        }
        self.core.note_outcome(&self.message, &outcome);
        self.completion.tell(outcome);
    }
}

/// The lanes of one producer.
pub(super) struct Lanes<B: Backend> {
    backend: B,
    batching: Batching,
    waiting_max: usize,
    lanes: Mutex<BTreeMap<Box<str>, TopicLanes<B>>>,
}

struct TopicLanes<B: Backend> {
    any: Option<Lane<B>>,
    ordered: Vec<(MessageQueue, Lane<B>)>,
}

type Lane<B> = BatchSender<Pending<B>, B>;

/// Lanes of one producer, at most; what is beyond goes without batches.
const LANES_MAX: usize = 4_096;
/// Messages of one lane that wait, at most, whatever the client's budget is.
const WAITING_MAX: usize = 16_384;

impl<B: Backend> Lanes<B> {
    pub(super) fn new(backend: B, batching: Batching, in_flight_messages_max: usize) -> Self {
        let waiting_max = in_flight_messages_max.clamp(1, WAITING_MAX);
        Self { backend, batching, waiting_max, lanes: Mutex::default() }
    }

    /// What is wrong with the settings.
    pub(super) fn check(batching: &Batching, waiting_max: usize) -> Result<(), InvalidSettings> {
        settings::<B>(batching, waiting_max.clamp(1, WAITING_MAX), false).check()
    }

    fn lanes(&self) -> MutexGuard<'_, BTreeMap<Box<str>, TopicLanes<B>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a message of so many bytes is put together with others at all.
    pub(super) fn takes(&self, bytes: usize) -> bool {
        bytes as u64 <= u64::from(self.batching.bytes_max)
    }

    /// The lane of a topic, or of one queue of it; none where there are too many already.
    pub(super) fn lane(
        &self,
        core: &Arc<Core<B>>,
        topic: &str,
        queue: Option<&MessageQueue>,
    ) -> Option<Lane<B>> {
        let mut lanes = self.lanes();
        let known = lanes.get(topic).and_then(|lanes| match queue {
            None => lanes.any.as_ref(),
            Some(queue) => {
                let lane = lanes.ordered.iter().find(|(own, _)| own == queue);
                lane.map(|(_, lane)| lane)
            }
        });
        if let Some(lane) = known {
            return Some(lane.clone());
        }
        if lanes.values().map(TopicLanes::len).sum::<usize>() >= LANES_MAX {
            return None;
        }
        let lane = self.open(core, topic, queue).ok()?;
        if !lanes.contains_key(topic) {
            lanes.insert(topic.into(), TopicLanes { any: None, ordered: Vec::new() });
        }
        let own = lanes.get_mut(topic)?;
        match queue {
            None => own.any = Some(lane.clone()),
            Some(queue) => own.ordered.push((queue.clone(), lane.clone())),
        }
        Some(lane)
    }

    fn open(
        &self,
        core: &Arc<Core<B>>,
        topic: &str,
        queue: Option<&MessageQueue>,
    ) -> Result<Lane<B>, InvalidSettings> {
        let is_ordered = queue.is_some() && !core.inner.planted.is(PlantedBug::OrderedTogether);
        let settings = settings(&self.batching, self.waiting_max, is_ordered);
        let handler =
            LaneHandler { core: Arc::clone(core), topic: topic.into(), queue: queue.cloned() };
        let lane = BatchSender::new(core.inner.backend.clone(), settings, handler)?;
        // Its workers are tasks, which needs nothing of the operating system.
        let _ = lane.start();
        Ok(lane)
    }

    fn all(&self) -> Vec<Lane<B>> {
        let lanes = self.lanes();
        let of_topic = |lanes: &TopicLanes<B>| {
            let ordered = lanes.ordered.iter().map(|(_, lane)| lane.clone());
            lanes.any.iter().cloned().chain(ordered).collect::<Vec<_>>()
        };
        lanes.values().flat_map(of_topic).collect()
    }

    /// Sends what waits without waiting for more; ends when all of it is settled.
    pub(super) async fn flush(&self) {
        let lanes = self.all();
        lanes.iter().for_each(BatchSender::flush);
        for lane in lanes {
            lane.drained().await;
        }
    }

    /// Has all that waits sent, and takes nothing in any more.
    pub(super) async fn stop_within(&self, time: Duration) -> StopReport {
        let mut total = StopReport::default();
        // One after the other: the first takes all the time that the others need, too.
        let lanes = self.all();
        lanes.iter().for_each(BatchSender::flush);
        let until = self.backend.now() + time;
        for lane in lanes {
            let left = until.saturating_duration_since(self.backend.now());
            let report = lane.stop_within(left).await;
            total.succeeded += report.succeeded;
            total.failed += report.failed;
            total.abandoned += report.abandoned;
            total.lost += report.lost;
        }
        total
    }

    /// What the lanes count, by topic; those of ordered queues are counted with the others.
    pub(super) fn stats(&self) -> Vec<crate::batch::BatchStats> {
        self.all().iter().map(BatchSender::stats).collect()
    }
}

impl<B: Backend> TopicLanes<B> {
    fn len(&self) -> usize {
        self.ordered.len() + usize::from(self.any.is_some())
    }
}

fn settings<B: Backend>(
    batching: &Batching,
    waiting_max: usize,
    is_ordered: bool,
) -> BatchSettings<Pending<B>> {
    BatchSettings {
        batch: batching.batch_config(waiting_max, is_ordered),
        workers: if is_ordered { 1 } else { batching.in_flight_max as usize },
        // The budget of the client is what bounds it.
        waiting_bytes_max: u64::MAX / 2,
        waiting_senders_max: 65_536,
        bytes_of: |pending| pending.bytes,
    }
}

/// What is done with the batches of a lane.
struct LaneHandler<B: Backend> {
    core: Arc<Core<B>>,
    topic: Box<str>,
    queue: Option<MessageQueue>,
}

impl<B: Backend> BatchHandler<Pending<B>> for LaneHandler<B> {
    async fn handle(&self, batch: &mut Batch<'static, Pending<B>>) {
        let len = batch.len();
        // Parts that are still to be sent; the first of them is the last. Halving leaves one more
        // each time, so that there are never more than the bits of a number.
        let mut parts: [Range<usize>; usize::BITS as usize] = core::array::from_fn(|_| 0..0);
        let mut depth = 1;
        parts[0] = 0..len;
        while depth > 0 {
            depth -= 1;
            let Some(part) = parts.get(depth).cloned() else { break };
            let Err(error) = self.send(batch, part.clone()).await else { continue };
            if part.len() > 1 && is_one_to_blame(&error) && depth + 2 <= parts.len() {
                let middle = part.start + part.len() / 2;
                for half in [middle..part.end, part.start..middle] {
                    if let Some(place) = parts.get_mut(depth) {
                        *place = half;
                        depth += 1;
                    }
                }
                continue;
            }
            for mut entry in batch.iter_mut().skip(part.start).take(part.len()) {
                entry.item_mut().tell(Err(error.clone()));
                entry.set(ItemOutcome::Failed);
            }
        }
    }

    fn settled(&self, mut pending: Pending<B>, how: Settled) {
        if pending.completion.is_told() {
            return;
        }
        let kind = match how {
            Settled::Expired { .. } => {
                let usage = self.core.inner.budget.usage();
                SendErrorKind::Full { messages: usage.messages, bytes: usage.bytes }
            }
            _ => SendErrorKind::Abandoned,
        };
        let error = SendError::refused(pending.message.topic(), kind);
        pending.tell(Err(error));
    }
}

/// Whether a broker may take the batch without one of its messages.
fn is_one_to_blame(error: &SendError) -> bool {
    match error.kind() {
        SendErrorKind::Refused { code, .. } => *code == response_code::MESSAGE_ILLEGAL,
        SendErrorKind::TooLarge { .. } => true,
        _ => false,
    }
}

impl<B: Backend> LaneHandler<B> {
    /// Sends a part of the batch, and tells each of its messages where it went.
    async fn send(
        &self,
        batch: &mut Batch<'static, Pending<B>>,
        part: Range<usize>,
    ) -> Result<(), SendError> {
        let core = &*self.core;
        let (start, len) = (part.start, part.len());
        let target = self.queue.as_ref().map_or(Target::Any, Target::Queue);
        let of_part = |batch: &Batch<'static, Pending<B>>| {
            batch.iter().skip(start).take(len).map(|item| item.until).min()
        };
        let until = of_part(batch).unwrap_or_else(|| core.deadline());
        if len == 1 {
            let Some(one) = batch.iter().nth(start) else { return Ok(()) };
            let sent = core.send_single_as(&one.message, one.id, target, until, &[]).await?;
            if let Some(mut entry) = batch.iter_mut().nth(start) {
                entry.item_mut().tell(Ok(sent));
            }
            return Ok(());
        }
        let taken = {
            let sent = &*batch;
            let messages = || {
                let items = sent.iter().skip(start).take(len);
                items.map(|item| (&*item.message, item.id))
            };
            let id = core.inner.ids.next(core.inner.clock.now().unix_ms);
            let topic = core.inner.wire_name(&self.topic);
            let outgoing = core.workshop().batch(messages, &topic, id, ID_BYTES, target);
            let outgoing = outgoing.map_err(|kind| SendError::refused(&self.topic, kind))?;
            let spans = sent.iter().skip(start).take(len).map(|item| &item.message.span);
            let span = RequestSpan::of_batch(&self.topic, len, spans);
            core.deliver(&outgoing, until, &span).await?
        };
        let mut entries = batch.iter_mut().skip(start).take(len);
        taken.for_each_place(len, |place, offset_message_id| {
            if let Some(mut entry) = entries.next() {
                let id = entry.item().id;
                let is_swapped = core.inner.planted.is(PlantedBug::SwappedOutcomes);
                let place = if is_swapped { place ^ 1 } else { place };
                entry.item_mut().tell(Ok(taken.receipt_at(place, id, offset_message_id)));
            }
        });
        Ok(())
    }
}

impl<B: Backend> fmt::Debug for Lanes<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lanes").field("batching", &self.batching).finish_non_exhaustive()
    }
}

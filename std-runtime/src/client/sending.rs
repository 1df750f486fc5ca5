//! What all ways of sending share: attempts at brokers until one has taken it, or none makes sense.
//!
//! When it is tried again, and whether, is decided by the core's [`Attempts`]; here is the waiting.

use core::fmt;
use core::time::Duration;
use std::sync::{Mutex, MutexGuard, PoisonError};

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;

use turbopump_core::random::SplitMix64;
use turbopump_core::rocketmq::client::{
    Attempts, Busy, Failure, Preference, Verdict, place_of_key,
};
use turbopump_core::rocketmq::wire::command::{Command, SendMessageResponseHeader};
use turbopump_core::time::{Clock, Instant};

use super::Inner;
use super::budget::{NoPermit, Permit};
use super::completion::{Completions, Outcome};
use super::error::{SendError, SendErrorKind};
use super::hooks::Hooks;
use super::ids::ID_BYTES;
use super::message::{Message, OutgoingMessage, TRACEPARENT};
use super::outgoing::{Outgoing, Packing, Target, Workshop};
use super::peers::Peer;
use super::planted::PlantedBug;
use super::receipt::{SendStatus, Taken};
use super::routes::{Broker, NoRoute, Route};
use super::send_stats::{Attempted, SendStats};
use super::settings::ProducerConfig;
use super::spans::{MessageSpan, RequestSpan};
use crate::backend::Backend;
use crate::memory::ObjectPool;
use crate::rocketmq::{Answer, BodyCodec};
use crate::within::within;

const NO_QUEUE: &str = "its route has no queue that may be written to";

/// What the handles of one producer share.
pub(super) struct Core<B: Backend> {
    pub(super) inner: Arc<Inner<B>>,
    /// As it was given,
    pub(super) group: Box<str>,
    /// and as brokers know it.
    pub(super) wire_group: Box<str>,
    pub(super) config: ProducerConfig,
    pub(super) completions: Arc<Completions>,
    pub(super) stats: SendStats,
    pub(super) hooks: Hooks,
    random: Mutex<SplitMix64>,
    codec: Mutex<BodyCodec>,
    texts: ObjectPool<String>,
}

impl<B: Backend> Core<B> {
    pub(super) fn new(inner: Arc<Inner<B>>, group: &str, config: ProducerConfig) -> Self {
        let random = SplitMix64::new(inner.backend.random_seed());
        // As many as can be under way, and one for each batch that is put together.
        let texts = inner.config.in_flight_messages_max.clamp(1, TEXTS_MAX);
        let texts = ObjectPool::new(texts, || String::with_capacity(TEXT_BYTES), String::clear);
        let wire_group: Box<str> = inner.wire_name(group).into();
        inner.groups.join(&wire_group);
        Self {
            wire_group,
            group: group.into(),
            hooks: Hooks::of(&config, inner.backend.random_seed()),
            config,
            completions: Arc::default(),
            stats: SendStats::new(),
            random: Mutex::new(random),
            codec: Mutex::new(BodyCodec::new()),
            texts: texts.unwrap_or_else(|_| unreachable!("neither none nor too many")),
            inner,
        }
    }

    pub(super) fn workshop(&self) -> Workshop<'_> {
        Workshop {
            texts: &self.texts,
            buffers: &self.inner.peers.buffers,
            message_bytes_max: self.inner.config.message_bytes_max,
        }
    }

    pub(super) fn packing(&self) -> Packing<'_> {
        Packing {
            from_bytes: self.inner.config.compress_from_bytes,
            compression: self.config.compression,
            codec: &self.codec,
        }
    }

    /// When whatever is sent now has to be over.
    pub(super) fn deadline(&self) -> Instant {
        self.inner.clock.now().at.plus_us(self.inner.config.send.timeout_us)
    }

    /// Refuses what no broker would take; else the message's bytes, as a part of a batch.
    fn check(&self, message: &Message) -> Result<usize, SendError> {
        let checked = self.workshop().check(message, ID_BYTES);
        checked.map_err(|kind| SendError::refused(message.topic(), kind))
    }

    /// Takes a message in: begins its span, lets the hooks see it, and refuses what no broker would
    /// take; else its bytes, as a part of a batch.
    pub(super) fn take_in(&self, message: &mut OutgoingMessage) -> Result<usize, SendError> {
        let span = MessageSpan::begin(&self.group, message.topic());
        span.within(|| self.hooks.before(&self.group, message));
        span.note_context(message.get_property(TRACEPARENT));
        message.span = span;
        self.check(message).inspect_err(|error| message.span.fail(error))
    }

    /// Says of a message that was taken in what has become of it.
    pub(super) fn note_outcome(&self, message: &OutgoingMessage, outcome: &Outcome) {
        self.hooks.after(&self.group, message, outcome);
        message.span.end(outcome);
    }

    /// Waits for a message's turn, until `deadline`.
    pub(super) async fn permit_for(
        &self,
        message: &OutgoingMessage,
        bytes: usize,
        deadline: Instant,
    ) -> Result<Permit, SendError> {
        let permit = self.permit(message.topic(), 1, bytes, deadline).await;
        permit.inspect_err(|error| message.span.fail(error))
    }

    /// Waits for its turn, until `deadline`.
    pub(super) async fn permit(
        &self,
        topic: &str,
        messages: usize,
        bytes: usize,
        deadline: Instant,
    ) -> Result<Permit, SendError> {
        let budget = &self.inner.budget;
        let refused = match budget.try_acquire(messages, bytes as u64) {
            Ok(permit) => return Ok(permit),
            Err(NoPermit::Full { .. }) => {
                let Some(until) = self.inner.clock.system_instant(deadline) else {
                    let permit = budget.acquire(messages, bytes as u64).await;
                    return permit.map_err(|refused| self.no_permit(topic, refused));
                };
                let acquire = budget.acquire(messages, bytes as u64);
                match within(&self.inner.backend, until, acquire).await {
                    Some(Ok(permit)) => return Ok(permit),
                    Some(Err(refused)) => refused,
                    None => {
                        let usage = budget.usage();
                        NoPermit::Full { messages: usage.messages, bytes: usage.bytes }
                    }
                }
            }
            Err(refused) => refused,
        };
        Err(self.no_permit(topic, refused))
    }

    pub(super) fn no_permit(&self, topic: &str, refused: NoPermit) -> SendError {
        let usage = self.inner.budget.usage();
        let kind = match refused {
            NoPermit::Full { messages, bytes } => SendErrorKind::Full { messages, bytes },
            NoPermit::TooManyWait => {
                SendErrorKind::Full { messages: usage.messages, bytes: usage.bytes }
            }
            NoPermit::Closed => SendErrorKind::Closed,
        };
        self.stats.count_refused(topic);
        SendError::refused(topic, kind)
    }

    /// Sends one message by itself.
    pub(super) async fn send_single(
        &self,
        message: &OutgoingMessage,
        target: Target<'_>,
        deadline: Instant,
        properties: &[(&str, &str)],
    ) -> Outcome {
        let id = self.inner.ids.next(self.inner.clock.now().unix_ms);
        self.send_single_as(message, id, target, deadline, properties).await
    }

    /// As [`send_single`](Self::send_single), with an id that it has already.
    pub(super) async fn send_single_as(
        &self,
        message: &OutgoingMessage,
        id: turbopump_core::rocketmq::wire::identity::UniqueKey,
        target: Target<'_>,
        deadline: Instant,
        properties: &[(&str, &str)],
    ) -> Outcome {
        let topic = self.inner.wire_name(message.topic());
        let (workshop, packing) = (self.workshop(), self.packing());
        let outgoing = workshop.single(message, &topic, id, target, &packing, properties);
        let outgoing = outgoing.map_err(|kind| SendError::refused(message.topic(), kind))?;
        let span = RequestSpan::of_message(&message.span, message.topic(), id);
        let taken = self.deliver(&outgoing, deadline, &span).await?;
        Ok(taken.receipt(id))
    }

    /// Attempts until one succeeds, none makes sense any more, or the time is over.
    pub(super) async fn deliver(
        &self,
        outgoing: &Outgoing<'_>,
        deadline: Instant,
        span: &RequestSpan,
    ) -> Result<Taken, SendError> {
        let begin = self.inner.clock.now().at;
        let timeout_us = deadline.us_since(begin);
        let mut policy = self.inner.config.send;
        let is_patient = self.inner.planted.is(PlantedBug::DeadlineIgnored);
        policy.timeout_us = if is_patient { timeout_us.saturating_mul(10) } else { timeout_us };
        let mut attempts = Attempts::new(begin, &policy);
        let mut trace = Trace { failed_at: None, maybe_sent: false, last: None };
        let mut at = begin;
        while let Some(attempt) = attempts.begin(at) {
            let attempted = span.run(self.attempt(outgoing, attempt.until, &mut trace)).await;
            let failure = match attempted {
                Ok(taken) => {
                    span.end(attempts.begun(), Ok(&taken));
                    self.stats.count(outgoing, Attempted::Taken, self.us_since(begin));
                    return Ok(taken);
                }
                Err(failure) => failure,
            };
            at = self.inner.clock.now().at;
            self.stats.count_attempt_failed(failure);
            span.attempt_failed(attempts.begun(), trace.last.as_ref());
            if self.inner.closing.is_over() {
                break;
            }
            let verdict = attempts.fail(at, failure, &mut self.random());
            match verdict {
                Verdict::Again { at: again } if again > at => {
                    self.pause_until(again).await;
                    at = self.inner.clock.now().at;
                }
                Verdict::Again { .. } => {}
                _ => break,
            }
        }
        let after_us = self.us_since(begin);
        let unreachable = || SendErrorKind::Unreachable { reason: "no time was left".into() };
        let kind = trace.last.unwrap_or_else(unreachable);
        self.stats.count(outgoing, Attempted::of(&kind), after_us);
        let error = SendError {
            topic: outgoing.topic.into(),
            attempts: attempts.begun(),
            after: Duration::from_micros(after_us),
            kind,
            maybe_sent: trace.maybe_sent,
        };
        span.end(error.attempts, Err(&error));
        Err(error)
    }

    fn us_since(&self, begin: Instant) -> u64 {
        self.inner.clock.now().at.us_since(begin)
    }

    fn random(&self) -> MutexGuard<'_, SplitMix64> {
        self.random.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn pause_until(&self, at: Instant) {
        while self.inner.planted.is(PlantedBug::SpinningPause) && self.inner.clock.now().at < at {
            super::planted::spin().await;
        }
        if let Some(at) = self.inner.clock.system_instant(at) {
            self.inner.backend.sleep_until(at).await;
        }
    }

    async fn attempt(
        &self,
        outgoing: &Outgoing<'_>,
        until: Instant,
        trace: &mut Trace,
    ) -> Result<Taken, Failure> {
        let inner = &self.inner;
        let route = match inner.route(outgoing.topic, until).await {
            Ok(route) => route,
            Err(NoRoute::Unknown(reason)) => {
                let _ = trace.no_route(reason.into());
                return Err(Failure::Transport);
            }
            Err(NoRoute::Unreachable(reason)) => return Err(trace.no_route(reason.into())),
        };
        let now = inner.clock.now();
        let target = self.target(outgoing, trace);
        let Some((broker, queue)) = pick(&route, now.at, trace, target) else {
            return Err(trace.no_route(no_queue(target)));
        };
        let peer = self.peer(broker, outgoing.topic).map_err(|reason| {
            trace.failed_at = Some(Arc::clone(&broker.name));
            trace.no_route(reason)
        })?;
        peer.health().handle_sent(now.at);
        let header = outgoing.header(&self.wire_group, now, &broker.name, queue);
        let timeout = Duration::from_micros(until.us_since(now.at));
        let is_cut = self.inner.planted.is(PlantedBug::BodyCutOnRetry) && outgoing.messages == 1;
        let body = match trace.failed_at {
            Some(_) if is_cut => outgoing.body.get(1..).unwrap_or_default(),
            _ => &outgoing.body,
        };
        let asked = peer.ask(outgoing.code, &header, body, timeout).await;
        let at = inner.clock.now().at;
        let answer = match asked {
            Ok(answer) => answer,
            Err(error) => {
                peer.health().handle_failed(at);
                let is_hidden = inner.planted.is(PlantedBug::DoubtHidden);
                trace.maybe_sent |= error.maybe_sent && !is_hidden;
                trace.failed_at = Some(Arc::clone(&broker.name));
                inner.routes.doubt(outgoing.topic);
                let reason = format!("broker {:?} at {}", broker.name, error.reason);
                trace.last = Some(SendErrorKind::Unreachable { reason: reason.into() });
                let is_unsent = !error.maybe_sent;
                return Err(if is_unsent { Failure::Unsent } else { Failure::Transport });
            }
        };
        peer.health().handle_answered(at, at.us_since(now.at));
        if inner.planted.is(PlantedBug::BufferLeaked) {
            core::mem::forget(inner.peers.buffers.acquire(1));
        }
        let broker_name = Arc::clone(&broker.name);
        if inner.planted.is(PlantedBug::BusyTaken)
            && answer.frame().is_ok_and(|f| f.header.code == 2)
        {
            let (status, offset) = (SendStatus::Ok, 0);
            return Ok(Taken { broker: broker_name, answer, queue, offset, status });
        }
        read(answer, &broker.name).map_err(|(kind, failure)| {
            if matches!(failure, Failure::Code(_)) {
                inner.routes.doubt(outgoing.topic);
            }
            trace.failed_at = Some(Arc::clone(&broker.name));
            trace.last = Some(kind);
            failure
        })
    }

    /// Which queue it is for, in this attempt as in the others.
    fn target<'t>(&self, outgoing: &Outgoing<'t>, trace: &Trace) -> Target<'t> {
        let is_wrong = self.inner.planted.is(PlantedBug::OtherQueueOnRetry);
        match outgoing.target {
            Target::Key(_) if is_wrong && trace.failed_at.is_some() => Target::Any,
            target => target,
        }
    }

    /// Whom to ask at a broker; it is known by its queues only while it is away.
    fn peer<'r>(&self, broker: &'r Broker<B>, topic: &str) -> Result<&'r Arc<Peer<B>>, Box<str>> {
        broker.peer.as_ref().ok_or_else(|| {
            self.inner.routes.doubt(topic);
            let name = &broker.name;
            format!("broker {name:?}, whose queue it is, is away; is it running?").into()
        })
    }

    /// Sends what is not answered, once.
    pub(super) async fn tell(
        &self,
        outgoing: &Outgoing<'_>,
        until: Instant,
    ) -> Result<(), SendErrorKind> {
        let route = self.inner.route(outgoing.topic, until).await;
        let route =
            route.map_err(|reason| SendErrorKind::NoRoute { reason: reason.into_text().into() })?;
        let now = self.inner.clock.now();
        let none = Trace { failed_at: None, maybe_sent: false, last: None };
        let picked = pick(&route, now.at, &none, outgoing.target);
        let no_route = || SendErrorKind::NoRoute { reason: no_queue(outgoing.target) };
        let (broker, queue) = picked.ok_or_else(no_route)?;
        let header = outgoing.header(&self.wire_group, now, &broker.name, queue);
        let timeout = Duration::from_micros(until.us_since(now.at));
        let peer = self.peer(broker, outgoing.topic);
        let peer = peer.map_err(|reason| SendErrorKind::NoRoute { reason })?;
        let told = peer.tell(outgoing.code, &header, &outgoing.body, timeout).await;
        told.map_err(|error| SendErrorKind::Unreachable { reason: error.reason })
    }
}

fn no_queue(target: Target<'_>) -> Box<str> {
    match target {
        Target::Queue(queue) => format!(
            "its route has no queue {} at broker {:?}; ask for the queues again",
            queue.queue, queue.broker
        )
        .into(),
        _ => NO_QUEUE.into(),
    }
}

impl<B: Backend> Drop for Core<B> {
    fn drop(&mut self) {
        self.inner.groups.leave(&self.wire_group);
    }
}

/// What has happened in the attempts until now.
struct Trace {
    /// The broker that has failed last.
    failed_at: Option<Arc<str>>,
    maybe_sent: bool,
    last: Option<SendErrorKind>,
}

impl Trace {
    fn no_route(&mut self, reason: Box<str>) -> Failure {
        self.last = Some(SendErrorKind::NoRoute { reason });
        Failure::Unsent
    }
}

/// The next queue, at a broker that is well where there is one; or the one that is meant.
fn pick<'r, B: Backend>(
    route: &'r Route<B>,
    now: Instant,
    trace: &Trace,
    target: Target<'_>,
) -> Option<(&'r Broker<B>, i32)> {
    let len = route.queues.len();
    let index = match target {
        Target::Key(key) => place_of_key(key, len)?,
        Target::Queue(wanted) => route.queues.iter().position(|(place, queue)| {
            let broker = route.brokers.get(*place);
            *queue == wanted.queue && broker.is_some_and(|broker| broker.name == wanted.broker)
        })?,
        Target::Any => {
            let wanted = |index: usize| {
                let queue = route.queues.get(index);
                let broker = queue.and_then(|(place, _)| route.brokers.get(*place));
                broker.map_or(Preference::Never, |broker| {
                    let Some(peer) = &broker.peer else { return Preference::Never };
                    let has_failed = trace.failed_at.as_ref() == Some(&broker.name);
                    Preference::of(peer.health().state(now), has_failed)
                })
            };
            route.turns().pick(len, wanted)?
        }
    };
    let (place, queue) = route.queues.get(index)?;
    Some((route.brokers.get(*place)?, *queue))
}

/// What a broker says to a send.
fn read(answer: Answer, broker: &Arc<str>) -> Result<Taken, (SendErrorKind, Failure)> {
    let broken = |error: &dyn fmt::Display| {
        let reason = format!("broker {broker:?}: its answer can't be read: {error}").into();
        (SendErrorKind::Unreachable { reason }, Failure::Transport)
    };
    let frame = answer.frame().map_err(|error| broken(&error))?;
    let code = frame.header.code;
    let Some(status) = SendStatus::of(code) else {
        let remark = frame.header.remark.map(|remark| remark.to_string()).unwrap_or_default();
        return Err(match Busy::of(code, &remark) {
            Some(busy) => (SendErrorKind::Busy { busy, remark }, Failure::Busy(busy)),
            None => (SendErrorKind::Refused { code, remark }, Failure::Code(code)),
        });
    };
    let header = SendMessageResponseHeader::decode(&frame.ext).map_err(|error| broken(&error))?;
    let (queue, offset) = (header.queue_id, header.queue_offset);
    Ok(Taken { broker: Arc::clone(broker), answer, queue, offset, status })
}

/// Properties of most messages, in bytes.
const TEXT_BYTES: usize = 256;
/// Texts that are kept for use.
const TEXTS_MAX: usize = 65_536;

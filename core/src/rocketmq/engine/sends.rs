//! What becomes of each message: attempts, until one succeeds or none makes sense any more.

use super::links::LinkUse;
use super::message::{Encoded, check_topic, encode_batch, encode_one};
use super::routes::TEMPLATE_QUEUES;
use super::storage::{Peer, Send, SendPlace, Stage};
use super::{Engine, LinkId, Outgoing, Placed, SendError, SendErrorKind, SendRefused, SendTicket};
use crate::link::NoAnswer;
use crate::pool::{BufferSource, Lease};
use crate::rocketmq::client::{
    Attempts, Busy, Failure, Preference, SendStatus, Verdict, place_of_hash,
};
use crate::rocketmq::wire::command::{
    Command, SendMessageRequestHeaderV2, SendMessageResponseHeader,
};
use crate::rocketmq::wire::frame::Frame;
use crate::rocketmq::wire::header::request_code;
use crate::rocketmq::wire::identity::{UniqueKey, java_hash};
use crate::time::Now;

impl<B: BufferSource> Engine<'_, B> {
    /// Accepts a message, which is copied; an [`Event`](super::Event) says what became of it.
    ///
    /// # Errors
    ///
    /// [`SendRefused`]; nothing has happened then.
    pub fn send(&mut self, now: Now, message: &Outgoing<'_>) -> Result<SendTicket, SendRefused> {
        check_topic(message.topic)?;
        let index = self.free_place()?;
        let (id, bytes_max) = (self.next_id(now), self.config.message_bytes_max);
        let encoded = encode_one(&self.buffers, message, id, bytes_max)?;
        self.accept(now, index, message, encoded, (id, false))
    }

    /// Accepts messages of one topic as one batch: a broker takes all of them or none. They go to
    /// the queue of the first one's sharding key, if it has one.
    ///
    /// # Errors
    ///
    /// [`SendRefused`]; nothing has happened then.
    pub fn send_batch(
        &mut self,
        now: Now,
        messages: &[Outgoing<'_>],
    ) -> Result<SendTicket, SendRefused> {
        let first = messages.first().ok_or(SendRefused::Empty)?;
        check_topic(first.topic)?;
        if messages.iter().any(|message| message.topic != first.topic) {
            return Err(SendRefused::Topic { reason: "the messages of a batch have one topic" });
        }
        let index = self.free_place()?;
        let (ids, made, bytes_max) = (self.ids, self.ids_made, self.config.message_bytes_max);
        let id = |number: u64| ids.get(made.wrapping_add(number).wrapping_add(1), now.unix_ms);
        let encoded = encode_batch(&self.buffers, messages, id, bytes_max)?;
        let first_id = id(1);
        self.ids_made = made.wrapping_add(messages.len() as u64).wrapping_add(1);
        let whole = Outgoing { flag: 0, ..*first };
        self.accept(now, index, &whole, encoded, (first_id, true))
    }

    fn free_place(&self) -> Result<usize, SendRefused> {
        if self.is_closing {
            return Err(SendRefused::ShuttingDown);
        }
        let free = self.sends.iter().position(|place| place.send.is_none());
        free.ok_or(SendRefused::Full { max: self.sends.len() })
    }

    fn accept(
        &mut self,
        now: Now,
        index: usize,
        message: &Outgoing<'_>,
        encoded: Encoded<B::Ref>,
        (id, is_batch): (UniqueKey, bool),
    ) -> Result<SendTicket, SendRefused> {
        let topic = self.topic(now, message.topic)?;
        let max = self.sends.len();
        let place: &mut SendPlace<B::Ref> =
            self.sends.get_mut(index).ok_or(SendRefused::Full { max })?;
        place.send = Some(Send {
            stage: Stage::Waiting(now.at),
            attempts: Attempts::new(now.at, &self.config.send),
            attempt_until: now.at,
            topic,
            key: message.sharding_key.map(java_hash),
            chunk: encoded.chunk,
            properties_bytes: encoded.properties_bytes,
            user_flag: message.flag,
            id,
            is_batch,
            failed_at: None,
            maybe_sent: false,
            last: SendErrorKind::NoNameServer,
            outcome: None,
        });
        Ok(place.ticket(index))
    }

    pub(super) fn send_mut(&mut self, index: usize) -> Option<&mut Send<B::Ref>> {
        self.sends.get_mut(index)?.send.as_mut()
    }

    pub(super) fn send_ref(&self, index: usize) -> Option<&Send<B::Ref>> {
        self.sends.get(index)?.send.as_ref()
    }

    pub(super) fn advance_sends(&mut self, now: Now) {
        for index in 0..self.sends.len() {
            self.advance(now, index);
        }
    }

    /// Goes on with a message for as long as nothing has to be waited for. That ends: attempts are
    /// bounded, and what nobody has got is tried again after pauses.
    fn advance(&mut self, now: Now, index: usize) {
        while let Some(send) = self.send_mut(index) {
            let is_late = send.attempt_until <= now.at;
            match send.stage {
                Stage::Waiting(at) if at <= now.at => match send.attempts.begin(now.at) {
                    Some(attempt) => {
                        (send.attempt_until, send.stage) = (attempt.until, Stage::Routing);
                    }
                    None => self.give_up(index),
                },
                Stage::Routing if is_late => {
                    self.fail(now, index, Failure::Unsent, SendErrorKind::NoNameServer);
                }
                Stage::Routing => {
                    let Some((broker, queue)) = self.pick(now, index) else { return };
                    if let Some(send) = self.send_mut(index) {
                        send.stage = Stage::Linking { broker, queue };
                    }
                }
                Stage::Linking { broker, .. } if is_late => {
                    let kind = send.last;
                    send.failed_at = Some(broker);
                    self.broker_failed(now.at, broker);
                    let is_full = kind == SendErrorKind::NoBuffer;
                    let kind = if is_full { kind } else { SendErrorKind::NoLink };
                    self.fail(now, index, Failure::Unsent, kind);
                }
                Stage::Linking { broker, queue } => match self.link_to(now, Peer::Broker(broker)) {
                    LinkUse::Pending => return,
                    LinkUse::Unreachable => {
                        if let Some(topic) = self.send_ref(index).map(|send| send.topic) {
                            self.doubt(topic);
                        }

                        if let Some(send) = self.send_mut(index) {
                            send.failed_at = Some(broker);
                        }
                        self.fail(now, index, Failure::Unsent, SendErrorKind::NoLink);
                    }
                    LinkUse::Open(link) => return self.ask(now, index, link, broker, queue),
                },
                _ => return,
            }
        }
    }

    /// The queue for the next attempt, if the topic's are known.
    fn pick(&mut self, now: Now, index: usize) -> Option<(u16, i32)> {
        let send = self.send_ref(index)?;
        let (topic, key, failed_at) = (send.topic, send.key, send.failed_at);
        let len = self.queues_of(topic).count();
        if let Some(key) = key {
            return self.queues_of(topic).nth(place_of_hash(key, len)?);
        }
        let mut turns = self.topics.get(usize::from(topic))?.turns;
        let wanted = |place: usize| {
            let Some((broker, _)) = self.queues_of(topic).nth(place) else {
                return Preference::Never;
            };
            match self.brokers.get(usize::from(broker)) {
                Some(place) if !place.address.is_empty() => {
                    Preference::of(place.health.state(now.at), failed_at == Some(broker))
                }
                _ => Preference::Never,
            }
        };
        let picked = turns.pick(len, wanted)?;
        let queue = self.queues_of(topic).nth(picked);
        if let Some(topic) = self.topics.get_mut(usize::from(topic)) {
            topic.turns = turns;
        }
        queue
    }

    /// Sends a message over a link.
    fn ask(&mut self, now: Now, index: usize, link: LinkId, broker: u16, queue: i32) {
        let Some(send) = self.send_ref(index) else { return };
        let (user_flag, is_batch) = (send.user_flag, send.is_batch);
        let us = send.attempt_until.us_since(now.at);
        let mut body = send.chunk.clone();
        let Ok(properties) = body.split_to(send.properties_bytes) else { return };
        let Some(topic) = self.topics.get(usize::from(send.topic)) else { return };
        let Some(place) = self.brokers.get_mut(usize::from(broker)) else { return };
        place.health.handle_sent(now.at);
        let (topic, name) = (topic.name.clone(), place.name.clone());
        let header = SendMessageRequestHeaderV2 {
            producer_group: self.config.group.into(),
            topic: topic.as_str().into(),
            default_topic: "TBW102".into(),
            default_topic_queue_nums: TEMPLATE_QUEUES,
            queue_id: queue,
            born_timestamp: i64::try_from(now.unix_ms).unwrap_or(i64::MAX),
            flag: user_flag,
            properties: core::str::from_utf8(&properties).ok().map(Into::into),
            reconsume_times: Some(0),
            unit_mode: Some(false),
            batch: Some(is_batch),
            broker_name: Some(name.as_str().into()),
            ..SendMessageRequestHeaderV2::default()
        };
        let code = match is_batch {
            true => request_code::SEND_BATCH_MESSAGE,
            false => request_code::SEND_MESSAGE_V2,
        };
        let submitted = self.submit(link, code, &header, &body, us);
        let Some(send) = self.send_mut(index) else { return };
        match submitted {
            Ok(ticket) => send.stage = Stage::Asked { broker, link, ticket, at: now.at },
            // Tried again when something has moved, until the attempt's time is over.
            Err(_) => send.last = SendErrorKind::NoBuffer,
        }
    }

    /// A broker has answered, or not.
    pub(super) fn answered(
        &mut self,
        now: Now,
        index: usize,
        outcome: Result<Lease<B::Ref>, NoAnswer>,
    ) {
        let Some(send) = self.send_mut(index) else { return };
        let Stage::Asked { broker, at, .. } = send.stage else { return };
        let (topic, id) = (send.topic, send.id);
        let answer = match outcome {
            Ok(answer) => answer,
            Err(reason) => {
                let maybe_sent = match reason {
                    NoAnswer::TimedOut { maybe_sent } | NoAnswer::Closed { maybe_sent, .. } => {
                        maybe_sent
                    }
                    _ => true,
                };
                send.maybe_sent |= maybe_sent;
                send.failed_at = Some(broker);
                self.broker_failed(now.at, broker);
                self.doubt(topic);
                let failure = if maybe_sent { Failure::Transport } else { Failure::Unsent };
                return self.fail(now, index, failure, SendErrorKind::NoAnswer);
            }
        };
        if let Some(place) = self.brokers.get_mut(usize::from(broker)) {
            place.health.handle_answered(now.at, now.at.us_since(at));
        }
        let read = read(&answer, broker, id);
        let Some(send) = self.send_mut(index) else { return };
        match read {
            Ok(placed) => (send.stage, send.outcome) = (Stage::Done, Some(Ok(placed))),
            Err((kind, failure)) => {
                send.failed_at = Some(broker);
                if failure == Failure::Transport {
                    send.maybe_sent = true;
                }
                if !matches!(failure, Failure::Busy(_)) {
                    self.doubt(topic);
                }
                self.fail(now, index, failure, kind);
            }
        }
    }

    /// An attempt has failed.
    pub(super) fn fail(&mut self, now: Now, index: usize, failure: Failure, kind: SendErrorKind) {
        let Self { sends, random, .. } = self;
        let Some(send) = sends.get_mut(index).and_then(|place| place.send.as_mut()) else { return };
        send.last = kind;
        match send.attempts.fail(now.at, failure, random) {
            Verdict::Again { at } => send.stage = Stage::Waiting(at),
            Verdict::GiveUp => self.give_up(index),
        }
    }

    fn give_up(&mut self, index: usize) {
        let Some(send) = self.send_mut(index) else { return };
        let (kind, attempts, maybe_sent) = (send.last, send.attempts.begun(), send.maybe_sent);
        send.outcome = Some(Err(SendError { kind, attempts, maybe_sent }));
        send.stage = Stage::Done;
    }
}

/// What a broker says to a send.
fn read(
    answer: &[u8],
    broker: u16,
    message_id: UniqueKey,
) -> Result<Placed, (SendErrorKind, Failure)> {
    let frame = Frame::decode(answer).map_err(unreadable)?;
    let code = frame.header.code;
    let Some(status) = SendStatus::of(code) else {
        let mut memory = [0; 256];
        let remark = frame.header.remark.and_then(|remark| remark.copy_to(&mut memory).ok());
        return Err(match Busy::of(code, remark.unwrap_or_default()) {
            Some(busy) => (SendErrorKind::Busy(busy), Failure::Busy(busy)),
            None => (SendErrorKind::Refused { code }, Failure::Code(code)),
        });
    };
    let header = SendMessageResponseHeader::decode(&frame.ext).map_err(unreadable)?;
    let (queue, offset) = (header.queue_id, header.queue_offset);
    Ok(Placed { broker, queue, offset, status, message_id })
}

fn unreadable<E>(_: E) -> (SendErrorKind, Failure) {
    (SendErrorKind::NoAnswer, Failure::Transport)
}

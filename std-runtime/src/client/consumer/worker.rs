//! Workers: each runs one handler at a time, and does what follows from what it says.

use core::sync::atomic::Ordering;

use alloc::sync::Arc;
use alloc::vec::Vec;

use turbopump_core::rocketmq::consumer::{Epoch, Next};
use turbopump_core::time::Instant;

use super::asking::SendBack;
use super::group::Group;
use super::handler::{Handler, Said, caught};
use super::queue::{HandedOut, OwnedQueue, Stage};
use super::stats::{Became, Event};
use super::unpack::Delivery;
use crate::backend::Backend;
use crate::end::Ticket;

/// What became of a message whose handler is through.
enum Followed {
    /// It needs no more care here.
    Over,
    /// The queue rests, and goes on with this message.
    Rests(Instant, Delivery),
    /// The time is over.
    Abandoned,
}

/// Runs handlers until it is over.
pub(super) async fn run<B: Backend, H: Handler>(
    group: Arc<Group<B>>,
    handler: Arc<H>,
    number: usize,
    ticket: Ticket,
) {
    let _ticket = ticket;
    while let Some(queue) = group.ready.next(number).await {
        let (handed_out, joins) = queue.hand_out(group.now(), handler.messages_max());
        if joins {
            group.ready.push(Arc::clone(&queue));
        }
        let Some(handed_out) = handed_out else { continue };
        group.consume(&*handler, &queue, handed_out).await;
        if queue.handle_done(group.now()) {
            group.ready.push(queue);
        }
    }
}

impl<B: Backend> Group<B> {
    async fn consume<H: Handler>(
        &self,
        handler: &H,
        queue: &Arc<OwnedQueue>,
        HandedOut { epoch, deliveries }: HandedOut,
    ) {
        let read = |one: &Delivery| one.message(&queue.from, &self.restorer);
        let mut deliveries = deliveries;
        deliveries.retain(|delivery| !self.drop_repeat(queue, epoch, delivery));
        if deliveries.is_empty() {
            return;
        }
        let messages: Vec<_> = deliveries.iter().map(read).collect();
        let readable = messages.iter().flatten().count();
        let begin = self.now();
        let handed: Vec<_> = messages.iter().flatten().cloned().collect();
        let said = caught(handler.handle(handed), readable);
        let Some(said) = self.abandon.unless_over(said).await else {
            self.stats.abandoned.fetch_add(deliveries.len() as u64, Ordering::Relaxed);
            return;
        };
        self.stats.count_handled(&queue.from.topic, self.now().us_since(begin));
        let mut said = said.into_iter();
        let mut rest = deliveries.into_iter().zip(messages);
        while let Some((delivery, message)) = rest.next() {
            // Each was walked when it was pulled, so that all of them can be read.
            let Some((message, said)) = message.zip(said.next()) else { continue };
            self.note(queue, &said);
            match self.follow(queue, epoch, delivery, &message, &said).await {
                Followed::Over => {}
                Followed::Rests(until, delivery) => {
                    let behind = rest.map(|(delivery, _)| delivery);
                    let all = core::iter::once(delivery).chain(behind).collect();
                    queue.put_back(epoch, until, all);
                    return;
                }
                Followed::Abandoned => {
                    let left = 1 + rest.count() as u64;
                    self.stats.abandoned.fetch_add(left, Ordering::Relaxed);
                    return;
                }
            }
        }
    }

    /// Whether it was done before; then it needs no more care.
    fn drop_repeat(&self, queue: &Arc<OwnedQueue>, epoch: Epoch, delivery: &Delivery) -> bool {
        // Nothing is read where nothing is remembered.
        if self.config.seen_max == 0 {
            return false;
        }
        let message = delivery.message(&queue.from, &self.restorer);
        let is_repeat = message.is_some_and(|message| self.is_repeat(&message));
        if is_repeat {
            self.settle(queue, epoch, delivery.offset, Became::Repeated);
        }
        is_repeat
    }

    fn note(&self, queue: &OwnedQueue, said: &Said) {
        if said.is_panic {
            self.stats.count_message(&queue.from.topic, Became::Panicked);
        }
        if let Some(reason) = &said.reason {
            self.stats.note_failure(reason.clone());
        }
    }

    /// Does what follows from what a handler has said of a message.
    async fn follow(
        &self,
        queue: &Arc<OwnedQueue>,
        epoch: Epoch,
        mut delivery: Delivery,
        message: &super::ReceivedMessage,
        said: &Said,
    ) -> Followed {
        let (now, policy) = (self.now(), &self.config.retry);
        let handled = said.consumed.handled();
        let mut next = delivery.handling.handle(now, handled, policy, &mut self.random());
        let mut became = Became::Done;
        if let Next::SendBack { delay_level, retries_max, is_dead } = next {
            if queue.epoch() != epoch || queue.stage() == Stage::Left {
                // Whoever has it next gets this message, too.
                self.stats.count_message(&queue.from.topic, Became::Stale);
                return Followed::Over;
            }
            became = if is_dead { Became::Dead } else { Became::Retried };
            let sending = self.send_back(queue, message, SendBack { delay_level, retries_max });
            next = match self.abandon.unless_over(sending).await {
                None => return Followed::Abandoned,
                Some(true) => delivery.handling.handle_sent_back(),
                Some(false) => {
                    self.stats.count(Event::SendBackFailed);
                    let (now, random) = (self.now(), &mut self.random());
                    delivery.handling.handle_send_back_failed(now, policy, random)
                }
            };
        }
        let topic = &queue.from.topic;
        match next {
            Next::Again { at } => {
                self.stats.count_message(topic, Became::Again);
                queue.put_later(epoch, at, delivery);
                Followed::Over
            }
            Next::Suspend { until, .. } => {
                self.stats.count_message(topic, Became::Again);
                Followed::Rests(until, delivery)
            }
            Next::GiveUp => self.settle(queue, epoch, delivery.offset, Became::GivenUp),
            _ => {
                if became == Became::Done {
                    self.remember(message);
                }
                self.settle(queue, epoch, delivery.offset, became)
            }
        }
    }

    fn settle(&self, queue: &OwnedQueue, epoch: Epoch, offset: i64, became: Became) -> Followed {
        let counts = queue.settle(epoch, offset);
        let became = if counts { became } else { Became::Stale };
        self.stats.count_message(&queue.from.topic, became);
        Followed::Over
    }
}

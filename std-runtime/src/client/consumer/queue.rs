//! A queue that this consumer has: from the moment when it is taken until it is given away.
//!
//! Holds the core's machines of one queue under one lock, and what was pulled and waits. The module
//! decides which of them is asked when; sending is done by `task`, handling by `worker`.

mod ending;

use core::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use turbopump_core::backing::Backing;
use turbopump_core::random::SplitMix64;
use turbopump_core::rocketmq::consumer::{
    ConsumeMode, Epoch, Held, Pull, PullAnswer, PullOutcome, Pulling, Start, StartQuestion,
    StartRequest, Window, WindowCell,
};
use turbopump_core::time::Instant;

use super::config::ConsumerConfig;
use super::flow::FlowPlace;
use super::received::ReceivedFrom;
use super::unpack::{Delivery, Unpacked};
use crate::bell::Bell;

/// How far a queue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It is ordered, and its lock is not held.
    Locking,
    /// Nobody knows yet where it begins.
    Finding,
    /// Its messages are pulled and handled.
    Running,
    /// It is given away: handlers come to their end.
    Stopping,
    /// Its offset is committed for the last time.
    Committing,
    /// It is somebody else's.
    Left,
}

/// A queue of this consumer's.
pub(super) struct OwnedQueue {
    pub(super) from: Arc<ReceivedFrom>,
    pub(super) wire_topic: Arc<str>,
    /// Which of the consumer's topics it is of.
    pub(super) topic: usize,
    /// Its place among the consumer's queues.
    pub(super) place: usize,
    pub(super) bell: Arc<Bell>,
    pub(super) flow: FlowPlace,
    config: Arc<ConsumerConfig>,
    span_max: u64,
    window_cells: u64,
    state: Mutex<State>,
}

struct State {
    epoch: Epoch,
    stage: Stage,
    start: Start,
    /// What was asked last, as it decides whether the offset is committed already.
    question: Option<StartQuestion>,
    pulling: Option<Pulling>,
    window: Window<'static>,
    waiting: VecDeque<Delivery>,
    /// To be handled again here; as many at most as the window has places.
    later: Vec<(Instant, Delivery)>,
    /// An ordered queue hands nothing out before.
    rests_until: Option<Instant>,
    /// Handlers, of earlier epochs too.
    running: usize,
    is_in_ring: bool,
    /// It waits for its own messages to be settled, and not for the budget.
    waits_for_span: bool,
    commit_at: Instant,
    is_committing: bool,
    /// When something was pulled and handled last.
    pulled_at: Option<Instant>,
    handled_at: Option<Instant>,
}

/// What is to be asked next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    Start(Epoch, StartRequest),
    Pull(Epoch, Pull),
}

/// An offset that is to be committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Commit {
    pub(super) epoch: Epoch,
    pub(super) offset: i64,
}

/// What a pull has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pulled {
    /// So many messages wait now.
    Messages(usize),
    /// None, or nobody wants them any more.
    Nothing,
    /// The broker does not know what the group subscribes to.
    Unknown,
    /// The queue is not where it was believed to be.
    Moved { epoch: Epoch, to: i64 },
    /// It failed, and is tried again.
    Failed,
}

/// What a handler gets.
pub(super) struct HandedOut {
    pub(super) epoch: Epoch,
    pub(super) deliveries: Vec<Delivery>,
}

/// How a queue is at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct QueueLook {
    pub(super) stage: Stage,
    pub(super) messages: usize,
    pub(super) bytes: u64,
    pub(super) commit_offset: i64,
    pub(super) next_offset: i64,
    pub(super) pulled_at: Option<Instant>,
    pub(super) handled_at: Option<Instant>,
}

impl OwnedQueue {
    #[allow(clippy::too_many_arguments, reason = "all of it is decided by whoever takes a queue")]
    pub(super) fn new(
        from: Arc<ReceivedFrom>,
        wire_topic: Arc<str>,
        topic: usize,
        place: usize,
        epoch: Epoch,
        bell: Arc<Bell>,
        flow: FlowPlace,
        config: &Arc<ConsumerConfig>,
        begin: Instant,
    ) -> Self {
        let is_ordered = config.mode == ConsumeMode::Ordered;
        let stage = if is_ordered { Stage::Locking } else { Stage::Finding };
        let (span_max, window_cells) = (flow.limits().span_max, flow.limits().window_cells());
        let state = State {
            epoch,
            stage,
            start: Start::new(config.start, from.is_retry, begin),
            question: None,
            pulling: None,
            window: no_window(),
            waiting: VecDeque::new(),
            later: Vec::new(),
            rests_until: None,
            running: 0,
            is_in_ring: false,
            waits_for_span: false,
            commit_at: begin.plus_us(config.commit_interval_us()),
            is_committing: false,
            pulled_at: None,
            handled_at: None,
        };
        Self {
            from,
            wire_topic,
            topic,
            place,
            bell,
            flow,
            config: Arc::clone(config),
            span_max,
            window_cells,
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn look(&self) -> QueueLook {
        let state = self.state();
        QueueLook {
            stage: state.stage,
            messages: state.window.messages(),
            bytes: state.window.bytes(),
            commit_offset: state.window.commit_offset(),
            next_offset: state.window.next_offset(),
            pulled_at: state.pulled_at,
            handled_at: state.handled_at,
        }
    }

    pub(super) fn stage(&self) -> Stage {
        self.state().stage
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.state().epoch
    }

    /// What is to be asked now, if anything.
    pub(super) fn poll_request(&self, now: Instant) -> Option<Request> {
        let mut state = self.state();
        let epoch = state.epoch;
        match state.stage {
            Stage::Finding => {
                let request = state.start.poll_request(now)?;
                state.question = Some(request.question);
                Some(Request::Start(epoch, request))
            }
            Stage::Running => {
                self.poll_pull(&mut state, now).map(|pull| Request::Pull(epoch, pull))
            }
            _ => None,
        }
    }

    fn poll_pull(&self, state: &mut State, now: Instant) -> Option<Pull> {
        let State { pulling, window, waits_for_span, .. } = state;
        let pulling = pulling.as_mut()?;
        let span = window.span();
        if *waits_for_span && (span < self.span_max || window.messages() == 0) {
            *waits_for_span = false;
            pulling.release(now);
        }
        if !pulling.poll_pull(now) {
            let is_held = pulling.poll_timeout().is_none() && !*waits_for_span;
            let grant = is_held.then(|| self.flow.take_granted()).flatten()?;
            return self.begin(pulling, now, grant);
        }
        match self.flow.reserve(span) {
            Ok(grant) => self.begin(pulling, now, grant),
            Err(held) => {
                pulling.hold();
                *waits_for_span = matches!(held, Held::Span { .. });
                None
            }
        }
    }

    fn begin(
        &self,
        pulling: &mut Pulling,
        now: Instant,
        grant: turbopump_core::rocketmq::consumer::Grant,
    ) -> Option<Pull> {
        let pull = pulling.begin(now, grant);
        if pull.is_none() {
            self.flow.cancel();
        }
        pull
    }

    /// When something is to be done by itself.
    pub(super) fn poll_timeout(&self, is_asking: bool) -> Option<Instant> {
        let state = self.state();
        let request = match state.stage {
            _ if is_asking => None,
            Stage::Finding => state.start.poll_timeout(),
            Stage::Running => state.pulling.as_ref().and_then(Pulling::poll_timeout),
            _ => None,
        };
        let runs = state.stage == Stage::Running;
        let later = state.later.iter().map(|(at, _)| *at).min().filter(|_| runs);
        let rests = state.rests_until.filter(|_| runs);
        let is_open = runs || state.stage == Stage::Committing;
        let is_open = is_open && state.pulling.is_some() && !state.is_committing;
        let commits = is_open && state.window.poll_commit().is_some();
        let commit = commits.then_some(state.commit_at);
        [request, later, rests, commit].into_iter().flatten().min()
    }

    /// The offset of a start is known, or nothing came of asking.
    pub(super) fn handle_start(
        &self,
        now: Instant,
        epoch: Epoch,
        number: u32,
        answer: Option<(i32, i64)>,
        random: &mut SplitMix64,
    ) {
        let mut state = self.state();
        if state.epoch != epoch || state.stage != Stage::Finding {
            return;
        }
        match answer {
            Some((code, offset)) => state.start.handle_answer(now, number, code, offset, random),
            None => state.start.handle_failed(now, number, random),
        }
        if let Some(offset) = state.start.offset() {
            let is_committed = matches!(state.question, Some(StartQuestion::Committed { .. }));
            state.window = self.new_window();
            state.window.reset(epoch, offset);
            // Brokers say 0 where they know nothing.
            if is_committed && offset > 0 {
                state.window.handle_committed(epoch, offset);
            }
            state.pulling = Some(Pulling::new(self.config.pull, offset, now));
            state.stage = Stage::Running;
        }
    }

    fn new_window(&self) -> Window<'static> {
        let cells: Backing<'static, WindowCell> =
            (0..self.window_cells).map(|_| WindowCell::default()).collect();
        Window::new(cells)
    }

    /// A pull was answered. True where the queue has to be put into the ring.
    pub(super) fn handle_pulled(
        &self,
        now: Instant,
        epoch: Epoch,
        number: u64,
        (answer, unpacked): (PullAnswer, Unpacked),
        random: &mut SplitMix64,
    ) -> (Pulled, bool) {
        let mut state = self.state();
        if state.epoch != epoch || state.stage != Stage::Running {
            return (Pulled::Nothing, false);
        }
        state.pulled_at = Some(now);
        let Some(pulling) = state.pulling.as_mut() else { return (Pulled::Nothing, false) };
        let pulled = match pulling.handle_answer(now, number, answer, random) {
            PullOutcome::Found { next_offset } | PullOutcome::Nothing { next_offset } => {
                self.take_in(&mut state, now, unpacked, next_offset, random)
            }
            outcome => {
                self.flow.cancel();
                match outcome {
                    PullOutcome::Moved { to, .. } => Pulled::Moved { epoch, to },
                    PullOutcome::Subscription { .. } => Pulled::Unknown,
                    PullOutcome::Failed { .. } => Pulled::Failed,
                    _ => Pulled::Nothing,
                }
            }
        };
        let joins = self.joins_ring(&mut state, now);
        (pulled, joins)
    }

    /// A pull could not be sent, or was not answered.
    pub(super) fn handle_pull_failed(
        &self,
        now: Instant,
        epoch: Epoch,
        number: u64,
        random: &mut SplitMix64,
    ) {
        let mut state = self.state();
        if state.epoch != epoch || state.stage != Stage::Running {
            return;
        }
        if let Some(pulling) = state.pulling.as_mut() {
            let _ = pulling.handle_failed(now, number, random);
            self.flow.cancel();
        }
    }

    fn take_in(
        &self,
        state: &mut State,
        now: Instant,
        unpacked: Unpacked,
        next_offset: i64,
        random: &mut SplitMix64,
    ) -> Pulled {
        let Unpacked { mut deliveries, is_damaged } = unpacked;
        let epoch = state.epoch;
        let sizes = deliveries.iter().map(|delivery| (delivery.offset, delivery.bytes()));
        // Behind what can't be read nothing is known.
        let end = match (is_damaged, deliveries.last()) {
            (false, _) => next_offset,
            (true, Some(last)) => last.offset.saturating_add(1),
            (true, None) => state.window.next_offset(),
        };
        let before = state.window.next_offset();
        let extended = state.window.extend(epoch, sizes, end);
        let Some(pulling) = state.pulling.as_mut() else { return Pulled::Nothing };
        let Ok(extended) = extended else {
            pulling.handle_refused(now, before, random);
            self.flow.cancel();
            return Pulled::Failed;
        };
        if is_damaged {
            pulling.handle_refused(now, end, random);
        }
        let messages = u32::try_from(extended.messages).unwrap_or(u32::MAX);
        self.flow.pulled(messages, extended.bytes);
        deliveries.drain(..extended.skipped.min(deliveries.len()));
        let mut waiting = 0;
        for delivery in deliveries {
            if delivery.is_unwanted {
                self.settle_in(state, epoch, delivery.offset);
            } else {
                state.waiting.push_back(delivery);
                waiting += 1;
            }
        }
        match (is_damaged, waiting) {
            (true, 0) => Pulled::Failed,
            (false, 0) => Pulled::Nothing,
            _ => Pulled::Messages(waiting),
        }
    }

    /// True where the message was of this epoch.
    fn settle_in(&self, state: &mut State, epoch: Epoch, offset: i64) -> bool {
        let Ok(bytes) = state.window.settle(epoch, offset) else { return false };
        self.flow.settled(1, bytes.into());
        true
    }

    /// Whether it has to be put into the ring; then it is in it.
    fn joins_ring(&self, state: &mut State, now: Instant) -> bool {
        let is_ordered = self.config.mode == ConsumeMode::Ordered;
        let rests = state.rests_until.is_some_and(|until| now < until);
        let may = state.stage == Stage::Running && !rests && !(is_ordered && state.running > 0);
        if state.is_in_ring || state.waiting.is_empty() || !may {
            return false;
        }
        state.is_in_ring = true;
        true
    }

    /// It comes out of the ring: so many messages at most are handed out. Whether it has to be put
    /// into the ring again.
    pub(super) fn hand_out(&self, now: Instant, most: usize) -> (Option<HandedOut>, bool) {
        let mut state = self.state();
        state.is_in_ring = false;
        if state.stage != Stage::Running || state.waiting.is_empty() {
            return (None, false);
        }
        let count = state.waiting.len().min(most.max(1));
        let deliveries: Vec<Delivery> = state.waiting.drain(..count).collect();
        state.running += 1;
        let handed_out = HandedOut { epoch: state.epoch, deliveries };
        let joins = self.joins_ring(&mut state, now);
        (Some(handed_out), joins)
    }

    /// A message needs no more care. True where that counts.
    pub(super) fn settle(&self, epoch: Epoch, offset: i64) -> bool {
        let mut state = self.state();
        let is_ours = !matches!(state.stage, Stage::Left | Stage::Locking | Stage::Finding);
        let was_committed = state.window.poll_commit().is_none();
        let counts = is_ours && self.settle_in(&mut state, epoch, offset);
        // The task waits for nothing where nothing was to be committed.
        let commits = was_committed && state.window.poll_commit().is_some();
        let calls = state.waits_for_span || commits;
        drop(state);
        if calls {
            self.bell.ring();
        }
        counts
    }

    /// A message is handled again here, not before that time.
    pub(super) fn put_later(&self, epoch: Epoch, at: Instant, delivery: Delivery) {
        let mut state = self.state();
        if state.epoch == epoch && state.stage == Stage::Running {
            state.later.push((at, delivery));
            drop(state);
            self.bell.ring();
        }
    }

    /// The whole queue rests, and goes on with these.
    pub(super) fn put_back(&self, epoch: Epoch, until: Instant, deliveries: Vec<Delivery>) {
        let mut state = self.state();
        if state.epoch == epoch && state.stage == Stage::Running {
            deliveries.into_iter().rev().for_each(|delivery| state.waiting.push_front(delivery));
            state.rests_until = Some(until);
            drop(state);
            self.bell.ring();
        }
    }

    /// A handler is through with all it was given. Whether the queue has to be put into the ring.
    pub(super) fn handle_done(&self, now: Instant) -> bool {
        let mut state = self.state();
        state.running = state.running.saturating_sub(1);
        state.handled_at = Some(now);
        let calls = state.running == 0 && matches!(state.stage, Stage::Stopping | Stage::Left);
        let joins = self.joins_ring(&mut state, now);
        drop(state);
        if calls {
            self.bell.ring();
        }
        joins
    }

    /// Time has passed: messages may be due to be handled again. Whether the queue has to be put
    /// into the ring.
    pub(super) fn handle_timeout(&self, now: Instant) -> bool {
        let mut state = self.state();
        state.rests_until = state.rests_until.filter(|until| now < *until);
        let State { later, waiting, .. } = &mut *state;
        let mut at = 0;
        while let Some((due, _)) = later.get(at) {
            if *due <= now {
                waiting.push_back(later.swap_remove(at).1);
            } else {
                at += 1;
            }
        }
        self.joins_ring(&mut state, now)
    }
}

/// One that takes nothing.
fn no_window() -> Window<'static> {
    let none: Box<[WindowCell]> = Box::default();
    Window::new(none)
}

impl fmt::Debug for OwnedQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedQueue").field("from", &self.from).finish_non_exhaustive()
    }
}

//! One member: the machines put together as a client does, without IO.

use alloc::collections::BTreeMap;

use turbopump_core::random::SplitMix64;
use turbopump_core::rocketmq::consumer::{
    AssignmentCell, Assignments, ConsumeMode, Epoch, Flow, FlowCell, FlowLimits, GiveAwayPolicy,
    Grant, Handled, Handling, LockCell, LockChange, LockKind, LockPolicy, Locks, Next, Pull,
    PullAnswer, PullOutcome, PullPolicy, Pulling, RebalancePolicy, Rebalancing, RetryPolicy,
    SettleRefused, Stage, Start, StartPolicy, Step, Strategy, Window, WindowCell, allocate,
};
use turbopump_core::rocketmq::wire::rebalance::Queue as Name;
use turbopump_core::time::Instant;

use crate::model::Message;

const PLACES: usize = 8;
/// Message bytes, all alike.
const BYTES: u32 = 100;

/// What a member asks of the broker, or of its handlers.
pub(crate) enum Ask {
    Members,
    Lock { number: u32, queues: Vec<usize> },
    Unlock { number: u32, queues: Vec<usize> },
    Start { place: usize, epoch: Epoch, number: u32, queue: usize },
    Pull { place: usize, epoch: Epoch, pull: Pull, queue: usize },
    Commit { place: usize, epoch: Epoch, queue: usize, offset: i64 },
    SendBack { place: usize, epoch: Epoch, offset: i64, key: usize, reconsume_times: i32 },
    Handle { place: usize, epoch: Epoch, offset: i64, key: usize, queue: usize },
}

/// What it is told.
pub(crate) enum Tell {
    Members(Vec<String>, Vec<Name<'static>>),
    Locked {
        number: u32,
        queues: Vec<usize>,
    },
    Started {
        place: usize,
        epoch: Epoch,
        number: u32,
        offset: i64,
    },
    Pulled {
        place: usize,
        epoch: Epoch,
        pull: Pull,
        queue: usize,
    },
    Answer {
        place: usize,
        epoch: Epoch,
        pull: Pull,
        answer: PullAnswer,
        messages: Vec<Message>,
    },
    Committed {
        place: usize,
        epoch: Epoch,
        offset: i64,
    },
    SentBack {
        place: usize,
        epoch: Epoch,
        offset: i64,
        is_stored: bool,
    },
    Handled {
        place: usize,
        epoch: Epoch,
        offset: i64,
        queue: usize,
        key: usize,
        is_failed: bool,
    },
    /// The connection was closed before this came.
    Lost(Box<Self>),
}

enum Doing {
    Ready {
        at: Instant,
    },
    Runs,
    /// Whether the request was made.
    GoesBack(bool),
}

struct Task {
    message: Message,
    handling: Handling,
    doing: Doing,
}

struct Slot {
    epoch: Epoch,
    queue: usize,
    start: Option<Start>,
    pulling: Option<Pulling>,
    window: Window<'static>,
    tasks: BTreeMap<i64, Task>,
    /// Handlers that run, of earlier epochs included.
    runs: usize,
    is_stopping: bool,
}

pub(crate) struct Member {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) rebalancing: Rebalancing,
    pub(crate) is_leaving: bool,
    pub(crate) stale_results: u64,
    pub(crate) waits: u64,
    is_ordered: bool,
    retry: RetryPolicy,
    assignments: Assignments<'static, usize>,
    flow: Flow<'static>,
    locks: Locks<'static>,
    slots: Vec<Slot>,
    random: SplitMix64,
    commit_at: Instant,
}

fn limits() -> FlowLimits {
    let mut limits = FlowLimits::DEFAULT;
    (limits.messages_max, limits.span_max, limits.pull_messages_max) = (24, 12, 8);
    limits
}

impl Member {
    pub(crate) fn new(id: u64, is_ordered: bool, now: Instant) -> Self {
        let window = || {
            let cells = limits().window_cells() as usize;
            Window::new(vec![WindowCell::default(); cells].into_boxed_slice())
        };
        let slot = |_| Slot {
            epoch: Epoch(0),
            queue: usize::MAX,
            start: None,
            pulling: None,
            window: window(),
            tasks: BTreeMap::new(),
            runs: 0,
            is_stopping: false,
        };
        let (mut give_away, mut retry) = (GiveAwayPolicy::DEFAULT, RetryPolicy::DEFAULT);
        give_away.is_ordered = is_ordered;
        if is_ordered {
            retry.mode = ConsumeMode::Ordered;
        }
        let places = vec![AssignmentCell::FREE; PLACES].into_boxed_slice();
        let flow = vec![FlowCell::default(); PLACES].into_boxed_slice();
        let locks = vec![LockCell::default(); PLACES].into_boxed_slice();
        Self {
            id,
            name: format!("member-{id:03}"),
            rebalancing: Rebalancing::new(RebalancePolicy::DEFAULT, now),
            is_leaving: false,
            stale_results: 0,
            waits: 0,
            is_ordered,
            retry,
            assignments: Assignments::new(give_away, places),
            flow: Flow::new(limits(), flow).expect("the limits fit"),
            locks: Locks::new(LockPolicy::DEFAULT, locks),
            slots: (0..PLACES).map(slot).collect(),
            random: SplitMix64::new(id),
            commit_at: now,
        }
    }

    pub(crate) fn leave(&mut self, now: Instant) {
        self.is_leaving = true;
        self.assignments.give_all_away(now);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.assignments.places(Stage::Free).count() == PLACES
    }

    /// The queue that is in a place under an epoch.
    pub(crate) fn queue_of(&self, place: usize, epoch: Epoch) -> Option<usize> {
        let slot = &self.slots[place];
        (slot.epoch == epoch && slot.queue != usize::MAX).then_some(slot.queue)
    }

    pub(crate) fn has(&self, queue: usize) -> bool {
        self.slots.iter().any(|slot| slot.queue == queue)
    }

    pub(crate) fn poll(&mut self, now: Instant) -> Vec<Ask> {
        let mut asks = Vec::new();
        let random = &mut self.random;
        self.assignments.handle_timeout(now);
        self.locks.handle_timeout(now, random);
        for (place, slot) in self.slots.iter_mut().enumerate() {
            if let Some(start) = &mut slot.start {
                start.handle_timeout(now, random);
            }
            let late = slot.pulling.as_mut().and_then(|p| p.handle_timeout(now, random));
            if late.is_some() {
                self.flow.cancel(place);
            }
        }
        if !self.is_leaving && self.rebalancing.begin(now) {
            asks.push(Ask::Members);
        }
        self.steps(now, &mut asks);
        self.lock(now, &mut asks);
        for place in 0..PLACES {
            self.fetch(now, place, &mut asks);
            self.hand_out(now, place, &mut asks);
        }
        while let Some((place, grant)) = self.flow.poll_granted() {
            self.begin_pull(now, place, grant, &mut asks);
        }
        if self.commit_at <= now {
            self.commit_at = now.plus_us(5_000_000);
            (0..PLACES).for_each(|place| self.commit(place, &mut asks));
        }
        asks
    }

    fn commit(&self, place: usize, asks: &mut Vec<Ask>) {
        let slot = &self.slots[place];
        if slot.pulling.is_some()
            && let Some(offset) = slot.window.poll_commit()
        {
            asks.push(Ask::Commit { place, epoch: slot.epoch, queue: slot.queue, offset });
        }
    }

    fn steps(&mut self, now: Instant, asks: &mut Vec<Ask>) {
        while let Some(step) = self.assignments.poll_step() {
            match step {
                Step::Take { place, epoch } => {
                    let queue = *self.assignments.get(place).expect("it was taken").0;
                    let slot = &mut self.slots[place];
                    (slot.epoch, slot.queue, slot.is_stopping) = (epoch, queue, false);
                    if self.is_ordered {
                        self.locks.hold(now, place, 0).expect("the lock is free");
                    } else {
                        slot.start = Some(Start::new(StartPolicy::DEFAULT, false, now));
                    }
                }
                Step::Stop { place, .. } => {
                    self.slots[place].is_stopping = true;
                    if let Some(pulling) = &mut self.slots[place].pulling {
                        pulling.stop();
                    }
                    self.flow.cancel(place);
                }
                Step::Commit { place, epoch, .. } => {
                    let before = asks.len();
                    self.commit(place, asks);
                    if asks.len() == before {
                        self.assignments.handle_committed(now, place, epoch);
                    }
                }
                Step::Unlock { place, .. } => self.locks.give_back(now, place),
                Step::Drop { place, .. } => {
                    self.clear(place);
                    self.slots[place].queue = usize::MAX;
                    self.locks.forget(place);
                    self.rebalancing.request(now);
                }
                other => panic!("an unknown step: {other:?}"),
            }
        }
        for place in self.assignments.places(Stage::Lingering).collect::<Vec<_>>() {
            let epoch = self.assignments.get(place).expect("it lingers").1;
            if self.slots[place].runs == 0 {
                self.assignments.handle_idle(now, place, epoch);
            }
        }
        for place in self.assignments.places(Stage::Stopping).collect::<Vec<_>>() {
            let slot = &self.slots[place];
            let goes_back = |task: &Task| matches!(task.doing, Doing::GoesBack(_));
            if slot.runs == 0 && !slot.tasks.values().any(goes_back) {
                self.assignments.handle_idle(now, place, slot.epoch);
            }
        }
    }

    /// Everything of an epoch is over.
    fn clear(&mut self, place: usize) {
        let slot = &mut self.slots[place];
        slot.epoch = Epoch(0);
        (slot.start, slot.pulling) = (None, None);
        slot.tasks.clear();
        slot.window.reset(Epoch(0), 0);
        self.flow.forget(place);
    }

    fn lock(&mut self, now: Instant, asks: &mut Vec<Ask>) {
        while let Some(change) = self.locks.poll_change(now) {
            match change {
                LockChange::Gained { queue: place } => {
                    self.slots[place].start = Some(Start::new(StartPolicy::DEFAULT, false, now));
                }
                LockChange::Lost { queue: place } => {
                    let epoch = self.slots[place].epoch;
                    self.clear(place);
                    let next = self.assignments.renew(place, epoch);
                    // One that is given away commits nothing any more.
                    self.slots[place].epoch = next.unwrap_or(epoch);
                }
                LockChange::Freed { queue: place } => {
                    let epoch = self.slots[place].epoch;
                    self.assignments.handle_unlocked(now, place, epoch);
                }
                other => panic!("an unknown change: {other:?}"),
            }
        }
        while let Some(request) = self.locks.poll_request(now) {
            let places = self.locks.queues_of(request.number);
            let queues = places.map(|place| self.slots[place].queue).collect();
            let number = request.number;
            asks.push(match request.kind {
                LockKind::Lock => Ask::Lock { number, queues },
                _ => Ask::Unlock { number, queues },
            });
        }
    }

    fn fetch(&mut self, now: Instant, place: usize, asks: &mut Vec<Ask>) {
        let slot = &mut self.slots[place];
        if slot.is_stopping {
            return;
        }
        // A handler of before the lock was lost may still run.
        if let Some(start) = slot.start.as_mut().filter(|_| !self.is_ordered || slot.runs == 0) {
            if let Some(offset) = start.offset() {
                slot.window.reset(slot.epoch, offset);
                slot.pulling = Some(Pulling::new(PullPolicy::DEFAULT, offset, now));
                slot.start = None;
            } else if let Some(request) = start.poll_request(now) {
                let (epoch, queue, number) = (slot.epoch, slot.queue, request.number);
                asks.push(Ask::Start { place, epoch, number, queue });
            }
        }
        let span = slot.window.span();
        if slot.pulling.is_some_and(|pulling| pulling.poll_pull(now)) {
            match self.flow.reserve(place, span).expect("the place has a cell") {
                Ok(grant) => self.begin_pull(now, place, grant, asks),
                Err(_) => {
                    self.waits += 1;
                    self.slots[place].pulling.as_mut().expect("it was there").hold();
                }
            }
        }
    }

    fn begin_pull(&mut self, now: Instant, place: usize, grant: Grant, asks: &mut Vec<Ask>) {
        let slot = &mut self.slots[place];
        let pull = slot.pulling.as_mut().and_then(|pulling| pulling.begin(now, grant));
        let Some(pull) = pull else { return self.flow.cancel(place) };
        asks.push(Ask::Pull { place, epoch: slot.epoch, pull, queue: slot.queue });
    }

    fn hand_out(&mut self, now: Instant, place: usize, asks: &mut Vec<Ask>) {
        let epoch = self.slots[place].epoch;
        let may = self.assignments.is_owned(place, epoch)
            && (!self.is_ordered || self.locks.is_held(now, place));
        let slot = &mut self.slots[place];
        for task in slot.tasks.values_mut() {
            if matches!(task.doing, Doing::GoesBack(false)) {
                task.doing = Doing::GoesBack(true);
                let Message { key, offset, reconsume_times } = task.message;
                asks.push(Ask::SendBack { place, epoch, offset, key, reconsume_times });
            }
        }
        for (offset, task) in slot.tasks.iter_mut().filter(|_| may) {
            if self.is_ordered && slot.runs > 0 {
                break;
            }
            if matches!(task.doing, Doing::Ready { at } if at <= now) {
                task.doing = Doing::Runs;
                slot.runs += 1;
                let (key, offset) = (task.message.key, *offset);
                asks.push(Ask::Handle { place, epoch, offset, key, queue: slot.queue });
            }
            if self.is_ordered {
                break;
            }
        }
    }

    pub(crate) fn tell(&mut self, now: Instant, tell: Tell) {
        let random = &mut self.random;
        match tell {
            Tell::Members(names, queues) => self.share(now, &names, &queues),
            Tell::Locked { number, queues } => {
                let slots = &self.slots;
                let is_locked = |place: usize| queues.contains(&slots[place].queue);
                self.locks.handle_answer(now, number, is_locked, random);
            }
            Tell::Started { place, epoch, number, offset } => {
                let slot = &mut self.slots[place];
                if let Some(start) = slot.start.as_mut().filter(|_| slot.epoch == epoch) {
                    start.handle_answer(now, number, 0, offset, random);
                }
            }
            Tell::Answer { place, epoch, pull, answer, messages } => {
                self.pulled(now, (place, epoch), pull, answer, messages);
            }
            Tell::Committed { place, epoch, offset } => {
                self.slots[place].window.handle_committed(epoch, offset);
                self.assignments.handle_committed(now, place, epoch);
            }
            Tell::Handled { place, epoch, offset, is_failed, .. } => {
                self.slots[place].runs -= 1;
                let handled = if is_failed { Handled::Failed } else { Handled::Done };
                self.judge(now, place, epoch, offset, |handling, retry, random| {
                    handling.handle(now, handled, retry, random)
                });
            }
            Tell::SentBack { place, epoch, offset, is_stored } => {
                self.judge(now, place, epoch, offset, |handling, retry, random| {
                    if is_stored {
                        handling.handle_sent_back()
                    } else {
                        handling.handle_send_back_failed(now, retry, random)
                    }
                });
            }
            Tell::Lost(what) => match *what {
                Tell::Members(..) => self.rebalancing.handle_failed(now, random),
                Tell::Locked { number, .. } => self.locks.handle_failed(now, number, random),
                Tell::Pulled { place, epoch, pull, .. } => {
                    let slot = &mut self.slots[place];
                    if let Some(pulling) = slot.pulling.as_mut().filter(|_| slot.epoch == epoch)
                        && pulling.handle_failed(now, pull.number, random) != PullOutcome::Stale
                    {
                        self.flow.cancel(place);
                    }
                }
                // The others run into their deadlines.
                _ => {}
            },
            Tell::Pulled { .. } => panic!("a pull comes as its answer"),
        }
    }

    fn share(&mut self, now: Instant, names: &[String], queues: &[Name<'static>]) {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut own = Vec::new();
        let take = |queue| own.push(queue);
        let by = Strategy::Averagely;
        let shared = allocate(by, "T", queues, &names, &self.name, &mut [], take);
        if shared.is_err() || self.is_leaving {
            return self.rebalancing.handle_failed(now, &mut self.random);
        }
        let retry = queues.len();
        self.assignments.apply(now, &own, |queue| *queue < retry).expect("there is room");
        // The retry topic has one queue: the first member's.
        let own = if names.first() == Some(&&*self.name) { vec![retry] } else { Vec::new() };
        self.assignments.apply(now, &own, |queue| *queue == retry).expect("there is room");
        self.rebalancing.handle_done(now);
    }

    fn pulled(
        &mut self,
        now: Instant,
        (place, epoch): (usize, Epoch),
        pull: Pull,
        answer: PullAnswer,
        messages: Vec<Message>,
    ) {
        let slot = &mut self.slots[place];
        let Some(pulling) = slot.pulling.as_mut().filter(|_| slot.epoch == epoch) else { return };
        match pulling.handle_answer(now, pull.number, answer, &mut self.random) {
            PullOutcome::Found { next_offset } | PullOutcome::Nothing { next_offset } => {
                let sizes = messages.iter().map(|message| (message.offset, BYTES));
                let extended = slot.window.extend(epoch, sizes, next_offset);
                let extended = extended.expect("what was reserved fits");
                self.flow.handle_pulled(place, extended.messages as u32, extended.bytes);
                for message in messages {
                    let handling = Handling::new(message.reconsume_times);
                    let doing = Doing::Ready { at: now };
                    slot.tasks.insert(message.offset, Task { message, handling, doing });
                }
            }
            PullOutcome::Stale => {}
            other => panic!("an answer that the model does not give: {other:?}"),
        }
    }

    fn judge(
        &mut self,
        now: Instant,
        place: usize,
        epoch: Epoch,
        offset: i64,
        next: impl FnOnce(&mut Handling, &RetryPolicy, &mut SplitMix64) -> Next,
    ) {
        let slot = &mut self.slots[place];
        if slot.window.epoch() != epoch {
            let settled = slot.window.settle(epoch, offset);
            assert!(matches!(settled, Err(SettleRefused::Stale { .. })), "{settled:?}");
            self.stale_results += 1;
            return;
        }
        let task = slot.tasks.get_mut(&offset).expect("a task of this epoch");
        match next(&mut task.handling, &self.retry, &mut self.random) {
            Next::Settle => {
                slot.tasks.remove(&offset);
                let before = slot.window.commit_offset();
                let bytes = slot.window.settle(epoch, offset).expect("it waits");
                assert!(slot.window.commit_offset() >= before, "the offset went back");
                self.flow.handle_settled(place, 1, bytes.into());
                if let Some(pulling) = &mut slot.pulling {
                    pulling.release(now);
                }
            }
            Next::SendBack { .. } => task.doing = Doing::GoesBack(false),
            Next::Again { at } | Next::Suspend { until: at, .. } => {
                task.doing = Doing::Ready { at };
            }
            other => panic!("an unknown outcome: {other:?}"),
        }
    }
}

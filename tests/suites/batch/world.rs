//! An accumulator and its model, told the same and compared after each step.

use alloc::rc::Rc;

use turbopump_core::batch::{
    Accumulator, Batch, BatchConfig, BatchStorage, Outcome, PollRefused, SettleRefused, Settled,
};
use turbopump_core::time::{Instant, Now};

use crate::model::{Counts, Model};

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Push {
        bytes: u64,
        deadline_us: Option<u64>,
    },
    PushMany(Vec<u64>),
    Advance {
        us: u64,
    },
    /// To the time that it asks for.
    AdvanceToTimeout,
    Poll,
    /// Settles one of the batches that are out; two bits per item say how. It may have been
    /// concluded before.
    Settle {
        which: usize,
        outcomes: u64,
        concluded_before_us: Option<u64>,
    },
    /// Drops one of the batches that are out.
    Drop {
        which: usize,
    },
    Flush,
    Load(f64),
    Shutdown,
    Abandon,
}

/// An item that knows how many of it there are.
pub(crate) type Item = Rc<u32>;

pub(crate) struct World {
    pub(crate) config: BatchConfig,
    pub(crate) now: Instant,
    pub(crate) batcher: Accumulator<'static, Item>,
    pub(crate) model: Model,
    /// Batches that are out, with the model's keys.
    pub(crate) out: Vec<(u64, Batch<'static, Item>)>,
    /// Batches that are not.
    idle: Vec<Batch<'static, Item>>,
    /// All that were accepted, and how they ended.
    pub(crate) items: Vec<(Item, Option<Settled>)>,
    /// When the last poll found nothing, and nothing has happened since.
    quiet_at: Option<Instant>,
}

const SEED: u64 = 3;

impl World {
    pub(crate) fn new(config: BatchConfig) -> Self {
        let storage = BatchStorage::on_heap(&config);
        Self {
            config,
            now: Instant::from_ms(1_000),
            batcher: Accumulator::new(config, storage, SEED).expect("a valid configuration"),
            model: Model::new(config, SEED),
            out: Vec::new(),
            idle: Vec::new(),
            items: Vec::new(),
            quiet_at: None,
        }
    }

    fn now(&self) -> Now {
        Now::new(self.now, 0)
    }

    pub(crate) fn take(&mut self, step: &Step) {
        if !matches!(step, Step::Advance { .. } | Step::AdvanceToTimeout | Step::Poll) {
            self.quiet_at = None;
        }
        match step {
            Step::Push { bytes, deadline_us } => self.push(*bytes, *deadline_us),
            Step::PushMany(bytes) => self.push_many(bytes),
            Step::Advance { us } => self.now = self.now.plus_us(*us),
            Step::AdvanceToTimeout => {
                self.now = self.now.max(self.batcher.poll_timeout().unwrap_or(self.now));
            }
            Step::Poll => drop(self.poll()),
            Step::Settle { which, outcomes, concluded_before_us } => {
                if !self.out.is_empty() {
                    let (key, batch) = self.out.swap_remove(which % self.out.len());
                    self.settle(key, batch, *outcomes, *concluded_before_us);
                }
            }
            Step::Drop { which } => self.drop_batch(*which),
            Step::Flush => {
                self.batcher.flush();
                self.model.flush();
            }
            Step::Load(share) => {
                self.batcher.set_cpu_share(*share);
                self.model.set_cpu_share(*share);
            }
            Step::Shutdown => {
                self.batcher.shutdown();
                self.model.shutdown();
            }
            Step::Abandon => self.abandon(),
        }
        self.compare();
    }

    /// All that can be seen from outside.
    fn compare(&self) {
        let (batcher, model) = (&self.batcher, &self.model);
        assert_eq!(batcher.waiting(), model.waiting.len());
        assert_eq!(batcher.room(), model.room());
        assert_eq!(batcher.in_flight(), model.out.len() + model.retrying.len());
        assert_eq!(batcher.is_drained(), model.waiting.is_empty() && batcher.in_flight() == 0);
        assert_eq!(batcher.poll_timeout(), model.poll_timeout(), "timeout");
        let counters = batcher.counters();
        let counts = Counts {
            items: counters.items.get(),
            refused: counters.refused.get(),
            lost: counters.lost.get(),
            batches: counters.batches.get(),
            batched_items: counters.batched_items.get(),
            batched_bytes: counters.batched_bytes.get(),
            closed: counters.closed.map(|counter| counter.get()),
            succeeded: counters.succeeded.get(),
            failed: counters.failed.get(),
            expired: counters.expired.get(),
            retried: counters.retried.get(),
            attempts: count_of(&counters.processing_us),
        };
        assert_eq!(counts, model.counts);
        assert!(batcher.waiting() <= self.config.waiting_max as usize);
        assert!(batcher.in_flight() <= self.config.in_flight_max as usize);
    }

    pub(crate) fn push(&mut self, bytes: u64, deadline_us: Option<u64>) {
        self.quiet_at = None;
        let id = self.items.len() as u32;
        let item = Rc::new(id);
        let deadline = deadline_us.map_or(Instant::NEVER, |us| self.now.plus_us(us));
        let told = self.batcher.push_until(self.now(), Rc::clone(&item), bytes, deadline);
        let expected = self.model.push(self.now, id, bytes, deadline);
        match told {
            Ok(()) => {
                assert_eq!(expected, Ok(()));
                self.items.push((item, None));
            }
            Err(refused) => {
                assert_eq!(Err(refused.reason), expected);
                assert!(Rc::ptr_eq(&refused.item, &item), "what is refused comes back");
            }
        }
    }

    fn push_many(&mut self, bytes: &[u64]) {
        let first = self.items.len() as u32;
        let all = (first..).zip(bytes).map(|(id, bytes)| (Rc::new(id), *bytes));
        let all: Vec<_> = all.collect();
        let mut pairs = all.iter().map(|(item, bytes)| (Rc::clone(item), *bytes));
        let told = self.batcher.push_many(self.now(), &mut pairs);
        let left = pairs.count();
        let mut pushed = 0;
        let mut refusal = None;
        while pushed < all.len() && self.model.room() > 0 && refusal.is_none() {
            let id = first + pushed as u32;
            match self.model.push(self.now, id, all[pushed].1, Instant::NEVER) {
                Ok(()) => pushed += 1,
                Err(reason) => refusal = Some(reason),
            }
        }
        match (told, refusal) {
            (Ok(count), None) => assert_eq!((count, left), (pushed, all.len() - pushed)),
            (Err(refused), Some(reason)) => {
                assert_eq!((refused.pushed, left), (pushed, all.len() - pushed - 1));
                assert_eq!(refused.refused.reason, reason);
                assert!(Rc::ptr_eq(&refused.refused.item, &all[pushed].0));
            }
            (told, expected) => panic!("{told:?} where {expected:?} was expected"),
        }
        self.items.extend(all.into_iter().take(pushed).map(|(item, _)| (item, None)));
    }

    /// True where there was a batch.
    pub(crate) fn poll(&mut self) -> bool {
        let mut batch = self.idle.pop().unwrap_or_else(|| Batch::on_heap(&self.config));
        let filled = self.batcher.poll_batch(self.now(), &mut batch).expect("it is not out");
        let expected = self.model.poll(self.now);
        assert_eq!(filled, expected.is_some(), "expected {expected:?}");
        let Some(group) = expected else {
            assert!(batch.is_empty() && batch.ticket().is_none());
            assert!(self.batcher.poll_timeout().is_none_or(|at| at > self.now), "spins");
            self.quiet_at = Some(self.now);
            self.idle.push(batch);
            return false;
        };
        if let Some(at) = self.quiet_at.take() {
            assert!(at < self.now, "something turned up without a cause");
        }
        let ids: Vec<u32> = batch.iter().map(|item| **item).collect();
        assert_eq!(ids, group.visible());
        assert_eq!((batch.len(), batch.bytes()), (ids.len(), group.bytes()));
        assert_eq!(batch.attempt(), group.attempt);
        assert!(batch.bytes() <= self.config.bytes_max);
        assert!(group.items.len() <= self.config.items_capacity());
        assert!(ids.is_sorted(), "out of order: {ids:?}");
        for entry in batch.iter_mut() {
            assert!(entry.deadline() > self.now, "{entry:?} is out too late");
        }
        if self.config.ordered {
            let first = group.items.first().map_or(0, |item| item.id as usize);
            let unsettled = self.items[..first].iter().find(|(_, settled)| settled.is_none());
            let lost = self.model.counts.lost > 0;
            assert!(unsettled.is_none() || lost || group.attempt > 0, "{unsettled:?} is skipped");
        }
        let refused = self.batcher.poll_batch(self.now(), &mut batch);
        assert_eq!(refused, Err(PollRefused::Unsettled));
        self.out.push((group.key, batch));
        true
    }

    pub(crate) fn settle(
        &mut self,
        key: u64,
        mut batch: Batch<'static, Item>,
        outcomes: u64,
        concluded_before_us: Option<u64>,
    ) {
        let outcome = |id: u32| match outcomes.rotate_right(2 * id) & 3 {
            0 | 1 => Outcome::Done,
            2 => Outcome::Failed,
            _ => Outcome::Retry,
        };
        if outcomes != 0 {
            for mut entry in &mut batch {
                entry.set(outcome(**entry.item()));
            }
        }
        self.quiet_at = None;
        let concluded_at = self.now;
        let (mut concluded, mut settled) = (Vec::new(), Vec::new());
        if let Some(us) = concluded_before_us {
            batch.conclude(self.now(), |item, how| concluded.push((*item, how)));
            self.now = self.now.plus_us(us);
        }
        let each = |item: Item, how| settled.push((*item, how));
        assert_eq!(self.batcher.settle(self.now(), &mut batch, each), Ok(()));
        let (mut first, then) = self.model.settle(concluded_at, key, outcome);
        if concluded_before_us.is_some() {
            assert_eq!(concluded, first);
            assert_eq!(settled, then);
        } else {
            first.extend(&then);
            assert_eq!(settled, first);
        }
        concluded.extend(settled);
        self.end(&concluded);
        let again = self.batcher.settle(self.now(), &mut batch, |_, _| unreachable!());
        assert_eq!(again, Err(SettleRefused));
        self.idle.push(batch);
    }

    fn end(&mut self, settled: &[(u32, Settled)]) {
        for (id, how) in settled {
            let (item, end) = &mut self.items[*id as usize];
            assert_eq!(*end, None, "item {id} is settled a second time, as {how:?}");
            *end = Some(*how);
            assert_eq!(Rc::strong_count(item), 1, "item {id} is still somewhere");
        }
    }

    fn drop_batch(&mut self, which: usize) {
        if self.out.is_empty() {
            return;
        }
        let (key, batch) = self.out.swap_remove(which % self.out.len());
        let ticket = batch.ticket().expect("it is out");
        drop(batch);
        assert!(self.batcher.forget(ticket));
        assert!(!self.batcher.forget(ticket));
        self.model.forget(key);
    }

    fn abandon(&mut self) {
        let mut settled = Vec::new();
        let count = self.batcher.abandon(|item, how| settled.push((*item, how)));
        let mut expected = self.model.abandon();
        assert_eq!(count, expected.len());
        self.end(&settled);
        settled.sort_by_key(|(id, _)| *id);
        expected.sort_by_key(|(id, _)| *id);
        assert_eq!(settled, expected);
    }

    /// Shuts down and works until nothing is left.
    pub(crate) fn finish(&mut self) {
        self.take(&Step::Shutdown);
        for _ in 0..10_000 {
            while self.poll() {
                self.compare();
            }
            if let Some((key, batch)) = self.out.pop() {
                self.settle(key, batch, 0, None);
                self.compare();
            } else if let Some(at) = self.batcher.poll_timeout() {
                self.now = self.now.max(at);
            } else {
                break;
            }
        }
        assert!(self.batcher.is_drained(), "{:?}", self.batcher);
        let unsettled = self.items.iter().filter(|(_, settled)| settled.is_none()).count();
        assert_eq!(unsettled as u64, self.batcher.counters().lost.get(), "never settled");
        let held = self.items.iter().find(|(item, _)| Rc::strong_count(item) > 1);
        assert!(held.is_none(), "still somewhere: {held:?}");
    }
}

fn count_of(histogram: &impl turbopump_core::stats::Distribution) -> u64 {
    histogram.count()
}

//! The accumulator under any interleaving of inputs and time: each item settles once, order is
//! kept, limits hold, and timers neither lie nor spin.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use turbopump_core::batch::{
    Accumulator, Backoff, Batch, BatchConfig, BatchStorage, LoadRule, Outcome, Refusal,
    RetryPolicy, Settled, SizePolicy,
};
use turbopump_core::time::{Instant, Now};

#[derive(Clone, Debug)]
enum Step {
    Push {
        bytes: u64,
        deadline_us: Option<u64>,
    },
    Advance {
        us: u64,
    },
    Poll,
    /// Settles one of the batches that are out; two bits per item say how.
    Settle {
        which: usize,
        outcomes: u64,
    },
    Flush,
    Load(f64),
    Shutdown,
}

fn step() -> impl Strategy<Value = Step> {
    let deadline = prop_oneof![3 => Just(None), 1 => (0_u64..200_000).prop_map(Some)];
    prop_oneof![
        12 => (0_u64..120, deadline).prop_map(|(bytes, deadline_us)| Step::Push { bytes, deadline_us }),
        4 => (0_u64..30_000).prop_map(|us| Step::Advance { us }),
        1 => (0_u64..500_000).prop_map(|us| Step::Advance { us }),
        6 => Just(Step::Poll),
        5 => (any::<usize>(), any::<u64>())
            .prop_map(|(which, outcomes)| Step::Settle { which, outcomes }),
        1 => Just(Step::Flush),
        1 => (0.0..1.0).prop_map(Step::Load),
        1 => Just(Step::Shutdown),
    ]
}

fn config() -> impl Strategy<Value = BatchConfig> {
    let size = prop_oneof![Just(SizePolicy::Fixed), Just(SizePolicy::ByLoad(small_rule()))];
    let backoff =
        prop_oneof![Just(Backoff::Fixed), Just(Backoff::Exponential { delay_us_max: 120_000 }),];
    let retry = (0_u32..4, backoff, 0.0..1.0);
    (1_u32..8, 100_u64..400, 0_u64..20_000, 1_u32..25, 1_u32..4, any::<bool>(), retry, size)
        .prop_map(|(items, bytes_max, linger_us, waiting, in_flight, ordered, retry, size)| {
            let (retries_max, backoff, jitter) = retry;
            BatchConfig {
                items_max: items,
                bytes_max,
                item_bytes_max: 100,
                linger_us,
                waiting_max: waiting,
                in_flight_max: in_flight,
                ordered,
                retry: RetryPolicy { retries_max, delay_us: 50_000, backoff, jitter },
                size,
            }
        })
}

/// Sizes 2, 3 and 5: so that batches are split often.
fn small_rule() -> LoadRule {
    LoadRule { items_at_high: 2, items_between: 3, items_at_low: 5, ..LoadRule::DEFAULT }
}

#[derive(Debug, Default)]
struct Known {
    bytes: u64,
    deadline: Option<Instant>,
    pushed_at: Instant,
    attempts: u32,
    /// When the last attempt was settled, if it is to be tried again.
    failed_at: Option<Instant>,
    said: Option<Outcome>,
    settled: Option<Settled>,
}

/// The accumulator and everything that is known about what it was told and has said.
struct World {
    config: BatchConfig,
    batcher: Accumulator<'static, 'static, u32>,
    now: Instant,
    out: Vec<Batch<'static, u32>>,
    items: BTreeMap<u32, Known>,
    /// The highest item that was in a new batch.
    last_new: Option<u32>,
    shutting_down: bool,
    /// Since a poll returned nothing, and nothing else happened: when the next is to return
    /// something.
    quiet_until: Option<Option<Instant>>,
}

impl World {
    fn new(config: BatchConfig) -> Self {
        let storage = BatchStorage::on_heap(&config);
        let batcher = Accumulator::new(config, storage, 3).expect("a valid configuration");
        Self {
            config,
            batcher,
            now: Instant::from_ms(1_000),
            out: Vec::new(),
            items: BTreeMap::new(),
            last_new: None,
            shutting_down: false,
            quiet_until: None,
        }
    }

    fn now(&self) -> Now {
        Now::new(self.now, 0)
    }

    fn take(&mut self, step: &Step) {
        if !matches!(step, Step::Advance { .. } | Step::Poll) {
            self.quiet_until = None;
        }
        match step {
            Step::Push { bytes, deadline_us } => self.push(*bytes, *deadline_us),
            Step::Advance { us } => self.now = self.now.plus_us(*us),
            Step::Poll => drop(self.poll()),
            Step::Settle { which, outcomes } if !self.out.is_empty() => {
                let batch = self.out.swap_remove(which % self.out.len());
                self.settle(batch, *outcomes);
            }
            Step::Settle { .. } => {}
            Step::Flush => self.batcher.flush(),
            Step::Load(share) => self.batcher.set_cpu_share(*share),
            Step::Shutdown => {
                self.shutting_down = true;
                self.batcher.shutdown();
            }
        }
        assert!(self.batcher.waiting() <= self.config.waiting_max as usize);
        assert!(self.batcher.in_flight() <= self.config.in_flight_max as usize);
    }

    fn push(&mut self, bytes: u64, deadline_us: Option<u64>) {
        let item = self.items.len() as u32;
        let deadline = deadline_us.map(|us| self.now.plus_us(us));
        let waiting = self.batcher.waiting();
        let until = deadline.unwrap_or(Instant::NEVER);
        match self.batcher.push_until(self.now(), item, bytes, until) {
            Ok(()) => {
                let pushed_at = self.now;
                let known = Known { bytes, deadline, pushed_at, ..Known::default() };
                self.items.insert(item, known);
            }
            Err(refused) => {
                assert_eq!(refused.item, item, "what is refused comes back");
                match refused.reason {
                    Refusal::TooLarge { bytes: said, max } => {
                        assert_eq!((said, max), (bytes, self.config.item_bytes_max));
                        assert!(bytes > max);
                    }
                    Refusal::Full { waiting: said, max } => {
                        assert_eq!((said, said), (waiting, max));
                    }
                    Refusal::NoBatch { waiting: said, max } => {
                        assert!(said == waiting && waiting < max);
                    }
                    Refusal::ShuttingDown => assert!(self.shutting_down),
                    other => panic!("unknown refusal {other:?}"),
                }
            }
        }
    }

    /// Polls once and checks what comes, if anything does.
    fn poll(&mut self) -> bool {
        let Some(batch) = self.batcher.poll_batch(self.now()) else {
            if let Some(Some(due)) = self.quiet_until {
                assert!(self.now < due, "was to return something at {due:?}");
            }
            let timeout = self.batcher.poll_timeout();
            assert!(timeout.is_none_or(|at| at > self.now), "spins: {timeout:?}");
            self.quiet_until = Some(timeout);
            return false;
        };
        if let Some(due) = self.quiet_until.take() {
            assert!(due.is_some_and(|due| due <= self.now), "early, or without being told of");
        }
        let items: Vec<u32> = batch.iter().map(|entry| *entry.item()).collect();
        assert!(items.is_sorted(), "order within a batch: {items:?}");
        assert!(items.len() <= self.config.items_capacity());
        let bytes: u64 = items.iter().map(|item| self.items[item].bytes).sum();
        assert!(bytes <= batch.bytes() && batch.bytes() <= self.config.bytes_max);
        if batch.attempt() == 0 {
            self.check_new(&items);
        }
        for item in &items {
            let known = self.items.get_mut(item).expect("it was pushed");
            assert_eq!(known.settled, None, "item {item} is settled");
            assert_eq!(known.attempts, batch.attempt(), "attempts with item {item}");
            assert!(known.deadline.is_none_or(|deadline| self.now < deadline), "too late");
            if let Some(failed_at) = known.failed_at {
                // Jitter only shortens, and waits double at most.
                let factor = 1 << known.attempts.saturating_sub(1);
                let earliest =
                    failed_at.plus_us(((1.0 - self.config.retry.jitter) * 49_999.0) as u64);
                assert!(self.now >= earliest, "retried too early");
                assert!(factor <= 8 && known.attempts <= self.config.retry.retries_max);
            }
            known.attempts += 1;
            known.said = None;
        }
        self.out.push(batch);
        true
    }

    /// New batches come in the order of the pushes, and no later than the linger time asks for.
    fn check_new(&mut self, items: &[u32]) {
        let Some(first) = items.first() else { return };
        assert!(self.last_new.is_none_or(|last| last < *first), "order between batches");
        self.last_new = items.last().copied();
        if self.config.ordered {
            let mut earlier = self.items.range(..first);
            let unsettled = earlier.find(|(_, known)| {
                let may_have_expired = known.deadline.is_some_and(|at| at <= self.now);
                known.settled.is_none() && !may_have_expired
            });
            assert!(unsettled.is_none(), "{unsettled:?} comes before {first}");
        }
    }

    fn settle(&mut self, mut batch: Batch<'static, u32>, mut outcomes: u64) {
        for entry in &mut batch {
            let outcome = match outcomes & 3 {
                0 | 1 => Outcome::Done,
                2 => Outcome::Failed,
                _ => Outcome::Retry,
            };
            outcomes = outcomes.rotate_right(2);
            entry.set(outcome);
            let known = self.items.get_mut(entry.item()).expect("it was pushed");
            known.said = Some(outcome);
            known.failed_at = Some(self.now);
        }
        let (now, items) = (self.now(), &mut self.items);
        let mut last = None;
        let each = |item, how| {
            assert!(last.is_none_or(|last| last < item), "settled out of order");
            last = Some(item);
            check_settled(items.get_mut(&item).expect("it was pushed"), item, how);
        };
        self.batcher.settle(now, batch, each).expect("its own batch");
    }

    /// Shuts down and works until nothing is left.
    fn finish(&mut self) {
        self.take(&Step::Shutdown);
        for _ in 0..10_000 {
            while self.poll() {}
            if let Some(batch) = self.out.pop() {
                self.settle(batch, 0);
                self.quiet_until = None;
            } else if let Some(at) = self.batcher.poll_timeout() {
                self.now = self.now.max(at);
            } else {
                break;
            }
        }
        assert!(self.batcher.is_drained(), "{:?}", self.batcher);
        let unsettled = self.items.iter().find(|(_, known)| known.settled.is_none());
        assert!(unsettled.is_none(), "never settled: {unsettled:?}");
        let counters = self.batcher.counters();
        assert_eq!(counters.items.get(), self.items.len() as u64);
        assert_eq!(counters.succeeded.get() + counters.failed.get(), self.items.len() as u64);
        let closed: u64 = counters.closed.iter().map(|counter| counter.get()).sum();
        assert_eq!(closed, counters.batches.get());
    }
}

fn check_settled(known: &mut Known, item: u32, how: Settled) {
    assert_eq!(known.settled, None, "item {item} is settled a second time, as {how:?}");
    known.settled = Some(how);
    match how {
        Settled::Done => assert_eq!(known.said, Some(Outcome::Done)),
        Settled::Failed => assert_eq!(known.said, Some(Outcome::Failed)),
        Settled::Exhausted { attempts } => {
            assert_eq!((known.said, attempts), (Some(Outcome::Retry), known.attempts));
        }
        Settled::Expired { attempts } => {
            assert!(known.deadline.is_some(), "item {item} has no deadline");
            assert_eq!(attempts, known.attempts);
        }
        other => panic!("item {item} ended as {other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn each_item_settles_once_whatever_happens(config in config(), steps in vec(step(), 0..200)) {
        let mut world = World::new(config);
        steps.iter().for_each(|step| world.take(step));
        world.finish();
    }

    /// Polled whenever it asks for it, no item waits longer than the linger time for its first
    /// attempt, as long as batches come back at once.
    #[test]
    fn nobody_lingers_too_long(
        linger_us in 1_u64..20_000,
        items_max in 1_u32..10,
        gaps in vec(0_u64..5_000, 1..100),
    ) {
        let config = BatchConfig { linger_us, items_max, ..BatchConfig::default() };
        let mut world = World::new(config);
        for gap in gaps {
            let until = world.now.plus_us(gap);
            while let Some(at) = world.batcher.poll_timeout().filter(|at| *at <= until) {
                world.now = at;
                settle_all(&mut world);
            }
            world.now = until;
            world.push(1, None);
            settle_all(&mut world);
        }
        world.finish();
    }
}

fn settle_all(world: &mut World) {
    world.quiet_until = None;
    while world.poll() {
        let batch = world.out.pop().expect("just polled");
        for entry in batch.iter() {
            let waited_us = world.now.us_since(world.items[entry.item()].pushed_at);
            assert!(waited_us <= world.config.linger_us, "waited {waited_us} us");
        }
        world.settle(batch, 0);
    }
    world.quiet_until = None;
}

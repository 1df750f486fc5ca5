//! Random lives of an engine under a clock that the test moves: each item that was taken in is
//! settled once, nobody who could work is left uncalled, and the keeper always comes in time.

use core::sync::atomic::{AtomicU64, Ordering};

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;
use turbopump_core::batch::Outcome;

use super::*;

/// Microseconds.
#[derive(Clone, Default)]
pub(in crate::batch) struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    pub(super) fn now(&self) -> Now {
        Now::new(Instant::from_us(self.0.load(Ordering::SeqCst)), 0)
    }
}

const WORKERS: usize = 3;
const LINGER_US: u64 = 10_000;

#[derive(Clone, Debug)]
enum Step {
    Push {
        items: u8,
        deadline_us: Option<u64>,
    },
    Take(usize),
    /// The seed decides on each item's outcome.
    Settle(usize, u64),
    Pass(u64),
    Flush,
    Stop,
    Abandon,
}

fn step() -> impl Strategy<Value = Step> {
    let deadline = prop::option::weighted(0.2, 1_u64..60_000);
    prop_oneof![
        6 => (1_u8..12, deadline)
            .prop_map(|(items, deadline_us)| Step::Push { items, deadline_us }),
        8 => (0..WORKERS).prop_map(Step::Take),
        8 => (0..WORKERS, any::<u64>()).prop_map(|(worker, seed)| Step::Settle(worker, seed)),
        4 => (1_u64..30_000).prop_map(Step::Pass),
        1 => Just(Step::Flush),
        1 => Just(Step::Stop),
        1 => Just(Step::Abandon),
    ]
}

struct World {
    engine: Engine<u64>,
    clock: ManualClock,
    batches: Vec<Batch<'static, u64>>,
    is_out: [bool; WORKERS],
    /// How often each item was settled, of those that were taken in.
    settled: Vec<u32>,
    /// The last item that was handed out the first time, where order is kept.
    last_new: Option<u64>,
}

impl World {
    fn new(ordered: bool) -> Self {
        let clock = ManualClock::default();
        let mut settings = BatchSettings::<u64>::default();
        settings.batch.items_max = 8;
        settings.batch.waiting_max = 30;
        settings.batch.in_flight_max = 4;
        settings.batch.linger_us = LINGER_US;
        settings.batch.retry.delay_us = 5_000;
        settings.batch.ordered = ordered;
        settings.workers = WORKERS;
        settings.waiting_bytes_max = 200;
        let mut engine = Engine::new(settings, SystemClock::new(), 7).unwrap();
        engine.clock = EngineClock::Manual(clock.clone());
        let batch = || Batch::on_heap(&engine.settings.batch);
        let batches = vec![batch(), batch(), batch()];
        engine.lock().running = WORKERS;
        Self {
            engine,
            clock,
            batches,
            is_out: [false; WORKERS],
            settled: Vec::new(),
            last_new: None,
        }
    }

    fn workers(&self) -> usize {
        self.engine.settings.workers()
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Push { items, deadline_us } => self.push(items, deadline_us),
            Step::Take(worker) => self.take(worker % self.workers()),
            Step::Settle(worker, seed) => self.settle(worker % self.workers(), seed),
            Step::Pass(us) => self.pass(us),
            Step::Flush => self.engine.flush(),
            Step::Stop => self.engine.stop(),
            Step::Abandon => {
                let settled = &mut self.settled;
                self.engine.abandon(|item, _| settled[item as usize] += 1);
            }
        }
        self.check();
    }

    fn push(&mut self, items: u8, deadline_us: Option<u64>) {
        for _ in 0..items {
            let now = self.clock.now().at;
            let deadline = deadline_us.map_or(Instant::NEVER, |us| now.plus_us(us));
            // Not by `lock`, which would withdraw what is allowed.
            let state = self.engine.state.lock().unwrap();
            let item = self.settled.len() as u64;
            let had_room = state.accumulator.room() > 0
                && !self.engine.settings.is_full(state.waiting_bytes, 8);
            let is_stopping = state.is_stopping;
            drop(state);
            match self.engine.try_push(item, deadline) {
                Ok(()) => {
                    assert!(had_room && !is_stopping);
                    self.settled.push(0);
                }
                Err(refused) => {
                    assert_eq!(refused.item, item, "it comes back");
                    assert!(!had_room || is_stopping, "{refused}");
                }
            }
        }
    }

    fn take(&mut self, worker: usize) {
        if self.is_out[worker] {
            return;
        }
        let cx = Context::from_waker(Waker::noop());
        let batch = &mut self.batches[worker];
        if self.engine.poll_batch(worker, batch, &cx) != Poll::Ready(Some(())) {
            return;
        }
        self.is_out[worker] = true;
        assert!(batch.len() <= 8);
        if self.engine.settings.batch.ordered && batch.attempt() == 0 {
            let mut items: Vec<_> = batch.iter().copied().collect();
            assert!(items.is_sorted(), "{items:?}");
            if let (Some(first), Some(last)) = (items.first(), self.last_new) {
                assert!(*first > last);
            }
            self.last_new = items.pop().or(self.last_new);
        }
    }

    fn settle(&mut self, worker: usize, seed: u64) {
        if !mem::take(&mut self.is_out[worker]) {
            return;
        }
        let batch = &mut self.batches[worker];
        for mut entry in &mut *batch {
            entry.set(match (*entry.item() ^ seed) % 4 {
                0 => Outcome::Failed,
                1 => Outcome::Retry,
                _ => Outcome::Done,
            });
        }
        let settled = &mut self.settled;
        self.engine.settle(batch, |item, _| settled[item as usize] += 1);
    }

    /// The keeper comes when its time has come, as its task would.
    fn pass(&mut self, us: u64) {
        let to = self.clock.0.load(Ordering::SeqCst) + us;
        loop {
            let armed = self.engine.lock().armed;
            if armed > Instant::from_us(to) {
                break;
            }
            self.clock.0.fetch_max(armed.as_us(), Ordering::SeqCst);
            let now = Instant::from_us(self.clock.0.load(Ordering::SeqCst));
            let settled = &mut self.settled;
            self.engine.round(|item, how| {
                assert_eq!(how, Settled::Expired { attempts: 0 });
                settled[item as usize] += 1;
            });
            let expiry = self.engine.lock().accumulator.poll_expiry();
            assert!(expiry.is_none_or(|at| at > now), "nobody is told too late");
            assert!(self.engine.lock().armed > armed, "it does not spin");
        }
        self.clock.0.store(to, Ordering::SeqCst);
    }

    fn check(&self) {
        assert!(self.settled.iter().all(|times| *times <= 1));
        let state = self.engine.state.lock().unwrap();
        let due = state.accumulator.poll_timeout();
        let now = self.clock.now().at;
        if let Some(at) = due.filter(|at| *at > now) {
            assert!(state.armed <= at, "the keeper comes at {:?}, not at {at:?}", state.armed);
        }
        if let Some(at) = state.accumulator.poll_expiry() {
            assert!(state.armed <= at, "the keeper comes at {:?}, not at {at:?}", state.armed);
        }
        // Whoever was called, or has just settled a batch, will look, and call the next.
        let will_look = |worker: usize| !self.is_out[worker] && state.idle & (1 << worker) == 0;
        let is_ready = due.is_some_and(|at| at <= state.now.at);
        let has_called = (0..self.workers()).any(will_look);
        assert!(state.idle == 0 || !is_ready || has_called, "nobody was called");
    }

    /// Whatever was under way ends.
    fn end(mut self) {
        self.step(Step::Stop);
        let mut rounds = 0;
        while !self.engine.lock().accumulator.is_drained() {
            for worker in 0..self.workers() {
                self.take(worker);
                // Two of four outcomes are final, so that it ends in any case.
                self.settle(worker, rounds);
                self.check();
            }
            self.pass(5_000);
            rounds += 1;
            assert!(rounds < 100, "it never ends");
        }
        assert!(self.settled.iter().all(|times| *times == 1), "{:?}", self.settled);
        let stats = self.engine.stats();
        assert_eq!((stats.waiting, stats.waiting_bytes, stats.in_flight), (0, 0, 0));
        let counters = &stats.counters;
        assert_eq!(counters.items.get(), self.settled.len() as u64);
        assert_eq!(counters.succeeded.get() + counters.failed.get(), counters.items.get());
    }
}

#[test]
fn senders_are_woken_when_half_of_the_room_is_free_or_no_batch_can_follow() {
    // In order, a batch can't follow before this one is settled; otherwise the next is due.
    for (ordered, granted_after) in [(true, [true, true]), (false, [false, true])] {
        let mut world = World::new(ordered);
        world.engine.settings.waiting_bytes_max = 1_000;
        world.push(30, None);
        let mut number = None;
        world.engine.lock().line.wait(&mut number, Waker::noop());
        let number = number.unwrap();
        let is_granted = |world: &World| world.engine.lock().line.is_granted(number);
        assert!(!is_granted(&world));
        for (worker, granted) in granted_after.into_iter().enumerate() {
            world.take(worker % world.workers());
            let room = world.engine.lock().accumulator.room();
            assert_eq!(is_granted(&world), granted, "{room} of 30 are free");
        }
        world.engine.give_up(number);
        world.end();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn each_item_is_settled_once(
        ordered in any::<bool>(),
        steps in prop::collection::vec(step(), 0..150),
    ) {
        let mut world = World::new(ordered);
        for step in steps {
            world.step(step);
        }
        world.end();
    }
}

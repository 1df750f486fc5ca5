//! The bookkeeping of connection pools against plain lists.

extern crate alloc;

use alloc::collections::VecDeque;

use proptest::prelude::*;
use turbopump_core::link::pool::{
    Bookkeeping, Counts, DialToken, Held, Outcome, Place, Placed, Retired, Rules, WaitCell,
    WaitRefused, Waiter,
};
use turbopump_core::time::Instant;

const PLACES: usize = 4;
const WAITERS: usize = 5;

fn rules() -> Rules {
    let mut rules = Rules::default();
    rules.idle_min = 1;
    rules.idle_us_max = 1_000;
    rules.lifetime_us_max = 4_000;
    rules.check_after_us = 100;
    rules.wait_us_max = 2_000;
    rules.backoff_us_min = 64;
    rules.backoff_us_max = 1_024;
    rules
}

/// What happens in a run; numbers choose among what there is.
#[derive(Clone, Debug)]
enum Step {
    Get,
    Fetch(usize),
    Cancel(usize),
    GiveBack(usize),
    Discard(usize),
    Dialed(usize),
    DialFailed(usize),
    Pass(u64),
    Raise(u32),
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    let any = any::<usize>;
    prop_oneof![
        8 => Just(Step::Get),
        4 => any().prop_map(Step::Fetch),
        2 => any().prop_map(Step::Cancel),
        5 => any().prop_map(Step::GiveBack),
        2 => any().prop_map(Step::Discard),
        6 => any().prop_map(Step::Dialed),
        2 => any().prop_map(Step::DialFailed),
        4 => (1_u64..1_500).prop_map(Step::Pass),
        1 => (0_u32..6).prop_map(Step::Raise),
        1 => Just(Step::Close),
    ]
}

/// The books beside lists that say the same in the plainest way.
struct World {
    book: Bookkeeping<'static>,
    now: Instant,
    dials: Vec<DialToken>,
    held: Vec<Held>,
    /// Everybody who has a number, in the order of arrival.
    waiters: VecDeque<Waiter>,
    /// Numbers of those that have not been told anything yet, longest first.
    queue: VecDeque<(usize, Instant)>,
    /// Those who were served and have not come yet, with what they got.
    served: Vec<(usize, Held)>,
    failed: Vec<usize>,
    timed_out: Vec<usize>,
    /// Numbers of idle connections with the time since when, used last at the end.
    idle: Vec<(usize, Instant)>,
    closed: bool,
}

impl World {
    fn new() -> Self {
        Self {
            book: Bookkeeping::new(
                rules(),
                vec![Place::FREE; PLACES].into_boxed_slice(),
                vec![WaitCell::FREE; PLACES + WAITERS].into_boxed_slice(),
                7,
            ),
            now: Instant::ZERO,
            dials: Vec::new(),
            held: Vec::new(),
            waiters: VecDeque::new(),
            queue: VecDeque::new(),
            served: Vec::new(),
            failed: Vec::new(),
            timed_out: Vec::new(),
            idle: Vec::new(),
            closed: false,
        }
    }

    fn step(&mut self, step: Step) {
        let has_passed = matches!(step, Step::Pass(_));
        match step {
            Step::Get => self.get(),
            Step::Fetch(which) => self.fetch(which),
            Step::Cancel(which) => self.cancel(which),
            Step::GiveBack(which) => {
                if let Some(held) = pick(&mut self.held, which) {
                    self.give_back(held);
                }
            }
            Step::Discard(which) => {
                if let Some(held) = pick(&mut self.held, which) {
                    self.book.discard(held, Retired::Broken);
                }
            }
            Step::Dialed(which) => {
                if let Some(token) = pick(&mut self.dials, which) {
                    let place = token.place();
                    let placed = self.book.handle_dialed(self.now, token);
                    self.placed(place, placed);
                }
            }
            Step::DialFailed(which) => {
                if let Some(token) = pick(&mut self.dials, which) {
                    self.book.handle_dial_failed(self.now, token);
                }
            }
            Step::Pass(us) => {
                self.now = self.now.plus_us(us);
                self.book.handle_timeout(self.now);
            }
            Step::Raise(count) => self.book.raise(count),
            Step::Close => {
                self.book.close();
                self.closed = true;
            }
        }
        self.drain();
        self.check();
        if let Some(at) = self.book.poll_timeout().filter(|_| has_passed) {
            assert!(at > self.now, "no spinning: {at:?} at {:?}", self.now);
        }
    }

    fn get(&mut self) {
        match self.book.acquire(self.now) {
            Some(held) => {
                let (place, since) = self.idle.pop().expect("one is idle");
                assert_eq!(held.place(), place, "used last, used first");
                assert_eq!(held.is_stale(), self.now.us_since(since) >= 100);
                self.held.push(held);
            }
            None => {
                assert!(self.idle.is_empty());
                match self.book.wait(self.now) {
                    Ok(waiter) => {
                        self.queue.push_back((waiter.index(), self.now));
                        self.waiters.push_back(waiter);
                    }
                    Err(WaitRefused::Closed) => assert!(self.closed),
                    Err(WaitRefused::TooMany { waiting_max }) => {
                        assert_eq!(waiting_max as usize, WAITERS);
                        let is_full = self.queue.len() == WAITERS;
                        assert!(is_full || self.waiters.len() >= WAITERS, "no cell is lost");
                    }
                    Err(refused) => panic!("{refused}"),
                }
            }
        }
    }

    fn fetch(&mut self, which: usize) {
        let Some(waiter) = pick_front(&mut self.waiters, which) else { return };
        let index = waiter.index();
        match self.book.outcome(waiter) {
            Outcome::Waiting(waiter) => {
                assert!(self.queue.iter().any(|(waiting, _)| *waiting == index));
                self.waiters.push_back(waiter);
            }
            Outcome::Served => {
                let at = self.served.iter().position(|(served, _)| *served == index);
                let (_, held) = self.served.swap_remove(at.expect("it was told"));
                self.held.push(held);
            }
            Outcome::TimedOut => {
                let at = self.timed_out.iter().position(|timed_out| *timed_out == index);
                self.timed_out.swap_remove(at.expect("it was told"));
            }
            Outcome::Failed => {
                let at = self.failed.iter().position(|failed| *failed == index);
                self.failed.swap_remove(at.expect("it was told"));
            }
        }
    }

    fn cancel(&mut self, which: usize) {
        let Some(waiter) = pick_front(&mut self.waiters, which) else { return };
        let index = waiter.index();
        self.queue.retain(|(waiting, _)| *waiting != index);
        self.timed_out.retain(|timed_out| *timed_out != index);
        self.failed.retain(|failed| *failed != index);
        let at = self.served.iter().position(|(served, _)| *served == index);
        assert_eq!(self.book.cancel(waiter), at.is_some());
        if let Some(at) = at {
            let (_, held) = self.served.swap_remove(at);
            self.give_back(held);
        }
    }

    fn give_back(&mut self, held: Held) {
        let place = held.place();
        let placed = self.book.give_back(self.now, held);
        self.placed(place, placed);
    }

    fn placed(&mut self, expected: usize, placed: Placed) {
        match placed {
            Placed::Idle { place } => {
                assert_eq!((place, self.queue.len(), self.closed), (expected, 0, false));
                self.idle.push((place, self.now));
            }
            Placed::Served { waiter, held } => {
                assert_eq!((held.place(), self.closed), (expected, false));
                let first = self.queue.pop_front().map(|(waiting, _)| waiting);
                assert_eq!(Some(waiter), first, "who waits longest");
                self.served.push((waiter, held));
            }
            Placed::Close { place, reason } => {
                assert_eq!(place, expected);
                assert_eq!(reason == Retired::PoolClosed, self.closed);
            }
        }
    }

    fn drain(&mut self) {
        while let Some((place, reason)) = self.book.poll_retired(self.now) {
            let at = self.idle.iter().position(|(idle, _)| *idle == place).expect("was idle");
            let (_, since) = self.idle.remove(at);
            assert_eq!(reason == Retired::PoolClosed, self.closed);
            if reason == Retired::Idle {
                assert!(self.now.us_since(since) >= 1_000);
                assert!(!self.idle.is_empty(), "one is to be kept");
            }
        }
        let total = self.book.counts().total();
        while let Some(index) = self.book.poll_failed() {
            assert_eq!(Some(index), self.queue.pop_front().map(|(waiting, _)| waiting));
            assert!(self.closed || self.book.is_failing());
            self.failed.push(index);
        }
        while let Some(index) = self.book.poll_timed_out(self.now) {
            let (first, since) = self.queue.pop_front().expect("somebody waits");
            assert!(index == first && self.now.us_since(since) >= 2_000);
            self.timed_out.push(index);
        }
        assert!(self.queue.iter().all(|(_, since)| self.now.us_since(*since) < 2_000));
        while let Some(token) = self.book.poll_dial(self.now) {
            assert!(!self.closed);
            assert!(self.dials.is_empty() || !self.book.is_failing(), "one at a time");
            self.dials.push(token);
        }
        assert!(total as usize <= PLACES);
    }

    fn check(&self) {
        let Counts { active, idle, dialing, waiting, .. } = self.book.counts();
        assert_eq!(active as usize, self.held.len() + self.served.len());
        assert_eq!(idle as usize, self.idle.len());
        assert_eq!(dialing as usize, self.dials.len());
        assert_eq!(waiting as usize, self.queue.len());
        assert_eq!(waiting * idle, 0, "nobody waits while one is idle");
        let mut numbers: Vec<_> = self.idle.iter().map(|(place, _)| *place).collect();
        numbers.extend(self.held.iter().map(Held::place));
        numbers.extend(self.served.iter().map(|(_, held)| held.place()));
        numbers.extend(self.dials.iter().map(DialToken::place));
        let len = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), len, "no number is given twice");
        if !self.closed && waiting > 0 && (active + dialing) == 0 {
            assert!(self.book.poll_timeout().is_some(), "somebody dials for those who wait");
        }
    }

    fn every_place_can_be_used(&mut self) {
        for _ in 0..4 * (PLACES + WAITERS) {
            self.step(Step::Pass(1_024));
            self.step(Step::Cancel(0));
            self.step(Step::Dialed(0));
            self.step(Step::Get);
            self.step(Step::Fetch(0));
        }
        assert_eq!(self.held.len(), PLACES);
        while !self.waiters.is_empty() {
            self.step(Step::Cancel(0));
        }
        let waiters: Vec<_> = core::iter::from_fn(|| self.book.wait(self.now).ok()).collect();
        assert_eq!(waiters.len(), WAITERS);
        for waiter in waiters {
            assert!(!self.book.cancel(waiter));
        }
    }

    /// Ends everything; all places are free afterwards.
    fn end(mut self) {
        if !self.closed {
            self.every_place_can_be_used();
        }
        self.step(Step::Close);
        for _ in 0..self.waiters.len() {
            self.step(Step::Cancel(0));
        }
        while !self.held.is_empty() {
            self.step(Step::GiveBack(0));
        }
        while !self.dials.is_empty() {
            self.step(Step::Dialed(0));
        }
        let counts = self.book.counts();
        assert_eq!((counts.total(), counts.waiting), (0, 0));
        let closed: u64 = Retired::ALL.iter().map(|reason| counts.closed(*reason)).sum();
        assert_eq!(counts.opened, closed, "what was opened was closed");
        assert!(self.book.is_empty() && self.book.is_closed());
        assert_eq!(self.book.poll_timeout(), None);
    }
}

fn pick<T>(from: &mut Vec<T>, which: usize) -> Option<T> {
    (!from.is_empty()).then(|| from.swap_remove(which % from.len()))
}

fn pick_front<T>(from: &mut VecDeque<T>, which: usize) -> Option<T> {
    let index = which.checked_rem(from.len())?;
    from.remove(index)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn agrees_with_plain_lists(steps in prop::collection::vec(step(), 0..200)) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        world.end();
    }
}

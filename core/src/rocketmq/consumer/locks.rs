//! The locks of ordered queues: a broker gives each queue of a group to one member at a time.
//!
//! The machine decides when a lock is asked for (at once, when the queue is taken), renewed (at a
//! third of its time) and given back, and whether it is held: counted from when it was asked for,
//! so that this member stops before the broker gives the queue to another. All queues of one broker
//! go into one request. Sending, and stopping handlers, is left to the caller.

use core::error::Error;
use core::fmt;

use super::pause_us;
use crate::backing::Backing;
use crate::random::SplitMix64;
use crate::time::Instant;

/// How long locks last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockPolicy {
    /// How long a lock counts as held after it was asked for, in microseconds; 30 seconds. Brokers
    /// keep it for 60. It is renewed at a third of this.
    pub held_us: u64,
    /// How long an answer may take, in microseconds; 1 second.
    pub timeout_us: u64,
    /// The pause before a lock that another member has, or that could not be asked for, is asked
    /// for again, in microseconds; 100 milliseconds. Doubled each time, with a random part of up to
    /// as much again.
    pub again_us: u64,
    /// The longest pause, without its random part; 1 second.
    pub again_us_max: u64,
    /// How often giving back is tried; 3. The broker's own time ends what it never heard of.
    pub unlock_attempts_max: u32,
}

impl LockPolicy {
    /// The defaults.
    pub const DEFAULT: Self = Self {
        held_us: 30_000_000,
        timeout_us: 1_000_000,
        again_us: 100_000,
        again_us_max: 1_000_000,
        unlock_attempts_max: 3,
    };
}

impl Default for LockPolicy {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What a queue's member wants of its lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Aim {
    #[default]
    None,
    Hold,
    GiveBack,
}

/// A request that carries the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked {
    number: u32,
    kind: LockKind,
    at: Instant,
}

/// A place for the lock of one queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LockCell {
    aim: Aim,
    broker: u32,
    asked: Option<Asked>,
    held_until: Option<Instant>,
    /// When it is to be asked for next.
    next: Instant,
    attempts: u32,
    /// Whether the caller believes that it is held.
    is_told: bool,
    is_freed: bool,
}

/// What is asked of a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LockKind {
    /// The locks, or more time for them: request 41.
    Lock,
    /// To take them back: request 42.
    Unlock,
}

/// A request that is to be sent; [`Locks::queues_of`] says which queues it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockRequest {
    /// Its number: answers come with it.
    pub number: u32,
    /// The broker.
    pub broker: u32,
    /// What is asked.
    pub kind: LockKind,
    /// When the answer is too late.
    pub until: Instant,
}

/// What has changed about the lock of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LockChange {
    /// It is held: messages may be handed out, from the committed offset on.
    Gained {
        /// The queue.
        queue: usize,
    },
    /// It is not held any more: nothing may be handed out or committed, because another member may
    /// be further by now, and what is being handled may be repeated there. It is asked for again.
    Lost {
        /// The queue.
        queue: usize,
    },
    /// It was given back, or that was tried often enough.
    Freed {
        /// The queue.
        queue: usize,
    },
}

/// The locks of queues that are numbered from 0, as their brokers are.
///
/// Each call costs time in proportion to the cells.
///
/// ```
/// use turbopump_core::random::SplitMix64;
/// use turbopump_core::rocketmq::consumer::{LockCell, LockChange, LockPolicy, Locks};
/// use turbopump_core::time::Instant;
///
/// let now = Instant::from_ms(0);
/// let mut random = SplitMix64::new(1);
/// let mut memory = [LockCell::default(); 4];
/// let mut locks = Locks::new(LockPolicy::DEFAULT, &mut memory[..]);
/// locks.hold(now, 2, 0)?;
/// let request = locks.poll_request(now).expect("at once");
/// assert!(locks.queues_of(request.number).eq([2]));
/// locks.handle_answer(now, request.number, |_| true, &mut random);
/// assert_eq!(locks.poll_change(now), Some(LockChange::Gained { queue: 2 }));
/// assert!(locks.is_held(now, 2));
/// // Renewed at a third of its time.
/// assert_eq!(locks.poll_timeout(), Some(Instant::from_ms(10_000)));
/// # Ok::<(), turbopump_core::rocketmq::consumer::LockRefused>(())
/// ```
#[derive(Debug)]
pub struct Locks<'s> {
    policy: LockPolicy,
    cells: Backing<'s, LockCell>,
    number: u32,
}

impl<'s> Locks<'s> {
    /// Locks of as many queues as there are cells.
    #[must_use]
    pub fn new(policy: LockPolicy, cells: impl Into<Backing<'s, LockCell>>) -> Self {
        let mut cells = cells.into();
        cells.fill(LockCell::default());
        Self { policy, cells, number: 0 }
    }

    /// The queue was taken: its lock is asked for at once, and kept.
    ///
    /// # Errors
    ///
    /// [`LockRefused`] for a number without a cell, and for a queue that is in use.
    pub fn hold(&mut self, now: Instant, queue: usize, broker: u32) -> Result<(), LockRefused> {
        let queues = self.cells.len();
        let cell = self.cells.get_mut(queue).ok_or(LockRefused::NoQueue { queue, queues })?;
        if cell.aim != Aim::None || cell.is_freed {
            return Err(LockRefused::InUse { queue });
        }
        *cell = LockCell { aim: Aim::Hold, broker, next: now, ..LockCell::default() };
        Ok(())
    }

    /// The queue is given away: its lock counts as lost at once, and is given back, where it may be
    /// held. [`LockChange::Freed`] ends it.
    pub fn give_back(&mut self, now: Instant, queue: usize) {
        let Some(cell) = self.cells.get_mut(queue).filter(|cell| cell.aim == Aim::Hold) else {
            return;
        };
        // What was never asked for needs no giving back; a failed request may have been heard.
        let is_unknown = cell.attempts == 0 && cell.asked.is_none() && cell.held_until.is_none();
        cell.aim = if is_unknown { Aim::None } else { Aim::GiveBack };
        cell.is_freed = is_unknown;
        (cell.held_until, cell.is_told, cell.attempts) = (None, false, 0);
        cell.next = now;
    }

    /// Nothing about this queue matters any more: it can be held anew at once. Its broker may keep
    /// the lock until its own time is over.
    pub fn forget(&mut self, queue: usize) {
        if let Some(cell) = self.cells.get_mut(queue) {
            *cell = LockCell::default();
        }
    }

    /// Whether messages of the queue may be handed out.
    #[must_use]
    pub fn is_held(&self, now: Instant, queue: usize) -> bool {
        let until = self.cells.get(queue).and_then(|cell| cell.held_until);
        until.is_some_and(|until| now < until)
    }

    /// A request that is due, with all queues of its broker.
    #[must_use]
    pub fn poll_request(&mut self, now: Instant) -> Option<LockRequest> {
        let due = self.cells.iter().find(|cell| cell.wants().is_some() && cell.next <= now)?;
        let (broker, kind) = (due.broker, due.wants()?);
        self.number = self.number.wrapping_add(1);
        let number = self.number;
        for cell in self.cells.iter_mut() {
            if cell.broker == broker && cell.wants() == Some(kind) {
                cell.asked = Some(Asked { number, kind, at: now });
            }
        }
        Some(LockRequest { number, broker, kind, until: now.plus_us(self.policy.timeout_us) })
    }

    /// The queues that a request carries, as long as its answer is waited for.
    pub fn queues_of(&self, number: u32) -> impl Iterator<Item = usize> + '_ {
        let asked = self.cells.iter().enumerate();
        asked.filter(move |(_, cell)| cell.is_asked(number)).map(|(queue, _)| queue)
    }

    /// The broker has answered: `is_locked` says of each queue whether the answer names it. For
    /// requests of the kind [`LockKind::Unlock`] that does not matter.
    pub fn handle_answer(
        &mut self,
        now: Instant,
        number: u32,
        is_locked: impl Fn(usize) -> bool,
        random: &mut SplitMix64,
    ) {
        let LockPolicy { held_us, again_us, again_us_max, .. } = self.policy;
        for (queue, cell) in self.cells.iter_mut().enumerate() {
            let Some(asked) = cell.asked.filter(|asked| asked.number == number) else { continue };
            cell.asked = None;
            match (asked.kind, cell.aim) {
                (LockKind::Unlock, _) => {
                    (cell.aim, cell.is_freed) = (Aim::None, true);
                }
                // It is given away meanwhile.
                (LockKind::Lock, Aim::GiveBack | Aim::None) => cell.next = now,
                (LockKind::Lock, Aim::Hold) if is_locked(queue) => {
                    cell.held_until = Some(asked.at.plus_us(held_us));
                    cell.next = asked.at.plus_us(third(held_us));
                    cell.attempts = 0;
                }
                (LockKind::Lock, Aim::Hold) => {
                    cell.held_until = None;
                    cell.again(now, again_us, again_us_max, random);
                }
            }
        }
    }

    /// A request could not be sent, or its connection was lost: what is held stays so until its
    /// time is over.
    pub fn handle_failed(&mut self, now: Instant, number: u32, random: &mut SplitMix64) {
        let policy = self.policy;
        for cell in self.cells.iter_mut().filter(|cell| cell.is_asked(number)) {
            cell.fail(now, &policy, random);
        }
    }

    /// Time has passed: answers may be too late, and locks over.
    pub fn handle_timeout(&mut self, now: Instant, random: &mut SplitMix64) {
        let policy = self.policy;
        for cell in self.cells.iter_mut() {
            let is_late = |asked: &Asked| asked.at.plus_us(policy.timeout_us) <= now;
            if cell.asked.is_some_and(|asked| is_late(&asked)) {
                cell.fail(now, &policy, random);
            }
            cell.held_until = cell.held_until.filter(|until| now < *until);
        }
    }

    /// What has changed.
    #[must_use]
    pub fn poll_change(&mut self, now: Instant) -> Option<LockChange> {
        for (queue, cell) in self.cells.iter_mut().enumerate() {
            if core::mem::take(&mut cell.is_freed) {
                *cell = LockCell::default();
                return Some(LockChange::Freed { queue });
            }
            let is_held = cell.held_until.is_some_and(|until| now < until);
            if cell.is_told != is_held {
                cell.is_told = is_held;
                return Some(match is_held {
                    true => LockChange::Gained { queue },
                    false => LockChange::Lost { queue },
                });
            }
        }
        None
    }

    /// When something changes by itself: a request is due, an answer too late, or a lock over.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let next = |cell: &LockCell| {
            let late = cell.asked.map(|asked| asked.at.plus_us(self.policy.timeout_us));
            let due = cell.wants().map(|_| cell.next);
            [late, due, cell.held_until].into_iter().flatten().min()
        };
        self.cells.iter().filter_map(next).min()
    }
}

impl LockCell {
    /// What is to be asked, now or later.
    fn wants(&self) -> Option<LockKind> {
        match self.aim {
            _ if self.asked.is_some() => None,
            Aim::None => None,
            Aim::Hold => Some(LockKind::Lock),
            Aim::GiveBack => Some(LockKind::Unlock),
        }
    }

    fn is_asked(&self, number: u32) -> bool {
        self.asked.is_some_and(|asked| asked.number == number)
    }

    fn again(&mut self, now: Instant, first_us: u64, max_us: u64, random: &mut SplitMix64) {
        self.next = now.plus_us(pause_us(first_us, max_us, self.attempts, random));
        self.attempts = self.attempts.saturating_add(1);
    }

    fn fail(&mut self, now: Instant, policy: &LockPolicy, random: &mut SplitMix64) {
        let Some(asked) = self.asked.take() else { return };
        if self.aim == Aim::GiveBack && asked.kind == LockKind::Lock {
            self.next = now;
            return;
        }
        self.again(now, policy.again_us, policy.again_us_max, random);
        if self.aim == Aim::GiveBack && self.attempts >= policy.unlock_attempts_max {
            (self.aim, self.is_freed) = (Aim::None, true);
        }
    }
}

const fn third(us: u64) -> u64 {
    us / 3
}

/// Why a lock is not asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LockRefused {
    /// There is no place for that queue.
    NoQueue {
        /// Its number.
        queue: usize,
        /// The places that there are.
        queues: usize,
    },
    /// It is held already, or still being given back.
    InUse {
        /// Its number.
        queue: usize,
    },
}

impl fmt::Display for LockRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoQueue { queue, queues } => {
                write!(f, "queue number {queue} has no place among {queues} locks: give more cells")
            }
            Self::InUse { queue } => write!(
                f,
                "the lock of queue number {queue} is in use: give it back, and wait until it is \
                 freed"
            ),
        }
    }
}

impl Error for LockRefused {}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Instant {
        Instant::from_ms(ms)
    }

    fn held(cells: &mut [LockCell]) -> (Locks<'_>, SplitMix64) {
        let mut random = SplitMix64::new(1);
        let mut locks = Locks::new(LockPolicy::DEFAULT, cells);
        for (queue, broker) in [(0, 7), (1, 8), (2, 7)] {
            locks.hold(at(0), queue, broker).unwrap();
        }
        while let Some(request) = locks.poll_request(at(0)) {
            locks.handle_answer(at(1), request.number, |_| true, &mut random);
        }
        for queue in 0..3 {
            assert_eq!(locks.poll_change(at(1)), Some(LockChange::Gained { queue }));
        }
        assert_eq!(locks.poll_change(at(1)), None);
        (locks, random)
    }

    #[test]
    fn queues_of_one_broker_are_locked_and_renewed_together() {
        let mut cells = [LockCell::default(); 3];
        let (mut locks, mut random) = held(&mut cells);
        assert_eq!(locks.poll_request(at(9_999)), None);
        let renewal = locks.poll_request(at(10_000)).unwrap();
        assert_eq!((renewal.broker, renewal.kind, renewal.until), (7, LockKind::Lock, at(11_000)));
        assert!(locks.queues_of(renewal.number).eq([0, 2]));
        assert_eq!(locks.poll_request(at(10_000)).map(|request| request.broker), Some(8));
        assert_eq!(locks.poll_request(at(10_000)), None);
        // The broker has given one of them to another member.
        locks.handle_answer(at(10_001), renewal.number, |queue| queue == 0, &mut random);
        assert_eq!(locks.poll_change(at(10_001)), Some(LockChange::Lost { queue: 2 }));
        assert_eq!(locks.poll_change(at(10_001)), None);
        assert!(locks.is_held(at(39_999), 0) && !locks.is_held(at(40_000), 0));
        assert!(!locks.is_held(at(10_001), 2));
        // It is asked for again soon.
        let again = locks.poll_timeout().unwrap();
        assert!((at(10_101)..at(10_201)).contains(&again), "{again:?}");
        let request = locks.poll_request(again).unwrap();
        assert!(locks.queues_of(request.number).any(|queue| queue == 2));
        locks.handle_answer(again, request.number, |_| true, &mut random);
        assert_eq!(locks.poll_change(again), Some(LockChange::Gained { queue: 2 }));
    }

    #[test]
    fn a_lock_that_can_not_be_renewed_is_over_in_time() {
        let mut cells = [LockCell::default(); 3];
        let (mut locks, mut random) = held(&mut cells);
        let mut now = at(0);
        let mut requests = 0;
        let lost_at = loop {
            now = locks.poll_timeout().unwrap().max(now);
            locks.handle_timeout(now, &mut random);
            if let Some(change) = locks.poll_change(now) {
                assert_eq!(change, LockChange::Lost { queue: 0 });
                break now;
            }
            while let Some(request) = locks.poll_request(now) {
                requests += 1;
                if requests % 2 == 0 {
                    locks.handle_failed(now, request.number, &mut random);
                }
            }
        };
        // From when it was asked for, not from when the answer came.
        assert_eq!(lost_at, at(30_000));
        assert!((20..200).contains(&requests), "{requests}");
    }

    #[test]
    fn what_is_given_back_is_not_held_and_freed_once_the_broker_knows() {
        let mut cells = [LockCell::default(); 3];
        let (mut locks, mut random) = held(&mut cells);
        locks.give_back(at(5), 0);
        assert!(!locks.is_held(at(5), 0));
        assert_eq!(locks.hold(at(5), 0, 7), Err(LockRefused::InUse { queue: 0 }));
        let request = locks.poll_request(at(5)).unwrap();
        assert_eq!((request.kind, request.broker), (LockKind::Unlock, 7));
        assert!(locks.queues_of(request.number).eq([0]));
        assert_eq!(locks.poll_change(at(5)), None);
        locks.handle_answer(at(6), request.number, |_| false, &mut random);
        assert_eq!(locks.poll_change(at(6)), Some(LockChange::Freed { queue: 0 }));
        assert_eq!(locks.poll_request(at(6)), None);
        locks.hold(at(7), 0, 7).unwrap();
        let refused = LockRefused::NoQueue { queue: 3, queues: 3 };
        assert_eq!(locks.hold(at(7), 3, 7), Err(refused));
    }

    #[test]
    fn a_lock_that_comes_after_it_was_given_up_is_given_back() {
        let mut random = SplitMix64::new(1);
        let mut cells = [LockCell::default(); 2];
        let mut locks = Locks::new(LockPolicy::DEFAULT, &mut cells[..]);
        locks.hold(at(0), 0, 7).unwrap();
        locks.hold(at(0), 1, 8).unwrap();
        // Never asked for: free at once.
        locks.give_back(at(0), 1);
        assert_eq!(locks.poll_change(at(0)), Some(LockChange::Freed { queue: 1 }));
        let request = locks.poll_request(at(0)).unwrap();
        locks.give_back(at(1), 0);
        assert_eq!(locks.poll_request(at(1)), None, "answers must not cross");
        locks.handle_answer(at(2), request.number, |_| true, &mut random);
        assert_eq!(locks.poll_change(at(2)), None);
        let mut attempts = 0;
        let mut now = at(2);
        let change = loop {
            if let Some(request) = locks.poll_request(now) {
                assert_eq!(request.kind, LockKind::Unlock);
                attempts += 1;
                locks.handle_failed(now, request.number, &mut random);
            }
            if let Some(change) = locks.poll_change(now) {
                break change;
            }
            now = locks.poll_timeout().unwrap();
        };
        assert_eq!((change, attempts), (LockChange::Freed { queue: 0 }, 3));
        assert_eq!(locks.poll_timeout(), None);
        locks.hold(now, 0, 7).unwrap();
        locks.forget(0);
        assert_eq!(locks.poll_request(now), None);
    }
}

//! Which queues this member has, and how it gives them away.
//!
//! The table decides what a new share means: queues that are taken, each under a new
//! [`Epoch`], and queues that are given away, step by step: nothing more is pulled or handed out,
//! handlers come to their end (up to a deadline), the offset is committed, an ordered queue's lock
//! is given back, and only then the place is free. So the member that has the queue next begins
//! where this one ended. Doing the steps is left to the caller.

use core::error::Error;
use core::fmt;

use super::Epoch;
use crate::backing::Backing;
use crate::time::Instant;

/// How long giving a queue away may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GiveAwayPolicy {
    /// Whether queues are ordered, and have locks.
    pub is_ordered: bool,
    /// For the handlers that run, in microseconds; 5 seconds. What they do afterwards is ignored.
    pub handlers_us: u64,
    /// For the commit, in microseconds; 3 seconds.
    pub commit_us: u64,
    /// For giving back the lock, in microseconds; 3 seconds.
    pub unlock_us: u64,
}

impl GiveAwayPolicy {
    /// The defaults.
    pub const DEFAULT: Self = Self {
        is_ordered: false,
        handlers_us: 5_000_000,
        commit_us: 3_000_000,
        unlock_us: 3_000_000,
    };
}

impl Default for GiveAwayPolicy {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// How far a queue is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// The place is free.
    #[default]
    Free,
    /// It belongs to this member.
    Owned,
    /// It is given away, and handlers run still.
    Stopping,
    /// Its offset is being committed.
    Committing,
    /// Its lock is being given back.
    Unlocking,
    /// Everything is done, and told next.
    Left,
    /// It is gone, but a handler runs still: an ordered queue keeps its place, and is not taken
    /// again, before that is through.
    Lingering,
}

/// A place for one queue.
#[derive(Clone, Copy, Debug)]
pub struct AssignmentCell<Q> {
    queue: Option<Q>,
    epoch: Epoch,
    stage: Stage,
    until: Instant,
    /// Whether the step of the stage was handed out.
    is_told: bool,
    /// The member is to have it.
    is_wanted: bool,
    is_abandoned: bool,
    is_uncommitted: bool,
}

impl<Q> AssignmentCell<Q> {
    /// A place without a queue.
    pub const FREE: Self = Self {
        queue: None,
        epoch: Epoch(0),
        stage: Stage::Free,
        until: Instant::ZERO,
        is_told: false,
        is_wanted: false,
        is_abandoned: false,
        is_uncommitted: false,
    };
}

/// What is to be done next about the queue in a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// It is this member's: lock it where it is ordered, find its beginning, and pull.
    Take {
        /// Where.
        place: usize,
        /// Under which epoch.
        epoch: Epoch,
    },
    /// Pull and hand out nothing more of it; [`Assignments::handle_idle`] when no handler runs. It
    /// may come for a queue that was never told to be taken.
    Stop {
        /// Where.
        place: usize,
        /// The epoch.
        epoch: Epoch,
        /// When handlers are not waited for any more.
        until: Instant,
    },
    /// Commit its offset; [`Assignments::handle_committed`] when the broker has it, or where
    /// there is none, because its beginning was not found yet.
    Commit {
        /// Where.
        place: usize,
        /// The epoch.
        epoch: Epoch,
        /// When that is not waited for any more.
        until: Instant,
    },
    /// Give back its lock; [`Assignments::handle_unlocked`] when that is done.
    Unlock {
        /// Where.
        place: usize,
        /// The epoch.
        epoch: Epoch,
        /// When that is not waited for any more.
        until: Instant,
    },
    /// It is gone: whatever comes of it is stale, and a lock that it may have is forgotten.
    Drop {
        /// Where.
        place: usize,
        /// The epoch that is over.
        epoch: Epoch,
        /// Whether handlers were not waited for any more: what they had is repeated elsewhere. The
        /// lock of an ordered queue is then left to its time, and its place not free before
        /// [`Assignments::handle_idle`], because they may run still.
        is_abandoned: bool,
        /// Whether the offset may not have been committed.
        is_uncommitted: bool,
    },
}

/// The queues of a member.
///
/// ```
/// use turbopump_core::rocketmq::consumer::{
///     AssignmentCell, Assignments, Epoch, GiveAwayPolicy, Step,
/// };
/// use turbopump_core::time::Instant;
///
/// let now = Instant::from_ms(0);
/// let mut memory = [AssignmentCell::FREE; 4];
/// let mut assignments = Assignments::new(GiveAwayPolicy::DEFAULT, &mut memory[..]);
/// assignments.apply(now, &["b:0", "b:1"], |_| true)?;
/// assert_eq!(assignments.poll_step(), Some(Step::Take { place: 0, epoch: Epoch(1) }));
/// assert_eq!(assignments.poll_step(), Some(Step::Take { place: 1, epoch: Epoch(2) }));
/// // The second goes to another member.
/// assignments.apply(now, &["b:0"], |_| true)?;
/// assert!(matches!(assignments.poll_step(), Some(Step::Stop { place: 1, .. })));
/// assignments.handle_idle(now, 1, Epoch(2));
/// assert!(matches!(assignments.poll_step(), Some(Step::Commit { place: 1, .. })));
/// assignments.handle_committed(now, 1, Epoch(2));
/// assert!(matches!(assignments.poll_step(), Some(Step::Drop { place: 1, .. })));
/// # Ok::<(), turbopump_core::rocketmq::consumer::NoPlace>(())
/// ```
#[derive(Debug)]
pub struct Assignments<'s, Q> {
    policy: GiveAwayPolicy,
    cells: Backing<'s, AssignmentCell<Q>>,
    last: Epoch,
}

impl<'s, Q: PartialEq + Clone> Assignments<'s, Q> {
    /// A table of as many queues as there are cells: as many as the topics have, because each may
    /// be this member's. Each call costs time in proportion to them.
    #[must_use]
    pub fn new(policy: GiveAwayPolicy, cells: impl Into<Backing<'s, AssignmentCell<Q>>>) -> Self {
        Self { policy, cells: cells.into(), last: Epoch::default() }
    }

    /// The new share of a topic: of the queues that `is_of_topic`, this member has those that are
    /// `wanted`, none of them twice. One that is still being given away is taken again when that is
    /// done, under a new epoch.
    ///
    /// # Errors
    ///
    /// [`NoPlace`], and then nothing has changed.
    pub fn apply(
        &mut self,
        now: Instant,
        wanted: &[Q],
        is_of_topic: impl Fn(&Q) -> bool,
    ) -> Result<(), NoPlace> {
        let new = || wanted.iter().filter(|queue| self.find(queue).is_none());
        let (needed, free) = (new().count(), self.places(Stage::Free).count());
        if needed > free {
            return Err(NoPlace { needed, free, places: self.cells.len() });
        }
        let handlers_until = now.plus_us(self.policy.handlers_us);
        for cell in self.cells.iter_mut() {
            let Some(queue) = cell.queue.as_ref().filter(|queue| is_of_topic(queue)) else {
                continue;
            };
            cell.is_wanted = wanted.contains(queue);
            if cell.stage == Stage::Owned && !cell.is_wanted {
                cell.enter(Stage::Stopping, handlers_until);
            }
        }
        for queue in wanted {
            if self.find(queue).is_some() {
                continue;
            }
            let epoch = self.last.next();
            if let Some(cell) = self.cells.iter_mut().find(|cell| cell.stage == Stage::Free) {
                self.last = epoch;
                let taken = AssignmentCell { queue: Some(queue.clone()), ..AssignmentCell::FREE };
                *cell = AssignmentCell { epoch, stage: Stage::Owned, is_wanted: true, ..taken };
            }
        }
        Ok(())
    }

    /// Gives all queues away: the member leaves.
    pub fn give_all_away(&mut self, now: Instant) {
        // Nothing new needs a place.
        let _ = self.apply(now, &[], |_| true);
    }

    /// What is to be done next; each step once.
    #[must_use]
    pub fn poll_step(&mut self) -> Option<Step> {
        let untold = |cell: &AssignmentCell<Q>| {
            !cell.is_told && !matches!(cell.stage, Stage::Free | Stage::Lingering)
        };
        let (place, cell) = self.cells.iter_mut().enumerate().find(|(_, cell)| untold(cell))?;
        let (epoch, until) = (cell.epoch, cell.until);
        cell.is_told = true;
        Some(match cell.stage {
            Stage::Owned => Step::Take { place, epoch },
            Stage::Stopping => Step::Stop { place, epoch, until },
            Stage::Committing => Step::Commit { place, epoch, until },
            Stage::Unlocking => Step::Unlock { place, epoch, until },
            Stage::Left => {
                let (is_abandoned, is_uncommitted) = (cell.is_abandoned, cell.is_uncommitted);
                if self.policy.is_ordered && is_abandoned {
                    cell.stage = Stage::Lingering;
                } else {
                    cell.free(&mut self.last);
                }
                Step::Drop { place, epoch, is_abandoned, is_uncommitted }
            }
            Stage::Free | Stage::Lingering => return None,
        })
    }

    /// No handler runs for a queue that is given away, of earlier epochs included; also where that
    /// was not waited for.
    pub fn handle_idle(&mut self, now: Instant, place: usize, epoch: Epoch) {
        let commit_until = now.plus_us(self.policy.commit_us);
        let Some(cell) = self.cells.get_mut(place).filter(|cell| cell.epoch == epoch) else {
            return;
        };
        match cell.stage {
            Stage::Stopping => cell.enter(Stage::Committing, commit_until),
            Stage::Committing | Stage::Left => cell.is_abandoned = false,
            Stage::Lingering => cell.free(&mut self.last),
            Stage::Free | Stage::Owned | Stage::Unlocking => {}
        }
    }

    /// The offset of a queue that is given away is committed.
    pub fn handle_committed(&mut self, now: Instant, place: usize, epoch: Epoch) {
        let policy = self.policy;
        if let Some(cell) = self.at(place, epoch, Stage::Committing) {
            cell.leave(now, &policy);
        }
    }

    /// The lock of a queue that is given away was given back.
    pub fn handle_unlocked(&mut self, now: Instant, place: usize, epoch: Epoch) {
        if let Some(cell) = self.at(place, epoch, Stage::Unlocking) {
            cell.enter(Stage::Left, now);
        }
    }

    /// Time has passed: what takes too long is not waited for.
    pub fn handle_timeout(&mut self, now: Instant) {
        let policy = self.policy;
        for cell in self.cells.iter_mut().filter(|cell| cell.until <= now) {
            match cell.stage {
                Stage::Stopping => {
                    cell.is_abandoned = true;
                    cell.enter(Stage::Committing, now.plus_us(policy.commit_us));
                }
                Stage::Committing => {
                    cell.is_uncommitted = true;
                    cell.leave(now, &policy);
                }
                Stage::Unlocking => cell.enter(Stage::Left, now),
                Stage::Free | Stage::Owned | Stage::Left | Stage::Lingering => {}
            }
        }
    }

    /// When something is not waited for any more.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let waits = |cell: &&AssignmentCell<Q>| {
            matches!(cell.stage, Stage::Stopping | Stage::Committing | Stage::Unlocking)
        };
        self.cells.iter().filter(waits).map(|cell| cell.until).min()
    }

    /// A new epoch for a queue whose offset is reset: what is under way becomes stale. `None` for
    /// one that is not this member's.
    pub fn renew(&mut self, place: usize, epoch: Epoch) -> Option<Epoch> {
        let next = self.last.next();
        let cell = self.at(place, epoch, Stage::Owned)?;
        cell.epoch = next;
        self.last = next;
        Some(next)
    }

    /// Where a queue is, whether it is owned or being given away.
    #[must_use]
    pub fn find(&self, queue: &Q) -> Option<usize> {
        self.cells.iter().position(|cell| cell.queue.as_ref() == Some(queue))
    }

    /// The queue in a place, its epoch, and how far it is.
    #[must_use]
    pub fn get(&self, place: usize) -> Option<(&Q, Epoch, Stage)> {
        let cell = self.cells.get(place)?;
        cell.queue.as_ref().map(|queue| (queue, cell.epoch, cell.stage))
    }

    /// Whether messages of the queue may be handed out under this epoch.
    #[must_use]
    pub fn is_owned(&self, place: usize, epoch: Epoch) -> bool {
        let cell = self.cells.get(place);
        cell.is_some_and(|cell| cell.stage == Stage::Owned && cell.epoch == epoch)
    }

    /// The places whose queues are at a stage.
    pub fn places(&self, stage: Stage) -> impl Iterator<Item = usize> + '_ {
        let cells = self.cells.iter().enumerate();
        cells.filter(move |(_, cell)| cell.stage == stage).map(|(place, _)| place)
    }

    fn at(&mut self, place: usize, epoch: Epoch, stage: Stage) -> Option<&mut AssignmentCell<Q>> {
        let cell = self.cells.get_mut(place)?;
        (cell.epoch == epoch && cell.stage == stage).then_some(cell)
    }
}

impl<Q> AssignmentCell<Q> {
    fn enter(&mut self, stage: Stage, until: Instant) {
        (self.stage, self.until, self.is_told) = (stage, until, false);
    }

    /// The place is free, or its queue taken again where it is to be this member's by now.
    fn free(&mut self, last: &mut Epoch) {
        let queue = self.queue.take().filter(|_| self.is_wanted);
        *self = Self::FREE;
        if queue.is_some() {
            *last = last.next();
            (self.epoch, self.stage) = (*last, Stage::Owned);
            (self.queue, self.is_wanted) = (queue, true);
        }
    }

    /// Behind the commit. A lock under which a handler may still run is not given to another.
    fn leave(&mut self, now: Instant, policy: &GiveAwayPolicy) {
        if policy.is_ordered && !self.is_abandoned {
            self.enter(Stage::Unlocking, now.plus_us(policy.unlock_us));
        } else {
            self.enter(Stage::Left, now);
        }
    }
}

/// There are not enough places for the queues of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NoPlace {
    /// Queues that are new.
    pub needed: usize,
    /// Places that are free.
    pub free: usize,
    /// All places.
    pub places: usize,
}

impl fmt::Display for NoPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { needed, free, places } = self;
        write!(
            f,
            "{needed} queues are new and {free} of {places} places are free: give as many places \
             as the topics have queues, or try again when queues were given away"
        )
    }
}

impl Error for NoPlace {}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Instant {
        Instant::from_ms(ms)
    }

    const ONE: Epoch = Epoch(1);

    fn owner(cells: &mut [AssignmentCell<u8>], is_ordered: bool) -> Assignments<'_, u8> {
        let policy = GiveAwayPolicy { is_ordered, ..GiveAwayPolicy::DEFAULT };
        let mut assignments = Assignments::new(policy, cells);
        assignments.apply(at(0), &[10], |_| true).unwrap();
        assert_eq!(assignments.poll_step(), Some(Step::Take { place: 0, epoch: ONE }));
        assert_eq!(assignments.poll_step(), None);
        assignments
    }

    #[test]
    fn a_queue_is_given_away_step_by_step() {
        let mut cells = [AssignmentCell::FREE; 2];
        let mut all = owner(&mut cells, true);
        assert!(all.is_owned(0, ONE));
        all.give_all_away(at(0));
        assert!(!all.is_owned(0, ONE));
        let (place, epoch) = (0, ONE);
        assert_eq!(all.poll_step(), Some(Step::Stop { place, epoch, until: at(5_000) }));
        // Out of turn, or of another epoch: nothing happens.
        all.handle_committed(at(1), 0, ONE);
        all.handle_unlocked(at(1), 0, ONE);
        all.handle_idle(at(1), 0, Epoch(9));
        assert_eq!(all.poll_step(), None);
        all.handle_idle(at(1), 0, ONE);
        assert_eq!(all.poll_step(), Some(Step::Commit { place, epoch, until: at(3_001) }));
        all.handle_committed(at(2), 0, ONE);
        assert_eq!(all.poll_step(), Some(Step::Unlock { place, epoch, until: at(3_002) }));
        all.handle_unlocked(at(3), 0, ONE);
        let (is_abandoned, is_uncommitted) = (false, false);
        let dropped = Step::Drop { place, epoch, is_abandoned, is_uncommitted };
        assert_eq!((all.poll_step(), all.poll_step()), (Some(dropped), None));
        assert_eq!((all.get(0), all.poll_timeout()), (None, None));
    }

    #[test]
    fn deadlines_end_each_step_and_locks_of_running_handlers_are_not_given_back() {
        let mut cells = [AssignmentCell::FREE; 2];
        let mut all = owner(&mut cells, true);
        all.give_all_away(at(0));
        assert!(matches!(all.poll_step(), Some(Step::Stop { .. })));
        assert_eq!(all.poll_timeout(), Some(at(5_000)));
        all.handle_timeout(at(4_999));
        assert_eq!(all.poll_step(), None);
        all.handle_timeout(at(5_000));
        assert!(matches!(all.poll_step(), Some(Step::Commit { .. })));
        all.handle_timeout(at(8_000));
        let (place, is_abandoned, is_uncommitted) = (0, true, true);
        let dropped = Step::Drop { place, epoch: ONE, is_abandoned, is_uncommitted };
        assert_eq!((all.poll_step(), all.poll_timeout()), (Some(dropped), None));
        // The handler runs still: it must not be joined by another.
        all.apply(at(8_001), &[10], |_| true).unwrap();
        assert_eq!((all.poll_step(), all.find(&10)), (None, Some(0)));
        all.handle_idle(at(9_000), 0, ONE);
        assert_eq!(all.poll_step(), Some(Step::Take { place: 0, epoch: Epoch(2) }));
    }

    #[test]
    fn a_handler_that_ends_while_the_offset_is_committed_is_not_late() {
        let mut cells = [AssignmentCell::FREE; 2];
        let mut all = owner(&mut cells, true);
        all.give_all_away(at(0));
        all.handle_timeout(at(5_000));
        all.handle_idle(at(5_001), 0, ONE);
        all.handle_committed(at(5_002), 0, ONE);
        assert!(matches!(all.poll_step(), Some(Step::Unlock { .. })));
        // Nobody answers.
        all.handle_timeout(at(8_002));
        let (place, is_abandoned, is_uncommitted) = (0, false, false);
        let dropped = Step::Drop { place, epoch: ONE, is_abandoned, is_uncommitted };
        assert_eq!(all.poll_step(), Some(dropped));
        assert_eq!(all.get(0), None);
    }

    #[test]
    fn what_comes_back_while_it_is_given_away_is_taken_anew_afterwards() {
        let mut cells = [AssignmentCell::FREE; 2];
        let mut all = owner(&mut cells, false);
        all.apply(at(0), &[], |_| true).unwrap();
        assert!(matches!(all.poll_step(), Some(Step::Stop { .. })));
        all.apply(at(1), &[10], |_| true).unwrap();
        assert!(!all.is_owned(0, ONE) && all.poll_step().is_none());
        all.handle_idle(at(2), 0, ONE);
        all.handle_committed(at(2), 0, ONE);
        assert!(matches!(all.poll_step(), Some(Step::Commit { .. } | Step::Drop { .. })));
        assert_eq!(all.poll_step(), Some(Step::Take { place: 0, epoch: Epoch(2) }));
        assert!(all.is_owned(0, Epoch(2)) && !all.is_owned(0, ONE));
        assert_eq!(all.renew(0, ONE), None);
        assert_eq!(all.renew(0, Epoch(2)), Some(Epoch(3)));
        assert!(all.is_owned(0, Epoch(3)));
    }

    #[test]
    fn topics_don_t_touch_each_other_and_too_many_queues_are_refused() {
        let mut cells = [AssignmentCell::FREE; 3];
        let mut all = owner(&mut cells, false);
        // Queues below 10 are another topic's.
        all.apply(at(0), &[1, 2], |queue| *queue < 10).unwrap();
        assert!(all.places(Stage::Owned).eq([0, 1, 2]));
        let refused = all.apply(at(0), &[2, 3], |queue| *queue < 10).unwrap_err();
        assert_eq!(refused, NoPlace { needed: 1, free: 0, places: 3 });
        assert!(all.places(Stage::Owned).eq([0, 1, 2]), "nothing has changed");
        all.apply(at(0), &[2], |queue| *queue < 10).unwrap();
        assert!(all.places(Stage::Owned).eq([0, 2]) && all.places(Stage::Stopping).eq([1]));
        assert_eq!((all.find(&10), all.find(&2), all.find(&3)), (Some(0), Some(2), None));
    }
}

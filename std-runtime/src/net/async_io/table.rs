//! Who is where: tasks from submission to completion, without IO, clocks or locks.
//!
//! The table decides in which order tasks run, who has to stop, and that each completes once. It
//! leaves the lock around it, waking and calling back to its callers: it never runs their code.

use core::mem;
use core::task::{Poll, Waker};

use alloc::boxed::Box;
use alloc::sync::Arc;

use turbopump_core::stats::LatencyHistogram;

use super::stats::{AsyncIoStats, Outcome};

/// Marks the end of a list of places.
const NONE: u32 = u32::MAX;
/// The deadline of a place without a task.
const NEVER: u64 = u64::MAX;
/// Stands for a worker where the submitter itself is at it.
const SUBMITTER: usize = usize::MAX;

/// A task's place. Names nobody once the task is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    place: u32,
    generation: u32,
}

/// Who waits for a task.
pub(super) enum Notify<N: ?Sized> {
    /// Nobody: its future is gone, or was not asked yet.
    Nobody {
        abandoned: bool,
    },
    Future(Waker),
    /// With the number that the caller gave.
    Callback(Arc<N>, u64),
}

/// Why a running task has to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    TimedOut,
    Cancelled,
}

/// What is left to do outside of the lock for a task that has completed.
#[must_use]
pub(super) enum Settled<R, N: ?Sized> {
    Wake(Waker),
    /// The result waits for its future, or there was none such task.
    Nothing,
    Drop(R),
    Call(Arc<N>, u64, R),
}

/// What became of a task whose future was dropped.
#[must_use]
pub(super) enum Cancelled<T, R> {
    Unqueued(T),
    /// Its worker has to be told.
    Running {
        worker: usize,
    },
    Done(R),
    Gone,
}

enum Phase<T, R> {
    Free { next: u32 },
    Queued { task: T, before: u32, behind: u32 },
    Running { worker: usize, stop: Option<Stop> },
    Done(R),
}

struct Place<T, R, N: ?Sized> {
    generation: u32,
    submitted_us: u64,
    notify: Notify<N>,
    phase: Phase<T, R>,
}

pub(super) struct Table<T, R, N: ?Sized> {
    places: Box<[Place<T, R, N>]>,
    /// Beside the places, because they are searched as a whole.
    deadlines_us: Box<[u64]>,
    free: u32,
    first: u32,
    last: u32,
    stats: AsyncIoStats,
}

impl<T, R, N: ?Sized> Table<T, R, N> {
    /// A table of at most `places` tasks.
    pub(super) fn new(places: u32) -> Self {
        let place = |index: u32| Place {
            generation: 0,
            submitted_us: 0,
            notify: Notify::Nobody { abandoned: false },
            phase: Phase::Free { next: if index + 1 < places { index + 1 } else { NONE } },
        };
        Self {
            places: (0..places).map(place).collect(),
            deadlines_us: alloc::vec![NEVER; places as usize].into_boxed_slice(),
            free: if places == 0 { NONE } else { 0 },
            first: NONE,
            last: NONE,
            stats: AsyncIoStats::new(LatencyHistogram::new()),
        }
    }

    /// A place for a task that its submitter begins with; `None` where there is no place.
    pub(super) fn reserve(&mut self, now_us: u64) -> Option<Key> {
        let index = self.free;
        let Some(place) = self.places.get_mut(index as usize) else {
            self.stats.refused.increment();
            return None;
        };
        let Phase::Free { next } = place.phase else {
            unreachable!("the list of free places holds free places");
        };
        place.phase = Phase::Running { worker: SUBMITTER, stop: None };
        place.submitted_us = now_us;
        self.free = next;
        self.stats.submitted.increment();
        self.stats.running.add(1);
        Some(Key { place: index, generation: place.generation })
    }

    /// The submitter is done already: nobody needs the place.
    pub(super) fn settle_reserved(&mut self, key: Key, outcome: Outcome, now_us: u64) {
        let Some(place) = self.places.get(key.place as usize) else { return };
        let latency_us = now_us.saturating_sub(place.submitted_us);
        self.stats.running.subtract(1);
        self.stats.count(outcome, latency_us);
        self.release(key.place);
    }

    /// Queues the task of a reserved place for a worker to go on with.
    pub(super) fn queue(&mut self, key: Key, task: T, deadline_us: u64, notify: Notify<N>) {
        let (index, last) = (key.place, self.last);
        let Some(place) = self.places.get_mut(index as usize) else { return };
        place.phase = Phase::Queued { task, before: last, behind: NONE };
        place.notify = notify;
        self.deadlines_us[index as usize] = deadline_us;
        match self.link(last) {
            Some((_, behind)) => *behind = index,
            None => self.first = index,
        }
        self.last = index;
        self.stats.running.subtract(1);
        self.stats.queued.add(1);
    }

    /// Counts a task that was refused before it came here.
    pub(super) fn refuse(&mut self) {
        self.stats.refused.increment();
    }

    pub(super) fn panicked(&mut self) {
        self.stats.callback_panics.increment();
    }

    /// The task that waits longest, for a worker to run.
    pub(super) fn take(&mut self, worker: usize) -> Option<(Key, T)> {
        let index = self.first;
        let task = self.unqueue(index, Phase::Running { worker, stop: None })?;
        self.stats.running.add(1);
        Some((Key { place: index, generation: self.places[index as usize].generation }, task))
    }

    /// Whether a running task has to stop, and why.
    pub(super) fn stop_of(&self, key: Key) -> Option<Stop> {
        match self.places.get(key.place as usize) {
            Some(Place { phase: Phase::Running { stop, .. }, generation, .. })
                if *generation == key.generation =>
            {
                *stop
            }
            _ => None,
        }
    }

    /// Completes a running task.
    pub(super) fn settle(
        &mut self,
        key: Key,
        result: R,
        outcome: Outcome,
        now_us: u64,
    ) -> Settled<R, N> {
        match self.places.get(key.place as usize) {
            Some(place)
                if place.generation == key.generation
                    && matches!(place.phase, Phase::Running { .. }) => {}
            _ => return Settled::Drop(result),
        }
        self.stats.running.subtract(1);
        self.complete(key.place, result, outcome, now_us)
    }

    /// Completes a queued task that `of` picks by its deadline, for its future or callback.
    /// Its result is made by `finish` from the task.
    pub(super) fn settle_queued(
        &mut self,
        index: u32,
        outcome: Outcome,
        now_us: u64,
        finish: impl FnOnce(T) -> R,
    ) -> Option<Settled<R, N>> {
        let task = self.unqueue(index, Phase::Free { next: NONE })?;
        Some(self.complete(index, finish(task), outcome, now_us))
    }

    /// The place of the task that waits longest.
    pub(super) fn first_queued(&self) -> Option<u32> {
        (self.first != NONE).then_some(self.first)
    }

    /// The next place from `from` whose task's deadline has passed, and its worker if it runs and
    /// has been marked to stop just now.
    pub(super) fn next_expired(&mut self, from: u32, now_us: u64) -> Option<(u32, Option<usize>)> {
        let rest = self.deadlines_us.get(from as usize..)?;
        let index = from as usize + rest.iter().position(|&deadline| deadline <= now_us)?;
        let worker = match &mut self.places[index].phase {
            Phase::Running { worker, stop } => {
                // Once is enough: the worker will come for it.
                self.deadlines_us[index] = NEVER;
                stop.get_or_insert(Stop::TimedOut);
                Some(*worker)
            }
            _ => None,
        };
        Some((index as u32, worker))
    }

    /// The earliest deadline of all tasks, `None` without any.
    pub(super) fn next_deadline_us(&self) -> Option<u64> {
        self.deadlines_us.iter().copied().min().filter(|&deadline| deadline != NEVER)
    }

    /// The result for its future, or `waker` is kept. It is exchanged for the one that is to be
    /// dropped, outside of the lock: dropping a waker may drop a whole task.
    pub(super) fn claim(&mut self, key: Key, waker: &mut Notify<N>) -> Poll<Option<R>> {
        let Some(place) = self.places.get_mut(key.place as usize) else {
            return Poll::Ready(None);
        };
        if place.generation != key.generation {
            return Poll::Ready(None);
        }
        if !matches!(place.phase, Phase::Done(_)) {
            mem::swap(&mut place.notify, waker);
            return Poll::Pending;
        }
        match self.release(key.place) {
            Phase::Done(result) => Poll::Ready(Some(result)),
            _ => Poll::Ready(None),
        }
    }

    /// The task's future is gone. Its waker is returned, to be dropped outside of the lock.
    pub(super) fn cancel(&mut self, key: Key, now_us: u64) -> (Cancelled<T, R>, Notify<N>) {
        let mut waker = Notify::Nobody { abandoned: true };
        match self.places.get_mut(key.place as usize) {
            Some(place) if place.generation == key.generation => {
                mem::swap(&mut place.notify, &mut waker);
                (self.cancel_known(key, now_us), waker)
            }
            _ => (Cancelled::Gone, waker),
        }
    }

    fn cancel_known(&mut self, key: Key, now_us: u64) -> Cancelled<T, R> {
        let place = &mut self.places[key.place as usize];
        match &mut place.phase {
            Phase::Running { worker, stop } => {
                stop.get_or_insert(Stop::Cancelled);
                Cancelled::Running { worker: *worker }
            }
            Phase::Done(_) => match self.release(key.place) {
                Phase::Done(result) => Cancelled::Done(result),
                _ => Cancelled::Gone,
            },
            Phase::Queued { .. } => {
                let submitted_us = place.submitted_us;
                let Some(task) = self.unqueue(key.place, Phase::Free { next: NONE }) else {
                    return Cancelled::Gone;
                };
                self.release(key.place);
                self.stats.count(Outcome::Cancelled, now_us.saturating_sub(submitted_us));
                Cancelled::Unqueued(task)
            }
            Phase::Free { .. } => Cancelled::Gone,
        }
    }

    pub(super) fn queued(&self) -> usize {
        usize::try_from(self.stats.queued.get()).unwrap_or(0)
    }

    pub(super) fn stats(&self) -> &AsyncIoStats {
        &self.stats
    }

    fn complete(&mut self, index: u32, result: R, outcome: Outcome, now_us: u64) -> Settled<R, N> {
        let place = &mut self.places[index as usize];
        self.stats.count(outcome, now_us.saturating_sub(place.submitted_us));
        self.deadlines_us[index as usize] = NEVER;
        match mem::replace(&mut place.notify, Notify::Nobody { abandoned: false }) {
            Notify::Callback(callback, number) => {
                self.release(index);
                Settled::Call(callback, number, result)
            }
            Notify::Nobody { abandoned: true } => {
                self.release(index);
                Settled::Drop(result)
            }
            Notify::Nobody { abandoned: false } => {
                place.phase = Phase::Done(result);
                Settled::Nothing
            }
            Notify::Future(waker) => {
                place.phase = Phase::Done(result);
                Settled::Wake(waker)
            }
        }
    }

    /// Frees a place; what was there, for the caller to drop outside of the lock.
    fn release(&mut self, index: u32) -> Phase<T, R> {
        let place = &mut self.places[index as usize];
        place.generation = place.generation.wrapping_add(1);
        place.notify = Notify::Nobody { abandoned: false };
        self.deadlines_us[index as usize] = NEVER;
        let phase = mem::replace(&mut place.phase, Phase::Free { next: self.free });
        self.free = index;
        phase
    }

    /// Takes a task out of the queue; `phase` is what its place is then.
    fn unqueue(&mut self, index: u32, phase: Phase<T, R>) -> Option<T> {
        let place = self.places.get_mut(index as usize)?;
        let (task, before, behind) = match mem::replace(&mut place.phase, phase) {
            Phase::Queued { task, before, behind } => (task, before, behind),
            other => {
                place.phase = other;
                return None;
            }
        };
        match self.link(before) {
            Some((_, after_it)) => *after_it = behind,
            None => self.first = behind,
        }
        match self.link(behind) {
            Some((before_it, _)) => *before_it = before,
            None => self.last = before,
        }
        self.stats.queued.subtract(1);
        Some(task)
    }

    /// The links of a queued place to the one before and the one behind it.
    fn link(&mut self, index: u32) -> Option<(&mut u32, &mut u32)> {
        match self.places.get_mut(index as usize)?.phase {
            Phase::Queued { ref mut before, ref mut behind, .. } => Some((before, behind)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    type Numbers = Table<u32, u32, ()>;

    fn callback(number: u64) -> Notify<()> {
        Notify::Callback(Arc::new(()), number)
    }

    fn submit(table: &mut Numbers, task: u32, deadline_us: u64) -> Key {
        submit_with(table, task, deadline_us, callback(task.into()))
    }

    fn submit_with(table: &mut Numbers, task: u32, deadline_us: u64, notify: Notify<()>) -> Key {
        let key = table.reserve(0).unwrap();
        table.queue(key, task, deadline_us, notify);
        key
    }

    fn claim(table: &mut Numbers, key: Key) -> Poll<Option<u32>> {
        table.claim(key, &mut Notify::Future(Waker::noop().clone()))
    }

    fn called(settled: Settled<u32, ()>) -> (u64, u32) {
        match settled {
            Settled::Call(_, number, result) => (number, result),
            _ => panic!("no callback"),
        }
    }

    #[test]
    fn tasks_run_in_order_and_the_one_too_many_comes_back() {
        let mut table = Numbers::new(3);
        for task in 0..3 {
            submit(&mut table, task, 10);
        }
        assert_eq!(table.reserve(0), None);
        for task in 0..3 {
            let (key, taken) = table.take(0).unwrap();
            assert_eq!(taken, task);
            let settled = table.settle(key, task + 100, Outcome::Succeeded, 5);
            assert_eq!(called(settled), (task.into(), task + 100));
        }
        assert!(table.take(0).is_none());
        assert_eq!(table.stats().refused.get(), 1);
        assert_eq!(table.stats().succeeded.get(), 3);
    }

    #[test]
    fn a_submitter_may_be_done_before_a_worker_is_asked() {
        let mut table = Numbers::new(1);
        let key = table.reserve(10).unwrap();
        assert_eq!((table.stats().running.get(), table.next_deadline_us()), (1, None));
        assert_eq!(table.reserve(10), None);
        table.settle_reserved(key, Outcome::Succeeded, 15);
        let stats = table.stats();
        assert_eq!((stats.running.get(), stats.submitted.get(), stats.completed()), (0, 1, 1));
        assert!(table.take(0).is_none() && table.reserve(20).is_some());
    }

    #[test]
    fn a_task_completes_once() {
        let mut table = Numbers::new(1);
        submit(&mut table, 7, 10);
        let (key, _) = table.take(0).unwrap();
        assert_eq!(called(table.settle(key, 1, Outcome::Succeeded, 0)), (7, 1));
        assert!(matches!(table.settle(key, 2, Outcome::Failed, 0), Settled::Drop(2)));
        assert!(matches!(table.cancel(key, 0).0, Cancelled::Gone));
        assert_eq!(table.stop_of(key), None);
        // The next task in the same place is another one.
        submit(&mut table, 8, 10);
        assert!(matches!(table.cancel(key, 0).0, Cancelled::Gone));
        assert_eq!(table.queued(), 1);
    }

    #[test]
    fn a_future_finds_its_result_whenever_it_asks() {
        let mut table = Numbers::new(2);
        let nobody = || Notify::Nobody { abandoned: false };
        let early = submit_with(&mut table, 1, 10, nobody());
        let late = submit_with(&mut table, 2, 10, nobody());
        assert!(claim(&mut table, early).is_pending());
        for expects_wake in [true, false] {
            let (key, task) = table.take(0).unwrap();
            let settled = table.settle(key, task, Outcome::Succeeded, 0);
            assert_eq!(matches!(settled, Settled::Wake(_)), expects_wake);
        }
        assert_eq!(claim(&mut table, early), Poll::Ready(Some(1)));
        assert_eq!(claim(&mut table, late), Poll::Ready(Some(2)));
        assert_eq!(claim(&mut table, late), Poll::Ready(None));
    }

    #[test]
    fn futures_cancel_in_every_phase() {
        let mut table = Numbers::new(4);
        let keys: Vec<_> = (0..4)
            .map(|task| submit_with(&mut table, task, 10, Notify::Nobody { abandoned: false }))
            .collect();
        // From the middle of the queue.
        assert!(matches!(table.cancel(keys[1], 0).0, Cancelled::Unqueued(1)));
        let (running, task) = table.take(6).unwrap();
        assert_eq!((running, task), (keys[0], 0));
        assert!(matches!(table.cancel(running, 0).0, Cancelled::Running { worker: 6 }));
        assert_eq!(table.stop_of(running), Some(Stop::Cancelled));
        assert!(matches!(table.settle(running, 9, Outcome::Cancelled, 0), Settled::Drop(9)));
        let (done, _) = table.take(6).unwrap();
        assert!(matches!(table.settle(done, 5, Outcome::Succeeded, 0), Settled::Nothing));
        assert!(matches!(table.cancel(done, 0).0, Cancelled::Done(5)));
        assert!(matches!(table.cancel(keys[3], 0).0, Cancelled::Unqueued(3)));
        let stats = table.stats();
        assert_eq!((stats.cancelled.get(), stats.succeeded.get()), (3, 1));
        assert_eq!((stats.queued.get(), stats.running.get()), (0, 0));
        for task in 0..4 {
            submit(&mut table, task, 10);
        }
    }

    #[test]
    fn deadlines_reach_queued_and_running_tasks() {
        let mut table = Numbers::new(4);
        for (task, deadline_us) in [30, 10, 20, 40].into_iter().enumerate() {
            submit(&mut table, task as u32, deadline_us);
        }
        let (key, _) = table.take(2).unwrap();
        assert_eq!(table.next_deadline_us(), Some(10));
        assert_eq!(table.next_expired(0, 9), None);
        let (place, worker) = table.next_expired(0, 30).unwrap();
        assert_eq!(worker, Some(2));
        assert_eq!(table.stop_of(key), Some(Stop::TimedOut));
        let mut from = place;
        let mut expired = Vec::new();
        while let Some((place, worker)) = table.next_expired(from, 30) {
            assert_eq!(worker, None);
            let settled = table.settle_queued(place, Outcome::TimedOut, 30, |task| task + 100);
            expired.push(called(settled.unwrap()));
            from = place;
        }
        assert_eq!(expired, [(1, 101), (2, 102)]);
        assert_eq!(table.next_deadline_us(), Some(40));
        assert_eq!(table.stats().timed_out.get(), 2);
    }
}

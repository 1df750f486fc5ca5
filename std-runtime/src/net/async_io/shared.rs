//! What submitters, workers and the clock share.

use core::future::{Future, pending, poll_fn};
use core::panic::AssertUnwindSafe;
use core::pin::pin;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::panic::catch_unwind;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::OnFinished;
use super::board::{Board, CALLED, STOPS};
use super::calls::Calls;
use super::stats::Outcome;
use super::table::{Cancelled, Key, Notify, Settled, Table};
use super::task::{Finished, IoTask, IoTaskError, Refused, RefusedReason, TaskConnection, Work};
use crate::backend::Backend;

/// Tasks that expire under one lock.
const EXPIRE_MAX: usize = 64;

type Tasks<C> = Table<Work<C>, Finished<C>, dyn OnFinished<C>>;
pub(super) type Settlement<C> = Settled<Finished<C>, dyn OnFinished<C>>;

/// What became of a task that was not refused.
pub(super) enum Submitted<C> {
    /// Done within the call.
    Done(Finished<C>),
    Queued(Key),
}

pub(super) struct Shared<C: TaskConnection> {
    table: Mutex<Tasks<C>>,
    epoch: Instant,
    time_out: Duration,
    boards: Box<[Arc<Board>]>,
    clock: Board,
    /// When the clock wakes by itself; changed under the table's lock.
    armed_us: AtomicU64,
    /// Changed under the table's lock.
    stopped: AtomicBool,
    /// How many tasks are with their submitter; changed under the table's lock.
    submitting: AtomicUsize,
    calls: Calls,
    /// Workers, by bit, that have ended.
    gone: AtomicU64,
    /// Who waits for the last worker to go.
    stopping: Mutex<Vec<Waker>>,
}

impl<C: TaskConnection> Shared<C> {
    pub(super) fn new(workers: usize, tasks_max: u32, time_out: Duration) -> Self {
        Self {
            table: Mutex::new(Table::new(tasks_max)),
            epoch: Instant::now(),
            time_out,
            boards: (0..workers).map(|_| Arc::default()).collect(),
            clock: Board::default(),
            armed_us: AtomicU64::new(u64::MAX),
            stopped: AtomicBool::new(false),
            submitting: AtomicUsize::new(0),
            calls: Calls::default(),
            gone: AtomicU64::new(0),
            stopping: Mutex::new(Vec::new()),
        }
    }

    /// Nothing of the caller's runs under this lock, so that nobody can poison it.
    pub(super) fn table(&self) -> MutexGuard<'_, Tasks<C>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn board(&self, worker: usize) -> Arc<Board> {
        Arc::clone(&self.boards[worker])
    }

    pub(super) fn now_us(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Begins with a task, as far as that goes at once, and leaves the rest to a worker.
    pub(super) fn submit(
        &self,
        task: IoTask<C>,
        notify: Notify<dyn OnFinished<C>>,
    ) -> Result<Submitted<C>, Refused<C>> {
        let now_us = self.now_us();
        let (key, mut task) = match self.reserve(now_us) {
            Ok(key) => (key, task),
            Err(reason) => return Err(Refused { reason, task }),
        };
        // A callback must not run within the call that submits.
        if !matches!(notify, Notify::Callback(..)) && task.work.is_quick() {
            let polled = task.work.poll(&mut Context::from_waker(Waker::noop()));
            if let Poll::Ready(result) = polled {
                let outcome = if result.is_ok() { Outcome::Succeeded } else { Outcome::Failed };
                self.end_reserved(key, outcome);
                return Ok(Submitted::Done(task.work.finish(result)));
            }
        }
        let within = task.within.unwrap_or(self.time_out).as_micros();
        let deadline_us = now_us.saturating_add(u64::try_from(within).unwrap_or(u64::MAX));
        // The end of time stands for no deadline.
        let deadline_us = deadline_us.min(u64::MAX - 1);
        let mut table = self.table();
        if self.all_gone() {
            drop(table);
            return Ok(self.submitted_too_late(key, task.work, notify));
        }
        table.queue(key, task.work, deadline_us, notify);
        self.calls.set_queued(table.queued());
        self.submitting.fetch_sub(1, Ordering::SeqCst);
        let earlier = deadline_us < self.armed_us.load(Ordering::Relaxed);
        drop(table);
        if earlier {
            self.clock.raise(STOPS);
        }
        self.call_worker();
        Ok(Submitted::Queued(key))
    }

    fn reserve(&self, now_us: u64) -> Result<Key, RefusedReason> {
        let mut table = self.table();
        if self.stopped.load(Ordering::Relaxed) {
            table.refuse();
            return Err(RefusedReason::Stopped);
        }
        if self.all_gone() {
            table.refuse();
            return Err(RefusedReason::RuntimeEnded);
        }
        let key = table.reserve(now_us).ok_or(RefusedReason::Full)?;
        self.submitting.fetch_add(1, Ordering::SeqCst);
        Ok(key)
    }

    fn end_reserved(&self, key: Key, outcome: Outcome) {
        let now_us = self.now_us();
        {
            let mut table = self.table();
            table.settle_reserved(key, outcome, now_us);
            self.submitting.fetch_sub(1, Ordering::SeqCst);
        }
        if self.stopped.load(Ordering::SeqCst) {
            // They wait for this one.
            self.boards.iter().for_each(|board| board.raise(STOPS));
        }
    }

    /// The workers went while the submitter was at it.
    fn submitted_too_late(
        &self,
        key: Key,
        work: Work<C>,
        notify: Notify<dyn OnFinished<C>>,
    ) -> Submitted<C> {
        self.end_reserved(key, Outcome::Ended);
        let finished = work.finish(Err(IoTaskError::RuntimeEnded));
        match notify {
            Notify::Callback(callback, number) => {
                self.deliver(Settled::Call(callback, number, finished));
                Submitted::Queued(key)
            }
            _ => Submitted::Done(finished),
        }
    }

    /// Takes a task for a worker; under the table's lock.
    pub(super) fn take(&self, table: &mut Tasks<C>, worker: usize) -> Option<(Key, Work<C>)> {
        let task = table.take(worker)?;
        self.calls.set_queued(table.queued());
        Some(task)
    }

    /// Calls a worker that waits, if tasks do and enough are not on their way already.
    pub(super) fn call_worker(&self) {
        while let Some(worker) = self.calls.pick() {
            let board = &self.boards[worker];
            board.raise(CALLED);
            if self.gone.load(Ordering::SeqCst) & (1 << worker) == 0 {
                return;
            }
            // It went while it was called: whoever takes the call back lets another come.
            if board.take() & CALLED != 0 {
                self.calls.arrived(worker);
            }
        }
    }

    /// A worker that was called has come; where it has no room after all, another has to.
    pub(super) fn arrived(&self, worker: usize, has_room: bool) {
        self.calls.arrived(worker);
        if !has_room {
            self.call_worker();
        }
    }

    /// A worker begins to work.
    pub(super) fn busy(&self, worker: usize) {
        self.calls.busy(worker);
    }

    /// A worker is about to wait; false where there is something for it after all.
    pub(super) fn rest(&self, worker: usize, has_room: bool) -> bool {
        self.calls.rest(worker, has_room)
    }

    pub(super) fn has_queued(&self) -> bool {
        self.calls.queued() != 0
    }

    pub(super) fn is_drained(&self) -> bool {
        // In the order in which tasks go: from their submitter to the queue.
        self.stopped.load(Ordering::SeqCst)
            && self.submitting.load(Ordering::SeqCst) == 0
            && !self.has_queued()
    }

    /// Does what is to be done for a task that has completed. Must not be called under the lock.
    pub(super) fn deliver(&self, settled: Settlement<C>) {
        let delivered = catch_unwind(AssertUnwindSafe(|| match settled {
            Settled::Wake(waker) => waker.wake(),
            Settled::Nothing => {}
            Settled::Drop(finished) => drop(finished),
            Settled::Call(callback, number, finished) => callback.on_finished(number, finished),
        }));
        if let Err(panic) = delivered {
            self.table().panicked();
            // What was thrown may throw again when it is dropped.
            if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
                core::mem::forget(again);
            }
        }
    }

    pub(super) fn claim(&self, key: Key, waker: &Waker) -> Poll<Option<Finished<C>>> {
        let mut waker = Notify::Future(waker.clone());
        self.table().claim(key, &mut waker)
    }

    pub(super) fn cancel(&self, key: Key) {
        let (cancelled, _waker) = {
            let mut table = self.table();
            let cancelled = table.cancel(key, self.now_us());
            self.calls.set_queued(table.queued());
            cancelled
        };
        // What is dropped here is the caller's, so not under the lock.
        match cancelled {
            Cancelled::Running { worker } => self.boards[worker].raise(STOPS),
            // Its submitter may have begun with it.
            Cancelled::Unqueued(work) => drop(work.finish(Err(IoTaskError::Cancelled))),
            Cancelled::Done(_) | Cancelled::Gone => {}
        }
    }

    /// Accepts no more tasks.
    pub(super) fn stop(&self) {
        {
            let _table = self.table();
            self.stopped.store(true, Ordering::SeqCst);
        }
        for board in &self.boards {
            board.raise(STOPS);
        }
    }

    pub(super) fn poll_stopped(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut stopping = self.stopping.lock().unwrap_or_else(PoisonError::into_inner);
        if self.all_gone() {
            return Poll::Ready(());
        }
        if !stopping.iter().any(|waker| waker.will_wake(cx.waker())) {
            stopping.push(cx.waker().clone());
        }
        Poll::Pending
    }

    fn all_gone(&self) -> bool {
        self.gone.load(Ordering::SeqCst).count_ones() as usize == self.boards.len()
    }

    /// A worker has ended; the last one completes what is queued.
    pub(super) fn worker_gone(&self, worker: usize) {
        self.busy(worker);
        let all_gone = {
            // Under the lock, so that no task is accepted behind the last worker's back.
            let _table = self.table();
            self.gone.fetch_or(1 << worker, Ordering::SeqCst);
            self.all_gone()
        };
        if self.boards[worker].take() & CALLED != 0 {
            self.calls.arrived(worker);
        }
        if !all_gone {
            return self.call_worker();
        }
        while let Some(settled) = self.end_first() {
            self.deliver(settled);
        }
        self.clock.raise(STOPS);
        let waiting = {
            let mut stopping = self.stopping.lock().unwrap_or_else(PoisonError::into_inner);
            core::mem::take(&mut *stopping)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Completes the first queued task, which nobody will run any more.
    fn end_first(&self) -> Option<Settlement<C>> {
        let now_us = self.now_us();
        let mut table = self.table();
        let first = table.first_queued()?;
        let end = |work: Work<C>| work.finish(Err(IoTaskError::RuntimeEnded));
        table.settle_queued(first, Outcome::Ended, now_us, end)
    }

    /// Ends tasks whose time is over; says when it is to be called again.
    fn expire(&self, settled: &mut Vec<Settlement<C>>) -> Option<u64> {
        let now_us = self.now_us();
        let mut from = 0;
        loop {
            let mut workers = 0_u64;
            let mut table = self.table();
            let mut next = table.next_expired(from, now_us);
            while let Some((place, worker)) = next {
                from = place;
                match worker {
                    Some(worker) => workers |= 1 << worker,
                    None => {
                        let end = |work: Work<C>| {
                            let begun = work.has_begun();
                            work.finish(Err(IoTaskError::TimedOut { begun }))
                        };
                        settled.extend(table.settle_queued(place, Outcome::TimedOut, now_us, end));
                    }
                }
                if settled.len() == EXPIRE_MAX {
                    break;
                }
                next = table.next_expired(from, now_us);
            }
            self.calls.set_queued(table.queued());
            let deadline_us = table.next_deadline_us();
            self.armed_us.store(deadline_us.unwrap_or(u64::MAX), Ordering::Relaxed);
            drop(table);
            for (index, board) in self.boards.iter().enumerate() {
                if workers & (1 << index) != 0 {
                    board.raise(STOPS);
                }
            }
            let again = settled.len() == EXPIRE_MAX;
            settled.drain(..).for_each(|settled| self.deliver(settled));
            if !again {
                return deadline_us;
            }
        }
    }

    /// Ends tasks when their time is over: one timer for all of them, which is set again only when
    /// it has ended or an earlier deadline comes.
    pub(super) async fn run_clock<B: Backend>(self: Arc<Self>, backend: B) {
        let mut settled = Vec::with_capacity(EXPIRE_MAX);
        while !self.all_gone() {
            let next = self.expire(&mut settled);
            let sleep = async {
                match next.and_then(|us| self.epoch.checked_add(Duration::from_micros(us))) {
                    Some(at) => backend.sleep_until(at).await,
                    None => pending().await,
                }
            };
            let mut sleep = pin!(sleep);
            poll_fn(|cx| {
                self.clock.register(cx.waker());
                if self.clock.take() != 0 || self.all_gone() {
                    return Poll::Ready(());
                }
                sleep.as_mut().poll(cx)
            })
            .await;
        }
    }
}

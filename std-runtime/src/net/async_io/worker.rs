//! A worker: one spawned future that drives several tasks at once.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::Future;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use super::board::{Board, CALLED, CellWaker, STOPS};
use super::shared::{Settlement, Shared};
use super::stats::Outcome;
use super::table::{Key, Stop};
use super::task::{Finished, IoTaskError, TaskConnection, Work};

/// Tasks that a worker takes out of the queue at once: enough to share a lock and a wake-up, few
/// enough that other workers get some.
pub(super) const TAKE_MAX: usize = 8;
/// Rounds before a worker lets others on its thread run.
const ROUNDS_MAX: usize = 8;

pub(super) struct Worker<C: TaskConnection> {
    shared: Arc<Shared<C>>,
    index: usize,
    board: Arc<Board>,
    cells: Box<[Cell<C>]>,
    /// Cells without a task.
    free: u64,
    finished: Vec<(Key, Finished<C>, Outcome)>,
    settled: Vec<Settlement<C>>,
}

struct Cell<C> {
    waker: Waker,
    task: Option<(Key, Work<C>)>,
}

impl<C: TaskConnection> Worker<C> {
    pub(super) fn new(shared: Arc<Shared<C>>, index: usize, cells: usize) -> Self {
        let board = shared.board(index);
        let cell = |cell: usize| {
            let waker = CellWaker { board: Arc::clone(&board), bit: 1 << cell };
            Cell { waker: Waker::from(Arc::new(waker)), task: None }
        };
        Self {
            index,
            cells: (0..cells).map(cell).collect(),
            free: (1 << cells) - 1,
            finished: Vec::with_capacity(cells),
            settled: Vec::with_capacity(cells),
            board,
            shared,
        }
    }

    /// Goes on with the tasks of these cells.
    fn work(&mut self, cells: u64) {
        let mut rest = cells & !self.free;
        while rest != 0 {
            let index = rest.trailing_zeros() as usize;
            rest &= rest - 1;
            let Some(Cell { waker, task }) = self.cells.get_mut(index) else { continue };
            let Some((_, work)) = task else { continue };
            let Poll::Ready(result) = work.poll(&mut Context::from_waker(waker)) else { continue };
            let outcome = if result.is_ok() { Outcome::Succeeded } else { Outcome::Failed };
            self.end(index, result, outcome);
        }
    }

    fn end(&mut self, index: usize, result: Result<usize, IoTaskError>, outcome: Outcome) {
        let Some(cell) = self.cells.get_mut(index) else { return };
        if let Some((key, work)) = cell.task.take() {
            self.free |= 1 << index;
            self.finished.push((key, work.finish(result), outcome));
        }
    }

    /// Ends the tasks that have to stop.
    fn stop(&mut self) {
        let mut stops = 0;
        let mut cancelled = 0;
        {
            let table = self.shared.table();
            for (index, cell) in self.cells.iter().enumerate() {
                let key = cell.task.as_ref().map(|(key, _)| *key);
                match key.and_then(|key| table.stop_of(key)) {
                    Some(Stop::TimedOut) => stops |= 1 << index,
                    Some(Stop::Cancelled) => cancelled |= 1 << index,
                    None => {}
                }
            }
        }
        for index in 0..self.cells.len() {
            let bit = 1 << index;
            if stops & bit != 0 {
                let error = IoTaskError::TimedOut { begun: true };
                self.end(index, Err(error), Outcome::TimedOut);
            } else if cancelled & bit != 0 {
                self.end(index, Err(IoTaskError::Cancelled), Outcome::Cancelled);
            }
        }
    }

    /// Hands over what is finished and takes new tasks, under one lock; returns their cells.
    fn exchange(&mut self) -> u64 {
        let mut fresh = 0;
        let now_us = self.shared.now_us();
        {
            let mut table = self.shared.table();
            for (key, finished, outcome) in self.finished.drain(..) {
                self.settled.push(table.settle(key, finished, outcome, now_us));
            }
            for _ in 0..TAKE_MAX {
                if self.free == 0 {
                    break;
                }
                let index = self.free.trailing_zeros() as usize;
                let Some(cell) = self.cells.get_mut(index) else { break };
                let Some(task) = self.shared.take(&mut table, self.index) else { break };
                cell.task = Some(task);
                self.free &= !(1 << index);
                fresh |= 1 << index;
            }
        }
        if fresh != 0 {
            // One worker calls the next, so that no more come than there is work for.
            self.shared.call_worker();
        }
        for settled in self.settled.drain(..) {
            self.shared.deliver(settled);
        }
        fresh
    }

    fn can_take(&self) -> bool {
        self.free != 0 && self.shared.has_queued()
    }

    /// Whether nothing is left to do, for good.
    fn is_over(&self) -> bool {
        self.free.count_ones() as usize == self.cells.len() && self.shared.is_drained()
    }
}

impl<C: TaskConnection> Future for Worker<C> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        this.board.register(cx.waker());
        this.shared.busy(this.index);
        for _ in 0..ROUNDS_MAX {
            let reasons = this.board.take();
            if reasons & CALLED != 0 {
                this.shared.arrived(this.index, this.free != 0);
            }
            if reasons & STOPS != 0 {
                this.stop();
            }
            this.work(reasons);
            if !this.finished.is_empty() || this.can_take() {
                let fresh = this.exchange();
                this.work(fresh);
                if fresh != 0 || !this.finished.is_empty() {
                    continue;
                }
            }
            if this.is_over() {
                return Poll::Ready(());
            }
            if this.shared.rest(this.index, this.free != 0) {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Whatever ends a worker, its tasks complete.
impl<C: TaskConnection> Drop for Worker<C> {
    fn drop(&mut self) {
        for index in 0..self.cells.len() {
            self.end(index, Err(IoTaskError::RuntimeEnded), Outcome::Ended);
        }
        let now_us = self.shared.now_us();
        for (key, finished, outcome) in mem::take(&mut self.finished) {
            let settled = self.shared.table().settle(key, finished, outcome, now_us);
            self.shared.deliver(settled);
        }
        // Those that were settled when a callback, or rather dropping its panic, panicked.
        for settled in mem::take(&mut self.settled) {
            self.shared.deliver(settled);
        }
        self.shared.worker_gone(self.index);
    }
}

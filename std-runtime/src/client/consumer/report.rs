//! The end of a consumer, and what became of it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use turbopump_core::time::Instant;

/// What became of messages from the moment when a consumer was told to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerReport {
    /// Handlers that came to their end in time.
    pub completed: u64,
    /// Messages whose handlers did not: they are delivered again, to whoever has the queue next.
    pub abandoned: u64,
    /// Queues whose offset may not be committed: what was handled of them lately is delivered
    /// again.
    pub uncommitted: usize,
    /// Whether everything ended in time.
    pub in_time: bool,
}

/// How far the end is.
#[derive(Debug, Default)]
pub(super) struct Stopping(Mutex<State>);

#[derive(Clone, Copy, Debug, Default)]
struct State {
    deadlines: Option<Deadlines>,
    report: Option<ConsumerReport>,
    completed_before: u64,
}

/// When what is not waited for any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Deadlines {
    /// Handlers: the rest of the time is for commits.
    pub(super) handlers: Instant,
    /// Everything.
    pub(super) all: Instant,
}

impl Stopping {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It ends from now on; an earlier deadline counts.
    pub(super) fn begin(&self, now: Instant, timeout_us: u64, completed: u64) {
        let all = now.plus_us(timeout_us);
        let rest_us = (timeout_us / 4).min(COMMITS_US_MAX);
        let deadlines =
            Deadlines { handlers: now.plus_us(timeout_us.saturating_sub(rest_us)), all };
        let mut state = self.state();
        match &mut state.deadlines {
            Some(known) => {
                known.handlers = known.handlers.min(deadlines.handlers);
                known.all = known.all.min(deadlines.all);
            }
            none => {
                *none = Some(deadlines);
                state.completed_before = completed;
            }
        }
    }

    pub(super) fn deadlines(&self) -> Option<Deadlines> {
        self.state().deadlines
    }

    /// Handlers that have ended since.
    pub(super) fn completed_since(&self, completed: u64) -> u64 {
        completed.saturating_sub(self.state().completed_before)
    }

    /// It has ended.
    pub(super) fn end(&self, report: ConsumerReport) {
        self.state().report = Some(report);
    }

    pub(super) fn report(&self) -> Option<ConsumerReport> {
        self.state().report
    }
}

/// What is left for commits when handlers are given up, at most: 1 second.
const COMMITS_US_MAX: u64 = 1_000_000;

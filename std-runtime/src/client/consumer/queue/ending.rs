//! Offsets that are committed, and what ends the taking of a queue: giving it away, an offset that
//! is set anew, a lock that is lost.

use turbopump_core::rocketmq::consumer::{Epoch, Pulling, Start};
use turbopump_core::time::Instant;

use super::{Commit, OwnedQueue, Stage, no_window};

/// Between a commit that has failed and the next, in microseconds.
const AGAIN_US: u64 = 200_000;

impl OwnedQueue {
    /// What is to be committed now: on time, or for the last time.
    pub(in crate::client::consumer) fn poll_commit(&self, now: Instant) -> Option<Commit> {
        let mut state = self.state();
        let is_open = matches!(state.stage, Stage::Running | Stage::Committing);
        if !is_open || now < state.commit_at || state.is_committing {
            return None;
        }
        // Nobody knows an offset before the beginning is found.
        let offset = state.pulling.is_some().then(|| state.window.poll_commit()).flatten()?;
        state.is_committing = true;
        Some(Commit { epoch: state.epoch, offset })
    }

    /// It was committed, or that failed and is tried again.
    pub(in crate::client::consumer) fn handle_commit(
        &self,
        now: Instant,
        commit: Commit,
        is_committed: bool,
    ) {
        let mut state = self.state();
        state.is_committing = false;
        let interval_us = self.config.commit_interval_us();
        // What was handled since must not wait where this queue is given away, nor what it was set
        // to meanwhile.
        let is_last = matches!(state.stage, Stage::Stopping | Stage::Committing);
        let is_hurried = is_last || commit.epoch != state.epoch;
        let pause_us = match is_committed {
            true if is_hurried => 0,
            true => interval_us,
            false => interval_us.min(AGAIN_US),
        };
        state.commit_at = now.plus_us(pause_us);
        if is_committed {
            state.window.handle_committed(commit.epoch, commit.offset);
        }
    }

    /// Whether everything that was handled is committed, or nothing is known to commit.
    pub(in crate::client::consumer) fn is_committed(&self) -> bool {
        let state = self.state();
        state.pulling.is_none() || state.window.poll_commit().is_none()
    }

    /// No handler runs for it.
    pub(in crate::client::consumer) fn is_idle(&self) -> bool {
        self.state().running == 0
    }

    /// It is given away: nothing more is pulled or handed out.
    pub(in crate::client::consumer) fn stop(&self) {
        let mut state = self.state();
        state.stage = Stage::Stopping;
        state.waiting.clear();
        state.later.clear();
        if let Some(pulling) = state.pulling.as_mut() {
            pulling.stop();
        }
        drop(state);
        self.flow.cancel();
        self.bell.ring();
    }

    /// Its handlers are through, or not waited for: the offset is committed for the last time.
    pub(in crate::client::consumer) fn commit_finally(&self, now: Instant) {
        let mut state = self.state();
        (state.commit_at, state.stage) = (now, Stage::Committing);
        drop(state);
        self.bell.ring();
    }

    /// It is somebody else's.
    pub(in crate::client::consumer) fn leave(&self) {
        self.enter(Stage::Left);
    }

    fn enter(&self, stage: Stage) {
        self.state().stage = stage;
        self.bell.ring();
    }

    /// It goes on at another offset, under a new epoch: whatever is under way is stale. Committed
    /// at once.
    pub(in crate::client::consumer) fn restart(&self, now: Instant, epoch: Epoch, offset: i64) {
        let mut state = self.state();
        state.epoch = epoch;
        if !matches!(state.stage, Stage::Finding | Stage::Running) {
            // Without its lock it begins nowhere.
            return;
        }
        state.waiting.clear();
        state.later.clear();
        state.rests_until = None;
        state.waits_for_span = false;
        state.commit_at = now;
        state.window.reset(epoch, offset);
        match state.pulling.as_mut() {
            Some(pulling) => pulling.restart(now, offset),
            // Nobody knew where it begins.
            None => {
                state.window = self.new_window();
                state.window.reset(epoch, offset);
                state.pulling = Some(Pulling::new(self.config.pull, offset, now));
            }
        }
        state.stage = Stage::Running;
        // Before anybody pulls for it again, who would find what the pull before has reserved.
        self.flow.forget();
        drop(state);
        self.bell.ring();
    }

    /// Its lock was gained: it begins at the offset that is committed.
    pub(in crate::client::consumer) fn unlock(&self, now: Instant) {
        let mut state = self.state();
        if state.stage == Stage::Locking {
            state.start = Start::new(self.config.start, self.from.is_retry, now);
            state.stage = Stage::Finding;
        }
        drop(state);
        self.bell.ring();
    }

    /// Its lock was lost: whatever is under way is stale, and nothing is committed.
    pub(in crate::client::consumer) fn lose_lock(&self, epoch: Epoch) {
        let mut state = self.state();
        state.epoch = epoch;
        if matches!(state.stage, Stage::Finding | Stage::Running) {
            state.stage = Stage::Locking;
        }
        state.waiting.clear();
        state.later.clear();
        state.rests_until = None;
        state.waits_for_span = false;
        state.pulling = None;
        state.window = no_window();
        self.flow.forget();
        drop(state);
        self.bell.ring();
    }
}

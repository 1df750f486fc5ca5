//! What the handles, workers and the keeper of one batch handle share, under one short lock.

use core::mem;
use core::task::{Context, Poll, Waker};
use std::sync::{Mutex, MutexGuard};
use std::time::Instant as SystemInstant;

use alloc::vec::Vec;

use turbopump_core::batch::{Accumulator, Batch, BatchStorage, NewRefused, Settled, Ticket};
use turbopump_core::stats::{Counter, ItemsHistogram, SizeHistogram};
use turbopump_core::time::{Clock, Instant, Now};

use super::allowance::{Allowance, lock};
use super::error::RefusedReason;
use super::line::{Line, WakeList};
use super::settings::{BatchSettings, InvalidSettings};
use super::stats::BatchStats;
use crate::clock::SystemClock;

pub(super) use intake::PushEnd;

pub(super) struct Engine<T: 'static> {
    pub(super) settings: BatchSettings<T>,
    pub(super) clock: EngineClock,
    state: Mutex<State<T>>,
}

/// The system's clock; in tests, one that they move.
pub(super) enum EngineClock {
    System(SystemClock),
    #[cfg(test)]
    Manual(tests::ManualClock),
}

impl EngineClock {
    #[inline]
    pub(super) fn now(&self) -> Now {
        match self {
            Self::System(clock) => clock.now(),
            #[cfg(test)]
            Self::Manual(clock) => clock.now(),
        }
    }

    /// The system's instant for timers; `None` beyond what it can say.
    pub(super) fn system_instant(&self, at: Instant) -> Option<SystemInstant> {
        match self {
            Self::System(clock) => clock.system_instant(at),
            #[cfg(test)]
            Self::Manual(_) => None,
        }
    }
}

pub(super) struct State<T: 'static> {
    accumulator: Accumulator<'static, T>,
    waiting_bytes: u64,
    /// The time as of the last look at the clock, and how many items have come since.
    now: Now,
    since_look: u32,
    /// What may be taken in without further ado.
    allowance: Allowance,
    /// Senders that wait for room.
    pub(super) line: Line,
    /// Workers that wait for a batch, as bits, and their wakers.
    idle: u64,
    workers: Vec<Option<Waker>>,
    pub(super) running: usize,
    /// Until when the keeper sleeps.
    pub(super) armed: Instant,
    pub(super) keeper: Option<Waker>,
    /// Who waits for everything to be settled, or for the end.
    watchers: Vec<Waker>,
    pub(super) is_stopping: bool,
    abandoned: Counter,
    panics: Counter,
    sizes: ItemsHistogram,
    bytes: SizeHistogram,
}

impl<T: 'static> Engine<T> {
    pub(super) fn new(
        settings: BatchSettings<T>,
        clock: SystemClock,
        seed: u64,
    ) -> Result<Self, InvalidSettings> {
        settings.check()?;
        let storage = BatchStorage::on_heap(&settings.batch);
        let accumulator = match Accumulator::new(settings.batch, storage, seed) {
            Ok(accumulator) => accumulator,
            Err(NewRefused::Config(error)) => return Err(InvalidSettings::Batch(error)),
            Err(_) => unreachable!("the storage was made for this configuration"),
        };
        let workers = settings.workers();
        let state = State {
            accumulator,
            waiting_bytes: 0,
            now: Now::default(),
            since_look: 0,
            allowance: Allowance::default(),
            line: Line::new(),
            idle: 0,
            workers: core::iter::repeat_n(None, workers).collect(),
            running: 0,
            armed: Instant::NEVER,
            keeper: None,
            watchers: Vec::new(),
            is_stopping: false,
            abandoned: Counter::new(),
            panics: Counter::new(),
            sizes: ItemsHistogram::items(),
            bytes: SizeHistogram::sizes_bytes(),
        };
        let clock = EngineClock::System(clock);
        Ok(Self { settings, clock, state: Mutex::new(state) })
    }

    /// For whatever may change what taking in depends on.
    #[inline]
    pub(super) fn lock(&self) -> MutexGuard<'_, State<T>> {
        let mut state = lock(&self.state);
        state.allowance = Allowance::default();
        state
    }

    /// A batch for worker `index`; `None` at the end.
    pub(super) fn poll_batch(
        &self,
        index: usize,
        batch: &mut Batch<'static, T>,
        cx: &Context<'_>,
    ) -> Poll<Option<()>> {
        let mut state = self.lock();
        let this = &mut *state;
        this.look(self.clock.now());
        // Neither out nor too small: both were made by the same settings.
        let is_filled = this.accumulator.poll_batch(this.now, batch).unwrap_or(false);
        if is_filled {
            this.idle &= !(1 << index);
            if batch.attempt() == 0 {
                this.waiting_bytes = this.waiting_bytes.saturating_sub(batch.bytes());
                this.sizes.observe(batch.len() as u64);
                this.bytes.observe(batch.bytes());
            }
            let mut senders = WakeList::default();
            let is_more = !this.line.is_empty() && this.grant(&mut senders);
            let next = if this.is_ready() { this.idle_worker() } else { None };
            let keeper = this.arm();
            drop(state);
            wake(next);
            wake(keeper);
            self.wake_senders(senders, is_more);
            return Poll::Ready(Some(()));
        }
        if this.is_stopping && this.accumulator.is_drained() {
            return Poll::Ready(None);
        }
        this.idle |= 1 << index;
        let mut senders = WakeList::default();
        let is_more = !this.line.is_empty() && this.grant(&mut senders);
        let mut old = None;
        if let Some(waker) = this.workers.get_mut(index)
            && !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            old = waker.replace(cx.waker().clone());
        }
        let keeper = this.arm();
        drop(state);
        drop(old);
        wake(keeper);
        self.wake_senders(senders, is_more);
        Poll::Pending
    }

    /// Wakes senders who were promised room, a few at a time.
    #[inline]
    fn wake_senders(&self, mut senders: WakeList, mut is_more: bool) {
        senders.wake_all();
        while is_more {
            is_more = self.lock().grant(&mut senders);
            senders.wake_all();
        }
    }

    /// A sender waits no longer, and has not used what it was promised.
    pub(super) fn give_up(&self, number: u64) {
        let mut senders = WakeList::default();
        let mut state = self.lock();
        state.line.leave(Some(number));
        let is_more = state.grant(&mut senders);
        drop(state);
        self.wake_senders(senders, is_more);
    }

    /// Takes a batch back. Items that are given up are told to `settled`, without a lock.
    pub(super) fn settle(
        &self,
        batch: &mut Batch<'static, T>,
        mut settled: impl FnMut(T, Settled),
    ) {
        let now = self.clock.now();
        batch.conclude(now, &mut settled);
        self.settle_concluded(now, batch, settled);
    }

    /// The same, of a batch that was concluded at this time.
    pub(super) fn settle_concluded(
        &self,
        now: Now,
        batch: &mut Batch<'static, T>,
        mut settled: impl FnMut(T, Settled),
    ) {
        let mut given_up = Vec::new();
        let mut state = self.lock();
        let this = &mut *state;
        this.look(now);
        // Out, as it was handed out.
        let _ = this.accumulator.settle(now, batch, |item, how| given_up.push((item, how)));
        this.abandoned.add(given_up.len() as u64);
        let keeper = this.arm();
        let ended = this.take_watchers();
        drop(state);
        given_up.into_iter().for_each(|(item, how)| settled(item, how));
        wake(keeper);
        ended.into_iter().for_each(Waker::wake);
    }

    /// A worker is gone, with the batch it had.
    pub(super) fn worker_gone(&self, index: usize, ticket: Option<Ticket>) {
        let mut state = self.lock();
        let this = &mut *state;
        if let Some(ticket) = ticket {
            this.accumulator.forget(ticket);
        }
        this.idle &= !(1 << index);
        this.running -= 1;
        let mut wakers = mem::take(&mut this.watchers);
        if this.running == 0 {
            // Nobody is left to work: not by stopping, where all is done, but with the runtime.
            this.is_stopping = true;
            this.accumulator.shutdown();
            wakers.extend(this.line.dismiss());
            wakers.extend(this.keeper.take());
        } else if this.is_ready() {
            wakers.extend(this.idle_worker());
        }
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(super) fn count_panic(&self) {
        self.lock().panics.increment();
    }

    pub(super) fn flush(&self) {
        let mut state = self.lock();
        state.accumulator.flush();
        let worker = if state.is_ready() { state.idle_worker() } else { None };
        drop(state);
        wake(worker);
    }

    /// Takes nothing in any more; workers end when all is settled.
    pub(super) fn stop(&self) {
        let mut state = self.lock();
        state.is_stopping = true;
        state.accumulator.shutdown();
        let mut wakers = Vec::new();
        state.idle = 0;
        wakers.extend(state.workers.iter_mut().filter_map(Option::take));
        wakers.extend(state.line.dismiss());
        wakers.extend(state.keeper.take());
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Gives up what waits for an attempt.
    pub(super) fn abandon(&self, mut settled: impl FnMut(T, Settled)) {
        let mut given_up = Vec::new();
        let mut state = self.lock();
        state.accumulator.abandon(|item, how| given_up.push((item, how)));
        state.waiting_bytes = 0;
        state.abandoned.add(given_up.len() as u64);
        let mut wakers = state.take_watchers();
        wakers.extend(state.workers.iter_mut().filter_map(Option::take));
        drop(state);
        given_up.into_iter().for_each(|(item, how)| settled(item, how));
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(super) fn poll_drained(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.accumulator.is_drained() || (state.is_stopping && state.running == 0) {
            return Poll::Ready(());
        }
        state.watch(cx);
        Poll::Pending
    }

    pub(super) fn poll_ended(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.running == 0 {
            return Poll::Ready(());
        }
        state.watch(cx);
        Poll::Pending
    }

    /// The keeper's time has come: somebody looks for a batch, if one is due, and `settled` is told
    /// of what has no time left while none can be handed out.
    pub(super) fn round(&self, mut settled: impl FnMut(T, Settled)) {
        let mut expired = Vec::new();
        let mut senders = WakeList::default();
        let mut state = self.lock();
        let this = &mut *state;
        this.look(self.clock.now());
        this.armed = Instant::NEVER;
        if this.accumulator.poll_expiry().is_some() {
            this.accumulator.expire(this.now, |item, how| expired.push((item, how)));
        }
        for (item, _) in &expired {
            let bytes = (self.settings.bytes_of)(item);
            this.waiting_bytes = this.waiting_bytes.saturating_sub(bytes);
        }
        let is_more = !this.line.is_empty() && this.grant(&mut senders);
        let worker = if this.is_ready() { this.idle_worker() } else { None };
        let keeper = this.arm();
        let ended = if expired.is_empty() { Vec::new() } else { this.take_watchers() };
        drop(state);
        expired.into_iter().for_each(|(item, how)| settled(item, how));
        wake(worker);
        wake(keeper);
        self.wake_senders(senders, is_more);
        ended.into_iter().for_each(Waker::wake);
    }

    pub(super) fn stats(&self) -> BatchStats {
        let state = self.lock();
        BatchStats {
            counters: state.accumulator.counters(),
            waiting: state.accumulator.waiting(),
            waiting_bytes: state.waiting_bytes,
            in_flight: state.accumulator.in_flight(),
            items_target: state.accumulator.items_target(),
            workers: state.running,
            abandoned: state.abandoned,
            handler_panics: state.panics,
            sizes: state.sizes.clone(),
            bytes: state.bytes.clone(),
        }
    }
}

impl<T: 'static> State<T> {
    /// The time as of now, unless somebody with the lock has seen a later one.
    #[inline]
    fn look(&mut self, now: Now) {
        if now.at > self.now.at {
            self.now = now;
        }
    }

    /// Promises the room that there is to those who wait for it, once it is worth waking them:
    /// half of all, or what is there when no more batches are due.
    fn grant(&mut self, wakers: &mut WakeList) -> bool {
        let room = self.accumulator.room();
        let is_enough = room >= self.accumulator.config().waiting_max as usize / 2;
        // Whoever was promised room before is woken in any case.
        let room = if is_enough || !self.is_ready() { room } else { 0 };
        self.line.grant(room, wakers)
    }

    /// Wakes whoever has to do something about a new item.
    #[inline]
    fn after_push(&mut self, has_deadline: bool) -> Wakers {
        let mut wakers = Wakers::default();
        if self.idle != 0 && self.is_ready() {
            wakers.worker = self.idle_worker();
        }
        if has_deadline || self.accumulator.waiting() == 1 {
            wakers.keeper = self.arm();
        }
        wakers
    }

    /// Why there is no room.
    fn refusal(&self) -> RefusedReason {
        if self.is_stopping { RefusedReason::Stopped } else { self.full() }
    }

    pub(super) fn full(&self) -> RefusedReason {
        RefusedReason::Full { items: self.accumulator.waiting(), bytes: self.waiting_bytes }
    }

    pub(super) fn set_cpu_share(&mut self, share: f64) {
        self.accumulator.set_cpu_share(share);
    }

    fn is_ready(&self) -> bool {
        self.accumulator.poll_timeout().is_some_and(|at| at <= self.now.at)
    }

    /// A worker that waits; it is not called twice.
    fn idle_worker(&mut self) -> Option<Waker> {
        let index = self.idle.trailing_zeros() as usize;
        let waker = self.workers.get_mut(index)?.take();
        self.idle &= !(1 << index);
        waker
    }

    /// Has the keeper come in time. A batch that is due already is no matter of time: an idle
    /// worker was called for it, or all are busy and will look for themselves.
    fn arm(&mut self) -> Option<Waker> {
        let due = self.accumulator.poll_timeout().filter(|at| *at > self.now.at);
        let at = [due, self.accumulator.poll_expiry()].into_iter().flatten().min()?;
        if at >= self.armed {
            return None;
        }
        self.armed = at;
        self.keeper.take()
    }

    fn take_watchers(&mut self) -> Vec<Waker> {
        if !self.accumulator.is_drained() {
            return Vec::new();
        }
        let mut wakers = mem::take(&mut self.watchers);
        if self.is_stopping {
            wakers.extend(self.workers.iter_mut().filter_map(Option::take));
        }
        wakers
    }

    fn watch(&mut self, cx: &Context<'_>) {
        if !self.watchers.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.watchers.push(cx.waker().clone());
        }
    }
}

/// Whom to wake once the lock is released.
#[derive(Default)]
#[must_use]
pub(super) struct Wakers {
    worker: Option<Waker>,
    keeper: Option<Waker>,
}

impl Wakers {
    #[inline(always)]
    pub(super) fn wake(self) {
        wake(self.worker);
        wake(self.keeper);
    }
}

#[inline(always)]
pub(super) fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

mod intake;
#[cfg(test)]
mod tests;

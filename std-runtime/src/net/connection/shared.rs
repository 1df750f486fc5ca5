//! What a pool's handles, connections and tasks share, under one short lock.

use core::mem;
use core::task::{Context, Poll, Waker};
use std::sync::{Mutex, MutexGuard, PoisonError};

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use turbopump_core::link::pool::{
    Bookkeeping, DialToken, Held, Place, Placed, Retired, WaitCell, Waiter,
};
use turbopump_core::stats::LatencyHistogram;
use turbopump_core::time::{Clock, Instant};

use super::addresses::Addresses;
use super::codec::Codecs;
use super::desk::Desk;
use super::dial::dial;
use super::error::{DialCause, DialError, Phase};
use super::keeper::tick_us;
use super::live::Live;
use super::settings::PoolSettings;
use super::status::{IoCounts, PoolStatus};
use crate::backend::{Backend, Endpoint};
use crate::bell::Bell;
use crate::clock::SystemClock;
use crate::tasks::kinds;

/// What a waiter gets.
type Served<B> = (Held, Box<Live<B>>);

pub(super) struct Shared<B: Backend> {
    pub(super) backend: B,
    pub(super) endpoint: Endpoint,
    pub(super) settings: PoolSettings,
    pub(super) clock: SystemClock,
    pub(super) addresses: Addresses,
    pub(super) codecs: Codecs,
    pub(super) latency: Mutex<LatencyHistogram>,
    /// How late the coarse time may be.
    pub(super) tick_us: u64,
    /// Calls the keeper.
    pub(super) bell: Arc<Bell>,
    /// By waiter. May be locked under the state's lock, not the other way round.
    pub(super) desks: Box<[Desk<Served<B>>]>,
    state: Mutex<State<B>>,
}

pub(super) struct State<B: Backend> {
    pub(super) book: Bookkeeping<'static>,
    /// By place; of those that nobody holds.
    pub(super) live: Box<[Option<Box<Live<B>>>]>,
    /// By place; of tasks that dial.
    dials: Box<[Option<Waker>]>,
    /// Of those who wait for a certain number of connections, or for the last to be closed.
    pub(super) watchers: Vec<Waker>,
    pub(super) last_dial: Option<DialError>,
    /// The time as of the keeper's last round, if that is not long ago.
    coarse: Instant,
    /// Whether the keeper will come back soon. If not, the time is looked up and it is called.
    pub(super) is_kept: bool,
    /// When the keeper comes back at the latest.
    pub(super) kept_until: Instant,
    io: IoCounts,
    timeouts: [u64; Phase::ALL.len()],
}

impl<B: Backend> Shared<B> {
    pub(super) fn new(backend: B, endpoint: Endpoint, settings: PoolSettings) -> Self {
        let places = settings.connections_max as usize;
        // Who was served keeps the cell until the connection is back.
        let cells = places + settings.waiting_max as usize;
        let seed = backend.random_seed();
        let book = Bookkeeping::new(
            settings.rules(),
            vec![Place::FREE; places].into_boxed_slice(),
            vec![WaitCell::FREE; cells].into_boxed_slice(),
            seed,
        );
        let state = State {
            book,
            live: core::iter::repeat_with(|| None).take(places).collect(),
            dials: core::iter::repeat_n(None, places).collect(),
            watchers: Vec::new(),
            last_dial: None,
            coarse: Instant::ZERO,
            is_kept: false,
            kept_until: Instant::NEVER,
            io: IoCounts::default(),
            timeouts: [0; Phase::ALL.len()],
        };
        Self {
            clock: SystemClock::of(&backend),
            backend,
            endpoint,
            codecs: Codecs::new(&settings.compression),
            tick_us: tick_us(&settings),
            settings,
            addresses: Addresses::default(),
            latency: Mutex::new(LatencyHistogram::new()),
            bell: Arc::default(),
            desks: core::iter::repeat_with(Desk::new).take(cells).collect(),
            state: Mutex::new(state),
        }
    }

    #[inline]
    pub(super) fn lock(&self) -> MutexGuard<'_, State<B>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time, a little late while the keeper makes its rounds.
    #[inline]
    pub(super) fn coarse_now(&self, state: &mut State<B>) -> Instant {
        if state.is_kept { state.coarse } else { self.exact_now(state) }
    }

    /// The time; calls the keeper unless it makes its rounds.
    #[cold]
    pub(super) fn exact_now(&self, state: &mut State<B>) -> Instant {
        state.coarse = self.clock.now().at;
        if !mem::replace(&mut state.is_kept, true) {
            self.bell.ring();
        }
        state.coarse
    }

    /// Does what the books ask for after something other than a plain checkout or return.
    pub(super) fn settle(self: &Arc<Self>, mut state: MutexGuard<'_, State<B>>, now: Instant) {
        let this = &mut *state;
        let mut wakers = Vec::new();
        while let Some(waiter) = this.book.poll_failed() {
            wakers.extend(self.desks[waiter].end());
        }
        while let Some(waiter) = this.book.poll_timed_out(now) {
            this.timeouts[Phase::Acquire as usize] += 1;
            wakers.extend(self.desks[waiter].end());
        }
        let mut retired = Vec::new();
        while let Some((place, _)) = this.book.poll_retired(now) {
            retired.extend(this.live[place].take());
        }
        let dials: Vec<_> = core::iter::from_fn(|| this.book.poll_dial(now)).collect();
        if this.book.is_closed() {
            wakers.extend(this.dials.iter_mut().filter_map(Option::take));
        }
        wakers.append(&mut this.watchers);
        if this.book.poll_timeout().is_some_and(|at| at < this.kept_until) {
            // Rung under the lock, or the keeper could miss what was decided just now.
            self.bell.ring();
        }
        drop(state);
        drop(retired);
        for token in dials {
            let dial = Dial { shared: Arc::clone(self), token: Some(token) };
            kinds::CONNECTION_DIAL.spawn(&self.backend, dial.run());
        }
        for waker in wakers {
            waker.wake();
        }
    }

    /// Takes a connection back.
    #[inline]
    pub(super) fn give_back(self: &Arc<Self>, held: Held, mut live: Box<Live<B>>) {
        if !live.can_be_reused() {
            return self.discard(held, *live, Retired::Broken);
        }
        let counts = mem::take(&mut live.counts);
        let mut state = self.lock();
        if !counts.is_zero() {
            state.io += counts;
        }
        let now = self.coarse_now(&mut state);
        let placed = state.book.give_back(now, held);
        self.place(state, now, placed, live);
    }

    #[inline]
    fn place(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State<B>>,
        now: Instant,
        placed: Placed,
        live: Box<Live<B>>,
    ) {
        match placed {
            Placed::Idle { place } => state.live[place] = Some(live),
            Placed::Served { waiter, held } => {
                drop(state);
                if let Err((held, live)) = self.desks[waiter].serve((held, live)) {
                    self.give_back(held, live);
                }
            }
            Placed::Close { .. } => {
                self.settle(state, now);
                drop(live);
            }
        }
    }

    /// Closes a connection that was in use, and has another one dialed for whoever waits.
    #[cold]
    pub(super) fn discard(self: &Arc<Self>, held: Held, live: Live<B>, reason: Retired) {
        let counts = live.counts;
        // Before its place is free for the next.
        drop(live);
        self.forget(held, counts, reason);
    }

    /// Has another connection dialed in place of one that is closed.
    pub(super) fn forget(self: &Arc<Self>, held: Held, counts: IoCounts, reason: Retired) {
        let mut state = self.lock();
        state.io += counts;
        let now = self.exact_now(&mut state);
        state.book.discard(held, reason);
        self.settle(state, now);
    }

    /// Ends somebody's wait before its time.
    pub(super) fn cancel(self: &Arc<Self>, waiter: Waiter) {
        let desk = &self.desks[waiter.index()];
        let mut state = self.lock();
        let is_served = state.book.cancel(waiter);
        // From here on the desk may be the next one's, unless a connection is under way to it.
        let left = if is_served { None } else { Some(desk.clear()) };
        drop(state);
        drop(left);
        if is_served && let Some((held, live)) = desk.go() {
            self.give_back(held, live);
        }
    }

    /// Has connections opened in advance, and says how many dials have failed until now.
    pub(super) fn raise(self: &Arc<Self>, count: u32) -> u64 {
        let mut state = self.lock();
        let failures = state.book.counts().dial_failures;
        state.book.raise(count);
        let now = self.exact_now(&mut state);
        self.settle(state, now);
        failures
    }

    pub(super) fn close(self: &Arc<Self>) {
        let mut state = self.lock();
        if state.book.is_closed() {
            return;
        }
        state.book.close();
        let now = self.exact_now(&mut state);
        self.settle(state, now);
    }

    pub(super) fn count_timeout(&self, phase: Phase) {
        self.lock().timeouts[phase as usize] += 1;
    }

    pub(super) fn status(&self) -> PoolStatus {
        let latency = self.latency.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let state = self.lock();
        PoolStatus {
            connections: state.book.counts(),
            io: state.io,
            latency,
            is_closed: state.book.is_closed(),
            is_failing: state.book.is_failing(),
            timeouts: state.timeouts,
        }
    }
}

/// A dial in flight. However it ends, its token is handed back.
struct Dial<B: Backend> {
    shared: Arc<Shared<B>>,
    token: Option<DialToken>,
}

impl<B: Backend> Dial<B> {
    async fn run(mut self) {
        let dialed = {
            let mut dialing = core::pin::pin!(dial(&self.shared));
            let place = self.token.as_ref().map(DialToken::place);
            core::future::poll_fn(|cx| {
                if let Some(place) = place
                    && self.shared.is_closed_for(place, cx)
                {
                    return Poll::Ready(None);
                }
                dialing.as_mut().poll(cx).map(Some)
            })
            .await
        };
        match dialed {
            Some(Ok(live)) => self.succeed(live),
            Some(Err(error)) => self.fail(error),
            // Dropping it says that it was given up.
            None => {}
        }
    }

    fn succeed(&mut self, live: Live<B>) {
        let Some(token) = self.token.take() else { return };
        let mut state = self.shared.lock();
        state.dials[token.place()] = None;
        state.last_dial = None;
        let now = self.shared.exact_now(&mut state);
        let placed = state.book.handle_dialed(now, token);
        self.shared.place(state, now, placed, Box::new(live));
        // Others may be waiting for the end of the pause, or for a number of connections.
        self.shared.settle(self.shared.lock(), now);
    }

    fn fail(&mut self, error: DialError) {
        let Some(token) = self.token.take() else { return };
        let mut state = self.shared.lock();
        state.dials[token.place()] = None;
        if error.is_timeout() {
            state.timeouts[error.phase() as usize] += 1;
        }
        state.last_dial = Some(error);
        let now = self.shared.exact_now(&mut state);
        state.book.handle_dial_failed(now, token);
        self.shared.settle(state, now);
    }
}

impl<B: Backend> Drop for Dial<B> {
    fn drop(&mut self) {
        if self.token.is_some() {
            let endpoint = &self.shared.endpoint;
            let error = DialError::new(endpoint, Phase::Dial, DialCause::Abandoned);
            self.fail(error);
        }
    }
}

impl<B: Backend> Shared<B> {
    /// Whether the pool is closed; if not, the task that dials for `place` is woken by that.
    fn is_closed_for(&self, place: usize, cx: &Context<'_>) -> bool {
        let mut state = self.lock();
        let is_closed = state.book.is_closed();
        let waker = &mut state.dials[place];
        match waker {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            _ => *waker = Some(cx.waker().clone()),
        }
        is_closed
    }
}

impl<B: Backend> State<B> {
    /// The task is woken when connections are opened or closed.
    pub(super) fn watch(&mut self, cx: &Context<'_>) {
        if !self.watchers.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.watchers.push(cx.waker().clone());
        }
    }
}

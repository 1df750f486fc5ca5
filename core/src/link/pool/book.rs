//! The bookkeeping itself.

use super::list::{Linked, Links, List, NONE, Stack};
use super::{Counts, Retired, Rules, WaitRefused};
use crate::backing::Backing;
use crate::random::SplitMix64;
use crate::time::Instant;

/// Keeps the books of one connection pool.
///
/// - Commands: [`acquire`](Self::acquire), [`wait`](Self::wait), [`outcome`](Self::outcome),
///   [`cancel`](Self::cancel), [`give_back`](Self::give_back), [`discard`](Self::discard),
///   [`raise`](Self::raise), [`close`](Self::close).
/// - Inputs: [`handle_dialed`](Self::handle_dialed),
///   [`handle_dial_failed`](Self::handle_dial_failed), [`handle_timeout`](Self::handle_timeout).
/// - Outputs, to be asked for until there is nothing left: [`poll_dial`](Self::poll_dial) after
///   [`wait`](Self::wait), [`discard`](Self::discard), [`raise`](Self::raise), every input, and
///   every `Close` and `None` below; [`poll_retired`](Self::poll_retired) after
///   [`handle_timeout`](Self::handle_timeout) and [`close`](Self::close);
///   [`poll_failed`](Self::poll_failed) after
///   [`handle_dial_failed`](Self::handle_dial_failed) and [`close`](Self::close);
///   [`poll_timed_out`](Self::poll_timed_out) after [`handle_timeout`](Self::handle_timeout);
///   [`poll_timeout`](Self::poll_timeout).
///
/// `now` may lag behind: all that happens then is that connections live a little longer.
///
/// ```
/// use turbopump_core::link::pool::{Bookkeeping, Outcome, Place, Placed, Rules, WaitCell};
/// use turbopump_core::time::Instant;
///
/// let (mut places, mut cells) = ([Place::FREE; 2], [WaitCell::FREE; 5]); // three may wait
/// let seed = 7;
/// let mut book = Bookkeeping::new(Rules::default(), &mut places[..], &mut cells[..], seed);
/// let now = Instant::ZERO;
///
/// assert!(book.acquire(now).is_none(), "no connection yet");
/// let waiter = book.wait(now)?;
/// let token = book.poll_dial(now).expect("somebody waits");
/// assert!(book.poll_dial(now).is_none(), "one dial for one waiter");
///
/// let Placed::Served { waiter: index, held } = book.handle_dialed(now, token) else { panic!() };
/// assert_eq!(index, waiter.index(), "whom to pass `held` on to");
/// assert_eq!(book.outcome(waiter), Outcome::Served);
/// assert_eq!(book.give_back(now, held), Placed::Idle { place: 0 });
/// # Ok::<(), turbopump_core::link::pool::WaitRefused>(())
/// ```
#[derive(Debug)]
pub struct Bookkeeping<'s> {
    rules: Rules,
    places: Backing<'s, Place>,
    free: Stack,
    /// Front: used last.
    idle: List,
    waiters: Backing<'s, WaitCell>,
    free_waiters: Stack,
    waiting_max: u32,
    /// Front: waits longest.
    queue: List,
    counts: Counts,
    /// Connections that somebody asked for in advance and that are not being dialed yet.
    raise: u32,
    /// Failed dials in a row; those that fail together count once.
    failures: u32,
    dial_not_before: Instant,
    /// Where the search for connections to close goes on.
    sweep: u32,
    fails_waiters: bool,
    closed: bool,
    random: SplitMix64,
}

impl<'s> Bookkeeping<'s> {
    /// Books for as many connections as there are places, and for as many waiters as there are
    /// more cells than places: who was served keeps the cell until the connection is back. Fewer
    /// than 2^32 - 2 of each are used.
    #[must_use]
    pub fn new(
        rules: Rules,
        places: impl Into<Backing<'s, Place>>,
        waiters: impl Into<Backing<'s, WaitCell>>,
        seed: u64,
    ) -> Self {
        let (mut places, mut waiters) = (places.into(), waiters.into());
        places.fill(Place::FREE);
        waiters.fill(WaitCell::FREE);
        let connections_max = u32::try_from(places.len()).unwrap_or(NONE);
        Self {
            rules,
            free: Stack::of_all(&mut places),
            waiting_max: u32::try_from(waiters.len())
                .unwrap_or(NONE)
                .saturating_sub(connections_max),
            places,
            idle: List::new(),
            free_waiters: Stack::of_all(&mut waiters),
            waiters,
            queue: List::new(),
            counts: Counts { connections_max, ..Counts::default() },
            raise: 0,
            failures: 0,
            dial_not_before: Instant::ZERO,
            sweep: NONE,
            fails_waiters: false,
            closed: false,
            random: SplitMix64::new(seed),
        }
    }

    /// How many there are of everything.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        Counts { idle: self.idle.len(), waiting: self.queue.len(), ..self.counts }
    }

    /// True once the pool is closed.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.closed
    }

    /// True where no connection is open or being opened.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.counts().total() == 0
    }

    /// True as long as the last dial has failed.
    #[must_use]
    pub const fn is_failing(&self) -> bool {
        self.failures > 0
    }

    // Commands.

    /// The idle connection that was used last.
    #[inline]
    pub fn acquire(&mut self, now: Instant) -> Option<Held> {
        let index = self.idle.pop_front(&mut self.places)?;
        let place = &mut self.places[index as usize];
        place.state = State::Active;
        let is_stale = now.us_since(place.idle_since) >= self.rules.check_after_us;
        self.counts.active += 1;
        self.counts.checkouts += 1;
        Some(Held { place: index, source: if is_stale { STALE } else { FRESH } })
    }

    /// Queues a waiter, for when [`acquire`](Self::acquire) had nothing.
    ///
    /// # Errors
    ///
    /// The pool is closed, or there is no room.
    pub fn wait(&mut self, now: Instant) -> Result<Waiter, WaitRefused> {
        if self.closed {
            return Err(WaitRefused::Closed);
        }
        let too_many = WaitRefused::TooMany { waiting_max: self.waiting_max };
        if self.queue.len() >= self.waiting_max {
            return Err(too_many);
        }
        let index = self.free_waiters.pop(&mut self.waiters).ok_or(too_many)?;
        let cell = &mut self.waiters[index as usize];
        cell.state = WaitState::Waiting;
        cell.until = now.plus_us(self.rules.wait_us_max);
        self.queue.push_back(&mut self.waiters, index);
        self.counts.waits += 1;
        Ok(Waiter { index })
    }

    /// What became of a waiter so far.
    pub fn outcome(&mut self, waiter: Waiter) -> Outcome {
        let outcome = match self.waiters[waiter.index as usize].state {
            WaitState::Waiting => return Outcome::Waiting(waiter),
            WaitState::Served => return Outcome::Served,
            WaitState::TimedOut => Outcome::TimedOut,
            WaitState::Failed => Outcome::Failed,
        };
        self.free_waiters.push(&mut self.waiters, waiter.index);
        outcome
    }

    /// Somebody stops waiting. True where they have been served already: whoever served them, or
    /// they themselves, have to give the connection back.
    #[must_use = "a connection that is not given back is lost"]
    pub fn cancel(&mut self, waiter: Waiter) -> bool {
        match self.waiters[waiter.index as usize].state {
            WaitState::Served => return true,
            WaitState::Waiting => self.queue.remove(&mut self.waiters, waiter.index),
            WaitState::Failed | WaitState::TimedOut => {}
        }
        self.free_waiters.push(&mut self.waiters, waiter.index);
        false
    }

    /// Takes back a connection that can be used again: for who waits longest, else as idle.
    #[inline]
    pub fn give_back(&mut self, now: Instant, held: Held) -> Placed {
        let index = held.place;
        let expires_at = self.places[index as usize].expires_at;
        if self.closed || now >= expires_at {
            let reason = if self.closed { Retired::PoolClosed } else { Retired::Lifetime };
            self.discard(held, reason);
            return Placed::Close { place: index as usize, reason };
        }
        self.leave(held);
        self.place(now, index)
    }

    /// A connection was closed by its user.
    pub fn discard(&mut self, held: Held, reason: Retired) {
        let place = held.place;
        self.leave(held);
        self.retire(place, reason);
    }

    /// Asks for connections in advance: so many that `count` are open, if that many may.
    pub fn raise(&mut self, count: u32) {
        let counts = self.counts();
        let missing = count.min(counts.connections_max).saturating_sub(counts.total());
        self.raise = self.raise.max(missing);
    }

    /// Lets nobody in any more: waiters fail, idle connections are closed, the others when they
    /// are given back.
    pub fn close(&mut self) {
        self.closed = true;
        self.fails_waiters = true;
        self.raise = 0;
        self.sweep = self.idle.back();
    }

    // Inputs.

    /// A dial has led to a connection.
    pub fn handle_dialed(&mut self, now: Instant, token: DialToken) -> Placed {
        let index = token.place;
        self.counts.dialing -= 1;
        self.counts.opened += 1;
        self.failures = 0;
        if self.closed {
            self.retire(index, Retired::PoolClosed);
            return Placed::Close { place: index as usize, reason: Retired::PoolClosed };
        }
        self.places[index as usize].expires_at = match self.rules.lifetime_us_max {
            u64::MAX => Instant::NEVER,
            us => now.plus_us(us - self.random.below(us / 4)),
        };
        self.place(now, index)
    }

    /// A dial has failed or was given up.
    pub fn handle_dial_failed(&mut self, now: Instant, token: DialToken) {
        self.counts.dialing -= 1;
        self.counts.dial_failures += 1;
        self.free(token.place);
        self.raise = 0;
        // Dials that were begun before the first of them failed say nothing new.
        if self.failures == 0 || now >= self.dial_not_before {
            self.failures = self.failures.saturating_add(1);
            self.dial_not_before = now.plus_us(self.backoff_us());
        }
        // Who waits, waits for a connection in use, a dial in flight or the next dial. That may be
        // long now, so where it is all that is left, waiters learn of the failure.
        if self.counts.active == 0 && self.counts.dialing == 0 {
            self.fails_waiters = true;
        }
    }

    /// Time has passed: looks for idle connections to close.
    pub fn handle_timeout(&mut self, _now: Instant) {
        self.sweep = self.idle.back();
    }

    // Outputs.

    /// Permission to open one more connection, where one is wanted and allowed.
    pub fn poll_dial(&mut self, now: Instant) -> Option<DialToken> {
        if !self.wants_dial() || now < self.dial_allowed_at()? {
            return None;
        }
        let place = self.free.pop(&mut self.places)?;
        self.places[place as usize].state = State::Dialing;
        self.raise = self.raise.saturating_sub(1);
        self.counts.dialing += 1;
        Some(DialToken { place })
    }

    /// An idle connection to close. Its place is free at once.
    #[must_use]
    pub fn poll_retired(&mut self, now: Instant) -> Option<(usize, Retired)> {
        while self.sweep != NONE {
            let index = self.sweep;
            let place = &self.places[index as usize];
            if !matches!(place.state, State::Idle) {
                // Somebody has just taken it; all that lie before it are younger.
                self.sweep = NONE;
                break;
            }
            self.sweep = List::before(&self.places, index);
            let is_spare = self.idle.len() > self.rules.idle_min;
            let reason = if self.closed {
                Retired::PoolClosed
            } else if now >= place.expires_at {
                Retired::Lifetime
            } else if is_spare && now.us_since(place.idle_since) >= self.rules.idle_us_max {
                Retired::Idle
            } else {
                continue;
            };
            self.idle.remove(&mut self.places, index);
            self.retire(index, reason);
            return Some((index as usize, reason));
        }
        None
    }

    /// A waiter who fails, because the pool is closed or nothing is left to wait for.
    #[must_use]
    pub fn poll_failed(&mut self) -> Option<usize> {
        if !self.fails_waiters {
            return None;
        }
        let Some(index) = self.queue.pop_front(&mut self.waiters) else {
            self.fails_waiters = false;
            return None;
        };
        self.waiters[index as usize].state = WaitState::Failed;
        Some(index as usize)
    }

    /// A waiter whose time is over.
    #[must_use]
    pub fn poll_timed_out(&mut self, now: Instant) -> Option<usize> {
        // All wait equally long, so that the first one is over first.
        let front = self.queue.front();
        if front == NONE || now < self.waiters[front as usize].until {
            return None;
        }
        self.queue.pop_front(&mut self.waiters);
        self.waiters[front as usize].state = WaitState::TimedOut;
        self.counts.wait_timeouts += 1;
        Some(front as usize)
    }

    /// When [`handle_timeout`](Self::handle_timeout) and the outputs are to be called. Looks at
    /// every idle connection.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let dial_at = if self.wants_dial() { self.dial_allowed_at() } else { None };
        let is_spare = self.idle.len() > self.rules.idle_min;
        let oldest = self.idle.indices_from_back(&self.places).next().filter(|_| is_spare);
        let idle_at = oldest
            .map(|index| self.places[index as usize].idle_since.plus_us(self.rules.idle_us_max));
        let all = self.idle.indices_from_back(&self.places);
        let expires_at = all.map(|index| self.places[index as usize].expires_at).min();
        let front = self.queue.front();
        let wait_until = (front != NONE).then(|| self.waiters[front as usize].until);
        let earliest = [dial_at, idle_at, expires_at, wait_until].into_iter().flatten().min();
        earliest.filter(|at| *at < Instant::NEVER)
    }

    // Private.

    /// Hands out a connection that belongs to nobody.
    #[inline]
    fn place(&mut self, now: Instant, index: u32) -> Placed {
        let place = &mut self.places[index as usize];
        if let Some(waiter) = self.queue.pop_front(&mut self.waiters) {
            place.state = State::Active;
            self.counts.active += 1;
            self.counts.checkouts += 1;
            self.waiters[waiter as usize].state = WaitState::Served;
            let held = Held { place: index, source: waiter };
            return Placed::Served { waiter: waiter as usize, held };
        }
        place.state = State::Idle;
        place.idle_since = now;
        self.idle.push_front(&mut self.places, index);
        Placed::Idle { place: index as usize }
    }

    /// Somebody has used a connection.
    #[inline]
    fn leave(&mut self, held: Held) {
        self.counts.active -= 1;
        if held.source < STALE {
            self.free_waiters.push(&mut self.waiters, held.source);
        }
    }

    fn retire(&mut self, index: u32, reason: Retired) {
        self.counts.count_closed(reason);
        self.free(index);
    }

    fn free(&mut self, index: u32) {
        self.places[index as usize].state = State::Free;
        self.free.push(&mut self.places, index);
    }

    /// True where one more connection is wanted and there is a place for it, though a pause may
    /// have to end first.
    #[must_use]
    #[inline]
    pub fn wants_dial(&self) -> bool {
        if self.closed || self.free.is_empty() {
            return false;
        }
        let (waiting, dialing) = (self.queue.len(), self.counts.dialing);
        let spare = self.idle.len() + dialing.saturating_sub(waiting);
        waiting > dialing || spare < self.rules.idle_min || self.raise > 0
    }

    /// From when on one more dial may begin; `None` where that depends on one in flight.
    fn dial_allowed_at(&self) -> Option<Instant> {
        match self.failures {
            0 => Some(Instant::ZERO),
            _ => (self.counts.dialing == 0).then_some(self.dial_not_before),
        }
    }

    fn backoff_us(&mut self) -> u64 {
        let doublings = self.failures.saturating_sub(1).min(32);
        let us = self.rules.backoff_us_min.saturating_mul(1 << doublings);
        let us = us.min(self.rules.backoff_us_max);
        us / 2 + self.random.below(us - us / 2 + 1)
    }
}

/// Permission to open one connection.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a token that is not handed back takes the place of a connection for ever"]
pub struct DialToken {
    place: u32,
}

impl DialToken {
    /// The number that the connection will have.
    #[must_use]
    pub const fn place(&self) -> usize {
        self.place as usize
    }
}

/// It was idle, for long.
const STALE: u32 = u32::MAX - 1;

/// It was idle, for a short time.
const FRESH: u32 = u32::MAX;

/// The right to use one connection.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a connection that is not handed back is lost for ever"]
pub struct Held {
    place: u32,
    /// The cell of who waited for it, or what it was when idle. One number, because moving this
    /// about is a good part of what a checkout costs.
    source: u32,
}

impl Held {
    /// The number of the connection.
    #[must_use]
    pub const fn place(&self) -> usize {
        self.place as usize
    }

    /// True where it was idle for so long that it should be checked.
    #[must_use]
    pub const fn is_stale(&self) -> bool {
        self.source == STALE
    }
}

/// A place in the queue.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a waiter that is not cancelled gets a connection and keeps it for ever"]
pub struct Waiter {
    index: u32,
}

impl Waiter {
    /// The number of the waiter, which others get when it is gone and the connection that it got,
    /// too.
    #[must_use]
    pub const fn index(&self) -> usize {
        self.index as usize
    }
}

/// What became of a waiter.
#[derive(Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums)]
pub enum Outcome {
    /// Nothing yet.
    Waiting(Waiter),
    /// It has a connection: [`Placed::Served`] says which.
    Served,
    /// The pool is closed, or a dial failed and nothing else was left to wait for.
    Failed,
    /// It has waited for as long as the rules allow.
    TimedOut,
}

/// Where a connection went.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
#[allow(clippy::exhaustive_enums)]
pub enum Placed {
    /// It is kept for the next user.
    Idle {
        /// Its number.
        place: usize,
    },
    /// It belongs to a waiter, to whom it is to be passed on.
    Served {
        /// The number of the waiter.
        waiter: usize,
        /// The waiter's right to use it.
        held: Held,
    },
    /// It is to be closed; its place is free already.
    Close {
        /// Its number.
        place: usize,
        /// Why.
        reason: Retired,
    },
}

/// Storage for one connection's part in the books.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    links: Links,
    state: State,
    idle_since: Instant,
    expires_at: Instant,
}

impl Place {
    /// A place without a connection.
    pub const FREE: Self = Self {
        links: Links::none(),
        state: State::Free,
        idle_since: Instant::ZERO,
        expires_at: Instant::NEVER,
    };
}

/// Storage for one waiter's part in the books.
#[derive(Clone, Copy, Debug)]
pub struct WaitCell {
    links: Links,
    state: WaitState,
    until: Instant,
}

impl WaitCell {
    /// A cell without a waiter.
    pub const FREE: Self =
        Self { links: Links::none(), state: WaitState::Failed, until: Instant::NEVER };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    Dialing,
    Idle,
    Active,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WaitState {
    Waiting,
    Served,
    Failed,
    TimedOut,
}

impl Linked for Place {
    fn links(&self) -> Links {
        self.links
    }

    fn links_mut(&mut self) -> &mut Links {
        &mut self.links
    }
}

impl Linked for WaitCell {
    fn links(&self) -> Links {
        self.links
    }

    fn links_mut(&mut self) -> &mut Links {
        &mut self.links
    }
}

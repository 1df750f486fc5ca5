//! What a driver shares with the handles of its link.

use core::cell::RefCell;
use core::future::Future;
use core::task::{Context, Waker};

use crate::link::Machine;
use crate::time::{Clock, Instant};

/// Something that several tasks use, one at a time: a lock that is held for the length of a call.
///
/// `RefCell` where all of them share a thread, a mutex or a critical section where they do not.
pub trait Shared<T: ?Sized> {
    /// Calls `act` with what is shared. Never called from within itself.
    fn with<O>(&self, act: impl FnOnce(&mut T) -> O) -> O;
}

impl<T> Shared<T> for RefCell<T> {
    #[inline]
    fn with<O>(&self, act: impl FnOnce(&mut T) -> O) -> O {
        act(&mut self.borrow_mut())
    }
}

impl<T: ?Sized, S: Shared<T> + ?Sized> Shared<T> for &S {
    #[inline]
    fn with<O>(&self, act: impl FnOnce(&mut T) -> O) -> O {
        (**self).with(act)
    }
}

/// A clock that can be waited for.
pub trait AsyncClock: Clock {
    /// Ends when the clock shows `at`, at once where it does already.
    ///
    /// Must be cancel-safe; the driver drops one and makes another when it wants an earlier time.
    fn sleep_until(&self, at: Instant) -> impl Future<Output = ()>;
}

impl<C: AsyncClock + ?Sized> AsyncClock for &C {
    fn sleep_until(&self, at: Instant) -> impl Future<Output = ()> {
        (**self).sleep_until(at)
    }
}

/// A machine and the wakers beside it: what the lock of a link protects.
///
/// Handles give commands to the machine and take its outcomes; while they have to wait they leave a
/// waker in the shell. Whoever gives the machine something to do takes the driver's waker out of
/// its slot, and wakes it after the lock is released.
pub trait Shell {
    /// What it drives.
    type Machine: Machine;

    /// The machine.
    fn machine(&mut self) -> &mut Self::Machine;

    /// Where the driver's waker is while the driver has nothing to do.
    fn driver(&mut self) -> &mut WakerSlot;

    /// Moves the wakers of those who can go on into `wakes`, until that is full. Called after
    /// every input; if `wakes` comes out full it is called again.
    fn collect(&mut self, wakes: &mut Wakes);
}

/// A machine that nobody waits for, except its driver: for links that work by themselves.
#[derive(Debug)]
pub struct Bare<M> {
    /// The machine.
    pub machine: M,
    driver: WakerSlot,
}

impl<M> Bare<M> {
    /// Nobody drives it yet.
    #[must_use]
    pub const fn new(machine: M) -> Self {
        Self { machine, driver: WakerSlot::new() }
    }
}

impl<M: Machine> Shell for Bare<M> {
    type Machine = M;

    fn machine(&mut self) -> &mut M {
        &mut self.machine
    }

    fn driver(&mut self) -> &mut WakerSlot {
        &mut self.driver
    }

    fn collect(&mut self, _wakes: &mut Wakes) {}
}

/// Room for the waker of one task.
#[derive(Debug, Default)]
pub struct WakerSlot(Option<Waker>);

impl WakerSlot {
    /// Nobody waits.
    #[must_use]
    pub const fn new() -> Self {
        Self(None)
    }

    /// From now on the task of `context` waits, and nobody else.
    #[inline]
    pub fn set(&mut self, context: &Context<'_>) {
        match &self.0 {
            Some(waker) if waker.will_wake(context.waker()) => {}
            _ => self.0 = Some(context.waker().clone()),
        }
    }

    /// The waker of whoever waits. To be woken once no lock is held.
    #[inline]
    #[must_use = "the waker has left its slot: wake it"]
    pub fn take(&mut self) -> Option<Waker> {
        self.0.take()
    }

    /// True where nobody waits.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

/// Wakers that are collected in one go.
pub const WAKES_MAX: usize = if cfg!(target_pointer_width = "64") { 64 } else { 8 };

/// Wakers that were collected under a lock, to be woken when it is released.
#[derive(Debug)]
pub struct Wakes {
    wakers: [Option<Waker>; WAKES_MAX],
    len: usize,
}

impl Wakes {
    /// Nobody.
    #[must_use]
    pub const fn new() -> Self {
        Self { wakers: [const { None }; WAKES_MAX], len: 0 }
    }

    /// True where no more wakers fit.
    #[inline]
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.len == WAKES_MAX
    }

    /// Adds a waker. Where there is no room it is woken on the spot, which is correct, but happens
    /// under the lock.
    #[inline]
    pub fn push(&mut self, waker: Waker) {
        match self.wakers.get_mut(self.len) {
            Some(place) => {
                *place = Some(waker);
                self.len += 1;
            }
            None => waker.wake(),
        }
    }

    /// Wakes all of them.
    #[inline]
    pub fn wake(&mut self) {
        let len = core::mem::take(&mut self.len);
        for waker in self.wakers.iter_mut().take(len) {
            if let Some(waker) = waker.take() {
                waker.wake();
            }
        }
    }
}

impl Default for Wakes {
    fn default() -> Self {
        Self::new()
    }
}

/// Calls `act` with the shell, then wakes those who can go on because of it.
///
/// `wakes` is room that the caller keeps, because making and dropping it would cost more than most
/// steps do.
#[inline]
pub(super) fn step<L, S, O>(shared: &S, wakes: &mut Wakes, act: impl FnOnce(&mut L) -> O) -> O
where
    L: Shell,
    S: Shared<L>,
{
    let outcome = shared.with(|shell| {
        let outcome = act(shell);
        shell.collect(wakes);
        outcome
    });
    while wakes.is_full() {
        wakes.wake();
        shared.with(|shell| shell.collect(wakes));
    }
    wakes.wake();
    outcome
}

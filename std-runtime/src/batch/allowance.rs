//! The short way into an engine: what may be taken in without looking at everything else.
//!
//! Decides how many items that are, and how a contended lock is waited for; what has to be done
//! when they are used up is the engine's.

use core::hint::spin_loop;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

/// So many items, of so many bytes together, can be taken in at the time of the last look at the
/// clock: there is room for them, nobody waits before them, and nobody has to be woken for them.
///
/// It is withdrawn whenever the engine is locked for anything else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Allowance {
    pub(super) items: u32,
    pub(super) bytes: u64,
}

impl Allowance {
    /// Takes one item off, if it is covered.
    #[inline(always)]
    pub(super) fn takes(&mut self, bytes: u64) -> bool {
        let covers = self.items > 0 && bytes <= self.bytes;
        if covers {
            self.items -= 1;
            self.bytes -= bytes;
        }
        covers
    }
}

/// Locks; whoever finds it locked stays away for a while, so that the others can go on with what
/// they have in their caches.
#[inline(always)]
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    match mutex.try_lock() {
        Ok(guard) => guard,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => lock_later(mutex),
    }
}

#[cold]
#[inline(never)]
fn lock_later<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    for round in 0..ROUNDS {
        for _ in 0..SPINS << round {
            spin_loop();
        }
        match mutex.try_lock() {
            Ok(guard) => return guard,
            Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {}
        }
    }
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Some microseconds in all: less than it takes to be put to sleep and woken.
const ROUNDS: u32 = 3;
const SPINS: u32 = 64;

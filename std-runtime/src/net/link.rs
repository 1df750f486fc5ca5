//! What all links on a runtime share: the lock, the clock, the task.

use core::fmt;
use core::future::Future;
use std::sync::{Mutex, PoisonError};

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;

use futures_io::{AsyncRead, AsyncWrite};
use turbopump_core::driver::{AsyncClock, LinkLimits, Shared, Shell, Wakes, run_link};
use turbopump_core::link::{CloseReason, Machine};
use turbopump_core::time::{Clock, Instant, Now};

use super::adapter::FuturesIo;
use crate::backend::Backend;
use crate::clock::SystemClock;
use crate::tasks::kinds;

/// A lock between the tasks of a link: a mutex of the standard library.
///
/// What panics while it holds the lock leaves what it protects as it is; the others go on.
#[derive(Debug, Default)]
pub struct Locked<T>(Mutex<T>);

impl<T> Locked<T> {
    /// Protects `value`.
    #[must_use]
    pub const fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }
}

impl<T> Shared<T> for Locked<T> {
    #[inline]
    fn with<O>(&self, act: impl FnOnce(&mut T) -> O) -> O {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The system's clock, waited for by a runtime's timers.
pub struct BackendClock<B> {
    backend: B,
    clock: SystemClock,
}

impl<B: Backend> BackendClock<B> {
    /// A clock whose epoch is now.
    #[must_use]
    pub fn new(backend: B) -> Self {
        Self { clock: SystemClock::of(&backend), backend }
    }
}

impl<B> fmt::Debug for BackendClock<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.clock.fmt(f)
    }
}

impl<B> Clock for BackendClock<B> {
    #[inline]
    fn now(&self) -> Now {
        self.clock.now()
    }
}

impl<B: Backend> AsyncClock for BackendClock<B> {
    fn sleep_until(&self, at: Instant) -> impl Future<Output = ()> {
        let at = self.clock.system_instant(at);
        let backend = &self.backend;
        async move {
            match at {
                Some(at) => backend.sleep_until(at).await,
                // Later than the system's clock can say.
                None => core::future::pending().await,
            }
        }
    }
}

/// Runs a link as a task of `backend` until it closes: over its halves, or others, such as those
/// of TLS.
///
/// `window_bytes` are read at once; see [`run_link`]. Should the task be dropped before its end,
/// because its runtime is, the machine is told so by [`CloseReason::Abandoned`].
pub fn spawn_link<L, B, R, W>(
    backend: &B,
    shared: Arc<Locked<L>>,
    reader: R,
    writer: W,
    window_bytes: usize,
    limits: LinkLimits,
) where
    L: Shell + Send + 'static,
    L::Machine: Machine<Body: Send, Chunk: Send + Sync>,
    B: Backend,
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let mut window: Box<[u8]> = vec![0; window_bytes].into_boxed_slice();
    // Made here, so that it is there even if the task is dropped before it has run.
    let mut link = Driven { shared, clock: BackendClock::new(backend.clone()), ended: false };
    kinds::LINK.spawn(backend, async move {
        // The whole of it, not its fields one by one: dropping it is what counts.
        let link = &mut link;
        let (reader, writer) = (FuturesIo(reader), FuturesIo(writer));
        run_link(&*link.shared, reader, writer, &mut window, &link.clock, &limits).await;
        link.ended = true;
    });
}

/// A link with a driver; tells its machine if that is dropped.
struct Driven<L: Shell, C: Clock> {
    shared: Arc<Locked<L>>,
    clock: C,
    ended: bool,
}

impl<L: Shell, C: Clock> Drop for Driven<L, C> {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let now = self.clock.now();
        let mut wakes = Wakes::new();
        self.shared.with(|shell| {
            shell.machine().handle_closed(now, CloseReason::Abandoned);
            shell.collect(&mut wakes);
        });
        while wakes.is_full() {
            wakes.wake();
            self.shared.with(|shell| shell.collect(&mut wakes));
        }
        wakes.wake();
    }
}

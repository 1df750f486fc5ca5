//! The clock of a server: the system's, which tests can put forward.

use core::fmt;
use core::future::Future;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::time::Instant as SystemInstant;

use alloc::sync::Arc;

use turbopump_core::driver::AsyncClock;
use turbopump_core::time::{Clock, Instant, Now};

use crate::backend::Backend;
use crate::clock::SystemClock;

/// Shared by all tasks of a server.
pub(super) struct ServerClock<B> {
    backend: B,
    common: Arc<CommonClock>,
}

struct CommonClock {
    system: SystemClock,
    /// How far it was put forward, in microseconds.
    ahead_us: AtomicU64,
}

impl<B: Backend> ServerClock<B> {
    pub(super) fn new(backend: B) -> Self {
        let system = SystemClock::of(&backend);
        let common = CommonClock { system, ahead_us: AtomicU64::new(0) };
        Self { backend, common: Arc::new(common) }
    }

    pub(super) fn advance(&self, by: Duration) {
        let us = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
        self.common.ahead_us.fetch_add(us, Ordering::SeqCst);
    }

    /// The system's instant for one of this clock; now for those that have passed.
    pub(super) fn system_instant(&self, at: Instant) -> Option<SystemInstant> {
        let ahead_us = self.common.ahead_us.load(Ordering::SeqCst);
        let at = Instant::from_us(at.as_us().saturating_sub(ahead_us));
        self.common.system.system_instant(at)
    }
}

impl<B: Backend> Clone for ServerClock<B> {
    fn clone(&self) -> Self {
        Self { backend: self.backend.clone(), common: Arc::clone(&self.common) }
    }
}

impl<B> fmt::Debug for ServerClock<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.common.system.fmt(f)
    }
}

impl<B> Clock for ServerClock<B> {
    fn now(&self) -> Now {
        let now = self.common.system.now();
        let ahead_us = self.common.ahead_us.load(Ordering::SeqCst);
        Now::new(now.at.plus_us(ahead_us), now.unix_ms.saturating_add(ahead_us / 1_000))
    }
}

impl<B: Backend> AsyncClock for ServerClock<B> {
    fn sleep_until(&self, at: Instant) -> impl Future<Output = ()> {
        let at = self.system_instant(at);
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

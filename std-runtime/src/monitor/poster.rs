//! Posts one thing after the other to a URL, or what waits together, and keeps what could not be
//! posted for later.

use core::fmt;
use core::hash::BuildHasher;
use std::hash::RandomState;
use std::sync::{Mutex, MutexGuard, PoisonError};

use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use turbopump_core::time::Clock;

use super::client::{Client, InvalidUrl};
use super::delivery::{Counts, Delivery};
use super::http::gzip;
use crate::backend::Backend;
use crate::bell::{Bell, Rung};
use crate::clock::SystemClock;
use crate::tasks::kinds;

/// What is posted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Posted {
    /// For the log.
    pub(super) name: &'static str,
    pub(super) content_type: &'static str,
    pub(super) is_gzip: bool,
    /// Bodies that wait go together, one behind the other, up to so many bytes; 0: each goes alone.
    pub(super) batch_bytes_max: usize,
}

/// A cheap handle; its task ends with the last one.
#[derive(Clone)]
pub(super) struct Poster {
    shared: Arc<Shared>,
}

struct Shared {
    what: Posted,
    clock: SystemClock,
    /// Calls the task.
    bell: Arc<Bell>,
    state: Mutex<State>,
}

struct State {
    delivery: Delivery,
    /// Whether the last attempt has failed.
    is_down: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Poster {
    pub(super) fn new<B: Backend>(
        backend: &B,
        url: &str,
        what: Posted,
        headers: Vec<(&'static str, String)>,
    ) -> Result<Self, InvalidUrl> {
        let client = Client::new(backend.clone(), url)?;
        let delivery = Delivery::new(RandomState::new().hash_one(url), what.batch_bytes_max);
        let state = Mutex::new(State { delivery, is_down: false });
        let bell = Arc::<Bell>::default();
        let clock = SystemClock::new();
        let shared = Arc::new(Shared { what, clock, bell: Arc::clone(&bell), state });
        let delivering = deliver(backend.clone(), client, headers, bell, Arc::downgrade(&shared));
        kinds::MONITOR_POSTER.spawn(backend, delivering);
        Ok(Self { shared })
    }

    /// Posts a body when its turn comes. The same twice in a row is posted once.
    pub(super) fn push(&self, fingerprint: u64, body: String) {
        self.shared.lock().delivery.push(fingerprint, body);
        self.shared.bell.ring();
    }

    /// What became of bodies, and how many wait.
    pub(super) fn stats(&self) -> (Counts, usize) {
        let state = self.shared.lock();
        (state.delivery.counts, state.delivery.waiting())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.bell.end();
    }
}

/// Delivers until the last handle is gone.
async fn deliver<B: Backend>(
    backend: B,
    client: Client<B>,
    headers: Vec<(&'static str, String)>,
    bell: Arc<Bell>,
    shared: Weak<Shared>,
) {
    loop {
        let Some(body) = next(&backend, &bell, &shared).await else { return };
        let Some(what) = shared.upgrade().map(|shared| shared.what) else { return };
        let (bytes, encoding) = match gzip(body.as_bytes()).filter(|_| what.is_gzip) {
            Some(packed) => (packed, Some(("content-encoding", "gzip"))),
            None => (body.into_bytes(), None),
        };
        let own = headers.iter().map(|(name, value)| (*name, value.as_str()));
        let all: Vec<_> = own.chain(encoding).collect();
        let posted = client.post(what.content_type, &all, bytes).await;
        let Some(shared) = shared.upgrade() else { return };
        let now = shared.clock.now().at;
        let mut state = shared.lock();
        match posted {
            Ok(()) => {
                state.is_down = false;
                state.delivery.succeeded();
            }
            Err(error) => {
                state.delivery.failed(now, error.is_final());
                // Once per outage or refusal; attempts are counted.
                if error.is_final() || !core::mem::replace(&mut state.is_down, true) {
                    log::error!("the {} was not reached: {error}", what.name);
                }
            }
        }
    }
}

/// The next body, when its time has come; `None` once nobody has a handle.
async fn next<B: Backend>(backend: &B, bell: &Bell, shared: &Weak<Shared>) -> Option<String> {
    loop {
        let wait = {
            let shared = shared.upgrade()?;
            let mut state = shared.lock();
            let now = shared.clock.now().at;
            if let Some(body) = state.delivery.poll(now) {
                return Some(body);
            }
            state.delivery.poll_timeout().and_then(|at| shared.clock.system_instant(at))
        };
        if bell.rung_or_at(backend, wait).await == Rung::Over {
            return None;
        }
    }
}

impl fmt::Debug for Poster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // URL and headers may hold secrets.
        f.debug_struct("Poster").field("what", &self.shared.what).finish_non_exhaustive()
    }
}

//! The pool's handle.

use core::fmt;
use core::future::poll_fn;
use core::task::{Context, Poll, Waker};
use core::time::Duration;

use alloc::sync::Arc;

use super::error::{AcquireError, Phase};
use super::handle::Connection;
use super::keeper::keep;
use super::settings::{InvalidSettings, PoolSettings};
use super::shared::Shared;
use super::status::PoolStatus;
use super::waiting::Acquire;
use crate::backend::{Backend, Endpoint};
use crate::tasks::kinds;
use crate::within::within;

/// Connections to one endpoint: a cheap handle.
///
/// Connections are opened when somebody needs one and kept for the next; there are never more than
/// the settings allow. Who waits is served in the order of arrival, and whoever gives up leaves
/// nothing behind. The pool dials by itself, so that a checkout that is given up does not throw
/// away a connection that is half open.
///
/// A name that the endpoint has is looked up again when dialing what it stood for fails.
///
/// When the last handle is dropped, the pool closes as by [`close`](Self::close), which nobody
/// waits for then. One task runs for the pool until that has happened, and one for each connection
/// while it is being opened.
///
/// ```no_run
/// # async fn example<B: turbopump_std::backend::Backend>(
/// #     backend: B,
/// # ) -> Result<(), Box<dyn core::error::Error>> {
/// use turbopump_std::net::{ConnectionPool, PoolSettings};
///
/// let endpoint = "broker.example:10911".parse()?;
/// let pool = ConnectionPool::new(backend, endpoint, PoolSettings::default())?;
/// let mut connection = pool.get().await?;
/// connection.write(b"ping").await?;
/// let mut answer = [0; 4];
/// connection.read_exact(&mut answer).await?;
/// drop(connection); // back into the pool
/// pool.close().await;
/// # Ok(())
/// # }
/// ```
pub struct ConnectionPool<B: Backend> {
    handle: Arc<Handle<B>>,
}

/// Closes the pool with its last handle, though connections may still be in use.
struct Handle<B: Backend> {
    shared: Arc<Shared<B>>,
}

impl<B: Backend> Drop for Handle<B> {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl<B: Backend> Clone for ConnectionPool<B> {
    fn clone(&self) -> Self {
        Self { handle: Arc::clone(&self.handle) }
    }
}

impl<B: Backend> ConnectionPool<B> {
    /// A pool without connections, except for those that `idle_min` asks for, which it opens in the
    /// background.
    ///
    /// # Errors
    ///
    /// Settings that can't be meant.
    pub fn new(
        backend: B,
        endpoint: Endpoint,
        settings: PoolSettings,
    ) -> Result<Self, InvalidSettings> {
        settings.check()?;
        Ok(Self::with_checked(backend, endpoint, settings))
    }

    /// With settings that can be meant.
    pub(crate) fn with_checked(backend: B, endpoint: Endpoint, settings: PoolSettings) -> Self {
        let shared = Arc::new(Shared::new(backend.clone(), endpoint, settings));
        let bell = Arc::clone(&shared.bell);
        let pool = Arc::downgrade(&shared);
        kinds::CONNECTION_KEEPER.spawn(&backend.clone(), keep(backend, bell, pool));
        Self { handle: Arc::new(Handle { shared }) }
    }

    /// Whom it connects to.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.shared().endpoint
    }

    /// How it is set.
    #[must_use]
    pub fn settings(&self) -> &PoolSettings {
        &self.shared().settings
    }

    /// A connection: the idle one that was used last, else a new one or the next that is given
    /// back, whichever comes first.
    ///
    /// # Errors
    ///
    /// [`AcquireError`], after `acquire_timeout` at the latest.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up its place in the queue and nothing else.
    #[inline]
    pub async fn get(&self) -> Result<Connection<B>, AcquireError> {
        Acquire::new(self.shared()).await
    }

    /// As [`get`](Self::get) with a shorter time-out. Costs a timer where it has to wait.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    ///
    /// # Cancel safety
    ///
    /// As [`get`](Self::get).
    pub async fn get_within(&self, timeout: Duration) -> Result<Connection<B>, AcquireError> {
        let shared = self.shared();
        let deadline = shared.backend.now() + timeout;
        if let Some(acquired) = within(&shared.backend, deadline, Acquire::new(shared)).await {
            return acquired;
        }
        shared.count_timeout(Phase::Acquire);
        let last_dial = shared.lock().last_dial.clone();
        Err(AcquireError::TimedOut { after: timeout, last_dial })
    }

    /// An idle connection, `None` where there is none; opens none and waits for none.
    ///
    /// # Errors
    ///
    /// [`AcquireError::Closed`].
    pub fn try_get(&self) -> Result<Option<Connection<B>>, AcquireError> {
        let mut cx = Context::from_waker(Waker::noop());
        Acquire::new(self.shared()).poll_now(&mut cx)
    }

    /// Opens connections in advance until `count` are open, or as many as may be, and returns how
    /// many are. Stops at the first that can't be opened, and when the pool is closed.
    ///
    /// # Cancel safety
    ///
    /// The pool goes on opening them when the future is dropped.
    pub async fn warm_up(&self, count: u32) -> u32 {
        let shared = self.shared();
        let failures = shared.raise(count);
        poll_fn(|cx| {
            let mut state = shared.lock();
            let counts = state.book.counts();
            let open = counts.active + counts.idle;
            let wanted = count.min(counts.connections_max);
            let has_failed = counts.dial_failures > failures;
            if open >= wanted || has_failed || state.book.is_closed() {
                return Poll::Ready(open);
            }
            state.watch(cx);
            Poll::Pending
        })
        .await
    }

    /// Lets nobody in any more and waits until all connections are closed.
    ///
    /// Idle connections are closed at once and those being opened are given up; who waits for one
    /// gets [`AcquireError::Closed`]. Connections in use stay usable and are closed when they are
    /// dropped.
    ///
    /// # Cancel safety
    ///
    /// The pool stays closed when the future is dropped.
    pub async fn close(&self) {
        let shared = self.shared();
        shared.close();
        poll_fn(|cx| {
            let mut state = shared.lock();
            if state.book.is_empty() {
                return Poll::Ready(());
            }
            state.watch(cx);
            Poll::Pending
        })
        .await;
    }

    /// The next dial looks the endpoint's name up again.
    pub(crate) fn forget_addresses(&self) {
        self.shared().addresses.forget();
    }

    /// As [`close`](Self::close), without waiting.
    pub(super) fn start_closing(&self) {
        self.shared().close();
    }

    /// True once somebody has closed it.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared().lock().book.is_closed()
    }

    /// What there is and what there has been.
    #[must_use]
    pub fn status(&self) -> PoolStatus {
        self.shared().status()
    }

    #[inline]
    fn shared(&self) -> &Arc<Shared<B>> {
        &self.handle.shared
    }
}

impl<B: Backend> fmt::Debug for ConnectionPool<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.shared().lock().book.counts();
        f.debug_struct("ConnectionPool")
            .field("endpoint", self.endpoint())
            .field("active", &counts.active)
            .field("idle", &counts.idle)
            .field("dialing", &counts.dialing)
            .field("waiting", &counts.waiting)
            .finish_non_exhaustive()
    }
}

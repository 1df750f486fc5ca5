//! Reading and writing on many connections at once, by a few workers.
//!
//! An [`AsyncIo`] takes tasks (read, write) with the connection that they are for, and gives both
//! back when they are done: through a future, or to a callback. This module decides when a task
//! runs, ends and who hears of it; which connection it is for is its submitter's business.
//!
//! - Submitting never waits. When too many tasks are outstanding, the task comes back as
//!   [`Refused`].
//! - Every accepted task completes exactly once: done, failed, timed out, cancelled, or with
//!   [`IoTaskError::RuntimeEnded`] where the runtime ends below it.
//! - A task has a time-out that counts from its submission. One timer serves all tasks; it is set
//!   only when an earlier deadline comes, so that tasks in time cost no timer at all.
//! - A worker drives several tasks at once, so that peers that don't answer do not stop it.
//! - A connection on which something was half done is closed: nobody gets a late answer that was
//!   meant for somebody else.
//! - In steady state nothing is allocated: places for tasks, wakers and lists are made at the
//!   start, callbacks are shared and told apart by a number.
//!
//! ```no_run
//! # async fn example<B, C>(backend: B, connection: C) -> Result<(), Box<dyn std::error::Error>>
//! # where B: turbopump_std::backend::Backend, C: turbopump_std::net::async_io::TaskConnection {
//! use turbopump_std::memory::default_pool;
//! use turbopump_std::net::async_io::{AsyncIo, AsyncIoConfig, IoTask};
//!
//! let io = AsyncIo::start(&backend, &AsyncIoConfig::default())?;
//! let mut request = default_pool().acquire(64)?;
//! request.extend_from_slice(b"PING\r\n")?;
//! let sent = io.submit(IoTask::write(connection, request.freeze()))?.await;
//! if let Some(connection) = sent.connection {
//!     let answer = io.submit(IoTask::read(connection, default_pool().acquire(64)?))?.await;
//!     println!("{:?} bytes", answer.result);
//! }
//! io.stop().await;
//! # Ok(())
//! # }
//! ```

mod board;
mod calls;
mod joined;
mod shared;
mod stats;
mod table;
mod task;
mod worker;

use core::fmt;
use core::future::{Future, poll_fn};
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;

use alloc::sync::Arc;

use self::board::CELLS_MAX;
use self::shared::{Shared, Submitted};
use self::table::{Key, Notify};
use self::worker::Worker;
use crate::backend::Backend;
use crate::tasks::kinds;

pub use self::joined::Joined;
pub use self::stats::AsyncIoStats;
pub use self::task::{Finished, IoTask, IoTaskError, Refused, RefusedReason, TaskConnection};

/// The sizes of an [`AsyncIo`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AsyncIoConfig {
    /// Workers, 1 to 64; 10 by default.
    pub workers: usize,
    /// Tasks that one worker drives at once, 1 to 62; 32 by default.
    pub worker_tasks_max: usize,
    /// Tasks that are queued, running or done without anybody having asked for the result, at
    /// least 1; 1,024 by default.
    pub tasks_max: u32,
    /// How long a task may take that has no limit of its own; 5 seconds by default.
    pub time_out: Duration,
}

impl Default for AsyncIoConfig {
    fn default() -> Self {
        Self {
            workers: 10,
            worker_tasks_max: 32,
            tasks_max: 1_024,
            time_out: Duration::from_secs(5),
        }
    }
}

/// A size of an [`AsyncIoConfig`] that can't be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidAsyncIoConfig {
    field: &'static str,
    value: u64,
    max: u64,
}

impl fmt::Display for InvalidAsyncIoConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, value, max } = self;
        write!(f, "{field} is {value}; set it to 1 to {max}")
    }
}

impl core::error::Error for InvalidAsyncIoConfig {}

/// Is told when a task is done.
///
/// Runs on a worker: it must not block, and tasks of the same worker wait for it. One that panics
/// is counted and harms nobody. Any `Fn(u64, Finished<C>) + Send + Sync` is one.
pub trait OnFinished<C>: Send + Sync {
    /// Task `number`, as it was submitted, is done.
    fn on_finished(&self, number: u64, finished: Finished<C>);
}

impl<C, F: Fn(u64, Finished<C>) + Send + Sync> OnFinished<C> for F {
    fn on_finished(&self, number: u64, finished: Finished<C>) {
        self(number, finished);
    }
}

/// Workers that read and write; see the [module](self).
///
/// A cheap handle. When the last one is dropped, accepted tasks are still done and the workers end
/// then, as after [`AsyncIo::stop`].
pub struct AsyncIo<C: TaskConnection> {
    open: Arc<Open<C>>,
}

struct Open<C: TaskConnection>(Arc<Shared<C>>);

impl<C: TaskConnection> AsyncIo<C> {
    /// Starts the workers on `backend`.
    ///
    /// # Errors
    ///
    /// A size in `config` is out of its range.
    pub fn start<B: Backend>(
        backend: &B,
        config: &AsyncIoConfig,
    ) -> Result<Self, InvalidAsyncIoConfig> {
        let AsyncIoConfig { workers, worker_tasks_max, tasks_max, time_out } = *config;
        let check = |field, value: u64, max: u64| {
            let valid = (1..=max).contains(&value);
            valid.then_some(()).ok_or(InvalidAsyncIoConfig { field, value, max })
        };
        check("workers", workers as u64, 64)?;
        check("worker_tasks_max", worker_tasks_max as u64, CELLS_MAX as u64)?;
        check("tasks_max", tasks_max.into(), 1 << 20)?;
        let shared = Arc::new(Shared::new(workers, tasks_max, time_out));
        // All of them first: one that is dropped at once must not take itself for the last.
        for index in 0..workers {
            let worker = Worker::new(Arc::clone(&shared), index, worker_tasks_max);
            kinds::ASYNC_IO_WORKER.spawn(backend, worker);
        }
        kinds::ASYNC_IO_CLOCK.spawn(backend, Arc::clone(&shared).run_clock(backend.clone()));
        Ok(Self { open: Arc::new(Open(shared)) })
    }

    /// Submits a task; its result comes through the future. Dropping the future cancels the task.
    ///
    /// A short write is tried within the call, without waiting, because most can be done at once;
    /// a worker goes on with what is left.
    ///
    /// # Errors
    ///
    /// [`Refused`] with the task, at once.
    pub fn submit(&self, task: IoTask<C>) -> Result<IoFuture<C>, Refused<C>> {
        let shared = &self.open.0;
        let state = match shared.submit(task, Notify::Nobody { abandoned: false })? {
            Submitted::Done(finished) => FutureState::Done(finished),
            Submitted::Queued(key) => FutureState::Queued(Arc::clone(shared), key),
        };
        Ok(IoFuture { state })
    }

    /// Submits a task; its result goes to `callback`, with `number` to tell tasks apart.
    ///
    /// # Errors
    ///
    /// [`Refused`] with the task, at once; `callback` is not called then.
    pub fn submit_with(
        &self,
        task: IoTask<C>,
        number: u64,
        callback: Arc<dyn OnFinished<C>>,
    ) -> Result<(), Refused<C>> {
        self.open.0.submit(task, Notify::Callback(callback, number)).map(drop)
    }

    /// Accepts no more tasks, does those that were accepted and ends the workers.
    ///
    /// Ends at once where the workers' runtime has ended.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops nothing of that.
    pub async fn stop(&self) {
        self.open.0.stop();
        poll_fn(|cx| self.open.0.poll_stopped(cx)).await;
    }

    /// What was counted.
    #[must_use]
    pub fn stats(&self) -> AsyncIoStats {
        self.open.0.table().stats().clone()
    }
}

impl<C: TaskConnection> Clone for AsyncIo<C> {
    fn clone(&self) -> Self {
        Self { open: Arc::clone(&self.open) }
    }
}

impl<C: TaskConnection> Drop for Open<C> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl<C: TaskConnection> fmt::Debug for AsyncIo<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stats = self.stats();
        let (queued, running) = (stats.queued.get(), stats.running.get());
        f.debug_struct("AsyncIo")
            .field("queued", &queued)
            .field("running", &running)
            .finish_non_exhaustive()
    }
}

/// The result of a task to come. Dropping it cancels the task: one that waits is taken out of the
/// queue, one that runs is stopped, and its connection closed where something was half done.
#[must_use = "dropping it cancels the task"]
pub struct IoFuture<C: TaskConnection> {
    state: FutureState<C>,
}

enum FutureState<C: TaskConnection> {
    Queued(Arc<Shared<C>>, Key),
    Done(Finished<C>),
    Taken,
}

impl<C: TaskConnection> Future for IoFuture<C> {
    type Output = Finished<C>;

    /// # Panics
    ///
    /// When called again after it has given its result.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Finished<C>> {
        let this = self.get_mut();
        if let FutureState::Queued(shared, key) = &this.state
            && let Some(finished) = ready!(shared.claim(*key, cx.waker()))
        {
            this.state = FutureState::Taken;
            return Poll::Ready(finished);
        }
        match mem::replace(&mut this.state, FutureState::Taken) {
            FutureState::Done(finished) => Poll::Ready(finished),
            _ => panic!("polled after its result was taken"),
        }
    }
}

impl<C: TaskConnection> Drop for IoFuture<C> {
    fn drop(&mut self) {
        if let FutureState::Queued(shared, key) = &self.state {
            shared.cancel(*key);
        }
    }
}

/// Nothing in it is pinned.
impl<C: TaskConnection> Unpin for IoFuture<C> {}

impl<C: TaskConnection> fmt::Debug for IoFuture<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done = !matches!(self.state, FutureState::Queued(..));
        f.debug_struct("IoFuture").field("done", &done).finish()
    }
}

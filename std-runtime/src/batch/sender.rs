//! Items go in one by one, a function of the user's works on batches of them.

use core::time::Duration;

use alloc::boxed::Box;
use alloc::sync::Arc;

use turbopump_core::time::Instant;

use super::error::{RefusedReason, SendRefused};
use super::handle::{Handle, handle_methods, send_by};
use super::handler::BatchHandler;
use super::settings::{BatchSettings, InvalidSettings};
use super::worker::{keep, tell, work};
use crate::backend::Backend;
use crate::tasks::kinds;

/// A handle whose workers are tasks of the runtime.
pub(super) fn run_by_tasks<T, B, H>(
    backend: B,
    settings: BatchSettings<T>,
    handler: H,
) -> Result<Handle<T, B>, InvalidSettings>
where
    T: Send + 'static,
    B: Backend,
    H: BatchHandler<T>,
{
    let handler = Arc::new(handler);
    let (runs, told) = (backend.clone(), Arc::clone(&handler));
    Handle::new(
        backend,
        settings,
        |engine| {
            let engine = Arc::clone(engine);
            Box::new(move |item, how| tell(&engine, &*told, item, how))
        },
        move |engine| {
            let workers = engine.settings.workers();
            engine.lock().running = workers;
            for index in 0..workers {
                let working = work(Arc::clone(engine), Arc::clone(&handler), index);
                kinds::BATCH_WORKER.spawn(&runs, working);
            }
            let telling = Arc::clone(engine);
            let keeping = keep(runs.clone(), Arc::clone(engine), move |item, how| {
                tell(&telling, &*handler, item, how);
            });
            kinds::BATCH_KEEPER.spawn(&runs, keeping);
            Ok(())
        },
    )
}

/// Batches what is sent, and has a [`BatchHandler`] work on it: a cheap handle.
///
/// A batch is closed when it has enough items or bytes, when its first item has waited for
/// `linger_us`, by [`flush`](Self::flush) and when the handle stops. Each item that was taken in is
/// settled exactly once: done, or given up after the retries that the settings allow.
///
/// Workers begin with [`start`](Self::start); until then items wait. When the last handle is
/// dropped, the sender stops as by [`stop`](Self::stop), which nobody waits for then.
///
/// ```
/// use turbopump_core::batch::Batch;
/// use turbopump_std::backend::Backend;
/// use turbopump_std::batch::{BatchSender, BatchSettings, handler_fn};
///
/// async fn example<B: Backend>(backend: B) -> Result<(), Box<dyn core::error::Error>> {
///     let handler = handler_fn(|batch: &mut Batch<'static, String>| {
///         println!("{} lines at once", batch.len());
///     });
///     let sender = BatchSender::new(backend, BatchSettings::of_bytes(), handler)?;
///     sender.start()?;
///     for number in 0..1_000 {
///         sender.send(format!("line {number}")).await?;
///     }
///     let report = sender.stop().await;
///     assert_eq!((report.failed, report.abandoned), (0, 0));
///     Ok(())
/// }
/// ```
pub struct BatchSender<T: 'static, B> {
    handle: Handle<T, B>,
}

impl<T: Send + 'static, B: Backend> BatchSender<T, B> {
    /// A sender whose workers don't run yet.
    ///
    /// # Errors
    ///
    /// Settings that can't be meant.
    pub fn new<H: BatchHandler<T>>(
        backend: B,
        settings: BatchSettings<T>,
        handler: H,
    ) -> Result<Self, InvalidSettings> {
        let handle = run_by_tasks(backend, settings, handler)?;
        Ok(Self { handle })
    }

    /// Takes an item in, after waiting for room where there is none: first come, first served.
    ///
    /// # Errors
    ///
    /// [`SendRefused`] with the item: it is too large by itself, the sender stops, or too many wait
    /// for room.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it is ready drops the item, which was not taken in, and gives up
    /// the place in the queue.
    #[inline]
    pub async fn send(&self, item: T) -> Result<(), SendRefused<T>> {
        send_by!(self.handle, item, Instant::NEVER)
    }

    /// As [`send`](Self::send); no attempt with the item begins when this time is over. Waiting for
    /// room counts.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// As [`send`](Self::send).
    pub async fn send_within(&self, item: T, time: Duration) -> Result<(), SendRefused<T>> {
        let deadline = self.handle.deadline_in(time);
        send_by!(self.handle, item, deadline)
    }

    /// Takes an item in where there is room and nobody waits for it.
    ///
    /// # Errors
    ///
    /// [`SendRefused`] with the item.
    #[inline]
    pub fn try_send(&self, item: T) -> Result<(), SendRefused<T>> {
        self.handle.try_send(item, Instant::NEVER)
    }

    /// Takes items in until there are no more or one is refused, which ends it: how many were taken
    /// in, and the refused one. The rest stays in the iterator.
    ///
    /// The iterator is asked while the sender is locked: it must not use the sender, and should not
    /// take long.
    pub fn try_send_many(
        &self,
        items: &mut impl Iterator<Item = T>,
    ) -> (usize, Option<SendRefused<T>>) {
        self.handle.try_send_many(items)
    }

    /// Sends all items, waiting for room where there is none; fewer locks than one by one. The
    /// iterator must not use the sender, as for [`try_send_many`](Self::try_send_many).
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), with the item that was refused. Those before it are taken in, those
    /// behind it are still in the iterator.
    ///
    /// # Cancel safety
    ///
    /// Items that were taken in stay; the one that waits is dropped with the future.
    pub async fn send_many(
        &self,
        items: &mut impl Iterator<Item = T>,
    ) -> Result<(), SendRefused<T>> {
        self.handle.send_many(items).await
    }

    /// Says how busy the processors are, from 0 to 1, for
    /// [`SizePolicy::ByLoad`](turbopump_core::batch::SizePolicy::ByLoad).
    pub fn set_cpu_share(&self, share: f64) {
        self.handle.engine().lock().set_cpu_share(share);
    }
}

handle_methods!(BatchSender);

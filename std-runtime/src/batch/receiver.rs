//! Items come in from connections, and are worked on in batches: pushed to a handler, or pulled.

use core::fmt;
use core::future::poll_fn;
use core::ops::{Deref, DerefMut};

use alloc::boxed::Box;
use alloc::sync::Arc;

use turbopump_core::batch::{Batch, Settled};
use turbopump_core::time::Instant;

use super::error::{RefusedReason, SendRefused};
use super::handle::{Handle, handle_methods, send_by};
use super::handler::BatchHandler;
use super::sender::run_by_tasks;
use super::settings::{BatchSettings, InvalidSettings};
use super::worker::{Desk, keep};
use crate::backend::Backend;
use crate::tasks::kinds;

/// Batches what is received: a cheap handle, the receiving side's
/// [`BatchSender`](super::BatchSender).
///
/// Whoever reads from connections hands items in by [`receive`](Self::receive), which waits where
/// the work is behind, so that the peer is slowed down rather than memory filled. Batches go to a
/// [`BatchHandler`], or to whoever asks for them ([`pull`](Self::pull)).
///
/// ```
/// use turbopump_std::backend::Backend;
/// use turbopump_std::batch::{BatchReceiver, BatchSettings};
///
/// async fn example<B: Backend>(backend: B) -> Result<(), Box<dyn core::error::Error>> {
///     let (receiver, mut batches) = BatchReceiver::pull(backend, BatchSettings::default())?;
///     for number in 0..100_u32 {
///         receiver.try_receive(number)?;
///     }
///     let batch = batches.next().await.ok_or("stopped")?;
///     assert_eq!(batch.iter().copied().collect::<Vec<_>>(), (0..100).collect::<Vec<_>>());
///     drop(batch); // done, all of them
///     Ok(())
/// }
/// ```
pub struct BatchReceiver<T: 'static, B> {
    handle: Handle<T, B>,
}

impl<T: Send + 'static, B: Backend> BatchReceiver<T, B> {
    /// A receiver whose workers don't run yet.
    ///
    /// # Errors
    ///
    /// Settings that can't be meant.
    pub fn new<H: BatchHandler<T>>(
        backend: B,
        settings: BatchSettings<T>,
        handler: H,
    ) -> Result<Self, InvalidSettings> {
        Ok(Self { handle: run_by_tasks(backend, settings, handler)? })
    }

    /// A receiver whose batches are asked for, one at a time, in order.
    ///
    /// # Errors
    ///
    /// Settings that can't be meant.
    pub fn pull(
        backend: B,
        mut settings: BatchSettings<T>,
    ) -> Result<(Self, Batches<T>), InvalidSettings> {
        settings.workers = 1;
        let drop_all = |_: &Arc<_>| -> Box<dyn Fn(T, Settled) + Send + Sync> {
            Box::new(|item, _| drop(item))
        };
        // Whoever pulls is the one worker, and there already.
        let handle = Handle::new(backend.clone(), settings, drop_all, |_| Ok(()))?;
        let engine = handle.engine();
        engine.lock().running = 1;
        let batch = Batch::on_heap(&engine.settings.batch);
        let desk = Desk { engine: Arc::clone(engine), batch, index: 0 };
        let keeping = keep(backend.clone(), Arc::clone(engine), |item, _| drop(item));
        kinds::BATCH_KEEPER.spawn(&backend, keeping);
        Ok((Self { handle }, Batches { desk }))
    }

    /// Takes an item in, after waiting for room where there is none: first come, first served.
    ///
    /// # Errors
    ///
    /// [`SendRefused`] with the item: it is too large by itself, the receiver stops, or too many
    /// wait for room.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it is ready drops the item, which was not taken in.
    #[inline]
    pub async fn receive(&self, item: T) -> Result<(), SendRefused<T>> {
        send_by!(self.handle, item, Instant::NEVER)
    }

    /// Takes an item in where there is room and nobody waits for it.
    ///
    /// # Errors
    ///
    /// [`SendRefused`] with the item.
    #[inline]
    pub fn try_receive(&self, item: T) -> Result<(), SendRefused<T>> {
        self.handle.try_send(item, Instant::NEVER)
    }

    /// Takes all items in, waiting for room where there is none; fewer locks than one by one. The
    /// iterator is asked while the receiver is locked: it must not use the receiver, and should not
    /// take long.
    ///
    /// # Errors
    ///
    /// As [`receive`](Self::receive), with the item that was refused. Those before it are taken in,
    /// those behind it are still in the iterator.
    ///
    /// # Cancel safety
    ///
    /// Items that were taken in stay; the one that waits is dropped with the future.
    pub async fn receive_many(
        &self,
        items: &mut impl Iterator<Item = T>,
    ) -> Result<(), SendRefused<T>> {
        self.handle.send_many(items).await
    }
}

handle_methods!(BatchReceiver);

/// The batches of a [`BatchReceiver`] that is pulled from. Dropping it stops the receiver.
pub struct Batches<T: 'static> {
    desk: Desk<T>,
}

impl<T: Send + 'static> Batches<T> {
    /// The next batch, closed by count, bytes or linger; `None` once the receiver has stopped and
    /// everything is settled. What is to be tried again comes again.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn next(&mut self) -> Option<Received<'_, T>> {
        let Desk { engine, batch, index } = &mut self.desk;
        poll_fn(|cx| engine.poll_batch(*index, batch, cx)).await?;
        Some(Received { desk: &mut self.desk })
    }
}

impl<T> fmt::Debug for Batches<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batches").finish_non_exhaustive()
    }
}

/// A batch that was asked for. It is settled when it is dropped: each item done, unless its entry
/// says otherwise.
pub struct Received<'b, T: Send + 'static> {
    desk: &'b mut Desk<T>,
}

impl<T: Send + 'static> Deref for Received<'_, T> {
    type Target = Batch<'static, T>;

    fn deref(&self) -> &Self::Target {
        &self.desk.batch
    }
}

impl<T: Send + 'static> DerefMut for Received<'_, T> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.desk.batch
    }
}

impl<T: Send + 'static> Drop for Received<'_, T> {
    fn drop(&mut self) {
        let Desk { engine, batch, .. } = &mut *self.desk;
        engine.settle(batch, |item, _| drop(item));
    }
}

impl<T: Send + 'static> fmt::Debug for Received<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Received").field(&self.desk.batch).finish()
    }
}

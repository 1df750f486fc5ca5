//! Items are written to storage, a batch at a time.

use core::panic::AssertUnwindSafe;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::io;
use std::panic::catch_unwind;
use std::thread::{self, Thread};
use std::time::Instant as SystemInstant;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::task::Wake;

use turbopump_core::batch::{Batch, Outcome};
use turbopump_core::time::Instant;

use super::engine::Engine;
use super::error::SendRefused;
use super::handle::{Handle, handle_methods};
use super::settings::{BatchSettings, InvalidSettings};
use super::worker::{Desk, keep};
use crate::backend::Backend;

/// Storage that takes a batch in one go. It is called on a thread of its own and may block.
pub trait StoreSink<T>: Send + 'static {
    /// Writes all items of a batch. Entries may say of single ones that they failed.
    ///
    /// # Errors
    ///
    /// Nothing of the batch is kept, and it is tried again.
    fn write(&mut self, batch: &mut Batch<'static, T>) -> io::Result<()>;

    /// Makes what was written last until the power goes and comes back.
    ///
    /// # Errors
    ///
    /// What was written since the last sync may be gone: nothing of the last batch is kept.
    fn sync(&mut self) -> io::Result<()>;
}

/// When a store syncs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SyncPolicy {
    /// Leaves that to the operating system: an item is done when it is written.
    Never,
    /// An item is done when its batch is synced.
    #[default]
    EveryBatch,
    /// An item is done when it is written; synced after this time at the latest.
    Interval(Duration),
}

/// Writes what is sent to storage, a batch at a time: a cheap handle.
///
/// One thread writes, so that order is kept and the runtime is not held up. An item is settled as
/// done only after what [`SyncPolicy`] promises. Batches that can't be written are tried again by
/// the settings' retry policy; [`stats`](Self::stats) counts those that were given up.
///
/// ```
/// use turbopump_std::backend::Backend;
/// use turbopump_std::batch::{BatchSettings, BatchStore, FileSink, SyncPolicy};
///
/// async fn example<B: Backend>(backend: B) -> Result<(), Box<dyn core::error::Error>> {
///     let sink = FileSink::lines("events.log")?;
///     let settings = BatchSettings::<String>::of_bytes();
///     let store = BatchStore::new(backend, settings, SyncPolicy::EveryBatch, sink)?;
///     store.start()?;
///     store.store("something has happened".into()).await?;
///     store.stop().await;
///     Ok(())
/// }
/// ```
pub struct BatchStore<T: 'static, B> {
    handle: Handle<T, B>,
}

impl<T: Send + 'static, B: Backend> BatchStore<T, B> {
    /// A store whose thread doesn't run yet. Batches are written in order, one at a time.
    ///
    /// # Errors
    ///
    /// Settings that can't be meant.
    pub fn new<S: StoreSink<T>>(
        backend: B,
        mut settings: BatchSettings<T>,
        policy: SyncPolicy,
        sink: S,
    ) -> Result<Self, InvalidSettings> {
        settings.workers = 1;
        settings.batch.ordered = true;
        let runs = backend.clone();
        let handle = Handle::new(
            backend,
            settings,
            |_| Box::new(|item, _| drop(item)),
            move |engine| {
                engine.lock().running = 1;
                let batch = Batch::on_heap(&engine.settings.batch);
                let desk = Desk { engine: Arc::clone(engine), batch, index: 0 };
                // Dropping the desk where there is no thread says that nobody works.
                let writer = Writer { desk, sink, policy, unsynced_since: None };
                let name = String::from("turbopump-store");
                thread::Builder::new().name(name).spawn(|| writer.run())?;
                runs.clone().spawn(keep(runs, Arc::clone(engine)));
                Ok(())
            },
        )?;
        Ok(Self { handle })
    }

    /// Takes an item in, after waiting for room where there is none: first come, first served.
    ///
    /// # Errors
    ///
    /// [`SendRefused`] with the item: it is too large by itself, the store stops, or too many wait
    /// for room.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it is ready drops the item, which was not taken in.
    #[inline]
    pub async fn store(&self, item: T) -> Result<(), SendRefused<T>> {
        self.handle.send(item, Instant::NEVER).await
    }

    /// Takes an item in where there is room and nobody waits for it.
    ///
    /// # Errors
    ///
    /// [`SendRefused`] with the item.
    #[inline]
    pub fn try_store(&self, item: T) -> Result<(), SendRefused<T>> {
        self.handle.try_send(item, Instant::NEVER)
    }

    /// Takes all items in, waiting for room where there is none; fewer locks than one by one.
    ///
    /// # Errors
    ///
    /// As [`store`](Self::store), with the item that was refused. Those before it are taken in,
    /// those behind it are still in the iterator.
    ///
    /// # Cancel safety
    ///
    /// Items that were taken in stay; the one that waits is dropped with the future.
    pub async fn store_many(
        &self,
        items: &mut impl Iterator<Item = T>,
    ) -> Result<(), SendRefused<T>> {
        loop {
            match self.handle.try_send_many(items) {
                (_, None) => return Ok(()),
                // Waits, or is refused for good.
                (_, Some(refused)) => self.store(refused.item).await?,
            }
        }
    }
}

handle_methods!(BatchStore);

/// What the thread has.
struct Writer<T: 'static, S> {
    desk: Desk<T>,
    sink: S,
    policy: SyncPolicy,
    unsynced_since: Option<SystemInstant>,
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl<T: Send + 'static, S: StoreSink<T>> Writer<T, S> {
    fn run(mut self) {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let cx = Context::from_waker(&waker);
        loop {
            match self.desk.engine.poll_batch(self.desk.index, &mut self.desk.batch, &cx) {
                Poll::Ready(Some(())) => self.write(),
                Poll::Ready(None) => break,
                Poll::Pending => self.wait(),
            }
            self.sync_if_due();
        }
        if self.unsynced_since.is_some() {
            // At the end nobody is left to tell; who needs to know syncs every batch.
            let _ = self.sink.sync();
        }
    }

    fn write(&mut self) {
        let Self { desk: Desk { engine, batch, .. }, sink, policy, .. } = self;
        let policy = *policy;
        let written = catch_unwind(AssertUnwindSafe(|| {
            if batch.is_empty() {
                return Ok(());
            }
            sink.write(batch)?;
            if policy == SyncPolicy::EveryBatch { sink.sync() } else { Ok(()) }
        }));
        match written {
            Ok(Ok(())) => {
                if matches!(policy, SyncPolicy::Interval(_)) {
                    self.unsynced_since.get_or_insert_with(SystemInstant::now);
                }
            }
            Ok(Err(_)) => batch.set_all(Outcome::Retry),
            Err(_) => {
                engine.count_panic();
                batch.set_all(Outcome::Retry);
            }
        }
        Engine::settle(engine, batch, |item, _| drop(item));
    }

    fn due_in(&self) -> Option<Duration> {
        let SyncPolicy::Interval(interval) = self.policy else { return None };
        Some(interval.saturating_sub(self.unsynced_since?.elapsed()))
    }

    fn wait(&self) {
        match self.due_in() {
            Some(time) => thread::park_timeout(time),
            None => thread::park(),
        }
    }

    fn sync_if_due(&mut self) {
        if self.due_in().is_some_and(|time| time.is_zero()) {
            // Tried again after another interval.
            let failed = self.sink.sync().is_err();
            self.unsynced_since = failed.then(SystemInstant::now);
        }
    }
}

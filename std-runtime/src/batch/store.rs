//! Items are written to storage, a batch at a time.

use core::panic::AssertUnwindSafe;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::io;
use std::panic::catch_unwind;
use std::sync::{Mutex, PoisonError};
use std::thread::{self, Thread};
use std::time::Instant as SystemInstant;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::task::Wake;

use turbopump_core::batch::{Batch, Outcome, Settled};
use turbopump_core::time::Instant;

use super::engine::Engine;
use super::error::{RefusedReason, SendRefused};
use super::handle::{Handle, handle_methods, send_by};
use super::settings::{BatchSettings, InvalidSettings};
use super::worker::{Desk, keep};
use crate::backend::Backend;
use crate::tasks::kinds;

/// Storage that takes a batch in one go. It is called on a thread of its own and may block.
pub trait StoreSink<T>: Send + 'static {
    /// Writes all items of a batch. Entries may say of single ones that they failed.
    ///
    /// # Errors
    ///
    /// Nothing of the batch is kept, and it is tried again.
    fn write(&mut self, batch: &mut Batch<'static, T>) -> io::Result<()>;

    /// Makes what was written outlast a loss of power.
    ///
    /// # Errors
    ///
    /// What was written since the last sync may be gone when the power goes.
    fn sync(&mut self) -> io::Result<()>;

    /// Takes the last batch back, which was written but not synced: it is going to be written
    /// again. Does nothing unless implemented, so that the batch may be there twice.
    ///
    /// # Errors
    ///
    /// It may be there twice.
    fn take_back(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Is told of each item that is settled, in order. Drops it unless implemented.
    fn settled(&mut self, item: T, how: Settled) {
        let _ = how;
        drop(item);
    }
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
    /// An item is done when it is written, so that a loss of power may take it; synced after this
    /// time at the latest. Syncs that fail are made again, and counted
    /// ([`BatchStore::sync_failures`]).
    Interval(Duration),
}

/// Writes what is sent to storage, a batch at a time: a cheap handle.
///
/// One thread writes, so that order is kept and the runtime is not held up. An item is settled as
/// done only after what [`SyncPolicy`] promises. Batches that can't be written are tried again by
/// the settings' retry policy; [`stats`](Self::stats) counts those that were given up,
/// [`last_error`](Self::last_error) says why.
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
    trouble: Arc<Trouble>,
}

/// What went wrong.
#[derive(Debug, Default)]
struct Trouble {
    sync_failures: AtomicU64,
    last_error: Mutex<Option<Arc<io::Error>>>,
}

impl Trouble {
    fn note(&self, error: io::Error) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(error));
    }
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
        let trouble = Arc::<Trouble>::default();
        let noted = Arc::clone(&trouble);
        let handle = Handle::new(
            backend,
            settings,
            |_| Box::new(|item, _| drop(item)),
            move |engine| {
                engine.lock().running = 1;
                let batch = Batch::on_heap(&engine.settings.batch);
                let desk = Desk { engine: Arc::clone(engine), batch, index: 0 };
                // Dropping the desk where there is no thread says that nobody works.
                let writer = Writer { desk, sink, policy, trouble: noted, unsynced_since: None };
                let name = String::from("turbopump-store");
                thread::Builder::new().name(name).spawn(|| writer.run())?;
                let keeping = keep(runs.clone(), Arc::clone(engine), |item, _| drop(item));
                kinds::BATCH_KEEPER.spawn(&runs, keeping);
                Ok(())
            },
        )?;
        Ok(Self { handle, trouble })
    }

    /// How often a sync has failed.
    #[must_use]
    pub fn sync_failures(&self) -> u64 {
        self.trouble.sync_failures.load(Ordering::Relaxed)
    }

    /// Why writing or syncing failed last, if it ever did.
    #[must_use]
    pub fn last_error(&self) -> Option<Arc<io::Error>> {
        self.trouble.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
        send_by!(self.handle, item, Instant::NEVER)
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

    /// Takes all items in, waiting for room where there is none; fewer locks than one by one. The
    /// iterator is asked while the store is locked: it must not use the store, and should not take
    /// long.
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
        self.handle.send_many(items).await
    }
}

handle_methods!(BatchStore, trouble);

/// What the thread has.
struct Writer<T: 'static, S> {
    desk: Desk<T>,
    sink: S,
    policy: SyncPolicy,
    trouble: Arc<Trouble>,
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
            self.sync();
        }
    }

    fn write(&mut self) {
        let batch = &mut self.desk.batch;
        if !batch.is_empty() {
            let written = call(|| self.sink.write(batch));
            let is_written = note(&self.desk.engine, &self.trouble, written);
            // An item whose batch is not synced is not done, and must not be there twice.
            let is_done = is_written && (self.policy != SyncPolicy::EveryBatch || self.sync());
            if is_written && !is_done {
                let taken_back = call(|| self.sink.take_back());
                note(&self.desk.engine, &self.trouble, taken_back);
            }
            if !is_done {
                self.desk.batch.set_all(Outcome::Retry);
            } else if matches!(self.policy, SyncPolicy::Interval(_)) {
                self.unsynced_since.get_or_insert_with(SystemInstant::now);
            }
        }
        let (engine, sink) = (&self.desk.engine, &mut self.sink);
        engine.settle(&mut self.desk.batch, |item, how| {
            let told = call(|| {
                sink.settled(item, how);
                Ok(())
            });
            note(engine, &self.trouble, told);
        });
    }

    fn sync(&mut self) -> bool {
        let synced = call(|| self.sink.sync());
        let is_synced = note(&self.desk.engine, &self.trouble, synced);
        if !is_synced {
            self.trouble.sync_failures.fetch_add(1, Ordering::Relaxed);
        }
        is_synced
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
            let is_synced = self.sync();
            self.unsynced_since = (!is_synced).then(SystemInstant::now);
        }
    }
}

/// What a sink answers; `None` where it panics instead.
fn call(act: impl FnOnce() -> io::Result<()>) -> Option<io::Result<()>> {
    catch_unwind(AssertUnwindSafe(act)).ok()
}

/// Keeps account of what a sink has answered; true where all is well.
fn note<T>(engine: &Engine<T>, trouble: &Trouble, answer: Option<io::Result<()>>) -> bool {
    match answer {
        Some(Ok(())) => return true,
        Some(Err(error)) => trouble.note(error),
        None => engine.count_panic(),
    }
    false
}

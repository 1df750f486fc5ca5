//! Offsets of groups whose members each get all messages: kept by the member itself.

use core::future::Future;
use core::panic::AssertUnwindSafe;
use core::pin::Pin;
use std::fs;
use std::io::{self, Write};
use std::panic::catch_unwind;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use turbopump_core::rocketmq::wire::body::{Body, MessageQueue, ResetOffsetBody};
use turbopump_core::rocketmq::wire::json::{Dialect, JsonError, Text};

use super::received::ReceivedFrom;
use crate::backend::Backend;
use crate::client::keeper::json;

/// A queue of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct ConsumedQueue {
    /// The topic, as it was subscribed.
    pub topic: Arc<str>,
    /// The broker's name.
    pub broker: Arc<str>,
    /// The number of the queue there.
    pub queue: i32,
}

impl ConsumedQueue {
    /// A queue.
    #[must_use]
    pub fn new(topic: &str, broker: &str, queue: i32) -> Self {
        Self { topic: topic.into(), broker: broker.into(), queue }
    }
}

impl ReceivedFrom {
    pub(super) fn queue_name(&self) -> ConsumedQueue {
        let (topic, broker) = (Arc::clone(&self.topic), Arc::clone(&self.broker));
        ConsumedQueue { topic, broker, queue: self.queue_id }
    }
}

/// Where a consumer keeps offsets that brokers don't: those of groups whose members each get all
/// messages. Called on a thread where blocking does no harm.
pub trait OffsetStore: Send + Sync + 'static {
    /// The offset of a queue; `None` where nothing is known.
    fn load(&self, queue: &ConsumedQueue) -> Option<i64>;

    /// Keeps the offset of a queue: that of the next message to be handled.
    ///
    /// # Errors
    ///
    /// What kept it from being kept; it is tried again.
    fn save(&self, queue: &ConsumedQueue, offset: i64) -> io::Result<()>;
}

/// Offsets are kept nowhere: each time it begins where new groups begin.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoStore;

impl OffsetStore for NoStore {
    fn load(&self, _: &ConsumedQueue) -> Option<i64> {
        None
    }

    fn save(&self, _: &ConsumedQueue, _: i64) -> io::Result<()> {
        Ok(())
    }
}

/// Offsets in a file, in the form that Java's clients give theirs; written anew with each change,
/// beside the old one, which it takes the place of then.
#[derive(Debug)]
pub struct FileOffsetStore {
    path: PathBuf,
    offsets: Mutex<BTreeMap<ConsumedQueue, i64>>,
}

impl FileOffsetStore {
    /// The offsets of a file; none where there is none yet. Each consumer has a file of its own.
    ///
    /// # Errors
    ///
    /// What kept it from being read, and a file that is none of offsets.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { path, offsets: Mutex::default() });
            }
            Err(error) => return Err(error),
        };
        let invalid = |error: JsonError| {
            let text = format!("{}: no offsets: {error}", path.display());
            io::Error::new(io::ErrorKind::InvalidData, text)
        };
        let mut offsets = BTreeMap::new();
        for entry in ResetOffsetBody::decode(&bytes).map_err(invalid)?.offset_table.iter() {
            let (queue, offset) = entry.map_err(invalid)?;
            let text = |text: Text<'_>| text.chars().collect::<String>();
            let (topic, broker) = (text(queue.topic).into(), text(queue.broker_name).into());
            offsets.insert(ConsumedQueue { topic, broker, queue: queue.queue_id }, offset);
        }
        Ok(Self { path, offsets: Mutex::new(offsets) })
    }

    fn offsets(&self) -> MutexGuard<'_, BTreeMap<ConsumedQueue, i64>> {
        self.offsets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OffsetStore for FileOffsetStore {
    fn load(&self, queue: &ConsumedQueue) -> Option<i64> {
        self.offsets().get(queue).copied()
    }

    fn save(&self, queue: &ConsumedQueue, offset: i64) -> io::Result<()> {
        let mut offsets = self.offsets();
        offsets.insert(queue.clone(), offset);
        let table: Vec<(MessageQueue<'_>, i64)> = offsets
            .iter()
            .map(|(queue, offset)| {
                let queue = MessageQueue {
                    broker_name: Text::plain(&queue.broker),
                    queue_id: queue.queue,
                    topic: Text::plain(&queue.topic),
                };
                (queue, *offset)
            })
            .collect();
        let body = ResetOffsetBody { offset_table: table.as_slice().into() };
        let too_many = || io::Error::other("too many offsets for one file");
        let bytes = json(&body, Dialect::Fastjson).ok_or_else(too_many)?;
        let mut beside = self.path.clone().into_os_string();
        beside.push(".new");
        // Nobody else writes meanwhile: the lock is held.
        let mut file = fs::File::create(&beside)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(beside, &self.path)
    }
}

/// A store, as tasks use it.
pub(super) trait Store: Send + Sync {
    /// The offset of a queue, if there is one; `None` where that can't be told now.
    fn load(&self, queue: ConsumedQueue) -> Storing<'_, Option<Option<i64>>>;

    /// Keeps the offset of a queue; true where it is kept.
    fn save(&self, queue: ConsumedQueue, offset: i64) -> Storing<'_, bool>;
}

pub(super) type Storing<'s, T> = Pin<Box<dyn Future<Output = T> + Send + 's>>;

/// A user's store, on threads where blocking does no harm. A panic of it is a failure.
pub(super) struct Blocking<B> {
    backend: B,
    store: Arc<dyn OffsetStore>,
}

impl<B: Backend> Blocking<B> {
    pub(super) const fn new(backend: B, store: Arc<dyn OffsetStore>) -> Self {
        Self { backend, store }
    }
}

impl<B: Backend> Store for Blocking<B> {
    fn load(&self, queue: ConsumedQueue) -> Storing<'_, Option<Option<i64>>> {
        let store = Arc::clone(&self.store);
        let load = move || catch_unwind(AssertUnwindSafe(|| store.load(&queue))).ok();
        Box::pin(self.backend.run_blocking(load))
    }

    fn save(&self, queue: ConsumedQueue, offset: i64) -> Storing<'_, bool> {
        let store = Arc::clone(&self.store);
        let save = move || store.save(&queue, offset).is_ok();
        let save = move || catch_unwind(AssertUnwindSafe(save)).unwrap_or(false);
        Box::pin(self.backend.run_blocking(save))
    }
}

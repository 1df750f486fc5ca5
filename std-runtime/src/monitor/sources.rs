//! Who has numbers, and their numbers at one moment.

use core::fmt;
use std::sync::{Mutex, PoisonError};

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use turbopump_core::stats::{
    Descriptor, LabelError, Labels, Samples, Source, VisitError, Visitor, text, visit_all,
};
use turbopump_core::time::{Clock, Now};

use crate::clock::SystemClock;

type Take = Box<dyn Fn() -> Box<dyn Source + Send + Sync> + Send + Sync>;

/// Everything whose numbers are to be seen: pools, batches, networks and whatever else is a
/// [`Source`]. A cheap handle.
///
/// ```
/// use turbopump_std::memory::BufferPool;
/// use turbopump_std::monitor::Sources;
///
/// let sources = Sources::new();
/// let pool = BufferPool::standard();
/// let watched = pool.clone();
/// let registration = sources.register(&[("pool", "requests")], move || watched.report())?;
///
/// let page = sources.snapshot().to_prometheus()?;
/// assert!(page.contains("turbopump_mempool_held_bytes{class=\"64\",pool=\"requests\"} 0"));
/// drop(registration); // not seen any more
/// assert!(sources.snapshot().is_empty());
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Sources {
    shared: Arc<Shared>,
}

struct Shared {
    clock: SystemClock,
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    next: u64,
    list: Vec<(u64, Entry)>,
}

#[derive(Clone)]
struct Entry {
    labels: Arc<[(String, String)]>,
    take: Arc<Take>,
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Sources {
    fn default() -> Self {
        Self::new()
    }
}

impl Sources {
    /// Nothing to see yet.
    #[must_use]
    pub fn new() -> Self {
        let entries = Mutex::default();
        Self { shared: Arc::new(Shared { clock: SystemClock::new(), entries }) }
    }

    /// Has the numbers that `take` returns seen from now on, with `labels` on each, until the
    /// registration is dropped or taken back.
    ///
    /// `take` is called once per snapshot, without a lock; it is to copy numbers and return.
    /// Sources of one kind have to differ in their labels, or their series can't be told apart.
    ///
    /// # Errors
    ///
    /// A label that can't be one.
    pub fn register<S: Source + Send + Sync + 'static>(
        &self,
        labels: &[(&str, &str)],
        take: impl Fn() -> S + Send + Sync + 'static,
    ) -> Result<Registration, LabelError> {
        Labels::new(labels)?;
        let labels = labels.iter().map(|(name, value)| (String::from(*name), String::from(*value)));
        let take: Take = Box::new(move || Box::new(take()));
        let entry = Entry { labels: labels.collect(), take: Arc::new(take) };
        let mut entries = self.shared.lock();
        let key = entries.next;
        entries.next += 1;
        entries.list.push((key, entry));
        Ok(Registration { shared: Arc::downgrade(&self.shared), key })
    }

    /// All numbers of this moment.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        // Whoever is asked may register something; that is not to wait for itself.
        let entries: Vec<_> =
            self.shared.lock().list.iter().map(|(_, entry)| entry.clone()).collect();
        let parts =
            entries.into_iter().map(|entry| Part { numbers: (entry.take)(), labels: entry.labels });
        Snapshot { now: self.shared.clock.now(), parts: parts.collect() }
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").field("len", &self.shared.lock().list.len()).finish()
    }
}

/// Keeps a source registered.
#[derive(Debug)]
#[must_use = "dropping it takes the source away; call `forever` to leave it"]
pub struct Registration {
    shared: Weak<Shared>,
    key: u64,
}

impl Registration {
    /// Leaves the source registered for as long as there are [`Sources`].
    pub fn forever(mut self) {
        self.shared = Weak::new();
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let Some(shared) = self.shared.upgrade() else { return };
        let mut entries = shared.lock();
        let at = entries.list.iter().position(|(key, _)| *key == self.key);
        let entry = at.map(|at| entries.list.remove(at));
        drop(entries);
        drop(entry);
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// The numbers of all sources at one moment.
pub struct Snapshot {
    now: Now,
    parts: Vec<Part>,
}

/// The numbers of one source, with its labels.
struct Part {
    labels: Arc<[(String, String)]>,
    numbers: Box<dyn Source + Send + Sync>,
}

impl Source for Part {
    fn families(&self) -> &'static [&'static Descriptor] {
        self.numbers.families()
    }

    fn visit(&self, samples: &mut Samples<'_>) -> Result<(), VisitError> {
        let labels: Vec<_> =
            self.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.numbers.visit(&mut samples.with_labels(&labels)?)
    }
}

impl Snapshot {
    /// When it was taken.
    #[must_use]
    pub const fn now(&self) -> Now {
        self.now
    }

    /// True where nobody has numbers.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The parts, for what takes sources: the alert rules, a writer of text.
    #[must_use]
    pub fn sources(&self) -> &[impl Source + use<>] {
        &self.parts
    }

    /// Shows all numbers to a visitor, family by family.
    ///
    /// # Errors
    ///
    /// [`VisitError`] of the visitor or of a source.
    pub fn visit(&self, visitor: &mut dyn Visitor) -> Result<(), VisitError> {
        self.visit_with(&[], visitor)
    }

    /// As [`visit`](Self::visit), with labels that every sample gets.
    ///
    /// # Errors
    ///
    /// As [`visit`](Self::visit).
    pub fn visit_with(
        &self,
        labels: &[(&str, &str)],
        visitor: &mut dyn Visitor,
    ) -> Result<(), VisitError> {
        visit_all(&self.parts, labels, visitor)
    }

    /// All numbers as JSON, as `/metrics.json` shows them.
    ///
    /// # Errors
    ///
    /// [`VisitError`] of a source.
    pub fn to_json(&self) -> Result<String, VisitError> {
        super::json::of_snapshot(self, &[])
    }

    /// All numbers as Prometheus' text, version 0.0.4.
    ///
    /// # Errors
    ///
    /// [`VisitError`] of a source.
    pub fn to_prometheus(&self) -> Result<String, VisitError> {
        let mut page = String::new();
        text::write_prometheus(&self.parts, &[], &mut page)?;
        Ok(page)
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("now", &self.now)
            .field("parts", &self.parts.len())
            .finish()
    }
}

//! Batch handles by name, started and stopped together.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::time::Duration;
use std::io;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use turbopump_core::stats::{Descriptor, Samples, Source, VisitError};

use super::handle::StopReport;
use super::stats::BatchStats;
use super::{BatchReceiver, BatchSender, BatchStore};
use crate::backend::Backend;

/// A future on the heap.
pub type Stopping<'u> = Pin<Box<dyn Future<Output = StopReport> + Send + 'u>>;

/// What a [`BatchManager`] starts and stops: any of the handles, on any backend.
pub trait BatchUnit: Send + Sync + 'static {
    /// Has the work begin.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    fn start(&self) -> io::Result<()>;

    /// Stops as the handle's `stop` or, with a time, `stop_within`.
    fn stop(&self, within: Option<Duration>) -> Stopping<'_>;

    /// What there is and what there has been.
    fn stats(&self) -> BatchStats;
}

macro_rules! unit {
    ($handle:ident) => {
        impl<T: Send + 'static, B: Backend> BatchUnit for $handle<T, B> {
            fn start(&self) -> io::Result<()> {
                Self::start(self)
            }

            fn stop(&self, within: Option<Duration>) -> Stopping<'_> {
                Box::pin(async move {
                    match within {
                        Some(time) => self.stop_within(time).await,
                        None => Self::stop(self).await,
                    }
                })
            }

            fn stats(&self) -> BatchStats {
                Self::stats(self)
            }
        }
    };
}

unit!(BatchSender);
unit!(BatchReceiver);
unit!(BatchStore);

/// Batch handles by name: a cheap handle of its own. Managers know nothing of each other.
///
/// ```
/// use turbopump_core::batch::Batch;
/// use turbopump_std::backend::Backend;
/// use turbopump_std::batch::{BatchManager, BatchSender, BatchSettings, handler_fn};
///
/// async fn example<B: Backend>(backend: B) -> Result<(), Box<dyn core::error::Error>> {
///     let manager = BatchManager::new();
///     let handler = handler_fn(|_: &mut Batch<'static, u32>| ());
///     let orders = BatchSender::new(backend, BatchSettings::default(), handler)?;
///     manager.register("orders", orders.clone())?;
///     manager.start_all()?;
///     orders.send(7).await?;
///     for (name, report) in manager.stop_all().await {
///         println!("{name}: {report:?}");
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone, Default)]
pub struct BatchManager {
    units: Arc<Mutex<BTreeMap<String, Arc<dyn BatchUnit>>>>,
}

impl BatchManager {
    /// A manager of nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The manager of the whole process. For programs; libraries take one from their user.
    pub fn default_instance() -> &'static Self {
        static MANAGER: LazyLock<BatchManager> = LazyLock::new(BatchManager::new);
        &MANAGER
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<dyn BatchUnit>>> {
        self.units.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn units(&self) -> Vec<(String, Arc<dyn BatchUnit>)> {
        self.lock().iter().map(|(name, unit)| (name.clone(), Arc::clone(unit))).collect()
    }

    /// Takes a handle in, started or not.
    ///
    /// # Errors
    ///
    /// [`NameTaken`].
    pub fn register(&self, name: &str, unit: impl BatchUnit) -> Result<(), NameTaken> {
        let mut units = self.lock();
        if units.contains_key(name) {
            return Err(NameTaken { name: name.into() });
        }
        units.insert(name.into(), Arc::new(unit));
        Ok(())
    }

    /// Forgets a handle, which goes on as it is, and returns it.
    pub fn remove(&self, name: &str) -> Option<Arc<dyn BatchUnit>> {
        self.lock().remove(name)
    }

    /// The handle of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<dyn BatchUnit>> {
        self.lock().get(name).cloned()
    }

    /// Has all of them begin; those that have, go on.
    ///
    /// # Errors
    ///
    /// The first that can't begin; those before it have.
    pub fn start_all(&self) -> io::Result<()> {
        self.units().into_iter().try_for_each(|(_, unit)| unit.start())
    }

    /// Stops all, at once rather than one after the other, and ends when all have. They stay
    /// registered, so that their numbers can be read.
    ///
    /// # Cancel safety
    ///
    /// They go on stopping when the future is dropped.
    pub async fn stop_all(&self) -> Vec<(String, StopReport)> {
        self.stop_each(None).await
    }

    /// As [`stop_all`](Self::stop_all), but each gives up what waits when the time is over.
    ///
    /// # Cancel safety
    ///
    /// As [`stop_all`](Self::stop_all), without the time limit.
    pub async fn stop_all_within(&self, time: Duration) -> Vec<(String, StopReport)> {
        self.stop_each(Some(time)).await
    }

    async fn stop_each(&self, within: Option<Duration>) -> Vec<(String, StopReport)> {
        let units = self.units();
        let mut stopping: Vec<_> = units.iter().map(|(_, unit)| Some(unit.stop(within))).collect();
        let mut reports = alloc::vec![StopReport::default(); units.len()];
        core::future::poll_fn(|cx| {
            for (future, report) in stopping.iter_mut().zip(&mut reports) {
                if let Some(running) = future
                    && let core::task::Poll::Ready(done) = running.as_mut().poll(cx)
                {
                    *report = done;
                    *future = None;
                }
            }
            match stopping.iter().all(Option::is_none) {
                true => core::task::Poll::Ready(()),
                false => core::task::Poll::Pending,
            }
        })
        .await;
        units.iter().map(|(name, _)| name.clone()).zip(reports).collect()
    }

    /// What there is and what there has been, by name: a [`Source`] whose label is `batch`.
    #[must_use]
    pub fn stats(&self) -> ManagerStats {
        ManagerStats(self.units().into_iter().map(|(name, unit)| (name, unit.stats())).collect())
    }
}

impl fmt::Debug for BatchManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.lock().keys()).finish()
    }
}

/// The numbers of all handles of a manager.
#[derive(Clone, Debug)]
pub struct ManagerStats(Vec<(String, BatchStats)>);

impl ManagerStats {
    /// Names and numbers, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &BatchStats)> {
        self.0.iter().map(|(name, stats)| (name.as_str(), stats))
    }
}

impl Source for ManagerStats {
    fn families(&self) -> &'static [&'static Descriptor] {
        super::stats::families()
    }

    fn visit(&self, samples: &mut Samples<'_>) -> Result<(), VisitError> {
        for (name, stats) in self.iter() {
            stats.visit(&mut samples.with_labels(&[("batch", name)])?)?;
        }
        Ok(())
    }
}

/// Another handle has this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameTaken {
    name: String,
}

impl fmt::Display for NameTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is registered already; remove it first, or take another name", self.name)
    }
}

impl core::error::Error for NameTaken {}

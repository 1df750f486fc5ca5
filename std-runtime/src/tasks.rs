//! How many tasks of which kind are alive: who spawns a task names its kind.
//!
//! A [`TaskKind`] is a static with a name and two counters; spawning by it counts, and lists the
//! kind at its first task. What a task does, and when it ends, is its owner's business. Counting is
//! for the whole process, over all backends.

use core::fmt;
use core::future::Future;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use alloc::vec::Vec;

use turbopump_core::descriptor;
use turbopump_core::stats::{Descriptor, Kind, Samples, Source, VisitError};

use crate::backend::Backend;

/// Kinds that are listed, those of this crate included; more are run, but not shown.
pub const KINDS_MAX: usize = 64;

/// A kind of tasks: a static that counts those that are alive.
///
/// ```
/// use turbopump_std::backend::Backend;
/// use turbopump_std::tasks::{self, TaskKind};
///
/// static REFRESH: TaskKind = TaskKind::new("refresh");
///
/// fn refresh<B: Backend>(backend: &B) {
///     REFRESH.spawn(backend, async { /* what is to be done */ });
/// }
/// # assert!(tasks::report().kinds.iter().all(|kind| kind.name != "refresh"));
/// ```
pub struct TaskKind {
    name: &'static str,
    started: AtomicU64,
    ended: AtomicU64,
    is_listed: AtomicBool,
}

static LISTED: Mutex<Vec<&'static TaskKind>> = Mutex::new(Vec::new());

impl TaskKind {
    /// A kind with this name: lower case words, joined by `_`. Kinds of one name are shown as one.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            started: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            is_listed: AtomicBool::new(false),
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Runs a task on `backend`, as [`Backend::spawn`] does, and counts it until it has ended, was
    /// dropped or has panicked.
    pub fn spawn<B: Backend>(
        &'static self,
        backend: &B,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let alive = Alive::new(self);
        backend.spawn(async move {
            let _alive = alive;
            task.await;
        });
    }

    fn list(&'static self) {
        if self.is_listed.swap(true, Ordering::Relaxed) {
            return;
        }
        let mut listed = LISTED.lock().unwrap_or_else(PoisonError::into_inner);
        if listed.len() < KINDS_MAX {
            listed.push(self);
        }
    }
}

impl fmt::Debug for TaskKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TaskKind").field(&self.name).finish()
    }
}

/// Counts while it is there.
struct Alive(&'static TaskKind);

impl Alive {
    fn new(kind: &'static TaskKind) -> Self {
        kind.list();
        kind.started.fetch_add(1, Ordering::Relaxed);
        Self(kind)
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        // Whoever reads this has seen what the task did.
        self.0.ended.fetch_add(1, Ordering::Release);
    }
}

/// The tasks of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KindReport {
    /// Of the kind.
    pub name: &'static str,
    /// Tasks that have not ended.
    pub alive: u64,
    /// Tasks since the process began.
    pub started: u64,
}

/// The tasks of all kinds at one moment: a [`Source`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskReport {
    /// By name; at most [`KINDS_MAX`].
    pub kinds: Vec<KindReport>,
}

impl TaskReport {
    /// How many tasks of this name are alive; 0 for a kind that never had one.
    #[must_use]
    pub fn alive(&self, name: &str) -> u64 {
        self.kinds.iter().find(|kind| kind.name == name).map_or(0, |kind| kind.alive)
    }
}

/// The tasks of this process, by kind. Kinds are shown from their first task on.
#[must_use]
pub fn report() -> TaskReport {
    let listed = LISTED.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let mut kinds: Vec<KindReport> = Vec::with_capacity(listed.len());
    for kind in listed {
        // Ends first: a task that begins or ends in between must not make the difference negative.
        let ended = kind.ended.load(Ordering::Acquire);
        let started = kind.started.load(Ordering::Relaxed);
        let alive = started.saturating_sub(ended);
        match kinds.iter_mut().find(|own| own.name == kind.name) {
            Some(own) => {
                own.alive += alive;
                own.started += started;
            }
            None => kinds.push(KindReport { name: kind.name, alive, started }),
        }
    }
    kinds.sort_by_key(|kind| kind.name);
    TaskReport { kinds }
}

static ALIVE: Descriptor =
    descriptor!(Kind::Gauge, "turbopump_tasks_alive", "Tasks that have not ended, by kind.");
static STARTED: Descriptor = descriptor!(
    Kind::Counter,
    "turbopump_tasks_started_total",
    "Tasks that were started, by kind."
);
static FAMILIES: [&Descriptor; 2] = [&ALIVE, &STARTED];

impl Source for TaskReport {
    fn families(&self) -> &'static [&'static Descriptor] {
        &FAMILIES
    }

    fn visit(&self, samples: &mut Samples<'_>) -> Result<(), VisitError> {
        for kind in &self.kinds {
            let labels = [("kind", kind.name)];
            samples.gauge(&ALIVE, &labels, kind.alive)?;
            samples.counter(&STARTED, &labels, kind.started)?;
        }
        Ok(())
    }
}

/// The kinds of this crate.
pub(crate) mod kinds {
    use super::TaskKind;

    macro_rules! kinds {
        ($($(#[$attribute:meta])* $kind:ident $name:literal),* $(,)?) => {
            $($(#[$attribute])* pub(crate) static $kind: TaskKind = TaskKind::new($name);)*
        };
    }

    kinds![
        ASYNC_IO_CLOCK "async_io_clock",
        ASYNC_IO_WORKER "async_io_worker",
        BATCH_KEEPER "batch_keeper",
        BATCH_WORKER "batch_worker",
        #[cfg(feature = "broker")]
        BROKER_CLOCK "broker_clock",
        #[cfg(feature = "broker")]
        BROKER_CONNECTION "broker_connection",
        #[cfg(feature = "broker")]
        BROKER_LISTENER "broker_listener",
        #[cfg(feature = "broker")]
        BROKER_REGISTRAR "broker_registrar",
        CLIENT_HEARTBEAT "client_heartbeat",
        CLIENT_KEEPER "client_keeper",
        CLIENT_LISTENER "client_listener",
        CLIENT_NAME_SERVERS "client_name_servers",
        CONNECTION_DIAL "connection_dial",
        CONNECTION_KEEPER "connection_keeper",
        CONSUMER "consumer",
        CONSUMER_ASKED "consumer_asked",
        CONSUMER_LOCK "consumer_lock",
        CONSUMER_QUEUE "consumer_queue",
        CONSUMER_WORKER "consumer_worker",
        LINK "link",
        SEND "send",
        #[cfg(feature = "monitor")]
        MONITOR_COLLECTOR "monitor_collector",
        #[cfg(feature = "monitor")]
        MONITOR_CONNECTION "monitor_connection",
        #[cfg(feature = "monitor")]
        MONITOR_LISTENER "monitor_listener",
        #[cfg(feature = "monitor")]
        MONITOR_POSTER "monitor_poster",
    ];
}

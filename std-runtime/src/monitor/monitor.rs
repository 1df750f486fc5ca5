//! The monitor: collects, and serves pages.

use core::fmt;
use core::marker::PhantomData;
use core::net::SocketAddr;
use core::panic::AssertUnwindSafe;
use core::sync::atomic::AtomicUsize;
use core::time::Duration;
use std::io;
use std::panic::catch_unwind;
use std::time::Instant;

use alloc::format;
use alloc::sync::Arc;

use super::config::{InvalidConfig, MonitorConfig};
use super::dashboard;
use super::debug::{Changes, DebugPages, Events};
use super::http::{Pages, Reply, Router, Server};
use super::observer::Observer;
use super::sources::{Registration, Snapshot, Sources};
use super::system::Watch;
use crate::backend::Backend;
use crate::end::End;
use crate::tasks::{self, kinds};

/// Collects the numbers of a program and shows them.
///
/// | page | shows |
/// | --- | --- |
/// | `/` | plots, for people |
/// | `/metrics` | all numbers: Prometheus' text, OpenMetrics or JSON, as the client likes |
/// | `/metrics.json` | all numbers as JSON |
/// | `/health`, `/healthz` | that the process lives |
/// | `/readyz` | whether the program is ready, or 503 and why not |
///
/// Where a `debug_address` is given, another listener has pages for those who look for a fault:
///
/// | page | shows |
/// | --- | --- |
/// | `/debug` | settings (secrets are hidden), pools, connections, tasks, recent events |
/// | `/debug/pprof/` | which profiles there are |
/// | `/debug/pprof/profile` | where processor time goes; `?seconds=1..60`, `?format=flamegraph` |
/// | `/debug/pprof/heap` | what the registered pools hold |
/// | `/debug/pprof/tasks` | tasks that are alive, by kind |
///
/// Profiles are for `go tool pprof`; they take the feature `profile`, that of the processor Unix.
/// One is taken at a time; it ends with its connection, and so with `connection_lifetime`.
///
/// There is no password: whoever reaches the address sees the pages. It is on the loopback
/// interface unless the configuration says otherwise.
///
/// Dropping the monitor ends it as [`stop`](Self::stop) does, without waiting for that.
///
/// ```no_run
/// use turbopump_std::backend::Backend;
/// use turbopump_std::memory::BufferPool;
/// use turbopump_std::monitor::{Monitor, MonitorConfig, Sources};
///
/// async fn watch<B: Backend>(backend: B) -> Result<(), Box<dyn core::error::Error>> {
///     let (sources, pool) = (Sources::new(), BufferPool::standard());
///     sources.register(&[("pool", "requests")], move || pool.report())?.forever();
///     let monitor = Monitor::start(backend, MonitorConfig::default(), sources).await?;
///     println!("http://{}/", monitor.address().expect("it listens"));
///     monitor.stop().await;
///     Ok(())
/// }
/// ```
pub struct Monitor<B: Backend> {
    sources: Sources,
    address: Option<SocketAddr>,
    debug_address: Option<SocketAddr>,
    end: Arc<End>,
    _own: [Registration; 3],
    backend: PhantomData<B>,
}

impl<B: Backend> Monitor<B> {
    /// Begins to collect and, where an address is given, to listen.
    ///
    /// # Errors
    ///
    /// Settings that can't be meant; what the operating system says to the address.
    ///
    /// # Cancel safety
    ///
    /// Nothing runs where the future is dropped.
    pub async fn start(
        backend: B,
        config: MonitorConfig,
        sources: Sources,
    ) -> Result<Self, MonitorError> {
        config.check().map_err(MonitorError::Config)?;
        let watch = Watch::new();
        let looked_at = backend.clone();
        let system = sources.register(&[], move || watch.look());
        let runtime = sources.register(&[], move || looked_at.runtime_figures());
        let alive = sources.register(&[], tasks::report);
        // They have no labels that could be wrong.
        let (Ok(system), Ok(runtime), Ok(alive)) = (system, runtime, alive) else {
            unreachable!("no labels")
        };
        let end = Arc::new(End::default());
        let mut monitor = Self {
            sources: sources.clone(),
            address: None,
            debug_address: None,
            end: Arc::clone(&end),
            _own: [system, runtime, alive],
            backend: PhantomData,
        };
        let limits = Limits::of(&config);
        if let Some(address) = config.debug_address {
            let pages =
                DebugPages::new(backend.clone(), Arc::clone(&end), sources.clone(), &config);
            let server = server(&backend, &end, limits, pages);
            monitor.debug_address = Some(open(server, address).await?);
        }
        let events = config.events.clone();
        let MonitorConfig { mut routes, observers, collect_interval, .. } = config;
        let page: super::http::Route = Arc::new(|| Reply::html(dashboard::page()));
        routes.insert(0, ("/".into(), page));
        if let Some(address) = config.address {
            let router = Router {
                sources: sources.clone(),
                labels: config.labels,
                metrics_path: config.metrics_path,
                routes,
                checks: config.checks,
            };
            monitor.address = Some(open(server(&backend, &end, limits, router), address).await?);
        }
        let places = [("", monitor.address), ("debug ", monitor.debug_address)];
        for (what, address) in places.iter().filter_map(|(what, at)| Some((what, (*at)?))) {
            events.note("listening", format!("{what}pages at {address}"));
        }
        let ticket = end.enter();
        let runs = backend.clone();
        kinds::MONITOR_COLLECTOR.spawn(&backend, async move {
            let _ticket = ticket;
            let mut changes = Changes::default();
            let mut next = Instant::now() + collect_interval;
            while end.unless_over(runs.sleep_until(next)).await.is_some() {
                // Rounds that were missed are not made up for.
                next = (next + collect_interval).max(Instant::now());
                collect(&sources, &observers, &mut changes, &events);
            }
        });
        Ok(monitor)
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Where it has its debug pages.
    #[must_use]
    pub const fn debug_address(&self) -> Option<SocketAddr> {
        self.debug_address
    }

    /// Whose numbers it shows.
    #[must_use]
    pub const fn sources(&self) -> &Sources {
        &self.sources
    }

    /// All numbers of this moment.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.sources.snapshot()
    }

    /// Ends collecting and listening, closes all connections, and ends when all is gone.
    ///
    /// # Cancel safety
    ///
    /// The monitor ends all the same when the future is dropped.
    pub async fn stop(self) {
        self.end.call();
        self.end.all_have_left().await;
    }
}

impl<B: Backend> Drop for Monitor<B> {
    fn drop(&mut self) {
        self.end.call();
    }
}

impl<B: Backend> fmt::Debug for Monitor<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitor")
            .field("address", &self.address)
            .field("debug_address", &self.debug_address)
            .field("sources", &self.sources)
            .finish_non_exhaustive()
    }
}

/// What both listeners keep to, each for itself.
#[derive(Clone, Copy)]
struct Limits {
    connections_max: usize,
    head_timeout: Duration,
    connection_lifetime: Duration,
}

impl Limits {
    const fn of(config: &MonitorConfig) -> Self {
        let MonitorConfig { connections_max, head_timeout, connection_lifetime, .. } = *config;
        Self { connections_max, head_timeout, connection_lifetime }
    }
}

fn server<B: Backend, P: Pages>(
    backend: &B,
    end: &Arc<End>,
    limits: Limits,
    pages: P,
) -> Arc<Server<B, P>> {
    let Limits { connections_max, head_timeout, connection_lifetime } = limits;
    Arc::new(Server {
        backend: backend.clone(),
        pages,
        end: Arc::clone(end),
        connections_max,
        head_timeout,
        connection_lifetime,
        connections: AtomicUsize::new(0),
    })
}

async fn open<B: Backend, P: Pages>(
    server: Arc<Server<B, P>>,
    address: SocketAddr,
) -> Result<SocketAddr, MonitorError> {
    server.open(address).await.map_err(|error| MonitorError::Listen { address, error })
}

/// One round. A source or observer that panics costs the others nothing.
fn collect(
    sources: &Sources,
    observers: &[Arc<dyn Observer>],
    changes: &mut Changes,
    events: &Events,
) {
    let quietly = |act: &mut dyn FnMut()| {
        if catch_unwind(AssertUnwindSafe(act)).is_err() {
            log::error!("a source or an observer of the monitor has panicked");
            events.note("trouble", "a source or an observer has panicked");
        }
    };
    let mut snapshot = None;
    quietly(&mut || snapshot = Some(Arc::new(sources.snapshot())));
    let Some(snapshot) = snapshot else { return };
    quietly(&mut || changes.note(&snapshot, events));
    for observer in observers {
        quietly(&mut || observer.observe(&snapshot));
    }
}

/// Why there is no monitor.
#[derive(Debug)]
#[non_exhaustive]
pub enum MonitorError {
    /// A setting can't be meant.
    Config(InvalidConfig),
    /// It can't listen there.
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system says.
        error: io::Error,
    },
}

impl fmt::Display for MonitorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Listen { address, .. } => write!(
                f,
                "the monitor can't listen at {address}; take another address, or port 0 for any"
            ),
        }
    }
}

impl core::error::Error for MonitorError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Config(_) => None,
            Self::Listen { error, .. } => Some(error),
        }
    }
}

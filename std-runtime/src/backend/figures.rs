//! What a runtime tells about itself.

use turbopump_core::descriptor;
use turbopump_core::stats::{Descriptor, Kind, Samples, Source, VisitError};

/// A runtime at one moment. What it does not tell is `None`, and not shown.
///
/// A monitor shows the figures of its own backend. For a second runtime in the same program,
/// register them with a label: `sources.register(&[("runtime", "second")], move ||
/// backend.runtime_figures())`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RuntimeFigures {
    /// Threads that run tasks.
    pub workers: Option<usize>,
    /// Tasks that have not ended, whoever spawned them.
    pub tasks_alive: Option<usize>,
    /// Tasks that are ready to run and wait in the queue that all workers share; those in queues of
    /// the workers' own come on top.
    pub queue_depth: Option<usize>,
}

static WORKERS: Descriptor =
    descriptor!(Kind::Gauge, "turbopump_runtime_workers", "Threads of the runtime that run tasks.");
static TASKS_ALIVE: Descriptor = descriptor!(
    Kind::Gauge,
    "turbopump_runtime_tasks_alive",
    "Tasks of the runtime that have not ended, whoever spawned them."
);
static QUEUE_DEPTH: Descriptor = descriptor!(
    Kind::Gauge,
    "turbopump_runtime_queue_depth",
    "Tasks that are ready and wait in the queue that all workers share."
);
static FAMILIES: [&Descriptor; 3] = [&WORKERS, &TASKS_ALIVE, &QUEUE_DEPTH];

impl Source for RuntimeFigures {
    fn families(&self) -> &'static [&'static Descriptor] {
        &FAMILIES
    }

    fn visit(&self, samples: &mut Samples<'_>) -> Result<(), VisitError> {
        let figures = [
            (&WORKERS, self.workers),
            (&TASKS_ALIVE, self.tasks_alive),
            (&QUEUE_DEPTH, self.queue_depth),
        ];
        for (family, value) in figures {
            if let Some(value) = value {
                samples.gauge(family, &[], value)?;
            }
        }
        Ok(())
    }
}

//! Figures of the process and of the system.

use std::fs;
use std::sync::{Mutex, PoisonError};

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System};
use turbopump_core::descriptor;
use turbopump_core::stats::{Descriptor, Kind, Samples, Source, Unit, VisitError};

/// Looks at the process and the system.
pub(super) struct Watch {
    system: Mutex<System>,
}

impl Watch {
    pub(super) fn new() -> Self {
        Self { system: Mutex::new(System::new()) }
    }

    /// The figures of this moment. What the system does not tell is left out.
    pub(super) fn look(&self) -> SystemFigures {
        let mut system = self.system.lock().unwrap_or_else(PoisonError::into_inner);
        system.refresh_memory();
        let mut figures = SystemFigures {
            memory_total: system.total_memory(),
            memory_available: system.available_memory(),
            threads: entries("/proc/self/task"),
            open_files: entries("/proc/self/fd"),
            ..SystemFigures::default()
        };
        let Ok(pid) = sysinfo::get_current_pid() else { return figures };
        let what = ProcessRefreshKind::nothing().with_cpu().with_memory();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), false, what);
        if let Some(process) = system.process(pid) {
            figures.cpu_ms = process.accumulated_cpu_time();
            figures.resident = process.memory();
            figures.virtual_memory = process.virtual_memory();
            figures.started_at = process.start_time();
        }
        figures
    }
}

/// How many entries a folder has, where there is one.
fn entries(folder: &str) -> Option<u64> {
    Some(fs::read_dir(folder).ok()?.count() as u64)
}

/// The process and the system at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SystemFigures {
    cpu_ms: u64,
    resident: u64,
    virtual_memory: u64,
    started_at: u64,
    memory_total: u64,
    memory_available: u64,
    threads: Option<u64>,
    open_files: Option<u64>,
}

static CPU: Descriptor = descriptor!(
    Kind::Counter,
    "turbopump_process_cpu_seconds_total",
    "Processor time of the process.",
    Unit::MILLISECONDS
);
static RESIDENT: Descriptor = descriptor!(
    Kind::Gauge,
    "turbopump_process_resident_bytes",
    "Memory of the process that is in memory.",
    Unit::BYTES
);
static VIRTUAL: Descriptor = descriptor!(
    Kind::Gauge,
    "turbopump_process_virtual_bytes",
    "Address space of the process.",
    Unit::BYTES
);
static STARTED: Descriptor = descriptor!(
    Kind::Gauge,
    "turbopump_process_start_time_seconds",
    "When the process began, since 1970.",
    Unit::SECONDS
);
static TOTAL: Descriptor = descriptor!(
    Kind::Gauge,
    "turbopump_system_memory_total_bytes",
    "Memory of the system.",
    Unit::BYTES
);
static AVAILABLE: Descriptor = descriptor!(
    Kind::Gauge,
    "turbopump_system_memory_available_bytes",
    "Memory that programs could get.",
    Unit::BYTES
);
static THREADS: Descriptor =
    descriptor!(Kind::Gauge, "turbopump_process_threads", "Threads of the process.");
static FILES: Descriptor = descriptor!(
    Kind::Gauge,
    "turbopump_process_open_fds",
    "File descriptors that the process has open."
);
static FAMILIES: [&Descriptor; 8] =
    [&CPU, &RESIDENT, &VIRTUAL, &STARTED, &TOTAL, &AVAILABLE, &THREADS, &FILES];

impl Source for SystemFigures {
    fn families(&self) -> &'static [&'static Descriptor] {
        &FAMILIES
    }

    fn visit(&self, samples: &mut Samples<'_>) -> Result<(), VisitError> {
        samples.counter(&CPU, &[], self.cpu_ms)?;
        samples.gauge(&RESIDENT, &[], self.resident)?;
        samples.gauge(&VIRTUAL, &[], self.virtual_memory)?;
        samples.gauge(&STARTED, &[], self.started_at)?;
        samples.gauge(&TOTAL, &[], self.memory_total)?;
        samples.gauge(&AVAILABLE, &[], self.memory_available)?;
        for (family, count) in [(&THREADS, self.threads), (&FILES, self.open_files)] {
            if let Some(count) = count {
                samples.gauge(family, &[], count)?;
            }
        }
        Ok(())
    }
}

/// What was built, and what it runs on.
pub struct BuildInfo {
    labels: Vec<(&'static str, String)>,
}

impl BuildInfo {
    /// The version of the program and, where it is known, the name of its runtime.
    #[must_use]
    pub fn new(version: &str, runtime: Option<&str>) -> Self {
        let mut labels = Vec::from([("version", String::from(version))]);
        labels.extend(runtime.map(|runtime| ("runtime", String::from(runtime))));
        Self { labels }
    }
}

impl core::fmt::Debug for BuildInfo {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("BuildInfo").field(&self.labels).finish()
    }
}

static BUILD: Descriptor =
    descriptor!(Kind::Gauge, "turbopump_build_info", "1, with what was built as labels.");
static BUILD_FAMILIES: [&Descriptor; 1] = [&BUILD];

impl Source for BuildInfo {
    fn families(&self) -> &'static [&'static Descriptor] {
        &BUILD_FAMILIES
    }

    fn visit(&self, samples: &mut Samples<'_>) -> Result<(), VisitError> {
        let labels: Box<[_]> =
            self.labels.iter().map(|(name, value)| (*name, value.as_str())).collect();
        samples.gauge(&BUILD, &labels, 1_u8)
    }
}

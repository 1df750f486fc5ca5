//! Profiles, as `go tool pprof` reads them: what pools hold, which tasks are alive, and on Unix
//! where processor time goes.

mod encode;
#[cfg(unix)]
mod flame;
#[cfg(unix)]
mod processor;

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use turbopump_core::stats::{Descriptor, Distribution, Series, VisitError, Visitor};

use crate::monitor::http::Reply;
use crate::monitor::sources::Snapshot;
use crate::tasks as kinds;

use encode::Builder;
#[cfg(unix)]
pub(super) use processor::processor;

/// Memory that the registered pools hold: a stack per pool and class.
pub(super) fn heap(snapshot: &Snapshot) -> Reply {
    let mut held = Held::default();
    if let Err(error) = snapshot.visit(&mut held) {
        return Reply::text(format!("{error}\n")).with_status(500);
    }
    let types = [("held", "bytes"), ("size", "bytes"), ("in_use", "count")];
    let mut profile = Builder::new(&types, snapshot.now().unix_ms);
    for ((pool, class), values) in &held.classes {
        let of_pool = format!("pool {pool}");
        let leaf = format!("{of_pool}, class {class}");
        let stack = [leaf.as_str(), of_pool.as_str(), "memory pools"];
        profile.sample(&stack, values, &[("pool", pool), ("class", class)]);
    }
    profile.reply()
}

/// Tasks that are alive, a stack per kind.
pub(super) fn tasks() -> Reply {
    let now = turbopump_core::time::Clock::now(&crate::clock::SystemClock::new());
    let mut profile = Builder::new(&[("tasks", "count")], now.unix_ms);
    for kind in kinds::report().kinds {
        if kind.alive > 0 {
            let alive = i64::try_from(kind.alive).unwrap_or(i64::MAX);
            profile.sample(&[kind.name, "tasks"], &[alive], &[("kind", kind.name)]);
        }
    }
    profile.reply()
}

/// Of pools, by name and class: bytes held, bytes of all, blocks in use.
#[derive(Default)]
struct Held {
    classes: BTreeMap<(String, String), [i64; 3]>,
}

/// Classes that are shown.
const CLASSES_MAX: usize = 4_096;

fn value_of(series: &Series<'_>) -> Option<usize> {
    match series.family.name() {
        "turbopump_mempool_held_bytes" => Some(0),
        "turbopump_mempool_size_bytes" => Some(1),
        "turbopump_mempool_blocks" if series.labels.get("state") == Some("in_use") => Some(2),
        _ => None,
    }
}

impl Visitor for Held {
    fn wants(&mut self, family: &'static Descriptor) -> bool {
        family.name().starts_with("turbopump_mempool_")
    }

    fn gauge(&mut self, series: &Series<'_>, value: i64) -> Result<(), VisitError> {
        let Some(at) = value_of(series) else { return Ok(()) };
        let others = series.labels.iter().filter(|(name, _)| !["class", "state"].contains(name));
        let pool: Vec<_> = others.map(|(_, value)| value).collect();
        let pool = if pool.is_empty() { String::from("unnamed") } else { pool.join(" ") };
        let class = series.labels.get("class").unwrap_or_default();
        let key = (pool, String::from(class));
        if self.classes.len() < CLASSES_MAX || self.classes.contains_key(&key) {
            let sum = &mut self.classes.entry(key).or_default()[at];
            *sum = sum.saturating_add(value);
        }
        Ok(())
    }

    fn counter(&mut self, _: &Series<'_>, _: u64) -> Result<(), VisitError> {
        Ok(())
    }

    fn float_gauge(&mut self, _: &Series<'_>, _: f64) -> Result<(), VisitError> {
        Ok(())
    }

    fn histogram(&mut self, _: &Series<'_>, _: &dyn Distribution) -> Result<(), VisitError> {
        Ok(())
    }
}

//! The simulation, with many seeds and with planted bugs.
//!
//! A failure says its seed: `SEED=123 cargo test -p turbopump-tests --test simulation` runs that
//! one alone, `SEEDS=100000` more of them, `FIRST_SEED=1000000` others.

use std::sync::atomic::{AtomicU64, Ordering};

use turbopump_std::client::PlantedBug;
use turbopump_tests::sim::{FaultKind, Outcome, run};

/// Seeds of a run in CI.
const SEEDS: u64 = 10_000;
/// Others that found something once.
const FOUND: [u64; 1] = [1_013_047];

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

fn describe(seed: u64, outcome: &Outcome) -> String {
    let violation = outcome.violation.as_ref().map_or_else(String::new, ToString::to_string);
    let trace = outcome.trace.join("\n");
    format!("SEED={seed}: {violation}\n{trace}\nafter {} ms", outcome.took_us / 1_000)
}

/// Runs these seeds on all processors; the first that is wrong.
fn run_all(
    seeds: core::ops::Range<u64>,
    bug: Option<PlantedBug>,
) -> Result<u64, (u64, Box<Outcome>)> {
    let next = AtomicU64::new(seeds.start);
    let messages = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let found = std::thread::scope(|scope| {
        let work = || {
            loop {
                let seed = next.fetch_add(1, Ordering::SeqCst);
                if seed >= seeds.end {
                    return None;
                }
                let outcome = run(seed, bug);
                messages.fetch_add(outcome.messages.0 as u64, Ordering::SeqCst);
                if outcome.violation.is_some() {
                    next.store(seeds.end, Ordering::SeqCst);
                    return Some((seed, Box::new(outcome)));
                }
            }
        };
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let found = running.into_iter().filter_map(|thread| thread.join().unwrap());
        found.min_by_key(|(seed, _)| *seed)
    });
    found.map_or_else(|| Ok(messages.into_inner()), Err)
}

#[test]
fn nothing_is_lost_whatever_goes_wrong() {
    if let Some(seed) = variable("SEED") {
        let outcome = run(seed, None);
        println!("{}", describe(seed, &outcome));
        assert!(outcome.violation.is_none());
        return;
    }
    for seed in FOUND {
        let outcome = run(seed, None);
        assert!(outcome.violation.is_none(), "{}", describe(seed, &outcome));
    }
    let first = variable("FIRST_SEED").unwrap_or(0);
    let seeds = first..first + variable("SEEDS").unwrap_or(SEEDS);
    match run_all(seeds.clone(), None) {
        Ok(messages) => println!("{messages} messages acknowledged in {} runs", seeds.end - first),
        Err((seed, outcome)) => panic!("{}", describe(seed, &outcome)),
    }
}

#[test]
fn every_planted_bug_is_found() {
    for bug in PlantedBug::ALL {
        let found = run_all(0..400, Some(bug));
        let Err((seed, outcome)) = found else { panic!("{bug:?} was not found in 400 runs") };
        println!("{bug:?}: seed {seed}, {}", outcome.violation.unwrap());
    }
}

#[test]
fn one_seed_gives_one_run() {
    for seed in 0..20 {
        let (first, second) = (run(seed, None), run(seed, None));
        assert_eq!(first.trace, second.trace, "SEED={seed}");
        assert_eq!((first.took_us, first.faults), (second.took_us, second.faults));
    }
}

#[test]
fn every_kind_of_fault_hits_in_every_run() {
    for seed in 0..50 {
        let outcome = run(seed, None);
        for kind in FaultKind::ALL {
            assert!(outcome.faults.get(kind) > 0, "{kind:?} {}", describe(seed, &outcome));
        }
    }
}

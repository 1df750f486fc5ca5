//! Requests and answers of 256 bytes over loopback TCP, 64 in flight on one connection, beside what
//! people write by hand. One thread runs the client and the same echo server for all; on smol it is
//! the same server on its sockets.
//!
//! A time per iteration is one round trip. With `REQUEST_PROFILE=NAME:COUNT` it runs COUNT round
//! trips of one peer and nothing else, for `valgrind --tool=callgrind`, and prints allocations.

mod bulk;
mod h2_peer;
mod multiplexer;
mod on_smol;
mod ours;
mod server;

use std::alloc::System;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::runtime::Runtime;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const FRAME_BYTES: usize = 256;
const HEAD_BYTES: usize = 8;
const BODY_BYTES: usize = FRAME_BYTES - HEAD_BYTES;
const IN_FLIGHT: usize = 64;

/// What runs round trips: so many of them, over a connection that stays.
trait Peer {
    fn run(&mut self, runtime: &Runtime, round_trips: usize);
}

type MakePeer = fn(&Runtime) -> Box<dyn Peer>;

const PEERS: [(&str, MakePeer); 6] = [
    ("bulk, the floor", bulk::make),
    ("RequestLink, 64 tasks", ours::make_tasks),
    ("RequestLink, 1 task", ours::make_one_task),
    ("RequestLink, 64 tasks on smol", on_smol::make_tasks),
    ("LengthDelimitedCodec, HashMap, oneshot", multiplexer::make),
    ("h2", h2_peer::make),
];

/// One thread, or as many workers as `REQUEST_WORKERS` says.
fn runtime() -> Runtime {
    let workers = std::env::var("REQUEST_WORKERS").ok().map(|workers| workers.parse().unwrap());
    let mut builder = match workers {
        None => tokio::runtime::Builder::new_current_thread(),
        Some(_) => tokio::runtime::Builder::new_multi_thread(),
    };
    if let Some(workers) = workers {
        builder.worker_threads(workers);
    }
    builder.enable_all().build().unwrap()
}

fn request(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("request/256 bytes, 64 in flight");
    group.measurement_time(Duration::from_secs(3)).sample_size(20);
    for (name, make) in PEERS {
        let runtime = runtime();
        let mut peer = make(&runtime);
        peer.run(&runtime, 10_000);
        group.bench_function(name, |b| {
            b.iter_custom(|round_trips| {
                let start = Instant::now();
                peer.run(&runtime, usize::try_from(round_trips).unwrap());
                start.elapsed()
            });
        });
    }
    group.finish();
}

/// What this thread has run so far, in nanoseconds: waiting for a processor does not count.
fn cpu_ns() -> f64 {
    let schedstat = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    schedstat.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(f64::NAN)
}

/// One peer alone: returns false where that was not asked for.
fn profile() -> bool {
    let Ok(profile) = std::env::var("REQUEST_PROFILE") else {
        return false;
    };
    let (wanted, count) = profile.rsplit_once(':').expect("REQUEST_PROFILE=NAME:COUNT");
    let round_trips = count.parse().expect("a number of round trips");
    for (name, make) in PEERS.into_iter().filter(|(name, _)| name.contains(wanted)) {
        let runtime = runtime();
        let mut peer = make(&runtime);
        peer.run(&runtime, 2_000);
        let region = Region::new(ALLOCATOR);
        let (start, cpu_start) = (Instant::now(), cpu_ns());
        peer.run(&runtime, round_trips);
        let (elapsed, cpu_ns, change) = (start.elapsed(), cpu_ns() - cpu_start, region.change());
        let per_trip = |total: f64| total / round_trips as f64;
        println!(
            "{name}: {:.0} ns, {:.0} on a processor, {:.3} allocations a round trip",
            per_trip(elapsed.as_nanos() as f64),
            per_trip(cpu_ns),
            per_trip((change.allocations + change.reallocations) as f64),
        );
    }
    true
}

fn benches_or_profile(criterion: &mut Criterion) {
    if !profile() {
        request(criterion);
    }
}

criterion_group!(benches, benches_or_profile);
criterion_main!(benches);

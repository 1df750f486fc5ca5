//! What a scrape costs: 5,000 series, the reports of 455 pools of memory, as Prometheus' text and
//! as JSON.

use criterion::{Criterion, criterion_group, criterion_main};
use turbopump_core::pool::{ClassLayout, Layout};
use turbopump_std::memory::BufferPool;
use turbopump_std::monitor::Sources;

/// One pool of one class has eleven series.
const POOLS: usize = 455;

fn scrapes(criterion: &mut Criterion) {
    let sources = Sources::new();
    for number in 0..POOLS {
        let pool = BufferPool::new(&Layout::constant(&[ClassLayout::new(64, 1)]));
        drop(pool.acquire(1));
        let label = format!("pool {number}");
        let registered = sources.register(&[("pool", &label)], move || pool.report());
        registered.expect("a label that can be one").forever();
    }
    let page = sources.snapshot().to_prometheus().expect("all sources are well");
    let series = page.lines().filter(|line| !line.starts_with('#')).count();
    assert!((5_000..5_100).contains(&series), "{series}");
    let mut group = criterion.benchmark_group("monitor/5000 series");
    group.bench_function("snapshot", |b| b.iter(|| sources.snapshot()));
    group.bench_function("Prometheus", |b| b.iter(|| sources.snapshot().to_prometheus()));
    group.bench_function("JSON", |b| b.iter(|| sources.snapshot().to_json()));
    group.finish();
}

criterion_group!(benches, scrapes);
criterion_main!(benches);

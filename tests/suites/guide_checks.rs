//! The first two regression checks of the guide, with its thresholds.
//!
//! Both are about a hundred times what is needed, so that they also hold where the compiler does
//! not optimise. The best of a few attempts counts: other programs may have the cores meanwhile.

use core::time::Duration;
use std::time::Instant;

use turbopump_core::batch::{Accumulator, Batch, BatchConfig, BatchStorage, run};
use turbopump_core::time::Clock as _;
use turbopump_std::clock::SystemClock;
use turbopump_std::memory::BufferPool;

const ATTEMPTS: usize = 5;

fn best_of_attempts(mut work: impl FnMut()) -> Duration {
    let attempts = (0..ATTEMPTS).map(|_| {
        let start = Instant::now();
        work();
        start.elapsed()
    });
    attempts.min().unwrap_or(Duration::MAX)
}

#[test]
fn ten_thousand_pool_operations_within_100_ms() {
    let pool = BufferPool::standard();
    let taken = best_of_attempts(|| {
        for number in 0..10_000_usize {
            let mut lease = pool.acquire(1_024).expect("one is free");
            lease.extend_from_slice(&number.to_ne_bytes()).expect("it fits");
        }
    });
    assert_eq!(pool.stats().acquisitions, ATTEMPTS * 10_000);
    assert!(taken <= Duration::from_millis(100), "{taken:?}");
}

#[test]
fn a_thousand_batched_items_within_50_ms() {
    let (config, clock) = (BatchConfig::default(), SystemClock::new());
    let mut batcher = Accumulator::new(config, BatchStorage::on_heap(&config), 1).expect("fits");
    let mut batch = Batch::on_heap(&config);
    let (mut processed, mut settled) = (0, 0);
    let taken = best_of_attempts(|| {
        for number in 0..1_000_u64 {
            batcher.push(clock.now(), number, 8).expect("there is room");
            if number % 100 == 99 {
                let mut count = |batch: &mut Batch<'_, u64>| processed += batch.len();
                run(&mut batcher, &clock, &mut batch, &mut count, |_, _| settled += 1)
                    .expect("the batch is large enough");
            }
        }
    });
    assert_eq!((processed, settled), (ATTEMPTS * 1_000, ATTEMPTS * 1_000));
    assert!(taken <= Duration::from_millis(50), "{taken:?}");
}

//! The regression checks of the guide, with its thresholds.
//!
//! Those of memory and batches are about a hundred times what is needed, so that they also hold
//! where the compiler does not optimise. That of connections is about three times what the
//! operating system needs for them alone. The best of a few attempts counts: other programs may
//! have the cores meanwhile.

use core::net::SocketAddr;
use core::time::Duration;
use std::time::Instant;

use socket2::{Domain, Socket, Type};
use turbopump_core::batch::{Accumulator, Batch, BatchConfig, BatchStorage, run};
use turbopump_core::time::Clock as _;
use turbopump_std::clock::SystemClock;
use turbopump_std::memory::BufferPool;
use turbopump_std::net::{ConnectionPool, PoolSettings};

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

#[test]
fn a_thousand_connections_within_200_ms() {
    let (mut opening, mut fetching) = (Duration::MAX, Duration::MAX);
    for _ in 0..ATTEMPTS {
        let (opened, fetched) = open_and_fetch();
        (opening, fetching) = (opening.min(opened), fetching.min(fetched));
        if opening <= Duration::from_millis(200) && fetching <= opening / 10 {
            break;
        }
    }
    assert!(opening <= Duration::from_millis(200), "{opening:?}");
    assert!(fetching <= opening / 10, "reuse took {fetching:?}, opening {opening:?}");
}

/// Opens a thousand connections through a pool, then fetches them all.
fn open_and_fetch() -> (Duration, Duration) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    // Nobody accepts them: that is the operating system's part until its queue is full.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
    socket.listen(2 * CONNECTIONS as i32).expect("listens");
    let address = socket.local_addr().expect("an address").as_socket().expect("of IPv4");
    let backend = turbopump::tokio::Backend::on(runtime.handle().clone());
    let mut settings = PoolSettings::default();
    settings.connections_max = CONNECTIONS;
    let pool = ConnectionPool::new(backend, address.into(), settings).expect("settings");
    let mut fetched = Vec::with_capacity(CONNECTIONS as usize);

    let start = Instant::now();
    let opened = runtime.block_on(pool.warm_up(CONNECTIONS));
    let opening = start.elapsed();
    assert_eq!(opened, CONNECTIONS);

    let start = Instant::now();
    runtime.block_on(async {
        for _ in 0..CONNECTIONS {
            fetched.push(pool.get().await.expect("one is idle"));
        }
    });
    let fetching = start.elapsed();
    assert_eq!(pool.status().connections.opened, u64::from(CONNECTIONS), "none is opened twice");
    (opening, fetching)
}

const CONNECTIONS: u32 = 1_000;

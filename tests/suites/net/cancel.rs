//! Futures dropped anywhere, tasks too: nothing is lost.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;

use turbopump_core::link::pool::Retired;
use turbopump_std::backend::Endpoint;
use turbopump_std::net::{ConnectionPool, PoolSettings};
use turbopump_tests::mock::{Counts, Faults, Mock};

type Pool = ConnectionPool<Mock>;

/// What one user does, from checkout to return.
async fn use_a_connection(pool: Pool, mock: Mock) {
    let Ok(mut connection) = pool.get_within(Duration::from_secs(60)).await else { return };
    let body = [7; 3_000];
    let mut echo = [0; 3_000];
    connection.begin_exchange();
    let what = mock.below(4);
    if what == 0 && connection.write(&body).await.is_ok() {
        if connection.read_exact(&mut echo).await.is_ok() {
            assert!(echo == body, "nobody else's bytes");
        }
    } else if what == 1 && connection.write_compressed(&body).await.is_ok() {
        let mut into = Vec::new();
        if connection.read_decompressed(&mut into).await.is_ok() {
            assert!(into == body, "nobody else's bytes");
        }
    } else if what == 2 {
        return connection.discard();
    }
    connection.end_exchange();
}

/// Polls up to `polls` times, with all tasks in between, and drops the future where it is then.
fn run(mock: &Mock, future: impl Future<Output = ()>, polls: u64) -> bool {
    let mut future = Box::pin(future);
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..polls {
        if let Poll::Ready(()) = Pin::new(&mut future).poll(&mut cx) {
            return true;
        }
        mock.poll_tasks();
    }
    false
}

fn settings() -> PoolSettings {
    let mut settings = PoolSettings::default();
    settings.connections_max = 2;
    settings.check_after = Duration::ZERO;
    settings.backoff_min = Duration::from_millis(1);
    settings.backoff_max = Duration::from_millis(1);
    settings
}

fn new_pool(mock: &Mock) -> Pool {
    ConnectionPool::new(mock.clone(), Endpoint::new("peer.example", 1), settings()).unwrap()
}

/// Nothing but the keeper and idle connections is left.
fn is_at_rest(mock: &Mock, pool: &Pool) {
    let mut rounds = 0;
    while pool.status().connections.dialing > 0 {
        mock.poll_tasks();
        rounds += 1;
        assert!(rounds < 100_000, "a dial never ends");
    }
    let counts = pool.status().connections;
    assert_eq!((counts.active, counts.waiting), (0, 0));
    assert_eq!(mock.counts().halves, 2 * counts.idle as usize, "sockets of idle connections");
    assert!(mock.counts().timers <= 1, "the keeper's");
    assert_eq!(mock.tasks(), 1, "the keeper");
}

fn ends_with_nothing(mock: &Mock, pool: Pool) {
    let closing = pool.clone();
    let closed = run(mock, async move { closing.close().await }, 1_000);
    assert!(closed);
    let counts = pool.status().connections;
    let closed: u64 = Retired::ALL.iter().map(|reason| counts.closed(*reason)).sum();
    assert_eq!(counts.opened, closed);
    drop(pool);
    mock.poll_tasks();
    assert_eq!((mock.counts(), mock.tasks()), (Counts::default(), 0));
}

#[test]
fn dropped_at_every_await_point_ten_thousand_times() {
    let faults = Faults { pends: 300, fragments: 300, dial_fails: 20, io_fails: 1 };
    let seed = 1;
    let mock = Mock::new(seed, faults);
    let pool = new_pool(&mock);
    let mut finished = 0;
    for round in 0..10_000 {
        // Most are dropped early, a few never.
        let polls = 1 << mock.below(13);
        let user = use_a_connection(pool.clone(), mock.clone());
        finished += u32::from(run(&mock, user, polls));
        if round % 100 == 0 {
            is_at_rest(&mock, &pool);
        }
    }
    assert!((500..9_500).contains(&finished), "seed {seed}: {finished}");
    is_at_rest(&mock, &pool);
    ends_with_nothing(&mock, pool);
}

#[test]
fn many_users_dropped_at_once_and_tasks_dropped_with_them() {
    for seed in 0..300 {
        let faults = Faults { pends: 200, fragments: 10, dial_fails: 100, io_fails: 5 };
        let mock = Mock::new(seed, faults);
        let pool = new_pool(&mock);
        let mut users: Vec<_> =
            (0..8).map(|_| Some(Box::pin(use_a_connection(pool.clone(), mock.clone())))).collect();
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..200 {
            let which = mock.below(8) as usize;
            let user = &mut users[which];
            let is_done = match user {
                Some(running) => running.as_mut().poll(&mut cx).is_ready(),
                None => false,
            };
            if is_done || mock.below(20) == 0 {
                *user = Some(Box::pin(use_a_connection(pool.clone(), mock.clone())));
            }
            mock.poll_tasks();
            // The keeper is the first task; only dials are dropped.
            if mock.tasks() > 1 && mock.below(20) == 0 {
                mock.drop_a_dial();
            }
        }
        drop(users);
        is_at_rest(&mock, &pool);
        ends_with_nothing(&mock, pool);
    }
}

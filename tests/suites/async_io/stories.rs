//! One behaviour each, on every backend.

use alloc::sync::Arc;
use core::future::Future;
use core::net::{Ipv4Addr, SocketAddr};
use core::pin::pin;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::{Context, Waker};
use core::time::Duration;
use std::sync::Mutex;
use std::time::Instant;

use smol::future::{yield_now, zip};
use smol::io::{AsyncReadExt, AsyncWriteExt};
use turbopump_core::stats::text;
use turbopump_std::backend::{Backend, SocketOptions};
use turbopump_std::net::async_io::{
    AsyncIo, AsyncIoConfig, Finished, IoTask, IoTaskError, Joined, OnFinished, RefusedReason,
};

use crate::connections::{Census, Connection, Habit};
use crate::{chunk, on_every_backend, room};

on_every_backend![
    a_full_manager_gives_the_task_back,
    a_panicking_callback_harms_nobody,
    an_early_deadline_is_not_held_up_by_a_late_one,
    answers_come_back_over_sockets,
    connections_come_back_unless_something_is_half_done,
    dropped_futures_stop_their_tasks,
    silent_peers_hold_up_nobody,
    stopping_does_what_was_accepted,
    tasks_time_out_in_the_queue_and_at_work,
    the_last_handle_lets_tasks_finish,
];

fn config(change: impl FnOnce(&mut AsyncIoConfig)) -> AsyncIoConfig {
    let mut config = AsyncIoConfig::default();
    change(&mut config);
    config
}

/// One task at a time.
fn one_by_one() -> AsyncIoConfig {
    config(|config| (config.workers, config.worker_tasks_max) = (1, 1))
}

async fn until(condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(20), "never came true");
        yield_now().await;
    }
}

async fn connections_come_back_unless_something_is_half_done<B: Backend>(backend: B) {
    let census = Arc::new(Census::default());
    let io = AsyncIo::start(&backend, &AsyncIoConfig::default()).unwrap();
    let submit = |task| io.submit(task).unwrap();
    for habit in [Habit::Instant, Habit::Slow] {
        let finished = submit(IoTask::write(census.connection(habit), chunk(b"hello"))).await;
        assert_eq!(finished.result.unwrap(), 5);
        assert!(finished.buffer.is_none());
        let connection = finished.connection.unwrap();
        let finished = submit(IoTask::read_at_least(connection, room(64), 9)).await;
        let read = finished.result.unwrap();
        assert!(read >= 9 && finished.connection.is_some());
        assert_eq!(finished.buffer.unwrap()[..], vec![7; read]);
    }
    assert_eq!((census.alive(), census.abandoned()), (0, 0));

    // What has no room is not asked for.
    let lease = room(64);
    let all = lease.spare();
    let finished = submit(IoTask::read_at_least(census.connection(Habit::Slow), lease, 1 << 20));
    assert_eq!(finished.await.result.unwrap(), all);

    let finished = submit(IoTask::write(census.connection(Habit::Broken), chunk(b"hello"))).await;
    assert!(matches!(finished.result, Err(IoTaskError::Io(_))));
    assert!(finished.connection.is_none());
    let finished = submit(IoTask::read(census.connection(Habit::Ended), room(64))).await;
    assert!(matches!(finished.result, Err(IoTaskError::PeerClosed { bytes: 0 })));
    assert!(finished.connection.is_none() && finished.buffer.is_some());
    let stalls = census.connection(Habit::Stalls);
    let task = IoTask::write(stalls, chunk(b"hello")).within(Duration::from_millis(5));
    let finished = submit(task).await;
    assert!(matches!(finished.result, Err(IoTaskError::TimedOut { begun: true })));
    assert!(finished.connection.is_none());
    assert_eq!((census.alive(), census.abandoned()), (0, 3));
    // Of this one the peer has not seen a byte.
    let silent = census.connection(Habit::Silent);
    let task = IoTask::write(silent, chunk(b"hello")).within(Duration::from_millis(5));
    assert!(submit(task).await.connection.is_some());
    assert_eq!((census.alive(), census.abandoned()), (0, 3));
    let stats = io.stats();
    assert_eq!((stats.succeeded.get(), stats.failed.get(), stats.timed_out.get()), (5, 2, 2));
    assert_eq!(stats.completed(), stats.submitted.get());

    let mut page = String::new();
    text::write_prometheus(&[&stats], &[("io", "test")], &mut page).unwrap();
    let line = "turbopump_async_io_completed_total{outcome=\"timed_out\",io=\"test\"} 2\n";
    assert!(page.contains(line), "{page}");
}

async fn a_full_manager_gives_the_task_back<B: Backend>(backend: B) {
    let census = Arc::new(Census::default());
    let io = AsyncIo::start(&backend, &config(|config| config.tasks_max = 3)).unwrap();
    let task = |habit| IoTask::write(census.connection(habit), chunk(b"x"));
    let waiting: Vec<_> = (0..3).map(|_| io.submit(task(Habit::Silent)).unwrap()).collect();
    let refused = io.submit(task(Habit::Instant)).unwrap_err();
    assert_eq!(refused.reason, RefusedReason::Full);
    drop(waiting);
    until(|| io.stats().running.get() == 0).await;
    assert_eq!(io.submit(refused.task).unwrap().await.result.unwrap(), 1);
    assert_eq!(io.stats().refused.get(), 1);
    io.stop().await;
    let refused = io.submit(task(Habit::Instant)).unwrap_err();
    assert_eq!(refused.reason, RefusedReason::Stopped);
    drop(refused);
    assert_eq!(census.alive(), 0);
}

async fn stopping_does_what_was_accepted<B: Backend>(backend: B) {
    let census = Arc::new(Census::default());
    let io = AsyncIo::start(&backend, &one_by_one()).unwrap();
    let tasks: Vec<_> = (0..50)
        .map(|_| io.submit(IoTask::write(census.connection(Habit::Slow), chunk(b"hello"))).unwrap())
        .collect();
    zip(io.stop(), io.clone().stop()).await;
    assert_eq!((io.stats().succeeded.get(), io.stats().queued.get()), (50, 0));
    // Results wait for those who ask late.
    for task in tasks {
        assert_eq!(task.await.result.unwrap(), 5);
    }
    io.stop().await;
}

async fn the_last_handle_lets_tasks_finish<B: Backend>(backend: B) {
    let census = Arc::new(Census::default());
    let io = AsyncIo::start(&backend, &one_by_one()).unwrap();
    let called = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&called);
    let callback: Arc<dyn OnFinished<Connection>> =
        Arc::new(move |_: u64, finished: Finished<Connection>| {
            assert_eq!(finished.result.unwrap(), 5);
            count.fetch_add(1, Ordering::SeqCst);
        });
    for number in 0..20 {
        let task = IoTask::write(census.connection(Habit::Slow), chunk(b"hello"));
        io.submit_with(task, number, Arc::clone(&callback)).unwrap();
    }
    drop(io);
    until(|| called.load(Ordering::SeqCst) == 20 && Arc::strong_count(&callback) == 1).await;
}

async fn a_panicking_callback_harms_nobody<B: Backend>(backend: B) {
    let census = Arc::new(Census::default());
    let io = AsyncIo::start(&backend, &one_by_one()).unwrap();
    let numbers = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&numbers);
    let callback: Arc<dyn OnFinished<Connection>> =
        Arc::new(move |number: u64, finished: Finished<Connection>| {
            seen.lock().unwrap().push(number);
            drop(finished);
            // Not by panic!, whose message would look like a failure in the test's output.
            if number.is_multiple_of(2) {
                std::panic::resume_unwind(Box::new("callback"));
            }
        });
    for number in 0..20 {
        let task = IoTask::write(census.connection(Habit::Instant), chunk(b"x"));
        io.submit_with(task, number, Arc::clone(&callback)).unwrap();
    }
    io.stop().await;
    assert_eq!(*numbers.lock().unwrap(), (0..20).collect::<Vec<_>>());
    assert_eq!((io.stats().callback_panics.get(), io.stats().succeeded.get()), (10, 20));
    assert_eq!(census.alive(), 0);
}

async fn tasks_time_out_in_the_queue_and_at_work<B: Backend>(backend: B) {
    let census = Arc::new(Census::default());
    let io = AsyncIo::start(&backend, &one_by_one()).unwrap();
    let started = Instant::now();
    let task = |within| {
        let task = IoTask::read(census.connection(Habit::Silent), room(64));
        io.submit(task.within(Duration::from_millis(within))).unwrap()
    };
    let (running, queued, at_once) = (task(40), task(20), task(0));
    // Whoever is asked first, each ends at its own time.
    let finished = at_once.await;
    assert!(matches!(finished.result, Err(IoTaskError::TimedOut { begun: false })));
    let finished = queued.await;
    assert!(matches!(finished.result, Err(IoTaskError::TimedOut { begun: false })));
    assert!(finished.connection.is_some(), "nothing was done on it");
    assert!(started.elapsed() >= Duration::from_millis(20));
    let finished = running.await;
    assert!(matches!(finished.result, Err(IoTaskError::TimedOut { begun: true })));
    assert!(finished.connection.is_none());
    assert!(started.elapsed() >= Duration::from_millis(40));
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(io.stats().timed_out.get(), 3);
}

async fn an_early_deadline_is_not_held_up_by_a_late_one<B: Backend>(backend: B) {
    let census = Arc::new(Census::default());
    let io = AsyncIo::start(&backend, &AsyncIoConfig::default()).unwrap();
    let task = |seconds| {
        let task = IoTask::read(census.connection(Habit::Silent), room(64));
        io.submit(task.within(Duration::from_secs_f64(seconds))).unwrap()
    };
    let late = task(1e9);
    until(|| io.stats().running.get() == 1).await;
    let started = Instant::now();
    let finished = task(0.01).await;
    assert!(matches!(finished.result, Err(IoTaskError::TimedOut { .. })));
    assert!(started.elapsed() < Duration::from_secs(5));
    drop(late);
    io.stop().await;
    assert_eq!((io.stats().cancelled.get(), census.alive()), (1, 0));
}

async fn silent_peers_hold_up_nobody<B: Backend>(backend: B) {
    let census = Arc::new(Census::default());
    let io = AsyncIo::start(&backend, &config(|config| config.workers = 1)).unwrap();
    let silent: Vec<_> = (0..31)
        .map(|_| io.submit(IoTask::read(census.connection(Habit::Silent), room(64))).unwrap())
        .collect();
    for _ in 0..100 {
        let task = IoTask::write(census.connection(Habit::Slow), chunk(b"hello"));
        assert_eq!(io.submit(task).unwrap().await.result.unwrap(), 5);
    }
    assert_eq!(io.stats().running.get(), 31);
    drop(silent);
    io.stop().await;
}

async fn dropped_futures_stop_their_tasks<B: Backend>(backend: B) {
    let census = Arc::new(Census::default());
    let io = AsyncIo::start(&backend, &one_by_one()).unwrap();
    let task = |habit| io.submit(IoTask::read(census.connection(habit), room(64))).unwrap();
    let (running, queued, behind) =
        (task(Habit::Silent), task(Habit::Instant), task(Habit::Instant));
    until(|| io.stats().running.get() == 1).await;
    {
        // Whether it was asked before makes no difference.
        let mut running = pin!(running);
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(running.as_mut().poll(cx).is_pending());
        drop(queued);
        assert_eq!((io.stats().cancelled.get(), io.stats().queued.get()), (1, 1));
    }
    assert_eq!(behind.await.result.unwrap(), 64);
    assert_eq!((io.stats().cancelled.get(), census.abandoned()), (2, 1));
    assert_eq!(census.alive(), 0);
    // One that is done and not asked.
    let done = task(Habit::Instant);
    until(|| io.stats().succeeded.get() == 2).await;
    drop(done);
    assert_eq!((io.stats().cancelled.get(), census.alive()), (2, 0));
    io.stop().await;
}

async fn answers_come_back_over_sockets<B: Backend>(backend: B) {
    const CONNECTIONS: usize = 16;
    let options = SocketOptions::default();
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut listener = backend.listen(at).await.unwrap();
    let to = B::local_address(&listener).unwrap();
    let io = AsyncIo::start(&backend, &AsyncIoConfig::default()).unwrap();
    let (done, all_done) = smol::channel::bounded(CONNECTIONS);
    for number in 0..CONNECTIONS {
        let (near, far) = zip(backend.dial(to, &options), B::accept(&mut listener, &options)).await;
        let (mut reader, mut writer, _) = far.unwrap();
        backend.spawn(async move {
            let mut bytes = [0; 1_024];
            while let Ok(count @ 1..) = reader.read(&mut bytes).await {
                writer.write_all(&bytes[..count]).await.unwrap();
            }
        });
        let (reader, writer) = near.unwrap();
        let (io, done) = (io.clone(), done.clone());
        backend.spawn(async move {
            let mut connection = Joined::new(reader, writer);
            for round in 0..100 {
                let said = format!("{number} says {round}");
                let task = IoTask::write(connection, chunk(said.as_bytes()));
                connection = io.submit(task).unwrap().await.connection.unwrap();
                let task = IoTask::read_at_least(connection, room(64), said.len());
                let finished = io.submit(task).unwrap().await;
                assert_eq!(&finished.buffer.unwrap()[..], said.as_bytes());
                connection = finished.connection.unwrap();
            }
            done.send(()).await.unwrap();
        });
    }
    for _ in 0..CONNECTIONS {
        all_done.recv().await.unwrap();
    }
    io.stop().await;
    let stats = io.stats();
    assert_eq!(stats.succeeded.get(), 2 * 100 * CONNECTIONS as u64);
    assert_eq!(stats.completed(), stats.submitted.get());
}

#[test]
fn sizes_out_of_range_are_refused() {
    let changes: [fn(&mut AsyncIoConfig); 6] = [
        |config| config.workers = 0,
        |config| config.workers = 65,
        |config| config.worker_tasks_max = 0,
        |config| config.worker_tasks_max = 63,
        |config| config.tasks_max = 0,
        |config| config.tasks_max = u32::MAX,
    ];
    let backend = turbopump::smol::Backend::new();
    for change in changes {
        let error = AsyncIo::<Connection>::start(&backend, &config(change)).unwrap_err();
        assert!(error.to_string().contains("set it to 1 to "), "{error}");
    }
    let largest = config(|config| (config.workers, config.worker_tasks_max) = (64, 62));
    let io = AsyncIo::<Connection>::start(&backend, &largest).unwrap();
    smol::block_on(io.stop());
}

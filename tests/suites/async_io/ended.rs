//! When the workers' runtime ends, their tasks end with it.

use alloc::sync::Arc;

use smol::Executor;
use turbopump_std::net::async_io::{
    AsyncIo, AsyncIoConfig, Finished, IoTask, IoTaskError, OnFinished, RefusedReason,
};

use crate::connections::{Census, Connection, Habit};
use crate::room;

/// Two tasks at work, two in the queue, a callback and a future of each.
struct Outstanding {
    io: AsyncIo<Connection>,
    census: Arc<Census>,
    futures: Vec<turbopump_std::net::async_io::IoFuture<Connection>>,
    called: smol::channel::Receiver<(u64, Finished<Connection>)>,
}

impl Outstanding {
    fn new(io: AsyncIo<Connection>) -> Self {
        let census = Arc::new(Census::default());
        let task = || IoTask::read(census.connection(Habit::Silent), room(64));
        let (call, called) = smol::channel::unbounded();
        let callback: Arc<dyn OnFinished<Connection>> =
            Arc::new(move |number: u64, finished: Finished<Connection>| {
                call.try_send((number, finished)).unwrap();
            });
        let mut futures = Vec::new();
        for number in 0..2 {
            futures.push(io.submit(task()).unwrap());
            io.submit_with(task(), number, Arc::clone(&callback)).unwrap();
        }
        Self { io, census, futures, called }
    }

    fn all_end(self) {
        for (number, future) in self.futures.into_iter().enumerate() {
            let finished = smol::block_on(future);
            assert!(matches!(finished.result, Err(IoTaskError::RuntimeEnded)));
            let (called, finished) = smol::block_on(self.called.recv()).unwrap();
            assert_eq!(called, number as u64);
            assert!(matches!(finished.result, Err(IoTaskError::RuntimeEnded)));
        }
        assert_eq!(self.census.alive(), 0);
        let stats = self.io.stats();
        assert_eq!((stats.ended.get(), stats.completed()), (4, 4));
        assert_eq!((stats.queued.get(), stats.running.get()), (0, 0));
        let task = IoTask::read(self.census.connection(Habit::Instant), room(64));
        let refused = self.io.submit(task).unwrap_err();
        assert_eq!(refused.reason, RefusedReason::RuntimeEnded);
        drop(refused);
        assert_eq!(self.census.alive(), 0);
        smol::block_on(self.io.stop());
    }
}

fn two_at_a_time() -> AsyncIoConfig {
    let mut config = AsyncIoConfig::default();
    (config.workers, config.worker_tasks_max) = (2, 1);
    config
}

fn wait_until_two_run(outstanding: &Outstanding) {
    while outstanding.io.stats().running.get() < 2 {
        std::thread::yield_now();
    }
}

#[test]
fn with_a_tokio_runtime_of_many_threads() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let backend = turbopump::tokio::Backend::on(runtime.handle().clone());
    let outstanding = Outstanding::new(AsyncIo::start(&backend, &two_at_a_time()).unwrap());
    wait_until_two_run(&outstanding);
    let ends = std::thread::spawn(move || outstanding.all_end());
    drop(runtime);
    ends.join().unwrap();
}

#[test]
fn with_a_tokio_runtime_that_never_ran() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let backend = turbopump::tokio::Backend::on(runtime.handle().clone());
    let outstanding = Outstanding::new(AsyncIo::start(&backend, &two_at_a_time()).unwrap());
    drop(runtime);
    outstanding.all_end();
}

#[test]
fn with_a_tokio_runtime_that_had_ended_before() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let backend = turbopump::tokio::Backend::on(runtime.handle().clone());
    drop(runtime);
    let io = AsyncIo::start(&backend, &two_at_a_time()).unwrap();
    let census = Arc::new(Census::default());
    let refused = io.submit(IoTask::read(census.connection(Habit::Instant), room(64)));
    assert_eq!(refused.unwrap_err().reason, RefusedReason::RuntimeEnded);
    smol::block_on(io.stop());
}

#[test]
fn with_an_executor_of_smol() {
    let executor = Arc::new(Executor::new());
    let backend = turbopump::smol::Backend::on(&executor);
    let outstanding = Outstanding::new(AsyncIo::start(&backend, &two_at_a_time()).unwrap());
    while outstanding.io.stats().running.get() < 2 {
        assert!(executor.try_tick());
    }
    drop(executor);
    outstanding.all_end();
}

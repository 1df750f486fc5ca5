//! A hundred thousand tasks, in every mixture of habits, time-outs and cancellations.

use alloc::sync::Arc;
use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use core::task::{Context, Waker};
use core::time::Duration;
use std::io::ErrorKind;

use smol::future::yield_now;
use turbopump_core::random::SplitMix64;
use turbopump_core::stats::Distribution;
use turbopump_std::backend::Backend;
use turbopump_std::net::async_io::{
    AsyncIo, AsyncIoConfig, Finished, IoTask, IoTaskError, OnFinished, RefusedReason,
};

use crate::connections::{Census, Connection, Habit};
use crate::{chunk, room};

/// A task and its number.
type Pending = (u64, Pin<Box<dyn Future<Output = Finished<Connection>> + Send>>);

const TASKS: u64 = 100_000;
const SUBMITTERS: u64 = 8;
const SEED: u64 = 0x5EED;

turbopump_tests::on_every_backend![every_task_completes_exactly_once];

/// How often each task was heard of, and what of.
struct Ledger {
    heard: Box<[AtomicU8]>,
    succeeded: AtomicU64,
    timed_out: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
}

impl Ledger {
    fn hear(&self, number: u64, finished: &Finished<Connection>) {
        self.heard[number as usize].fetch_add(1, Ordering::SeqCst);
        let counter = match &finished.result {
            Ok(_) => &self.succeeded,
            Err(IoTaskError::TimedOut { .. }) => &self.timed_out,
            Err(IoTaskError::Io(error)) if error.kind() == ErrorKind::ConnectionReset => {
                &self.failed
            }
            Err(IoTaskError::PeerClosed { .. }) => &self.failed,
            // A write to what has ended.
            Err(IoTaskError::Io(error)) if error.kind() == ErrorKind::WriteZero => &self.failed,
            Err(error) => panic!("task {number}: {error}"),
        };
        counter.fetch_add(1, Ordering::SeqCst);
    }
}

impl OnFinished<Connection> for Ledger {
    fn on_finished(&self, number: u64, finished: Finished<Connection>) {
        self.hear(number, &finished);
    }
}

async fn every_task_completes_exactly_once<B: Backend>(backend: B) {
    let census = Arc::new(Census::default());
    let mut config = AsyncIoConfig::default();
    config.tasks_max = 256;
    let io = AsyncIo::start(&backend, &config).unwrap();
    let ledger = Arc::new(Ledger {
        heard: (0..TASKS).map(|_| AtomicU8::new(0)).collect(),
        succeeded: AtomicU64::new(0),
        timed_out: AtomicU64::new(0),
        failed: AtomicU64::new(0),
        dropped: AtomicU64::new(0),
    });
    let (done, all_done) = smol::channel::bounded(SUBMITTERS as usize);
    for submitter in 0..SUBMITTERS {
        let (io, census, ledger) = (io.clone(), Arc::clone(&census), Arc::clone(&ledger));
        let done = done.clone();
        backend.spawn(async move {
            submit_share(&io, &census, &ledger, submitter).await;
            done.send(()).await.unwrap();
        });
    }
    for _ in 0..SUBMITTERS {
        all_done.recv().await.unwrap();
    }
    io.stop().await;

    let stats = io.stats();
    let seed = format!("seed {SEED:#x}: {stats:?}");
    assert_eq!((stats.submitted.get(), stats.completed()), (TASKS, TASKS), "{seed}");
    assert_eq!((stats.queued.get(), stats.running.get()), (0, 0), "{seed}");
    let heard: u64 = ledger.heard.iter().map(|heard| u64::from(heard.load(Ordering::SeqCst))).sum();
    assert!(ledger.heard.iter().all(|heard| heard.load(Ordering::SeqCst) <= 1), "{seed}");
    let dropped = ledger.dropped.load(Ordering::SeqCst);
    assert_eq!(heard + dropped, TASKS, "{seed}");
    assert!(stats.cancelled.get() > 0 && stats.cancelled.get() <= dropped, "{seed}");
    let of_those_heard = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
    assert!(of_those_heard(&ledger.timed_out) > 1_000, "{seed}");
    assert!(of_those_heard(&ledger.succeeded) > 50_000, "{seed}");
    assert!(of_those_heard(&ledger.failed) > 1_000, "{seed}");
    assert_eq!(stats.latency_us.count(), TASKS, "{seed}");
    assert_eq!(census.alive(), 0, "{seed}");
}

async fn submit_share(
    io: &AsyncIo<Connection>,
    census: &Arc<Census>,
    ledger: &Arc<Ledger>,
    submitter: u64,
) {
    let mut random = SplitMix64::new(SEED + submitter);
    let mut below = move |bound: u64| random.below(bound);
    let callback: Arc<dyn OnFinished<Connection>> = Arc::<Ledger>::clone(ledger);
    let mut pending: Vec<Pending> = Vec::new();
    let mut number = submitter;
    while number < TASKS {
        let habit = match below(100) {
            0..50 => Habit::Instant,
            50..80 => Habit::Slow,
            80..85 => Habit::Silent,
            85..90 => Habit::Stalls,
            90..95 => Habit::Broken,
            _ => Habit::Ended,
        };
        let connection = census.connection(habit);
        let task = match below(2) {
            0 => IoTask::write(connection, chunk(b"hello")),
            _ => IoTask::read_at_least(connection, room(64), 5),
        };
        let within = match habit {
            Habit::Silent | Habit::Stalls => Duration::from_micros(below(5_000)),
            _ => Duration::from_secs(60),
        };
        let mut task = task.within(within);
        let by_callback = below(2) == 0;
        loop {
            let result = if by_callback {
                io.submit_with(task, number, Arc::clone(&callback)).map(|()| None)
            } else {
                io.submit(task).map(Some)
            };
            match result {
                Ok(Some(future)) => pending.push((number, Box::pin(future))),
                Ok(None) => {}
                Err(refused) => {
                    assert_eq!(refused.reason, RefusedReason::Full);
                    task = refused.task;
                    settle_some(&mut pending, ledger, &mut below).await;
                    yield_now().await;
                    continue;
                }
            }
            break;
        }
        if pending.len() >= 12 {
            settle_some(&mut pending, ledger, &mut below).await;
        }
        number += SUBMITTERS;
    }
    while !pending.is_empty() {
        settle_some(&mut pending, ledger, &mut below).await;
    }
}

/// Waits for one of the futures, drops one, after having asked it or not.
async fn settle_some(
    pending: &mut Vec<Pending>,
    ledger: &Ledger,
    below: &mut impl FnMut(u64) -> u64,
) {
    if let Some((number, future)) = pending.pop() {
        ledger.hear(number, &future.await);
    }
    if pending.len() > 2 && below(4) == 0 {
        let (number, mut future) = pending.swap_remove(below(pending.len() as u64) as usize);
        if below(2) == 0 {
            let cx = &mut Context::from_waker(Waker::noop());
            if let core::task::Poll::Ready(finished) = future.as_mut().poll(cx) {
                return ledger.hear(number, &finished);
            }
        }
        drop(future);
        ledger.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

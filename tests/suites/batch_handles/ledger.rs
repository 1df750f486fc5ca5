//! A handler that keeps account of every item.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use turbopump_core::batch::{Batch, Outcome, Settled};
use turbopump_std::batch::BatchHandler;

/// What to do with an item at an attempt, counted from 0.
pub(crate) type Plan = fn(item: u64, attempt: u32) -> Do;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Do {
    Succeed,
    Fail,
    Again,
    /// The whole call panics.
    Panic,
    /// The whole call waits until somebody else has had a turn.
    Yield,
}

/// Items are numbers below its length.
pub(crate) struct Ledger {
    plan: Plan,
    settled: Box<[AtomicU32]>,
    handled: AtomicU64,
    done: AtomicU64,
    given_up: AtomicU64,
    batches: AtomicU64,
}

#[derive(Clone)]
pub(crate) struct Keeper(pub(crate) Arc<Ledger>);

impl Keeper {
    pub(crate) fn new(items: u64, plan: Plan) -> Self {
        Self(Arc::new(Ledger {
            plan,
            settled: (0..items).map(|_| AtomicU32::new(0)).collect(),
            handled: AtomicU64::new(0),
            done: AtomicU64::new(0),
            given_up: AtomicU64::new(0),
            batches: AtomicU64::new(0),
        }))
    }

    pub(crate) fn done(&self) -> u64 {
        self.0.done.load(Ordering::SeqCst)
    }

    pub(crate) fn given_up(&self) -> u64 {
        self.0.given_up.load(Ordering::SeqCst)
    }

    pub(crate) fn batches(&self) -> u64 {
        self.0.batches.load(Ordering::SeqCst)
    }

    /// Every item below the length, once.
    pub(crate) fn assert_each_once(&self) {
        let times = |times: &AtomicU32| times.load(Ordering::SeqCst);
        let wrong = self.0.settled.iter().position(|settled| times(settled) != 1);
        if let Some(item) = wrong {
            panic!("item {item} was settled {} times", times(&self.0.settled[item]));
        }
    }
}

impl BatchHandler<u64> for Keeper {
    async fn handle(&self, batch: &mut Batch<'static, u64>) {
        let ledger = &*self.0;
        ledger.batches.fetch_add(1, Ordering::SeqCst);
        ledger.handled.fetch_add(batch.len() as u64, Ordering::SeqCst);
        let attempt = batch.attempt();
        let mut yields = false;
        for mut entry in &mut *batch {
            match (ledger.plan)(*entry.item(), attempt) {
                Do::Succeed => {}
                Do::Fail => entry.set(Outcome::Failed),
                Do::Again => entry.set(Outcome::Retry),
                Do::Panic => panic!("as planned for item {}", entry.item()),
                Do::Yield => yields = true,
            }
        }
        if yields {
            smol::future::yield_now().await;
        }
    }

    fn settled(&self, item: u64, how: Settled) {
        let ledger = &*self.0;
        ledger.settled[item as usize].fetch_add(1, Ordering::SeqCst);
        match how {
            Settled::Done => ledger.done.fetch_add(1, Ordering::SeqCst),
            _ => ledger.given_up.fetch_add(1, Ordering::SeqCst),
        };
    }
}

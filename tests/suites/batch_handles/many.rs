//! A million items on each runtime, through functions that fail, are slow and panic.

use turbopump_std::backend::Backend;
use turbopump_std::batch::{BatchSender, BatchSettings};

use crate::ledger::{Do, Keeper};
use crate::on_every_runtime;

on_every_runtime![a_million_items_are_settled_once_each];

const ITEMS: u64 = 1_000_000;
const SENDERS: u64 = 4;

fn plan(item: u64, attempt: u32) -> Do {
    match (item % 10_007, attempt) {
        (1, 0) => Do::Panic,
        (2..=20, 0 | 1) => Do::Again,
        (21, _) => Do::Again,
        (22..=24, _) => Do::Fail,
        (25..=400, _) => Do::Yield,
        _ => Do::Succeed,
    }
}

async fn a_million_items_are_settled_once_each<B: Backend>(backend: B) {
    let keeper = Keeper::new(ITEMS, plan);
    let mut settings = BatchSettings::default();
    settings.batch.retry.delay_us = 500;
    settings.batch.linger_us = 500;
    let sender = BatchSender::new(backend.clone(), settings, keeper.clone()).unwrap();
    sender.start().unwrap();
    let done = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    for first in 0..SENDERS {
        let (sender, done) = (sender.clone(), done.clone());
        backend.spawn(async move {
            for item in (first..ITEMS).step_by(SENDERS as usize) {
                sender.send(item).await.unwrap();
            }
            done.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        });
    }
    while done.load(std::sync::atomic::Ordering::SeqCst) < SENDERS {
        smol::future::yield_now().await;
    }
    let report = sender.stop().await;
    assert!(report.in_time && report.unfinished_batches == 0, "{report:?}");
    keeper.assert_each_once();
    let stats = sender.stats();
    assert_eq!(stats.counters.items.get(), ITEMS);
    assert_eq!(stats.counters.succeeded.get(), keeper.done());
    assert_eq!(stats.counters.failed.get(), keeper.given_up());
    assert_eq!(keeper.done() + keeper.given_up(), ITEMS);
    assert!(stats.handler_panics.get() > 0 && stats.counters.retried.get() > 0);
}

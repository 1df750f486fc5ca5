//! A million items on each runtime, through functions that fail, are slow and panic.

use turbopump_core::batch::Batch;
use turbopump_std::backend::Backend;
use turbopump_std::batch::{BatchSender, BatchSettings, handler_fn};

use crate::ledger::{Do, Keeper};
use crate::on_every_runtime;

on_every_runtime![a_million_items_are_settled_once_each, senders_of_any_length_end];

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

/// Many short lives, sent in bulk: each end is another race between sender, worker and keeper.
async fn senders_of_any_length_end<B: Backend>(backend: B) {
    for round in 0..200 {
        let items = 1 + (round * 7_919) % 60_000;
        let handler = handler_fn(|_: &mut Batch<'static, u64>| ());
        let mut settings = BatchSettings::default();
        settings.batch.waiting_max = 1_024;
        settings.workers = 1 + round as usize % 3;
        let sender = BatchSender::new(backend.clone(), settings, handler).unwrap();
        sender.start().unwrap();
        let (ended, sending) = (sender.clone(), sender.clone());
        backend.spawn(async move {
            sending.send_many(&mut (0..items)).await.unwrap();
            drop(sending);
        });
        while ended.stats().counters.items.get() < items {
            smol::future::yield_now().await;
        }
        let report = sender.stop().await;
        assert_eq!((report.failed, report.abandoned, report.lost), (0, 0, 0), "round {round}");
        assert_eq!(sender.stats().counters.succeeded.get(), items, "round {round}");
    }
}

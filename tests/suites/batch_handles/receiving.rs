//! Receivers: pushed to a handler in order, or pulled.

use turbopump_core::batch::Outcome;
use turbopump_std::backend::Backend;
use turbopump_std::batch::{BatchReceiver, BatchSettings};

use crate::ledger::{Do, Keeper};
use crate::on_every_backend;

on_every_backend![batches_are_pulled_and_settled, batches_are_pushed, pulling_ends];

async fn batches_are_pulled_and_settled<B: Backend>(backend: B) {
    let mut settings = BatchSettings::default();
    settings.batch.items_max = 3;
    settings.batch.retry.delay_us = 1_000;
    let (receiver, mut batches) = BatchReceiver::pull(backend, settings).unwrap();
    receiver.receive_many(&mut (0..6_u64)).await.unwrap();
    let mut batch = batches.next().await.unwrap();
    assert!(batch.iter().eq(&[0, 1, 2]));
    for mut entry in batch.iter_mut() {
        if *entry.item() == 1 {
            entry.set(Outcome::Retry);
        }
    }
    drop(batch);
    let batch = batches.next().await.unwrap();
    assert!(batch.iter().eq(&[3, 4, 5]), "{batch:?}");
    drop(batch);
    let batch = batches.next().await.unwrap();
    assert!(batch.iter().eq(&[1]) && batch.attempt() == 1, "{batch:?}");
    drop(batch);
    let counters = receiver.stats().counters;
    assert_eq!((counters.succeeded.get(), counters.retried.get()), (6, 1));
}

async fn batches_are_pushed<B: Backend>(backend: B) {
    let keeper = Keeper::new(100, |_, _| Do::Yield);
    let receiver = BatchReceiver::new(backend, BatchSettings::default(), keeper.clone()).unwrap();
    receiver.start().unwrap();
    receiver.receive_many(&mut (0..100)).await.unwrap();
    let report = receiver.stop().await;
    assert_eq!(report.abandoned, 0);
    keeper.assert_each_once();
}

async fn pulling_ends<B: Backend>(backend: B) {
    let (receiver, mut batches) =
        BatchReceiver::pull(backend.clone(), BatchSettings::default()).unwrap();
    receiver.receive(7_u64).await.unwrap();
    drop(receiver);
    assert_eq!(batches.next().await.unwrap().len(), 1, "what was taken in comes still");
    assert!(batches.next().await.is_none());
    let (receiver, batches) = BatchReceiver::pull(backend, BatchSettings::default()).unwrap();
    receiver.receive(7_u64).await.unwrap();
    drop(batches);
    assert!(receiver.receive(8).await.is_err(), "nobody will ever ask");
    assert_eq!(receiver.stop().await.abandoned, 1);
}

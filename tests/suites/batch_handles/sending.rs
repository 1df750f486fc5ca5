//! Senders: what closes batches, what waits, what is refused, how they stop.

use core::future::Future;
use core::pin::pin;
use core::task::{Context, Waker};
use core::time::Duration;

use turbopump_core::batch::Reason;
use turbopump_std::backend::Backend;
use turbopump_std::batch::{BatchSender, BatchSettings, RefusedReason};

use crate::ledger::{Do, Keeper};
use crate::on_every_backend;

on_every_backend![
    batches_are_closed_by_count_linger_flush_and_the_end,
    items_wait_until_the_sender_is_started,
    who_waits_for_room_gets_it,
    bytes_are_room_too,
    what_is_refused_comes_back,
    dropped_senders_leave_no_trace,
    retries_are_made_and_end,
    a_handler_that_panics_is_tried_again,
    deadlines_are_kept,
    stopping_in_time_gives_up_the_rest,
    a_handle_that_never_ran_gives_everything_up,
    the_last_handle_stops_the_sender,
];

fn settings() -> BatchSettings<u64> {
    let mut settings = BatchSettings::default();
    settings.batch.items_max = 10;
    settings.batch.linger_us = 5_000;
    settings.batch.retry.delay_us = 1_000;
    settings
}

fn is_pending(future: core::pin::Pin<&mut impl Future>) -> bool {
    future.poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

async fn batches_are_closed_by_count_linger_flush_and_the_end<B: Backend>(backend: B) {
    let keeper = Keeper::new(27, |_, _| Do::Succeed);
    let sender = BatchSender::new(backend, settings(), keeper.clone()).unwrap();
    sender.start().unwrap();
    for item in 0..10 {
        sender.send(item).await.unwrap();
    }
    sender.drained().await;
    for item in 10..15 {
        sender.send(item).await.unwrap();
    }
    // Within 5 ms, by itself.
    sender.drained().await;
    for item in 15..20 {
        sender.try_send(item).unwrap();
    }
    sender.flush();
    sender.drained().await;
    let (sent, refused) = sender.try_send_many(&mut (20..27));
    assert_eq!((sent, refused), (7, None));
    let report = sender.stop().await;
    assert_eq!((report.succeeded, report.in_time), (7, true));
    assert_eq!((report.failed, report.abandoned, report.lost), (0, 0, 0));
    keeper.assert_each_once();
    let stats = sender.stats();
    assert_eq!((keeper.done(), keeper.batches()), (27, 4));
    assert_eq!(stats.counters.closed[Reason::Items as usize].get(), 1);
    let slow: u64 = [Reason::Linger, Reason::Flush, Reason::Shutdown]
        .iter()
        .map(|reason| stats.counters.closed[*reason as usize].get())
        .sum();
    assert_eq!(slow, 3);
    assert_eq!((stats.waiting, stats.waiting_bytes, stats.workers), (0, 0, 0));
}

async fn items_wait_until_the_sender_is_started<B: Backend>(backend: B) {
    let keeper = Keeper::new(30, |_, _| Do::Succeed);
    let sender = BatchSender::new(backend, settings(), keeper.clone()).unwrap();
    sender.send_many(&mut (0..30)).await.unwrap();
    assert_eq!((sender.stats().waiting, keeper.batches()), (30, 0));
    sender.start().unwrap();
    sender.start().unwrap();
    sender.drained().await;
    assert_eq!(keeper.batches(), 3);
    sender.stop().await;
    keeper.assert_each_once();
}

async fn who_waits_for_room_gets_it<B: Backend>(backend: B) {
    let keeper = Keeper::new(4, |_, _| Do::Succeed);
    let mut settings = settings();
    settings.batch.waiting_max = 2;
    settings.batch.items_max = 2;
    settings.workers = 1;
    let sender = BatchSender::new(backend, settings, keeper.clone()).unwrap();
    sender.send_many(&mut (0..2)).await.unwrap();
    let mut third = pin!(sender.send(2));
    let mut fourth = pin!(sender.send(3));
    assert!(is_pending(third.as_mut()) && is_pending(fourth.as_mut()));
    let refused = sender.try_send(9).unwrap_err();
    assert!(matches!(refused.reason, RefusedReason::Full { items: 2, .. }), "{refused}");
    sender.start().unwrap();
    // Each has been promised a place as soon as there are two; who comes now stands behind them.
    fourth.await.unwrap();
    third.await.unwrap();
    sender.stop().await;
    keeper.assert_each_once();
}

async fn bytes_are_room_too<B: Backend>(backend: B) {
    let keeper = Keeper::new(5, |_, _| Do::Succeed);
    let mut settings = settings();
    settings.bytes_of = |_| 100;
    settings.waiting_bytes_max = 250;
    let sender = BatchSender::new(backend, settings, keeper.clone()).unwrap();
    let (sent, refused) = sender.try_send_many(&mut (0..5));
    assert_eq!((sent, refused.as_ref().map(|refused| refused.item)), (2, Some(2)));
    let reason = RefusedReason::Full { items: 2, bytes: 200 };
    assert_eq!(refused.map(|refused| refused.reason), Some(reason));
    sender.start().unwrap();
    sender.send_many(&mut (2..5)).await.unwrap();
    sender.stop().await;
    keeper.assert_each_once();
}

async fn what_is_refused_comes_back<B: Backend>(backend: B) {
    let keeper = Keeper::new(0, |_, _| Do::Succeed);
    let mut settings = settings();
    settings.bytes_of = |item| *item;
    settings.batch.item_bytes_max = 100;
    let sender = BatchSender::new(backend, settings, keeper).unwrap();
    sender.start().unwrap();
    let refused = sender.send(101).await.unwrap_err();
    assert_eq!(
        (refused.item, refused.reason),
        (101, RefusedReason::TooLarge { bytes: 101, max: 100 })
    );
    sender.stop().await;
    let refused = sender.send(1).await.unwrap_err();
    assert_eq!((refused.item, refused.reason), (1, RefusedReason::Stopped));
    assert_eq!(sender.try_send(2).unwrap_err().reason, RefusedReason::Stopped);
    assert_eq!(sender.stats().counters.items.get(), 0);
}

async fn dropped_senders_leave_no_trace<B: Backend>(backend: B) {
    let keeper = Keeper::new(10, |_, _| Do::Succeed);
    let mut settings = settings();
    settings.batch.waiting_max = 5;
    settings.batch.items_max = 5;
    let sender = BatchSender::new(backend, settings, keeper.clone()).unwrap();
    sender.send_many(&mut (0..5)).await.unwrap();
    for round in 0..10_000 {
        let mut first = Box::pin(sender.send(9));
        let mut second = Box::pin(sender.send(9));
        assert!(is_pending(first.as_mut()) && is_pending(second.as_mut()));
        if round % 2 == 0 {
            drop(first);
            assert!(is_pending(second.as_mut()));
        } else {
            drop(second);
            drop(first);
        }
    }
    sender.start().unwrap();
    // Nobody stands in the way.
    sender.send_many(&mut (5..10)).await.unwrap();
    let report = sender.stop().await;
    assert_eq!(report.abandoned + report.failed, 0);
    keeper.assert_each_once();
}

async fn retries_are_made_and_end<B: Backend>(backend: B) {
    // Of ten, three succeed later, two never do, one fails at once.
    let keeper = Keeper::new(100, |item, attempt| match item % 10 {
        1..=3 if attempt < 2 => Do::Again,
        4 | 5 => Do::Again,
        6 => Do::Fail,
        _ => Do::Succeed,
    });
    let sender = BatchSender::new(backend, settings(), keeper.clone()).unwrap();
    sender.start().unwrap();
    sender.send_many(&mut (0..100)).await.unwrap();
    let report = sender.stop().await;
    assert!(report.in_time);
    keeper.assert_each_once();
    assert_eq!((keeper.done(), keeper.given_up()), (70, 30));
    let counters = sender.stats().counters;
    assert_eq!((counters.succeeded.get(), counters.failed.get()), (70, 30));
    // Three twice, two three times.
    assert_eq!(counters.retried.get(), 10 * (3 * 2 + 2 * 3));
}

async fn a_handler_that_panics_is_tried_again<B: Backend>(backend: B) {
    let keeper = Keeper::new(20, |item, attempt| match (item, attempt) {
        (3, 0) | (13, _) => Do::Panic,
        _ => Do::Succeed,
    });
    let sender = BatchSender::new(backend, settings(), keeper.clone()).unwrap();
    sender.start().unwrap();
    sender.send_many(&mut (0..20)).await.unwrap();
    sender.stop().await;
    keeper.assert_each_once();
    assert_eq!((keeper.done(), keeper.given_up()), (10, 10), "one batch never got through");
    assert_eq!(sender.stats().handler_panics.get(), 1 + 4);
}

async fn deadlines_are_kept<B: Backend>(backend: B) {
    let keeper = Keeper::new(2, |_, _| Do::Again);
    let mut settings = settings();
    settings.batch.retry.delay_us = 3_600_000_000;
    let sender = BatchSender::new(backend, settings, keeper.clone()).unwrap();
    sender.start().unwrap();
    // No retry can begin in time, so that both end at once.
    for item in 0..2 {
        sender.send_within(item, Duration::from_secs(60)).await.unwrap();
    }
    sender.drained().await;
    keeper.assert_each_once();
    assert_eq!(sender.stats().counters.expired.get(), 2);
}

async fn stopping_in_time_gives_up_the_rest<B: Backend>(backend: B) {
    let keeper = Keeper::new(3, |_, _| Do::Again);
    let mut settings = settings();
    settings.batch.retry.delay_us = 3_600_000_000;
    let sender = BatchSender::new(backend, settings, keeper.clone()).unwrap();
    sender.start().unwrap();
    sender.send_many(&mut (0..3)).await.unwrap();
    let report = sender.stop_within(Duration::from_millis(50)).await;
    assert!(!report.in_time, "{report:?}");
    assert_eq!((report.abandoned, report.failed, report.unfinished_batches), (3, 0, 0));
    keeper.assert_each_once();
    assert_eq!(keeper.given_up(), 3);
}

async fn a_handle_that_never_ran_gives_everything_up<B: Backend>(backend: B) {
    let keeper = Keeper::new(6, |_, _| Do::Succeed);
    let sender = BatchSender::new(backend.clone(), settings(), keeper.clone()).unwrap();
    sender.send_many(&mut (0..3)).await.unwrap();
    let report = sender.stop().await;
    assert_eq!(report.abandoned, 3);
    let sender = BatchSender::new(backend, settings(), keeper.clone()).unwrap();
    sender.send_many(&mut (3..6)).await.unwrap();
    drop(sender);
    keeper.assert_each_once();
    assert_eq!(keeper.given_up(), 6);
}

async fn the_last_handle_stops_the_sender<B: Backend>(backend: B) {
    let keeper = Keeper::new(5, |_, _| Do::Succeed);
    let mut settings = settings();
    settings.batch.linger_us = 3_600_000_000;
    let sender = BatchSender::new(backend, settings, keeper.clone()).unwrap();
    sender.start().unwrap();
    sender.send_many(&mut (0..4)).await.unwrap();
    let other = sender.clone();
    drop(sender);
    other.try_send(4).unwrap();
    assert_eq!(keeper.done(), 0, "somebody still has a handle");
    drop(other);
    while keeper.done() < 5 {
        smol::future::yield_now().await;
    }
    keeper.assert_each_once();
}

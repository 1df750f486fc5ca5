//! Ends in order, with a report, and in time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use turbopump::runtime::backend::Backend;
use turbopump::runtime::broker::{Fault, FaultAction};
use turbopump::runtime::client::{Message, ReceivedMessage};

use crate::{Got, client, consumer, eager, field, send, start, until};

turbopump_tests::on_every_runtime![
    u4_what_is_handled_when_it_ends_is_not_handled_again,
    u4_a_handler_that_never_returns_is_given_up_in_time,
    u4_nobody_answers_and_it_ends_in_time,
    u4_a_client_ends_its_consumers_first,
    u4_a_slow_commit_does_not_hold_up_the_last_one,
    brokers_hear_that_it_leaves,
];

async fn u4_what_is_handled_when_it_ends_is_not_handled_again<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = client(&backend, &broker).await;
    let producer = client.producer("producers");
    let got = Got::default();
    for round in 0..3 {
        // In the middle of it.
        send(&producer, "Orders", round * 500..round * 500 + 500).await;
        let before = got.len();
        let (note, naps) = (got.clone(), backend.clone());
        let consumer = client.consumer("group").with_config(eager()).subscribe("Orders", "*");
        let consumer = consumer
            .start(move |message: ReceivedMessage| {
                let (note, naps) = (note.clone(), naps.clone());
                async move {
                    naps.sleep_until(Instant::now() + Duration::from_millis(1)).await;
                    note.note(&message)
                }
            })
            .await
            .unwrap();
        until(&backend, "some are done", || got.len() > before + 50).await;
        let report = consumer.shutdown(Duration::from_secs(20)).await;
        assert!(report.in_time, "{report:?}");
        assert_eq!((report.abandoned, report.uncommitted), (0, 0));
    }
    let _consumer = consumer(&client, "group", "Orders", &got).await;
    until(&backend, "all came", || got.len() == 1_500).await;
    assert_eq!(got.repeats(), []);
}

/// One that is under way while a queue is given away: what was handled since is committed at once
/// afterwards, not at the next interval.
async fn u4_a_slow_commit_does_not_hold_up_the_last_one<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = client(&backend, &broker).await;
    let producer = client.producer("producers");
    let got = Got::default();
    let mut config = eager();
    config.commit_interval = Duration::from_secs(2);
    let note = got.clone();
    let consumer = client.consumer("group").with_config(config).subscribe("Orders", "*");
    let consumer = consumer
        .start(move |message: ReceivedMessage| {
            let note = note.clone();
            async move { note.note(&message) }
        })
        .await
        .unwrap();
    broker.inject(Fault::new(FaultAction::Delay(Duration::from_millis(400))).of_code(15));
    send(&producer, "Orders", 0..40).await;
    until(&backend, "all came", || got.len() == 40).await;
    drop(broker.take_journal());
    until(&backend, "a commit is under way", || {
        broker.take_journal().iter().any(|entry| entry.code == 15)
    })
    .await;
    send(&producer, "Orders", 40..80).await;
    until(&backend, "all came", || got.len() == 80).await;
    let report = consumer.shutdown(Duration::from_millis(1_500)).await;
    assert!(report.in_time && report.uncommitted == 0, "{report:?}");
    assert_eq!(got.repeats(), []);
}

async fn u4_a_handler_that_never_returns_is_given_up_in_time<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = client(&backend, &broker).await;
    send(&client.producer("producers"), "Orders", 0..30).await;
    let dropped = Arc::new(AtomicUsize::new(0));
    struct Counts(Arc<AtomicUsize>);
    impl Drop for Counts {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let running = Arc::new(AtomicUsize::new(0));
    let (counts, runs) = (Arc::clone(&dropped), Arc::clone(&running));
    let consumer = client.consumer("group").with_config(eager()).handlers_max(8);
    let consumer = consumer
        .subscribe("Orders", "*")
        .start(move |_: ReceivedMessage| {
            let counts = Counts(Arc::clone(&counts));
            runs.fetch_add(1, Ordering::SeqCst);
            async move {
                let _counts = counts;
                core::future::pending::<()>().await;
            }
        })
        .await
        .unwrap();
    until(&backend, "all handlers run", || running.load(Ordering::SeqCst) == 8).await;
    let begin = Instant::now();
    let report = consumer.shutdown(Duration::from_secs(2)).await;
    let elapsed = begin.elapsed();
    assert!(elapsed >= Duration::from_millis(1_400), "{elapsed:?}");
    assert!(elapsed < Duration::from_secs(5), "{elapsed:?}");
    assert_eq!((report.abandoned, report.uncommitted, report.in_time), (8, 0, false));
    assert_eq!(dropped.load(Ordering::SeqCst), 8, "no handler is left behind");
    // Everything is delivered to whoever comes next.
    let got = Got::default();
    let _consumer = self::consumer(&client, "group", "Orders", &got).await;
    until(&backend, "all came", || got.len() == 30).await;
}

async fn u4_nobody_answers_and_it_ends_in_time<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = client(&backend, &broker).await;
    send(&client.producer("producers"), "Orders", 0..20).await;
    let got = Got::default();
    let mut settings = eager();
    settings.commit_interval = Duration::from_secs(600);
    let consumer = client.consumer("group").with_config(settings).subscribe("Orders", "*");
    let consumer = consumer.start(got.handler()).await.unwrap();
    until(&backend, "all came", || consumer.stats().done() == 20).await;
    broker.inject(Fault::new(FaultAction::Drop).of_code(15));
    let begin = Instant::now();
    let report = consumer.shutdown(Duration::from_millis(300)).await;
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    // The four that have messages, and that of retries, whose beginning was not told yet.
    assert!((4..=5).contains(&report.uncommitted) && !report.in_time, "{report:?}");
    assert_eq!(report.abandoned, 0);
}

async fn u4_a_client_ends_its_consumers_first<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = client(&backend, &broker).await;
    let producer = client.producer("producers");
    send(&producer, "Orders", 0..20).await;
    let (opens, open) = smol::channel::unbounded::<()>();
    let running = Arc::new(AtomicUsize::new(0));
    let consumer = client.consumer("group").with_config(eager()).subscribe("Orders", "*");
    let runs = Arc::clone(&running);
    let consumer = consumer
        .start(move |message: ReceivedMessage| {
            let (open, producer, runs) = (open.clone(), producer.clone(), Arc::clone(&runs));
            async move {
                runs.fetch_add(1, Ordering::SeqCst);
                open.recv().await.unwrap();
                // Handlers can send to the end.
                producer.send(Message::new("Bills", message.into_body().unwrap())).await.unwrap();
            }
        })
        .await
        .unwrap();
    until(&backend, "all run", || running.load(Ordering::SeqCst) == 20).await;
    let (ending, opening) = (client.clone(), async {
        until(&backend, "it ends", || consumer.queues().iter().all(|one| !one.is_running)).await;
        for _ in 0..20 {
            opens.send(()).await.unwrap();
        }
    });
    let ((), report) = smol::future::zip(opening, ending.shutdown(Duration::from_secs(20))).await;
    assert!(report.in_time, "{report:?}");
    assert_eq!((report.consumers.completed, report.consumers.abandoned), (20, 0));
    assert_eq!(broker.stats().counts.messages_sent, 40);
    assert!(consumer.queues().is_empty());
}

async fn brokers_hear_that_it_leaves<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = client(&backend, &broker).await;
    send(&client.producer("producers"), "Orders", 0..4).await;
    let got = Got::default();
    let consumer = consumer(&client, "group", "Orders", &got).await;
    until(&backend, "all came", || got.len() == 4).await;
    drop(broker.take_journal());
    assert!(consumer.shutdown(Duration::from_secs(20)).await.in_time);
    let journal = broker.take_journal();
    let farewells: Vec<_> = journal.iter().filter(|entry| entry.code == 35).collect();
    assert_eq!(farewells.len(), 1);
    assert_eq!(field(farewells[0], "consumerGroup"), "group");
    let last_commit = journal.iter().rposition(|entry| entry.code == 15);
    let farewell = journal.iter().position(|entry| entry.code == 35);
    assert!(last_commit < farewell, "offsets are committed first");
    // Once more says the same, and harms nobody.
    assert!(consumer.shutdown(Duration::from_secs(20)).await.in_time);
}

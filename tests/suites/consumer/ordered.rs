//! Queues that are consumed in order, by one member at a time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use turbopump::runtime::backend::Backend;
use turbopump::runtime::broker::{EmbeddedBroker, Fault, FaultAction};
use turbopump::runtime::client::{
    Client, Consumed, Consumer, Message, MessageQueue, Producer, ReceivedMessage,
};

use crate::sharing::has;
use crate::{client, eager, field, is_committed, start, until};

turbopump_tests::on_every_runtime![
    u16_a_queue_has_one_handler_and_its_order_holds_when_members_come_and_go,
    u16_what_fails_holds_its_queue_and_is_never_passed,
    u16_tried_often_enough_it_is_a_dead_letter,
    u16_locks_are_renewed_and_given_back,
    a_lock_that_is_lost_ends_what_it_protects,
];

/// What was handled, by queue, in the order in which it was.
#[derive(Clone, Default)]
struct Order(Arc<Mutex<BTreeMap<i32, Vec<i64>>>>);

impl Order {
    fn note(&self, message: &ReceivedMessage) {
        let mut queues = self.0.lock().unwrap();
        queues.entry(message.queue()).or_default().push(message.offset());
    }

    fn len(&self) -> usize {
        self.0.lock().unwrap().values().map(Vec::len).sum()
    }

    /// Each queue from its beginning to here, nothing twice.
    fn assert_whole(&self) {
        for (queue, offsets) in &*self.0.lock().unwrap() {
            assert!(offsets.iter().copied().eq(0..offsets.len() as i64), "{queue}: {offsets:?}");
        }
    }
}

async fn send<B: Backend>(producer: &Producer<B>, numbers: core::ops::Range<u32>) {
    for number in numbers {
        let queue = MessageQueue::new("broker-a", (number % 4) as i32);
        producer.send_to(Message::new("Orders", number.to_string()), &queue).await.unwrap();
    }
}

async fn ordered<B: Backend>(client: &Client<B>, order: &Order) -> Consumer<B> {
    let order = order.clone();
    let builder = client.consumer("group").with_config(eager()).ordered().subscribe("Orders", "*");
    let consumer = builder.start(move |message: ReceivedMessage| {
        order.note(&message);
        core::future::ready(())
    });
    consumer.await.unwrap()
}

async fn u16_a_queue_has_one_handler_and_its_order_holds_when_members_come_and_go<B: Backend>(
    backend: B,
) {
    let broker = start(&backend).await;
    let clients = [client(&backend, &broker).await, client(&backend, &broker).await];
    let producer = clients[0].producer("producers");
    send(&producer, 0..200).await;
    let order = Order::default();
    let begin = std::time::Instant::now();
    let first = ordered(&clients[0], &order).await;
    until(&backend, "some are done", || order.len() > 50).await;
    assert!(begin.elapsed() < Duration::from_secs(5), "no timer is waited for");
    let second = ordered(&clients[1], &order).await;
    send(&producer, 200..400).await;
    until(&backend, "both share", || has(&first, "Orders") == 2 && has(&second, "Orders") == 2)
        .await;
    send(&producer, 400..600).await;
    let report = first.shutdown(Duration::from_secs(20)).await;
    assert!(report.in_time && report.uncommitted == 0, "{report:?}");
    send(&producer, 600..800).await;
    until(&backend, "all are done", || order.len() >= 800).await;
    until(&backend, "all is committed", || is_committed(&broker, "group", "Orders")).await;
    // Locks are given back after the commit, so that nothing is repeated, and nothing overtaken.
    order.assert_whole();
    assert_eq!(order.len(), 800);
}

async fn u16_what_fails_holds_its_queue_and_is_never_passed<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = client(&backend, &broker).await;
    send(&client.producer("producers"), 0..40).await;
    let (order, tries) = (Order::default(), Arc::new(Mutex::new(Vec::new())));
    let mut settings = eager();
    settings.retry.again_us = 50_000;
    let builder = client.consumer("group").with_config(settings).ordered();
    let (done, seen) = (order.clone(), Arc::clone(&tries));
    let consumer = builder
        .subscribe("Orders", "*")
        .start(move |message: ReceivedMessage| {
            if (message.queue(), message.offset()) == (2, 5) && message.reconsume_times() < 4 {
                seen.lock().unwrap().push(message.reconsume_times());
                assert!(message.reconsume_times() != 2, "a panic, too");
                return core::future::ready(Consumed::Retry);
            }
            done.note(&message);
            core::future::ready(Consumed::Done)
        })
        .await
        .unwrap();
    until(&backend, "all are done", || order.len() == 40).await;
    order.assert_whole();
    assert_eq!(*tries.lock().unwrap(), [0, 1, 2, 3]);
    until(&backend, "all is committed", || is_committed(&broker, "group", "Orders")).await;
    let again = consumer.stats().topics().map(|(_, topic)| topic.tried_again()).sum::<u64>();
    assert_eq!((again, broker.stats().counts.messages_retried), (4, 0));
}

async fn u16_tried_often_enough_it_is_a_dead_letter<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = client(&backend, &broker).await;
    send(&client.producer("producers"), 0..40).await;
    let order = Order::default();
    let builder = client.consumer("group").with_config(eager()).ordered().retries_max(2);
    let done = order.clone();
    let _consumer = builder
        .subscribe("Orders", "*")
        .start(move |message: ReceivedMessage| {
            if (message.queue(), message.offset()) == (1, 3) {
                return core::future::ready(Err("never"));
            }
            done.note(&message);
            core::future::ready(Ok(()))
        })
        .await
        .unwrap();
    until(&backend, "all others are done", || order.len() == 39).await;
    until(&backend, "all is committed", || is_committed(&broker, "group", "Orders")).await;
    let counts = broker.stats().counts;
    assert_eq!((counts.messages_dead, counts.messages_retried), (1, 0));
}

fn locks<B: Backend>(broker: &EmbeddedBroker<B>, code: i32) -> usize {
    broker.take_journal().iter().filter(|entry| entry.code == code).count()
}

async fn u16_locks_are_renewed_and_given_back<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = client(&backend, &broker).await;
    send(&client.producer("producers"), 0..8).await;
    let mut settings = eager();
    settings.locks.held_us = 300_000;
    let order = Order::default();
    let done = order.clone();
    let builder = client.consumer("group").with_config(settings).ordered().subscribe("Orders", "*");
    let consumer = builder
        .start(move |message: ReceivedMessage| {
            done.note(&message);
            core::future::ready(())
        })
        .await
        .unwrap();
    until(&backend, "all are done", || order.len() == 8).await;
    drop(broker.take_journal());
    let mut renewals = 0;
    until(&backend, "locks are renewed", || {
        renewals += locks(&broker, 41);
        renewals >= 3
    })
    .await;
    assert!(consumer.shutdown(Duration::from_secs(20)).await.in_time);
    let journal = broker.take_journal();
    let unlock = journal.iter().position(|entry| entry.code == 42);
    let commit = journal.iter().rposition(|entry| entry.code == 15);
    assert!(unlock.is_some() && commit < unlock, "after the last commit");
    order.assert_whole();
}

async fn a_lock_that_is_lost_ends_what_it_protects<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = client(&backend, &broker).await;
    let producer = client.producer("producers");
    send(&producer, 0..8).await;
    let mut settings = eager();
    settings.locks.held_us = 200_000;
    let order = Order::default();
    let done = order.clone();
    let builder = client.consumer("group").with_config(settings).ordered().subscribe("Orders", "*");
    let consumer = builder
        .start(move |message: ReceivedMessage| {
            done.note(&message);
            core::future::ready(())
        })
        .await
        .unwrap();
    until(&backend, "all are done", || order.len() == 8).await;
    until(&backend, "all is committed", || is_committed(&broker, "group", "Orders")).await;
    let refuse = FaultAction::Refuse { code: 1, remark: "as planned".into() };
    broker.inject(Fault::new(refuse).of_code(41));
    until(&backend, "the locks are over", || has(&consumer, "Orders") == 0).await;
    drop(broker.take_journal());
    send(&producer, 8..16).await;
    assert_eq!(order.len(), 8, "nothing is handed out without a lock");
    broker.clear_faults();
    until(&backend, "all are done", || order.len() == 16).await;
    order.assert_whole();
    let commits = broker.take_journal().into_iter().filter(|entry| entry.code == 15);
    let offsets: Vec<i64> =
        commits.map(|entry| field(&entry, "commitOffset").parse().unwrap()).collect();
    assert!(offsets.iter().all(|offset| *offset >= 0), "{offsets:?}");
}

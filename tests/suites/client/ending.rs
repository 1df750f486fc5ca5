//! Ends in order, hooks, traces and namespaces.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use turbopump::runtime::backend::Backend;
use turbopump::runtime::broker::{Fault, FaultAction};
use turbopump::runtime::client::{
    Batching, Client, Message, ProducerConfig, SendError, SendErrorKind, SendHook, SendReceipt,
};

use crate::{config, field, sends, start};

turbopump_tests::on_every_runtime![
    u4_shutdown_sends_what_waits_and_says_so,
    u4_shutdown_ends_in_time_where_nobody_answers,
    hooks_see_each_message_before_and_after,
    traces_are_passed_on_or_begun,
    names_are_put_into_the_namespace,
    health_says_what_there_is,
];

async fn u4_shutdown_sends_what_waits_and_says_so<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = Client::start(backend.clone(), config(&broker)).await.unwrap();
    let mut settings = ProducerConfig::default();
    settings.batching = Some(Batching { linger_us: 60_000_000, ..Batching::default() });
    let producer = client.producer_with("group", settings).unwrap();
    let mut waiting = Vec::new();
    for _ in 0..200 {
        waiting.push(producer.submit(Message::new("Orders", "x")).await.unwrap());
    }
    let report = client.shutdown(Duration::from_secs(30)).await;
    assert_eq!((report.completed, report.abandoned, report.in_time), (200, 0, true));
    assert_eq!(broker.stats().counts.messages_sent, 200);
    for acknowledgement in waiting {
        acknowledgement.await.unwrap();
    }
    let late = producer.send(Message::new("Orders", "x")).await.unwrap_err();
    assert_eq!(late.kind(), &SendErrorKind::Closed);
    assert!(!late.is_retryable(), "{late}");
}

async fn u4_shutdown_ends_in_time_where_nobody_answers<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    broker.inject(Fault::new(FaultAction::HalfOpen).of_topic("Orders"));
    let mut settings = config(&broker);
    settings.send.timeout_us = 600_000_000;
    let client = Client::start(backend.clone(), settings).await.unwrap();
    let producers = [client.producer("group"), {
        let mut settings = ProducerConfig::default();
        settings.batching = Some(Batching::default());
        client.producer_with("group", settings).unwrap()
    }];
    let mut waiting = Vec::new();
    for producer in &producers {
        for _ in 0..5 {
            waiting.push(producer.submit(Message::new("Orders", "x")).await.unwrap());
        }
    }
    let begin = std::time::Instant::now();
    let report = client.shutdown(Duration::from_millis(50)).await;
    assert!(begin.elapsed() < Duration::from_secs(60));
    assert!(!report.in_time && report.completed + report.abandoned == 10, "{report:?}");
    assert!(report.abandoned > 0);
    for acknowledgement in waiting {
        assert!(acknowledgement.await.is_err());
    }
}

#[derive(Default)]
struct Watch {
    seen: Mutex<Vec<String>>,
}

impl SendHook for Watch {
    fn before(&self, group: &str, message: &mut Message) {
        message.set_property("origin", "here");
        self.seen.lock().unwrap().push(format!("{group} sends to {}", message.topic()));
    }

    fn after(&self, _: &str, message: &Message, outcome: &Result<SendReceipt, SendError>) {
        let how = if outcome.is_ok() { "sent" } else { "not sent" };
        let topic = message.topic();
        self.seen.lock().unwrap().push(format!("{how} to {topic}"));
        assert!(topic != "Panics", "a hook's panic is its own");
    }
}

async fn hooks_see_each_message_before_and_after<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = Client::start(backend, config(&broker)).await.unwrap();
    for batching in [None, Some(Batching::default())] {
        let watch = Arc::new(Watch::default());
        let mut settings = ProducerConfig::default();
        settings.batching = batching;
        settings.hooks.push(watch.clone());
        let producer = client.producer_with("group", settings).unwrap();
        producer.send(Message::new("Panics", "x")).await.unwrap();
        producer.send(Message::new("Orders", "x")).await.unwrap();
        let entry = sends(&broker).pop().unwrap();
        assert!(field(&entry, "i").contains("origin\u{1}here\u{2}"));
        let expected =
            ["group sends to Panics", "sent to Panics", "group sends to Orders", "sent to Orders"];
        assert_eq!(*watch.seen.lock().unwrap(), expected);
        let batch = [Message::new("Orders", "x"), Message::new("Orders", "y")];
        producer.send_batch(&batch).await.unwrap();
        assert_eq!(watch.seen.lock().unwrap().len(), 8);
    }
}

async fn traces_are_passed_on_or_begun<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = Client::start(backend, config(&broker)).await.unwrap();
    let mut settings = ProducerConfig::default();
    settings.begins_traces = true;
    let producer = client.producer_with("group", settings).unwrap();
    let given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let message = Message::new("Orders", "x").trace_context(given, Some("vendor=1"));
    producer.send(message).await.unwrap();
    let properties = field(&sends(&broker).remove(0), "i").to_owned();
    assert!(properties.contains(&format!("traceparent\u{1}{given}\u{2}tracestate\u{1}vendor=1")));
    let mut begun = std::collections::HashSet::new();
    for _ in 0..10 {
        producer.send(Message::new("Orders", "x")).await.unwrap();
        let properties = field(&sends(&broker).remove(0), "i").to_owned();
        let value = properties.split_once("traceparent\u{1}").unwrap().1;
        let value = value.split('\u{2}').next().unwrap();
        let parts: Vec<_> = value.split('-').collect();
        assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [2, 32, 16, 2]);
        assert!(begun.insert(value.to_owned()));
    }
}

async fn names_are_put_into_the_namespace<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let mut settings = config(&broker);
    settings.namespace = Some("shop".into());
    let client = Client::start(backend, settings).await.unwrap();
    for batching in [None, Some(Batching::default())] {
        let mut settings = ProducerConfig::default();
        settings.batching = batching;
        let producer = client.producer_with("group", settings).unwrap();
        producer.send(Message::new("Orders", "x")).await.unwrap();
        let entry = sends(&broker).remove(0);
        assert_eq!((field(&entry, "a"), field(&entry, "b")), ("shop%group", "shop%Orders"));
    }
}

async fn health_says_what_there_is<B: Backend>(backend: B) {
    let mut settings = turbopump::runtime::broker::BrokerConfig::default();
    settings.name_server = Some(([127, 0, 0, 1], 0).into());
    let broker = turbopump::runtime::broker::EmbeddedBroker::start(backend.clone(), settings);
    let broker = broker.await.unwrap();
    let client = Client::start(backend.clone(), config(&broker)).await.unwrap();
    let before = client.health();
    assert!(!before.is_ready() && before.routes == 0, "no broker is known: {before:?}");
    assert!(before.peers[0].is_name_server && before.peers[0].is_connected);
    let producer = client.producer("group");
    producer.send(Message::new("Orders", "x")).await.unwrap();
    while !client.health().is_ready() {
        backend.sleep_until(std::time::Instant::now() + Duration::from_millis(1)).await;
    }
    let health = client.health();
    let peer = health.peers.iter().find(|peer| !peer.is_name_server).unwrap();
    assert_eq!(peer.endpoint.port(), broker.address().port());
    assert!(peer.is_connected && !peer.is_avoided && health.routes == 1);
    client.close().await;
    assert!(!client.health().is_ready() && client.health().is_closing);
}

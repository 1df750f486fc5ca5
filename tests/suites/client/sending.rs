//! Batches, order, and messages that nobody answers.

use std::time::{Duration, Instant};

use turbopump::core::rocketmq::wire::command::PullMessageRequestHeader;
use turbopump::core::rocketmq::wire::header::{Serialization, request_code, response_code};
use turbopump::core::rocketmq::wire::identity::java_hash;
use turbopump::core::rocketmq::wire::message::{Message as StoredMessage, Messages, SysFlag};
use turbopump::runtime::backend::{Backend, SocketOptions};
use turbopump::runtime::broker::{EmbeddedBroker, Fault, FaultAction};
use turbopump::runtime::client::{Client, Message, SendErrorKind};
use turbopump::runtime::memory::BufferPool;
use turbopump::runtime::net::RequestLinkConfig;
use turbopump::runtime::rocketmq::RemotingLink;

use crate::{config, start};

turbopump_tests::on_every_runtime![
    a_batch_arrives_whole_and_in_order,
    batches_that_cannot_be_are_refused_here,
    one_key_has_one_queue,
    oneway_messages_arrive_unanswered,
    requests_with_headers_in_json_are_understood,
];

/// Bodies and tags of what is in a queue.
pub(crate) async fn stored<B: Backend>(
    backend: &B,
    broker: &EmbeddedBroker<B>,
    topic: &str,
    queue: i32,
) -> Vec<(String, Option<String>)> {
    pull(backend, broker, topic, queue, |message| {
        let body = String::from_utf8_lossy(message.body).into_owned();
        let tag = message.properties().unwrap().get("TAGS").map(str::to_owned);
        (body, tag)
    })
    .await
}

/// What is in a queue, compressed or not.
pub(crate) async fn stored_as_it_is<B: Backend>(
    backend: &B,
    broker: &EmbeddedBroker<B>,
    topic: &str,
    queue: i32,
) -> Vec<(SysFlag, Vec<u8>)> {
    let read = |message: &StoredMessage<'_>| (message.sys_flag, message.body.to_vec());
    pull(backend, broker, topic, queue, read).await
}

async fn pull<B: Backend, T>(
    backend: &B,
    broker: &EmbeddedBroker<B>,
    topic: &str,
    queue: i32,
    read: impl Fn(&StoredMessage<'_>) -> T,
) -> Vec<T> {
    let halves = backend.dial(broker.address(), &SocketOptions::default()).await.unwrap();
    let (buffers, settings) = (BufferPool::standard(), RequestLinkConfig::default());
    let link = RemotingLink::over(backend, halves, buffers, &settings).unwrap();
    let mut found = Vec::new();
    loop {
        let header = PullMessageRequestHeader {
            consumer_group: "consumers".into(),
            topic: topic.into(),
            queue_id: queue,
            queue_offset: found.len() as i64,
            max_msg_nums: 32,
            sys_flag: 4,
            subscription: Some("*".into()),
            ..PullMessageRequestHeader::default()
        };
        let (code, within) = (request_code::PULL_MESSAGE, Duration::from_secs(30));
        let answer = link.ask(code, &header, b"", within).await.unwrap();
        let frame = answer.frame().unwrap();
        if frame.header.code != response_code::SUCCESS {
            return found;
        }
        found.extend(Messages::new(frame.body).map(|message| read(&message.unwrap())));
    }
}

async fn a_batch_arrives_whole_and_in_order<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = Client::start(backend.clone(), config(&broker)).await.unwrap();
    let producer = client.producer("group");
    let messages: Vec<Message> =
        (0..32).map(|n| Message::new("Orders", n.to_string()).tag(&format!("t{n}"))).collect();
    let sent = producer.send_batch(&messages).await.unwrap().to_vec();
    let offsets: Vec<_> = sent.iter().map(|receipt| receipt.offset).collect();
    assert_eq!(offsets, (0..32).collect::<Vec<i64>>());
    let mut ids: Vec<_> = sent.iter().map(|receipt| receipt.message_id.to_string()).collect();
    ids.extend(sent.iter().map(|receipt| receipt.offset_message_id.unwrap().to_string()));
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 64, "each has ids of its own");
    let found = stored(&backend, &broker, "Orders", sent[0].queue).await;
    let expected = (0..32).map(|n| (n.to_string(), Some(format!("t{n}"))));
    assert!(found.iter().cloned().eq(expected), "{found:?}");
    // One that is lost on its way back comes as a whole.
    broker.inject(Fault::new(FaultAction::Close).of_code(320).times(1));
    producer.send_batch(&messages).await.unwrap();
    assert_eq!(broker.stats().counts.messages_sent, 64);
}

async fn batches_that_cannot_be_are_refused_here<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = Client::start(backend, config(&broker)).await.unwrap();
    let producer = client.producer("group");
    let error = producer.send_batch(&[]).await.unwrap_err();
    assert_eq!(*error.kind(), SendErrorKind::Empty);
    let mixed = [Message::new("Orders", "x"), Message::new("Bills", "x")];
    let error = producer.send_batch(&mixed).await.unwrap_err();
    assert!(error.to_string().contains("have several"), "{error}");
    let long = [(); 3].map(|()| Message::new("Orders", vec![7; 2 << 20]));
    let error = producer.send_batch(&long).await.unwrap_err();
    assert!(matches!(error.kind(), SendErrorKind::TooLarge { .. }), "{error}");
    let property = "v".repeat(40_000);
    let error = producer.send(Message::new("Orders", "x").property("p", &property)).await;
    assert!(matches!(error.unwrap_err().kind(), SendErrorKind::Properties { .. }));
    assert_eq!(broker.stats().counts.messages_sent, 0);
}

async fn one_key_has_one_queue<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = Client::start(backend.clone(), config(&broker)).await.unwrap();
    let producer = client.producer("group");
    for key in ["", "Aa", "customer 17", "ünïcödé", "polygenelubricants"] {
        if key.is_empty() {
            let refused = producer.send_ordered(Message::new("Orders", "x"), key).await;
            assert!(matches!(refused.unwrap_err().kind(), SendErrorKind::Property(_)));
            continue;
        }
        let topic = format!("Orders{}", java_hash(key).unsigned_abs());
        let mut queues = Vec::new();
        for n in 0..10 {
            let message = Message::new(topic.clone(), n.to_string());
            queues.push(producer.send_ordered(message, key).await.unwrap().queue);
        }
        // As Java chooses; `polygenelubricants` has the smallest hash of all.
        let expected = (java_hash(key) % 4).unsigned_abs() as i32;
        assert_eq!(queues, [expected; 10], "{key}");
        let found = stored(&backend, &broker, &topic, expected).await;
        let bodies = found.into_iter().map(|(body, _)| body);
        assert!(bodies.eq((0..10).map(|n| n.to_string())));
    }
}

async fn oneway_messages_arrive_unanswered<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = Client::start(backend.clone(), config(&broker)).await.unwrap();
    let producer = client.producer("group");
    for _ in 0..20 {
        producer.send_oneway(Message::new("Orders", "x")).await.unwrap();
    }
    // Whatever is handed to the connection is written before it closes.
    client.close().await;
    let end = Instant::now() + Duration::from_secs(30);
    while broker.stats().counts.messages_sent < 20 && Instant::now() < end {
        backend.sleep_until(Instant::now() + Duration::from_millis(1)).await;
    }
    assert_eq!(broker.stats().counts.messages_sent, 20);
    let oneway = broker.take_journal().into_iter().filter(|entry| entry.code == 310);
    assert!(oneway.map(|entry| entry.is_oneway).eq([true; 20]));
    let error = producer.send_oneway(Message::new("Orders", "")).await.unwrap_err();
    assert_eq!(*error.kind(), SendErrorKind::Empty);
}

async fn requests_with_headers_in_json_are_understood<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let mut settings = config(&broker);
    settings.header_serialization = Serialization::Json;
    let client = Client::start(backend.clone(), settings).await.unwrap();
    let producer = client.producer("group");
    // Properties that look like a header.
    let message = Message::new("Orders", "one").property("k", "\"opaque\":-2147483648");
    let receipt = producer.send(message).await.unwrap();
    let many: Vec<_> = (0..3).map(|_| Message::new("Orders", "two")).collect();
    producer.send_batch(&many).await.unwrap();
    producer.send_oneway(Message::new("Orders", "six")).await.unwrap();
    let sent = futures(&producer, 200).await;
    assert_eq!(sent, 200, "each has its own answer");
    let place = |message: &StoredMessage<'_>| {
        let properties = message.properties().unwrap();
        (message.body.to_vec(), properties.get("k").map(str::to_owned))
    };
    let stored = pull(&backend, &broker, "Orders", receipt.queue, place).await;
    let expected = Some("\"opaque\":-2147483648".to_owned());
    assert_eq!(stored[usize::try_from(receipt.offset).unwrap()], (b"one".to_vec(), expected));
    let report = client.shutdown(Duration::from_secs(10)).await;
    assert!(report.in_time, "{report:?}");
    broker.shutdown().await;
}

/// How many of so many at once are taken, each at a place of its own.
async fn futures<B: Backend>(
    producer: &turbopump::runtime::client::Producer<B>,
    many: usize,
) -> usize {
    let mut waiting = Vec::new();
    for _ in 0..many {
        waiting.push(producer.submit(Message::new("Orders", "x")).await.unwrap());
    }
    let mut places = std::collections::HashSet::new();
    for acknowledgement in waiting {
        let receipt = acknowledgement.await.unwrap();
        places.insert((receipt.queue, receipt.offset));
    }
    places.len()
}

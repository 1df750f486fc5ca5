//! Messages that are delivered at a time of their own: through the client, at the embedded broker,
//! whose clock is put forward.

use std::time::{Duration, SystemTime};

use turbopump::core::rocketmq::wire::command::RecallMessageRequestHeader;
use turbopump::core::rocketmq::wire::header::{request_code, response_code};
use turbopump::core::rocketmq::wire::recall::RecallHandle;
use turbopump::runtime::backend::{Backend, SocketOptions};
use turbopump::runtime::broker::{BrokerConfig, EmbeddedBroker, FlushPolicy, StoreConfig};
use turbopump::runtime::client::{Client, Message, SendErrorKind};
use turbopump::runtime::memory::BufferPool;
use turbopump::runtime::net::RequestLinkConfig;
use turbopump::runtime::rocketmq::RemotingLink;

use crate::config;
use crate::sending::stored;

turbopump_tests::on_every_runtime![
    u22_arbitrary_times_and_levels_come_in_order,
    u22_arbitrary_times_survive_a_restart,
    u22_arbitrary_times_have_an_end,
    u22_arbitrary_times_are_recalled,
];

const MINUTE: Duration = Duration::from_secs(60);

/// Topics have one queue, so that there is one order.
fn settings() -> BrokerConfig {
    let mut settings = BrokerConfig::default();
    settings.default_topic_queues = 1;
    settings
}

async fn begin<B: Backend>(backend: &B, settings: BrokerConfig) -> (EmbeddedBroker<B>, Client<B>) {
    let broker = EmbeddedBroker::start(backend.clone(), settings).await.unwrap();
    let client = Client::start(backend.clone(), config(&broker)).await.unwrap();
    (broker, client)
}

async fn bodies<B: Backend>(backend: &B, broker: &EmbeddedBroker<B>) -> Vec<String> {
    let found = stored(backend, broker, "Orders", 0).await;
    found.into_iter().map(|(body, _)| body).collect()
}

/// The bodies, once there are so many: the broker's task looks at its clock when it gets to it.
async fn delivered<B: Backend>(
    backend: &B,
    broker: &EmbeddedBroker<B>,
    count: usize,
) -> Vec<String> {
    loop {
        let found = bodies(backend, broker).await;
        if found.len() >= count {
            return found;
        }
    }
}

async fn u22_arbitrary_times_and_levels_come_in_order<B: Backend>(backend: B) {
    let (broker, client) = begin(&backend, settings()).await;
    let producer = client.producer("group");
    let at = |minutes: u32| SystemTime::now() + MINUTE * minutes;
    let message = |minutes: u32| Message::new("Orders", minutes.to_string());
    // The longest first; levels 18, 17, 16 and 15 are two hours, one, 30 minutes and 20.
    for message in [
        message(4_000).deliver_at(at(4_000)),
        message(120).delay_level(18),
        message(110).deliver_after(MINUTE * 110),
        message(60).delay_level(17),
        message(47).deliver_at(at(47)),
        message(30).delay_level(16),
        message(25).deliver_after(MINUTE * 25),
        message(20).delay_level(15),
        message(3).deliver_at(at(3)),
    ] {
        producer.send(message).await.unwrap();
    }
    producer.send(message(0).deliver_at(SystemTime::UNIX_EPOCH)).await.unwrap();
    assert_eq!(bodies(&backend, &broker).await, ["0"], "the past is now");
    assert_eq!(broker.stats().timed_messages, 5);
    let (mut clock, mut expected) = (0, vec!["0".to_owned()]);
    for minutes in [3_u32, 20, 25, 30, 47, 60, 110, 120, 4_000] {
        // Up to two minutes before, of which the test takes one at most.
        broker.advance_clock(MINUTE * (minutes - 2 - clock));
        assert_eq!(bodies(&backend, &broker).await, expected);
        broker.advance_clock(MINUTE * 2);
        clock = minutes;
        expected.push(minutes.to_string());
        assert_eq!(delivered(&backend, &broker, expected.len()).await, expected);
    }
    let stats = broker.stats();
    assert_eq!((stats.timed_messages, stats.counts.messages_timed), (0, 5));
    assert_eq!(stats.counts.messages_delayed, 4);
}

async fn u22_arbitrary_times_survive_a_restart<B: Backend>(backend: B) {
    let unique: *const () = (&raw const backend).cast();
    let name = format!("turbopump-times-{}-{unique:p}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    let mut store = StoreConfig::new(&folder);
    store.flush = FlushPolicy::Always;
    let mut settings = settings();
    settings.store = Some(store);
    let (broker, client) = begin(&backend, settings.clone()).await;
    let producer = client.producer("group");
    for minutes in [50, 40, 1] {
        let message = Message::new("Orders", minutes.to_string());
        producer.send(message.deliver_after(MINUTE * minutes)).await.unwrap();
    }
    broker.advance_clock(MINUTE);
    assert_eq!(delivered(&backend, &broker, 1).await, ["1"]);
    client.close().await;
    broker.shutdown().await;
    let broker = EmbeddedBroker::start(backend.clone(), settings).await.unwrap();
    assert_eq!(broker.stats().timed_messages, 2);
    for (minutes, expected) in [(40, &["1", "40"][..]), (10, &["1", "40", "50"])] {
        broker.advance_clock(MINUTE * minutes);
        assert_eq!(delivered(&backend, &broker, expected.len()).await, expected);
    }
    broker.shutdown().await;
    std::fs::remove_dir_all(&folder).unwrap();
}

async fn u22_arbitrary_times_have_an_end<B: Backend>(backend: B) {
    let mut settings = settings();
    settings.timer_delay_max = MINUTE * 60;
    settings.limits.timed_messages_max = 1;
    let broker = EmbeddedBroker::start(backend.clone(), settings).await.unwrap();
    let mut short = config(&broker);
    short.send.timeout_us = 400_000;
    let client = Client::start(backend, short).await.unwrap();
    let producer = client.producer("group");
    let late = Message::new("Orders", "x").deliver_after(MINUTE * 61);
    let error = producer.send(late).await.unwrap_err();
    assert!(matches!(error.kind(), SendErrorKind::Refused { code: 13, .. }), "{error}");
    assert!(error.to_string().contains("timerMaxDelaySec"), "{error}");
    let message = Message::new("Orders", "x").deliver_after(MINUTE * 60);
    producer.send(message.clone()).await.unwrap();
    let error = producer.send(message).await.unwrap_err();
    assert!(matches!(error.kind(), SendErrorKind::Busy { .. }), "{error}");
    assert!(error.to_string().contains("1 messages wait"), "{error}");
    assert_eq!(broker.stats().counts.messages_sent, 1);
}

async fn u22_arbitrary_times_are_recalled<B: Backend>(backend: B) {
    let (broker, client) = begin(&backend, settings()).await;
    let producer = client.producer("group");
    let due = SystemTime::now() + MINUTE * 30;
    let mut receipts = Vec::new();
    for body in ["a", "b", "c"] {
        receipts.push(producer.send(Message::new("Orders", body).deliver_at(due)).await.unwrap());
    }
    let due_ms = due.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as i64;
    let unique_key = receipts[1].message_id.to_string();
    let handle = RecallHandle {
        topic: "Orders",
        broker_name: "broker-a",
        deliver_time_ms: due_ms,
        unique_key: &unique_key,
    };
    let handle = handle.to_string();
    let halves = backend.dial(broker.address(), &SocketOptions::default()).await.unwrap();
    let (buffers, link) = (BufferPool::standard(), RequestLinkConfig::default());
    let link = RemotingLink::over(&backend, halves, buffers, &link).unwrap();
    let header = RecallMessageRequestHeader {
        topic: "Orders".into(),
        recall_handle: (&*handle).into(),
        ..RecallMessageRequestHeader::default()
    };
    for expected in [response_code::SUCCESS, response_code::ILLEGAL_OPERATION] {
        let within = Duration::from_secs(30);
        let code = request_code::RECALL_MESSAGE;
        let answer = link.ask(code, &header, b"", within).await.unwrap();
        assert_eq!(answer.frame().unwrap().header.code, expected);
    }
    broker.advance_clock(MINUTE * 30);
    assert_eq!(delivered(&backend, &broker, 2).await, ["a", "c"]);
    assert_eq!(broker.stats().counts.messages_recalled, 1);
}

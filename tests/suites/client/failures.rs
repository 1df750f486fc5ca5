//! Brokers and name servers that are busy, silent, gone, and back.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use turbopump::core::rocketmq::client::BusyKind;
use turbopump::runtime::backend::Backend;
use turbopump::runtime::broker::name_server::NameServerConfig;
use turbopump::runtime::broker::{
    BrokerConfig, EmbeddedBroker, EmbeddedNameServer, Fault, FaultAction,
};
use turbopump::runtime::client::{Client, ClientConfig, Message, SendErrorKind};

use crate::{config, sends, start};

turbopump_tests::on_every_runtime![
    u3_busy_brokers_are_asked_again_and_then_named,
    u7_a_silent_name_server_and_a_silent_broker_leave_time_for_others,
    u8_a_broker_that_was_killed_is_found_again,
    u9_messages_are_sent_while_all_name_servers_are_away,
    an_id_stays_the_same_however_often_a_message_is_sent,
];

fn refuse(code: i32, remark: &str) -> Fault {
    Fault::new(FaultAction::Refuse { code, remark: remark.into() }).of_code(310)
}

async fn u3_busy_brokers_are_asked_again_and_then_named<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let mut short = config(&broker);
    short.send.timeout_us = 400_000;
    let client = Client::start(backend, short).await.unwrap();
    let producer = client.producer("group");
    for (remark, kind) in [
        ("[TIMEOUT_CLEAN_QUEUE]broker busy, period in queue: 201ms", BusyKind::QueueTimeout),
        ("[PCBUSY_CLEAN_QUEUE]broker busy", BusyKind::PageCache),
        ("[PC_SYNCHRONIZED]broker busy", BusyKind::PageCacheSynchronized),
    ] {
        broker.inject(refuse(2, remark).times(3));
        let begin = Instant::now();
        producer.send(Message::new("Orders", "x")).await.unwrap();
        // Pauses of at least 10, 20 and 40 ms.
        assert!(begin.elapsed() >= Duration::from_millis(70));
        assert_eq!(sends(&broker).len(), 4);
        broker.inject(refuse(2, remark));
        let begin = Instant::now();
        let error = producer.send(Message::new("Orders", "x")).await.unwrap_err();
        assert!(begin.elapsed() < Duration::from_secs(30), "the deadline means nothing");
        match error.kind() {
            SendErrorKind::Busy { busy, remark: said } => {
                assert_eq!((busy.kind, said.as_str()), (kind, remark));
            }
            other => panic!("{other:?}"),
        }
        assert!(error.is_retryable() && !error.maybe_sent() && error.attempts() > 3);
        broker.clear_faults();
        drop(broker.take_journal());
    }
}

async fn u7_a_silent_name_server_and_a_silent_broker_leave_time_for_others<B: Backend>(backend: B) {
    // Takes connections, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let name_server = EmbeddedNameServer::start(backend.clone(), NameServerConfig::default());
    let name_server = name_server.await.unwrap();
    let mut brokers = Vec::new();
    for name in ["broker-a", "broker-b"] {
        let mut settings = BrokerConfig::default();
        settings.name_server = None;
        settings.broker_name = name.into();
        settings.register_at = vec![name_server.address().into()];
        brokers.push(EmbeddedBroker::start(backend.clone(), settings).await.unwrap());
    }
    while name_server.stats().brokers < 2 {
        backend.sleep_until(Instant::now() + Duration::from_millis(5)).await;
    }
    brokers[0].inject(Fault::new(FaultAction::Drop).of_code(310));
    let list = format!("{};{}", silent.local_addr().unwrap(), name_server.address());
    let mut patient = ClientConfig::new(&list);
    patient.name_server_timeout = Duration::from_millis(200);
    patient.send.timeout_us = 6_000_000;
    let client = Client::start(backend, patient).await.unwrap();
    let producer = client.producer("group");
    // As many as there are queues, so that it is each one's turn.
    for _ in 0..8 {
        let sent = producer.send(Message::new("Orders", "x")).await.unwrap();
        assert_eq!(&*sent.broker, "broker-b");
    }
    // The silent one was tried once, then avoided.
    let tried = brokers[0].stats().counts.faults;
    assert!((1..=3).contains(&tried), "{tried} times");
}

async fn u8_a_broker_that_was_killed_is_found_again<B: Backend>(backend: B) {
    let mut settings = BrokerConfig::default();
    let mut broker = EmbeddedBroker::start(backend.clone(), settings.clone()).await.unwrap();
    settings.listen = broker.address();
    settings.name_server = Some(broker.name_server_address());
    let client = Client::start(backend.clone(), config(&broker)).await.unwrap();
    let producer = client.producer("group");
    for _ in 0..5 {
        producer.send(Message::new("Orders", "x")).await.unwrap();
        broker.kill().await;
        broker = EmbeddedBroker::start(backend.clone(), settings.clone()).await.unwrap();
        // By the next message, within its own time.
        producer.send(Message::new("Orders", "x")).await.unwrap();
        assert_eq!(broker.stats().counts.messages_sent, 1);
    }
}

async fn u9_messages_are_sent_while_all_name_servers_are_away<B: Backend>(backend: B) {
    let name_server = EmbeddedNameServer::start(backend.clone(), NameServerConfig::default());
    let name_server = name_server.await.unwrap();
    let mut settings = BrokerConfig::default();
    settings.name_server = None;
    settings.register_at = vec![name_server.address().into()];
    let broker = EmbeddedBroker::start(backend.clone(), settings).await.unwrap();
    while name_server.stats().brokers < 1 {
        backend.sleep_until(Instant::now() + Duration::from_millis(5)).await;
    }
    let mut soon_old = ClientConfig::new(&name_server.address().to_string());
    soon_old.route_age_max = Duration::ZERO;
    soon_old.name_server_timeout = Duration::from_millis(100);
    let client = Client::start(backend, soon_old).await.unwrap();
    let producer = client.producer("group");
    producer.send(Message::new("Orders", "x")).await.unwrap();
    name_server.shutdown().await;
    for _ in 0..20 {
        producer.send(Message::new("Orders", "x")).await.unwrap();
    }
    assert_eq!(broker.stats().counts.messages_sent, 21);
    // A topic that nobody knows can't be found, and who was asked is said.
    let error = producer.send(Message::new("Others", "x")).await.unwrap_err();
    assert!(matches!(error.kind(), SendErrorKind::NoRoute { .. }), "{error}");
}

async fn an_id_stays_the_same_however_often_a_message_is_sent<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = Client::start(backend, config(&broker)).await.unwrap();
    let producer = client.producer("group");
    broker.inject(Fault::new(FaultAction::Close).of_code(310).times(1));
    broker.inject(refuse(14, "not now").times(1));
    let sent = producer.send(Message::new("Orders", "x")).await.unwrap();
    let entries = sends(&broker);
    assert_eq!(entries.len(), 3);
    for entry in &entries {
        assert!(crate::field(entry, "i").contains(&sent.message_id.to_string()));
    }
}

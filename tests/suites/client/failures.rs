//! Brokers and name servers that are busy, silent, gone, and back.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use turbopump::core::rocketmq::client::{BusyKind, Health, Preference, RoundRobin};
use turbopump::core::time::Instant as Moment;
use turbopump::runtime::backend::Backend;
use turbopump::runtime::broker::name_server::NameServerConfig;
use turbopump::runtime::broker::{
    BrokerConfig, EmbeddedBroker, EmbeddedNameServer, Fault, FaultAction, StoreConfig,
};
use turbopump::runtime::client::{
    Batching, Client, ClientConfig, Message, ProducerConfig, SendErrorKind,
};

use crate::sending::stored;
use crate::{config, sends, start};

turbopump_tests::on_every_runtime![
    u3_busy_brokers_are_asked_again_and_then_named,
    u7_a_silent_name_server_and_a_silent_broker_leave_time_for_others,
    u8_a_broker_that_was_killed_is_found_again,
    u8_a_thousand_producers_share_one_connection,
    u8_twenty_kills_under_load_lose_nothing,
    u9_messages_are_sent_while_all_name_servers_are_away,
    r11_an_id_stays_the_same_however_often_a_message_is_sent,
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

async fn u8_a_thousand_producers_share_one_connection<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = Client::start(backend.clone(), config(&broker)).await.unwrap();
    let before = broker.stats().counts.connections_opened;
    let producers: Vec<_> = (0..1_000).map(|_| client.producer("group")).collect();
    let mut waiting = Vec::new();
    for producer in &producers {
        waiting.push(producer.submit(Message::new("Orders", "x")).await.unwrap());
    }
    for acknowledgement in waiting {
        acknowledgement.await.unwrap();
    }
    let counts = broker.stats().counts;
    // The one to the name server was there before.
    assert_eq!((counts.messages_sent, counts.connections_opened - before), (1_000, 1));
}

/// Killed under load, with all that it has on disk, and started again: what was acknowledged is
/// where its receipt says, and each message is sent within its own time, without anybody's doing.
async fn u8_twenty_kills_under_load_lose_nothing<B: Backend>(backend: B) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::SeqCst);
    let folder = format!("turbopump-client-kills-{}-{number}", std::process::id());
    let folder = std::env::temp_dir().join(folder);
    let mut settings = BrokerConfig::default();
    settings.store = Some(StoreConfig::new(&folder));
    let mut broker = EmbeddedBroker::start(backend.clone(), settings.clone()).await.unwrap();
    settings.listen = broker.address();
    settings.name_server = Some(broker.name_server_address());
    let mut patient = config(&broker);
    // Two heartbeat intervals, as they are by default.
    patient.send.timeout_us = 60_000_000;
    let client = Client::start(backend.clone(), patient).await.unwrap();
    let mut together = ProducerConfig::default();
    together.batching = Some(Batching::default());
    let producers = [client.producer("alone"), client.producer_with("together", together).unwrap()];
    let mut waiting = Vec::new();
    for round in 0..20 {
        for message in 0..60 {
            let body = format!("{round} {message}");
            let message = Message::new("Orders", body.clone());
            let submitted = producers[round % 2].submit(message).await.unwrap();
            waiting.push((body, submitted));
        }
        // In the middle of it.
        broker.kill().await;
        broker = EmbeddedBroker::start(backend.clone(), settings.clone()).await.unwrap();
    }
    let mut acknowledged = Vec::new();
    for (body, submitted) in waiting {
        acknowledged.push((body, submitted.await.unwrap()));
    }
    let mut queues = Vec::new();
    for queue in 0..8 {
        queues.push(stored(&backend, &broker, "Orders", queue).await);
    }
    for (body, receipt) in &acknowledged {
        let found = &queues[receipt.queue as usize][receipt.offset as usize];
        assert_eq!(&found.0, body, "{receipt:?}");
    }
    client.close().await;
    broker.shutdown().await;
    std::fs::remove_dir_all(folder).unwrap();
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

async fn r11_an_id_stays_the_same_however_often_a_message_is_sent<B: Backend>(backend: B) {
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

/// How often each of three brokers, with two queues each, is taken; the second may be slow.
fn shares(
    turns: &mut RoundRobin,
    brokers: &mut [Health; 3],
    now_ms: &mut u64,
    is_slow: bool,
) -> [u32; 3] {
    let mut taken = [0; 3];
    for _ in 0..600 {
        let now = Moment::from_ms(*now_ms);
        let wanted = |queue: usize| Preference::of(brokers[queue / 2].state(now), false);
        let broker = turns.pick(6, wanted).unwrap() / 2;
        brokers[broker].handle_sent(now);
        let latency_us = if is_slow && broker == 1 { 2_000_000 } else { 5_000 };
        brokers[broker].handle_answered(now.plus_us(latency_us), latency_us);
        taken[broker] += 1;
        *now_ms += 5;
    }
    taken
}

#[test]
fn u20_a_slow_broker_leaves_and_comes_back_to_its_share() {
    let (mut turns, mut brokers) = (RoundRobin::default(), [Health::default(); 3]);
    let mut now_ms = 0;
    assert_eq!(shares(&mut turns, &mut brokers, &mut now_ms, false), [200; 3]);
    let slow = shares(&mut turns, &mut brokers, &mut now_ms, true);
    assert!(slow[1] <= 2 && slow[0].abs_diff(slow[2]) <= 2, "{slow:?}");
    // It is tried once its time is over, and then has its share again.
    for _ in 0..3 {
        shares(&mut turns, &mut brokers, &mut now_ms, false);
    }
    let well = shares(&mut turns, &mut brokers, &mut now_ms, false);
    assert!(well.iter().all(|taken| (180..=220).contains(taken)), "{well:?}");
}

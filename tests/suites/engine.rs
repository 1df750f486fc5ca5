//! The core's engine against the embedded broker, over the sockets of each runtime; the simulation
//! has it among everything that goes wrong.

use core::net::SocketAddr;
use core::time::Duration;

use turbopump::runtime::backend::Backend;
use turbopump::runtime::broker::name_server::NameServerConfig;
use turbopump::runtime::broker::{
    BrokerConfig, EmbeddedBroker, EmbeddedNameServer, Fault, FaultAction,
};
use turbopump::runtime::memory::BufferPool;
use turbopump_core::rocketmq::client::SendStatus;
use turbopump_core::rocketmq::engine::{
    EngineConfig, EngineRefused, Outgoing, SendErrorKind, SendRefused,
};
use turbopump_tests::device::{Device, Room};

turbopump_tests::on_every_runtime![
    a_device_sends_messages_batches_and_in_order,
    u3_a_busy_broker_is_asked_again,
    more_brokers_than_connections_take_turns,
    what_has_no_route_is_told_so,
    u7_nobody_there_is_told_at_the_deadline,
    a_route_without_room_for_it_is_refused_whole,
    u2_what_there_is_no_room_for_comes_back_at_once,
    a_broker_that_comes_back_elsewhere_is_found,
];

async fn start<B: Backend>(
    backend: &B,
    change: impl FnOnce(&mut BrokerConfig),
) -> EmbeddedBroker<B> {
    let mut config = BrokerConfig::default();
    change(&mut config);
    EmbeddedBroker::start(backend.clone(), config).await.unwrap()
}

fn settings<B: Backend>(broker: &EmbeddedBroker<B>) -> EngineConfig<'static> {
    let list = String::leak(broker.name_server_address().to_string());
    EngineConfig::new(list, "devices", "device-1")
}

/// One that stands apart, and the list of it.
async fn name_server<B: Backend>(backend: &B) -> (EmbeddedNameServer<B>, &'static str) {
    let config = NameServerConfig::default();
    let name_server = EmbeddedNameServer::start(backend.clone(), config).await.unwrap();
    let list = String::leak(name_server.address().to_string());
    (name_server, list)
}

fn register(name: &str, at: SocketAddr) -> impl FnOnce(&mut BrokerConfig) + '_ {
    move |config| {
        config.broker_name = name.into();
        config.register_at = vec![at.into()];
    }
}

async fn a_device_sends_messages_batches_and_in_order<B: Backend>(backend: B) {
    let broker = start(&backend, |_| {}).await;
    let buffers = BufferPool::standard();
    let mut device = Device::new(&backend, settings(&broker), Room::default(), &buffers, 1);
    let mut places = Vec::new();
    for round in 0..100 {
        let now = device.now();
        // Longer than what is copied, now and then.
        let body = vec![b'x'; if round % 10 == 0 { 5_000 } else { 10 }];
        let properties = [("KEYS", "k1 k2"), ("TAGS", "warm")];
        let message = Outgoing::new("Readings", &body).with_properties(&properties);
        let message = match round % 2 {
            0 => message.with_sharding_key("cellar"),
            _ => message,
        };
        device.engine.send(now, &message).unwrap();
        let placed = device.event().await.unwrap().outcome.unwrap();
        assert_eq!(placed.status, SendStatus::Ok);
        if round % 2 == 0 {
            places.push((placed.queue, placed.offset));
        }
    }
    assert!(places.windows(2).all(|pair| pair[0].0 == pair[1].0 && pair[0].1 < pair[1].1));
    let now = device.now();
    let batch = [b"one", b"two", b"six"].map(|body| Outgoing::new("Readings", body));
    let ticket = device.engine.send_batch(now, &batch).unwrap();
    let event = device.event().await.unwrap();
    assert_eq!((event.ticket, event.outcome.is_ok()), (ticket, true));
    assert_eq!(device.event().await, None, "nothing is under way");
    let counts = broker.stats().counts;
    assert_eq!(counts.messages_sent, 103);
    device.shutdown().await;
    assert_eq!(buffers.stats().in_use, 0);
    let refused = device.engine.send(now, &Outgoing::new("Readings", b"x"));
    assert_eq!(refused, Err(SendRefused::ShuttingDown));
    broker.shutdown().await;
}

async fn u3_a_busy_broker_is_asked_again<B: Backend>(backend: B) {
    let broker = start(&backend, |_| {}).await;
    let action = FaultAction::Refuse { code: 2, remark: "[PCBUSY_CLEAN_QUEUE]broker busy".into() };
    broker.inject(Fault::new(action).of_code(310).times(3));
    let mut device =
        Device::new(&backend, settings(&broker), Room::default(), &BufferPool::standard(), 2);
    let begin = device.now().at;
    device.engine.send(device.now(), &Outgoing::new("Readings", b"x")).unwrap();
    device.event().await.unwrap().outcome.unwrap();
    // Pauses of at least 10, 20 and 40 ms.
    assert!(device.now().at.us_since(begin) >= 70_000);
    assert_eq!(broker.stats().counts.faults, 3);
    // Told with its kind when the time is over.
    let action = FaultAction::Refuse { code: 2, remark: "[PCBUSY_CLEAN_QUEUE]broker busy".into() };
    broker.inject(Fault::new(action).of_code(310).times(1_000));
    let mut settings = settings(&broker);
    settings.send.timeout_us = 1_000_000;
    let mut device = Device::new(&backend, settings, Room::default(), &BufferPool::standard(), 2);
    device.engine.send(device.now(), &Outgoing::new("Readings", b"x")).unwrap();
    let error = device.event().await.unwrap().outcome.unwrap_err();
    assert!(matches!(error.kind, SendErrorKind::Busy(_)), "{error}");
    assert!(error.attempts >= 3 && !error.maybe_sent, "{error}");
    broker.shutdown().await;
}

async fn more_brokers_than_connections_take_turns<B: Backend>(backend: B) {
    let (name_server, list) = name_server(&backend).await;
    let at = name_server.address();
    let [first, second] = [register("a", at), register("b", at)];
    let [first, second] = [start(&backend, first).await, start(&backend, second).await];
    // One connection to the name server, and one to a broker at a time.
    let room = Room { links: 2, ..Room::default() };
    let config = EngineConfig::new(list, "devices", "device-1");
    let mut device = Device::new(&backend, config, room, &BufferPool::standard(), 3);
    let mut sent = 0;
    // The second one registers by and by.
    while first.stats().counts.messages_sent < 5 || second.stats().counts.messages_sent < 5 {
        let now = device.now();
        // Made where its first message goes, so that each is for any broker.
        let topic = format!("Readings{sent}");
        device.engine.send(now, &Outgoing::new(&topic, b"x")).unwrap();
        device.event().await.unwrap().outcome.unwrap();
        sent += 1;
        let sent_to = [&first, &second].map(|broker| broker.stats().counts.messages_sent);
        assert!(sent < 2_000, "one is never asked: {sent_to:?}, {:?}", second.poll_notice());
        if sent % 20 == 0 {
            device.run_for(Duration::from_millis(20)).await;
        }
    }
    first.shutdown().await;
    second.shutdown().await;
    name_server.shutdown().await;
}

async fn what_has_no_route_is_told_so<B: Backend>(backend: B) {
    let broker = start(&backend, |config| config.auto_create_topics = false).await;
    let mut device =
        Device::new(&backend, settings(&broker), Room::default(), &BufferPool::standard(), 4);
    device.engine.send(device.now(), &Outgoing::new("Nowhere", b"x")).unwrap();
    let error = device.event().await.unwrap().outcome.unwrap_err();
    // There is a broker that makes topics as a rule; this one doesn't.
    assert_eq!((error.kind, error.maybe_sent), (SendErrorKind::Refused { code: 17 }, false));
    assert_eq!(error.attempts, 3, "another broker might");
    let (name_server, list) = name_server(&backend).await;
    let alone = EngineConfig::new(list, "devices", "device-1");
    let mut device = Device::new(&backend, alone, Room::default(), &BufferPool::standard(), 4);
    device.engine.send(device.now(), &Outgoing::new("Nowhere", b"x")).unwrap();
    let error = device.event().await.unwrap().outcome.unwrap_err();
    assert_eq!((error.kind, error.maybe_sent), (SendErrorKind::NoRoute, false));
    assert!(error.to_string().contains("create it first"), "{error}");
    name_server.shutdown().await;
    broker.shutdown().await;
}

async fn u7_nobody_there_is_told_at_the_deadline<B: Backend>(backend: B) {
    let broker = start(&backend, |_| {}).await;
    let mut settings = settings(&broker);
    broker.shutdown().await;
    settings.send.timeout_us = 200_000;
    let mut device = Device::new(&backend, settings, Room::default(), &BufferPool::standard(), 5);
    let begin = device.now().at;
    device.engine.send(device.now(), &Outgoing::new("Readings", b"x")).unwrap();
    let error = device.event().await.unwrap().outcome.unwrap_err();
    assert_eq!((error.kind, error.maybe_sent), (SendErrorKind::NoNameServer, false));
    assert!(error.attempts > 1 && device.now().at.us_since(begin) >= 50_000, "{error}");
}

async fn a_route_without_room_for_it_is_refused_whole<B: Backend>(backend: B) {
    let broker = start(&backend, |config| config.default_topic_queues = 8).await;
    let room = Room { queues: 3, ..Room::default() };
    let mut device = Device::new(&backend, settings(&broker), room, &BufferPool::standard(), 6);
    device.engine.send(device.now(), &Outgoing::new("Readings", b"x")).unwrap();
    let error = device.event().await.unwrap().outcome.unwrap_err();
    assert_eq!(error.kind, SendErrorKind::RouteTooLarge, "a key's queue would be another one");
    broker.shutdown().await;
}

async fn u2_what_there_is_no_room_for_comes_back_at_once<B: Backend>(backend: B) {
    let broker = start(&backend, |_| {}).await;
    let mut limited = settings(&broker);
    limited.message_bytes_max = 1_000;
    let room = Room { sends: 2, topics: 1, ..Room::default() };
    let mut device = Device::new(&backend, limited, room, &BufferPool::standard(), 7);
    let (now, engine) = (device.now(), &mut device.engine);
    let long = "a".repeat(128);
    for topic in ["", "with space", "SCHEDULE_TOPIC_XXXX", long.as_str()] {
        let refused = engine.send(now, &Outgoing::new(topic, b"x"));
        assert!(matches!(refused, Err(SendRefused::Topic { .. })), "{topic}");
    }
    assert_eq!(engine.send(now, &Outgoing::new("A", b"")), Err(SendRefused::Empty));
    assert_eq!(engine.send_batch(now, &[]), Err(SendRefused::Empty));
    let refused = engine.send(now, &Outgoing::new("A", &[0; 1_001]));
    assert_eq!(refused, Err(SendRefused::TooLarge { bytes: 1_001, bytes_max: 1_000 }));
    let several = [Outgoing::new("A", &[0; 600]), Outgoing::new("A", &[0; 600])];
    let refused = engine.send_batch(now, &several);
    assert!(matches!(refused, Err(SendRefused::TooLarge { bytes: 1_200.., .. })), "{refused:?}");
    let several = [Outgoing::new("A", b"x"), Outgoing::new("B", b"x")];
    assert!(matches!(engine.send_batch(now, &several), Err(SendRefused::Topic { .. })));
    let wrong = [("name", "a\u{2}b")];
    let refused = engine.send(now, &Outgoing::new("A", b"x").with_properties(&wrong));
    assert!(matches!(refused, Err(SendRefused::Property(_))), "{refused:?}");
    let long = "v".repeat(33_000);
    let long = [("name", long.as_str())];
    let refused = engine.send(now, &Outgoing::new("A", b"x").with_properties(&long));
    assert!(matches!(refused, Err(SendRefused::Properties { .. })), "{refused:?}");
    assert_eq!(engine.in_flight(), 0);
    engine.send(now, &Outgoing::new("A", b"x")).unwrap();
    let refused = engine.send(now, &Outgoing::new("B", b"x"));
    assert_eq!(refused, Err(SendRefused::TooManyTopics { max: 1 }));
    engine.send(now, &Outgoing::new("A", &[0; 1_000])).unwrap();
    let refused = engine.send(now, &Outgoing::new("A", b"x"));
    assert_eq!(refused, Err(SendRefused::Full { max: 2 }));
    while let Some(event) = device.event().await {
        event.outcome.unwrap();
    }
    // Its place is another topic's now.
    device.engine.send(device.now(), &Outgoing::new("B", b"x")).unwrap();
    device.event().await.unwrap().outcome.unwrap();
    broker.shutdown().await;
}

/// One process after the other, at other ports; the name server stays.
async fn a_broker_that_comes_back_elsewhere_is_found<B: Backend>(backend: B) {
    let (name_server, list) = name_server(&backend).await;
    let at = name_server.address();
    let mut settings = EngineConfig::new(list, "devices", "device-1");
    settings.send.timeout_us = 10_000_000;
    let mut device = Device::new(&backend, settings, Room::default(), &BufferPool::standard(), 8);
    for _ in 0..3 {
        let broker = start(&backend, register("a", at)).await;
        for _ in 0..5 {
            device.engine.send(device.now(), &Outgoing::new("Readings", b"x")).unwrap();
            device.event().await.unwrap().outcome.unwrap();
        }
        assert_eq!(broker.stats().counts.messages_sent, 5);
        broker.kill().await;
    }
    name_server.shutdown().await;
}

#[test]
fn what_no_engine_can_be_made_of_is_refused_with_the_reason() {
    use turbopump_core::rocketmq::engine::{Engine, Storage};

    let storage = || {
        let (links, topics): (Box<[_]>, Box<[_]>) = (Box::new([]), Box::new([]));
        let (queues, brokers): (Box<[_]>, Box<[_]>) = (Box::new([]), Box::new([]));
        let sends: Box<[_]> = Box::new([]);
        Storage::<BufferPool>::new(links, topics, queues, brokers, sends)
    };
    for (list, expected) in [
        ("", "is empty"),
        ("http://a/list", "address server"),
        ("a:0", "a port that is not 1 to 65535"),
        ("a:1", "storage for 0 links; give it 2 to 65535"),
    ] {
        let config = EngineConfig::new(list, "group", "client");
        let error = Engine::new(config, storage(), BufferPool::standard(), 1).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(matches!(error, EngineRefused::Storage { .. }), list == "a:1");
    }
}

//! The client over real sockets, the same on every backend: what users need, as far as one that
//! sends goes. Names that begin with `u` and a number are rows of what users have asked for.

extern crate alloc;

mod admin;
mod batching;
mod dropping;
mod ending;
mod failures;
mod groups;
mod limits;
mod name_servers;
mod refusals;
mod sending;
mod times;
mod transactions;
mod watching;

use alloc::sync::Arc;

use turbopump::runtime::backend::{Backend, Endpoint};
use turbopump::runtime::broker::{
    BrokerConfig, EmbeddedBroker, JournalEntry, TlsConfig, TlsMode, User,
};
use turbopump::runtime::client::{Client, ClientConfig, Message, SendErrorKind, SendStatus};
use turbopump_tests::certificates::{Authority, server, trusting};

turbopump_tests::on_every_runtime![
    the_first_message_takes_eight_lines,
    properties_arrive_as_they_were_set,
    long_bodies_are_compressed_where_that_helps,
    queues_are_taken_in_turns,
    u9_lists_and_ipv6,
    u10_addresses_are_mapped,
    u11_connections_are_encrypted_and_verified,
    u12_every_request_is_signed_and_no_secret_is_shown,
    u13_clusters_know_nothing_of_each_other,
];

async fn start<B: Backend>(backend: &B) -> EmbeddedBroker<B> {
    let broker = EmbeddedBroker::start(backend.clone(), BrokerConfig::default()).await.unwrap();
    broker.keep_journal(10_000);
    broker
}

fn config<B: Backend>(broker: &EmbeddedBroker<B>) -> ClientConfig {
    ClientConfig::new(&broker.name_server_address().to_string())
}

/// The sends that a broker has got.
fn sends<B: Backend>(broker: &EmbeddedBroker<B>) -> Vec<JournalEntry> {
    broker.take_journal().into_iter().filter(|entry| entry.code == 310).collect()
}

fn field<'e>(entry: &'e JournalEntry, name: &str) -> &'e str {
    let found = entry.fields.iter().find(|(other, _)| other == name);
    found.map_or("", |(_, value)| value)
}

async fn the_first_message_takes_eight_lines<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let name_server = broker.name_server_address().to_string();
    let hello = async || -> Result<_, Box<dyn std::error::Error>> {
        let client = Client::start(backend.clone(), ClientConfig::new(&name_server)).await?;
        let producer = client.producer("group");
        let sent = producer.send(Message::new("topic", "hi")).await?;
        client.close().await;
        Ok(sent)
    };
    let sent = hello().await.unwrap();
    assert_eq!((sent.offset, sent.status, &*sent.broker), (0, SendStatus::Ok, "broker-a"));
    assert_eq!(broker.stats().counts.messages_sent, 1);
    let id = sent.message_id.to_string();
    assert_eq!(id.len(), 32);
    let entry = sends(&broker).remove(0);
    assert_eq!((field(&entry, "a"), field(&entry, "b")), ("group", "topic"));
    assert!(field(&entry, "i").contains(&id));
    assert_eq!(entry.body_bytes, 2);
}

async fn properties_arrive_as_they_were_set<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = Client::start(backend, config(&broker)).await.unwrap();
    let producer = client.producer("group");
    let message = Message::new("Orders", "x").tag("new").key("1").key("2").property("a", "b");
    producer.send(message.flag(7)).await.unwrap();
    let entry = sends(&broker).remove(0);
    let properties = field(&entry, "i");
    for expected in ["TAGS\u{1}new\u{2}", "KEYS\u{1}1 2\u{2}", "a\u{1}b\u{2}"] {
        assert!(properties.contains(expected), "{properties:?}");
    }
    assert_eq!(field(&entry, "h"), "7");
}

async fn long_bodies_are_compressed_where_that_helps<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = Client::start(backend, config(&broker)).await.unwrap();
    let producer = client.producer("group");
    let mut random = turbopump::core::random::SplitMix64::new(1);
    let noise: Vec<u8> = (0..5_000).map(|_| random.next_u64() as u8).collect();
    for body in [vec![b'x'; 4_095], vec![b'x'; 4_096], noise] {
        producer.send(Message::new("Orders", body)).await.unwrap();
    }
    let sent = sends(&broker);
    let lens: Vec<_> = sent.iter().map(|entry| entry.body_bytes).collect();
    assert!(lens[0] == 4_095 && lens[1] < 100 && lens[2] == 5_000, "{lens:?}");
    // Compressed, and by zlib.
    let flags: Vec<_> = sent.iter().map(|entry| field(entry, "f").to_owned()).collect();
    assert_eq!(flags, ["0", "769", "0"]);
}

async fn queues_are_taken_in_turns<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = Client::start(backend, config(&broker)).await.unwrap();
    let producer = client.producer("group");
    let mut counts = [0; 4];
    for _ in 0..40 {
        let sent = producer.send(Message::new("Orders", "x")).await.unwrap();
        counts[sent.queue as usize] += 1;
    }
    assert!(counts.iter().all(|count| (8..=12).contains(count)), "{counts:?}");
}

async fn u9_lists_and_ipv6<B: Backend>(backend: B) {
    let mut settings = BrokerConfig::default();
    settings.listen = ([0_u16, 0, 0, 0, 0, 0, 0, 1], 0).into();
    settings.name_server = Some(settings.listen);
    let broker = EmbeddedBroker::start(backend.clone(), settings).await.unwrap();
    let address = broker.name_server_address();
    assert!(address.is_ipv6());
    // The first of the list is nobody.
    let list = format!(" 127.0.0.1:1 , {address};");
    let client = Client::start(backend, ClientConfig::new(&list)).await.unwrap();
    client.producer("group").send(Message::new("Orders", "x")).await.unwrap();
    assert_eq!(broker.stats().counts.messages_sent, 1);
}

async fn u10_addresses_are_mapped<B: Backend>(backend: B) {
    let mut settings = BrokerConfig::default();
    settings.advertised = Some(([10, 255, 255, 1], 10_911).into());
    let broker = EmbeddedBroker::start(backend.clone(), settings).await.unwrap();
    let mut mapped = config(&broker);
    let real = Endpoint::from(broker.address());
    mapped.address_mapper = Some(Arc::new(move |endpoint: &Endpoint| {
        assert_eq!(endpoint.to_string(), "10.255.255.1:10911");
        real.clone()
    }));
    let client = Client::start(backend.clone(), mapped).await.unwrap();
    client.producer("group").send(Message::new("Orders", "x")).await.unwrap();
    assert_eq!(broker.stats().counts.messages_sent, 1);
    // Without it nobody is there, and that is said.
    let mut unmapped = config(&broker);
    unmapped.send.timeout_us = 200_000;
    let client = Client::start(backend, unmapped).await.unwrap();
    let error = client.producer("group").send(Message::new("Orders", "x")).await.unwrap_err();
    assert!(matches!(error.kind(), SendErrorKind::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("10.255.255.1:10911"), "{error}");
    assert!(error.to_string().contains("address_mapper"), "{error}");
}

async fn u11_connections_are_encrypted_and_verified<B: Backend>(backend: B) {
    let (own, foreign) = (Authority::new("Own"), Authority::new("Foreign"));
    let mut settings = BrokerConfig::default();
    let server = server(own.server(&["127.0.0.1"]));
    settings.tls = Some(TlsConfig::new(server, TlsMode::Enforcing));
    let broker = EmbeddedBroker::start(backend.clone(), settings).await.unwrap();
    for (tls, is_served) in
        [(Some(trusting(&own)), true), (Some(trusting(&foreign)), false), (None, false)]
    {
        let mut secured = config(&broker);
        secured.tls = tls;
        secured.send.timeout_us = 2_000_000;
        match Client::start(backend.clone(), secured).await {
            Ok(client) => {
                let sent = client.producer("group").send(Message::new("Orders", "x")).await;
                assert_eq!(sent.is_ok(), is_served);
            }
            Err(error) => assert!(!is_served, "{error}"),
        }
    }
    assert_eq!(broker.stats().counts.messages_sent, 1);
}

async fn u12_every_request_is_signed_and_no_secret_is_shown<B: Backend>(backend: B) {
    let mut settings = BrokerConfig::default();
    let user = User { access_key: "somebody".into(), secret_key: "a-secret".into() };
    settings.users.push(user.clone());
    let broker = EmbeddedBroker::start(backend.clone(), settings).await.unwrap();
    let mut signed = config(&broker);
    signed.user = Some(user.clone());
    let shown = format!("{signed:?} {user:?}");
    let client = Client::start(backend.clone(), signed).await.unwrap();
    assert!(!format!("{client:?} {shown}").contains("a-secret"));
    let producer = client.producer("group");
    producer.send(Message::new("Orders", "x").tag("t")).await.unwrap();
    producer.send(Message::new("Orders", vec![b'x'; 10_000])).await.unwrap();
    producer.send_batch(&[Message::new("Orders", "x"), Message::new("Orders", "y")]).await.unwrap();
    producer.send_oneway(Message::new("Orders", "x")).await.unwrap();
    client.close().await;
    while broker.stats().counts.messages_sent < 5 {
        let soon = std::time::Instant::now() + core::time::Duration::from_millis(1);
        backend.sleep_until(soon).await;
    }
    assert_eq!(broker.stats().counts.requests_unsigned, 0);
    for other in [None, Some(User { secret_key: "another".into(), ..user })] {
        let mut wrong = config(&broker);
        wrong.user = other;
        wrong.send.timeout_us = 1_000_000;
        let error = Client::start(backend.clone(), wrong).await.map(|_| ()).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("code 16") && !text.contains("a-secret"), "{text}");
    }
    assert_eq!(broker.stats().counts.messages_sent, 5);
}

async fn u13_clusters_know_nothing_of_each_other<B: Backend>(backend: B) {
    let brokers = [start(&backend).await, start(&backend).await];
    let mut clients = Vec::new();
    for broker in &brokers {
        clients.push(Client::start(backend.clone(), config(broker)).await.unwrap());
    }
    // The same names everywhere.
    let producers = [0, 1].map(|index: usize| clients[index].producer("group"));
    for (count, producer) in [3, 5].into_iter().zip(&producers) {
        for _ in 0..count {
            producer.send(Message::new("Orders", "x")).await.unwrap();
        }
    }
    let counts = || brokers.each_ref().map(|broker| broker.stats().counts.messages_sent);
    assert_eq!(counts(), [3, 5]);
    clients[0].close().await;
    assert!(producers[0].send(Message::new("Orders", "x")).await.is_err(), "it was closed");
    producers[1].send(Message::new("Orders", "x")).await.unwrap();
    assert_eq!(counts(), [3, 6]);
}

//! What can't be sent is refused with what is wrong and what to do.

use turbopump::runtime::backend::Backend;
use turbopump::runtime::broker::{BrokerConfig, EmbeddedBroker};
use turbopump::runtime::client::{Client, ClientConfig, ConnectError, Message, SendErrorKind};

use crate::{config, start};

turbopump_tests::on_every_runtime![
    names_and_bodies_that_cannot_be_are_refused_here,
    u14_a_message_at_the_limit_is_sent_and_one_beyond_it_is_not,
    topics_that_nobody_has_made_are_said_to_be_missing,
    lists_of_name_servers_that_cannot_be_are_refused,
];

async fn names_and_bodies_that_cannot_be_are_refused_here<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = Client::start(backend, config(&broker)).await.unwrap();
    let producer = client.producer("group");
    for (topic, body, expected) in [
        ("", "x", "no name"),
        ("with space", "x", "letters, digits"),
        ("umläut", "x", "letters, digits"),
        ("SCHEDULE_TOPIC_XXXX", "x", "belongs to the brokers"),
        ("Orders", "", "is empty"),
    ] {
        let error = producer.send(Message::new(topic, body)).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!error.is_retryable() && !error.maybe_sent() && error.attempts() == 0);
    }
    let error = producer.send(Message::new("a".repeat(128), "x")).await.unwrap_err();
    assert!(error.to_string().contains("more than 127"), "{error}");
    producer.send(Message::new("a".repeat(127), "x")).await.unwrap();
    let wrong = Message::new("Orders", "x").property("name", "a\u{2}b");
    let error = producer.send(wrong).await.unwrap_err();
    assert!(matches!(error.kind(), SendErrorKind::Property(_)), "{error}");
    assert_eq!(broker.stats().counts.messages_sent, 1);
}

async fn u14_a_message_at_the_limit_is_sent_and_one_beyond_it_is_not<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let mut limited = config(&broker);
    limited.compress_from_bytes = usize::MAX;
    let client = Client::start(backend, limited).await.unwrap();
    let producer = client.producer("group");
    let bytes_max = 4 << 20;
    for bytes in [bytes_max - 1, bytes_max] {
        producer.send(Message::new("Orders", vec![7; bytes])).await.unwrap();
    }
    let error = producer.send(Message::new("Orders", vec![7; bytes_max + 1])).await.unwrap_err();
    let expected = SendErrorKind::TooLarge { bytes: bytes_max + 1, bytes_max };
    assert_eq!(*error.kind(), expected);
    assert!(error.to_string().contains("4194305 bytes, and may have 4194304"), "{error}");
    assert_eq!(broker.stats().counts.messages_sent, 2);
}

async fn topics_that_nobody_has_made_are_said_to_be_missing<B: Backend>(backend: B) {
    let mut settings = BrokerConfig::default();
    settings.auto_create_topics = false;
    let broker = EmbeddedBroker::start(backend.clone(), settings).await.unwrap();
    let client = Client::start(backend, config(&broker)).await.unwrap();
    let error = client.producer("group").send(Message::new("Missing", "x")).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("\"Missing\"") && text.contains("TOPIC_NOT_EXIST"), "{text}");
    assert!(!error.maybe_sent() && error.attempts() == 3);
}

async fn lists_of_name_servers_that_cannot_be_are_refused<B: Backend>(backend: B) {
    for (list, expected) in [
        ("", "names nobody"),
        ("localhost:port", "has a port"),
        ("::1:9876", "needs brackets"),
        ("http://127.0.0.1/list", "not fetched by HTTP"),
    ] {
        let refused = Client::start(backend.clone(), ClientConfig::new(list)).await;
        let error = refused.map(|_| ()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    let mut nobody = ClientConfig::new("127.0.0.1:1");
    nobody.send.timeout_us = 500_000;
    let error = Client::start(backend, nobody).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable { .. }));
    let text = error.to_string();
    assert!(text.contains("127.0.0.1:1") && text.contains("is one running there"), "{text}");
}

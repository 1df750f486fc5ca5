//! What can't be sent is refused with what is wrong and what to do.

use turbopump::runtime::backend::Backend;
use turbopump::runtime::broker::name_server::NameServerConfig;
use turbopump::runtime::broker::{BrokerConfig, EmbeddedBroker, EmbeddedNameServer};
use turbopump::runtime::client::{
    Client, ClientConfig, ConnectError, Message, SendErrorKind, TopicConfig, TopicPermission,
};

use crate::{config, start};

turbopump_tests::on_every_runtime![
    names_and_bodies_that_cannot_be_are_refused_here,
    u14_a_message_at_the_limit_is_sent_and_one_beyond_it_is_not,
    topics_that_nobody_has_made_are_said_to_be_missing,
    lists_of_name_servers_that_cannot_be_are_refused,
    u25_why_there_is_no_route_is_said_with_the_next_step,
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
        ("http://127.0.0.1:1/list", "could be fetched"),
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

/// Five causes of the same complaint.
async fn u25_why_there_is_no_route_is_said_with_the_next_step<B: Backend>(backend: B) {
    let message = || Message::new("Orders", "x");
    let brief = |broker: &EmbeddedBroker<B>| {
        let mut settings = config(broker);
        settings.send.timeout_us = 500_000;
        settings
    };
    let mut texts = Vec::new();
    // Nobody has made the topic, and no broker would.
    let mut strict = BrokerConfig::default();
    strict.auto_create_topics = false;
    let broker = EmbeddedBroker::start(backend.clone(), strict).await.unwrap();
    let client = Client::start(backend.clone(), brief(&broker)).await.unwrap();
    texts.push(client.producer("group").send(message()).await.unwrap_err().to_string());
    // The topic takes no messages.
    let mut closed = TopicConfig::new("Orders");
    closed.permission = TopicPermission::READ;
    client.admin().create_topic(&closed).await.unwrap();
    texts.push(client.producer("group").send(message()).await.unwrap_err().to_string());
    broker.shutdown().await;
    // A name server without brokers.
    let apart = EmbeddedNameServer::start(backend.clone(), NameServerConfig::default()).await;
    let apart = apart.unwrap();
    let mut settings = ClientConfig::new(&apart.address().to_string());
    settings.send.timeout_us = 500_000;
    let client = Client::start(backend.clone(), settings).await.unwrap();
    texts.push(client.producer("group").send(message()).await.unwrap_err().to_string());
    // The name server went away before it was asked.
    apart.shutdown().await;
    texts.push(client.producer("group").send(message()).await.unwrap_err().to_string());
    // Brokers that say they are where nobody is.
    let broker = start(&backend).await;
    let mut settings = brief(&broker);
    settings.address_mapper = Some(std::sync::Arc::new(|_| "127.0.0.1:1".parse().unwrap()));
    let client = Client::start(backend.clone(), settings).await.unwrap();
    texts.push(client.producer("group").send(message()).await.unwrap_err().to_string());
    broker.shutdown().await;
    for (text, expected) in texts.iter().zip([
        ["TOPIC_NOT_EXIST", "broker"],
        ["NO_PERMISSION", "sending message is forbidden"],
        ["know no topic \"Orders\"", "create the topic, or allow brokers to create it"],
        ["the name server", "127.0.0.1"],
        ["127.0.0.1:1", "`address_mapper`"],
    ]) {
        assert!(text.contains("\"Orders\" was not sent in"), "{text}");
        for part in expected {
            assert!(text.contains(part), "{part:?}: {text}");
        }
    }
}

//! Topics that are made, listed, described and deleted, and what is said where that can't be.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use turbopump::core::rocketmq::wire::command::RegisterBrokerRequestHeader;
use turbopump::core::rocketmq::wire::header::request_code;
use turbopump::runtime::backend::{Backend, SocketOptions};
use turbopump::runtime::broker::name_server::NameServerConfig;
use turbopump::runtime::broker::{
    BrokerConfig, EmbeddedBroker, EmbeddedNameServer, Fault, FaultAction, TlsConfig, TlsMode, User,
};
use turbopump::runtime::client::{
    AdminErrorKind, Client, ClientConfig, Message, TopicConfig, TopicKind, TopicPermission,
};
use turbopump::runtime::memory::BufferPool;
use turbopump::runtime::net::RequestLinkConfig;
use turbopump::runtime::rocketmq::RemotingLink;
use turbopump_tests::certificates::{Authority, server, trusting};

use crate::{config, field, start};

turbopump_tests::on_every_runtime![
    topics_are_made_described_and_deleted,
    what_brokers_keep_for_themselves_is_told_apart,
    names_and_settings_that_cannot_be_are_refused_here,
    unknown_topics_and_clusters_are_said_to_be_unknown,
    a_broker_that_does_not_answer_does_not_hide_the_others,
    a_broker_without_a_master_does_not_keep_others_from_it,
    a_topic_that_only_one_name_server_knows_can_be_deleted,
    topics_are_in_the_namespace_of_the_client,
    busy_brokers_are_asked_again,
    a_name_server_that_is_silent_leaves_time_for_another,
    requests_are_encrypted_and_signed,
    ordered_topics_name_their_queues,
];

async fn ordered_topics_name_their_queues<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let mut inside = config(&broker);
    inside.namespace = Some("shop".into());
    for settings in [config(&broker), inside] {
        let client = Client::start(backend.clone(), settings).await.unwrap();
        let (admin, producer) = (client.admin(), client.producer("group"));
        let mut orders = TopicConfig::new("Orders");
        (orders.read_queues, orders.write_queues) = (4, 2);
        assert_eq!(admin.create_topic(&orders).await.unwrap(), ["broker-a"]);
        assert_eq!(admin.describe_topic("Orders").await.unwrap().order, None);
        orders.order = true;
        drop(broker.take_journal());
        assert_eq!(admin.create_topic(&orders).await.unwrap(), ["broker-a"]);
        let made = broker.take_journal().into_iter().find(|entry| entry.code == 17).unwrap();
        assert_eq!(field(&made, "order"), "true");
        let found = admin.describe_topic("Orders").await.unwrap();
        assert_eq!(found.order.as_deref(), Some("broker-a:2"));
        // Producers believe it.
        assert_eq!(producer.queues("Orders").await.unwrap().len(), 2);
        // It goes with the topic.
        admin.delete_topic("Orders").await.unwrap();
        orders.order = false;
        admin.create_topic(&orders).await.unwrap();
        assert_eq!(admin.describe_topic("Orders").await.unwrap().order, None);
        admin.delete_topic("Orders").await.unwrap();
    }
}

async fn topics_are_made_described_and_deleted<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = Client::start(backend, config(&broker)).await.unwrap();
    let (admin, producer) = (client.admin(), client.producer("group"));
    let mut orders = TopicConfig::new("Orders");
    (orders.read_queues, orders.write_queues) = (3, 2);
    orders.cluster = Some("DefaultCluster".into());
    assert_eq!(admin.create_topic(&orders).await.unwrap(), ["broker-a"]);
    for _ in 0..6 {
        producer.send(Message::new("Orders", "x")).await.unwrap();
    }
    let found = admin.describe_topic("Orders").await.unwrap();
    assert_eq!((found.name.as_str(), found.brokers.len()), ("Orders", 1));
    let at = &found.brokers[0];
    assert_eq!((at.broker.as_str(), at.cluster.as_deref()), ("broker-a", Some("DefaultCluster")));
    assert_eq!(at.address, Some(broker.address().to_string()));
    assert_eq!((at.read_queues, at.write_queues), (3, 2));
    assert_eq!(at.permission, TopicPermission::READ_WRITE);
    let queues = at.queues.as_ref().unwrap();
    let held: Vec<_> = queues.iter().map(|queue| (queue.queue, queue.messages())).collect();
    assert_eq!(held, [(0, 3), (1, 3), (2, 0)]);
    let is_new = |at: Option<i64>| at.is_some_and(|at| at > 1_700_000_000_000);
    let updated: Vec<_> = queues.iter().map(|queue| is_new(queue.updated_unix_ms)).collect();
    assert_eq!(updated, [true, true, false]);
    // Once more changes it.
    orders.permission = TopicPermission::READ;
    admin.create_topic(&orders).await.unwrap();
    let found = admin.describe_topic("Orders").await.unwrap();
    assert_eq!(found.brokers[0].permission, TopicPermission::READ);
    let error = producer.send(Message::new("Orders", "x")).await.unwrap_err();
    assert!(!error.maybe_sent(), "{error}");
    let done = admin.delete_topic("Orders").await.unwrap();
    assert_eq!(done, ["broker-a".to_owned(), broker.name_server_address().to_string()]);
    let names = admin.topics().await.unwrap();
    assert!(names.iter().all(|topic| topic.name != "Orders"), "{names:?}");
}

async fn what_brokers_keep_for_themselves_is_told_apart<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = Client::start(backend, config(&broker)).await.unwrap();
    let admin = client.admin();
    for name in ["Orders", "OUR_REPLY_TOPIC", "%RETRY%group", "%DLQ%group"] {
        admin.create_topic(&TopicConfig::new(name)).await.unwrap();
    }
    let topics = admin.topics().await.unwrap();
    let of_kind = |kind| -> Vec<_> {
        let found = topics.iter().filter(|topic| topic.kind == kind);
        found.map(|topic| topic.name.as_str()).collect()
    };
    assert_eq!(of_kind(TopicKind::User), ["OUR_REPLY_TOPIC", "Orders"]);
    assert_eq!(of_kind(TopicKind::Retry), ["%RETRY%group"]);
    assert_eq!(of_kind(TopicKind::DeadLetter), ["%DLQ%group"]);
    let system = of_kind(TopicKind::System);
    for expected in ["TBW102", "DefaultCluster", "DefaultCluster_REPLY_TOPIC", "broker-a"] {
        assert!(system.contains(&expected), "{expected} of {system:?}");
    }
}

async fn names_and_settings_that_cannot_be_are_refused_here<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = Client::start(backend, config(&broker)).await.unwrap();
    let admin = client.admin();
    drop(broker.take_journal());
    for (name, expected) in
        [("", "is empty"), ("a b", "letters, digits"), ("TBW102", "belongs to the brokers")]
    {
        let created = admin.create_topic(&TopicConfig::new(name)).await.map(|_| ());
        let deleted = admin.delete_topic(name).await.map(|_| ());
        for error in [created.unwrap_err(), deleted.unwrap_err()] {
            assert!(matches!(error.kind(), AdminErrorKind::Name { .. }), "{error}");
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
    let mut none = TopicConfig::new("Orders");
    none.write_queues = 0;
    let error = admin.create_topic(&none).await.unwrap_err();
    assert!(error.to_string().contains("write_queues is 0, and 1 to 65536"), "{error}");
    assert!(broker.take_journal().is_empty(), "nothing is sent");
    // What only the broker knows, the broker says.
    let mut many = TopicConfig::new("Orders");
    many.read_queues = 65_536;
    let error = admin.create_topic(&many).await.unwrap_err();
    assert!(matches!(error.kind(), AdminErrorKind::Refused { .. }), "{error}");
    assert!(error.to_string().contains("INVALID_PARAMETER"), "{error}");
    assert!(error.to_string().contains(&broker.address().to_string()), "{error}");
}

async fn unknown_topics_and_clusters_are_said_to_be_unknown<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = Client::start(backend, config(&broker)).await.unwrap();
    let admin = client.admin();
    let described = admin.describe_topic("Missing").await.map(|_| ());
    let deleted = admin.delete_topic("Missing").await.map(|_| ());
    for error in [described.unwrap_err(), deleted.unwrap_err()] {
        assert_eq!(*error.kind(), AdminErrorKind::UnknownTopic);
        let text = error.to_string();
        assert!(text.contains("\"Missing\"") && text.contains("list the topics"), "{text}");
    }
    let mut elsewhere = TopicConfig::new("Orders");
    elsewhere.cluster = Some("Elsewhere".into());
    let error = admin.create_topic(&elsewhere).await.unwrap_err();
    assert!(error.to_string().contains("\"Elsewhere\"; there is DefaultCluster"), "{error}");
}

/// A name server that stands apart, and brokers that are registered at it.
async fn apart<B: Backend>(
    backend: &B,
    names: &[&str],
) -> (EmbeddedNameServer<B>, Vec<EmbeddedBroker<B>>) {
    let name_server = EmbeddedNameServer::start(backend.clone(), NameServerConfig::default());
    let name_server = name_server.await.unwrap();
    let mut brokers = Vec::new();
    for name in names {
        let mut settings = BrokerConfig::default();
        settings.name_server = None;
        settings.broker_name = (*name).into();
        settings.register_at = vec![name_server.address().into()];
        brokers.push(EmbeddedBroker::start(backend.clone(), settings).await.unwrap());
    }
    while name_server.stats().brokers < names.len() {
        backend.sleep_until(Instant::now() + Duration::from_millis(5)).await;
    }
    (name_server, brokers)
}

async fn a_broker_that_does_not_answer_does_not_hide_the_others<B: Backend>(backend: B) {
    let (name_server, brokers) = apart(&backend, &["broker-a", "broker-b"]).await;
    let settings = ClientConfig::new(&name_server.address().to_string());
    let client = Client::start(backend.clone(), settings).await.unwrap();
    let admin = client.admin();
    let code = request_code::UPDATE_AND_CREATE_TOPIC;
    let no = FaultAction::Refuse { code: 16, remark: "not today".into() };
    brokers[0].inject(Fault::new(no).of_code(code).times(1));
    let error = admin.create_topic(&TopicConfig::new("Orders")).await.unwrap_err();
    assert_eq!(error.done(), ["broker-b"]);
    let text = error.to_string();
    assert!(text.contains("NO_PERMISSION (16): not today"), "{text}");
    assert!(text.contains("done at broker-b") && text.contains("do the same again"), "{text}");
    let made = admin.create_topic(&TopicConfig::new("Orders")).await.unwrap();
    assert_eq!(made, ["broker-a", "broker-b"]);
    // Brokers tell the name server in their own time.
    while !admin.describe_topic("Orders").await.is_ok_and(|found| found.brokers.len() == 2) {
        backend.sleep_until(Instant::now() + Duration::from_millis(5)).await;
    }
    brokers[0].inject(Fault::new(FaultAction::Close).of_code(request_code::GET_TOPIC_STATS_INFO));
    let found = admin.describe_topic("Orders").await.unwrap();
    let error = found.brokers[0].queues.as_ref().unwrap_err();
    assert!(matches!(error.kind(), AdminErrorKind::Unreachable { .. }), "{error}");
    assert_eq!(found.brokers[1].queues.as_ref().unwrap().len(), 8);
    // Name servers are told only once all brokers have done it.
    let code = request_code::DELETE_TOPIC_IN_BROKER;
    brokers[1].inject(Fault::new(FaultAction::Close).of_code(code).times(3));
    let error = admin.delete_topic("Orders").await.unwrap_err();
    assert_eq!(error.done(), ["broker-a"]);
    let done = admin.delete_topic("Orders").await.unwrap();
    assert_eq!(done, ["broker-a", "broker-b", &name_server.address().to_string()]);
    let error = admin.describe_topic("Orders").await.unwrap_err();
    assert_eq!(*error.kind(), AdminErrorKind::UnknownTopic);
}

async fn a_broker_without_a_master_does_not_keep_others_from_it<B: Backend>(backend: B) {
    let (name_server, _brokers) = apart(&backend, &["broker-b"]).await;
    let halves = backend.dial(name_server.address(), &SocketOptions::default()).await.unwrap();
    let (buffers, settings) = (BufferPool::standard(), RequestLinkConfig::default());
    let link = RemotingLink::over(&backend, halves, buffers, &settings).unwrap();
    let slave = RegisterBrokerRequestHeader {
        broker_name: "broker-a".into(),
        broker_addr: "127.0.0.1:1".into(),
        cluster_name: "DefaultCluster".into(),
        ha_server_addr: "127.0.0.1:2".into(),
        broker_id: 1,
        ..RegisterBrokerRequestHeader::default()
    };
    let (code, within) = (request_code::REGISTER_BROKER, Duration::from_secs(30));
    let answer = link.ask(code, &slave, b"", within).await.unwrap();
    assert_eq!(answer.frame().unwrap().header.code, 0);
    let settings = ClientConfig::new(&name_server.address().to_string());
    let client = Client::start(backend, settings).await.unwrap();
    let error = client.admin().create_topic(&TopicConfig::new("Orders")).await.unwrap_err();
    assert_eq!(*error.kind(), AdminErrorKind::NoMaster { broker: "broker-a".into() });
    assert_eq!(error.done(), ["broker-b"]);
}

async fn a_topic_that_only_one_name_server_knows_can_be_deleted<B: Backend>(backend: B) {
    let mut name_servers = Vec::new();
    for _ in 0..2 {
        let started = EmbeddedNameServer::start(backend.clone(), NameServerConfig::default());
        name_servers.push(started.await.unwrap());
    }
    let addresses: Vec<_> = name_servers.iter().map(|server| server.address()).collect();
    let mut settings = BrokerConfig::default();
    settings.name_server = None;
    settings.register_at = addresses.iter().map(|address| (*address).into()).collect();
    let _broker = EmbeddedBroker::start(backend.clone(), settings).await.unwrap();
    while name_servers.iter().any(|server| server.stats().brokers == 0) {
        backend.sleep_until(Instant::now() + Duration::from_millis(5)).await;
    }
    let both = format!("{};{}", addresses[0], addresses[1]);
    let client = Client::start(backend.clone(), ClientConfig::new(&both)).await.unwrap();
    let settings = ClientConfig::new(&addresses[0].to_string());
    let hasty = Client::start(backend.clone(), settings).await.unwrap();
    let settings = ClientConfig::new(&addresses[1].to_string());
    let other = Client::start(backend.clone(), settings).await.unwrap();
    client.admin().create_topic(&TopicConfig::new("Orders")).await.unwrap();
    for admin in [hasty.admin(), other.admin()] {
        while admin.describe_topic("Orders").await.is_err() {
            backend.sleep_until(Instant::now() + Duration::from_millis(5)).await;
        }
    }
    hasty.admin().delete_topic("Orders").await.unwrap();
    let error = hasty.admin().describe_topic("Orders").await.unwrap_err();
    assert_eq!(*error.kind(), AdminErrorKind::UnknownTopic);
    // The broker, which has it no longer, says so itself.
    let found = other.admin().describe_topic("Orders").await.unwrap();
    let error = found.brokers[0].queues.as_ref().unwrap_err();
    assert!(error.to_string().contains("TOPIC_NOT_EXIST (17)"), "{error}");
    assert_eq!(client.admin().delete_topic("Orders").await.unwrap().len(), 3);
    let error = client.admin().describe_topic("Orders").await.unwrap_err();
    assert_eq!(*error.kind(), AdminErrorKind::UnknownTopic);
}

async fn topics_are_in_the_namespace_of_the_client<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let mut settings = config(&broker);
    settings.namespace = Some("shop".into());
    let client = Client::start(backend, settings).await.unwrap();
    let admin = client.admin();
    admin.create_topic(&TopicConfig::new("Orders")).await.unwrap();
    let names: Vec<_> = admin.topics().await.unwrap().into_iter().map(|topic| topic.name).collect();
    assert!(names.iter().any(|name| name == "shop%Orders"), "{names:?}");
    client.producer("group").send(Message::new("Orders", "x")).await.unwrap();
    let found = admin.describe_topic("Orders").await.unwrap();
    let queues = found.brokers[0].queues.as_ref().unwrap();
    assert_eq!(queues.len(), 8);
    assert_eq!(queues.iter().map(|queue| queue.messages()).sum::<i64>(), 1);
    admin.delete_topic("Orders").await.unwrap();
    let error = admin.describe_topic("Orders").await.unwrap_err();
    assert_eq!(*error.kind(), AdminErrorKind::UnknownTopic);
}

async fn busy_brokers_are_asked_again<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = Client::start(backend, config(&broker)).await.unwrap();
    let busy = FaultAction::Refuse { code: 2, remark: "[PCBUSY_CLEAN_QUEUE]broker busy".into() };
    let code = request_code::UPDATE_AND_CREATE_TOPIC;
    broker.inject(Fault::new(busy).of_code(code).times(2));
    drop(broker.take_journal());
    client.admin().create_topic(&TopicConfig::new("Orders")).await.unwrap();
    let asked = broker.take_journal().into_iter().filter(|entry| entry.code == code);
    assert_eq!(asked.count(), 3);
}

async fn a_name_server_that_is_silent_leaves_time_for_another<B: Backend>(backend: B) {
    // Takes connections, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let broker = start(&backend).await;
    let list = format!("{};{}", silent.local_addr().unwrap(), broker.name_server_address());
    let mut patient = ClientConfig::new(&list);
    patient.name_server_timeout = Duration::from_millis(100);
    patient.send.timeout_us = 1_000_000;
    let client = Client::start(backend, patient).await.unwrap();
    let admin = client.admin();
    admin.create_topic(&TopicConfig::new("Orders")).await.unwrap();
    assert_eq!(admin.describe_topic("Orders").await.unwrap().brokers.len(), 1);
    // All of them have to forget it: who has not is said.
    let error = admin.delete_topic("Orders").await.unwrap_err();
    assert_eq!(error.done(), ["broker-a".to_owned(), broker.name_server_address().to_string()]);
    assert!(error.to_string().contains(&silent.local_addr().unwrap().to_string()), "{error}");
}

async fn requests_are_encrypted_and_signed<B: Backend>(backend: B) {
    let own = Authority::new("Own");
    let mut settings = BrokerConfig::default();
    settings.tls = Some(TlsConfig::new(server(own.server(&["127.0.0.1"])), TlsMode::Enforcing));
    let user = User { access_key: "somebody".into(), secret_key: "a-secret".into() };
    settings.users.push(user.clone());
    let broker = EmbeddedBroker::start(backend.clone(), settings).await.unwrap();
    let mut secured = config(&broker);
    secured.tls = Some(trusting(&own));
    secured.user = Some(user);
    let client = Client::start(backend, secured).await.unwrap();
    let admin = client.admin();
    admin.create_topic(&TopicConfig::new("Orders")).await.unwrap();
    assert_eq!(admin.describe_topic("Orders").await.unwrap().brokers.len(), 1);
    admin.delete_topic("Orders").await.unwrap();
    assert!(!format!("{admin:?}").contains("a-secret"));
}

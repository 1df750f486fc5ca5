//! Consumer groups as administrators see them: who is in them, how far they are, and where they go
//! on.

use std::time::{Duration, Instant, UNIX_EPOCH};

use turbopump::core::rocketmq::wire::command::UpdateConsumerOffsetRequestHeader;
use turbopump::core::rocketmq::wire::header::{Absent, ExtSource, request_code, response_code};
use turbopump::runtime::backend::{Backend, SocketOptions};
use turbopump::runtime::broker::{BrokerConfig, EmbeddedBroker};
use turbopump::runtime::client::{
    AdminErrorKind, Client, GroupQueue, Message, MessageQueue, ResetTo,
};
use turbopump::runtime::memory::BufferPool;
use turbopump::runtime::net::RequestLinkConfig;
use turbopump::runtime::rocketmq::RemotingLink;

use crate::config;

turbopump_tests::on_every_runtime![
    groups_are_listed_with_their_members,
    how_far_a_group_is_is_told,
    groups_go_on_where_they_are_told_to,
    groups_are_in_the_namespace_of_the_client,
    groups_that_cannot_be_or_are_not_are_said_to_be_so,
];

/// Whatever consumes, as far as brokers can see.
struct Member {
    link: RemotingLink,
}

impl Member {
    async fn join<B: Backend>(
        backend: &B,
        broker: &EmbeddedBroker<B>,
        id: &str,
        group: &str,
    ) -> Self {
        let halves = backend.dial(broker.address(), &SocketOptions::default()).await.unwrap();
        let (buffers, settings) = (BufferPool::standard(), RequestLinkConfig::default());
        let link = RemotingLink::over(backend, halves, buffers, &settings).unwrap();
        let member = Self { link };
        let body = format!(
            "{{\"clientID\":\"{id}\",\"producerDataSet\":[],\"consumerDataSet\":[{{\
             \"groupName\":\"{group}\",\"consumeType\":\"CONSUME_PASSIVELY\",\
             \"consumeFromWhere\":\"CONSUME_FROM_FIRST_OFFSET\",\"messageModel\":\"CLUSTERING\",\
             \"subscriptionDataSet\":[],\"unitMode\":false}}]}}"
        );
        member.ask(request_code::HEART_BEAT, &Absent, body.as_bytes()).await;
        member
    }

    async fn ask(&self, code: i32, fields: &impl ExtSource, body: &[u8]) {
        let answer = self.link.ask(code, fields, body, Duration::from_secs(10)).await.unwrap();
        let frame = answer.frame().unwrap();
        assert_eq!(frame.header.code, response_code::SUCCESS, "{:?}", frame.header.remark);
    }

    async fn commit(&self, group: &str, topic: &str, queue: i32, offset: i64) {
        let header = UpdateConsumerOffsetRequestHeader {
            consumer_group: group.into(),
            topic: topic.into(),
            queue_id: queue,
            commit_offset: offset,
            ..UpdateConsumerOffsetRequestHeader::default()
        };
        self.ask(request_code::UPDATE_CONSUMER_OFFSET, &header, b"").await;
    }
}

/// A broker whose topics have two queues, with this many messages in each.
async fn filled<B: Backend>(
    backend: &B,
    client_of: &str,
    many: i64,
) -> (EmbeddedBroker<B>, Client<B>) {
    let mut settings = BrokerConfig::default();
    settings.default_topic_queues = 2;
    let broker = EmbeddedBroker::start(backend.clone(), settings).await.unwrap();
    let mut config = config(&broker);
    config.namespace = (!client_of.is_empty()).then(|| client_of.to_owned());
    let client = Client::start(backend.clone(), config).await.unwrap();
    let producer = client.producer("group");
    for queue in 0..2 {
        for _ in 0..many {
            let queue = MessageQueue::new("broker-a", queue);
            producer.send_to(Message::new("Orders", "x"), &queue).await.unwrap();
        }
    }
    (broker, client)
}

async fn wait_for<B: Backend>(backend: &B, mut is_true: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !is_true() {
        assert!(Instant::now() < until, "it does not come");
        backend.sleep_until(Instant::now() + Duration::from_millis(2)).await;
    }
}

async fn groups_are_listed_with_their_members<B: Backend>(backend: B) {
    let (broker, client) = filled(&backend, "", 0).await;
    let members = [
        Member::join(&backend, &broker, "one", "billing").await,
        Member::join(&backend, &broker, "two", "billing").await,
        Member::join(&backend, &broker, "three", "shipping").await,
    ];
    let groups = client.admin().groups().await.unwrap();
    let own: Vec<_> = groups.iter().filter(|group| !group.is_system).collect();
    let told: Vec<_> = own.iter().map(|group| (&*group.name, group.members)).collect();
    assert_eq!(told, [("billing", 2), ("shipping", 1)]);
    // They are known when nobody is there any more.
    let before = broker.stats().connections;
    for member in members {
        member.link.close().await;
    }
    wait_for(&backend, || broker.stats().connections + 3 == before).await;
    let groups = client.admin().groups().await.unwrap();
    assert!(groups.iter().all(|group| group.members == 0), "{groups:?}");
    assert!(groups.iter().any(|group| group.name == "shipping"));
}

async fn how_far_a_group_is_is_told<B: Backend>(backend: B) {
    let (broker, client) = filled(&backend, "", 10).await;
    let member = Member::join(&backend, &broker, "one", "billing").await;
    member.commit("billing", "Orders", 0, 10).await;
    member.commit("billing", "Orders", 1, 4).await;
    let progress = client.admin().group_progress("billing").await.unwrap();
    assert_eq!((progress.lag(), progress.members.len()), (6, 1));
    let who = &progress.members[0];
    assert_eq!((&*who.client_id, who.language.as_deref()), ("one", Some("RUST")));
    assert!(who.address.contains("127.0.0.1"), "{who:?}");
    let orders = progress.queues.iter().filter(|queue| queue.topic == "Orders");
    let told: Vec<_> =
        orders.map(|at| (&*at.broker, at.queue, at.committed, at.max_offset, at.lag())).collect();
    assert_eq!(told, [("broker-a", 0, 10, 10, 0), ("broker-a", 1, 4, 10, 6)]);
    let handled = progress.queues.iter().find_map(|queue| queue.handled_unix_ms);
    assert!(handled > Some(1_700_000_000_000), "{progress:?}");
}

fn at(queues: &[GroupQueue]) -> Vec<i64> {
    let orders = queues.iter().filter(|queue| queue.topic == "Orders");
    orders.map(|queue| queue.committed).collect()
}

async fn groups_go_on_where_they_are_told_to<B: Backend>(backend: B) {
    let (broker, client) = filled(&backend, "", 10).await;
    let member = Member::join(&backend, &broker, "one", "billing").await;
    member.commit("billing", "Orders", 0, 3).await;
    member.link.close().await;
    let admin = client.admin();
    let later = UNIX_EPOCH + Duration::from_secs(4_000_000_000);
    let long_ago = UNIX_EPOCH + Duration::from_secs(1);
    for (to, expected) in [
        (ResetTo::Last, 10),
        (ResetTo::First, 0),
        (ResetTo::Time(later), 10),
        (ResetTo::Time(long_ago), 0),
    ] {
        let reset = admin.reset_offsets("billing", "Orders", to).await.unwrap();
        let told: Vec<_> = reset.iter().map(|at| (&*at.broker, at.queue, at.offset)).collect();
        assert_eq!(told, [("broker-a", 0, expected), ("broker-a", 1, expected)], "{to:?}");
        let progress = admin.group_progress("billing").await.unwrap();
        assert_eq!(at(&progress.queues), [expected, expected], "{to:?}");
    }
}

async fn groups_are_in_the_namespace_of_the_client<B: Backend>(backend: B) {
    let (broker, client) = filled(&backend, "shop", 2).await;
    let member = Member::join(&backend, &broker, "one", "shop%billing").await;
    member.commit("shop%billing", "shop%Orders", 0, 1).await;
    let admin = client.admin();
    let progress = admin.group_progress("billing").await.unwrap();
    assert_eq!(at(&progress.queues)[0], 1, "{progress:?}");
    admin.reset_offsets("billing", "Orders", ResetTo::Last).await.unwrap();
    assert_eq!(admin.group_progress("billing").await.unwrap().lag(), 0);
    assert!(admin.groups().await.unwrap().iter().any(|group| group.name == "shop%billing"));
}

async fn groups_that_cannot_be_or_are_not_are_said_to_be_so<B: Backend>(backend: B) {
    let (_broker, client) = filled(&backend, "", 1).await;
    let admin = client.admin();
    let error = admin.group_progress("nobody").await.unwrap_err();
    assert_eq!(*error.kind(), AdminErrorKind::UnknownGroup);
    assert!(error.to_string().contains("\"nobody\""), "{error}");
    let error = admin.reset_offsets("nobody", "Orders", ResetTo::First).await.unwrap_err();
    assert_eq!(*error.kind(), AdminErrorKind::UnknownGroup, "{error}");
    let error = admin.reset_offsets("nobody", "Missing", ResetTo::First).await.unwrap_err();
    assert_eq!(*error.kind(), AdminErrorKind::UnknownTopic, "{error}");
    for wrong in ["", "a b", "ü", &"a".repeat(256)] {
        let error = admin.group_progress(wrong).await.unwrap_err();
        assert!(matches!(error.kind(), AdminErrorKind::Name { .. }), "{error}");
    }
}

//! Members that share queues, come and go.

use std::time::Duration;

use turbopump::core::rocketmq::wire::command::ResetOffsetRequestHeader;
use turbopump::core::rocketmq::wire::header::{request_code, response_code};
use turbopump::runtime::backend::{Backend, SocketOptions};
use turbopump::runtime::broker::EmbeddedBroker;
use turbopump::runtime::client::{Client, Consumer, Strategy};
use turbopump::runtime::memory::BufferPool;
use turbopump::runtime::net::RequestLinkConfig;
use turbopump::runtime::rocketmq::RemotingLink;

use crate::{Got, client, consumer, eager, is_committed, send, start, until};

turbopump_tests::on_every_runtime![
    u6_members_that_come_and_go_repeat_nothing,
    who_leaves_gives_its_queues_away_at_once,
    more_members_than_queues_are_idle,
    strategies_share_as_they_say,
    a_client_may_have_several_groups,
    u23_members_that_subscribe_to_something_else_are_told,
    u5_who_has_not_begun_with_a_queue_commits_nothing_of_it,
    u6_repeats_are_recognised_by_their_ids,
];

/// Somebody sets the offsets of a group anew.
pub(crate) async fn reset_offsets<B: Backend>(
    backend: &B,
    broker: &EmbeddedBroker<B>,
    group: &str,
    topic: &str,
    unix_ms: i64,
) {
    let halves = backend.dial(broker.address(), &SocketOptions::default()).await.unwrap();
    let (buffers, settings) = (BufferPool::standard(), RequestLinkConfig::default());
    let link = RemotingLink::over(backend, halves, buffers, &settings).unwrap();
    let header = ResetOffsetRequestHeader {
        group: group.into(),
        topic: topic.into(),
        queue_id: -1,
        timestamp: unix_ms,
        is_force: true,
        ..ResetOffsetRequestHeader::default()
    };
    let code = request_code::INVOKE_BROKER_TO_RESET_OFFSET;
    let answer = link.ask(code, &header, b"", Duration::from_secs(30)).await.unwrap();
    assert_eq!(answer.frame().unwrap().header.code, response_code::SUCCESS);
}

/// How many queues of a topic it has.
pub(crate) fn has<B: Backend>(consumer: &Consumer<B>, topic: &str) -> usize {
    let queues = consumer.queues();
    queues.iter().filter(|one| &*one.queue.topic == topic && one.is_running).count()
}

async fn u6_members_that_come_and_go_repeat_nothing<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let clients = [
        client(&backend, &broker).await,
        client(&backend, &broker).await,
        client(&backend, &broker).await,
    ];
    let producer = clients[0].producer("producers");
    let got = Got::default();
    let consumer = async |client: &Client<B>| {
        let mut settings = eager();
        settings.take_delay = Duration::from_secs(2);
        let builder = client.consumer("group").with_config(settings).subscribe("Orders", "*");
        builder.start(got.handler()).await.unwrap()
    };
    let first = consumer(&clients[0]).await;
    send(&producer, "Orders", 0..300).await;
    let second = consumer(&clients[1]).await;
    send(&producer, "Orders", 300..600).await;
    let third = consumer(&clients[2]).await;
    send(&producer, "Orders", 600..900).await;
    until(&backend, "all share", || {
        [&first, &second, &third].iter().all(|one| has(one, "Orders") > 0)
    })
    .await;
    let report = first.shutdown(Duration::from_secs(20)).await;
    assert!(report.in_time && report.uncommitted == 0, "{report:?}");
    send(&producer, "Orders", 900..1_200).await;
    let report = third.shutdown(Duration::from_secs(20)).await;
    assert!(report.in_time && report.uncommitted == 0, "{report:?}");
    until(&backend, "all came", || got.len() == 1_200).await;
    until(&backend, "all is committed", || is_committed(&broker, "group", "Orders")).await;
    assert_eq!(got.repeats(), [], "each queue was committed before it was given away");
    until(&backend, "one has all", || has(&second, "Orders") == 4).await;
}

async fn who_leaves_gives_its_queues_away_at_once<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let clients = [client(&backend, &broker).await, client(&backend, &broker).await];
    let producer = clients[0].producer("producers");
    let (got, other) = (Got::default(), Got::default());
    send(&producer, "Orders", 0..4).await;
    let first = consumer(&clients[0], "group", "Orders", &got).await;
    let second = consumer(&clients[1], "group", "Orders", &other).await;
    until(&backend, "both share", || has(&first, "Orders") == 2 && has(&second, "Orders") == 2)
        .await;
    // A farewell, and a handle that is dropped: nobody waits for the timer of 20 seconds.
    let begin = std::time::Instant::now();
    drop(first);
    until(&backend, "the other has all", || has(&second, "Orders") == 4).await;
    let first = consumer(&clients[0], "group", "Orders", &got).await;
    until(&backend, "both share", || has(&first, "Orders") == 2 && has(&second, "Orders") == 2)
        .await;
    clients[1].close().await;
    until(&backend, "the first has all", || has(&first, "Orders") == 4).await;
    assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
}

async fn more_members_than_queues_are_idle<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let sender = client(&backend, &broker).await;
    send(&sender.producer("producers"), "Orders", 0..20).await;
    let got = Got::default();
    let mut members = Vec::new();
    for _ in 0..6 {
        let client = client(&backend, &broker).await;
        members.push((consumer(&client, "group", "Orders", &got).await, client));
    }
    let counts = || {
        let mut counts: Vec<_> = members.iter().map(|(one, _)| has(one, "Orders")).collect();
        counts.sort_unstable();
        counts
    };
    until(&backend, "four have one each", || counts() == [0, 0, 1, 1, 1, 1]).await;
    until(&backend, "all came", || got.len() == 20).await;
    // The retry topic has one queue, and one member has that.
    let retries = || members.iter().map(|(one, _)| has(one, "%RETRY%group")).sum::<usize>();
    until(&backend, "one has the retries", || retries() == 1).await;
}

async fn strategies_share_as_they_say<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let sender = client(&backend, &broker).await;
    send(&sender.producer("producers"), "Orders", 0..8).await;
    let strategies = [
        (Strategy::Averagely, [vec![0, 1], vec![2, 3]]),
        (Strategy::AveragelyByCircle, [vec![0, 2], vec![1, 3]]),
    ];
    for (strategy, expected) in strategies {
        let got = Got::default();
        let mut members = Vec::new();
        for _ in 0..2 {
            let client = client(&backend, &broker).await;
            let mut settings = eager();
            settings.strategy = strategy;
            let builder = client.consumer(strategy.name()).with_config(settings);
            let consumer = builder.subscribe("Orders", "*").start(got.handler()).await.unwrap();
            members.push((consumer, client));
        }
        let shares = || {
            let mut shares = Vec::new();
            for (member, _) in &members {
                let queues =
                    member.queues().into_iter().filter(|one| &*one.queue.topic == "Orders");
                let mut share: Vec<_> = queues.map(|one| one.queue.queue).collect();
                share.sort_unstable();
                shares.push(share);
            }
            shares.sort();
            shares
        };
        until(&backend, "both share", || shares() == expected).await;
        until(&backend, "all came", || got.len() == 8).await;
    }
}

async fn a_client_may_have_several_groups<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = client(&backend, &broker).await;
    let producer = client.producer("producers");
    send(&producer, "Orders", 0..10).await;
    send(&producer, "Bills", 10..20).await;
    let gots = [Got::default(), Got::default()];
    let one = client.consumer("one").with_config(eager()).subscribe("Orders", "*");
    let one = one.subscribe("Bills", "*").start(gots[0].handler()).await.unwrap();
    let two = consumer(&client, "two", "Bills", &gots[1]).await;
    until(&backend, "all came", || gots[0].len() == 20 && gots[1].len() == 10).await;
    // One ends, and the other goes on.
    assert!(one.shutdown(Duration::from_secs(20)).await.in_time);
    send(&producer, "Bills", 20..30).await;
    until(&backend, "more came", || gots[1].len() == 20).await;
    assert_eq!((gots[0].len(), two.group()), (20, "two"));
}

async fn u23_members_that_subscribe_to_something_else_are_told<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let clients = [client(&backend, &broker).await, client(&backend, &broker).await];
    send(&clients[0].producer("producers"), "Orders", 0..4).await;
    let mut members = Vec::new();
    for (client, tags) in clients.iter().zip(["red", "blue || green"]) {
        let mut settings = eager();
        settings.rebalance.interval_us = 100_000;
        let builder = client.consumer("group").with_config(settings).subscribe("Orders", tags);
        members.push(builder.start(Got::default().handler()).await.unwrap());
    }
    let differ = |member: &Consumer<B>| member.stats().subscription_differences().to_vec();
    // Whoever did not speak last is told, sooner or later.
    let mut texts: Vec<String> = Vec::new();
    until(&backend, "one is told", || {
        texts = members.iter().flat_map(differ).collect();
        texts.iter().any(|text| text.contains("red") && text.contains("green"))
    })
    .await;
    assert!(texts.iter().all(|text| text.contains("messages are lost")), "{texts:?}");
}

async fn u6_repeats_are_recognised_by_their_ids<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = client(&backend, &broker).await;
    send(&client.producer("producers"), "Orders", 0..40).await;
    let got = Got::default();
    let mut settings = eager();
    settings.seen_max = 1_000;
    let builder = client.consumer("group").with_config(settings).subscribe("Orders", "*");
    let consumer = builder.start(got.handler()).await.unwrap();
    until(&backend, "all are done", || consumer.stats().done() == 40).await;
    // Everything is delivered once more, and nothing is handled.
    reset_offsets(&backend, &broker, "group", "Orders", 0).await;
    let repeated = || consumer.stats().topics().map(|(_, topic)| topic.repeated()).sum::<u64>();
    until(&backend, "all came again", || repeated() == 40).await;
    until(&backend, "all is committed", || is_committed(&broker, "group", "Orders")).await;
    assert_eq!((got.len(), got.repeats()), (40, vec![]));
}

async fn u5_who_has_not_begun_with_a_queue_commits_nothing_of_it<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let clients = [client(&backend, &broker).await, client(&backend, &broker).await];
    send(&clients[0].producer("producers"), "Orders", 0..40).await;
    let got = Got::default();
    let first = consumer(&clients[0], "group", "Orders", &got).await;
    until(&backend, "all came", || got.len() == 40).await;
    let mut settings = eager();
    settings.take_delay = Duration::from_secs(60);
    let builder = clients[1].consumer("group").with_config(settings).subscribe("Orders", "*");
    let second = builder.start(got.handler()).await.unwrap();
    // It has queues, and waits for the other to be through with them.
    until(&backend, "both share", || second.queues().len() >= 2 && has(&first, "Orders") == 2)
        .await;
    until(&backend, "all is committed", || is_committed(&broker, "group", "Orders")).await;
    let report = second.shutdown(Duration::from_secs(20)).await;
    assert!(report.in_time && report.uncommitted == 0, "{report:?}");
    assert!(is_committed(&broker, "group", "Orders"), "nothing goes back");
    until(&backend, "one has all", || has(&first, "Orders") == 4).await;
    assert_eq!(got.repeats(), []);
}

//! Where groups begin, and what can't.

use std::time::Duration;

use turbopump::runtime::backend::Backend;
use turbopump::runtime::client::{ConsumeErrorKind, ConsumerConfig, StartFrom};

use crate::{Got, client, config, consumer, eager, is_committed, send, send_one, start, until};

turbopump_tests::on_every_runtime![
    what_cannot_be_meant_is_refused,
    groups_begin_where_they_are_told,
    a_topic_may_come_later,
    u17_the_first_message_comes_within_a_second,
    u6_a_group_goes_on_where_it_was,
    an_offset_that_is_set_anew_is_followed,
];

async fn what_cannot_be_meant_is_refused<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = client(&backend, &broker).await;
    let got = Got::default();
    let builder = || client.consumer("group");
    let refused = async |builder: turbopump::runtime::client::ConsumerBuilder<B>| {
        let error = builder.start(got.handler()).await.unwrap_err();
        assert!(error.to_string().contains("group"), "{error}");
        error.kind().clone()
    };
    assert_eq!(refused(builder()).await, ConsumeErrorKind::NoTopic);
    let kind = refused(builder().subscribe("Orders", "||")).await;
    assert!(matches!(kind, ConsumeErrorKind::Expression { .. }), "{kind:?}");
    let kind = refused(builder().subscribe("Orders", "a").subscribe("Orders", "b")).await;
    assert!(matches!(kind, ConsumeErrorKind::Topic { .. }), "{kind:?}");
    let kind = refused(builder().subscribe("no topic", "*")).await;
    assert!(matches!(kind, ConsumeErrorKind::Topic { .. }), "{kind:?}");
    let kind = refused(client.consumer("no group").subscribe("Orders", "*")).await;
    assert!(matches!(kind, ConsumeErrorKind::Group { .. }), "{kind:?}");
    let mut nobody = ConsumerConfig::default();
    nobody.handlers_max = 0;
    let kind = refused(builder().with_config(nobody).subscribe("Orders", "*")).await;
    assert!(matches!(kind, ConsumeErrorKind::Settings { .. }), "{kind:?}");
    let first = consumer(&client, "group", "Orders", &got).await;
    let kind = refused(builder().subscribe("Orders", "*")).await;
    assert_eq!(kind, ConsumeErrorKind::AlreadyConsumes);
    // When that one is gone, there is room for another.
    assert!(first.shutdown(Duration::from_secs(20)).await.in_time);
    let second = consumer(&client, "group", "Orders", &got).await;
    client.close().await;
    assert_eq!(refused(builder().subscribe("Orders", "*")).await, ConsumeErrorKind::Closed);
    assert!(second.queues().is_empty());
}

async fn groups_begin_where_they_are_told<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = client(&backend, &broker).await;
    let producer = client.producer("producers");
    send(&producer, "Orders", 0..8).await;
    let middle = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    // By the broker's clock, what follows is stored later.
    broker.advance_clock(Duration::from_secs(10));
    send(&producer, "Orders", 10..14).await;
    let unix_ms = middle.as_millis() as i64 + 5_000;
    let starts = [
        ("first", StartFrom::First, 12 + 4),
        ("time", StartFrom::Timestamp { unix_ms }, 4 + 4),
        ("last", StartFrom::Last, 4),
    ];
    let mut consumers = Vec::new();
    for (group, from, expected) in starts {
        let got = Got::default();
        let mut settings = eager();
        // Brokers are not to begin with all there is because the queues are young.
        settings.start.is_exact = true;
        let consumer = client.consumer(group).with_config(settings).start_from(from);
        let consumer = consumer.subscribe("Orders", "*").start(got.handler()).await.unwrap();
        let running = || consumer.queues().iter().filter(|queue| queue.is_running).count();
        until(&backend, "it has begun", || running() == 5).await;
        consumers.push((consumer, got, expected));
    }
    send(&producer, "Orders", 20..24).await;
    for (consumer, got, expected) in &consumers {
        until(&backend, "all came", || got.len() == *expected).await;
        assert_eq!(got.repeats(), [], "{}", consumer.group());
        until(&backend, "all is committed", || is_committed(&broker, consumer.group(), "Orders"))
            .await;
        assert_eq!(got.len(), *expected);
    }
}

async fn a_topic_may_come_later<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = client(&backend, &broker).await;
    let got = Got::default();
    let consumer = consumer(&client, "group", "Later", &got).await;
    until(&backend, "it is looked for", || consumer.stats().rebalances_failed() >= 2).await;
    send_one(&client.producer("producers"), "Later", "x").await;
    until(&backend, "it came", || got.bodies() == ["x"]).await;
}

async fn u17_the_first_message_comes_within_a_second<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = client(&backend, &broker).await;
    send_one(&client.producer("producers"), "Orders", "x").await;
    let got = Got::default();
    let begin = std::time::Instant::now();
    let consumer = consumer(&client, "group", "Orders", &got).await;
    until(&backend, "it came", || got.len() == 1).await;
    // Nothing in it waits for a timer; on a busy machine it may be a little more.
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    // Heartbeats go before pulls, so that no pull was refused.
    let codes: Vec<_> = broker.take_journal().into_iter().map(|entry| entry.code).collect();
    let first = |code| codes.iter().position(|other| *other == code);
    assert!(first(34) < first(38) && first(38) < first(11), "{codes:?}");
    assert_eq!((consumer.stats().pulls_failed(), consumer.stats().subscriptions_unknown()), (0, 0));
}

async fn u6_a_group_goes_on_where_it_was<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let got = Got::default();
    for round in 0..3 {
        let client = client(&backend, &broker).await;
        let consumer = consumer(&client, "group", "Orders", &got).await;
        send(&client.producer("producers"), "Orders", round * 100..round * 100 + 50).await;
        let expected = (round as usize + 1) * 50;
        until(&backend, "all came", || got.len() == expected).await;
        let report = consumer.shutdown(Duration::from_secs(20)).await;
        assert_eq!((report.in_time, report.uncommitted, report.abandoned), (true, 0, 0));
        // Whatever was handled is committed, although no interval is over.
        assert!(is_committed(&broker, "group", "Orders"));
    }
    assert_eq!(got.repeats(), []);
    let _ = config(&broker);
}

async fn an_offset_that_is_set_anew_is_followed<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = client(&backend, &broker).await;
    send(&client.producer("producers"), "Orders", 0..20).await;
    let got = Got::default();
    let consumer = consumer(&client, "group", "Orders", &got).await;
    until(&backend, "all came", || got.len() == 20).await;
    until(&backend, "all is committed", || is_committed(&broker, "group", "Orders")).await;
    crate::sharing::reset_offsets(&backend, &broker, "group", "Orders", 0).await;
    until(&backend, "all came again", || got.repeats().len() == 20).await;
    until(&backend, "all is committed", || is_committed(&broker, "group", "Orders")).await;
    assert_eq!(consumer.stats().offsets_moved(), 4);
    assert!(got.repeats().iter().all(|(_, count)| *count == 2), "{:?}", got.repeats());
}

//! Brokers that fail, are busy, forget, or go away and come back.

use std::time::Duration;

use turbopump::runtime::backend::Backend;
use turbopump::runtime::broker::{BrokerConfig, EmbeddedBroker, Fault, FaultAction, StoreConfig};
use turbopump::runtime::client::Client;

use crate::{Got, client, config, consumer, is_committed, send, start, until};

turbopump_tests::on_every_runtime![
    pulls_that_fail_are_tried_again,
    u23_a_broker_that_has_forgotten_the_group_is_told_again,
    members_that_nobody_knows_are_asked_for_again,
    u8_a_broker_that_was_restarted_is_used_again,
    u8_a_connection_that_swallows_everything_is_left,
];

async fn pulls_that_fail_are_tried_again<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = client(&backend, &broker).await;
    let producer = client.producer("producers");
    send(&producer, "Orders", 0..20).await;
    let refuse = |code| FaultAction::Refuse { code, remark: "as planned".into() };
    for action in [refuse(2), refuse(215), refuse(1), FaultAction::Close] {
        broker.inject(Fault::new(action).of_code(11).times(2));
    }
    for code in [14, 31] {
        broker.inject(Fault::new(refuse(1)).of_code(code).times(2));
    }
    broker.inject(Fault::new(refuse(1)).of_code(15).times(2));
    let got = Got::default();
    let consumer = consumer(&client, "group", "Orders", &got).await;
    until(&backend, "all came", || got.len() == 20).await;
    send(&producer, "Orders", 20..40).await;
    until(&backend, "more came", || got.len() == 40).await;
    until(&backend, "all is committed", || is_committed(&broker, "group", "Orders")).await;
    assert_eq!(got.repeats(), []);
    assert!(consumer.stats().pulls_failed() >= 6, "{:?}", consumer.stats());
    assert_eq!(consumer.stats().commits_failed(), 2);
}

async fn u23_a_broker_that_has_forgotten_the_group_is_told_again<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = client(&backend, &broker).await;
    let producer = client.producer("producers");
    send(&producer, "Orders", 0..20).await;
    for code in [24, 25] {
        let action = FaultAction::Refuse { code, remark: "as planned".into() };
        broker.inject(Fault::new(action).of_code(11).times(3));
    }
    let got = Got::default();
    let consumer = consumer(&client, "group", "Orders", &got).await;
    until(&backend, "all came", || got.len() == 20).await;
    assert_eq!(consumer.stats().subscriptions_unknown(), 6);
    let beats = broker.take_journal().iter().filter(|entry| entry.code == 34).count();
    assert!(beats >= 2, "{beats}");
}

async fn members_that_nobody_knows_are_asked_for_again<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = client(&backend, &broker).await;
    send(&client.producer("producers"), "Orders", 0..20).await;
    let action = FaultAction::Refuse { code: 1, remark: "as planned".into() };
    broker.inject(Fault::new(action).of_code(38).times(2));
    let got = Got::default();
    let consumer = consumer(&client, "group", "Orders", &got).await;
    until(&backend, "all came", || got.len() == 20).await;
    assert!(consumer.stats().rebalances_failed() >= 1);
}

async fn u8_a_broker_that_was_restarted_is_used_again<B: Backend>(backend: B) {
    let folder =
        std::env::temp_dir().join(format!("turbopump-consumer-{:x}", backend.random_seed()));
    let mut settings = BrokerConfig::default();
    settings.store = Some(StoreConfig::new(&folder));
    let broker = EmbeddedBroker::start(backend.clone(), settings.clone()).await.unwrap();
    (settings.listen, settings.name_server) =
        (broker.address(), Some(broker.name_server_address()));
    let client = Client::start(backend.clone(), config(&broker)).await.unwrap();
    let producer = client.producer("producers");
    let got = Got::default();
    let consumer = consumer(&client, "group", "Orders", &got).await;
    send(&producer, "Orders", 0..20).await;
    until(&backend, "all came", || got.len() == 20).await;
    until(&backend, "all is committed", || is_committed(&broker, "group", "Orders")).await;
    broker.shutdown().await;
    let broker = EmbeddedBroker::start(backend.clone(), settings).await.unwrap();
    send(&producer, "Orders", 20..40).await;
    until(&backend, "more came", || got.len() == 40).await;
    until(&backend, "all is committed", || is_committed(&broker, "group", "Orders")).await;
    assert_eq!(got.repeats(), []);
    let report = consumer.shutdown(Duration::from_secs(20)).await;
    assert!(report.in_time, "{report:?}");
    client.close().await;
    broker.shutdown().await;
    let _ = std::fs::remove_dir_all(folder);
}

async fn u8_a_connection_that_swallows_everything_is_left<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let mut settings = config(&broker);
    settings.heartbeat_interval = Duration::from_millis(100);
    let client = Client::start(backend.clone(), settings).await.unwrap();
    let producer = client.producer("producers");
    let got = Got::default();
    let _consumer = consumer(&client, "group", "Orders", &got).await;
    send(&producer, "Orders", 0..20).await;
    until(&backend, "all came", || got.len() == 20).await;
    broker.inject(Fault::new(FaultAction::HalfOpen).of_code(34).times(1));
    let connections = broker.stats().counts.connections_opened;
    until(&backend, "another is made", || broker.stats().counts.connections_opened > connections)
        .await;
    send(&producer, "Orders", 20..40).await;
    until(&backend, "more came", || got.len() == 40).await;
}

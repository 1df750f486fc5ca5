//! Memory that is bounded whatever brokers do, and compression of every kind.

use std::time::Duration;

use turbopump::core::rocketmq::wire::message::{Compression, SysFlag};
use turbopump::runtime::backend::Backend;
use turbopump::runtime::broker::{Fault, FaultAction};
use turbopump::runtime::client::{Batching, Client, ClientConfig, Message, ProducerConfig};
use turbopump::runtime::rocketmq::BodyCodec;

use crate::{config, field, sends, start};

turbopump_tests::on_every_runtime![
    u2_a_flood_stays_within_the_budget,
    u21_bodies_are_compressed_as_the_producer_is_set,
];

/// Stalled, swallowing, or refusing: what is under way stays within the budget, and is gone when
/// its time is over.
async fn u2_a_flood_stays_within_the_budget<B: Backend>(backend: B) {
    const BYTES_MAX: u64 = 1 << 20;
    let refuse = FaultAction::Refuse { code: 2, remark: "[OVERLOAD]".into() };
    for action in [FaultAction::HalfOpen, FaultAction::Drop, refuse, FaultAction::Close] {
        for batching in [None, Some(Batching::default())] {
            let broker = start(&backend).await;
            let mut settings = config(&broker);
            settings.in_flight_bytes_max = BYTES_MAX;
            settings.send.timeout_us = 300_000;
            let client = Client::start(backend.clone(), settings).await.unwrap();
            let mut settings = ProducerConfig::default();
            settings.batching = batching;
            let producer = client.producer_with("group", settings).unwrap();
            broker.inject(Fault::new(action.clone()).of_topic("Orders"));
            let (mut handed, mut refused) = (0, 0);
            for number in 0..2_000 {
                let body = vec![number as u8; 3_000];
                match producer.try_send(Message::new("Orders", body)) {
                    Ok(acknowledgement) => drop(acknowledgement),
                    Err(error) => {
                        assert_eq!(error.message.body().len(), 3_000);
                        refused += 1;
                        continue;
                    }
                }
                handed += 1;
                let stats = producer.stats();
                assert!(stats.in_flight_bytes() <= BYTES_MAX, "{stats:?}");
            }
            assert!(refused > 1_000 && handed < 400, "{handed} were handed over");
            let memory = client.memory();
            let bytes: usize = memory.classes.iter().map(|one| one.in_use * one.slot_bytes).sum();
            // Twice: what is put together, and what is being written.
            assert!(bytes as u64 <= 2 * BYTES_MAX + (1 << 20), "{memory:?}");
            while producer.stats().in_flight() > 0 {
                backend.sleep_until(std::time::Instant::now() + Duration::from_millis(5)).await;
            }
            client.close().await;
            drop(producer);
            let left: usize = client.memory().classes.iter().map(|one| one.in_use).sum();
            assert_eq!(left, 0, "buffers after {action:?}");
        }
    }
}

async fn u21_bodies_are_compressed_as_the_producer_is_set<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let mut settings: ClientConfig = config(&broker);
    settings.compress_from_bytes = 1_000;
    let client = Client::start(backend.clone(), settings).await.unwrap();
    let body = b"the same again, ".repeat(500);
    for compression in [Compression::Zlib, Compression::Lz4, Compression::Zstd] {
        let mut settings = ProducerConfig::default();
        settings.compression = compression;
        let producer = client.producer_with("group", settings).unwrap();
        producer.send(Message::new("Orders", body.clone())).await.unwrap();
        let entry = sends(&broker).remove(0);
        let flag = SysFlag(field(&entry, "f").parse().unwrap());
        assert_eq!(flag.compression(), Ok(Some(compression)));
        assert!(entry.body_bytes < 1_000, "{compression:?}: {}", entry.body_bytes);
    }
    // And restored to what they were.
    let mut restored = vec![0; body.len()];
    let mut found = 0;
    for queue in 0..4 {
        for (flag, stored) in
            crate::sending::stored_as_it_is(&backend, &broker, "Orders", queue).await
        {
            let len = BodyCodec::new().restore(flag, &stored, &mut restored).unwrap();
            assert_eq!(restored[..len], body);
            // A limit that is too short is an error, never a part.
            assert!(BodyCodec::new().restore(flag, &stored, &mut restored[..100]).is_err());
            found += 1;
        }
    }
    assert_eq!(found, 3);
}

//! Bodies that were compressed, or can't be read.

use std::time::Duration;

use turbopump::core::rocketmq::wire::command::SendMessageRequestHeaderV2;
use turbopump::core::rocketmq::wire::header::{request_code, response_code};
use turbopump::core::rocketmq::wire::message::Compression;
use turbopump::runtime::backend::{Backend, SocketOptions};
use turbopump::runtime::broker::EmbeddedBroker;
use turbopump::runtime::client::{
    Client, Consumed, Message, ProducerConfig, ReceivedMessage, UnreadableBody,
};
use turbopump::runtime::memory::BufferPool;
use turbopump::runtime::net::RequestLinkConfig;
use turbopump::runtime::rocketmq::{BodyError, RemotingLink};

use crate::{Got, client, config, consumer, eager, start, until};

turbopump_tests::on_every_runtime![
    u21_bodies_are_restored_whoever_compressed_them,
    u21_what_cannot_be_restored_is_an_error_to_the_handler,
    u21_a_bomb_ends_at_the_limit,
];

async fn u21_bodies_are_restored_whoever_compressed_them<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = client(&backend, &broker).await;
    let mut expected = Vec::new();
    for compression in [Compression::Zlib, Compression::Lz4, Compression::Zstd] {
        let mut settings = ProducerConfig::default();
        settings.compression = compression;
        let producer = client.producer_with("producers", settings).unwrap();
        // Short ones, and some that are far longer than what is sent.
        for len in [100, 5_000, 2_000_000] {
            let body = format!("{compression:?} {len} ").repeat(1 + len / 10);
            producer.send(Message::new("Orders", body.clone())).await.unwrap();
            expected.push(body);
        }
    }
    let got = Got::default();
    let _consumer = consumer(&client, "group", "Orders", &got).await;
    until(&backend, "all came", || got.len() == expected.len()).await;
    expected.sort_unstable();
    assert!(got.bodies() == expected);
}

/// Sends something that no producer of ours would.
async fn send_raw<B: Backend>(backend: &B, broker: &EmbeddedBroker<B>, sys_flag: i32, body: &[u8]) {
    let halves = backend.dial(broker.address(), &SocketOptions::default()).await.unwrap();
    let (buffers, settings) = (BufferPool::standard(), RequestLinkConfig::default());
    let link = RemotingLink::over(backend, halves, buffers, &settings).unwrap();
    let header = SendMessageRequestHeaderV2 {
        producer_group: "producers".into(),
        topic: "Orders".into(),
        default_topic: "TBW102".into(),
        default_topic_queue_nums: 4,
        queue_id: 0,
        sys_flag,
        ..SendMessageRequestHeaderV2::default()
    };
    let (code, within) = (request_code::SEND_MESSAGE_V2, Duration::from_secs(30));
    let answer = link.ask(code, &header, body, within).await.unwrap();
    assert_eq!(answer.frame().unwrap().header.code, response_code::SUCCESS);
}

async fn u21_what_cannot_be_restored_is_an_error_to_the_handler<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    // Compressed by nobody knows what; not what it says; a plain one behind them.
    for (sys_flag, body) in
        [(0x501, "what is it"), (0x301, "no zlib"), (0x201, "no zstd"), (0, "x")]
    {
        send_raw(&backend, &broker, sys_flag, body.as_bytes()).await;
    }
    let client = client(&backend, &broker).await;
    let (heard, hears) = smol::channel::unbounded();
    let consumer = client.consumer("group").with_config(eager()).subscribe("Orders", "*");
    let consumer = consumer
        .handlers_max(1)
        .start(move |message: ReceivedMessage| {
            let heard = heard.clone();
            async move {
                let body = message.body().cloned();
                heard.send(body.clone()).await.unwrap();
                match body {
                    // The broker can't read it either, and takes it back from nobody.
                    Err(UnreadableBody::Restore(BodyError::Unknown(_))) | Ok(_) => Consumed::Done,
                    Err(_) => Consumed::Dead,
                }
            }
        })
        .await
        .unwrap();
    let unknown = hears.recv().await.unwrap().unwrap_err();
    assert!(matches!(unknown, UnreadableBody::Restore(BodyError::Unknown(_))), "{unknown:?}");
    for _ in 0..2 {
        let error = hears.recv().await.unwrap().unwrap_err();
        assert!(matches!(error, UnreadableBody::Restore(BodyError::Restore(_))), "{error}");
        assert!(error.to_string().contains("can't be restored"), "{error}");
    }
    assert_eq!(hears.recv().await.unwrap().unwrap(), "x");
    until(&backend, "two are dead", || broker.stats().counts.messages_dead == 2).await;
    until(&backend, "all are settled", || consumer.stats().cached_messages() == 0).await;
}

async fn u21_a_bomb_ends_at_the_limit<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let sender = client(&backend, &broker).await;
    let producer = sender.producer("producers");
    producer.send(Message::new("Orders", vec![0_u8; 3 << 20])).await.unwrap();
    let mut settings = config(&broker);
    settings.message_bytes_max = 1 << 20;
    let client = Client::start(backend.clone(), settings).await.unwrap();
    let (heard, hears) = smol::channel::unbounded();
    let consumer = client.consumer("group").with_config(eager()).subscribe("Orders", "*");
    let _consumer = consumer
        .start(move |message: ReceivedMessage| {
            let heard = heard.clone();
            async move { heard.send(message.into_body()).await.unwrap() }
        })
        .await
        .unwrap();
    let error = hears.recv().await.unwrap().unwrap_err();
    assert!(matches!(error, UnreadableBody::Restore(BodyError::Restore(_))), "{error}");
}

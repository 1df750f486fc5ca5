//! Handlers of many messages, messages as a stream, and members that each get all.

use core::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use smol::stream::StreamExt;
use turbopump::runtime::backend::Backend;
use turbopump::runtime::client::{
    Consumed, ConsumedQueue, FileOffsetStore, Message, NoStore, OffsetStore, PullError,
    PullRequest, ReceivedMessage,
};

use crate::{Got, client, eager, is_committed, send, start, until};

turbopump_tests::on_every_runtime![
    many_messages_are_handled_together_with_an_outcome_each,
    messages_come_as_a_stream,
    each_member_of_a_broadcast_gets_all,
    offsets_of_a_broadcast_are_kept_in_a_file,
    queues_are_pulled_by_hand,
    assigned_queues_are_polled_from_where_they_are_set,
];

async fn many_messages_are_handled_together_with_an_outcome_each<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = client(&backend, &broker).await;
    let queue = turbopump::runtime::client::MessageQueue::new("broker-a", 0);
    for number in 0..100 {
        let message = Message::new("Orders", number.to_string());
        client.producer("producers").send_to(message, &queue).await.unwrap();
    }
    let (got, sizes) = (Got::default(), Arc::new(Mutex::new(Vec::new())));
    let mut settings = eager();
    settings.consume_batch_max = 16;
    let consumer = client.consumer("group").with_config(settings).subscribe("Orders", "*");
    let (note, seen) = (got.clone(), Arc::clone(&sizes));
    let consumer = consumer
        .start_batches(move |messages: Vec<ReceivedMessage>| {
            seen.lock().unwrap().push(messages.len());
            assert!(messages.windows(2).all(|two| two[0].offset() < two[1].offset()));
            let outcomes: Vec<Consumed> = messages
                .iter()
                .map(|message| match message.offset() {
                    // One of them fails, and the others are done.
                    7 if message.reconsume_times() == 0 && message.topic() == "Orders" => {
                        Consumed::Retry
                    }
                    _ => {
                        note.note(message).unwrap();
                        Consumed::Done
                    }
                })
                .collect();
            core::future::ready(outcomes)
        })
        .await
        .unwrap();
    until(&backend, "all but one are done", || got.len() == 99).await;
    until(&backend, "all is committed", || is_committed(&broker, "group", "Orders")).await;
    let sizes = sizes.lock().unwrap().clone();
    assert!(sizes.iter().all(|size| *size <= 16) && sizes.len() < 50, "{sizes:?}");
    broker.advance_clock(Duration::from_secs(20));
    until(&backend, "the last is done", || got.len() == 100).await;
    until(&backend, "all count as done", || consumer.stats().done() == 100).await;
    assert_eq!(got.repeats(), []);
}

async fn messages_come_as_a_stream<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = client(&backend, &broker).await;
    send(&client.producer("producers"), "Orders", 0..20).await;
    let builder = client.consumer("group").with_config(eager()).handlers_max(4);
    let stream = builder.subscribe("Orders", "*").stream().await.unwrap();
    let consumer = stream.consumer().clone();
    let mut stream = pin!(stream);
    let got = Got::default();
    // As many as may be out at a time.
    let mut out = Vec::new();
    for _ in 0..4 {
        out.push(stream.next().await.unwrap());
    }
    until(&backend, "all were pulled", || consumer.stats().cached_messages() == 20).await;
    assert!(smol::future::poll_once(stream.next()).await.is_none());
    // One is dropped without a word.
    drop(out.pop());
    until(&backend, "it is tried again", || broker.stats().counts.messages_retried == 1).await;
    for message in out {
        got.note(&message).unwrap();
        message.done();
    }
    while got.len() < 19 {
        let message = stream.next().await.unwrap();
        got.note(&message).unwrap();
        message.settle(Consumed::Done);
    }
    until(&backend, "all is committed", || is_committed(&broker, "group", "Orders")).await;
    broker.advance_clock(Duration::from_secs(20));
    let last = stream.next().await.unwrap();
    assert_eq!((last.topic(), last.reconsume_times()), ("Orders", 1));
    last.done();
    assert!(consumer.shutdown(Duration::from_secs(20)).await.in_time);
    assert!(stream.next().await.is_none(), "it ends with its consumer");
}

async fn each_member_of_a_broadcast_gets_all<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let clients = [client(&backend, &broker).await, client(&backend, &broker).await];
    let producer = clients[0].producer("producers");
    send(&producer, "Orders", 0..20).await;
    let mut members = Vec::new();
    for client in &clients {
        let (got, tries) = (Got::default(), Arc::new(Mutex::new(Vec::new())));
        let (note, seen) = (got.clone(), Arc::clone(&tries));
        let mut settings = eager();
        settings.retry.retries_max = 2;
        let builder = client.consumer("group").with_config(settings).broadcasting(NoStore);
        let builder = builder.subscribe("Orders", "*");
        let consumer = builder.start(move |message: ReceivedMessage| {
            if message.body().unwrap() == "7" {
                seen.lock().unwrap().push(message.reconsume_times());
                return core::future::ready(Consumed::Retry);
            }
            note.note(&message).unwrap();
            core::future::ready(Consumed::Done)
        });
        members.push((consumer.await.unwrap(), got, tries));
    }
    for (consumer, got, tries) in &members {
        until(&backend, "all came", || got.len() == 19).await;
        // What fails is tried here, and given up in the end.
        let given_up = || consumer.stats().topics().map(|(_, one)| one.given_up()).sum::<u64>();
        until(&backend, "one is given up", || given_up() == 1).await;
        assert_eq!(*tries.lock().unwrap(), [0, 1, 2]);
        assert_eq!((got.repeats(), consumer.queues().len()), (vec![], 4));
    }
    assert_eq!(broker.stats().counts.messages_retried, 0);
    // Brokers know nothing of offsets.
    let journal = broker.take_journal();
    assert!(!journal.iter().any(|entry| matches!(entry.code, 14 | 15 | 36 | 38)));
}

async fn offsets_of_a_broadcast_are_kept_in_a_file<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let name = format!("turbopump-offsets-{:x}.json", backend.random_seed());
    let path = std::env::temp_dir().join(name);
    let got = Got::default();
    for round in 0..3 {
        let client = client(&backend, &broker).await;
        send(&client.producer("producers"), "Orders", round * 10..round * 10 + 10).await;
        let store = FileOffsetStore::open(&path).unwrap();
        let builder = client.consumer("group").with_config(eager()).broadcasting(store);
        let consumer = builder.subscribe("Orders", "*").start(got.handler()).await.unwrap();
        until(&backend, "all came", || got.len() == (round as usize + 1) * 10).await;
        let report = consumer.shutdown(Duration::from_secs(20)).await;
        assert!(report.in_time && report.uncommitted == 0, "{report:?}");
    }
    assert_eq!(got.repeats(), []);
    let store = FileOffsetStore::open(&path).unwrap();
    let offsets: i64 = (0..4)
        .map(|queue| store.load(&ConsumedQueue::new("Orders", "broker-a", queue)).unwrap())
        .sum();
    assert_eq!(offsets, 30);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.starts_with(r#"{"offsetTable":{{"brokerName":"broker-a","queueId":0"#), "{text}");
    std::fs::write(&path, "nothing of the kind").unwrap();
    assert!(FileOffsetStore::open(&path).is_err());
    std::fs::remove_file(&path).unwrap();
}

async fn queues_are_pulled_by_hand<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = client(&backend, &broker).await;
    send(&client.producer("producers"), "Orders", 0..40).await;
    let puller = client.pull_consumer("group");
    let queues = puller.queues("Orders").await.unwrap();
    assert_eq!(queues.len(), 4);
    let error = puller.queues("Nowhere").await.unwrap_err();
    assert!(matches!(error, PullError::NoRoute { .. }) && error.to_string().contains("Nowhere"));
    let got = Got::default();
    for queue in &queues {
        let most = puller.max_offset(queue).await.unwrap();
        assert_eq!((puller.min_offset(queue).await.unwrap(), most), (0, 10));
        assert_eq!(puller.offset_at(queue, 0).await.unwrap(), 0);
        assert_eq!(puller.committed(queue).await.unwrap(), None);
        let mut offset = 0;
        while offset < most {
            let request = PullRequest { messages_max: 4, ..PullRequest::from_offset(offset) };
            let pulled = puller.pull(queue, request).await.unwrap();
            assert!(pulled.messages.len() <= 4 && pulled.max_offset == 10);
            pulled.messages.iter().for_each(|message| got.note(message).unwrap());
            offset = pulled.next_offset;
        }
        puller.commit(queue, offset).await.unwrap();
        assert_eq!(puller.committed(queue).await.unwrap(), Some(10));
        // Nothing more, and nothing beyond.
        assert!(
            puller.pull(queue, PullRequest::from_offset(10)).await.unwrap().messages.is_empty()
        );
        let moved = puller.pull(queue, PullRequest::from_offset(99)).await.unwrap_err();
        assert_eq!(moved, PullError::OffsetMoved { to: 10 });
    }
    assert_eq!((got.len(), got.repeats()), (40, vec![]));
}

async fn assigned_queues_are_polled_from_where_they_are_set<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = client(&backend, &broker).await;
    let producer = client.producer("producers");
    send(&producer, "Orders", 0..40).await;
    let mut consumer = client.lite_pull_consumer("group");
    let queues = consumer.puller().queues("Orders").await.unwrap();
    consumer.assign(queues[..3].to_vec());
    assert!(consumer.seek(&queues[1], 8) && !consumer.seek(&queues[3], 0));
    assert!(consumer.pause(&queues[2]));
    let got = Got::default();
    let soon = Duration::from_millis(100);
    while got.len() < 12 {
        let messages = consumer.poll(Duration::from_secs(30)).await.unwrap();
        messages.iter().for_each(|message| got.note(message).unwrap());
    }
    assert!(consumer.poll(soon).await.unwrap().is_empty());
    assert!(consumer.resume(&queues[2]));
    while got.len() < 22 {
        let messages = consumer.poll(Duration::from_secs(30)).await.unwrap();
        messages.iter().for_each(|message| got.note(message).unwrap());
    }
    assert_eq!(got.repeats(), []);
    // What comes later is waited for, and a call that is given up loses nothing.
    assert!(smol::future::poll_once(consumer.poll(Duration::from_secs(30))).await.is_none());
    send(&producer, "Orders", 40..44).await;
    while got.len() < 25 {
        let messages = consumer.poll(Duration::from_secs(30)).await.unwrap();
        messages.iter().for_each(|message| got.note(message).unwrap());
    }
    consumer.commit().await.unwrap();
    let committed = consumer.puller().committed(&queues[0]).await.unwrap();
    assert_eq!((committed, consumer.position(&queues[0])), (Some(11), Some(11)));
    // Far beyond the end is the end.
    assert!(consumer.seek(&queues[0], 500));
    assert!(consumer.poll(soon).await.unwrap().is_empty());
    assert_eq!(got.repeats(), []);
}

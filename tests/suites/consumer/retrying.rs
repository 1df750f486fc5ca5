//! Messages that are tried again, and those that are not.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use turbopump::runtime::backend::Backend;
use turbopump::runtime::broker::{Fault, FaultAction};
use turbopump::runtime::client::{Consumed, Message, ReceivedMessage};

use crate::{Got, client, consumer, eager, field, is_committed, send, start, until};

turbopump_tests::on_every_runtime![
    what_fails_comes_again_and_is_a_dead_letter_in_the_end,
    handlers_say_how_much_later,
    u19_a_panic_is_a_failure_and_harms_nobody_else,
    u5_what_the_broker_does_not_take_back_is_tried_again_here,
    u5_no_offset_passes_a_message_that_is_not_done,
];

async fn what_fails_comes_again_and_is_a_dead_letter_in_the_end<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = client(&backend, &broker).await;
    let producer = client.producer("producers");
    producer.send(Message::new("Orders", "x").tag("red").key("k")).await.unwrap();
    let (heard, hears) = smol::channel::unbounded();
    let consumer = client.consumer("group").with_config(eager()).retries_max(2);
    let consumer = consumer
        .subscribe("Orders", "red")
        .start(move |message: ReceivedMessage| {
            let heard = heard.clone();
            async move {
                heard.send(message).await.unwrap();
                Consumed::Retry
            }
        })
        .await
        .unwrap();
    let mut ids = Vec::new();
    for tries in 0..3 {
        let message = hears.recv().await.unwrap();
        assert_eq!((message.topic(), message.reconsume_times()), ("Orders", tries));
        assert_eq!((message.tag(), message.body().unwrap()), (Some("red"), &"x".into()));
        ids.push(message.message_id().to_owned());
        let counts = || broker.stats().counts;
        let is_back = || counts().messages_retried + counts().messages_dead == tries as u64 + 1;
        until(&backend, "it is back at the broker", is_back).await;
        // Its level is the third, then the fourth.
        broker.advance_clock(Duration::from_secs(40));
    }
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let counts = broker.stats().counts;
    assert_eq!((counts.messages_retried, counts.messages_dead), (2, 1));
    until(&backend, "all is committed", || is_committed(&broker, "group", "Orders")).await;
    let stats = consumer.stats();
    let sum = |count: fn(&turbopump::runtime::client::TopicConsumes) -> u64| {
        stats.topics().map(|(_, topic)| count(topic)).sum::<u64>()
    };
    assert_eq!((sum(|topic| topic.retried()), sum(|topic| topic.dead())), (2, 1));
    // The dead letter is there for whoever subscribes to it.
    let got = Got::default();
    let _dead = self::consumer(&client, "morgue", "%DLQ%group", &got).await;
    until(&backend, "it is found", || got.bodies() == ["x"]).await;
}

async fn handlers_say_how_much_later<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = client(&backend, &broker).await;
    let producer = client.producer("producers");
    let cases = [
        ("by rule", Consumed::Retry, "0"),
        ("by level", Consumed::RetryAtLevel(5), "5"),
        ("by time", Consumed::RetryAfter(Duration::from_secs(31)), "5"),
        ("never", Consumed::Dead, "-1"),
    ];
    for (body, _, _) in cases {
        producer.send(Message::new("Orders", body)).await.unwrap();
    }
    let consumer = client.consumer("group").with_config(eager()).subscribe("Orders", "*");
    let _consumer = consumer
        .start(move |message: ReceivedMessage| async move {
            let body = message.body().unwrap();
            cases.iter().find(|(case, _, _)| case.as_bytes() == body).unwrap().1
        })
        .await
        .unwrap();
    let mut levels = Vec::new();
    until(&backend, "all are sent back", || {
        let backs = broker.take_journal().into_iter().filter(|entry| entry.code == 36);
        levels.extend(backs.map(|entry| field(&entry, "delayLevel").to_owned()));
        levels.len() == cases.len()
    })
    .await;
    levels.sort_unstable();
    assert_eq!(levels, ["-1", "0", "5", "5"]);
    assert_eq!(broker.stats().counts.messages_dead, 1);
}

async fn u19_a_panic_is_a_failure_and_harms_nobody_else<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = client(&backend, &broker).await;
    send(&client.producer("producers"), "Orders", 0..30).await;
    let got = Got::default();
    let consumer = client.consumer("group").with_config(eager()).handlers_max(2);
    let note = got.clone();
    let consumer = consumer
        .subscribe("Orders", "*")
        .start(move |message: ReceivedMessage| {
            let number: u32 =
                core::str::from_utf8(message.body().unwrap()).unwrap().parse().unwrap();
            let is_first = message.reconsume_times() == 0;
            // Where the future is made, and where it runs.
            assert!(number % 10 != 1 || !is_first, "as planned");
            let note = note.clone();
            async move {
                assert!(number % 10 != 2 || !is_first, "as planned");
                note.note(&message)
            }
        })
        .await
        .unwrap();
    until(&backend, "six came back", || broker.stats().counts.messages_retried == 6).await;
    assert_eq!(consumer.stats().last_failure(), Some("the handler has panicked"));
    broker.advance_clock(Duration::from_secs(20));
    until(&backend, "all are done", || got.len() == 30).await;
    assert_eq!(got.repeats(), []);
    let stats = consumer.stats();
    assert_eq!(stats.topics().map(|(_, topic)| topic.panicked()).sum::<u64>(), 6);
}

async fn u5_what_the_broker_does_not_take_back_is_tried_again_here<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = client(&backend, &broker).await;
    let busy = FaultAction::Refuse { code: 2, remark: "[PCBUSY_CLEAN_QUEUE]".into() };
    broker.inject(Fault::new(busy).of_code(36).times(3));
    send(&client.producer("producers"), "Orders", 0..1).await;
    let tries = Arc::new(Mutex::new(Vec::new()));
    let consumer = client.consumer("group").with_config(eager()).subscribe("Orders", "*");
    let seen = Arc::clone(&tries);
    let consumer = consumer
        .start(move |message: ReceivedMessage| {
            seen.lock().unwrap().push(message.reconsume_times());
            core::future::ready(Consumed::Retry)
        })
        .await
        .unwrap();
    until(&backend, "it is back at last", || broker.stats().counts.messages_retried == 1).await;
    until(&backend, "it is settled", || is_committed(&broker, "group", "Orders")).await;
    assert_eq!(*tries.lock().unwrap(), [0, 1, 2, 3]);
    assert_eq!(consumer.stats().send_backs_failed(), 3);
}

async fn u5_no_offset_passes_a_message_that_is_not_done<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = client(&backend, &broker).await;
    let producer = client.producer("producers");
    let queue = turbopump::runtime::client::MessageQueue::new("broker-a", 0);
    for number in 0..20 {
        producer.send_to(Message::new("Orders", number.to_string()), &queue).await.unwrap();
    }
    let (opens, open) = smol::channel::bounded::<()>(1);
    let got = Got::default();
    let consumer = client.consumer("group").with_config(eager()).subscribe("Orders", "*");
    let note = got.clone();
    let consumer = consumer
        .start(move |message: ReceivedMessage| {
            let (open, note) = (open.clone(), note.clone());
            async move {
                if message.offset() == 7 {
                    open.recv().await.unwrap();
                }
                note.note(&message)
            }
        })
        .await
        .unwrap();
    until(&backend, "all others are done", || got.len() == 19).await;
    let committed = || {
        let queues = consumer.queues();
        let queue = queues.iter().find(|one| &*one.queue.topic == "Orders" && one.queue.queue == 0);
        queue.map(|queue| queue.commit_offset)
    };
    assert_eq!(committed(), Some(7));
    let mut told: Vec<i64> = Vec::new();
    until(&backend, "it was committed", || {
        let commits = broker.take_journal().into_iter().filter(|entry| {
            let queue = (field(entry, "topic"), field(entry, "queueId"));
            entry.code == 15 && queue == ("Orders", "0")
        });
        told.extend(commits.map(|entry| field(&entry, "commitOffset").parse::<i64>().unwrap()));
        told.contains(&7)
    })
    .await;
    assert!(told.iter().all(|offset| *offset <= 7), "{told:?}");
    opens.send(()).await.unwrap();
    until(&backend, "all is committed", || is_committed(&broker, "group", "Orders")).await;
    assert_eq!((committed(), got.len()), (Some(20), 20));
}

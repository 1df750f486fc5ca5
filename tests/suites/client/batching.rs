//! Messages that are put together automatically, and what may be under way at once.

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use turbopump::core::batch::{AdaptiveSize, SizePolicy};
use turbopump::core::random::SplitMix64;
use turbopump::runtime::backend::Backend;
use turbopump::runtime::broker::{EmbeddedBroker, Fault, FaultAction};
use turbopump::runtime::client::{
    Batching, Client, Message, Producer, ProducerConfig, SendErrorKind,
};
use turbopump::runtime::memory::ObjectPool;

use crate::sending::stored;
use crate::{config, field, start};

turbopump_tests::on_every_runtime![
    u14_messages_go_together_and_each_learns_where_it_is,
    u14_no_request_is_longer_than_the_limit,
    u14_a_bad_message_is_found_and_the_others_are_sent,
    r12_what_lingers_is_sent_by_flush,
    u14_the_longest_message_is_sent_and_a_longer_one_refused_here,
    u15_who_waits_for_room_waits_in_order_and_nothing_leaks,
    u15_try_send_gives_the_message_back,
    ordered_messages_go_together_within_their_queue,
    outcomes_are_told_to_functions,
    pooled_messages_come_back,
    what_brokers_do_more_with_goes_alone,
];

fn batching(change: impl FnOnce(&mut Batching)) -> ProducerConfig {
    let mut batching = Batching::default();
    change(&mut batching);
    let mut config = ProducerConfig::default();
    config.batching = Some(batching);
    config
}

async fn producer<B: Backend>(
    backend: B,
    broker: &EmbeddedBroker<B>,
    settings: ProducerConfig,
) -> Producer<B> {
    let client = Client::start(backend, config(broker)).await.unwrap();
    client.producer_with("group", settings).unwrap()
}

fn batches<B: Backend>(broker: &EmbeddedBroker<B>) -> Vec<usize> {
    let journal = broker.take_journal().into_iter();
    journal.filter(|entry| entry.code == 320).map(|entry| entry.body_bytes).collect()
}

async fn u14_messages_go_together_and_each_learns_where_it_is<B: Backend>(backend: B) {
    for size in [SizePolicy::Fixed, SizePolicy::Adaptive(AdaptiveSize::DEFAULT)] {
        let broker = start(&backend).await;
        let producer =
            producer(backend.clone(), &broker, batching(|batching| batching.size = size)).await;
        let mut acknowledgements = Vec::new();
        for number in 0..1_000 {
            let message = Message::new("Orders", number.to_string()).tag("t");
            acknowledgements.push(producer.submit(message).await.unwrap());
        }
        let mut receipts = Vec::new();
        for acknowledgement in acknowledgements {
            receipts.push(acknowledgement.await.unwrap());
        }
        let mut queues = HashMap::new();
        for queue in 0..4 {
            queues.insert(queue, stored(&backend, &broker, "Orders", queue).await);
        }
        let mut places = HashSet::new();
        for (number, receipt) in receipts.iter().enumerate() {
            let (body, tag) = &queues[&receipt.queue][receipt.offset as usize];
            assert_eq!((body, tag.as_deref()), (&number.to_string(), Some("t")));
            assert!(receipt.offset_message_id.is_some());
            places.insert((receipt.queue, receipt.offset));
        }
        assert_eq!(places.len(), 1_000);
        let counts = broker.stats().counts;
        assert_eq!(counts.messages_sent, 1_000);
        let requests = batches(&broker).len();
        assert!(requests < 250, "{requests} requests for 1,000 messages");
        let stats = producer.stats();
        let (topic, sends) = stats.topics().next().unwrap();
        assert_eq!((topic, sends.taken(), sends.failed()), ("Orders", 1_000, 0));
        assert_eq!(stats.in_flight(), 0);
    }
}

async fn u14_no_request_is_longer_than_the_limit<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let settings = batching(|batching| batching.bytes_max = 2_000);
    let producer = producer(backend.clone(), &broker, settings).await;
    let mut random = SplitMix64::new(14);
    let mut acknowledgements = Vec::new();
    for _ in 0..500 {
        let message = Message::new("Orders", vec![b'x'; 1 + random.below(3_000) as usize]);
        acknowledgements.push(producer.submit(message).await.unwrap());
    }
    for acknowledgement in acknowledgements {
        acknowledgement.await.unwrap();
    }
    let batches = batches(&broker);
    assert!(!batches.is_empty() && batches.iter().all(|bytes| *bytes <= 2_000), "{batches:?}");
    assert_eq!(broker.stats().counts.messages_sent, 500);
}

async fn u14_the_longest_message_is_sent_and_a_longer_one_refused_here<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let mut settings = config(&broker);
    settings.message_bytes_max = 1_000;
    let client = Client::start(backend, settings).await.unwrap();
    for settings in [ProducerConfig::default(), batching(|_| ())] {
        let producer = client.producer_with("group", settings).unwrap();
        for bytes in [999, 1_000] {
            producer.send(Message::new("Orders", vec![b'x'; bytes])).await.unwrap();
        }
        let refused = producer.send(Message::new("Orders", vec![b'x'; 1_001])).await.unwrap_err();
        let expected = SendErrorKind::TooLarge { bytes: 1_001, bytes_max: 1_000 };
        assert_eq!((refused.kind(), refused.attempts()), (&expected, 0));
    }
    assert_eq!(broker.stats().counts.messages_sent, 4);
}

async fn u14_a_bad_message_is_found_and_the_others_are_sent<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    // The first batch is refused, and each half and quarter that is one; what is left goes alone.
    let illegal = FaultAction::Refuse { code: 13, remark: "the message is illegal".into() };
    broker.inject(Fault::new(illegal.clone()).of_code(320));
    broker.inject(Fault::new(illegal).of_code(310).times(1));
    let settings = batching(|batching| batching.linger_us = 60_000_000);
    let producer = producer(backend.clone(), &broker, settings).await;
    let mut acknowledgements = Vec::new();
    for number in 0..13 {
        let message = Message::new("Orders", number.to_string());
        acknowledgements.push(producer.submit(message).await.unwrap());
    }
    producer.flush().await;
    let mut refused = 0;
    for acknowledgement in acknowledgements {
        match acknowledgement.await {
            Ok(_) => {}
            Err(error) => {
                assert!(matches!(error.kind(), SendErrorKind::Refused { code: 13, .. }));
                refused += 1;
            }
        }
    }
    assert_eq!((refused, broker.stats().counts.messages_sent), (1, 12));
}

async fn r12_what_lingers_is_sent_by_flush<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let settings = batching(|batching| batching.linger_us = 60_000_000);
    let producer = producer(backend.clone(), &broker, settings).await;
    let mut waiting = Vec::new();
    for _ in 0..10 {
        waiting.push(producer.submit(Message::new("Orders", "x")).await.unwrap());
    }
    assert_eq!(broker.stats().counts.messages_sent, 0);
    producer.flush().await;
    assert_eq!(broker.stats().counts.messages_sent, 10);
    for acknowledgement in waiting {
        acknowledgement.await.unwrap();
    }
    assert_eq!(batches(&broker).len(), 1);
    let stats = producer.batch_stats();
    assert_eq!(stats.first().map(|stats| stats.counters.items.get()), Some(10));
}

/// Polled once, by whoever waits for nothing.
fn poll_once<F: Future>(future: core::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

async fn u15_who_waits_for_room_waits_in_order_and_nothing_leaks<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let mut settings = config(&broker);
    settings.in_flight_messages_max = 4;
    settings.send.timeout_us = 60_000_000;
    let client = Client::start(backend.clone(), settings).await.unwrap();
    for settings in [ProducerConfig::default(), batching(|_| ())] {
        let producer = client.producer_with("group", settings).unwrap();
        // Dropped at whatever await they have come to.
        let mut random = SplitMix64::new(15);
        for _ in 0..1_000 {
            let mut sending = pin!(producer.send(Message::new("Orders", "x")));
            for _ in 0..random.below(4) {
                if poll_once(sending.as_mut()).is_ready() {
                    break;
                }
                backend.sleep_until(std::time::Instant::now()).await;
            }
        }
        producer.flush().await;
        let stats = poll_fn(|cx| {
            let stats = producer.stats();
            if stats.in_flight() == 0 {
                return Poll::Ready(stats);
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        assert_eq!((stats.in_flight(), stats.in_flight_bytes(), stats.waiting()), (0, 0, 0));
        // In order: each is let in before the next.
        broker.inject(Fault::new(FaultAction::Delay(Duration::from_millis(20))).of_topic("Slow"));
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut waiting = Vec::new();
        for number in 0..12 {
            let message = Message::new("Slow", number.to_string());
            let order = Arc::clone(&order);
            let mut submitting = Box::pin(producer.submit(message));
            let is_in = poll_once(submitting.as_mut());
            if let Poll::Ready(submitted) = is_in {
                order.lock().unwrap().push(number);
                waiting.push((number, None, Some(submitted.unwrap())));
            } else {
                waiting.push((number, Some(submitting), None));
            }
        }
        assert_eq!(order.lock().unwrap().len(), 4, "as many as there is room for");
        for (number, submitting, submitted) in waiting {
            if let Some(submitting) = submitting {
                submitting.await.unwrap().await.unwrap();
                order.lock().unwrap().push(number);
            } else if let Some(submitted) = submitted {
                submitted.await.unwrap();
            }
        }
        assert_eq!(*order.lock().unwrap(), (0..12).collect::<Vec<_>>());
        broker.clear_faults();
    }
}

async fn u15_try_send_gives_the_message_back<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let mut settings = config(&broker);
    (settings.in_flight_messages_max, settings.in_flight_bytes_max) = (3, 1_000);
    settings.send.timeout_us = 60_000_000;
    let client = Client::start(backend.clone(), settings).await.unwrap();
    for settings in [ProducerConfig::default(), batching(|_| ())] {
        let producer = client.producer_with("group", settings).unwrap();
        broker.inject(Fault::new(FaultAction::Delay(Duration::from_secs(3_600))));
        let first = producer.try_send(Message::new("Orders", vec![b'x'; 500])).unwrap();
        // By bytes,
        let refused = producer.try_send(Message::new("Orders", vec![b'y'; 600])).unwrap_err();
        assert_eq!(refused.message.body(), vec![b'y'; 600]);
        assert!(matches!(refused.error.kind(), SendErrorKind::Full { messages: 1, .. }));
        assert!(refused.error.is_retryable(), "{refused}");
        // and by number.
        let others = [(); 2].map(|()| producer.try_send(Message::new("Orders", "x")).unwrap());
        let refused = producer.try_send(Message::new("Orders", "x")).unwrap_err();
        assert!(matches!(refused.error.kind(), SendErrorKind::Full { messages: 3, .. }));
        // The route, and then the messages.
        broker.clear_faults();
        let mut all: Vec<_> = others.into_iter().chain([first]).map(Box::pin).collect();
        poll_fn(|cx| {
            broker.advance_clock(Duration::from_secs(3_600));
            all.retain_mut(|one| match one.as_mut().poll(cx) {
                Poll::Ready(outcome) => outcome.is_err(),
                Poll::Pending => true,
            });
            cx.waker().wake_by_ref();
            if all.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        assert!(producer.stats().topics().any(|(_, sends)| sends.refused() == 2));
    }
}

async fn ordered_messages_go_together_within_their_queue<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let producer = producer(backend.clone(), &broker, batching(|_| ())).await;
    let queues = producer.queues("Orders").await.unwrap();
    assert_eq!(queues.len(), 4);
    // A broker that refuses each fourth batch must not change the order.
    let busy = FaultAction::Refuse { code: 2, remark: "[PCBUSY_CLEAN_QUEUE]".into() };
    broker.inject(Fault::new(busy).of_code(320).times(3));
    let mut waiting = Vec::new();
    for number in 0..200 {
        let producer = producer.clone();
        let mut sending = Box::pin(async move {
            let message = Message::new("Orders", number.to_string());
            producer.send_ordered(message, ["a", "b", "c"][number % 3]).await
        });
        // Handed over, one after the other; the first one waits for the route.
        match poll_once(sending.as_mut()) {
            Poll::Ready(sent) => drop(sent.unwrap()),
            Poll::Pending => waiting.push(sending),
        }
    }
    for sending in waiting {
        sending.await.unwrap();
    }
    for queue in queues {
        let found = stored(&backend, &broker, "Orders", queue.queue).await;
        for key in 0..3 {
            let of_key = |(body, _): &(String, _)| body.parse::<usize>().ok();
            let numbers = found.iter().filter_map(of_key).filter(|number| number % 3 == key);
            assert!(numbers.is_sorted(), "{found:?}");
        }
    }
    assert_eq!(broker.stats().counts.messages_sent, 200);
    let third = &producer.queues("Orders").await.unwrap()[2];
    let there = producer.send_to(Message::new("Orders", "x"), third).await.unwrap();
    assert_eq!(there.queue, third.queue);
}

async fn outcomes_are_told_to_functions<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = Client::start(backend.clone(), config(&broker)).await.unwrap();
    for settings in [ProducerConfig::default(), batching(|_| ())] {
        let producer = client.producer_with("group", settings).unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        for number in 0..20 {
            let told = Arc::clone(&told);
            let done = move |outcome: Result<_, _>| {
                told.lock().unwrap().push((number, outcome.is_ok()));
            };
            producer.send_with(Message::new("Orders", "x"), done).await.unwrap();
        }
        client_is_idle(&producer).await;
        let mut told = told.lock().unwrap().clone();
        told.sort_unstable();
        assert!(told.iter().copied().eq((0..20).map(|number| (number, true))), "{told:?}");
        let refused = producer.send_with(Message::new("no topic!", "x"), |_| panic!("not called"));
        assert!(refused.await.is_err());
    }
}

async fn client_is_idle<B: Backend>(producer: &Producer<B>) {
    poll_fn(|cx| {
        if producer.stats().in_flight() == 0 {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

async fn pooled_messages_come_back<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let producer = producer(backend.clone(), &broker, batching(|_| ())).await;
    let pool = ObjectPool::new(2, Message::default, Message::clear).unwrap();
    for number in 0..20 {
        let mut message = pool.get().unwrap();
        assert_eq!((message.topic(), message.body()), ("", &b""[..]));
        message.set_topic("Orders");
        message.copy_body(number.to_string().as_bytes());
        message.set_tag("t");
        producer.send(message).await.unwrap();
        producer.flush().await;
    }
    assert_eq!(broker.stats().counts.messages_sent, 20);
}

async fn what_brokers_do_more_with_goes_alone<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let settings = batching(|batching| batching.linger_us = 60_000_000);
    let producer = producer(backend.clone(), &broker, settings).await;
    let later = std::time::SystemTime::now() + Duration::from_secs(60);
    producer.send(Message::new("Orders", "x").delay_level(3)).await.unwrap();
    producer.send(Message::new("Orders", "x").deliver_at(later)).await.unwrap();
    let after = Duration::from_secs(9);
    producer.send(Message::new("Orders", "y").deliver_after(after)).await.unwrap();
    producer.send(Message::new("Orders", vec![b'x'; 5_000])).await.unwrap();
    let sent = crate::sends(&broker);
    assert_eq!(sent.len(), 4);
    for (entry, property) in
        sent.iter().zip(["DELAY\u{1}3", "TIMER_DELIVER_MS\u{1}", "TIMER_DELAY_MS\u{1}9000"])
    {
        assert!(field(entry, "i").contains(property), "{entry:?}");
    }
    // Delivered when their times have come.
    broker.advance_clock(Duration::from_secs(61));
    let mut delivered = 0;
    while delivered < 4 {
        delivered = 0;
        for queue in 0..4 {
            delivered += stored(&backend, &broker, "Orders", queue).await.len();
        }
    }
}

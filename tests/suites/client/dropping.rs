//! Futures that are dropped at every point at which they wait.

use core::future::{Future, poll_fn};
use core::task::Poll;
use std::time::{Duration, Instant};

use turbopump::runtime::backend::Backend;
use turbopump::runtime::client::{
    Batching, Client, ClientConfig, HalfMessage, Message, MessageQueue, Producer, ProducerConfig,
    SendReceipt, TopicConfig, TransactionListener, TransactionState,
};

use crate::{config, start};

turbopump_tests::on_every_runtime![r9_every_future_may_be_dropped_wherever_it_waits];

/// Makes a future again and again, and drops it after its first poll, its second, and so on, until
/// one is ready before that. Returns how many were dropped.
async fn dropped_at_every_poll<F: Future>(make: impl Fn() -> F) -> usize {
    for polls in 1..1_000 {
        let mut future = Box::pin(make());
        let mut left = polls;
        let is_ready = poll_fn(|cx| {
            left -= 1;
            match future.as_mut().poll(cx) {
                Poll::Ready(_) => Poll::Ready(true),
                Poll::Pending if left == 0 => Poll::Ready(false),
                Poll::Pending => Poll::Pending,
            }
        });
        if is_ready.await {
            return polls - 1;
        }
    }
    panic!("it is never ready");
}

struct Commits;

impl TransactionListener for Commits {
    async fn execute(&self, _: &Message, _: &SendReceipt) -> TransactionState {
        TransactionState::Commit
    }

    async fn check(&self, _: &HalfMessage) -> TransactionState {
        TransactionState::Commit
    }
}

/// What producers do.
async fn drop_sends<B: Backend>(producer: &Producer<B>, queue: &MessageQueue) -> usize {
    let message = || Message::new("Orders", "x");
    dropped_at_every_poll(|| producer.send(message())).await
        + dropped_at_every_poll(|| producer.send_ordered(message(), "key")).await
        + dropped_at_every_poll(|| producer.send_to(message(), queue)).await
        + dropped_at_every_poll(|| async { producer.submit(message()).await.unwrap().await }).await
        + dropped_at_every_poll(|| producer.submit_to(message(), queue)).await
        + dropped_at_every_poll(|| producer.send_with(message(), drop)).await
        + dropped_at_every_poll(|| async { producer.send_batch(&[message(), message()]).await })
            .await
        + dropped_at_every_poll(|| producer.send_oneway(message())).await
        + dropped_at_every_poll(|| producer.queues("Orders")).await
        + dropped_at_every_poll(|| producer.flush()).await
}

/// Nothing is lost of the client by that: no room, no buffer, no connection, no turn.
async fn r9_every_future_may_be_dropped_wherever_it_waits<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let mut settings = config(&broker);
    // Room for few, so that some wait for it.
    settings.in_flight_messages_max = 2;
    settings.route_age_max = Duration::ZERO;
    let started = || Client::start(backend.clone(), settings.clone());
    let mut dropped = dropped_at_every_poll(started).await;
    let client = started().await.unwrap();
    let alone = client.producer("group");
    let mut together = ProducerConfig::default();
    together.batching = Some(Batching { linger_us: 100, ..Batching::default() });
    let together = client.producer_with("group", together).unwrap();
    alone.send(Message::new("Orders", "x")).await.unwrap();
    let queue = alone.queues("Orders").await.unwrap().remove(0);
    for producer in [&alone, &together] {
        dropped += drop_sends(producer, &queue).await;
    }
    let transactions = client.transaction_producer("group", Commits);
    let message = || Message::new("Orders", "x");
    dropped += dropped_at_every_poll(|| transactions.send_in_transaction(message())).await;
    let (admin, topic) = (client.admin(), TopicConfig::new("Others"));
    dropped += dropped_at_every_poll(|| admin.create_topic(&topic)).await;
    dropped += dropped_at_every_poll(|| admin.topics()).await;
    dropped += dropped_at_every_poll(|| admin.describe_topic("Others")).await;
    dropped += dropped_at_every_poll(|| admin.delete_topic("Others")).await;
    let list = broker.name_server_address().to_string();
    dropped += dropped_at_every_poll(|| client.set_name_servers(&list)).await;
    assert!(dropped > 20, "{dropped} futures were dropped");
    settles(&backend, &client).await;
    // It works as before,
    for producer in [&alone, &together] {
        producer.send(message()).await.unwrap();
    }
    // and a shutdown that nobody waits for goes on when somebody does.
    let shutdown = || client.shutdown(Duration::from_secs(5));
    dropped_at_every_poll(shutdown).await;
    assert!(shutdown().await.in_time);
    drop((alone, together, transactions));
    let left: usize = client.memory().classes.iter().map(|one| one.in_use).sum();
    assert_eq!(left, 0);
}

async fn settles<B: Backend>(backend: &B, client: &Client<B>) {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let health = client.health();
        if health.in_flight == 0 && health.waiting == 0 {
            return;
        }
        assert!(Instant::now() < until, "{health:?}");
        backend.sleep_until(Instant::now() + Duration::from_millis(2)).await;
    }
}

async fn send_one<B: Backend>(backend: B, config: ClientConfig) {
    let client = Client::start(backend, config).await.unwrap();
    client.producer("group").send(Message::new("Orders", "x")).await.unwrap();
    client.close().await;
}

#[test]
fn r6_two_runtimes_work_side_by_side_and_none_is_guessed() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let tokio = turbopump::tokio::Backend::on(runtime.handle().clone());
    let smol = turbopump::smol::Backend::new();
    // The broker is on one of them, a client on each.
    let broker = smol::block_on(start(&smol));
    let list = ClientConfig::new(&broker.name_server_address().to_string());
    smol::block_on(send_one(smol, list.clone()));
    runtime.block_on(send_one(tokio, list));
    assert_eq!(broker.stats().counts.messages_sent, 2);
}

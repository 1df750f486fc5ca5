//! Heartbeats, and transactions with all that may become of them.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use turbopump::runtime::backend::Backend;
use turbopump::runtime::broker::{BrokerConfig, EmbeddedBroker, Fault, FaultAction};
use turbopump::runtime::client::{
    Client, HalfMessage, Message, SendErrorKind, SendReceipt, TransactionListener, TransactionState,
};

use crate::sending::stored;
use crate::{config, field, start};

turbopump_tests::on_every_runtime![
    brokers_hear_of_groups_and_of_their_end,
    u8_a_connection_that_swallows_everything_is_found_by_heartbeats,
    u22_transactions_are_seen_once_they_are_committed,
    u22_unknown_ones_are_asked_about_until_somebody_knows,
    a_half_message_is_never_delayed,
    a_refused_heartbeat_is_none,
    listeners_that_panic_or_go_leave_the_others_alone,
];

async fn until<B: Backend>(backend: &B, mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        backend.sleep_until(std::time::Instant::now() + Duration::from_millis(1)).await;
    }
}

fn asked<B: Backend>(broker: &EmbeddedBroker<B>, code: i32) -> Vec<String> {
    let journal = broker.take_journal().into_iter().filter(|entry| entry.code == code);
    journal.map(|entry| field(&entry, "producerGroup").to_owned()).collect()
}

async fn brokers_hear_of_groups_and_of_their_end<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let mut settings = config(&broker);
    settings.heartbeat_interval = Duration::from_millis(150);
    let client = Client::start(backend.clone(), settings).await.unwrap();
    let producers = [client.producer("one"), client.producer("two")];
    producers[0].send(Message::new("Orders", "x")).await.unwrap();
    // At once, and then again and again.
    for _ in 0..3 {
        let mut beats = 0;
        until(&backend, || {
            beats += asked(&broker, 34).len();
            beats > 0
        })
        .await;
    }
    client.close().await;
    let mut farewells = asked(&broker, 35);
    farewells.sort_unstable();
    assert_eq!(farewells, ["one", "two"]);
}

async fn u8_a_connection_that_swallows_everything_is_found_by_heartbeats<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let mut settings = config(&broker);
    settings.heartbeat_interval = Duration::from_millis(100);
    settings.send.timeout_us = 30_000_000;
    let client = Client::start(backend.clone(), settings).await.unwrap();
    let producer = client.producer("group");
    producer.send(Message::new("Orders", "x")).await.unwrap();
    let connections = broker.stats().counts.connections_opened;
    broker.inject(Fault::new(FaultAction::HalfOpen).of_code(34).times(1));
    // The heartbeat is not answered; a new connection is made for the next one.
    until(&backend, || broker.stats().counts.connections_opened > connections).await;
    producer.send(Message::new("Orders", "x")).await.unwrap();
    assert_eq!(broker.stats().counts.messages_sent, 2);
}

#[derive(Default)]
struct Accounts {
    /// What is said at first.
    at_first: Mutex<Option<TransactionState>>,
    /// What is said to a check.
    later: Mutex<Option<TransactionState>>,
    executed: AtomicU64,
    checked: Mutex<Vec<HalfMessage>>,
}

impl TransactionListener for &'static Accounts {
    async fn execute(&self, message: &Message, receipt: &SendReceipt) -> TransactionState {
        assert!(!message.body().is_empty() && receipt.offset_message_id.is_some());
        self.executed.fetch_add(1, Ordering::SeqCst);
        let said = *self.at_first.lock().unwrap();
        said.expect("a panic is as good as `Unknown`")
    }

    async fn check(&self, message: &HalfMessage) -> TransactionState {
        self.checked.lock().unwrap().push(message.clone());
        self.later.lock().unwrap().unwrap_or(TransactionState::Unknown)
    }
}

fn accounts(at_first: Option<TransactionState>) -> &'static Accounts {
    let accounts = Accounts::default();
    *accounts.at_first.lock().unwrap() = at_first;
    Box::leak(Box::new(accounts))
}

async fn one_queue<B: Backend>(backend: &B) -> EmbeddedBroker<B> {
    let mut settings = BrokerConfig::default();
    settings.default_topic_queues = 1;
    EmbeddedBroker::start(backend.clone(), settings).await.unwrap()
}

async fn u22_transactions_are_seen_once_they_are_committed<B: Backend>(backend: B) {
    let broker = one_queue(&backend).await;
    let client = Client::start(backend.clone(), config(&broker)).await.unwrap();
    let long = "x".repeat(5_000);
    for (state, body) in [
        (TransactionState::Rollback, "dropped"),
        (TransactionState::Commit, "kept"),
        (TransactionState::Commit, &long),
    ] {
        let accounts = accounts(Some(state));
        let producer = client.transaction_producer("group", accounts);
        let message = Message::new("Orders", body.to_owned()).tag("t");
        let sent = producer.send_in_transaction(message).await.unwrap();
        assert_eq!((sent.state, sent.is_told), (state, true));
        assert_eq!(accounts.executed.load(Ordering::SeqCst), 1);
    }
    let mut found = Vec::new();
    while found.len() < 2 {
        found = stored(&backend, &broker, "Orders", 0).await;
    }
    assert_eq!(found[0], ("kept".into(), Some("t".into())));
    assert_eq!(found.len(), 2);
    // Nothing was stored, nothing done.
    let accounts = accounts(Some(TransactionState::Commit));
    let producer = client.transaction_producer("group", accounts);
    assert!(producer.send_in_transaction(Message::new("Orders", "")).await.is_err());
    assert_eq!(accounts.executed.load(Ordering::SeqCst), 0);
}

async fn u22_unknown_ones_are_asked_about_until_somebody_knows<B: Backend>(backend: B) {
    let broker = one_queue(&backend).await;
    let client = Client::start(backend.clone(), config(&broker)).await.unwrap();
    // Said, and not said because of a panic.
    let accounts = [accounts(Some(TransactionState::Unknown)), accounts(None)];
    for (index, accounts) in accounts.into_iter().enumerate() {
        let group = format!("group-{index}");
        let producer = client.transaction_producer(&group, accounts);
        let message = Message::new("Orders", vec![b'x'; 5_000]).property("origin", "here");
        let sent = producer.send_in_transaction(message).await.unwrap();
        assert_eq!(sent.state, TransactionState::Unknown);
        let checks = || accounts.checked.lock().unwrap().len();
        for round in 1..=2 {
            until(&backend, || {
                broker.advance_clock(Duration::from_secs(1));
                checks() >= round
            })
            .await;
        }
        assert!(stored(&backend, &broker, "Orders", 0).await.len() == index);
        *accounts.later.lock().unwrap() = Some(TransactionState::Commit);
        while stored(&backend, &broker, "Orders", 0).await.len() == index {
            broker.advance_clock(Duration::from_secs(1));
        }
        let asked = accounts.checked.lock().unwrap()[0].clone();
        assert_eq!((&*asked.topic, asked.body.len()), ("Orders", 5_000));
        assert_eq!(asked.get_property("origin"), Some("here"));
        assert_eq!(asked.message_id, sent.half.message_id.to_string());
    }
}

async fn a_refused_heartbeat_is_none<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let refuse = FaultAction::Refuse { code: 16, remark: "no permission".into() };
    broker.inject(Fault::new(refuse).of_code(34));
    let mut settings = config(&broker);
    settings.heartbeat_interval = Duration::from_millis(50);
    let client = Client::start(backend.clone(), settings).await.unwrap();
    let producer = client.producer("group");
    producer.send(Message::new("Orders", "x")).await.unwrap();
    let mut beats = 0;
    until(&backend, || {
        beats += asked(&broker, 34).len();
        beats > 2
    })
    .await;
    let ages = client.health().peers.into_iter().filter_map(|peer| peer.heartbeat_age);
    assert_eq!(ages.count(), 0);
    broker.clear_faults();
    until(&backend, || client.health().is_ready()).await;
}

/// Panics before there is a future.
struct Panics;

#[allow(clippy::manual_async_fn, reason = "the call itself is to panic")]
impl TransactionListener for Panics {
    fn execute(
        &self,
        _: &Message,
        _: &SendReceipt,
    ) -> impl Future<Output = TransactionState> + Send {
        assert!(std::env::args().count() == 0, "on purpose");
        async { TransactionState::Commit }
    }

    fn check(&self, _: &HalfMessage) -> impl Future<Output = TransactionState> + Send {
        assert!(std::env::args().count() == 0, "on purpose");
        async { TransactionState::Commit }
    }
}

async fn listeners_that_panic_or_go_leave_the_others_alone<B: Backend>(backend: B) {
    let broker = one_queue(&backend).await;
    let client = Client::start(backend.clone(), config(&broker)).await.unwrap();
    let patient = accounts(Some(TransactionState::Unknown));
    *patient.later.lock().unwrap() = Some(TransactionState::Commit);
    let first = client.transaction_producer("group", patient);
    let second = client.transaction_producer("group", Panics);
    let sent = second.send_in_transaction(Message::new("Orders", "x")).await.unwrap();
    assert_eq!(sent.state, TransactionState::Unknown);
    // Asked a few times, the panicking one says nothing of use; then it is gone.
    for _ in 0..100 {
        broker.advance_clock(Duration::from_secs(1));
        backend.sleep_until(std::time::Instant::now()).await;
    }
    drop(second);
    until(&backend, || {
        broker.advance_clock(Duration::from_secs(1));
        !patient.checked.lock().unwrap().is_empty()
    })
    .await;
    drop(first);
}

async fn a_half_message_is_never_delayed<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = Client::start(backend, config(&broker)).await.unwrap();
    let producer = client.transaction_producer("group", accounts(None));
    let delayed = Message::new("Orders", "x").delay_level(1);
    let error = producer.send_in_transaction(delayed).await.unwrap_err();
    assert!(matches!(error.kind(), SendErrorKind::Topic { .. }), "{error}");
}

//! The client against Apache's broker, on both runtimes: messages of every kind are read back by
//! the official Go client, byte for byte.

mod server;

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use turbopump::core::random::SplitMix64;
use turbopump::runtime::backend::Backend;
use turbopump::runtime::client::{
    Batching, Client, ClientConfig, HalfMessage, Message, ProducerConfig, SendReceipt,
    Serialization, TransactionListener, TransactionState,
};

use server::{Apache, peers};

/// What the Go client has to find.
#[derive(Default)]
struct Expected {
    lines: String,
    count: usize,
}

impl Expected {
    /// A message that nobody has sent yet.
    fn message(&mut self, topic: &str, order: &str, body: Vec<u8>) -> Message {
        let key = format!("key-{}", self.count);
        self.count += 1;
        let digits = body.iter().fold(String::new(), |mut digits, byte| {
            let _ = write!(digits, "{byte:02x}");
            digits
        });
        let _ = writeln!(self.lines, "{key}\ttag\t{order}\t{digits}");
        Message::new(topic.to_owned(), body).tag("tag").key(&key)
    }
}

/// Commits at once, or when it is asked.
struct Commits {
    at_first: TransactionState,
}

impl TransactionListener for Commits {
    async fn execute(&self, _: &Message, _: &SendReceipt) -> TransactionState {
        self.at_first
    }

    async fn check(&self, _: &HalfMessage) -> TransactionState {
        TransactionState::Commit
    }
}

fn body(random: &mut SplitMix64, bytes: u64) -> Vec<u8> {
    let mut body = vec![0; 1 + random.below(bytes) as usize];
    body.iter_mut().for_each(|byte| *byte = random.next_u64() as u8);
    body
}

async fn all_kinds_of_sends<B: Backend>(backend: B, apache: &Apache, headers: Serialization) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let topic = format!("turbopump-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let topic = topic.as_str();
    let mut random = SplitMix64::new(5);
    let mut expected = Expected::default();
    let mut config = ClientConfig::new(&apache.name_server);
    config.send.timeout_us = 30_000_000;
    config.header_serialization = headers;
    let client = Client::start(backend.clone(), config).await.unwrap();
    let alone = client.producer("alone");
    let mut together = ProducerConfig::default();
    together.batching = Some(Batching { linger_us: 2_000, ..Batching::default() });
    let together = client.producer_with("together", together).unwrap();

    // Awaited: short, and long enough to be compressed.
    for bytes in [100, 10_000, 200_000] {
        for _ in 0..5 {
            let message = expected.message(topic, "", body(&mut random, bytes));
            alone.send(message).await.unwrap();
        }
    }
    let text = "the same again, ".repeat(1_000).into_bytes();
    alone.send(expected.message(topic, "", text)).await.unwrap();
    // Without an answer.
    for _ in 0..10 {
        let message = expected.message(topic, "", body(&mut random, 500));
        alone.send_oneway(message).await.unwrap();
    }
    // In batches, and in batches that the producer makes.
    let batch: Vec<Message> =
        (0..50).map(|_| expected.message(topic, "", body(&mut random, 500))).collect();
    assert_eq!(alone.send_batch(&batch).await.unwrap().to_vec().len(), 50);
    let mut waiting = Vec::new();
    for _ in 0..500 {
        let message = expected.message(topic, "", body(&mut random, 500));
        waiting.push(together.submit(message).await.unwrap());
    }
    for acknowledgement in waiting {
        acknowledgement.await.unwrap();
    }
    // In order, by key.
    for number in 0..60 {
        let key = format!("order-{}", number % 3);
        let producer = if number % 2 == 0 { &alone } else { &together };
        let message = expected.message(topic, &key, body(&mut random, 100));
        producer.send_ordered(message, &key).await.unwrap();
    }
    // Later.
    alone
        .send(expected.message(topic, "", b"after a second".to_vec()).delay_level(1))
        .await
        .unwrap();
    let soon = SystemTime::now() + Duration::from_secs(2);
    alone.send(expected.message(topic, "", b"at a time".to_vec()).deliver_at(soon)).await.unwrap();
    // In transactions: committed, committed when asked, and dropped.
    let commits = Commits { at_first: TransactionState::Commit };
    let sender = client.transaction_producer("at-once", commits);
    let message = expected.message(topic, "", b"committed".to_vec());
    assert!(sender.send_in_transaction(message).await.unwrap().is_told);
    let asked = Commits { at_first: TransactionState::Unknown };
    let asked = client.transaction_producer("asked", asked);
    let message = expected.message(topic, "", b"committed when asked".to_vec());
    asked.send_in_transaction(message).await.unwrap();
    let drops = Commits { at_first: TransactionState::Rollback };
    let drops = client.transaction_producer("drops", drops);
    drops.send_in_transaction(Message::new(topic.to_owned(), "dropped")).await.unwrap();

    read_back(&backend, apache, topic, &expected).await;
    assert!(client.health().is_ready(), "{:?}", client.health());
    let report = client.shutdown(Duration::from_secs(30)).await;
    assert!(report.in_time, "{report:?}");
}

async fn read_back<B: Backend>(backend: &B, apache: &Apache, topic: &str, expected: &Expected) {
    let file = std::env::temp_dir().join(format!("{topic}-{}", std::process::id()));
    fs::write(&file, &expected.lines).unwrap();
    let go = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/clients/go");
    let program = peers().join("readback");
    let mut build = Command::new("go");
    build.args(["build", "-o"]).arg(&program).arg(".").current_dir(go);
    assert!(build.status().expect("go: run .ci/peers-install").success());
    let mut reading = Command::new(program);
    reading.args(["readback", &apache.name_server, topic]).arg(&file);
    // The client goes on with its heartbeats and answers checks meanwhile.
    let read = backend.run_blocking(move || reading.output()).await.unwrap();
    let _ = fs::remove_file(&file);
    let said = String::from_utf8_lossy(&read.stdout).into_owned();
    let expected = format!("ok {}\n", expected.count);
    assert_eq!(said, expected, "{}", String::from_utf8_lossy(&read.stderr));
}

/// One broker for all: starting it takes longer than everything else.
#[test]
fn all_kinds_of_sends_arrive_on_both_runtimes_with_headers_of_both_kinds() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let backend = turbopump::tokio::Backend::on(runtime.handle().clone());
    let apache = runtime.block_on(Apache::start(&backend));
    for headers in [Serialization::Rocketmq, Serialization::Json] {
        runtime.block_on(all_kinds_of_sends(backend.clone(), &apache, headers));
        smol::block_on(all_kinds_of_sends(turbopump::smol::Backend::new(), &apache, headers));
    }
}

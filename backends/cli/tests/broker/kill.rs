//! A broker that is killed again and again under load: what it has acknowledged is there.
//!
//! `KILLS=200` kills it more often; `.ci/long` does.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::env;
use std::fs;
use std::path::Path;
use std::thread;

use turbopump::core::random::SplitMix64;
use turbopump::core::rocketmq::wire::header::request_code;
use turbopump::core::rocketmq::wire::message::Messages;

use crate::kit::{Broker, Client, scratch};

/// Kills, unless the environment says something else: a few seconds.
const KILLS: u64 = 20;
const SENDERS: usize = 4;

/// What one sender was told, by the offset in its queue.
#[derive(Default)]
struct Told {
    messages: BTreeMap<u64, Vec<u8>>,
    committed: u64,
}

fn queue_fields(queue: &str) -> [(&str, &str); 3] {
    [("topic", "Killed"), ("queueId", queue), ("consumerGroup", "survivors")]
}

/// Sends and commits until the broker is gone.
fn send(address: SocketAddr, queue: usize, seed: u64, told: &mut Told, is_over: &AtomicBool) {
    let (mut random, queue) = (SplitMix64::new(seed), queue.to_string());
    let Some(mut client) = Client::connect(address) else {
        return;
    };
    while !is_over.load(Ordering::Relaxed) {
        let body = vec![random.next_u64() as u8; 1 + random.below(2_000) as usize];
        let fields = [
            ("a", "producers"),
            ("b", "Killed"),
            ("c", "TBW102"),
            ("d", "4"),
            ("e", &*queue),
            ("f", "0"),
            ("g", "0"),
            ("h", "0"),
            ("i", "KEYS\u{1}k\u{2}"),
            ("j", "0"),
        ];
        let sent = client.ask(request_code::SEND_MESSAGE_V2, &fields, &body);
        let Some(sent) = sent else {
            return;
        };
        assert_eq!(sent.code, 0);
        let offset = sent.number("queueOffset");
        assert!(told.messages.insert(offset, body).is_none(), "offset {offset} came twice");
        if random.below(8) == 0 {
            let (next, of_queue) = ((offset + 1).to_string(), queue_fields(&queue));
            let mut fields = of_queue.to_vec();
            fields.push(("commitOffset", &next));
            match client.ask(request_code::UPDATE_CONSUMER_OFFSET, &fields, &[]) {
                Some(answer) if answer.code == 0 => told.committed = offset + 1,
                _ => return,
            }
        }
    }
}

/// Everything from this offset on is what was told; returns where the queue ends.
fn check(address: SocketAddr, queue: usize, told: &Told, from: u64, kill: u64) -> u64 {
    let mut client = Client::connect(address).expect("it has just started");
    let name = queue.to_string();
    let max = client.ask(request_code::GET_MAX_OFFSET, &queue_fields(&name), &[]).unwrap();
    if max.code != 0 {
        assert!(told.messages.is_empty(), "kill {kill}: the topic is gone");
        return 0;
    }
    let max = max.number("offset");
    let last = told.messages.last_key_value().map_or(0, |(offset, _)| offset + 1);
    assert!(max >= last, "kill {kill}, queue {queue}: {max} is before {last}");
    let committed = client.ask(request_code::QUERY_CONSUMER_OFFSET, &queue_fields(&name), &[]);
    let committed = committed.filter(|answer| answer.code == 0);
    let committed = committed.map_or(0, |answer| answer.number("offset"));
    assert!(committed >= told.committed, "kill {kill}: {committed} before {}", told.committed);
    let mut next = from;
    while next < max {
        let offset = next.to_string();
        let mut fields = queue_fields(&name).to_vec();
        fields.extend([
            ("queueOffset", &*offset),
            ("maxMsgNums", "1000"),
            ("sysFlag", "4"),
            ("commitOffset", "0"),
            ("suspendTimeoutMillis", "0"),
            ("subVersion", "0"),
        ]);
        let answer = client.ask(request_code::PULL_MESSAGE, &fields, &[]).unwrap();
        assert_eq!(answer.code, 0, "kill {kill}: offset {next} of {max}");
        for message in Messages::new(&answer.body) {
            let message = message.expect("a whole message");
            assert!(message.is_body_intact(), "kill {kill}: offset {next} is torn");
            if let Some(body) = told.messages.get(&next) {
                assert_eq!(message.body, &body[..], "kill {kill}: offset {next} has changed");
            }
            next += 1;
        }
    }
    max
}

fn start(store: &Path, backend: &str) -> Broker {
    let store = store.to_str().expect("a path of ours");
    Broker::start(backend, &["--flush", "always", "--store", store])
}

fn kill_again_and_again(backend: &str) {
    let kills = env::var("KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS);
    let store = scratch(&format!("kill-{backend}"));
    let mut told: Vec<Told> = (0..SENDERS).map(|_| Told::default()).collect();
    let mut checked = [0; SENDERS];
    let mut random = SplitMix64::new(7);
    for kill in 0..kills {
        let broker = start(&store, backend);
        for (queue, told) in told.iter().enumerate() {
            // What was found before is looked at once more in the end.
            checked[queue] = check(broker.address, queue, told, checked[queue], kill);
        }
        let (address, is_over) = (broker.address, Arc::new(AtomicBool::new(false)));
        thread::scope(|scope| {
            for (queue, told) in told.iter_mut().enumerate() {
                let (seed, is_over) = (random.next_u64(), &is_over);
                scope.spawn(move || send(address, queue, seed, told, is_over));
            }
            // How long it lives is what the test is about; nothing is waited for.
            thread::sleep(Duration::from_millis(5 + random.below(60)));
            broker.kill();
            is_over.store(true, Ordering::Relaxed);
        });
    }
    let broker = start(&store, backend);
    for (queue, told) in told.iter().enumerate() {
        check(broker.address, queue, told, 0, kills);
    }
    broker.kill();
    let messages: usize = told.iter().map(|told| told.messages.len()).sum();
    assert!(messages as u64 > kills, "only {messages} messages were acknowledged");
    eprintln!("{backend}: {kills} kills, {messages} messages acknowledged, none lost");
    fs::remove_dir_all(&store).expect("nobody uses it any more");
}

#[test]
fn nothing_is_lost_on_tokio() {
    kill_again_and_again("tokio");
}

#[test]
fn nothing_is_lost_on_smol() {
    kill_again_and_again("smol");
}

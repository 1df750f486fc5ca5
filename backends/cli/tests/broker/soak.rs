//! A broker with 200 connections of all kinds: its memory, threads and files stay where they are.
//!
//! `SOAK_SECONDS=600` does it for longer; `.ci/long` does. Only then is it judged whether memory is
//! flat; that it is bounded is judged in any case.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::env;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Instant;

use turbopump::core::random::SplitMix64;
use turbopump::core::rocketmq::wire::header::request_code;
use turbopump::core::rocketmq::wire::message::{BatchEntry, Messages};

use crate::kit::{Broker, Client, scratch};

/// Unless the environment says something else.
const SECONDS: u64 = 4;
/// From then on memory has to be flat.
const SECONDS_FLAT: u64 = 120;
/// Of the messages, as the broker is told.
const MEMORY_MIB: u64 = 32;
/// Everything else: the program, the index, windows and answers of 200 connections.
const MEMORY_BESIDE_MIB: u64 = 64;
/// Answers that a peer does not read, by default.
const UNREAD_MIB: u64 = 8;
const SLOTHS: usize = 15;
const TOPICS: u64 = 16;

/// What all have done together.
#[derive(Default)]
struct Done {
    sent: AtomicU64,
    pulled: AtomicU64,
    connected: AtomicU64,
}

#[derive(Clone, Copy)]
enum Role {
    Producer,
    Consumer,
    /// Asks for a lot, and reads little of it.
    Sloth,
    /// Sends something else, or half of something, and is gone.
    Vandal,
    /// Makes topics and takes them away.
    Administrator,
}

const ROLES: [(Role, usize); 5] = [
    (Role::Producer, 80),
    (Role::Consumer, 80),
    (Role::Sloth, SLOTHS),
    (Role::Vandal, 20),
    (Role::Administrator, 5),
];

/// One connection after the other until it is over; none ends before its time by itself.
fn play(role: Role, address: SocketAddr, seed: u64, is_over: &AtomicBool, done: &Done) {
    let mut random = SplitMix64::new(seed);
    while !is_over.load(Ordering::Relaxed) {
        done.connected.fetch_add(1, Ordering::Relaxed);
        // So that connections come and go all the time.
        let turns = 20 + random.below(2_000);
        match role {
            Role::Producer => produce(address, &mut random, turns, is_over, done),
            Role::Consumer => consume(address, &mut random, turns, is_over, done),
            Role::Sloth => dawdle(address, &mut random),
            Role::Vandal => break_something(address, &mut random),
            Role::Administrator => administrate(address, &mut random),
        }
    }
}

fn produce(
    address: SocketAddr,
    random: &mut SplitMix64,
    turns: u64,
    is_over: &AtomicBool,
    done: &Done,
) {
    let mut client = Client::connect(address).expect("the broker takes connections");
    for _ in 0..turns {
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        let topic = format!("Soak{}", random.below(TOPICS));
        let queue = random.below(4).to_string();
        let body = vec![random.next_u64() as u8; random.below(2_000) as usize];
        let messages = if random.below(4) == 0 { 1 + random.below(32) } else { 0 };
        let fields = [
            ("a", "producers"),
            ("b", &*topic),
            ("c", "TBW102"),
            ("d", "4"),
            ("e", &*queue),
            ("f", "0"),
            ("g", "0"),
            ("h", "0"),
            ("i", "KEYS\u{1}k\u{2}"),
            ("j", "0"),
            ("m", if messages == 0 { "false" } else { "true" }),
        ];
        let sent = if messages == 0 {
            client.ask(request_code::SEND_MESSAGE_V2, &fields, &body)
        } else {
            let entry = BatchEntry { flag: 0, body: &body, properties: b"" };
            let mut bytes = vec![0; entry.encoded_len()];
            entry.encode(&mut bytes).expect("it is as long as that");
            client.ask(request_code::SEND_BATCH_MESSAGE, &fields, &bytes.repeat(messages as usize))
        };
        let sent = sent.expect("the broker answers");
        // Where the disk is slower than all of them, sending is refused as busy.
        assert!([0, 2].contains(&sent.code), "code {}", sent.code);
        if sent.code == 0 {
            done.sent.fetch_add(messages.max(1), Ordering::Relaxed);
        }
    }
}

fn consume(
    address: SocketAddr,
    random: &mut SplitMix64,
    turns: u64,
    is_over: &AtomicBool,
    done: &Done,
) {
    let mut client = Client::connect(address).expect("the broker takes connections");
    let (topic, queue) = (format!("Soak{}", random.below(TOPICS)), random.below(4).to_string());
    let group = format!("group{}", random.below(8));
    let mut offset = 0;
    for _ in 0..turns {
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        let text = offset.to_string();
        let fields = [
            ("consumerGroup", &*group),
            ("topic", &*topic),
            ("queueId", &*queue),
            ("queueOffset", &*text),
            ("maxMsgNums", "32"),
            // Commit, wait, with a subscription.
            ("sysFlag", "7"),
            ("commitOffset", &*text),
            ("suspendTimeoutMillis", "200"),
            ("subVersion", "0"),
            ("subscription", "*"),
        ];
        let answer = client.ask(request_code::PULL_MESSAGE, &fields, &[]);
        let answer = answer.expect("the broker answers");
        match answer.code {
            0 => {
                let messages = Messages::new(&answer.body);
                let whole = messages
                    .filter(|message| message.as_ref().expect("a whole message").is_body_intact());
                done.pulled.fetch_add(whole.count() as u64, Ordering::Relaxed);
                offset = answer.number("nextBeginOffset");
            }
            19..=21 => offset = answer.number("nextBeginOffset"),
            // Nobody has sent anything to this topic yet.
            17 => thread::sleep(Duration::from_millis(20)),
            code => panic!("a pull is answered with code {code}"),
        }
    }
}

fn dawdle(address: SocketAddr, random: &mut SplitMix64) {
    let mut stream = TcpStream::connect(address).expect("the broker takes connections");
    stream.set_write_timeout(Some(Duration::from_millis(100))).expect("a time");
    let topic = format!("Soak{}", random.below(TOPICS));
    let queue = format!(r#""consumerGroup":"g","topic":"{topic}","queueId":"0","queueOffset":"0""#);
    let most = r#""maxMsgNums":"1000","sysFlag":"4","subscription":"*","subVersion":"0""#;
    let rest = r#""commitOffset":"0","suspendTimeoutMillis":"0""#;
    let fields = format!("{{{queue},{most},{rest}}}");
    let header = format!(r#"{{"code":11,"flag":0,"opaque":1,"version":0,"extFields":{fields}}}"#);
    let mut frame = (header.len() as u32 + 4).to_be_bytes().to_vec();
    frame.extend((header.len() as u32).to_be_bytes());
    frame.extend(header.as_bytes());
    for _ in 0..200 {
        // Once answers are not read, no more is taken of what is asked.
        if stream.write_all(&frame).is_err() {
            break;
        }
    }
    let mut some = vec![0; 1_000 + random.below(100_000) as usize];
    let _ = stream.read(&mut some);
    thread::sleep(Duration::from_millis(100 + random.below(1_000)));
}

fn break_something(address: SocketAddr, random: &mut SplitMix64) {
    let mut stream = TcpStream::connect(address).expect("the broker takes connections");
    let bytes: Vec<u8> = (0..random.below(200)).map(|_| random.next_u64() as u8).collect();
    let _ = match random.below(3) {
        0 => stream.write_all(&bytes),
        1 => stream.write_all(b"GET / HTTP/1.1\r\n\r\n"),
        // A long frame that never ends.
        _ => stream.write_all(&[0, 0x40, 0, 0, 0, 0, 0, 9, b'{']),
    };
    thread::sleep(Duration::from_millis(random.below(100)));
}

fn administrate(address: SocketAddr, random: &mut SplitMix64) {
    let mut client = Client::connect(address).expect("the broker takes connections");
    let topic = format!("Other{:016x}", random.next_u64());
    let fields = [
        ("topic", &*topic),
        ("defaultTopic", "TBW102"),
        ("readQueueNums", "8"),
        ("writeQueueNums", "8"),
        ("perm", "6"),
        ("topicFilterType", "SINGLE_TAG"),
        ("order", "false"),
    ];
    for (code, fields) in [
        (request_code::UPDATE_AND_CREATE_TOPIC, &fields[..]),
        (request_code::GET_ROUTEINFO_BY_TOPIC, &fields[..1]),
        (request_code::GET_TOPIC_STATS_INFO, &fields[..1]),
        (request_code::GET_ALL_TOPIC_CONFIG, &[]),
        (request_code::DELETE_TOPIC_IN_BROKER, &fields[..1]),
    ] {
        let answer = client.ask(code, fields, &[]).expect("the broker answers");
        assert_eq!(answer.code, 0, "request {code}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// What the system says about the broker's process.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    resident_kib: u64,
    threads: u64,
    files: u64,
}

impl Seen {
    fn now(process: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next());
            number.and_then(|number| number.parse().ok()).expect("a number")
        };
        let files = fs::read_dir(format!("/proc/{process}/fd")).expect("it runs").count() as u64;
        // What is mapped from the program's file is not counted.
        Self { resident_kib: number("RssAnon:"), threads: number("Threads:"), files }
    }
}

fn soak(backend: &str, options: &[&str], more_mib: u64) {
    let seconds = env::var("SOAK_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    let seconds = seconds.unwrap_or(SECONDS);
    let memory = MEMORY_MIB.to_string();
    let options = [&["--memory-mib", &memory], options].concat();
    let broker = Broker::start(backend, &options);
    let (address, process) = (broker.address, broker.process_id());
    let before = Seen::now(process);
    let (is_over, done) = (AtomicBool::new(false), Done::default());
    let mut seen = Vec::new();
    thread::scope(|scope| {
        let roles = ROLES.iter().flat_map(|(role, count)| core::iter::repeat_n(*role, *count));
        for (seed, role) in (1..).zip(roles) {
            let (is_over, done) = (&is_over, &done);
            scope.spawn(move || play(role, address, seed, is_over, done));
        }
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(seconds) {
            thread::sleep(Duration::from_millis(250));
            seen.push(Seen::now(process));
        }
        is_over.store(true, Ordering::Relaxed);
    });
    // All have gone; the broker finds out.
    let gone = (0..400).any(|_| {
        thread::sleep(Duration::from_millis(25));
        Seen::now(process).files <= before.files + 8
    });
    let after = Seen::now(process);
    let most = |part: &[Seen]| part.iter().map(|seen| seen.resident_kib / 1_024).max();
    let (early, late) = (&seen[seen.len() / 5..seen.len() * 2 / 5], &seen[seen.len() * 4 / 5..]);
    let (early, late) = (most(early).unwrap_or(0), most(late).unwrap_or(0));
    let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    eprintln!(
        "{backend}: {seconds} s, {} messages sent, {} pulled, {} connections; memory {early} MiB \
         at first, {late} MiB at last, {} MiB after; files {} before, {} after; threads {} and {}",
        load(&done.sent),
        load(&done.pulled),
        load(&done.connected),
        after.resident_kib / 1_024,
        before.files,
        after.files,
        before.threads,
        after.threads
    );
    assert!(gone, "connections are left: {before:?}, {after:?}");
    let bound = MEMORY_MIB + MEMORY_BESIDE_MIB + SLOTHS as u64 * UNREAD_MIB + more_mib;
    let highest = most(&seen).unwrap_or(0);
    assert!(highest <= bound, "{highest} MiB, and {bound} were expected at most");
    let threads = seen.iter().map(|seen| seen.threads).max().unwrap_or(0);
    assert!(threads <= before.threads + 8, "{threads} threads");
    if seconds >= SECONDS_FLAT {
        assert!(late <= early + early / 10 + 4, "memory grows: {early}, then {late} MiB");
    }
    assert!(load(&done.sent) > 1_000 && load(&done.pulled) > 1_000);
}

#[test]
fn memory_is_flat_on_tokio_in_memory() {
    soak("tokio", &["--memory"], 0);
}

#[test]
fn memory_is_flat_on_smol_on_disk() {
    let store = scratch("soak");
    let path = store.to_str().expect("a path of ours");
    let options = ["--keep-mib", "256", "--keep-messages", "200000", "--store", path];
    // What waits for the disk, and the index of what comes between two looks at what may go.
    soak("smol", &options, 64 + 128);
    fs::remove_dir_all(&store).expect("nobody uses it any more");
}

//! Messages that wait for a time of their own, on a disk whose power is cut: the broker's machine
//! over the store, with a clock that the test moves.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use turbopump_core::frame::decode;
use turbopump_core::link::Chunks;
use turbopump_core::random::SplitMix64;
use turbopump_core::rocketmq::wire::frame::{FRAMES, Frame, encode};
use turbopump_core::rocketmq::wire::header::{ExtSource, Header, Serialization, request_code};
use turbopump_core::rocketmq::wire::message::Messages;
use turbopump_core::rocketmq::wire::properties::keys;
use turbopump_core::time::{Instant, Now};
use turbopump_std::broker::BrokerConfig;
use turbopump_std::broker::machine::{Broker, NOTES, SessionId};
use turbopump_std::broker::store::DiskStore;
use turbopump_tests::disk::{DiskFaults, SimulatedDisk};

use crate::seeds;
use crate::world::settings;

/// Disks, each of which is cut so often.
const DISKS: u64 = 300;
const CUTS_OF_ONE: u64 = 6;

/// What a test knows of a message.
#[derive(Debug)]
struct Sent {
    due_ms: u64,
    /// It was acknowledged, with this handle.
    handle: Option<String>,
    recall: Recall,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Recall {
    Never,
    /// Nobody has said whether it was.
    Asked,
    Granted,
}

struct Answer {
    code: i32,
    fields: BTreeMap<String, String>,
    body: Vec<u8>,
}

/// The power was cut.
#[derive(Debug)]
struct Cut;

/// A broker between two cuts.
struct Life {
    broker: Broker,
    store: DiskStore<SimulatedDisk>,
    session: SessionId,
    now: Now,
    next: i32,
    /// Messages that it knows from index files.
    records_by_index: u64,
    /// Of a group that was not synced, some sectors are there and others are not.
    is_torn: bool,
}

impl Life {
    fn begin(disk: &SimulatedDisk, now: Now) -> Result<Self, Cut> {
        let host = SocketAddr::from(([127, 0, 0, 1], 10_911));
        let mut broker = Broker::new(BrokerConfig::default(), host, true, now);
        let opened = DiskStore::open(disk.clone(), settings(), NOTES, &mut |position, finding| {
            assert!(broker.recover_finding(position, finding));
        });
        let (store, recovery) = opened.map_err(|_| Cut)?;
        broker.handle_recovered(now, store.start(), store.end());
        let session = broker.handle_opened(now, host).unwrap();
        let records_by_index = recovery.records_by_index;
        let is_torn = !recovery.is_flawless();
        let mut life = Self { broker, store, session, now, next: 0, records_by_index, is_torn };
        // What was due meanwhile comes first.
        life.advance(1)?;
        Ok(life)
    }

    /// Does what the store's threads do.
    fn serve(&mut self) -> Result<(), Cut> {
        loop {
            if let Some(group) = self.broker.poll_group() {
                let end = self.store.append(group.position, &group.parts, &group.sizes);
                self.store.sync().map_err(|_| Cut)?;
                assert_eq!(end.map_err(|_| Cut)?, group.end);
                self.broker.handle_stored(self.now, group.end);
            } else if let Some(read) = self.broker.poll_read() {
                let reader = self.store.reader();
                let slices = read.ranges.iter().map(|range| {
                    reader.read(range.position, range.size_bytes as usize).map_err(|_| Cut)
                });
                let slices = slices.collect::<Result<Vec<_>, Cut>>()?;
                self.broker.handle_read(self.now, read.id, Some(slices));
            } else {
                return Ok(());
            }
        }
    }

    fn ask(&mut self, code: i32, ext: &impl ExtSource, body: &[u8]) -> Result<Answer, Cut> {
        self.next += 1;
        let mut memory = vec![0; 4_096 + body.len()];
        let header = Header::request(code, self.next);
        let len = encode(&header, Serialization::Json, ext, body, &mut memory).unwrap();
        self.broker.handle_bytes(self.now, self.session, &memory[..len]).unwrap();
        self.serve()?;
        let mut bytes = Vec::new();
        loop {
            let mut chunks = Chunks::new();
            self.broker.poll_transmit(self.session, &mut chunks);
            if chunks.is_empty() {
                break;
            }
            chunks.iter().for_each(|chunk| bytes.extend_from_slice(chunk));
        }
        let frame = decode(&FRAMES, &bytes).next().unwrap().unwrap();
        let frame = Frame::decode(frame).unwrap();
        assert_eq!(frame.header.opaque, self.next);
        let fields = frame.ext.iter().map(|field| {
            let value = field.value().unwrap().map(|value| value.to_string());
            (field.name().unwrap().to_string(), value.unwrap_or_default())
        });
        let (code, body) = (frame.header.code, frame.body.to_vec());
        Ok(Answer { code, fields: fields.collect(), body })
    }

    /// Sends a message that is its own number; its handle, once it is acknowledged.
    fn send(&mut self, number: u64, due_ms: u64, len: usize) -> Result<String, Cut> {
        let properties = format!(
            "TIMER_DELIVER_MS\u{1}{due_ms}\u{2}UNIQ_KEY\u{1}{number}\u{2}KEYS\u{1}{}\u{2}",
            "k".repeat(len)
        );
        let fields = [("a", "p"), ("b", "Orders"), ("c", "TBW102"), ("d", "1"), ("e", "0")];
        let more = [("f", "0"), ("g", "0"), ("h", "0"), ("i", &*properties), ("j", "0")];
        let body = number.to_string();
        let sent = self.ask(request_code::SEND_MESSAGE_V2, &(fields, more), body.as_bytes())?;
        assert_eq!(sent.code, 0);
        Ok(sent.fields["recallHandle"].clone())
    }

    fn recall(&mut self, handle: &str) -> Result<i32, Cut> {
        let fields = [("producerGroup", "p"), ("topic", "Orders"), ("recallHandle", handle)];
        Ok(self.ask(request_code::RECALL_MESSAGE, &fields, b"")?.code)
    }

    /// Moves the clock, and does what is due, each at its time.
    fn advance(&mut self, ms: u64) -> Result<(), Cut> {
        let start = self.now;
        let end = start.at.plus_us(ms * 1_000);
        loop {
            let due = self.broker.poll_timeout().filter(|at| *at <= end);
            let at = due.unwrap_or(end).max(self.now.at);
            self.now = Now::new(at, start.unix_ms + at.us_since(start.at) / 1_000);
            if due.is_none() {
                return Ok(());
            }
            self.broker.handle_timeout(self.now);
            self.serve()?;
        }
    }

    /// What was delivered: numbers, and when.
    fn delivered(&mut self) -> Result<Vec<(u64, u64)>, Cut> {
        let mut found = Vec::new();
        loop {
            let offset = found.len().to_string();
            let fields = [
                ("consumerGroup", "g"),
                ("topic", "Orders"),
                ("queueId", "0"),
                ("queueOffset", &*offset),
                ("maxMsgNums", "32"),
                ("sysFlag", "4"),
                ("commitOffset", "0"),
                ("suspendTimeoutMillis", "0"),
                ("subscription", "*"),
                ("subVersion", "0"),
            ];
            let got = self.ask(request_code::PULL_MESSAGE, &fields, b"")?;
            if got.code != 0 {
                return Ok(found);
            }
            for message in Messages::new(&got.body).map(Result::unwrap) {
                let number = core::str::from_utf8(message.body).unwrap().parse().unwrap();
                let properties = message.properties().unwrap();
                let at_ms = properties.number(keys::TIMER_DEQUEUE_MS).unwrap().unwrap();
                found.push((number, at_ms as u64));
            }
        }
    }
}

/// What was sent, and a clock that goes on whatever is cut.
struct Timers {
    random: SplitMix64,
    sent: BTreeMap<u64, Sent>,
    now: Now,
    recalls_granted: u64,
    recalls_refused: u64,
    records_by_index: u64,
    is_torn: bool,
    /// Messages that came twice.
    again: u64,
}

impl Timers {
    /// Sends, recalls and waits until the power is cut.
    fn live(&mut self, disk: &SimulatedDisk) {
        // The power may go while it begins.
        let Ok(mut life) = Life::begin(disk, self.now) else { return };
        self.is_torn |= life.is_torn;
        self.records_by_index += life.records_by_index;
        while self.step(&mut life).is_ok() {}
        self.now = life.now;
    }

    fn step(&mut self, life: &mut Life) -> Result<(), Cut> {
        match self.random.below(8) {
            0..4 => {
                let number = self.sent.len() as u64;
                // Ties are likely.
                let due_ms = (life.now.unix_ms / 100 + 1 + self.random.below(30)) * 100;
                let sent = Sent { due_ms, handle: None, recall: Recall::Never };
                self.sent.insert(number, sent);
                let handle = life.send(number, due_ms, self.random.below(300) as usize)?;
                self.sent.get_mut(&number).unwrap().handle = Some(handle);
            }
            4 => {
                let number = self.random.below(1 + self.sent.len() as u64);
                let Some(sent) = self.sent.get_mut(&number) else { return Ok(()) };
                let Some(handle) = sent.handle.clone() else { return Ok(()) };
                let (before, is_due) = (sent.recall, sent.due_ms <= life.now.unix_ms);
                let Ok(code) = life.recall(&handle) else {
                    if before == Recall::Never {
                        sent.recall = Recall::Asked;
                    }
                    return Err(Cut);
                };
                match code {
                    0 => {
                        assert!(before != Recall::Granted, "{number} is recalled twice");
                        sent.recall = Recall::Granted;
                        self.recalls_granted += 1;
                    }
                    604 => {
                        assert!(is_due || before != Recall::Never, "{number} is not there");
                        self.recalls_refused += 1;
                    }
                    code => panic!("a recall is answered with {code}"),
                }
            }
            5 => {
                let indexer = life.store.indexer();
                while indexer.write_next().map_err(|_| Cut)? {}
            }
            _ => life.advance(self.random.below(300))?,
        }
        Ok(())
    }

    /// Everything that was acknowledged was delivered, in order, and not too early; what was
    /// delivered and not noted before a cut, again.
    fn check(&mut self, disk: &SimulatedDisk, seed: u64) {
        let mut life = Life::begin(disk, self.now).unwrap();
        life.advance(10_000).unwrap();
        assert_eq!(life.broker.stats().timed_messages, 0, "SEED={seed}");
        let delivered = life.delivered().unwrap();
        let mut last = (0, 0);
        let mut times: BTreeMap<u64, u64> = BTreeMap::new();
        for (number, at_ms) in &delivered {
            let sent = &self.sent[number];
            let turn = (sent.due_ms, *number);
            *times.entry(*number).or_default() += 1;
            if times[number] > 1 {
                self.again += 1;
                assert!(times[number] <= 1 + CUTS_OF_ONE, "SEED={seed}: {number} comes for ever");
                continue;
            }
            // Of what was torn, later ones may be left and earlier ones come again.
            let is_torn = self.is_torn || life.is_torn;
            assert!(turn > last || is_torn, "SEED={seed}: {number} comes after {last:?}: {sent:?}");
            assert!(*at_ms >= sent.due_ms, "SEED={seed}: {number} came at {at_ms}: {sent:?}");
            assert!(sent.recall != Recall::Granted, "SEED={seed}: {number} was recalled");
            last = turn;
        }
        for (number, sent) in &self.sent {
            let is_there = delivered.iter().any(|(other, _)| other == number);
            let must_be = sent.handle.is_some() && sent.recall == Recall::Never;
            assert!(is_there || !must_be, "SEED={seed}: {number} is lost: {sent:?}");
        }
    }
}

#[test]
fn timers_are_kept_when_the_power_goes() {
    let (mut sent, mut granted, mut refused, mut by_index) = (0, 0, 0, 0);
    let (mut again, mut torn) = (0, 0);
    for seed in seeds(DISKS) {
        let disk = SimulatedDisk::new(seed ^ 0x5eed);
        let now = Now::new(Instant::from_ms(1_000), 1_700_000_000_000);
        let random = SplitMix64::new(seed);
        let mut timers = Timers {
            random,
            sent: BTreeMap::new(),
            now,
            recalls_granted: 0,
            recalls_refused: 0,
            records_by_index: 0,
            is_torn: false,
            again: 0,
        };
        for _ in 0..CUTS_OF_ONE {
            let cut_after = Some(timers.random.below(150));
            disk.set_faults(DiskFaults { cut_after, ..DiskFaults::default() });
            timers.live(&disk);
            disk.restart();
        }
        timers.check(&disk, seed);
        sent += timers.sent.len();
        granted += timers.recalls_granted;
        refused += timers.recalls_refused;
        by_index += timers.records_by_index;
        again += timers.again;
        torn += u64::from(timers.is_torn);
    }
    println!("{sent} sent, {granted} recalled, {refused} not, {by_index} found by index files");
    println!("{again} came again, {torn} disks were torn");
    if std::env::var("SEED").is_err() {
        assert!(sent > 20_000 && granted > 500 && refused > 500 && by_index > 20_000);
        // Only what was delivered just before a cut: less than one message for each.
        assert!(again < DISKS * CUTS_OF_ONE);
    }
}

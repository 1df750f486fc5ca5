//! The embedded broker: whatever connections send, nothing panics, and what is answered are frames.
//!
//! An input is a list of events: connections, bytes of any kind, requests with known codes and
//! names of fields, time that passes, a disk that stores or fails.

use core::net::SocketAddr;

use turbopump_core::frame::decode;
use turbopump_core::link::{Chunks, CloseReason};
use turbopump_core::rocketmq::wire::frame::{FRAMES, Frame, encode};
use turbopump_core::rocketmq::wire::header::{Header, Serialization};
use turbopump_core::time::{Instant, Now};
use turbopump_std::broker::BrokerConfig;
use turbopump_std::broker::machine::{Broker, SessionId};

use super::Parameters;

/// Requests that the broker does something with.
const CODES: [i32; 48] = [
    10, 11, 12, 14, 15, 17, 18, 21, 25, 26, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 41, 42, 46,
    100, 101, 102, 105, 106, 200, 201, 202, 203, 204, 205, 206, 207, 208, 215, 219, 222, 300, 307,
    309, 310, 320, 351, 400,
];
/// Fields that requests have.
const NAMES: [&str; 32] = [
    "topic",
    "consumerGroup",
    "producerGroup",
    "queueId",
    "queueOffset",
    "offset",
    "commitOffset",
    "maxMsgNums",
    "sysFlag",
    "suspendTimeoutMillis",
    "subscription",
    "subVersion",
    "group",
    "delayLevel",
    "tranStateTableOffset",
    "commitLogOffset",
    "commitOrRollback",
    "msgId",
    "clientId",
    "timestamp",
    "key",
    "a",
    "b",
    "c",
    "d",
    "e",
    "f",
    "g",
    "h",
    "i",
    "j",
    "defaultTopic",
];
/// Values that mean something.
const VALUES: [&str; 16] = [
    "Orders",
    "g",
    "0",
    "1",
    "-1",
    "2",
    "4",
    "8",
    "12",
    "TBW102",
    "%RETRY%g",
    "true",
    "32",
    "TRAN_MSG\u{1}true\u{2}PGROUP\u{1}g\u{2}",
    "DELAY\u{1}1\u{2}TAGS\u{1}t\u{2}",
    "99999999999",
];
const CONNECTIONS_MAX: usize = 4;

/// Runs the target.
pub fn run(data: &[u8]) {
    let mut parameters = Parameters { data };
    let with_disk = parameters.byte() & 1 == 1;
    let mut now = Now::new(Instant::from_ms(1), 1_700_000_000_000);
    let host = SocketAddr::from(([127, 0, 0, 1], 10_911));
    let mut config = BrokerConfig::default();
    config.limits.memory_bytes_max = 4 << 20;
    let mut broker = Broker::new(config, host, with_disk, now);
    let mut sessions: Vec<SessionId> = Vec::new();
    while !parameters.data.is_empty() {
        let event = parameters.byte();
        match event % 8 {
            0 if sessions.len() < CONNECTIONS_MAX => {
                sessions.extend(broker.handle_opened(now, host))
            }
            1 => {
                if let Some(id) = sessions.pop() {
                    broker.handle_closed(now, id, CloseReason::Peer);
                }
            }
            2 => {
                now = Now::new(now.at.plus_us(50_000 << (event >> 4)), now.unix_ms + 1_000);
                broker.handle_timeout(now);
            }
            3 => {
                if let Some(group) = broker.poll_group() {
                    match parameters.byte() % 8 {
                        0 => broker.handle_store_failed(now, "the disk is full", false),
                        _ => broker.handle_stored(now, group.end),
                    }
                }
                while let Some(read) = broker.poll_read() {
                    broker.handle_read(now, read.id, None);
                }
            }
            4 => {
                let bytes = parameters.list();
                give(&mut broker, now, &sessions, event, bytes);
            }
            _ => {
                let frame = request(&mut parameters);
                give(&mut broker, now, &sessions, event, &frame);
            }
        }
        while broker.poll_woken().is_some() {}
        sessions.iter().for_each(|id| check_answers(&mut broker, *id));
        assert!(broker.poll_timeout().is_none_or(|at| at > now.at) || event % 8 != 2, "it spins");
    }
    let stats = broker.stats();
    assert!(stats.memory_bytes <= (4 << 20) + (1 << 20), "{stats:?}");
    assert_eq!(stats.connections, sessions.len());
}

fn request(parameters: &mut Parameters<'_>) -> Vec<u8> {
    let code = CODES[usize::from(parameters.byte()) % CODES.len()];
    let kind = parameters.byte();
    let mut fields = Vec::new();
    for _ in 0..parameters.byte() % 12 {
        let name = NAMES[usize::from(parameters.byte()) % NAMES.len()];
        let choice = parameters.byte();
        let value = match VALUES.get(usize::from(choice)) {
            Some(value) => (*value).to_owned(),
            None => String::from_utf8_lossy(parameters.list()).into_owned(),
        };
        fields.push((name, value));
    }
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, &**value)).collect();
    let body = parameters.list();
    let mut header = Header::request(code, i32::from(kind));
    header.flag = i32::from(kind & 2);
    let serialization = if kind & 4 == 0 { Serialization::Json } else { Serialization::Rocketmq };
    let mut memory = vec![0; 64 * 1024];
    match encode(&header, serialization, fields.as_slice(), body, &mut memory) {
        Ok(len) => memory.truncate(len),
        Err(_) => memory.clear(),
    }
    memory
}

fn give(broker: &mut Broker, now: Now, sessions: &[SessionId], event: u8, bytes: &[u8]) {
    let index = usize::from(event >> 3) % sessions.len().max(1);
    if let Some(id) = sessions.get(index)
        && let Ok(consumed) = broker.handle_bytes(now, *id, bytes)
    {
        assert!(consumed <= bytes.len());
    }
}

/// Everything that is written to a connection are frames.
fn check_answers(broker: &mut Broker, id: SessionId) {
    let mut bytes = Vec::new();
    loop {
        let mut chunks = Chunks::new();
        broker.poll_transmit(id, &mut chunks);
        if chunks.is_empty() {
            break;
        }
        chunks.iter().for_each(|chunk| bytes.extend_from_slice(chunk));
    }
    let mut frames = decode(&FRAMES, &bytes);
    for frame in &mut frames {
        Frame::decode(frame.expect("what is written are frames")).expect("with headers");
    }
    assert!(frames.rest().is_empty(), "a frame is cut short");
}

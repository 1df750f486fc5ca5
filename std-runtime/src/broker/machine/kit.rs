//! What tests of the machine share: a broker with a clock that the test moves, and clients.

use core::net::SocketAddr;

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use turbopump_core::link::{Chunks, CloseReason};
use turbopump_core::rocketmq::wire::acl::Credentials;
use turbopump_core::rocketmq::wire::frame::{Frame, encode};
use turbopump_core::rocketmq::wire::header::{
    Absent, ExtSource, Header, Serialization, request_code,
};
use turbopump_core::rocketmq::wire::message::Messages;
use turbopump_core::rocketmq::wire::properties::{NAME_END, VALUE_END};
use turbopump_core::time::{Instant, Now};

use super::{Broker, BrokerConfig, Range, SessionId};

/// A frame that a client has got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::broker) struct Got {
    pub(in crate::broker) code: i32,
    pub(in crate::broker) opaque: i32,
    pub(in crate::broker) is_response: bool,
    pub(in crate::broker) is_oneway: bool,
    pub(in crate::broker) remark: String,
    pub(in crate::broker) ext: BTreeMap<String, String>,
    pub(in crate::broker) body: Vec<u8>,
}

impl Got {
    #[track_caller]
    pub(in crate::broker) fn field(&self, name: &str) -> &str {
        self.ext.get(name).unwrap_or_else(|| panic!("no field {name}: {self:?}"))
    }

    #[track_caller]
    pub(in crate::broker) fn number(&self, name: &str) -> i64 {
        self.field(name).parse().unwrap_or_else(|_| panic!("{name} is no number: {self:?}"))
    }

    pub(in crate::broker) fn text(&self) -> &str {
        core::str::from_utf8(&self.body).unwrap()
    }

    /// The bodies of the messages in its body.
    pub(in crate::broker) fn bodies(&self) -> Vec<String> {
        let bodies = Messages::new(&self.body).map(|message| message.unwrap().body);
        bodies.map(|body| String::from_utf8_lossy(body).into_owned()).collect()
    }
}

pub(super) struct Kit {
    pub(super) broker: Broker,
    pub(super) now: Now,
    next: i32,
    pub(super) serialization: Serialization,
    /// Messages on the disk, by position.
    disk: BTreeMap<u64, Vec<u8>>,
    config: BrokerConfig,
    with_disk: bool,
    /// What was appended stays where it is: the disk is slow.
    pub(super) is_slow: bool,
    /// Reads of the message at this position fail.
    pub(super) is_unreadable: Option<u64>,
    /// Whether it is started with notes in place of messages.
    pub(super) restarts_by_notes: bool,
    /// Whose signature requests have.
    pub(super) credentials: Option<Credentials<'static>>,
}

impl Kit {
    pub(super) fn new() -> Self {
        Self::with(BrokerConfig::default(), false)
    }

    pub(super) fn with(config: BrokerConfig, with_disk: bool) -> Self {
        let now = Now::new(Instant::from_ms(1_000), 1_700_000_000_000);
        let host = SocketAddr::from(([127, 0, 0, 1], 10_911));
        let broker = Broker::new(config.clone(), host, with_disk, now);
        let (disk, is_slow, restarts_by_notes) = (BTreeMap::new(), false, false);
        let serialization = Serialization::Json;
        let credentials = None;
        let next = 100;
        Self {
            broker,
            now,
            next,
            serialization,
            disk,
            config,
            with_disk,
            is_slow,
            is_unreadable: None,
            restarts_by_notes,
            credentials,
        }
    }

    /// Does what the store does, unless it is slow.
    pub(super) fn serve_store(&mut self) {
        while self.serve_groups() | self.serve_reads() {}
    }

    fn serve_groups(&mut self) -> bool {
        let mut any = false;
        while !self.is_slow
            && let Some(group) = self.broker.poll_group()
        {
            let bytes = group.parts.concat();
            let (mut rest, mut position) = (&bytes[..], group.position);
            for size_bytes in &group.sizes {
                let (record, behind) = rest.split_at(*size_bytes as usize);
                self.disk.insert(position, record.to_vec());
                (rest, position) = (behind, position + u64::from(*size_bytes));
            }
            assert!(rest.is_empty(), "sizes are those of the parts");
            self.broker.handle_stored(self.now, group.end);
            any = true;
        }
        any
    }

    fn serve_reads(&mut self) -> bool {
        let mut any = false;
        while let Some(read) = self.broker.poll_read() {
            any = true;
            let is_bad = |range: &Range| self.is_unreadable == Some(range.position);
            if read.ranges.iter().any(is_bad) {
                self.broker.handle_read(self.now, read.id, None);
                continue;
            }
            let mut slices = Vec::new();
            for range in read.ranges {
                let mut position = range.position;
                while position < range.position + u64::from(range.size_bytes) {
                    let record = &self.disk[&position];
                    position += record.len() as u64;
                    slices.push(bytes::Bytes::copy_from_slice(record));
                }
            }
            self.broker.handle_read(self.now, read.id, Some(slices));
        }
        any
    }

    /// Kills the broker, and starts another one with what is on the disk.
    pub(super) fn restart(&mut self) {
        let host = SocketAddr::from(([127, 0, 0, 1], 10_911));
        self.broker = Broker::new(self.config.clone(), host, self.with_disk, self.now);
        for (position, record) in &self.disk {
            let is_taken = if self.restarts_by_notes {
                let mut note = Vec::new();
                (super::NOTES.write)(record, &mut note);
                self.broker.recover_note(*position, record.len() as u32, &note)
            } else {
                self.broker.recover(*position, record)
            };
            assert!(is_taken);
        }
        let last = self.disk.last_key_value();
        let end = last.map_or(0, |(position, record)| position + record.len() as u64 + 1_000);
        let start = self.disk.first_key_value().map_or(0, |(position, _)| *position);
        self.broker.handle_recovered(self.now, start, end);
        self.serve_store();
    }

    pub(super) fn connect(&mut self) -> SessionId {
        let peer = SocketAddr::from(([127, 0, 0, 1], 40_000));
        self.broker.handle_opened(self.now, peer).unwrap()
    }

    pub(super) fn disconnect(&mut self, id: SessionId) {
        self.broker.handle_closed(self.now, id, CloseReason::Peer);
    }

    /// Moves the clock, and does what is due, each at its time.
    pub(super) fn advance_ms(&mut self, ms: u64) {
        let start = self.now;
        let end = start.at.plus_us(ms * 1_000);
        loop {
            let due = self.broker.poll_timeout().filter(|at| *at <= end);
            let at = due.unwrap_or(end).max(self.now.at);
            self.now = Now::new(at, start.unix_ms + at.us_since(start.at) / 1_000);
            if due.is_none() {
                return;
            }
            self.broker.handle_timeout(self.now);
            self.serve_store();
        }
    }

    /// Sends a request and returns its number.
    pub(super) fn send(
        &mut self,
        id: SessionId,
        code: i32,
        flag: i32,
        ext: &impl ExtSource,
        body: &[u8],
    ) -> i32 {
        self.next += 1;
        let mut header = Header::request(code, self.next);
        header.flag = flag;
        match self.credentials {
            Some(credentials) => {
                let signed = credentials.sign(ext, body).unwrap();
                self.put(id, &header, &signed, body);
            }
            None => self.put(id, &header, ext, body),
        }
        self.next
    }

    /// Answers a request of the broker's.
    pub(super) fn respond(&mut self, id: SessionId, got: &Got, code: i32, body: &[u8]) {
        self.put(id, &Header::response(code, got.opaque, None), &Absent, body);
    }

    fn put(&mut self, id: SessionId, header: &Header<'_>, ext: &impl ExtSource, body: &[u8]) {
        let mut memory = vec![0; 64 * 1024 + body.len()];
        let len = encode(header, self.serialization, ext, body, &mut memory).unwrap();
        let consumed = self.broker.handle_bytes(self.now, id, &memory[..len]).unwrap();
        assert_eq!(consumed, len);
        self.serve_store();
    }

    /// All frames that wait for a client.
    pub(super) fn take(&mut self, id: SessionId) -> Vec<Got> {
        let mut bytes = Vec::new();
        loop {
            let mut chunks = Chunks::new();
            self.broker.poll_transmit(id, &mut chunks);
            if chunks.is_empty() {
                break;
            }
            chunks.iter().for_each(|chunk| bytes.extend_from_slice(chunk));
        }
        frames_of(&bytes)
    }

    /// Sends a request and returns its answer, which has to be there at once.
    #[track_caller]
    pub(super) fn ask(
        &mut self,
        id: SessionId,
        code: i32,
        ext: &impl ExtSource,
        body: &[u8],
    ) -> Got {
        let opaque = self.send(id, code, 0, ext, body);
        let mut frames = self.take(id);
        let at = frames.iter().position(|got| got.is_response && got.opaque == opaque);
        frames.remove(at.unwrap_or_else(|| panic!("request {code} is not answered: {frames:?}")))
    }

    /// Sends a message with these properties.
    #[track_caller]
    pub(super) fn produce(
        &mut self,
        id: SessionId,
        topic: &str,
        queue: i32,
        body: &str,
        properties: &[(&str, &str)],
    ) -> Got {
        let queue = queue.to_string();
        let properties: Vec<String> = properties
            .iter()
            .map(|(name, value)| alloc::format!("{name}{NAME_END}{value}{VALUE_END}"))
            .collect();
        let (now, properties) = (self.now.unix_ms.to_string(), properties.concat());
        let fields = [
            ("a", "producers"),
            ("b", topic),
            ("c", "TBW102"),
            ("d", "4"),
            ("e", &*queue),
            ("f", "0"),
            ("g", &*now),
            ("h", "0"),
            ("i", &*properties),
            ("j", "0"),
        ];
        self.ask(id, request_code::SEND_MESSAGE_V2, &fields, body.as_bytes())
    }

    /// Pulls with a subscription in the request, and without waiting.
    #[track_caller]
    pub(super) fn pull(
        &mut self,
        id: SessionId,
        group: &str,
        topic: &str,
        queue: i32,
        offset: u64,
    ) -> Got {
        let (queue, offset) = (queue.to_string(), offset.to_string());
        let fields = [
            ("consumerGroup", group),
            ("topic", topic),
            ("queueId", &*queue),
            ("queueOffset", &*offset),
            ("maxMsgNums", "32"),
            ("sysFlag", "4"),
            ("commitOffset", "0"),
            ("suspendTimeoutMillis", "0"),
            ("subscription", "*"),
            ("subVersion", "0"),
            ("expressionType", "TAG"),
        ];
        self.ask(id, request_code::PULL_MESSAGE, &fields, &[])
    }
}

/// The frames that a client has got.
pub(in crate::broker) fn frames_of(bytes: &[u8]) -> Vec<Got> {
    let mut frames = Vec::new();
    let field = turbopump_core::rocketmq::wire::frame::FRAMES;
    for frame in turbopump_core::frame::decode(&field, bytes) {
        let frame = Frame::decode(frame.unwrap()).unwrap();
        let ext = frame.ext.iter().map(|field| {
            let value = field.value().unwrap().map(|value| value.to_string());
            (field.name().unwrap().to_string(), value.unwrap_or_default())
        });
        frames.push(Got {
            code: frame.header.code,
            opaque: frame.header.opaque,
            is_response: frame.header.is_response(),
            is_oneway: frame.header.is_oneway(),
            remark: frame.header.remark.map(|text| text.to_string()).unwrap_or_default(),
            ext: ext.collect(),
            body: frame.body.to_vec(),
        });
    }
    frames
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_is_pulled() {
        let mut kit = Kit::new();
        for serialization in [Serialization::Json, Serialization::Rocketmq] {
            kit.serialization = serialization;
            let client = kit.connect();
            let sent = kit.produce(client, "Orders", 1, "hello", &[("KEYS", "a")]);
            assert_eq!((sent.code, sent.number("queueId")), (0, 1), "{sent:?}");
            let offset = sent.number("queueOffset") as u64;
            let got = kit.pull(client, "billing", "Orders", 1, offset);
            assert_eq!((got.code, got.bodies()), (0, vec!["hello".to_string()]));
            assert_eq!(got.number("nextBeginOffset"), offset as i64 + 1);
            let got = kit.pull(client, "billing", "Orders", 1, offset + 1);
            assert_eq!((got.code, &*got.remark), (19, "OFFSET_OVERFLOW_ONE"));
            kit.disconnect(client);
        }
    }
}

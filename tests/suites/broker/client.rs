//! A client that asks one thing at a time, and blocks.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use turbopump_core::rocketmq::wire::acl::Credentials;
use turbopump_core::rocketmq::wire::frame::{Frame, encode};
use turbopump_core::rocketmq::wire::header::{Header, Serialization};
use turbopump_core::rocketmq::wire::message::Messages;

pub(crate) struct Client {
    stream: TcpStream,
    next: i32,
    credentials: Option<Credentials<'static>>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) fields: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn number(&self, name: &str) -> u64 {
        self.fields.get(name).and_then(|value| value.parse().ok()).expect("a number")
    }

    pub(crate) fn bodies(&self) -> Vec<Vec<u8>> {
        Messages::new(&self.body).map(|message| message.unwrap().body.to_vec()).collect()
    }
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        // A bound for what must not happen; nothing waits for it.
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Self { stream, next: 0, credentials: None }
    }

    pub(crate) fn signing(mut self, access_key: &'static str, secret_key: &'static str) -> Self {
        self.credentials = Some(Credentials::new(access_key, secret_key));
        self
    }

    fn send(&mut self, code: i32, fields: &[(&str, &str)], body: &[u8]) -> std::io::Result<()> {
        self.next += 1;
        let header = Header::request(code, self.next);
        // Both ways to write headers, in turns.
        let serialization =
            if self.next % 2 == 0 { Serialization::Json } else { Serialization::Rocketmq };
        let mut memory = vec![0; 4_096 + body.len()];
        let len = match self.credentials {
            Some(credentials) => {
                let signed = credentials.sign(fields, body).unwrap();
                encode(&header, serialization, &signed, body, &mut memory)
            }
            None => encode(&header, serialization, fields, body, &mut memory),
        };
        self.stream.write_all(&memory[..len.unwrap()])
    }

    fn receive(&mut self) -> std::io::Result<Answer> {
        let (opaque, answer) = self.receive_any()?;
        assert_eq!(opaque, self.next);
        Ok(answer)
    }

    fn receive_any(&mut self) -> std::io::Result<(i32, Answer)> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let mut frame = length.to_vec();
        frame.resize(4 + u32::from_be_bytes(length) as usize, 0);
        self.stream.read_exact(&mut frame[4..])?;
        let frame = Frame::decode(&frame).unwrap();
        let fields = frame.ext.iter().map(|field| {
            let value = field.value().unwrap().map(|value| value.to_string());
            (field.name().unwrap().to_string(), value.unwrap_or_default())
        });
        let fields = fields.collect();
        let answer = Answer { code: frame.header.code, fields, body: frame.body.to_vec() };
        Ok((frame.header.opaque, answer))
    }

    pub(crate) fn ask(&mut self, code: i32, fields: &[(&str, &str)], body: &[u8]) -> Answer {
        self.send(code, fields, body).unwrap();
        self.receive().unwrap()
    }

    pub(crate) fn produce(
        &mut self,
        topic: &str,
        queue: u32,
        body: &[u8],
        properties: &str,
    ) -> Answer {
        self.say(topic, queue, body, properties);
        self.receive().unwrap()
    }

    /// Sends a message without waiting for the answer.
    pub(crate) fn say_produce(&mut self, topic: &str, queue: u32, body: &[u8]) {
        self.say(topic, queue, body, "");
    }

    fn say(&mut self, topic: &str, queue: u32, body: &[u8], properties: &str) {
        let queue = queue.to_string();
        let fields = [
            ("a", "producers"),
            ("b", topic),
            ("c", "TBW102"),
            ("d", "4"),
            ("e", &*queue),
            ("f", "0"),
            ("g", "0"),
            ("h", "0"),
            ("i", properties),
            ("j", "0"),
        ];
        self.send(310, &fields, body).unwrap();
    }

    /// What comes next, for whatever was asked; `None` once the connection is closed.
    pub(crate) fn next_answer(&mut self) -> Option<Answer> {
        self.receive_any().ok().map(|(_, answer)| answer)
    }

    pub(crate) fn pull(&mut self, topic: &str, queue: u32, offset: u64) -> Answer {
        self.pull_with(topic, queue, offset, "4", "0")
    }

    pub(crate) fn pull_waiting(&mut self, topic: &str, queue: u32, offset: u64) -> Answer {
        self.pull_with(topic, queue, offset, "6", "20000")
    }

    fn pull_with(
        &mut self,
        topic: &str,
        queue: u32,
        offset: u64,
        flags: &str,
        wait_ms: &str,
    ) -> Answer {
        let (queue, offset) = (queue.to_string(), offset.to_string());
        let fields = [
            ("consumerGroup", "consumers"),
            ("topic", topic),
            ("queueId", &*queue),
            ("queueOffset", &*offset),
            ("maxMsgNums", "32"),
            ("sysFlag", flags),
            ("commitOffset", "0"),
            ("suspendTimeoutMillis", wait_ms),
            ("subVersion", "0"),
        ];
        self.ask(11, &fields, b"")
    }

    /// Whether the broker closes the connection instead of answering.
    pub(crate) fn gets_closed_by(mut self, code: i32) -> bool {
        self.send(code, &[("topic", "Orders")], b"").is_err() || self.gets_closed()
    }

    /// Whether the broker closes the connection when it gets these bytes.
    pub(crate) fn gets_closed_after(mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_err() || self.gets_closed()
    }

    /// Whether the broker closes the connection when it gets these bytes, whatever it says before.
    pub(crate) fn gets_ended_after(mut self, bytes: &[u8]) -> bool {
        let mut answer = Vec::new();
        self.stream.write_all(bytes).is_err() || self.stream.read_to_end(&mut answer).is_ok()
    }

    /// Whether the broker closes the connection when it ends within these bytes.
    pub(crate) fn gets_closed_within(mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).unwrap();
        self.stream.shutdown(std::net::Shutdown::Write).unwrap();
        self.gets_closed()
    }

    pub(crate) fn gets_closed(mut self) -> bool {
        use std::io::ErrorKind::{TimedOut, WouldBlock};

        let mut byte = [0];
        match self.stream.read(&mut byte) {
            Ok(bytes) => bytes == 0,
            Err(error) => !matches!(error.kind(), TimedOut | WouldBlock),
        }
    }
}

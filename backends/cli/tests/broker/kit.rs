//! A broker in a process of its own, and a client that blocks.

use alloc::collections::BTreeMap;
use core::net::SocketAddr;
use core::time::Duration;
use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use turbopump::core::rocketmq::wire::frame::{Frame, encode};
use turbopump::core::rocketmq::wire::header::{Header, Serialization};

/// A folder for one test, which is not there yet.
pub(crate) fn scratch(name: &str) -> PathBuf {
    let folder = env::temp_dir().join(format!("turbopump-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    folder
}

pub(crate) struct Broker {
    process: Child,
    pub(crate) address: SocketAddr,
}

impl Drop for Broker {
    /// A test that fails leaves nothing behind.
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Broker {
    /// With ports of its choice.
    pub(crate) fn start(backend: &str, options: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_turbopump"))
            .args(["broker", "--namesrv", "127.0.0.1:0", "--listen", "127.0.0.1:0"])
            .args(["--backend", backend])
            .args(options)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let mut line = String::new();
        let out = process.stdout.as_mut().expect("it is piped");
        BufReader::new(out).read_line(&mut line).expect("it says that it is ready");
        let address = line.trim().rsplit_once("broker=").map(|(_, address)| address.parse());
        let address = address.expect("the line has an address").expect("it can be read");
        Self { process, address }
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn kill(mut self) {
        self.process.kill().expect("it runs until then");
    }
}

/// A connection that asks one thing at a time. Whatever fails is the broker's end.
pub(crate) struct Client {
    stream: TcpStream,
    next: i32,
}

pub(crate) struct Answer {
    pub(crate) code: i32,
    fields: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn number(&self, name: &str) -> u64 {
        self.fields.get(name).and_then(|value| value.parse().ok()).expect("a number")
    }
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Option<Self> {
        let stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        Some(Self { stream, next: 0 })
    }

    pub(crate) fn ask(
        &mut self,
        code: i32,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> Option<Answer> {
        self.next += 1;
        let mut memory = vec![0; 4_096 + body.len()];
        let header = Header::request(code, self.next);
        let len = encode(&header, Serialization::Rocketmq, fields, body, &mut memory).ok()?;
        self.stream.write_all(&memory[..len]).ok()?;
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).ok()?;
        let mut frame = length.to_vec();
        frame.resize(4 + u32::from_be_bytes(length) as usize, 0);
        self.stream.read_exact(&mut frame[4..]).ok()?;
        let frame = Frame::decode(&frame).expect("a broker that is killed sends no garbage");
        let fields = frame.ext.iter().map(|field| {
            let value = field.value().ok().flatten().map(|value| value.to_string());
            (field.name().expect("UTF-8").to_string(), value.unwrap_or_default())
        });
        let fields = fields.collect();
        Some(Answer { code: frame.header.code, fields, body: frame.body.to_vec() })
    }
}

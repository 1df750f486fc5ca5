//! A real InfluxDB 1.x in a folder of its own, on loopback ports that the system picks.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Instant;

/// How long InfluxDB may take to answer after its start. It takes about a second.
const READY_SECONDS_MAX: u64 = 30;

/// A running server, stopped and swept away when dropped.
pub(crate) struct Server {
    process: Child,
    _folder: Folder,
    address: SocketAddr,
}

impl Server {
    /// Starts a server and waits until it answers.
    pub(crate) fn start() -> Self {
        let folder = Folder::create();
        let file = folder.0.join("influxdb.conf");
        std::fs::write(&file, configuration(&folder.0)).expect("a configuration file");
        let mut process = Command::new("influxd")
            .arg("-config")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("influxd (Debian: influxdb) is missing ({error}): run .ci/peers-install")
            });
        let log = process.stderr.take().expect("a piped standard error");
        let (send, receive) = mpsc::channel();
        std::thread::spawn(move || {
            // Read to the end, so that the server never waits for a full pipe.
            for line in BufReader::new(log).lines().map_while(Result::ok) {
                if let Some(address) = address_in(&line) {
                    let _ = send.send(address);
                }
            }
        });
        let deadline = Instant::now() + Duration::from_secs(READY_SECONDS_MAX);
        // From here on the process is stopped whatever happens.
        let unknown = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut server = Self { process, _folder: folder, address: unknown };
        server.address = receive
            .recv_timeout(Duration::from_secs(READY_SECONDS_MAX))
            .expect("influxd logs the address it listens on");
        while server.try_request("GET", "/ping", "").map(|answer| answer.0) != Ok(204) {
            assert!(Instant::now() < deadline, "influxd did not answer /ping in time");
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }

    /// Posts `body` and returns status and body of the answer.
    pub(crate) fn post(&self, path: &str, body: &str) -> (u16, String) {
        self.try_request("POST", path, body).expect("influxd answers")
    }

    /// One request on a connection of its own. HTTP/1.0, so that the answer isn't chunked.
    fn try_request(
        &self,
        method: &str,
        path: &str,
        body: &str,
    ) -> Result<(u16, String), std::io::ErrorKind> {
        let exchange = || {
            let mut stream = TcpStream::connect(self.address)?;
            let length = body.len();
            write!(stream, "{method} {path} HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{body}")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        let answer: String = exchange().map_err(|error: std::io::Error| error.kind())?;
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Ok((status.expect("a status"), body.to_owned()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Only this process, by its handle.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A folder of this process's own, removed when dropped (after the server is stopped).
struct Folder(PathBuf);

impl Folder {
    fn create() -> Self {
        let path = std::env::temp_dir().join(format!("turbopump-influxd-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder for the server");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The address in the line with which the server says that it listens.
fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("Listening on HTTP")?;
    let (_, rest) = rest.split_once("addr=")?;
    rest.split(' ').next()?.parse().ok()
}

/// All on loopback, nothing reported home, nothing of its own stored.
fn configuration(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        r#"reporting-disabled = true
bind-address = "127.0.0.1:0"
[meta]
  dir = "{folder}/meta"
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
  query-log-enabled = false
[monitor]
  store-enabled = false
[http]
  bind-address = "127.0.0.1:0"
  log-enabled = false
[subscriber]
  enabled = false
[continuous_queries]
  enabled = false
[retention]
  enabled = false
"#
    )
}

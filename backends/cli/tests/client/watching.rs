//! The monitor of `produce`: what was sent is seen there.

use core::time::Duration;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::kit::{Broker, run};

/// The page of a path.
fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("the monitor listens");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("it is not 0");
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut page = String::new();
    stream.read_to_string(&mut page).expect("it answers");
    page
}

fn produce_is_watched(backend: &str) {
    let broker = Broker::start();
    run(&["topic", "create", "Seen", "--namesrv", &broker.name_server], &[], "").expect(0);
    let mut process = Command::new(env!("CARGO_BIN_EXE_turbopump"))
        .args(["produce", "--namesrv", &broker.name_server, "--topic", "Seen"])
        .args(["--backend", backend, "--batch", "1", "--monitor", "127.0.0.1:0"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let (mut input, errors) = (process.stdin.take(), process.stderr.take());
    let mut lines = BufReader::new(errors.expect("it is piped")).lines();
    let address = lines.find_map(|line| {
        let line = line.expect("UTF-8");
        let (_, rest) = line.split_once("watch it at http://")?;
        Some(rest.trim_end_matches('/').to_owned())
    });
    let address = address.expect("it says where");
    let stdin = input.as_mut().expect("it is piped");
    stdin.write_all(b"one\ntwo\nthree\n").expect("it reads");
    let sent = "turbopump_send_messages_total{result=\"ok\",topic=\"Seen\"} 3\n";
    let end = Instant::now() + Duration::from_secs(30);
    let mut page = get(&address, "/metrics");
    while !page.contains(sent) && Instant::now() < end {
        page = get(&address, "/metrics");
    }
    assert!(page.contains(sent), "{page}");
    let name_server = &broker.name_server;
    for line in [
        format!("turbopump_nameserver_up{{address=\"{name_server}\"}} 1\n"),
        "turbopump_send_batch_messages_count{topic=\"Seen\"} 3\n".into(),
        "turbopump_send_in_flight_limit_messages 10000\n".into(),
    ] {
        assert!(page.contains(&line), "{line}{page}");
    }
    drop(input);
    assert!(process.wait().expect("it ends").success());
}

#[test]
fn produce_is_watched_on_tokio() {
    produce_is_watched("tokio");
}

#[test]
fn produce_is_watched_on_smol() {
    produce_is_watched("smol");
}

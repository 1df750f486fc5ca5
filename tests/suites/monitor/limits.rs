//! Bad, slow, huge and many requests; and that nothing is left behind.

use alloc::sync::Arc;
use core::net::SocketAddr;
use core::time::Duration;
use std::io::{Read, Write};
use std::net::TcpStream;

use turbopump_std::backend::Backend;
use turbopump_std::monitor::{Monitor, Reply, Snapshot, Sources};

use crate::browser::{get, send};
use crate::on_every_backend;
use crate::pages::{config, elsewhere};

on_every_backend![
    what_is_no_http_is_refused,
    slow_heads_are_cut_off,
    more_connections_than_allowed_are_told_to_wait,
    connections_have_a_lifetime,
    panics_of_users_cost_nobody_else_anything,
    a_hundred_monitors_leave_nothing_behind,
];

async fn what_is_no_http_is_refused<B: Backend>(backend: B) {
    let monitor = Monitor::start(backend.clone(), config(), Sources::new()).await.unwrap();
    let address = monitor.address().unwrap();
    elsewhere(&backend, move || {
        for bytes in [
            &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET /\0 HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
            b"\r\n\r\nGET\r\n\r\n",
        ] {
            assert_eq!(send(address, bytes).status, 400, "{:?}", String::from_utf8_lossy(bytes));
        }
        let long = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(100_000));
        assert_eq!(send(address, long.as_bytes()).status, 431);
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "y".repeat(100_000));
        assert!([414, 431].contains(&send(address, long.as_bytes()).status));
        assert_eq!(get(address, "/healthz").status, 200, "others are served as ever");
    })
    .await;
    monitor.stop().await;
}

async fn slow_heads_are_cut_off<B: Backend>(backend: B) {
    let mut config = config();
    config.head_timeout = Duration::from_millis(50);
    let monitor = Monitor::start(backend.clone(), config, Sources::new()).await.unwrap();
    let address = monitor.address().unwrap();
    elsewhere(&backend, move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost:").unwrap();
        // Until the server gives up.
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 4"), "{rest:?}");
    })
    .await;
    monitor.stop().await;
}

fn open(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    stream
}

async fn more_connections_than_allowed_are_told_to_wait<B: Backend>(backend: B) {
    let mut config = config();
    config.connections_max = 3;
    let monitor = Monitor::start(backend.clone(), config, Sources::new()).await.unwrap();
    let address = monitor.address().unwrap();
    elsewhere(&backend, move || {
        let held = [(); 3].map(|()| open(address));
        let busy = send(address, b"");
        assert_eq!((busy.status, busy.header("retry-after")), (503, Some("1")));
        drop(held);
        // As soon as the server has seen that they are gone.
        while get(address, "/healthz").status != 200 {}
    })
    .await;
    monitor.stop().await;
}

async fn panics_of_users_cost_nobody_else_anything<B: Backend>(backend: B) {
    let (told, heard) = std::sync::mpsc::channel();
    let mut config = config();
    config.connections_max = 3;
    config.collect_interval = Duration::from_millis(10);
    config.route("/panics", || panic!("as planned"));
    config.observe(Arc::new(|_: &Arc<Snapshot>| panic!("as planned")));
    config.observe(Arc::new(move |_: &Arc<Snapshot>| {
        // Nobody listens any more at the end.
        let _ = told.send(());
    }));
    let monitor = Monitor::start(backend.clone(), config, Sources::new()).await.unwrap();
    let address = monitor.address().unwrap();
    elsewhere(&backend, move || {
        for _ in 0..10 {
            assert_eq!(get(address, "/panics").status, 500);
        }
        assert_eq!(get(address, "/healthz").status, 200, "their connections are gone");
        // The second observer hears of one collection after the other.
        assert_eq!(heard.iter().take(3).count(), 3);
    })
    .await;
    monitor.stop().await;
}

async fn connections_have_a_lifetime<B: Backend>(backend: B) {
    let mut config = config();
    config.connection_lifetime = Duration::from_millis(50);
    let monitor = Monitor::start(backend.clone(), config, Sources::new()).await.unwrap();
    let address = monitor.address().unwrap();
    elsewhere(&backend, move || {
        let mut stream = open(address);
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
    })
    .await;
    monitor.stop().await;
}

/// Whether this page is there. Somebody else may have got the port meanwhile.
fn is_served(address: SocketAddr, path: &str) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else { return false };
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let mut answer = [0; 12];
    stream.write_all(request.as_bytes()).is_ok()
        && stream.read_exact(&mut answer).is_ok()
        && &answer == b"HTTP/1.1 200"
}

async fn a_hundred_monitors_leave_nothing_behind<B: Backend>(backend: B) {
    for round in 0..100 {
        let path = format!("/of-round-{round}-of-{}", core::any::type_name::<B>());
        let mut config = config();
        config.route(&path, || Reply::text("here"));
        let monitor = Monitor::start(backend.clone(), config, Sources::new()).await.unwrap();
        let address = monitor.address().unwrap();
        let held = (round % 10 == 0).then(|| TcpStream::connect(address).unwrap());
        monitor.stop().await;
        // Nobody listens any more, and nobody holds the connection.
        assert!(!is_served(address, &path), "round {round}");
        if let Some(mut held) = held {
            assert_eq!(held.read(&mut [0; 1]).unwrap_or(0), 0);
        }
    }
}

//! Debug pages: off unless asked for, on a listener of their own, without secrets; profiles one at
//! a time. What profiles hold is seen by `go tool pprof` in tests/peers/monitor.
//!
//! Profiles of the processor take one second of real time each.

use alloc::sync::Arc;
use core::net::{Ipv4Addr, SocketAddr};
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::io::{Read, Write};
use std::net::TcpStream;

use smol::lock::{Mutex, MutexGuard};
use turbopump_core::compress::{Format, InflateState, inflate};
use turbopump_std::backend::Backend;
use turbopump_std::memory::BufferPool;
use turbopump_std::monitor::{Monitor, MonitorConfig, Snapshot, Sources};

use crate::alerts::{alerts, watched};
use crate::browser::{Answer, ask, get};
use crate::on_every_backend;
use crate::pages::{config, elsewhere};

on_every_backend![
    debug_pages_are_off_unless_asked_for,
    debug_pages_have_a_listener_of_their_own,
    the_overview_hides_secrets_and_tells_events,
    debug_pages_answer_as_http_wants,
    profiles_are_taken_one_at_a_time,
    profiles_end_with_the_monitor,
    pools_and_tasks_have_profiles,
    debug_pages_stay_on_this_machine,
];

/// The profiler is the process's.
async fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().await
}

fn debugged() -> MonitorConfig {
    let mut config = config();
    config.debug_address = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    config
}

async fn start<B: Backend>(backend: &B, sources: &Sources) -> (Monitor<B>, SocketAddr) {
    let monitor = Monitor::start(backend.clone(), debugged(), sources.clone()).await.unwrap();
    let address = monitor.debug_address().unwrap();
    (monitor, address)
}

const PAGES: [&str; 5] =
    ["/debug", "/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/tasks", "/debug/pprof/profile"];

async fn debug_pages_are_off_unless_asked_for<B: Backend>(backend: B) {
    let monitor = Monitor::start(backend.clone(), config(), Sources::new()).await.unwrap();
    assert_eq!(monitor.debug_address(), None);
    let address = monitor.address().unwrap();
    elsewhere(&backend, move || {
        for path in PAGES {
            assert_eq!(get(address, path).status, 404, "{path}");
        }
    })
    .await;
    monitor.stop().await;
}

async fn debug_pages_have_a_listener_of_their_own<B: Backend>(backend: B) {
    let (monitor, debug) = start(&backend, &Sources::new()).await;
    let address = monitor.address().unwrap();
    assert_ne!(address, debug);
    elsewhere(&backend, move || {
        for path in &PAGES[..4] {
            assert_eq!(get(address, path).status, 404, "{path}");
            assert_eq!(get(debug, path).status, 200, "{path}");
        }
        for path in ["/", "/metrics", "/healthz", "/debug/pprof/nothing", "/debugx"] {
            assert_eq!(get(debug, path).status, 404, "{path}");
        }
    })
    .await;
    monitor.stop().await;
    let mut alone = debugged();
    alone.address = None;
    let monitor = Monitor::start(backend.clone(), alone, Sources::new()).await.unwrap();
    let debug = monitor.debug_address().unwrap();
    assert_eq!(elsewhere(&backend, move || get(debug, "/debug").status).await, 200);
    monitor.stop().await;
}

async fn the_overview_hides_secrets_and_tells_events<B: Backend>(backend: B) {
    const SECRET: &str = "s3cr3t";
    let value = Arc::new(AtomicU64::new(0));
    let sources = watched(&value);
    let pool = BufferPool::standard();
    sources
        .register(&[("pool", "mine"), ("api_token", SECRET)], move || pool.report())
        .unwrap()
        .forever();
    let alerts = alerts();
    let mut config = debugged();
    config.collect_interval = Duration::from_millis(10);
    config.labels.push(("password".into(), SECRET.into()));
    config.setting("lanes", "4");
    config.setting("influx", format!("http://user:{SECRET}@127.0.0.1:8086/write"));
    config.setting("webhook", format!("http://127.0.0.1:9/services/{SECRET}?x={SECRET}"));
    config.setting("client_secret", SECRET);
    alerts.tell(config.events.clone());
    config.observe(Arc::new(alerts.clone()));
    config.observe(Arc::new(|_: &Arc<Snapshot>| panic!("as planned")));
    let monitor = Monitor::start(backend.clone(), config, sources).await.unwrap();
    let address = monitor.debug_address().unwrap();
    value.store(11, Ordering::SeqCst);
    elsewhere(&backend, move || {
        let has = |page: &Answer, what: &str, about: &str| {
            let page: serde_json::Value = serde_json::from_slice(&page.body).unwrap();
            let events = page["events"]["list"].as_array().unwrap().clone();
            events.iter().any(|event| {
                event["what"] == what && event["about"].as_str().unwrap().contains(about)
            })
        };
        // As soon as there was a collection.
        while !has(&get(address, "/debug"), "alert", "high is firing") {}
        while !has(&get(address, "/debug"), "trouble", "has panicked") {}
        let page = get(address, "/debug");
        assert_eq!(page.header("content-type"), Some("application/json"));
        assert!(!page.text().contains(SECRET), "{}", page.text());
        let shown: serde_json::Value = serde_json::from_slice(&page.body).unwrap();
        let program = &shown["settings"]["program"];
        assert_eq!(program["lanes"], "4");
        assert_eq!(program["webhook"], "http://127.0.0.1:9/(hidden)");
        assert_eq!(program["client_secret"], "(hidden)");
        let labels = &shown["pools"][0]["series"][0]["labels"];
        assert_eq!((&labels["pool"], &labels["api_token"]), (&"mine".into(), &"(hidden)".into()));
        let kinds = shown["tasks"].as_array().unwrap();
        assert!(kinds.iter().any(|kind| kind["kind"] == "monitor_listener"), "{kinds:?}");
        let html = ask(address, "GET", "/debug", "accept: text/html, */*;q=0.8\r\n");
        assert!(html.text().starts_with("<!doctype html>") && !html.text().contains(SECRET));
    })
    .await;
    monitor.stop().await;
}

async fn debug_pages_answer_as_http_wants<B: Backend>(backend: B) {
    let (monitor, address) = start(&backend, &Sources::new()).await;
    elsewhere(&backend, move || {
        for path in PAGES {
            let head = ask(address, "HEAD", path, "");
            assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
            for method in ["POST", "DELETE"] {
                let refused = ask(address, method, path, "");
                assert_eq!((refused.status, refused.header("allow")), (405, Some("GET, HEAD")));
            }
        }
        for seconds in ["0", "61", "-1", "x", "", "99999999999999999999"] {
            let refused = get(address, &format!("/debug/pprof/profile?seconds={seconds}"));
            assert_eq!((refused.status, refused.text()), (400, "seconds must be 1 to 60\n"));
        }
        assert_eq!(get(address, "/debug/pprof/profile?seconds=1&format=x").status, 400);
    })
    .await;
    monitor.stop().await;
}

/// Begins a long profile and waits until it is taken.
fn begin(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /debug/pprof/profile?seconds=60 HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    // Asking for another one could be first.
    while !get(address, "/debug").text().contains("of the processor, 60 seconds") {}
    stream
}

async fn profiles_are_taken_one_at_a_time<B: Backend>(backend: B) {
    let _alone = alone().await;
    let (monitor, address) = start(&backend, &Sources::new()).await;
    elsewhere(&backend, move || {
        let long = begin(address);
        let refused = get(address, "/debug/pprof/profile?seconds=1");
        assert!(refused.text().starts_with("a profile is being taken"), "{}", refused.text());
        assert_eq!(get(address, "/debug").status, 200, "others are served meanwhile");
        // Whoever goes away wants no profile any more.
        drop(long);
        let proto = loop {
            let answer = get(address, "/debug/pprof/profile?seconds=1");
            if answer.status != 409 {
                break answer;
            }
        };
        assert_eq!(proto.status, 200, "{:?}", String::from_utf8_lossy(&proto.body));
        assert!(unpacked(&proto).windows(11).any(|bytes| bytes == b"nanoseconds"));
        let flame = get(address, "/debug/pprof/profile?seconds=1&format=flamegraph");
        assert_eq!(flame.header("content-type"), Some("image/svg+xml"));
        assert!(flame.text().starts_with("<svg"), "{}", flame.text());
    })
    .await;
    monitor.stop().await;
}

async fn profiles_end_with_the_monitor<B: Backend>(backend: B) {
    let _alone = alone().await;
    let (monitor, address) = start(&backend, &Sources::new()).await;
    let mut long = elsewhere(&backend, move || begin(address)).await;
    monitor.stop().await;
    let rest = elsewhere(&backend, move || {
        let mut rest = Vec::new();
        // A reset is an end, too.
        let _ = long.read_to_end(&mut rest);
        rest
    });
    let rest = rest.await;
    assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 503"), "{rest:?}");
    let (monitor, address) = start(&backend, &Sources::new()).await;
    let again = move || get(address, "/debug/pprof/profile?seconds=1").status;
    assert_eq!(elsewhere(&backend, again).await, 200, "the profiler is free again");
    monitor.stop().await;
}

/// The profile's bytes, in which names stand as they are.
fn unpacked(answer: &Answer) -> Vec<u8> {
    assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
    if !answer.body.starts_with(&[0x1f, 0x8b]) {
        return answer.body.clone();
    }
    let mut bytes = vec![0; 16 << 20];
    let mut state = InflateState::new_boxed();
    let len = inflate(Format::Gzip, &mut state, &answer.body, &mut bytes).unwrap();
    bytes.truncate(len);
    bytes
}

async fn pools_and_tasks_have_profiles<B: Backend>(backend: B) {
    let sources = Sources::new();
    let pool = BufferPool::standard();
    let watched = pool.clone();
    sources.register(&[("pool", "orders")], move || watched.report()).unwrap().forever();
    let held = pool.acquire(100).unwrap();
    let (monitor, address) = start(&backend, &sources).await;
    elsewhere(&backend, move || {
        for (path, names) in [
            ("/debug/pprof/heap", ["held", "bytes", "pool orders, class 256", "memory pools"]),
            ("/debug/pprof/tasks", ["tasks", "count", "monitor_listener", "monitor_collector"]),
        ] {
            let profile = unpacked(&get(address, path));
            for name in names {
                let is_there = profile.windows(name.len()).any(|own| own == name.as_bytes());
                assert!(is_there, "{name} in {path}");
            }
        }
    })
    .await;
    drop(held);
    monitor.stop().await;
}

async fn debug_pages_stay_on_this_machine<B: Backend>(backend: B) {
    let mut open = debugged();
    open.debug_address = Some(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
    let refused = Monitor::start(backend.clone(), open, Sources::new()).await.unwrap_err();
    assert!(refused.to_string().contains("must be on the loopback interface"), "{refused}");
    let mut meant = debugged();
    meant.debug_address = Some(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
    meant.debug_beyond_loopback = true;
    let monitor = Monitor::start(backend, meant, Sources::new()).await.unwrap();
    assert!(monitor.debug_address().is_some());
    monitor.stop().await;
}

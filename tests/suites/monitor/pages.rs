//! What pages say, and in which form.

use core::net::{Ipv4Addr, SocketAddr};
use core::sync::atomic::{AtomicBool, Ordering};

use alloc::sync::Arc;

use turbopump_core::batch::Batch;
use turbopump_core::compress::{Format, InflateState, inflate};
use turbopump_std::backend::Backend;
use turbopump_std::batch::{BatchSender, BatchSettings, handler_fn};
use turbopump_std::memory::BufferPool;
use turbopump_std::monitor::{BuildInfo, Monitor, MonitorConfig, Reply, Sources};

use crate::browser::{ask, get};
use crate::on_every_backend;

on_every_backend![
    numbers_are_exact_after_known_work,
    clients_get_the_form_they_like,
    pages_answer_as_http_wants,
    readiness_says_why_not,
    the_dashboard_is_there,
    what_is_not_registered_any_more_is_not_shown,
    settings_and_addresses_are_checked,
];

pub(crate) fn config() -> MonitorConfig {
    let mut config = MonitorConfig::default();
    config.address = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    config
}

/// Blocking clients must not hold up the runtime that serves them.
pub(crate) async fn elsewhere<B: Backend, T: Send + 'static>(
    backend: &B,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    backend.run_blocking(work).await
}

async fn start<B: Backend>(backend: &B, sources: &Sources) -> (Monitor<B>, SocketAddr) {
    let monitor = Monitor::start(backend.clone(), config(), sources.clone()).await.unwrap();
    let address = monitor.address().unwrap();
    (monitor, address)
}

async fn numbers_are_exact_after_known_work<B: Backend>(backend: B) {
    let sources = Sources::new();
    let pool = BufferPool::standard();
    let watched = pool.clone();
    sources.register(&[("pool", "mine")], move || watched.report()).unwrap().forever();
    let handler = handler_fn(|_: &mut Batch<'static, u64>| ());
    let sender = BatchSender::new(backend.clone(), BatchSettings::default(), handler).unwrap();
    let watched = sender.clone();
    sources.register(&[("batch", "orders")], move || watched.stats()).unwrap().forever();
    sender.start().unwrap();

    for _ in 0..7 {
        drop(pool.acquire(1_000).unwrap());
    }
    let held = pool.acquire(100).unwrap();
    sender.send_many(&mut (0..1_234)).await.unwrap();
    sender.drained().await;

    let (monitor, address) = start(&backend, &sources).await;
    let page = elsewhere(&backend, move || get(address, "/metrics")).await;
    assert_eq!(page.status, 200);
    for line in [
        "turbopump_mempool_acquisitions_total{class=\"1024\",pool=\"mine\"} 7",
        "turbopump_mempool_releases_total{class=\"1024\",pool=\"mine\"} 7",
        "turbopump_mempool_blocks{class=\"256\",state=\"in_use\",pool=\"mine\"} 1",
        "turbopump_batch_items_total{batch=\"orders\"} 1234",
        "turbopump_batch_items_succeeded_total{batch=\"orders\"} 1234",
        "turbopump_batch_items_failed_total{batch=\"orders\"} 0",
        "turbopump_batch_messages_sum{batch=\"orders\"} 1234",
    ] {
        assert!(page.text().lines().any(|own| own == line), "{line} in\n{}", page.text());
    }
    drop(held);
    monitor.stop().await;
    sender.stop().await;
}

async fn clients_get_the_form_they_like<B: Backend>(backend: B) {
    let sources = Sources::new();
    let info = || BuildInfo::new("1.2.3", Some("here"));
    sources.register(&[], info).unwrap().forever();
    let (monitor, address) = start(&backend, &sources).await;
    elsewhere(&backend, move || {
        let plain = get(address, "/metrics");
        assert_eq!(plain.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
        assert!(
            plain.text().contains("turbopump_build_info{version=\"1.2.3\",runtime=\"here\"} 1")
        );
        let accept = "accept: application/openmetrics-text\r\n";
        let open = ask(address, "GET", "/metrics", accept);
        assert!(open.header("content-type").unwrap().starts_with("application/openmetrics-text"));
        assert!(open.text().ends_with("# EOF\n"));
        for json in [
            ask(address, "GET", "/metrics", "accept: application/json\r\n"),
            get(address, "/metrics.json"),
        ] {
            assert_eq!(json.header("content-type"), Some("application/json"));
            let value: serde_json::Value = serde_json::from_slice(&json.body).unwrap();
            let info = &value["families"][0];
            assert_eq!(info["name"], "turbopump_build_info");
            assert_eq!(info["series"][0]["labels"]["version"], "1.2.3");
            assert_eq!(info["series"][0]["value"], 1.0);
        }
        let packed = ask(address, "GET", "/metrics", "accept-encoding: gzip\r\n");
        assert_eq!(packed.header("content-encoding"), Some("gzip"));
        assert!(packed.body.len() < plain.body.len() / 2);
        let mut text = vec![0; 1 << 20];
        let mut state = InflateState::new_boxed();
        let len = inflate(Format::Gzip, &mut state, &packed.body, &mut text).unwrap();
        assert!(text[..len].starts_with(b"# HELP turbopump_build_info"));
    })
    .await;
    monitor.stop().await;
}

async fn pages_answer_as_http_wants<B: Backend>(backend: B) {
    let mut config = config();
    config.metrics_path = "/numbers".into();
    config.route("/mine", || Reply::text("mine").with_status(418));
    let monitor = Monitor::start(backend.clone(), config, Sources::new()).await.unwrap();
    let address = monitor.address().unwrap();
    elsewhere(&backend, move || {
        for path in ["/health", "/healthz"] {
            let health = get(address, path);
            assert_eq!((health.status, health.text()), (200, "{\"status\":\"ok\"}"));
        }
        let whole = get(address, "/numbers");
        let head = ask(address, "HEAD", "/numbers", "");
        assert_eq!((head.status, head.body.len()), (200, 0));
        assert!(head.header("content-length").unwrap().parse::<usize>().unwrap() > 100);
        assert_eq!(head.header("content-type"), whole.header("content-type"));
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "FOO"] {
            let refused = ask(address, method, "/numbers", "");
            assert_eq!((refused.status, refused.header("allow")), (405, Some("GET, HEAD")));
        }
        for path in ["/metrics", "/nothing", "/numbersx", "/numbers.xml", "//", "/debug"] {
            assert_eq!(get(address, path).status, 404, "{path}");
        }
        let own = get(address, "/mine");
        assert_eq!((own.status, own.text()), (418, "mine"));
        assert_eq!(get(address, "/numbers?name=x").status, 200, "queries are ignored");
    })
    .await;
    monitor.stop().await;
}

async fn readiness_says_why_not<B: Backend>(backend: B) {
    let ready = Arc::new(AtomicBool::new(false));
    let mut config = config();
    let asked = Arc::clone(&ready);
    config.ready_when("storage", move || match asked.load(Ordering::SeqCst) {
        true => Ok(()),
        false => Err("the disk is full".into()),
    });
    config.ready_when("always", || Ok(()));
    let monitor = Monitor::start(backend.clone(), config, Sources::new()).await.unwrap();
    let address = monitor.address().unwrap();
    let before = elsewhere(&backend, move || get(address, "/readyz")).await;
    let said: serde_json::Value = serde_json::from_slice(&before.body).unwrap();
    assert_eq!(before.status, 503);
    let expected = serde_json::json!([{"check": "storage", "reason": "the disk is full"}]);
    assert_eq!(said["reasons"], expected);
    ready.store(true, Ordering::SeqCst);
    let after = elsewhere(&backend, move || get(address, "/readyz")).await;
    assert_eq!(after.status, 200);
    monitor.stop().await;
}

async fn the_dashboard_is_there<B: Backend>(backend: B) {
    let (monitor, address) = start(&backend, &Sources::new()).await;
    let page = elsewhere(&backend, move || get(address, "/")).await;
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.text().starts_with("<!doctype html>") && page.text().contains("Turbopump"));
    monitor.stop().await;
}

async fn what_is_not_registered_any_more_is_not_shown<B: Backend>(backend: B) {
    let sources = Sources::new();
    let info = || BuildInfo::new("gone", None);
    let registration = sources.register(&[], info).unwrap();
    let (monitor, address) = start(&backend, &sources).await;
    let shows = move || get(address, "/metrics").text().contains("\"gone\"");
    assert!(elsewhere(&backend, shows).await);
    drop(registration);
    assert!(!elsewhere(&backend, shows).await);
    assert!(!monitor.snapshot().is_empty(), "the system's figures are there");
    monitor.stop().await;
    assert!(sources.snapshot().is_empty(), "it leaves nothing behind");
}

async fn settings_and_addresses_are_checked<B: Backend>(backend: B) {
    let mut wrong = config();
    wrong.metrics_path = "metrics".into();
    let refused = Monitor::start(backend.clone(), wrong, Sources::new()).await.unwrap_err();
    assert!(refused.to_string().starts_with("metrics_path must begin"), "{refused}");
    let (monitor, address) = start(&backend, &Sources::new()).await;
    let mut taken = config();
    taken.address = Some(address);
    let refused = Monitor::start(backend.clone(), taken, Sources::new()).await.unwrap_err();
    assert!(refused.to_string().contains(&format!("can't listen at {address}")), "{refused}");
    monitor.stop().await;
    let mut off = config();
    off.address = None;
    let monitor = Monitor::start(backend, off, Sources::new()).await.unwrap();
    assert!(monitor.address().is_none());
    monitor.stop().await;
}

//! Webhooks: Alertmanager's JSON, retries, receivers that refuse.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use turbopump_std::backend::Backend;
use turbopump_std::monitor::Observer;
use turbopump_std::monitor::alerts::Webhook;

use crate::alerts::{alerts, watched};
use crate::on_every_backend;
use crate::pages::elsewhere;

on_every_backend![
    a_receiver_gets_firing_then_resolved,
    what_fails_is_tried_again_and_what_is_refused_is_not,
    what_fires_on_is_said_again,
];

/// Answers each POST with the next of these statuses, and passes on what it got.
fn receiver(statuses: &'static [u16]) -> (SocketAddr, Receiver<serde_json::Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (got, gets) = channel();
    thread::spawn(move || {
        for status in statuses {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream);
            let mut len = 0;
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    len = value.trim().parse().unwrap();
                }
                if line.trim().is_empty() {
                    break;
                }
            }
            let mut body = vec![0; len];
            reader.read_exact(&mut body).unwrap();
            let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n");
            reader.get_mut().write_all(answer.as_bytes()).unwrap();
            got.send(serde_json::from_slice(&body).unwrap()).unwrap();
        }
    });
    (address, gets)
}

async fn a_receiver_gets_firing_then_resolved<B: Backend>(backend: B) {
    let (address, gets) = receiver(&[200, 200]);
    let value = Arc::new(AtomicU64::new(20));
    let (alerts, sources) = (alerts(), watched(&value));
    let webhook = Webhook::new(&backend, &format!("http://{address}/hook?x=1")).unwrap();
    alerts.tell(webhook.clone());
    alerts.observe(&Arc::new(sources.snapshot()));
    value.store(0, Ordering::SeqCst);
    alerts.observe(&Arc::new(sources.snapshot()));
    let [firing, resolved] =
        elsewhere(&backend, move || [(); 2].map(|()| gets.recv().unwrap())).await;
    for (notice, status) in [(&firing, "firing"), (&resolved, "resolved")] {
        assert_eq!(notice["version"], "4");
        assert_eq!(
            (&notice["status"], &notice["alerts"][0]["status"]),
            (&status.into(), &status.into())
        );
        let alert = &notice["alerts"][0];
        assert_eq!(alert["labels"]["alertname"], "high");
        assert_eq!(alert["labels"]["severity"], "critical");
        assert_eq!(alert["annotations"]["description"], "It is high.");
        assert!(alert["startsAt"].as_str().unwrap().ends_with('Z'));
    }
    assert_eq!(firing["alerts"][0]["fingerprint"], resolved["alerts"][0]["fingerprint"]);
    assert_eq!(firing["alerts"][0]["endsAt"], "0001-01-01T00:00:00Z");
    assert!(resolved["alerts"][0]["endsAt"].as_str().unwrap().starts_with("20"));
    while webhook.stats().delivered() < 2 {
        smol::future::yield_now().await;
    }
}

async fn what_fails_is_tried_again_and_what_is_refused_is_not<B: Backend>(backend: B) {
    // Half a second of pause after the first.
    let (address, gets) = receiver(&[500, 200, 400]);
    let value = Arc::new(AtomicU64::new(20));
    let (alerts, sources) = (alerts(), watched(&value));
    let webhook = Webhook::new(&backend, &format!("http://{address}")).unwrap();
    alerts.tell(webhook.clone());
    alerts.observe(&Arc::new(sources.snapshot()));
    value.store(0, Ordering::SeqCst);
    alerts.observe(&Arc::new(sources.snapshot()));
    let got = elsewhere(&backend, move || [(); 3].map(|()| gets.recv().unwrap())).await;
    let statuses = got.each_ref().map(|notice| notice["status"].as_str().unwrap());
    assert_eq!(statuses, ["firing", "firing", "resolved"]);
    while webhook.stats().dropped() < 1 {
        smol::future::yield_now().await;
    }
    assert_eq!(webhook.stats().delivered(), 1);
}

async fn what_fires_on_is_said_again<B: Backend>(backend: B) {
    let (address, gets) = receiver(&[200, 200, 200]);
    let value = Arc::new(AtomicU64::new(20));
    let (alerts, sources) = (alerts(), watched(&value));
    let url = format!("http://{address}");
    // At each collection.
    let webhook = Webhook::repeating(&backend, &url, Duration::ZERO).unwrap();
    alerts.tell(webhook.clone());
    for to in [20, 30, 0] {
        value.store(to, Ordering::SeqCst);
        alerts.observe(&Arc::new(sources.snapshot()));
    }
    let got = elsewhere(&backend, move || [(); 3].map(|()| gets.recv().unwrap())).await;
    let said = got.each_ref().map(|notice| {
        let alert = &notice["alerts"][0];
        (alert["status"].as_str().unwrap(), alert["annotations"]["value"].as_str().unwrap())
    });
    assert_eq!(said, [("firing", "20"), ("firing", "30"), ("resolved", "0")]);
    assert_eq!(got[0]["alerts"][0]["startsAt"], got[1]["alerts"][0]["startsAt"]);
}

#[test]
fn urls_are_checked_and_not_shown() {
    let backend = turbopump_tests::threads::Threads;
    for url in ["", "localhost:80", "https://x/", "ftp://x", "http://"] {
        let error = Webhook::new(&backend, url).unwrap_err();
        assert!(error.to_string().contains("write http://HOST:PORT/PATH"), "{url}: {error}");
    }
    let webhook = Webhook::new(&backend, "http://127.0.0.1:1/secret").unwrap();
    assert!(!format!("{webhook:?}").contains("secret"));
}

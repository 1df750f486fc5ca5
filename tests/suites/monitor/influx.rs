//! Exports to InfluxDB: what waits goes in one request.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use turbopump_core::compress::{Format, InflateState, inflate};
use turbopump_std::backend::Backend;
use turbopump_std::monitor::Observer;
use turbopump_std::monitor::export::{InfluxExport, InfluxExportConfig};

use crate::alerts::watched;
use crate::on_every_backend;
use crate::pages::elsewhere;

on_every_backend![exports_that_wait_go_in_one_request];

/// The body of a POST, as plain text.
fn read_post(reader: &mut impl BufRead) -> String {
    let (mut len, mut is_gzip) = (0, false);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let line = line.trim().to_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            len = value.trim().parse().unwrap();
        }
        is_gzip |= line == "content-encoding: gzip";
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; len];
    reader.read_exact(&mut body).unwrap();
    if is_gzip {
        let mut plain = vec![0; 1 << 20];
        let len = inflate(Format::Gzip, &mut InflateState::new_boxed(), &body, &mut plain).unwrap();
        plain.truncate(len);
        body = plain;
    }
    String::from_utf8(body).unwrap()
}

async fn exports_that_wait_go_in_one_request<B: Backend>(backend: B) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (got, gets) = channel();
    let (go_on, may_go_on) = channel::<()>();
    thread::spawn(move || {
        for _ in 0..2 {
            let mut reader = BufReader::new(listener.accept().unwrap().0);
            got.send(read_post(&mut reader)).unwrap();
            // The first is answered when more wait.
            may_go_on.recv().unwrap();
            reader.get_mut().write_all(b"HTTP/1.1 204 X\r\ncontent-length: 0\r\n\r\n").unwrap();
        }
    });
    let value = Arc::new(AtomicU64::new(0));
    let sources = watched(&value);
    let mut config = InfluxExportConfig::new(format!("http://{address}/write?db=x"));
    config.every = Duration::from_nanos(1);
    let export = InfluxExport::start(&backend, config).unwrap();
    let observe = || {
        value.fetch_add(1, Ordering::SeqCst);
        export.observe(&Arc::new(sources.snapshot()));
    };
    observe();
    let (first, gets) = elsewhere(&backend, move || (gets.recv().unwrap(), gets)).await;
    assert_eq!(first.lines().count(), 1, "{first}");
    (0..5).for_each(|_| observe());
    assert_eq!(export.stats().waiting(), 6);
    (0..2).for_each(|_| go_on.send(()).unwrap());
    let together = elsewhere(&backend, move || gets.recv().unwrap()).await;
    assert_eq!(together.lines().count(), 5, "{together}");
    let values = together.lines().map(|line| line.split(' ').nth(1).unwrap());
    assert!(values.eq((2..=6).map(|value| format!("value={value}i"))), "{together}");
    while export.stats().posted() < 6 {
        smol::future::yield_now().await;
    }
    assert_eq!((export.stats().waiting(), export.stats().dropped()), (0, 0));
}

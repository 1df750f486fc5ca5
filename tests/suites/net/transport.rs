//! The backends themselves.

use core::future::poll_fn;
use core::pin::Pin;
use core::time::Duration;
use std::io::IoSlice;
use std::time::Instant;

use futures_io::{AsyncRead, AsyncWrite};
use turbopump_std::backend::{Backend, SocketOptions};

use crate::on_every_backend;
use crate::peers::{Peer, refused};

on_every_backend![
    bytes_go_both_ways_and_ends_arrive,
    a_listener_accepts,
    nobody_listens,
    names_are_looked_up,
    time_passes,
    blocking_work_is_done,
];

async fn write_all<W: AsyncWrite + Unpin>(writer: &mut W, bytes: &[u8]) {
    let mut written = 0;
    while written < bytes.len() {
        let slices = [IoSlice::new(&bytes[written..]), IoSlice::new(&[])];
        written +=
            poll_fn(|cx| Pin::new(&mut *writer).poll_write_vectored(cx, &slices)).await.unwrap();
    }
    poll_fn(|cx| Pin::new(&mut *writer).poll_flush(cx)).await.unwrap();
}

async fn read_to_end<R: AsyncRead + Unpin>(reader: &mut R) -> Vec<u8> {
    let (mut all, mut bytes) = (Vec::new(), [0; 4_096]);
    loop {
        match poll_fn(|cx| Pin::new(&mut *reader).poll_read(cx, &mut bytes)).await.unwrap() {
            0 => return all,
            len => all.extend_from_slice(&bytes[..len]),
        }
    }
}

async fn bytes_go_both_ways_and_ends_arrive<B: Backend>(backend: B) {
    let peer = Peer::echo();
    let options = SocketOptions::default();
    let (mut reader, mut writer) = backend.dial(peer.address(), &options).await.unwrap();
    let sent: Vec<u8> = (0..100_000_u32).map(|number| number as u8).collect();
    let copy = sent.clone();
    let (done, is_done) = std::sync::mpsc::channel();
    // Reading and writing are independent: neither can wait for the other here.
    backend.spawn(async move {
        write_all(&mut writer, &copy).await;
        poll_fn(|cx| Pin::new(&mut writer).poll_close(cx)).await.unwrap();
        done.send(writer).unwrap();
    });
    assert!(read_to_end(&mut reader).await == sent);
    drop(is_done.recv().unwrap());
    drop(reader);
    peer.wait_for(&backend, 1, 0).await;
}

async fn a_listener_accepts<B: Backend>(backend: B) {
    let mut listener = backend.listen("[::1]:0".parse().unwrap()).await.unwrap();
    let address = B::local_address(&listener).unwrap();
    let options = SocketOptions::default();
    let (_, mut writer) = backend.dial(address, &options).await.unwrap();
    write_all(&mut writer, b"hello").await;
    let (mut reader, accepted, from) = B::accept(&mut listener, &options).await.unwrap();
    assert_eq!(from.ip(), address.ip());
    drop(writer);
    drop(accepted);
    let mut bytes = [0; 5];
    let mut read = 0;
    while read < 5 {
        read +=
            poll_fn(|cx| Pin::new(&mut reader).poll_read(cx, &mut bytes[read..])).await.unwrap();
    }
    assert_eq!(&bytes, b"hello");
}

async fn nobody_listens<B: Backend>(backend: B) {
    let dialed = backend.dial(refused(), &SocketOptions::default()).await;
    assert_eq!(dialed.err().unwrap().kind(), std::io::ErrorKind::ConnectionRefused);
}

async fn names_are_looked_up<B: Backend>(backend: B) {
    let addresses = backend.resolve("localhost", 9_876).await.unwrap();
    assert!(addresses.iter().all(|address| address.ip().is_loopback()));
    assert!(!addresses.is_empty() && addresses[0].port() == 9_876);
    assert!(backend.resolve("nobody.invalid", 1).await.is_err());
}

async fn time_passes<B: Backend>(backend: B) {
    let at = Instant::now() + Duration::from_millis(20);
    backend.sleep_until(at).await;
    assert!(Instant::now() >= at);
    backend.sleep_until(at).await;
}

async fn blocking_work_is_done<B: Backend>(backend: B) {
    let here = std::thread::current().id();
    let there = backend.run_blocking(|| std::thread::current().id()).await;
    assert_ne!(here, there);
}

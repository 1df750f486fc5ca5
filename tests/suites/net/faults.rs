//! Peers that misbehave: each gives its documented error in time, and the pool is whole afterwards.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{ErrorKind, Read, Write};
use std::time::Instant;

use turbopump_core::link::pool::Retired;
use turbopump_std::backend::{Backend, Endpoint};
use turbopump_std::net::{
    AcquireError, Connection, ConnectionError, ConnectionPool, Phase, PoolSettings,
};

use crate::on_every_backend;
use crate::peers::{BlackHole, Peer, SHORT, refused};

on_every_backend![
    refused_connections,
    swallowed_connections,
    unknown_names,
    resets_while_reading,
    silent_peers,
    peers_that_take_nothing,
    answers_byte_by_byte,
    answers_that_end_early,
    frames_of_another_kind,
    damaged_frames,
    r10_a_peer_that_comes_back,
];

fn pool<B: Backend>(backend: B, to: impl Into<Endpoint>) -> ConnectionPool<B> {
    pool_with(backend, to, |_| {})
}

/// Only the phase that a test is about is short: a busy machine must not fail another one first.
fn pool_with<B: Backend>(
    backend: B,
    to: impl Into<Endpoint>,
    set: impl FnOnce(&mut PoolSettings),
) -> ConnectionPool<B> {
    let mut settings = PoolSettings::default();
    settings.connections_max = 2;
    settings.backoff_min = Duration::from_millis(1);
    set(&mut settings);
    ConnectionPool::new(backend, to.into(), settings).unwrap()
}

async fn fails_to_dial<B: Backend>(pool: &ConnectionPool<B>) -> turbopump_std::net::DialError {
    let started = Instant::now();
    let error = pool.get().await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(9), "{error}");
    let AcquireError::Dial(error) = error else { panic!("{error}") };
    let counts = pool.status().connections;
    assert_eq!((counts.total(), counts.waiting), (0, 0), "all places are free");
    error
}

/// All places can be used at once.
async fn is_whole<B: Backend>(pool: &ConnectionPool<B>) {
    let counts = pool.status().connections;
    assert_eq!((counts.active, counts.waiting, counts.dialing), (0, 0, 0));
    let _both = (pool.get().await.unwrap(), pool.get().await.unwrap());
    assert_eq!(pool.status().connections.active, 2);
}

async fn breaks<B: Backend>(
    pool: &ConnectionPool<B>,
    act: impl AsyncFnOnce(&mut Connection<B>) -> ConnectionError,
) -> ConnectionError {
    let mut connection = pool.get().await.unwrap();
    let started = Instant::now();
    let error = act(&mut connection).await;
    assert!(started.elapsed() < Duration::from_secs(9), "{error}");
    assert!(!connection.can_be_reused());
    drop(connection);
    assert_eq!(pool.status().connections.closed(Retired::Broken), 1);
    is_whole(pool).await;
    error
}

async fn refused_connections<B: Backend>(backend: B) {
    let address = refused();
    let pool = pool(backend, address);
    let error = fails_to_dial(&pool).await;
    assert_eq!((error.phase(), error.is_timeout()), (Phase::Dial, false));
    assert_eq!(error.io().unwrap().kind(), ErrorKind::ConnectionRefused);
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}

async fn swallowed_connections<B: Backend>(backend: B) {
    let hole = BlackHole::new();
    let pool = pool_with(backend, hole.address(), |pool| pool.connect_timeout = SHORT);
    let error = fails_to_dial(&pool).await;
    assert_eq!((error.phase(), error.is_timeout()), (Phase::Dial, true));
    assert_eq!(pool.status().timeouts(Phase::Dial), 1);
}

async fn unknown_names<B: Backend>(backend: B) {
    let pool = pool(backend, Endpoint::new("nobody.invalid", 1));
    let error = fails_to_dial(&pool).await;
    assert_eq!(error.phase(), Phase::Resolve);
}

async fn resets_while_reading<B: Backend>(backend: B) {
    let peer = Peer::resets();
    let error = breaks(&pool(backend, peer.address()), async |connection| {
        connection.write(b"ping").await.unwrap();
        connection.read_exact(&mut [0; 4]).await.unwrap_err()
    })
    .await;
    let ConnectionError::Io { phase: Phase::Read, error } = error else { panic!("{error}") };
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

async fn silent_peers<B: Backend>(backend: B) {
    let peer = Peer::silent();
    let pool = pool_with(backend, peer.address(), |pool| pool.read_timeout = SHORT);
    let error = breaks(&pool, async |connection| {
        connection.write(b"ping").await.unwrap();
        connection.read(&mut [0; 4]).await.unwrap_err()
    })
    .await;
    assert!(matches!(error, ConnectionError::TimedOut { phase: Phase::Read, after: SHORT }));
    assert_eq!(pool.status().timeouts(Phase::Read), 1);
}

async fn peers_that_take_nothing<B: Backend>(backend: B) {
    let peer = Peer::new(|stream| {
        std::thread::sleep(Duration::from_secs(60));
        drop(stream);
    });
    let pool = pool_with(backend, peer.address(), |pool| pool.write_timeout = SHORT);
    let bytes = vec![0; 64 << 20];
    let error = breaks(&pool, async |connection| connection.write(&bytes).await.unwrap_err()).await;
    assert!(matches!(error, ConnectionError::TimedOut { phase: Phase::Write, after: SHORT }));
}

async fn answers_byte_by_byte<B: Backend>(backend: B) {
    let peer = Peer::new(|mut stream| {
        let mut byte = [0];
        while stream.read_exact(&mut byte).is_ok() {
            stream.write_all(&byte).unwrap();
        }
    });
    let pool = pool(backend, peer.address());
    let mut connection = pool.get().await.unwrap();
    let sent = vec![7; 3_000];
    connection.write_compressed(&sent).await.unwrap();
    let mut body = Vec::new();
    connection.read_decompressed(&mut body).await.unwrap();
    assert_eq!(body, sent);
    drop(connection);
    is_whole(&pool).await;
}

async fn answers_that_end_early<B: Backend>(backend: B) {
    let peer = Peer::says(b"only");
    let error = breaks(&pool(backend, peer.address()), async |connection| {
        connection.read_exact(&mut [0; 10]).await.unwrap_err()
    })
    .await;
    assert!(matches!(error, ConnectionError::PeerClosed { missing: 6 }), "{error}");
}

async fn frames_of_another_kind<B: Backend>(backend: B) {
    let peer = Peer::says(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    let error = breaks(&pool(backend, peer.address()), async |connection| {
        connection.read_decompressed(&mut Vec::new()).await.unwrap_err()
    })
    .await;
    assert!(matches!(error, ConnectionError::UnknownFrame { flag: b'H' }), "{error}");
}

async fn damaged_frames<B: Backend>(backend: B) {
    // Longer than allowed; gzip that is none; a tiny stream that claims 16 MB.
    let lies: [&[u8]; 3] = [
        b"\x00\xff\xff\xff\xff",
        b"\x01\x00\x00\x00\x05hello",
        b"\x01\x00\x00\x00\x15\x1f\x8b\x08\0\0\0\0\0\0\xff\x4b\x04\0\x43\xbe\xb7\xe8\0\0\0\x01",
    ];
    for lie in lies {
        let peer = Peer::says(lie);
        let mut body = Vec::new();
        let error = breaks(&pool(backend.clone(), peer.address()), async |connection| {
            connection.read_decompressed(&mut body).await.unwrap_err()
        })
        .await;
        let is_documented =
            matches!(error, ConnectionError::TooLong { .. } | ConnectionError::Inflate(_));
        assert!(is_documented, "{error}");
        assert!(body.capacity() < 100_000, "memory is not taken on a peer's word");
    }
}

async fn r10_a_peer_that_comes_back<B: Backend>(backend: B) {
    let address: SocketAddr = refused();
    let mut settings = PoolSettings::default();
    settings.backoff_min = Duration::from_millis(1);
    settings.backoff_max = Duration::from_millis(10);
    let pool = ConnectionPool::new(backend, address.into(), settings).unwrap();
    for _ in 0..3 {
        fails_to_dial(&pool).await;
    }
    assert!(pool.status().is_failing);
    let listener = std::net::TcpListener::bind(address).unwrap();
    let peer = std::thread::spawn(move || listener.accept().unwrap());
    drop(pool.get().await.unwrap());
    assert!(!pool.status().is_failing);
    peer.join().unwrap();
}

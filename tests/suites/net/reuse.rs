//! What happens to a connection between two users.

use alloc::sync::Arc;
use core::pin::pin;
use core::time::Duration;
use std::io::{Read, Write};
use std::sync::mpsc;

use turbopump_core::compress::AdaptiveCompression;
use turbopump_core::link::Chunks;
use turbopump_core::link::pool::Retired;
use turbopump_std::backend::Backend;
use turbopump_std::memory::{IntoBytes as _, default_pool};
use turbopump_std::net::{ConnectionError, ConnectionPool, PoolSettings};

use crate::on_every_backend;
use crate::peers::Peer;
use crate::pooling::{pends, ping};

on_every_backend![
    the_check_eats_no_byte,
    r2_a_connection_that_the_peer_has_closed_is_not_lent,
    r3_a_cut_write_closes_the_connection,
    a_cut_read_closes_the_connection,
    an_exchange_that_is_not_over_closes_the_connection,
    bodies_are_compressed,
    what_does_not_shrink_is_soon_sent_plain,
    leases_are_written_from_where_they_are,
];

/// Checked whenever it is used again.
fn suspicious() -> PoolSettings {
    let mut settings = PoolSettings::default();
    settings.check_after = Duration::ZERO;
    settings
}

async fn the_check_eats_no_byte<B: Backend>(backend: B) {
    let (say, said) = mpsc::channel::<usize>();
    let said = Arc::new(std::sync::Mutex::new(said));
    let peer = Peer::new(move |mut stream| {
        while let Ok(len) = said.lock().unwrap().recv() {
            let bytes: Vec<u8> = (0..len).map(|number| number as u8).collect();
            stream.write_all(&bytes).unwrap();
        }
    });
    let pool = ConnectionPool::new(backend, peer.endpoint(), suspicious()).unwrap();
    // Less, as much and more than the check may read.
    for len in [1, 10, 64, 65, 200] {
        let mut connection = pool.get().await.unwrap();
        say.send(len).unwrap();
        let mut first = [0xff; 1];
        // So that something is there for certain when it is checked.
        if len > 1 {
            connection.read_exact(&mut first).await.unwrap();
            assert_eq!(first, [0]);
        }
        drop(connection);
        for _ in 0..3 {
            drop(pool.get().await.unwrap());
            drop(pool.try_get().unwrap().unwrap());
        }
        let mut connection = pool.get().await.unwrap();
        let from = usize::from(len > 1);
        let mut bytes = vec![0; len - from];
        for piece in bytes.chunks_mut(7) {
            connection.read_exact(piece).await.unwrap();
        }
        assert!(bytes.iter().enumerate().all(|(at, byte)| *byte == (at + from) as u8));
    }
    assert_eq!(peer.accepted(), 1);
}

async fn r2_a_connection_that_the_peer_has_closed_is_not_lent<B: Backend>(backend: B) {
    let peer = Peer::new(|mut stream| {
        let mut bytes = [0; 4];
        if stream.read_exact(&mut bytes).is_ok() {
            stream.write_all(&bytes).unwrap();
        }
        let _ = stream.write_all(b"bye");
    });
    let pool = ConnectionPool::new(backend.clone(), peer.endpoint(), suspicious()).unwrap();
    for count in 1..=3 {
        ping(&mut pool.get().await.unwrap()).await;
        // Until the runtime has seen it, too.
        while pool.try_get().unwrap().is_some() {
            backend.sleep_until(std::time::Instant::now() + Duration::from_millis(1)).await;
        }
        assert_eq!(pool.status().connections.closed(Retired::Unhealthy), count);
        assert_eq!(peer.accepted() as u64, count);
    }
}

async fn r3_a_cut_write_closes_the_connection<B: Backend>(backend: B) {
    // Nobody reads, so that a large write stops within.
    let peer = Peer::new(|stream| {
        std::thread::sleep(Duration::from_secs(60));
        drop(stream);
    });
    let pool = ConnectionPool::new(backend, peer.endpoint(), PoolSettings::default()).unwrap();
    let mut connection = pool.get().await.unwrap();
    let bytes = vec![0; 64 << 20];
    {
        let mut writing = pin!(connection.write(&bytes));
        pends(writing.as_mut()).await;
    }
    assert!(!connection.can_be_reused());
    let refused = connection.write(b"more").await.unwrap_err();
    assert!(matches!(refused, ConnectionError::CutShort), "{refused}");
    drop(connection);
    let counts = pool.status().connections;
    assert_eq!((counts.total(), counts.closed(Retired::Broken)), (0, 1));
}

async fn an_exchange_that_is_not_over_closes_the_connection<B: Backend>(backend: B) {
    let peer = Peer::echo();
    let pool = ConnectionPool::new(backend, peer.endpoint(), PoolSettings::default()).unwrap();
    let mut connection = pool.get().await.unwrap();
    connection.begin_exchange();
    ping(&mut connection).await;
    connection.end_exchange();
    drop(connection);
    let mut connection = pool.get().await.unwrap();
    assert_eq!(peer.accepted(), 1);
    connection.begin_exchange();
    connection.write(b"a question").await.unwrap();
    drop(connection);
    ping(&mut pool.get().await.unwrap()).await;
    assert_eq!(peer.accepted(), 2);
}

async fn a_cut_read_closes_the_connection<B: Backend>(backend: B) {
    let peer = Peer::echo();
    let pool = ConnectionPool::new(backend, peer.endpoint(), PoolSettings::default()).unwrap();
    let mut connection = pool.get().await.unwrap();
    connection.write(b"half").await.unwrap();
    let mut bytes = [0; 8];
    // With the first byte the others have come.
    connection.read_exact(&mut bytes[..1]).await.unwrap();
    pends(pin!(connection.read_exact(&mut bytes))).await;
    assert!(!connection.can_be_reused());
    drop(connection);
    assert_eq!(pool.status().connections.closed(Retired::Broken), 1);
}

async fn bodies_are_compressed<B: Backend>(backend: B) {
    let peer = Peer::echo();
    let pool = ConnectionPool::new(backend, peer.endpoint(), PoolSettings::default()).unwrap();
    let mut connection = pool.get().await.unwrap();
    let text = "{\"topic\":\"orders\",\"queue\":3}".repeat(4_000);
    let mut body = b"not empty".to_vec();
    for len in [0, 1, 1_023, 1_024, 65_536, text.len()] {
        let sent = &text.as_bytes()[..len];
        let on_wire = connection.write_compressed(sent).await.unwrap();
        assert_eq!(connection.read_decompressed(&mut body).await.unwrap(), len);
        assert!(body == sent);
        if len < 1_024 {
            assert_eq!(on_wire, len + 5);
        } else {
            assert!(on_wire * 2 <= len, "{on_wire} of {len}");
        }
    }
    let counts = connection.counts();
    assert_eq!(counts.compressed_plain_bytes, (1_024 + 65_536 + text.len()) as u64);
    assert_eq!(counts.compressed_plain_bytes, counts.inflated_plain_bytes);
    assert_eq!(counts.compressed_wire_bytes, counts.inflated_wire_bytes);
    assert!(connection.can_be_reused());
}

async fn what_does_not_shrink_is_soon_sent_plain<B: Backend>(backend: B) {
    let peer = Peer::echo();
    let pool = ConnectionPool::new(backend, peer.endpoint(), PoolSettings::default()).unwrap();
    let mut connection = pool.get().await.unwrap();
    let mut random = turbopump_core::random::SplitMix64::new(1);
    let noise: Vec<u8> = (0..2_048).map(|_| random.next_u64() as u8).collect();
    let mut body = Vec::new();
    let mut attempts = AdaptiveCompression::new();
    for _ in 0..100 {
        assert_eq!(connection.write_compressed(&noise).await.unwrap(), noise.len() + 5);
        connection.read_decompressed(&mut body).await.unwrap();
        assert!(body == noise);
        if attempts.should_try() {
            attempts.observe(noise.len(), noise.len());
        }
    }
    // Text goes plain now, too, until it is tried again.
    let text = [b'a'; 2_048];
    let mut wire = Vec::new();
    for _ in 0..300 {
        wire.push(connection.write_compressed(&text).await.unwrap());
        connection.read_decompressed(&mut body).await.unwrap();
        assert!(body == text);
    }
    assert_eq!(wire[0], text.len() + 5);
    assert!(wire[299] < 100, "{}", wire[299]);
}

async fn leases_are_written_from_where_they_are<B: Backend>(backend: B) {
    let peer = Peer::echo();
    let pool = ConnectionPool::new(backend, peer.endpoint(), PoolSettings::default()).unwrap();
    let mut connection = pool.get().await.unwrap();
    let mut chunks = Chunks::new();
    for byte in 0..10 {
        let mut lease = default_pool().acquire(1_000).unwrap();
        lease.extend_from_slice(&[byte; 1_000]).unwrap();
        chunks.push(lease.freeze()).unwrap();
    }
    connection.write_chunks(&mut chunks).await.unwrap();
    assert!(chunks.is_empty());
    let mut lease = default_pool().acquire(10_000).unwrap();
    connection.read_exact(lease.extend_zeroed(10_000).unwrap()).await.unwrap();
    let bytes = lease.freeze().into_bytes();
    assert!(bytes.iter().enumerate().all(|(at, byte)| usize::from(*byte) == at / 1_000));
}

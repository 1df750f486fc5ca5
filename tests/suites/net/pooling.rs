//! Checkouts: limits, order, closing.

use alloc::sync::Arc;
use core::future::poll_fn;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::sync::Mutex;

use futures_io::{AsyncRead, AsyncWrite};
use turbopump_core::link::pool::Retired;
use turbopump_std::backend::Backend;
use turbopump_std::net::{AcquireError, Connection, ConnectionPool, Phase, PoolSettings};

use crate::on_every_backend;
use crate::peers::{Peer, SHORT, refused};

on_every_backend![
    connections_are_used_again,
    no_more_connections_than_allowed,
    r5_who_waits_is_served_in_order,
    r4_waiting_ends_in_time,
    too_many_may_not_wait,
    r1_who_gives_up_while_being_served_loses_nothing,
    halves_keep_their_place_until_both_are_gone,
    closing_drains,
    r8_dropping_the_last_handle_closes,
    r2_a_broken_connection_makes_room_for_the_next_waiter,
    warmed_up_connections_are_open,
    the_minimum_is_kept_and_idle_ones_are_closed,
    settings_are_checked,
];

pub(crate) async fn ping<B: Backend>(connection: &mut Connection<B>) {
    connection.write(b"ping").await.unwrap();
    let mut answer = [0; 4];
    connection.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"ping");
}

/// Polls once; it is not ready yet.
pub(crate) async fn pends<F: Future>(mut future: Pin<&mut F>) {
    poll_fn(|cx| {
        assert!(future.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
}

fn pool<B: Backend>(backend: B, peer: &Peer, settings: PoolSettings) -> ConnectionPool<B> {
    ConnectionPool::new(backend, peer.endpoint(), settings).unwrap()
}

async fn connections_are_used_again<B: Backend>(backend: B) {
    let peer = Peer::echo();
    let pool = pool(backend, &peer, PoolSettings::default());
    assert!(pool.try_get().unwrap().is_none());
    for _ in 0..10 {
        let mut connection = pool.get().await.unwrap();
        ping(&mut connection).await;
        assert_eq!(connection.peer_address(), peer.address());
        assert_eq!(connection.counts().bytes_written, 4);
    }
    assert!(pool.try_get().unwrap().is_some());
    assert_eq!(peer.accepted(), 1);
    let status = pool.status();
    assert_eq!((status.connections.opened, status.connections.checkouts), (1, 11));
    assert_eq!((status.io.bytes_read, status.io.bytes_written), (40, 40));
    assert_eq!(turbopump_core::stats::Distribution::count(&status.latency), 10);
}

async fn no_more_connections_than_allowed<B: Backend>(backend: B) {
    let peer = Peer::echo();
    let mut settings = PoolSettings::default();
    settings.connections_max = 3;
    let pool = pool(backend.clone(), &peer, settings);
    let done = Arc::new(Mutex::new(0));
    for _ in 0..20 {
        let (pool, done) = (pool.clone(), Arc::clone(&done));
        backend.spawn(async move {
            for _ in 0..5 {
                ping(&mut pool.get().await.unwrap()).await;
            }
            *done.lock().unwrap() += 1;
        });
    }
    while *done.lock().unwrap() < 20 {
        ping(&mut pool.get().await.unwrap()).await;
    }
    assert!(peer.accepted() <= 3);
    let counts = pool.status().connections;
    assert_eq!((counts.active, counts.waiting, counts.dialing), (0, 0, 0));
}

async fn r5_who_waits_is_served_in_order<B: Backend>(backend: B) {
    let peer = Peer::echo();
    let mut settings = PoolSettings::default();
    settings.connections_max = 1;
    let pool = pool(backend, &peer, settings);
    let held = pool.get().await.unwrap();
    let (mut first, mut second, mut third) =
        (pin!(pool.get()), pin!(pool.get()), Box::pin(pool.get()));
    pends(first.as_mut()).await;
    pends(third.as_mut()).await;
    pends(second.as_mut()).await;
    assert_eq!(pool.status().connections.waiting, 3);
    drop(held);
    // It has been served, and gives up: the next in the queue gets it.
    let held = first.await.unwrap();
    drop(held);
    drop(third);
    poll_fn(|cx| {
        assert!(second.as_mut().poll(cx).is_ready());
        Poll::Ready(())
    })
    .await;
    assert_eq!(pool.status().connections.waiting, 0);
    assert_eq!(pool.status().connections.opened, 1);
}

async fn r4_waiting_ends_in_time<B: Backend>(backend: B) {
    let peer = Peer::echo();
    let mut settings = PoolSettings::default();
    settings.connections_max = 1;
    settings.acquire_timeout = SHORT;
    let pool = pool(backend, &peer, settings);
    assert_eq!(pool.warm_up(1).await, 1);
    let held = pool.get().await.unwrap();
    let started = std::time::Instant::now();
    let error = pool.get().await.unwrap_err();
    assert!(started.elapsed() >= SHORT);
    assert!(matches!(error, AcquireError::TimedOut { after: SHORT, last_dial: None }), "{error}");
    let error = pool.get_within(Duration::from_millis(10)).await.unwrap_err();
    assert!(matches!(error, AcquireError::TimedOut { .. }), "{error}");
    assert_eq!(pool.status().timeouts(Phase::Acquire), 2);
    drop(held);
    ping(&mut pool.get().await.unwrap()).await;
}

async fn too_many_may_not_wait<B: Backend>(backend: B) {
    let peer = Peer::echo();
    let mut settings = PoolSettings::default();
    (settings.connections_max, settings.waiting_max) = (1, 1);
    let pool = pool(backend, &peer, settings);
    let _held = pool.get().await.unwrap();
    let mut waiting = pin!(pool.get());
    pends(waiting.as_mut()).await;
    let refused = pool.get().await.unwrap_err();
    assert!(matches!(refused, AcquireError::TooManyWaiting { waiting_max: 1 }), "{refused}");
}

async fn r1_who_gives_up_while_being_served_loses_nothing<B: Backend>(backend: B) {
    let peer = Peer::echo();
    let mut settings = PoolSettings::default();
    settings.connections_max = 1;
    let pool = pool(backend, &peer, settings);
    drop(pool.get().await.unwrap());
    // Threads race for the only connection: whoever has it gives it back while the others give up.
    let mut cx = Context::from_waker(Waker::noop());
    let race = || {
        let mut cx = Context::from_waker(Waker::noop());
        let mut served = 0;
        for round in 0..20_000 {
            let mut getting = pin!(pool.get());
            let polls = 1 + round % 3;
            served +=
                (0..polls).filter(|_| getting.as_mut().poll(&mut cx).is_ready()).take(1).count();
        }
        served
    };
    let served: Vec<_> = std::thread::scope(|scope| {
        let threads = [(); 3].map(|()| scope.spawn(race));
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(served.iter().sum::<usize>() > 0, "somebody was served");
    let counts = pool.status().connections;
    assert_eq!((counts.active, counts.waiting, counts.idle), (0, 0, 1));
    assert_eq!(counts.opened, 1);
    let Poll::Ready(Ok(mut connection)) = pin!(pool.get()).poll(&mut cx) else {
        panic!("it is idle")
    };
    ping(&mut connection).await;
}

async fn halves_keep_their_place_until_both_are_gone<B: Backend>(backend: B) {
    let peer = Peer::echo();
    let mut settings = PoolSettings::default();
    settings.connections_max = 1;
    let pool = pool(backend, &peer, settings);
    let (mut reader, mut writer) = pool.get().await.unwrap().split();
    let bytes = [7; 10_000];
    let (mut written, mut read) = (0, 0);
    let mut echo = [0; 10_000];
    poll_fn(|cx| {
        // Both at once, so that neither waits for the other's room.
        while written < bytes.len() {
            match Pin::new(&mut writer).poll_write(cx, &bytes[written..]) {
                Poll::Ready(len) => written += len.unwrap(),
                Poll::Pending => break,
            }
        }
        while read < echo.len() {
            match Pin::new(&mut reader).poll_read(cx, &mut echo[read..]) {
                Poll::Ready(len) => read += len.unwrap(),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(())
    })
    .await;
    assert!(echo == bytes);
    drop(reader);
    assert_eq!(pool.status().connections.active, 1, "half of it is still there");
    drop(writer);
    let status = pool.status();
    assert_eq!((status.connections.total(), status.io.bytes_read), (0, 10_000));
    assert_eq!(status.io.bytes_written, 10_000);
    assert_eq!(status.connections.closed(Retired::Discarded), 1);
    ping(&mut pool.get().await.unwrap()).await;
}

async fn closing_drains<B: Backend>(backend: B) {
    let peer = Peer::echo();
    let mut settings = PoolSettings::default();
    settings.connections_max = 2;
    let pool = pool(backend.clone(), &peer, settings);
    assert_eq!(pool.warm_up(2).await, 2);
    let (mut held, other) = (pool.get().await.unwrap(), pool.get().await.unwrap());
    let mut waiting = pin!(pool.get());
    pends(waiting.as_mut()).await;
    let mut closing = pin!(pool.close());
    pends(closing.as_mut()).await;
    assert!(matches!(waiting.await, Err(AcquireError::Closed)));
    assert!(matches!(pool.get().await, Err(AcquireError::Closed)));
    assert!(matches!(pool.try_get(), Err(AcquireError::Closed)));
    ping(&mut held).await;
    drop(other);
    pends(closing.as_mut()).await;
    drop(held);
    closing.await;
    peer.wait_for(&backend, 2, 0).await;
    let status = pool.status();
    assert!(status.is_closed);
    assert_eq!(status.connections.closed(Retired::PoolClosed), 2);
    assert_eq!(pool.warm_up(1).await, 0);
}

async fn r8_dropping_the_last_handle_closes<B: Backend>(backend: B) {
    let peer = Peer::echo();
    let pool = pool(backend.clone(), &peer, PoolSettings::default());
    assert_eq!(pool.warm_up(2).await, 2);
    let mut held = pool.get().await.unwrap();
    drop(pool.clone());
    ping(&mut held).await;
    drop(pool);
    peer.wait_for(&backend, 2, 1).await;
    ping(&mut held).await;
    drop(held);
    peer.wait_for(&backend, 2, 0).await;
}

async fn r2_a_broken_connection_makes_room_for_the_next_waiter<B: Backend>(backend: B) {
    let peer = Peer::echo();
    let mut settings = PoolSettings::default();
    settings.connections_max = 1;
    let pool = pool(backend, &peer, settings);
    let held = pool.get().await.unwrap();
    let mut waiting = pin!(pool.get());
    pends(waiting.as_mut()).await;
    held.discard();
    ping(&mut waiting.await.unwrap()).await;
    assert_eq!(peer.accepted(), 2);
    assert_eq!(pool.status().connections.closed(Retired::Discarded), 1);
}

async fn warmed_up_connections_are_open<B: Backend>(backend: B) {
    let peer = Peer::echo();
    let mut settings = PoolSettings::default();
    settings.connections_max = 5;
    let pool = pool(backend.clone(), &peer, settings);
    assert_eq!(pool.warm_up(9).await, 5);
    assert_eq!(pool.status().connections.idle, 5);
    let nobody = ConnectionPool::new(backend, refused().into(), PoolSettings::default()).unwrap();
    assert_eq!(nobody.warm_up(3).await, 0);
    assert!(nobody.status().is_failing);
}

async fn the_minimum_is_kept_and_idle_ones_are_closed<B: Backend>(backend: B) {
    let peer = Peer::echo();
    let mut settings = PoolSettings::default();
    settings.idle_min = 1;
    settings.idle_max = Some(SHORT);
    let pool = pool(backend.clone(), &peer, settings);
    assert_eq!(pool.warm_up(3).await, 3);
    peer.wait_for(&backend, 3, 1).await;
    let counts = pool.status().connections;
    assert_eq!((counts.idle, counts.closed(Retired::Idle)), (1, 2));
}

async fn settings_are_checked<B: Backend>(backend: B) {
    let mut settings = PoolSettings::default();
    settings.idle_min = 101;
    let refused = ConnectionPool::new(backend, refused().into(), settings).unwrap_err();
    assert_eq!(refused.setting(), "idle_min");
}

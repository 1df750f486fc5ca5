//! Names whose addresses change.

use std::time::Instant;

use turbopump_std::backend::{Backend, Endpoint};
use turbopump_std::net::{ConnectionPool, PoolSettings};
use turbopump_tests::named::Named;

use crate::on_every_backend;
use crate::peers::{BlackHole, Peer, SHORT, refused};
use crate::pooling::ping;

on_every_backend![
    a_name_is_looked_up_once_and_again_after_a_failure,
    an_address_that_works_is_found_behind_others,
];

fn pool<B: Backend>(named: &Named<B>, settings: PoolSettings) -> ConnectionPool<Named<B>> {
    ConnectionPool::new(named.clone(), Endpoint::new("broker.example", 1), settings).unwrap()
}

async fn a_name_is_looked_up_once_and_again_after_a_failure<B: Backend>(backend: B) {
    let (peer, moved_to) = (Peer::echo(), refused());
    let named = Named::new(backend, &[moved_to]);
    let listener = std::net::TcpListener::bind(moved_to).unwrap();
    let pool = pool(&named, PoolSettings::default());
    assert_eq!(pool.warm_up(3).await, 3);
    let first = named.lookups();
    assert!((1..=3).contains(&first), "dials at the same time may each look: {first}");
    assert_eq!(pool.warm_up(5).await, 5);
    assert_eq!(named.lookups(), first);
    // The server moves: the very next checkout finds it.
    drop(listener);
    named.change(&[peer.address()]);
    while let Some(connection) = pool.try_get().unwrap() {
        connection.discard();
    }
    let mut connection = pool.get().await.unwrap();
    ping(&mut connection).await;
    assert_eq!(connection.peer_address(), peer.address());
    assert_eq!(named.lookups(), first + 1);
    assert_eq!(pool.status().connections.dial_failures, 0);
}

async fn an_address_that_works_is_found_behind_others<B: Backend>(backend: B) {
    let (peer, hole) = (Peer::echo(), BlackHole::new());
    let named = Named::new(backend, &[refused(), hole.address(), peer.address()]);
    let mut settings = PoolSettings::default();
    // Half of it goes to the one that swallows everything.
    settings.connect_timeout = 20 * SHORT;
    let pool = pool(&named, settings);
    let started = Instant::now();
    let mut connection = pool.get().await.unwrap();
    let first = started.elapsed();
    ping(&mut connection).await;
    // From now on it is the first.
    let started = Instant::now();
    ping(&mut pool.get().await.unwrap()).await;
    assert!(started.elapsed() < first);
    assert_eq!((named.lookups(), peer.accepted()), (1, 2));
}

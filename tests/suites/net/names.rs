//! Names whose addresses change.

use alloc::sync::Arc;
use core::future::Future;
use core::net::SocketAddr;
use std::io;
use std::sync::Mutex;
use std::time::Instant;

use turbopump_std::backend::{Backend, Endpoint, SocketOptions};
use turbopump_std::net::{ConnectionPool, PoolSettings};

use crate::on_every_backend;
use crate::peers::{BlackHole, Peer, SHORT, refused};
use crate::pooling::ping;

on_every_backend![
    a_name_is_looked_up_once_and_again_after_a_failure,
    an_address_that_works_is_found_behind_others,
];

/// Another backend with a resolver that the test writes.
#[derive(Clone)]
struct Named<B> {
    backend: B,
    names: Arc<Mutex<(Vec<SocketAddr>, usize)>>,
}

impl<B: Backend> Named<B> {
    fn new(backend: B, addresses: &[SocketAddr]) -> Self {
        Self { backend, names: Arc::new(Mutex::new((addresses.to_vec(), 0))) }
    }

    fn change(&self, addresses: &[SocketAddr]) {
        self.names.lock().unwrap().0 = addresses.to_vec();
    }

    fn lookups(&self) -> usize {
        self.names.lock().unwrap().1
    }

    fn pool(&self, settings: PoolSettings) -> ConnectionPool<Self> {
        ConnectionPool::new(self.clone(), Endpoint::new("broker.example", 1), settings).unwrap()
    }
}

impl<B: Backend> Backend for Named<B> {
    type Reader = B::Reader;
    type Writer = B::Writer;
    type Listener = B::Listener;

    fn dial(
        &self,
        to: SocketAddr,
        options: &SocketOptions,
    ) -> impl Future<Output = io::Result<(B::Reader, B::Writer)>> + Send {
        self.backend.dial(to, options)
    }

    async fn resolve(&self, _: &str, _: u16) -> io::Result<Box<[SocketAddr]>> {
        let mut names = self.names.lock().unwrap();
        names.1 += 1;
        Ok(names.0.clone().into())
    }

    fn listen(&self, at: SocketAddr) -> impl Future<Output = io::Result<B::Listener>> + Send {
        self.backend.listen(at)
    }

    fn local_address(listener: &B::Listener) -> io::Result<SocketAddr> {
        B::local_address(listener)
    }

    fn accept(
        listener: &mut B::Listener,
        options: &SocketOptions,
    ) -> impl Future<Output = io::Result<(B::Reader, B::Writer, SocketAddr)>> + Send {
        B::accept(listener, options)
    }

    fn sleep_until(&self, at: Instant) -> impl Future<Output = ()> + Send {
        self.backend.sleep_until(at)
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.backend.spawn(task);
    }

    fn run_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = T> + Send {
        self.backend.run_blocking(work)
    }
}

async fn a_name_is_looked_up_once_and_again_after_a_failure<B: Backend>(backend: B) {
    let (peer, moved_to) = (Peer::echo(), refused());
    let named = Named::new(backend, &[moved_to]);
    let listener = std::net::TcpListener::bind(moved_to).unwrap();
    let pool = named.pool(PoolSettings::default());
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
    let pool = named.pool(settings);
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

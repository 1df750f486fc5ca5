//! Names whose addresses change.

use alloc::sync::Arc;
use core::future::Future;
use core::net::SocketAddr;
use std::io;
use std::sync::Mutex;
use std::time::Instant;

use turbopump_std::backend::{Backend, SocketOptions};

/// Another backend with a resolver that the test writes.
#[derive(Clone)]
pub struct Named<B> {
    backend: B,
    names: Arc<Mutex<(Vec<SocketAddr>, usize)>>,
}

impl<B: Backend> Named<B> {
    /// Every name stands for these addresses.
    pub fn new(backend: B, addresses: &[SocketAddr]) -> Self {
        Self { backend, names: Arc::new(Mutex::new((addresses.to_vec(), 0))) }
    }

    /// From now on for these.
    pub fn change(&self, addresses: &[SocketAddr]) {
        self.names.lock().unwrap().0 = addresses.to_vec();
    }

    /// How often it was asked.
    pub fn lookups(&self) -> usize {
        self.names.lock().unwrap().1
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

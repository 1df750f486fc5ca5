//! What smol provides.

use ::core::fmt;
use ::core::future::Future;
use ::core::net::SocketAddr;
use ::core::panic::AssertUnwindSafe;
use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use std::io;
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

use smol::future::FutureExt;
use smol::{Async, Executor, Timer};
use socket2::SockRef;
use turbopump_std::backend::{self, RuntimeFigures, SocketOptions};

use super::{Reader, Writer};
use crate::socket;

/// Smol's reactor, with its global executor or another.
#[derive(Clone, Default)]
pub struct Backend {
    /// Weak, because tasks hold backends: an executor must not keep itself alive.
    executor: Option<Weak<Executor<'static>>>,
}

impl Backend {
    /// Tasks run on the executor of `smol::spawn`.
    #[must_use]
    pub const fn new() -> Self {
        Self { executor: None }
    }

    /// Tasks run on a given executor, which somebody has to keep and run. Those that are left when
    /// it is dropped are dropped with it, and so are those that are spawned afterwards.
    #[must_use]
    pub fn on(executor: &Arc<Executor<'static>>) -> Self {
        Self { executor: Some(Arc::downgrade(executor)) }
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let executor = if self.executor.is_some() { "given" } else { "global" };
        f.debug_struct("Backend").field("executor", &executor).finish()
    }
}

impl backend::Backend for Backend {
    type Reader = Reader;
    type Writer = Writer;
    type Listener = Listener;

    async fn dial(&self, to: SocketAddr, options: &SocketOptions) -> io::Result<(Reader, Writer)> {
        let stream = Async::<TcpStream>::connect(to).await?;
        halves(stream, options)
    }

    async fn resolve(&self, host: &str, port: u16) -> io::Result<Box<[SocketAddr]>> {
        let host = socket::owned(host);
        self.run_blocking(move || socket::resolve(&host, port)).await
    }

    async fn listen(&self, at: SocketAddr) -> io::Result<Listener> {
        Async::<TcpListener>::bind(at).map(Listener)
    }

    fn local_address(listener: &Listener) -> io::Result<SocketAddr> {
        listener.0.get_ref().local_addr()
    }

    async fn accept(
        listener: &mut Listener,
        options: &SocketOptions,
    ) -> io::Result<(Reader, Writer, SocketAddr)> {
        let (stream, from) = listener.0.accept().await?;
        let (reader, writer) = halves(stream, options)?;
        Ok((reader, writer, from))
    }

    async fn sleep_until(&self, at: Instant) {
        Timer::at(at).await;
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        match &self.executor {
            // Unlike the global one, it would hand a panic to whoever runs it.
            Some(executor) => {
                if let Some(executor) = executor.upgrade() {
                    let task = AssertUnwindSafe(task).catch_unwind();
                    executor.spawn(async move { drop(task.await) }).detach();
                }
            }
            None => smol::spawn(task).detach(),
        }
    }

    fn run_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = T> + Send {
        smol::unblock(work)
    }

    fn runtime_figures(&self) -> RuntimeFigures {
        let mut figures = RuntimeFigures::default();
        // Whoever runs a given executor knows with how many threads; executors count no tasks.
        if self.executor.is_none() {
            figures.workers = Some(global_workers());
        }
        figures
    }
}

/// Threads of the global executor, as it counts them: from the environment, else one.
fn global_workers() -> usize {
    let threads = std::env::var("SMOL_THREADS").ok();
    threads.and_then(|threads| threads.parse().ok()).unwrap_or(1)
}

/// Accepts connections.
#[derive(Debug)]
pub struct Listener(Async<TcpListener>);

fn halves(stream: Async<TcpStream>, options: &SocketOptions) -> io::Result<(Reader, Writer)> {
    socket::set_options(SockRef::from(&stream), options)?;
    let socket = Arc::new(stream);
    Ok((Reader(Arc::clone(&socket)), Writer(socket)))
}

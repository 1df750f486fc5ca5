//! What tokio provides.

use ::core::future::{Future, pending, poll_fn};
use ::core::net::SocketAddr;
use ::core::pin::pin;
use alloc::boxed::Box;
use std::io;
use std::time::Instant;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Handle, TryCurrentError};
use turbopump_std::backend::{self, RuntimeFigures, SocketOptions};

use super::{Reader, Writer};
use crate::socket;

/// A tokio runtime, current-thread or multi-thread, with its IO and time drivers on
/// (`enable_all`).
///
/// Once the runtime is shut down, its futures fail or never end.
#[derive(Clone, Debug)]
pub struct Backend {
    handle: Handle,
}

impl Backend {
    /// The runtime that runs the caller.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime; [`try_new`](Self::try_new) and [`on`](Self::on) don't.
    #[must_use]
    #[track_caller]
    pub fn new() -> Self {
        Self { handle: Handle::current() }
    }

    /// The runtime that runs the caller, if there is one.
    ///
    /// # Errors
    ///
    /// Called outside of a tokio runtime.
    pub fn try_new() -> Result<Self, TryCurrentError> {
        Handle::try_current().map(Self::on)
    }

    /// A given runtime.
    #[must_use]
    pub const fn on(handle: Handle) -> Self {
        Self { handle }
    }

    /// Polls a future as if within the runtime: sockets and timers find their drivers by the
    /// thread they are made on.
    async fn within<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|cx| {
            let _entered = self.handle.enter();
            future.as_mut().poll(cx)
        })
        .await
    }
}

impl Default for Backend {
    /// As [`new`](Self::new).
    #[track_caller]
    fn default() -> Self {
        Self::new()
    }
}

impl backend::Backend for Backend {
    type Reader = Reader;
    type Writer = Writer;
    type Listener = Listener;

    async fn dial(&self, to: SocketAddr, options: &SocketOptions) -> io::Result<(Reader, Writer)> {
        let stream = self.within(TcpStream::connect(to)).await?;
        halves(stream, options)
    }

    async fn resolve(&self, host: &str, port: u16) -> io::Result<Box<[SocketAddr]>> {
        let host = socket::owned(host);
        self.run_blocking(move || socket::resolve(&host, port)).await
    }

    async fn listen(&self, at: SocketAddr) -> io::Result<Listener> {
        let listener = self.within(TcpListener::bind(at)).await?;
        Ok(Listener { listener, backend: self.clone() })
    }

    fn local_address(listener: &Listener) -> io::Result<SocketAddr> {
        listener.listener.local_addr()
    }

    async fn accept(
        listener: &mut Listener,
        options: &SocketOptions,
    ) -> io::Result<(Reader, Writer, SocketAddr)> {
        let Listener { listener, backend } = listener;
        let (stream, from) = backend.within(listener.accept()).await?;
        let (reader, writer) = halves(stream, options)?;
        Ok((reader, writer, from))
    }

    fn sleep_until(&self, at: Instant) -> impl Future<Output = ()> + Send {
        let _entered = self.handle.enter();
        tokio::time::sleep_until(at.into())
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        // Dropping the handle lets the task go on.
        drop(self.handle.spawn(task));
    }

    async fn run_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        match self.handle.spawn_blocking(work).await {
            Ok(value) => value,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is being shut down: it will not poll anyone again.
                Err(_) => pending().await,
            },
        }
    }

    fn runtime_figures(&self) -> RuntimeFigures {
        let metrics = self.handle.metrics();
        let mut figures = RuntimeFigures::default();
        figures.workers = Some(metrics.num_workers());
        figures.tasks_alive = Some(metrics.num_alive_tasks());
        figures.queue_depth = Some(metrics.global_queue_depth());
        figures
    }
}

/// Accepts connections.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    backend: Backend,
}

fn halves(stream: TcpStream, options: &SocketOptions) -> io::Result<(Reader, Writer)> {
    socket::set_options(SockRef::from(&stream), options)?;
    let (reader, writer) = stream.into_split();
    Ok((Reader(reader), Writer(writer)))
}

//! A backend without sockets and time: everything is polled by the test, pends when chance says so,
//! and is counted.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::future::{Future, poll_fn};
use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::io::{self, ErrorKind};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use futures_io::{AsyncRead, AsyncWrite};
use turbopump_core::random::SplitMix64;
use turbopump_std::backend::{Backend, SocketOptions};

/// The backend; clones share a world.
#[derive(Clone)]
pub struct Mock {
    world: Arc<Mutex<World>>,
}

struct World {
    random: SplitMix64,
    tasks: Vec<Pin<Box<dyn Future<Output = ()> + Send>>>,
    faults: Faults,
    counts: Counts,
}

/// How the world behaves; chances are per mille.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// A poll pends although it could go on.
    pub pends: u64,
    /// A read or write handles one byte only.
    pub fragments: u64,
    /// A dial fails.
    pub dial_fails: u64,
    /// A read or write fails.
    pub io_fails: u64,
}

/// What there is at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Halves of connections.
    pub halves: usize,
    /// Timers.
    pub timers: usize,
}

/// Either half. What is written comes back to the reader.
pub struct Half {
    world: Mock,
    echo: Arc<Mutex<VecDeque<u8>>>,
}

impl Mock {
    /// A world with a seed.
    #[must_use]
    pub fn new(seed: u64, faults: Faults) -> Self {
        let world = World {
            random: SplitMix64::new(seed),
            tasks: Vec::new(),
            faults,
            counts: Counts::default(),
        };
        Self { world: Arc::new(Mutex::new(world)) }
    }

    /// A number below `bound`, by chance.
    #[must_use]
    pub fn below(&self, bound: u64) -> u64 {
        self.lock().random.below(bound)
    }

    /// Changes how the world behaves.
    pub fn set_faults(&self, faults: Faults) {
        self.lock().faults = faults;
    }

    /// What there is.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// Tasks that have not ended.
    #[must_use]
    pub fn tasks(&self) -> usize {
        self.lock().tasks.len()
    }

    /// Polls every task once, whether or not it was woken.
    pub fn poll_tasks(&self) {
        let mut cx = Context::from_waker(Waker::noop());
        let mut tasks = core::mem::take(&mut self.lock().tasks);
        tasks.retain_mut(|task| task.as_mut().poll(&mut cx).is_pending());
        // Those that were spawned meanwhile come last.
        let mut world = self.lock();
        tasks.append(&mut world.tasks);
        world.tasks = tasks;
    }

    /// Drops a task by chance, not the first, as a runtime does that is shut down.
    pub fn drop_a_dial(&self) {
        let mut world = self.lock();
        let len = world.tasks.len().saturating_sub(1) as u64;
        if len > 0 {
            let index = 1 + world.random.below(len) as usize;
            let task = world.tasks.remove(index);
            drop(world);
            drop(task);
        }
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn happens(&self, chance: impl Fn(&Faults) -> u64) -> bool {
        let mut world = self.lock();
        let chance = chance(&world.faults);
        world.random.below(1_000) < chance
    }

    fn poll_io(&self) -> Poll<io::Result<()>> {
        if self.happens(|faults| faults.pends) {
            return Poll::Pending;
        }
        if self.happens(|faults| faults.io_fails) {
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        }
        Poll::Ready(Ok(()))
    }

    /// How much of `len` bytes is handled at once.
    fn part(&self, len: usize) -> usize {
        if self.happens(|faults| faults.fragments) { len.min(1) } else { len }
    }
}

impl Backend for Mock {
    type Reader = Half;
    type Writer = Half;
    type Listener = ();

    async fn dial(&self, _: SocketAddr, _: &SocketOptions) -> io::Result<(Half, Half)> {
        let pended = || self.happens(|faults| faults.pends);
        poll_fn(|_| if pended() { Poll::Pending } else { Poll::Ready(()) }).await;
        if self.happens(|faults| faults.dial_fails) {
            return Err(ErrorKind::ConnectionRefused.into());
        }
        self.lock().counts.halves += 2;
        let echo = Arc::<Mutex<VecDeque<u8>>>::default();
        let half = |echo| Half { world: self.clone(), echo };
        Ok((half(Arc::clone(&echo)), half(echo)))
    }

    async fn resolve(&self, _: &str, port: u16) -> io::Result<Box<[SocketAddr]>> {
        Ok(Box::new([SocketAddr::from(([127, 0, 0, 1], port))]))
    }

    async fn listen(&self, _: SocketAddr) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }

    fn local_address((): &()) -> io::Result<SocketAddr> {
        Err(ErrorKind::Unsupported.into())
    }

    async fn accept((): &mut (), _: &SocketOptions) -> io::Result<(Half, Half, SocketAddr)> {
        Err(ErrorKind::Unsupported.into())
    }

    fn sleep_until(&self, at: Instant) -> impl Future<Output = ()> + Send {
        self.lock().counts.timers += 1;
        Timer { world: self.clone(), at }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.lock().tasks.push(Box::pin(task));
    }

    async fn run_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        work()
    }
}

struct Timer {
    world: Mock,
    at: Instant,
}

impl Future for Timer {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= self.at { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.world.lock().counts.timers -= 1;
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        self.world.lock().counts.halves -= 1;
    }
}

impl AsyncRead for Half {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        core::task::ready!(self.world.poll_io())?;
        let mut echo = self.echo.lock().unwrap_or_else(PoisonError::into_inner);
        let len = self.world.part(into.len().min(echo.len()));
        if len == 0 {
            return Poll::Pending;
        }
        for (to, from) in into.iter_mut().zip(echo.drain(..len)) {
            *to = from;
        }
        Poll::Ready(Ok(len))
    }
}

impl AsyncWrite for Half {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        core::task::ready!(self.world.poll_io())?;
        let len = self.world.part(bytes.len());
        let mut echo = self.echo.lock().unwrap_or_else(PoisonError::into_inner);
        echo.extend(&bytes[..len]);
        Poll::Ready(Ok(len))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.world.poll_io()
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

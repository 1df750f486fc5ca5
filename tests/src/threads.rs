//! A third backend, from the public trait alone: threads, sockets of the standard library, and one
//! thread that looks every half millisecond at who can go on.
//!
//! It shows what the seam asks for, not how to be fast. Keep-alive stays as the system sets it,
//! because the standard library can't.

use alloc::sync::Arc;
use alloc::task::Wake;
use core::future::Future;
use core::net::SocketAddr;
use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::Instant;

use futures_io::{AsyncRead, AsyncWrite};
use turbopump_std::backend::{Backend, SocketOptions};

/// Threads.
#[derive(Clone, Copy, Debug, Default)]
pub struct Threads;

/// The half that reads.
#[derive(Debug)]
pub struct Reader(Arc<TcpStream>);

/// The half that writes.
#[derive(Debug)]
pub struct Writer(Arc<TcpStream>);

impl Backend for Threads {
    type Reader = Reader;
    type Writer = Writer;
    type Listener = TcpListener;

    async fn dial(&self, to: SocketAddr, options: &SocketOptions) -> io::Result<(Reader, Writer)> {
        let stream = self.run_blocking(move || TcpStream::connect(to)).await?;
        halves(stream, options)
    }

    async fn resolve(&self, host: &str, port: u16) -> io::Result<Box<[SocketAddr]>> {
        let host = host.to_owned();
        self.run_blocking(move || (&*host, port).to_socket_addrs().map(Iterator::collect)).await
    }

    async fn listen(&self, at: SocketAddr) -> io::Result<TcpListener> {
        let listener = TcpListener::bind(at)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    }

    fn local_address(listener: &TcpListener) -> io::Result<SocketAddr> {
        listener.local_addr()
    }

    async fn accept(
        listener: &mut TcpListener,
        options: &SocketOptions,
    ) -> io::Result<(Reader, Writer, SocketAddr)> {
        let accepted = core::future::poll_fn(|cx| ready_or_later(cx, || listener.accept()));
        let (stream, from) = accepted.await?;
        let (reader, writer) = halves(stream, options)?;
        Ok((reader, writer, from))
    }

    fn sleep_until(&self, at: Instant) -> impl Future<Output = ()> + Send {
        Sleep { at, waker: None }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        thread::spawn(move || block_on(task));
    }

    async fn run_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let done = Arc::new(Mutex::new((None, None::<Waker>)));
        let result = Arc::clone(&done);
        thread::spawn(move || {
            let value = work();
            let mut done = result.lock().unwrap_or_else(PoisonError::into_inner);
            done.0 = Some(value);
            if let Some(waker) = done.1.take() {
                waker.wake();
            }
        });
        core::future::poll_fn(|cx| {
            let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(value) = done.0.take() {
                return Poll::Ready(value);
            }
            done.1 = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }
}

fn halves(stream: TcpStream, options: &SocketOptions) -> io::Result<(Reader, Writer)> {
    stream.set_nonblocking(true)?;
    stream.set_nodelay(options.no_delay)?;
    let stream = Arc::new(stream);
    Ok((Reader(Arc::clone(&stream)), Writer(stream)))
}

impl AsyncRead for Reader {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        ready_or_later(cx, || (&*self.0).read(into))
    }
}

impl AsyncWrite for Writer {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready_or_later(cx, || (&*self.0).write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready_or_later(cx, || (&*self.0).write_vectored(slices))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.shutdown(Shutdown::Write))
    }
}

fn ready_or_later<T>(
    cx: &Context<'_>,
    operation: impl FnOnce() -> io::Result<T>,
) -> Poll<io::Result<T>> {
    match operation() {
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            look_at(None, Arc::new(Mutex::new(Some(cx.waker().clone()))));
            Poll::Pending
        }
        result => Poll::Ready(result),
    }
}

struct Sleep {
    at: Instant,
    waker: Option<WakerCell>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= self.at {
            return Poll::Ready(());
        }
        let at = self.at;
        let cell = self.waker.get_or_insert_with(|| {
            let cell = WakerCell::default();
            look_at(Some(at), Arc::clone(&cell));
            cell
        });
        *cell.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        // Whoever looked in between found the time come and nobody to wake.
        if Instant::now() >= at { Poll::Ready(()) } else { Poll::Pending }
    }
}

type WakerCell = Arc<Mutex<Option<Waker>>>;
type Watched = Mutex<Vec<(Option<Instant>, WakerCell)>>;

/// Wakes somebody at a time, or soon.
fn look_at(at: Option<Instant>, cell: WakerCell) {
    static WATCHED: OnceLock<(Watched, Thread)> = OnceLock::new();
    let (watched, thread) = WATCHED.get_or_init(|| {
        let thread = thread::spawn(|| {
            thread::park();
            let (watched, _) = WATCHED.wait();
            watch(watched);
        });
        (Watched::default(), thread.thread().clone())
    });
    watched.lock().unwrap_or_else(PoisonError::into_inner).push((at, cell));
    thread.unpark();
}

fn watch(watched: &Watched) -> ! {
    loop {
        let now = Instant::now();
        let mut due = Vec::new();
        let mut all = watched.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(at, cell)| {
            let is_due = at.is_none_or(|at| now >= at);
            if is_due {
                due.push(Arc::clone(cell));
            }
            // Of a sleeper that was dropped there is no second handle.
            !is_due && Arc::strong_count(cell) > 1
        });
        let is_idle = all.is_empty();
        drop(all);
        for cell in due {
            let waker = cell.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
        if is_idle {
            thread::park();
        }
        thread::park_timeout(Duration::from_micros(500));
    }
}

/// Runs a future on this thread to its end.
pub fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread, AtomicBool);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.1.store(true, Ordering::Release);
            self.0.unpark();
        }
    }

    let unpark = Arc::new(Unpark(thread::current(), AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&unpark));
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
        while !unpark.1.swap(false, Ordering::Acquire) {
            thread::park();
        }
    }
}

//! Requests over real sockets, the same on every backend.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_io::{AsyncRead, AsyncWrite};
use turbopump_core::frame::LengthField;
use turbopump_core::link::{CloseReason, IdField, NoAnswer, SubmitRefused};
use turbopump_std::backend::{Backend, SocketOptions};
use turbopump_std::memory::{BufferPool, SERVER_CLASSES};
use turbopump_std::net::{Request, RequestError, RequestLink, RequestLinkConfig};

const HEAD: [u8; 8] = [0; 8];

type Link = RequestLink<IdField>;

fn protocol() -> IdField {
    IdField::big_endian(LengthField::big_endian_u32(4 << 20).unwrap(), 4)
}

async fn read<R: AsyncRead + Unpin>(reader: &mut R, into: &mut [u8]) -> io::Result<usize> {
    std::future::poll_fn(|cx| pin!(&mut *reader).poll_read(cx, into)).await
}

async fn write_all<W: AsyncWrite + Unpin>(writer: &mut W, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = std::future::poll_fn(|cx| pin!(&mut *writer).poll_write(cx, bytes)).await?;
        bytes = &bytes[written..];
    }
    Ok(())
}

/// A half that moves one byte at a time: others than the backend's will do.
struct ByteByByte<T>(T);

impl<R: AsyncRead + Unpin> AsyncRead for ByteByByte<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let len = into.len().min(1);
        pin!(&mut self.0).poll_read(cx, &mut into[..len])
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for ByteByByte<W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        pin!(&mut self.0).poll_write(cx, &bytes[..bytes.len().min(1)])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        pin!(&mut self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        pin!(&mut self.0).poll_close(cx)
    }
}

/// What the server does with a connection after it has read so much.
#[derive(Clone, Copy)]
enum Serve {
    /// Sends back what comes.
    Echo,
    /// Reads and says nothing.
    Silence,
    /// Closes when it has read two requests of a byte.
    Hang,
    /// Sends something that is no frame when it has read two requests of a byte.
    Nonsense,
}

/// A link to a server of its own.
async fn connect<B: Backend>(backend: &B, serve: Serve, config: &RequestLinkConfig) -> Link {
    let halves = dial(backend, serve).await;
    RequestLink::over(backend, halves, protocol(), BufferPool::server(), config).unwrap()
}

async fn dial<B: Backend>(backend: &B, serve: Serve) -> (B::Reader, B::Writer) {
    let mut listener = backend.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = B::local_address(&listener).unwrap();
    backend.spawn(async move {
        let (mut reader, mut writer, _) =
            B::accept(&mut listener, &SocketOptions::default()).await.unwrap();
        let (mut buffer, mut total) = (vec![0; 65_536], 0);
        while let Ok(bytes @ 1..) = read(&mut reader, &mut buffer).await {
            total += bytes;
            let both = total >= 2 * (HEAD.len() + 1);
            let answer: &[u8] = match serve {
                Serve::Echo => &buffer[..bytes],
                Serve::Hang if both => return,
                Serve::Nonsense if both => &[0xff; 16],
                Serve::Silence | Serve::Hang | Serve::Nonsense => &[],
            };
            if write_all(&mut writer, answer).await.is_err() {
                return;
            }
        }
    });
    backend.dial(address, &SocketOptions::default()).await.unwrap()
}

fn places(in_flight_max: usize) -> RequestLinkConfig {
    let mut config = RequestLinkConfig::default();
    config.in_flight_max = in_flight_max;
    config
}

/// Waits for the end of tasks without any runtime's help.
async fn join<B: Backend>(backend: &B, done: &AtomicUsize, tasks: usize) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while done.load(Ordering::Acquire) < tasks {
        assert!(Instant::now() < deadline, "only {done:?} of {tasks} tasks ended");
        backend.sleep_until(Instant::now() + Duration::from_millis(1)).await;
    }
}

async fn answers_all<B: Backend>(backend: B) {
    let config = places(16);
    let link = connect(&backend, Serve::Echo, &config).await;
    let done = Arc::new(AtomicUsize::new(0));
    for task in 0..32_usize {
        let (link, done) = (link.clone(), done.clone());
        backend.spawn(async move {
            for round in 0..50_usize {
                // Some of them are written and read without being copied.
                let len = if round == 7 { 300_000 } else { (task * 37 + round) % 3_000 };
                let body = vec![(task + round) as u8; len];
                let answer = link.request(&HEAD, &body[..]).await.unwrap();
                assert!(answer[8..] == body[..], "task {task}, round {round}");
            }
            done.fetch_add(1, Ordering::Release);
        });
    }
    join(&backend, &done, 32).await;
    let status = link.status();
    assert_eq!((status.in_flight, status.free_places, status.waiting), (0, 16, 0));
    assert_eq!(link.close().await, CloseReason::Local);
    let counters = link.counters();
    assert_eq!((counters.answered.get(), counters.late.get()), (1_600, 0));
    assert!(counters.in_flight.peak() <= 16);
    let refused = link.request(&HEAD, b"").await.unwrap_err();
    assert_eq!(refused, RequestError::Refused(SubmitRefused::Closed(CloseReason::Local)));
}

/// Polls a future once.
fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

async fn dropped_futures_leave_nothing<B: Backend>(backend: B) {
    let config = places(2);
    let link = connect(&backend, Serve::Echo, &config).await;
    for round in 0..10_000_u32 {
        // Two places, and three that wait: dropped in an order that differs from round to round.
        let mut requests: Vec<Option<Request<'_, _>>> =
            (0..5).map(|_| Some(link.request(&HEAD, b"dropped"))).collect();
        for request in requests.iter_mut().flatten() {
            assert!(poll_once(request).is_pending());
        }
        for step in 0..5 {
            if (round >> step) & 1 == 1 {
                requests[(step + round as usize) % 5] = None;
            }
            if step == 3 {
                requests.iter_mut().flatten().for_each(|request| {
                    let _ = poll_once(request);
                });
            }
        }
        drop(requests);
        assert_eq!((link.status().free_places, link.status().waiting), (2, 0), "round {round}");
    }
    let answer = link.request(&HEAD, b"kept").await.unwrap();
    assert_eq!(&answer[8..], b"kept");
    assert_eq!(link.close().await, CloseReason::Local);
    let counters = link.counters();
    assert_eq!(counters.in_flight.get(), 0);
    assert_eq!(counters.sent.get(), counters.answered.get() + counters.abandoned.get());
}

async fn places_are_given_first_come_first_served<B: Backend>(backend: B) {
    let mut config = places(1);
    config.waiting_max = 3;
    let link = connect(&backend, Serve::Silence, &config).await;
    let timeout = Duration::from_secs(60);
    let first = link.try_request(&HEAD, b"first", Some(timeout)).unwrap();
    let (refused, _) = link.try_request(&HEAD, b"", None).unwrap_err();
    assert_eq!(refused, RequestError::Refused(SubmitRefused::Full { in_flight_max: 1 }));
    let mut waiting = [(); 3].map(|()| link.request(&HEAD, b"waits"));
    assert!(waiting.iter_mut().all(|request| poll_once(request).is_pending()));
    let mut beyond = link.request(&HEAD, b"");
    let full = RequestError::QueueFull { waiting_max: 3 };
    assert!(matches!(poll_once(&mut beyond), Poll::Ready(Err(error)) if error == full));

    drop(first);
    // The place is promised to whoever waits longest: nobody else gets it.
    assert!(link.try_request(&HEAD, b"", None).is_err());
    let [mut a, mut b, mut c] = waiting;
    assert!(poll_once(&mut b).is_pending());
    assert!(poll_once(&mut a).is_pending());
    assert_eq!((link.status().in_flight, link.status().waiting), (1, 2));
    drop(b);
    drop(a);
    assert!(poll_once(&mut c).is_pending());
    assert_eq!((link.status().in_flight, link.status().waiting), (1, 0));
}

async fn failures_are_told_apart<B: Backend>(backend: B) {
    let config = RequestLinkConfig::default();
    let silent = connect(&backend, Serve::Silence, &config).await;
    let start = Instant::now();
    let request = silent.request(&HEAD, b"").with_timeout(Duration::from_millis(30));
    let timed_out = RequestError::NoAnswer(NoAnswer::TimedOut { maybe_sent: true });
    assert_eq!(request.await.unwrap_err(), timed_out);
    assert!(start.elapsed() >= Duration::from_millis(30));
    assert!(timed_out.maybe_sent());

    for (serve, poison) in [(Serve::Hang, false), (Serve::Nonsense, true)] {
        let link = connect(&backend, serve, &config).await;
        let mut both = [link.request(&HEAD, b"a"), link.request(&HEAD, b"b")];
        assert!(both.iter_mut().all(|request| poll_once(request).is_pending()));
        let mut reasons = Vec::new();
        for request in both {
            match request.await.unwrap_err() {
                RequestError::NoAnswer(NoAnswer::Closed { reason, maybe_sent: true }) => {
                    reasons.push(reason);
                }
                error => panic!("{error}"),
            }
        }
        assert_eq!(reasons[0], reasons[1], "all get the one error");
        assert_eq!(matches!(reasons[0], CloseReason::Frame(_)), poison, "{:?}", reasons[0]);
        assert_eq!(link.closed().await, reasons[0]);
        assert_eq!(link.unsolicited().await.unwrap_err(), reasons[0]);
    }
}

async fn other_halves_will_do<B: Backend>(backend: B) {
    let (reader, writer) = dial(&backend, Serve::Echo).await;
    let halves = (ByteByByte(reader), ByteByByte(writer));
    let (buffers, config) = (BufferPool::server(), RequestLinkConfig::default());
    let link = RequestLink::over(&backend, halves, protocol(), buffers, &config).unwrap();
    for len in [0, 1, 500] {
        let body = vec![len as u8; len];
        let answer = link.request(&HEAD, &body[..]).await.unwrap();
        assert_eq!(answer[8..], body[..]);
    }
    assert_eq!(link.close().await, CloseReason::Local);
}

async fn all<B: Backend>(backend: B) {
    other_halves_will_do(backend.clone()).await;
    answers_all(backend.clone()).await;
    dropped_futures_leave_nothing(backend.clone()).await;
    places_are_given_first_come_first_served(backend.clone()).await;
    failures_are_told_apart(backend).await;
}

#[test]
fn on_tokio_current_thread() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { all(turbopump::tokio::Backend::new()).await });
}

#[test]
fn on_tokio_multi_thread() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async { all(turbopump::tokio::Backend::new()).await });
}

#[test]
fn on_smol() {
    smol::block_on(all(turbopump::smol::Backend::new()));
}

#[test]
fn a_runtime_that_goes_away_is_said_to_have() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let link = runtime.block_on(async {
        let backend = turbopump::tokio::Backend::new();
        connect(&backend, Serve::Silence, &RequestLinkConfig::default()).await
    });
    let mut request = link.request(&HEAD, b"");
    assert!(poll_once(&mut request).is_pending());
    drop(runtime);
    let reason = CloseReason::Abandoned;
    let gone = RequestError::NoAnswer(NoAnswer::Closed { reason, maybe_sent: false });
    assert!(matches!(poll_once(&mut request), Poll::Ready(Err(error)) if error == gone));
    assert_eq!(SERVER_CLASSES.len(), BufferPool::server().class_stats().len());
}

fn assert_send<T: Send>(_: &T) {}

/// For any backend, and any protocol: handles go to other threads, and futures are spawned.
#[allow(dead_code)]
async fn everything_can_be_sent<B: Backend>(backend: B, link: Link) {
    fn assert_sync<T: Sync>(_: &T) {}
    assert_sync(&link);
    assert_send(&link);
    assert_send(&link.request(&HEAD, b""));
    assert_send(&link.close());
    assert_send(&link.unsolicited());
    backend.spawn(async move {
        let _ = link.request(&HEAD, b"").await;
        link.close().await;
    });
}

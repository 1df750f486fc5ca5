//! Streams as handles, over loopback sockets on every backend.

extern crate alloc;

use alloc::sync::Arc;
use core::future::Future;
use core::net::{Ipv4Addr, SocketAddr};
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use std::io;

use smol::channel;
use smol::future::zip;
use smol::io::{AsyncReadExt, AsyncWriteExt};
use turbopump_core::link::CloseReason;
use turbopump_core::pool::{ClassLayout, Layout};
use turbopump_core::stream::{OpenRefused, Role, StreamError};
use turbopump_std::backend::{Backend, SocketOptions};
use turbopump_std::memory::BufferPool;
use turbopump_std::net::{OpenError, Stream, StreamLink, StreamLinkConfig};
use turbopump_tests::on_every_backend;

on_every_backend![
    a_link_whose_last_handle_is_dropped_closes_after_its_streams,
    a_reader_that_does_not_read_stalls_no_other,
    a_stream_that_is_dropped_is_reset_and_one_that_is_closed_is_not,
    aborting_ends_everything_at_once,
    buffers_pass_without_copying,
    closing_waits_for_streams,
    dropped_futures_lose_no_stream_and_no_turn,
    many_streams_echo_with_halves_in_tasks_of_their_own,
    openers_take_turns,
    peers_that_hang_up_are_noticed,
];

fn pool() -> BufferPool {
    let classes = [
        ClassLayout::new(256, 1_024),
        ClassLayout::new(1_024, 1_024),
        ClassLayout::new(4_096, 1_024),
        ClassLayout::new(16_384, 1_024),
    ];
    BufferPool::new(&Layout::new(&classes).expect("possible classes"))
}

fn config() -> StreamLinkConfig {
    StreamLinkConfig::default()
}

type Halves<B> = (<B as Backend>::Reader, <B as Backend>::Writer);

async fn connection<B: Backend>(backend: &B) -> (Halves<B>, Halves<B>) {
    let options = SocketOptions::default();
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut listener = backend.listen(at).await.unwrap();
    let to = B::local_address(&listener).unwrap();
    let (near, far) = zip(backend.dial(to, &options), B::accept(&mut listener, &options)).await;
    let (reader, writer, _) = far.unwrap();
    (near.unwrap(), (reader, writer))
}

/// Two ends, and the pools that must have all buffers back.
struct Pair {
    client: StreamLink,
    server: StreamLink,
    pools: [BufferPool; 2],
}

async fn pair<B: Backend>(backend: &B, configs: [&StreamLinkConfig; 2]) -> Pair {
    let (near, far) = connection(backend).await;
    let pools = [pool(), pool()];
    let link = |halves, role, pool: &BufferPool, config| {
        StreamLink::over(backend, halves, role, pool.clone(), config).unwrap()
    };
    Pair {
        client: link(near, Role::Client, &pools[0], configs[0]),
        server: link(far, Role::Server, &pools[1], configs[1]),
        pools,
    }
}

impl Pair {
    async fn stream(&self) -> (Stream, Stream) {
        let mut near = assert_send(self.client.open()).await.unwrap();
        near.flush().await.unwrap();
        (near, assert_send(self.server.accept()).await.unwrap())
    }

    /// Both ends close, and nothing is left.
    async fn end(self) {
        let reasons = zip(self.client.close(), self.server.close()).await;
        assert!(
            matches!(
                reasons,
                (CloseReason::Local | CloseReason::Peer, CloseReason::Local | CloseReason::Peer)
            ),
            "{reasons:?}"
        );
        for link in [&self.client, &self.server] {
            // Those that nobody accepted.
            while link.accept().await.is_ok() {}
            // Tasks that echo may hold theirs for a moment longer than the connection lives.
            wait_for(|| link.status().streams == 0).await;
            assert_eq!(link.status().unread_bytes, 0);
        }
        // What the drivers held goes with their tasks, which end a moment after the links.
        for pool in &self.pools {
            wait_for(|| pool.stats().in_use == 0).await;
        }
    }
}

fn assert_send<F: Future + Send>(future: F) -> F {
    future
}

/// Runs a task and waits for what it says.
fn spawn<B: Backend, T: Send + 'static>(
    backend: &B,
    task: impl Future<Output = T> + Send + 'static,
) -> impl Future<Output = T> {
    let (done, wait) = channel::bounded(1);
    backend.spawn(async move {
        let outcome = task.await;
        done.send(outcome).await.expect("somebody waits");
    });
    async move { wait.recv().await.expect("the task does not panic") }
}

fn pattern(stream: u32, len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 + stream as usize * 7 + (at >> 8)) as u8).collect()
}

async fn many_streams_echo_with_halves_in_tasks_of_their_own<B: Backend>(backend: B) {
    const STREAMS: usize = 100;
    const BYTES: usize = 30_000;
    let pair = pair(&backend, [&config(), &config()]).await;
    let server = pair.server.clone();
    let tasks = backend.clone();
    let serving = spawn(&backend, async move {
        for _ in 0..STREAMS {
            let (mut reader, mut writer) = server.accept().await.unwrap().split();
            tasks.spawn(async move {
                smol::io::copy(&mut reader, &mut writer).await.unwrap();
                writer.close().await.unwrap();
            });
        }
    });
    let mut echoes = Vec::new();
    for _ in 0..STREAMS {
        let stream = pair.client.open().await.unwrap();
        let sent = pattern(stream.id(), BYTES);
        let (mut reader, mut writer) = stream.split();
        let expected = sent.clone();
        let writing = spawn(&backend, async move {
            writer.write_all(&sent).await.unwrap();
            writer.close().await.unwrap();
        });
        let reading = spawn(&backend, async move {
            let mut echo = Vec::new();
            reader.read_to_end(&mut echo).await.unwrap();
            assert!(echo == expected);
        });
        echoes.push((writing, reading));
    }
    for (writing, reading) in echoes {
        writing.await;
        reading.await;
    }
    serving.await;
    pair.end().await;
}

async fn a_reader_that_does_not_read_stalls_no_other<B: Backend>(backend: B) {
    let pair = pair(&backend, [&config(), &config()]).await;
    let (mut near, mut far) = pair.stream().await;
    let sent = pattern(1, 1_000_000);
    let expected = sent.clone();
    let writing = spawn(&backend, async move {
        near.write_all(&sent).await.unwrap();
        near.close().await.unwrap();
    });
    for _ in 0..50 {
        let (mut near, mut far) = pair.stream().await;
        near.write_all(b"question").await.unwrap();
        let mut question = [0; 8];
        far.read_exact(&mut question).await.unwrap();
        far.write_all(b"answer").await.unwrap();
        let mut answer = [0; 6];
        near.read_exact(&mut answer).await.unwrap();
        assert_eq!((&question, &answer), (b"question", b"answer"));
    }
    let status = pair.server.status();
    assert!(status.unread_bytes <= 262_144, "{status:?}");
    let mut received = Vec::new();
    far.read_to_end(&mut received).await.unwrap();
    assert!(received == expected);
    writing.await;
    drop(far);
    pair.end().await;
}

async fn a_stream_that_is_dropped_is_reset_and_one_that_is_closed_is_not<B: Backend>(backend: B) {
    let pair = pair(&backend, [&config(), &config()]).await;
    let (mut near, mut far) = pair.stream().await;
    near.write_all(b"half a message").await.unwrap();
    drop(near);
    let mut received = Vec::new();
    let error = far.read_to_end(&mut received).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<StreamError>());
    assert_eq!(cause, Some(&StreamError::Reset));
    let error = far.write(b"x").await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    drop(far);

    let (mut near, mut far) = pair.stream().await;
    near.write_all(b"a whole message").await.unwrap();
    near.close().await.unwrap();
    assert_eq!(near.write(b"x").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    drop(near);
    received.clear();
    far.read_to_end(&mut received).await.unwrap();
    assert_eq!(received, b"a whole message");
    far.close().await.unwrap();
    drop(far);

    let (near, mut far) = pair.stream().await;
    near.reset();
    assert!(far.read(&mut [0]).await.is_err());
    drop((near, far));
    pair.end().await;
}

async fn buffers_pass_without_copying<B: Backend>(backend: B) {
    let pair = pair(&backend, [&config(), &config()]).await;
    let (mut near, mut far) = pair.stream().await;
    let sent = pattern(1, 160_000);
    for part in sent.chunks(16_000) {
        let mut lease = pair.pools[0].acquire(part.len()).unwrap();
        lease.extend_from_slice(part).unwrap();
        assert_send(near.write_chunk(lease.freeze())).await.unwrap();
    }
    near.close().await.unwrap();
    let forward = async {
        while let Some(chunk) = far.read_chunk().await.unwrap() {
            far.write_chunk(chunk).await.unwrap();
        }
        far.close().await.unwrap();
    };
    let collect = async {
        let mut received = Vec::new();
        while let Some(chunk) = assert_send(near.read_chunk()).await.unwrap() {
            received.extend_from_slice(&chunk);
        }
        assert!(received == sent);
    };
    zip(forward, collect).await;
    drop((near, far));
    pair.end().await;
}

async fn openers_take_turns<B: Backend>(backend: B) {
    let mut few = config();
    few.streams.streams_max = 2;
    few.waiting_max = 3;
    let pair = pair(&backend, [&few, &config()]).await;
    let (first, second) = (pair.stream().await, pair.stream().await);
    let mut context = Context::from_waker(Waker::noop());
    let mut third = Box::pin(pair.client.open());
    assert!(third.as_mut().poll(&mut context).is_pending());
    let mut fourth = Box::pin(pair.client.open());
    assert!(fourth.as_mut().poll(&mut context).is_pending());
    let mut fifth = Box::pin(pair.client.open());
    assert!(fifth.as_mut().poll(&mut context).is_pending());
    let refused = pair.client.open().await.unwrap_err();
    assert_eq!(refused, OpenError::QueueFull { waiting_max: 3 });

    drop(first.0);
    wait_for(|| pair.client.status().streams < 2).await;
    assert!(fifth.as_mut().poll(&mut context).is_pending(), "it is not its turn");
    let third = third.await.unwrap();
    // The fourth goes away, so that it is the turn of the fifth.
    drop(fourth);
    drop(second.0);
    let fifth = fifth.await.unwrap();
    drop((third, fifth, first.1, second.1));
    pair.end().await;
}

async fn dropped_futures_lose_no_stream_and_no_turn<B: Backend>(backend: B) {
    let pair = pair(&backend, [&config(), &config()]).await;
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..1_000 {
        let mut accepting = Box::pin(pair.server.accept());
        assert!(accepting.as_mut().poll(&mut context).is_pending());
    }
    let (mut near, mut far) = pair.stream().await;
    // Reads and writes that are dropped have taken nothing.
    for _ in 0..1_000 {
        let mut byte = [0];
        let mut reading = far.read(&mut byte);
        assert!(pin!(&mut reading).poll(&mut context).is_pending());
    }
    near.write_all(b"all of it").await.unwrap();
    near.close().await.unwrap();
    let mut received = Vec::new();
    far.read_to_end(&mut received).await.unwrap();
    assert_eq!(received, b"all of it");
    far.close().await.unwrap();
    drop((near, far));
    pair.end().await;
}

async fn closing_waits_for_streams<B: Backend>(backend: B) {
    let pair = pair(&backend, [&config(), &config()]).await;
    let (mut near, mut far) = pair.stream().await;
    let closing = {
        let server = pair.server.clone();
        spawn(&backend, async move { server.close().await })
    };
    wait_for(|| pair.client.status().go_away_received.is_some()).await;
    let refused = pair.client.open().await.unwrap_err();
    assert!(matches!(refused, OpenError::Refused(OpenRefused::GoAway(_))), "{refused}");
    near.write_all(b"still here").await.unwrap();
    near.close().await.unwrap();
    let mut received = Vec::new();
    far.read_to_end(&mut received).await.unwrap();
    far.write_all(&received).await.unwrap();
    far.close().await.unwrap();
    received.clear();
    near.read_to_end(&mut received).await.unwrap();
    assert_eq!(received, b"still here");
    drop((near, far));
    assert_eq!(closing.await, CloseReason::Local);
    assert_eq!(pair.client.closed().await, CloseReason::Peer);
    assert_eq!(pair.client.accept().await.unwrap_err(), CloseReason::Peer);
    pair.end().await;
}

async fn a_link_whose_last_handle_is_dropped_closes_after_its_streams<B: Backend>(backend: B) {
    let Pair { client, server, pools } = pair(&backend, [&config(), &config()]).await;
    let mut near = client.open().await.unwrap();
    let again = client.clone();
    drop(client);
    near.write_all(b"hello").await.unwrap();
    let mut far = server.accept().await.unwrap();
    drop(again);
    let mut received = [0; 5];
    far.read_exact(&mut received).await.unwrap();
    near.close().await.unwrap();
    far.close().await.unwrap();
    drop(near);
    assert_eq!(server.closed().await, CloseReason::Peer);
    drop((far, server));
    for pool in &pools {
        wait_for(|| pool.stats().in_use == 0).await;
    }
}

async fn aborting_ends_everything_at_once<B: Backend>(backend: B) {
    let pair = pair(&backend, [&config(), &config()]).await;
    let (mut near, mut far) = pair.stream().await;
    let reading = spawn(&backend, async move {
        let outcome = far.read(&mut [0]).await;
        (outcome, far)
    });
    pair.client.abort();
    assert_eq!(pair.client.closed().await, CloseReason::Local);
    let error = near.write(b"x").await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
    let (outcome, far) = reading.await;
    assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
    let refused = pair.client.open().await.unwrap_err();
    assert_eq!(refused, OpenError::Refused(OpenRefused::Closed(CloseReason::Local)));
    drop((near, far));
    pair.end().await;
}

async fn peers_that_hang_up_are_noticed<B: Backend>(backend: B) {
    let (near, far) = connection(&backend).await;
    let pool = pool();
    let link = StreamLink::over(&backend, near, Role::Client, pool.clone(), &config()).unwrap();
    let link = Arc::new(link);
    let mut stream = link.open().await.unwrap();
    let accepting = {
        let link = link.clone();
        spawn(&backend, async move { link.accept().await.map(|stream| stream.id()) })
    };
    drop(far);
    assert!(stream.read(&mut [0]).await.is_err());
    accepting.await.unwrap_err();
    let reason = link.closed().await;
    let expected = [CloseReason::Peer, CloseReason::Read, CloseReason::Write];
    assert!(expected.contains(&reason), "{reason}");
    drop((stream, link));
    wait_for(|| pool.stats().in_use == 0).await;
}

/// Lets other tasks run until something is true. It hangs where that never comes.
async fn wait_for(condition: impl Fn() -> bool) {
    core::future::poll_fn(|context| {
        if condition() {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

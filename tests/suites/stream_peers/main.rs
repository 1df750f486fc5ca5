//! Streams beside two other implementations of yamux, each in both directions: Go's
//! `hashicorp/yamux` and the crate `yamux`.
//!
//! 1,000 streams are open at once and echo 64 MiB in total, byte by byte, while one stream is not
//! read by the peer and another not by this side; then these are read too.

mod go;
mod rust;
mod story;

use core::net::{Ipv4Addr, SocketAddr};

use go::Go;
use story::{BYTES, STREAMS, Server, load};
use turbopump_core::link::CloseReason;
use turbopump_core::pool::{ClassLayout, Layout};
use turbopump_core::stream::Role;
use turbopump_std::backend::{Backend, SocketOptions};
use turbopump_std::memory::BufferPool;
use turbopump_std::net::{StreamLink, StreamLinkConfig};
use turbopump_tests::on_every_backend;

on_every_backend![
    go_opens_streams_here,
    streams_are_opened_at_go,
    streams_are_opened_at_the_crate,
    the_crate_opens_streams_here,
];

/// A quarter of what the peers may send ahead.
const BUDGET_BYTES: usize = 64 << 20;

struct End {
    link: StreamLink,
    pool: BufferPool,
}

/// Memory for what the budget allows to be read, and as much to be sent.
fn end<B: Backend>(backend: &B, halves: (B::Reader, B::Writer), role: Role) -> End {
    let classes = [
        ClassLayout::new(256, 4_096),
        ClassLayout::new(1_024, 4_096),
        ClassLayout::new(4_096, 4_096),
        ClassLayout::new(16_384, 2 * BUDGET_BYTES / 16_384),
    ];
    let pool = BufferPool::new(&Layout::new(&classes).expect("possible classes"));
    let mut config = StreamLinkConfig::default();
    config.streams.receive_budget_bytes = BUDGET_BYTES;
    let link = StreamLink::over(backend, halves, role, pool.clone(), &config).unwrap();
    End { link, pool }
}

impl End {
    /// The peer has closed the connection; limits were held, and nothing is left.
    async fn check(self) {
        let reason = self.link.closed().await;
        let (status, counters) = (self.link.status(), self.link.counters());
        assert!(status.unread_bytes_max <= BUDGET_BYTES);
        assert_eq!(counters.overruns, 0);
        assert!(counters.data_bytes_sent >= (STREAMS * BYTES) as u64);
        assert!(counters.data_bytes_received >= (STREAMS * BYTES) as u64);
        let buffers = self.pool.stats().high_water;
        println!(
            "{reason}; {} bytes unread at most, {buffers} buffers at most; {} frames sent, {} \
             received",
            status.unread_bytes_max, counters.frames_sent, counters.frames_received
        );
        while self.pool.stats().in_use > 0 {
            smol::future::yield_now().await;
        }
    }
}

async fn dial<B: Backend>(backend: &B, at: SocketAddr) -> End {
    let halves = backend.dial(at, &SocketOptions::default()).await.unwrap();
    end(backend, halves, Role::Client)
}

/// Opens the streams of the story.
async fn use_streams<B: Backend>(backend: &B, at: SocketAddr) {
    let end = dial(backend, at).await;
    let link = end.link.clone();
    let open = move || {
        let link = link.clone();
        async move { link.open().await.unwrap() }
    };
    load(backend, open, STREAMS, BYTES).await;
    assert_eq!(end.link.close().await, CloseReason::Local);
    end.check().await;
}

/// Serves one connection.
async fn serve<B: Backend>(backend: &B, listener: &mut B::Listener) {
    let (reader, writer, _) = B::accept(listener, &SocketOptions::default()).await.unwrap();
    let end = end(backend, (reader, writer), Role::Server);
    let server = Server::new();
    while let Ok(stream) = end.link.accept().await {
        backend.spawn(server.clone().answer(stream));
    }
    end.check().await;
}

async fn listen<B: Backend>(backend: &B) -> (B::Listener, SocketAddr) {
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = backend.listen(at).await.unwrap();
    let address = B::local_address(&listener).unwrap();
    (listener, address)
}

async fn streams_are_opened_at_go<B: Backend>(backend: B) {
    let (go, at) = Go::serve();
    use_streams(&backend, at).await;
    go.wait();
}

async fn go_opens_streams_here<B: Backend>(backend: B) {
    let (mut listener, at) = listen(&backend).await;
    let go = Go::load(at, STREAMS, BYTES);
    serve(&backend, &mut listener).await;
    go.wait();
}

async fn streams_are_opened_at_the_crate<B: Backend>(backend: B) {
    let (serving, at) = rust::serve();
    use_streams(&backend, at).await;
    serving.join().expect("the other end has no complaints");
}

async fn the_crate_opens_streams_here<B: Backend>(backend: B) {
    let (mut listener, at) = listen(&backend).await;
    let loading = rust::start_load(at, STREAMS, BYTES);
    serve(&backend, &mut listener).await;
    loading.join().expect("the other end has no complaints");
}

//! What runs over TLS as it does over plain sockets: pooled connections, requests, streams.

use core::net::{Ipv4Addr, SocketAddr};

use smol::channel;
use smol::future::zip;
use smol::io::{AsyncReadExt, AsyncWriteExt};
use turbopump_core::frame::LengthField;
use turbopump_core::link::IdField;
use turbopump_core::stream::Role;
use turbopump_std::backend::{Backend, Endpoint, SocketOptions};
use turbopump_std::memory::BufferPool;
use turbopump_std::net::tls::{ClientSettings, TlsClient, TlsReader, TlsServer, TlsWriter};
use turbopump_std::net::{
    ConnectionPool, Phase, PoolSettings, RequestLink, RequestLinkConfig, StreamLink,
    StreamLinkConfig,
};
use turbopump_tests::on_every_backend;

use crate::sockets::{secured, soon};
use turbopump_tests::certificates::{Authority, client, server};

on_every_backend![
    pooled_connections_are_secured_and_used_again,
    pools_say_why_a_handshake_failed,
    requests_run_over_tls,
    streams_run_over_tls,
];

/// Both sides of one authority; the client knows the server by another name than it dials.
fn sides() -> (TlsClient, TlsServer) {
    let authority = Authority::new("ours");
    let settings = ClientSettings::new().trust(authority.pem()).server_name("broker.example");
    (client(settings), server(authority.server(&["broker.example"])))
}

async fn echo<B: Backend>((mut reader, mut writer): (TlsReader<B::Reader>, TlsWriter<B::Writer>)) {
    let mut bytes = [0; 4_096];
    while let Ok(len @ 1..) = reader.read(&mut bytes).await {
        if writer.write_all(&bytes[..len]).await.is_err() || writer.flush().await.is_err() {
            return;
        }
    }
}

/// Serves every connection; returns where, and what says how many handshakes ended well and badly.
async fn serve<B: Backend>(backend: &B, tls: TlsServer) -> (Endpoint, channel::Receiver<bool>) {
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut listener = backend.listen(at).await.unwrap();
    let endpoint = B::local_address(&listener).unwrap().into();
    let (heard, handshakes) = channel::unbounded();
    let tasks = backend.clone();
    backend.spawn(async move {
        let options = SocketOptions::default();
        while let Ok((reader, writer, _)) = B::accept(&mut listener, &options).await {
            let secured = tls.accept(&tasks, (reader, writer), soon()).await;
            if heard.send(secured.is_ok()).await.is_err() {
                return;
            }
            if let Ok(halves) = secured {
                tasks.spawn(echo::<B>(halves));
            }
        }
    });
    (endpoint, handshakes)
}

fn settings(tls: TlsClient) -> PoolSettings {
    let mut settings = PoolSettings::default();
    settings.tls = Some(tls);
    settings
}

async fn pooled_connections_are_secured_and_used_again<B: Backend>(backend: B) {
    let (client, server) = sides();
    let (endpoint, handshakes) = serve(&backend, server).await;
    let pool = ConnectionPool::new(backend, endpoint, settings(client)).unwrap();
    let long = b"much the same, ".repeat(500);
    let mut received = Vec::new();
    for _ in 0..10 {
        let mut connection = pool.get().await.unwrap();
        connection.write(b"hello").await.unwrap();
        connection.flush().await.unwrap();
        let mut said = [0; 5];
        connection.read_exact(&mut said).await.unwrap();
        assert_eq!(&said, b"hello");
        connection.write_compressed(&long).await.unwrap();
        connection.flush().await.unwrap();
        connection.read_decompressed(&mut received).await.unwrap();
        assert!(received == long);
    }
    assert_eq!(pool.status().connections.opened, 1);
    pool.close().await;
    assert_eq!((handshakes.recv().await, handshakes.len()), (Ok(true), 0));
}

async fn pools_say_why_a_handshake_failed<B: Backend>(backend: B) {
    let (_, server) = sides();
    let (stranger, _) = sides();
    let (endpoint, handshakes) = serve(&backend, server).await;
    let pool = ConnectionPool::new(backend, endpoint, settings(stranger)).unwrap();
    let error = pool.get().await.map(drop).unwrap_err();
    let said = error.to_string();
    assert!(said.contains("TLS handshake"), "{said}");
    assert_eq!(handshakes.recv().await, Ok(false));
    assert_eq!(pool.status().timeouts(Phase::Tls), 0);
    assert_eq!(pool.status().connections.total(), 0);
    pool.close().await;
}

async fn requests_run_over_tls<B: Backend>(backend: B) {
    let (client, server) = sides();
    let (near, far) = secured(&backend, &client, "127.0.0.1", &server).await;
    // Its requests come back as their answers.
    backend.spawn(echo::<B>(far));
    let protocol = IdField::big_endian(LengthField::big_endian_u32(1 << 20).unwrap(), 4);
    let (buffers, config) = (BufferPool::standard(), RequestLinkConfig::default());
    let link = RequestLink::over(&backend, near, protocol, buffers, &config).unwrap();
    for _ in 0..20 {
        let (first, second) =
            zip(link.request(&[0; 8], b"one"), link.request(&[0; 8], &[7; 3_000])).await;
        assert_eq!(first.unwrap()[8..], *b"one");
        assert_eq!(second.unwrap()[8..], [7; 3_000]);
    }
    link.close().await;
}

async fn streams_run_over_tls<B: Backend>(backend: B) {
    let (client, server) = sides();
    let (near, far) = secured(&backend, &client, "127.0.0.1", &server).await;
    let (buffers, config) = (BufferPool::standard(), StreamLinkConfig::default());
    let near = StreamLink::over(&backend, near, Role::Client, buffers.clone(), &config).unwrap();
    let far = StreamLink::over(&backend, far, Role::Server, buffers, &config).unwrap();
    let asking = async {
        let mut stream = near.open().await.unwrap();
        stream.write_all(&[3; 100_000]).await.unwrap();
        stream.close().await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert!(answer == [3; 100_000]);
    };
    let answering = async {
        let mut stream = far.accept().await.unwrap();
        while let Some(chunk) = stream.read_chunk().await.unwrap() {
            stream.write_chunk(chunk).await.unwrap();
        }
        stream.close().await.unwrap();
    };
    zip(asking, answering).await;
    zip(near.close(), far.close()).await;
}

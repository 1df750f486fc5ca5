//! Tasks on connections of a pool.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;

use smol::io::{AsyncReadExt, AsyncWriteExt};
use turbopump_std::backend::{Backend, SocketOptions};
use turbopump_std::net::async_io::{AsyncIo, AsyncIoConfig, IoTask, IoTaskError};
use turbopump_std::net::{Connection, ConnectionPool, PoolSettings};

use crate::{chunk, on_every_backend, room};

on_every_backend![bodies_are_compressed_and_come_back, half_done_connections_leave_the_pool,];

/// A pool of connections to a peer that echoes, or swallows everything.
async fn pool<B: Backend>(backend: &B, echoes: bool) -> ConnectionPool<B> {
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut listener = backend.listen(at).await.unwrap();
    let to = B::local_address(&listener).unwrap();
    let spawner = backend.clone();
    backend.spawn(async move {
        let options = SocketOptions::default();
        while let Ok((mut reader, mut writer, _)) = B::accept(&mut listener, &options).await {
            spawner.spawn(async move {
                let mut bytes = [0; 4_096];
                while let Ok(count @ 1..) = reader.read(&mut bytes).await {
                    if echoes && writer.write_all(&bytes[..count]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    ConnectionPool::new(backend.clone(), to.into(), PoolSettings::default()).unwrap()
}

async fn bodies_are_compressed_and_come_back<B: Backend>(backend: B) {
    let pool = pool(&backend, true).await;
    let io: AsyncIo<Connection<B>> = AsyncIo::start(&backend, &AsyncIoConfig::default()).unwrap();
    let long = b"the same again and ".repeat(1_000);
    for (body, fewest, most) in [(&long[..], 100, 1_000), (b"short", 10, 10), (b"", 5, 5)] {
        let connection = pool.get().await.unwrap();
        let task = IoTask::write_compressed(connection, chunk(body));
        let finished = io.submit(task).unwrap().await;
        let on_the_wire = finished.result.unwrap();
        assert!((fewest..=most).contains(&on_the_wire), "{on_the_wire} bytes");
        let mut connection = finished.connection.unwrap();
        let mut came_back = Vec::new();
        assert_eq!(connection.read_decompressed(&mut came_back).await.unwrap(), body.len());
        assert_eq!(came_back, body);
    }
    let status = pool.status().connections;
    assert_eq!((status.active, status.idle, status.opened), (0, 1, 1));
    io.stop().await;
    pool.close().await;
}

async fn half_done_connections_leave_the_pool<B: Backend>(backend: B) {
    let pool = pool(&backend, false).await;
    let io = AsyncIo::start(&backend, &AsyncIoConfig::default()).unwrap();
    let connection = pool.get().await.unwrap();
    let finished = io.submit(IoTask::write(connection, chunk(b"question"))).unwrap().await;
    let connection = finished.connection.unwrap();
    let task = IoTask::read(connection, room(64)).within(Duration::from_millis(5));
    let finished = io.submit(task).unwrap().await;
    assert!(matches!(finished.result, Err(IoTaskError::TimedOut { begun: true })));
    assert!(finished.connection.is_none());
    // Its answer may still come: nobody else must get it.
    let status = pool.status().connections;
    assert_eq!((status.active, status.idle), (0, 0));
    drop(pool.get().await.unwrap());
    assert_eq!(pool.status().connections.opened, 2);
    io.stop().await;
    pool.close().await;
}

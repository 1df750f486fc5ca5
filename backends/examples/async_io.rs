//! Reading and writing handed to a few workers, with a future or a callback and a time-out each.
//!
//! `cargo run -p turbopump --features tokio,smol --example async_io`

#![allow(clippy::std_instead_of_alloc, reason = "a program with std")]

use core::error::Error;
use core::time::Duration;
use std::sync::Arc;

use smol::io::{AsyncReadExt, AsyncWriteExt};
use turbopump::runtime::backend::{Backend, SocketOptions};
use turbopump::runtime::memory::{Chunk, default_pool};
use turbopump::runtime::net::async_io::{AsyncIo, AsyncIoConfig, Finished, IoTask, OnFinished};
use turbopump::runtime::net::{Connection, ConnectionPool, PoolSettings};

async fn run<B: Backend>(backend: B) -> Result<(), Box<dyn Error>> {
    let pool = pool_to_echo(&backend).await?;
    let io = AsyncIo::start(&backend, &AsyncIoConfig::default())?;

    // A task takes its connection with it and brings it back.
    let task = IoTask::write(pool.get().await?, chunk(b"hello")?);
    let sent = io.submit(task)?.await;
    println!("wrote {} bytes", sent.result?);
    let connection = sent.connection.ok_or("a write that succeeds gives it back")?;
    let task = IoTask::read(connection, default_pool().acquire(64)?);
    let answer = io.submit(task.within(Duration::from_secs(1)))?.await;
    println!("read {} bytes", answer.result?);
    drop(answer.connection); // back into the pool

    let callback: Arc<dyn OnFinished<Connection<B>>> =
        Arc::new(|number: u64, finished: Finished<Connection<B>>| {
            println!("task {number}: {:?}", finished.result);
        });
    for number in 0..3 {
        let task = IoTask::write_compressed(pool.get().await?, chunk(&[7; 4_000])?);
        io.submit_with(task, number, Arc::clone(&callback))?;
    }
    io.stop().await;
    println!("{} done", io.stats().completed());
    pool.close().await;
    Ok(())
}

fn chunk(bytes: &[u8]) -> Result<Chunk, Box<dyn Error>> {
    let mut lease = default_pool().acquire(bytes.len())?;
    lease.extend_from_slice(bytes)?;
    Ok(lease.freeze())
}

async fn pool_to_echo<B: Backend>(backend: &B) -> Result<ConnectionPool<B>, Box<dyn Error>> {
    let mut listener = backend.listen(([127, 0, 0, 1], 0).into()).await?;
    let address = B::local_address(&listener)?;
    let spawner = backend.clone();
    backend.spawn(async move {
        let options = SocketOptions::default();
        while let Ok((mut reader, mut writer, _)) = B::accept(&mut listener, &options).await {
            spawner.spawn(async move {
                let mut bytes = [0; 4_096];
                while let Ok(count @ 1..) = reader.read(&mut bytes).await {
                    if writer.write_all(&bytes[..count]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    Ok(ConnectionPool::new(backend.clone(), address.into(), PoolSettings::default())?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(turbopump::tokio::Backend::on(runtime.handle().clone())))?;
    smol::block_on(run(turbopump::smol::Backend::new()))
}

//! Connections from a pool: opened when needed, kept for the next, never more than allowed.
//!
//! `cargo run -p turbopump --features tokio,smol --example connection_pool`

use core::error::Error;
use core::net::SocketAddr;
use core::time::Duration;

use smol::io::{AsyncReadExt, AsyncWriteExt};
use turbopump::runtime::backend::{Backend, SocketOptions};
use turbopump::runtime::net::{ConnectionPool, PoolSettings};

async fn run<B: Backend>(backend: B) -> Result<(), Box<dyn Error>> {
    let mut settings = PoolSettings::default();
    settings.connections_max = 4;
    settings.acquire_timeout = Duration::from_secs(2);
    let endpoint = start_echo(&backend).await?.into();
    let pool = ConnectionPool::new(backend.clone(), endpoint, settings)?;

    for said in ["hello", "hello again"] {
        let mut connection = pool.get().await?;
        connection.write(said.as_bytes()).await?;
        let mut answer = vec![0; said.len()];
        connection.read_exact(&mut answer).await?;
        println!("{}", String::from_utf8(answer)?);
        // Dropping it gives it back; the second round gets the same one.
    }
    let status = pool.status();
    println!("opened {}, idle {}", status.connections.opened, status.connections.idle);
    pool.close().await;
    Ok(())
}

async fn start_echo<B: Backend>(backend: &B) -> std::io::Result<SocketAddr> {
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
    Ok(address)
}

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(turbopump::tokio::Backend::on(runtime.handle().clone())))?;
    smol::block_on(run(turbopump::smol::Backend::new()))
}

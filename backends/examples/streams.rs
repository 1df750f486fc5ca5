//! Logical streams: many independent conversations over one connection, compatible with yamux.
//!
//! `cargo run -p turbopump --features tokio,smol --example streams`

use core::error::Error;

use smol::future::zip;
use smol::io::{AsyncReadExt, AsyncWriteExt};
use turbopump::core::stream::Role;
use turbopump::runtime::backend::{Backend, SocketOptions};
use turbopump::runtime::memory::default_pool;
use turbopump::runtime::net::{StreamLink, StreamLinkConfig};

async fn run<B: Backend>(backend: B) -> Result<(), Box<dyn Error>> {
    let options = SocketOptions::default();
    let mut listener = backend.listen(([127, 0, 0, 1], 0).into()).await?;
    let address = B::local_address(&listener)?;
    let (near, far) =
        zip(backend.dial(address, &options), B::accept(&mut listener, &options)).await;
    let ((near_reader, near_writer), (far_reader, far_writer, _)) = (near?, far?);

    let (config, buffers) = (StreamLinkConfig::default(), default_pool());
    let near = (near_reader, near_writer);
    let near = StreamLink::over(&backend, near, Role::Client, buffers.clone(), &config)?;
    let far = (far_reader, far_writer);
    let far = StreamLink::over(&backend, far, Role::Server, buffers.clone(), &config)?;

    let spawner = backend.clone();
    backend.spawn(async move {
        while let Ok(mut stream) = far.accept().await {
            spawner.spawn(async move {
                let mut said = Vec::new();
                if stream.read_to_end(&mut said).await.is_ok() {
                    let answer = format!("{} bytes", said.len());
                    let _ = stream.write_all(answer.as_bytes()).await;
                    let _ = stream.close().await;
                }
            });
        }
    });

    for length in [10, 100_000] {
        let mut stream = near.open().await?;
        stream.write_all(&vec![7; length]).await?;
        stream.close().await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        println!("{answer}");
    }
    println!("closed: {}", near.close().await);
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(turbopump::tokio::Backend::on(runtime.handle().clone())))?;
    smol::block_on(run(turbopump::smol::Backend::new()))
}

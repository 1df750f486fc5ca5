//! Many requests at once over one connection, in a protocol of one's own.
//!
//! Its frames are: four bytes of length, four bytes of id, and a body. The server answers in any
//! order.
//!
//! `cargo run -p turbopump --features tokio,smol --example requests`

use core::error::Error;
use core::net::SocketAddr;
use core::time::Duration;

use smol::future::zip;
use smol::io::{AsyncReadExt, AsyncWriteExt};
use turbopump::core::frame::LengthField;
use turbopump::core::link::IdField;
use turbopump::runtime::backend::{Backend, SocketOptions};
use turbopump::runtime::memory::default_pool;
use turbopump::runtime::net::{RequestLink, RequestLinkConfig};

const HEAD_BYTES: usize = 8;
const FRAME_BYTES_MAX: usize = 1 << 20;

async fn run<B: Backend>(backend: B) -> Result<(), Box<dyn Error>> {
    let server = start_server(&backend).await?;
    let connection = backend.dial(server, &SocketOptions::default()).await?;

    // Where length and id are is all that has to be said of a protocol.
    let protocol = IdField::big_endian(LengthField::big_endian_u32(FRAME_BYTES_MAX)?, 4);
    let config = RequestLinkConfig::default();
    let buffers = default_pool().clone();
    let link = RequestLink::over(&backend, connection, protocol, buffers, &config)?;

    let head = [0; HEAD_BYTES];
    let slow = link.request(&head, b"slow").with_timeout(Duration::from_secs(5));
    let fast = link.request(&head, b"fast");
    let (slow, fast) = zip(slow, fast).await;
    for answer in [slow?, fast?] {
        println!("{}", String::from_utf8_lossy(&answer[HEAD_BYTES..]));
    }
    println!("closed: {}", link.close().await);
    Ok(())
}

/// Answers each pair of requests, the second one first.
async fn start_server<B: Backend>(backend: &B) -> std::io::Result<SocketAddr> {
    let mut listener = backend.listen(([127, 0, 0, 1], 0).into()).await?;
    let address = B::local_address(&listener)?;
    backend.spawn(async move {
        let accepted = B::accept(&mut listener, &SocketOptions::default()).await;
        let Ok((mut reader, mut writer, _)) = accepted else { return };
        while let (Ok(first), Ok(second)) =
            (read_frame(&mut reader).await, read_frame(&mut reader).await)
        {
            for frame in [second, first] {
                if writer.write_all(&frame).await.is_err() {
                    return;
                }
            }
        }
    });
    Ok(address)
}

async fn read_frame(reader: &mut (impl AsyncReadExt + Unpin)) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 4];
    reader.read_exact(&mut length).await?;
    let rest = u32::from_be_bytes(length) as usize;
    let mut frame = length.to_vec();
    frame.resize(4 + rest, 0);
    reader.read_exact(&mut frame[4..]).await?;
    Ok(frame)
}

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(turbopump::tokio::Backend::on(runtime.handle().clone())))?;
    smol::block_on(run(turbopump::smol::Backend::new()))
}

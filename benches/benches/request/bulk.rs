//! The floor: 64 frames in one write, and reads until all of them are back.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use crate::{FRAME_BYTES, IN_FLIGHT, Peer, server};

struct Bulk {
    stream: TcpStream,
    frames: Vec<u8>,
    answers: Vec<u8>,
}

pub(crate) fn make(runtime: &Runtime) -> Box<dyn Peer> {
    let address = server::spawn(runtime);
    let stream = runtime.block_on(TcpStream::connect(address)).unwrap();
    stream.set_nodelay(true).unwrap();
    let frames = vec![7; FRAME_BYTES * IN_FLIGHT];
    Box::new(Bulk { stream, answers: frames.clone(), frames })
}

impl Peer for Bulk {
    fn run(&mut self, runtime: &Runtime, round_trips: usize) {
        runtime.block_on(async {
            let mut left = round_trips;
            while left > 0 {
                let bytes = left.min(IN_FLIGHT) * FRAME_BYTES;
                self.stream.write_all(&self.frames[..bytes]).await.unwrap();
                self.stream.read_exact(&mut self.answers[..bytes]).await.unwrap();
                left -= bytes / FRAME_BYTES;
            }
        });
    }
}

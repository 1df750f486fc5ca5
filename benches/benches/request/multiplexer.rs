//! What people write by hand: a codec, a map of oneshot channels, a queue to the writer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use tokio_util::codec::{FramedRead, FramedWrite, LengthDelimitedCodec};

use crate::{BODY_BYTES, HEAD_BYTES, IN_FLIGHT, Peer, server};

type Call = (BytesMut, oneshot::Sender<BytesMut>);
type Calls = Arc<Mutex<HashMap<u32, oneshot::Sender<BytesMut>>>>;

struct Multiplexer(mpsc::Sender<Call>);

pub(crate) fn make(runtime: &Runtime) -> Box<dyn Peer> {
    let address = server::spawn(runtime);
    let (sender, mut receiver) = mpsc::channel::<Call>(1_024);
    let stream = runtime.block_on(TcpStream::connect(address)).unwrap();
    stream.set_nodelay(true).unwrap();
    let (reader, writer) = stream.into_split();
    let calls = Calls::default();
    let waiting = calls.clone();
    runtime.spawn(async move {
        let mut frames = FramedRead::new(reader, LengthDelimitedCodec::new());
        while let Some(Ok(mut frame)) = frames.next().await {
            let id = frame.get_u32();
            if let Some(call) = waiting.lock().unwrap().remove(&id) {
                let _ = call.send(frame);
            }
        }
    });
    runtime.spawn(async move {
        let mut frames = FramedWrite::new(writer, LengthDelimitedCodec::new());
        let (mut id, mut batch) = (0_u32, Vec::with_capacity(IN_FLIGHT));
        while receiver.recv_many(&mut batch, IN_FLIGHT).await > 0 {
            for (mut frame, call) in batch.drain(..) {
                id = id.wrapping_add(1);
                frame[..4].copy_from_slice(&id.to_be_bytes());
                calls.lock().unwrap().insert(id, call);
                frames.feed(frame.freeze()).await.unwrap();
            }
            SinkExt::<Bytes>::flush(&mut frames).await.unwrap();
        }
    });
    Box::new(Multiplexer(sender))
}

impl Peer for Multiplexer {
    fn run(&mut self, runtime: &Runtime, round_trips: usize) {
        runtime.block_on(async {
            let tasks = std::array::from_fn::<_, IN_FLIGHT, _>(|task| {
                let calls = self.0.clone();
                tokio::spawn(async move {
                    for _ in 0..(round_trips + task) / IN_FLIGHT {
                        let mut frame = BytesMut::with_capacity(BODY_BYTES + HEAD_BYTES - 4);
                        frame.put_u32(0);
                        frame.put_slice(&[7; BODY_BYTES]);
                        let (sender, answer) = oneshot::channel();
                        calls.send((frame, sender)).await.unwrap();
                        assert_eq!(answer.await.unwrap().last(), Some(&7));
                    }
                })
            });
            for task in tasks {
                task.await.unwrap();
            }
        });
    }
}

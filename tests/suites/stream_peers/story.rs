//! What both ends do, whoever they are: a server of streams, and their user.
//!
//! The user's first nine bytes on a stream say what it is for: a letter and a length.
//!
//! | letter | the server |
//! | --- | --- |
//! | `E` | sends back what follows, until its end |
//! | `G` | sends so many bytes of a pattern |
//! | `S` | reads so many bytes, but only after a stream with `R` came; then sends one byte |
//! | `R` | lets those go on |
//!
//! The Go program in `tests/peers/yamux` does the same.

extern crate alloc;

use alloc::sync::Arc;
use core::future::Future;

use smol::channel;
use smol::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use smol::lock::Barrier;
use turbopump_std::backend::Backend;

/// Streams that echo, all open at once.
pub(crate) const STREAMS: usize = 1_000;
/// Bytes on each of these: 64 MiB in all.
pub(crate) const BYTES: usize = 67_109;
/// Bytes on a stream that its reader leaves alone: more than a window and all buffers.
const SLOW_BYTES: usize = 1 << 20;

pub(crate) trait AnyStream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> AnyStream for S {}

fn pattern(stream: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 + stream * 7 + (at >> 8)) as u8).collect()
}

fn command(kind: u8, len: usize) -> Vec<u8> {
    let mut head = vec![kind];
    head.extend_from_slice(&(len as u64).to_be_bytes());
    head
}

/// Runs a task and waits for what it says.
pub(crate) fn spawn<B: Backend, T: Send + 'static>(
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

/// Says what is wrong with what came back.
fn check(stream: usize, received: &[u8], sent: &[u8]) {
    assert_eq!(received.len(), sent.len(), "bytes on stream {stream}");
    if let Some(at) = received.iter().zip(sent).position(|(received, sent)| received != sent) {
        let differing = received.iter().zip(sent).filter(|(received, sent)| received != sent);
        panic!(
            "stream {stream} at {at}: {:?} for {:?}; {} bytes differ",
            &received[at..sent.len().min(at + 16)],
            &sent[at..sent.len().min(at + 16)],
            differing.count(),
        );
    }
}

/// What the streams of one server share.
#[derive(Clone)]
pub(crate) struct Server {
    /// Closed when the slow ones may go on.
    release: channel::Sender<()>,
    released: channel::Receiver<()>,
}

impl Server {
    pub(crate) fn new() -> Self {
        let (release, released) = channel::bounded(1);
        Self { release, released }
    }

    pub(crate) async fn answer(self, mut stream: impl AnyStream) {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.expect("a command");
        let (kind, len) = head.split_first().expect("nine bytes");
        let len = u64::from_be_bytes(len.try_into().expect("eight bytes")) as usize;
        match kind {
            b'E' => {
                let mut buffer = [0; 8_192];
                loop {
                    let bytes = stream.read(&mut buffer).await.expect("bytes to send back");
                    if bytes == 0 {
                        break;
                    }
                    stream.write_all(&buffer[..bytes]).await.expect("it takes them");
                }
            }
            b'G' => stream.write_all(&pattern(0, len)).await.expect("it takes them"),
            b'S' => {
                assert!(self.released.recv().await.is_err(), "it is closed, not used");
                let mut received = vec![0; len];
                stream.read_exact(&mut received).await.expect("all of it");
                assert!(received == pattern(0, len), "wrong bytes on the slow stream");
                stream.write_all(&[1]).await.expect("it takes one byte");
            }
            b'R' => {
                self.release.close();
            }
            kind => panic!("unknown command {kind}"),
        }
        stream.close().await.expect("it can be closed");
    }
}

/// Uses the streams of a server.
pub(crate) async fn load<B, S, F>(
    backend: &B,
    open: impl Fn() -> F + Clone + Send + 'static,
    streams: usize,
    bytes: usize,
) where
    B: Backend,
    S: AnyStream,
    F: Future<Output = S> + Send + 'static,
{
    // One stream that the peer does not read, one that this side does not read.
    let mut unread = open().await;
    let (wrote, writing) = channel::bounded(1);
    let slow = spawn(backend, async move {
        unread.write_all(&command(b'S', SLOW_BYTES)).await.expect("it takes them");
        unread.write_all(&pattern(0, SLOW_BYTES)).await.expect("it takes them");
        wrote.send(()).await.expect("somebody waits");
        let mut last = [0];
        unread.read_exact(&mut last).await.expect("an answer");
        unread.close().await.expect("it can be closed");
    });
    let mut reluctant = open().await;
    reluctant.write_all(&command(b'G', SLOW_BYTES)).await.expect("it takes them");
    reluctant.flush().await.expect("it takes them");

    let all_open = Arc::new(Barrier::new(streams));
    let echoes: Vec<_> = (0..streams)
        .map(|number| spawn(backend, echo(open.clone(), number, bytes, all_open.clone())))
        .collect();
    for echo in echoes {
        echo.await;
    }
    assert!(writing.try_recv().is_err(), "a stream that nobody reads took everything");

    let mut release = open().await;
    release.write_all(&command(b'R', 0)).await.expect("it takes them");
    release.close().await.expect("it can be closed");
    slow.await;
    let mut received = Vec::new();
    reluctant.read_to_end(&mut received).await.expect("all of it");
    assert!(received == pattern(0, SLOW_BYTES), "wrong bytes on the stream that was read late");
    reluctant.close().await.expect("it can be closed");
    // Its end tells that the server has seen all of it.
    release.read_to_end(&mut received).await.expect("its end");
}

/// Sends a pattern and reads it back. All streams are open before any of them sends it.
async fn echo<S: AnyStream, F: Future<Output = S>>(
    open: impl Fn() -> F,
    number: usize,
    bytes: usize,
    all_open: Arc<Barrier>,
) {
    let mut stream = open().await;
    let mut head = command(b'E', 0);
    head.push(7);
    stream.write_all(&head).await.expect("it takes them");
    stream.flush().await.expect("it takes them");
    let mut first = [0];
    stream.read_exact(&mut first).await.expect("the first byte comes back");
    all_open.wait().await;
    let sent = pattern(number, bytes);
    let (mut reader, mut writer) = smol::io::split(stream);
    let writing = async {
        writer.write_all(&sent).await.expect("it takes them");
        writer.close().await.expect("it can be closed");
    };
    let mut received = Vec::new();
    let reading = async {
        reader.read_to_end(&mut received).await.expect("all of it");
    };
    smol::future::zip(writing, reading).await;
    check(number, &received, &sent);
}

//! The crate `yamux`, on smol.

use core::net::SocketAddr;
use core::task::Poll;
use std::thread::{self, JoinHandle};

use smol::channel;
use smol::net::{TcpListener, TcpStream};
use turbopump::smol::Backend;
use yamux::{Config, Connection, Mode, Stream};

use crate::story::{Server, load};

/// Room for all streams of the story.
fn config() -> Config {
    let mut config = Config::default();
    config.set_max_connection_receive_window(None);
    config.set_max_num_streams(2_048);
    config
}

/// A server in a thread of its own; where it listens.
pub(crate) fn serve() -> (JoinHandle<()>, SocketAddr) {
    let listener = smol::block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
    let address = listener.local_addr().expect("it listens");
    let serving = thread::spawn(move || {
        smol::block_on(async {
            let (socket, _) = listener.accept().await.expect("a connection");
            let server = Server::new();
            let mut connection = Connection::new(socket, config(), Mode::Server);
            let mut next = async || {
                core::future::poll_fn(|context| connection.poll_next_inbound(context)).await
            };
            while let Some(Ok(stream)) = next().await {
                smol::spawn(server.clone().answer(stream)).detach();
            }
        });
    });
    (serving, address)
}

/// A user of the streams of a server, in a thread of its own.
pub(crate) fn start_load(at: SocketAddr, streams: usize, bytes: usize) -> JoinHandle<()> {
    thread::spawn(move || {
        smol::block_on(async {
            let socket = TcpStream::connect(at).await.expect("somebody listens");
            let connection = Connection::new(socket, config(), Mode::Client);
            let (wanted, wants) = channel::unbounded::<channel::Sender<Stream>>();
            let driving = smol::spawn(drive(connection, wants));
            let open = move || {
                let wanted = wanted.clone();
                async move {
                    let (sender, receiver) = channel::bounded(1);
                    wanted.send(sender).await.expect("the connection is open");
                    receiver.recv().await.expect("a stream")
                }
            };
            load(&Backend::new(), open, streams, bytes).await;
            driving.await;
        });
    })
}

/// Opens streams for those who want one; closes the connection when nobody can any more.
async fn drive(
    mut connection: Connection<TcpStream>,
    wants: channel::Receiver<channel::Sender<Stream>>,
) {
    let mut waiting = None;
    let mut next = Box::pin(wants.recv());
    core::future::poll_fn(|context| {
        loop {
            if waiting.is_none() {
                match next.as_mut().poll(context) {
                    Poll::Ready(Ok(sender)) => {
                        waiting = Some(sender);
                        next = Box::pin(wants.recv());
                    }
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Pending => break,
                }
            }
            match connection.poll_new_outbound(context) {
                Poll::Ready(stream) => {
                    let sender = waiting.take().expect("somebody wants it");
                    sender.try_send(stream.expect("it is open")).expect("it waits for one");
                }
                Poll::Pending => break,
            }
        }
        match connection.poll_next_inbound(context) {
            Poll::Ready(Some(inbound)) => panic!("nobody opens a stream here: {inbound:?}"),
            Poll::Ready(None) => Poll::Ready(()),
            Poll::Pending => Poll::Pending,
        }
    })
    .await;
    core::future::poll_fn(|context| connection.poll_close(context)).await.expect("it closes");
}

//! HTTP/2: a stream per request, on one connection.

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use crate::{FRAME_BYTES, IN_FLIGHT, Peer};

struct H2(SendRequest<Bytes>);

pub(crate) fn make(runtime: &Runtime) -> Box<dyn Peer> {
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            tokio::spawn(async move {
                let mut body = request.into_body();
                let mut send = respond.send_response(http::Response::new(()), false).unwrap();
                while let Some(Ok(data)) = body.data().await {
                    let _ = body.flow_control().release_capacity(data.len());
                    send.send_data(data, false).unwrap();
                }
                send.send_data(Bytes::new(), true).unwrap();
            });
        }
    });
    Box::new(H2(runtime.block_on(async {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (client, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(async move { connection.await.unwrap() });
        client
    })))
}

async fn round_trip(client: SendRequest<Bytes>, body: Bytes) -> SendRequest<Bytes> {
    let mut client = client.ready().await.unwrap();
    let request = http::Request::post("http://localhost/").body(()).unwrap();
    let (response, mut send) = client.send_request(request, false).unwrap();
    send.send_data(body, true).unwrap();
    let mut body = response.await.unwrap().into_body();
    let mut bytes = 0;
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        bytes += data.len();
        let _ = body.flow_control().release_capacity(data.len());
    }
    assert_eq!(bytes, FRAME_BYTES);
    client
}

impl Peer for H2 {
    fn run(&mut self, runtime: &Runtime, round_trips: usize) {
        runtime.block_on(async {
            let tasks = std::array::from_fn::<_, IN_FLIGHT, _>(|task| {
                let mut client = self.0.clone();
                tokio::spawn(async move {
                    for _ in 0..(round_trips + task) / IN_FLIGHT {
                        client = round_trip(client, Bytes::from_static(&[7; FRAME_BYTES])).await;
                    }
                })
            });
            for task in tasks {
                task.await.unwrap();
            }
        });
    }
}

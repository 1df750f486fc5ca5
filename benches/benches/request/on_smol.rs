//! `RequestLink` used by 64 tasks, on smol: link, tasks and server on one executor and one thread,
//! as the others have it on tokio.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::{Async, Executor};
use tokio::runtime::Runtime;
use turbopump::smol::Backend;

use crate::ours::{Link, over, round_trip};
use crate::{IN_FLIGHT, Peer};

struct Tasks {
    executor: Arc<Executor<'static>>,
    link: Link,
}

pub(crate) fn make_tasks(_: &Runtime) -> Box<dyn Peer> {
    let executor = Arc::new(Executor::new());
    let listener = Async::<TcpListener>::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address: SocketAddr = listener.get_ref().local_addr().unwrap();
    executor.spawn(serve(listener)).detach();
    let backend = Backend::on(&executor);
    let link = smol::block_on(executor.run(over(&backend, address)));
    Box::new(Tasks { executor, link })
}

impl Peer for Tasks {
    fn run(&mut self, _: &Runtime, round_trips: usize) {
        smol::block_on(self.executor.run(async {
            let tasks = std::array::from_fn::<_, IN_FLIGHT, _>(|task| {
                let link = self.link.clone();
                self.executor.spawn(async move {
                    for _ in 0..(round_trips + task) / IN_FLIGHT {
                        round_trip(&link).await;
                    }
                })
            });
            for task in tasks {
                task.await;
            }
        }));
    }
}

/// As the server on tokio: reads what is there, answers all of it with one write.
async fn serve(listener: Async<TcpListener>) {
    let (mut stream, _): (Async<TcpStream>, _) = listener.accept().await.unwrap();
    stream.get_ref().set_nodelay(true).unwrap();
    let mut buffer = vec![0; 65_536];
    while let Ok(bytes @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..bytes]).await.is_err() {
            return;
        }
    }
}

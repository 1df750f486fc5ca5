//! `RequestLink`, used by 64 tasks and by one.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;

use tokio::runtime::Runtime;
use turbopump::tokio::Backend;
use turbopump_core::frame::LengthField;
use turbopump_core::link::IdField;
use turbopump_std::backend::{self, SocketOptions};
use turbopump_std::memory::BufferPool;
use turbopump_std::net::{RequestLink, RequestLinkConfig};

use crate::{BODY_BYTES, HEAD_BYTES, IN_FLIGHT, Peer, server};

pub(crate) type Link = RequestLink<IdField>;

fn connect(runtime: &Runtime) -> Link {
    let address = server::spawn(runtime);
    let backend = Backend::on(runtime.handle().clone());
    runtime.block_on(over(&backend, address))
}

/// A link to the server at `address`, on any backend.
pub(crate) async fn over<B: backend::Backend>(backend: &B, address: SocketAddr) -> Link {
    let halves = backend.dial(address, &SocketOptions::default()).await.unwrap();
    let protocol = IdField::big_endian(LengthField::big_endian_u32(1 << 20).unwrap(), 4);
    let config = RequestLinkConfig::default();
    RequestLink::over(backend, halves, protocol, BufferPool::standard(), &config).unwrap()
}

pub(crate) async fn round_trip(link: &Link) {
    let answer = link.request(&[0; HEAD_BYTES], &[7; BODY_BYTES]).await.unwrap();
    assert_eq!(answer.last(), Some(&7));
}

/// One task per request in flight.
struct Tasks(Link);

pub(crate) fn make_tasks(runtime: &Runtime) -> Box<dyn Peer> {
    Box::new(Tasks(connect(runtime)))
}

impl Peer for Tasks {
    fn run(&mut self, runtime: &Runtime, round_trips: usize) {
        runtime.block_on(async {
            let tasks = std::array::from_fn::<_, IN_FLIGHT, _>(|task| {
                let link = self.0.clone();
                tokio::spawn(async move {
                    for _ in 0..(round_trips + task) / IN_FLIGHT {
                        round_trip(&link).await;
                    }
                })
            });
            for task in tasks {
                task.await.unwrap();
            }
        });
    }
}

/// One task that keeps all of them in flight, and looks at each whenever it is woken.
struct OneTask(Link);

pub(crate) fn make_one_task(runtime: &Runtime) -> Box<dyn Peer> {
    Box::new(OneTask(connect(runtime)))
}

impl Peer for OneTask {
    fn run(&mut self, runtime: &Runtime, round_trips: usize) {
        runtime.block_on(async {
            let mut requests: Vec<_> = (0..IN_FLIGHT)
                .map(|lane| {
                    let link = &self.0;
                    Box::pin(async move {
                        for _ in 0..(round_trips + lane) / IN_FLIGHT {
                            round_trip(link).await;
                        }
                    })
                })
                .collect();
            let all = poll_fn(|context| {
                requests.retain_mut(|request| pin!(request).poll(context).is_pending());
                if requests.is_empty() { Poll::Ready(()) } else { Poll::Pending }
            });
            all.await;
        });
    }
}

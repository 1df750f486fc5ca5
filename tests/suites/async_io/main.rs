//! The async IO manager: every task completes exactly once, whatever happens to it.
//!
//! Real time: the stories about time-outs wait up to 50 ms each.

extern crate alloc;

mod connections;
mod ended;
mod many;
mod pooled;
mod stories;

/// One test of each story per backend.
macro_rules! on_every_backend {
    ($($story:ident),* $(,)?) => {
        mod tokio_multi_thread {
            $(#[test]
            fn $story() {
                let runtime = tokio::runtime::Builder::new_multi_thread()
                    .worker_threads(2)
                    .enable_all()
                    .build()
                    .unwrap();
                let backend = turbopump::tokio::Backend::on(runtime.handle().clone());
                runtime.block_on(super::$story(backend));
            })*
        }
        mod tokio_current_thread {
            $(#[test]
            fn $story() {
                let runtime =
                    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                let backend = turbopump::tokio::Backend::on(runtime.handle().clone());
                runtime.block_on(super::$story(backend));
            })*
        }
        mod smol_global {
            $(#[test]
            fn $story() {
                smol::block_on(super::$story(turbopump::smol::Backend::new()));
            })*
        }
        mod threads {
            use turbopump_tests::threads::{Threads, block_on};

            $(#[test]
            fn $story() {
                block_on(super::$story(Threads));
            })*
        }
    };
}
pub(crate) use on_every_backend;

use turbopump_std::memory::{Chunk, Lease, default_pool};

fn room(bytes: usize) -> Lease {
    default_pool().acquire(bytes).unwrap()
}

fn chunk(bytes: &[u8]) -> Chunk {
    let mut lease = room(bytes.len());
    lease.extend_from_slice(bytes).unwrap();
    lease.freeze()
}

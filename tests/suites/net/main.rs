//! Backends and connection pools: one suite for every backend.
//!
//! Peers are threads with sockets of the standard library, so that what is tested never meets
//! itself. Tests that wait for a time-out set it to 50 ms; they are the only ones that wait.

extern crate alloc;

mod cancel;
mod crates;
mod faults;
mod names;
mod network;
mod peers;
mod pooling;
mod reuse;
mod sends;
mod transport;

use turbopump_tests::on_every_backend;

fn on_tokio(is_multi_thread: bool, test: impl AsyncFnOnce()) {
    let mut builder = match is_multi_thread {
        true => tokio::runtime::Builder::new_multi_thread(),
        false => tokio::runtime::Builder::new_current_thread(),
    };
    let runtime = builder.worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(test());
}

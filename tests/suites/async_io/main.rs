//! The async IO manager: every task completes exactly once, whatever happens to it.
//!
//! Real time: the stories about time-outs wait up to 50 ms each.

extern crate alloc;

mod connections;
mod ended;
mod many;
mod pooled;
mod stories;

use turbopump_std::memory::{Chunk, Lease, default_pool};
use turbopump_tests::on_every_backend;

fn room(bytes: usize) -> Lease {
    default_pool().acquire(bytes).unwrap()
}

fn chunk(bytes: &[u8]) -> Chunk {
    let mut lease = room(bytes.len());
    lease.extend_from_slice(bytes).unwrap();
    lease.freeze()
}

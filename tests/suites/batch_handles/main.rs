//! Batch handles, on every backend: each item is settled once, whatever happens.

extern crate alloc;

mod ledger;
mod managing;
mod many;
mod receiving;
mod sending;
mod storing;

use turbopump_tests::{on_every_backend, on_every_runtime};

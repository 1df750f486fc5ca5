//! The monitor over real sockets, on every backend. Clients are sockets of the standard library.

extern crate alloc;

mod alerts;
mod browser;
mod debug;
mod influx;
mod limits;
mod pages;
mod runtime;
mod webhook;

use turbopump_tests::on_every_backend;

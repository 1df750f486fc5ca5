//! TLS: who is trusted, who is not, and that bytes arrive as they were sent.
//!
//! The stories in `sockets` and `layers` run on every backend; those in `memory` need a transport
//! that fragments. `settings` is about files and what is shown of them.

extern crate alloc;

mod layers;
mod memory;
mod pipe;
mod settings;
mod sockets;

//! Logical streams: what the specification says, and anything that users and wires may do.

extern crate alloc;

mod protocol;
mod random;
mod world;

//! Logical streams: what the specification says, and anything that users and wires may do.

extern crate alloc;

mod ending;
mod frames;
mod limits;
mod protocol;
mod random;
mod world;

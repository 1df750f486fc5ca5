//! Logical streams: what the specification says, and anything that users and wires may do.

mod protocol;
mod random;
mod world;

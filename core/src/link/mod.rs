//! Links: what one connection does, without IO.
//!
//! A [`Machine`] is told what was read, written and what time it is, and says what to write and
//! when to call it again. It never waits and never touches a socket, so that the same machine runs
//! over a runtime's sockets, over a UART and in a simulation. Reading, writing and waiting are the
//! driver's.

mod machine;

pub use machine::{CHUNKS_MAX, Chunks, CloseReason, Machine, Received, TRANSMIT_BYTES};

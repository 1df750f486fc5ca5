//! Links: what one connection does, without IO.
//!
//! A [`Machine`] is told what was read, written and what time it is, and says what to write and
//! when to call it again. It never waits and never touches a socket, so that the same machine runs
//! over a runtime's sockets, over a UART and in a simulation. Reading, writing and waiting are the
//! driver's.
//!
//! - [`Requests`] is the machine of a connection with requests and answers, over any protocol that
//!   says by [`Correlate`] where its correlation id is.
//! - [`AdaptiveTimeout`] says how long to wait for an answer, from measured latency.

mod correlate;
mod machine;
pub mod pool;
mod requests;
mod timeout;

pub use correlate::{Correlate, FrameKind, IdField};
pub use machine::{CHUNKS_MAX, Chunks, CloseReason, Machine, Received, TRANSMIT_BYTES};
pub use requests::{
    ChunkRefused, IN_FLIGHT_MAX, NoAnswer, RequestConfig, RequestCounters, RequestPlace,
    RequestStorage, RequestStorageTooSmall, Requests, RequestsRefused, SubmitRefused, Ticket,
};
pub use timeout::{AdaptiveTimeout, InvalidRule, TimeoutRule};

//! Connections on tokio.
//!
//! [`Backend`] runs on the runtime in which it is made, whoever polls its futures afterwards: they
//! may well be awaited on another runtime.

mod backend;
mod halves;

pub use backend::{Backend, Listener};
pub use halves::{Reader, Writer};

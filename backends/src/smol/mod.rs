//! Connections on smol.
//!
//! Sockets and timers live in smol's reactor, which has a thread of its own where nobody else turns
//! it. Tasks run on smol's global executor, the one of `smol::spawn`, or on one that is given to
//! [`Backend::on`].

mod backend;
mod halves;

pub use backend::{Backend, Listener};
pub use halves::{Reader, Writer};

//! Drivers: what reads, writes and waits for the machines of [`link`](crate::link).
//!
//! The module decides when a machine is called and when bytes are moved, and knows nothing of what
//! they mean. Where the bytes go is the transport's business (`embedded-io-async`'s traits, or
//! `embedded-io`'s for [`blocking`]), where tasks run the executor's, what time it is the clock's.
//!
//! [`run_link`] drives one connection until it closes, in one task. What it shares with handles is
//! a [`Shell`]: the machine and the wakers beside it, behind a lock of the caller's choice
//! ([`Shared`]). Machines know no wakers; the driver collects those of whoever can go on while it
//! holds the lock, and wakes them after it has let go.
//!
//! Nothing here requires `Send`, so that the same code runs on one microcontroller's executor. It
//! is `Send` where its parts are.

mod alarm;
pub mod blocking;
mod io;
mod run;
mod shell;

pub use io::{LinkWrite, Plain};
pub use run::{LinkLimits, run_link};
pub use shell::{AsyncClock, Bare, Shared, Shell, WAKES_MAX, WakerSlot, Wakes};

//! The bookkeeping of a connection pool: who may dial, who gets which connection, what is closed.
//!
//! [`Bookkeeping`] knows connections by number only; sockets, wakers and timers are its caller's.
//!
//! - Nobody dials without a [`DialToken`], and a token ends in
//!   [`handle_dialed`](Bookkeeping::handle_dialed) or
//!   [`handle_dial_failed`](Bookkeeping::handle_dial_failed). So there are never more connections
//!   than places, and a failed dial loses none.
//! - Idle connections are used last in, first out, so that those too many grow old; waiters are
//!   served first in, first out, and nobody overtakes them.
//! - After a failed dial nobody dials for a while, and then only one at a time until one succeeds.
//!   Waiters fail when there is nothing left that they could wait for.

mod book;
mod list;
mod rules;
#[cfg(all(test, feature = "alloc"))]
mod tests;

pub use book::{Bookkeeping, DialToken, Held, Outcome, Place, Placed, WaitCell, Waiter};
pub use rules::{Counts, Retired, Rules, WaitRefused};

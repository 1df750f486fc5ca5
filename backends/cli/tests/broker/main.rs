//! The program's broker, from outside: killed, and under load for long.

extern crate alloc;

mod kill;
mod kit;
mod soak;

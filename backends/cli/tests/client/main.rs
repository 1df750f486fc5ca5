//! The program as a client, from outside: what it prints, and how it ends.

mod kit;
mod settings;
mod topics;

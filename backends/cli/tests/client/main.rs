//! The program as a client, from outside: what it prints, and how it ends.

mod consuming;
mod groups;
mod kit;
mod load;
mod settings;
mod topics;
mod watching;

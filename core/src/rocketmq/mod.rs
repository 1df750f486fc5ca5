//! What RocketMQ's peers say to each other: the first application of everything else in this crate.
//!
//! The module decides what bytes and texts mean to RocketMQ; whose turn it is to send them, and
//! when, is left to machines above it. Nothing outside uses it.

pub mod client;
pub mod consumer;
pub mod engine;
pub mod remoting;
pub mod wire;

//! RocketMQ's wire formats: bytes and texts, and pure functions between them.
//!
//! The module decides how messages, properties, identifiers and names are laid out. It keeps no
//! state and does no IO: what is read borrows from the caller's bytes, what is written goes into
//! the caller's memory or any [`core::fmt::Write`], such as a [`TextBuffer`](text::TextBuffer).
//!
//! - `acl` (feature `acl`): signatures of requests.
//! - [`body`]: bodies that are JSON.
//! - [`command`]: the fields of requests and responses.
//! - [`frame`] and [`header`]: what a connection carries; [`json`]: its texts.
//! - [`message`]: messages as brokers store and deliver them, and batches of producers.
//! - [`properties`]: the text of properties, and the reserved keys.
//! - [`identity`]: message ids and the hashes of tags and keys.
//! - [`names`]: topics derived from groups and namespaces.
//! - [`pop`]: receipt handles and offsets of pop consumers; [`pull`]: the flags of a pull.
//! - [`recall`]: handles that recall a delayed message.
//! - [`rebalance`]: who consumes which queue.
//! - [`trace`]: records of the trace topic.

// Lengths come from the network: every sum and every index has to say what happens out of range.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

#[cfg(feature = "acl")]
pub mod acl;
pub mod body;
pub mod command;
pub mod frame;
pub mod header;
pub mod identity;
pub mod json;
pub mod message;
pub mod names;
pub mod pop;
pub mod properties;
pub mod pull;
pub mod rebalance;
pub mod recall;
pub mod text;
pub mod trace;

//! Monitoring: all numbers of a program in one place, and whoever wants to see them.
//!
//! [`Sources`] knows who has numbers; a [`Snapshot`] holds those of one moment.

pub mod dashboard;
mod sources;

pub use sources::{Registration, Snapshot, Sources};

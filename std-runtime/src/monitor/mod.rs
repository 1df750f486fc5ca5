//! Monitoring: all numbers of a program in one place, and whoever wants to see them.
//!
//! [`Sources`] knows who has numbers; a [`Snapshot`] holds those of one moment. A [`Monitor`]
//! serves them over HTTP, to scrapers and to people, and hands them to [`Observer`]s at regular
//! intervals.

pub mod alerts;
mod client;
mod config;
pub mod dashboard;
mod debug;
mod delivery;
pub mod export;
mod http;
mod json;
// The page, the server and the loop are rooms of their own; this is what they make together.
#[allow(clippy::module_inception)]
mod monitor;
mod observer;
mod poster;
pub mod report;
mod sources;
mod system;

pub use client::InvalidUrl;
pub use config::{InvalidConfig, MonitorConfig};
pub use debug::{EVENTS_MAX, Events};
pub use http::Reply;
pub use monitor::{Monitor, MonitorError};
pub use observer::Observer;
pub use sources::{Registration, Snapshot, Sources};
pub use system::BuildInfo;

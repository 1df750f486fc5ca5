//! What all backends of Turbopump share.
//!
//! | module | holds |
//! | --- | --- |
//! | [`backend`] | what is needed of a runtime, as a trait |
//! | [`batch`] | handles that run batch functions: sender, receiver, store, manager |
//! | [`memory`] | heap-backed pools of buffers and values, with a cache per thread |
//! | [`client`] | sends messages to RocketMQ's brokers |
//! | [`net`] | connections: requests and answers, TLS (feature `tls`) |
//! | [`labeled`] | numbers per value of a label that has any number of values |
//! | [`tasks`] | how many tasks of which kind are alive |
//! | [`clock`] | the system's clocks as one [`Clock`](turbopump_core::time::Clock) |
//! | `broker` | a broker and a name server in the process (feature `broker`) |
//! | `monitor` | all numbers of a program in one place, and who sees them (feature `monitor`) |
//! | `compress` | zlib-rs behind the core's compressor traits (feature `zlib-rs`) |
//! | [`rocketmq`] | one connection to a broker; bodies compressed (features `lz4`, `zstd`) |
#![no_std]

extern crate alloc;
// Explicit, so that nobody leans on the std prelude by accident and the core's style carries over.
extern crate std;

pub mod backend;
pub mod batch;
mod bell;
#[cfg(feature = "broker")]
pub mod broker;
pub mod client;
pub mod clock;
#[cfg(feature = "zlib-rs")]
pub mod compress;
mod end;
pub mod labeled;
pub mod memory;
#[cfg(feature = "monitor")]
pub mod monitor;
pub mod net;
pub mod rocketmq;
pub mod tasks;
mod turns;
mod within;

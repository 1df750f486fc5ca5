//! Allocation-free, sans-IO building blocks for messaging: the part of Turbopump that runs on
//! anything from a microcontroller to a server.
//!
//! # Layers
//!
//! From the bottom up; each layer uses only those above it in this table. A test reads the
//! sources and holds that line.
//!
//! | module | decides | leaves to its caller |
//! | --- | --- | --- |
//! | [`time`] | what an instant is | reading a clock |
//! | [`random`] | what numbers follow from a seed | where the seed comes from |
//! | [`backing`] | whether storage is borrowed or owned | how much of it there is |
//! | [`checksum`] | how a CRC-32 is computed | what it is compared with |
//! | [`stats`] | how numbers are counted, merged and printed | who reads them |
//! | [`pool`] | who may use which piece of memory | where the memory comes from |
//! | [`batch`] | when a batch is closed, retried, given up | running the batch function |
//! | [`frame`] | where a frame ends | reading and writing bytes |
//! | [`compress`] | whether a body is worth compressing, how it is inflated | what the bytes mean |
//! | [`link`] | what one connection does | reading, writing and waiting |
//! | [`stream`] | which stream's bytes go where and when | how its users wait |
//! | [`driver`] | when a machine is called and bytes are moved | transports, tasks and clocks |
//! | [`alert`] | when a rule fires and is resolved | whom to tell |
//! | [`rocketmq`] | what RocketMQ's bytes and texts mean | who sends them, and when |
//!
//! # Rules that hold everywhere
//!
//! - Nothing here allocates, unless the additive feature `alloc` is on, and then only when owned
//!   storage is made.
//! - Nothing here reads a clock or a random source: time is an argument, randomness a seed.
//! - Every queue, table and loop has a stated bound. What is refused is given back, with an error
//!   that names the limit and the value.
//! - Machines have inputs (commands and `handle_*`) and outputs (`poll_*`, all `#[must_use]`).
//! - Unsafe code lives in [`pool`] only.
//!
//! # Features
//!
//! | feature | adds |
//! | --- | --- |
//! | `alloc` | owned storage, shared pools, the deflate compressor |
//! | `portable-atomic` | targets without compare-and-swap (thumbv6m) |
//! | `acl` | signing requests for RocketMQ's ACL: HMAC and SHA-1 |
//! | `crc32fast` | a CRC-32 with SIMD and 16 KiB of tables instead of 1 KiB |
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "alloc")]
extern crate alloc;

pub mod alert;
pub mod backing;
pub mod batch;
pub mod checksum;
pub mod compress;
pub mod driver;
pub mod frame;
pub mod link;
pub mod pool;
pub mod random;
pub mod rocketmq;
pub mod stats;
pub mod stream;
mod sync;
pub mod time;

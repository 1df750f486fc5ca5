//! What RocketMQ needs a heap for.
//!
//! The module decides how bodies are compressed and restored; everything else about RocketMQ's
//! formats is in [`turbopump_core::rocketmq`].

mod body;
#[cfg(feature = "lz4")]
mod lz4;
#[cfg(feature = "zstd")]
mod zstd;

pub use body::{BodyCodec, BodyError};

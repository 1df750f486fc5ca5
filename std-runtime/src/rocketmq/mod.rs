//! What RocketMQ needs a heap, or a connection, for.
//!
//! The module decides how bodies are compressed and restored, and how one connection is used;
//! everything else about RocketMQ's formats is in [`turbopump_core::rocketmq`].

mod body;
#[cfg(feature = "lz4")]
mod lz4;
mod remoting;
#[cfg(feature = "acl")]
mod user;
#[cfg(feature = "zstd")]
mod zstd;

pub use body::{BodyCodec, BodyError};
pub use remoting::{Answer, AskError, RemotingLink};
#[cfg(feature = "acl")]
pub use user::User;

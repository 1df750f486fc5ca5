//! Bodies that are JSON, by the names that RocketMQ's Java classes have for them.
//!
//! The module decides which members a body has and what a missing one means. What JSON looks like
//! is left to [`json`](super::json), bodies that are messages to [`message`](super::message).
//!
//! Nothing is copied: texts stay where they are, [`List`] and [`Map`] are walked when needed, and
//! to be written they are slices of the caller's. Members that nobody knows are ignored; missing
//! numbers are 0, missing booleans false, missing collections empty, as in Java, unless the type
//! has another default; a missing text is an error unless it is an `Option`.
//!
//! fastjson writes references (`{"$ref":"$.path"}`) instead of objects and maps that it has written
//! before. They are followed, at the price of a walk from the start of the body for each; only
//! [`Json`] and keys keep them as they are.
//!
//! ```
//! use turbopump_core::rocketmq::wire::body::{Body, MessageQueue, LockBatchRequestBody};
//! use turbopump_core::rocketmq::wire::json::Dialect;
//!
//! let queues = [MessageQueue { broker_name: "b".into(), queue_id: 3, topic: "T".into() }];
//! let body = LockBatchRequestBody {
//!     client_id: "c".into(),
//!     consumer_group: "g".into(),
//!     mq_set: (&queues).into(),
//!     only_this_broker: false,
//! };
//! let mut memory = [0; 256];
//! let len = body.encode(Dialect::Fastjson, &mut memory)?;
//!
//! let again = LockBatchRequestBody::decode(&memory[..len])?;
//! for queue in again.mq_set.iter() {
//!     assert_eq!(queue?, queues[0]);
//! }
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

#[macro_use]
mod macros;
mod bits;
mod broker;
mod client;
mod cluster;
mod config;
mod consumer;
mod controller;
mod list;
mod mapping;
mod registration;
mod route;
mod stats;
mod subscription;
mod value;

pub use bits::{BitsError, bits, write_bits};
pub use broker::*;
pub use client::*;
pub use cluster::*;
pub use config::*;
pub use consumer::*;
pub use controller::*;
pub use list::{List, ListIter, Map, MapIter};
pub use mapping::*;
pub use registration::{CompressedRegistration, RegistrationError, TopicLines};
pub use route::*;
pub use stats::*;
pub use subscription::{Expression, NoTags, Tags};
pub use value::{Body, FromJson, Json, MapKey, Member, Shape, ToJson};

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests;

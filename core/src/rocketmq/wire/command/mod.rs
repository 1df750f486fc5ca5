//! The fields of each command, by the names that RocketMQ's Java classes have for them.
//!
//! The module decides which fields a command has, of which type, and which of them must be there.
//! How fields are written is left to [`header`](super::header), what they mean to who uses them.
//!
//! One type per class. Fields that nobody knows are ignored; required ones that are missing are an
//! error here, although Java lets them pass and fails later. Booleans are true for `true` in any
//! case. To be written, a type is an [`ExtSource`].
//!
//! ```
//! use turbopump_core::rocketmq::wire::command::{Command, UpdateConsumerOffsetRequestHeader};
//! use turbopump_core::rocketmq::wire::header::{Header, Serialization, request_code};
//!
//! let fields = UpdateConsumerOffsetRequestHeader {
//!     consumer_group: "billing".into(),
//!     topic: "Orders".into(),
//!     queue_id: 3,
//!     commit_offset: 1_000,
//!     ..Default::default()
//! };
//! let header = Header::request(request_code::UPDATE_CONSUMER_OFFSET, 7);
//! let mut memory = [0; 256];
//! let len = header.encode(Serialization::Json, &fields, &mut memory)?;
//!
//! let (_, ext) = Header::decode(Serialization::Json, &memory[..len])?;
//! assert_eq!(UpdateConsumerOffsetRequestHeader::decode(&ext)?, fields);
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

use core::error::Error;
use core::fmt;

#[macro_use]
mod macros;
mod admin;
mod base;
mod broker;
mod client;
mod consumer;
mod namesrv;
mod offset;
mod pop;
mod producer;

pub use admin::*;
pub use base::RequestBase;
pub use broker::*;
pub use client::*;
pub use consumer::*;
pub use namesrv::*;
pub use offset::*;
pub use pop::*;
pub use producer::*;

use super::header::{ExtFields, ExtSource, HeaderError};

/// The fields of one kind of request or response.
pub trait Command<'a>: ExtSource + Sized {
    /// What Java calls the class.
    const NAME: &'static str;
    /// The names of its fields, in the order in which they are written; without those that all
    /// requests have in common.
    const FIELDS: &'static [&'static str];

    /// Picks the fields out of those of a header.
    ///
    /// # Errors
    ///
    /// [`CommandError`], naming the field.
    fn decode(ext: &ExtFields<'a>) -> Result<Self, CommandError>;
}

/// Why the fields of a header are not those of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommandError {
    /// A field that must be there is not, or is empty in a binary header.
    Missing {
        /// Its name.
        field: &'static str,
    },
    /// A field is not of its type.
    Invalid {
        /// Its name.
        field: &'static str,
        /// What is wrong with it, and where it is in the header.
        error: HeaderError,
    },
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { field } => {
                write!(f, "the field {field} is missing: refuse the command")
            }
            Self::Invalid { field, error } => write!(f, "the field {field}: {error}"),
        }
    }
}

impl Error for CommandError {}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests;

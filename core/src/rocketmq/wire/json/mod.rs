//! JSON as RocketMQ's peers speak it, read and written without allocation.
//!
//! The module decides what is accepted, what is refused and where, and how it is written so that
//! Java's fastjson and Go understand it. What keys mean is left to [`header`](super::header) and
//! [`body`](super::body).
//!
//! What is read may be more than JSON, because fastjson writes more: keys without quotes, keys
//! that are numbers or whole objects, single quotes, numbers and booleans in quotes.
//!
//! ```
//! use turbopump_core::rocketmq::wire::json::Reader;
//!
//! let mut reader = Reader::new(br#"{0: "10.0.0.1:10911", "x": [1, {}], perm: "6"}"#);
//! let mut perm = 0;
//! reader.begin_object()?;
//! while let Some(key) = reader.next_key()? {
//!     if key.is("perm") {
//!         perm = reader.i32()?;
//!     } else {
//!         reader.skip()?;
//!     }
//! }
//! reader.end()?;
//! assert_eq!(perm, 6);
//! # Ok::<(), turbopump_core::rocketmq::wire::json::JsonError>(())
//! ```

mod error;
mod reader;
mod reference;
mod scan;
mod text;
mod value;
mod writer;

pub use error::{JsonError, JsonProblem};
pub use reader::{DEPTH_MAX, Reader};
pub use text::{Chars, CopyError, Text};
pub use value::{Key, Raw, RawKind, Value};
pub use writer::{Dialect, Writer};

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests;

//! Messages as brokers store and deliver them, and batches as producers send them.
//!
//! The module decides where fields are and which lengths are legal. It copies nothing: a
//! [`Message`] borrows body, topic and properties from the bytes it was read from. Restoring a
//! compressed body is left to the caller; [`SysFlag::compression`] says how it was made.
//!
//! - [`Messages`] walks the body of a pull, pop or query response message by message.
//! - [`Message::encode`] writes one into the caller's memory.
//! - [`BatchEntry`] is a message within a batch (request 320, and inner batches), [`BatchEntries`]
//!   walks one; [`Message::inner`] splits a message that holds an inner batch.
//!
//! ```
//! use turbopump_core::rocketmq::wire::message::{Message, Messages};
//!
//! let mut body = [0; 256];
//! let first = Message { queue_offset: 7, ..Message::new("Orders", b"hello") };
//! let len = first.encode(&mut body)?;
//! let second = Message { queue_offset: 8, ..Message::new("Orders", b"world") };
//! let end = len + second.encode(&mut body[len..])?;
//!
//! let mut messages = Messages::new(&body[..end]);
//! assert_eq!(messages.next(), Some(Ok(first)));
//! assert_eq!(messages.next(), Some(Ok(second)));
//! assert_eq!(messages.next(), None);
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

use core::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

mod batch;
mod decode;
mod encode;
mod error;
mod flags;
mod input;
mod output;
#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests;

pub use batch::{BatchEntries, BatchEntry, InnerMessages};
pub use decode::Messages;
pub use error::{EncodeError, Field, MessageError, MessageProblem};
pub use flags::{Compression, SysFlag, Transaction, UnknownCompression};

use super::identity::OffsetMessageId;
use super::properties::{Properties, PropertiesError, keys};
use crate::checksum::crc32;

/// One message in the layout that brokers store and deliver.
///
/// [`Message::new`] fills in what follows from topic and body; a struct update sets the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// How the topic's length is written.
    pub version: Version,
    /// The CRC of the body as it stands here, compressed or not; see [`body_crc`].
    pub body_crc: i32,
    /// The queue that holds the message.
    pub queue_id: i32,
    /// A value of the user's.
    pub flag: i32,
    /// The position within the queue.
    pub queue_offset: i64,
    /// The position within the broker's log.
    pub physical_offset: i64,
    /// What the body is; the two bits for IPv6 follow from the hosts when it is encoded.
    pub sys_flag: SysFlag,
    /// When the producer made the message, in milliseconds of its clock.
    pub born_timestamp_ms: i64,
    /// The producer's address as the broker saw it.
    pub born_host: SocketAddr,
    /// When the broker stored it, in milliseconds of its clock.
    pub store_timestamp_ms: i64,
    /// The broker's address.
    pub store_host: SocketAddr,
    /// How often consuming it has failed.
    pub reconsume_times: i32,
    /// The physical offset of the half message that this one was committed from, else 0.
    pub prepared_transaction_offset: i64,
    /// What the producer sent.
    pub body: &'a [u8],
    /// The topic.
    pub topic: &'a str,
    /// The text of the properties; [`Message::properties`] reads it.
    pub properties: &'a [u8],
}

/// The two layouts of a stored message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Version {
    /// The length of the topic takes one byte: at most 127 bytes.
    #[default]
    V1,
    /// The length of the topic takes two bytes: at most 32767 bytes.
    V2,
}

impl Version {
    /// The layout that `topic` needs.
    #[must_use]
    pub const fn for_topic(topic: &str) -> Self {
        if topic.len() > Self::V1.topic_bytes_max() { Self::V2 } else { Self::V1 }
    }

    /// The number that says which layout follows.
    #[must_use]
    pub const fn magic(self) -> i32 {
        match self {
            Self::V1 => -626_843_481,
            Self::V2 => -626_843_477,
        }
    }

    /// The longest topic in bytes.
    #[must_use]
    pub const fn topic_bytes_max(self) -> usize {
        match self {
            Self::V1 => 127,
            Self::V2 => 32_767,
        }
    }

    const fn from_magic(magic: i32) -> Option<Self> {
        match magic {
            -626_843_481 => Some(Self::V1),
            -626_843_477 => Some(Self::V2),
            _ => None,
        }
    }
}

impl<'a> Message<'a> {
    /// A message of nobody, stored nowhere, with the version that the topic needs and the CRC of
    /// `body`.
    #[must_use]
    pub fn new(topic: &'a str, body: &'a [u8]) -> Self {
        Self {
            version: Version::for_topic(topic),
            body_crc: body_crc(body),
            queue_id: 0,
            flag: 0,
            queue_offset: 0,
            physical_offset: 0,
            sys_flag: SysFlag::default(),
            born_timestamp_ms: 0,
            born_host: NOWHERE,
            store_timestamp_ms: 0,
            store_host: NOWHERE,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body,
            topic,
            properties: b"",
        }
    }

    /// Whether the body is what the CRC was computed of. Costs a pass over the body.
    #[must_use]
    pub fn is_body_intact(&self) -> bool {
        body_crc(self.body) == self.body_crc
    }

    /// The properties.
    ///
    /// # Errors
    ///
    /// [`PropertiesError`] if their text is no UTF-8.
    pub fn properties(&self) -> Result<Properties<'a>, PropertiesError> {
        Properties::from_bytes(self.properties)
    }

    /// The id that the broker gave the message: where it is stored.
    #[must_use]
    pub const fn offset_message_id(&self) -> OffsetMessageId {
        OffsetMessageId { store_host: self.store_host, physical_offset: self.physical_offset }
    }

    /// The id that the producer gave the message. Where there is none, consumers show
    /// [`offset_message_id`](Self::offset_message_id).
    #[must_use]
    pub fn unique_key(&self) -> Option<&'a str> {
        self.properties().ok()?.get(keys::UNIQ_KEY)
    }

    /// The messages of an inner batch, or `None` if this is an ordinary message. `body` is
    /// [`Message::body`], restored if it was compressed.
    #[must_use]
    pub const fn inner(&self, body: &'a [u8]) -> Option<InnerMessages<'a>> {
        if self.sys_flag.is_inner_batch() { Some(InnerMessages::new(*self, body)) } else { None }
    }
}

/// The CRC-32 of `body` without its highest bit, as it is stored with a message.
///
/// ```
/// use turbopump_core::rocketmq::wire::message::body_crc;
///
/// assert_eq!(body_crc(b"123456789"), 1_274_296_614);
/// ```
#[must_use]
pub fn body_crc(body: &[u8]) -> i32 {
    // The mask leaves 31 bits, so that nothing is lost.
    (crc32(body) & 0x7fff_ffff) as i32
}

const NOWHERE: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));

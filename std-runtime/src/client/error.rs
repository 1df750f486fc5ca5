//! Why something was not sent, and what to do about it.

use core::fmt;
use core::time::Duration;

use alloc::boxed::Box;
use alloc::string::String;

use turbopump_core::rocketmq::client::{Busy, is_worth_a_retry};
use turbopump_core::rocketmq::wire::header::response_code;
use turbopump_core::rocketmq::wire::properties::PropertyError;

use crate::net::InvalidSettings;

/// Why a client can't begin.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// The list of name servers can't be meant.
    NameServers {
        /// The entry.
        entry: Box<str>,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The list was to be fetched by HTTP, and could not be.
    AddressServer {
        /// From where, without what may be a secret.
        url: Box<str>,
        /// Why not.
        reason: Box<str>,
    },
    /// No name server has answered.
    Unreachable {
        /// Who was asked.
        name_servers: Box<str>,
        /// Why the last of them has not answered.
        reason: Box<str>,
    },
    /// Settings that can't be meant.
    Settings(InvalidSettings),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NameServers { entry, reason } => {
                write!(f, "name server {entry:?} {reason}; write HOST:PORT;HOST:PORT")
            }
            Self::AddressServer { url, reason } => write!(
                f,
                "no list of name servers could be fetched from {url:?}: {reason}; it has to \
                 answer GET with HOST:PORT;HOST:PORT"
            ),
            Self::Unreachable { name_servers, reason } => write!(
                f,
                "no name server of {name_servers:?} answers ({reason}); is one running there? \
                 Brokers have another port, 10911 as a rule"
            ),
            Self::Settings(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ConnectError {}

/// A message that was not sent, or not as far as is known.
#[derive(Clone, Debug)]
pub struct SendError {
    pub(super) topic: Box<str>,
    pub(super) attempts: u32,
    pub(super) after: Duration,
    pub(super) kind: SendErrorKind,
    pub(super) maybe_sent: bool,
}

/// Why it was not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendErrorKind {
    /// The body is too long; nothing was sent.
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The longest that may be sent.
        bytes_max: usize,
    },
    /// The body is empty, which brokers don't take; nothing was sent.
    Empty,
    /// The topic's name can't be one; nothing was sent.
    Topic {
        /// Why.
        reason: &'static str,
    },
    /// A property can't be written; nothing was sent.
    Property(PropertyError),
    /// The properties are too long together; nothing was sent.
    Properties {
        /// Their length, with the id.
        bytes: usize,
        /// The longest that the wire format has room for.
        bytes_max: usize,
    },
    /// As much is under way as the client may have; nothing was sent.
    Full {
        /// Messages that are under way.
        messages: usize,
        /// Their bytes.
        bytes: u64,
    },
    /// The client is closed or closing; nothing was sent.
    Closed,
    /// Whatever should have sent it is gone: the client was closed before its turn came, or its
    /// runtime has ended.
    Abandoned,
    /// Nobody knows where the topic is.
    NoRoute {
        /// What was tried.
        reason: Box<str>,
    },
    /// The brokers have too much to do.
    Busy {
        /// What the last one has said.
        busy: Busy,
        /// Its remark.
        remark: String,
    },
    /// A broker has refused it.
    Refused {
        /// The code.
        code: i32,
        /// The remark.
        remark: String,
    },
    /// No broker could be reached, or none has answered.
    Unreachable {
        /// Why the last attempt failed.
        reason: Box<str>,
    },
}

impl SendError {
    /// For what is not even tried.
    pub(super) fn refused(topic: &str, kind: SendErrorKind) -> Self {
        let (attempts, after) = (0, Duration::ZERO);
        Self { topic: topic.into(), attempts, after, kind, maybe_sent: false }
    }

    /// Why.
    #[must_use]
    pub const fn kind(&self) -> &SendErrorKind {
        &self.kind
    }

    /// Attempts that were made.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Whether it makes sense to send the same message again, later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match &self.kind {
            SendErrorKind::TooLarge { .. }
            | SendErrorKind::Empty
            | SendErrorKind::Topic { .. }
            | SendErrorKind::Property(_)
            | SendErrorKind::Properties { .. }
            | SendErrorKind::Closed => false,
            SendErrorKind::Refused { code, .. } => is_worth_a_retry(*code),
            SendErrorKind::NoRoute { .. }
            | SendErrorKind::Busy { .. }
            | SendErrorKind::Full { .. }
            | SendErrorKind::Abandoned
            | SendErrorKind::Unreachable { .. } => true,
        }
    }

    /// Whether the message may have been stored all the same: sending it again may make two of it.
    #[must_use]
    pub const fn maybe_sent(&self) -> bool {
        self.maybe_sent
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic, attempts, after, kind, .. } = self;
        write!(f, "a message to {topic:?} ")?;
        match kind {
            SendErrorKind::TooLarge { bytes, bytes_max } => {
                return write!(
                    f,
                    "has {bytes} bytes, and may have {bytes_max}: split it, or raise \
                     `message_bytes_max` and the brokers' `maxMessageSize`"
                );
            }
            SendErrorKind::Empty => return f.write_str("is empty, which brokers don't take"),
            SendErrorKind::Topic { reason } => return write!(f, "can't be sent: {reason}"),
            SendErrorKind::Property(error) => return write!(f, "can't be sent: {error}"),
            SendErrorKind::Properties { bytes, bytes_max } => {
                return write!(
                    f,
                    "has properties of {bytes} bytes, and may have {bytes_max}: put long values \
                     into the body"
                );
            }
            SendErrorKind::Full { messages, bytes } => {
                return write!(
                    f,
                    "found no room: {messages} messages of {bytes} bytes are under way; send less, \
                     wait longer, or raise `in_flight_messages_max` and `in_flight_bytes_max`"
                );
            }
            SendErrorKind::Closed => return f.write_str("was not sent: the client is closed"),
            SendErrorKind::Abandoned => {
                return f.write_str(
                    "was given up: the client was closed, or its runtime has ended, before its \
                     turn came",
                );
            }
            _ => {}
        }
        write!(f, "was not sent in {attempts} attempts within {after:?}: ")?;
        match kind {
            SendErrorKind::NoRoute { reason } => {
                write!(f, "{reason}; create the topic, or allow brokers to create it")
            }
            SendErrorKind::Busy { busy, remark } => {
                write!(f, "the broker is busy, {}: {remark}; send less, or wait longer", busy.kind)
            }
            SendErrorKind::Refused { code, remark } => {
                let name = response_code::name(*code).unwrap_or("unknown");
                write!(f, "the broker refuses with {name} ({code}): {remark}")
            }
            SendErrorKind::Unreachable { reason } => write!(
                f,
                "{reason}; where brokers advertise addresses that can't be reached from here, set \
                 `address_mapper`"
            ),
            _ => Ok(()),
        }
    }
}

impl core::error::Error for SendError {}

//! What can go wrong with a send: before it is accepted, and after.

use core::fmt;

use crate::pool::AcquireRefused;
use crate::rocketmq::client::Busy;
use crate::rocketmq::wire::properties::PropertyError;

/// Why a message was not accepted. Nothing has happened then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendRefused {
    /// No topic can have that name.
    Topic {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A body without a byte, or a batch without a message.
    Empty,
    /// More than a broker, or this engine, would take.
    TooLarge {
        /// Bytes of the body, or of all entries of a batch.
        bytes: usize,
        /// As many are allowed.
        bytes_max: usize,
    },
    /// A property that can't be written.
    Property(PropertyError),
    /// The properties together are longer than the wire format has room for.
    Properties {
        /// How long they are.
        bytes: usize,
        /// As long as they may be.
        bytes_max: usize,
    },
    /// There is no memory for it now.
    NoBuffer(AcquireRefused),
    /// As many messages are under way as there are places: take events, then try again.
    Full {
        /// As many.
        max: usize,
    },
    /// As many topics have messages under way as there are places.
    TooManyTopics {
        /// As many.
        max: usize,
    },
    /// The engine shuts down.
    ShuttingDown,
}

impl fmt::Display for SendRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic { reason } => write!(f, "a topic can't be named like that: {reason}"),
            Self::Empty => f.write_str("there is nothing to send; give it a body"),
            Self::TooLarge { bytes, bytes_max } => {
                write!(
                    f,
                    "{bytes} bytes, of which at most {bytes_max} are taken; send less at once"
                )
            }
            Self::Property(error) => write!(f, "a property can't be sent: {error}"),
            Self::Properties { bytes, bytes_max } => {
                write!(f, "properties of {bytes} bytes, of which at most {bytes_max} can be sent")
            }
            Self::NoBuffer(refused) => write!(f, "no memory for the message: {refused}"),
            Self::Full { max } => {
                write!(f, "{max} messages are under way; take their events, then try again")
            }
            Self::TooManyTopics { max } => {
                write!(f, "messages of {max} topics are under way; give it room for more topics")
            }
            Self::ShuttingDown => f.write_str("the engine shuts down"),
        }
    }
}

impl core::error::Error for SendRefused {}

/// What became of a message that was accepted and not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SendError {
    /// Why the last attempt failed.
    pub kind: SendErrorKind,
    /// How often it was tried.
    pub attempts: u32,
    /// Whether a broker may have it all the same: a consumer may see it, and sending it again may
    /// double it.
    pub maybe_sent: bool,
}

/// Why an attempt to send failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendErrorKind {
    /// No name server has answered in time.
    NoNameServer,
    /// The name servers know no such topic, and no broker that would make it.
    NoRoute,
    /// The route has more queues or brokers than there is room for.
    RouteTooLarge,
    /// No connection to the broker could be made or got free in time.
    NoLink,
    /// The broker has not answered, or what it has said can't be read.
    NoAnswer,
    /// The broker has too much to do.
    Busy(Busy),
    /// The broker does not take it.
    Refused {
        /// Its answer's code.
        code: i32,
    },
    /// There was no memory for the request in time.
    NoBuffer,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, attempts, maybe_sent } = self;
        write!(f, "not sent, after {attempts} attempts: {kind}")?;
        f.write_str(if *maybe_sent { "; a broker may have it all the same" } else { "" })
    }
}

impl core::error::Error for SendError {}

impl fmt::Display for SendErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNameServer => f.write_str("no name server answers; is their list right?"),
            Self::NoRoute => f.write_str("the name servers know no such topic; create it first"),
            Self::RouteTooLarge => {
                f.write_str("the topic has more queues or brokers than there are places for")
            }
            Self::NoLink => f.write_str("there is no connection to its broker"),
            Self::NoAnswer => f.write_str("its broker has not answered"),
            Self::Busy(busy) => write!(f, "its broker is busy: {}", busy.kind),
            Self::Refused { code } => write!(f, "its broker refuses it with code {code}"),
            Self::NoBuffer => f.write_str("no memory was left for the request"),
        }
    }
}

/// Why there is no engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EngineRefused {
    /// Something in the list of name servers is none that an engine can use.
    NameServers {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A part of the storage has no place at all, or more than can be counted.
    Storage {
        /// Which part.
        part: &'static str,
        /// How many places it has.
        len: usize,
        /// As many as it needs.
        min: usize,
    },
}

impl fmt::Display for EngineRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NameServers { reason } => write!(f, "the list of name servers {reason}"),
            Self::Storage { part, len, min } => {
                write!(f, "storage for {len} {part}; give it {min} to 65535")
            }
        }
    }
}

impl core::error::Error for EngineRefused {}

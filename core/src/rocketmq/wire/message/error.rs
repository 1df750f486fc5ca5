//! What can be wrong with a message that is read or written.

use core::error::Error;
use core::fmt;

use super::UnknownCompression;

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MessageError {
    /// Where the offending field starts, in bytes from the start of what is walked.
    pub position: usize,
    /// Which field it is.
    pub field: Field,
    /// What is wrong with it.
    pub problem: MessageProblem,
}

/// What is wrong with a field of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MessageProblem {
    /// The bytes end before the field does.
    Truncated {
        /// The length of the field as far as it is known.
        needed_bytes: usize,
        /// What is left.
        left_bytes: usize,
    },
    /// The number belongs to no layout of a message.
    Magic {
        /// What was found.
        found: i32,
    },
    /// A length is below zero.
    Negative {
        /// The length.
        value: i32,
    },
    /// A port is none.
    Port {
        /// What was found.
        found: i32,
    },
    /// The text is no UTF-8.
    NotUtf8,
    /// The body was compressed in a way that nobody has defined.
    Compression(UnknownCompression),
}

/// A field of a message or of an entry in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Field {
    /// Everything of fixed length.
    Head,
    /// The number of the layout.
    Magic,
    /// The system flag.
    SysFlag,
    /// The producer's address.
    BornHost,
    /// The broker's address.
    StoreHost,
    /// The body, its length included.
    Body,
    /// The topic, its length included.
    Topic,
    /// The properties, their length included.
    Properties,
}

impl Field {
    const fn name(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Magic => "magic number",
            Self::SysFlag => "system flag",
            Self::BornHost => "born host",
            Self::StoreHost => "store host",
            Self::Body => "body",
            Self::Topic => "topic",
            Self::Properties => "properties",
        }
    }
}

impl MessageError {
    /// The same error `bytes` further on.
    #[must_use]
    pub(super) const fn shifted_by(mut self, bytes: usize) -> Self {
        self.position = self.position.saturating_add(bytes);
        self
    }
}

impl fmt::Display for MessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { position, field, problem } = self;
        write!(f, "bad {} of a message at byte {position}: ", field.name())?;
        match problem {
            MessageProblem::Truncated { needed_bytes, left_bytes } => {
                write!(f, "{needed_bytes} bytes are needed, {left_bytes} are left")?;
            }
            MessageProblem::Magic { found } => write!(f, "{found:#010x} is no known layout")?,
            MessageProblem::Negative { value } => write!(f, "its length is {value}")?,
            MessageProblem::Port { found } => write!(f, "{found} is no port")?,
            MessageProblem::NotUtf8 => f.write_str("it is no UTF-8")?,
            MessageProblem::Compression(unknown) => write!(f, "{unknown}")?,
        }
        f.write_str("; what follows can't be read, ask the sender's operator")
    }
}

impl Error for MessageError {}

/// Why a message can't be written. Nothing was written then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// The memory is too short.
    NoRoom {
        /// What the message takes.
        needed_bytes: usize,
        /// What there is.
        room_bytes: usize,
    },
    /// A field is longer than its length can say.
    TooLong {
        /// Which field.
        field: Field,
        /// Its length in bytes.
        len_bytes: usize,
        /// The most that is possible.
        len_bytes_max: usize,
    },
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRoom { needed_bytes, room_bytes } => write!(
                f,
                "the message takes {needed_bytes} bytes, there is room for {room_bytes}: \
                 give it as much as its encoded length says"
            ),
            Self::TooLong { field, len_bytes, len_bytes_max } => write!(
                f,
                "the {} has {len_bytes} bytes, {len_bytes_max} are possible: make it shorter",
                field.name()
            ),
        }
    }
}

impl Error for EncodeError {}

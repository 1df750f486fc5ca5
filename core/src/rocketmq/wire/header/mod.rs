//! Headers of commands: who asks for what, with which fields, in both serializations.
//!
//! The module decides how a header is read and written. What the fields of a command are called
//! and what they mean is left to [`command`](super::command), the frame around it to
//! [`frame`](super::frame).
//!
//! Both serializations may be used on one connection, each frame says which it is, and a peer may
//! answer in the other one. [`Serialization::Json`] carries everything; `Rocketmq`, the binary
//! one, is smaller and faster, but has 16 bits for the code (so no pop commands), and an empty text
//! arrives as if it was not there.

mod binary;
mod codes;
mod error;
mod fields;
mod json;
mod language;
mod output;

pub use codes::{request_code, response_code};
pub use error::{EncodeError, HeaderError, HeaderProblem};
pub use fields::{Absent, ExtField, ExtFields, ExtFieldsIter, ExtSource, FieldVisitor};
pub use language::Language;

pub(super) use fields::{Expect, Walk};
pub(super) use output::Output;

use super::json::Text;

/// How a header is written; the byte in front of its length says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Serialization {
    /// JSON, the default of Java and Go.
    #[default]
    Json = 0,
    /// The binary layout.
    Rocketmq = 1,
}

impl Serialization {
    /// What the byte stands for, if anything.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Json),
            1 => Some(Self::Rocketmq),
            _ => None,
        }
    }

    /// Its byte.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }
}

/// The bit of [`Header::flag`] that makes a response of it.
pub const FLAG_RESPONSE: i32 = 1;
/// The bit of [`Header::flag`] that says that no answer is wanted. Go's client never sets it.
pub const FLAG_ONEWAY: i32 = 2;
/// The version of release 5.3.3, whose behaviour is implemented here.
pub const VERSION: i32 = version(5, 3, 3);

/// What the header of release `major.minor.patch` has as [`Header::version`], from 4.0.0 on.
///
/// ```
/// use turbopump_core::rocketmq::wire::header::{VERSION, version};
///
/// assert_eq!(version(4, 9, 4), 401);
/// assert_eq!(version(5, 3, 3), VERSION);
/// ```
#[must_use]
pub const fn version(major: u8, minor: u8, patch: u8) -> i32 {
    let major = (major as i32).saturating_sub(4).saturating_mul(200);
    let minor = (minor as i32).saturating_mul(20);
    major.saturating_add(minor).saturating_add((patch as i32).saturating_mul(2)).saturating_add(213)
}

/// What all headers have, apart from the fields of their command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// What is asked for, or how it went; see [`request_code`] and [`response_code`].
    pub code: i32,
    /// What the peer is written in; `None` where it names something that nobody knows.
    pub language: Option<Language>,
    /// The peer's release, see [`version`]. 0 where it says nothing.
    pub version: i32,
    /// The number by which an answer finds its request. 0 where there is none in the header.
    pub opaque: i32,
    /// [`FLAG_RESPONSE`], [`FLAG_ONEWAY`].
    pub flag: i32,
    /// In responses: what went wrong, or a status.
    pub remark: Option<Text<'a>>,
}

impl<'a> Header<'a> {
    /// A request, from us.
    #[must_use]
    pub const fn request(code: i32, opaque: i32) -> Self {
        let language = Some(Language::Rust);
        Self { code, language, version: VERSION, opaque, flag: 0, remark: None }
    }

    /// The response to a request with that number, from us.
    #[must_use]
    pub const fn response(code: i32, opaque: i32, remark: Option<Text<'a>>) -> Self {
        Self { flag: FLAG_RESPONSE, remark, ..Self::request(code, opaque) }
    }

    /// Whether it answers a request. To be asked first: brokers' own requests may have the number
    /// of a request of ours.
    #[must_use]
    pub const fn is_response(&self) -> bool {
        self.flag & FLAG_RESPONSE != 0
    }

    /// Whether no answer is wanted.
    #[must_use]
    pub const fn is_oneway(&self) -> bool {
        self.flag & FLAG_ONEWAY != 0
    }

    /// Reads the bytes of a header; its fields are checked for their form and stay where they are.
    ///
    /// # Errors
    ///
    /// [`HeaderError`], with a position from the start of `bytes`.
    #[inline]
    pub fn decode(
        serialization: Serialization,
        bytes: &'a [u8],
    ) -> Result<(Self, ExtFields<'a>), HeaderError> {
        match serialization {
            Serialization::Json => json::decode(bytes),
            Serialization::Rocketmq => binary::decode(bytes),
        }
    }

    /// Writes the header with its fields to the start of `memory` and returns its length. `ext` is
    /// a typed header, a slice of names and values, [`ExtFields`] that were read, a pair of those,
    /// or [`Absent`].
    ///
    /// # Errors
    ///
    /// [`EncodeError`]: no room, or a value that the serialization can't carry.
    ///
    /// ```
    /// use turbopump_core::rocketmq::wire::header::{Absent, Header, Serialization, request_code};
    ///
    /// let header = Header::request(request_code::HEART_BEAT, 7);
    /// let mut memory = [0; 128];
    /// let len = header.encode(Serialization::Rocketmq, &Absent, &mut memory)?;
    /// let (again, fields) = Header::decode(Serialization::Rocketmq, &memory[..len])?;
    /// assert_eq!((again, fields.is_empty()), (header, true));
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    pub fn encode(
        &self,
        serialization: Serialization,
        ext: &(impl ExtSource + ?Sized),
        memory: &mut [u8],
    ) -> Result<usize, EncodeError> {
        let mut output = Output::new(memory);
        self.encode_to(serialization, ext, &mut output)?;
        output.finish()
    }

    pub(super) fn encode_to(
        &self,
        serialization: Serialization,
        ext: &(impl ExtSource + ?Sized),
        output: &mut Output<'_>,
    ) -> Result<(), EncodeError> {
        match serialization {
            Serialization::Json => json::encode(self, ext, output),
            Serialization::Rocketmq => binary::encode(self, ext, output),
        }
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests;

//! What can be wrong with JSON.

use core::error::Error;
use core::fmt;

/// Why a text was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JsonError {
    /// Where it is wrong, in bytes from the start of the text.
    pub position: usize,
    /// What is wrong there.
    pub problem: JsonProblem,
}

/// What is wrong with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JsonProblem {
    /// The text ends within a value.
    Truncated,
    /// Something else stands there.
    Unexpected {
        /// What was looked for.
        expected: &'static str,
        /// The byte that was found.
        found: u8,
    },
    /// More objects and arrays in each other than [`DEPTH_MAX`](super::DEPTH_MAX).
    TooDeep {
        /// The limit.
        depth_max: u8,
    },
    /// A backslash is followed by what is no escape.
    Escape,
    /// What stands without quotes is neither a number nor `true`, `false` or `null`.
    Literal,
    /// A value is of another type or out of range.
    Value {
        /// What it should be.
        expected: &'static str,
    },
    /// A text is no UTF-8.
    NotUtf8,
    /// Something follows what should be the whole text.
    Trailing,
    /// An object has no such member, or `null` instead.
    Missing {
        /// The name of the member.
        field: &'static str,
    },
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JSON at byte {}: {}", self.position, self.problem)
    }
}

impl fmt::Display for JsonProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Truncated => f.write_str("the text ends within a value, get all of it"),
            Self::Unexpected { expected, found } => {
                write!(f, "{expected} expected, found {:?}", char::from(found))
            }
            Self::TooDeep { depth_max } => {
                write!(f, "more than {depth_max} objects and arrays in each other: refuse it")
            }
            Self::Escape => f.write_str("a backslash that starts no escape"),
            Self::Literal => f.write_str("neither a number nor true, false or null"),
            Self::Value { expected } => write!(f, "the value should be {expected}"),
            Self::NotUtf8 => f.write_str("a text that is no UTF-8"),
            Self::Trailing => f.write_str("something follows the end of the text"),
            Self::Missing { field } => write!(f, "the object has no member {field}"),
        }
    }
}

impl Error for JsonError {}

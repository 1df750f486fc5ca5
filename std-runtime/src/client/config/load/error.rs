//! Why settings were refused, and where they are.

use core::fmt;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

/// Why settings were refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    pub(super) place: String,
    pub(super) kind: ConfigErrorKind,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigErrorKind {
    /// The file can't be read.
    Unreadable {
        /// Why.
        reason: Box<str>,
    },
    /// The file is not TOML.
    Syntax {
        /// Why.
        reason: Box<str>,
    },
    /// Nobody knows such a key, table or variable.
    UnknownKey {
        /// The key.
        key: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// A value that can't be meant.
    Value {
        /// The key, or the variable.
        key: String,
        /// The value; secrets are left out.
        value: String,
        /// What is allowed.
        allowed: String,
    },
    /// Settings that don't go together.
    Contradiction {
        /// Which, and what to do.
        reason: &'static str,
    },
}

impl ConfigError {
    /// The file with the line, or the environment.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// What is wrong.
    #[must_use]
    pub const fn kind(&self) -> &ConfigErrorKind {
        &self.kind
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        match &self.kind {
            ConfigErrorKind::Unreadable { reason } => write!(f, "can't be read: {reason}"),
            ConfigErrorKind::Syntax { reason } => write!(f, "is not TOML: {reason}"),
            ConfigErrorKind::UnknownKey { key, known } => {
                write!(f, "{key} is not known; there is {}", known.join(", "))
            }
            ConfigErrorKind::Value { key, value, allowed } => {
                write!(f, "{key} is {value}; {allowed}")
            }
            ConfigErrorKind::Contradiction { reason } => f.write_str(reason),
        }
    }
}

impl core::error::Error for ConfigError {}

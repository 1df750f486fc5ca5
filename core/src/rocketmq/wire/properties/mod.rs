//! The text that holds a message's properties, and the keys that mean something to brokers.
//!
//! The module decides where a name ends and which items count; what a user's property means is
//! left to the user. An item is a name, byte 1, a value, byte 2. Nothing is escaped, so that
//! neither name nor value can hold those bytes, and empty values get lost in the Java client.
//!
//! ```
//! use turbopump_core::rocketmq::wire::properties::{Properties, keys, write_property};
//! use turbopump_core::rocketmq::wire::text::TextBuffer;
//!
//! let mut memory = [0; 64];
//! let mut text = TextBuffer::new(&mut memory);
//! write_property(&mut text, keys::TAGS, "red")?;
//! write_property(&mut text, keys::KEYS, "order-1 order-2")?;
//!
//! let properties = Properties::from_bytes(text.as_bytes())?;
//! assert_eq!(properties.tags(), Some("red"));
//! assert!(properties.index_keys().eq(["order-1", "order-2"]));
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

use core::error::Error;
use core::fmt;
use core::iter::FusedIterator;

mod crc;
mod delay;
pub mod keys;
#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests;

pub use crc::{CRC_PROPERTY_BYTES, crc_of_property, crc_property};
pub use delay::{Delay, delay_level_ms};

/// Ends a name.
pub const NAME_END: char = '\u{1}';

/// Ends a value.
pub const VALUE_END: char = '\u{2}';

/// The most that a message's properties can have, in bytes.
pub const PROPERTIES_BYTES_MAX: usize = 32_767;

/// The properties of a message, read as the Java client reads them: items without a name or
/// without a value don't count, the first separator ends the name, and of several items with the
/// same name the last one is valid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Properties<'a> {
    text: &'a str,
}

impl<'a> Properties<'a> {
    /// The properties in `text`.
    #[must_use]
    pub const fn new(text: &'a str) -> Self {
        Self { text }
    }

    /// The properties in `bytes`.
    ///
    /// # Errors
    ///
    /// [`PropertiesError`] if they are no UTF-8.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self, PropertiesError> {
        match core::str::from_utf8(bytes) {
            Ok(text) => Ok(Self { text }),
            Err(error) => Err(PropertiesError { position: error.valid_up_to() }),
        }
    }

    /// The text itself.
    #[must_use]
    pub const fn as_str(&self) -> &'a str {
        self.text
    }

    /// All items that count, in the order of the text, with names that come again.
    #[must_use]
    pub const fn iter(&self) -> Items<'a> {
        Items { rest: self.text }
    }

    /// The value of the last item with that name. Costs a pass over the text.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.iter().filter(|(found, _)| *found == name).last().map(|(_, value)| value)
    }

    /// The tag.
    #[must_use]
    pub fn tags(&self) -> Option<&'a str> {
        self.get(keys::TAGS)
    }

    /// The keys by which the message can be found.
    pub fn index_keys(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let joined = self.get(keys::KEYS).unwrap_or_default();
        joined.split(keys::KEY_SEPARATOR).filter(|key| !key.is_empty())
    }

    /// The id that the producer gave the message.
    #[must_use]
    pub fn unique_key(&self) -> Option<&'a str> {
        self.get(keys::UNIQ_KEY)
    }

    /// Whether the sender waits until the message is safe; it does unless it says otherwise.
    #[must_use]
    pub fn waits_until_stored(&self) -> bool {
        self.get(keys::WAIT).is_none_or(|value| value.eq_ignore_ascii_case("true"))
    }

    /// Whether this is a half message.
    #[must_use]
    pub fn is_half_message(&self) -> bool {
        self.get(keys::TRAN_MSG).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// When the message is to be delivered, `None` for at once.
    ///
    /// # Errors
    ///
    /// [`NotANumber`] if what says so is no number.
    pub fn delay(&self) -> Result<Option<Delay>, NotANumber> {
        delay::of(self)
    }

    /// The number that a property holds.
    ///
    /// # Errors
    ///
    /// [`NotANumber`] for anything else.
    pub fn number(&self, name: &'static str) -> Result<Option<i64>, NotANumber> {
        match self.get(name).map(str::parse) {
            None => Ok(None),
            Some(Ok(number)) => Ok(Some(number)),
            Some(Err(_)) => Err(NotANumber { name }),
        }
    }
}

impl<'a> IntoIterator for Properties<'a> {
    type Item = (&'a str, &'a str);
    type IntoIter = Items<'a>;

    fn into_iter(self) -> Items<'a> {
        self.iter()
    }
}

/// The items of properties, each a name and a value.
#[derive(Clone, Debug)]
pub struct Items<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Items<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let (item, rest) = self.rest.split_once(VALUE_END).unwrap_or((self.rest, ""));
            self.rest = rest;
            match item.split_once(NAME_END) {
                Some((name, value)) if !name.is_empty() && !value.is_empty() => {
                    return Some((name, value));
                }
                _ => {}
            }
        }
        None
    }
}

impl FusedIterator for Items<'_> {}

/// Appends a property to `text`.
///
/// # Errors
///
/// [`PropertyError`] for a name or a value that would be read differently or not at all, and if
/// `text` has no room; a part of the property may have been written then.
pub fn write_property(
    text: &mut (impl fmt::Write + ?Sized),
    name: &str,
    value: &str,
) -> Result<(), PropertyError> {
    check(name, Part::Name)?;
    check(value, Part::Value)?;
    let mut write = || {
        text.write_str(name)?;
        text.write_char(NAME_END)?;
        text.write_str(value)?;
        text.write_char(VALUE_END)
    };
    write().map_err(|fmt::Error| PropertyError::NoRoom)
}

fn check(text: &str, part: Part) -> Result<(), PropertyError> {
    if text.is_empty() {
        return Err(PropertyError::Empty { part });
    }
    // Both are single bytes, which are part of no other character.
    let is_separator = |byte| byte == NAME_END as u8 || byte == VALUE_END as u8;
    match text.bytes().position(is_separator) {
        Some(position) => Err(PropertyError::Separator { part, position }),
        None => Ok(()),
    }
}

/// Properties are no UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PropertiesError {
    /// The first byte that is none, from the start of the properties.
    pub position: usize,
}

impl fmt::Display for PropertiesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { position } = self;
        write!(f, "properties are no UTF-8 at byte {position}: ask the sender's operator")
    }
}

impl Error for PropertiesError {}

/// A property that should be a number is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotANumber {
    /// Its name.
    pub name: &'static str,
}

impl fmt::Display for NotANumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "property {} is no whole number: have the sender correct it", self.name)
    }
}

impl Error for NotANumber {}

/// Why a property can't be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PropertyError {
    /// Readers would not see it.
    Empty {
        /// What is empty.
        part: Part,
    },
    /// Readers would end it too early.
    Separator {
        /// What holds the separator.
        part: Part,
        /// Where, in bytes.
        position: usize,
    },
    /// The text is full.
    NoRoom,
}

/// A part of a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Part {
    /// Its name.
    Name,
    /// Its value.
    Value,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "name",
            Self::Value => "value",
        })
    }
}

impl fmt::Display for PropertyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty { part } => {
                write!(f, "the {part} of a property is empty: leave the property out")
            }
            Self::Separator { part, position } => write!(
                f,
                "the {part} of a property holds a separator (byte 1 or 2) at byte {position}: \
                 encode it, for instance as Base64"
            ),
            Self::NoRoom => f.write_str("no room for a property: give the text more memory"),
        }
    }
}

impl Error for PropertyError {}

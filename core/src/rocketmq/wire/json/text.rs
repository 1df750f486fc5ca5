//! Strings that stay where they are, with their escapes.

use core::char::{REPLACEMENT_CHARACTER, decode_utf16};
use core::error::Error;
use core::fmt;

/// A string, borrowed from the text it stands in, or from the caller where it is to be written.
///
/// Escapes are undone while it is read: [`as_str`](Self::as_str) is for the usual case that there
/// are none, [`chars`](Self::chars), comparison, [`Display`](fmt::Display) and
/// [`copy_to`](Self::copy_to) are for any. Half a surrogate pair reads as U+FFFD.
///
/// ```
/// use turbopump_core::rocketmq::wire::json::{Reader, Text};
///
/// let text = Reader::new(br#""TAGS\u0001red\u0002""#).text()?;
/// assert_eq!(text.as_str(), None);
/// assert_eq!(text, "TAGS\x01red\x02");
/// let mut memory = [0; 32];
/// assert_eq!(text.copy_to(&mut memory)?, "TAGS\x01red\x02");
/// assert_eq!(Text::from("plain").as_str(), Some("plain"));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Copy, Default)]
pub struct Text<'a> {
    raw: &'a str,
    escaped: bool,
}

impl<'a> Text<'a> {
    /// A text between quotes, whose escapes are known to be valid.
    pub(super) const fn new(raw: &'a str, escaped: bool) -> Self {
        Self { raw, escaped }
    }

    /// A text as it is, in a `const`, too.
    #[must_use]
    pub const fn plain(text: &'a str) -> Self {
        Self { raw: text, escaped: false }
    }

    /// The text, if it has no escapes.
    #[inline]
    #[must_use]
    pub const fn as_str(&self) -> Option<&'a str> {
        if self.escaped { None } else { Some(self.raw) }
    }

    /// Whether there is nothing in it.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// An upper bound of its length in bytes: escapes are longer than what they stand for.
    #[inline]
    #[must_use]
    pub const fn len_max(&self) -> usize {
        self.raw.len()
    }

    /// Its characters, escapes undone.
    #[must_use]
    pub fn chars(&self) -> Chars<'a> {
        Chars { rest: self.raw, escaped: self.escaped }
    }

    /// What stands between `separator`, which nobody escapes.
    pub(in crate::rocketmq::wire) fn split(self, separator: char) -> impl Iterator<Item = Self> {
        let parts = self.raw.split(separator);
        parts.map(move |raw| Self { raw, escaped: self.escaped && raw.contains('\\') })
    }

    /// Copies it to the start of `memory`, escapes undone.
    ///
    /// # Errors
    ///
    /// [`CopyError`] where it has no room; [`len_max`](Self::len_max) bytes are always enough.
    pub fn copy_to<'m>(&self, memory: &'m mut [u8]) -> Result<&'m str, CopyError> {
        let room_bytes = memory.len();
        let mut len = 0_usize;
        if let Some(text) = self.as_str() {
            let room = memory.get_mut(..text.len()).ok_or(CopyError { room_bytes })?;
            room.copy_from_slice(text.as_bytes());
            len = text.len();
        } else {
            for character in self.chars() {
                let room = memory.get_mut(len..).unwrap_or_default();
                if room.len() < character.len_utf8() {
                    return Err(CopyError { room_bytes });
                }
                len = len.saturating_add(character.encode_utf8(room).len());
            }
        }
        Ok(core::str::from_utf8(memory.get(..len).unwrap_or_default()).unwrap_or_default())
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self::plain(text)
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self.as_str(), other.as_str()) {
            (Some(text), Some(other)) => text == other,
            _ => self.chars().eq(other.chars()),
        }
    }
}

impl Eq for Text<'_> {}

impl PartialEq<str> for Text<'_> {
    fn eq(&self, other: &str) -> bool {
        *self == Text::plain(other)
    }
}

impl PartialEq<&str> for Text<'_> {
    fn eq(&self, other: &&str) -> bool {
        *self == Text::plain(other)
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_str() {
            Some(text) => f.write_str(text),
            None => self.chars().try_for_each(|character| fmt::Write::write_char(f, character)),
        }
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"")?;
        for character in self.chars().flat_map(char::escape_debug) {
            fmt::Write::write_char(f, character)?;
        }
        write!(f, "\"")
    }
}

/// The characters of a [`Text`].
#[derive(Clone, Debug)]
pub struct Chars<'a> {
    rest: &'a str,
    escaped: bool,
}

impl Iterator for Chars<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let first = chars.next()?;
        self.rest = chars.as_str();
        if first != '\\' || !self.escaped {
            return Some(first);
        }
        let escape = chars.next()?;
        self.rest = chars.as_str();
        Some(match escape {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            'u' => self.unicode(),
            other => other,
        })
    }
}

impl Chars<'_> {
    fn unicode(&mut self) -> char {
        let Some(unit) = self.unit() else {
            return REPLACEMENT_CHARACTER;
        };
        let mut ahead = Self { rest: self.rest, escaped: true };
        let low = if (0xd800..0xdc00).contains(&unit) { ahead.escaped_unit() } else { None };
        if let Some(low) = low
            && let Some(Ok(character)) = decode_utf16([unit, low]).next()
        {
            self.rest = ahead.rest;
            return character;
        }
        char::from_u32(u32::from(unit)).unwrap_or(REPLACEMENT_CHARACTER)
    }

    fn escaped_unit(&mut self) -> Option<u16> {
        self.rest = self.rest.strip_prefix("\\u")?;
        self.unit()
    }

    fn unit(&mut self) -> Option<u16> {
        let (digits, rest) = self.rest.split_at_checked(4)?;
        self.rest = rest;
        u16::from_str_radix(digits, 16).ok()
    }
}

/// There is no room for a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CopyError {
    /// The room in bytes.
    pub room_bytes: usize,
}

impl fmt::Display for CopyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a text does not fit into {} bytes: give as many as len_max()", self.room_bytes)
    }
}

impl Error for CopyError {}

//! The pull reader.

use super::reference::{REFERENCE, follow};
use super::scan::{find_quote_or_backslash, plain_members_end, plain_text_end};
use super::{JsonError, JsonProblem, Key, Raw, RawKind, Text, Value};

/// How many objects and arrays may stand in each other, keys that are objects included.
pub const DEPTH_MAX: u8 = 32;

/// Reads a text from its start, value by value.
///
/// Call [`begin_object`](Self::begin_object), then [`next_key`](Self::next_key) until there is
/// none, with exactly one value read or skipped after each key; the same with
/// [`begin_array`](Self::begin_array) and [`next_item`](Self::next_item). After an error the
/// reader is of no use. Nothing is looked at twice and nothing allocated; values that are skipped
/// are checked for their form, not for UTF-8.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    /// The whole text, for references; empty where it is not known.
    root: &'a [u8],
    at: usize,
    /// Where `bytes` starts in the whole text.
    base: usize,
    depth: u8,
    /// Whether the next key or item is the first, so that no comma is in front of it.
    fresh: bool,
}

impl<'a> Reader<'a> {
    /// At the start of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self::within(bytes, 0).with_root(bytes)
    }

    /// At the start of `bytes`, which are `base` bytes behind the start of the whole text.
    #[must_use]
    pub const fn within(bytes: &'a [u8], base: usize) -> Self {
        Self { bytes, root: &[], at: 0, base, depth: 0, fresh: false }
    }

    pub(super) const fn with_root(mut self, root: &'a [u8]) -> Self {
        self.root = root;
        self
    }

    /// Where it is, in bytes from the start of the whole text.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.base.saturating_add(self.at)
    }

    /// Enters an object.
    ///
    /// # Errors
    ///
    /// [`JsonError`] if there is none, or at more than [`DEPTH_MAX`].
    #[inline]
    pub fn begin_object(&mut self) -> Result<(), JsonError> {
        self.begin(b'{', "an object")
    }

    /// Enters an array.
    ///
    /// # Errors
    ///
    /// As [`begin_object`](Self::begin_object).
    #[inline]
    pub fn begin_array(&mut self) -> Result<(), JsonError> {
        self.begin(b'[', "an array")
    }

    /// The next key of an object, `None` at its end.
    ///
    /// # Errors
    ///
    /// [`JsonError`] for anything but a key and a colon.
    #[inline]
    pub fn next_key(&mut self) -> Result<Option<Key<'a>>, JsonError> {
        if self.is_at_end(b'}')? {
            return Ok(None);
        }
        let raw = match self.peek()? {
            quote @ (b'"' | b'\'') => self.string(quote)?,
            b'{' | b'[' => self.nested()?,
            _ => self.literal()?,
        };
        self.expect(b':', "a colon")?;
        Ok(Some(Key { raw }))
    }

    /// Whether an array has a further item, which is to be read then.
    ///
    /// # Errors
    ///
    /// [`JsonError`] where neither a comma nor the end of the array is.
    #[inline]
    pub fn next_item(&mut self) -> Result<bool, JsonError> {
        Ok(!self.is_at_end(b']')?)
    }

    /// Passes over `null` if it is what comes next.
    ///
    /// # Errors
    ///
    /// [`JsonError`] at the end of the text.
    #[inline]
    pub fn null(&mut self) -> Result<bool, JsonError> {
        let is_null = self.peek()? == b'n' && self.rest().starts_with(b"null");
        if is_null {
            self.at = self.at.saturating_add(4);
        }
        Ok(is_null)
    }

    /// Any value, without looking into it; `None` for `null`.
    ///
    /// # Errors
    ///
    /// [`JsonError`] for what is no value.
    #[inline]
    pub fn raw(&mut self) -> Result<Option<Raw<'a>>, JsonError> {
        match self.peek()? {
            quote @ (b'"' | b'\'') => self.string(quote).map(Some),
            b'{' | b'[' => self.nested().map(Some),
            _ => {
                if let Some(len) = digits_len(self.rest()) {
                    return Ok(Some(self.unquoted(len)));
                }
                let raw = self.literal()?;
                match raw.as_bytes() {
                    b"null" => Ok(None),
                    b"true" | b"false" => Ok(Some(raw)),
                    bytes if is_number(bytes) => Ok(Some(raw)),
                    _ => Err(JsonError { position: raw.position(), problem: JsonProblem::Literal }),
                }
            }
        }
    }

    /// Passes over a value and keeps it for later.
    ///
    /// # Errors
    ///
    /// As [`raw`](Self::raw).
    pub fn skip(&mut self) -> Result<Value<'a>, JsonError> {
        self.peek()?;
        let start = self.at;
        self.raw()?;
        let bytes = self.bytes.get(start..self.at).unwrap_or_default();
        let position = self.base.saturating_add(start);
        Ok(Value { raw: Raw::new(bytes, position, RawKind::Nested), root: self.root })
    }

    /// A text; numbers and booleans are taken as they are written.
    ///
    /// # Errors
    ///
    /// [`JsonError`] for `null`, objects and arrays.
    pub fn text(&mut self) -> Result<Text<'a>, JsonError> {
        let raw = self.scalar("a text")?;
        raw.text()
    }

    /// A whole number of 32 bits, in quotes or without.
    ///
    /// # Errors
    ///
    /// [`JsonError`] for anything else.
    pub fn i32(&mut self) -> Result<i32, JsonError> {
        self.scalar("a whole number of 32 bits")?.i32()
    }

    /// A whole number of 64 bits, in quotes or without.
    ///
    /// # Errors
    ///
    /// [`JsonError`] for anything else.
    pub fn i64(&mut self) -> Result<i64, JsonError> {
        self.scalar("a whole number of 64 bits")?.i64()
    }

    /// A number, in quotes or without.
    ///
    /// # Errors
    ///
    /// [`JsonError`] for anything else.
    pub fn f64(&mut self) -> Result<f64, JsonError> {
        self.scalar("a number")?.f64()
    }

    /// `true` or `false`, in quotes or without.
    ///
    /// # Errors
    ///
    /// [`JsonError`] for `null`, objects and arrays.
    pub fn bool(&mut self) -> Result<bool, JsonError> {
        Ok(self.scalar("true or false")?.bool())
    }

    /// The next member of an object, if it is a text without escapes, without white space around
    /// it: what nearly all members are. `None` says nothing and moves nothing.
    #[inline]
    pub(in crate::rocketmq::wire) fn plain_member(&mut self) -> Option<(Raw<'a>, Raw<'a>)> {
        let start = match self.rest() {
            [b'"', ..] if self.fresh => self.at.wrapping_add(1),
            [b',', b'"', ..] if !self.fresh => self.at.wrapping_add(2),
            _ => return None,
        };
        let end = plain_text_end(self.bytes, start)?;
        let [b'"', b':', b'"', ..] = self.bytes.get(end..)? else { return None };
        let value = self.plain_text(end.wrapping_add(3))?;
        Some((self.plain(start, end)?, value))
    }

    /// The value of the next member of an object, if that is a text without escapes, behind
    /// `key`: the name in quotes, a colon, and the quote that opens the text.
    #[inline(always)]
    pub(in crate::rocketmq::wire) fn text_called(&mut self, key: &str) -> Option<Raw<'a>> {
        let start = self.behind(key)?;
        self.plain_text(start)
    }

    /// The value of the next member of an object, if that is a whole number without quotes, behind
    /// `key`: the name in quotes and a colon.
    #[inline(always)]
    pub(in crate::rocketmq::wire) fn number_called(&mut self, key: &str) -> Option<Raw<'a>> {
        let start = self.behind(key)?;
        let len = digits_len(self.bytes.get(start..)?)?;
        self.at = start;
        self.fresh = false;
        Some(self.unquoted(len))
    }

    /// Passes over `key`, if it is what comes next: the name in quotes and a colon.
    #[inline(always)]
    pub(in crate::rocketmq::wire) fn is_called(&mut self, key: &str) -> bool {
        let start = self.behind(key);
        self.at = start.unwrap_or(self.at);
        self.fresh &= start.is_none();
        start.is_some()
    }

    /// The index behind `key`, if it starts the next member, without white space around it.
    #[inline(always)]
    fn behind(&self, key: &str) -> Option<usize> {
        let start = match self.rest() {
            rest if self.fresh => rest.starts_with(key.as_bytes()).then_some(self.at)?,
            [b',', rest @ ..] => {
                rest.starts_with(key.as_bytes()).then_some(self.at.wrapping_add(1))?
            }
            _ => return None,
        };
        Some(start.wrapping_add(key.len()))
    }

    /// The text without escapes whose quote is in front of `start`.
    #[inline]
    fn plain_text(&mut self, start: usize) -> Option<Raw<'a>> {
        let end = plain_text_end(self.bytes, start)?;
        self.at = end.wrapping_add(1);
        self.fresh = false;
        self.plain(start, end)
    }

    #[inline]
    fn plain(&self, start: usize, end: usize) -> Option<Raw<'a>> {
        let bytes = self.bytes.get(start..end)?;
        Some(Raw::new(bytes, self.base.wrapping_add(start), RawKind::Plain))
    }

    /// An object, or any other value.
    ///
    /// # Errors
    ///
    /// As [`raw`](Self::raw).
    pub(in crate::rocketmq::wire) fn skip_object(&mut self) -> Result<Value<'a>, JsonError> {
        if self.peek()? != b'{' {
            return self.skip();
        }
        let start = self.at;
        self.begin_object()?;
        loop {
            if !self.fresh || self.plain_member().is_some() {
                self.at = plain_members_end(self.bytes, self.at);
            }
            if self.next_key()?.is_none() {
                break;
            }
            self.raw()?;
        }
        let bytes = self.bytes.get(start..self.at).unwrap_or_default();
        let position = self.base.saturating_add(start);
        Ok(Value { raw: Raw::new(bytes, position, RawKind::Nested), root: self.root })
    }

    /// If what comes next is a reference, passes over it; the reader in front of what it means.
    ///
    /// # Errors
    ///
    /// [`JsonError`] for one that means nothing, or another one.
    #[inline]
    pub(in crate::rocketmq::wire) fn referred(&mut self) -> Result<Option<Self>, JsonError> {
        let root = self.root;
        if self.is_at_reference()? { follow(self, root).map(Some) } else { Ok(None) }
    }

    #[inline]
    pub(super) fn is_at_reference(&mut self) -> Result<bool, JsonError> {
        self.is_at(REFERENCE)
    }

    #[inline]
    pub(super) fn is_at(&mut self, start: &[u8]) -> Result<bool, JsonError> {
        self.peek()?;
        Ok(self.rest().starts_with(start))
    }

    /// Nothing but white space may follow.
    ///
    /// # Errors
    ///
    /// [`JsonProblem::Trailing`] otherwise.
    pub fn end(&mut self) -> Result<(), JsonError> {
        match self.peek() {
            Err(_) => Ok(()),
            Ok(_) => Err(self.error(JsonProblem::Trailing)),
        }
    }

    fn scalar(&mut self, expected: &'static str) -> Result<Raw<'a>, JsonError> {
        self.peek()?;
        let position = self.position();
        match self.raw()? {
            Some(raw) if raw.kind() != RawKind::Nested => Ok(raw),
            _ => Err(JsonError { position, problem: JsonProblem::Value { expected } }),
        }
    }

    fn begin(&mut self, bracket: u8, expected: &'static str) -> Result<(), JsonError> {
        self.expect(bracket, expected)?;
        if self.depth >= DEPTH_MAX {
            return Err(self.error(JsonProblem::TooDeep { depth_max: DEPTH_MAX }));
        }
        self.depth = self.depth.saturating_add(1);
        self.fresh = true;
        Ok(())
    }

    /// Passes over the closing bracket, or over the comma in front of what comes next.
    #[inline]
    fn is_at_end(&mut self, bracket: u8) -> Result<bool, JsonError> {
        let found = self.peek()?;
        let fresh = core::mem::take(&mut self.fresh);
        if found == bracket {
            self.at = self.at.saturating_add(1);
            self.depth = self.depth.saturating_sub(1);
            return Ok(true);
        }
        if !fresh {
            self.expect(b',', "a comma or the end")?;
        }
        Ok(false)
    }

    /// An object or array. Recursive, at most [`DEPTH_MAX`] deep.
    fn nested(&mut self) -> Result<Raw<'a>, JsonError> {
        let start = self.at;
        if self.peek()? == b'{' {
            self.begin_object()?;
            while self.next_key()?.is_some() {
                self.raw()?;
            }
        } else {
            self.begin_array()?;
            while self.next_item()? {
                self.raw()?;
            }
        }
        let bytes = self.bytes.get(start..self.at).unwrap_or_default();
        Ok(Raw::new(bytes, self.base.saturating_add(start), RawKind::Nested))
    }

    #[inline]
    fn string(&mut self, quote: u8) -> Result<Raw<'a>, JsonError> {
        let start = self.at.saturating_add(1);
        let mut kind = RawKind::Plain;
        let mut at = start;
        loop {
            at = find_quote_or_backslash(self.bytes, at, quote);
            match self.bytes.get(at) {
                Some(b'\\') => {
                    kind = RawKind::Escaped;
                    at = at.saturating_add(self.escape_bytes(at)?);
                }
                Some(_) => break,
                None => {
                    self.at = self.bytes.len();
                    return Err(self.error(JsonProblem::Truncated));
                }
            }
        }
        self.at = at.saturating_add(1);
        let bytes = self.bytes.get(start..at).unwrap_or_default();
        Ok(Raw::new(bytes, self.base.saturating_add(start), kind))
    }

    /// The length of the escape at `at`.
    fn escape_bytes(&self, at: usize) -> Result<usize, JsonError> {
        let problem = match self.bytes.get(at..).unwrap_or_default() {
            [_, b'u', digits @ ..] => match digits.first_chunk::<4>() {
                Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => return Ok(6),
                Some(_) => JsonProblem::Escape,
                None => JsonProblem::Truncated,
            },
            [_, b'"' | b'\'' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' | b'v', ..] => {
                return Ok(2);
            }
            [_, _, ..] => JsonProblem::Escape,
            _ => JsonProblem::Truncated,
        };
        Err(JsonError { position: self.base.saturating_add(at), problem })
    }

    /// A run of what names and numbers are made of.
    fn literal(&mut self) -> Result<Raw<'a>, JsonError> {
        let rest = self.rest();
        let is_inside = |byte: &u8| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.' | b'_' | b'$')
        };
        let len = rest.iter().position(|byte| !is_inside(byte)).unwrap_or(rest.len());
        if len == 0 {
            let found = self.peek()?;
            return Err(self.error(JsonProblem::Unexpected { expected: "a value", found }));
        }
        Ok(self.unquoted(len))
    }

    /// The next `len` bytes.
    #[inline]
    fn unquoted(&mut self, len: usize) -> Raw<'a> {
        let bytes = self.rest().get(..len).unwrap_or_default();
        let raw = Raw::new(bytes, self.position(), RawKind::Literal);
        self.at = self.at.wrapping_add(len);
        raw
    }

    #[inline]
    fn expect(&mut self, wanted: u8, expected: &'static str) -> Result<(), JsonError> {
        let found = self.peek()?;
        if found != wanted {
            return Err(self.error(JsonProblem::Unexpected { expected, found }));
        }
        self.at = self.at.saturating_add(1);
        Ok(())
    }

    /// The next byte that is no white space.
    #[inline]
    fn peek(&mut self) -> Result<u8, JsonError> {
        loop {
            match self.bytes.get(self.at) {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at = self.at.saturating_add(1),
                Some(byte) => return Ok(*byte),
                None => return Err(self.error(JsonProblem::Truncated)),
            }
        }
    }

    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    #[cold]
    pub(in crate::rocketmq::wire) const fn error(&self, problem: JsonProblem) -> JsonError {
        JsonError { position: self.position(), problem }
    }
}

/// The length of a whole number with a comma or the end of an object behind it.
#[inline]
fn digits_len(bytes: &[u8]) -> Option<usize> {
    let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let len = digits.iter().position(|byte| !byte.is_ascii_digit())?;
    match digits.get(len) {
        Some(b',' | b'}') if len > 0 => {
            Some(len.saturating_add(bytes.len().saturating_sub(digits.len())))
        }
        _ => None,
    }
}

/// JSON's numbers, with any zeros in front.
fn is_number(bytes: &[u8]) -> bool {
    let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let rest = behind_digits(digits);
    if rest.len() == digits.len() {
        return false;
    }
    let rest = match rest {
        [b'.', fraction @ ..] => {
            let rest = behind_digits(fraction);
            if rest.len() == fraction.len() {
                return false;
            }
            rest
        }
        rest => rest,
    };
    match rest {
        [] => true,
        [b'e' | b'E', exponent @ ..] => {
            let digits = match exponent {
                [b'+' | b'-', digits @ ..] => digits,
                digits => digits,
            };
            !digits.is_empty() && behind_digits(digits).is_empty()
        }
        _ => false,
    }
}

fn behind_digits(bytes: &[u8]) -> &[u8] {
    let len = bytes.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(bytes.len());
    bytes.get(len..).unwrap_or_default()
}

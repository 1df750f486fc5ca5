//! What a reader hands out without having looked at its meaning.

use super::{JsonError, JsonProblem, Reader, Text};

/// How a value or a key is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RawKind {
    /// In quotes, without escapes.
    Plain,
    /// In quotes, with escapes.
    Escaped,
    /// Without quotes: a number, `true` or `false`; for keys any name.
    Literal,
    /// An object or an array.
    Nested,
}

/// A value as it is written: what is between the quotes of a string, the whole of anything else.
#[derive(Clone, Copy, Debug)]
pub struct Raw<'a> {
    bytes: &'a [u8],
    position: usize,
    kind: RawKind,
}

impl<'a> Raw<'a> {
    pub(in crate::rocketmq::wire) const fn new(
        bytes: &'a [u8],
        position: usize,
        kind: RawKind,
    ) -> Self {
        Self { bytes, position, kind }
    }

    /// The bytes, escapes included.
    #[inline]
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Where they are, from the start of the text.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.position
    }

    /// How it is written.
    #[must_use]
    pub const fn kind(&self) -> RawKind {
        self.kind
    }

    /// Any value as a text, as Java turns numbers and booleans into texts.
    ///
    /// # Errors
    ///
    /// [`JsonProblem::NotUtf8`].
    #[inline]
    pub fn text(&self) -> Result<Text<'a>, JsonError> {
        match core::str::from_utf8(self.bytes) {
            Ok(text) => Ok(Text::new(text, matches!(self.kind, RawKind::Escaped))),
            Err(error) => {
                let position = self.position.saturating_add(error.valid_up_to());
                Err(JsonError { position, problem: JsonProblem::NotUtf8 })
            }
        }
    }

    /// A whole number, in quotes or without.
    ///
    /// # Errors
    ///
    /// [`JsonProblem::Value`] for anything else, and outside of 64 bits.
    #[inline]
    pub fn i64(&self) -> Result<i64, JsonError> {
        parse_integer(self.bytes).ok_or_else(|| self.refuse("a whole number of 64 bits"))
    }

    /// A whole number of 32 bits, in quotes or without.
    ///
    /// # Errors
    ///
    /// [`JsonProblem::Value`] for anything else, and outside of 32 bits.
    #[inline]
    pub fn i32(&self) -> Result<i32, JsonError> {
        let value = parse_integer(self.bytes).and_then(|value| i32::try_from(value).ok());
        value.ok_or_else(|| self.refuse("a whole number of 32 bits"))
    }

    /// A number, in quotes or without.
    ///
    /// # Errors
    ///
    /// [`JsonProblem::Value`] for anything else.
    pub fn f64(&self) -> Result<f64, JsonError> {
        let text = core::str::from_utf8(self.bytes).ok();
        let value = text.and_then(|text| text.parse().ok());
        value.ok_or_else(|| self.refuse("a number"))
    }

    /// `true` in any case is true, everything else is false, as in Java.
    #[inline]
    #[must_use]
    pub fn bool(&self) -> bool {
        self.bytes.eq_ignore_ascii_case(b"true")
    }

    /// The bytes of a short text, escapes undone in `memory`; empty where it is longer than that.
    #[inline]
    pub(in crate::rocketmq::wire) fn name<'m>(&self, memory: &'m mut [u8; 64]) -> &'m [u8]
    where
        'a: 'm,
    {
        match self.kind {
            RawKind::Escaped => self.unescape(memory),
            _ => self.bytes,
        }
    }

    #[cold]
    fn unescape<'m>(&self, memory: &'m mut [u8]) -> &'m [u8] {
        let text = self.text().ok();
        text.and_then(|text| text.copy_to(memory).ok()).unwrap_or_default().as_bytes()
    }

    #[cold]
    pub(in crate::rocketmq::wire) const fn refuse(&self, expected: &'static str) -> JsonError {
        JsonError { position: self.position, problem: JsonProblem::Value { expected } }
    }
}

/// A key of an object.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    pub(super) raw: Raw<'a>,
}

impl<'a> Key<'a> {
    /// Whether it is `name`.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        match self.raw.kind {
            RawKind::Escaped => self.raw.text().is_ok_and(|text| text == name),
            _ => self.raw.bytes == name.as_bytes(),
        }
    }

    /// Its name to be matched against known ones, escapes undone in `memory`; empty where it is
    /// longer than that.
    #[inline]
    #[must_use]
    pub fn name<'m>(&self, memory: &'m mut [u8; 64]) -> &'m [u8]
    where
        'a: 'm,
    {
        self.raw.name(memory)
    }

    /// As it is written.
    #[must_use]
    pub const fn raw(&self) -> Raw<'a> {
        self.raw
    }

    /// The object that is the key: fastjson writes maps that way whose keys are objects.
    ///
    /// # Errors
    ///
    /// [`JsonProblem::Value`] for any other key.
    pub const fn object(&self) -> Result<Value<'a>, JsonError> {
        match self.raw.kind {
            RawKind::Nested => Ok(Value { raw: self.raw, root: &[] }),
            _ => Err(self.raw.refuse("an object as a key")),
        }
    }
}

/// A value that is valid but was not read yet.
#[derive(Clone, Copy, Debug)]
pub struct Value<'a> {
    pub(super) raw: Raw<'a>,
    /// The whole text, for references; empty where it is not known.
    pub(super) root: &'a [u8],
}

impl<'a> Value<'a> {
    /// Reads it; positions stay those of the whole text.
    #[must_use]
    pub const fn reader(&self) -> Reader<'a> {
        Reader::within(self.raw.bytes, self.raw.position).with_root(self.root)
    }

    /// As it is written.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.raw.bytes
    }

    /// Where it starts in the whole text.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.raw.position
    }
}

/// Decimal digits behind an optional sign, as Java's `Long.parseLong` has it.
#[inline]
pub(super) fn parse_integer(bytes: &[u8]) -> Option<i64> {
    let (negative, digits) = match bytes {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let value = match digits.len() {
        1..4 => few_digits(digits),
        4..=8 => {
            // Both ends, put together so that zeros stand in front: where they overlap they agree.
            let (first, last) = (digits.first_chunk::<4>()?, digits.last_chunk::<4>()?);
            let zeros = 8_u32.saturating_sub(digits.len() as u32).wrapping_mul(8);
            let first = u64::from(u32::from_le_bytes(*first)).wrapping_shl(zeros);
            let last = u64::from(u32::from_le_bytes(*last)) << 32;
            eight_digits(first | last | ZEROS & !u64::MAX.wrapping_shl(zeros))
        }
        9..=16 => {
            // Of the last eight, those that the first eight have already count as zeros.
            let (first, last) = (digits.first_chunk::<8>()?, digits.last_chunk::<8>()?);
            let overlap = 16_u32.saturating_sub(digits.len() as u32).wrapping_mul(8);
            let kept = u64::MAX.wrapping_shl(overlap);
            let last = u64::from_le_bytes(*last) & kept | ZEROS & !kept;
            let scale = SCALES.get(digits.len().saturating_sub(8))?;
            let high = eight_digits(u64::from_le_bytes(*first))?;
            eight_digits(last).map(|low| high.wrapping_mul(*scale).wrapping_add(low))
        }
        _ => return many_digits(negative, digits),
    };
    let value = value? as i64;
    Some(if negative { value.wrapping_neg() } else { value })
}

const ZEROS: u64 = u64::from_le_bytes([b'0'; 8]);
const SCALES: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

#[inline]
fn few_digits(digits: &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
    }
    Some(value)
}

/// None, or so many that they may be too large.
#[cold]
fn many_digits(negative: bool, digits: &[u8]) -> Option<i64> {
    if digits.is_empty() {
        return None;
    }
    let mut value = 0_i64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        // Downwards, because there is one more negative number.
        value = value.checked_mul(10)?.checked_sub(i64::from(digit))?;
    }
    if negative { Some(value) } else { value.checked_neg() }
}

/// The value of eight digits, all at once: neighbours are joined to pairs, to fours, to eight.
#[inline]
fn eight_digits(word: u64) -> Option<u64> {
    let values = word.wrapping_sub(ZEROS);
    // A byte below '0' borrows, one above '9' carries once six is added to its low half.
    let above = word.wrapping_add(0x4646_4646_4646_4646);
    if (values | above) & 0x8080_8080_8080_8080 != 0 {
        return None;
    }
    let pairs = values.wrapping_mul(10).wrapping_add(values >> 8);
    let low = (pairs & 0x0000_00ff_0000_00ff).wrapping_mul(0x000f_4240_0000_0064);
    let high = ((pairs >> 16) & 0x0000_00ff_0000_00ff).wrapping_mul(0x0000_2710_0000_0001);
    Some(low.wrapping_add(high) >> 32)
}

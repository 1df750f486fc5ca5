//! The fields of a command: texts by name, where they stand.

use super::{EncodeError, HeaderError, HeaderProblem};
use crate::rocketmq::wire::json::{Raw, RawKind, Reader, Text, Value};

/// The fields of a header that was decoded. They stay in its bytes and are walked when needed.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExtFields<'a>(Kind<'a>);

#[derive(Clone, Copy, Debug, Default)]
enum Kind<'a> {
    #[default]
    Absent,
    Json(Value<'a>),
    /// Entries whose lengths were checked, and where they are in the header.
    Binary(&'a [u8], usize),
}

/// A field as it stands in the header.
#[derive(Clone, Copy, Debug)]
pub struct ExtField<'a> {
    pub(in crate::rocketmq::wire) name: Raw<'a>,
    pub(in crate::rocketmq::wire) value: Option<Raw<'a>>,
}

impl<'a> ExtField<'a> {
    /// Its name.
    ///
    /// # Errors
    ///
    /// [`HeaderProblem::NotUtf8`].
    pub fn name(&self) -> Result<Text<'a>, HeaderError> {
        Ok(self.name.text()?)
    }

    /// Its value, `None` for `null`, and for empty ones in binary headers, as in Java.
    ///
    /// # Errors
    ///
    /// [`HeaderProblem::NotUtf8`].
    pub fn value(&self) -> Result<Option<Text<'a>>, HeaderError> {
        Ok(self.value.map(|value| value.text()).transpose()?)
    }
}

impl<'a> ExtField<'a> {
    /// Its name to be matched against known ones, escapes undone in `memory`.
    #[inline]
    pub(in crate::rocketmq::wire) fn name_bytes<'m>(&self, memory: &'m mut [u8; 64]) -> &'m [u8]
    where
        'a: 'm,
    {
        self.name.name(memory)
    }
}

impl<'a> ExtFields<'a> {
    pub(super) const fn json(value: Value<'a>) -> Self {
        Self(Kind::Json(value))
    }

    /// Checks the lengths of `bytes`, which are `base` bytes behind the start of the header.
    pub(super) fn binary(bytes: &'a [u8], base: usize) -> Result<Self, HeaderError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let Some((_, behind)) = split_name(rest).and_then(|(_, rest)| split_value(rest)) else {
                let at = bytes.len().saturating_sub(rest.len());
                return Err(refuse_entry(rest, base.saturating_add(at)));
            };
            rest = behind;
        }
        Ok(Self(if bytes.is_empty() { Kind::Absent } else { Kind::Binary(bytes, base) }))
    }

    /// Whether the header has a table of fields, even an empty one.
    #[must_use]
    pub const fn is_present(&self) -> bool {
        !matches!(self.0, Kind::Absent)
    }

    /// Whether there are no fields.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// The fields in the order of the header. A name that is there twice counts for its last value.
    #[inline]
    #[must_use]
    pub fn iter(&self) -> ExtFieldsIter<'a> {
        ExtFieldsIter(self.walk())
    }

    #[inline]
    pub(in crate::rocketmq::wire) fn walk(&self) -> Walk<'a> {
        match self.0 {
            Kind::Absent => Walk::Binary(BinaryWalk { rest: &[], end: 0 }),
            Kind::Binary(rest, base) => {
                Walk::Binary(BinaryWalk { rest, end: base.saturating_add(rest.len()) })
            }
            Kind::Json(value) => {
                let mut reader = value.reader();
                match reader.begin_object() {
                    Ok(()) => Walk::Json(JsonWalk { reader }),
                    Err(_) => Walk::Binary(BinaryWalk { rest: &[], end: 0 }),
                }
            }
        }
    }

    /// The value of the field called `name`, if it has one.
    ///
    /// # Errors
    ///
    /// [`HeaderProblem::NotUtf8`].
    pub fn get(&self, name: &str) -> Result<Option<Text<'a>>, HeaderError> {
        let mut found = None;
        for field in *self {
            let is_it = match field.name.kind() {
                RawKind::Escaped => field.name()? == name,
                _ => field.name.as_bytes() == name.as_bytes(),
            };
            if is_it {
                found = Some(field);
            }
        }
        match found {
            Some(field) => field.value(),
            None => Ok(None),
        }
    }
}

impl<'a> IntoIterator for ExtFields<'a> {
    type Item = ExtField<'a>;
    type IntoIter = ExtFieldsIter<'a>;

    fn into_iter(self) -> ExtFieldsIter<'a> {
        self.iter()
    }
}

/// The fields of a header in their order.
#[derive(Clone, Debug)]
pub struct ExtFieldsIter<'a>(Walk<'a>);

impl<'a> Iterator for ExtFieldsIter<'a> {
    type Item = ExtField<'a>;

    #[inline]
    fn next(&mut self) -> Option<ExtField<'a>> {
        match &mut self.0 {
            Walk::Json(walk) => walk.next(),
            Walk::Binary(walk) => walk.next(),
        }
    }
}

/// The way through the fields, for those who want to ask only once which one it is.
#[derive(Clone, Debug)]
pub(in crate::rocketmq::wire) enum Walk<'a> {
    Json(JsonWalk<'a>),
    Binary(BinaryWalk<'a>),
}

/// What walks through the fields, and may be told which one to expect.
pub(in crate::rocketmq::wire) trait Expect<'a>:
    Iterator<Item = ExtField<'a>>
{
    /// Passes over the next field if it is called `name`, and returns its value, if it has one.
    /// May fail to see that it is. `quoted` is how JSON
    /// has it: the name in quotes, a colon, and the quote that opens a text.
    fn expect(&mut self, name: &'static str, quoted: &'static str) -> Option<Raw<'a>>;
}

#[derive(Clone, Debug)]
pub(in crate::rocketmq::wire) struct JsonWalk<'a> {
    reader: Reader<'a>,
}

impl<'a> Iterator for JsonWalk<'a> {
    type Item = ExtField<'a>;

    /// The object was valid when the header was decoded.
    #[inline]
    fn next(&mut self) -> Option<ExtField<'a>> {
        if let Some((name, value)) = self.reader.plain_member() {
            return Some(ExtField { name, value: Some(value) });
        }
        let name = self.reader.next_key().ok()??.raw();
        Some(ExtField { name, value: self.reader.raw().ok()? })
    }
}

impl<'a> Expect<'a> for JsonWalk<'a> {
    #[inline(always)]
    fn expect(&mut self, _name: &'static str, quoted: &'static str) -> Option<Raw<'a>> {
        self.reader.text_called(quoted)
    }
}

#[derive(Clone, Debug)]
pub(in crate::rocketmq::wire) struct BinaryWalk<'a> {
    rest: &'a [u8],
    /// Where `rest` ends in the header.
    end: usize,
}

impl<'a> BinaryWalk<'a> {
    /// What stands immediately in front of `behind`.
    #[inline]
    const fn raw(&self, bytes: &'a [u8], behind: &[u8]) -> Raw<'a> {
        let position = self.end.wrapping_sub(behind.len()).wrapping_sub(bytes.len());
        Raw::new(bytes, position, RawKind::Plain)
    }

    #[inline]
    fn value(&self, bytes: &'a [u8], behind: &[u8]) -> Option<Raw<'a>> {
        if bytes.is_empty() { None } else { Some(self.raw(bytes, behind)) }
    }
}

impl<'a> Iterator for BinaryWalk<'a> {
    type Item = ExtField<'a>;

    #[inline]
    fn next(&mut self) -> Option<ExtField<'a>> {
        let (name, after_name) = split_name(self.rest)?;
        let (value, behind) = split_value(after_name)?;
        self.rest = behind;
        Some(ExtField { name: self.raw(name, after_name), value: self.value(value, behind) })
    }
}

impl<'a> Expect<'a> for BinaryWalk<'a> {
    #[inline(always)]
    fn expect(&mut self, name: &'static str, _quoted: &'static str) -> Option<Raw<'a>> {
        let (len, rest) = self.rest.split_first_chunk()?;
        if usize::from(u16::from_be_bytes(*len)) != name.len() {
            return None;
        }
        let (value, behind) = split_value(rest.strip_prefix(name.as_bytes())?)?;
        self.rest = behind;
        self.value(value, behind)
    }
}

/// The name of the entry at the front, and what follows it.
#[inline]
fn split_name(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk()?;
    // A negative length becomes one that is longer than any slice.
    rest.split_at_checked(i16::from_be_bytes(*len) as usize)
}

/// The value behind a name, and what follows it.
#[inline]
fn split_value(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(i32::from_be_bytes(*len) as usize)
}

/// Says why there is no entry.
#[cold]
fn refuse_entry(bytes: &[u8], position: usize) -> HeaderError {
    let left_bytes = bytes.len();
    let short = |part, needed_bytes, left_bytes, position| HeaderError {
        position,
        problem: HeaderProblem::Truncated { part, needed_bytes, left_bytes },
    };
    let Some((len, rest)) = bytes.split_first_chunk() else {
        return short("the length of a field's name", 2, left_bytes, position);
    };
    let name_bytes = i16::from_be_bytes(*len);
    let Ok(len) = usize::try_from(name_bytes) else {
        let problem = HeaderProblem::Negative { part: "a field's name", value: name_bytes.into() };
        return HeaderError { position, problem };
    };
    let position = position.saturating_add(2);
    let Some((_, rest)) = rest.split_at_checked(len) else {
        return short("a field's name", len, rest.len(), position);
    };
    let position = position.saturating_add(len);
    let Some((len, rest)) = rest.split_first_chunk() else {
        return short("the length of a field's value", 4, rest.len(), position);
    };
    let value_bytes = i32::from_be_bytes(*len);
    let Ok(len) = usize::try_from(value_bytes) else {
        let problem = HeaderProblem::Negative { part: "a field's value", value: value_bytes };
        return HeaderError { position, problem };
    };
    short("a field's value", len, rest.len(), position.saturating_add(4))
}

/// Whatever is told the fields of a header one after the other.
pub trait FieldVisitor {
    /// A field that is a text.
    ///
    /// # Errors
    ///
    /// Whatever ends the visit.
    fn text(&mut self, name: Text<'_>, value: Text<'_>) -> Result<(), EncodeError>;

    /// A field that is a whole number.
    ///
    /// # Errors
    ///
    /// Whatever ends the visit.
    fn integer(&mut self, name: &str, value: i64) -> Result<(), EncodeError>;

    /// A field that is true or false.
    ///
    /// # Errors
    ///
    /// Whatever ends the visit.
    fn bool(&mut self, name: &str, value: bool) -> Result<(), EncodeError> {
        self.text(name.into(), if value { "true" } else { "false" }.into())
    }

    /// Whether a text that is empty arrives as such, and not as `null`.
    fn keeps_empty(&self) -> bool {
        true
    }
}

/// Fields that can be written.
pub trait ExtSource {
    /// Tells all fields in the order in which they are to be written.
    ///
    /// # Errors
    ///
    /// The first error of the visitor.
    fn visit(&self, visitor: &mut impl FieldVisitor) -> Result<(), EncodeError>;

    /// Whether a JSON header has a table of fields at all. Java wants one, even if it is empty, in
    /// answers to commands whose answer has fields.
    fn is_present(&self) -> bool {
        true
    }
}

/// No fields, and no table of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Absent;

impl ExtSource for Absent {
    fn visit(&self, _visitor: &mut impl FieldVisitor) -> Result<(), EncodeError> {
        Ok(())
    }

    fn is_present(&self) -> bool {
        false
    }
}

impl ExtSource for [(&str, &str)] {
    fn visit(&self, visitor: &mut impl FieldVisitor) -> Result<(), EncodeError> {
        self.iter().try_for_each(|(name, value)| visitor.text((*name).into(), (*value).into()))
    }
}

impl<const N: usize> ExtSource for [(&str, &str); N] {
    fn visit(&self, visitor: &mut impl FieldVisitor) -> Result<(), EncodeError> {
        self.as_slice().visit(visitor)
    }
}

impl ExtSource for ExtFields<'_> {
    /// Fields without a value, or that are no UTF-8, are left out.
    fn visit(&self, visitor: &mut impl FieldVisitor) -> Result<(), EncodeError> {
        for field in *self {
            if let (Ok(name), Ok(Some(value))) = (field.name(), field.value()) {
                visitor.text(name, value)?;
            }
        }
        Ok(())
    }

    fn is_present(&self) -> bool {
        self.is_present()
    }
}

impl<A: ExtSource, B: ExtSource> ExtSource for (A, B) {
    fn visit(&self, visitor: &mut impl FieldVisitor) -> Result<(), EncodeError> {
        self.0.visit(visitor)?;
        self.1.visit(visitor)
    }

    fn is_present(&self) -> bool {
        self.0.is_present() || self.1.is_present()
    }
}

impl<S: ExtSource + ?Sized> ExtSource for &S {
    fn visit(&self, visitor: &mut impl FieldVisitor) -> Result<(), EncodeError> {
        (**self).visit(visitor)
    }

    fn is_present(&self) -> bool {
        (**self).is_present()
    }
}

impl<S: ExtSource> ExtSource for Option<S> {
    fn visit(&self, visitor: &mut impl FieldVisitor) -> Result<(), EncodeError> {
        self.as_ref().map_or(Ok(()), |source| source.visit(visitor))
    }

    fn is_present(&self) -> bool {
        self.as_ref().is_some_and(ExtSource::is_present)
    }
}

//! What requests have in common, and how values of fields are read.

use super::CommandError;
use crate::rocketmq::wire::header::{EncodeError, Expect, FieldVisitor};
use crate::rocketmq::wire::json::{JsonError, Raw, Text};

/// Fields that nearly any request may have. Clients set the broker's name; a single broker may
/// ignore them all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestBase<'a> {
    /// `ns`, the namespace.
    pub namespace: Option<Text<'a>>,
    /// `nsd`, whether names have the namespace in them.
    pub namespaced: Option<bool>,
    /// `bname`, the broker's name.
    pub broker_name: Option<Text<'a>>,
    /// `oway`, whether no answer is wanted.
    pub oneway: Option<bool>,
    /// `lo`, whether the topic is a static one.
    pub logical: Option<bool>,
}

impl<'a> RequestBase<'a> {
    /// Only with the broker's name.
    #[must_use]
    pub const fn of_broker(name: &'a str) -> Self {
        Self {
            namespace: None,
            namespaced: None,
            broker_name: Some(Text::plain(name)),
            oneway: None,
            logical: None,
        }
    }

    /// Reads those that come next in the order in which they are written.
    #[inline]
    pub(super) fn expect(&mut self, fields: &mut impl Expect<'a>) -> Result<(), CommandError> {
        if let Some(raw) = fields.expect("ns", "\"ns\":\"") {
            self.namespace = parse("ns", raw)?;
        }
        if let Some(raw) = fields.expect("nsd", "\"nsd\":\"") {
            self.namespaced = parse("nsd", raw)?;
        }
        if let Some(raw) = fields.expect("bname", "\"bname\":\"") {
            self.broker_name = parse("bname", raw)?;
        }
        if let Some(raw) = fields.expect("oway", "\"oway\":\"") {
            self.oneway = parse("oway", raw)?;
        }
        if let Some(raw) = fields.expect("lo", "\"lo\":\"") {
            self.logical = parse("lo", raw)?;
        }
        Ok(())
    }

    #[inline]
    pub(super) fn accept(
        &mut self,
        name: &[u8],
        value: Option<Raw<'a>>,
    ) -> Result<(), CommandError> {
        match name {
            b"ns" => self.namespace = read("ns", value)?,
            b"nsd" => self.namespaced = read("nsd", value)?,
            b"bname" => self.broker_name = read("bname", value)?,
            b"oway" => self.oneway = read("oway", value)?,
            b"lo" => self.logical = read("lo", value)?,
            _ => {}
        }
        Ok(())
    }

    pub(super) fn visit(&self, visitor: &mut impl FieldVisitor) -> Result<(), EncodeError> {
        self.namespace.write("ns", visitor)?;
        self.namespaced.write("nsd", visitor)?;
        self.broker_name.write("bname", visitor)?;
        self.oneway.write("oway", visitor)?;
        self.logical.write("lo", visitor)
    }
}

/// The type of a field.
pub(super) trait FieldValue<'a>: Sized {
    fn parse(raw: Raw<'a>) -> Result<Self, JsonError>;

    /// What the field is if it is not there, unless it has to be.
    fn absent() -> Option<Self> {
        None
    }

    fn write(&self, name: &'static str, visitor: &mut impl FieldVisitor)
    -> Result<(), EncodeError>;
}

/// Tells most names apart by one comparison of numbers: the length and the first byte.
#[inline]
pub(super) const fn hint(name: &[u8]) -> u32 {
    let first = match name {
        [first, ..] => *first as u32,
        [] => 0,
    };
    (name.len() as u32) << 8 | first
}

#[inline]
pub(super) fn read<'a, T: FieldValue<'a>>(
    field: &'static str,
    raw: Option<Raw<'a>>,
) -> Result<T, CommandError> {
    match raw {
        Some(raw) => parse(field, raw),
        None => T::absent().ok_or(CommandError::Missing { field }),
    }
}

#[inline]
pub(super) fn read_or<'a, T: FieldValue<'a>>(
    field: &'static str,
    raw: Option<Raw<'a>>,
    default: T,
) -> Result<T, CommandError> {
    raw.map_or(Ok(default), |raw| parse(field, raw))
}

#[inline]
fn parse<'a, T: FieldValue<'a>>(field: &'static str, raw: Raw<'a>) -> Result<T, CommandError> {
    T::parse(raw).map_err(|error| CommandError::Invalid { field, error: error.into() })
}

impl<'a> FieldValue<'a> for Text<'a> {
    #[inline]
    fn parse(raw: Raw<'a>) -> Result<Self, JsonError> {
        raw.text()
    }

    fn write(
        &self,
        name: &'static str,
        visitor: &mut impl FieldVisitor,
    ) -> Result<(), EncodeError> {
        visitor.text(name.into(), *self)
    }
}

impl FieldValue<'_> for i32 {
    #[inline]
    fn parse(raw: Raw<'_>) -> Result<Self, JsonError> {
        raw.i32()
    }

    fn write(
        &self,
        name: &'static str,
        visitor: &mut impl FieldVisitor,
    ) -> Result<(), EncodeError> {
        visitor.integer(name, (*self).into())
    }
}

impl FieldValue<'_> for i64 {
    #[inline]
    fn parse(raw: Raw<'_>) -> Result<Self, JsonError> {
        raw.i64()
    }

    fn write(
        &self,
        name: &'static str,
        visitor: &mut impl FieldVisitor,
    ) -> Result<(), EncodeError> {
        visitor.integer(name, *self)
    }
}

impl FieldValue<'_> for bool {
    #[inline]
    fn parse(raw: Raw<'_>) -> Result<Self, JsonError> {
        Ok(raw.bool())
    }

    fn write(
        &self,
        name: &'static str,
        visitor: &mut impl FieldVisitor,
    ) -> Result<(), EncodeError> {
        visitor.bool(name, *self)
    }
}

impl<'a, T: FieldValue<'a>> FieldValue<'a> for Option<T> {
    #[inline]
    fn parse(raw: Raw<'a>) -> Result<Self, JsonError> {
        T::parse(raw).map(Some)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }

    fn write(
        &self,
        name: &'static str,
        visitor: &mut impl FieldVisitor,
    ) -> Result<(), EncodeError> {
        self.as_ref().map_or(Ok(()), |value| value.write(name, visitor))
    }
}

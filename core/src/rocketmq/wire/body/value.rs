//! Values: what members of bodies are made of.

use core::fmt::{self, Write};

use crate::rocketmq::wire::header::{EncodeError, Language, Output};
use crate::rocketmq::wire::json::{Dialect, JsonError, Key, Reader, Text, Value, Writer};

/// What a value looks like, for tools that describe or make JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shape {
    /// A text.
    Text,
    /// A text that is one of these.
    Name(&'static [&'static str]),
    /// A whole number of so many bits.
    Whole(u8),
    /// A number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// Anything.
    Any,
    /// An array.
    List(&'static Self),
    /// An object with any keys of one shape, and values of another.
    Map(&'static Self, &'static Self),
    /// An object with these members.
    Object(&'static [Member]),
}

/// A member of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Member {
    /// Its name.
    pub name: &'static str,
    /// What it looks like.
    pub shape: &'static Shape,
}

impl Member {
    pub(super) const fn new(name: &'static str, shape: &'static Shape) -> Self {
        Self { name, shape }
    }
}

/// What can be read from JSON. Nobody calls it for `null`.
pub trait FromJson<'a>: Sized {
    /// What it looks like.
    const SHAPE: Shape;

    /// Reads one value.
    ///
    /// # Errors
    ///
    /// [`JsonError`] for anything that is none of these.
    fn from_json(reader: &mut Reader<'a>) -> Result<Self, JsonError>;

    /// As [`from_json`](Self::from_json), but `None` for a name that nobody knows.
    ///
    /// # Errors
    ///
    /// As [`from_json`](Self::from_json).
    fn optional(reader: &mut Reader<'a>) -> Result<Option<Self>, JsonError> {
        Self::from_json(reader).map(Some)
    }

    /// What a missing member is, unless it has to be there.
    fn absent() -> Option<Self> {
        None
    }
}

/// What can be written as JSON.
pub trait ToJson {
    /// Writes one value.
    ///
    /// # Errors
    ///
    /// As what is written to.
    fn to_json<W: Write>(&self, writer: &mut Writer<W>) -> fmt::Result;

    /// Whether it is left out as a member.
    fn is_absent(&self) -> bool {
        false
    }
}

/// A whole body.
pub trait Body<'a>: FromJson<'a> + ToJson {
    /// Reads all of `bytes`.
    ///
    /// # Errors
    ///
    /// [`JsonError`], with its position in `bytes`. Lists and maps are checked for their form;
    /// what is in them is found out when they are walked.
    fn decode(bytes: &'a [u8]) -> Result<Self, JsonError> {
        let mut reader = Reader::new(bytes);
        let body = Self::from_json(&mut reader)?;
        reader.end()?;
        Ok(body)
    }

    /// Writes it to `out`.
    ///
    /// # Errors
    ///
    /// As `out`; and for lists that were read and have items that can't be.
    fn write(&self, dialect: Dialect, out: impl Write) -> fmt::Result {
        self.to_json(&mut Writer::new(out, dialect))
    }

    /// Writes it to the start of `memory` and returns its length.
    ///
    /// # Errors
    ///
    /// [`EncodeError::NoRoom`], with the length that is needed; that is `usize::MAX` for lists that
    /// were read and have items that can't be.
    fn encode(&self, dialect: Dialect, memory: &mut [u8]) -> Result<usize, EncodeError> {
        let room_bytes = memory.len();
        let mut output = Output::new(memory);
        let written = self.write(dialect, &mut output);
        written.map_err(|_| EncodeError::NoRoom { needed_bytes: usize::MAX, room_bytes })?;
        output.finish()
    }
}

impl<'a, T: FromJson<'a> + ToJson> Body<'a> for T {}

/// What can be the key of a [`Map`](super::Map).
pub trait MapKey<'a>: Sized {
    /// What it looks like.
    const SHAPE: Shape;

    /// Reads a key.
    ///
    /// # Errors
    ///
    /// [`JsonError`] for keys of another kind.
    fn from_key(key: Key<'a>) -> Result<Self, JsonError>;

    /// Writes a key, its colon included.
    ///
    /// # Errors
    ///
    /// As what is written to.
    fn write_key<W: Write>(&self, writer: &mut Writer<W>) -> fmt::Result;
}

impl<'a> MapKey<'a> for Text<'a> {
    const SHAPE: Shape = Shape::Text;

    fn from_key(key: Key<'a>) -> Result<Self, JsonError> {
        key.raw().text()
    }

    fn write_key<W: Write>(&self, writer: &mut Writer<W>) -> fmt::Result {
        writer.text(*self)?;
        writer.colon()
    }
}

impl MapKey<'_> for i64 {
    const SHAPE: Shape = Shape::Whole(64);

    fn from_key(key: Key<'_>) -> Result<Self, JsonError> {
        key.raw().i64()
    }

    fn write_key<W: Write>(&self, writer: &mut Writer<W>) -> fmt::Result {
        writer.number_key(*self)
    }
}

impl MapKey<'_> for i32 {
    const SHAPE: Shape = Shape::Whole(32);

    fn from_key(key: Key<'_>) -> Result<Self, JsonError> {
        key.raw().i32()
    }

    fn write_key<W: Write>(&self, writer: &mut Writer<W>) -> fmt::Result {
        writer.number_key((*self).into())
    }
}

/// Any value, as it is written.
#[derive(Clone, Copy, Debug)]
pub struct Json<'a>(
    /// Where it stands.
    pub Value<'a>,
);

impl PartialEq for Json<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes() == other.0.as_bytes()
    }
}

impl<'a> FromJson<'a> for Json<'a> {
    const SHAPE: Shape = Shape::Any;

    fn from_json(reader: &mut Reader<'a>) -> Result<Self, JsonError> {
        reader.skip().map(Self)
    }
}

impl ToJson for Json<'_> {
    fn to_json<W: Write>(&self, writer: &mut Writer<W>) -> fmt::Result {
        writer.json(core::str::from_utf8(self.0.as_bytes()).map_err(|_| fmt::Error)?)
    }
}

macro_rules! scalar {
    ($type:ty, $shape:expr, $read:ident, $absent:expr, $write:ident $(, $life:lifetime)?) => {
        impl<'a> FromJson<'a> for $type {
            const SHAPE: Shape = $shape;

            fn from_json(reader: &mut Reader<'a>) -> Result<Self, JsonError> {
                reader.$read()
            }

            fn absent() -> Option<Self> {
                $absent
            }
        }

        impl $(<$life>)? ToJson for $type {
            fn to_json<W: Write>(&self, writer: &mut Writer<W>) -> fmt::Result {
                writer.$write((*self).into())
            }
        }
    };
}

scalar!(i32, Shape::Whole(32), i32, Some(0), integer);
scalar!(i64, Shape::Whole(64), i64, Some(0), integer);
scalar!(f64, Shape::Number, f64, Some(0.0), number);
scalar!(bool, Shape::Boolean, bool, Some(false), bool);
scalar!(Text<'a>, Shape::Text, text, None, text, 'a);

impl<'a, T: FromJson<'a>> FromJson<'a> for Option<T> {
    const SHAPE: Shape = T::SHAPE;

    fn from_json(reader: &mut Reader<'a>) -> Result<Self, JsonError> {
        T::optional(reader)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl<T: ToJson> ToJson for Option<T> {
    fn to_json<W: Write>(&self, writer: &mut Writer<W>) -> fmt::Result {
        match self {
            Some(value) => value.to_json(writer),
            None => writer.null(),
        }
    }

    fn is_absent(&self) -> bool {
        self.is_none()
    }
}

impl FromJson<'_> for Language {
    const SHAPE: Shape = Shape::Name(&[
        "JAVA", "CPP", "DOTNET", "PYTHON", "DELPHI", "ERLANG", "RUBY", "OTHER", "HTTP", "GO",
        "PHP", "OMS", "RUST", "NODE_JS",
    ]);

    fn from_json(reader: &mut Reader<'_>) -> Result<Self, JsonError> {
        let position = reader.position();
        let language = Self::optional(reader)?;
        language.ok_or_else(|| super::macros::unknown(position, "a language"))
    }

    fn optional(reader: &mut Reader<'_>) -> Result<Option<Self>, JsonError> {
        Ok(reader.text()?.as_str().and_then(Self::from_name))
    }
}

impl ToJson for Language {
    fn to_json<W: Write>(&self, writer: &mut Writer<W>) -> fmt::Result {
        writer.text(self.name().into())
    }
}

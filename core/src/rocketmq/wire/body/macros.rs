//! One declaration per class.

use crate::rocketmq::wire::json::{JsonError, JsonProblem, Reader};

/// What reads one value.
type Read<'a, T> = fn(&mut Reader<'a>) -> Result<T, JsonError>;

#[cold]
pub(super) const fn unknown(position: usize, expected: &'static str) -> JsonError {
    JsonError { position, problem: JsonProblem::Value { expected } }
}

/// Reads a member into its place; `null` is the same as none.
pub(super) fn member<'a, T>(
    reader: &mut Reader<'a>,
    place: &mut Option<T>,
    read: Read<'a, T>,
) -> Result<(), JsonError> {
    *place = if reader.null()? { None } else { Some(read(reader)?) };
    Ok(())
}

pub(super) const fn missing(position: usize, field: &'static str) -> JsonError {
    JsonError { position, problem: JsonProblem::Missing { field } }
}

/// Declares classes with their members, in the order in which they are written: by name.
///
/// A default follows the name (`= "name" or 6`), other names that are read follow a bar.
macro_rules! bodies {
    ($(
        $(#[$meta:meta])*
        $name:ident $(<$life:lifetime>)? {
            $(
                $(#[$field_meta:meta])*
                $field:ident: $type:ty = $wire:literal $(| $alias:literal)* $(or $default:expr)?,
            )*
        }
    )*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub struct $name $(<$life>)? {
            $(
                #[doc = concat!("`", $wire, "`")]
                $(#[$field_meta])*
                pub $field: $type,
            )*
        }

        impl<'a> $crate::rocketmq::wire::body::FromJson<'a> for $name $(<$life>)? {
            const SHAPE: $crate::rocketmq::wire::body::Shape =
                $crate::rocketmq::wire::body::Shape::Object(&[$(
                    $crate::rocketmq::wire::body::Member::new(
                        $wire,
                        &<$type as $crate::rocketmq::wire::body::FromJson<'a>>::SHAPE,
                    ),
                )*]);

            fn from_json(
                reader: &mut $crate::rocketmq::wire::json::Reader<'a>,
            ) -> Result<Self, $crate::rocketmq::wire::json::JsonError> {
                if let Some(mut target) = reader.referred()? {
                    return Self::from_json(&mut target);
                }
                let position = reader.position();
                $(let mut $field: Option<$type> = None;)*
                let mut memory = [0; 64];
                reader.begin_object()?;
                while let Some(key) = reader.next_key()? {
                    let name = key.name(&mut memory);
                    $(
                        if name == $wire.as_bytes() $(|| name == $alias.as_bytes())* {
                            let read = $crate::rocketmq::wire::body::FromJson::from_json;
                            $crate::rocketmq::wire::body::macros::member(
                                reader, &mut $field, read,
                            )?;
                            continue;
                        }
                    )*
                    reader.skip()?;
                }
                Ok(Self {
                    $($field: match $field {
                        Some(value) => value,
                        None => bodies!(@absent position, $type, $wire $(, $default)?),
                    },)*
                })
            }
        }

        impl $(<$life>)? $crate::rocketmq::wire::body::ToJson for $name $(<$life>)? {
            fn to_json<W: core::fmt::Write>(
                &self,
                writer: &mut $crate::rocketmq::wire::json::Writer<W>,
            ) -> core::fmt::Result {
                writer.begin_object()?;
                $(
                    if !$crate::rocketmq::wire::body::ToJson::is_absent(&self.$field) {
                        writer.key($wire)?;
                        $crate::rocketmq::wire::body::ToJson::to_json(&self.$field, writer)?;
                    }
                )*
                writer.end_object()
            }
        }
    )*};
    (@absent $position:ident, $type:ty, $wire:literal) => {
        <$type as $crate::rocketmq::wire::body::FromJson<'a>>::absent()
            .ok_or($crate::rocketmq::wire::body::macros::missing($position, $wire))?
    };
    (@absent $position:ident, $type:ty, $wire:literal, $default:expr) => {
        $default
    };
}

/// Declares enumerations that travel by name. Other names that mean the same follow a bar; the
/// first is what is taken by default.
macro_rules! names {
    ($(
        $(#[$meta:meta])*
        $name:ident {
            $(#[$first_meta:meta])*
            $first:ident = $first_wire:literal $(| $first_alias:literal)*,
            $($(#[$value_meta:meta])* $value:ident = $wire:literal,)*
        }
    )*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $(#[$first_meta])*
            #[doc = concat!("`", $first_wire, "`")]
            #[default]
            $first,
            $(
                $(#[$value_meta])*
                #[doc = concat!("`", $wire, "`")]
                $value,
            )*
        }

        impl $name {
            /// The value of that name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $first_wire $(| $first_alias)* => Some(Self::$first),
                    $($wire => Some(Self::$value),)*
                    _ => None,
                }
            }

            /// Its name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    Self::$first => $first_wire,
                    $(Self::$value => $wire,)*
                }
            }
        }

        impl $crate::rocketmq::wire::body::FromJson<'_> for $name {
            const SHAPE: $crate::rocketmq::wire::body::Shape =
                $crate::rocketmq::wire::body::Shape::Name(&[$first_wire, $($wire),*]);

            fn from_json(
                reader: &mut $crate::rocketmq::wire::json::Reader<'_>,
            ) -> Result<Self, $crate::rocketmq::wire::json::JsonError> {
                let position = reader.position();
                let value = Self::optional(reader)?;
                let expected = concat!("the name of a ", stringify!($name));
                value.ok_or_else(|| {
                    $crate::rocketmq::wire::body::macros::unknown(position, expected)
                })
            }

            fn optional(
                reader: &mut $crate::rocketmq::wire::json::Reader<'_>,
            ) -> Result<Option<Self>, $crate::rocketmq::wire::json::JsonError> {
                Ok(reader.text()?.as_str().and_then(Self::from_name))
            }
        }

        impl $crate::rocketmq::wire::body::ToJson for $name {
            fn to_json<W: core::fmt::Write>(
                &self,
                writer: &mut $crate::rocketmq::wire::json::Writer<W>,
            ) -> core::fmt::Result {
                writer.text(self.name().into())
            }
        }
    )*};
}

//! One declaration per command.

/// Declares types with the fields of commands.
///
/// `Name<'a> + base { field: Type = "wireName", ... }`: an `Option` may be missing, anything else
/// must be there, unless a default follows the name (`= "wireName" or -1`). `+ base` adds what
/// requests have in common.
macro_rules! commands {
    ($(
        $(#[$meta:meta])*
        $name:ident $(<$life:lifetime>)? $(+ $base:ident)? {
            $($field:ident: $type:ty = $wire:literal $(or $default:expr)?,)*
        }
    )*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name $(<$life>)? {
            $(
                #[doc = concat!("`", $wire, "`")]
                pub $field: $type,
            )*
            $(
                /// What requests have in common.
                pub $base: $crate::rocketmq::wire::command::RequestBase<'a>,
            )?
        }

        impl $(<$life>)? Default for $name $(<$life>)? {
            fn default() -> Self {
                Self {
                    $($field: commands!(@default $($default)?),)*
                    $($base: Default::default(),)?
                }
            }
        }

        impl<'a> $crate::rocketmq::wire::command::Command<'a> for $name $(<$life>)? {
            const NAME: &'static str = stringify!($name);
            const FIELDS: &'static [&'static str] = &[$($wire),*];

            #[allow(unused_mut, unused_variables)]
            #[inline]
            fn decode(
                ext: &$crate::rocketmq::wire::header::ExtFields<'a>,
            ) -> Result<Self, $crate::rocketmq::wire::command::CommandError> {
                /// Where the field of that name is kept.
                #[allow(non_camel_case_types, dead_code)]
                #[inline]
                fn place(name: &[u8]) -> usize {
                    enum Place { $($field,)* Nowhere }
                    match $crate::rocketmq::wire::command::base::hint(name) {
                        $(
                            hint if hint
                                == const {
                                    $crate::rocketmq::wire::command::base::hint($wire.as_bytes())
                                }
                                && name == $wire.as_bytes() => Place::$field as usize,
                        )*
                        _ => Place::Nowhere as usize,
                    }
                }
                let mut raws = [const { None }; Self::FIELDS.len()];
                $(let mut $base = $crate::rocketmq::wire::command::RequestBase::default();)?
                let mut memory = [0; 64];
                for entry in ext.iter() {
                    let name = entry.name_bytes(&mut memory);
                    match raws.get_mut(place(name)) {
                        Some(raw) => *raw = entry.value,
                        None => { $($base.accept(name, entry.value)?;)? }
                    }
                }
                let mut raws = raws.into_iter();
                Ok(Self {
                    $($field: {
                        let raw = raws.next().flatten();
                        commands!(@read $wire, raw $(, $default)?)
                    },)*
                    $($base,)?
                })
            }
        }

        impl $(<$life>)? $crate::rocketmq::wire::header::ExtSource for $name $(<$life>)? {
            #[allow(unused_variables)]
            fn visit(
                &self,
                visitor: &mut impl $crate::rocketmq::wire::header::FieldVisitor,
            ) -> Result<(), $crate::rocketmq::wire::header::EncodeError> {
                $($crate::rocketmq::wire::command::base::FieldValue::write(
                    &self.$field, $wire, visitor,
                )?;)*
                $(self.$base.visit(visitor)?;)?
                Ok(())
            }
        }
    )*};
    (@default) => { Default::default() };
    (@default $default:expr) => { $default };
    (@read $wire:literal, $raw:ident) => {
        $crate::rocketmq::wire::command::base::read($wire, $raw)?
    };
    (@read $wire:literal, $raw:ident, $default:expr) => {
        $crate::rocketmq::wire::command::base::read_or($wire, $raw, $default)?
    };
}

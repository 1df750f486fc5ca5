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

            #[inline]
            fn decode(
                ext: &$crate::rocketmq::wire::header::ExtFields<'a>,
            ) -> Result<Self, $crate::rocketmq::wire::command::CommandError> {
                /// Peers write their fields in the order of the class or in one of their own, so
                /// each is expected once, and what is left then is looked up by name.
                #[allow(unused_mut, unused_variables, unused_assignments)]
                #[inline]
                fn read<'a>(
                    mut fields: impl $crate::rocketmq::wire::header::Expect<'a>,
                ) -> Result<$name $(<$life>)?, $crate::rocketmq::wire::command::CommandError> {
                    use $crate::rocketmq::wire::command::base::hint;

                    $(let mut $field = fields.expect($wire, concat!("\"", $wire, "\":\""));)*
                    $(
                        let mut $base = $crate::rocketmq::wire::command::RequestBase::default();
                        $base.expect(&mut fields)?;
                    )?
                    let mut memory = [0; 64];
                    for entry in fields {
                        let name = entry.name_bytes(&mut memory);
                        match hint(name) {
                            $(
                                found if found == const { hint($wire.as_bytes()) }
                                    && name == $wire.as_bytes() => $field = entry.value,
                            )*
                            _ => { $($base.accept(name, entry.value)?;)? }
                        }
                    }
                    Ok($name {
                        $($field: commands!(@read $wire, $field $(, $default)?),)*
                        $($base,)?
                    })
                }
                match ext.walk() {
                    $crate::rocketmq::wire::header::Walk::Json(fields) => read(fields),
                    $crate::rocketmq::wire::header::Walk::Binary(fields) => read(fields),
                }
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

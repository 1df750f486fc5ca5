//! Records of the trace topic: who sent and consumed what, and how long it took.
//!
//! The module decides how a record is written and read; which messages are traced, and how records
//! are gathered into one, is left to the client. A body is one record behind the other, each a
//! name and fields with byte 1 between them and byte 2 at the end. Java writes `null` for a text
//! that it has not; so does who uses this module.
//!
//! ```
//! use turbopump_core::rocketmq::wire::trace::{Recall, TraceRecord, records};
//!
//! let recall = TraceRecord::Recall(Recall {
//!     timestamp_ms: 7,
//!     region_id: "DefaultRegion",
//!     group_name: "g",
//!     topic: "T",
//!     message_id: "M",
//!     is_success: true,
//! });
//! let text = recall.to_string();
//! assert_eq!(text, "Recall\x017\x01DefaultRegion\x01g\x01T\x01M\x01true\x02");
//! assert!(records(&text).eq([Ok(recall)]));
//! ```

use core::error::Error;
use core::fmt::{self, Write};

/// Declares the kinds of records: a name, then fields in their order.
macro_rules! trace_records {
    ($(
        $(#[$meta:meta])*
        $record:ident = $name:literal {
            $($(#[$field_meta:meta])* $field:ident: $type:ty,)*
        }
    )*) => {
        /// A record. [`Display`](fmt::Display) writes it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum TraceRecord<'a> {
            $($(#[$meta])* $record($record<'a>),)*
        }

        $(
            $(#[$meta])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub struct $record<'a> {
                $($(#[$field_meta])* pub $field: $type,)*
            }
        )*

        impl fmt::Display for TraceRecord<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$record(record) => {
                        f.write_str($name)?;
                        $(record.$field.write(f)?;)*
                    })*
                }
                f.write_char(RECORD_END)
            }
        }

        /// Fields behind those that are known are left alone: newer clients may add some.
        fn read<'a>(fields: &mut Fields<'a>) -> Result<TraceRecord<'a>, TraceError> {
            let unknown = fields.error();
            Ok(match fields.text()? {
                $($name => TraceRecord::$record($record {
                    $($field: TraceField::read(fields)?,)*
                }),)*
                _ => return Err(unknown),
            })
        }
    };
}

trace_records! {
    /// A message was sent.
    Pub = "Pub" {
        /// When, in milliseconds since 1970.
        timestamp_ms: i64,
        /// The broker's region.
        region_id: &'a str,
        /// The producer's group.
        group_name: &'a str,
        /// The topic.
        topic: &'a str,
        /// The id that the producer gave the message.
        message_id: &'a str,
        /// The tag.
        tags: &'a str,
        /// The keys.
        keys: &'a str,
        /// The broker's address.
        store_host: &'a str,
        /// The length of the body.
        body_bytes: i32,
        /// How long it took.
        cost_ms: i32,
        /// 0 normal, 1 half, 2 commit, 3 delay, 4 order.
        message_type: i32,
        /// The id that the broker gave the message.
        offset_message_id: &'a str,
        /// Whether it was stored.
        is_success: bool,
        /// The producer's address: from Go's clients only.
        client_host: Option<&'a str>,
    }

    /// A message goes to a listener.
    SubBefore = "SubBefore" {
        /// When, in milliseconds since 1970.
        timestamp_ms: i64,
        /// The broker's region.
        region_id: &'a str,
        /// The consumer's group.
        group_name: &'a str,
        /// What [`SubAfter`] has as well.
        request_id: &'a str,
        /// The message's id.
        message_id: &'a str,
        /// How often it has failed.
        retry_times: i32,
        /// The keys.
        keys: &'a str,
        /// The consumer's address: from Go's clients only.
        client_host: Option<&'a str>,
    }

    /// A listener is done with a message.
    SubAfter = "SubAfter" {
        /// What [`SubBefore`] has as well.
        request_id: &'a str,
        /// The message's id.
        message_id: &'a str,
        /// How long it took.
        cost_ms: i32,
        /// Whether the message was consumed.
        is_success: bool,
        /// The keys.
        keys: &'a str,
        /// 0 success, 1 timeout, 2 exception, 3 null, 4 failed.
        context_code: i32,
        /// When, in milliseconds since 1970, and the consumer's group; not in the cloud.
        origin: Option<(i64, &'a str)>,
    }

    /// A transaction has ended.
    EndTransaction = "EndTransaction" {
        /// When, in milliseconds since 1970.
        timestamp_ms: i64,
        /// The broker's region.
        region_id: &'a str,
        /// The producer's group.
        group_name: &'a str,
        /// The topic.
        topic: &'a str,
        /// The message's id.
        message_id: &'a str,
        /// The tag.
        tags: &'a str,
        /// The keys.
        keys: &'a str,
        /// The broker's address.
        store_host: &'a str,
        /// As in [`Pub::message_type`].
        message_type: i32,
        /// The transaction.
        transaction_id: &'a str,
        /// `COMMIT_MESSAGE`, `ROLLBACK_MESSAGE` or `UNKNOW`.
        state: &'a str,
        /// Whether the broker had asked.
        is_from_check: bool,
    }

    /// A delayed message was recalled.
    Recall = "Recall" {
        /// When, in milliseconds since 1970.
        timestamp_ms: i64,
        /// The broker's region.
        region_id: &'a str,
        /// The producer's group.
        group_name: &'a str,
        /// The topic.
        topic: &'a str,
        /// The message's id.
        message_id: &'a str,
        /// Whether it was recalled.
        is_success: bool,
    }
}

/// A record that can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TraceError {
    /// Where the record starts, in bytes.
    pub position: usize,
    /// Which of its fields is wrong or missing; its name is number 0.
    pub field: usize,
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { position, field } = self;
        write!(
            f,
            "field {field} of the trace record at byte {position} is wrong or missing: \
             skip the record, a client of another version made it"
        )
    }
}

impl Error for TraceError {}

/// Reads all records of a body. One that can't be read is reported, and those behind it are read.
pub fn records(text: &str) -> impl Iterator<Item = Result<TraceRecord<'_>, TraceError>> + '_ {
    let mut next = 0_usize;
    let pieces = text.split(RECORD_END).map(move |record| {
        let position = next;
        next = next.saturating_add(record.len()).saturating_add(1);
        (position, record)
    });
    pieces.filter(|(_, record)| !record.is_empty()).map(|(position, record)| {
        let mut fields = Fields { fields: record.split(FIELD_END), position, field: 0 };
        read(&mut fields)
    })
}

impl<'a> TraceRecord<'a> {
    /// The message's id and its keys, by which the record can be found; the records' message has
    /// those of all of them as its keys.
    pub fn index_keys(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let (message_id, keys) = match *self {
            Self::Pub(Pub { message_id, keys, .. })
            | Self::SubBefore(SubBefore { message_id, keys, .. })
            | Self::SubAfter(SubAfter { message_id, keys, .. })
            | Self::EndTransaction(EndTransaction { message_id, keys, .. }) => (message_id, keys),
            Self::Recall(Recall { message_id, .. }) => (message_id, ""),
        };
        core::iter::once(message_id).chain(keys.split(' ')).filter(|key| !key.is_empty())
    }
}

/// What a field of a record may be.
trait TraceField<'a>: Sized {
    fn read(fields: &mut Fields<'a>) -> Result<Self, TraceError>;

    /// Writes it behind the end of the field before.
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

macro_rules! parsed_fields {
    ($($type:ty),*) => {$(
        impl TraceField<'_> for $type {
            fn read(fields: &mut Fields<'_>) -> Result<Self, TraceError> {
                let error = fields.error();
                fields.text()?.parse().map_err(|_| error)
            }

            fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{FIELD_END}{self}")
            }
        }
    )*};
}

parsed_fields!(i32, i64, bool);

impl<'a> TraceField<'a> for &'a str {
    fn read(fields: &mut Fields<'a>) -> Result<Self, TraceError> {
        fields.text()
    }

    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{FIELD_END}{self}")
    }
}

impl<'a, T: TraceField<'a>> TraceField<'a> for Option<T> {
    fn read(fields: &mut Fields<'a>) -> Result<Self, TraceError> {
        Ok(T::read(fields).ok())
    }

    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().map_or(Ok(()), |value| value.write(f))
    }
}

impl<'a, T: TraceField<'a>, U: TraceField<'a>> TraceField<'a> for (T, U) {
    fn read(fields: &mut Fields<'a>) -> Result<Self, TraceError> {
        Ok((T::read(fields)?, U::read(fields)?))
    }

    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f)?;
        self.1.write(f)
    }
}

/// The fields of a record, one after the other.
struct Fields<'a> {
    fields: core::str::Split<'a, char>,
    position: usize,
    field: usize,
}

impl<'a> Fields<'a> {
    fn text(&mut self) -> Result<&'a str, TraceError> {
        let text = self.fields.next().ok_or_else(|| self.error())?;
        self.field = self.field.saturating_add(1);
        Ok(text)
    }

    const fn error(&self) -> TraceError {
        TraceError { position: self.position, field: self.field }
    }
}

const FIELD_END: char = '\u{1}';
const RECORD_END: char = '\u{2}';

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests {
    extern crate alloc;
    use alloc::string::ToString;
    use alloc::vec::Vec;

    use super::{TraceError, TraceRecord, records};

    const PUB: &str = "Pub\u{1}1\u{1}r\u{1}g\u{1}T\u{1}M\u{1}t\u{1}k1 k2\u{1}h\u{1}0\u{1}3\u{1}0\
                       \u{1}O\u{1}true";

    #[test]
    fn records_of_both_clients_come_back() {
        let text = alloc::format!(
            "{PUB}\u{2}{PUB}\u{1}10.0.0.1\u{2}SubAfter\u{1}R\u{1}M\u{1}5\u{1}false\u{1}k\u{1}2\u{2}"
        );
        let all: Vec<TraceRecord<'_>> = records(&text).map(Result::unwrap).collect();
        assert_eq!(all.len(), 3);
        assert_eq!(all.iter().map(ToString::to_string).collect::<alloc::string::String>(), text);
        assert!(all[0].index_keys().eq(["M", "k1", "k2"]));
    }

    #[test]
    fn a_bad_record_does_not_hide_those_behind_it() {
        let text = alloc::format!("Pub\u{1}x\u{2}What\u{2}{PUB}\u{2}");
        let all: Vec<_> = records(&text).collect();
        assert_eq!(all[0], Err(TraceError { position: 0, field: 1 }));
        assert_eq!(all[1], Err(TraceError { position: 6, field: 0 }));
        assert!(all[2].is_ok());
    }
}

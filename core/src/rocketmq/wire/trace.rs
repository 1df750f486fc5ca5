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
use core::fmt;
use core::str::FromStr;

/// A record. [`Display`](fmt::Display) writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TraceRecord<'a> {
    /// A message was sent.
    Pub(Pub<'a>),
    /// A message goes to a listener.
    SubBefore(SubBefore<'a>),
    /// A listener is done with it.
    SubAfter(SubAfter<'a>),
    /// A transaction has ended.
    EndTransaction(EndTransaction<'a>),
    /// A delayed message was recalled.
    Recall(Recall<'a>),
}

/// A message was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pub<'a> {
    /// When, in milliseconds since 1970.
    pub timestamp_ms: i64,
    /// The broker's region.
    pub region_id: &'a str,
    /// The producer's group.
    pub group_name: &'a str,
    /// The topic.
    pub topic: &'a str,
    /// The id that the producer gave the message.
    pub message_id: &'a str,
    /// The tag.
    pub tags: &'a str,
    /// The keys.
    pub keys: &'a str,
    /// The broker's address.
    pub store_host: &'a str,
    /// The length of the body.
    pub body_bytes: i32,
    /// How long it took.
    pub cost_ms: i32,
    /// 0 normal, 1 half, 2 commit, 3 delay, 4 order.
    pub message_type: i32,
    /// The id that the broker gave the message.
    pub offset_message_id: &'a str,
    /// Whether it was stored.
    pub is_success: bool,
    /// The producer's address: from Go's clients only.
    pub client_host: Option<&'a str>,
}

/// A message goes to a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubBefore<'a> {
    /// When, in milliseconds since 1970.
    pub timestamp_ms: i64,
    /// The broker's region.
    pub region_id: &'a str,
    /// The consumer's group.
    pub group_name: &'a str,
    /// What [`SubAfter`] has as well.
    pub request_id: &'a str,
    /// The message's id.
    pub message_id: &'a str,
    /// How often it has failed.
    pub retry_times: i32,
    /// The keys.
    pub keys: &'a str,
    /// The consumer's address: from Go's clients only.
    pub client_host: Option<&'a str>,
}

/// A listener is done with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubAfter<'a> {
    /// What [`SubBefore`] has as well.
    pub request_id: &'a str,
    /// The message's id.
    pub message_id: &'a str,
    /// How long it took.
    pub cost_ms: i32,
    /// Whether the message was consumed.
    pub is_success: bool,
    /// The keys.
    pub keys: &'a str,
    /// 0 success, 1 timeout, 2 exception, 3 null, 4 failed.
    pub context_code: i32,
    /// When, in milliseconds since 1970, and the consumer's group; not in the cloud.
    pub origin: Option<(i64, &'a str)>,
}

/// A transaction has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndTransaction<'a> {
    /// When, in milliseconds since 1970.
    pub timestamp_ms: i64,
    /// The broker's region.
    pub region_id: &'a str,
    /// The producer's group.
    pub group_name: &'a str,
    /// The topic.
    pub topic: &'a str,
    /// The message's id.
    pub message_id: &'a str,
    /// The tag.
    pub tags: &'a str,
    /// The keys.
    pub keys: &'a str,
    /// The broker's address.
    pub store_host: &'a str,
    /// As in [`Pub::message_type`].
    pub message_type: i32,
    /// The transaction.
    pub transaction_id: &'a str,
    /// `COMMIT_MESSAGE`, `ROLLBACK_MESSAGE` or `UNKNOW`.
    pub state: &'a str,
    /// Whether the broker had asked.
    pub is_from_check: bool,
}

/// A delayed message was recalled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recall<'a> {
    /// When, in milliseconds since 1970.
    pub timestamp_ms: i64,
    /// The broker's region.
    pub region_id: &'a str,
    /// The producer's group.
    pub group_name: &'a str,
    /// The topic.
    pub topic: &'a str,
    /// The message's id.
    pub message_id: &'a str,
    /// Whether it was recalled.
    pub is_success: bool,
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

impl fmt::Display for TraceRecord<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pub(record) => write_pub(f, record),
            Self::SubBefore(record) => write_sub_before(f, record),
            Self::SubAfter(record) => write_sub_after(f, record),
            Self::EndTransaction(record) => write_end_transaction(f, record),
            Self::Recall(record) => write_recall(f, record),
        }?;
        fmt::Write::write_char(f, RECORD_END)
    }
}

fn write_fields(f: &mut fmt::Formatter<'_>, fields: &[&dyn fmt::Display]) -> fmt::Result {
    let mut separator = "";
    for field in fields {
        write!(f, "{separator}{field}")?;
        separator = "\u{1}";
    }
    Ok(())
}

fn write_client_host(f: &mut fmt::Formatter<'_>, host: Option<&str>) -> fmt::Result {
    host.map_or(Ok(()), |host| write!(f, "{FIELD_END}{host}"))
}

fn write_pub(f: &mut fmt::Formatter<'_>, record: &Pub<'_>) -> fmt::Result {
    let Pub { timestamp_ms, region_id, group_name, topic, message_id, tags, keys, .. } = record;
    let Pub { store_host, body_bytes, cost_ms, message_type, offset_message_id, .. } = record;
    let (head, success) = (&PUB, &record.is_success);
    write_fields(f, &[head, timestamp_ms, region_id, group_name, topic, message_id, tags, keys])?;
    let tail: [&dyn fmt::Display; 7] =
        [&"", store_host, body_bytes, cost_ms, message_type, offset_message_id, success];
    write_fields(f, &tail)?;
    write_client_host(f, record.client_host)
}

fn write_sub_before(f: &mut fmt::Formatter<'_>, record: &SubBefore<'_>) -> fmt::Result {
    let SubBefore { timestamp_ms, region_id, group_name, request_id, message_id, .. } = record;
    let (head, retries, keys) = (&SUB_BEFORE, &record.retry_times, &record.keys);
    write_fields(
        f,
        &[head, timestamp_ms, region_id, group_name, request_id, message_id, retries, keys],
    )?;
    write_client_host(f, record.client_host)
}

fn write_sub_after(f: &mut fmt::Formatter<'_>, record: &SubAfter<'_>) -> fmt::Result {
    let SubAfter { request_id, message_id, cost_ms, is_success, keys, context_code, .. } = record;
    let head = &SUB_AFTER;
    write_fields(f, &[head, request_id, message_id, cost_ms, is_success, keys, context_code])?;
    match &record.origin {
        Some((timestamp_ms, group_name)) => write_fields(f, &[&"", timestamp_ms, group_name]),
        None => Ok(()),
    }
}

fn write_end_transaction(f: &mut fmt::Formatter<'_>, record: &EndTransaction<'_>) -> fmt::Result {
    let EndTransaction { timestamp_ms, region_id, group_name, topic, message_id, .. } = record;
    let EndTransaction { tags, keys, store_host, message_type, transaction_id, .. } = record;
    let (head, state, check) = (&END_TRANSACTION, &record.state, &record.is_from_check);
    write_fields(f, &[head, timestamp_ms, region_id, group_name, topic, message_id, tags, keys])?;
    write_fields(f, &[&"", store_host, message_type, transaction_id, state, check])
}

fn write_recall(f: &mut fmt::Formatter<'_>, record: &Recall<'_>) -> fmt::Result {
    let Recall { timestamp_ms, region_id, group_name, topic, message_id, is_success } = record;
    let head = &RECALL;
    write_fields(f, &[head, timestamp_ms, region_id, group_name, topic, message_id, is_success])
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

    fn parsed<T: FromStr>(&mut self) -> Result<T, TraceError> {
        let error = self.error();
        self.text()?.parse().map_err(|_| error)
    }

    const fn error(&self) -> TraceError {
        TraceError { position: self.position, field: self.field }
    }
}

/// Fields behind those that are known are left alone: newer clients may add some.
fn read<'a>(fields: &mut Fields<'a>) -> Result<TraceRecord<'a>, TraceError> {
    let unknown = fields.error();
    match fields.text()? {
        PUB => read_pub(fields).map(TraceRecord::Pub),
        SUB_BEFORE => read_sub_before(fields).map(TraceRecord::SubBefore),
        SUB_AFTER => read_sub_after(fields).map(TraceRecord::SubAfter),
        END_TRANSACTION => read_end_transaction(fields).map(TraceRecord::EndTransaction),
        RECALL => read_recall(fields).map(TraceRecord::Recall),
        _ => Err(unknown),
    }
}

fn read_pub<'a>(fields: &mut Fields<'a>) -> Result<Pub<'a>, TraceError> {
    Ok(Pub {
        timestamp_ms: fields.parsed()?,
        region_id: fields.text()?,
        group_name: fields.text()?,
        topic: fields.text()?,
        message_id: fields.text()?,
        tags: fields.text()?,
        keys: fields.text()?,
        store_host: fields.text()?,
        body_bytes: fields.parsed()?,
        cost_ms: fields.parsed()?,
        message_type: fields.parsed()?,
        offset_message_id: fields.text()?,
        is_success: fields.parsed()?,
        client_host: fields.text().ok(),
    })
}

fn read_sub_before<'a>(fields: &mut Fields<'a>) -> Result<SubBefore<'a>, TraceError> {
    Ok(SubBefore {
        timestamp_ms: fields.parsed()?,
        region_id: fields.text()?,
        group_name: fields.text()?,
        request_id: fields.text()?,
        message_id: fields.text()?,
        retry_times: fields.parsed()?,
        keys: fields.text()?,
        client_host: fields.text().ok(),
    })
}

fn read_sub_after<'a>(fields: &mut Fields<'a>) -> Result<SubAfter<'a>, TraceError> {
    Ok(SubAfter {
        request_id: fields.text()?,
        message_id: fields.text()?,
        cost_ms: fields.parsed()?,
        is_success: fields.parsed()?,
        keys: fields.text()?,
        context_code: fields.parsed()?,
        origin: match fields.parsed() {
            Ok(timestamp_ms) => Some((timestamp_ms, fields.text()?)),
            Err(_) => None,
        },
    })
}

fn read_end_transaction<'a>(fields: &mut Fields<'a>) -> Result<EndTransaction<'a>, TraceError> {
    Ok(EndTransaction {
        timestamp_ms: fields.parsed()?,
        region_id: fields.text()?,
        group_name: fields.text()?,
        topic: fields.text()?,
        message_id: fields.text()?,
        tags: fields.text()?,
        keys: fields.text()?,
        store_host: fields.text()?,
        message_type: fields.parsed()?,
        transaction_id: fields.text()?,
        state: fields.text()?,
        is_from_check: fields.parsed()?,
    })
}

fn read_recall<'a>(fields: &mut Fields<'a>) -> Result<Recall<'a>, TraceError> {
    Ok(Recall {
        timestamp_ms: fields.parsed()?,
        region_id: fields.text()?,
        group_name: fields.text()?,
        topic: fields.text()?,
        message_id: fields.text()?,
        is_success: fields.parsed()?,
    })
}

const FIELD_END: char = '\u{1}';
const RECORD_END: char = '\u{2}';

const PUB: &str = "Pub";
const SUB_BEFORE: &str = "SubBefore";
const SUB_AFTER: &str = "SubAfter";
const END_TRANSACTION: &str = "EndTransaction";
const RECALL: &str = "Recall";

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

//! Reading stored messages, one or many in a row.
//!
//! As the Java client does, the total size at the front is not used to find the next message: the
//! fields are. The body's CRC is checked by who wants it checked.

use core::iter::FusedIterator;

use super::input::Input;
use super::{Field, Message, MessageError, MessageProblem, SysFlag, Version};

impl<'a> Message<'a> {
    /// Reads the message at the start of `bytes` and returns it with its length in bytes.
    ///
    /// Topics have to be UTF-8; properties are looked at by [`Message::properties`] only. A
    /// length of the properties below zero means none, as it does to the Java client.
    ///
    /// # Errors
    ///
    /// [`MessageError`] for anything that is no message, and for one whose body was compressed in
    /// an unknown way.
    pub fn decode(bytes: &'a [u8]) -> Result<(Self, usize), MessageError> {
        let (message, len) = read(bytes)?;
        check_compression(&message)?;
        Ok((message, len))
    }
}

/// The messages of a response's body, one after the other.
///
/// Ends after the first error, because nobody knows where the next message would start; only an
/// unknown compression is reported and walked over. What came before an error is good.
#[derive(Clone, Debug)]
pub struct Messages<'a> {
    rest: &'a [u8],
    position: usize,
}

impl<'a> Messages<'a> {
    /// Walks `body`, which starts with a message.
    #[must_use]
    pub const fn new(body: &'a [u8]) -> Self {
        Self { rest: body, position: 0 }
    }

    /// How many bytes of the body were walked.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.position
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, MessageError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let start = self.position;
        match read(self.rest) {
            Ok((message, len)) => {
                self.rest = self.rest.get(len..).unwrap_or_default();
                self.position = start.saturating_add(len);
                match check_compression(&message) {
                    Ok(()) => Some(Ok(message)),
                    Err(error) => Some(Err(error.shifted_by(start))),
                }
            }
            Err(error) => {
                self.rest = &[];
                Some(Err(error.shifted_by(start)))
            }
        }
    }
}

impl FusedIterator for Messages<'_> {}

// Always, so that fields that nobody looks at cost nothing.
#[inline(always)]
fn read(bytes: &[u8]) -> Result<(Message<'_>, usize), MessageError> {
    let mut input = Input::new(bytes);
    let _total_bytes = input.i32(Field::Head)?;
    let before = input;
    let magic = input.i32(Field::Magic)?;
    let Some(version) = Version::from_magic(magic) else {
        return Err(before.error(Field::Magic, MessageProblem::Magic { found: magic }));
    };
    let body_crc = input.i32(Field::Head)?;
    let queue_id = input.i32(Field::Head)?;
    let flag = input.i32(Field::Head)?;
    let queue_offset = input.i64(Field::Head)?;
    let physical_offset = input.i64(Field::Head)?;
    let sys_flag = SysFlag(input.i32(Field::SysFlag)?);
    let born_timestamp_ms = input.i64(Field::Head)?;
    let born_host = input.host(Field::BornHost, sys_flag.has(SysFlag::BORN_HOST_V6))?;
    let store_timestamp_ms = input.i64(Field::Head)?;
    let store_host = input.host(Field::StoreHost, sys_flag.has(SysFlag::STORE_HOST_V6))?;
    let reconsume_times = input.i32(Field::Head)?;
    let prepared_transaction_offset = input.i64(Field::Head)?;
    let body_len = input.i32(Field::Body)?;
    let body = input.bytes(Field::Body, body_len)?;
    let topic_len = match version {
        Version::V1 => i32::from(input.i8(Field::Topic)?),
        Version::V2 => i32::from(input.i16(Field::Topic)?),
    };
    let before = input;
    let Ok(topic) = core::str::from_utf8(input.bytes(Field::Topic, topic_len)?) else {
        return Err(before.error(Field::Topic, MessageProblem::NotUtf8));
    };
    let properties_len = input.i16(Field::Properties)?.max(0);
    let properties = input.bytes(Field::Properties, properties_len.into())?;
    let message = Message {
        version,
        body_crc,
        queue_id,
        flag,
        queue_offset,
        physical_offset,
        sys_flag,
        born_timestamp_ms,
        born_host,
        store_timestamp_ms,
        store_host,
        reconsume_times,
        prepared_transaction_offset,
        body,
        topic,
        properties,
    };
    Ok((message, input.position()))
}

#[inline]
fn check_compression(message: &Message<'_>) -> Result<(), MessageError> {
    match message.sys_flag.compression() {
        Ok(_) => Ok(()),
        Err(unknown) => Err(MessageError {
            position: SYS_FLAG_AT,
            field: Field::SysFlag,
            problem: MessageProblem::Compression(unknown),
        }),
    }
}

/// Where the system flag is in a message, in bytes.
const SYS_FLAG_AT: usize = 36;

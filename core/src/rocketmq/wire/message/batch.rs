//! Messages within a batch: what request 320 carries, and what a broker stores as inner batch.
//!
//! A batch says nothing of topic, queue and times; those are its request's, or the outer message's.

use core::iter::FusedIterator;

use super::input::Input;
use super::output::{I16_MAX, I32_MAX, Output, checked_len};
use super::{EncodeError, Field, Message, MessageError, body_crc};

/// One message of a batch.
///
/// ```
/// use turbopump_core::rocketmq::wire::message::{BatchEntries, BatchEntry};
///
/// let entry = BatchEntry { flag: 0, body: b"hello", properties: b"TAGS\x01red\x02" };
/// let mut memory = [0; 64];
/// let len = entry.encode(&mut memory)?;
/// assert_eq!(BatchEntries::new(&memory[..len]).next(), Some(Ok(entry)));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchEntry<'a> {
    /// A value of the user's.
    pub flag: i32,
    /// What is sent; never compressed.
    pub body: &'a [u8],
    /// The text of the properties.
    pub properties: &'a [u8],
}

impl<'a> BatchEntry<'a> {
    /// The length of the encoded entry in bytes.
    #[must_use]
    pub const fn encoded_len(&self) -> usize {
        FIXED_BYTES.saturating_add(self.body.len()).saturating_add(self.properties.len())
    }

    /// Writes the entry to the start of `memory` and returns its length in bytes: a batch is one
    /// entry behind the other.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] for a field that is too long, and for too little memory.
    pub fn encode(&self, memory: &mut [u8]) -> Result<usize, EncodeError> {
        let body_len = checked_len(Field::Body, self.body, I32_MAX)?;
        let properties_len = checked_len(Field::Properties, self.properties, I16_MAX)?;
        let encoded_len = self.encoded_len();
        let Ok(total) = i32::try_from(encoded_len) else {
            let (field, len_bytes, len_bytes_max) = (Field::Body, encoded_len, I32_MAX);
            return Err(EncodeError::TooLong { field, len_bytes, len_bytes_max });
        };
        let mut output = Output::new(memory, encoded_len)?;
        output.i32(total);
        output.i32(0); // magic and CRC: nobody reads them
        output.i32(0);
        output.i32(self.flag);
        output.i32(body_len);
        output.put(self.body);
        // Fits: its limit was checked.
        output.put(&(properties_len as i16).to_be_bytes());
        output.put(self.properties);
        Ok(encoded_len)
    }

    /// Reads the entry at the start of `bytes` and returns it with its length in bytes. The total
    /// size at the front is not used, the fields are.
    ///
    /// # Errors
    ///
    /// [`MessageError`] for lengths that are below zero or beyond the end.
    pub fn decode(bytes: &'a [u8]) -> Result<(Self, usize), MessageError> {
        let mut input = Input::new(bytes);
        input.array::<12>(Field::Head)?;
        let flag = input.i32(Field::Head)?;
        let body_len = input.i32(Field::Body)?;
        let body = input.bytes(Field::Body, body_len)?;
        let properties_len = input.i16(Field::Properties)?;
        let properties = input.bytes(Field::Properties, properties_len.into())?;
        Ok((Self { flag, body, properties }, input.position()))
    }
}

/// The messages of a batch, one after the other; ends after the first error.
#[derive(Clone, Debug)]
pub struct BatchEntries<'a> {
    rest: &'a [u8],
    position: usize,
}

impl<'a> BatchEntries<'a> {
    /// Walks the body of a batch.
    #[must_use]
    pub const fn new(body: &'a [u8]) -> Self {
        Self { rest: body, position: 0 }
    }
}

impl<'a> Iterator for BatchEntries<'a> {
    type Item = Result<BatchEntry<'a>, MessageError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        match BatchEntry::decode(self.rest) {
            Ok((entry, len)) => {
                self.rest = self.rest.get(len..).unwrap_or_default();
                self.position = self.position.saturating_add(len);
                Some(Ok(entry))
            }
            Err(error) => {
                self.rest = &[];
                Some(Err(error.shifted_by(self.position)))
            }
        }
    }
}

impl FusedIterator for BatchEntries<'_> {}

/// The messages of an inner batch: flag, body and properties are each one's own, the queue offsets
/// count up from the outer message's, and everything else is the outer message's.
#[derive(Clone, Debug)]
pub struct InnerMessages<'a> {
    outer: Message<'a>,
    entries: BatchEntries<'a>,
}

impl<'a> InnerMessages<'a> {
    pub(super) const fn new(outer: Message<'a>, body: &'a [u8]) -> Self {
        Self { outer, entries: BatchEntries::new(body) }
    }
}

impl<'a> Iterator for InnerMessages<'a> {
    type Item = Result<Message<'a>, MessageError>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = match self.entries.next()? {
            Ok(entry) => entry,
            Err(error) => return Some(Err(error)),
        };
        let BatchEntry { flag, body, properties } = entry;
        let inner = Message { flag, body, properties, body_crc: body_crc(body), ..self.outer };
        self.outer.queue_offset = self.outer.queue_offset.wrapping_add(1);
        Some(Ok(inner))
    }
}

impl FusedIterator for InnerMessages<'_> {}

/// All fields of fixed length.
const FIXED_BYTES: usize = 22;

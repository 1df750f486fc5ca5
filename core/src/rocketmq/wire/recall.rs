//! Handles that recall a delayed message before it is delivered.
//!
//! The module decides how a handle is written and read: Base64 with the alphabet for URLs and with
//! padding, of a version and four items with one space between them.

use core::error::Error;
use core::fmt::{self, Write};

/// Which delayed message is to be recalled. [`Display`](fmt::Display) writes the handle.
///
/// ```
/// use turbopump_core::rocketmq::wire::recall::RecallHandle;
///
/// let handle = RecallHandle {
///     topic: "Delay0",
///     broker_name: "broker-0",
///     deliver_time_ms: 1_700_000_000_001,
///     unique_key: "7F000001000100000000000000000000",
/// };
/// let text = handle.to_string();
/// assert!(text.starts_with("djEgRGVsYXkwIGJyb2tlci0w"));
///
/// let mut memory = [0; 128];
/// assert_eq!(RecallHandle::decode(&text, &mut memory)?, handle);
/// # Ok::<(), turbopump_core::rocketmq::wire::recall::RecallHandleError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecallHandle<'a> {
    /// The topic; it has no space.
    pub topic: &'a str,
    /// The broker; its name has no space.
    pub broker_name: &'a str,
    /// When the message is to be delivered, in milliseconds since 1970.
    pub deliver_time_ms: i64,
    /// The id that the producer gave the message.
    pub unique_key: &'a str,
}

/// Text that is no handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecallHandleError {
    /// It is no Base64.
    Base64 {
        /// Where, in bytes from the start of the text.
        position: usize,
    },
    /// The memory is too short.
    NoRoom {
        /// What the handle takes.
        needed_bytes: usize,
        /// What there is.
        room_bytes: usize,
    },
    /// It does not hold what a handle holds.
    Content {
        /// What is missing or wrong.
        expected: &'static str,
    },
}

impl fmt::Display for RecallHandleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Base64 { position } => {
                write!(f, "no Base64 at byte {position} of a recall handle: pass on all of it")
            }
            Self::NoRoom { needed_bytes, room_bytes } => write!(
                f,
                "a recall handle takes {needed_bytes} bytes, there is room for {room_bytes}: \
                 three quarters of the text's length are enough"
            ),
            Self::Content { expected } => {
                write!(f, "{expected} is expected in a recall handle: did a broker make it?")
            }
        }
    }
}

impl Error for RecallHandleError {}

impl<'a> RecallHandle<'a> {
    /// Reads a handle; what it holds goes into `memory`, which needs three quarters of the text's
    /// length.
    ///
    /// # Errors
    ///
    /// [`RecallHandleError`] for text that is no handle of version 1, and for too little memory.
    pub fn decode(text: &str, memory: &'a mut [u8]) -> Result<Self, RecallHandleError> {
        let len = decode_base64(text.as_bytes(), memory)?;
        let content = |expected| RecallHandleError::Content { expected };
        let plain = memory.get(..len).unwrap_or_default();
        let plain = core::str::from_utf8(plain).map_err(|_| content("UTF-8"))?;
        let mut items = plain.split(' ');
        if items.next() != Some(VERSION) {
            return Err(content("version v1"));
        }
        let mut text = |expected| items.next().ok_or_else(|| content(expected));
        let (topic, broker_name) = (text("a topic")?, text("a broker's name")?);
        let deliver_time_ms = text("a time")?.parse().map_err(|_| content("a time"))?;
        let unique_key = text("a message's id")?;
        match items.next() {
            None => Ok(Self { topic, broker_name, deliver_time_ms, unique_key }),
            Some(_) => Err(content("the end")),
        }
    }
}

impl fmt::Display for RecallHandle<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic, broker_name, deliver_time_ms, unique_key } = self;
        let mut base64 = Base64 { output: f, bits: 0, bytes: 0 };
        write!(base64, "{VERSION} {topic} {broker_name} {deliver_time_ms} {unique_key}")?;
        base64.finish()
    }
}

/// Writes Base64 of what is written to it.
struct Base64<'a, 'f> {
    output: &'a mut fmt::Formatter<'f>,
    /// Bytes that have no group yet, and how many: fewer than three.
    bits: u32,
    bytes: usize,
}

impl Base64<'_, '_> {
    fn push(&mut self, byte: u8) -> fmt::Result {
        self.bits = self.bits << 8 | u32::from(byte);
        self.bytes = self.bytes.saturating_add(1);
        if self.bytes < 3 {
            return Ok(());
        }
        self.bytes = 0;
        self.digits(4)
    }

    /// The first `count` digits of the group.
    fn digits(&mut self, count: usize) -> fmt::Result {
        for shift in [18, 12, 6, 0].into_iter().take(count) {
            let digit = (self.bits >> shift & 0x3f) as usize;
            self.output.write_char(char::from(*ALPHABET.get(digit).unwrap_or(&b'=')))?;
        }
        self.bits = 0;
        Ok(())
    }

    fn finish(mut self) -> fmt::Result {
        match self.bytes {
            1 => {
                self.bits <<= 16;
                self.digits(2)?;
                self.output.write_str("==")
            }
            2 => {
                self.bits <<= 8;
                self.digits(3)?;
                self.output.write_str("=")
            }
            _ => Ok(()),
        }
    }
}

impl Write for Base64<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().try_for_each(|byte| self.push(byte))
    }
}

/// Java's reader wants whole groups or none of the padding; both are taken.
fn decode_base64(text: &[u8], output: &mut [u8]) -> Result<usize, RecallHandleError> {
    let digits = match text {
        [digits @ .., b'=', b'='] | [digits @ .., b'='] if text.len().is_multiple_of(4) => digits,
        digits => digits,
    };
    let room_bytes = output.len();
    let needed_bytes = digits.len().saturating_mul(3) / 4;
    let Some(output) = output.get_mut(..needed_bytes) else {
        return Err(RecallHandleError::NoRoom { needed_bytes, room_bytes });
    };
    if digits.len() % 4 == 1 {
        return Err(RecallHandleError::Base64 { position: digits.len() });
    }
    let (mut bits, mut bit_count) = (0_u32, 0_u32);
    let mut bytes = output.iter_mut();
    for (position, digit) in digits.iter().enumerate() {
        let value = ALPHABET.iter().position(|known| known == digit);
        let value = value.ok_or(RecallHandleError::Base64 { position })?;
        bits = bits << 6 | value as u32;
        bit_count = bit_count.saturating_add(6);
        if bit_count >= 8 {
            bit_count = bit_count.saturating_sub(8);
            if let Some(byte) = bytes.next() {
                *byte = (bits >> bit_count) as u8;
            }
        }
    }
    Ok(needed_bytes)
}

const VERSION: &str = "v1";

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests {
    extern crate alloc;
    use alloc::string::ToString;

    use super::{RecallHandle, RecallHandleError};

    #[test]
    fn handles_of_any_length_come_back() {
        for topic in ["T", "Tt", "Ttt", "主题ÿÿ"] {
            let handle =
                RecallHandle { topic, broker_name: "b", deliver_time_ms: -1, unique_key: "U" };
            let text = handle.to_string();
            assert_eq!(text.len() % 4, 0);
            let mut memory = [0; 64];
            assert_eq!(RecallHandle::decode(&text, &mut memory), Ok(handle));
            let unpadded = text.trim_end_matches('=');
            assert_eq!(RecallHandle::decode(unpadded, &mut memory), Ok(handle));
        }
    }

    #[test]
    fn what_is_no_handle_is_refused() {
        let mut memory = [0; 8];
        let mut refusal = |text| RecallHandle::decode(text, &mut memory).unwrap_err();
        assert_eq!(refusal(""), RecallHandleError::Content { expected: "version v1" });
        assert_eq!(refusal("djE="), RecallHandleError::Content { expected: "a topic" });
        assert_eq!(refusal("dj+E"), RecallHandleError::Base64 { position: 2 });
        assert_eq!(refusal("djEgR"), RecallHandleError::Base64 { position: 5 });
        let no_room = RecallHandleError::NoRoom { needed_bytes: 9, room_bytes: 8 };
        assert_eq!(refusal("djEgRGVsYXkw"), no_room);
    }
}

//! Message ids, and the hashes that find messages by tags and keys.
//!
//! The module decides how ids are written and read; making them unique (a process' number, a
//! counter, the time) is left to the caller.

use core::error::Error;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::str::FromStr;

/// The id that a broker gives a message: where it is stored.
///
/// ```
/// use turbopump_core::rocketmq::wire::identity::OffsetMessageId;
///
/// let id: OffsetMessageId = "0A141E2800002A9F0000000000000100".parse()?;
/// assert_eq!(id.store_host, "10.20.30.40:10911".parse()?);
/// assert_eq!(id.physical_offset, 256);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OffsetMessageId {
    /// The broker's address.
    pub store_host: SocketAddr,
    /// The position within its log.
    pub physical_offset: i64,
}

/// The id that a producer gives a message, in the layout of the Java client.
///
/// Its text is 32 or, with an IPv6 address, 56 digits; Go's clients end it in lower case, which is
/// read as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UniqueKey {
    /// The producer's address.
    pub ip: IpAddr,
    /// The low 16 bits of the number of its process.
    pub process_id: u16,
    /// What tells apart several clients in one process.
    pub loader_hash: i32,
    /// Milliseconds since the month began where the producer is: no clock across time zones.
    pub month_ms: i32,
    /// A counter of the process.
    pub counter: u16,
}

/// Text that is no id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdError {
    /// The length is neither 32 nor 56.
    Length {
        /// The length in bytes.
        found: usize,
    },
    /// A character is no hexadecimal digit.
    Digit {
        /// Where it is, in bytes.
        position: usize,
    },
    /// The port is none.
    Port {
        /// What was found.
        found: i32,
    },
}

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { found } => {
                write!(f, "an id of {found} characters: 32 or 56 are expected")
            }
            Self::Digit { position } => {
                write!(f, "no hexadecimal digit at byte {position} of an id: is it an id at all?")
            }
            Self::Port { found } => write!(f, "{found} in an id is no port: is it an id at all?"),
        }
    }
}

impl Error for IdError {}

impl fmt::Display for OffsetMessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = Digits::of_ip(self.store_host.ip());
        digits.put(&u32::from(self.store_host.port()).to_be_bytes());
        digits.put(&self.physical_offset.to_be_bytes());
        f.write_str(digits.as_str())
    }
}

impl FromStr for OffsetMessageId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let (ip, [a, b, c, d, offset @ ..]) = read(text)?;
        let found = i32::from_be_bytes([a, b, c, d]);
        let port = u16::try_from(found).map_err(|_| IdError::Port { found })?;
        let store_host = SocketAddr::new(ip, port);
        Ok(Self { store_host, physical_offset: i64::from_be_bytes(offset) })
    }
}

impl fmt::Display for UniqueKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = Digits::of_ip(self.ip);
        digits.put(&self.process_id.to_be_bytes());
        digits.put(&self.loader_hash.to_be_bytes());
        digits.put(&self.month_ms.to_be_bytes());
        digits.put(&self.counter.to_be_bytes());
        f.write_str(digits.as_str())
    }
}

impl FromStr for UniqueKey {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let (ip, [a, b, c, d, e, f, g, h, i, j, k, l]) = read(text)?;
        Ok(Self {
            ip,
            process_id: u16::from_be_bytes([a, b]),
            loader_hash: i32::from_be_bytes([c, d, e, f]),
            month_ms: i32::from_be_bytes([g, h, i, j]),
            counter: u16::from_be_bytes([k, l]),
        })
    }
}

/// Java's hash of a text, over its UTF-16 units.
///
/// ```
/// use turbopump_core::rocketmq::wire::identity::java_hash;
///
/// assert_eq!(java_hash("TagA"), 2_598_919);
/// assert_eq!(java_hash("Aa"), java_hash("BB"));
/// ```
#[must_use]
pub fn java_hash(text: &str) -> i32 {
    java_hash_on(0, text)
}

/// Go's hash of a tag, over its bytes: the same as [`java_hash`] for ASCII only.
#[must_use]
pub fn go_hash(text: &str) -> i32 {
    text.bytes().fold(0, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()))
}

/// The number that stands for a tag in a consume queue; 0 where there is none. Different tags may
/// share one, so that consumers compare the tags themselves as well.
#[must_use]
pub fn tags_code(tag: Option<&str>) -> i64 {
    tag.map_or(0, java_hash).into()
}

/// The hash that finds a message by one of its keys.
#[must_use]
pub fn index_key_hash(topic: &str, key: &str) -> i32 {
    let hash = java_hash_on(java_hash_on(java_hash_on(0, topic), "#"), key);
    hash.checked_abs().unwrap_or(0)
}

fn java_hash_on(start: i32, text: &str) -> i32 {
    text.encode_utf16().fold(start, |hash, unit| hash.wrapping_mul(31).wrapping_add(unit.into()))
}

/// The text of an id, made at once: ids are written for every message.
struct Digits {
    bytes: [u8; DIGITS_MAX],
    len: usize,
}

/// Of an id with an IPv6 address.
const DIGITS_MAX: usize = 56;
const DIGITS: &[u8; 16] = b"0123456789ABCDEF";

impl Digits {
    fn of_ip(ip: IpAddr) -> Self {
        let mut digits = Self { bytes: [0; DIGITS_MAX], len: 0 };
        match ip {
            IpAddr::V4(ip) => digits.put(&ip.octets()),
            IpAddr::V6(ip) => digits.put(&ip.octets()),
        }
        digits
    }

    fn put(&mut self, bytes: &[u8]) {
        let room = self.bytes.iter_mut().skip(self.len);
        let halves = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
        for (place, half) in room.zip(halves) {
            *place = DIGITS.get(usize::from(half)).copied().unwrap_or(b'0');
        }
        let end = bytes.len().saturating_mul(2).saturating_add(self.len);
        self.len = end.min(DIGITS_MAX);
    }

    fn as_str(&self) -> &str {
        let written = self.bytes.get(..self.len).unwrap_or_default();
        core::str::from_utf8(written).unwrap_or_default()
    }
}

/// An address and the twelve bytes behind it.
fn read(text: &str) -> Result<(IpAddr, [u8; 12]), IdError> {
    let mut tail = [0; 12];
    let ip = match text.len() {
        32 => {
            let mut ip = [0; 4];
            read_hex(text, ip.iter_mut().chain(&mut tail))?;
            IpAddr::V4(Ipv4Addr::from(ip))
        }
        56 => {
            let mut ip = [0; 16];
            read_hex(text, ip.iter_mut().chain(&mut tail))?;
            IpAddr::V6(Ipv6Addr::from(ip))
        }
        found => return Err(IdError::Length { found }),
    };
    Ok((ip, tail))
}

fn read_hex<'o>(text: &str, output: impl Iterator<Item = &'o mut u8>) -> Result<(), IdError> {
    let mut digits = text.bytes().enumerate().map(|(position, byte)| {
        let digit = char::from(byte).to_digit(16).ok_or(IdError::Digit { position })?;
        Ok(digit as u8)
    });
    for byte in output {
        let high = digits.next().transpose()?.unwrap_or(0);
        let low = digits.next().transpose()?.unwrap_or(0);
        *byte = high << 4 | low;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests {
    extern crate alloc;
    use alloc::string::ToString;

    use super::{
        IdError, OffsetMessageId, UniqueKey, go_hash, index_key_hash, java_hash, tags_code,
    };

    #[test]
    fn unique_keys_come_back() {
        for text in [
            "AC1FFF01869F0BADF00D240C840001FF",
            "FE8000000000000000000000000000058000FFFFFFFF499602D21234",
        ] {
            let key: UniqueKey = text.parse().unwrap();
            assert_eq!(key.to_string(), text);
            assert_eq!(text.to_lowercase().parse(), Ok(key));
        }
    }

    #[test]
    fn what_is_no_id_is_refused() {
        let parse = str::parse::<OffsetMessageId>;
        assert_eq!(parse(""), Err(IdError::Length { found: 0 }));
        assert_eq!(parse("0A141E2800002A9F000000000000010G"), Err(IdError::Digit { position: 31 }));
        assert_eq!(parse("0A141E28FFFFFFFF0000000000000100"), Err(IdError::Port { found: -1 }));
        // 32 bytes, but not 32 characters.
        assert!(parse("éééééééééééééééé").is_err());
    }

    #[test]
    fn hashes_wrap_and_extend_the_sign() {
        assert_eq!(java_hash("polygenelubricants"), i32::MIN);
        assert_eq!(tags_code(Some("polygenelubricants")), i64::from(i32::MIN));
        assert_eq!(tags_code(None), 0);
        assert_eq!((java_hash("🚀"), go_hash("🚀")), (1_773_027, 7_307_541));
        assert_eq!(index_key_hash("T", "k"), java_hash("T#k").abs());
    }
}

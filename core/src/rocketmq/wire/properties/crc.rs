//! The property that guards a whole message, at the end of its properties.

use super::keys;

/// The length of the whole property in bytes.
pub const CRC_PROPERTY_BYTES: usize = 20;

/// The property for the CRC of all bytes of a message in front of it, without its highest bit:
/// ten digits, the least significant one first.
///
/// ```
/// use turbopump_core::rocketmq::wire::properties::crc_property;
///
/// assert_eq!(&crc_property(10), b"__CRC32#\x010100000000\x02");
/// ```
#[must_use]
pub fn crc_property(crc31: u32) -> [u8; CRC_PROPERTY_BYTES] {
    let mut property = *b"__CRC32#\x010000000000\x02";
    let mut rest = crc31 & 0x7fff_ffff;
    for digit in property.iter_mut().skip(DIGITS_AT).take(DIGITS) {
        *digit = b'0'.saturating_add((rest % 10) as u8);
        rest /= 10;
    }
    property
}

/// The CRC that the last property of `properties` holds, `None` if that is another property.
#[must_use]
pub fn crc_of_property(properties: &[u8]) -> Option<u32> {
    let (_, property) = properties.split_last_chunk::<CRC_PROPERTY_BYTES>()?;
    let digits = property.strip_prefix(keys::CRC32.as_bytes())?.strip_prefix(b"\x01")?;
    let digits = digits.strip_suffix(b"\x02")?;
    let mut crc: u64 = 0;
    for digit in digits.iter().rev() {
        let digit = u64::from(digit.checked_sub(b'0').filter(|digit| *digit < 10)?);
        crc = crc.checked_mul(10)?.checked_add(digit)?;
    }
    u32::try_from(crc).ok().filter(|crc| *crc <= 0x7fff_ffff)
}

const DIGITS: usize = 10;
const DIGITS_AT: usize = 9;

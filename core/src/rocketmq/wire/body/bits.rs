//! Sets of bits as Base64, as they stand in [`BatchAck`](super::BatchAck).

use core::error::Error;
use core::fmt;

use crate::rocketmq::wire::json::{Chars, Text};

/// The numbers of the bits in `text`, ascending: Base64 of bytes with the lowest bits first.
///
/// ```
/// use turbopump_core::rocketmq::wire::body::bits;
///
/// assert!(bits("CQ==".into())?.eq([0, 3]));
/// # Ok::<(), turbopump_core::rocketmq::wire::body::BitsError>(())
/// ```
///
/// # Errors
///
/// [`BitsError`] for what is no Base64.
pub fn bits(text: Text<'_>) -> Result<impl Iterator<Item = u32>, BitsError> {
    let digits = text.chars().take_while(|character| *character != '=');
    let len = digits.clone().count();
    if let Some(position) = digits.clone().position(|digit| value(digit).is_none()) {
        return Err(BitsError { position });
    }
    let padding = text.chars().skip(len);
    if len % 4 == 1 || padding.clone().count() > 2 || padding.clone().any(|other| other != '=') {
        return Err(BitsError { position: len });
    }
    Ok(Ascending { digits: text.chars(), bits: 0, bit_count: 0, byte: 0, base: 0 })
}

/// Takes digits until there is a byte, and the bits of that one by one, lowest first.
struct Ascending<'a> {
    digits: Chars<'a>,
    /// What the digits so far have beyond whole bytes, and how many bits that is.
    bits: u32,
    bit_count: u32,
    /// What is left of the byte, and the number of its lowest bit.
    byte: u8,
    base: u32,
}

impl Iterator for Ascending<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        loop {
            if self.byte != 0 {
                let bit = self.byte.trailing_zeros();
                self.byte &= self.byte.wrapping_sub(1);
                return Some(self.base.saturating_sub(8).saturating_add(bit));
            }
            self.bits = self.bits << 6 | u32::from(value(self.digits.next()?)?);
            self.bit_count = self.bit_count.saturating_add(6);
            if let Some(rest) = self.bit_count.checked_sub(8) {
                self.byte = (self.bits >> rest) as u8;
                self.bit_count = rest;
                self.base = self.base.saturating_add(8);
            }
        }
    }
}

fn value(digit: char) -> Option<u8> {
    let digit = u8::try_from(digit).ok()?;
    let at = DIGITS.iter().position(|known| *known == digit)?;
    u8::try_from(at).ok()
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Writes the set of `numbers` to `out` as Base64, with padding and without zeros at its end.
///
/// # Errors
///
/// As `out`.
pub fn write_bits(
    numbers: impl Iterator<Item = u32> + Clone,
    mut out: impl fmt::Write,
) -> fmt::Result {
    let Some(highest) = numbers.clone().max() else {
        return Ok(());
    };
    let bytes = (highest / 8).saturating_add(1);
    let byte_at = |index: u32| {
        let of_byte = numbers.clone().filter(move |number| number / 8 == index);
        of_byte.fold(0_u8, |byte, number| byte | 1 << (number % 8))
    };
    for start in (0..bytes).step_by(3) {
        let group = [0, 1, 2].map(|more| start.saturating_add(more));
        let [first, second, third] = group.map(byte_at).map(u32::from);
        let word = first << 16 | second << 8 | third;
        let left = bytes.saturating_sub(start);
        for (index, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let digit = DIGITS.get((word >> shift & 63) as usize).copied().unwrap_or(b'A');
            let is_padding = index as u32 > left;
            out.write_char(if is_padding { '=' } else { digit.into() })?;
        }
    }
    Ok(())
}

/// A text is no Base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BitsError {
    /// Which of its characters is wrong.
    pub position: usize,
}

impl fmt::Display for BitsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a set of bits is no Base64 at character {}: refuse it", self.position)
    }
}

impl Error for BitsError {}

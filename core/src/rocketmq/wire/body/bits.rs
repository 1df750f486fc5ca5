//! Sets of bits as Base64, as they stand in [`BatchAck`](super::BatchAck).

use core::error::Error;
use core::fmt;

use crate::rocketmq::wire::json::Text;

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
    // Six bits a digit, the highest first, and the bytes of eight.
    let bytes = (len / 4).saturating_mul(3).saturating_add((len % 4).saturating_sub(1));
    let set = digits.enumerate().flat_map(|(index, digit)| {
        let value = value(digit).unwrap_or(0);
        (0..6_u32).rev().filter(move |bit| value >> bit & 1 != 0).map(move |bit| {
            let stream = (index as u32).saturating_mul(6).saturating_add(5_u32.saturating_sub(bit));
            (stream / 8, 7_u32.saturating_sub(stream % 8))
        })
    });
    let set = set.filter(move |(byte, _)| (*byte as usize) < bytes);
    Ok(Ascending { set, last: None })
}

/// Bits come highest first within their byte, so each step looks for the next.
struct Ascending<I> {
    set: I,
    last: Option<u32>,
}

impl<I: Iterator<Item = (u32, u32)> + Clone> Iterator for Ascending<I> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let numbers =
            self.set.clone().map(|(byte, bit)| byte.saturating_mul(8).saturating_add(bit));
        let last = self.last;
        let next = numbers.filter(|number| last.is_none_or(|last| *number > last)).min()?;
        self.last = Some(next);
        Some(next)
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

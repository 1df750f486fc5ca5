//! Finding the end of a string, eight bytes at a time.

const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// The index of the first `quote` or backslash; the length where there is none.
#[inline]
pub(super) fn find_quote_or_backslash(bytes: &[u8], quote: u8) -> usize {
    let mut rest = bytes;
    let quotes = LOW.wrapping_mul(u64::from(quote));
    let backslashes = LOW.wrapping_mul(u64::from(b'\\'));
    while let Some((chunk, behind)) = rest.split_first_chunk() {
        let word = u64::from_le_bytes(*chunk);
        let hits = zeros(word ^ quotes) | zeros(word ^ backslashes);
        if hits != 0 {
            let before = bytes.len().saturating_sub(rest.len());
            return before.saturating_add((hits.trailing_zeros() >> 3) as usize);
        }
        rest = behind;
    }
    let before = bytes.len().saturating_sub(rest.len());
    let is_hit = |byte: &u8| *byte == quote || *byte == b'\\';
    before.saturating_add(rest.iter().position(is_hit).unwrap_or(rest.len()))
}

/// Bit 7 of the bytes that are zero; those above the lowest such byte may be wrong.
const fn zeros(word: u64) -> u64 {
    word.wrapping_sub(LOW) & !word & HIGH
}

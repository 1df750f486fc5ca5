//! Finding the ends of texts, eight bytes at a time.

const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// The index of the first `quote` or backslash from `start` on; the length where there is none.
#[inline]
pub(super) fn find_quote_or_backslash(bytes: &[u8], start: usize, quote: u8) -> usize {
    let quotes = LOW.wrapping_mul(u64::from(quote));
    let backslashes = LOW.wrapping_mul(u64::from(b'\\'));
    let mut rest = bytes.get(start..).unwrap_or_default();
    while let Some((chunk, behind)) = rest.split_first_chunk() {
        let word = u64::from_le_bytes(*chunk);
        let hits = zeros(word ^ quotes) | zeros(word ^ backslashes);
        if hits != 0 {
            let before = bytes.len().wrapping_sub(rest.len());
            return before.wrapping_add((hits.trailing_zeros() >> 3) as usize);
        }
        rest = behind;
    }
    let is_hit = |byte: &u8| *byte == quote || *byte == b'\\';
    let left = rest.iter().position(is_hit).map_or(0, |at| rest.len().wrapping_sub(at));
    bytes.len().wrapping_sub(left)
}

/// The index behind the text without escapes that starts at `start`, behind its quote; what is
/// there is the closing quote. `None` for any other text.
#[inline(never)]
pub(super) fn plain_text_end(bytes: &[u8], start: usize) -> Option<usize> {
    // Most texts are short: not worth a loop.
    if let Some(chunk) = bytes.get(start..)?.first_chunk() {
        let word = u64::from_le_bytes(*chunk);
        let quotes = zeros(word ^ u64::from_le_bytes([b'"'; 8]));
        let hits = quotes | zeros(word ^ u64::from_le_bytes([b'\\'; 8]));
        if hits != 0 {
            let end = start.wrapping_add((hits.trailing_zeros() >> 3) as usize);
            return (quotes & hits & hits.wrapping_neg() != 0).then_some(end);
        }
    }
    let end = find_quote_or_backslash(bytes, start, b'"');
    (bytes.get(end) == Some(&b'"')).then_some(end)
}

/// The index behind the members of an object that are texts without escapes, with no white space
/// around them. At `start` is the comma in front of the first.
pub(super) fn plain_members_end(bytes: &[u8], start: usize) -> usize {
    /// Whether what stands between two texts is at `at`: `middle` in quotes.
    #[inline]
    fn is_at(bytes: &[u8], at: usize, middle: u8) -> bool {
        let Some(found) = bytes.get(at..).and_then(<[u8]>::first_chunk) else { return false };
        let wanted = u32::from_le_bytes([b'"', middle, b'"', 0]);
        u32::from_le_bytes(*found) & 0x00ff_ffff == wanted
    }
    let mut end = start;
    let [b',', b'"', ..] = bytes.get(start..).unwrap_or_default() else { return end };
    let mut name = start.wrapping_add(2);
    loop {
        let at = find_quote_or_backslash(bytes, name, b'"');
        if !is_at(bytes, at, b':') {
            return end;
        }
        let at = find_quote_or_backslash(bytes, at.wrapping_add(3), b'"');
        if !is_at(bytes, at, b',') {
            return if bytes.get(at) == Some(&b'"') { at.wrapping_add(1) } else { end };
        }
        end = at.wrapping_add(1);
        name = at.wrapping_add(3);
    }
}

/// Bit 7 of the bytes that are zero; those above the lowest such byte may be wrong.
const fn zeros(word: u64) -> u64 {
    word.wrapping_sub(LOW) & !word & HIGH
}

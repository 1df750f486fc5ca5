//! The wrapper that gzip puts around deflate, RFC 1952: for those who bring a deflate of their own.
//!
//! A gzip stream is one or more members; a member is a header ([`HeaderParser`] reads any,
//! [`HEADER`] is the shortest), raw deflate, and a trailer ([`trailer`]). [`compress_member`] and
//! [`decompress_members`] put them together.

use super::{CompressError, HeaderProblem, InflateError};
use crate::checksum::{Crc32, crc32};

/// The shortest header: deflate, no name, no time, unknown system.
pub const HEADER: [u8; 10] = [0x1f, 0x8b, DEFLATE, 0, 0, 0, 0, 0, 0, 255];

/// The length of a trailer.
pub const TRAILER_BYTES: usize = 8;

/// The trailer of a member: the CRC-32 of its data and the data's length modulo 2^32.
#[must_use]
pub const fn trailer(crc32: u32, len: u32) -> [u8; TRAILER_BYTES] {
    (crc32 as u64 | ((len as u64) << 32)).to_le_bytes()
}

/// Writes one member with the shortest header; `deflate` turns the input into raw deflate and
/// returns its length.
///
/// # Errors
///
/// Those of `deflate`, and [`CompressError::OutputLimit`] where header and trailer don't fit.
pub fn compress_member(
    input: &[u8],
    output: &mut [u8],
    deflate: impl FnOnce(&[u8], &mut [u8]) -> Result<usize, CompressError>,
) -> Result<usize, CompressError> {
    let limit = CompressError::OutputLimit { limit_bytes: output.len() };
    let (header, rest) = output.split_first_chunk_mut().ok_or(limit)?;
    *header = HEADER;
    let body_bytes = rest.len().checked_sub(TRAILER_BYTES).ok_or(limit)?;
    let body = rest.get_mut(..body_bytes).ok_or(limit)?;
    let written = match deflate(input, body) {
        Err(CompressError::OutputLimit { .. }) => return Err(limit),
        result => result?,
    };
    let behind = rest.get_mut(written..).and_then(<[u8]>::first_chunk_mut).ok_or(limit)?;
    *behind = trailer(crc32(input), input.len() as u32);
    Ok(written.saturating_add(HEADER.len()).saturating_add(TRAILER_BYTES))
}

/// Inflates a whole stream of one or more members; `inflate` turns the raw deflate at the front of
/// its input into bytes at the front of its output, and returns how much of each there was.
///
/// # Errors
///
/// [`InflateError`] as from [`inflate`](super::inflate). The offsets in errors of `inflate` count
/// from the front of its input, and are corrected here.
pub fn decompress_members(
    input: &[u8],
    output: &mut [u8],
    mut inflate: impl FnMut(&[u8], &mut [u8]) -> Result<(usize, usize), InflateError>,
) -> Result<usize, InflateError> {
    let limit_bytes = output.len();
    let (mut at, mut len): (usize, usize) = (0, 0);
    loop {
        let rest = input.get(at..).unwrap_or_default();
        let mut header = HeaderParser::new();
        match header.update(rest) {
            Ok(used) if header.is_done() => at = at.saturating_add(used),
            Ok(_) => {
                return Err(InflateError::Truncated { at: input.len() as u64 });
            }
            Err((_, HeaderProblem::NotGzip)) if at > 0 => {
                return Err(InflateError::Trailing { at: at as u64 });
            }
            Err((index, problem)) => {
                let at = at.saturating_add(index) as u64;
                return Err(InflateError::Header { at, problem });
            }
        }
        let rest = input.get(at..).unwrap_or_default();
        let member = output.get_mut(len..).unwrap_or_default();
        let (used, written) = inflate(rest, member)
            .map_err(|error| error.shifted_by(at as u64).with_limit(limit_bytes))?;
        let data = member.get(..written).unwrap_or_default();
        len = len.saturating_add(written);
        let trailer = rest.get(used..).unwrap_or_default();
        let Some(trailer) = trailer.first_chunk() else {
            return Err(InflateError::Truncated { at: input.len() as u64 });
        };
        at = at.saturating_add(used).saturating_add(TRAILER_BYTES);
        check_trailer(*trailer, crc32(data), written, at as u64)?;
        if at >= input.len() {
            return Ok(len);
        }
    }
}

/// Compares the trailer that ends at `at` with the member's data.
pub(super) fn check_trailer(
    trailer: [u8; TRAILER_BYTES],
    crc32: u32,
    len: usize,
    at: u64,
) -> Result<(), InflateError> {
    let trailer = u64::from_le_bytes(trailer);
    let (expected, found) = (trailer as u32, crc32);
    if expected != found {
        return Err(InflateError::Checksum { at, expected, found });
    }
    // Modulo 2^32, as RFC 1952 has it.
    let (expected, found) = ((trailer >> 32) as u32, len as u32);
    if expected != found {
        return Err(InflateError::Length { at, expected, found });
    }
    Ok(())
}

/// Reads the header of a member from bytes that come in pieces.
///
/// All options are read over: extra field, name, comment, checksum of the header, which is
/// verified. Reserved flags are refused, as RFC 1952 asks for.
///
/// ```
/// use turbopump_core::compress::gzip::{HEADER, HeaderParser};
///
/// let mut parser = HeaderParser::new();
/// assert_eq!(parser.update(&HEADER[..7]), Ok(7));
/// assert!(!parser.is_done());
/// assert_eq!(parser.update(&[&HEADER[7..], b"deflate"].concat()), Ok(3));
/// assert!(parser.is_done());
/// ```
#[derive(Clone, Debug)]
pub struct HeaderParser {
    step: Step,
    flags: u8,
    crc: Crc32,
}

impl HeaderParser {
    /// A parser at the start of a header.
    #[must_use]
    pub const fn new() -> Self {
        Self { step: Step::Fixed { index: 0 }, flags: 0, crc: Crc32::new() }
    }

    /// Whether the header is complete.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(self.step, Step::Done)
    }

    /// Reads on and returns how many bytes belonged to the header: all of `input` while it is not
    /// complete.
    ///
    /// # Errors
    ///
    /// What is wrong, and the index in `input` of the byte that showed it. The parser must not be
    /// used any further then.
    pub fn update(&mut self, input: &[u8]) -> Result<usize, (usize, HeaderProblem)> {
        let mut at: usize = 0;
        loop {
            let rest = input.get(at..).unwrap_or_default();
            if rest.is_empty() || self.is_done() {
                return Ok(at);
            }
            let is_checksum = matches!(self.step, Step::Checksum { .. });
            let read = self.step(rest).map_err(|(index, problem)| {
                let index = at.saturating_add(index);
                (index, problem)
            })?;
            if !is_checksum {
                self.crc.update(rest.get(..read).unwrap_or_default());
            }
            at = at.saturating_add(read);
        }
    }

    /// Reads at least one byte of `rest`, which has one, and returns how many.
    fn step(&mut self, rest: &[u8]) -> Result<usize, (usize, HeaderProblem)> {
        let first = rest.first().copied().unwrap_or_default();
        match self.step {
            Step::Fixed { index } => return self.read_fixed(index, rest),
            Step::ExtraLength { low: None } => {
                self.step = Step::ExtraLength { low: Some(first) };
            }
            Step::ExtraLength { low: Some(low) } => {
                let left = usize::from(u16::from_le_bytes([low, first]));
                self.step = Step::Extra { left };
                if left == 0 {
                    self.step = self.after_extra();
                }
            }
            Step::Extra { left } => {
                let read = left.min(rest.len());
                let left = left.saturating_sub(read);
                self.step = if left == 0 { self.after_extra() } else { Step::Extra { left } };
                return Ok(read);
            }
            Step::Name | Step::Comment => {
                let Some(end) = rest.iter().position(|byte| *byte == 0) else {
                    return Ok(rest.len());
                };
                let is_name = matches!(self.step, Step::Name);
                self.step = if is_name { self.after_name() } else { self.after_comment() };
                return Ok(end.saturating_add(1));
            }
            Step::Checksum { low: None } => self.step = Step::Checksum { low: Some(first) },
            Step::Checksum { low: Some(low) } => {
                let expected = u16::from_le_bytes([low, first]);
                // The lower half of the CRC-32 of everything in front of it.
                let found = self.crc.value() as u16;
                if expected != found {
                    return Err((0, HeaderProblem::Checksum { expected, found }));
                }
                self.step = Step::Done;
            }
            Step::Done => return Ok(0),
        }
        Ok(1)
    }

    /// The ten bytes that every header has, from the one at `index` on.
    fn read_fixed(&mut self, index: u8, rest: &[u8]) -> Result<usize, (usize, HeaderProblem)> {
        let mut read: usize = 0;
        for (index, byte) in (index..FIXED_BYTES).zip(rest) {
            let problem = match (index, *byte) {
                (0, 0x1f) | (1, 0x8b) | (2, DEFLATE) => None,
                (0 | 1, _) => Some(HeaderProblem::NotGzip),
                (2, method) => Some(HeaderProblem::Method { method }),
                (3, flags) if flags & RESERVED != 0 => Some(HeaderProblem::ReservedFlags { flags }),
                (3, flags) => {
                    self.flags = flags;
                    None
                }
                // Time, compression level and operating system don't matter to anybody here.
                _ => None,
            };
            if let Some(problem) = problem {
                return Err((read, problem));
            }
            read = read.saturating_add(1);
            let next = index.saturating_add(1);
            self.step = if next < FIXED_BYTES {
                Step::Fixed { index: next }
            } else if self.flags & FEXTRA != 0 {
                Step::ExtraLength { low: None }
            } else {
                self.after_extra()
            };
        }
        Ok(read)
    }

    const fn after_extra(&self) -> Step {
        if self.flags & FNAME != 0 { Step::Name } else { self.after_name() }
    }

    const fn after_name(&self) -> Step {
        if self.flags & FCOMMENT != 0 { Step::Comment } else { self.after_comment() }
    }

    const fn after_comment(&self) -> Step {
        if self.flags & FHCRC != 0 { Step::Checksum { low: None } } else { Step::Done }
    }
}

impl Default for HeaderParser {
    fn default() -> Self {
        Self::new()
    }
}

/// What comes next in the header, in the order of RFC 1952.
#[derive(Clone, Copy, Debug)]
enum Step {
    Fixed { index: u8 },
    ExtraLength { low: Option<u8> },
    Extra { left: usize },
    Name,
    Comment,
    Checksum { low: Option<u8> },
    Done,
}

const FIXED_BYTES: u8 = HEADER.len() as u8;
const DEFLATE: u8 = 8;
const FHCRC: u8 = 1 << 1;
const FEXTRA: u8 = 1 << 2;
const FNAME: u8 = 1 << 3;
const FCOMMENT: u8 = 1 << 4;
const RESERVED: u8 = 0b1110_0000;

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests {
    use super::{HEADER, HeaderParser, trailer};
    use crate::compress::HeaderProblem;

    /// All options; the checksum is still to be appended.
    const FULL: &[u8] = b"\x1f\x8b\x08\x1e\0\0\0\0\0\xff\x03\0abcname\0comment\0";

    fn with_checksum(header: &[u8]) -> ([u8; 64], usize) {
        let mut bytes = [0; 64];
        let len = header.len();
        bytes[..len].copy_from_slice(header);
        let crc = crate::checksum::crc32(header) as u16;
        bytes[len..len + 2].copy_from_slice(&crc.to_le_bytes());
        (bytes, len + 2)
    }

    #[test]
    fn every_option_in_any_pieces() {
        let (bytes, len) = with_checksum(FULL);
        for piece in 1..=len {
            let mut parser = HeaderParser::new();
            let mut read = 0;
            for piece in bytes.chunks(piece) {
                read += parser.update(piece).unwrap();
                if parser.is_done() {
                    break;
                }
            }
            assert_eq!(read, len, "in pieces of {piece}");
        }
    }

    #[test]
    fn an_extra_field_may_be_empty_and_end_the_header() {
        let mut parser = HeaderParser::new();
        let header = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\0\0";
        assert_eq!(parser.update(&header[..11]), Ok(11));
        assert!(!parser.is_done());
        assert_eq!(parser.update(&header[11..]), Ok(1));
        assert!(parser.is_done());
    }

    #[test]
    fn the_checksum_of_the_header_is_verified() {
        let (bytes, len) = with_checksum(FULL);
        // Bytes whose value does not say where the next field is.
        let time = 4..8;
        let texts = (12..19).chain(20..27);
        let checksum = len - 2..len;
        for at in time.chain(texts).chain(checksum) {
            let mut damaged = bytes;
            damaged[at] ^= 0x80;
            let refused = HeaderParser::new().update(&damaged[..len]);
            let is_checksum = matches!(refused, Err((_, HeaderProblem::Checksum { .. })));
            assert!(is_checksum, "byte {at}: {refused:?}");
        }
    }

    #[test]
    fn what_is_not_gzip_is_refused_at_its_first_wrong_byte() {
        let refused = |at: usize, byte: u8| {
            let mut header = HEADER;
            header[at] = byte;
            HeaderParser::new().update(&header)
        };
        assert_eq!(refused(0, 0x1e), Err((0, HeaderProblem::NotGzip)));
        assert_eq!(refused(1, 0x8a), Err((1, HeaderProblem::NotGzip)));
        assert_eq!(refused(2, 7), Err((2, HeaderProblem::Method { method: 7 })));
        for bit in [0x20, 0x40, 0x80] {
            assert_eq!(refused(3, bit), Err((3, HeaderProblem::ReservedFlags { flags: bit })));
        }
        assert_eq!(refused(3, 1), Ok(10), "text or not makes no difference");
    }

    #[test]
    fn a_trailer_is_little_endian() {
        assert_eq!(trailer(0x0403_0201, 0x0807_0605), [1, 2, 3, 4, 5, 6, 7, 8]);
    }
}

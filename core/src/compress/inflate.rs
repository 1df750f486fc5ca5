//! Inflating with the caller's memory, in one go or piece by piece.

#[cfg(feature = "alloc")]
use alloc::boxed::Box;
use core::borrow::BorrowMut;
use core::fmt;
use core::mem::MaybeUninit;

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::{
    TINFL_FLAG_COMPUTE_ADLER32, TINFL_FLAG_HAS_MORE_INPUT, TINFL_FLAG_PARSE_ZLIB_HEADER,
    TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF,
};
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

use super::gzip::{HeaderParser, TRAILER_BYTES, check_trailer};
use super::{Decompress, Format, HeaderProblem, InflateError};
use crate::checksum::Crc32;

/// The memory that inflating needs beside input and output: 10,504 bytes on 64-bit targets.
///
/// One state serves any number of streams, one after the other, of any format. It is large for a
/// microcontroller's stack: keep it in a `static` by [`InflateState::new_in`], or on the heap.
pub struct InflateState {
    decompressor: DecompressorOxide,
}

impl InflateState {
    /// A state that is ready for use.
    ///
    /// It is returned by value, so it may cross the stack.
    #[inline]
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a state in memory of the caller's. With optimisation it is built where it stays.
    #[inline]
    pub fn new_in(slot: &mut MaybeUninit<Self>) -> &mut Self {
        slot.write(Self::new())
    }

    /// Makes a state on the heap. It crosses the stack once on its way there.
    #[cfg(feature = "alloc")]
    #[inline]
    #[must_use]
    pub fn new_boxed() -> Box<Self> {
        Box::new(Self::new())
    }
}

impl Default for InflateState {
    // Always, as in the crate below, so that a slot is filled in place.
    #[inline(always)]
    fn default() -> Self {
        Self { decompressor: DecompressorOxide::default() }
    }
}

impl fmt::Debug for InflateState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InflateState").finish_non_exhaustive()
    }
}

/// Inflates `input`, which is one whole compressed stream, straight into `output` and returns how
/// many bytes were written.
///
/// The length of `output` is the limit: a longer result is refused when the limit is reached, so
/// a bomb costs no more than that. In gzip several members may follow each other.
///
/// # Errors
///
/// [`InflateError`] for anything but a whole, intact stream that fits into `output`; bytes behind
/// the stream are [`InflateError::Trailing`], zeros too.
pub fn inflate(
    format: Format,
    state: &mut InflateState,
    input: &[u8],
    output: &mut [u8],
) -> Result<usize, InflateError> {
    Inflate::new(format, state)?.decompress(input, output)
}

/// What a call of [`Inflate::update`] has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Bytes of the input that were used: all of them, unless the stream ended before.
    pub consumed: usize,
    /// Bytes that were written to the output by this call.
    pub written: usize,
    /// Whether the stream is whole and its checksum right. In gzip another member may follow.
    pub done: bool,
}

/// Inflates a stream that arrives in pieces.
///
/// `S` is where the [`InflateState`] is: `&mut InflateState`, or a box of it.
///
/// The output is one slice for the whole stream and the same in every call, because deflate refers
/// back to what was written before; a longer one with the same beginning will do. Its length is
/// the limit.
///
/// After an error the machine returns the same error until [`reset`](Self::reset).
///
/// ```
/// use turbopump_core::compress::{Format, Inflate, InflateState};
///
/// let compressed = b"\x78\x9c\x4b\x4c\x84\x01\x00\x14\xe1\x03\xcb";
/// let mut machine = Inflate::new(Format::Zlib, Box::new(InflateState::new()))?;
/// let mut output = [0; 16];
/// for piece in compressed.chunks(3) {
///     machine.update(piece, &mut output)?;
/// }
/// let len = machine.finish()?;
/// assert_eq!(&output[..len], b"aaaaaaaaaa");
/// # Ok::<(), turbopump_core::compress::InflateError>(())
/// ```
#[derive(Debug)]
pub struct Inflate<S> {
    state: S,
    format: Format,
    stage: Stage,
    consumed: u64,
    written: usize,
    /// Where the current member starts, in the stream and in the output, and its checksum.
    member_at: u64,
    member_start: usize,
    member_crc: Crc32,
    failed: Option<InflateError>,
}

impl<S: BorrowMut<InflateState>> Inflate<S> {
    /// A machine at the start of a stream.
    ///
    /// # Errors
    ///
    /// [`InflateError::Unsupported`] for [`Format::Other`].
    pub fn new(format: Format, state: S) -> Result<Self, InflateError> {
        if matches!(format, Format::Other(_)) {
            return Err(InflateError::Unsupported { format });
        }
        let mut machine = Self {
            state,
            format,
            stage: Stage::Done,
            consumed: 0,
            written: 0,
            member_at: 0,
            member_start: 0,
            member_crc: Crc32::new(),
            failed: None,
        };
        machine.reset();
        Ok(machine)
    }

    /// Inflates the next piece of the stream.
    ///
    /// The piece is used up, except when the stream ends within it: what is left then is the
    /// caller's. In gzip nothing is left, because another member may follow; anything else there
    /// is [`InflateError::Trailing`].
    ///
    /// # Errors
    ///
    /// Any [`InflateError`] except [`InflateError::Truncated`].
    pub fn update(&mut self, input: &[u8], output: &mut [u8]) -> Result<Progress, InflateError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let written_before = self.written;
        match self.run(input, output) {
            Ok(consumed) => Ok(Progress {
                consumed,
                written: self.written.saturating_sub(written_before),
                done: self.is_done(),
            }),
            Err(error) => {
                self.failed = Some(error);
                Err(error)
            }
        }
    }

    /// Says that no more pieces come, and returns the length of the output.
    ///
    /// # Errors
    ///
    /// [`InflateError::Truncated`] when the stream is not complete; the error that an earlier
    /// [`update`](Self::update) returned.
    pub fn finish(&self) -> Result<usize, InflateError> {
        match self.failed {
            Some(error) => Err(error),
            None if self.is_done() => Ok(self.written),
            None => Err(InflateError::Truncated { at: self.consumed }),
        }
    }

    /// Whether the stream is whole so far and its checksum right.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Done | Stage::BetweenMembers)
    }

    /// The length of the output so far.
    #[must_use]
    pub const fn written(&self) -> usize {
        self.written
    }

    /// Forgets the stream and any error, for a new stream of the same format.
    pub fn reset(&mut self) {
        self.consumed = 0;
        self.written = 0;
        self.failed = None;
        self.start_member();
    }

    /// Gives the state back, for a machine of another format.
    #[must_use]
    pub fn into_state(self) -> S {
        self.state
    }

    fn start_member(&mut self) {
        self.member_at = self.consumed;
        self.member_start = self.written;
        self.member_crc = Crc32::new();
        self.state.borrow_mut().decompressor.init();
        self.stage = match self.format {
            Format::Gzip => Stage::Header(HeaderParser::new()),
            _ => Stage::Deflate,
        };
    }

    /// Does what can be done with `input` and returns how much of it was used.
    fn run(&mut self, input: &[u8], output: &mut [u8]) -> Result<usize, InflateError> {
        let mut rest = input;
        // Each round uses bytes or moves to a later stage, so there are at most as many rounds as
        // bytes and stages.
        while !rest.is_empty() {
            let used = match self.stage {
                Stage::Header(_) => self.read_header(rest)?,
                Stage::Deflate => self.read_deflate(rest, output)?,
                Stage::Trailer { .. } => self.read_trailer(rest)?,
                Stage::BetweenMembers => {
                    self.start_member();
                    0
                }
                Stage::Done => break,
            };
            self.consumed = self.consumed.saturating_add(used as u64);
            rest = rest.get(used..).unwrap_or_default();
        }
        Ok(input.len().saturating_sub(rest.len()))
    }

    fn read_header(&mut self, rest: &[u8]) -> Result<usize, InflateError> {
        let Stage::Header(parser) = &mut self.stage else {
            return Ok(0);
        };
        match parser.update(rest) {
            Ok(used) => {
                if parser.is_done() {
                    self.stage = Stage::Deflate;
                }
                Ok(used)
            }
            // Behind a member it is not a bad header but no header at all.
            Err((_, HeaderProblem::NotGzip)) if self.member_at > 0 => {
                Err(InflateError::Trailing { at: self.member_at })
            }
            Err((index, problem)) => {
                let at = self.consumed.saturating_add(index as u64);
                Err(InflateError::Header { at, problem })
            }
        }
    }

    fn read_deflate(&mut self, rest: &[u8], output: &mut [u8]) -> Result<usize, InflateError> {
        let limit_bytes = output.len();
        let position = self.written.saturating_sub(self.member_start);
        // A member must not refer back to the one before, so it gets to see its own output only.
        let member = match output.get_mut(self.member_start..) {
            Some(member) if position <= member.len() => member,
            _ => {
                return Err(InflateError::OutputLimit { at: self.consumed, limit_bytes });
            }
        };
        let flags = match self.format {
            Format::Zlib => FLAGS | TINFL_FLAG_PARSE_ZLIB_HEADER | TINFL_FLAG_COMPUTE_ADLER32,
            _ => FLAGS,
        };
        let decompressor = &mut self.state.borrow_mut().decompressor;
        let (status, used, written) = decompress(decompressor, rest, member, position, flags);
        let end = position.saturating_add(written);
        if matches!(self.format, Format::Gzip) {
            self.member_crc.update(member.get(position..end).unwrap_or_default());
        }
        self.written = self.written.saturating_add(written);
        let at = self.consumed.saturating_add(used as u64);
        match status {
            TINFLStatus::Done | TINFLStatus::Adler32Mismatch => {
                self.end_deflate(at)?;
                Ok(used)
            }
            TINFLStatus::NeedsMoreInput if used == rest.len() => Ok(used),
            // The output is full, but perhaps nothing more is to be written: the decoder says the
            // same while it waits for the end mark. Asked without the promise of more input it
            // tells the two apart, and nothing changes.
            TINFLStatus::HasMoreOutput if used == rest.len() => {
                let flags = flags & !TINFL_FLAG_HAS_MORE_INPUT;
                match decompress(decompressor, &[], member, end, flags) {
                    (TINFLStatus::FailedCannotMakeProgress, 0, 0) => Ok(used),
                    _ => Err(InflateError::OutputLimit { at, limit_bytes }),
                }
            }
            TINFLStatus::HasMoreOutput => Err(InflateError::OutputLimit { at, limit_bytes }),
            TINFLStatus::Failed if self.format == Format::Zlib => {
                // The decoder has no Adler-32 to offer before it has accepted a zlib header.
                Err(match decompressor.adler32_header() {
                    Some(_) => InflateError::Corrupt { at },
                    None => InflateError::Header { at, problem: HeaderProblem::NotZlib },
                })
            }
            _ => Err(InflateError::Corrupt { at }),
        }
    }

    /// After the last block of deflate, and in zlib after the checksum.
    fn end_deflate(&mut self, at: u64) -> Result<(), InflateError> {
        self.stage = match self.format {
            Format::Gzip => Stage::Trailer { bytes: [0; TRAILER_BYTES], len: 0 },
            _ => Stage::Done,
        };
        if self.format == Format::Zlib {
            let decompressor = &self.state.borrow().decompressor;
            // Compared here and not left to the status, to report both values.
            let expected = decompressor.adler32_header().unwrap_or_default();
            let found = decompressor.adler32().unwrap_or_default();
            if expected != found {
                return Err(InflateError::Checksum { at, expected, found });
            }
        }
        Ok(())
    }

    fn read_trailer(&mut self, rest: &[u8]) -> Result<usize, InflateError> {
        let Stage::Trailer { bytes, len } = &mut self.stage else {
            return Ok(0);
        };
        let mut used: usize = 0;
        for (to, from) in bytes.iter_mut().skip(*len).zip(rest) {
            *to = *from;
            used = used.saturating_add(1);
        }
        *len = len.saturating_add(used);
        if *len < TRAILER_BYTES {
            return Ok(used);
        }
        let at = self.consumed.saturating_add(used as u64);
        let len = self.written.saturating_sub(self.member_start);
        check_trailer(*bytes, self.member_crc.value(), len, at)?;
        self.stage = Stage::BetweenMembers;
        Ok(used)
    }
}

impl<S: BorrowMut<InflateState>> Decompress for Inflate<S> {
    fn format(&self) -> Format {
        self.format
    }

    fn decompress(&mut self, input: &[u8], output: &mut [u8]) -> Result<usize, InflateError> {
        self.reset();
        let progress = self.update(input, output)?;
        if progress.consumed < input.len() {
            return Err(InflateError::Trailing { at: progress.consumed as u64 });
        }
        self.finish()
    }
}

#[derive(Clone, Debug)]
enum Stage {
    /// Of a gzip member.
    Header(HeaderParser),
    /// In zlib with its header and checksum.
    Deflate,
    /// Of a gzip member.
    Trailer {
        bytes: [u8; TRAILER_BYTES],
        len: usize,
    },
    /// A gzip member is complete; the stream is, too, if nothing follows.
    BetweenMembers,
    Done,
}

/// More input may always come, and the output is one piece that never wraps around.
const FLAGS: u32 = TINFL_FLAG_HAS_MORE_INPUT | TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests;

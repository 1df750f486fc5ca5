//! zlib-rs behind the core's compressor traits: faster than the core's own, and still no C.
//!
//! The module decides how zlib-rs is called and what its answers mean. Formats, errors and the
//! gzip wrapper are the core's, so either implementation can replace the other.

use core::fmt;

use turbopump_core::compress::{
    Compress, CompressError, Decompress, Format, HeaderProblem, InflateError, gzip,
};
use zlib_rs::{Deflate, DeflateFlush, Inflate, InflateFlush, Status, adler32::adler32};

/// A compressor for raw deflate, zlib and gzip that is used over and over.
///
/// Everything it needs is allocated when it is made and nothing afterwards.
///
/// ```
/// use turbopump_core::compress::{Compress, Decompress, Format};
/// use turbopump_std::compress::{ZlibRsDeflate, ZlibRsInflate};
///
/// let text = "the same again, ".repeat(100);
/// let mut compressed = [0; 200];
/// let len = ZlibRsDeflate::new(Format::Zlib, 5)?.compress(text.as_bytes(), &mut compressed)?;
///
/// let mut output = [0; 1_600];
/// ZlibRsInflate::new(Format::Zlib)?.decompress(&compressed[..len], &mut output)?;
/// assert_eq!(&output[..], text.as_bytes());
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
pub struct ZlibRsDeflate {
    deflate: Deflate,
    format: Format,
    level: u8,
    /// Whether the compressor has to be cleared before its next use.
    used: bool,
}

impl ZlibRsDeflate {
    /// A compressor for `format`; `level` goes from 1, the fastest, to 9, the tightest.
    ///
    /// # Errors
    ///
    /// [`CompressError::Level`] for any other level, [`CompressError::Unsupported`] for formats
    /// that are not deflate.
    pub fn new(format: Format, level: u8) -> Result<Self, CompressError> {
        let has_zlib_header =
            has_zlib_header(format).ok_or(CompressError::Unsupported { format })?;
        if !(1..=9).contains(&level) {
            return Err(CompressError::Level { level });
        }
        let deflate = Deflate::new(level.into(), has_zlib_header, WINDOW_BITS);
        Ok(Self { deflate, format, level, used: false })
    }

    /// The level it was made with.
    #[must_use]
    pub const fn level(&self) -> u8 {
        self.level
    }

    fn deflate(&mut self, input: &[u8], output: &mut [u8]) -> Result<usize, CompressError> {
        if self.used {
            self.deflate.reset();
        }
        self.used = true;
        let limit = CompressError::OutputLimit { limit_bytes: output.len() };
        loop {
            let (taken, written) = (self.deflate.total_in(), self.deflate.total_out());
            let rest = &input[taken as usize..];
            let piece = &rest[..rest.len().min(PIECE_BYTES_MAX)];
            let is_last = piece.len() == rest.len();
            let flush = if is_last { DeflateFlush::Finish } else { DeflateFlush::NoFlush };
            let room = &mut output[written as usize..];
            match self.deflate.compress(piece, room, flush) {
                Ok(Status::StreamEnd) => return Ok(self.deflate.total_out() as usize),
                Ok(_) => {}
                Err(error) => {
                    return Err(CompressError::Failed { reason: error.as_str() });
                }
            }
            if (taken, written) == (self.deflate.total_in(), self.deflate.total_out()) {
                return Err(limit);
            }
        }
    }
}

impl Compress for ZlibRsDeflate {
    fn format(&self) -> Format {
        self.format
    }

    fn compress(&mut self, input: &[u8], output: &mut [u8]) -> Result<usize, CompressError> {
        match self.format {
            Format::Gzip => {
                gzip::compress_member(input, output, |input, body| self.deflate(input, body))
            }
            _ => self.deflate(input, output),
        }
    }
}

impl fmt::Debug for ZlibRsDeflate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ZlibRsDeflate")
            .field("format", &self.format)
            .field("level", &self.level)
            .finish_non_exhaustive()
    }
}

/// A decompressor for raw deflate, zlib and gzip that is used over and over.
///
/// It accepts and refuses what [`turbopump_core::compress::inflate`] does. Everything it needs is
/// allocated when it is made and nothing afterwards.
pub struct ZlibRsInflate {
    inflate: Inflate,
    format: Format,
}

impl ZlibRsInflate {
    /// A decompressor for `format`.
    ///
    /// # Errors
    ///
    /// [`InflateError::Unsupported`] for formats that are not deflate.
    pub fn new(format: Format) -> Result<Self, InflateError> {
        let has_zlib_header =
            has_zlib_header(format).ok_or(InflateError::Unsupported { format })?;
        Ok(Self { inflate: Inflate::new(has_zlib_header, WINDOW_BITS), format })
    }

    /// Inflates the stream at the front of `input`; returns its length and that of the result.
    fn inflate(&mut self, input: &[u8], output: &mut [u8]) -> Result<(usize, usize), InflateError> {
        self.inflate.reset(self.format == Format::Zlib);
        let limit_bytes = output.len();
        loop {
            let (taken, written) = (self.inflate.total_in(), self.inflate.total_out());
            let rest = &input[taken as usize..];
            let room = &mut output[written as usize..];
            let status = self.inflate.decompress(rest, room, InflateFlush::Finish);
            let (at, len) = (self.inflate.total_in(), self.inflate.total_out() as usize);
            match status {
                Ok(Status::StreamEnd) => return Ok((at as usize, len)),
                Ok(_) => {}
                Err(error) => return Err(self.explain(error, input, &output[..len])),
            }
            if at > taken || len > written as usize {
                continue;
            }
            if (at as usize) < input.len() || self.has_more_output() {
                return Err(InflateError::OutputLimit { at, limit_bytes });
            }
            return Err(InflateError::Truncated { at });
        }
    }

    /// All input is used up: if there is something left to write, the output was too short.
    fn has_more_output(&mut self) -> bool {
        let written = self.inflate.total_out();
        // Whatever it says, only whether it writes is of interest.
        let _ = self.inflate.decompress(&[], &mut [0], InflateFlush::NoFlush);
        self.inflate.total_out() > written
    }

    #[cold]
    fn explain(&self, error: zlib_rs::InflateError, input: &[u8], output: &[u8]) -> InflateError {
        let at = self.inflate.total_in();
        let end = usize::try_from(at).unwrap_or(usize::MAX);
        let checksum = input.get(..end).and_then(<[u8]>::last_chunk).copied();
        let message = self.inflate.error_message();
        match (error, checksum) {
            (zlib_rs::InflateError::NeedDict { .. }, _) => {
                InflateError::Header { at, problem: HeaderProblem::NotZlib }
            }
            _ if self.format == Format::Zlib && at <= 2 => {
                InflateError::Header { at, problem: HeaderProblem::NotZlib }
            }
            (_, Some(checksum)) if message == Some("incorrect data check") => {
                let (expected, found) = (u32::from_be_bytes(checksum), adler32(1, output));
                InflateError::Checksum { at, expected, found }
            }
            _ => InflateError::Corrupt { at },
        }
    }
}

impl Decompress for ZlibRsInflate {
    fn format(&self) -> Format {
        self.format
    }

    fn decompress(&mut self, input: &[u8], output: &mut [u8]) -> Result<usize, InflateError> {
        if self.format == Format::Gzip {
            return gzip::decompress_members(input, output, |input, body| {
                self.inflate(input, body)
            });
        }
        let (used, len) = self.inflate(input, output)?;
        if used < input.len() {
            return Err(InflateError::Trailing { at: used as u64 });
        }
        Ok(len)
    }
}

impl fmt::Debug for ZlibRsInflate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ZlibRsInflate").field("format", &self.format).finish_non_exhaustive()
    }
}

/// `None` for formats that are not deflate. The gzip wrapper is the core's.
const fn has_zlib_header(format: Format) -> Option<bool> {
    match format {
        Format::Raw | Format::Gzip => Some(false),
        Format::Zlib => Some(true),
        _ => None,
    }
}

/// The largest window, 32 KiB.
const WINDOW_BITS: u8 = 15;

/// zlib-rs counts what it is given in 32 bits and cuts off the rest, so that `Finish` would end the
/// stream too early.
const PIECE_BYTES_MAX: usize = 1 << 30;

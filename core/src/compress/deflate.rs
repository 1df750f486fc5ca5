//! The built-in compressor, for targets with an allocator.

use alloc::boxed::Box;
use core::fmt;

use miniz_oxide::deflate::core::{
    CompressionStrategy, CompressorOxide, TDEFLFlush, TDEFLStatus, compress,
    create_comp_flags_from_zip_params,
};

use super::{Compress, CompressError, Format, gzip};

/// A compressor for raw deflate, zlib and gzip that is used over and over.
///
/// Everything it needs, about 320 KiB, is allocated when it is made and nothing afterwards.
///
/// ```
/// use turbopump_core::compress::{Compress, Deflate, Format, InflateState, inflate};
///
/// let mut deflate = Deflate::new(Format::Gzip, 5)?;
/// let text = "the same again, ".repeat(100);
/// let mut compressed = [0; 200];
/// let len = deflate.compress(text.as_bytes(), &mut compressed)?;
///
/// let mut output = [0; 1_600];
/// let mut state = InflateState::new_boxed();
/// inflate(Format::Gzip, &mut state, &compressed[..len], &mut output)?;
/// assert_eq!(&output[..], text.as_bytes());
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
pub struct Deflate {
    compressor: Box<CompressorOxide>,
    format: Format,
    level: u8,
    /// Whether the compressor has to be cleared before its next use.
    used: bool,
}

impl Deflate {
    /// A compressor for `format`; `level` goes from 1, the fastest, to 9, the tightest.
    ///
    /// # Errors
    ///
    /// [`CompressError::Level`] for any other level, [`CompressError::Unsupported`] for
    /// [`Format::Other`].
    pub fn new(format: Format, level: u8) -> Result<Self, CompressError> {
        let window_bits = match format {
            Format::Zlib => 15,
            // Not positive means without a zlib header.
            Format::Raw | Format::Gzip => 0,
            Format::Other(_) => return Err(CompressError::Unsupported { format }),
        };
        if !(1..=9).contains(&level) {
            return Err(CompressError::Level { level });
        }
        let strategy = CompressionStrategy::Default as i32;
        let flags = create_comp_flags_from_zip_params(level.into(), window_bits, strategy);
        let compressor = Box::new(CompressorOxide::new(flags));
        Ok(Self { compressor, format, level, used: false })
    }

    /// The level it was made with.
    #[must_use]
    pub const fn level(&self) -> u8 {
        self.level
    }

    fn deflate(&mut self, input: &[u8], output: &mut [u8]) -> Result<usize, CompressError> {
        if self.used {
            self.compressor.reset();
        }
        self.used = true;
        match compress(&mut self.compressor, input, output, TDEFLFlush::Finish) {
            (TDEFLStatus::Done, _, written) => Ok(written),
            (TDEFLStatus::Okay, ..) => {
                Err(CompressError::OutputLimit { limit_bytes: output.len() })
            }
            _ => Err(CompressError::Failed { reason: "deflate was used in a wrong way" }),
        }
    }
}

impl Compress for Deflate {
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

impl fmt::Debug for Deflate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { format, level, .. } = self;
        f.debug_struct("Deflate")
            .field("format", format)
            .field("level", level)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests {
    use super::Deflate;
    use crate::compress::{Compress, CompressError, Format, InflateState, inflate};

    #[test]
    fn every_format_and_level_round_trips_and_is_reused() {
        let text: [u8; 3_000] = core::array::from_fn(|index| (index * index / 97) as u8);
        let mut state = InflateState::new_boxed();
        for format in [Format::Raw, Format::Zlib, Format::Gzip] {
            for level in 1..=9 {
                let mut deflate = Deflate::new(format, level).unwrap();
                for input in [&text[..], b"", b"x", &text[..100]] {
                    let (mut compressed, mut output) = ([0; 4_000], [0; 3_000]);
                    let len = deflate.compress(input, &mut compressed).unwrap();
                    let inflated = inflate(format, &mut state, &compressed[..len], &mut output);
                    assert_eq!(inflated, Ok(input.len()));
                    assert_eq!(&output[..input.len()], input);
                    // One byte less is refused and leaves the compressor usable.
                    let limit_bytes = len - 1;
                    let refused = deflate.compress(input, &mut compressed[..limit_bytes]);
                    assert_eq!(refused, Err(CompressError::OutputLimit { limit_bytes }));
                }
            }
        }
    }

    #[test]
    fn what_it_cannot_do_is_refused() {
        for level in [0, 10] {
            let refused = Deflate::new(Format::Raw, level).unwrap_err();
            assert_eq!(refused, CompressError::Level { level });
        }
        let format = Format::Other(3);
        let refused = Deflate::new(format, 1).unwrap_err();
        assert_eq!(refused, CompressError::Unsupported { format });
    }
}

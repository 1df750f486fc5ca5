//! Compression: whether a body is worth it, and how it is inflated without an allocation.
//!
//! The module decides when a compressed stream is whole, intact and within its limit, and whether
//! compressing paid off. What the bytes mean, and where the fact that they are compressed is noted,
//! is left to the protocol.
//!
//! - [`inflate`] and [`Inflate`] decode raw deflate (RFC 1951), zlib (RFC 1950) and gzip
//!   (RFC 1952) with memory that the caller provides: [`InflateState`] and the output, whose length
//!   is the limit. A bomb ends there.
//! - [`Compress`] and [`Decompress`] are what a codec has to offer; `Deflate` is the built-in
//!   compressor, with the feature `alloc`.
//! - [`Policy`] sends small bodies plain, and those that would not shrink; [`AdaptiveCompression`]
//!   stops trying where it does not pay.
//!
//! The deflate algorithm itself is `miniz_oxide`'s.
//!
//! ```
//! use core::mem::MaybeUninit;
//! use turbopump_core::compress::{Format, InflateError, InflateState, inflate};
//!
//! let mut slot = MaybeUninit::uninit(); // a `static` on a microcontroller
//! let state = InflateState::new_in(&mut slot);
//! let compressed = b"\x78\x9c\x4b\x4c\x84\x01\x00\x14\xe1\x03\xcb";
//!
//! let mut output = [0; 16];
//! let len = inflate(Format::Zlib, state, compressed, &mut output)?;
//! assert_eq!(&output[..len], b"aaaaaaaaaa");
//!
//! let refused = inflate(Format::Zlib, state, compressed, &mut output[..9]);
//! assert!(matches!(refused, Err(InflateError::OutputLimit { limit_bytes: 9, .. })));
//! # Ok::<(), InflateError>(())
//! ```

// Compressed bytes come from the network: every sum and every index has to say what happens out of
// range.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

#[cfg(feature = "alloc")]
use alloc::boxed::Box;
use core::fmt;

mod adaptive;
#[cfg(feature = "alloc")]
mod deflate;
mod error;
pub mod gzip;
mod inflate;
mod policy;

pub use adaptive::AdaptiveCompression;
#[cfg(feature = "alloc")]
pub use deflate::Deflate;
pub use error::{CompressError, HeaderProblem, InflateError};
pub use inflate::{Inflate, InflateState, Progress, inflate};
pub use policy::{Encoded, PlainReason, Policy};

/// A format of compressed bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// Deflate without header or checksum, RFC 1951. Damage may go unnoticed.
    Raw,
    /// Deflate with a header of 2 bytes and an Adler-32, RFC 1950.
    Zlib,
    /// Deflate with a header of 10 bytes or more, a CRC-32 and the length, RFC 1952.
    Gzip,
    /// A format that this crate does not know, with a number that means something to its codec.
    Other(u16),
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Raw => f.write_str("raw deflate"),
            Self::Zlib => f.write_str("zlib"),
            Self::Gzip => f.write_str("gzip"),
            Self::Other(number) => write!(f, "number {number}"),
        }
    }
}

/// The most bytes that the built-in compressors make of `len` bytes: an eighth more, 128 bytes,
/// and the format's header and trailer. `None` for an unknown format and where the sum overflows.
///
/// Incompressible data grows by far less (5 bytes for each stored block of deflate); the eighth is
/// for a compressor that codes with the fixed tables of RFC 1951, 9 bits for a byte at worst.
///
/// ```
/// use turbopump_core::compress::{Format, compressed_len_max};
///
/// const ROOM: usize = match compressed_len_max(Format::Zlib, 4_096) {
///     Some(bytes) => bytes,
///     None => panic!("4 KiB fit into memory"),
/// };
/// assert_eq!(ROOM, 4_096 + 512 + 128 + 6);
/// ```
#[must_use]
pub const fn compressed_len_max(format: Format, len: usize) -> Option<usize> {
    let wrapper = match format {
        Format::Raw => 0,
        Format::Zlib => 6,
        Format::Gzip => gzip::HEADER.len().saturating_add(gzip::TRAILER_BYTES),
        Format::Other(_) => return None,
    };
    let overhead = (len / 8).saturating_add(128).saturating_add(wrapper);
    len.checked_add(overhead)
}

/// Makes bytes fewer.
pub trait Compress {
    /// What [`Compress::compress`] writes.
    fn format(&self) -> Format;

    /// Compresses all of `input` into `output` and returns how many bytes were written. Calls are
    /// independent of each other, whatever the last one returned.
    ///
    /// # Errors
    ///
    /// [`CompressError::OutputLimit`] when `output` is too short; [`compressed_len_max`] is always
    /// enough for the built-in compressors. What `output` holds is unspecified then.
    fn compress(&mut self, input: &[u8], output: &mut [u8]) -> Result<usize, CompressError>;
}

/// Restores what [`Compress`] made.
pub trait Decompress {
    /// What [`Decompress::decompress`] reads.
    fn format(&self) -> Format;

    /// Restores all of `input`, which is one whole compressed stream, into `output` and returns how
    /// many bytes were written. Never writes more than `output` holds. Calls are independent of
    /// each other, whatever the last one returned.
    ///
    /// # Errors
    ///
    /// [`InflateError`] for anything but a whole, intact stream that fits into `output`. What
    /// `output` holds is unspecified then.
    fn decompress(&mut self, input: &[u8], output: &mut [u8]) -> Result<usize, InflateError>;
}

impl<C: Compress + ?Sized> Compress for &mut C {
    fn format(&self) -> Format {
        (**self).format()
    }

    fn compress(&mut self, input: &[u8], output: &mut [u8]) -> Result<usize, CompressError> {
        (**self).compress(input, output)
    }
}

impl<D: Decompress + ?Sized> Decompress for &mut D {
    fn format(&self) -> Format {
        (**self).format()
    }

    fn decompress(&mut self, input: &[u8], output: &mut [u8]) -> Result<usize, InflateError> {
        (**self).decompress(input, output)
    }
}

#[cfg(feature = "alloc")]
impl<C: Compress + ?Sized> Compress for Box<C> {
    fn format(&self) -> Format {
        (**self).format()
    }

    fn compress(&mut self, input: &[u8], output: &mut [u8]) -> Result<usize, CompressError> {
        (**self).compress(input, output)
    }
}

#[cfg(feature = "alloc")]
impl<D: Decompress + ?Sized> Decompress for Box<D> {
    fn format(&self) -> Format {
        (**self).format()
    }

    fn decompress(&mut self, input: &[u8], output: &mut [u8]) -> Result<usize, InflateError> {
        (**self).decompress(input, output)
    }
}

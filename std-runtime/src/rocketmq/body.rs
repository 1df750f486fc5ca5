//! Bodies of messages: restored whatever the producer chose, within a bound.
//!
//! The module decides which decoder a body needs, by the message's flag. A body of an unknown type
//! is an error and never passed on as it is. zlib is always there; LZ4 and zstd are by features.

use alloc::boxed::Box;
use core::error::Error;
use core::fmt;

use turbopump_core::compress::{
    Compress, CompressError, Deflate, Format, InflateError, InflateState, inflate,
};
use turbopump_core::rocketmq::wire::message::{Compression, SysFlag, UnknownCompression};

/// Restores bodies, and compresses them. One is used over and over.
///
/// Calls are independent of each other. zlib allocates nothing after its first use; LZ4 and
/// zstd allocate their windows, at most 8 MiB or the length of the output for each call.
///
/// ```
/// use turbopump_core::rocketmq::wire::message::{Compression, SysFlag};
/// use turbopump_std::rocketmq::BodyCodec;
///
/// let mut codec = BodyCodec::new();
/// let body = "the same again, ".repeat(100);
/// let mut compressed = [0; 200];
/// let len = codec.compress(Compression::Zlib, body.as_bytes(), &mut compressed)?;
///
/// let flag = SysFlag::default().with_compression(Some(Compression::Zlib));
/// let mut output = [0; 1_600];
/// let len = codec.restore(flag, &compressed[..len], &mut output)?;
/// assert_eq!(&output[..len], body.as_bytes());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct BodyCodec {
    inflate: Box<InflateState>,
    /// Made when it is needed first: consumers never do.
    deflate: Option<Deflate>,
    #[cfg(feature = "zstd")]
    zstd: super::zstd::Decoder,
}

impl BodyCodec {
    /// A codec for all types that are built in.
    #[must_use]
    pub fn new() -> Self {
        Self {
            inflate: InflateState::new_boxed(),
            deflate: None,
            #[cfg(feature = "zstd")]
            zstd: super::zstd::Decoder::new(),
        }
    }

    /// Restores `body` into `output` and returns how many bytes were written; a body that is not
    /// compressed is copied. The length of `output` is the limit, so that a bomb ends there.
    ///
    /// # Errors
    ///
    /// [`BodyError`] for an unknown type, one that is not built in, and anything but a whole,
    /// intact body within the limit. What `output` holds is unspecified then.
    pub fn restore(
        &mut self,
        flag: SysFlag,
        body: &[u8],
        output: &mut [u8],
    ) -> Result<usize, BodyError> {
        let Some(compression) = flag.compression()? else {
            let limit_bytes = output.len();
            let Some(room) = output.get_mut(..body.len()) else {
                let at = limit_bytes as u64;
                return Err(InflateError::OutputLimit { at, limit_bytes }.into());
            };
            room.copy_from_slice(body);
            return Ok(body.len());
        };
        let restored = match compression {
            Compression::Zlib => inflate(Format::Zlib, &mut self.inflate, body, output),
            #[cfg(feature = "lz4")]
            Compression::Lz4 => super::lz4::restore(body, output),
            #[cfg(feature = "zstd")]
            Compression::Zstd => self.zstd.restore(body, output),
            compression => return Err(BodyError::NotBuiltIn { compression }),
        };
        Ok(restored?)
    }

    /// Compresses `body` into `output` and returns how many bytes were written.
    ///
    /// # Errors
    ///
    /// [`BodyError`] for a type that is not built in, and if `output` is too short: send the body
    /// as it is then.
    pub fn compress(
        &mut self,
        compression: Compression,
        body: &[u8],
        output: &mut [u8],
    ) -> Result<usize, BodyError> {
        let compressed = match compression {
            Compression::Zlib => self.deflate()?.compress(body, output),
            #[cfg(feature = "lz4")]
            Compression::Lz4 => super::lz4::compress(body, output),
            #[cfg(feature = "zstd")]
            Compression::Zstd => super::zstd::compress(body, output),
            compression => return Err(BodyError::NotBuiltIn { compression }),
        };
        Ok(compressed?)
    }

    fn deflate(&mut self) -> Result<&mut Deflate, CompressError> {
        match self.deflate.take() {
            Some(deflate) => Ok(self.deflate.insert(deflate)),
            None => Ok(self.deflate.insert(Deflate::new(Format::Zlib, LEVEL)?)),
        }
    }
}

impl Default for BodyCodec {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for BodyCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyCodec").finish_non_exhaustive()
    }
}

/// Why a body can't be restored or compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyError {
    /// The type of the compression is unknown.
    Unknown(UnknownCompression),
    /// The compression is known, but this program was built without it.
    NotBuiltIn {
        /// Which it is.
        compression: Compression,
    },
    /// The compressed body is damaged, or longer than the limit.
    Restore(InflateError),
    /// The body was not compressed.
    Compress(CompressError),
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(unknown) => write!(f, "{unknown}; ask the producer's operator"),
            Self::NotBuiltIn { compression } => {
                let feature = match compression {
                    Compression::Lz4 => "lz4",
                    Compression::Zstd => "zstd",
                    _ => "it",
                };
                write!(f, "{compression:?} is not built in: build with the feature `{feature}`")
            }
            Self::Restore(error) => error.fmt(f),
            Self::Compress(error) => error.fmt(f),
        }
    }
}

impl Error for BodyError {}

impl From<UnknownCompression> for BodyError {
    fn from(error: UnknownCompression) -> Self {
        Self::Unknown(error)
    }
}

impl From<InflateError> for BodyError {
    fn from(error: InflateError) -> Self {
        Self::Restore(error)
    }
}

impl From<CompressError> for BodyError {
    fn from(error: CompressError) -> Self {
        Self::Compress(error)
    }
}

/// What the Java client uses.
const LEVEL: u8 = 5;

//! What the bits of a message's system flag say.
//!
//! The module decides which bit means what; acting on them is left to others.

use core::error::Error;
use core::fmt;

/// The system flag of a message. Bits that are not known here are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SysFlag(
    /// The bits as they are on the wire.
    pub i32,
);

impl SysFlag {
    /// The body is compressed.
    pub const COMPRESSED: i32 = 0x001;
    /// The topic's messages have several tags each.
    pub const MULTI_TAGS: i32 = 0x002;
    /// The bits of [`Transaction`].
    pub const TRANSACTION: i32 = 0x00c;
    /// The producer's address is of IPv6.
    pub const BORN_HOST_V6: i32 = 0x010;
    /// The broker's address is of IPv6.
    pub const STORE_HOST_V6: i32 = 0x020;
    /// Consumers are to split the body.
    pub const NEED_UNWRAP: i32 = 0x040;
    /// The body is an inner batch.
    pub const INNER_BATCH: i32 = 0x080;
    /// The bits that say how the body was compressed.
    pub const COMPRESSION_TYPE: i32 = 0x700;

    /// How the body was compressed, `None` if it was not.
    ///
    /// # Errors
    ///
    /// [`UnknownCompression`] for a type that nobody has defined: the body is of no use then.
    pub const fn compression(self) -> Result<Option<Compression>, UnknownCompression> {
        if self.0 & Self::COMPRESSED == 0 {
            return Ok(None);
        }
        match (self.0 & Self::COMPRESSION_TYPE) >> 8 {
            // Older clients and Go's leave the type at 0.
            0 | 3 => Ok(Some(Compression::Zlib)),
            1 => Ok(Some(Compression::Lz4)),
            2 => Ok(Some(Compression::Zstd)),
            number => Err(UnknownCompression { number: number as u8 }),
        }
    }

    /// The same flag for a body that is compressed by `compression`, or plain.
    #[must_use]
    pub const fn with_compression(self, compression: Option<Compression>) -> Self {
        let others = self.0 & !(Self::COMPRESSED | Self::COMPRESSION_TYPE);
        Self(match compression {
            None => others,
            Some(Compression::Zlib) => others | Self::COMPRESSED | 0x300,
            Some(Compression::Lz4) => others | Self::COMPRESSED | 0x100,
            Some(Compression::Zstd) => others | Self::COMPRESSED | 0x200,
        })
    }

    /// The flag after the body was restored: the type stays, as in the Java client.
    #[must_use]
    pub const fn restored(self) -> Self {
        Self(self.0 & !Self::COMPRESSED)
    }

    /// What the message is to a transaction.
    #[must_use]
    pub const fn transaction(self) -> Transaction {
        match self.0 & Self::TRANSACTION {
            0x4 => Transaction::Prepared,
            0x8 => Transaction::Commit,
            0xc => Transaction::Rollback,
            _ => Transaction::None,
        }
    }

    /// The same flag for another part in a transaction.
    #[must_use]
    pub const fn with_transaction(self, transaction: Transaction) -> Self {
        Self(self.0 & !Self::TRANSACTION | transaction as i32)
    }

    /// Whether consumers have to split the body into messages.
    #[must_use]
    pub const fn is_inner_batch(self) -> bool {
        let both = Self::INNER_BATCH | Self::NEED_UNWRAP;
        self.0 & both == both
    }

    /// Whether all bits of `mask` are set.
    #[must_use]
    pub const fn has(self, mask: i32) -> bool {
        self.0 & mask == mask
    }

    pub(super) const fn with(self, mask: i32, on: bool) -> Self {
        Self(if on { self.0 | mask } else { self.0 & !mask })
    }
}

/// How a body was compressed. None of them has a length in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Compression {
    /// A zlib stream, RFC 1950.
    Zlib,
    /// An LZ4 frame, not a block.
    Lz4,
    /// A zstd frame, RFC 8878.
    Zstd,
}

/// What a message is to a transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transaction {
    /// It has to do with none.
    #[default]
    None = 0x0,
    /// A half message that waits for its end.
    Prepared = 0x4,
    /// Committed.
    Commit = 0x8,
    /// Rolled back.
    Rollback = 0xc,
}

/// A body was compressed in a way that nobody has defined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnknownCompression {
    /// The type as it stands in the system flag, 4 to 7.
    pub number: u8,
}

impl fmt::Display for UnknownCompression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number } = self;
        write!(f, "compression type {number} is unknown: zlib is 0 or 3, LZ4 is 1, zstd is 2")
    }
}

impl Error for UnknownCompression {}

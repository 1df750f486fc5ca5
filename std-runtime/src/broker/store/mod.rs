//! Messages on disk.

/// Bytes that a group of so many messages takes behind them.
#[must_use]
pub const fn trailer_bytes(records: usize) -> usize {
    32 + records * 8
}

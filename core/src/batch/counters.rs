//! What an accumulator counts.

/// Why a batch was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// It has as many items as a batch should have.
    Items,
    /// The next item would have made it too many bytes.
    Bytes,
    /// Its first item has waited as long as an item should.
    Linger,
    /// Somebody asked for it.
    Flush,
    /// The accumulator shuts down.
    Shutdown,
}

impl Reason {
    /// All of them, in the order of [`BatchCounters::closed`].
    pub const ALL: [Self; 5] =
        [Self::Items, Self::Bytes, Self::Linger, Self::Flush, Self::Shutdown];

    /// The name under which it is shown: a metric's label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Items => "size",
            Self::Bytes => "bytes",
            Self::Linger => "linger",
            Self::Flush => "manual",
            Self::Shutdown => "shutdown",
        }
    }
}

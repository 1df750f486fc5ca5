//! What users of streams are told.

/// Refers to one stream of one connection, from when it is opened or accepted until it is released.
/// Afterwards it refers to nothing, even where another stream has taken the place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamKey {
    pub(super) place: u32,
    pub(super) id: u32,
}

impl StreamKey {
    /// The stream's place: below [`StreamConfig::streams_max`](super::StreamConfig::streams_max),
    /// and its own until it is released. For tables beside the machine.
    #[must_use]
    pub const fn place(self) -> usize {
        self.place as usize
    }

    /// The stream's number on the wire.
    #[must_use]
    pub const fn id(self) -> u32 {
        self.id
    }
}

/// Something that a user waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamEvent {
    /// [`Streams::accept`](super::Streams::accept) has something to say.
    Accept,
    /// [`Streams::open`](super::Streams::open) may be tried again.
    Open,
    /// A stream can go on, or is over.
    Stream {
        /// Which one.
        key: StreamKey,
        /// Reading does not wait any more.
        readable: bool,
        /// There is room to write, or less to be sent than before.
        writable: bool,
    },
}

//! What happened on a connection's streams.

use super::header::GoAwayReason;

/// What was counted since the connection began. All counters wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamCounters {
    /// Streams opened by this side.
    pub opened: u64,
    /// Streams of the peer's that were accepted.
    pub accepted: u64,
    /// Streams of the peer's that were refused.
    pub refused: u64,
    /// Streams that this side reset, for whatever reason.
    pub resets_sent: u64,
    /// Streams that the peer reset or refused.
    pub resets_received: u64,
    /// Streams reset because too much was unread, or no buffer was free.
    pub overruns: u64,
    /// Frames of all kinds that were handed out to be written.
    pub frames_sent: u64,
    /// Frames of all kinds that arrived.
    pub frames_received: u64,
    /// Data handed out to be written, without headers, in bytes.
    pub data_bytes_sent: u64,
    /// Data that arrived, without headers, in bytes.
    pub data_bytes_received: u64,
    /// Data that arrived for streams that are not there any more, in bytes.
    pub data_bytes_dropped: u64,
    /// Bytes that were given to the transport.
    pub bytes_written: u64,
    /// Pings sent by this side.
    pub pings_sent: u64,
    /// Pings of the peer's that were not answered, because it sent too many at once.
    pub pings_dropped: u64,
    /// Times that the pool had no buffer for what was to be sent.
    pub starved: u64,
}

/// How a connection's streams are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamStatus {
    /// Streams that have a place, those that linger among them.
    pub streams: usize,
    /// Streams of the peer's that wait to be accepted.
    pub waiting: usize,
    /// Own streams that the peer has not accepted yet.
    pub unacknowledged: usize,
    /// Bytes that wait to be read.
    pub unread_bytes: usize,
    /// The most that ever waited to be read, in bytes.
    pub unread_bytes_max: usize,
    /// The round trip as the last answered ping measured it, in microseconds.
    pub round_trip_us: Option<u64>,
    /// The same, smoothed over about eight pings.
    pub round_trip_smoothed_us: Option<u64>,
    /// This side wants no more streams.
    pub go_away_sent: Option<GoAwayReason>,
    /// The peer wants no more streams.
    pub go_away_received: Option<GoAwayReason>,
}

//! What the broker counts.

use turbopump_core::rocketmq::wire::header::response_code;

/// Counts since the broker was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Connections that were accepted.
    pub connections_opened: u64,
    /// Connections that have ended.
    pub connections_closed: u64,
    /// Connections that were one too many.
    pub connections_refused: u64,
    /// Connections that were closed because they could not be encrypted, or were not though they
    /// had to be.
    pub connections_insecure: u64,
    /// Frames that were handled.
    pub frames: u64,
    /// Connections that sent something that is no frame, and were closed.
    pub frames_malformed: u64,
    /// Requests that were answered with success.
    pub requests_granted: u64,
    /// Requests that were answered with anything else, but for pulls that found nothing.
    pub requests_refused: u64,
    /// Requests that nobody knows.
    pub requests_unknown: u64,
    /// Requests whose signature was missing or wrong.
    pub requests_unsigned: u64,
    /// Requests to which something was done on purpose.
    pub faults: u64,
    /// Answers that were too long for a frame.
    pub unwritable: u64,
    /// Messages that were stored, those of the broker's own included.
    pub messages_stored: u64,
    /// Messages that clients have sent.
    pub messages_sent: u64,
    /// Their bytes, as they are stored.
    pub bytes_sent: u64,
    /// Messages that were pulled.
    pub messages_pulled: u64,
    /// Bytes of pulled messages, as they are stored.
    pub bytes_pulled: u64,
    /// Messages that went away by age, size or number.
    pub messages_expired: u64,
    /// Messages that consumers have sent back.
    pub messages_retried: u64,
    /// Messages that went to a dead-letter topic.
    pub messages_dead: u64,
    /// Delayed messages, those with a time of their own included, that could not be read when their
    /// time came.
    pub messages_unreadable: u64,
    /// Messages whose delay is over.
    pub messages_delayed: u64,
    /// Messages that were delivered at a time of their own.
    pub messages_timed: u64,
    /// Messages that waited for a time of their own and will never be delivered: they went away by
    /// age, size or number, or their topic is gone.
    pub messages_timed_dropped: u64,
    /// Messages that waited for a time of their own and were recalled.
    pub messages_recalled: u64,
    /// Transactions that were committed.
    pub transactions_committed: u64,
    /// Transactions that were rolled back.
    pub transactions_rolled_back: u64,
    /// Members of groups that came with another subscription than the group's.
    pub subscriptions_differ: u64,
    /// Producers that were asked about a transaction.
    pub transactions_checked: u64,
    /// Times that a name server which stands apart came to know this broker.
    pub registrations: u64,
    /// Times that one did not any more.
    pub registration_failures: u64,
    /// Groups of messages that could not be stored.
    pub store_failures: u64,
    /// Reads from disk that failed.
    pub read_failures: u64,
}

impl Counts {
    pub(super) const fn answered(&mut self, code: i32) {
        match code {
            response_code::SUCCESS => self.requests_granted += 1,
            response_code::PULL_NOT_FOUND | response_code::PULL_RETRY_IMMEDIATELY => {}
            _ => self.requests_refused += 1,
        }
    }
}

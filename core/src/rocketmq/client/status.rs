//! How safe a message is that a broker has taken.

use crate::rocketmq::wire::header::response_code;

/// How safe a message is that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendStatus {
    /// As the broker is set to.
    Ok,
    /// It is in the broker's memory, but was not written to disk in time.
    FlushDiskTimeout,
    /// It is at the broker, but not at a slave in time.
    FlushSlaveTimeout,
    /// It is at the broker, but there is no slave.
    SlaveNotAvailable,
}

impl SendStatus {
    /// What a broker's answer to a send means; `None` where it has not taken the message.
    ///
    /// ```
    /// use turbopump_core::rocketmq::client::SendStatus;
    ///
    /// assert_eq!(SendStatus::of(0), Some(SendStatus::Ok));
    /// assert_eq!(SendStatus::of(2), None, "busy");
    /// ```
    #[must_use]
    pub const fn of(code: i32) -> Option<Self> {
        Some(match code {
            response_code::SUCCESS => Self::Ok,
            response_code::FLUSH_DISK_TIMEOUT => Self::FlushDiskTimeout,
            response_code::SLAVE_NOT_AVAILABLE => Self::SlaveNotAvailable,
            response_code::FLUSH_SLAVE_TIMEOUT => Self::FlushSlaveTimeout,
            _ => return None,
        })
    }
}

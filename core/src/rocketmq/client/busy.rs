//! Brokers that have too much to do, and say so.
//!
//! Apache's broker answers with the code `SYSTEM_BUSY` and a remark that begins with a word in
//! brackets; newer ones know the code `FLOW_CONTROL`, too.

use core::fmt;

use crate::rocketmq::wire::header::response_code;

/// Why a broker is busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BusyKind {
    /// The request waited too long in the broker's queue (`TIMEOUT_CLEAN_QUEUE`).
    QueueTimeout,
    /// The page cache is busy, so that the queue was emptied (`PCBUSY_CLEAN_QUEUE`).
    PageCache,
    /// The page cache is busy, so that nothing is taken (`PC_SYNCHRONIZED`).
    PageCacheSynchronized,
    /// There were too many requests already (`OVERLOAD`).
    Overload,
    /// The broker takes no such requests now (`REJECTREQUEST`).
    Rejected,
    /// It says nothing more, or something that nobody knows.
    Other,
}

impl BusyKind {
    /// All of them, for tables with a place for each.
    pub const ALL: [Self; 6] = [
        Self::QueueTimeout,
        Self::PageCache,
        Self::PageCacheSynchronized,
        Self::Overload,
        Self::Rejected,
        Self::Other,
    ];

    /// A name for metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::QueueTimeout => "queue_timeout",
            Self::PageCache => "page_cache",
            Self::PageCacheSynchronized => "page_cache_synchronized",
            Self::Overload => "overload",
            Self::Rejected => "rejected",
            Self::Other => "other",
        }
    }

    /// Its place in [`ALL`](Self::ALL).
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for BusyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::QueueTimeout => "the request waited too long in its queue",
            Self::PageCache => "its disk is too slow, and its queue was emptied",
            Self::PageCacheSynchronized => "its disk is too slow",
            Self::Overload => "it has too many requests",
            Self::Rejected => "it takes no such requests now",
            Self::Other => "it does not say why",
        })
    }
}

/// What a busy broker has said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Busy {
    /// Why.
    pub kind: BusyKind,
    /// How long the request was in the broker's queue, if that is said.
    pub queued_ms: Option<u32>,
}

impl Busy {
    /// What an answer says; `None` where its code means something else.
    ///
    /// ```
    /// use turbopump_core::rocketmq::client::{Busy, BusyKind};
    ///
    /// let remark = "[TIMEOUT_CLEAN_QUEUE]broker busy, start flow control for a while, \
    ///               period in queue: 208ms, size of queue: 12";
    /// let busy = Busy::of(2, remark).unwrap();
    /// assert_eq!((busy.kind, busy.queued_ms), (BusyKind::QueueTimeout, Some(208)));
    /// assert_eq!(Busy::of(17, ""), None);
    /// ```
    #[must_use]
    pub fn of(code: i32, remark: &str) -> Option<Self> {
        if code != response_code::SYSTEM_BUSY && code != response_code::FLOW_CONTROL {
            return None;
        }
        let word = remark.trim_start().strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let kind = match word.map_or("", |(word, _)| word) {
            "TIMEOUT_CLEAN_QUEUE" => BusyKind::QueueTimeout,
            "PCBUSY_CLEAN_QUEUE" => BusyKind::PageCache,
            "PC_SYNCHRONIZED" => BusyKind::PageCacheSynchronized,
            "OVERLOAD" => BusyKind::Overload,
            "REJECTREQUEST" => BusyKind::Rejected,
            _ => BusyKind::Other,
        };
        let period = remark.split_once("period in queue:").map(|(_, rest)| rest.trim_start());
        let queued_ms = period.and_then(|rest| {
            let end = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
            rest.get(..end)?.parse().ok()
        });
        Some(Self { kind, queued_ms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remarks_are_understood_as_far_as_they_go() {
        let cases = [
            ("[PCBUSY_CLEAN_QUEUE]broker busy, period in queue: 7ms, size", "page_cache", Some(7)),
            ("[PC_SYNCHRONIZED]broker busy", "page_cache_synchronized", None),
            ("[OVERLOAD]system busy, start flow control for a while", "overload", None),
            ("[REJECTREQUEST]system busy", "rejected", None),
            ("[SOMETHING]else, period in queue: 99999999999ms", "other", None),
            ("[TIMEOUT_CLEAN_QUEUE", "other", None),
            ("period in queue:", "other", None),
            ("", "other", None),
        ];
        for (remark, name, queued_ms) in cases {
            for code in [2, 215] {
                let busy = Busy::of(code, remark).unwrap();
                assert_eq!((busy.kind.name(), busy.queued_ms), (name, queued_ms), "{remark}");
            }
        }
        for (index, kind) in BusyKind::ALL.into_iter().enumerate() {
            assert_eq!(kind.index(), index);
        }
    }
}

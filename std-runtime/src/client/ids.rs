//! The ids of messages: unique, and the same however often one is sent.

use core::sync::atomic::{AtomicU64, Ordering};

use turbopump_core::rocketmq::client::MessageIds;
use turbopump_core::rocketmq::wire::identity::UniqueKey;

/// [`MessageIds`] that count.
#[derive(Debug)]
pub(super) struct Ids {
    base: MessageIds,
    next: AtomicU64,
}

/// Ids of one moment, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IdRange {
    base: MessageIds,
    unix_ms: u64,
    first: u64,
}

/// Letters of an id's text.
pub(super) const ID_BYTES: usize = MessageIds::TEXT_BYTES;

impl Ids {
    pub(super) fn new(random: u64) -> Self {
        let base = MessageIds::new(random, std::process::id() as u16);
        Self { base, next: AtomicU64::new(0) }
    }

    pub(super) fn next(&self, unix_ms: u64) -> UniqueKey {
        self.reserve(1, unix_ms).get(0)
    }

    /// So many at once.
    pub(super) fn reserve(&self, count: usize, unix_ms: u64) -> IdRange {
        let first = self.next.fetch_add(count as u64, Ordering::Relaxed);
        IdRange { base: self.base, unix_ms, first }
    }
}

impl IdRange {
    pub(super) fn get(&self, index: usize) -> UniqueKey {
        self.base.get(self.first.wrapping_add(index as u64), self.unix_ms)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_are_alike_even_within_one_millisecond() {
        let ids = Ids::new(1);
        let ms = 1_700_000_000_000;
        let mut many: HashSet<UniqueKey> = (0..100_000).map(|_| ids.next(ms)).collect();
        let range = ids.reserve(100_000, ms);
        many.extend((0..100_000).map(|index| range.get(index)));
        assert_eq!(many.len(), 200_000);
        assert_ne!(Ids::new(1).next(0), Ids::new(2).next(0));
        assert_eq!(ids.next(ms).to_string().len(), ID_BYTES);
    }
}

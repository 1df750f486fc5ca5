//! The ids of messages: unique, and the same however often one is sent.

use core::net::{IpAddr, Ipv4Addr};
use core::sync::atomic::{AtomicU64, Ordering};

use turbopump_core::rocketmq::wire::identity::UniqueKey;

/// Makes ids in the layout of the Java client: what it takes for an address and for a class loader
/// are random bits here, which tell clients apart as well, and say nothing of the machine.
#[derive(Debug)]
pub(super) struct Ids {
    base: Base,
    next: AtomicU64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Base {
    ip: IpAddr,
    process_id: u16,
    loader_hash: i32,
}

/// Ids of one moment, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IdRange {
    base: Base,
    unix_ms: u64,
    first: u64,
}

/// Letters of an id's text.
pub(super) const ID_BYTES: usize = 32;

/// Of a month, which is as long as four weeks here: the layout has room for no more.
const MONTH_MS: u64 = 28 * 24 * 3_600 * 1_000;

impl Ids {
    pub(super) fn new(random: u64) -> Self {
        let [a, b, c, d, rest @ ..] = random.to_be_bytes();
        let base = Base {
            ip: IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
            process_id: std::process::id() as u16,
            loader_hash: i32::from_be_bytes(rest),
        };
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
        let count = self.first.wrapping_add(index as u64);
        // So that the counter's end does not make two of one millisecond alike.
        let ms = self.unix_ms.wrapping_add(count >> 16) % MONTH_MS;
        let Base { ip, process_id, loader_hash } = self.base;
        let month_ms = i32::try_from(ms).unwrap_or(i32::MAX);
        UniqueKey { ip, process_id, loader_hash, month_ms, counter: count as u16 }
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

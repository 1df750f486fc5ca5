//! The ids of messages: unique, and the same however often one is sent.

use core::hash::BuildHasher;
use core::net::{IpAddr, Ipv4Addr};
use core::sync::atomic::{AtomicU64, Ordering};
use std::hash::RandomState;

use turbopump_core::rocketmq::wire::identity::UniqueKey;

/// Makes ids in the layout of the Java client: what it takes for an address and for a class loader
/// are random bits here, which tell clients apart as well, and say nothing of the machine.
#[derive(Debug)]
pub(super) struct Ids {
    ip: IpAddr,
    process_id: u16,
    loader_hash: i32,
    next: AtomicU64,
}

/// Of a month, which is as long as four weeks here: the layout has room for no more.
const MONTH_MS: u64 = 28 * 24 * 3_600 * 1_000;

impl Ids {
    pub(super) fn new() -> Self {
        let random = RandomState::new().hash_one(0);
        let [a, b, c, d, rest @ ..] = random.to_be_bytes();
        Self {
            ip: IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
            process_id: std::process::id() as u16,
            loader_hash: i32::from_be_bytes(rest),
            next: AtomicU64::new(0),
        }
    }

    pub(super) fn next(&self, unix_ms: u64) -> UniqueKey {
        let count = self.next.fetch_add(1, Ordering::Relaxed);
        // So that the counter's end does not make two of one millisecond alike.
        let ms = unix_ms.wrapping_add(count >> 16) % MONTH_MS;
        UniqueKey {
            ip: self.ip,
            process_id: self.process_id,
            loader_hash: self.loader_hash,
            month_ms: i32::try_from(ms).unwrap_or(i32::MAX),
            counter: count as u16,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_are_alike_even_within_one_millisecond() {
        let ids = Ids::new();
        let many: HashSet<UniqueKey> = (0..200_000).map(|_| ids.next(1_700_000_000_000)).collect();
        assert_eq!(many.len(), 200_000);
        assert_ne!(Ids::new().next(0), Ids::new().next(0));
    }
}

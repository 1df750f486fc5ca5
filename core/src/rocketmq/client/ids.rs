//! Ids that a producer gives its messages.

use core::net::{IpAddr, Ipv4Addr};

use crate::rocketmq::wire::identity::UniqueKey;

/// Of a month, which is as long as four weeks here: the layout has room for no more.
const MONTH_MS: u64 = 28 * 24 * 3_600 * 1_000;

/// Makes ids in the layout of the Java client: what it takes for an address and for a class loader
/// are random bits here, which tell clients apart as well, and say nothing of the machine.
///
/// Counting is left to the caller.
///
/// ```
/// use turbopump_core::rocketmq::client::MessageIds;
///
/// let ids = MessageIds::new(0x0102_0304_0506_0708, 9);
/// let id = ids.get(65_537, 1_000);
/// assert_eq!(id.to_string(), "010203040009050607080000".to_owned() + "03E90001");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageIds {
    ip: Ipv4Addr,
    process_id: u16,
    loader_hash: i32,
}

impl MessageIds {
    /// Letters of an id's text.
    pub const TEXT_BYTES: usize = 32;

    /// Ids of the client with these random bits, in a process with that number.
    #[must_use]
    pub const fn new(random: u64, process_id: u16) -> Self {
        let [a, b, c, d, e, f, g, h] = random.to_be_bytes();
        let ip = Ipv4Addr::new(a, b, c, d);
        Self { ip, process_id, loader_hash: i32::from_be_bytes([e, f, g, h]) }
    }

    /// The id of the message with this number, made at this time in milliseconds since 1970.
    #[must_use]
    pub fn get(&self, number: u64, unix_ms: u64) -> UniqueKey {
        // So that the counter's end does not make two of one millisecond alike.
        let ms = unix_ms.wrapping_add(number >> 16) % MONTH_MS;
        let Self { ip, process_id, loader_hash } = *self;
        let month_ms = i32::try_from(ms).unwrap_or(i32::MAX);
        UniqueKey { ip: IpAddr::V4(ip), process_id, loader_hash, month_ms, counter: number as u16 }
    }
}

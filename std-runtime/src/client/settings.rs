//! How a producer is set.

use core::fmt;

use alloc::sync::Arc;
use alloc::vec::Vec;

use turbopump_core::batch::{BatchConfig, RetryPolicy, SizePolicy};
use turbopump_core::rocketmq::wire::message::Compression;

use super::hooks::SendHook;

/// The settings of a producer.
///
/// ```
/// use turbopump_std::client::{Batching, ProducerConfig};
///
/// let mut config = ProducerConfig::default();
/// config.batching = Some(Batching { linger_us: 1_000, ..Batching::default() });
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct ProducerConfig {
    /// How messages are put together; each goes by itself by default.
    pub batching: Option<Batching>,
    /// How long bodies are compressed; [`Compression::Zlib`] by default. Others need their feature,
    /// and brokers and consumers of 5.0 or later.
    pub compression: Compression,
    /// Whether messages that say nothing of a trace begin one, by the property `traceparent`.
    pub begins_traces: bool,
    /// Who is asked before, and told after each message, in this order.
    pub hooks: Vec<Arc<dyn SendHook>>,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            batching: None,
            compression: Compression::Zlib,
            begins_traces: false,
            hooks: Vec::new(),
        }
    }
}

impl fmt::Debug for ProducerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProducerConfig")
            .field("batching", &self.batching)
            .field("compression", &self.compression)
            .field("begins_traces", &self.begins_traces)
            .field("hooks", &self.hooks.len())
            .finish()
    }
}

/// How messages of one topic, or of one queue where they are ordered, are put together.
///
/// A batch is sent as soon as fewer than `in_flight_max` are under way and it is full or its first
/// message has waited for `linger_us`. So without any lingering, those that come while others are
/// under way go together.
#[derive(Clone, Copy, Debug, PartialEq)]
// Made with `..Batching::default()`, so that more fields can come.
#[allow(clippy::exhaustive_structs)]
pub struct Batching {
    /// Messages of one batch, at most; 256.
    pub messages_max: u32,
    /// Bytes of one batch, at most, on the wire; 128 KiB.
    pub bytes_max: u32,
    /// How long the first message waits for others, in microseconds; 0.
    pub linger_us: u64,
    /// Batches of a topic that are under way at once, at most 64; 4. Of messages that are ordered
    /// it is one.
    pub in_flight_max: u32,
    /// How many messages close a batch; as many as may be in it by default.
    pub size: SizePolicy,
}

impl Default for Batching {
    fn default() -> Self {
        Self {
            messages_max: 256,
            bytes_max: 128 << 10,
            linger_us: 0,
            in_flight_max: 4,
            size: SizePolicy::Fixed,
        }
    }
}

impl Batching {
    /// For the generic part: what is to be tried again is tried by the producer itself.
    pub(super) fn batch_config(&self, waiting_max: usize, is_ordered: bool) -> BatchConfig {
        let bytes_max = u64::from(self.bytes_max);
        BatchConfig {
            items_max: self.messages_max,
            bytes_max,
            item_bytes_max: bytes_max,
            linger_us: self.linger_us,
            waiting_max: u32::try_from(waiting_max).unwrap_or(u32::MAX / 4),
            in_flight_max: self.in_flight_max,
            ordered: is_ordered,
            retry: RetryPolicy { retries_max: 0, ..RetryPolicy::DEFAULT },
            size: self.size,
        }
    }
}

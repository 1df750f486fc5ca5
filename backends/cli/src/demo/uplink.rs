//! What the batch senders do with batches: compress them and ask the collector to take them.

use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use turbopump::core::batch::{Batch, Outcome};
use turbopump::core::compress::{AdaptiveCompression, CompressError, Encoded, Format, Policy};
use turbopump::core::link::{IdField, RequestCounters};
use turbopump::core::pool::AcquireRefused;
use turbopump::runtime::backend::Backend;
use turbopump::runtime::batch::BatchHandler;
use turbopump::runtime::memory::{BufferPool, Lease};
use turbopump::runtime::net::{
    AcquireError, ConnectionPool, PoolStatus, RequestError, RequestLink, RequestLinkConfig,
};
use turbopump_std::compress::ZlibRsDeflate;

use super::message::{self, ACCEPTED, BatchHead, FRONT_BYTES, LENGTH_BYTES, REQUEST_HEAD_BYTES};

/// One connection from the pool, over which all lanes ask at once; another when it is gone.
pub(crate) struct Uplink<B: Backend> {
    backend: B,
    pool: ConnectionPool<B>,
    buffers: BufferPool,
    links: Mutex<Links>,
    /// Whether the last batch was not taken.
    is_down: AtomicBool,
    pub(crate) counts: UplinkCounts,
}

#[derive(Default)]
struct Links {
    open: Option<RequestLink<IdField>>,
    /// What links that are gone have counted.
    closed: RequestCounters,
}

#[derive(Debug, Default)]
pub(crate) struct UplinkCounts {
    pub(crate) plain_bytes: AtomicU64,
    pub(crate) wire_bytes: AtomicU64,
    pub(crate) failed_requests: AtomicU64,
}

impl<B: Backend> Uplink<B> {
    pub(crate) fn new(backend: B, pool: ConnectionPool<B>, buffers: BufferPool) -> Arc<Self> {
        let (links, is_down, counts) = Default::default();
        Arc::new(Self { backend, pool, buffers, links, is_down, counts })
    }

    /// The link, if it is open.
    fn links(&self) -> MutexGuard<'_, Links> {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(closed) = links.open.take_if(|link| link.status().closed.is_some()) {
            links.closed.merge(&closed.counters());
        }
        links
    }

    /// The numbers of all links there have been.
    pub(crate) fn link_counters(&self) -> RequestCounters {
        let links = self.links();
        let mut counters = links.closed.clone();
        if let Some(link) = &links.open {
            counters.merge(&link.counters());
        }
        counters
    }

    pub(crate) fn pool_status(&self) -> PoolStatus {
        self.pool.status()
    }

    async fn link(&self) -> Result<RequestLink<IdField>, UplinkError> {
        let open = self.links().open.clone();
        if let Some(link) = open {
            return Ok(link);
        }
        let halves = self.pool.get().await.map_err(UplinkError::Connection)?.split();
        let protocol = message::protocol().map_err(|_| UplinkError::Protocol)?;
        let config = RequestLinkConfig::default();
        let new = RequestLink::over(&self.backend, halves, protocol, self.buffers.clone(), &config)
            .map_err(|_| UplinkError::Protocol)?;
        // Another lane may have been faster; one connection is enough.
        Ok(self.links().open.get_or_insert(new).clone())
    }

    async fn ask(&self, head: &BatchHead, body: Lease) -> Result<(), UplinkError> {
        let link = self.link().await?;
        let mut front = [0; FRONT_BYTES + REQUEST_HEAD_BYTES];
        front[FRONT_BYTES..].copy_from_slice(&head.encode());
        let wire_bytes = (front.len() + body.len()) as u64;
        let answer = link.request(&front, body).await.map_err(UplinkError::Request)?;
        if answer.get(FRONT_BYTES) != Some(&ACCEPTED) {
            return Err(UplinkError::Busy);
        }
        self.counts.plain_bytes.fetch_add(head.plain_bytes.into(), Ordering::Relaxed);
        self.counts.wire_bytes.fetch_add(wire_bytes, Ordering::Relaxed);
        Ok(())
    }

    pub(crate) async fn close(&self) {
        let open = self.links().open.clone();
        if let Some(link) = open {
            link.close().await;
        }
        self.pool.close().await;
    }
}

/// Sends the batches of one lane, one after the other.
pub(crate) struct Lane<B: Backend> {
    uplink: Arc<Uplink<B>>,
    number: u16,
    state: Mutex<LaneState>,
}

struct LaneState {
    /// Of the next batch.
    next: u64,
    deflate: ZlibRsDeflate,
    adaptive: AdaptiveCompression,
}

impl<B: Backend> Lane<B> {
    pub(crate) fn new(uplink: &Arc<Uplink<B>>, number: u16) -> Result<Self, CompressError> {
        let deflate = ZlibRsDeflate::new(Format::Zlib, LEVEL)?;
        let state = LaneState { next: 0, deflate, adaptive: AdaptiveCompression::default() };
        Ok(Self { uplink: Arc::clone(uplink), number, state: Mutex::new(state) })
    }

    /// The messages of a batch as one body, compressed where that pays.
    fn encode(&self, batch: &Batch<'static, Lease>) -> Result<(BatchHead, Lease), UplinkError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // Before anything can fail: another attempt is to have the same number.
        if batch.attempt() == 0 {
            state.next += 1;
        }
        let number = state.next - 1;
        let len = batch.iter().map(|message| LENGTH_BYTES + message.len()).sum();
        let acquire = || self.uplink.buffers.acquire(len).map_err(UplinkError::Buffers);
        let mut plain = acquire()?;
        for message in batch.iter() {
            // There is room: it was counted just now.
            let _ = plain.extend_from_slice(&(message.len() as u32).to_be_bytes());
            let _ = plain.extend_from_slice(message);
        }
        let mut head =
            BatchHead { lane: self.number, number, is_compressed: false, plain_bytes: len as u32 };
        if !state.adaptive.should_try() {
            return Ok((head, plain));
        }
        let mut packed = acquire()?;
        let LaneState { deflate, adaptive, .. } = &mut *state;
        let encoded = Policy::default().encode(deflate, &plain, packed.dirty_mut());
        match encoded.map_err(UplinkError::Compress)? {
            Encoded::Compressed(bytes) => {
                adaptive.observe(len, bytes);
                let _ = packed.commit(bytes);
                head.is_compressed = true;
                Ok((head, packed))
            }
            Encoded::Plain(_) => {
                adaptive.observe(len, len);
                Ok((head, plain))
            }
        }
    }
}

impl<B: Backend> BatchHandler<Lease> for Lane<B> {
    async fn handle(&self, batch: &mut Batch<'static, Lease>) {
        let sent = match self.encode(batch) {
            Ok((head, body)) => self.uplink.ask(&head, body).await,
            Err(error) => Err(error),
        };
        let was_down = self.uplink.is_down.swap(sent.is_err(), Ordering::Relaxed);
        let Err(error) = sent else { return };
        self.uplink.counts.failed_requests.fetch_add(1, Ordering::Relaxed);
        batch.set_all(Outcome::Retry);
        if !was_down {
            eprintln!("turbopump: batches are sent again until they are taken: {error}");
        }
    }
}

/// The fastest; batches of similar lines shrink well all the same.
const LEVEL: u8 = 1;

/// Why a batch was not taken. It is sent again in any case.
#[derive(Debug)]
enum UplinkError {
    Connection(AcquireError),
    Request(RequestError),
    Compress(CompressError),
    Buffers(AcquireRefused),
    Protocol,
    Busy,
}

impl fmt::Display for UplinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(error) => error.fmt(f),
            Self::Request(error) => error.fmt(f),
            Self::Compress(error) => error.fmt(f),
            Self::Buffers(error) => error.fmt(f),
            Self::Protocol => f.write_str("the link's settings can't be meant"),
            Self::Busy => f.write_str("the collector is busy with this batch"),
        }
    }
}

#[cfg(test)]
mod tests {
    use turbopump::core::batch::{Accumulator, BatchConfig, BatchStorage, RetryPolicy};
    use turbopump::core::pool::{ClassLayout, Layout};
    use turbopump::core::time::Now;
    use turbopump::runtime::net::PoolSettings;

    use super::*;

    #[test]
    fn a_batch_keeps_its_number_even_where_there_was_no_memory_for_it_at_first() {
        let backend = turbopump::smol::Backend::new();
        let endpoint = "127.0.0.1:1".parse().unwrap();
        let pool = ConnectionPool::new(backend.clone(), endpoint, PoolSettings::default()).unwrap();
        let layout = [ClassLayout::new(64, 16), ClassLayout::new(1_024, 2)];
        let buffers = BufferPool::new(&Layout::new(&layout).unwrap());
        let uplink = Uplink::new(backend, pool, buffers.clone());
        let lane = Lane::new(&uplink, 0).unwrap();

        let config = BatchConfig {
            items_max: 2,
            retry: RetryPolicy { delay_us: 0, ..RetryPolicy::DEFAULT },
            ..BatchConfig::default()
        };
        let mut batcher = Accumulator::new(config, BatchStorage::on_heap(&config), 1).unwrap();
        let mut batch = Batch::on_heap(&config);
        let now = Now::default();
        for _ in 0..4 {
            let mut message = buffers.acquire(60).unwrap();
            message.extend_from_slice(&[7; 60]).unwrap();
            batcher.push(now, message, 60).unwrap();
        }
        assert!(batcher.poll_batch(now, &mut batch).unwrap());
        let held = [(); 2].map(|()| buffers.acquire(1_000).unwrap());
        assert!(matches!(lane.encode(&batch), Err(UplinkError::Buffers(_))));
        drop(held);
        batch.set_all(Outcome::Retry);
        batcher.settle(now, &mut batch, |_, _| ()).unwrap();
        for number in [0, 1] {
            assert!(batcher.poll_batch(now, &mut batch).unwrap());
            assert_eq!(lane.encode(&batch).unwrap().0.number, number);
            batcher.settle(now, &mut batch, |_, _| ()).unwrap();
        }
    }
}

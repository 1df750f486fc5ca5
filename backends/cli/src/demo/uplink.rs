//! What the batch senders do with batches: compress them and ask the collector to take them.

use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use turbopump::core::batch::{Batch, Outcome, Settled};
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
    link: Mutex<Option<RequestLink<IdField>>>,
    /// What links that are gone have counted.
    closed: Mutex<RequestCounters>,
    pub(crate) counts: UplinkCounts,
}

#[derive(Debug, Default)]
pub(crate) struct UplinkCounts {
    pub(crate) plain_bytes: AtomicU64,
    pub(crate) wire_bytes: AtomicU64,
    pub(crate) failed_requests: AtomicU64,
    pub(crate) given_up: AtomicU64,
}

impl<B: Backend> Uplink<B> {
    pub(crate) fn new(backend: B, pool: ConnectionPool<B>, buffers: BufferPool) -> Arc<Self> {
        let (link, counts) = (Mutex::default(), UplinkCounts::default());
        Arc::new(Self { backend, pool, buffers, link, closed: Mutex::default(), counts })
    }

    fn open_link(&self) -> Option<RequestLink<IdField>> {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(closed) = link.take_if(|link| link.status().closed.is_some()) {
            let mut all = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
            all.merge(&closed.counters());
        }
        link.clone()
    }

    /// The numbers of all links there have been.
    pub(crate) fn link_counters(&self) -> RequestCounters {
        let (_, open) =
            (self.open_link(), self.link.lock().unwrap_or_else(PoisonError::into_inner));
        let mut counters = self.closed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(link) = &*open {
            counters.merge(&link.counters());
        }
        counters
    }

    pub(crate) fn pool_status(&self) -> PoolStatus {
        self.pool.status()
    }

    async fn link(&self) -> Result<RequestLink<IdField>, UplinkError> {
        if let Some(link) = self.open_link() {
            return Ok(link);
        }
        let halves = self.pool.get().await.map_err(UplinkError::Connection)?.split();
        let protocol = message::protocol().map_err(|_| UplinkError::Protocol)?;
        let config = RequestLinkConfig::default();
        let new = RequestLink::over(&self.backend, halves, protocol, self.buffers.clone(), &config)
            .map_err(|_| UplinkError::Protocol)?;
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        // Another lane may have been faster; one connection is enough.
        let is_open = link.as_ref().is_some_and(|link| link.status().closed.is_none());
        if !is_open {
            *link = Some(new);
        }
        link.clone().ok_or(UplinkError::Protocol)
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
        let link = self.open_link();
        if let Some(link) = link {
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
        let len = batch.iter().map(|message| LENGTH_BYTES + message.len()).sum();
        let acquire = || self.uplink.buffers.acquire(len).map_err(UplinkError::Buffers);
        let mut plain = acquire()?;
        for message in batch.iter() {
            // There is room: it was counted just now.
            let _ = plain.extend_from_slice(&(message.len() as u32).to_be_bytes());
            let _ = plain.extend_from_slice(message);
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if batch.attempt() == 0 {
            state.next += 1;
        }
        let number = state.next - 1;
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
        if sent.is_err() {
            self.uplink.counts.failed_requests.fetch_add(1, Ordering::Relaxed);
            batch.set_all(Outcome::Retry);
        }
    }

    fn settled(&self, message: Lease, how: Settled) {
        drop(message);
        if how != Settled::Done {
            self.uplink.counts.given_up.fetch_add(1, Ordering::Relaxed);
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

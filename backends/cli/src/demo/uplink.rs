//! The connection to the broker, which all lanes and pullers share.

use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU64};
use core::time::Duration;
use std::sync::{Mutex, MutexGuard, PoisonError};

use turbopump::core::link::{RequestCounters, RequestsRefused};
use turbopump::core::pool::{AcquireRefused, OutOfRange};
use turbopump::core::rocketmq::wire::command::{CommandError, CreateTopicRequestHeader};
use turbopump::core::rocketmq::wire::header::{ExtSource, HeaderError, request_code};
use turbopump::core::rocketmq::wire::message::{EncodeError, MessageError};
use turbopump::runtime::backend::Backend;
use turbopump::runtime::memory::BufferPool;
use turbopump::runtime::net::{AcquireError, Body, ConnectionPool, PoolStatus, RequestLinkConfig};
use turbopump::runtime::rocketmq::{Answer, AskError, BodyError, RemotingLink};

/// One connection from the pool, over which everybody asks at once; another when it is gone.
pub(crate) struct Uplink<B: Backend> {
    backend: B,
    pool: ConnectionPool<B>,
    pub(crate) buffers: BufferPool,
    links: Mutex<Links>,
    /// Whether the last batch was not taken.
    pub(crate) is_down: AtomicBool,
    pub(crate) counts: UplinkCounts,
}

#[derive(Default)]
struct Links {
    open: Option<RemotingLink>,
    /// What links that are gone have counted.
    closed: RequestCounters,
}

#[derive(Debug, Default)]
pub(crate) struct UplinkCounts {
    pub(crate) plain_bytes: AtomicU64,
    pub(crate) wire_bytes: AtomicU64,
    pub(crate) failed_requests: AtomicU64,
    /// Messages that came again after they had come.
    pub(crate) repeated: AtomicU64,
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

    async fn link(&self) -> Result<RemotingLink, UplinkError> {
        let open = self.links().open.clone();
        if let Some(link) = open {
            return Ok(link);
        }
        let halves = self.pool.get().await.map_err(UplinkError::Connection)?.split();
        let config = RequestLinkConfig::default();
        let new = RemotingLink::over(&self.backend, halves, self.buffers.clone(), &config)?;
        // Somebody else may have been faster; one connection is enough.
        Ok(self.links().open.get_or_insert(new).clone())
    }

    /// Asks the broker for something; the answer may have any code.
    pub(crate) async fn ask(
        &self,
        code: i32,
        fields: &impl ExtSource,
        body: impl Into<Body<'_>>,
        timeout: Duration,
    ) -> Result<Answer, UplinkError> {
        Ok(self.link().await?.ask(code, fields, body, timeout).await?)
    }

    /// Makes a topic with so many queues.
    pub(crate) async fn make_topic(&self, topic: &str, queues: u16) -> Result<(), UplinkError> {
        let header = CreateTopicRequestHeader {
            topic: topic.into(),
            default_topic: "TBW102".into(),
            read_queue_nums: queues.into(),
            write_queue_nums: queues.into(),
            perm: 6,
            topic_filter_type: "SINGLE_TAG".into(),
            ..CreateTopicRequestHeader::default()
        };
        let code = request_code::UPDATE_AND_CREATE_TOPIC;
        succeeded(&self.ask(code, &header, b"", TIMEOUT).await?)
    }

    pub(crate) async fn close(&self) {
        let open = self.links().open.clone();
        if let Some(link) = open {
            link.close().await;
        }
        self.pool.close().await;
    }
}

/// Of requests that are answered at once.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// Whether an answer is a success.
pub(crate) fn succeeded(answer: &Answer) -> Result<(), UplinkError> {
    let header = answer.frame()?.header;
    if header.code == 0 {
        return Ok(());
    }
    let remark = header.remark.map(|remark| remark.to_string()).unwrap_or_default();
    Err(UplinkError::Refused { code: header.code, remark })
}

/// Why something can't be done now. It is tried again in most cases.
#[derive(Debug)]
pub(crate) enum UplinkError {
    Connection(AcquireError),
    Settings(RequestsRefused),
    Ask(AskError),
    Answer(HeaderError),
    Fields(CommandError),
    Refused { code: i32, remark: String },
    Messages(MessageError),
    Encode(EncodeError),
    Body(BodyError),
    Buffers(AcquireRefused),
    Slice(OutOfRange),
}

macro_rules! from {
    ($($variant:ident $error:ty),* $(,)?) => {
        $(impl From<$error> for UplinkError {
            fn from(error: $error) -> Self {
                Self::$variant(error)
            }
        })*
    };
}

from![
    Settings RequestsRefused,
    Ask AskError,
    Answer HeaderError,
    Fields CommandError,
    Messages MessageError,
    Encode EncodeError,
    Body BodyError,
    Buffers AcquireRefused,
    Slice OutOfRange,
];

impl fmt::Display for UplinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(error) => error.fmt(f),
            Self::Settings(error) => error.fmt(f),
            Self::Ask(error) => error.fmt(f),
            Self::Answer(error) => error.fmt(f),
            Self::Fields(error) => error.fmt(f),
            Self::Refused { code, remark } => {
                write!(f, "the broker refuses with code {code}: {remark}")
            }
            Self::Messages(error) => error.fmt(f),
            Self::Encode(error) => error.fmt(f),
            Self::Body(error) => error.fmt(f),
            Self::Buffers(error) => error.fmt(f),
            Self::Slice(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for UplinkError {}

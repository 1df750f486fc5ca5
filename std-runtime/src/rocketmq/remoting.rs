//! One connection to a broker or a name server: requests, answers, and what they ask.
//!
//! The module decides how requests are put into frames, and what an answer is. When something is
//! asked, what follows from its answer, and which connections there are is left to its callers.

use core::fmt;
use core::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};

use turbopump_core::link::{
    CloseReason, NoAnswer, RequestCounters, RequestsRefused, SubmitRefused,
};
use turbopump_core::rocketmq::remoting::{Remoting, UNNUMBERED};
use turbopump_core::rocketmq::wire::frame::{self, Frame};
use turbopump_core::rocketmq::wire::header::{
    EncodeError, ExtSource, FLAG_ONEWAY, Header, HeaderError, Serialization,
};

use crate::backend::Backend;
use crate::memory::{BufferPool, Lease};
use crate::net::{Body, RequestError, RequestLink, RequestLinkConfig, RequestStatus};

/// Heads up to this length are made on the stack: all but those with long properties.
const HEAD_BYTES: usize = 512;

/// A connection that speaks RocketMQ's remoting protocol: a cheap handle.
///
/// Requests of many tasks are under way at once and share each write; see [`RequestLink`].
///
/// ```
/// use core::net::SocketAddr;
/// use core::time::Duration;
/// use turbopump_core::rocketmq::wire::header::request_code;
/// use turbopump_std::backend::{Backend, SocketOptions};
/// use turbopump_std::memory::BufferPool;
/// use turbopump_std::net::RequestLinkConfig;
/// use turbopump_std::rocketmq::RemotingLink;
///
/// async fn topics<B: Backend>(
///     backend: &B,
///     name_server: SocketAddr,
/// ) -> Result<String, Box<dyn std::error::Error>> {
///     let halves = backend.dial(name_server, &SocketOptions::default()).await?;
///     let (buffers, config) = (BufferPool::standard(), RequestLinkConfig::default());
///     let link = RemotingLink::over(backend, halves, buffers, &config)?;
///     let (code, fields) = (request_code::GET_ALL_TOPIC_LIST_FROM_NAMESERVER, &[] as &[_]);
///     let answer = link.ask(code, fields, b"", Duration::from_secs(3)).await?;
///     Ok(String::from_utf8_lossy(answer.frame()?.body).into_owned())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct RemotingLink {
    link: RequestLink<Remoting>,
    buffers: BufferPool,
    serialization: Serialization,
}

impl RemotingLink {
    /// Requests over an open connection, whose task runs on `backend`; all memory for frames comes
    /// from `buffers`, whose largest class limits what can be received.
    ///
    /// # Errors
    ///
    /// Settings that cannot be meant.
    pub fn over<B, R, W>(
        backend: &B,
        halves: (R, W),
        buffers: BufferPool,
        config: &RequestLinkConfig,
    ) -> Result<Self, RequestsRefused>
    where
        B: Backend,
        R: AsyncRead + Unpin + Send + 'static,
        W: AsyncWrite + Unpin + Send + 'static,
    {
        let protocol = Remoting::default();
        let link = RequestLink::over(backend, halves, protocol, buffers.clone(), config)?;
        Ok(Self { link, buffers, serialization: Serialization::Rocketmq })
    }

    /// With headers of what is sent written like this; in binary form by default, which is shorter.
    #[must_use]
    pub fn with_serialization(self, serialization: Serialization) -> Self {
        Self { serialization, ..self }
    }

    /// Asks for something and waits for the answer, whatever its code.
    ///
    /// # Errors
    ///
    /// [`AskError`] says whether the peer can have seen the request.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the request; it may have been sent.
    pub async fn ask(
        &self,
        code: i32,
        fields: &(impl ExtSource + ?Sized),
        body: impl Into<Body<'_>>,
        timeout: Duration,
    ) -> Result<Answer, AskError> {
        let body = body.into();
        let header = Header::request(code, UNNUMBERED);
        let mut inline = [0; HEAD_BYTES];
        let head = self.head(&header, fields, body.len(), &mut inline)?;
        let head = match &head {
            Head::Inline(len) => inline.get(..*len).unwrap_or_default(),
            Head::Long(lease) => lease,
        };
        let answer = self.link.request(head, body).with_timeout(timeout).await?;
        Ok(Answer(answer))
    }

    /// Sends something that is not answered. It is sent when this returns, as far as this side can
    /// tell.
    ///
    /// # Errors
    ///
    /// [`AskError::Encode`] and [`AskError::Request`]; nothing has happened then.
    pub fn tell(
        &self,
        code: i32,
        fields: &(impl ExtSource + ?Sized),
        body: &[u8],
    ) -> Result<(), AskError> {
        let header = Header { flag: FLAG_ONEWAY, ..Header::request(code, 0) };
        self.send(&header, fields, body)
    }

    /// Answers what the peer has asked: `request` is its frame's header.
    ///
    /// # Errors
    ///
    /// As [`tell`](Self::tell).
    pub fn answer(
        &self,
        request: &Header<'_>,
        code: i32,
        fields: &(impl ExtSource + ?Sized),
        body: &[u8],
    ) -> Result<(), AskError> {
        self.send(&Header::response(code, request.opaque, None), fields, body)
    }

    /// The next frame that the peer sent of its own accord, which it may want to be answered.
    ///
    /// One task at a time should wait for these.
    ///
    /// # Errors
    ///
    /// Why the link is closed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no frame.
    pub async fn unsolicited(&self) -> Result<Answer, CloseReason> {
        self.link.unsolicited().await.map(Answer)
    }

    /// Takes no more requests, waits for those in flight, and closes the connection.
    ///
    /// # Cancel safety
    ///
    /// The link closes even if the future is dropped, once it was polled.
    pub async fn close(&self) -> CloseReason {
        self.link.close().await
    }

    /// Closes the connection without waiting for anything: what is in flight fails.
    pub fn abort(&self) {
        self.link.abort();
    }

    /// Whether both are handles of one link.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.link.is_same_as(&other.link)
    }

    /// How the link is doing.
    #[must_use]
    pub fn status(&self) -> RequestStatus {
        self.link.status()
    }

    /// What was counted: a snapshot of one moment.
    #[must_use]
    pub fn counters(&self) -> RequestCounters {
        self.link.counters()
    }

    fn send(
        &self,
        header: &Header<'_>,
        fields: &(impl ExtSource + ?Sized),
        body: &[u8],
    ) -> Result<(), AskError> {
        let mut inline = [0; HEAD_BYTES];
        let head = self.head(header, fields, body.len(), &mut inline)?;
        let head = match &head {
            Head::Inline(len) => inline.get(..*len).unwrap_or_default(),
            Head::Long(lease) => lease,
        };
        Ok(self.link.send(head, body).map_err(RequestError::from)?)
    }

    fn head(
        &self,
        header: &Header<'_>,
        fields: &(impl ExtSource + ?Sized),
        body_bytes: usize,
        inline: &mut [u8; HEAD_BYTES],
    ) -> Result<Head, AskError> {
        let kind = self.serialization;
        match frame::encode_head(header, kind, fields, body_bytes, inline) {
            Ok(len) => Ok(Head::Inline(len)),
            Err(EncodeError::NoRoom { needed_bytes, .. }) => {
                let lease = self.buffers.acquire(needed_bytes);
                let mut lease =
                    lease.map_err(|refused| RequestError::from(SubmitRefused::from(refused)))?;
                let room = lease.dirty_mut();
                let len = frame::encode_head(header, kind, fields, body_bytes, room)?;
                // There is room: it was just written there.
                let _ = lease.commit(len);
                Ok(Head::Long(lease))
            }
            Err(error) => Err(error.into()),
        }
    }
}

enum Head {
    Inline(usize),
    Long(Lease),
}

/// A whole frame of the peer's, where it was received.
#[derive(Debug)]
pub struct Answer(Lease);

impl Answer {
    /// The frame, taken apart.
    ///
    /// # Errors
    ///
    /// [`HeaderError`] for what is no header.
    pub fn frame(&self) -> Result<Frame<'_>, HeaderError> {
        Frame::decode(&self.0)
    }

    /// The buffer that holds the frame.
    #[must_use]
    pub fn into_lease(self) -> Lease {
        self.0
    }
}

/// Why something could not be asked, or was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AskError {
    /// It can't be put into a frame.
    Encode(EncodeError),
    /// It was not sent, or there is no answer.
    Request(RequestError),
}

impl AskError {
    /// False where the peer cannot have seen the whole request.
    #[must_use]
    pub const fn maybe_sent(&self) -> bool {
        match self {
            Self::Encode(_) => false,
            Self::Request(error) => error.maybe_sent(),
        }
    }
}

impl AskError {
    /// Whether there was no answer in time.
    #[must_use]
    pub const fn is_timeout(&self) -> bool {
        matches!(self, Self::Request(RequestError::NoAnswer(NoAnswer::TimedOut { .. })))
    }
}

impl From<EncodeError> for AskError {
    fn from(error: EncodeError) -> Self {
        Self::Encode(error)
    }
}

impl From<RequestError> for AskError {
    fn from(error: RequestError) -> Self {
        Self::Request(error)
    }
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encode(error) => error.fmt(f),
            Self::Request(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for AskError {}

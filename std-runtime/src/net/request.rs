//! Requests and answers over one connection, many at once.

use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use alloc::sync::Arc;

use futures_io::{AsyncRead, AsyncWrite};
use turbopump_core::driver::{LinkLimits, Shared};
use turbopump_core::link::{
    CloseReason, Correlate, NoAnswer, RequestConfig, RequestCounters, RequestStorage, Requests,
    RequestsRefused, SubmitRefused,
};

use super::link::{Locked, spawn_link};
use super::request_shell::{RequestShell, Step};
use crate::backend::Backend;
use crate::memory::{BufferPool, Chunk, Lease};

/// How a [`RequestLink`] is set.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct RequestLinkConfig {
    /// The machine's settings: time-outs and sizes.
    pub requests: RequestConfig,
    /// Requests in flight at once; 256.
    pub in_flight_max: usize,
    /// Requests that wait for one of these to end; 1,024.
    pub waiting_max: usize,
    /// Batches and large bodies that wait to be written; 32.
    pub outgoing_max: usize,
    /// Frames that the peer sent of its own accord and nobody fetched yet; 16.
    pub unsolicited_max: usize,
    /// What is read at once: 64 KiB. Pages that a peer's answers never fill cost nothing.
    pub window_bytes: usize,
    /// The peer has to take something within this time, or the link is closed; 30 seconds.
    pub write_timeout: Duration,
}

impl Default for RequestLinkConfig {
    fn default() -> Self {
        Self {
            requests: RequestConfig::default(),
            in_flight_max: 256,
            waiting_max: 1_024,
            outgoing_max: 32,
            unsolicited_max: 16,
            window_bytes: 65_536,
            write_timeout: Duration::from_secs(30),
        }
    }
}

/// A connection over which many requests are under way at once: a cheap handle.
///
/// Each request has its own correlation id and its own deadline; answers may come in any order. A
/// task of the runtime does all reading and writing, so that dropping a request's future harms
/// nobody: its place is free at once, and its answer is dropped when it comes. Requests of many
/// tasks share each write.
///
/// When the last handle is dropped, the link closes as by [`close`](Self::close), which nobody
/// waits for then.
///
/// ```
/// use core::net::SocketAddr;
/// use core::time::Duration;
/// use turbopump_core::frame::LengthField;
/// use turbopump_core::link::IdField;
/// use turbopump_std::backend::{Backend, SocketOptions};
/// use turbopump_std::memory::BufferPool;
/// use turbopump_std::net::{RequestLink, RequestLinkConfig};
///
/// async fn ask<B: Backend>(
///     backend: &B,
///     address: SocketAddr,
/// ) -> Result<(), Box<dyn std::error::Error>> {
///     // Four bytes of length, four bytes of correlation id, then whatever the peer understands.
///     let protocol = IdField::big_endian(LengthField::big_endian_u32(1 << 20)?, 4);
///     let halves = backend.dial(address, &SocketOptions::default()).await?;
///     let (buffers, config) = (BufferPool::standard(), RequestLinkConfig::default());
///     let link = RequestLink::over(backend, halves, protocol, buffers, &config)?;
///
///     let request = link.request(&[0; 8], b"ping").with_timeout(Duration::from_secs(1));
///     let answer = request.await?;
///     println!("{} bytes", answer[8..].len());
///     link.close().await;
///     Ok(())
/// }
/// ```
pub struct RequestLink<H: Correlate> {
    shell: Arc<Locked<RequestShell<H>>>,
    buffers: BufferPool,
    copy_bytes_max: usize,
}

impl<H: Correlate + Send + 'static> RequestLink<H> {
    /// Requests over an open connection, whose task runs on `backend`. The halves are the
    /// backend's, or others over them, such as those of TLS.
    ///
    /// `protocol` says where length and correlation id are; all memory for frames comes from
    /// `buffers`.
    ///
    /// # Errors
    ///
    /// Settings that cannot be meant.
    pub fn over<B, R, W>(
        backend: &B,
        (reader, writer): (R, W),
        protocol: H,
        buffers: BufferPool,
        config: &RequestLinkConfig,
    ) -> Result<Self, RequestsRefused>
    where
        B: Backend,
        R: AsyncRead + Unpin + Send + 'static,
        W: AsyncWrite + Unpin + Send + 'static,
    {
        let RequestLinkConfig { in_flight_max, outgoing_max, unsolicited_max, .. } = *config;
        let storage = RequestStorage::on_heap(in_flight_max, outgoing_max, unsolicited_max);
        // A frame that is not read into memory of its own must fit the window.
        let mut requests = config.requests;
        requests.window_bytes = requests.window_bytes.min(config.window_bytes);
        let machine = Requests::new(protocol, buffers.clone(), storage, &requests)?;
        let shell = Arc::new(Locked::new(RequestShell::new(machine, config.waiting_max)));
        let mut limits = LinkLimits::default();
        limits.write_timeout_us = us(config.write_timeout);
        spawn_link(backend, shell.clone(), reader, writer, config.window_bytes, limits);
        Ok(Self { shell, buffers, copy_bytes_max: requests.copy_bytes_max })
    }
}

/// In whole microseconds.
fn us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl<H: Correlate> RequestLink<H> {
    /// Sends a request and waits for its answer: the whole frame, head included.
    ///
    /// The request's frame is `head`, with length and correlation id put in place, and `body`.
    /// Slices are copied, chunks and leases are written from where they are. Where as many requests
    /// are in flight as may be, it waits for its turn, first come, first served.
    ///
    /// Nothing happens before the future is polled.
    ///
    /// # Errors
    ///
    /// [`RequestError`] says whether the peer can have seen the request.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the request and its place in the queue; no other request is
    /// affected. It may have been sent.
    #[inline]
    pub fn request<'r>(&'r self, head: &'r [u8], body: impl Into<Body<'r>>) -> Request<'r, H> {
        let body = body.into();
        Request { link: self, head, body, timeout_us: None, step: Step::New }
    }

    /// As [`request`](Self::request), but sent on the spot or not at all; the future waits only
    /// for the answer.
    ///
    /// # Errors
    ///
    /// [`RequestError::Refused`] where it would have to wait, among other reasons; the body comes
    /// back with it.
    pub fn try_request<'r>(
        &'r self,
        head: &'r [u8],
        body: impl Into<Body<'r>>,
        timeout: Option<Duration>,
    ) -> Result<Request<'r, H>, (RequestError, Body<'r>)> {
        let mut request = self.request(head, body);
        if let Some(timeout) = timeout {
            request = request.with_timeout(timeout);
        }
        match request.submit(None) {
            Ok(()) => Ok(request),
            Err(error) => Err((error, core::mem::replace(&mut request.body, Body::Chunk(None)))),
        }
    }

    /// Sends a frame that has no answer: a one-way message, or the answer to what the peer asked.
    /// The length is put into its head, all else is the caller's. It is sent when this returns, as
    /// far as this side can tell.
    ///
    /// # Errors
    ///
    /// [`SubmitRefused`]; nothing has happened then.
    pub fn send(&self, head: &[u8], body: &[u8]) -> Result<(), SubmitRefused> {
        let driver = self.shell.with(|shell| shell.send(head, body))?;
        wake(driver);
        Ok(())
    }

    /// The next frame that the peer sent of its own accord.
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
    pub async fn unsolicited(&self) -> Result<Lease, CloseReason> {
        poll_fn(|context| self.shell.with(|shell| shell.poll_unsolicited(context))).await
    }

    /// Takes no more requests, waits until those in flight have an outcome and all is written, and
    /// closes the connection. Returns why it is closed, which may be another reason than this call.
    ///
    /// # Cancel safety
    ///
    /// The link closes even if the future is dropped, once it was polled.
    pub async fn close(&self) -> CloseReason {
        wake(self.shell.with(RequestShell::close));
        self.closed().await
    }

    /// Closes the connection without waiting for anything: requests in flight end as those of a
    /// connection that was lost.
    pub fn abort(&self) {
        wake(self.shell.with(RequestShell::abort));
    }

    /// Waits for the connection's end, for whatever reason.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn closed(&self) -> CloseReason {
        poll_fn(|context| self.shell.with(|shell| shell.poll_closed(context))).await
    }

    /// Whether both are handles of one link.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shell, &other.shell)
    }

    /// How the link is doing.
    #[must_use]
    pub fn status(&self) -> RequestStatus {
        self.shell.with(|shell| {
            let machine = &shell.machine;
            RequestStatus {
                in_flight: usize::try_from(machine.in_flight()).unwrap_or(usize::MAX),
                in_flight_max: machine.in_flight_max(),
                free_places: machine.free_places(),
                waiting: shell.queue.len(),
                timeout: Duration::from_micros(machine.timeout_us()),
                closed: machine.closed(),
                bytes_in: machine.bytes_in(),
            }
        })
    }

    /// What was counted: a snapshot of one moment.
    #[must_use]
    pub fn counters(&self) -> RequestCounters {
        self.shell.with(|shell| shell.machine.counters())
    }
}

impl<H: Correlate> Clone for RequestLink<H> {
    fn clone(&self) -> Self {
        self.shell.with(|shell| shell.handles += 1);
        Self {
            shell: self.shell.clone(),
            buffers: self.buffers.clone(),
            copy_bytes_max: self.copy_bytes_max,
        }
    }
}

impl<H: Correlate> Drop for RequestLink<H> {
    fn drop(&mut self) {
        let driver = self.shell.with(|shell| {
            shell.handles -= 1;
            if shell.handles == 0 { shell.close() } else { None }
        });
        wake(driver);
    }
}

impl<H: Correlate> fmt::Debug for RequestLink<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestLink").field("status", &self.status()).finish_non_exhaustive()
    }
}

#[inline]
fn wake(waker: Option<core::task::Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// How a [`RequestLink`] is doing at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestStatus {
    /// Requests that were sent and have no outcome yet.
    pub in_flight: usize,
    /// How many there may be.
    pub in_flight_max: usize,
    /// Places for more; outcomes that nobody took yet keep theirs.
    pub free_places: usize,
    /// Requests that wait for a place.
    pub waiting: usize,
    /// The time-out of requests that have none of their own.
    pub timeout: Duration,
    /// Why the link is closed, once it is.
    pub closed: Option<CloseReason>,
    /// Bytes of whole frames that came in: what does not grow is a sign that nobody is there.
    pub bytes_in: u64,
}

/// The body of a request.
#[derive(Debug)]
#[non_exhaustive]
pub enum Body<'b> {
    /// Bytes that are copied.
    Slice(&'b [u8]),
    /// Bytes that are written from where they are; `None` once they were handed over.
    Chunk(Option<Chunk>),
}

impl Body<'_> {
    /// How many bytes it has; 0 once it was handed over.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Slice(bytes) => bytes.len(),
            Self::Chunk(chunk) => chunk.as_ref().map_or(0, |chunk| chunk.len()),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<'b> From<&'b [u8]> for Body<'b> {
    #[inline]
    fn from(bytes: &'b [u8]) -> Self {
        Self::Slice(bytes)
    }
}

impl<'b, const LEN: usize> From<&'b [u8; LEN]> for Body<'b> {
    #[inline]
    fn from(bytes: &'b [u8; LEN]) -> Self {
        Self::Slice(bytes)
    }
}

impl From<Chunk> for Body<'_> {
    fn from(chunk: Chunk) -> Self {
        Self::Chunk(Some(chunk))
    }
}

impl From<Lease> for Body<'_> {
    fn from(lease: Lease) -> Self {
        Self::Chunk(Some(lease.freeze()))
    }
}

/// A request under way; made by [`RequestLink::request`].
#[must_use = "nothing is sent until the request is awaited"]
pub struct Request<'r, H: Correlate> {
    link: &'r RequestLink<H>,
    head: &'r [u8],
    body: Body<'r>,
    timeout_us: Option<u32>,
    step: Step,
}

impl<H: Correlate> Request<'_, H> {
    /// The time within which the answer has to come, instead of the link's time-out; at most 71
    /// minutes. It begins when the request is sent, so that waiting for a place does not count.
    #[inline]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout_us = Some(u32::try_from(timeout.as_micros()).unwrap_or(u32::MAX));
        self
    }

    /// Sends it, or waits for its turn if somebody can be woken then.
    #[inline]
    fn submit(&mut self, context: Option<&Context<'_>>) -> Result<(), RequestError> {
        if let Body::Slice(bytes) = self.body
            && bytes.len() > self.link.copy_bytes_max
        {
            self.copy_large()?;
        }
        let Self { link, head, body, timeout_us, step } = self;
        let waker = context.map(Context::waker);
        let driver = link.shell.with(|shell| shell.submit(step, head, body, *timeout_us, waker))?;
        wake(driver);
        Ok(())
    }

    /// Copies a large body before the lock is taken.
    #[cold]
    fn copy_large(&mut self) -> Result<(), RequestError> {
        let Body::Slice(bytes) = self.body else {
            return Ok(());
        };
        let mut lease = self.link.buffers.acquire(bytes.len()).map_err(SubmitRefused::from)?;
        // It was acquired for this length.
        let _ = lease.extend_from_slice(bytes);
        self.body = lease.into();
        Ok(())
    }
}

impl<H: Correlate> Future for Request<'_, H> {
    type Output = Result<Lease, RequestError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let Step::Sent(ticket) = this.step else {
            return this.poll_unsent(context);
        };
        let (outcome, next) = this.link.shell.with(|shell| {
            let outcome = shell.poll_outcome(ticket, context.waker());
            let next = if outcome.is_ready() { shell.grant() } else { None };
            (outcome, next)
        });
        wake(next);
        let Poll::Ready(outcome) = outcome else {
            return Poll::Pending;
        };
        this.step = Step::Done;
        Poll::Ready(outcome.map_err(RequestError::NoAnswer))
    }
}

impl<H: Correlate> Request<'_, H> {
    #[inline]
    fn poll_unsent(&mut self, context: &Context<'_>) -> Poll<Result<Lease, RequestError>> {
        if matches!(self.step, Step::Done) {
            // As other futures do: polled after its end it has nothing to say.
            return Poll::Pending;
        }
        match self.submit(Some(context)) {
            Ok(()) => Poll::Pending,
            Err(error) => {
                self.leave();
                Poll::Ready(Err(error))
            }
        }
    }

    /// Gives up what it holds: a place, or a number in the queue.
    #[cold]
    fn leave(&mut self) {
        let step = core::mem::replace(&mut self.step, Step::Done);
        let (next, _own) = self.link.shell.with(|shell| {
            let own = match step {
                Step::Sent(ticket) => shell.abandon(ticket),
                Step::Queued(number) => {
                    shell.queue.leave(number);
                    None
                }
                Step::New | Step::Done => None,
            };
            (shell.grant(), own)
        });
        wake(next);
    }
}

impl<H: Correlate> Drop for Request<'_, H> {
    #[inline]
    fn drop(&mut self) {
        if !matches!(self.step, Step::New | Step::Done) {
            self.leave();
        }
    }
}

impl<H: Correlate> fmt::Debug for Request<'_, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({:?})", self.step)
    }
}

/// Why a request has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestError {
    /// It was not accepted.
    Refused(SubmitRefused),
    /// As many requests wait for a place as may.
    QueueFull {
        /// How many that are.
        waiting_max: usize,
    },
    /// It was accepted, but there is no answer.
    NoAnswer(NoAnswer),
}

impl RequestError {
    /// False where the peer cannot have seen the whole request: then it is safe to send it again,
    /// whatever it does.
    #[must_use]
    pub const fn maybe_sent(&self) -> bool {
        match self {
            Self::Refused(_) | Self::QueueFull { .. } => false,
            Self::NoAnswer(
                NoAnswer::TimedOut { maybe_sent } | NoAnswer::Closed { maybe_sent, .. },
            ) => *maybe_sent,
            Self::NoAnswer(_) => true,
        }
    }
}

impl From<SubmitRefused> for RequestError {
    fn from(refused: SubmitRefused) -> Self {
        Self::Refused(refused)
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refused) => refused.fmt(f),
            Self::QueueFull { waiting_max } => write!(
                f,
                "{waiting_max} requests wait for a place already; ask less at once, or use another \
                 link"
            ),
            Self::NoAnswer(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for RequestError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Refused(refused) => Some(refused),
            Self::QueueFull { .. } => None,
            Self::NoAnswer(error) => Some(error),
        }
    }
}

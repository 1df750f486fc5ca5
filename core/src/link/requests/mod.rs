//! Many requests at once over one connection, each answered in its own time.

mod counters;
mod error;
mod inputs;
mod outgoing;
mod place;
mod storage;

use core::fmt;

use self::outgoing::Outgoing;
use self::place::{Places, State};
#[cfg(doc)]
use super::Machine;
use super::{AdaptiveTimeout, CloseReason, Correlate, FrameKind};
use crate::backing::Backing;
use crate::pool::{BufferSource, Chunk, Lease};
use crate::time::Instant;

pub use self::counters::RequestCounters;
pub use self::error::{
    ChunkRefused, NoAnswer, RequestStorageTooSmall, RequestsRefused, SubmitRefused,
};
pub use self::place::{IN_FLIGHT_MAX, RequestPlace};
pub use self::storage::{RequestConfig, RequestStorage};

/// A request that was accepted, until its outcome is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "without its ticket the request cannot be taken and keeps its place"]
pub struct Ticket {
    id: u32,
}

impl Ticket {
    /// The correlation id that the request has on the wire.
    #[must_use]
    pub const fn id(self) -> u32 {
        self.id
    }
}

/// The machine of a connection with requests and answers.
///
/// - Commands: [`submit`](Self::submit), [`submit_chunk`](Self::submit_chunk),
///   [`send`](Self::send), [`take`](Self::take), [`abandon`](Self::abandon),
///   [`close`](Self::close). None of them reads a clock: a request's time begins when the machine
///   is next told the time, which its driver does as soon as it runs.
/// - Inputs: those of [`Machine`].
/// - Outputs: those of [`Machine`], [`poll_completed`](Self::poll_completed) and
///   [`poll_unsolicited`](Self::poll_unsolicited).
///
/// Requests are encoded straight into memory of up to
/// [`batch_bytes`](RequestConfig::batch_bytes), so that many of them share a write. An answer finds
/// its request by its id: the low bits are the number of a place, the others count how often that
/// was used. So an answer that comes too late is recognised; it never answers another request.
/// (With `n` places, ids repeat after 2^32 / `n` uses of a place.)
///
/// After a framing error the driver closes the link, and every request gets that error.
///
/// ```
/// use turbopump_core::frame::LengthField;
/// use turbopump_core::link::{
///     Chunks, IdField, Machine, RequestConfig, RequestStorage, Requests,
/// };
/// # use turbopump_core::pool::{ClassLayout, Heap, Layout, OwnedRef, Pool};
/// use turbopump_core::time::Now;
///
/// # let pool = OwnedRef::new(Pool::new(&Layout::new(&[ClassLayout::new(4_096, 8)])?, Heap)?);
/// let protocol = IdField::big_endian(LengthField::big_endian_u32(1 << 20)?, 4);
/// let storage = RequestStorage::on_heap(16, 4, 0);
/// let mut requests = Requests::new(protocol, pool, storage, &RequestConfig::default())?;
///
/// let now = Now::default();
/// let ticket = requests.submit(&[0; 8], b"ping", None)?;
/// let mut chunks = Chunks::new();
/// requests.poll_transmit(now, &mut chunks);
/// let sent: Vec<u8> = chunks.iter().flatten().copied().collect();
/// assert_eq!(sent, b"\0\0\0\x08\0\0\0\0ping");
///
/// requests.handle_bytes(now, b"\0\0\0\x08\0\0\0\0pong")?;
/// assert_eq!(requests.poll_completed(), Some(ticket));
/// let answer = requests.take(ticket).expect("it is completed")?;
/// assert_eq!(&answer[8..], b"pong");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Requests<'s, H, B: BufferSource> {
    header: H,
    buffers: B,
    places: Places<'s, B::Ref>,
    outgoing: Outgoing<'s, B::Ref>,
    incoming: Incoming<'s, B>,
    config: RequestConfig,
    timeout: AdaptiveTimeout,
    /// No request's deadline is earlier; that of none may be as early.
    earliest: Instant,
    /// For whom the body is that the driver fills.
    body_for: Option<FrameKind>,
    /// Bytes of a frame that nobody wants and that have not come yet.
    skip: usize,
    /// Takes requests: it is neither closing nor closed.
    open: bool,
    /// Closed whatever is in flight.
    aborted: bool,
    closed: Option<CloseReason>,
    counters: RequestCounters,
    /// Latencies that came one after the other and are the same, as all of one write and one read
    /// are: how many, and what they are.
    latencies: (u64, u64),
}

impl<'s, H: Correlate, B: BufferSource> Requests<'s, H, B> {
    /// A link on which nothing was said yet.
    ///
    /// # Errors
    ///
    /// [`RequestsRefused`] for storage without places or with too many, and for a time-out that
    /// cannot be meant.
    pub fn new(
        header: H,
        buffers: B,
        storage: RequestStorage<'s, B::Ref>,
        config: &RequestConfig,
    ) -> Result<Self, RequestsRefused> {
        Ok(Self {
            header,
            buffers,
            places: Places::new(storage.places)?,
            outgoing: Outgoing::new(storage.outgoing, config.batch_bytes)?,
            incoming: Incoming { ring: storage.incoming, first: 0, len: 0 },
            config: *config,
            timeout: AdaptiveTimeout::new(config.timeout)?,
            earliest: Instant::NEVER,
            body_for: None,
            skip: 0,
            open: true,
            aborted: false,
            closed: None,
            counters: RequestCounters::default(),
            latencies: (0, 0),
        })
    }

    /// Accepts a request. Its frame is `head`, with length and id put in place, and `body`; both
    /// are copied.
    ///
    /// Its time is `timeout_us` microseconds, or the link's where that is `None`.
    ///
    /// # Errors
    ///
    /// [`SubmitRefused`]; nothing has happened then.
    #[inline]
    pub fn submit(
        &mut self,
        head: &[u8],
        body: &[u8],
        timeout_us: Option<u32>,
    ) -> Result<Ticket, SubmitRefused> {
        let id = self.next_id()?;
        if let Err(refused) = self.push(Some(id), head, body) {
            return Err(self.refuse(refused));
        }
        Ok(self.accept(id, timeout_us))
    }

    /// As [`submit`](Self::submit), with a body that is written from where it is.
    ///
    /// # Errors
    ///
    /// [`ChunkRefused`] with the body; nothing has happened then.
    pub fn submit_chunk(
        &mut self,
        head: &[u8],
        body: Chunk<B::Ref>,
        timeout_us: Option<u32>,
    ) -> Result<Ticket, ChunkRefused<B::Ref>> {
        let id = match self.next_id() {
            Ok(id) => id,
            Err(reason) => return Err(ChunkRefused { body, reason }),
        };
        match self.push_chunk(Some(id), head, body) {
            Ok(()) => Ok(self.accept(id, timeout_us)),
            Err((reason, body)) => Err(ChunkRefused { body, reason: self.refuse(reason) }),
        }
    }

    /// Sends a frame that is no request: a one-way message, or the answer to what the peer asked.
    /// The length is put into its head, the id is left as it is.
    ///
    /// # Errors
    ///
    /// [`SubmitRefused`], but never [`SubmitRefused::Full`]; nothing has happened then.
    pub fn send(&mut self, head: &[u8], body: &[u8]) -> Result<(), SubmitRefused> {
        self.check_open()?;
        self.push(None, head, body).map_err(|refused| self.refuse(refused))
    }

    /// The id of the next request, if there may be one.
    #[inline]
    fn next_id(&mut self) -> Result<u32, SubmitRefused> {
        self.check_open()?;
        match self.places.next_id() {
            Some(id) => Ok(id),
            None => Err(self.refuse(SubmitRefused::Full { in_flight_max: self.places.len() })),
        }
    }

    #[inline]
    fn check_open(&mut self) -> Result<(), SubmitRefused> {
        if self.open { Ok(()) } else { Err(self.refuse_closed()) }
    }

    #[cold]
    fn refuse_closed(&mut self) -> SubmitRefused {
        self.refuse(self.closed.map_or(SubmitRefused::Closing, SubmitRefused::Closed))
    }

    #[cold]
    fn refuse(&mut self, refused: SubmitRefused) -> SubmitRefused {
        self.counters.refused.increment();
        refused
    }

    #[inline]
    fn push(&mut self, id: Option<u32>, head: &[u8], body: &[u8]) -> Result<(), SubmitRefused> {
        if body.len() > self.config.copy_bytes_max {
            let mut lease = self.buffers.acquire(body.len())?;
            // It was acquired for this length.
            let _ = lease.extend_from_slice(body);
            return self.push_chunk(id, head, lease.freeze()).map_err(|(refused, _)| refused);
        }
        let frame_bytes = head.len() + body.len();
        self.outgoing.push(&self.buffers, &self.header, id, [head, body], frame_bytes)
    }

    fn push_chunk(
        &mut self,
        id: Option<u32>,
        head: &[u8],
        body: Chunk<B::Ref>,
    ) -> Result<(), (SubmitRefused, Chunk<B::Ref>)> {
        self.outgoing.push_chunk(&self.buffers, &self.header, id, head, body)
    }

    #[inline]
    fn accept(&mut self, id: u32, timeout_us: Option<u32>) -> Ticket {
        let timeout_us = timeout_us.map_or(0, |us| us.max(1));
        self.places.occupy(timeout_us, self.outgoing.accepted());
        self.counters.sent.increment();
        Ticket { id }
    }

    /// The next request, in the order of their outcomes, that has one and was not yet named here:
    /// whoever waits for it is to be told.
    #[inline]
    #[must_use]
    pub fn poll_completed(&mut self) -> Option<Ticket> {
        Some(Ticket { id: self.places.pop_completed()? })
    }

    /// Takes the outcome of a request, whose place is free then; `None` as long as there is none.
    ///
    /// An answer is the whole frame, head included.
    #[inline]
    #[must_use]
    pub fn take(&mut self, ticket: Ticket) -> Option<Result<Lease<B::Ref>, NoAnswer>> {
        match self.places.take_answer(ticket.id) {
            Some(answer) => Some(Ok(answer)),
            None => self.take_failed(ticket),
        }
    }

    /// As [`take`](Self::take), where there is no answer.
    fn take_failed(&mut self, ticket: Ticket) -> Option<Result<Lease<B::Ref>, NoAnswer>> {
        let Some(place) = self.places.find(ticket.id) else {
            return Some(Err(NoAnswer::Unknown));
        };
        let maybe_sent = place.maybe_sent;
        let error = match place.state {
            State::Free | State::Unstamped | State::Waiting => return None,
            State::Answered => NoAnswer::Unknown,
            State::NoBuffer => NoAnswer::NoBuffer { answer_bytes: place.answer_bytes },
            State::TimedOut => NoAnswer::TimedOut { maybe_sent },
            State::Closed => {
                let reason = self.closed.unwrap_or(CloseReason::Abandoned);
                NoAnswer::Closed { reason, maybe_sent }
            }
        };
        self.places.release(ticket.id);
        Some(Err(error))
    }

    /// Gives a request up, whatever has become of it: its place is free, and an answer is dropped
    /// when it comes. What was encoded is sent all the same.
    pub fn abandon(&mut self, ticket: Ticket) {
        let Some(place) = self.places.find(ticket.id) else {
            return;
        };
        if matches!(place.state, State::Unstamped | State::Waiting) {
            self.counters.abandoned.increment();
        }
        self.places.release(ticket.id);
    }

    /// The oldest frame that the peer sent of its own accord and nobody has fetched.
    #[must_use]
    pub fn poll_unsolicited(&mut self) -> Option<Lease<B::Ref>> {
        self.incoming.pop()
    }

    /// Whether [`poll_unsolicited`](Self::poll_unsolicited) has one.
    #[inline]
    #[must_use]
    pub const fn has_unsolicited(&self) -> bool {
        self.incoming.len > 0
    }

    /// Takes no more requests, and wants the link closed as soon as all have an outcome and all is
    /// written.
    pub fn close(&mut self) {
        self.open = false;
    }

    /// Takes no more requests, and wants the link closed at once: what is in flight ends with it.
    pub fn abort(&mut self) {
        (self.open, self.aborted) = (false, true);
    }

    /// Makes a link that is closed new, over the same storage, for another connection. Requests
    /// whose outcome nobody has taken are given up; what was counted stays.
    ///
    /// `false`, and nothing has happened, where the link is not closed.
    pub fn renew(&mut self) -> bool {
        if self.closed.is_none() {
            return false;
        }
        self.places.clear();
        self.outgoing.clear();
        while self.incoming.pop().is_some() {}
        (self.open, self.aborted, self.closed) = (true, false, None);
        (self.body_for, self.skip, self.earliest) = (None, 0, Instant::NEVER);
        true
    }

    /// Which place a request has, from 0: for tables beside the machine.
    #[inline]
    #[must_use]
    pub fn place_of(&self, ticket: Ticket) -> usize {
        self.places.index(ticket.id) as usize
    }

    /// Places for requests in flight.
    #[must_use]
    pub fn in_flight_max(&self) -> usize {
        self.places.len()
    }

    /// Places that are free.
    #[inline]
    #[must_use]
    pub fn free_places(&self) -> usize {
        self.places.len() - self.places.taken()
    }

    /// Whether the transport keeps up, so that a request is not refused with
    /// [`SubmitRefused::Backlog`].
    #[inline]
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.outgoing.has_room()
    }

    /// Whether requests are accepted at all: nobody has closed the link.
    #[inline]
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.open
    }

    /// Why the link is closed, once it is.
    #[must_use]
    pub const fn closed(&self) -> Option<CloseReason> {
        self.closed
    }

    /// The time-out that requests without one of their own get now, in microseconds.
    #[must_use]
    pub fn timeout_us(&self) -> u64 {
        self.timeout.us()
    }

    /// Requests that have no outcome yet.
    #[must_use]
    pub const fn in_flight(&self) -> u64 {
        let counters = &self.counters;
        let ended = counters.answered.get()
            + counters.timed_out.get()
            + counters.abandoned.get()
            + counters.closed.get()
            + counters.without_buffer.get();
        counters.sent.get() - ended
    }

    /// Bytes of whole frames that came in.
    #[must_use]
    pub fn bytes_in(&self) -> u64 {
        self.counters.bytes_in.get()
    }

    /// What was counted.
    #[must_use]
    pub fn counters(&self) -> RequestCounters {
        let mut counters = self.counters.clone();
        counters.in_flight.set(self.places.taken_max() as i64);
        counters.in_flight.set(self.in_flight() as i64);
        let (count, latency_us) = self.latencies;
        counters.latency_us.observe_many(latency_us, count);
        counters
    }

    /// Where the buffers come from.
    #[must_use]
    pub const fn buffers(&self) -> &B {
        &self.buffers
    }
}

impl<H: Correlate, B: BufferSource> fmt::Debug for Requests<'_, H, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requests")
            .field("in_flight", &self.in_flight())
            .field("queued_bytes", &self.outgoing.queued_bytes())
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}

/// Frames that the peer sent of its own accord, oldest first.
struct Incoming<'s, B: BufferSource> {
    ring: Backing<'s, Option<Lease<B::Ref>>>,
    first: usize,
    len: usize,
}

impl<B: BufferSource> Incoming<'_, B> {
    /// False where there is no room.
    fn push(&mut self, lease: Lease<B::Ref>) -> bool {
        if self.len == self.ring.len() {
            return false;
        }
        let index = (self.first + self.len) % self.ring.len();
        let Some(place) = self.ring.get_mut(index) else {
            return false;
        };
        *place = Some(lease);
        self.len += 1;
        true
    }

    fn pop(&mut self) -> Option<Lease<B::Ref>> {
        let lease = self.ring.get_mut(self.first).and_then(Option::take)?;
        self.first = (self.first + 1) % self.ring.len();
        self.len -= 1;
        Some(lease)
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests;

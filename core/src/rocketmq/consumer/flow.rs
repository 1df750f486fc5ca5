//! How much a consumer may have under way: one budget of messages and bytes for all its queues, and
//! a limit for the span of offsets in each.
//!
//! The flow decides which queue may pull now and how much. Room is reserved before a pull is sent,
//! so that whatever comes has a place; who finds none waits in a ring and is served in turn, so
//! that a queue with many messages can't starve the others. Buffers, and the messages themselves,
//! are left to the caller.

use core::error::Error;
use core::fmt;

use crate::backing::Backing;

/// What a consumer may have under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FlowLimits {
    /// Messages of all queues, those that pulls in flight may bring included; 10,000.
    pub messages_max: u32,
    /// Their bytes; 100 MiB.
    pub bytes_max: u64,
    /// The span of one queue: its largest offset under way minus its smallest; 2,000.
    pub span_max: u64,
    /// Messages of one pull; 32.
    pub pull_messages_max: u32,
    /// Bytes of one pull; 256 KiB. A larger message comes alone and is counted as large as it is.
    pub pull_bytes_max: u32,
}

impl FlowLimits {
    /// The defaults.
    pub const DEFAULT: Self = Self {
        messages_max: 10_000,
        bytes_max: 100 << 20,
        span_max: 2_000,
        pull_messages_max: 32,
        pull_bytes_max: 256 << 10,
    };

    /// The cells that a [`Window`](super::Window) needs so that whatever a pull brings fits.
    #[must_use]
    pub const fn window_cells(&self) -> u64 {
        self.span_max.saturating_add(self.pull_messages_max as u64)
    }
}

impl Default for FlowLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A place for one queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowCell {
    /// What was handed out or waits for its handler.
    messages: u32,
    bytes: u64,
    /// What a pull in flight may bring.
    reserved: Option<Grant>,
    /// Neighbours in the ring of those that wait; both 0 for the only one.
    waits: bool,
    before: usize,
    behind: usize,
}

/// What a pull may bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Grant {
    /// Messages, at least one.
    pub messages: u32,
    /// Bytes, by the client's count: brokers may send one message that is larger.
    pub bytes: u32,
}

/// Why a queue may not pull now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Held {
    /// The budget is used up, or others wait for it: the queue is in the ring, and
    /// [`Flow::poll_granted`] says when it is its turn.
    Budget,
    /// Its own span is at the limit: ask again when its first message is settled.
    Span {
        /// The span.
        span: u64,
        /// The limit.
        max: u64,
    },
    /// A pull of this queue is in flight.
    InFlight,
}

/// The budget of one client over queues that are numbered from 0.
///
/// ```
/// use turbopump_core::rocketmq::consumer::{Flow, FlowCell, FlowLimits};
///
/// let mut memory = [FlowCell::default(); 2];
/// let mut flow = Flow::new(FlowLimits::DEFAULT, &mut memory[..])?;
/// let grant = flow.reserve(0, 0)?.expect("there is room");
/// assert_eq!((grant.messages, grant.bytes), (32, 262_144));
/// // Ten messages came.
/// flow.handle_pulled(0, 10, 1_280);
/// assert_eq!((flow.messages(), flow.bytes()), (10, 1_280));
/// flow.handle_settled(0, 10, 1_280);
/// assert_eq!(flow.messages(), 0);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Flow<'s> {
    limits: FlowLimits,
    cells: Backing<'s, FlowCell>,
    /// Of all queues, reservations included.
    messages: u64,
    bytes: u64,
    /// The one whose turn is next.
    first: Option<usize>,
    waiting: usize,
}

impl<'s> Flow<'s> {
    /// A budget for as many queues as there are cells.
    ///
    /// # Errors
    ///
    /// [`FlowRefused::Limits`] where one pull does not fit the budget.
    pub fn new(
        limits: FlowLimits,
        cells: impl Into<Backing<'s, FlowCell>>,
    ) -> Result<Self, FlowRefused> {
        let fits = u64::from(limits.pull_bytes_max) <= limits.bytes_max
            && limits.messages_max > 0
            && limits.pull_messages_max > 0;
        if !fits {
            return Err(FlowRefused::Limits(limits));
        }
        let mut cells = cells.into();
        cells.fill(FlowCell::default());
        Ok(Self { limits, cells, messages: 0, bytes: 0, first: None, waiting: 0 })
    }

    /// Reserves room for a pull of a queue whose messages span `span`; otherwise says why not.
    ///
    /// # Errors
    ///
    /// [`FlowRefused::NoQueue`] for a number without a cell.
    pub fn reserve(&mut self, queue: usize, span: u64) -> Result<Result<Grant, Held>, FlowRefused> {
        let queues = self.cells.len();
        let cell = self.cells.get(queue).ok_or(FlowRefused::NoQueue { queue, queues })?;
        let max = self.limits.span_max;
        if cell.reserved.is_some() {
            return Ok(Err(Held::InFlight));
        }
        if span >= max && cell.messages > 0 {
            // It would take its turn from others without using it.
            self.leave_ring(queue);
            return Ok(Err(Held::Span { span, max }));
        }
        match self.grant().filter(|_| self.first.is_none()) {
            Some(grant) => {
                self.take(queue, grant);
                Ok(Ok(grant))
            }
            None => {
                self.join_ring(queue);
                Ok(Err(Held::Budget))
            }
        }
    }

    /// The next of those that wait for the budget, with what was reserved for it: it may pull at
    /// once. Who does not want to any more calls [`cancel`](Self::cancel).
    #[must_use]
    pub fn poll_granted(&mut self) -> Option<(usize, Grant)> {
        let queue = self.first?;
        let grant = self.grant()?;
        self.leave_ring(queue);
        self.take(queue, grant);
        Some((queue, grant))
    }

    /// The pull of a queue brought so much; what was reserved beyond that is free. It may be more
    /// than what was reserved: one message that is larger than a pull.
    pub fn handle_pulled(&mut self, queue: usize, messages: u32, bytes: u64) {
        self.cancel(queue);
        let Some(cell) = self.cells.get_mut(queue) else { return };
        cell.messages = cell.messages.saturating_add(messages);
        cell.bytes = cell.bytes.saturating_add(bytes);
        self.messages = self.messages.saturating_add(messages.into());
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// So much of a queue is settled. More than it has under way is not counted.
    pub fn handle_settled(&mut self, queue: usize, messages: u32, bytes: u64) {
        let Some(cell) = self.cells.get_mut(queue) else { return };
        let (messages, bytes) = (messages.min(cell.messages), bytes.min(cell.bytes));
        cell.messages = cell.messages.saturating_sub(messages);
        cell.bytes = cell.bytes.saturating_sub(bytes);
        self.messages = self.messages.saturating_sub(messages.into());
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// The pull of a queue brought nothing, or is not sent: what was reserved is free, and it does
    /// not wait any more.
    pub fn cancel(&mut self, queue: usize) {
        self.leave_ring(queue);
        let reserved = self.cells.get_mut(queue).and_then(|cell| cell.reserved.take());
        if let Some(grant) = reserved {
            self.messages = self.messages.saturating_sub(grant.messages.into());
            self.bytes = self.bytes.saturating_sub(grant.bytes.into());
        }
    }

    /// The queue was given away, or its offset was reset: nothing of it is under way any more.
    pub fn forget(&mut self, queue: usize) {
        self.cancel(queue);
        self.handle_settled(queue, u32::MAX, u64::MAX);
    }

    /// Messages under way, reservations included.
    #[must_use]
    pub const fn messages(&self) -> u64 {
        self.messages
    }

    /// Bytes under way, reservations included.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Messages of one queue that are under way, without reservations.
    #[must_use]
    pub fn messages_of(&self, queue: usize) -> u32 {
        self.cells.get(queue).map_or(0, |cell| cell.messages)
    }

    /// Queues that wait for the budget.
    #[must_use]
    pub const fn waiting(&self) -> usize {
        self.waiting
    }

    /// What a pull may bring now: the bytes of a whole one, because a broker does not ask whether
    /// half of it would do, and as many messages as are left.
    fn grant(&self) -> Option<Grant> {
        let bytes_left = self.limits.bytes_max.checked_sub(self.bytes)?;
        let messages_left = u64::from(self.limits.messages_max).checked_sub(self.messages)?;
        let messages = u64::from(self.limits.pull_messages_max).min(messages_left);
        let messages = u32::try_from(messages).ok().filter(|messages| *messages > 0)?;
        let bytes = self.limits.pull_bytes_max;
        (u64::from(bytes) <= bytes_left).then_some(Grant { messages, bytes })
    }

    fn take(&mut self, queue: usize, grant: Grant) {
        let Some(cell) = self.cells.get_mut(queue) else { return };
        cell.reserved = Some(grant);
        self.messages = self.messages.saturating_add(grant.messages.into());
        self.bytes = self.bytes.saturating_add(grant.bytes.into());
    }

    /// At the end of the ring, once.
    fn join_ring(&mut self, queue: usize) {
        if self.cells.get(queue).is_none_or(|cell| cell.waits) {
            return;
        }
        let first = *self.first.get_or_insert(queue);
        let last = self.cells.get(first).filter(|cell| cell.waits).map_or(queue, |c| c.before);
        if let Some(cell) = self.cells.get_mut(queue) {
            (cell.waits, cell.before, cell.behind) = (true, last, first);
        }
        self.link(last, queue);
        self.link(queue, first);
        self.waiting = self.waiting.saturating_add(1);
    }

    fn leave_ring(&mut self, queue: usize) {
        let Some(cell) = self.cells.get_mut(queue).filter(|cell| cell.waits) else { return };
        cell.waits = false;
        let (before, behind) = (cell.before, cell.behind);
        if self.first == Some(queue) {
            self.first = Some(behind).filter(|behind| *behind != queue);
        }
        self.link(before, behind);
        self.waiting = self.waiting.saturating_sub(1);
    }

    fn link(&mut self, before: usize, behind: usize) {
        if let Some(cell) = self.cells.get_mut(before) {
            cell.behind = behind;
        }
        if let Some(cell) = self.cells.get_mut(behind) {
            cell.before = before;
        }
    }
}

/// Why the flow refuses something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlowRefused {
    /// A single pull would not fit the budget.
    Limits(FlowLimits),
    /// There is no place for that queue.
    NoQueue {
        /// Its number.
        queue: usize,
        /// The places that there are.
        queues: usize,
    },
}

impl fmt::Display for FlowRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limits(limits) => write!(
                f,
                "pulls of {} messages and {} bytes can't be made within {} messages and {} bytes: \
                 raise messages_max or bytes_max, or lower pull_bytes_max",
                limits.pull_messages_max,
                limits.pull_bytes_max,
                limits.messages_max,
                limits.bytes_max
            ),
            Self::NoQueue { queue, queues } => write!(
                f,
                "queue number {queue} has no place among {queues}: give the flow more cells"
            ),
        }
    }
}

impl Error for FlowRefused {}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(messages_max: u32, bytes_max: u64) -> FlowLimits {
        let pull = FlowLimits { pull_messages_max: 4, pull_bytes_max: 100, ..FlowLimits::DEFAULT };
        FlowLimits { messages_max, bytes_max, span_max: 10, ..pull }
    }

    #[test]
    fn room_is_reserved_before_a_pull_and_given_back_when_messages_are_settled() {
        let mut cells = [FlowCell::default(); 3];
        let mut flow = Flow::new(limits(6, 1_000), &mut cells[..]).unwrap();
        assert_eq!(flow.reserve(0, 0), Ok(Ok(Grant { messages: 4, bytes: 100 })));
        assert_eq!(flow.reserve(0, 0), Ok(Err(Held::InFlight)));
        assert_eq!(flow.reserve(1, 0), Ok(Ok(Grant { messages: 2, bytes: 100 })));
        assert_eq!(flow.reserve(2, 0), Ok(Err(Held::Budget)));
        assert_eq!(flow.poll_granted(), None);
        flow.handle_pulled(0, 4, 40);
        assert_eq!((flow.messages(), flow.bytes(), flow.poll_granted()), (6, 140, None));
        flow.handle_settled(0, 3, 30);
        assert_eq!(flow.poll_granted(), Some((2, Grant { messages: 3, bytes: 100 })));
        flow.forget(0);
        flow.cancel(1);
        flow.cancel(2);
        assert_eq!((flow.messages(), flow.bytes(), flow.waiting()), (0, 0, 0));
        let refused = FlowRefused::NoQueue { queue: 3, queues: 3 };
        assert_eq!(flow.reserve(3, 0), Err(refused));
    }

    #[test]
    fn who_waits_is_served_in_turn_and_before_those_that_come_later() {
        let mut cells = [FlowCell::default(); 5];
        let mut flow = Flow::new(limits(4, 100), &mut cells[..]).unwrap();
        assert!(flow.reserve(0, 0).unwrap().is_ok());
        for queue in [3, 1, 3, 4, 2] {
            assert_eq!(flow.reserve(queue, 0), Ok(Err(Held::Budget)));
        }
        flow.cancel(4);
        assert_eq!(flow.waiting(), 3);
        flow.cancel(0);
        // There is room, but others were there first.
        assert_eq!(flow.reserve(0, 0), Ok(Err(Held::Budget)));
        let mut served = [9; 4];
        for place in &mut served {
            let (queue, _) = flow.poll_granted().unwrap();
            assert_eq!(flow.poll_granted(), None, "the budget is for one");
            flow.handle_pulled(queue, 0, 0);
            *place = queue;
        }
        assert_eq!(served, [3, 1, 2, 0]);
        assert_eq!((flow.poll_granted(), flow.waiting()), (None, 0));
    }

    #[test]
    fn a_wide_span_holds_its_own_queue_only() {
        let mut cells = [FlowCell::default(); 2];
        let mut flow = Flow::new(limits(100, 1_000), &mut cells[..]).unwrap();
        assert!(flow.reserve(0, 0).unwrap().is_ok());
        flow.handle_pulled(0, 2, 20);
        assert_eq!(flow.reserve(0, 10), Ok(Err(Held::Span { span: 10, max: 10 })));
        assert!(flow.reserve(1, 0).unwrap().is_ok());
        assert!(flow.reserve(0, 9).unwrap().is_ok());
    }

    #[test]
    fn a_message_larger_than_a_pull_is_counted_as_it_is() {
        let mut cells = [FlowCell::default(); 2];
        let mut flow = Flow::new(limits(100, 150), &mut cells[..]).unwrap();
        assert!(flow.reserve(0, 0).unwrap().is_ok());
        flow.handle_pulled(0, 1, 4_000);
        assert_eq!(flow.reserve(1, 0), Ok(Err(Held::Budget)));
        flow.handle_settled(0, 1, 4_000);
        assert_eq!(flow.poll_granted().map(|(queue, _)| queue), Some(1));
        let refused = Flow::new(limits(100, 99), &mut cells[..]).unwrap_err();
        assert_eq!(refused, FlowRefused::Limits(limits(100, 99)));
    }
}

//! The lock's side of requests: the machine, and who waits for what.

use core::task::{Context, Poll, Waker};

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use turbopump_core::driver::{Shell, WakerSlot, Wakes};
use turbopump_core::link::{CloseReason, Correlate, NoAnswer, Requests, SubmitRefused, Ticket};

use super::request::{Body, RequestError};
use crate::memory::{BufferPool, Lease};

/// What the lock of a link with requests protects.
pub(super) struct RequestShell<H> {
    pub(super) machine: Requests<'static, H, BufferPool>,
    driver: WakerSlot,
    /// By place: who waits for the answer.
    waiting: Box<[Option<Waker>]>,
    pub(super) queue: Queue,
    /// Who waits for frames that the peer sends of its own accord.
    unsolicited: WakerSlot,
    /// Who waits for the end.
    closing: Vec<Waker>,
    /// Handles; without any the link is closed.
    pub(super) handles: usize,
}

/// How far a request has come.
#[derive(Debug)]
pub(super) enum Step {
    New,
    /// In the queue, at this number.
    Queued(u64),
    Sent(Ticket),
    Done,
}

impl<H: Correlate> RequestShell<H> {
    pub(super) fn new(machine: Requests<'static, H, BufferPool>, waiting_max: usize) -> Self {
        Self {
            waiting: (0..machine.in_flight_max()).map(|_| None).collect(),
            machine,
            driver: WakerSlot::new(),
            queue: Queue::new(waiting_max),
            unsolicited: WakerSlot::new(),
            closing: Vec::new(),
            handles: 1,
        }
    }

    /// Goes on with a request that is not sent yet. Where that was sent, the driver may have to be
    /// woken.
    #[inline]
    pub(super) fn submit(
        &mut self,
        step: &mut Step,
        head: &[u8],
        body: &mut Body<'_>,
        timeout_us: Option<u32>,
        waker: Option<&Waker>,
    ) -> Result<Option<Waker>, RequestError> {
        let turn = match *step {
            Step::Queued(number) => self.queue.take_turn(number),
            _ => self.may_pass(),
        };
        if !turn {
            return self.enqueue(step, waker, None);
        }
        // A turn that was taken is gone, whatever comes of it.
        *step = Step::New;
        match self.push(head, body, timeout_us) {
            Ok(ticket) => {
                self.set_waiting(ticket, waker);
                *step = Step::Sent(ticket);
                Ok(self.driver.take())
            }
            Err(refused @ (SubmitRefused::Full { .. } | SubmitRefused::Backlog { .. })) => {
                self.enqueue(step, waker, Some(refused))
            }
            Err(refused) => Err(refused.into()),
        }
    }

    /// Whether a request may be sent without waiting: nobody waits, and nobody's turn is taken.
    #[inline]
    fn may_pass(&self) -> bool {
        self.queue.is_empty() && self.machine.free_places() > self.queue.granted
    }

    #[inline]
    fn push(
        &mut self,
        head: &[u8],
        body: &mut Body<'_>,
        timeout_us: Option<u32>,
    ) -> Result<Ticket, SubmitRefused> {
        match body {
            Body::Slice(bytes) => self.machine.submit(head, bytes, timeout_us),
            Body::Chunk(chunk) => {
                let Some(bytes) = chunk.take() else {
                    return self.machine.submit(head, &[], timeout_us);
                };
                self.machine.submit_chunk(head, bytes, timeout_us).map_err(|refused| {
                    *chunk = Some(refused.body);
                    refused.reason
                })
            }
        }
    }

    #[inline]
    fn set_waiting(&mut self, ticket: Ticket, waker: Option<&Waker>) {
        let place = self.machine.place_of(ticket);
        if let (Some(waiting), Some(waker)) = (self.waiting.get_mut(place), waker) {
            match waiting {
                Some(known) if known.will_wake(waker) => {}
                _ => *waiting = Some(waker.clone()),
            }
        }
    }

    /// Waits for its turn; without a waker, that is where somebody only tries, it is refused.
    #[cold]
    fn enqueue(
        &mut self,
        step: &mut Step,
        waker: Option<&Waker>,
        refused: Option<SubmitRefused>,
    ) -> Result<Option<Waker>, RequestError> {
        let Some(waker) = waker else {
            let in_flight_max = self.machine.in_flight_max();
            return Err(refused.unwrap_or(SubmitRefused::Full { in_flight_max }).into());
        };
        match *step {
            Step::Queued(number) => self.queue.set(number, waker),
            _ => match self.queue.push(waker.clone()) {
                Some(number) => *step = Step::Queued(number),
                None => {
                    let waiting_max = self.queue.len_max;
                    return Err(RequestError::QueueFull { waiting_max });
                }
            },
        }
        Ok(None)
    }

    /// The outcome of a request, or the waker is kept until there is one.
    #[inline]
    pub(super) fn poll_outcome(
        &mut self,
        ticket: Ticket,
        waker: &Waker,
    ) -> Poll<Result<Lease, NoAnswer>> {
        match self.machine.take(ticket) {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                self.set_waiting(ticket, Some(waker));
                Poll::Pending
            }
        }
    }

    /// Nobody waits for this request any more.
    pub(super) fn abandon(&mut self, ticket: Ticket) -> Option<Waker> {
        self.machine.abandon(ticket);
        self.waiting.get_mut(self.machine.place_of(ticket)).and_then(Option::take)
    }

    /// Who is next in the queue, if there is a place for one; to be woken without the lock.
    #[inline]
    pub(super) fn grant(&mut self) -> Option<Waker> {
        if self.queue.is_empty() {
            return None;
        }
        self.grant_queued()
    }

    #[cold]
    fn grant_queued(&mut self) -> Option<Waker> {
        let has_place = self.machine.free_places() > self.queue.granted;
        if self.machine.is_open() && !(has_place && self.machine.has_room()) {
            return None;
        }
        self.queue.grant()
    }

    pub(super) fn send(
        &mut self,
        head: &[u8],
        body: &[u8],
    ) -> Result<Option<Waker>, SubmitRefused> {
        self.machine.send(head, body)?;
        Ok(self.driver.take())
    }

    pub(super) fn poll_unsolicited(
        &mut self,
        context: &Context<'_>,
    ) -> Poll<Result<Lease, CloseReason>> {
        if let Some(frame) = self.machine.poll_unsolicited() {
            return Poll::Ready(Ok(frame));
        }
        if let Some(reason) = self.machine.closed() {
            return Poll::Ready(Err(reason));
        }
        self.unsolicited.set(context);
        Poll::Pending
    }

    pub(super) fn poll_closed(&mut self, context: &Context<'_>) -> Poll<CloseReason> {
        if let Some(reason) = self.machine.closed() {
            return Poll::Ready(reason);
        }
        if !self.closing.iter().any(|waker| waker.will_wake(context.waker())) {
            self.closing.push(context.waker().clone());
        }
        Poll::Pending
    }

    pub(super) fn close(&mut self) -> Option<Waker> {
        self.machine.close();
        self.driver.take()
    }

    pub(super) fn abort(&mut self) -> Option<Waker> {
        self.machine.abort();
        self.driver.take()
    }
}

impl<H: Correlate> Shell for RequestShell<H> {
    type Machine = Requests<'static, H, BufferPool>;

    #[inline]
    fn machine(&mut self) -> &mut Self::Machine {
        &mut self.machine
    }

    #[inline]
    fn driver(&mut self) -> &mut WakerSlot {
        &mut self.driver
    }

    #[inline]
    fn collect(&mut self, wakes: &mut Wakes) {
        while !wakes.is_full() {
            let Some(ticket) = self.machine.poll_completed() else {
                break;
            };
            let place = self.machine.place_of(ticket);
            if let Some(waker) = self.waiting.get_mut(place).and_then(Option::take) {
                wakes.push(waker);
            }
        }
        while !wakes.is_full()
            && let Some(waker) = self.grant()
        {
            wakes.push(waker);
        }
        if self.machine.has_unsolicited() || self.machine.closed().is_some() {
            self.collect_seldom(wakes);
        }
    }
}

impl<H: Correlate> RequestShell<H> {
    #[cold]
    fn collect_seldom(&mut self, wakes: &mut Wakes) {
        if !wakes.is_full()
            && let Some(waker) = self.unsolicited.take()
        {
            wakes.push(waker);
        }
        while !wakes.is_full()
            && self.machine.closed().is_some()
            && let Some(waker) = self.closing.pop()
        {
            wakes.push(waker);
        }
    }
}

/// Who waits for a place, first come, first served.
pub(super) struct Queue {
    /// `None` for those who went away.
    wakers: VecDeque<Option<Waker>>,
    /// The number of the first of them.
    first: u64,
    len_max: usize,
    /// Whose turn it is and who has not taken it yet. They are not in `wakers` any more.
    granted: usize,
}

impl Queue {
    fn new(len_max: usize) -> Self {
        Self { wakers: VecDeque::with_capacity(len_max), first: 0, len_max, granted: 0 }
    }

    #[inline]
    fn is_empty(&self) -> bool {
        self.wakers.is_empty()
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.granted + self.wakers.iter().flatten().count()
    }

    fn push(&mut self, waker: Waker) -> Option<u64> {
        if self.wakers.len() >= self.len_max {
            return None;
        }
        self.wakers.push_back(Some(waker));
        Some(self.first + self.wakers.len() as u64 - 1)
    }

    /// Whether it is the turn of `number`, which is taken then.
    fn take_turn(&mut self, number: u64) -> bool {
        let granted = number < self.first;
        self.granted -= usize::from(granted);
        granted
    }

    fn set(&mut self, number: u64, waker: &Waker) {
        if let Some(known) = self.place(number)
            && !known.as_ref().is_some_and(|known| known.will_wake(waker))
        {
            *known = Some(waker.clone());
        }
    }

    fn place(&mut self, number: u64) -> Option<&mut Option<Waker>> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.wakers.get_mut(index)
    }

    /// It is the turn of whoever waits longest.
    fn grant(&mut self) -> Option<Waker> {
        while let Some(waker) = self.wakers.pop_front() {
            self.first += 1;
            if waker.is_some() {
                self.granted += 1;
                return waker;
            }
        }
        None
    }

    /// `number` goes away; if it was its turn, that is free again.
    pub(super) fn leave(&mut self, number: u64) {
        if self.take_turn(number) {
            return;
        }
        if let Some(place) = self.place(number) {
            *place = None;
        }
        while self.wakers.back().is_some_and(Option::is_none) {
            self.wakers.pop_back();
        }
    }
}

//! The machine that makes batches of items and items of batches.

use core::fmt;

use super::adaptive::SizeController;
use super::cells::{BatchCells, Cells};
use super::config::{BatchConfig, Load, SizePolicy};
use super::counters::{BatchCounters, Reason};
use super::entry::Settled;
use super::error::{
    ManyRefused, NewRefused, PollRefused, PushRefused, Refusal, SettleRefused, StorageTooSmall,
};
use super::places::{Place, Places, Ticket};
use super::queue::Queue;
use super::work::{Batch, Work};
use crate::backing::Backing;
use crate::random::SplitMix64;
use crate::time::{Instant, Now};

/// Takes in items one by one and hands out batches.
///
/// Inputs are [`push`](Self::push), [`flush`](Self::flush), [`settle`](Self::settle),
/// [`set_cpu_share`](Self::set_cpu_share), [`shutdown`](Self::shutdown) and
/// [`abandon`](Self::abandon). After each of them, and when the time of
/// [`poll_timeout`](Self::poll_timeout) has come, call [`poll_batch`](Self::poll_batch) until it
/// returns `false`; every batch it has filled comes back through `settle`.
///
/// Items wait in a ring, and where one batch ends and the next begins is decided when it is handed
/// out. That moves its items or, where a batch on the heap takes all that wait, exchanges the room
/// they are in, so that a lock is held for a moment only. What is to be tried again keeps together,
/// in room that is kept free for it. So at most [`BatchConfig::waiting_max`] items wait, at most
/// [`BatchConfig::in_flight_max`] batches are out or wait for another attempt, and settling never
/// lacks room. Every call takes constant time per item that it moves, plus a look at each place
/// where a batch is tried again, and at each waiting item where one with a short deadline waits.
///
/// At most 2.5 kB besides the storage, of which the histograms take 1.7 and the controller of
/// [`SizePolicy::Adaptive`] 0.2.
pub struct Accumulator<'s, T> {
    /// Items that wait for their first attempt.
    queue: Queue<'s, T>,
    /// Which batches are in flight,
    places: Places<'s>,
    /// and what waits for another attempt, place by place.
    kept: Cells<'s, T>,
    config: BatchConfig,
    cpu_share: f64,
    controller: Option<SizeController>,
    random: SplitMix64,
    counters: BatchCounters,
}

/// The storage of an [`Accumulator`].
///
/// Its sizes follow from the configuration: [`BatchConfig::cells_len`] cells and
/// [`BatchConfig::places_len`] places.
///
/// ```
/// use turbopump_core::batch::{Accumulator, Batch, BatchCells, BatchConfig, BatchStorage, Place};
///
/// let mut config = BatchConfig::default();
/// (config.items_max, config.waiting_max, config.in_flight_max) = (8, 16, 1);
/// assert_eq!((config.cells_len(), config.places_len()), (24, 1));
///
/// let mut cells = BatchCells::<u32, 24>::new();
/// let mut places = [Place::new(); 1];
/// let mut room = BatchCells::<u32, 8>::new();
/// let storage = BatchStorage::borrowed(&mut cells, &mut places);
/// let batcher = Accumulator::new(config, storage, 1)?;
/// let batch = Batch::borrowed(&mut room);
/// # assert_eq!((batcher.waiting(), batch.len()), (0, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct BatchStorage<'s, T> {
    cells: Cells<'s, T>,
    places: Backing<'s, Place>,
}

impl<'s, T> BatchStorage<'s, T> {
    /// Storage of the caller's.
    #[must_use]
    pub fn borrowed<const N: usize>(
        cells: &'s mut BatchCells<T, N>,
        places: &'s mut [Place],
    ) -> Self {
        Self { cells: Cells::borrowed(cells), places: Backing::Borrowed(places) }
    }
}

#[cfg(feature = "alloc")]
impl<T> BatchStorage<'static, T> {
    /// As much storage on the heap as `config` needs.
    #[must_use]
    pub fn on_heap(config: &BatchConfig) -> Self {
        let places = (0..config.places_len()).map(|_| Place::new()).collect();
        Self { cells: Cells::on_heap(config.cells_len()), places }
    }
}

impl<'s, T> Accumulator<'s, T> {
    /// An accumulator over `storage`. `seed` is where the jitter of retries comes from.
    ///
    /// # Errors
    ///
    /// [`NewRefused`] where the configuration makes no sense, or the storage is too small for it.
    pub fn new(
        config: BatchConfig,
        storage: BatchStorage<'s, T>,
        seed: u64,
    ) -> Result<Self, NewRefused> {
        config.validate().map_err(NewRefused::Config)?;
        let BatchStorage { cells, places } = storage;
        let (cells_needed, places_needed) = (config.cells_len(), config.places_len());
        for (part, len, needed) in
            [("cells", cells.len(), cells_needed), ("places", places.len(), places_needed)]
        {
            if len < needed {
                return Err(NewRefused::Storage(StorageTooSmall { part, len, needed }));
            }
        }
        let controller = match config.size {
            SizePolicy::Adaptive(size) => Some(SizeController::new(size, config.items_max)),
            _ => None,
        };
        let (waiting, kept) = cells.split_at(config.ring_len());
        Ok(Self {
            queue: Queue::new(&config, waiting),
            places: Places::new(places, places_needed as u16),
            kept,
            config,
            cpu_share: 0.0,
            controller,
            random: SplitMix64::new(seed),
            counters: BatchCounters::default(),
        })
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &BatchConfig {
        &self.config
    }

    /// Items that wait for their first attempt.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue.len() as usize
    }

    /// How many items [`push`](Self::push) would take in now.
    #[must_use]
    pub fn room(&self) -> usize {
        self.queue.room() as usize
    }

    /// How many items, of how many bytes together, can be pushed without making a batch due by
    /// their number or their bytes; none where one is due so already, or where the size of batches
    /// depends on how many wait.
    ///
    /// For handles, which need not look after each item whether somebody has to be woken. Time is
    /// left to [`poll_timeout`](Self::poll_timeout).
    #[must_use]
    pub fn slack(&self) -> (u32, u64) {
        let target = self.items_target();
        let is_moving = matches!(self.config.size, SizePolicy::ByLoad(_));
        if is_moving || self.queue.reason_at_once(target).is_some() {
            return (0, 0);
        }
        self.queue.slack(target)
    }

    /// Batches that are out or wait for another attempt.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.places.in_use()
    }

    /// True where every item that was accepted is settled.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.queue.is_empty() && self.places.in_use() == 0
    }

    /// What was counted so far: a copy, of 2 kB.
    #[must_use]
    pub fn counters(&self) -> BatchCounters {
        let mut counters = self.counters.clone();
        counters.items.add(self.queue.pushed());
        counters
    }

    /// How many items close a batch at this moment; never more than may wait.
    #[must_use]
    pub fn items_target(&self) -> u32 {
        let items = match (&self.config.size, &self.controller) {
            (SizePolicy::ByLoad(rule), _) => {
                let queue_fill = f64::from(self.queue.len()) / f64::from(self.config.waiting_max);
                rule.items(Load { queue_fill, cpu_share: self.cpu_share })
            }
            (_, Some(controller)) => controller.items(),
            _ => self.config.items_max,
        };
        items.min(self.config.waiting_max)
    }

    /// Takes in an item of so many `bytes`.
    ///
    /// # Errors
    ///
    /// [`PushRefused`], with the item: it is too large by itself, too many wait, or the accumulator
    /// shuts down.
    #[inline]
    pub fn push(&mut self, now: Now, item: T, bytes: u64) -> Result<(), PushRefused<T>> {
        self.queue.push(now.at, item, bytes).map_err(|item| self.refuse(item, bytes))
    }

    /// As [`push`](Self::push); no attempt with the item begins at its `deadline` or later.
    ///
    /// It lingers for at most half of the time until then, so that there is some left to work on
    /// it; those that wait before it go with it. When no batch can be handed out because too many
    /// are in flight, an item whose deadline passes is settled by [`expire`](Self::expire), or else
    /// when its turn comes.
    ///
    /// # Errors
    ///
    /// As [`push`](Self::push).
    pub fn push_until(
        &mut self,
        now: Now,
        item: T,
        bytes: u64,
        deadline: Instant,
    ) -> Result<(), PushRefused<T>> {
        let pushed = if deadline == Instant::NEVER {
            self.queue.push(now.at, item, bytes)
        } else {
            self.queue.push_until(now.at, item, bytes, deadline)
        };
        pushed.map_err(|item| self.refuse(item, bytes))
    }

    /// Takes in `items`, each with its bytes, as if pushed one after the other, until there are no
    /// more or there is no more [`room`](Self::room): then the rest stays in the iterator. Returns
    /// how many were taken in.
    ///
    /// # Errors
    ///
    /// [`ManyRefused`] with the first item that is too large by itself. Those before it are taken
    /// in; those after it are still in the iterator.
    #[inline]
    pub fn push_many(
        &mut self,
        now: Now,
        items: &mut impl Iterator<Item = (T, u64)>,
    ) -> Result<usize, ManyRefused<T>> {
        let (pushed, refused) = self.queue.push_many(now.at, items);
        match refused {
            None => Ok(pushed),
            Some((item, bytes)) => Err(ManyRefused { pushed, refused: self.refuse(item, bytes) }),
        }
    }

    #[cold]
    fn refuse(&mut self, item: T, bytes: u64) -> PushRefused<T> {
        self.counters.refused.increment();
        let reason = if bytes > self.config.item_bytes_max {
            Refusal::TooLarge { bytes, max: self.config.item_bytes_max }
        } else if self.queue.is_closed() {
            Refusal::ShuttingDown
        } else {
            Refusal::Full { waiting: self.waiting(), max: self.config.waiting_max as usize }
        };
        PushRefused { item, reason }
    }

    /// Has all items that wait now handed out as soon as possible, full batches or not.
    pub fn flush(&mut self) {
        self.queue.flush();
    }

    /// Says how busy the processors are, from 0 to 1: for [`SizePolicy::ByLoad`].
    pub fn set_cpu_share(&mut self, share: f64) {
        self.cpu_share = share;
    }

    /// Accepts nothing more, and hands out what waits without waiting for more. Drained when
    /// [`is_drained`](Self::is_drained) says so: retries are still made.
    pub fn shutdown(&mut self) {
        self.queue.close();
    }

    /// Gives up whatever waits for an attempt: it is settled as [`Settled::Abandoned`]. Batches
    /// that are out still come back, but nothing of them is tried again. Returns how many were
    /// given up at once.
    pub fn abandon(&mut self, mut each: impl FnMut(T, Settled)) -> usize {
        let mut abandoned = 0;
        while let Some(ticket) = self.places.take_retrying(Instant::NEVER) {
            let Place { len, attempt, .. } = *self.places.get(ticket);
            self.places.put_free(ticket);
            let first = self.room_of(ticket);
            for index in first..first + len as usize {
                if let Some(item) = self.kept.take(index) {
                    abandoned += 1;
                    self.counters.failed.increment();
                    each(item, Settled::Abandoned { attempts: attempt });
                }
            }
        }
        self.places.give_up_retries();
        while let Some(item) = self.queue.pop() {
            abandoned += 1;
            self.counters.failed.increment();
            each(item, Settled::Abandoned { attempts: 0 });
        }
        abandoned
    }

    /// The first cell for what waits in a place.
    fn room_of(&self, ticket: Ticket) -> usize {
        ticket.place() * self.config.items_capacity()
    }

    /// Fills `batch` if there is one to work on: first one that is to be tried again, then a new
    /// one. `false` where there is none.
    ///
    /// # Errors
    ///
    /// [`PollRefused`] where `batch` is still out, or too small for this accumulator.
    pub fn poll_batch(&mut self, now: Now, batch: &mut Batch<'_, T>) -> Result<bool, PollRefused> {
        if batch.ticket().is_some() {
            return Err(PollRefused::Unsettled);
        }
        if batch.capacity() < self.config.items_capacity() {
            let (len, needed) = (batch.capacity(), self.config.items_capacity());
            return Err(PollRefused::TooSmall { len, needed });
        }
        if self.places.next_retry() <= now.at
            && let Some(ticket) = self.places.take_retrying(now.at)
        {
            self.hand_out_again(now.at, ticket, batch);
            return Ok(true);
        }
        if self.queue.is_empty() || !self.places.has_free() {
            return Ok(false);
        }
        let target = self.items_target();
        let lingered = || (self.queue.due_at() <= now.at).then_some(Reason::Linger);
        let reason = self.queue.reason_at_once(target).or_else(lingered);
        let Some(reason) = reason else { return Ok(false) };
        self.hand_out_new(now.at, target, reason, batch);
        Ok(true)
    }

    #[cold]
    fn hand_out_again(&mut self, now: Instant, ticket: Ticket, batch: &mut Batch<'_, T>) {
        let Place { len, attempt, bytes, .. } = *self.places.get(ticket);
        let retry_delay_us = self.config.retry.delay_us(attempt, &mut self.random);
        let from = self.room_of(ticket);
        self.kept.move_to(from, batch.cells_mut(), 0, len as usize, true);
        batch.unmark(len);
        let work = Work { start: 0, len, bytes, attempt, retry_delay_us };
        batch.begin(now, ticket, &work, true);
        self.counters.retried.add(batch.len() as u64);
    }

    fn hand_out_new(
        &mut self,
        now: Instant,
        target: u32,
        reason: Reason,
        batch: &mut Batch<'_, T>,
    ) {
        let (len, bytes) = self.queue.fitting(target);
        let reason = if len < target && reason == Reason::Items { Reason::Bytes } else { reason };
        let linger_us = now.us_since(self.queue.first_at());
        let (start, deadlines) = self.queue.move_to(batch, len, bytes);
        let retry_delay_us = self.config.retry.delay_us(0, &mut self.random);
        let ticket = self.places.take_free(len);
        let work = Work { start, len, bytes, attempt: 0, retry_delay_us };
        batch.begin(now, ticket, &work, deadlines);
        self.counters.count_batch(reason, len, bytes, linger_us);
    }

    /// When to call [`poll_batch`](Self::poll_batch) again although nothing else has happened;
    /// `None` where only an input can change something.
    ///
    /// An instant that has passed means at once. After `poll_batch` has returned `false` it is in
    /// the future.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let mut at = self.places.next_retry();
        if !self.queue.is_empty() && self.places.has_free() {
            let at_once = self.queue.reason_at_once(self.items_target()).is_some();
            at = at.min(if at_once { self.queue.first_at() } else { self.queue.due_at() });
        }
        (at != Instant::NEVER).then_some(at)
    }

    /// When to call [`expire`](Self::expire), if nothing else has happened: as long as no batch can
    /// be handed out, items that wait may run out of time. `None` where none can.
    ///
    /// It may be early, as items that had less time may have gone.
    #[must_use]
    pub fn poll_expiry(&self) -> Option<Instant> {
        let at = self.queue.expires_at();
        (at != Instant::NEVER && !self.places.has_free()).then_some(at)
    }

    /// Settles what waits for its first attempt and has no time left, as [`Settled::Expired`] and
    /// in order. Takes constant time before the time of [`poll_expiry`](Self::poll_expiry), and a
    /// look at each item that waits thereafter.
    pub fn expire(&mut self, now: Now, mut each: impl FnMut(T, Settled)) {
        let Self { queue, counters, .. } = self;
        if queue.expires_at() <= now.at && !queue.is_empty() {
            queue.expire(now.at, |item| {
                counters.failed.increment();
                counters.expired.increment();
                each(item, Settled::Expired { attempts: 0 });
            });
        }
    }

    /// Takes a batch back: settles each item of it, or keeps it for another attempt. `each` is told
    /// of every item that is settled, in order. `batch` can then be filled again.
    ///
    /// # Errors
    ///
    /// [`SettleRefused`], with nothing done, where `batch` is not out or not from here.
    pub fn settle(
        &mut self,
        now: Now,
        batch: &mut Batch<'_, T>,
        mut each: impl FnMut(T, Settled),
    ) -> Result<(), SettleRefused> {
        let ticket = batch.ticket.filter(|ticket| self.places.is_out(*ticket));
        let Some(ticket) = ticket else { return Err(SettleRefused) };
        batch.conclude(now, &mut each);
        let Some(concluded) = batch.concluded else { return Err(SettleRefused) };
        self.counters.count_concluded(&concluded);
        if let (Some(controller), 0, 1..) = (&mut self.controller, batch.attempt, concluded.worked)
        {
            controller.observe(concluded.worked, concluded.took_us);
        }
        if concluded.kept == 0 {
            self.places.put_free(ticket);
        } else {
            self.keep(ticket, batch, concluded.retry_at, &mut each);
        }
        batch.end();
        Ok(())
    }

    /// Keeps what is left in a batch for another attempt at this time.
    #[cold]
    fn keep(
        &mut self,
        ticket: Ticket,
        batch: &mut Batch<'_, T>,
        retry_at: Instant,
        each: &mut impl FnMut(T, Settled),
    ) {
        let (len, attempts, bytes) = (batch.len() as u32, batch.attempt + 1, batch.bytes);
        if self.places.is_for_good(ticket) {
            self.counters.failed.add(len.into());
            self.places.put_free(ticket);
            let left = batch.cells_mut().drain(0..len as usize);
            left.for_each(|item| each(item, Settled::Abandoned { attempts }));
            return;
        }
        let room = self.room_of(ticket);
        batch.cells_mut().move_to(0, &mut self.kept, room, len as usize, true);
        self.places.park(ticket, retry_at, len, attempts, bytes);
    }

    /// Takes note that the batch of that name was dropped, with its items: its place is free again.
    /// `false` where none of that name is out.
    ///
    /// For handles whose worker has died; the items are counted as
    /// [`lost`](BatchCounters::lost). If the batch turns up after all, settling it is refused.
    pub fn forget(&mut self, ticket: Ticket) -> bool {
        let is_out = self.places.is_out(ticket);
        if is_out {
            self.counters.lost.add(self.places.get(ticket).len.into());
            self.places.put_free(ticket);
        }
        is_out
    }
}

impl<T> fmt::Debug for Accumulator<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accumulator")
            .field("waiting", &self.queue.len())
            .field("in_flight", &self.places.in_use())
            .field("shutting_down", &self.queue.is_closed())
            .finish_non_exhaustive()
    }
}

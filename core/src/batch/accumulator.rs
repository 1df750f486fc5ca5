//! The machine that makes batches of items and items of batches.

use core::fmt;

use super::adaptive::SizeController;
use super::config::{BatchConfig, Load, SizePolicy};
use super::counters::{BatchCounters, Reason};
use super::entry::{Batch, Entry, Mark, Outcome, Settled};
use super::error::{NewRefused, PushRefused, Refusal, SettleRefused};
use super::places::{BatchStorage, Places};
use crate::random::SplitMix64;
use crate::time::{Instant, Now};

/// Takes in items one by one and hands out batches.
///
/// Inputs are [`push`](Self::push), [`flush`](Self::flush), [`settle`](Self::settle),
/// [`set_cpu_share`](Self::set_cpu_share) and [`shutdown`](Self::shutdown). After each of them, and
/// when the time of [`poll_timeout`](Self::poll_timeout) has come, call
/// [`poll_batch`](Self::poll_batch) until it returns `None`; every batch it returns comes back
/// through `settle`.
///
/// Handing out a full batch moves no item, whatever its size. Bounds: at most
/// [`BatchConfig::waiting_max`] items wait and [`BatchConfig::in_flight_max`] batches are out or
/// wait for another attempt; every list is as long as the storage.
pub struct Accumulator<'p, 'e, T> {
    config: BatchConfig,
    places: Places<'p, 'e, T>,
    /// The batch that is being filled, if there was room for one.
    open: Option<Batch<'e, T>>,
    /// Items that wait for their first attempt: those of the open and of the closed batches.
    waiting: u32,
    /// Of these, so many are to go as soon as possible.
    flushing: u32,
    /// Batches that are out or wait for another attempt.
    in_flight: u32,
    shutting_down: bool,
    cpu_share: f64,
    controller: Option<SizeController>,
    random: SplitMix64,
    counters: BatchCounters,
}

impl<'p, 'e, T> Accumulator<'p, 'e, T> {
    /// An accumulator over `storage`. `seed` is where the jitter of retries comes from.
    ///
    /// # Errors
    ///
    /// [`NewRefused`] where the configuration makes no sense, or the storage is too small for it.
    pub fn new(
        config: BatchConfig,
        storage: BatchStorage<'p, 'e, T>,
        seed: u64,
    ) -> Result<Self, NewRefused> {
        config.validate().map_err(NewRefused::Config)?;
        let mut places = Places::new(&config, storage).map_err(NewRefused::Storage)?;
        let controller = match config.size {
            SizePolicy::Adaptive(size) => Some(SizeController::new(size, config.items_max)),
            _ => None,
        };
        Ok(Self {
            open: places.take_free(),
            config,
            places,
            waiting: 0,
            flushing: 0,
            in_flight: 0,
            shutting_down: false,
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
        self.waiting as usize
    }

    /// Batches that are out or wait for another attempt.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight as usize
    }

    /// True where every item that was accepted is settled.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.waiting == 0 && self.in_flight == 0
    }

    /// What was counted so far.
    #[must_use]
    pub fn counters(&self) -> &BatchCounters {
        &self.counters
    }

    /// How many items close a batch at this moment.
    #[must_use]
    pub fn items_target(&self) -> u32 {
        match (&self.config.size, &self.controller) {
            (SizePolicy::ByLoad(rule), _) => {
                let queue_fill = f64::from(self.waiting) / f64::from(self.config.waiting_max);
                rule.items(Load { queue_fill, cpu_share: self.cpu_share })
            }
            (_, Some(controller)) => controller.items(),
            _ => self.config.items_max,
        }
    }

    /// Takes in an item of so many `bytes`.
    ///
    /// # Errors
    ///
    /// [`PushRefused`], with the item: it is too large by itself, too many wait, or the accumulator
    /// shuts down.
    #[inline]
    pub fn push(&mut self, now: Now, item: T, bytes: u64) -> Result<(), PushRefused<T>> {
        self.push_until(now, item, bytes, Instant::NEVER)
    }

    /// As [`push`](Self::push); no attempt with the item begins at its `deadline` or later.
    ///
    /// # Errors
    ///
    /// As [`push`](Self::push).
    #[inline]
    pub fn push_until(
        &mut self,
        now: Now,
        item: T,
        bytes: u64,
        deadline: Instant,
    ) -> Result<(), PushRefused<T>> {
        let refusal = self.refusal(bytes);
        if refusal.is_none() {
            if let Some(open) = &mut self.open
                && open.has_room()
                && open.bytes + bytes <= self.config.bytes_max
            {
                open.push(now.at, item, bytes as u32, deadline);
                self.waiting += 1;
                self.counters.items.increment();
                return Ok(());
            }
            if self.open_next() {
                return self.push_until(now, item, bytes, deadline);
            }
        }
        self.refuse(item, refusal)
    }

    /// Takes in all `items`, each with its bytes, as if pushed one after the other: what is too
    /// much for one batch goes into several, in order. Returns how many that were.
    ///
    /// # Errors
    ///
    /// [`PushRefused`] with the first item that was refused. Those before it are taken in; those
    /// after it are still in the iterator.
    pub fn push_all(
        &mut self,
        now: Now,
        items: &mut impl Iterator<Item = (T, u64)>,
    ) -> Result<usize, PushRefused<T>> {
        let mut pushed = 0;
        for (item, bytes) in items {
            self.push(now, item, bytes)?;
            pushed += 1;
        }
        Ok(pushed)
    }

    #[inline]
    fn refusal(&self, bytes: u64) -> Option<Refusal> {
        if bytes > self.config.item_bytes_max {
            return Some(Refusal::TooLarge { bytes, max: self.config.item_bytes_max });
        }
        if self.waiting >= self.config.waiting_max {
            let max = self.config.waiting_max as usize;
            return Some(Refusal::Full { waiting: self.waiting(), max });
        }
        self.shutting_down.then_some(Refusal::ShuttingDown)
    }

    #[cold]
    fn refuse(&mut self, item: T, refusal: Option<Refusal>) -> Result<(), PushRefused<T>> {
        self.counters.refused.increment();
        // No place for another batch: those that there are hold few items of many bytes each.
        let (waiting, max) = (self.waiting(), self.config.waiting_max as usize);
        let reason = refusal.unwrap_or(Refusal::NoBatch { waiting, max });
        Err(PushRefused { item, reason })
    }

    /// Closes the open batch and opens another; false where there is no place for one.
    #[cold]
    fn open_next(&mut self) -> bool {
        let Some(next) = self.places.take_free() else { return false };
        if let Some(closed) = self.open.replace(next) {
            self.places.put_closed(closed);
        }
        true
    }

    /// Has all items that wait now handed out as soon as possible, full batches or not.
    pub fn flush(&mut self) {
        self.flushing = self.waiting;
    }

    /// Says how busy the processors are, from 0 to 1: for [`SizePolicy::ByLoad`].
    pub fn set_cpu_share(&mut self, share: f64) {
        self.cpu_share = share;
    }

    /// Accepts nothing more, and hands out what waits without waiting for more. Drained when
    /// [`is_drained`](Self::is_drained) says so.
    pub fn shutdown(&mut self) {
        self.shutting_down = true;
    }

    /// Gives up whatever is not out: each item that waits for an attempt is settled as
    /// [`Settled::Abandoned`]. Returns how many. Batches that are out still come back.
    pub fn abandon(&mut self, mut each: impl FnMut(T, Settled)) -> usize {
        let mut abandoned = 0;
        while let Some(batch) = self.places.take_retrying(Instant::NEVER) {
            self.in_flight -= 1;
            abandoned += self.abandon_batch(batch, batch_attempts, &mut each);
        }
        while let Some(batch) = self.places.take_closed().or_else(|| self.open.take()) {
            abandoned += self.abandon_batch(batch, |_| 0, &mut each);
        }
        self.open = self.places.take_free();
        (self.waiting, self.flushing) = (0, 0);
        abandoned
    }

    fn abandon_batch(
        &mut self,
        mut batch: Batch<'e, T>,
        attempts: impl Fn(&Batch<'e, T>) -> u32,
        each: &mut impl FnMut(T, Settled),
    ) -> usize {
        let how = Settled::Abandoned { attempts: attempts(&batch) };
        let held = batch.held() as usize;
        batch.retain(|entry| {
            self.counters.count_settled(how);
            each(entry.item, how);
            None
        });
        self.places.put_free(batch);
        held
    }

    /// The next batch to work on, if one is due: first those that are to be tried again, then new
    /// ones, oldest first.
    #[must_use]
    pub fn poll_batch(&mut self, now: Now) -> Option<Batch<'e, T>> {
        if let Some(mut batch) = self.places.take_retrying(now.at) {
            batch.at = now.at;
            batch.expire(now.at);
            self.counters.retried.add(batch.len() as u64);
            return Some(batch);
        }
        if self.in_flight >= self.in_flight_max() {
            return None;
        }
        let reason = self.ready(now.at)?;
        let mut batch = self.take_front()?;
        self.waiting -= batch.held();
        self.flushing = self.flushing.saturating_sub(batch.held());
        self.in_flight += 1;
        self.counters.count_batch(reason, batch.held(), batch.bytes);
        batch.at = now.at;
        batch.expire(now.at);
        Some(batch)
    }

    fn in_flight_max(&self) -> u32 {
        if self.config.ordered { 1 } else { self.config.in_flight_max }
    }

    /// Why the batch in front can be handed out, if it can.
    fn ready(&mut self, now: Instant) -> Option<Reason> {
        let target = self.items_target();
        let reason = |held: u32, pushed_at: Instant| {
            if held >= target {
                Some(Reason::Items)
            } else if self.flushing > 0 {
                Some(Reason::Flush)
            } else if self.shutting_down {
                Some(Reason::Shutdown)
            } else {
                (pushed_at.plus_us(self.config.linger_us) <= now).then_some(Reason::Linger)
            }
        };
        let open = self.open.as_ref().filter(|open| open.held() > 0);
        let open = open.map(|open| (open.held(), open.first_pushed_at()));
        match self.places.first_closed() {
            // Closed, but neither full nor what is left of a full one: because of its bytes.
            Some(closed) if closed.held() < target && closed.start == 0 => Some(Reason::Bytes),
            Some(_) => Some(Reason::Items),
            None => open.and_then(|(held, pushed_at)| reason(held, pushed_at)),
        }
    }

    /// Takes out what is in front: of a batch with more items than one should have the first of
    /// them, if there is a place to put these; else the whole batch.
    fn take_front(&mut self) -> Option<Batch<'e, T>> {
        let target = self.items_target();
        let front = match self.places.first_closed() {
            Some(closed) => closed.held(),
            None => self.open.as_ref()?.held(),
        };
        let part = if front > target { self.places.take_free() } else { None };
        let Some(mut part) = part else { return self.take_whole_front() };
        match self.places.first_closed() {
            Some(closed) => closed.split_front(target, &mut part),
            None => self.open.as_mut()?.split_front(target, &mut part),
        }
        Some(part)
    }

    fn take_whole_front(&mut self) -> Option<Batch<'e, T>> {
        self.places.take_closed().or_else(|| {
            let next = self.places.take_free();
            core::mem::replace(&mut self.open, next)
        })
    }

    /// When to call [`poll_batch`](Self::poll_batch) again although nothing else has happened;
    /// `None` where only an input can change something.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let retry = self.places.next_retry();
        let open = self.open.as_ref().filter(|open| open.held() > 0);
        let linger = open
            .filter(|_| self.in_flight < self.in_flight_max())
            .map(|open| open.first_pushed_at().plus_us(self.config.linger_us));
        retry.into_iter().chain(linger).min()
    }

    /// Takes a batch back: settles each item of it, or keeps it for another attempt. `each` is told
    /// of every item that is settled, in order.
    ///
    /// # Errors
    ///
    /// [`SettleRefused`], with the batch, where it is not one of this accumulator's.
    pub fn settle(
        &mut self,
        now: Now,
        mut batch: Batch<'e, T>,
        mut each: impl FnMut(T, Settled),
    ) -> Result<(), SettleRefused<'e, T>> {
        if !self.places.expects(&batch) {
            return Err(SettleRefused { batch });
        }
        let took_us = now.at.us_since(batch.at);
        let items = batch.len() as u32;
        self.counters.processing_us.observe(took_us);
        if let (Some(controller), 0, 1..) = (&mut self.controller, batch.attempt, items) {
            controller.observe(items, took_us);
        }
        // One time for all of them, so that they stay together and in order.
        let delay_us = self.config.retry.delay_us(batch.attempt, &mut self.random);
        let retry_at = delay_us.map(|delay_us| now.at.plus_us(delay_us));
        let attempts = batch.attempt + 1;
        batch.retain(|mut entry| {
            let Some(how) = Self::verdict(&entry, retry_at, attempts) else {
                entry.set(Outcome::Done);
                return Some(entry);
            };
            self.counters.count_settled(how);
            each(entry.item, how);
            None
        });
        match retry_at {
            Some(at) if batch.held() > 0 => {
                (batch.attempt, batch.at) = (attempts, at);
                self.places.put_retrying(batch);
            }
            _ => {
                self.in_flight -= 1;
                self.places.put_free(batch);
                if self.open.is_none() {
                    self.open = self.places.take_free();
                }
            }
        }
        Ok(())
    }

    /// How an entry ends; `None` where it is to be tried again.
    fn verdict(entry: &Entry<T>, retry_at: Option<Instant>, attempts: u32) -> Option<Settled> {
        match (entry.mark, retry_at) {
            (Mark::Expired, _) => Some(Settled::Expired { attempts: attempts - 1 }),
            (Mark::Outcome(Outcome::Done), _) => Some(Settled::Done),
            (Mark::Outcome(Outcome::Failed), _) => Some(Settled::Failed),
            (Mark::Outcome(Outcome::Retry), None) => Some(Settled::Exhausted { attempts }),
            (Mark::Outcome(Outcome::Retry), Some(at)) if at >= entry.deadline => {
                Some(Settled::Expired { attempts })
            }
            (Mark::Outcome(Outcome::Retry), Some(_)) => None,
        }
    }
}

/// Attempts with a batch that waits for another one.
fn batch_attempts<T>(batch: &Batch<'_, T>) -> u32 {
    batch.attempt
}

impl<T> fmt::Debug for Accumulator<'_, '_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accumulator")
            .field("waiting", &self.waiting)
            .field("in_flight", &self.in_flight)
            .field("shutting_down", &self.shutting_down)
            .finish_non_exhaustive()
    }
}

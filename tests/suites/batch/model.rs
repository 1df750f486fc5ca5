//! The accumulator as one would explain it: lists of items, searched from the beginning each time.
//!
//! Shares with the accumulator only what is pure and has tests of its own: the retry policy's
//! delays and the size controller.

use turbopump_core::batch::{
    BatchConfig, Outcome, Reason, Refusal, Settled, SizeController, SizePolicy,
};
use turbopump_core::random::SplitMix64;
use turbopump_core::time::Instant;

/// How items ended, in order.
pub(crate) type Ends = Vec<(u32, Settled)>;

#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) id: u32,
    bytes: u64,
    pub(crate) pushed_at: Instant,
    deadline: Instant,
    flushed: bool,
    expired: bool,
}

/// A batch that is out, or waits for another attempt.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) key: u64,
    pub(crate) items: Vec<Item>,
    pub(crate) attempt: u32,
    retry_delay_us: Option<u64>,
    /// When it was handed out, or is to be.
    at: Instant,
    given_up: bool,
}

impl Group {
    pub(crate) fn visible(&self) -> Vec<u32> {
        self.items.iter().filter(|item| !item.expired).map(|item| item.id).collect()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.items.iter().map(|item| item.bytes).sum()
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) items: u64,
    pub(crate) refused: u64,
    pub(crate) lost: u64,
    pub(crate) batches: u64,
    pub(crate) batched_items: u64,
    pub(crate) batched_bytes: u64,
    pub(crate) closed: [u64; 5],
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
    pub(crate) expired: u64,
    pub(crate) retried: u64,
    pub(crate) attempts: u64,
}

pub(crate) struct Model {
    config: BatchConfig,
    pub(crate) waiting: Vec<Item>,
    pub(crate) out: Vec<Group>,
    pub(crate) retrying: Vec<Group>,
    shutting_down: bool,
    cpu_share: f64,
    keys: u64,
    random: SplitMix64,
    controller: Option<SizeController>,
    pub(crate) counts: Counts,
}

impl Model {
    pub(crate) fn new(config: BatchConfig, seed: u64) -> Self {
        let controller = match config.size {
            SizePolicy::Adaptive(size) => Some(SizeController::new(size, config.items_max)),
            _ => None,
        };
        Self {
            config,
            waiting: Vec::new(),
            out: Vec::new(),
            retrying: Vec::new(),
            shutting_down: false,
            cpu_share: 0.0,
            keys: 0,
            random: SplitMix64::new(seed),
            controller,
            counts: Counts::default(),
        }
    }

    pub(crate) fn push(
        &mut self,
        now: Instant,
        id: u32,
        bytes: u64,
        deadline: Instant,
    ) -> Result<(), Refusal> {
        let (waiting, max) = (self.waiting.len(), self.config.waiting_max as usize);
        let refusal = if bytes > self.config.item_bytes_max {
            Some(Refusal::TooLarge { bytes, max: self.config.item_bytes_max })
        } else if self.shutting_down {
            Some(Refusal::ShuttingDown)
        } else if waiting == max {
            Some(Refusal::Full { waiting, max })
        } else {
            None
        };
        if let Some(refusal) = refusal {
            self.counts.refused += 1;
            return Err(refusal);
        }
        self.counts.items += 1;
        let (flushed, expired) = (false, false);
        self.waiting.push(Item { id, bytes, pushed_at: now, deadline, flushed, expired });
        Ok(())
    }

    pub(crate) fn room(&self) -> usize {
        if self.shutting_down {
            return 0;
        }
        self.config.waiting_max as usize - self.waiting.len()
    }

    pub(crate) fn flush(&mut self) {
        self.waiting.iter_mut().for_each(|item| item.flushed = true);
    }

    pub(crate) fn set_cpu_share(&mut self, share: f64) {
        self.cpu_share = share;
    }

    pub(crate) fn shutdown(&mut self) {
        self.shutting_down = true;
    }

    fn target(&self) -> usize {
        let items = match self.config.size {
            SizePolicy::ByLoad(rule) => {
                let fill = self.waiting.len() as f64 / f64::from(self.config.waiting_max);
                let load = if fill > self.cpu_share { fill } else { self.cpu_share };
                if load > rule.high {
                    rule.items_at_high
                } else if load < rule.low {
                    rule.items_at_low
                } else {
                    rule.items_between
                }
            }
            _ => self.controller.as_ref().map_or(self.config.items_max, SizeController::items),
        };
        items.min(self.config.waiting_max) as usize
    }

    fn may_begin(&self) -> bool {
        let max = if self.config.ordered { 1 } else { self.config.in_flight_max as usize };
        !self.waiting.is_empty() && self.out.len() + self.retrying.len() < max
    }

    fn reason_at_once(&self) -> Option<Reason> {
        let fits = self.fitting();
        let bytes: u64 = self.waiting.iter().map(|item| item.bytes).sum();
        if fits == self.target() {
            Some(Reason::Items)
        } else if bytes >= self.config.bytes_max {
            Some(Reason::Bytes)
        } else if self.waiting.iter().any(|item| item.flushed) {
            Some(Reason::Flush)
        } else if self.shutting_down {
            Some(Reason::Shutdown)
        } else {
            None
        }
    }

    fn due_at(&self) -> Option<Instant> {
        let due = |item: &Item| {
            let half_us = item.deadline.us_since(item.pushed_at) / 2;
            item.pushed_at.plus_us(self.config.linger_us.min(half_us))
        };
        self.waiting.iter().map(due).min()
    }

    /// How many of the first items make a batch.
    fn fitting(&self) -> usize {
        let mut bytes = 0;
        let fits = |item: &&Item| {
            bytes += item.bytes;
            bytes <= self.config.bytes_max
        };
        self.waiting.iter().take(self.target()).take_while(fits).count()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let retry = self.retrying.iter().map(|group| group.at).min();
        let new = self.may_begin().then(|| match self.reason_at_once() {
            Some(_) => self.waiting[0].pushed_at,
            None => self.due_at().expect("one waits"),
        });
        retry.into_iter().chain(new).min()
    }

    /// The batch that is handed out, as it is then in `out`.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Group> {
        let due = self.retrying.iter().filter(|group| group.at <= now);
        let mut group = match due.min_by_key(|group| (group.at, group.key)).cloned() {
            Some(group) => {
                self.retrying.retain(|other| other.key != group.key);
                group
            }
            None => self.begin(now)?,
        };
        group.at = now;
        group.retry_delay_us = self.config.retry.delay_us(group.attempt, &mut self.random);
        group.items.iter_mut().for_each(|item| item.expired = item.deadline <= now);
        if group.attempt > 0 {
            self.counts.retried += group.visible().len() as u64;
        }
        self.out.push(group.clone());
        Some(group)
    }

    fn begin(&mut self, now: Instant) -> Option<Group> {
        if !self.may_begin() {
            return None;
        }
        let lingered = || (self.due_at()? <= now).then_some(Reason::Linger);
        let reason = self.reason_at_once().or_else(lingered)?;
        let fits = self.fitting();
        let items: Vec<_> = self.waiting.drain(..fits).collect();
        let group = Group {
            key: self.keys,
            items,
            attempt: 0,
            retry_delay_us: None,
            at: now,
            given_up: false,
        };
        self.keys += 1;
        self.counts.batches += 1;
        self.counts.batched_items += group.items.len() as u64;
        self.counts.batched_bytes += group.bytes();
        let index = Reason::ALL.iter().position(|other| *other == reason).expect("one of all");
        self.counts.closed[index] += 1;
        Some(group)
    }

    /// Settles a batch that was concluded at a time, earlier perhaps; returns what is settled, the
    /// first part when it is concluded and the second when it is settled.
    pub(crate) fn settle(
        &mut self,
        concluded_at: Instant,
        key: u64,
        outcome: impl Fn(u32) -> Outcome,
    ) -> (Ends, Ends) {
        let place = self.out.iter().position(|group| group.key == key).expect("it is out");
        let mut group = self.out.remove(place);
        let retry_at = group.retry_delay_us.map(|delay_us| concluded_at.plus_us(delay_us));
        let attempts = group.attempt + 1;
        let worked = group.visible().len() as u32;
        let (mut settled, mut kept) = (Vec::new(), Vec::new());
        for item in core::mem::take(&mut group.items) {
            let how = match (item.expired, outcome(item.id), retry_at) {
                (true, ..) => Settled::Expired { attempts: group.attempt },
                (_, Outcome::Done, _) => Settled::Done,
                (_, Outcome::Failed, _) => Settled::Failed,
                (_, _, None) => Settled::Exhausted { attempts },
                (_, _, Some(at)) if at >= item.deadline => Settled::Expired { attempts },
                _ => {
                    kept.push(item);
                    continue;
                }
            };
            settled.push((item.id, how));
        }
        let took_us = concluded_at.us_since(group.at);
        if worked > 0 {
            self.counts.attempts += 1;
            if let (Some(controller), 0) = (&mut self.controller, group.attempt) {
                controller.observe(worked, took_us);
            }
        }
        let mut given_up = Vec::new();
        if group.given_up {
            given_up = kept.iter().map(|item| (item.id, Settled::Abandoned { attempts })).collect();
        } else if !kept.is_empty() {
            let at = retry_at.expect("something is kept");
            self.retrying.push(Group { items: kept, attempt: attempts, at, ..group });
        }
        self.count(&settled);
        self.count(&given_up);
        (settled, given_up)
    }

    fn count(&mut self, settled: &[(u32, Settled)]) {
        for (_, how) in settled {
            match how {
                Settled::Done => self.counts.succeeded += 1,
                Settled::Expired { .. } => {
                    self.counts.failed += 1;
                    self.counts.expired += 1;
                }
                _ => self.counts.failed += 1,
            }
        }
    }

    /// In what order batches are given up is not said, only that each keeps its own.
    pub(crate) fn abandon(&mut self) -> Ends {
        let mut settled = Vec::new();
        for group in core::mem::take(&mut self.retrying) {
            let how = Settled::Abandoned { attempts: group.attempt };
            settled.extend(group.items.iter().map(|item| (item.id, how)));
        }
        let waiting = self.waiting.drain(..);
        settled.extend(waiting.map(|item| (item.id, Settled::Abandoned { attempts: 0 })));
        self.out.iter_mut().for_each(|group| group.given_up = true);
        self.count(&settled);
        settled
    }

    /// Its items are lost.
    pub(crate) fn forget(&mut self, key: u64) {
        let place = self.out.iter().position(|group| group.key == key).expect("it is out");
        self.counts.lost += self.out.remove(place).items.len() as u64;
    }
}

//! Taking items in: the short way, where only the item and its bytes have to be looked at, and the
//! long one. Whom to wake for it is the engine's to say.

use std::sync::MutexGuard;

use turbopump_core::time::{Instant, Now};

use super::{Engine, State, Wakers};
use crate::batch::allowance::{Allowance, lock};
use crate::batch::error::{RefusedReason, SendRefused};
use crate::batch::settings::BatchSettings;

impl<T: 'static> Engine<T> {
    /// Takes an item in where there is room and nobody waits for it.
    #[inline(always)]
    pub(in crate::batch) fn try_push(
        &self,
        item: T,
        deadline: Instant,
    ) -> Result<(), SendRefused<T>> {
        let bytes = (self.settings.bytes_of)(&item);
        let mut state = lock(&self.state);
        if deadline == Instant::NEVER && state.allowance.takes(bytes) {
            let now = state.now;
            if let Err(refused) = state.accumulator.push(now, item, bytes) {
                let reason = RefusedReason::of(refused.reason, state.waiting_bytes);
                return Err(SendRefused { item: refused.item, reason });
            }
            state.waiting_bytes += bytes;
            return Ok(());
        }
        self.try_push_with(state, item, deadline)
    }

    /// The same, where everything has to be looked at.
    #[inline(never)]
    fn try_push_with(
        &self,
        mut state: MutexGuard<'_, State<T>>,
        item: T,
        deadline: Instant,
    ) -> Result<(), SendRefused<T>> {
        state.allowance = Allowance::default();
        let wakers = self.push_in_turn(&mut state, item, deadline)?;
        state.allow(&self.settings);
        drop(state);
        wakers.wake();
        Ok(())
    }

    /// Takes an item in, unless somebody waits who was there before.
    pub(in crate::batch) fn push_in_turn(
        &self,
        state: &mut State<T>,
        item: T,
        deadline: Instant,
    ) -> Result<Wakers, SendRefused<T>> {
        match state.line.promised() {
            Some(promised) => self.push(state, item, deadline, promised),
            None if state.is_stopping => self.push(state, item, deadline, 0),
            None => Err(SendRefused { item, reason: state.full() }),
        }
    }

    /// Takes an item in, where there is more room than is promised to others.
    pub(in crate::batch) fn push(
        &self,
        state: &mut State<T>,
        item: T,
        deadline: Instant,
        promised: usize,
    ) -> Result<Wakers, SendRefused<T>> {
        if promised > 0 && state.accumulator.room() <= promised && !state.is_stopping {
            return Err(SendRefused { item, reason: state.full() });
        }
        let bytes = (self.settings.bytes_of)(&item);
        if self.settings.is_full(state.waiting_bytes, bytes) && !state.is_stopping {
            return Err(SendRefused { item, reason: state.full() });
        }
        let now = self.time_of_push(state);
        if let Err(refused) = state.accumulator.push_until(now, item, bytes, deadline) {
            let reason = RefusedReason::of(refused.reason, state.waiting_bytes);
            return Err(SendRefused { item: refused.item, reason });
        }
        state.waiting_bytes += bytes;
        Ok(state.after_push(deadline != Instant::NEVER))
    }

    /// Takes items in until there are no more, or a batch of them is there, or there is no room for
    /// the next.
    pub(in crate::batch) fn push_many(
        &self,
        state: &mut State<T>,
        items: &mut impl Iterator<Item = T>,
    ) -> (usize, Wakers, PushEnd<T>) {
        let promised = match state.line.promised() {
            _ if state.is_stopping => Some(0),
            promised => promised,
        };
        let room = promised.map_or(0, |promised| state.accumulator.room().saturating_sub(promised));
        let batch = state.accumulator.items_target() as usize;
        let mut measured = Measured {
            items: items.take(room.min(batch)),
            settings: &self.settings,
            taken: 0,
            bytes: state.waiting_bytes,
            left: None,
        };
        let now = self.time_of_push(state);
        let was_empty = state.accumulator.waiting() == 0;
        let result = state.accumulator.push_many(now, &mut measured);
        let (left, taken) = (measured.left.take(), measured.taken);
        let bytes = measured.bytes;
        let (pushed, refused) = match result {
            Ok(pushed) => (pushed, None),
            Err(refused) => (refused.pushed, Some(refused.refused)),
        };
        state.waiting_bytes = bytes;
        let mut wakers = Wakers::default();
        if pushed > 0 {
            wakers = state.after_push(was_empty);
        }
        let end = match (refused, left) {
            (Some(refused), _) => {
                state.waiting_bytes -= (self.settings.bytes_of)(&refused.item);
                let reason = RefusedReason::of(refused.reason, state.waiting_bytes);
                PushEnd::Refused(SendRefused { item: refused.item, reason })
            }
            (None, Some(item)) => PushEnd::Refused(SendRefused { item, reason: state.full() }),
            (None, None) if taken > 0 && items.size_hint().1 != Some(0) => PushEnd::More,
            (None, None) if taken > 0 => PushEnd::Empty,
            (None, None) if room > 0 => PushEnd::Empty,
            (None, None) => match items.next() {
                None => PushEnd::Empty,
                Some(item) => PushEnd::Refused(SendRefused { item, reason: state.refusal() }),
            },
        };
        (pushed, wakers, end)
    }

    /// Exact for who comes first, and not much too early for the others.
    #[inline]
    fn time_of_push(&self, state: &mut State<T>) -> Now {
        state.since_look += 1;
        if state.since_look >= LOOK_EVERY || state.accumulator.waiting() == 0 {
            state.since_look = 0;
            state.look(self.clock.now());
        }
        state.now
    }
}

impl<T: 'static> State<T> {
    /// Says what may be taken in by the short way from now on.
    fn allow(&mut self, settings: &BatchSettings<T>) {
        let Some(promised) = self.line.promised() else { return };
        let room = self.accumulator.room().saturating_sub(promised);
        let look_in = LOOK_EVERY.saturating_sub(self.since_look);
        let mut items = look_in.min(u32::try_from(room).unwrap_or(u32::MAX));
        // So that no single item is too large, either.
        let bytes = settings.waiting_bytes_max.saturating_sub(self.waiting_bytes);
        let mut bytes = bytes.min(settings.batch.item_bytes_max);
        if self.idle != 0 {
            let (slack, slack_bytes) = self.accumulator.slack();
            (items, bytes) = (items.min(slack), bytes.min(slack_bytes));
        }
        self.since_look += items;
        self.allowance = Allowance { items, bytes };
    }
}

/// Why taking in many came to an end.
pub(in crate::batch) enum PushEnd<T> {
    /// For the time being: there may be more items and more room.
    More,
    /// There are no more items.
    Empty,
    /// There is no room for this one, or it is too large, or nothing is taken in any more.
    Refused(SendRefused<T>),
}

/// Items with their bytes, until there are too many bytes.
struct Measured<'i, I: Iterator> {
    items: core::iter::Take<&'i mut I>,
    settings: &'i BatchSettings<I::Item>,
    taken: usize,
    /// Of all that wait.
    bytes: u64,
    /// The one that is too many.
    left: Option<I::Item>,
}

impl<I: Iterator> Iterator for Measured<'_, I> {
    type Item = (I::Item, u64);

    #[inline]
    fn next(&mut self) -> Option<(I::Item, u64)> {
        let item = self.items.next()?;
        let bytes = (self.settings.bytes_of)(&item);
        if self.settings.is_full(self.bytes, bytes) {
            self.left = Some(item);
            return None;
        }
        self.taken += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        Some((item, bytes))
    }
}

/// How often an item's time is looked up while others wait before it.
const LOOK_EVERY: u32 = 64;

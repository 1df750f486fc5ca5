//! Numbers per value of a label whose values nobody has counted beforehand.
//!
//! Decides which values have numbers of their own, what is counted under [`OTHER`] and when a value
//! is forgotten. Leaves to its owner what the numbers are, under which lock they are changed, and
//! how they are shown.

use core::fmt;

use super::Counter;
use crate::backing::Backing;
use crate::time::{Instant, US_PER_SECOND};

/// What values are called that there was no room for.
pub const OTHER: &str = "_other";

/// Values that a table holds by default: so many time series of one family are harmless.
pub const LABEL_VALUES_MAX: usize = 200;

/// How long a value is kept by default when nobody uses it: 10 minutes.
pub const LABEL_EXPIRY_US: u64 = 600 * US_PER_SECOND;

/// Numbers of type `T` for each of a bounded number of label values.
///
/// Labels such as topics and peers come from outside, and each value is a time series in whatever
/// stores them. So there are at most as many values as there are slots; what comes on top is
/// counted together under [`OTHER`], and so is a value that is longer than `BYTES`. A value that
/// nobody has used for the time of expiry is gone, with its numbers, and makes room. If it comes
/// back it begins anew, as a counter does after a restart; its numbers never become another
/// value's.
///
/// [`key`](Self::key) looks a value up, which takes a look at each slot;
/// [`get_mut`](Self::get_mut) with a key that was kept takes constant time, and refuses once the
/// key is out of date. The table reads no clock: instants are arguments.
///
/// ```
/// use turbopump_core::stats::{Counter, LabelSlot, LabelTable, OTHER};
/// use turbopump_core::time::Instant;
///
/// let mut slots: [LabelSlot<Counter>; 2] = core::array::from_fn(|_| LabelSlot::new());
/// let mut sent = LabelTable::new(&mut slots[..], 600_000_000);
/// let now = Instant::ZERO;
/// for topic in ["orders", "bills", "orders", "more", "and-more"] {
///     sent.of(now, topic).increment();
/// }
/// let mut seen = sent.iter(now).map(|(topic, sent)| (topic, sent.get()));
/// assert!(seen.eq([("orders", 2), ("bills", 1), (OTHER, 2)]));
/// assert_eq!(sent.dropped().get(), 2);
///
/// let later = Instant::from_us(600_000_000);
/// sent.of(later, "more").increment();
/// let mut seen = sent.iter(later).map(|(topic, sent)| (topic, sent.get()));
/// assert!(seen.eq([("more", 1), (OTHER, 2)]));
/// ```
pub struct LabelTable<'s, T, const BYTES: usize = 127> {
    slots: Backing<'s, LabelSlot<T, BYTES>>,
    expiry_us: u64,
    /// What there was no room for.
    other: T,
    other_is_used: bool,
    /// Counts values that were forgotten: what was turned away before may find room now.
    epoch: u32,
    dropped: Counter,
}

/// Room for one value of a [`LabelTable`] and its numbers.
#[derive(Clone, Debug)]
pub struct LabelSlot<T, const BYTES: usize = 127> {
    /// There are some where the slot is in use.
    numbers: Option<T>,
    used_at: Instant,
    /// Tells the values apart that were here one after the other.
    generation: u32,
    len: u16,
    text: [u8; BYTES],
}

impl<T, const BYTES: usize> LabelSlot<T, BYTES> {
    /// An empty slot. `BYTES` are at most 65,535.
    #[must_use]
    pub const fn new() -> Self {
        const { assert!(BYTES <= u16::MAX as usize, "values have at most 65,535 bytes") };
        Self { numbers: None, used_at: Instant::ZERO, generation: 0, len: 0, text: [0; BYTES] }
    }

    fn text(&self) -> &[u8] {
        self.text.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// True where nobody has used the value for so long. One that is never used again is expired
    /// whether it was swept out or not: what is shown does not depend on who looked when.
    fn has_expired(&self, now: Instant, expiry_us: u64) -> bool {
        now.us_since(self.used_at) >= expiry_us
    }

    fn forget(&mut self) {
        self.numbers = None;
        self.generation = self.generation.wrapping_add(1);
    }
}

impl<T, const BYTES: usize> Default for LabelSlot<T, BYTES> {
    fn default() -> Self {
        Self::new()
    }
}

/// Where the numbers of a value are: to be kept, so that it need not be looked up again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabelKey {
    /// Of the slot; [`OTHER_INDEX`] for what there was no room for.
    index: u32,
    /// Of the slot, or the table's epoch.
    generation: u32,
}

const OTHER_INDEX: u32 = u32::MAX;
/// The value is [`OTHER`] by name: that key is never out of date.
const NAMED_OTHER_INDEX: u32 = u32::MAX - 1;

impl LabelKey {
    /// True where the value is counted under [`OTHER`].
    #[must_use]
    pub const fn is_other(self) -> bool {
        self.index >= NAMED_OTHER_INDEX
    }

    /// As one number, for an atomic.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        (self.index as u64) << 32 | self.generation as u64
    }

    /// What [`to_bits`](Self::to_bits) has made.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self { index: (bits >> 32) as u32, generation: bits as u32 }
    }
}

impl<'s, T: Default, const BYTES: usize> LabelTable<'s, T, BYTES> {
    /// A table with as many values as there are slots, each of which is forgotten when nobody has
    /// used it for so many microseconds. Whatever the slots hold is forgotten at once.
    pub fn new(slots: impl Into<Backing<'s, LabelSlot<T, BYTES>>>, expiry_us: u64) -> Self {
        let mut slots = slots.into();
        slots.iter_mut().for_each(LabelSlot::forget);
        let (other, dropped) = (T::default(), Counter::new());
        Self { slots, expiry_us, other, other_is_used: false, epoch: 0, dropped }
    }

    /// Looks a value up, and gives it numbers of its own if it has none and there is room. It
    /// counts as used.
    ///
    /// A value that is turned away is counted as [`dropped`](Self::dropped), each time that it is
    /// looked up.
    pub fn key(&mut self, now: Instant, value: &str) -> LabelKey {
        if value == OTHER {
            self.other_is_used = true;
            return LabelKey { index: NAMED_OTHER_INDEX, generation: 0 };
        }
        self.expire(now);
        let known =
            |slot: &LabelSlot<T, BYTES>| slot.numbers.is_some() && slot.text() == value.as_bytes();
        let place = self.slots.iter().position(known).or_else(|| self.place_for(value));
        let slot = place.and_then(|index| Some((index, self.slots.get_mut(index)?)));
        let Some((index, slot)) = slot else {
            self.dropped.increment();
            self.other_is_used = true;
            return LabelKey { index: OTHER_INDEX, generation: self.epoch };
        };
        if slot.numbers.is_none() {
            slot.numbers = Some(T::default());
            slot.len = value.len() as u16;
            for (to, from) in slot.text.iter_mut().zip(value.bytes()) {
                *to = from;
            }
        }
        slot.used_at = now;
        LabelKey { index: index as u32, generation: slot.generation }
    }

    /// A free slot, if there is one for that value.
    fn place_for(&self, value: &str) -> Option<usize> {
        if value.len() > BYTES {
            return None;
        }
        self.slots.iter().take(NAMED_OTHER_INDEX as usize).position(|slot| slot.numbers.is_none())
    }

    /// The numbers of a value that was looked up; it counts as used. `None` where it has to be
    /// looked up again: it has expired, or was turned away and may find room now.
    #[inline]
    pub fn get_mut(&mut self, now: Instant, key: LabelKey) -> Option<&mut T> {
        if key.is_other() {
            let is_valid = key.index == NAMED_OTHER_INDEX || key.generation == self.epoch;
            return is_valid.then_some(&mut self.other);
        }
        let slot = self.slots.get_mut(key.index as usize)?;
        if slot.generation != key.generation || slot.has_expired(now, self.expiry_us) {
            return None;
        }
        slot.used_at = slot.used_at.max(now);
        slot.numbers.as_mut()
    }

    /// The numbers of a value, looked up.
    pub fn of(&mut self, now: Instant, value: &str) -> &mut T {
        let key = self.key(now, value);
        let own = self.slots.get_mut(key.index as usize).and_then(|slot| slot.numbers.as_mut());
        own.unwrap_or(&mut self.other)
    }

    /// Forgets what has expired, and says how many values that were. Looking a value up does so,
    /// too; somebody who shows the numbers does it for a table that nobody uses any more.
    pub fn expire(&mut self, now: Instant) -> usize {
        let expiry_us = self.expiry_us;
        let in_use = self.slots.iter_mut().filter(|slot| slot.numbers.is_some());
        let mut expired = 0;
        for slot in in_use.filter(|slot| slot.has_expired(now, expiry_us)) {
            slot.forget();
            expired += 1;
        }
        if expired > 0 {
            self.epoch = self.epoch.wrapping_add(1);
        }
        expired
    }
}

impl<T, const BYTES: usize> LabelTable<'_, T, BYTES> {
    /// All values with their numbers, as of `now`: those that have expired are left out, [`OTHER`]
    /// comes last, and only where something was counted under it.
    pub fn iter(&self, now: Instant) -> impl Iterator<Item = (&str, &T)> {
        let own = self.slots.iter().filter_map(move |slot| {
            let numbers = slot.numbers.as_ref()?;
            if slot.has_expired(now, self.expiry_us) {
                return None;
            }
            // It was a `&str` when it came.
            Some((core::str::from_utf8(slot.text()).ok()?, numbers))
        });
        own.chain(self.other_is_used.then_some((OTHER, &self.other)))
    }

    /// What was counted under [`OTHER`].
    #[must_use]
    pub fn other(&self) -> &T {
        &self.other
    }

    /// How many values there is room for.
    #[must_use]
    pub fn values_max(&self) -> usize {
        self.slots.len()
    }

    /// How often a value was looked up that there was no room for.
    #[must_use]
    pub fn dropped(&self) -> Counter {
        self.dropped
    }
}

impl<T, const BYTES: usize> fmt::Debug for LabelTable<'_, T, BYTES> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let used = self.slots.iter().filter(|slot| slot.numbers.is_some()).count();
        f.debug_struct("LabelTable")
            .field("used", &used)
            .field("values_max", &self.slots.len())
            .field("dropped", &self.dropped)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

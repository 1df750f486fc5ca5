//! Which queue is next: in turns, those of brokers that are well first.

use super::health::HealthState;
use crate::rocketmq::wire::identity::java_hash;

/// How much a queue is wanted; the greatest is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
// Every caller has to say what it means by each.
#[allow(clippy::exhaustive_enums)]
pub enum Preference {
    /// Not at all.
    Never,
    /// Where there is nothing better: its broker is avoided.
    Last,
    /// Its broker has failed for this message before.
    Again,
    /// Its broker is well.
    Good,
    /// Its broker is to be tried with one request.
    Probe,
}

impl Preference {
    /// What a broker's health means; `has_failed` where it has failed for this message already.
    #[must_use]
    pub const fn of(health: HealthState, has_failed: bool) -> Self {
        match (health, has_failed) {
            (HealthState::Avoided { .. }, _) => Self::Last,
            (_, true) => Self::Again,
            (HealthState::HalfOpen, false) => Self::Probe,
            (HealthState::Well, false) => Self::Good,
        }
    }
}

/// Takes queues in turns.
///
/// ```
/// use turbopump_core::rocketmq::client::{Preference, RoundRobin};
///
/// let mut turns = RoundRobin::starting_at(7);
/// let picked = [(); 4].map(|()| turns.pick(3, |_| Preference::Good).unwrap());
/// assert_eq!(picked, [1, 2, 0, 1]);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoundRobin {
    next: usize,
}

impl RoundRobin {
    /// Begins somewhere: at random, so that many clients don't begin at the same queue.
    #[must_use]
    pub const fn starting_at(start: usize) -> Self {
        Self { next: start }
    }

    /// The next of `len` queues, numbered from 0: the first in turn of those that are wanted most.
    /// `None` where none is wanted.
    pub fn pick(&mut self, len: usize, wanted: impl Fn(usize) -> Preference) -> Option<usize> {
        let start = self.next.checked_rem(len)?;
        let mut best: Option<(Preference, usize)> = None;
        for index in (start..len).chain(0..start) {
            let preference = wanted(index);
            if preference > best.map_or(Preference::Never, |(best, _)| best) {
                best = Some((preference, index));
            }
            if preference == Preference::Probe {
                break;
            }
        }
        let (_, index) = best?;
        self.next = index.wrapping_add(1);
        Some(index)
    }
}

/// The place of a key's queue among `len`, as the Java client has it: the hash's remainder first,
/// then its absolute value. `None` where there are none.
///
/// ```
/// use turbopump_core::rocketmq::client::place_of_key;
///
/// assert_eq!(place_of_key("customer 7", 4), place_of_key("customer 7", 4));
/// assert_eq!(place_of_key("customer 7", 0), None);
/// ```
#[must_use]
pub fn place_of_key(key: &str, len: usize) -> Option<usize> {
    place_of_hash(java_hash(key), len)
}

/// The same for a key of which only Java's hash is known.
pub(crate) fn place_of_hash(hash: i32, len: usize) -> Option<usize> {
    let remainder = hash.checked_rem(i32::try_from(len).ok()?)?;
    usize::try_from(remainder.unsigned_abs()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Instant;

    #[test]
    fn everybody_has_his_turn_and_the_wanted_come_first() {
        let mut turns = RoundRobin::default();
        assert_eq!(turns.pick(0, |_| Preference::Good), None);
        let all = [(); 6].map(|()| turns.pick(3, |_| Preference::Good).unwrap());
        assert_eq!(all, [1, 2, 0, 1, 2, 0].map(|index| (index + 2) % 3));
        // Only two of them are good.
        let some = |index| if index == 1 { Preference::Last } else { Preference::Good };
        let picked = [(); 4].map(|()| turns.pick(3, some).unwrap());
        assert_eq!(picked, [0, 2, 0, 2]);
        assert_eq!(turns.pick(3, |_| Preference::Never), None);
        assert_eq!(turns.pick(3, |_| Preference::Last), Some(0));
        let probe = |index| if index == 0 { Preference::Probe } else { Preference::Good };
        assert_eq!(turns.pick(3, probe), Some(0), "it is tried before the others");
    }

    #[test]
    fn who_has_failed_comes_before_those_that_are_avoided_only() {
        let avoided = HealthState::Avoided { until: Instant::from_ms(1) };
        assert!(Preference::of(avoided, false) < Preference::of(HealthState::Well, true));
        assert!(Preference::of(HealthState::Well, true) < Preference::of(HealthState::Well, false));
        assert_eq!(Preference::of(avoided, true), Preference::Last);
        assert_eq!(Preference::of(HealthState::HalfOpen, false), Preference::Probe);
    }
}

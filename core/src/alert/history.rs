//! The past of one term: a ring of points over a part of the caller's storage.

use crate::time::Instant;

/// Points that a ring needs beyond the parts of a window: one at its start or before, and the one
/// that is being added.
pub(super) const POINTS_EXTRA: usize = 2;

/// Room for one point of one window's history: 16 bytes of the caller's storage.
#[derive(Clone, Copy, Debug, Default)]
pub struct Point {
    at: Instant,
    /// All increases until then; wraps around.
    total: u64,
}

/// Where a term's ring begins in the storage, and how much of it is in use.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct History {
    pub(super) offset: usize,
    head: usize,
    length: usize,
}

/// The start of a window: what had been counted then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Base {
    /// All increases until then.
    pub(super) total: u64,
    /// The slot of the ring, for those who keep more than a total there.
    pub(super) slot: usize,
    /// How long ago it was, above 0.
    pub(super) covered_us: u64,
    /// Whether the whole window is covered.
    pub(super) whole: bool,
}

impl History {
    /// The point from which to count so that the window is covered and little more.
    ///
    /// That is the last one at or before the window's start, unless it is more than two windows
    /// back; else the first one inside, which covers only a part.
    pub(super) fn base(&self, ring: &[Point], now: Instant, window_us: u64) -> Option<Base> {
        let (mut before, mut inside) = (None, None);
        for step in 0..self.length {
            let slot = (self.head + step) % ring.len().max(1);
            let point = ring.get(slot)?;
            let covered_us = now.us_since(point.at);
            let whole = covered_us >= window_us;
            let base = Base { total: point.total, slot, covered_us, whole };
            if whole {
                before = Some(base);
            } else {
                inside = Some(base).filter(|base| base.covered_us > 0);
                break;
            }
        }
        before.filter(|base| base.covered_us <= window_us.saturating_mul(2)).or(inside)
    }

    /// Forgets all points.
    pub(super) fn clear(&mut self) {
        (self.head, self.length) = (0, 0);
    }

    /// Adds a point if the last one is a part of the window old; returns its slot.
    pub(super) fn push(
        &mut self,
        ring: &mut [Point],
        now: Instant,
        window_us: u64,
        total: u64,
    ) -> Option<usize> {
        let parts = ring.len().saturating_sub(POINTS_EXTRA).max(1) as u64;
        let last = self.length.checked_sub(1).map(|last| (self.head + last) % ring.len().max(1));
        if let Some(point) = last.and_then(|last| ring.get(last))
            && now.us_since(point.at) < window_us.div_ceil(parts)
        {
            return None;
        }
        if self.length == ring.len() {
            self.head = (self.head + 1) % ring.len().max(1);
            self.length = self.length.saturating_sub(1);
        }
        let slot = (self.head + self.length) % ring.len().max(1);
        *ring.get_mut(slot)? = Point { at: now, total };
        self.length += 1;
        Some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::{History, Point};
    use crate::time::Instant;

    const WINDOW_US: u64 = 100;

    /// The time covered at `now_us`, and whether it is the whole window.
    fn covered(history: &History, ring: &[Point], now_us: u64) -> Option<(u64, bool)> {
        let base = history.base(ring, Instant::from_us(now_us), WINDOW_US)?;
        Some((base.covered_us, base.whole))
    }

    #[test]
    fn a_full_ring_always_reaches_back_a_window_and_at_most_a_part_more() {
        let mut ring = [Point::default(); 4 + 2];
        let mut history = History::default();
        for now_us in (0..2_000).step_by(5) {
            let covered = covered(&history, &ring, now_us);
            match now_us {
                0 => assert_eq!(covered, None),
                1..100 => assert_eq!(covered, Some((now_us, false))),
                _ => {
                    let (covered_us, whole) = covered.unwrap();
                    assert!(whole && (100..125 + 5).contains(&covered_us), "{covered_us}");
                }
            }
            history.push(&mut ring, Instant::from_us(now_us), WINDOW_US, now_us);
        }
    }

    #[test]
    fn rare_evaluations_cover_up_to_two_windows_and_then_nothing() {
        let mut ring = [Point::default(); 6];
        let mut history = History::default();
        for now_us in [0, 150, 350] {
            history.push(&mut ring, Instant::from_us(now_us), WINDOW_US, 0);
        }
        assert_eq!(covered(&history, &ring, 550), Some((200, true)));
        assert_eq!(covered(&history, &ring, 551), None);
        history.push(&mut ring, Instant::from_us(551), WINDOW_US, 0);
        assert_eq!(covered(&history, &ring, 551), None);
        assert_eq!(covered(&history, &ring, 601), Some((50, false)));
        assert_eq!(covered(&history, &ring, 651), Some((100, true)));
    }

    #[test]
    fn no_storage_is_no_history() {
        let mut history = History::default();
        assert_eq!(history.push(&mut [], Instant::ZERO, WINDOW_US, 0), None);
        assert_eq!(covered(&history, &[], 1_000), None);
    }
}

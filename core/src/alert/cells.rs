//! Histograms of several series put together, now and over a window, in the caller's storage.
//!
//! Each quantile term has rows of cells, one cell per bucket: the cells' bounds, the sums of this
//! evaluation, and for a window those of the evaluation before, all increases so far, and one row
//! per point of the history.

use crate::stats::{Distribution, quantile_of};

/// Rows before those of the history.
const ROWS: usize = 4;
const BOUNDS: usize = 0;
const NOW: usize = 1;
const BEFORE: usize = 2;
const TOTAL: usize = 3;

/// How many rows a term needs: without a window two, with one more by its `points`.
pub(super) const fn rows(windowed: bool, points: usize) -> usize {
    if windowed { ROWS + points } else { NOW + 1 }
}

/// What is known of one quantile term beside its rows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CellsState {
    /// Where the rows begin in the storage.
    pub(super) offset: usize,
    /// How many cells the first histogram that was seen filled; its bounds stay.
    used: usize,
    min: Option<u64>,
    max: Option<u64>,
    /// Series seen by this evaluation that the one before saw, too, and that did not fall.
    continuing: u64,
    /// Series of the evaluation before.
    expected: u64,
    /// Whether a series came back or found no room, so that what it holds may be old or new.
    broken: bool,
}

/// The rows of one term, `width` cells each.
pub(super) struct Cells<'c> {
    pub(super) state: &'c mut CellsState,
    pub(super) storage: &'c mut [u64],
    pub(super) width: usize,
}

impl Cells<'_> {
    fn row(&mut self, row: usize) -> &mut [u64] {
        let start = (row * self.width).min(self.storage.len());
        let end = (start + self.state.used).min(self.storage.len());
        &mut self.storage[start..end]
    }

    fn cell(&self, row: usize, index: usize) -> u64 {
        self.storage.get(row * self.width + index).copied().unwrap_or(0)
    }

    /// A new evaluation begins.
    pub(super) fn begin(&mut self) {
        self.row(NOW).fill(0);
        self.state.continuing = 0;
        (self.state.min, self.state.max) = (None, None);
    }

    /// Adds the histogram of one series.
    pub(super) fn add(&mut self, distribution: &dyn Distribution) {
        if self.state.used == 0 {
            self.lay_out(distribution);
        }
        let (mut cell, last) = (0, self.state.used.saturating_sub(1));
        for index in 0..distribution.buckets() {
            let bucket = distribution.bucket(index);
            let upper = bucket.upper.unwrap_or(u64::MAX);
            while cell < last && self.cell(BOUNDS, cell) < upper {
                cell += 1;
            }
            if let Some(count) = self.row(NOW).get_mut(cell) {
                *count = count.wrapping_add(bucket.count);
            }
        }
        let (min, max) = (distribution.min(), distribution.max());
        self.state.min = self.state.min.into_iter().chain(min).min();
        self.state.max = self.state.max.into_iter().chain(max).max();
    }

    /// Takes over the bounds of the first histogram, several buckets per cell where it has more
    /// buckets than there are cells.
    fn lay_out(&mut self, distribution: &dyn Distribution) {
        let buckets = distribution.buckets();
        let group = buckets.div_ceil(self.width.max(1)).max(1);
        self.state.used = buckets.div_ceil(group);
        for (cell, bound) in self.row(BOUNDS).iter_mut().enumerate() {
            let last = ((cell + 1) * group).min(buckets) - 1;
            *bound = distribution.bucket(last).upper.unwrap_or(u64::MAX);
        }
    }

    /// Notes how a series relates to the evaluation before. One that fell is as good as new.
    pub(super) fn note(&mut self, continuing: bool, new: bool) {
        self.state.continuing += u64::from(continuing);
        self.state.broken |= !continuing && !new;
    }

    /// All series of an evaluation are in: adds to the totals what is new.
    ///
    /// Cells hold sums, so what one series lost can't be told from what others gained. If any
    /// series fell, came back or is gone, the step is left out; unless all are new, which count
    /// from 0.
    pub(super) fn finish(&mut self, matched: u64) {
        let whole = !self.state.broken && self.state.continuing == self.state.expected;
        let restarted = self.state.continuing == 0 && !self.state.broken;
        for index in 0..self.state.used {
            let (now, before) = (self.cell(NOW, index), self.cell(BEFORE, index));
            let step = match (whole, restarted) {
                (true, _) => now.saturating_sub(before),
                (false, true) => now,
                (false, false) => 0,
            };
            if let Some(total) = self.row(TOTAL).get_mut(index) {
                *total = total.wrapping_add(step);
            }
            if let Some(before) = self.row(BEFORE).get_mut(index) {
                *before = now;
            }
        }
        self.state.expected = matched;
        self.state.broken = false;
    }

    /// Keeps the totals as the row of a point of the history.
    pub(super) fn keep(&mut self, slot: usize) {
        for index in 0..self.state.used {
            let total = self.cell(TOTAL, index);
            if let Some(kept) = self.row(ROWS + slot).get_mut(index) {
                *kept = total;
            }
        }
    }

    /// The quantile of all values.
    pub(super) fn quantile(&self, q: f64) -> Option<f64> {
        self.quantile_by(q, |index| self.cell(NOW, index))
    }

    /// The quantile of the values since the point of the history in `slot`.
    pub(super) fn quantile_since(&self, q: f64, slot: usize) -> Option<f64> {
        self.quantile_by(q, |index| {
            self.cell(TOTAL, index).wrapping_sub(self.cell(ROWS + slot, index))
        })
    }

    fn quantile_by(&self, q: f64, count: impl Fn(usize) -> u64) -> Option<f64> {
        let cells = (0..self.state.used).map(|index| {
            let bound = self.cell(BOUNDS, index);
            ((bound != u64::MAX).then_some(bound), count(index))
        });
        let total =
            (0..self.state.used).fold(0, |total: u64, cell| total.wrapping_add(count(cell)));
        quantile_of(cells, total, q, self.state.min, self.state.max)
    }
}

//! What the engine keeps of each term of a rule.

use super::cells::{Cells, CellsState};
use super::expression::{Part, Reading, Term};
use super::history::{Base, History, Point};
use super::series::Sighting;
use crate::stats::{Descriptor, Distribution, Unit};
use crate::time::Instant;

/// What is known of one term.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TermState {
    /// Whether samples of the family being visited are of use.
    pub(super) selected: bool,
    /// The unit of what is read, from which integers are scaled.
    unit: Unit,
    /// Series that matched in this evaluation.
    pub(super) matched: u64,
    /// Series that matched and found no room.
    pub(super) untracked: u64,
    /// The sum of the values of this evaluation.
    value: f64,
    /// All increases so far, in the counted unit; wraps around.
    total: u64,
    /// Since when some series has matched without interruption.
    present_since: Option<Instant>,
    pub(super) history: History,
    pub(super) cells: CellsState,
}

/// The parts of the engine's storage that belong to one term.
pub(super) struct Parts<'p> {
    pub(super) ring: &'p mut [Point],
    pub(super) cells: &'p mut [u64],
    pub(super) width: usize,
}

/// A term's number, and how much of its window it stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Computed {
    amount: f64,
    /// What a rate is divided by; 1 for all others.
    seconds: f64,
    /// Whether the whole window is covered, with the series there all the time.
    pub(super) whole: bool,
    /// Whether at least half the window is covered.
    pub(super) half: bool,
    /// Whether the whole window is covered, the series there or not.
    pub(super) covered: bool,
}

impl Computed {
    pub(super) fn value(self) -> f64 {
        self.amount / self.seconds
    }

    /// This number divided by another. Rates over the same time are divided as amounts, so that an
    /// average is rounded once.
    pub(super) fn ratio_to(self, divisor: Self) -> f64 {
        if self.seconds == divisor.seconds {
            self.amount / divisor.amount
        } else {
            self.value() / divisor.value()
        }
    }
}

impl TermState {
    /// A new evaluation begins.
    pub(super) fn begin<T>(&mut self, term: &Term<T>, parts: Parts<'_>) {
        self.selected = false;
        self.matched = 0;
        self.untracked = 0;
        self.value = 0.0;
        if matches!(term.reading, Reading::Quantile(_)) {
            self.cells_over(parts).begin();
        }
    }

    /// The samples of `family` follow; returns whether they are of use.
    pub(super) fn select<T: AsRef<str>>(&mut self, term: &Term<T>, family: &Descriptor) -> bool {
        self.selected = term.reads(family);
        if self.selected {
            // A count of seconds is a bare number.
            let count = term.selector.part == Part::Count;
            self.unit = if count { Unit::NONE } else { family.unit() };
        }
        self.selected
    }

    /// Adds a value in the unit that is counted.
    pub(super) fn add_counted(&mut self, value: f64) {
        self.add_value(self.unit.scale(value));
    }

    /// Adds a value as it is.
    pub(super) fn add_value(&mut self, value: f64) {
        self.matched += 1;
        self.value += value;
    }

    /// Adds what a series grew by. One that is new has grown from 0; in the first evaluation that
    /// is not true, but no window begins before that.
    pub(super) fn add_increase(&mut self, value: u64, sighting: Sighting) {
        self.matched += 1;
        let increase = match sighting {
            Sighting::New => value,
            Sighting::Continuing { last } | Sighting::Returning { last } => {
                if value < last {
                    value
                } else {
                    value - last
                }
            }
            Sighting::NoRoom => {
                self.untracked += 1;
                0
            }
        };
        self.total = self.total.wrapping_add(increase);
    }

    /// Adds a histogram; `sighting` is that of its count where there is a window.
    pub(super) fn add_histogram(
        &mut self,
        distribution: &dyn Distribution,
        sighting: Option<Sighting>,
        parts: Parts<'_>,
    ) {
        self.matched += 1;
        self.untracked += u64::from(sighting == Some(Sighting::NoRoom));
        let count = distribution.count();
        let mut cells = self.cells_over(parts);
        cells.add(distribution);
        if let Some(sighting) = sighting {
            let continuing = matches!(sighting, Sighting::Continuing { last } if last <= count);
            cells.note(continuing, matches!(sighting, Sighting::New | Sighting::Continuing { .. }));
        }
    }

    /// All series are in: brings totals up to date. The number is computed before the history
    /// grows, so that a window never begins and ends at the same evaluation.
    pub(super) fn finish<T>(
        &mut self,
        term: &Term<T>,
        now: Instant,
        mut parts: Parts<'_>,
    ) -> Option<Computed> {
        self.present_since = match self.matched {
            0 => None,
            _ => self.present_since.or(Some(now)),
        };
        if !term.is_windowed() {
            return self.computed(term, None, now, parts);
        }
        let quantile = matches!(term.reading, Reading::Quantile(_));
        if quantile {
            let matched = self.matched;
            self.cells_over(parts.again()).finish(matched);
        }
        if self.untracked > 0 {
            // Once there is room for them, those series will look new with all they hold: no window
            // may begin before that.
            self.history.clear();
            return None;
        }
        let base = self.history.base(parts.ring, now, term.window_us);
        let computed = self.computed(term, base, now, parts.again());
        let slot = self.history.push(parts.ring, now, term.window_us, self.total);
        if let (true, Some(slot)) = (quantile, slot) {
            self.cells_over(parts).keep(slot);
        }
        computed
    }

    fn computed<T>(
        &mut self,
        term: &Term<T>,
        base: Option<Base>,
        now: Instant,
        parts: Parts<'_>,
    ) -> Option<Computed> {
        let known =
            |amount: f64| Computed { amount, seconds: 1.0, whole: true, half: true, covered: true };
        if term.reading == Reading::Absence {
            return Some(known(if self.matched == 0 { 1.0 } else { 0.0 }));
        }
        if self.matched == 0 {
            return None;
        }
        let unit = self.unit;
        let Some(base) = base.filter(|_| term.is_windowed()) else {
            return match term.reading {
                Reading::Value => Some(known(self.value)),
                Reading::Quantile(q) if !term.is_windowed() => {
                    Some(known(unit.scale(self.cells_over(parts).quantile(q)?)))
                }
                _ => None,
            };
        };
        let amount = match term.reading {
            Reading::Quantile(q) => self.cells_over(parts).quantile_since(q, base.slot)?,
            _ => self.total.wrapping_sub(base.total) as f64,
        };
        let rate = term.reading == Reading::Rate;
        let present_us = self.present_since.map_or(0, |since| now.us_since(since));
        Some(Computed {
            amount: unit.scale(amount),
            seconds: if rate { Unit::MICROSECONDS.scale(base.covered_us as f64) } else { 1.0 },
            whole: base.whole && present_us >= term.window_us,
            half: base.covered_us >= term.window_us / 2,
            covered: base.whole,
        })
    }

    fn cells_over<'c>(&'c mut self, parts: Parts<'c>) -> Cells<'c> {
        Cells { state: &mut self.cells, storage: parts.cells, width: parts.width }
    }
}

impl Parts<'_> {
    /// The same parts, borrowed for a shorter time.
    fn again(&mut self) -> Parts<'_> {
        Parts { ring: &mut *self.ring, cells: &mut *self.cells, width: self.width }
    }
}

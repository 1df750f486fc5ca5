//! The rules as a visitor: every sample goes to the terms that select it.

use super::expression::{Part, Reading, Term};
use super::series::{SeriesSlot, SeriesTable, Sighting, series_key};
use super::storage::{Limits, Slot, parts_of};
use super::term::TermState;
use crate::stats::{Descriptor, Distribution, Series, VisitError, Visitor};

/// One evaluation's visit.
pub(super) struct Collector<'c, T> {
    pub(super) rules: &'c mut [Slot<T>],
    pub(super) cells: &'c mut [u64],
    pub(super) series: &'c mut [SeriesSlot],
    pub(super) limits: Limits,
    pub(super) evaluation: u64,
}

/// A term that selects the sample at hand.
struct Selected<'c, T> {
    term: &'c Term<T>,
    state: &'c mut TermState,
    cells: &'c mut [u64],
    limits: Limits,
    /// The table, and the key of the series in it.
    table: SeriesTable<'c>,
    key: u64,
    evaluation: u64,
}

impl<T: AsRef<str>> Collector<'_, T> {
    /// Calls `add` for every term that selects `series`.
    fn each(&mut self, series: &Series<'_>, mut add: impl FnMut(Selected<'_, T>)) {
        for (rule, slot) in self.rules.iter_mut().enumerate() {
            let terms = slot.rule.expression().terms().zip(&mut slot.terms);
            for (position, (term, state)) in terms.enumerate() {
                if !state.selected || !term.selector.matches(&series.labels) {
                    continue;
                }
                let windowed = term.is_windowed();
                let key =
                    if windowed { series_key(rule * 2 + position, &series.labels) } else { 0 };
                add(Selected {
                    term,
                    state,
                    cells: &mut *self.cells,
                    limits: self.limits,
                    table: SeriesTable(&mut *self.series),
                    key,
                    evaluation: self.evaluation,
                });
            }
        }
    }
}

impl<T: AsRef<str>> Selected<'_, T> {
    /// Adds a number that may only grow, as counters and the sums and counts of histograms do.
    fn add_growing(mut self, value: u64) {
        if self.term.is_windowed() {
            let sighting = self.table.see(self.key, value, self.evaluation);
            self.state.add_increase(value, sighting);
        } else {
            self.state.add_counted(value as f64);
        }
    }

    fn add_whole(mut self, value: &dyn Distribution) {
        let sighting: Option<Sighting> = self
            .term
            .is_windowed()
            .then(|| self.table.see(self.key, value.count(), self.evaluation));
        let parts = parts_of(self.state, self.term, &mut [], self.cells, self.limits);
        self.state.add_histogram(value, sighting, parts);
    }
}

impl<T: AsRef<str>> Visitor for Collector<'_, T> {
    /// Only families that some term reads are visited at all.
    fn wants(&mut self, family: &'static Descriptor) -> bool {
        let mut wanted = false;
        for slot in self.rules.iter_mut() {
            for (term, state) in slot.rule.expression().terms().zip(&mut slot.terms) {
                wanted |= state.select(term, family);
            }
        }
        wanted
    }

    fn counter(&mut self, series: &Series<'_>, value: u64) -> Result<(), VisitError> {
        self.each(series, |selected| selected.add_growing(value));
        Ok(())
    }

    fn gauge(&mut self, series: &Series<'_>, value: i64) -> Result<(), VisitError> {
        self.each(series, |selected| selected.state.add_counted(value as f64));
        Ok(())
    }

    fn float_gauge(&mut self, series: &Series<'_>, value: f64) -> Result<(), VisitError> {
        self.each(series, |selected| selected.state.add_value(value));
        Ok(())
    }

    fn histogram(
        &mut self,
        series: &Series<'_>,
        value: &dyn Distribution,
    ) -> Result<(), VisitError> {
        self.each(series, |selected| match (selected.term.reading, selected.term.selector.part) {
            (Reading::Quantile(_), _) => selected.add_whole(value),
            (Reading::Absence, _) => selected.state.add_value(0.0),
            (_, Part::Sum) => selected.add_growing(value.sum()),
            (_, Part::Whole | Part::Count) => selected.add_growing(value.count()),
        });
        Ok(())
    }
}

//! All rules over one set of sources: their storage, their evaluation, what comes out.

use core::fmt;

use super::collect::Collector;
use super::expression::{Expression, Reading};
use super::rule::Rule;
use super::series::SeriesSlot;
use super::state::{State, Transition};
use super::storage::{EngineError, Limits, Slot, Storage, parts_of, term_needs};
use super::term::Computed;
#[cfg(feature = "alloc")]
use super::{history::Point, storage::Needs};
#[cfg(feature = "alloc")]
use crate::backing::Backing;
use crate::stats::{Source, VisitError, visit_all};
use crate::time::{Instant, Now};

/// The rules and their states: numbers in, transitions out.
///
/// Input is [`Engine::evaluate`], called at regular intervals with the present and all sources; its
/// output, the transitions of that evaluation, is drained from what it returns. Nothing else
/// changes the engine. Evaluate at least once per part of the shortest window for full resolution,
/// and at least once per window to have values at all.
///
/// ```
/// use turbopump_core::alert::{Engine, Needs, Limits, Point, SeriesSlot, Slot, State, Storage};
/// use turbopump_core::alert::{Operator, Rule, Selector, Term};
/// use turbopump_core::descriptor;
/// use turbopump_core::stats::{Descriptor, Kind, Samples, Source, Unit, VisitError};
/// use turbopump_core::time::{Instant, Now};
///
/// static USED: Descriptor =
///     descriptor!(Kind::Gauge, "app_memory_bytes", "Memory in use.", Unit::BYTES);
/// static FAMILIES: [&Descriptor; 1] = [&USED];
///
/// struct Stats { used: u64 }
///
/// impl Source for Stats {
///     fn families(&self) -> &'static [&'static Descriptor] { &FAMILIES }
///     fn visit(&self, samples: &mut Samples<'_>) -> Result<(), VisitError> {
///         samples.gauge(&USED, &[], self.used)
///     }
/// }
///
/// let used = Term::value(Selector::new("app_memory_bytes"));
/// let rule = Rule::when("memory", used, Operator::Above, 800.0).for_us(60_000_000).build()?;
/// let mut rules = [Slot::new(rule)];
/// let (mut points, mut cells, mut series) = ([], [], []); // No windows, no quantiles.
/// let mut engine = Engine::new(
///     Storage {
///         rules: (&mut rules[..]).into(),
///         points: (&mut points[..]).into(),
///         cells: (&mut cells[..]).into(),
///         series: (&mut series[..]).into(),
///     },
///     Limits::default(),
/// )?;
///
/// let at = |seconds: u64| Now::new(Instant::from_ms(seconds * 1_000), 0);
/// let sources = [Stats { used: 900 }];
/// let changes: Vec<_> = engine.evaluate(at(0), &sources, &[])?.collect();
/// assert!(matches!(changes[0].to, State::Pending { .. }));
/// assert_eq!(engine.evaluate(at(30), &sources, &[])?.count(), 0);
/// let changes: Vec<_> = engine.evaluate(at(60), &sources, &[])?.collect();
/// assert!(matches!(changes[0].to, State::Firing { since, .. } if since == at(0)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Engine<'s, T = &'static str> {
    storage: Storage<'s, T>,
    limits: Limits,
    /// Evaluations begun, the present one included.
    evaluation: u64,
    now: Now,
}

impl<'s, T: AsRef<str>> Engine<'s, T> {
    /// An engine over `storage`, all its rules inactive.
    ///
    /// # Errors
    ///
    /// [`EngineError`] where a limit is too small, two rules have one name, or a part of the
    /// storage is smaller than [`Needs::of`](super::Needs::of) the rules.
    pub fn new(mut storage: Storage<'s, T>, limits: Limits) -> Result<Self, EngineError> {
        storage.check(limits)?;
        let (mut points, mut cells) = (0, 0);
        for slot in storage.rules.iter_mut() {
            for (term, state) in slot.rule.expression().terms().zip(&mut slot.terms) {
                let needs = term_needs(term, limits);
                (state.history.offset, state.cells.offset) = (points, cells);
                (points, cells) = (points + needs.0, cells + needs.1);
            }
        }
        // What earlier users left would be read as a past that never was.
        storage.series.fill(SeriesSlot::default());
        storage.cells.fill(0);
        Ok(Self { storage, limits, evaluation: 0, now: Now::default() })
    }

    /// Evaluates all rules over `sources`, to whose samples `labels` are added, and returns what
    /// changed: at most one transition per rule.
    ///
    /// `now` may come late and at irregular intervals. One that lies before the last is taken for
    /// the last: time doesn't go back.
    ///
    /// # Errors
    ///
    /// [`VisitError`] of a source. No state has changed then; what was counted is not lost.
    pub fn evaluate<S: Source>(
        &mut self,
        now: Now,
        sources: &[S],
        labels: &[(&str, &str)],
    ) -> Result<Transitions<'_, T>, VisitError> {
        let at = now.at.max(self.now.at);
        let now = Now { at, ..now };
        self.now = now;
        self.evaluation += 1;
        self.begin();
        let mut collector = Collector {
            rules: &mut self.storage.rules,
            cells: &mut self.storage.cells,
            series: &mut self.storage.series,
            limits: self.limits,
            evaluation: self.evaluation,
        };
        visit_all(sources, labels, &mut collector)?;
        self.finish(now);
        Ok(Transitions { slots: self.storage.rules.iter(), now })
    }

    fn begin(&mut self) {
        let Storage { rules, points, cells, .. } = &mut self.storage;
        for slot in rules.iter_mut() {
            for (term, state) in slot.rule.expression().terms().zip(&mut slot.terms) {
                state.begin(term, parts_of(state, term, points, cells, self.limits));
            }
        }
    }

    fn finish(&mut self, now: Now) {
        let Storage { rules, points, cells, .. } = &mut self.storage;
        for slot in rules.iter_mut() {
            let mut computed = [None; 2];
            let terms = slot.rule.expression().terms().zip(&mut slot.terms);
            for ((term, state), computed) in terms.zip(&mut computed) {
                let parts = parts_of(state, term, points, cells, self.limits);
                *computed = state.finish(term, now.at, parts);
            }
            slot.value = value_of(&slot.rule, computed);
            let (operator, threshold) = (slot.rule.operator(), slot.rule.threshold());
            let holds = slot.value.is_some_and(|value| operator.holds(value, threshold));
            slot.changed_from = slot.machine.step(now, holds, &slot.rule);
        }
    }

    /// When a state will change if the conditions stay as they are: the end of a `for` duration.
    ///
    /// Always after the last evaluation. Evaluating then, beside the regular evaluations, makes
    /// rules fire on time; without it they fire at the next regular one.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let deadlines = self.storage.rules.iter();
        deadlines.filter_map(|slot| slot.machine.deadline(self.now, &slot.rule)).min()
    }

    /// All rules with their states and values as of the last evaluation.
    pub fn statuses(&self) -> impl Iterator<Item = Status<'_, T>> {
        self.storage.rules.iter().map(|slot| Status {
            rule: &slot.rule,
            state: slot.machine.state,
            value: slot.value,
        })
    }

    /// Series that found no room in the last evaluation, over all terms. Above 0, the terms
    /// concerned have no value: give the engine more [`Storage::series`].
    #[must_use]
    pub fn untracked_series(&self) -> u64 {
        self.storage.rules.iter().flat_map(|slot| &slot.terms).map(|term| term.untracked).sum()
    }
}

#[cfg(feature = "alloc")]
impl<T: AsRef<str>> Engine<'static, T> {
    /// An engine over `rules` with storage of its own: what the rules need, and room for
    /// `series_max` series.
    ///
    /// # Errors
    ///
    /// [`EngineError`] where a limit is too small or two rules have one name.
    pub fn with_rules(
        rules: impl IntoIterator<Item = Rule<T>>,
        series_max: usize,
        limits: Limits,
    ) -> Result<Self, EngineError> {
        let rules: Backing<'static, Slot<T>> = rules.into_iter().map(Slot::new).collect();
        let needs = Needs::of(rules.iter().map(|slot| &slot.rule), limits);
        let storage = Storage {
            points: core::iter::repeat_n(Point::default(), needs.points).collect(),
            cells: core::iter::repeat_n(0, needs.cells).collect(),
            series: core::iter::repeat_n(SeriesSlot::default(), series_max).collect(),
            rules,
        };
        Self::new(storage, limits)
    }
}

impl<T> fmt::Debug for Engine<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("rules", &self.storage.rules.len())
            .field("series", &self.storage.series.len())
            .field("evaluation", &self.evaluation)
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

/// The value of a rule's expression, `None` where there is no data or too little history.
fn value_of<T>(rule: &Rule<T>, computed: [Option<Computed>; 2]) -> Option<f64> {
    let Expression { left, right } = rule.expression();
    let ratio = right.as_ref();
    let known = |reading: Reading, number: Computed| {
        if !rule.operator().is_upward() {
            return number.whole;
        }
        match ratio {
            _ if reading != Reading::Increase => number.half,
            // More can only be added to what has been counted.
            None => true,
            // Over equal windows both sides lack the same part, so the ratio is an estimate.
            Some(right) if left.reading == right.reading && left.window_us == right.window_us => {
                number.half
            }
            Some(_) => number.covered,
        }
    };
    let dividend = computed[0].filter(|&number| known(left.reading, number))?;
    let value = match ratio {
        None => dividend.value(),
        Some(right) => {
            let divisor = computed[1].filter(|&number| known(right.reading, number))?;
            if divisor.value() == 0.0 {
                return None;
            }
            dividend.ratio_to(divisor)
        }
    };
    (!value.is_nan()).then_some(value)
}

/// The changes of one evaluation, in the order of the rules.
#[must_use = "a transition that isn't taken is lost"]
pub struct Transitions<'e, T = &'static str> {
    slots: core::slice::Iter<'e, Slot<T>>,
    now: Now,
}

impl<'e, T> Iterator for Transitions<'e, T> {
    type Item = Transition<'e, T>;

    fn next(&mut self) -> Option<Self::Item> {
        self.slots.find_map(|slot| {
            let from = slot.changed_from?;
            Some(Transition {
                rule: &slot.rule,
                from,
                to: slot.machine.state,
                value: slot.value,
                since: slot.machine.since(from, self.now),
                at: self.now,
            })
        })
    }
}

/// One rule as of the last evaluation.
#[derive(Debug)]
pub struct Status<'e, T = &'static str> {
    /// The rule.
    pub rule: &'e Rule<T>,
    /// What it is doing.
    pub state: State,
    /// The value of its expression; `None` where there was no data or too little history.
    pub value: Option<f64>,
}

impl<T> Copy for Status<'_, T> {}

// Not derived: that would ask for text that can be copied, where only a reference is.
impl<T> Clone for Status<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

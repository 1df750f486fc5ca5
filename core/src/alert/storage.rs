//! What the engine works on: limits, storage, and how much of it is needed.

use core::fmt;

use super::cells::rows;
use super::expression::{Reading, Term};
use super::history::{POINTS_EXTRA, Point};
use super::rule::Rule;
use super::series::SeriesSlot;
use super::state::{Machine, State};
use super::term::{Parts, TermState};
use crate::backing::Backing;

/// How finely the engine keeps history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Into how many parts a window is cut, at least 1. What a window covers is at most one part
    /// and one interval between evaluations too long.
    pub history_points: u16,
    /// How many buckets of a histogram a quantile tells apart, at least 2. One with more has its
    /// buckets put together in groups.
    pub buckets: u16,
}

impl Default for Limits {
    /// Windows in 12 parts, 64 buckets.
    fn default() -> Self {
        Self { history_points: 12, buckets: 64 }
    }
}

/// Room for one rule, its terms and its state.
#[derive(Clone, Debug)]
pub struct Slot<T = &'static str> {
    pub(super) rule: Rule<T>,
    /// One per term of the expression.
    pub(super) terms: [TermState; 2],
    pub(super) machine: Machine,
    pub(super) value: Option<f64>,
    /// The state before the last evaluation, where that changed it.
    pub(super) changed_from: Option<State>,
}

impl<T> Slot<T> {
    /// Room for `rule`, which is inactive.
    #[must_use]
    pub fn new(rule: Rule<T>) -> Self {
        let terms = [TermState::default(); 2];
        Self { rule, terms, machine: Machine::default(), value: None, changed_from: None }
    }
}

/// What an engine works on. All of it is the caller's, borrowed or, with the feature `alloc`, owned
/// (`Engine::with_rules`).
pub struct Storage<'s, T = &'static str> {
    /// One slot per rule.
    pub rules: Backing<'s, Slot<T>>,
    /// The history of windows: [`Needs::points`] of the rules.
    pub points: Backing<'s, Point>,
    /// The buckets of quantiles: [`Needs::cells`] of the rules.
    pub cells: Backing<'s, u64>,
    /// The series of windowed terms: one slot for each series that a term matches. Twice as many
    /// keep look-ups short. A series that is gone keeps its slot until another one needs it, and
    /// is forgotten then. A term whose series don't all find room has no value, which
    /// [`Engine::untracked_series`](super::Engine::untracked_series) shows.
    pub series: Backing<'s, SeriesSlot>,
}

impl<T: AsRef<str>> Storage<'_, T> {
    /// Whether rules and storage suit each other under `limits`.
    pub(super) fn check(&self, limits: Limits) -> Result<(), EngineError> {
        if limits.history_points == 0 {
            return Err(EngineError::HistoryPoints);
        }
        if limits.buckets < BUCKETS_MIN {
            return Err(EngineError::Buckets { given: limits.buckets });
        }
        for (second, slot) in self.rules.iter().enumerate() {
            let same = |earlier: &Slot<T>| earlier.rule.name() == slot.rule.name();
            if let Some(first) = self.rules[..second].iter().position(same) {
                return Err(EngineError::NameTwice { first, second });
            }
        }
        let needs = Needs::of(self.rules.iter().map(|slot| &slot.rule), limits);
        if self.points.len() < needs.points {
            let given = self.points.len();
            return Err(EngineError::Points { needed: needs.points, given });
        }
        if self.cells.len() < needs.cells {
            let given = self.cells.len();
            return Err(EngineError::Cells { needed: needs.cells, given });
        }
        Ok(())
    }
}

/// How much storage rules need under given limits: a sum over their terms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Points: `history_points + 2` for each term with a window.
    pub points: usize,
    /// Cells: `buckets` times `history_points + 6` for each quantile with a window, `buckets` times
    /// 2 for each without.
    pub cells: usize,
}

impl Needs {
    /// What `rules` need.
    #[must_use]
    pub fn of<'r, T: 'r>(rules: impl IntoIterator<Item = &'r Rule<T>>, limits: Limits) -> Self {
        rules.into_iter().flat_map(|rule| rule.expression().terms()).fold(
            Self::default(),
            |needs, term| {
                let (points, cells) = term_needs(term, limits);
                Self { points: needs.points + points, cells: needs.cells + cells }
            },
        )
    }
}

/// Points and cells of one term.
pub(super) fn term_needs<T>(term: &Term<T>, limits: Limits) -> (usize, usize) {
    let windowed = term.is_windowed();
    let points = usize::from(limits.history_points) + POINTS_EXTRA;
    let cells = match term.reading {
        Reading::Quantile(_) => usize::from(limits.buckets) * rows(windowed, points),
        _ => 0,
    };
    (if windowed { points } else { 0 }, cells)
}

/// The parts of the storage that belong to one term.
pub(super) fn parts_of<'p, T>(
    state: &TermState,
    term: &Term<T>,
    points: &'p mut [Point],
    cells: &'p mut [u64],
    limits: Limits,
) -> Parts<'p> {
    let needs = term_needs(term, limits);
    let (first_point, first_cell) = (state.history.offset, state.cells.offset);
    Parts {
        ring: points.get_mut(first_point..first_point + needs.0).unwrap_or_default(),
        cells: cells.get_mut(first_cell..first_cell + needs.1).unwrap_or_default(),
        width: limits.buckets.into(),
    }
}

/// The fewest buckets a quantile can be computed from: one with an end and one without.
const BUCKETS_MIN: u16 = 2;

/// Why an engine was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EngineError {
    /// Windows must have at least one part.
    HistoryPoints,
    /// Quantiles need at least 2 buckets.
    Buckets {
        /// How many were given.
        given: u16,
    },
    /// Two rules have the same name.
    NameTwice {
        /// The position of one.
        first: usize,
        /// The position of the other.
        second: usize,
    },
    /// The history doesn't fit.
    Points {
        /// How many points the rules need.
        needed: usize,
        /// How many there are.
        given: usize,
    },
    /// The buckets of quantiles don't fit.
    Cells {
        /// How many cells the rules need.
        needed: usize,
        /// How many there are.
        given: usize,
    },
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HistoryPoints => f.write_str("history_points is 0, it must be at least 1"),
            Self::Buckets { given } => {
                write!(f, "buckets is {given}, it must be at least {BUCKETS_MIN}")
            }
            Self::NameTwice { first, second } => {
                write!(f, "alert rules {first} and {second} have the same name")
            }
            Self::Points { needed, given } => {
                write!(f, "the alert rules need storage for {needed} points, {given} were given")
            }
            Self::Cells { needed, given } => {
                write!(f, "the alert rules need storage for {needed} cells, {given} were given")
            }
        }
    }
}

impl core::error::Error for EngineError {}

//! Alert rules: conditions on what is visited, and a state machine for each.
//!
//! This module decides when a rule fires and when it is resolved. It leaves to its caller when to
//! evaluate, where the sources come from, and whom to tell.
//!
//! # Parts
//!
//! - [`Selector`] chooses series and sums them; [`Term`] makes a number of them (a value, an
//!   increase, a rate, a quantile); [`Expression`] is a term, the ratio of two, or the absence of a
//!   metric.
//! - [`Rule`] compares an expression with a threshold and says for how long. [`presets`] has the
//!   usual ones.
//! - [`Engine`] evaluates all rules over [`Source`](crate::stats::Source)s, as one more
//!   [`Visitor`](crate::stats::Visitor), and returns [`Transition`]s.
//!
//! # What there is no data of
//!
//! As in Prometheus, a condition on missing data is false: such a rule doesn't fire, a pending one
//! goes back, a firing one is resolved (with `value: None`, so that the notice can say why;
//! [`RuleBuilder::keep_firing_us`] bridges gaps). Absence has an expression of its own. There is no
//! data where no series matches, where the divisor of a ratio is 0, where a histogram is empty,
//! where the value is NaN, and where a window isn't known well enough (see [`Term`]).
//!
//! # Bounds
//!
//! One slot per rule; `history_points + 2` points per window, whatever the rate of evaluation;
//! [`Needs::of`] adds it up. Series are tracked in a table of the caller's size. An evaluation
//! looks at each sample of the families concerned once per term, and looks up those of windows in
//! the table: a few slots while it is half empty, the whole table for a series that it has no room
//! for.

mod cells;
mod collect;
mod engine;
mod expression;
mod history;
pub mod presets;
mod rule;
mod series;
mod state;
mod storage;
mod term;

pub use engine::{Engine, Status, Transitions};
pub use expression::{Expression, MATCHERS_MAX, Operator, Selector, Term};
pub use history::Point;
pub use rule::{Field, Reason, Rule, RuleBuilder, RuleError, Severity};
pub use series::SeriesSlot;
pub use state::{State, Transition};
pub use storage::{EngineError, Limits, Needs, Slot, Storage};

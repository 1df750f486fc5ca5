//! What a rule is doing, and how that changes.

use core::fmt;

use super::rule::Rule;
use crate::time::{Instant, Now};

/// What a rule is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// The condition doesn't hold and hasn't led to anything.
    #[default]
    Inactive,
    /// The condition holds, but not yet for long enough.
    Pending {
        /// The first evaluation at which it held.
        since: Now,
    },
    /// The condition has held for long enough.
    Firing {
        /// The first evaluation at which it held.
        since: Now,
        /// The evaluation at which the rule fired.
        fired: Now,
    },
    /// The rule fired and the condition is gone; as quiet as inactive.
    Resolved {
        /// The first evaluation at which the condition had held.
        since: Now,
        /// The evaluation at which it was resolved.
        resolved: Now,
    },
}

impl State {
    /// The state as text: `inactive`, `pending`, `firing`, `resolved`.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Pending { .. } => "pending",
            Self::Firing { .. } => "firing",
            Self::Resolved { .. } => "resolved",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A rule's state changed. Every change is reported once.
///
/// | from | to | what a consumer does |
/// | --- | --- | --- |
/// | inactive, resolved | pending | perhaps show it |
/// | inactive, resolved, pending | firing | tell somebody |
/// | pending | inactive | forget it: nobody was told |
/// | firing | resolved | tell the same people that it is over |
#[derive(Debug, PartialEq)]
pub struct Transition<'e, T = &'static str> {
    /// The rule.
    pub rule: &'e Rule<T>,
    /// What it was doing.
    pub from: State,
    /// What it is doing.
    pub to: State,
    /// The expression's value at this evaluation; `None` where there was no data, which is how a
    /// rule whose series are gone comes to be resolved.
    pub value: Option<f64>,
    /// The first evaluation at which the condition held.
    pub since: Now,
    /// This evaluation.
    pub at: Now,
}

impl<T> Copy for Transition<'_, T> {}

// Not derived: that would ask for text that can be copied, where only a reference is.
impl<T> Clone for Transition<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

/// The state machine of one rule.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Machine {
    pub(super) state: State,
    /// The last evaluation at which the condition held.
    held: Now,
}

impl Machine {
    /// One evaluation; returns the state before it where that was another.
    pub(super) fn step<T>(&mut self, now: Now, holds: bool, rule: &Rule<T>) -> Option<State> {
        let from = self.state;
        if holds {
            self.held = now;
        }
        self.state = match from {
            State::Inactive | State::Resolved { .. } if holds => {
                if rule.for_us() == 0 {
                    State::Firing { since: now, fired: now }
                } else {
                    State::Pending { since: now }
                }
            }
            State::Pending { .. } if !holds => State::Inactive,
            State::Pending { since } if now.at.us_since(since.at) >= rule.for_us() => {
                State::Firing { since, fired: now }
            }
            State::Firing { since, .. }
                if !holds && now.at.us_since(self.held.at) >= rule.keep_firing_us() =>
            {
                State::Resolved { since, resolved: now }
            }
            unchanged => unchanged,
        };
        (self.state != from).then_some(from)
    }

    /// When the state changes next if the condition stays as it is at `now`.
    pub(super) fn deadline<T>(&self, now: Now, rule: &Rule<T>) -> Option<Instant> {
        match self.state {
            State::Pending { since } => Some(since.at.plus_us(rule.for_us())),
            State::Firing { .. } if self.held != now => {
                Some(self.held.at.plus_us(rule.keep_firing_us()))
            }
            _ => None,
        }
    }

    /// The first evaluation at which the condition held, for a change that led from `from` here.
    pub(super) fn since(&self, from: State, now: Now) -> Now {
        match (self.state, from) {
            (
                State::Pending { since }
                | State::Firing { since, .. }
                | State::Resolved { since, .. },
                _,
            )
            | (State::Inactive, State::Pending { since }) => since,
            (State::Inactive, _) => now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Machine, State};
    use crate::alert::{Operator, Rule, Selector, Term};
    use crate::time::{Instant, Now};

    fn rule(for_us: u64, keep_firing_us: u64) -> Rule {
        Rule::when("r", Term::value(Selector::new("m")), Operator::Above, 0.0)
            .for_us(for_us)
            .keep_firing_us(keep_firing_us)
            .build()
            .unwrap()
    }

    fn at(us: u64) -> Now {
        Now::new(Instant::from_us(us), us)
    }

    #[test]
    fn the_whole_round() {
        let (rule, mut machine) = (rule(10, 0), Machine::default());
        assert_eq!(machine.step(at(0), false, &rule), None);
        assert_eq!(machine.step(at(5), true, &rule), Some(State::Inactive));
        assert_eq!(machine.state, State::Pending { since: at(5) });
        assert_eq!(machine.deadline(at(5), &rule), Some(at(15).at));
        assert_eq!(machine.step(at(14), true, &rule), None);
        assert_eq!(machine.step(at(15), true, &rule), Some(State::Pending { since: at(5) }));
        let firing = State::Firing { since: at(5), fired: at(15) };
        assert_eq!((machine.state, machine.deadline(at(15), &rule)), (firing, None));
        assert_eq!(machine.step(at(99), true, &rule), None);
        assert_eq!(machine.step(at(100), false, &rule), Some(firing));
        let resolved = State::Resolved { since: at(5), resolved: at(100) };
        assert_eq!((machine.state, machine.since(firing, at(100))), (resolved, at(5)));
        assert_eq!(machine.step(at(101), false, &rule), None);
        assert_eq!(machine.step(at(102), true, &rule), Some(resolved));
        assert_eq!(machine.step(at(103), false, &rule), Some(State::Pending { since: at(102) }));
        assert_eq!(machine.state, State::Inactive);
        assert_eq!(machine.since(State::Pending { since: at(102) }, at(103)), at(102));
    }

    #[test]
    fn without_a_duration_it_fires_and_resolves_at_once() {
        let (rule, mut machine) = (rule(0, 0), Machine::default());
        assert_eq!(machine.step(at(1), true, &rule), Some(State::Inactive));
        assert_eq!(machine.state, State::Firing { since: at(1), fired: at(1) });
        assert!(machine.step(at(2), false, &rule).is_some());
        assert_eq!(machine.state, State::Resolved { since: at(1), resolved: at(2) });
        assert!(machine.step(at(3), true, &rule).is_some());
        assert_eq!(machine.state, State::Firing { since: at(3), fired: at(3) });
    }

    #[test]
    fn firing_is_kept_over_gaps() {
        let (rule, mut machine) = (rule(0, 10), Machine::default());
        machine.step(at(0), true, &rule);
        assert_eq!(machine.step(at(9), false, &rule), None);
        assert_eq!(machine.deadline(at(9), &rule), Some(at(10).at));
        assert_eq!(machine.step(at(9), true, &rule), None);
        assert_eq!(machine.step(at(18), false, &rule), None);
        assert!(machine.step(at(19), false, &rule).is_some());
        assert!(matches!(machine.state, State::Resolved { .. }));
    }
}

//! The rules once more, as simply as can be: everything is kept and searched from the start.
//!
//! It shares with the engine what its documentation promises, and none of its storage: no ring, no
//! table of series, no shared sums.

use alloc::collections::BTreeMap;

use proptest::prelude::*;
use turbopump_core::alert::{
    Engine, Expression, Limits, Operator, Rule, Selector, State, Term, presets,
};
use turbopump_core::stats::{Distribution, LatencyHistogram};
use turbopump_core::time::Now;

use crate::shop::{Change, Shop, at_us, evaluate};

const SECOND_US: u64 = 1_000_000;
const HISTORY_POINTS: u16 = 5;

/// One term: what it reads, over which window (0 for none).
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Value,
    Increase,
    Rate,
}

/// Which numbers a term sums.
#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    Sent,
    Errors,
    Memory,
    Ratio,
    LatencySum,
    LatencyCount,
}

impl What {
    fn selector(self) -> Selector {
        match self {
            Self::Sent => Selector::new("shop_sent_total"),
            Self::Errors => Selector::new("shop_sent_total").with("result", "error"),
            Self::Memory => Selector::new("shop_memory_bytes"),
            Self::Ratio => Selector::new("shop_hit_ratio"),
            Self::LatencySum => Selector::sum_of("shop_latency_seconds"),
            Self::LatencyCount => Selector::count_of("shop_latency_seconds"),
        }
    }

    /// The series it sees, by a name, in counted units.
    fn series(self, shop: &Shop) -> BTreeMap<&'static str, f64> {
        let mut series = BTreeMap::new();
        if shop.hidden {
            return series;
        }
        match self {
            Self::Sent => {
                series.insert("ok", shop.sent_ok as f64);
                shop.sent_error.map(|errors| series.insert("error", errors as f64));
            }
            Self::Errors => {
                shop.sent_error.map(|errors| series.insert("error", errors as f64));
            }
            Self::Memory => {
                shop.memory.map(|memory| series.insert("", memory as f64));
            }
            Self::Ratio => {
                shop.hit_ratio.map(|ratio| series.insert("", ratio));
            }
            Self::LatencySum => {
                series.insert("", shop.latency_us.sum() as f64);
            }
            Self::LatencyCount => {
                series.insert("", shop.latency_us.count() as f64);
            }
        }
        series
    }

    fn scale(self) -> f64 {
        if self == Self::LatencySum { 1e6 } else { 1.0 }
    }
}

#[derive(Clone, Copy, Debug)]
struct TermCase {
    what: What,
    kind: Kind,
    window_us: u64,
}

impl TermCase {
    fn term(self) -> Term {
        match self.kind {
            Kind::Value => Term::value(self.what.selector()),
            Kind::Increase => Term::increase(self.what.selector(), self.window_us),
            Kind::Rate => Term::rate(self.what.selector(), self.window_us),
        }
    }
}

/// One rule.
#[derive(Clone, Debug)]
struct Case {
    left: TermCase,
    right: Option<TermCase>,
    operator: Operator,
    threshold: f64,
    for_us: u64,
    keep_firing_us: u64,
}

impl Case {
    fn rule(&self, name: String) -> Rule<String> {
        let owned = |term: TermCase| own(&term.term(), term);
        let expression = match self.right {
            None => Expression::term(owned(self.left)),
            Some(right) => Expression::ratio(owned(self.left), owned(right)),
        };
        Rule::when(name, expression, self.operator, self.threshold)
            .for_us(self.for_us)
            .keep_firing_us(self.keep_firing_us)
            .build()
            .unwrap()
    }
}

/// The same term with text of its own, as rules from a file have it.
fn own(_: &Term, case: TermCase) -> Term<String> {
    let selector = match case.what {
        What::Sent => Selector::new("shop_sent_total".to_owned()),
        What::Errors => {
            Selector::new("shop_sent_total".to_owned()).with("result".into(), "error".into())
        }
        What::Memory => Selector::new("shop_memory_bytes".to_owned()),
        What::Ratio => Selector::new("shop_hit_ratio".to_owned()),
        What::LatencySum => Selector::sum_of("shop_latency_seconds".to_owned()),
        What::LatencyCount => Selector::count_of("shop_latency_seconds".to_owned()),
    };
    match case.kind {
        Kind::Value => Term::value(selector),
        Kind::Increase => Term::increase(selector, case.window_us),
        Kind::Rate => Term::rate(selector, case.window_us),
    }
}

/// All that a term has seen.
#[derive(Default)]
struct Past {
    /// The last value of each series ever seen.
    last: BTreeMap<&'static str, f64>,
    /// Time and all increases until then, of each evaluation that is a point of the history.
    points: Vec<(u64, f64)>,
    total: f64,
    present_since_us: Option<u64>,
}

/// A number (for a rate: an amount, and the seconds it took) and how well it is known.
#[derive(Clone, Copy)]
struct Known {
    amount: f64,
    seconds: f64,
    whole: bool,
    half: bool,
    covered: bool,
}

impl Past {
    fn see(&mut self, case: TermCase, now_us: u64, first: bool, shop: &Shop) -> Option<Known> {
        let series = case.what.series(shop);
        for (name, &value) in &series {
            let grown = match self.last.insert(name, value) {
                None if first => 0.0,
                Some(last) if value >= last => value - last,
                _ => value,
            };
            self.total += grown;
        }
        self.present_since_us =
            if series.is_empty() { None } else { self.present_since_us.or(Some(now_us)) };
        let known = if series.is_empty() {
            None
        } else if case.kind == Kind::Value {
            let amount = series.values().map(|value| value / case.what.scale()).sum();
            Some(Known { amount, seconds: 1.0, whole: true, half: true, covered: true })
        } else {
            self.window(case, now_us)
        };
        let part_us = case.window_us.div_ceil(HISTORY_POINTS.into());
        if self.points.last().is_none_or(|point| now_us - point.0 >= part_us) {
            self.points.push((now_us, self.total));
        }
        known
    }

    fn window(&self, case: TermCase, now_us: u64) -> Option<Known> {
        let age = |point: &&(u64, f64)| now_us - point.0;
        let before = self.points.iter().rfind(|point| age(point) >= case.window_us);
        let inside = self.points.iter().find(|point| age(point) < case.window_us);
        let before = before.filter(|point| age(point) <= 2 * case.window_us);
        let base = before.or_else(|| inside.filter(|point| age(point) > 0))?;
        let covered_us = age(&base);
        let amount = (self.total - base.1) / case.what.scale();
        let present_us = now_us - self.present_since_us?;
        let seconds = if case.kind == Kind::Rate { covered_us as f64 / 1e6 } else { 1.0 };
        let covered = covered_us >= case.window_us;
        let whole = covered && present_us >= case.window_us;
        Some(Known { amount, seconds, whole, half: covered_us >= case.window_us / 2, covered })
    }
}

/// One rule's past and state.
#[derive(Default)]
struct Reference {
    pasts: [Past; 2],
    state: State,
    held_us: u64,
}

impl Reference {
    fn value(&mut self, case: &Case, now_us: u64, first: bool, shop: &Shop) -> Option<f64> {
        let upward = matches!(case.operator, Operator::Above | Operator::AtLeast);
        let left = self.pasts[0].see(case.left, now_us, first, shop);
        let Some(right_case) = case.right else {
            let alone = case.left.kind == Kind::Increase;
            return left
                .filter(|known| if upward { alone || known.half } else { known.whole })
                .map(|known| known.amount / known.seconds)
                .filter(|value| !value.is_nan());
        };
        let right = self.pasts[1].see(right_case, now_us, first, shop);
        let alike =
            case.left.kind == right_case.kind && case.left.window_us == right_case.window_us;
        let usable = |term: TermCase, known: &Known| match upward {
            false => known.whole,
            true if term.kind == Kind::Increase && !alike => known.covered,
            true => known.half,
        };
        let left = left.filter(|known| usable(case.left, known))?;
        let right = right.filter(|known| usable(right_case, known))?;
        let value = if left.seconds == right.seconds {
            left.amount / right.amount
        } else {
            (left.amount / left.seconds) / (right.amount / right.seconds)
        };
        (right.amount != 0.0 && !value.is_nan()).then_some(value)
    }

    fn step(&mut self, case: &Case, now: Now, first: bool, shop: &Shop) -> Option<Change> {
        let now_us = now.at.as_us();
        let value = self.value(case, now_us, first, shop);
        let holds = value.is_some_and(|value| match case.operator {
            Operator::Above => value > case.threshold,
            Operator::Below => value < case.threshold,
            Operator::AtLeast => value >= case.threshold,
            Operator::AtMost => value <= case.threshold,
            _ => value == case.threshold,
        });
        if holds {
            self.held_us = now_us;
        }
        let from = self.state;
        let quiet = matches!(from, State::Inactive | State::Resolved { .. });
        if quiet && holds {
            self.state = State::Pending { since: now };
        }
        match self.state {
            State::Pending { .. } if !holds => self.state = State::Inactive,
            State::Pending { since } if now_us - since.at.as_us() >= case.for_us => {
                self.state = State::Firing { since, fired: now };
            }
            State::Firing { since, .. }
                if !holds && now_us - self.held_us >= case.keep_firing_us =>
            {
                self.state = State::Resolved { since, resolved: now };
            }
            _ => {}
        }
        (self.state != from).then_some((from, self.state, value))
    }
}

/// What happens between two evaluations.
#[derive(Clone, Copy, Debug)]
enum Event {
    Send(u64),
    Fail(u64),
    Answer(u64),
    Memory(Option<u64>),
    Ratio(Option<f64>),
    RestartAll,
    RestartErrors,
    LoseErrors,
    Hide(bool),
}

fn apply(shop: &mut Shop, lost: &mut Option<u64>, event: Event) {
    match event {
        Event::Send(messages) => shop.sent_ok += messages,
        Event::Fail(messages) => {
            // A series that was lost goes on where it was.
            let errors = shop.sent_error.or_else(|| lost.take()).unwrap_or(0);
            shop.sent_error = Some(errors + messages);
        }
        Event::Answer(us) => shop.latency_us.observe(us),
        Event::Memory(bytes) => shop.memory = bytes,
        Event::Ratio(ratio) => shop.hit_ratio = ratio,
        Event::RestartAll => {
            shop.sent_ok = 0;
            shop.sent_error = shop.sent_error.map(|_| 0);
            shop.latency_us = LatencyHistogram::new();
        }
        Event::RestartErrors => shop.sent_error = Some(0),
        Event::LoseErrors => *lost = shop.sent_error.take().or(*lost),
        Event::Hide(hidden) => shop.hidden = hidden,
    }
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0_u64..5).prop_map(Event::Send),
        3 => (0_u64..3).prop_map(Event::Fail),
        3 => (0_u64..3_000_000).prop_map(Event::Answer),
        2 => prop::option::of(0_u64..10).prop_map(Event::Memory),
        2 => prop::option::of(prop_oneof![Just(f64::NAN), Just(0.0), -1.0..2.0])
            .prop_map(Event::Ratio),
        1 => Just(Event::RestartAll),
        1 => Just(Event::RestartErrors),
        1 => Just(Event::LoseErrors),
        1 => any::<bool>().prop_map(Event::Hide),
    ]
}

/// A wait until the next evaluation, mostly regular, and what happens in it.
fn step() -> impl Strategy<Value = (u64, Vec<Event>)> {
    let wait = prop_oneof![
        6 => Just(SECOND_US),
        2 => 0_u64..3 * SECOND_US,
        1 => 0_u64..40 * SECOND_US,
    ];
    (wait, prop::collection::vec(event(), 0..4))
}

fn term() -> impl Strategy<Value = TermCase> {
    let growing = prop_oneof![
        Just(What::Sent),
        Just(What::Errors),
        Just(What::LatencySum),
        Just(What::LatencyCount)
    ];
    let window = (prop_oneof![Just(Kind::Increase), Just(Kind::Rate)], growing, 1_u64..15);
    prop_oneof![
        3 => window.prop_map(|(kind, what, seconds)| {
            TermCase { what, kind, window_us: seconds * SECOND_US }
        }),
        1 => prop_oneof![Just(What::Memory), Just(What::Ratio), Just(What::Sent)]
            .prop_map(|what| TermCase { what, kind: Kind::Value, window_us: 0 }),
    ]
}

fn case() -> impl Strategy<Value = Case> {
    let operator = prop_oneof![
        Just(Operator::Above),
        Just(Operator::Below),
        Just(Operator::AtLeast),
        Just(Operator::AtMost),
        Just(Operator::Equal)
    ];
    let threshold = prop_oneof![Just(0.0), Just(1.0), Just(2.0), 0.0..4.0];
    let duration = || prop_oneof![2 => Just(0), 1 => (1_u64..8).prop_map(|s| s * SECOND_US)];
    // Half of the ratios are over one window, as usual.
    let right = prop::option::of((term(), any::<bool>()));
    (term(), right, operator, threshold, duration(), duration()).prop_map(
        |(left, right, operator, threshold, for_us, keep_firing_us)| {
            let right = right.map(|(right, same)| match right.kind {
                Kind::Increase | Kind::Rate if same && left.window_us > 0 => {
                    TermCase { kind: left.kind, window_us: left.window_us, ..right }
                }
                _ => right,
            });
            Case { left, right, operator, threshold, for_us, keep_firing_us }
        },
    )
}

/// Whether a rule may go from one state to the other.
fn is_legal(from: State, to: State) -> bool {
    matches!(
        (from, to),
        (State::Inactive | State::Resolved { .. }, State::Pending { .. } | State::Firing { .. })
            | (State::Pending { .. }, State::Inactive | State::Firing { .. })
            | (State::Firing { .. }, State::Resolved { .. })
    )
}

fn limits() -> Limits {
    Limits { history_points: HISTORY_POINTS, buckets: 256 }
}

proptest! {
    #[test]
    fn the_engine_does_what_the_reference_does(
        cases in prop::collection::vec(case(), 1..5),
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let rules = cases.iter().enumerate().map(|(index, case)| case.rule(format!("r{index}")));
        let mut engine = Engine::with_rules(rules, 64, limits()).unwrap();
        let mut references: Vec<Reference> = cases.iter().map(|_| Reference::default()).collect();
        let mut shop = Shop::default();
        let (mut lost, mut now_us) = (None, 0);
        for (index, (wait_us, events)) in steps.into_iter().enumerate() {
            now_us += wait_us;
            events.into_iter().for_each(|event| apply(&mut shop, &mut lost, event));
            let now = at_us(now_us);
            let changes = evaluate(&mut engine, now, &shop);
            let expected: Vec<Change> = cases
                .iter()
                .zip(&mut references)
                .filter_map(|(case, past)| past.step(case, now, index == 0, &shop))
                .collect();
            prop_assert_eq!(&changes, &expected, "at {} us", now_us);
            for (from, to, value) in changes {
                prop_assert!(is_legal(from, to), "{} to {}", from, to);
                prop_assert!(value.is_none_or(|value| !value.is_nan()));
            }
            for (status, reference) in engine.statuses().zip(&references) {
                prop_assert_eq!(status.state, reference.state);
            }
            prop_assert!(engine.poll_timeout().is_none_or(|next| next > now.at));
        }
    }

    /// What a window of the histogram holds is what was observed since a point that is a window
    /// back, and at most a part of it and the interval between evaluations more.
    #[test]
    fn a_quantile_over_a_window_is_that_of_some_recent_window(
        observed in prop::collection::vec(prop::collection::vec(0_u64..1 << 25, 0..6), 1..60),
        q in 0.0..=1.0,
        coarse in any::<bool>(),
    ) {
        const WINDOW: usize = 10;
        let latency = Selector::new("shop_latency_seconds");
        let over = Term::quantile_over(latency, q, WINDOW as u64 * SECOND_US);
        let rule = Rule::when("r", over, Operator::Above, -1.0).build().unwrap();
        // In groups of four the 194 buckets are as fine as with a bit less, then another.
        let buckets = if coarse { 49 } else { 256 };
        let mut engine =
            Engine::with_rules([rule], 64, Limits { buckets, ..limits() }).unwrap();
        let mut shop = Shop::default();
        for (second, values) in observed.iter().enumerate() {
            values.iter().for_each(|&us| shop.latency_us.observe(us));
            evaluate(&mut engine, at_us(second as u64 * SECOND_US), &shop);
            let value = engine.statuses().next().unwrap().value;
            if second < WINDOW / 2 {
                prop_assert_eq!(value, None);
                continue;
            }
            // Candidates: all starts that the promise allows (a point every 2 s).
            let longest = second.min(WINDOW + 3);
            let shortest = second.min(WINDOW);
            let fits = (shortest..=longest).any(|length| {
                let mut recent: Vec<u64> =
                    observed[second + 1 - length..=second].iter().flatten().copied().collect();
                recent.sort_unstable();
                let rank = (q * recent.len() as f64).ceil() as usize;
                match (recent.get(rank.clamp(1, recent.len().max(1)) - 1), value) {
                    (None, value) => value.is_none(),
                    (Some(_), None) => false,
                    (Some(&exact), Some(value)) => {
                        let error = exact as f64 * if coarse { 1.0 } else { 0.125 } + 4.0;
                        (value * 1e6 - exact as f64).abs() <= error
                    }
                }
            });
            prop_assert!(fits, "{value:?} after {second} s");
        }
    }

    #[test]
    fn resets_and_gaps_never_make_a_quantile_count_what_was_counted(
        steps in prop::collection::vec((0_u64..4, event()), 1..80),
    ) {
        // Old values are all large, values after the first evaluation all small.
        let over = Term::quantile_over(Selector::new("shop_latency_seconds"), 1.0, 5 * SECOND_US);
        let rule = Rule::when("r", over, Operator::Above, 1.0).build().unwrap();
        let mut engine = Engine::with_rules([rule], 64, limits()).unwrap();
        let mut shop = Shop::default();
        (0..50).for_each(|_| shop.latency_us.observe(60_000_000));
        let mut lost = None;
        for (second, (values, event)) in steps.into_iter().enumerate() {
            let changes = evaluate(&mut engine, at_us(second as u64 * SECOND_US), &shop);
            prop_assert_eq!(changes, []);
            (0..values).for_each(|_| shop.latency_us.observe(1_000));
            if !matches!(event, Event::Answer(_)) {
                apply(&mut shop, &mut lost, event);
            }
        }
    }
}

/// The presets with owned text, as a file of rules gives them.
#[test]
fn presets_take_owned_text() {
    let metric = String::from("shop_latency_seconds");
    let rule: Rule<String> = presets::average_latency(metric).threshold(0.2).build().unwrap();
    assert!(rule.to_string().ends_with("> 0.2 for 120s"));
}

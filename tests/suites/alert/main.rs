//! Alert rules under a virtual clock: what operators expect of them, told as stories, and all of it
//! against a naive evaluator that keeps everything (`reference`).

extern crate alloc;

mod reference;
mod shop;

use shop::{Shop, at, engine, evaluate};
use turbopump_core::alert::{
    Engine, EngineError, Expression, Limits, Needs, Operator, Point, Rule, Selector, SeriesSlot,
    Severity, Slot, State, Storage, Term, presets,
};
use turbopump_core::stats::VisitError;

const SECOND_US: u64 = 1_000_000;
const MINUTE_US: u64 = 60 * SECOND_US;

fn sent() -> Selector {
    Selector::new("shop_sent_total")
}

fn failed() -> Selector {
    sent().with("result", "error")
}

/// Evaluates every 10 seconds while `shop` changes, and lists what changed at which second.
fn story(
    rule: Rule,
    seconds: u64,
    mut live: impl FnMut(u64, &mut Shop),
) -> Vec<(u64, &'static str)> {
    let mut engine = engine([rule]);
    let mut shop = Shop::default();
    let mut told = Vec::new();
    for second in (0..=seconds).step_by(10) {
        live(second, &mut shop);
        for (_, to, _) in evaluate(&mut engine, at(second), &shop) {
            told.push((second, to.as_str()));
        }
    }
    told
}

#[test]
fn memory_use_above_80_percent_for_5_minutes() {
    let rule = presets::memory_use(
        Selector::new("shop_memory_bytes"),
        Selector::new("shop_memory_limit_bytes"),
    );
    let told = story(rule.build().unwrap(), 1_000, |second, shop| {
        shop.limit = Some(1_000);
        shop.memory = Some(match second {
            0..100 => 800,
            100..380 => 801,
            380..400 => 799,
            400..800 => 900,
            _ => 100,
        });
    });
    assert_eq!(
        told,
        [(100, "pending"), (380, "inactive"), (400, "pending"), (700, "firing"), (800, "resolved")]
    );
}

#[test]
fn error_rate_above_5_percent_for_1_minute() {
    let rule = presets::error_rate(failed(), sent()).build().unwrap();
    let told = story(rule, 600, |second, shop| {
        shop.sent_ok += 90;
        // Errors appear late, as a series of their own.
        if (200..400).contains(&second) {
            *shop.sent_error.get_or_insert(0) += 10;
        }
    });
    // 10 beside 90 every 10 s: above 5 % while three of the six steps of a minute are bad.
    assert_eq!(told, [(220, "pending"), (280, "firing"), (430, "resolved")]);
}

#[test]
fn average_latency_above_100_ms_for_2_minutes() {
    let rule = presets::average_latency("shop_latency_seconds").build().unwrap();
    let told = story(rule, 600, |second, shop| {
        let latency_ms = if (100..300).contains(&second) { 150 } else { 50 };
        // Nobody asks in the last minutes: nothing divided by nothing.
        for _ in 0..if second < 500 { 7 } else { 0 } {
            shop.latency_us.observe(latency_ms * 1_000);
        }
    });
    // Where both halves of the minute are even, the average is 100 ms and no more.
    assert_eq!(told, [(130, "pending"), (250, "firing"), (320, "resolved")]);
}

#[test]
fn nothing_sent_for_2_minutes() {
    let rule = presets::nothing_counted("nothing_sent", sent(), 2 * MINUTE_US).build().unwrap();
    // Silence from the start on: known to be silence only after the whole window.
    assert_eq!(story(rule.clone(), 300, |_, _| {}), [(120, "firing")]);
    // Silence after work, then work again.
    let told = story(rule.clone(), 600, |second, shop| {
        shop.sent_ok += u64::from(!(200..400).contains(&second));
    });
    assert_eq!(told, [(310, "firing"), (400, "resolved")]);
    // A producer that is made late has its 2 minutes, too.
    let told = story(rule, 600, |second, shop| shop.hidden = second < 300);
    assert_eq!(told, [(420, "firing")]);
}

#[test]
fn a_missing_metric_neither_fires_nor_hides_and_absence_can_be_asked_for() {
    let silence = presets::nothing_counted("silence", sent(), MINUTE_US).build().unwrap();
    assert_eq!(story(silence, 600, |_, shop| shop.hidden = true), []);

    let absent = presets::absent("absent", sent().with("result", "error")).build().unwrap();
    let told = story(absent, 600, |second, shop| {
        shop.sent_error = (200..400).contains(&second).then_some(0);
    });
    assert_eq!(
        told,
        [(0, "pending"), (60, "firing"), (200, "resolved"), (400, "pending"), (460, "firing")]
    );
}

#[test]
fn data_that_goes_away_resolves_and_says_so() {
    let value = Term::value(Selector::new("shop_memory_bytes"));
    let rule = Rule::when("memory", value, Operator::Above, 10.0).build().unwrap();
    let mut engine = engine([rule]);
    let full = Shop { memory: Some(11), ..Shop::default() };
    let fired = evaluate(&mut engine, at(0), &full);
    assert!(matches!(fired[..], [(State::Inactive, State::Firing { .. }, Some(11.0))]));
    let gone = evaluate(&mut engine, at(10), &Shop::default());
    assert!(matches!(gone[..], [(State::Firing { .. }, State::Resolved { .. }, None)]));
}

#[test]
fn nan_never_fires_and_a_ratio_over_nothing_has_no_value() {
    let ratio = || Term::value(Selector::new("shop_hit_ratio"));
    let operators =
        [Operator::Above, Operator::Below, Operator::AtLeast, Operator::AtMost, Operator::Equal];
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    let rules = names.into_iter().enumerate().map(|(index, name)| {
        let divided = Expression::ratio(Term::value(sent()), ratio());
        let expression = if index < 5 { ratio().into() } else { divided };
        Rule::when(name, expression, operators[index % 5], 0.0).build().unwrap()
    });
    let mut engine = engine(rules);
    for (second, hit_ratio) in [f64::NAN, -f64::NAN, f64::NAN].into_iter().enumerate() {
        let shop = Shop { hit_ratio: Some(hit_ratio), sent_ok: 5, ..Shop::default() };
        assert_eq!(evaluate(&mut engine, at(second as u64), &shop), []);
    }
    let shop = Shop { hit_ratio: Some(0.0), sent_ok: 5, ..Shop::default() };
    evaluate(&mut engine, at(10), &shop);
    assert!(engine.statuses().skip(5).all(|status| status.value.is_none()));
}

#[test]
fn a_counter_that_starts_again_counts_from_zero() {
    let rule = Rule::when("r", Term::increase(sent(), MINUTE_US), Operator::Above, 40.0);
    let told = story(rule.build().unwrap(), 300, |second, shop| {
        // 1,000 before, then every 10 s one more, from 0 again at 100 s.
        shop.sent_ok = if second < 100 { 1_000 } else { (second - 100) / 10 };
    });
    assert_eq!(told, []);
    let rule = Rule::when("r", Term::increase(sent(), MINUTE_US), Operator::AtLeast, 7.0);
    let told = story(rule.build().unwrap(), 300, |second, shop| {
        shop.sent_ok = if second < 100 { 1_000 } else { 7 };
    });
    assert_eq!(told, [(100, "firing"), (160, "resolved")]);
}

#[test]
fn one_series_that_ends_is_not_an_increase_of_the_others() {
    let rule = Rule::when("r", Term::increase(sent(), MINUTE_US), Operator::Above, 0.0);
    let told = story(rule.build().unwrap(), 300, |second, shop| {
        shop.sent_ok = 5;
        shop.sent_error = (second < 100).then_some(1_000_000);
    });
    assert_eq!(told, []);
}

#[test]
fn quantiles_of_a_window_forget_and_those_of_everything_do_not() {
    let latency = || Selector::new("shop_latency_seconds");
    let over = Term::quantile_over(latency(), 0.9, MINUTE_US);
    let window = Rule::when("window", over, Operator::Above, 1.0);
    let ever = Rule::when("ever", Term::quantile(latency(), 0.9), Operator::Above, 1.0);
    let live = |second: u64, shop: &mut Shop| {
        shop.latency_us.observe(if second == 100 { 1 } else { 1_000 });
        if second == 100 {
            (0..90).for_each(|_| shop.latency_us.observe(2_000_000));
        }
    };
    let told = story(window.build().unwrap(), 300, live);
    assert_eq!(told, [(100, "firing"), (160, "resolved")]);
    let told = story(ever.build().unwrap(), 300, live);
    assert_eq!(told, [(100, "firing"), (200, "resolved")].split_at(1).0);
}

#[test]
fn transitions_say_since_when_and_the_next_deadline_is_known() {
    let value = Term::value(Selector::new("shop_memory_bytes"));
    let rule = Rule::when("memory", value, Operator::Above, 10.0)
        .for_us(25 * SECOND_US)
        .severity(Severity::Critical)
        .build()
        .unwrap();
    let mut engine = engine([rule]);
    let full = Shop { memory: Some(11), ..Shop::default() };
    assert_eq!(engine.poll_timeout(), None);
    let mut changes = engine.evaluate(at(10), &[&full], &[]).unwrap();
    let change = changes.next().unwrap();
    assert_eq!((change.rule.name(), change.rule.severity()), ("memory", Severity::Critical));
    assert_eq!((change.since, change.at, change.value), (at(10), at(10), Some(11.0)));
    assert!(changes.next().is_none());
    assert_eq!(engine.poll_timeout(), Some(at(35).at));
    // Evaluated late: it fires late, but says since when.
    let changes: Vec<_> = engine.evaluate(at(99), &[&full], &[]).unwrap().collect();
    assert_eq!(changes[0].to, State::Firing { since: at(10), fired: at(99) });
    assert_eq!(engine.poll_timeout(), None);
    // A clock that steps back is taken to stand still.
    assert_eq!(engine.evaluate(at(5), &[&full], &[]).unwrap().count(), 0);
    let changes: Vec<_> = engine.evaluate(at(6), &[&Shop::default()], &[]).unwrap().collect();
    assert_eq!(changes[0].at.at, at(99).at);
}

#[test]
fn constant_labels_can_be_asked_for() {
    let value = Term::value(sent().with("client", "x").with("zone", ""));
    let rule = Rule::when("r", value, Operator::AtLeast, 1.0).build().unwrap();
    let mut engine = engine([rule]);
    let shop = Shop { sent_ok: 1, ..Shop::default() };
    for (labels, fires) in [([("client", "y")], 0), ([("client", "x")], 1)] {
        assert_eq!(engine.evaluate(at(0), &[&shop], &labels).unwrap().count(), fires);
    }
}

#[test]
fn a_source_in_error_changes_no_state_and_loses_no_count() {
    let rule = Rule::when("r", Term::increase(sent(), MINUTE_US), Operator::AtLeast, 5.0);
    let mut engine = engine([rule.build().unwrap()]);
    let mut shop = Shop::default();
    assert_eq!(evaluate(&mut engine, at(0), &shop), []);
    shop.sent_ok = 5;
    shop.broken = true;
    let error = engine.evaluate(at(10), &[&shop], &[]).map(|_| ()).unwrap_err();
    assert!(matches!(error, VisitError::Kind { .. }));
    assert!(engine.statuses().all(|status| status.state == State::Inactive));
    shop.broken = false;
    let changes = evaluate(&mut engine, at(20), &shop);
    assert!(matches!(changes[..], [(_, State::Firing { .. }, Some(5.0))]));
}

#[test]
fn too_few_slots_for_series_give_no_value_instead_of_a_wrong_one() {
    let rules = || {
        let silence = presets::nothing_counted("silence", sent(), MINUTE_US).build().unwrap();
        let busy = Rule::when("busy", Term::value(sent()), Operator::AtLeast, 1.0);
        [silence, busy.build().unwrap()]
    };
    let shop = Shop { sent_ok: 3, sent_error: Some(0), ..Shop::default() };
    for (series_max, untracked) in [(2, 0), (1, 1), (0, 2)] {
        let mut engine = Engine::with_rules(rules(), series_max, Limits::default()).unwrap();
        for second in 0..100 {
            evaluate(&mut engine, at(second), &shop);
        }
        assert_eq!(engine.untracked_series(), untracked);
        let values: Vec<_> = engine.statuses().map(|status| status.value).collect();
        assert_eq!(values, [(untracked == 0).then_some(0.0), Some(3.0)]);
    }
}

#[test]
fn a_series_that_finds_room_late_is_not_taken_for_new() {
    // Room for one series, and two that take turns: errors until 50 s, then latencies, then errors
    // again, which have to wait for their slot from 100 to 200 s.
    let latency = Term::quantile_over(Selector::new("shop_latency_seconds"), 0.5, MINUTE_US);
    let rules = [
        Rule::when("errors", Term::increase(failed(), MINUTE_US), Operator::Above, 0.0),
        Rule::when("latency", latency, Operator::Above, 0.0),
    ];
    let rules = rules.map(|rule| rule.build().unwrap());
    let mut engine = Engine::with_rules(rules, 1, Limits::default()).unwrap();
    let mut shop = Shop::default();
    (0..1_000).for_each(|_| shop.latency_us.observe(1_000));
    for second in (0..400).step_by(10) {
        shop.sent_error = (!(50..100).contains(&second)).then_some(1_000);
        shop.latency_gone = !(50..200).contains(&second);
        let changes = evaluate(&mut engine, at(second), &shop);
        // The latencies were not there before 50 s, so they are new as far as anybody can know.
        let new = (60..130).contains(&second);
        assert!(new || changes.is_empty(), "{changes:?} at {second} s");
        assert_eq!(engine.untracked_series() > 0, second == 50 || (100..210).contains(&second));
    }
    shop.sent_error = Some(1_001);
    assert_eq!(evaluate(&mut engine, at(400), &shop).len(), 1);
}

#[test]
fn borrowed_storage_works_like_owned_and_too_little_of_it_is_refused() {
    let rules = || {
        let latency = Selector::new("shop_latency_seconds");
        let slow = Term::quantile_over(latency.clone(), 0.5, MINUTE_US);
        let slow = Rule::when("slow", slow, Operator::Above, 0.0).build().unwrap();
        let ever = Rule::when("ever", Term::quantile(latency, 0.5), Operator::Above, 0.0);
        let errors = presets::error_rate(failed(), sent()).build().unwrap();
        [slow, ever.build().unwrap(), errors]
    };
    let limits = Limits { history_points: 4, buckets: 8 };
    let needs = Needs::of(&rules(), limits);
    // Three windows of 6 points; 8 cells in 10 rows and in 2.
    assert_eq!(needs, Needs { points: 18, cells: 96 });
    let refused = |points: usize, cells: usize, limits| {
        let mut slots = rules().map(Slot::new);
        let (mut points, mut cells) = (vec![Point::default(); points], vec![7; cells]);
        let mut series = [SeriesSlot::default(); 8];
        let storage = Storage {
            rules: (&mut slots[..]).into(),
            points: (&mut points[..]).into(),
            cells: (&mut cells[..]).into(),
            series: (&mut series[..]).into(),
        };
        let mut engine = Engine::new(storage, limits)?;
        let mut shop = Shop::default();
        for second in 0..100 {
            shop.latency_us.observe(500);
            evaluate(&mut engine, at(second), &shop);
        }
        Ok(engine.statuses().filter(|status| matches!(status.state, State::Firing { .. })).count())
    };
    assert_eq!(refused(18, 96, limits), Ok(2));
    assert_eq!(refused(17, 96, limits), Err(EngineError::Points { needed: 18, given: 17 }));
    assert_eq!(refused(18, 95, limits), Err(EngineError::Cells { needed: 96, given: 95 }));
    let none = Limits { history_points: 0, ..limits };
    assert_eq!(refused(18, 96, none), Err(EngineError::HistoryPoints));
    let few = Limits { buckets: 1, ..limits };
    assert_eq!(refused(18, 96, few), Err(EngineError::Buckets { given: 1 }));
    let twice = rules().into_iter().chain(rules());
    let error = Engine::with_rules(twice, 8, limits).map(|_| ()).unwrap_err();
    assert_eq!(error, EngineError::NameTwice { first: 0, second: 3 });
}

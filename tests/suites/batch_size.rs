//! The controller of batch sizes against simulated costs: it must come close to the best size, stay
//! there, and follow when the costs change.

use turbopump_core::batch::{AdaptiveSize, Goal, SizeController};
use turbopump_core::random::SplitMix64;

/// What a batch of so many items costs, in microseconds.
type Cost = fn(f64) -> f64;

/// Costs with one best size each, of different shapes.
const CURVES: [(&str, Cost); 6] = [
    ("costly batches", |n| 2_000.0 + 10.0 * n),
    ("cheap batches", |n| 150.0 + 10.0 * n),
    ("items that get dearer", |n| 1_000.0 + 5.0 * n + 0.05 * n * n),
    ("a cliff above 128 items", |n| {
        800.0 + 4.0 * n + if n > 128.0 { 2_000.0 + 30.0 * (n - 128.0) } else { 0.0 }
    }),
    ("packets of 8 items", |n| 500.0 + 30.0 * (n / 8.0).ceil() + n),
    ("items that get cheaper", |n| 300.0 + 30.0 * n.powf(0.8)),
];

fn value(goal: Goal, items: f64, us: f64) -> f64 {
    match goal {
        Goal::Throughput { latency_us_max } if us > latency_us_max as f64 => 0.0,
        Goal::Throughput { .. } => items / us,
        _ => items / (us * us),
    }
}

fn best(size: AdaptiveSize, cost: Cost) -> (f64, f64) {
    let sizes = (size.items_min..=size.items_max).map(f64::from);
    let valued = sizes.map(|items| (value(size.goal, items, cost(items)), items));
    valued.max_by(|one, other| one.0.total_cmp(&other.0)).expect("at least one size")
}

/// Roughly normal around 1, with a spike now and then as garbage collectors and disks make them.
fn noise(random: &mut SplitMix64, spread: f64) -> f64 {
    let uniform = |random: &mut SplitMix64| random.below(1 << 20) as f64 / (1 << 20) as f64;
    let normal = (0..4).map(|_| uniform(random) - 0.5).sum::<f64>() / (4.0_f64 / 12.0).sqrt();
    let spike = if random.below(200) == 0 { 1.0 + 4.0 * spread } else { 1.0 };
    (1.0 + spread * normal).max(0.1) * spike
}

/// Runs `batches` batches; returns the sizes.
fn drive(
    controller: &mut SizeController,
    cost: Cost,
    batches: usize,
    spread: f64,
    random: &mut SplitMix64,
) -> Vec<f64> {
    let batch = |_| {
        let items = controller.items();
        let us = cost(items.into()) * noise(random, spread);
        controller.observe(items, us as u64);
        f64::from(items)
    };
    (0..batches).map(batch).collect()
}

/// How good the sizes are on average, as a share of the best; and how much they vary.
fn judge(size: AdaptiveSize, cost: Cost, sizes: &[f64]) -> (f64, f64, f64) {
    let (best_value, _) = best(size, cost);
    let mean = |numbers: &mut dyn Iterator<Item = f64>| numbers.sum::<f64>() / sizes.len() as f64;
    let quality = mean(&mut sizes.iter().map(|n| value(size.goal, *n, cost(*n)))) / best_value;
    let middle = mean(&mut sizes.iter().copied());
    let variance = mean(&mut sizes.iter().map(|n| (n - middle) * (n - middle)));
    (quality, middle, variance.sqrt() / middle)
}

/// The last so many sizes are what is judged.
const JUDGED: usize = 3_000;

/// At least nine tenths of what is best; and sizes that do not swing: those that are tried lie up
/// to 25 % from the middle, and in much noise the middle wanders as well.
fn assert_good(size: AdaptiveSize, cost: Cost, sizes: &[f64], spread: f64, about: &str) {
    let (quality, middle, variation) = judge(size, cost, sizes);
    let best = best(size, cost).1;
    println!("{about}: {quality:.3} of the best, size {middle:.0} ({best}) +- {variation:.2}");
    assert!(quality >= 0.9, "{about}: {quality:.3} of what is best");
    let variation_max = if spread > 0.1 { 0.4 } else { 0.25 };
    assert!(variation <= variation_max, "{about}: sizes vary by {variation:.2}");
}

fn check(goal: Goal, start: u32, spread: f64, seed: u64) {
    let size = AdaptiveSize { goal, ..AdaptiveSize::DEFAULT };
    for (name, cost) in CURVES {
        let mut random = SplitMix64::new(seed);
        let mut controller = SizeController::new(size, start);
        drive(&mut controller, cost, 3_000, spread, &mut random);
        let sizes = drive(&mut controller, cost, JUDGED, spread, &mut random);
        let about = format!("{name}, {goal:?}, from {start}, noise {spread}, seed {seed}");
        assert_good(size, cost, &sizes, spread, &about);
    }
}

#[test]
fn finds_the_balance_without_noise() {
    for start in [1, 100, 500] {
        check(Goal::Balance, start, 0.0, 1);
    }
}

#[test]
fn finds_the_balance_in_noise() {
    for seed in 1..=40 {
        for spread in [0.05, 0.1, 0.2] {
            check(Goal::Balance, 100, spread, seed);
        }
    }
}

#[test]
fn finds_the_most_throughput_within_a_latency() {
    // For each of these costs, more items are cheaper until the limit is reached.
    for latency_us_max in [1_500, 2_500, 5_000] {
        for spread in [0.0, 0.05] {
            let size =
                AdaptiveSize { goal: Goal::Throughput { latency_us_max }, ..AdaptiveSize::DEFAULT };
            for (name, cost) in &CURVES[1..3] {
                let mut random = SplitMix64::new(latency_us_max);
                let mut controller = SizeController::new(size, 20);
                drive(&mut controller, *cost, 3_000, spread, &mut random);
                let sizes = drive(&mut controller, *cost, JUDGED, spread, &mut random);
                // The limit is one of the mean: what lies a little above it is not worthless.
                let mean_us = sizes.iter().map(|n| cost(*n)).sum::<f64>() / sizes.len() as f64;
                let about = format!("{name}, within {latency_us_max} us, noise {spread}");
                println!("{about}: {mean_us:.0} us");
                assert!(mean_us <= latency_us_max as f64 * 1.1, "{about}: takes {mean_us:.0} us");
                let rate = |n: &f64| n / cost(*n);
                let mean_rate = sizes.iter().map(rate).sum::<f64>() / sizes.len() as f64;
                let best_rate = best(size, *cost).0;
                assert!(mean_rate >= 0.9 * best_rate, "{about}: {mean_rate} of {best_rate}");
            }
        }
    }
}

#[test]
fn follows_costs_that_change() {
    let size = AdaptiveSize::DEFAULT;
    for seed in 1..=20 {
        let mut random = SplitMix64::new(seed);
        let mut controller = SizeController::new(size, 100);
        // Each pair of neighbours is a change that the controller is not told of.
        for (name, cost) in CURVES.into_iter().chain(CURVES.into_iter().rev()) {
            drive(&mut controller, cost, 4_000, 0.1, &mut random);
            let sizes = drive(&mut controller, cost, JUDGED, 0.1, &mut random);
            assert_good(size, cost, &sizes, 0.1, &format!("{name}, after a change, seed {seed}"));
        }
    }
}

#[test]
fn keeps_within_its_limits() {
    for (items_min, items_max) in [(1, 1), (1, 2), (7, 7), (10, 12), (1, u32::MAX / 2)] {
        let size = AdaptiveSize { items_min, items_max, goal: Goal::Balance };
        let mut random = SplitMix64::new(5);
        let mut controller = SizeController::new(size, 1_000);
        for _ in 0..5_000 {
            let items = controller.items();
            assert!((items_min..=items_max).contains(&items), "{items} for {size:?}");
            // Whatever it is told, absurd times and other sizes than asked for included.
            let told = if random.below(3) == 0 { random.below(1 << 31) as u32 } else { items };
            controller.observe(told, random.next_u64() >> random.below(64));
        }
    }
}

#[test]
fn ignores_batches_that_few_items_were_there_for() {
    let mut controller = SizeController::new(AdaptiveSize::DEFAULT, 200);
    let before = controller.items();
    for _ in 0..10_000 {
        controller.observe(3, 500);
    }
    assert_eq!(controller.items(), before);
}

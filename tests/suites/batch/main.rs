//! The accumulator under any interleaving of inputs and time, against a model that keeps lists.
//!
//! Every transition is compared: what is refused, what is handed out and when, how each item is
//! settled, what is counted, when it asks to be called again. The drivers check besides that each
//! item is settled once and then gone, that limits and order are kept, that no attempt begins too
//! late, and that timers neither lie nor spin.

extern crate alloc;

mod model;
mod world;

use proptest::collection::vec;
use proptest::prelude::*;
use turbopump_core::batch::{
    AdaptiveSize, Backoff, BatchConfig, Goal, LoadRule, RetryPolicy, SizePolicy,
};
use world::{Step, World};

/// Limits are small, so that all of them are met often.
const ITEM_BYTES_MAX: u64 = 100;

fn step() -> impl Strategy<Value = Step> {
    let deadline_us = prop_oneof![
        3 => Just(None),
        1 => (0_u64..200_000).prop_map(Some),
        1 => (0_u64..30_000).prop_map(Some),
        // Just when a retry would begin, or at a time that is reached exactly.
        1 => Just(Some(50_000)),
        1 => Just(Some(100_000)),
    ];
    let push = (0..ITEM_BYTES_MAX + 5, deadline_us);
    let concluded_before_us = prop_oneof![2 => Just(None), 1 => (0_u64..5_000).prop_map(Some)];
    let outcomes = prop_oneof![1 => Just(0), 4 => any::<u64>()];
    let settle = (any::<usize>(), outcomes, concluded_before_us);
    prop_oneof![
        12 => push.prop_map(|(bytes, deadline_us)| Step::Push { bytes, deadline_us }),
        3 => vec(0..ITEM_BYTES_MAX + 2, 0..12).prop_map(Step::PushMany),
        4 => (0_u64..30_000).prop_map(|us| Step::Advance { us }),
        1 => (0_u64..500_000).prop_map(|us| Step::Advance { us }),
        1 => Just(Step::Advance { us: 50_000 }),
        3 => Just(Step::AdvanceToTimeout),
        8 => Just(Step::Poll),
        5 => settle.prop_map(|(which, outcomes, concluded_before_us)| {
            Step::Settle { which, outcomes, concluded_before_us }
        }),
        1 => any::<usize>().prop_map(|which| Step::Drop { which }),
        1 => Just(Step::Flush),
        1 => (0.0..1.0).prop_map(Step::Load),
    ]
}

/// Steps, and perhaps an end that is noticed by what comes after it.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    let end = prop_oneof![Just(Step::Shutdown), Just(Step::Abandon), Just(Step::Poll)];
    (vec(step(), 0..150), end, vec(step(), 0..40))
        .prop_map(|(before, end, after)| [before, vec![end], after].concat())
}

fn config() -> impl Strategy<Value = BatchConfig> {
    // Sizes that differ, so that batches end elsewhere than they seemed to when they were filled.
    let rule =
        LoadRule { items_at_high: 2, items_between: 3, items_at_low: 5, ..LoadRule::DEFAULT };
    let adaptive = AdaptiveSize { items_min: 1, items_max: 9, goal: Goal::Balance };
    let size = prop_oneof![
        3 => Just(SizePolicy::Fixed),
        2 => Just(SizePolicy::ByLoad(rule)),
        1 => Just(SizePolicy::Adaptive(adaptive)),
    ];
    let backoff =
        prop_oneof![Just(Backoff::Fixed), Just(Backoff::Exponential { delay_us_max: 120_000 })];
    let retry = (0_u32..4, backoff, prop_oneof![Just(0.0), 0.0..1.0]);
    let ordered = prop_oneof![4 => Just(false), 1 => Just(true)];
    (1_u32..8, 100_u64..400, 0_u64..20_000, 1_u32..25, 1_u32..5, ordered, retry, size).prop_map(
        |(items_max, bytes_max, linger_us, waiting_max, in_flight_max, ordered, retry, size)| {
            let (retries_max, backoff, jitter) = retry;
            BatchConfig {
                items_max,
                bytes_max,
                item_bytes_max: ITEM_BYTES_MAX,
                linger_us,
                waiting_max,
                in_flight_max,
                ordered,
                retry: RetryPolicy { retries_max, delay_us: 50_000, backoff, jitter },
                size,
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(turbopump_tests::effort::cases(10_000)))]

    #[test]
    fn does_what_the_model_does(config in config(), steps in steps()) {
        let mut world = World::new(config);
        steps.iter().for_each(|step| world.take(step));
        world.finish();
    }

    /// Polled whenever it asks for it, no item waits longer than the linger time for its first
    /// attempt, as long as batches come back at once.
    #[test]
    fn nobody_lingers_too_long(
        linger_us in 1_u64..20_000,
        items_max in 1_u32..10,
        gaps in vec(
            (0_u64..5_000, prop_oneof![Just(None), (10_u64..30_000).prop_map(Some)]),
            1..100,
        ),
    ) {
        let config = BatchConfig { linger_us, items_max, ..BatchConfig::default() };
        let mut world = World::new(config);
        for (gap, deadline_us) in gaps {
            let until = world.now.plus_us(gap);
            while let Some(at) = world.batcher.poll_timeout().filter(|at| *at <= until) {
                world.now = at;
                settle_all(&mut world);
            }
            world.now = until;
            world.push(1, deadline_us);
            settle_all(&mut world);
        }
        world.finish();
        let counters = world.batcher.counters();
        prop_assert_eq!(counters.succeeded.get(), counters.items.get(), "nothing is too late");
    }
}

fn settle_all(world: &mut World) {
    while world.poll() {
        let (key, batch) = world.out.pop().expect("just polled");
        let group = world.model.out.last().expect("just polled");
        for item in &group.items {
            let waited_us = world.now.us_since(item.pushed_at);
            assert!(waited_us <= world.config.linger_us, "waited {waited_us} us");
        }
        world.settle(key, batch, 0, None);
    }
}

//! The consumer's machines against plain models, and several of them together against a model of a
//! broker.

extern crate alloc;

mod group;
mod member;
mod model;
mod properties;

/// Runs a seed of the simulation; failures name it.
fn run(seed: u64, is_ordered: bool) -> group::Counts {
    let result = std::panic::catch_unwind(|| group::Group::new(seed, is_ordered).run());
    result.unwrap_or_else(|_| panic!("seed {seed}, ordered: {is_ordered}; try SEED={seed}"))
}

/// Members come, leave, crash and are cut off, handlers are slow and fail, answers are lost; and
/// yet each message is handled, offsets never go back, and repeats are bounded.
#[test]
fn groups_lose_nothing_and_share_nothing() {
    if let Ok(seed) = std::env::var("SEED") {
        let seed = seed.parse().expect("SEED is a number");
        run(seed, false);
        run(seed, true);
        return;
    }
    let mut all = group::Counts::default();
    for seed in 0..u64::from(turbopump_tests::effort::cases(150)) {
        for is_ordered in [false, true] {
            all.add(&run(seed, is_ordered));
        }
    }
    // What never happens is not tested.
    let seen = [all.joins, all.leaves, all.crashes, all.lost_answers, all.failures, all.send_backs];
    assert!(seen.iter().all(|count| *count > 20), "{all:?}");
    assert!(
        all.stale_results > 0 && all.cuts > 20 && all.handled > 1_000 && all.waits > 0,
        "{all:?}"
    );
}

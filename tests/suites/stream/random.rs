//! Anything that two users may do, over a wire that cuts everything to pieces.

use proptest::collection::vec;
use proptest::prelude::*;
use turbopump_core::stream::StreamConfig;

use crate::world::World;

#[derive(Clone, Debug)]
enum Step {
    Open { side: usize },
    Accept { side: usize },
    Write { side: usize, which: usize, len: usize, by_chunk: bool },
    Read { side: usize, which: usize, len: usize, by_chunk: bool },
    Finish { side: usize, which: usize },
    Reset { side: usize, which: usize },
    Release { side: usize, which: usize },
    Transmit { side: usize, writes: usize },
    Receive { side: usize, bytes: usize },
    Advance { us: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let side = || 0_usize..2;
    let which = any::<usize>;
    let len = || prop_oneof![4 => 0_usize..300, 3 => 0_usize..5_000, 1 => 0_usize..200_000];
    prop_oneof![
        3 => side().prop_map(|side| Step::Open { side }),
        4 => side().prop_map(|side| Step::Accept { side }),
        14 => (side(), which(), len(), any::<bool>())
            .prop_map(|(side, which, len, by_chunk)| Step::Write { side, which, len, by_chunk }),
        10 => (side(), which(), len(), any::<bool>())
            .prop_map(|(side, which, len, by_chunk)| Step::Read { side, which, len, by_chunk }),
        2 => (side(), which()).prop_map(|(side, which)| Step::Finish { side, which }),
        1 => (side(), which()).prop_map(|(side, which)| Step::Reset { side, which }),
        1 => (side(), which()).prop_map(|(side, which)| Step::Release { side, which }),
        8 => (side(), 1_usize..4).prop_map(|(side, writes)| Step::Transmit { side, writes }),
        10 => (side(), prop_oneof![0_usize..30, 0_usize..2_000, 0_usize..100_000])
            .prop_map(|(side, bytes)| Step::Receive { side, bytes }),
        1 => (0_u64..20_000_000).prop_map(|us| Step::Advance { us }),
    ]
}

fn config() -> impl Strategy<Value = StreamConfig> {
    let segment = prop_oneof![Just(1_024_usize), Just(4_096), Just(16_384)];
    (1_usize..12, 1_usize..6, 1_usize..6, segment, any::<bool>(), any::<bool>()).prop_map(
        |(streams_max, backlog, unacknowledged, segment, wide, tight)| {
            let mut config = StreamConfig::default();
            config.streams_max = streams_max;
            config.accept_backlog = backlog;
            config.unacknowledged_max = unacknowledged;
            config.segment_bytes = segment;
            if wide {
                config.window_bytes = 400_000;
            }
            config.receive_budget_bytes =
                if tight { 300_000 } else { streams_max * config.window_bytes as usize };
            config
        },
    )
}

fn play(world: &mut World, step: Step) {
    let users = |world: &World, side: usize| world.sides[side].users.len();
    match step {
        Step::Open { side } => {
            world.sides[side].open();
        }
        Step::Accept { side } => {
            world.sides[side].accept();
        }
        Step::Write { side, which, len, by_chunk } if users(world, side) > 0 => {
            let which = which % users(world, side);
            world.sides[side].write(which, len, by_chunk);
        }
        Step::Read { side, which, len, by_chunk } if users(world, side) > 0 => {
            let which = which % users(world, side);
            world.sides[side].read(which, len, by_chunk);
        }
        Step::Finish { side, which } if users(world, side) > 0 => {
            let which = which % users(world, side);
            world.sides[side].finish(which);
        }
        Step::Reset { side, which } if users(world, side) > 0 => {
            let which = which % users(world, side);
            world.sides[side].reset(which);
        }
        Step::Release { side, which } if users(world, side) > 0 => {
            let which = which % users(world, side);
            world.sides[side].release(which);
        }
        Step::Transmit { side, writes } => world.transmit(side, writes),
        Step::Receive { side, bytes } => world.receive(side, bytes),
        Step::Advance { us } => world.advance(us),
        _ => {}
    }
    world.sides.iter().for_each(|side| side.check());
}

/// All finish and read to the end, and only those do anything who were not told to wait: an event
/// that does not come hangs the test.
fn wind_up(world: &mut World) {
    for _round in 0..10_000 {
        world.settle();
        let mut moved = false;
        for side in &mut world.sides {
            if !side.accept_blocked {
                while side.accept() {
                    moved = true;
                }
            }
            for which in 0..side.users.len() {
                if !side.users[which].finished {
                    side.finish(which);
                    moved |= side.users[which].finished;
                }
                while !side.users[which].read_blocked && !side.users[which].end_seen {
                    side.read(which, 10_000, false);
                    moved = true;
                }
            }
        }
        if !moved {
            return;
        }
    }
    panic!("it never ends");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn bytes_arrive_exactly_and_limits_hold(
        configs in (config(), config()),
        steps in vec(step(), 1..400),
    ) {
        let mut world = World::new([&configs.0, &configs.1]);
        for step in steps {
            play(&mut world, step);
        }
        wind_up(&mut world);
        check_delivery(&world);

        for side in &mut world.sides {
            while !side.users.is_empty() {
                side.release(0);
            }
        }
        // Those that lingered are given up.
        world.advance(60_000_000);
        world.settle();
        for side in &world.sides {
            let status = side.machine.status();
            assert_eq!(side.closed, None, "nobody broke the protocol");
            assert_eq!((status.streams, status.unread_bytes, status.unacknowledged), (0, 0, 0));
            assert_eq!(side.pool.stats().in_use, 0, "all buffers are back");
            assert!(status.round_trip_us.is_some());
        }
    }
}

/// What was written on one side was read on the other, unless somebody broke the stream.
fn check_delivery(world: &World) {
    for (index, side) in world.sides.iter().enumerate() {
        let peer = &world.sides[1 - index];
        for user in side.users.iter().chain(&side.past) {
            let id = user.key.id();
            let broken = side.broken.contains(&id) || peer.broken.contains(&id);
            let mut others = peer.users.iter().chain(&peer.past);
            let other = others.find(|other| other.key.id() == id);
            if broken {
                continue;
            }
            let Some(other) = other else {
                assert!(user.error.is_some(), "stream {id} was refused, or both have it");
                continue;
            };
            if user.error.is_some() || other.error.is_some() {
                // Only a budget that is too small for the window does that.
                let overruns = |side: &crate::world::Side| side.machine.counters().overruns;
                assert!(overruns(side) + overruns(peer) > 0, "stream {id}: {user:?} {other:?}");
                continue;
            }
            assert!(user.end_seen && other.end_seen);
            assert_eq!(user.written, other.read, "stream {id}");
        }
    }
}

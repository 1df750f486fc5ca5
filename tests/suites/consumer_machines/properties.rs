//! Each machine against a model that is as plain as can be.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;
use turbopump_core::rocketmq::consumer::{
    Epoch, Flow, FlowCell, FlowLimits, Held, Seen, SeenCell, Strategy as Allocation, UniqueId,
    Window, WindowCell, allocate,
};
use turbopump_core::rocketmq::wire::rebalance::{Queue, RingPoint, Share};

fn room_of(name: &str) -> &str {
    name.split_once('@').map_or(name, |(room, _)| room)
}

fn nearby(share: Share) -> Allocation<'static> {
    Allocation::MachineRoomNearby { share, room_of_broker: room_of, room_of_client: room_of }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Over all members, each queue has exactly one owner.
    #[test]
    fn each_queue_has_one_owner(
        brokers in prop::collection::btree_map("r[0-3]@[a-c]", 0_i32..7, 0..5),
        clients in prop::collection::btree_set("r[0-4]@[a-z]{1,3}", 1..8),
    ) {
        let clients: Vec<&str> = clients.iter().map(String::as_str).collect();
        let queues: Vec<Queue<'_>> = brokers
            .iter()
            .flat_map(|(name, count)| (0..*count).map(move |queue_id| (name, queue_id)))
            .map(|(broker_name, queue_id)| Queue { broker_name, queue_id })
            .collect();
        for strategy in [
            Allocation::Averagely,
            Allocation::AveragelyByCircle,
            Allocation::ByMachineRoom(&["r0", "r1", "r2", "r3"]),
            nearby(Share::Average),
            nearby(Share::AverageByCircle),
            Allocation::CONSISTENT_HASH,
        ] {
            let mut owners = vec![0; queues.len()];
            let mut memory = vec![RingPoint::default(); strategy.points(clients.len())];
            for own in &clients {
                let take = |queue: usize| owners[queue] += 1;
                allocate(strategy, "T", &queues, &clients, own, &mut memory, take).unwrap();
            }
            prop_assert!(owners.iter().all(|count| *count == 1), "{strategy:?} {owners:?}");
        }
    }

    /// The commit offset is the lowest that is not settled, and never goes back.
    #[test]
    fn windows_commit_what_is_settled(
        steps in prop::collection::vec((0_u8..8, 0_usize..40, 1_i64..4), 1..200),
        cells in 1_usize..24,
    ) {
        let mut window = Window::new(vec![WindowCell::default(); cells].into_boxed_slice());
        let mut epoch = Epoch(1);
        window.reset(epoch, 0);
        let mut waiting: BTreeMap<i64, u32> = BTreeMap::new();
        let (mut next, mut last_commit) = (0, 0);
        for (kind, which, gap) in steps {
            match kind {
                0..=2 => {
                    let offsets: Vec<(i64, u32)> =
                        (0..which as i64 % 6).map(|index| (next + index * gap, 7)).collect();
                    let end = next + offsets.len() as i64 * gap;
                    let fits = offsets.len() <= window.room();
                    let extended = window.extend(epoch, offsets.iter().copied(), end);
                    prop_assert_eq!(extended.is_ok(), fits);
                    if fits {
                        waiting.extend(offsets);
                        next = end;
                    }
                }
                3..=6 => {
                    let offset = waiting.keys().nth(which % waiting.len().max(1)).copied();
                    let offset = offset.unwrap_or(which as i64);
                    let settled = window.settle(epoch, offset).ok();
                    prop_assert_eq!(settled, waiting.remove(&offset));
                    prop_assert!(window.settle(epoch, offset).is_err(), "once");
                    prop_assert!(window.settle(Epoch(0), offset).is_err());
                }
                _ if which == 0 => {
                    epoch = epoch.next();
                    next = next.min(gap);
                    last_commit = next;
                    window.reset(epoch, next);
                    waiting.clear();
                }
                _ => {}
            }
            let commit = waiting.keys().next().copied().unwrap_or(next);
            prop_assert_eq!(window.commit_offset(), commit);
            prop_assert!(commit >= last_commit);
            last_commit = commit;
            prop_assert_eq!(window.messages(), waiting.len());
            prop_assert_eq!(window.bytes(), waiting.len() as u64 * 7);
            prop_assert!(window.unsettled().eq(waiting.keys().copied()));
        }
    }

    /// The budget holds, who waits is served in turn, and everything comes back.
    #[test]
    fn flows_hold_the_budget_and_are_fair(
        steps in prop::collection::vec((0_u8..6, 0_usize..6, 0_u32..9), 1..200),
    ) {
        let mut limits = FlowLimits::DEFAULT;
        (limits.messages_max, limits.bytes_max) = (20, 1_000);
        (limits.pull_messages_max, limits.pull_bytes_max) = (8, 300);
        let cells = vec![FlowCell::default(); 6].into_boxed_slice();
        let mut flow = Flow::new(limits, cells).unwrap();
        let mut ring: VecDeque<usize> = VecDeque::new();
        let mut reserved: BTreeMap<usize, (u32, u32)> = BTreeMap::new();
        let mut held = [(0_u32, 0_u64); 6];
        for (kind, queue, count) in steps {
            match kind {
                0 | 1 => match flow.reserve(queue, 0).unwrap() {
                    Ok(grant) => {
                        prop_assert!(ring.is_empty(), "others were there first");
                        let granted = (grant.messages, grant.bytes);
                        prop_assert!(reserved.insert(queue, granted).is_none());
                    }
                    Err(Held::InFlight) => prop_assert!(reserved.contains_key(&queue)),
                    Err(held) => {
                        prop_assert_eq!(held, Held::Budget);
                        if !ring.contains(&queue) {
                            ring.push_back(queue);
                        }
                    }
                },
                2 => if let Some((messages, bytes)) = reserved.remove(&queue) {
                    let (messages, bytes) = (count.min(messages), (count * 40).min(bytes));
                    flow.handle_pulled(queue, messages, bytes.into());
                    held[queue].0 += messages;
                    held[queue].1 += u64::from(bytes);
                },
                3 => {
                    let (messages, bytes) = held[queue];
                    let settled = (count.min(messages), u64::from(count * 40).min(bytes));
                    flow.handle_settled(queue, settled.0, settled.1);
                    held[queue].0 -= settled.0;
                    held[queue].1 -= settled.1;
                }
                4 => {
                    flow.cancel(queue);
                    reserved.remove(&queue);
                    ring.retain(|other| *other != queue);
                }
                _ => if let Some((queue, grant)) = flow.poll_granted() {
                    prop_assert_eq!(ring.pop_front(), Some(queue));
                    reserved.insert(queue, (grant.messages, grant.bytes));
                },
            }
            let messages = held.iter().map(|held| u64::from(held.0)).sum::<u64>()
                + reserved.values().map(|grant| u64::from(grant.0)).sum::<u64>();
            prop_assert_eq!(flow.messages(), messages);
            prop_assert!(flow.messages() <= 20 && flow.bytes() <= 1_000);
            prop_assert_eq!(flow.waiting(), ring.len());
        }
        (0..6).for_each(|queue| flow.forget(queue));
        prop_assert_eq!((flow.messages(), flow.bytes(), flow.waiting()), (0, 0, 0));
    }

    /// Known is what was put in lately, and nothing else.
    #[test]
    fn ids_are_known_as_long_as_there_is_room(
        ids in prop::collection::vec(0_u8..60, 1..300),
        cells in 1_usize..40,
        seed in any::<u64>(),
    ) {
        let mut seen = Seen::new(vec![SeenCell::default(); cells].into_boxed_slice(), seed);
        let mut known: VecDeque<u8> = VecDeque::new();
        for number in ids {
            let is_new = !known.contains(&number);
            prop_assert_eq!(seen.insert(UniqueId([number; 16])), is_new);
            if is_new {
                known.push_back(number);
                if known.len() > cells {
                    known.pop_front();
                }
            }
            let set: BTreeSet<u8> = known.iter().copied().collect();
            for other in 0..60 {
                let is_known = seen.contains(&UniqueId([other; 16]));
                prop_assert_eq!(is_known, set.contains(&other));
            }
        }
    }
}

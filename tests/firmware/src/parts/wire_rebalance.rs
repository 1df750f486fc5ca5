//! Who consumes which queue of RocketMQ, by all strategies.

use turbopump_core::rocketmq::wire::rebalance::{
    HashRing, Queue, RingPoint, Share, average, average_by_circle, configured, machine_room,
    machine_room_nearby,
};

use crate::check::{Checks, check, must};

#[inline(never)]
pub(crate) fn run(checks: &mut Checks) {
    check!(checks, average(8, 3, 1) == (3..6));
    check!(checks, average_by_circle(8, 3, 1).eq([1, 4, 7]));
    let queues = [0, 1, 2, 3].map(|queue_id| Queue { broker_name: "r@b", queue_id });
    check!(checks, configured(&queues, &queues[1..2]).eq([1]));
    check!(checks, machine_room(&queues, &["r"], 2, 1).eq([2, 3]));
    let room = |queue: &Queue<'_>| queue.broker_name.len();
    let near = machine_room_nearby(&queues, &["r-x"], 0, Share::Average, room, |id| id.len());
    check!(checks, near.eq(0..4));
    let mut memory = [RingPoint::default(); 20];
    let ring = must(HashRing::new(&["a", "b"], 10, &mut memory));
    check!(checks, ring.share("T", &queues, 0).chain(ring.share("T", &queues, 1)).count() == 4);
}

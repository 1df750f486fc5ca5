//! Which queues of a topic belong to a member of a group.
//!
//! The module decides the share, by one of RocketMQ's six strategies, with the results of Java's
//! clients: a group may be mixed. The rules themselves are in
//! [`rebalance`](crate::rocketmq::wire::rebalance); here they are one call whose input is checked.
//! Asking who the members are, and when, is left to the caller.

use core::error::Error;
use core::fmt;

use crate::rocketmq::wire::rebalance::{
    HashRing, Queue, RingPoint, RingTooSmall, Share, VIRTUAL_NODES, average, average_by_circle,
    configured, machine_room, machine_room_nearby,
};

/// How the queues of a topic are shared. All members of a group have to use the same.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub enum Strategy<'a> {
    /// Neighbours; the first members get one more where it does not come out even. Java's default.
    #[default]
    Averagely,
    /// Each member in turn gets a queue.
    AveragelyByCircle,
    /// These queues, as far as they are there, in this order.
    ByConfiguration(&'a [Queue<'a>]),
    /// Queues of brokers named `room@name` in these rooms are shared; the others are nobody's.
    ByMachineRoom(&'a [&'a str]),
    /// Each room's queues go to the members in it; those of rooms without members to all.
    MachineRoomNearby {
        /// How queues are shared within a room, and those of rooms without members among all.
        share: Share,
        /// The room of a broker, by the broker's name.
        room_of_broker: for<'n> fn(&'n str) -> &'n str,
        /// The room of a member, by its client id.
        room_of_client: for<'n> fn(&'n str) -> &'n str,
    },
    /// By places on a ring: a member that comes or goes moves few queues of the others.
    ConsistentHash {
        /// The places of each member; Java has ten.
        virtual_nodes: usize,
    },
}

impl Strategy<'_> {
    /// Consistent hashing with the ten places of Java.
    pub const CONSISTENT_HASH: Self = Self::ConsistentHash { virtual_nodes: VIRTUAL_NODES };

    /// The name that Java has for it, as request 400 carries it. That of the machine room nearby
    /// has the name of the strategy within a room behind a `-`, which is left out here.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Averagely => "AVG",
            Self::AveragelyByCircle => "AVG_BY_CIRCLE",
            Self::ByConfiguration(_) => "CONFIG",
            Self::ByMachineRoom(_) => "MACHINE_ROOM",
            Self::MachineRoomNearby { .. } => "MACHINE_ROOM_NEARBY",
            Self::ConsistentHash { .. } => "CONSISTENT_HASH",
        }
    }

    /// The points that [`allocate`] needs for so many members; 0 for all but consistent hashing.
    #[must_use]
    pub const fn points(&self, clients: usize) -> usize {
        match self {
            Self::ConsistentHash { virtual_nodes } => clients.saturating_mul(*virtual_nodes),
            _ => 0,
        }
    }
}

/// Calls `take` with the position of each own queue in `queues`, in the order of the strategy.
///
/// `clients` are the ids of all members, and `queues` all queues of `topic`; both are sorted, ids
/// as texts, queues by broker and number, and none comes twice: members that sort differently take
/// the same queue. `memory` has at least [`Strategy::points`] points.
///
/// ```
/// use turbopump_core::rocketmq::consumer::{Strategy, allocate};
/// use turbopump_core::rocketmq::wire::rebalance::Queue;
///
/// let queues = [0, 1, 2, 3, 4].map(|queue_id| Queue { broker_name: "b", queue_id });
/// let clients = ["10.0.0.1@1", "10.0.0.2@1"];
/// let mut own = 0;
/// let take = |queue| own |= 1 << queue;
/// allocate(Strategy::Averagely, "T", &queues, &clients, "10.0.0.2@1", &mut [], take)?;
/// assert_eq!(own, 0b11000);
/// # Ok::<(), turbopump_core::rocketmq::consumer::Unallocated>(())
/// ```
///
/// # Errors
///
/// [`Unallocated`], before anything is taken.
pub fn allocate<'q>(
    strategy: Strategy<'_>,
    topic: &str,
    queues: &[Queue<'q>],
    clients: &[&'q str],
    own: &str,
    memory: &mut [RingPoint],
    mut take: impl FnMut(usize),
) -> Result<(), Unallocated> {
    let mut pairs = clients.iter().zip(clients.iter().skip(1));
    if let Some(at) = pairs.position(|(first, second)| first >= second) {
        return Err(Unallocated::ClientsUnsorted { position: at.saturating_add(1) });
    }
    let mut pairs = queues.iter().zip(queues.iter().skip(1));
    if let Some(at) = pairs.position(|(first, second)| first >= second) {
        return Err(Unallocated::QueuesUnsorted { position: at.saturating_add(1) });
    }
    let count = clients.len();
    let index = clients.binary_search(&own);
    let index = index.map_err(|_| Unallocated::NotListed { clients: count })?;
    match strategy {
        Strategy::Averagely => average(queues.len(), count, index).for_each(take),
        Strategy::AveragelyByCircle => {
            average_by_circle(queues.len(), count, index).for_each(take);
        }
        Strategy::ByConfiguration(wanted) => {
            // `configured` wants one lifetime for both.
            for wanted in wanted {
                configured(queues, core::slice::from_ref(wanted)).for_each(&mut take);
            }
        }
        Strategy::ByMachineRoom(rooms) => {
            machine_room(queues, rooms, count, index).for_each(take);
        }
        Strategy::MachineRoomNearby { share, room_of_broker, room_of_client } => {
            let of_queue = |queue: &Queue<'q>| room_of_broker(queue.broker_name);
            let of_client = |client: &&'q str| room_of_client(client);
            machine_room_nearby(queues, clients, index, share, of_queue, of_client).for_each(take);
        }
        Strategy::ConsistentHash { virtual_nodes } => {
            let ring = HashRing::new(clients, virtual_nodes, memory)?;
            ring.share(topic, queues, index).for_each(take);
        }
    }
    Ok(())
}

/// Why nothing was allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unallocated {
    /// The own id is not among the members: the broker has not heard of this member yet, or has
    /// forgotten it.
    NotListed {
        /// The members that there are.
        clients: usize,
    },
    /// The members are not sorted, or one comes twice.
    ClientsUnsorted {
        /// Which is out of order.
        position: usize,
    },
    /// The queues are not sorted, or one comes twice.
    QueuesUnsorted {
        /// Which is out of order.
        position: usize,
    },
    /// There is not enough memory for the ring of consistent hashing.
    Ring(RingTooSmall),
}

impl fmt::Display for Unallocated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotListed { clients } => write!(
                f,
                "the own id is not among the {clients} members of the group: send a heartbeat to \
                 the broker, and ask again"
            ),
            Self::ClientsUnsorted { position } => write!(
                f,
                "member {position} is out of order or comes twice: sort the ids, and drop repeats"
            ),
            Self::QueuesUnsorted { position } => write!(
                f,
                "queue {position} is out of order or comes twice: sort by broker and number"
            ),
            Self::Ring(error) => error.fmt(f),
        }
    }
}

impl Error for Unallocated {}

impl From<RingTooSmall> for Unallocated {
    fn from(error: RingTooSmall) -> Self {
        Self::Ring(error)
    }
}

#[cfg(test)]
mod tests {
    extern crate alloc;
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;

    fn queues(brokers: &[(&'static str, i32)]) -> Vec<Queue<'static>> {
        let numbered =
            |&(broker_name, count)| (0..count).map(move |queue_id| Queue { broker_name, queue_id });
        brokers.iter().flat_map(numbered).collect()
    }

    fn share(
        strategy: Strategy<'_>,
        queues: &[Queue<'_>],
        clients: &[&str],
        own: usize,
    ) -> Vec<usize> {
        let mut memory = vec![RingPoint::default(); strategy.points(clients.len())];
        let mut share = Vec::new();
        let own = clients.get(own).copied().unwrap_or("nobody");
        allocate(strategy, "T", queues, clients, own, &mut memory, |queue| share.push(queue))
            .unwrap();
        share
    }

    fn before_at(name: &str) -> &str {
        name.split_once('@').map_or("", |(room, _)| room)
    }

    /// Worked out by hand from Java's rules.
    #[test]
    fn each_strategy_has_the_results_of_java() {
        let eight = queues(&[("a", 4), ("b", 4)]);
        let clients = ["c0", "c1", "c2"];
        let all =
            |strategy: Strategy<'_>| [0, 1, 2].map(|own| share(strategy, &eight, &clients, own));
        assert_eq!(all(Strategy::Averagely), [vec![0, 1, 2], vec![3, 4, 5], vec![6, 7]]);
        assert_eq!(all(Strategy::AveragelyByCircle), [vec![0, 3, 6], vec![1, 4, 7], vec![2, 5]]);
        let wanted = [("b", 1), ("x", 0), ("a", 0)]
            .map(|(broker_name, queue_id)| Queue { broker_name, queue_id });
        assert_eq!(share(Strategy::ByConfiguration(&wanted), &eight, &clients, 2), [5, 0]);
        // Fewer queues than members: the first get one each.
        let two = queues(&[("a", 2)]);
        let by = |own| share(Strategy::Averagely, &two, &clients, own);
        assert_eq!([by(0), by(1), by(2)], [vec![0], vec![1], vec![]]);
    }

    #[test]
    fn rooms_keep_their_queues() {
        let all = queues(&[("r1@a", 3), ("r2@b", 2), ("r3@c", 3)]);
        let clients = ["r1@x", "r1@y", "r2@z"];
        let by_room = |own| share(Strategy::ByMachineRoom(&["r1", "r3"]), &all, &clients, own);
        // Six queues for three members: 0, 1, 2 of r1 and 5, 6, 7 of r3.
        assert_eq!([by_room(0), by_room(1), by_room(2)], [vec![0, 1], vec![2, 5], vec![6, 7]]);
        let nearby = |share| Strategy::MachineRoomNearby {
            share,
            room_of_broker: before_at,
            room_of_client: before_at,
        };
        let by = |strategy| [0, 1, 2].map(|own| share(strategy, &all, &clients, own));
        // r1's three for its two members, r2's two for its one, r3's three for all.
        let expected = [vec![0, 1, 5], vec![2, 6], vec![3, 4, 7]];
        assert_eq!(by(nearby(Share::Average)), expected);
        let expected = [vec![0, 2, 5], vec![1, 6], vec![3, 4, 7]];
        assert_eq!(by(nearby(Share::AverageByCircle)), expected);
    }

    #[test]
    fn what_would_make_members_disagree_is_refused() {
        let two = queues(&[("a", 2)]);
        let allocate = |queues: &[Queue<'_>], clients: &[&str], strategy| {
            allocate(strategy, "T", queues, clients, "c1", &mut [], |_| panic!("nothing is taken"))
        };
        let by = Strategy::Averagely;
        assert_eq!(allocate(&two, &["c0"], by), Err(Unallocated::NotListed { clients: 1 }));
        let unsorted = Err(Unallocated::ClientsUnsorted { position: 1 });
        assert_eq!(allocate(&two, &["c1", "c0"], by), unsorted);
        assert_eq!(allocate(&two, &["c1", "c1"], by), unsorted);
        let swapped: Vec<_> = two.iter().rev().copied().collect();
        let unsorted = Err(Unallocated::QueuesUnsorted { position: 1 });
        assert_eq!(allocate(&swapped, &["c1"], by), unsorted);
        let refused = allocate(&two, &["c1"], Strategy::CONSISTENT_HASH);
        assert!(matches!(refused, Err(Unallocated::Ring(_))), "{refused:?}");
    }
}

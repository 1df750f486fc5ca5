//! Sharing that knows which machine room brokers and clients are in.

use super::{Queue, average, average_by_circle, div, rem};

/// How the queues of one room are shared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Share {
    /// As [`average`].
    #[default]
    Average,
    /// As [`average_by_circle`].
    AverageByCircle,
}

impl Share {
    fn owns(self, queues: usize, clients: usize, index: usize, queue: usize) -> bool {
        match self {
            Self::Average => average(queues, clients, index).contains(&queue),
            Self::AverageByCircle => {
                average_by_circle(queues, clients, index).any(|own| own == queue)
            }
        }
    }
}

/// The share of client number `index` of `clients` in the queues of brokers named `room@name`
/// whose room is one of `rooms`. The other queues are nobody's.
pub fn machine_room<'a>(
    queues: &'a [Queue<'a>],
    rooms: &'a [&'a str],
    clients: usize,
    index: usize,
) -> impl Iterator<Item = usize> + 'a {
    // Java's `split` drops what is empty at the end.
    let is_in_rooms =
        move |queue: &Queue<'_>| match queue.broker_name.trim_end_matches('@').split_once('@') {
            Some((room, name)) => !name.contains('@') && rooms.contains(&room),
            None => false,
        };
    let count = queues.iter().filter(|queue| is_in_rooms(queue)).count();
    let (share, more) = (div(count, clients), rem(count, clients));
    let start = share.saturating_mul(index);
    let own = start..start.saturating_add(share);
    // What is left over is at the end of the list, one for each of the first clients.
    let extra = share.saturating_mul(clients).saturating_add(index);
    let chosen = queues.iter().enumerate().filter(move |(_, queue)| is_in_rooms(queue));
    chosen
        .enumerate()
        .filter(move |(place, _)| {
            index < clients && (own.contains(place) || index < more && *place == extra)
        })
        .map(|(_, (queue, _))| queue)
}

/// The share of client number `index` of `clients` where each room's queues go to the clients in
/// the same room, and those of rooms without clients to all. `room_of_queue` and `room_of_client`
/// say where they are.
///
/// Costs time in proportion to queues times queues and clients, and no memory.
pub fn machine_room_nearby<'a, 'q: 'a, S, R>(
    queues: &'a [Queue<'q>],
    clients: &'a [S],
    index: usize,
    share: Share,
    room_of_queue: impl Fn(&Queue<'q>) -> R + 'a,
    room_of_client: impl Fn(&S) -> R + 'a,
) -> impl Iterator<Item = usize> + 'a
where
    R: PartialEq + 'a,
{
    let owns = move |place: usize, queue: &Queue<'q>| {
        let Some(own) = clients.get(index) else { return false };
        let room = room_of_queue(queue);
        let others = queues.iter().enumerate().filter(|(_, other)| room_of_queue(other) == room);
        let (mut count, mut before) = (0_usize, 0_usize);
        for (other, _) in others {
            count = count.saturating_add(1);
            before = before.saturating_add(usize::from(other < place));
        }
        let in_room = |client: &&S| room_of_client(client) == room;
        let neighbours = clients.iter().filter(in_room).count();
        if neighbours == 0 {
            return share.owns(count, clients.len(), index, before);
        }
        let ahead = clients.iter().take(index).filter(in_room).count();
        in_room(&own) && share.owns(count, neighbours, ahead, before)
    };
    queues.iter().enumerate().filter(move |(place, queue)| owns(*place, queue)).map(|(at, _)| at)
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests {
    extern crate alloc;
    use alloc::vec::Vec;

    use super::{Share, machine_room, machine_room_nearby};
    use crate::rocketmq::wire::rebalance::Queue;

    fn queues(brokers: &[(&'static str, i32)]) -> Vec<Queue<'static>> {
        let numbered =
            |&(broker_name, count)| (0..count).map(move |queue_id| Queue { broker_name, queue_id });
        brokers.iter().flat_map(numbered).collect()
    }

    #[test]
    fn queues_of_the_rooms_are_shared_and_the_rest_goes_to_the_first() {
        let queues = queues(&[("r1@a", 3), ("r2@b", 2), ("r3@c", 2), ("plain", 1), ("r1@x@y", 1)]);
        let share = |index| machine_room(&queues, &["r1", "r3"], 2, index).collect::<Vec<_>>();
        assert_eq!(share(0), [0, 1, 6]);
        assert_eq!(share(1), [2, 5]);
        assert_eq!(share(2), []);
        assert_eq!(machine_room(&queues, &["r1"], 0, 0).count(), 0);
    }

    /// As Java's `split("@")` sees them.
    #[test]
    fn signs_at_the_end_of_a_broker_do_not_count() {
        let queues = queues(&[("r@a@", 1), ("r@", 1), ("@a", 1), ("r@@a", 1), ("r@a@@", 1)]);
        assert!(machine_room(&queues, &["r"], 1, 0).eq([0, 4]));
        assert!(machine_room(&queues, &[""], 1, 0).eq([2]));
    }

    #[test]
    fn queues_go_to_neighbours_and_those_without_to_all() {
        let queues = queues(&[("r1@a", 4), ("r2@b", 3), ("r3@c", 4)]);
        let clients = ["r1-x", "r1-y", "r2-z"];
        for how in [Share::Average, Share::AverageByCircle] {
            let share = |index| {
                let of_queue = |queue: &Queue<'static>| &queue.broker_name[..2];
                let of_client = |client: &&'static str| &client[..2];
                machine_room_nearby(&queues, &clients, index, how, of_queue, of_client)
                    .collect::<Vec<_>>()
            };
            let expected = match how {
                Share::Average => [&[0, 1, 7, 8][..], &[2, 3, 9], &[4, 5, 6, 10]],
                Share::AverageByCircle => [&[0, 2, 7, 10][..], &[1, 3, 8], &[4, 5, 6, 9]],
            };
            for (index, expected) in expected.into_iter().enumerate() {
                assert_eq!(share(index), expected);
            }
            assert_eq!(share(3), []);
        }
    }
}

//! Who consumes which queue, as every client of a group finds out for itself.
//!
//! The module decides the shares. All clients have to see the same: queues sorted by broker's name
//! and number, clients sorted by id; sorting, and asking for both lists, is left to the caller. A
//! share is an iterator over positions in the list of queues. Whoever is not in the list of clients
//! gets nothing.
//!
//! | strategy | function |
//! | --- | --- |
//! | `AVG` | [`average`] |
//! | `AVG_BY_CIRCLE` | [`average_by_circle`] |
//! | `CONSISTENT_HASH` | [`HashRing`] |
//! | `MACHINE_ROOM` | [`machine_room`] |
//! | `MACHINE_ROOM_NEARBY` | [`machine_room_nearby`] |
//! | `CONFIG` | [`configured`] |
//!
//! ```
//! use turbopump_core::rocketmq::wire::rebalance::{average, average_by_circle};
//!
//! // Eight queues, three clients, the share of the second.
//! assert_eq!(average(8, 3, 1), 3..6);
//! assert!(average_by_circle(8, 3, 1).eq([1, 4, 7]));
//! ```

use core::fmt;
use core::iter::StepBy;
use core::ops::Range;

mod ring;
mod rooms;

pub use ring::{HashRing, RingPoint, RingTooSmall, VIRTUAL_NODES};
pub use rooms::{Share, machine_room, machine_room_nearby};

/// A queue of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Queue<'a> {
    /// The broker.
    pub broker_name: &'a str,
    /// The number within the broker.
    pub queue_id: i32,
}

impl fmt::Display for Queue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.broker_name, self.queue_id)
    }
}

/// The share of client number `index` of `clients`: neighbours, and one more for the first clients
/// where the queues can't be shared evenly.
#[must_use]
pub fn average(queues: usize, clients: usize, index: usize) -> Range<usize> {
    if index >= clients {
        return 0..0;
    }
    let (share, more) = (div(queues, clients), rem(queues, clients));
    let start = share.saturating_mul(index).saturating_add(index.min(more));
    let end = start.saturating_add(share).saturating_add(usize::from(index < more));
    start..end
}

/// The share of client number `index` of `clients`: each in turn gets a queue.
pub fn average_by_circle(queues: usize, clients: usize, index: usize) -> StepBy<Range<usize>> {
    let end = if index < clients { queues } else { index };
    (index..end).step_by(clients.max(1))
}

/// The share of a client whose queues were configured: those of `wanted` that there are, in the
/// order in which they are wanted. Java takes those that there are not as well.
pub fn configured<'a>(
    queues: &'a [Queue<'a>],
    wanted: &'a [Queue<'a>],
) -> impl Iterator<Item = usize> + 'a {
    wanted.iter().filter_map(|wanted| queues.iter().position(|queue| queue == wanted))
}

fn div(dividend: usize, divisor: usize) -> usize {
    dividend.checked_div(divisor).unwrap_or(0)
}

fn rem(dividend: usize, divisor: usize) -> usize {
    dividend.checked_rem(divisor).unwrap_or(0)
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests {
    extern crate alloc;
    use alloc::vec::Vec;

    use super::{Queue, average, average_by_circle, configured};

    /// Each queue belongs to exactly one client, and shares differ by one at most.
    #[test]
    fn averages_share_all_queues_fairly() {
        for queues in 0..20 {
            for clients in 1..8 {
                let by_average = (0..clients).flat_map(|index| average(queues, clients, index));
                assert!(by_average.eq(0..queues), "{queues} queues, {clients} clients");
                let circles = (0..clients).map(|index| average_by_circle(queues, clients, index));
                let mut by_circle: Vec<usize> = circles.flatten().collect();
                by_circle.sort_unstable();
                assert!(by_circle.into_iter().eq(0..queues));
                for index in 0..clients {
                    let share = queues / clients..=queues.div_ceil(clients);
                    assert!(share.contains(&average(queues, clients, index).len()));
                    assert!(share.contains(&average_by_circle(queues, clients, index).count()));
                }
            }
        }
    }

    #[test]
    fn who_is_not_there_gets_nothing() {
        for (clients, index) in [(0, 0), (3, 3), (3, usize::MAX)] {
            assert!(average(5, clients, index).is_empty());
            assert_eq!(average_by_circle(5, clients, index).count(), 0);
        }
    }

    #[test]
    fn only_queues_that_there_are_can_be_configured() {
        let queue = |queue_id| Queue { broker_name: "b", queue_id };
        let share = configured(&[queue(0), queue(1), queue(2)], &[queue(2), queue(9), queue(0)])
            .collect::<Vec<_>>();
        assert_eq!(share, [2, 0]);
    }
}

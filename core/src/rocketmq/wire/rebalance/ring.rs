//! Consistent hashing: a client that comes or goes moves few queues of the others.

use core::error::Error;
use core::fmt::{self, Write};

use super::Queue;

/// How many places each client has on the ring, unless all of a group agree on another number.
pub const VIRTUAL_NODES: usize = 10;

/// A place on the ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct RingPoint {
    hash: u32,
    node: u32,
    client: u32,
}

/// The ring of a group's clients, in the caller's memory.
///
/// ```
/// use turbopump_core::rocketmq::wire::rebalance::{HashRing, Queue, RingPoint, VIRTUAL_NODES};
///
/// let clients = ["10.0.0.0@0", "10.0.0.7@1"];
/// let mut memory = [RingPoint::default(); 2 * VIRTUAL_NODES];
/// let ring = HashRing::new(&clients, VIRTUAL_NODES, &mut memory)?;
///
/// let queues = [0, 1, 2, 3].map(|queue_id| Queue { broker_name: "b0", queue_id });
/// let first = ring.share("T", &queues, 0).count();
/// assert_eq!(first + ring.share("T", &queues, 1).count(), 4);
/// # Ok::<(), turbopump_core::rocketmq::wire::rebalance::RingTooSmall>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct HashRing<'m> {
    points: &'m [RingPoint],
}

impl<'m> HashRing<'m> {
    /// The ring of `clients`, each with that many places.
    ///
    /// # Errors
    ///
    /// [`RingTooSmall`] if `memory` has not as many points for each client.
    pub fn new<S: AsRef<str>>(
        clients: &[S],
        virtual_nodes: usize,
        memory: &'m mut [RingPoint],
    ) -> Result<Self, RingTooSmall> {
        let needed_points = clients.len().saturating_mul(virtual_nodes);
        let points = memory.len();
        let fits = u32::try_from(needed_points).is_ok();
        let Some(memory) = memory.get_mut(..needed_points).filter(|_| fits) else {
            return Err(RingTooSmall { needed_points, points });
        };
        let places = clients.iter().zip(0..).flat_map(|(id, client)| {
            (0..virtual_nodes).map(move |replica| (id.as_ref(), client, replica))
        });
        for ((point, (id, client, replica)), node) in memory.iter_mut().zip(places).zip(0..) {
            let hash = hash(format_args!("{id}-{replica}"));
            *point = RingPoint { hash, node, client };
        }
        memory.sort_unstable();
        Ok(Self { points: memory })
    }

    /// The share of client number `client`.
    pub fn share<'a>(
        &'a self,
        topic: &'a str,
        queues: &'a [Queue<'a>],
        client: usize,
    ) -> impl Iterator<Item = usize> + 'a {
        let is_own = move |queue: &Queue<'_>| self.owner(topic, queue) == Some(client);
        queues.iter().enumerate().filter(move |(_, queue)| is_own(queue)).map(|(index, _)| index)
    }

    /// Which client a queue belongs to; `None` if there are no clients.
    #[must_use]
    pub fn owner(&self, topic: &str, queue: &Queue<'_>) -> Option<usize> {
        let Queue { broker_name, queue_id } = queue;
        let hash = hash(format_args!(
            "MessageQueue [topic={topic}, brokerName={broker_name}, queueId={queue_id}]"
        ));
        let at = self.points.partition_point(|point| point.hash < hash);
        let next = self.points.get(at).or_else(|| self.points.first())?;
        // Of several places with one hash the one that was made last is valid.
        let end = self.points.partition_point(|point| point.hash <= next.hash);
        let owner = self.points.get(end.checked_sub(1)?)?;
        usize::try_from(owner.client).ok()
    }
}

/// There is not enough memory for a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RingTooSmall {
    /// The points that the ring takes: as many for each client as it has places.
    pub needed_points: usize,
    /// The points that there are.
    pub points: usize,
}

impl fmt::Display for RingTooSmall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { needed_points, points } = self;
        write!(
            f,
            "the ring takes {needed_points} points, there are {points}: give it more memory, \
             or consume with fewer clients"
        )
    }
}

impl Error for RingTooSmall {}

/// The first four bytes of an MD5.
fn hash(text: fmt::Arguments<'_>) -> u32 {
    let mut digest = Digest(md5::Context::new());
    // Nothing here can fail.
    let _ = digest.write_fmt(text);
    let md5::Digest([a, b, c, d, ..]) = digest.0.finalize();
    u32::from_be_bytes([a, b, c, d])
}

struct Digest(md5::Context);

impl Write for Digest {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.consume(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests {
    use super::{HashRing, RingPoint, RingTooSmall};
    use crate::rocketmq::wire::rebalance::Queue;

    #[test]
    fn a_ring_needs_its_memory_and_somebody_on_it() {
        let queue = Queue { broker_name: "b", queue_id: 0 };
        let mut memory = [RingPoint::default(); 20];
        let small = HashRing::new(&["a", "b", "c"], 10, &mut memory).unwrap_err();
        assert_eq!(small, RingTooSmall { needed_points: 30, points: 20 });
        let clients: [&str; 0] = [];
        let ring = HashRing::new(&clients, 10, &mut memory).unwrap();
        assert_eq!(ring.owner("T", &queue), None);
        let ring = HashRing::new(&["a"], 10, &mut memory).unwrap();
        assert_eq!(ring.owner("T", &queue), Some(0));
    }

    #[test]
    fn who_goes_moves_only_its_own_queues() {
        let queues: [Queue<'_>; 40] =
            core::array::from_fn(|index| Queue { broker_name: "b", queue_id: index as i32 });
        let mut memory = [RingPoint::default(); 30];
        let before = HashRing::new(&["a", "b", "c"], 10, &mut memory).unwrap();
        let mut memory = [RingPoint::default(); 20];
        let after = HashRing::new(&["a", "b"], 10, &mut memory).unwrap();
        let mut moved = 0;
        for queue in &queues {
            match before.owner("T", queue) {
                Some(2) => moved += 1,
                owner => assert_eq!(after.owner("T", queue), owner),
            }
        }
        assert!(moved > 0);
    }
}

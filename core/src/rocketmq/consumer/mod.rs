//! What a consumer of RocketMQ decides: which queues are its own, where it starts in them, when it
//! pulls, what becomes of what was handled, and which offset is committed.
//!
//! Machines without IO over storage of the caller's: time and randomness are arguments. Each
//! decides one thing; whoever holds them (a program with an allocator, or a table on a
//! microcontroller) moves what one of them says to the next, and does the sending.
//!
//! | module | decides | leaves to its caller |
//! | --- | --- | --- |
//! | `allocation` | which queues of a topic belong to which member | asking who the members are |
//! | `window` | which offset may be committed | handling messages, committing |
//! | `flow` | which queue may pull now, and how much | buffers |
//! | `pulling` | when a queue is pulled from which offset, and what an answer means | sending |
//! | `subscription` | whether a message is wanted, and in what members differ | heartbeats |
//! | `start` | where a queue begins, and what is asked to find out | sending |
//! | `locks` | when locks of ordered queues are asked for, and whether they are held | sending |
//! | `outcomes` | what becomes of a message that was handled | handlers, sending back |
//! | `rebalance` | when queues are shared anew | asking for members and routes |
//! | `assignments` | what a new share means, and how a queue is given away | doing the steps |
//! | `dedup` | which messages were handled lately | whether that matters |
//!
//! A queue is taken under an [`Epoch`]: what comes back from an earlier one is refused.

// What comes from peers and users: every sum and index has to say what happens out of range.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::random::SplitMix64;

mod allocation;
mod assignments;
mod dedup;
mod flow;
mod locks;
mod outcomes;
mod pulling;
mod rebalance;
mod start;
mod subscription;
mod window;

pub use allocation::{Strategy, Unallocated, allocate};
pub use assignments::{AssignmentCell, Assignments, GiveAwayPolicy, NoPlace, Stage, Step};
pub use dedup::{NoUniqueId, Seen, SeenCell, UniqueId};
pub use flow::{Flow, FlowCell, FlowLimits, FlowRefused, Grant, Held};
pub use locks::{LockCell, LockChange, LockKind, LockPolicy, LockRefused, LockRequest, Locks};
pub use outcomes::{ConsumeMode, Handled, Handling, Next, RetryPolicy};
pub use pulling::{Pull, PullAnswer, PullOutcome, PullPolicy, Pulling};
pub use rebalance::{RebalancePolicy, Rebalancing};
pub use start::{Start, StartFrom, StartPolicy, StartQuestion, StartRequest};
pub use subscription::{Difference, Filter, Subscription, TooManyTags, differences};
pub use window::{ExtendRefused, Extended, SettleRefused, Window, WindowCell};

/// Which taking of a queue something belongs to: a queue that was given away and comes back, or
/// whose offset was reset, has a larger one, so that late results of before are known as such.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(
    /// The number; 0 for queues that were never taken.
    pub u64,
);

impl Epoch {
    /// The one that follows.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// A pause after `before` others: doubled each time up to `longest_us`, with a random part of up to
/// as much again, so that many that failed together don't come back together.
fn pause_us(shortest_us: u64, longest_us: u64, before: u32, random: &mut SplitMix64) -> u64 {
    let doubled = shortest_us.saturating_mul(1 << before.min(20)).min(longest_us);
    doubled.saturating_add(random.below(doubled))
}

//! Consuming: messages of a group's topics, handed to functions of the user's.
//!
//! What is decided is decided by the core's [machines](turbopump_core::rocketmq::consumer); here
//! are tasks that ask them, and wait. A consumer has one task that shares queues, one for each
//! queue that it has, and as many workers as handlers may run at once.
//!
//! | module | holds |
//! | --- | --- |
//! | `builder` | what a consumer subscribes to, and how it begins |
//! | `config`, `error` | how it is set, and why it can't begin |
//! | `description` | what brokers are told of it |
//! | `group` | what its tasks share: which queues it has |
//! | `coordinator` | the task that shares queues with other members, and ends the consumer |
//! | `queue` | one queue: the core's machines, and what was pulled |
//! | `task` | the task of one queue |
//! | `asking` | requests to brokers |
//! | `flow` | what all consumers of a client may have under way |
//! | `ready` | queues that have messages for workers |
//! | `worker`, `handler`, `batching` | handlers, and what follows from what they say |
//! | `stream` | messages as a stream |
//! | `checks` | repeats by their ids, and members that subscribe to something else |
//! | `locking` | locks of ordered queues |
//! | `pull`, `lite_pull` | pulling by hand, of queues that are chosen |
//! | `unpack`, `received` | records of a frame, and messages as handlers get them |
//! | `offsets` | offsets that brokers don't keep |
//! | `asked` | what brokers ask |
//! | `rules` | when somebody should look after a consumer (feature `monitor`) |
//! | `stats`, `report` | what is counted, and what became of it in the end |

mod asked;
mod asking;
mod batching;
mod builder;
mod checks;
mod config;
mod coordinator;
mod description;
mod error;
mod flow;
mod group;
mod handler;
mod lite_pull;
mod locking;
mod offsets;
mod pull;
mod queue;
mod ready;
mod received;
mod report;
#[cfg(feature = "monitor")]
mod rules;
mod stats;
mod stream;
mod task;
mod unpack;
mod worker;

use core::fmt;
use core::time::Duration;

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::backend::Backend;
use crate::within::within;
use offsets::Store;
use queue::Stage;

pub use batching::IntoAllConsumed;
pub use builder::ConsumerBuilder;
pub use config::ConsumerConfig;
pub use error::{ConsumeError, ConsumeErrorKind};
pub use handler::{Consumed, IntoConsumed};
pub use lite_pull::LitePullConsumer;
pub use offsets::{ConsumedQueue, FileOffsetStore, NoStore, OffsetStore};
pub use pull::{PullConsumer, PullError, PullRequest, PullResult};
pub use received::{ReceivedMessage, UnreadableBody};
pub use report::ConsumerReport;
#[cfg(feature = "monitor")]
pub use rules::consumer_alert_rules;
pub use stats::{ConsumerStats, TopicConsumes};
pub use stream::{MessageStream, StreamMessage};

pub(in crate::client) use asked::{Asked, group_asked};
pub(in crate::client) use description::Description;
pub(in crate::client) use flow::SharedFlow;
pub(in crate::client) use group::Group;

/// A consumer that runs: a cheap handle. It ends when it is shut down, or with its last handle.
///
/// Messages are delivered at least once: those whose offset is not committed yet when a consumer
/// ends without a farewell are delivered again.
#[must_use = "it ends with its last handle"]
pub struct Consumer<B: Backend> {
    handle: Arc<Handle<B>>,
}

/// Ends the consumer when it is dropped.
struct Handle<B: Backend> {
    group: Arc<Group<B>>,
}

impl<B: Backend> Drop for Handle<B> {
    fn drop(&mut self) {
        self.group.begin_end(self.group.config.drop_timeout);
    }
}

/// A queue that a consumer has.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AssignedQueue {
    /// Which it is.
    pub queue: ConsumedQueue,
    /// Whether its messages are pulled; where it begins is being found out before that.
    pub is_running: bool,
    /// Messages that were pulled and are not done.
    pub cached_messages: usize,
    /// Their bytes.
    pub cached_bytes: u64,
    /// The offset that may be committed: that of the first message that is not done.
    pub commit_offset: i64,
    /// Where the next pull begins.
    pub next_offset: i64,
}

impl<B: Backend> Consumer<B> {
    /// Its group.
    #[must_use]
    pub fn group(&self) -> &str {
        &self.handle.group.name
    }

    /// How it is set.
    #[must_use]
    pub fn config(&self) -> &ConsumerConfig {
        &self.handle.group.config
    }

    /// The queues that it has at this moment, those of the group's retry topic among them.
    #[must_use]
    pub fn queues(&self) -> Vec<AssignedQueue> {
        let queues = self.handle.group.queues();
        let queues = queues.iter().map(|queue| {
            let look = queue.look();
            AssignedQueue {
                queue: queue.from.queue_name(),
                is_running: look.stage == Stage::Running,
                cached_messages: look.messages,
                cached_bytes: look.bytes,
                commit_offset: look.commit_offset,
                next_offset: look.next_offset,
            }
        });
        queues.collect()
    }

    /// What was counted: a source for the monitor.
    #[must_use]
    pub fn stats(&self) -> ConsumerStats {
        self.handle.group.look()
    }

    /// Pulls nothing more, waits for handlers that run, commits offsets, and leaves the group, so
    /// that others have its queues at once: all by `timeout`. A handler that takes longer is
    /// dropped, early enough to commit what the others have done.
    ///
    /// # Cancel safety
    ///
    /// It ends all the same.
    pub async fn shutdown(&self, timeout: Duration) -> ConsumerReport {
        let group = &self.handle.group;
        group.begin_end(timeout);
        group.ended().await
    }
}

impl<B: Backend> Group<B> {
    /// It ends by this time.
    pub(in crate::client) fn begin_end(&self, timeout: Duration) {
        let us = u64::try_from(timeout.as_micros()).unwrap_or(u64::MAX);
        let completed = self.stats.completed.load(core::sync::atomic::Ordering::Relaxed);
        self.stopping.begin(self.now(), us, completed);
        self.bell.ring();
    }

    /// What became of it, once it has ended; at the latest a little after its time.
    pub(in crate::client) async fn ended(&self) -> ConsumerReport {
        let all = self.stopping.deadlines().map(|deadlines| deadlines.all);
        let until = all.and_then(|all| self.inner.clock.system_instant(all.plus_us(LATE_US)));
        let ended = self.tasks.all_have_left();
        match until {
            Some(until) => {
                within(&self.inner.backend, until, ended).await;
            }
            None => ended.await,
        }
        // A handler that never gives way holds up the tasks.
        self.stopping.report().unwrap_or_else(|| self.close())
    }

    fn look(&self) -> ConsumerStats {
        let queues = self.queues();
        let looks = queues.iter().map(|queue| queue.look());
        let cached = |(messages, bytes): (usize, u64), look: queue::QueueLook| {
            (messages + look.messages, bytes + look.bytes)
        };
        let (messages, bytes) = looks.fold((0, 0), cached);
        self.stats.report(queues.len(), (messages, bytes), self.inner.flow.look())
    }
}

/// How much later than its time an end may be, for tasks to go: 50 milliseconds.
const LATE_US: u64 = 50_000;

impl<B: Backend> Clone for Consumer<B> {
    fn clone(&self) -> Self {
        Self { handle: Arc::clone(&self.handle) }
    }
}

impl<B: Backend> fmt::Debug for Consumer<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("group", &self.group()).finish_non_exhaustive()
    }
}

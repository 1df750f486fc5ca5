//! How a consumer is set.

use core::time::Duration;

use turbopump_core::rocketmq::consumer::{
    ConsumeMode, GiveAwayPolicy, LockPolicy, PullPolicy, RebalancePolicy, RetryPolicy, StartPolicy,
    Strategy,
};

/// The settings of a consumer.
///
/// ```
/// use turbopump_std::client::ConsumerConfig;
///
/// let mut config = ConsumerConfig::default();
/// config.handlers_max = 4;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConsumerConfig {
    /// How the group gets its messages: shared among its members in any order, by default.
    pub mode: ConsumeMode,
    /// Where the group begins in queues of which it has committed nothing.
    pub start: StartPolicy,
    /// How long pulls and the pauses between them are.
    pub pull: PullPolicy,
    /// How often, and when, a message is tried again. Its mode is set by
    /// [`mode`](Self::mode).
    pub retry: RetryPolicy,
    /// How often queues are shared anew where nothing happens.
    pub rebalance: RebalancePolicy,
    /// How long giving a queue away may take. Whether queues are ordered is set by
    /// [`mode`](Self::mode).
    pub give_away: GiveAwayPolicy,
    /// How the locks of ordered queues are kept.
    pub locks: LockPolicy,
    /// How queues are shared; all members have to do it alike.
    pub strategy: Strategy<'static>,
    /// Handlers that run at once, at most; 20.
    pub handlers_max: usize,
    /// Messages of one call of a handler that takes many, at most; 32.
    pub consume_batch_max: usize,
    /// How often offsets are committed; 5 seconds.
    pub commit_interval: Duration,
    /// How long what a consumer asks for besides pulls may take; 3 seconds.
    pub ask_timeout: Duration,
    /// How long a member that gives queues away is left to commit their offsets, before where to
    /// go on is asked for; half a second, as with Java's clients. Only queues that members have
    /// that are still there are waited for; ordered ones have locks for that. What those members
    /// are not through with by then is handled twice.
    pub take_delay: Duration,
    /// Queues that this consumer can have; 1,024.
    pub queues_max: usize,
    /// Messages that were done last and are recognised by the ids that producers give them, so that
    /// they are not handled again; 0, by which none is. Each takes 24 bytes. It makes repeats rare:
    /// those of other members are not known here.
    pub seen_max: usize,
    /// How long a consumer takes to end that is dropped without being shut down; 5 seconds.
    pub drop_timeout: Duration,
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        Self {
            mode: ConsumeMode::Concurrent,
            start: StartPolicy::DEFAULT,
            pull: PullPolicy::DEFAULT,
            retry: RetryPolicy::DEFAULT,
            rebalance: RebalancePolicy::DEFAULT,
            give_away: GiveAwayPolicy::DEFAULT,
            locks: LockPolicy::DEFAULT,
            strategy: Strategy::Averagely,
            handlers_max: 20,
            consume_batch_max: 32,
            commit_interval: Duration::from_secs(5),
            ask_timeout: Duration::from_secs(3),
            take_delay: Duration::from_millis(500),
            queues_max: 1_024,
            seen_max: 0,
            drop_timeout: Duration::from_secs(5),
        }
    }
}

impl ConsumerConfig {
    /// With what follows from other settings.
    pub(super) fn settled(mut self) -> Self {
        self.retry.mode = self.mode;
        self.give_away.is_ordered = self.mode == ConsumeMode::Ordered;
        self
    }

    /// What can't be meant.
    pub(super) fn problem(&self) -> Option<&'static str> {
        [
            (self.handlers_max == 0, "handlers_max is 0: nothing would be handled"),
            (self.handlers_max > HANDLERS_MAX, "handlers_max is more than 65,536"),
            (self.consume_batch_max == 0, "consume_batch_max is 0: nothing would be handled"),
            (self.seen_max > SEEN_MAX, "seen_max is more than 100,000,000"),
            (self.queues_max == 0, "queues_max is 0: nothing would be pulled"),
            (self.ask_timeout.is_zero(), "ask_timeout is 0: nothing would be answered in time"),
            (self.pull.suspend_us > SUSPEND_US_MAX, "pull.suspend_us is more than a minute"),
        ]
        .into_iter()
        .find_map(|(is_wrong, problem)| is_wrong.then_some(problem))
    }

    pub(super) fn commit_interval_us(&self) -> u64 {
        u64::try_from(self.commit_interval.as_micros()).unwrap_or(u64::MAX).max(COMMIT_US_MIN)
    }
}

/// Room is made for all of them.
const SEEN_MAX: usize = 100_000_000;
/// Workers are made for all of them.
const HANDLERS_MAX: usize = 65_536;
/// Brokers don't wait longer.
const SUSPEND_US_MAX: u64 = 60_000_000;
/// More often is of no use.
const COMMIT_US_MIN: u64 = 1_000;

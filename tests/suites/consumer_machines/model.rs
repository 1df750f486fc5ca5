//! A broker as plain as can be: logs, committed offsets, locks and members.

use alloc::collections::BTreeSet;

use turbopump_core::rocketmq::consumer::PullAnswer;

/// A message, known by its key; a retry has the key of what is tried again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message {
    pub(crate) key: usize,
    pub(crate) offset: i64,
    pub(crate) reconsume_times: i32,
}

#[derive(Default)]
pub(crate) struct Queue {
    pub(crate) log: Vec<Message>,
    pub(crate) committed: Option<i64>,
    lock: Option<(u64, u64)>,
}

pub(crate) struct Broker {
    /// The last one is the retry topic's.
    pub(crate) queues: Vec<Queue>,
    /// Names and numbers of members.
    pub(crate) members: BTreeSet<String>,
}

/// What the broker keeps a lock for, in milliseconds.
const LOCK_MS: u64 = 60_000;

/// The filter leaves these out: offsets have gaps.
pub(crate) fn is_filtered(offset: i64) -> bool {
    offset % 7 == 3
}

impl Broker {
    pub(crate) fn new(queues: usize) -> Self {
        let queues = (0..=queues).map(|_| Queue::default()).collect();
        Self { queues, members: BTreeSet::new() }
    }

    pub(crate) fn append(&mut self, queue: usize, key: usize, reconsume_times: i32) {
        let log = &mut self.queues[queue].log;
        // Those that are filtered are somebody else's.
        while is_filtered(log.len() as i64) {
            log.push(Message { key: usize::MAX, offset: log.len() as i64, reconsume_times: 0 });
        }
        log.push(Message { key, offset: log.len() as i64, reconsume_times });
    }

    pub(crate) fn pull(&self, queue: usize, offset: i64, max: u32) -> (PullAnswer, Vec<Message>) {
        let log = &self.queues[queue].log;
        let from = usize::try_from(offset).expect("no offset is below 0");
        let batch = &log[from.min(log.len())..log.len().min(from + max as usize)];
        let found: Vec<Message> =
            batch.iter().copied().filter(|message| !is_filtered(message.offset)).collect();
        let code = match (batch.is_empty(), found.is_empty()) {
            (true, _) => 19,
            (false, true) => 20,
            (false, false) => 0,
        };
        let next_offset = offset + batch.len() as i64;
        let max_offset = log.len() as i64;
        (PullAnswer { code, next_offset, min_offset: 0, max_offset }, found)
    }

    /// Whether the member has the lock now.
    pub(crate) fn lock(&mut self, now_ms: u64, queue: usize, member: u64) -> bool {
        let lock = &mut self.queues[queue].lock;
        let is_free = lock.is_none_or(|(owner, until)| owner == member || until <= now_ms);
        if is_free {
            *lock = Some((member, now_ms + LOCK_MS));
        }
        is_free
    }

    /// Who has the lock now.
    pub(crate) fn owner(&self, now_ms: u64, queue: usize) -> Option<u64> {
        let lock = self.queues[queue].lock.filter(|(_, until)| *until > now_ms);
        lock.map(|(owner, _)| owner)
    }

    pub(crate) fn unlock(&mut self, queue: usize, member: u64) {
        let lock = &mut self.queues[queue].lock;
        *lock = lock.filter(|(owner, _)| *owner != member);
    }
}

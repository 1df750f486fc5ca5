//! Groups of consumers: their members, what they subscribe to, and how far they are.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use turbopump_core::rocketmq::wire::body::{
    ConsumeFromWhere, ConsumeType, Expression, MessageModel,
};
use turbopump_core::time::Instant;

use super::sessions::SessionId;
use super::topics::QueueId;

/// What is set for a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GroupSettings {
    pub(super) is_enabled: bool,
    pub(super) is_broadcast_enabled: bool,
    pub(super) starts_at_min: bool,
    pub(super) retries_max: i32,
    pub(super) retry_queues: u32,
    pub(super) notifies: bool,
}

impl Default for GroupSettings {
    fn default() -> Self {
        Self {
            is_enabled: true,
            is_broadcast_enabled: true,
            starts_at_min: true,
            retries_max: 16,
            retry_queues: 1,
            notifies: true,
        }
    }
}

/// One connection of a member.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) session: SessionId,
    pub(super) client_id: Box<str>,
    /// Topics of which it wants other messages than the group, and that were reported.
    pub(super) differing: BTreeSet<Box<str>>,
}

impl Member {
    pub(super) fn new(session: SessionId, client_id: &str) -> Self {
        Self { session, client_id: client_id.into(), differing: BTreeSet::new() }
    }
}

/// Messages that a group wants of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subscription {
    pub(super) topic: Box<str>,
    /// As the user has written it.
    pub(super) text: Box<str>,
    pub(super) version: i64,
    /// `TAG`, or something that this broker does not do.
    pub(super) expression_type: String,
    /// Of the tags; none for all messages.
    pub(super) filter: Filter,
}

/// Tags by their hashes; none are all messages. Hashes may be equal by chance: clients look again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter(Box<[i32]>);

impl Filter {
    pub(super) fn new(expression: Expression<'_>) -> Self {
        Self(expression.codes().collect())
    }

    /// The hashes; none for all messages.
    pub(super) fn codes(&self) -> &[i32] {
        &self.0
    }

    pub(super) fn takes(&self, tags_code: i32) -> bool {
        self.0.is_empty() || self.0.contains(&tags_code)
    }
}

/// Who has a queue for itself.
#[derive(Clone, Debug)]
pub(super) struct Lock {
    pub(super) client_id: Box<str>,
    pub(super) until: Instant,
}

#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) settings: GroupSettings,
    pub(super) members: Vec<Member>,
    pub(super) subscriptions: Vec<Subscription>,
    pub(super) consume_type: Option<ConsumeType>,
    pub(super) model: Option<MessageModel>,
    pub(super) from_where: Option<ConsumeFromWhere>,
    pub(super) locks: BTreeMap<QueueId, Lock>,
    /// The next offset to consume.
    pub(super) offsets: BTreeMap<QueueId, u64>,
    /// Those that were changed and not remembered.
    pub(super) changed: BTreeSet<QueueId>,
    /// Offsets that an administrator has set, and the consumers have not heard of.
    pub(super) resets: BTreeMap<QueueId, u64>,
}

impl Group {
    pub(super) fn subscription(&self, topic: &str) -> Option<&Subscription> {
        self.subscriptions.iter().find(|subscription| &*subscription.topic == topic)
    }

    /// Sets how far the group is.
    pub(super) fn commit(&mut self, queue: QueueId, offset: u64) {
        if self.offsets.insert(queue, offset) != Some(offset) {
            self.changed.insert(queue);
        }
    }

    /// An administrator has set how far the group is; its consumers are to be told.
    pub(super) fn reset(&mut self, queue: QueueId, offset: u64) {
        self.commit(queue, offset);
        self.resets.insert(queue, offset);
        self.changed.insert(queue);
    }

    /// The offset that its consumers are told now.
    pub(super) fn take_reset(&mut self, queue: QueueId) -> Option<u64> {
        let offset = self.resets.remove(&queue)?;
        self.changed.insert(queue);
        Some(offset)
    }

    /// As [`commit`](Self::commit), from a client: it counts only once the client has heard of the
    /// last reset.
    pub(super) fn commit_of_client(&mut self, queue: QueueId, offset: u64) {
        if !self.resets.contains_key(&queue) {
            self.commit(queue, offset);
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Groups {
    by_name: BTreeMap<Box<str>, Group>,
    /// Counts changes of settings.
    pub(super) version: u64,
}

impl Groups {
    pub(super) fn get(&self, name: &str) -> Option<&Group> {
        self.by_name.get(name)
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut Group> {
        self.by_name.get_mut(name)
    }

    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// The group of that name, which is made where there is none.
    pub(super) fn make(&mut self, name: &str) -> &mut Group {
        if !self.by_name.contains_key(name) {
            self.version += 1;
        }
        self.by_name.entry(name.into()).or_default()
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<Group> {
        self.version += 1;
        self.by_name.remove(name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Group)> {
        self.by_name.iter().map(|(name, group)| (&**name, group))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut Group)> {
        self.by_name.iter_mut().map(|(name, group)| (&**name, group))
    }
}

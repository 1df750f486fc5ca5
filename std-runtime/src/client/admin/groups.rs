//! Administering consumer groups: listing them, how far they are, and where they go on.

use std::time::{SystemTime, UNIX_EPOCH};

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use turbopump_core::rocketmq::wire::body::{
    ConsumeStats, ConsumerConnection, ResetOffsetBody, SubscriptionGroupWrapper,
};
use turbopump_core::rocketmq::wire::command::{
    GetConsumeStatsRequestHeader, GetConsumerConnectionListRequestHeader, ResetOffsetRequestHeader,
};
use turbopump_core::rocketmq::wire::header::{Absent, request_code, response_code};
use turbopump_core::rocketmq::wire::names::{WithoutNamespace, is_system_name, namespace_of};
use turbopump_core::time::Instant;

use super::error::Action;
use super::{Admin, AdminError, AdminErrorKind, Asked, read, text};
use crate::backend::Backend;
use crate::client::peers::Peer;

/// The longest name of a group that brokers take, in bytes.
const GROUP_BYTES_MAX: usize = 255;

/// Groups that every broker makes for its own tools and for programs of its makers.
const OWN_GROUPS: [&str; 8] = [
    "CID_ONS-HTTP-PROXY",
    "CID_ONSAPI_OWNER",
    "CID_ONSAPI_PERMISSION",
    "CID_ONSAPI_PULL",
    "CID_SYS_RMQ_TRANS",
    "FILTERSRV_CONSUMER",
    "SELF_TEST_C_GROUP",
    "TOOLS_CONSUMER",
];

/// A consumer group that brokers know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedGroup {
    /// Its full name.
    pub name: String,
    /// Members that are connected now.
    pub members: usize,
    /// It is there for brokers and tools themselves.
    pub is_system: bool,
}

/// How far a group is, and who is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupProgress {
    /// The group.
    pub name: String,
    /// Members that are connected now, by their ids.
    pub members: Vec<GroupMember>,
    /// Queues that it has committed something of, by topic, broker and number.
    pub queues: Vec<GroupQueue>,
}

impl GroupProgress {
    /// Messages that it has not handled yet, in all queues.
    #[must_use]
    pub fn lag(&self) -> i64 {
        self.queues.iter().map(GroupQueue::lag).fold(0, i64::saturating_add)
    }
}

/// A member that is connected.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct GroupMember {
    /// What brokers tell clients apart by.
    pub client_id: String,
    /// From where it is connected.
    pub address: String,
    /// What its client is written in, as it says.
    pub language: Option<String>,
}

/// How far a group is in one queue.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupQueue {
    /// The topic.
    pub topic: String,
    /// The broker's name.
    pub broker: String,
    /// The number of the queue.
    pub queue: i32,
    /// The offset that it goes on at.
    pub committed: i64,
    /// The offset that the next message gets.
    pub max_offset: i64,
    /// When the last message that it has handled was stored, in Unix milliseconds; none where
    /// brokers can't tell.
    pub handled_unix_ms: Option<i64>,
}

impl GroupQueue {
    /// Messages that it has not handled yet.
    #[must_use]
    pub fn lag(&self) -> i64 {
        self.max_offset.saturating_sub(self.committed).max(0)
    }
}

/// Where a group goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResetTo {
    /// With the oldest message that is kept.
    First,
    /// With the next message that comes: those that are there are left out.
    Last,
    /// With the first message that was stored at this time or later.
    Time(SystemTime),
}

impl ResetTo {
    fn timestamp(self) -> i64 {
        match self {
            Self::First => 0,
            Self::Last => -1,
            Self::Time(time) => {
                let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
                i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
            }
        }
    }
}

/// Where a group goes on in one queue.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct ResetQueue {
    /// The broker's name.
    pub broker: String,
    /// The number of the queue.
    pub queue: i32,
    /// The offset.
    pub offset: i64,
}

impl<B: Backend> Admin<B> {
    /// All consumer groups that masters know, by name, with those of other namespaces.
    ///
    /// # Errors
    ///
    /// [`AdminError`] where no name server answers, or a broker does not: the list would lack its
    /// groups.
    ///
    /// # Cancel safety
    ///
    /// Nothing is changed.
    pub async fn groups(&self) -> Result<Vec<ListedGroup>, AdminError> {
        let listed = self.list_groups(self.deadline()).await;
        listed.map_err(|kind| AdminError { action: Action::ListGroups, done: Vec::new(), kind })
    }

    async fn list_groups(&self, until: Instant) -> Asked<Vec<ListedGroup>> {
        let masters = self.masters(None, until).await?;
        let mut groups: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let count = masters.len();
        for (place, master) in masters.into_iter().enumerate() {
            let share = self.share(until, count.saturating_sub(place));
            let peer = master.peer?;
            let code = request_code::GET_ALL_SUBSCRIPTIONGROUP_CONFIG;
            let answer = self.ask_again(&peer, code, &Absent, share).await?;
            let names = read::<SubscriptionGroupWrapper<'_>, _>(&master.name, &answer, |table| {
                let names = table.subscription_group_table.iter();
                names.map(|entry| entry.map(|(name, _)| name.to_string()).map_err(text)).collect()
            });
            let names: Vec<String> = names?;
            for name in names {
                let members = self.members_at(&peer, &master.name, &name, share).await?;
                let ids = members.into_iter().map(|member| member.client_id);
                groups.entry(name).or_default().extend(ids);
            }
        }
        let listed = groups.into_iter().map(|(name, members)| {
            let is_system = is_system_name(&name) || OWN_GROUPS.contains(&&*name);
            ListedGroup { name, members: members.len(), is_system }
        });
        Ok(listed.collect())
    }

    /// How far a group is in the queues that it has committed something of, that of its own retries
    /// among them, and who is in it.
    ///
    /// # Errors
    ///
    /// [`AdminError`] for a name that can't be, for a group that no broker knows, and where a
    /// broker or all name servers don't answer.
    ///
    /// # Cancel safety
    ///
    /// Nothing is changed.
    pub async fn group_progress(&self, group: &str) -> Result<GroupProgress, AdminError> {
        let progress = self.progress_of(group, self.deadline()).await;
        let action = || Action::DescribeGroup(group.into());
        progress.map_err(|kind| AdminError { action: action(), done: Vec::new(), kind })
    }

    async fn progress_of(&self, group: &str, until: Instant) -> Asked<GroupProgress> {
        check_group(group)?;
        let wire_group = self.inner.wire_name(group);
        let masters = self.masters(None, until).await?;
        let (mut members, mut queues) = (BTreeSet::new(), Vec::new());
        let count = masters.len();
        for (place, master) in masters.into_iter().enumerate() {
            let share = self.share(until, count.saturating_sub(place));
            let peer = master.peer?;
            members.extend(self.members_at(&peer, &master.name, &wire_group, share).await?);
            queues.extend(self.progress_at(&peer, &master.name, &wire_group, share).await?);
        }
        if members.is_empty() && queues.is_empty() {
            return Err(AdminErrorKind::UnknownGroup);
        }
        // It is connected to each broker from another port.
        let mut by_id: BTreeMap<String, GroupMember> = BTreeMap::new();
        for member in members {
            by_id.entry(member.client_id.clone()).or_insert(member);
        }
        queues.sort_unstable_by(|one, other| {
            let key = |queue: &'_ GroupQueue| (queue.topic.clone(), queue.broker.clone());
            key(one).cmp(&key(other)).then(one.queue.cmp(&other.queue))
        });
        Ok(GroupProgress { name: group.into(), members: by_id.into_values().collect(), queues })
    }

    async fn progress_at(
        &self,
        peer: &Peer<B>,
        broker: &str,
        wire_group: &str,
        until: Instant,
    ) -> Asked<Vec<GroupQueue>> {
        let header = GetConsumeStatsRequestHeader {
            consumer_group: wire_group.into(),
            ..GetConsumeStatsRequestHeader::default()
        };
        let asked = self.ask_again(peer, request_code::GET_CONSUME_STATS, &header, until).await;
        let answer = match asked {
            Err(AdminErrorKind::Refused { code, .. })
                if code == response_code::SUBSCRIPTION_GROUP_NOT_EXIST =>
            {
                return Ok(Vec::new());
            }
            asked => asked?,
        };
        read::<ConsumeStats<'_>, _>(broker, &answer, |stats| {
            let mut queues = Vec::new();
            for entry in stats.offset_table.iter() {
                let (queue, offsets) = entry.map_err(text)?;
                let handled = offsets.last_timestamp;
                queues.push(GroupQueue {
                    topic: self.own_name(&queue.topic.to_string()),
                    broker: queue.broker_name.to_string(),
                    queue: queue.queue_id,
                    committed: offsets.consumer_offset,
                    max_offset: offsets.broker_offset,
                    handled_unix_ms: (handled > 0).then_some(handled),
                });
            }
            Ok(queues)
        })
    }

    async fn members_at(
        &self,
        peer: &Peer<B>,
        broker: &str,
        wire_group: &str,
        until: Instant,
    ) -> Asked<Vec<GroupMember>> {
        let header = GetConsumerConnectionListRequestHeader {
            consumer_group: wire_group.into(),
            ..GetConsumerConnectionListRequestHeader::default()
        };
        let code = request_code::GET_CONSUMER_CONNECTION_LIST;
        let answer = match self.ask_again(peer, code, &header, until).await {
            Err(AdminErrorKind::Refused { code: response_code::CONSUMER_NOT_ONLINE, .. }) => {
                return Ok(Vec::new());
            }
            asked => asked?,
        };
        read::<ConsumerConnection<'_>, _>(broker, &answer, |connections| {
            let mut members = Vec::new();
            for connection in connections.connection_set.iter() {
                let connection = connection.map_err(text)?;
                let known = |text: Option<_>| text.map(|text: _| format!("{text}"));
                members.push(GroupMember {
                    client_id: known(connection.client_id).unwrap_or_default(),
                    address: known(connection.client_addr).unwrap_or_default(),
                    language: connection.language.map(|language| language.name().to_string()),
                });
            }
            Ok(members)
        })
    }

    /// Has a group go on elsewhere in all queues of a topic, at once where members are connected,
    /// which brokers tell them; returns where. Brokers before 5.0 do it only while there are some.
    ///
    /// # Errors
    ///
    /// [`AdminError`] for names that can't be, for a topic or a group that is not known, and where
    /// not all brokers have done it: [`AdminError::done`] says which have. It can be done again.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may leave it done at some brokers.
    pub async fn reset_offsets(
        &self,
        group: &str,
        topic: &str,
        to: ResetTo,
    ) -> Result<Vec<ResetQueue>, AdminError> {
        let (mut done, mut queues) = (Vec::new(), Vec::new());
        let result = self.reset_at_all(group, topic, to, &mut done, &mut queues).await;
        let action = || Action::Reset { group: group.into(), topic: topic.into() };
        result.map_err(|kind| AdminError { action: action(), done, kind })?;
        queues.sort_unstable();
        Ok(queues)
    }

    async fn reset_at_all(
        &self,
        group: &str,
        topic: &str,
        to: ResetTo,
        done: &mut Vec<String>,
        queues: &mut Vec<ResetQueue>,
    ) -> Asked<()> {
        check_group(group)?;
        super::topic::check_name(topic)?;
        let (group, topic) = (self.inner.wire_name(group), self.inner.wire_name(topic));
        let until = self.deadline();
        let (brokers, _) = self.route_of(&topic, until).await?;
        let (count, mut failure) = (brokers.len(), None);
        for (place, broker) in brokers.into_iter().enumerate() {
            let share = self.share(until, count.saturating_sub(place));
            let asked = self.reset_at(&broker, &group, &topic, to, share).await;
            match asked {
                Ok(reset) => {
                    done.push(broker.broker);
                    queues.extend(reset);
                }
                Err(kind) => {
                    failure.get_or_insert(kind);
                }
            }
        }
        failure.map_or(Ok(()), Err)
    }

    async fn reset_at(
        &self,
        broker: &super::TopicBroker,
        wire_group: &str,
        wire_topic: &str,
        to: ResetTo,
        until: Instant,
    ) -> Asked<Vec<ResetQueue>> {
        let master = self.master(broker.broker.clone(), broker.address.as_deref()).peer?;
        let header = ResetOffsetRequestHeader {
            group: wire_group.into(),
            topic: wire_topic.into(),
            queue_id: -1,
            timestamp: to.timestamp(),
            is_force: true,
            ..ResetOffsetRequestHeader::default()
        };
        let code = request_code::INVOKE_BROKER_TO_RESET_OFFSET;
        let answer = match self.ask_again(&master, code, &header, until).await {
            Err(AdminErrorKind::Refused { code, .. })
                if code == response_code::SUBSCRIPTION_GROUP_NOT_EXIST =>
            {
                return Err(AdminErrorKind::UnknownGroup);
            }
            asked => asked?,
        };
        read::<ResetOffsetBody<'_>, _>(&broker.broker, &answer, |body| {
            let mut queues = Vec::new();
            for entry in body.offset_table.iter() {
                let (queue, offset) = entry.map_err(text)?;
                let broker = queue.broker_name.to_string();
                queues.push(ResetQueue { broker, queue: queue.queue_id, offset });
            }
            Ok(queues)
        })
    }

    /// As this client calls what brokers know by this name.
    fn own_name(&self, wire_name: &str) -> String {
        match &self.inner.config.namespace {
            Some(namespace) if namespace_of(wire_name) == namespace => {
                WithoutNamespace(wire_name).to_string()
            }
            _ => wire_name.into(),
        }
    }
}

fn check_group(name: &str) -> Asked<()> {
    let is_allowed =
        |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '%' | '-' | '_' | '|');
    let reason = if name.is_empty() {
        "is empty: give it one"
    } else if name.len() > GROUP_BYTES_MAX {
        "has more than 255 letters: shorten it"
    } else if !name.chars().all(is_allowed) {
        "may have letters, digits, `%`, `-`, `_` and `|`, and nothing else"
    } else {
        return Ok(());
    };
    Err(AdminErrorKind::Name { reason })
}

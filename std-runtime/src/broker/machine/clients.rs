//! Clients that are there: heartbeats, the groups they belong to, and who is told of a change.
//!
//! A client is a member of its groups from its first heartbeat until it says goodbye, or its
//! connection ends. Whoever else is in the group is told at once, so that queues find new owners.

use core::fmt;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;

use turbopump_core::link::CloseReason;
use turbopump_core::rocketmq::wire::body::{
    Body, CheckClientRequestBody, Connection, ConsumerConnection, ConsumerData,
    GetConsumerListByGroupResponseBody, HeartbeatData, List, ProducerConnection, ProducerInfo,
    ProducerTableInfo,
};
use turbopump_core::rocketmq::wire::command::{
    Command, GetConsumerConnectionListRequestHeader, GetConsumerListByGroupRequestHeader,
    GetProducerConnectionListRequestHeader, NotifyConsumerIdsChangedRequestHeader,
    UnregisterClientRequestHeader,
};
use turbopump_core::rocketmq::wire::frame::Frame;
use turbopump_core::rocketmq::wire::header::{Absent, request_code, response_code};
use turbopump_core::rocketmq::wire::json::{Dialect, Text};
use turbopump_core::rocketmq::wire::names::RETRY_PREFIX;
use turbopump_core::time::Now;

use super::Broker;
use super::answer::{Outcome, Refusal, plain};
use super::groups::{Group, Member};
use super::pull::check_expression_type;
use super::sessions::{Request, Session, SessionId};
use super::subscriptions::{subscribe, subscription_data, subscription_of, subscriptions_of};
use super::timers::Due;
use super::topics::{TopicSettings, check_name};
use crate::broker::answers::json;

/// The longest id of a client, in bytes.
const CLIENT_ID_BYTES_MAX: usize = 512;
/// Groups, of producers and of consumers each, that one heartbeat may name.
const GROUPS_PER_CLIENT_MAX: usize = 1_024;
/// Things worth knowing that nobody has asked for.
const NOTICES_MAX: usize = 256;
/// How often connections without a word are looked for, in microseconds.
const IDLE_SCAN_US: u64 = 10_000_000;

/// Something that somebody should know of.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// Two members of a group want different messages of a topic: some will get what they don't
    /// want, and some won't get what they do.
    SubscriptionsDiffer {
        /// The group.
        group: String,
        /// The topic.
        topic: String,
        /// Who came with another subscription than was known.
        client_id: String,
    },
    /// A client has sent something that is no frame.
    MalformedFrame {
        /// From where.
        peer: core::net::SocketAddr,
        /// What is wrong with it.
        error: turbopump_core::frame::FrameError,
    },
    /// A connection could not be encrypted, or was not though it had to be, and was closed.
    Insecure {
        /// From where.
        peer: core::net::SocketAddr,
        /// Why.
        reason: String,
    },
    /// It can be reached from other machines, and does not protect itself from what they may do.
    Exposed {
        /// Where.
        address: core::net::SocketAddr,
        /// Whether all connections are encrypted.
        is_encrypted: bool,
        /// Whether only those come in who sign, or show a certificate.
        asks_who: bool,
    },
    /// A name server that stands apart knows this broker now, or does not any more.
    Registered {
        /// Which.
        name_server: String,
        /// Why it does not.
        failure: Option<String>,
    },
    /// Messages were found on disk, and what was lost.
    Recovered {
        /// What was found.
        recovery: crate::broker::store::Recovery,
    },
    /// Messages turned out to be damaged when they were to be read.
    Damaged {
        /// How many.
        messages: u64,
        /// In so many bytes.
        bytes: u64,
        /// Where the first of them is.
        position: u64,
    },
    /// Messages that waited for a time of their own have gone away by age, size or number, and will
    /// not be delivered.
    TimedDropped {
        /// How many.
        messages: u64,
    },
    /// Messages could not be written, or read.
    StoreFailed {
        /// Why.
        reason: String,
        /// Whether nothing can be written any more.
        is_final: bool,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SubscriptionsDiffer { group, topic, client_id } => write!(
                f,
                "{client_id:?} of the group {group:?} wants other messages of {topic:?} than the \
                 other members: give each subscription a group of its own"
            ),
            Self::MalformedFrame { peer, error } => {
                write!(f, "{peer} has sent something else than a frame, and was closed: {error}")
            }
            Self::Insecure { peer, reason } => write!(f, "{peer} was closed: {reason}"),
            Self::Exposed { address, is_encrypted, asks_who } => {
                write!(f, "{address} can be reached from other machines:")?;
                if !is_encrypted {
                    write!(f, " not all connections are encrypted (set TLS to enforcing)")?;
                }
                if !asks_who {
                    let and = if *is_encrypted { "" } else { ", and" };
                    write!(f, "{and} anybody may do anything (set users, or the CA of clients)")?;
                }
                Ok(())
            }
            Self::Registered { name_server, failure: None } => {
                write!(f, "registered at the name server {name_server}")
            }
            Self::Registered { name_server, failure: Some(reason) } => write!(
                f,
                "not registered at the name server {name_server}, and trying again: {reason}"
            ),
            Self::Recovered { recovery } => write!(f, "the store: {recovery}"),
            Self::Damaged { messages, bytes, position } => write!(
                f,
                "LOST: {messages} messages are damaged on disk, {bytes} bytes from position \
                 {position} on: replace the disk"
            ),
            Self::TimedDropped { messages } => write!(
                f,
                "LOST: {messages} messages went away before the time at which they were to be \
                 delivered: keep more, or longer (retention), or send with nearer times"
            ),
            Self::StoreFailed { reason, is_final: false } => {
                write!(f, "messages were refused, because they can't be stored: {reason}")
            }
            Self::StoreFailed { reason, is_final: true } => {
                write!(f, "nothing can be stored any more until the broker is started: {reason}")
            }
        }
    }
}

/// Connections of producers by group, and what is to be told to whoever runs the broker.
#[derive(Debug, Default)]
pub(super) struct Clients {
    producers: BTreeMap<Box<str>, BTreeSet<SessionId>>,
    notices: VecDeque<Notice>,
    scans: bool,
}

impl Broker {
    /// Something that somebody should know of, oldest first.
    #[must_use]
    pub fn poll_notice(&mut self) -> Option<Notice> {
        self.clients.notices.pop_front()
    }

    /// The oldest are forgotten where nobody asks for them.
    pub(super) fn note(&mut self, notice: Notice) {
        if self.clients.notices.len() == NOTICES_MAX {
            self.clients.notices.pop_front();
        }
        self.clients.notices.push_back(notice);
    }

    /// Request 34.
    pub(super) fn handle_heartbeat(&mut self, request: Request, frame: &Frame<'_>) -> Outcome {
        let data = HeartbeatData::decode(frame.body)?;
        let client_id = plain(data.client_id);
        check_client_id(&client_id)?;
        check_groups(&data)?;
        if let Some(session) = self.sessions.get_mut(request.session) {
            session.client_id = Some((*client_id).into());
        }
        for producer in data.producer_data_set.iter() {
            self.join_producers(&plain(producer?.group_name), request.session);
        }
        for consumer in data.consumer_data_set.iter() {
            self.join(request.session, &client_id, &consumer?, data.without_sub)?;
        }
        let ext = [("IS_SUPPORT_HEART_BEAT_V2", "true"), ("IS_SUB_CHANGE", "true")];
        self.answer_with(request, response_code::SUCCESS, None, &ext, &[]);
        Ok(())
    }

    /// Names that no group can have, and groups beyond the limit, are passed over: a producer
    /// sends without, but is asked about its transactions only where it is known.
    fn join_producers(&mut self, group: &str, id: SessionId) {
        let producers = &mut self.clients.producers;
        if let Some(sessions) = producers.get_mut(group) {
            sessions.insert(id);
        } else if check_name(group).is_ok() && producers.len() < self.config.limits.groups_max {
            producers.insert(group.into(), BTreeSet::from([id]));
        }
    }

    /// A member of a group says that it is there, and what it wants.
    fn join(
        &mut self,
        id: SessionId,
        client_id: &str,
        data: &ConsumerData<'_>,
        keeps_subscriptions: bool,
    ) -> Outcome {
        // Before anything changes, so that nobody joins by halves.
        let wanted = if keeps_subscriptions { None } else { Some(subscriptions_of(data)?) };
        let name = plain(data.group_name);
        if self.groups.get(&name).is_none() {
            self.create_group(&name)?;
        }
        self.make_retry_topic(&name)?;
        let Some(group) = self.groups.get_mut(&name) else {
            return Ok(());
        };
        let mut has_changed = enter(group, id, client_id);
        group.consume_type = data.consume_type;
        group.model = data.message_model;
        group.from_where = data.consume_from_where;
        let mut differ = Vec::new();
        if let Some(wanted) = wanted {
            has_changed |= subscribe(group, id, wanted, &mut differ);
        }
        for topic in differ {
            self.counts.subscriptions_differ += 1;
            let (group, client_id) = (name.clone().into_owned(), client_id.into());
            self.note(Notice::SubscriptionsDiffer { group, topic, client_id });
        }
        if has_changed {
            self.notify(&name);
        }
        Ok(())
    }

    /// A group that nobody has made.
    pub(super) fn create_group(&mut self, name: &str) -> Outcome {
        let not_there = |remark| Refusal::new(response_code::SUBSCRIPTION_GROUP_NOT_EXIST, remark);
        if !self.config.auto_create_groups {
            return Err(not_there(alloc::format!("subscription group [{name}] does not exist")));
        }
        if let Err(reason) = check_name(name) {
            return Err(not_there(alloc::format!("the group name [{name}] {reason}")));
        }
        if self.groups.len() >= self.config.limits.groups_max {
            return Err(not_there(alloc::format!(
                "there are {} groups already; delete some",
                self.config.limits.groups_max
            )));
        }
        self.groups.make(name);
        self.state.group_changed(name);
        Ok(())
    }

    fn make_retry_topic(&mut self, group: &str) -> Outcome {
        let topic = alloc::format!("{RETRY_PREFIX}{group}");
        if self.topics.find(&topic).is_none() {
            let queues = self.groups.get(group).map_or(1, |group| group.settings.retry_queues);
            self.create_topic(&topic, TopicSettings::with_queues(queues.max(1), 6))?;
        }
        Ok(())
    }

    /// Tells all members of a group that it has changed.
    fn notify(&mut self, name: &str) {
        let Some(group) = self.groups.get(name).filter(|group| group.settings.notifies) else {
            return;
        };
        let sessions: BTreeSet<SessionId> = group.members.iter().map(|m| m.session).collect();
        let header = NotifyConsumerIdsChangedRequestHeader {
            consumer_group: Text::plain(name),
            ..Default::default()
        };
        for id in sessions {
            let code = request_code::NOTIFY_CONSUMER_IDS_CHANGED;
            self.ask(id, code, true, &header, &mut Vec::new());
        }
    }

    /// Request 35.
    pub(super) fn handle_unregister(&mut self, request: Request, frame: &Frame<'_>) -> Outcome {
        let header = UnregisterClientRequestHeader::decode(&frame.ext)?;
        if let Some(group) = header.producer_group.map(plain) {
            self.leave_producers(&group, request.session);
        }
        if let Some(group) = header.consumer_group.map(plain) {
            self.leave(&group, request.session);
        }
        self.answer(request, response_code::SUCCESS, None);
        Ok(())
    }

    fn leave_producers(&mut self, group: &str, id: SessionId) {
        if let Some(sessions) = self.clients.producers.get_mut(group) {
            sessions.remove(&id);
            if sessions.is_empty() {
                self.clients.producers.remove(group);
            }
        }
    }

    /// A connection leaves a group; what its client had locked is free, unless it has another one.
    fn leave(&mut self, name: &str, id: SessionId) {
        let Some(group) = self.groups.get_mut(name) else {
            return;
        };
        let mut left = Vec::new();
        group.members.retain(|member| {
            let stays = member.session != id;
            if !stays {
                left.push(member.client_id.clone());
            }
            stays
        });
        if left.is_empty() {
            return;
        }
        free_locks(group, &left);
        self.notify(name);
    }

    /// A connection is gone.
    pub(super) fn handle_left(&mut self, _now: Now, id: SessionId, session: Session) {
        let of_id = |group: &Group| group.members.iter().any(|member| member.session == id);
        let groups: Vec<String> =
            self.groups.iter().filter(|(_, g)| of_id(g)).map(|(name, _)| name.into()).collect();
        groups.iter().for_each(|name| self.leave(name, id));
        self.clients.producers.retain(|_, sessions| {
            sessions.remove(&id);
            !sessions.is_empty()
        });
        self.forget_pulls_of(id);
        self.end_relays(id, session);
    }

    /// A connection of somebody who produces for this group.
    pub(super) fn producer_session(&mut self, group: &str) -> Option<SessionId> {
        let sessions = self.clients.producers.get(group)?;
        // Another one each time, in case one of them does not answer.
        let index = self.random.below(sessions.len() as u64);
        sessions.iter().nth(usize::try_from(index).unwrap_or(0)).copied()
    }

    /// Request 38.
    pub(super) fn handle_consumer_list(&mut self, request: Request, frame: &Frame<'_>) -> Outcome {
        let header = GetConsumerListByGroupRequestHeader::decode(&frame.ext)?;
        let name = plain(header.consumer_group);
        let group = self.groups.get(&name).filter(|group| !group.members.is_empty());
        let Some(group) = group else {
            let remark = alloc::format!("no consumer for this group, {name}");
            return Err(Refusal::new(response_code::SYSTEM_ERROR, remark));
        };
        let ids: BTreeSet<&str> = group.members.iter().map(|member| &*member.client_id).collect();
        let ids: Vec<Text<'_>> = ids.into_iter().map(Text::plain).collect();
        let body = GetConsumerListByGroupResponseBody { consumer_id_list: (&*ids).into() };
        let body = json(&body, Dialect::Strict);
        self.answer_with(request, response_code::SUCCESS, None, &Absent, &body);
        Ok(())
    }

    /// Request 46: whether this broker can do what a consumer is going to subscribe to.
    pub(super) fn handle_check_client(&mut self, request: Request, frame: &Frame<'_>) -> Outcome {
        let body = CheckClientRequestBody::decode(frame.body)?;
        if let Some(subscription) = body.subscription_data {
            let subscription = subscription_of(&subscription)?;
            check_expression_type(Some(&subscription.expression_type))?;
        }
        self.answer(request, response_code::SUCCESS, None);
        Ok(())
    }

    /// Request 203.
    pub(super) fn handle_consumers(&mut self, request: Request, frame: &Frame<'_>) -> Outcome {
        let header = GetConsumerConnectionListRequestHeader::decode(&frame.ext)?;
        let name = plain(header.consumer_group);
        let group = self.groups.get(&name).filter(|group| !group.members.is_empty());
        let Some(group) = group else {
            let remark = alloc::format!("the consumer group[{name}] not online");
            return Err(Refusal::new(response_code::CONSUMER_NOT_ONLINE, remark));
        };
        let addresses = self.addresses(group.members.iter().map(|member| member.session));
        let connections = self.connections_of(&addresses);
        let subscriptions: Vec<_> = group.subscriptions.iter().map(subscription_data).collect();
        let body = ConsumerConnection {
            connection_set: (&*connections).into(),
            consume_from_where: group.from_where,
            consume_type: group.consume_type,
            message_model: group.model,
            subscription_table: (&*subscriptions).into(),
        };
        let body = json(&body, Dialect::Fastjson);
        self.answer_with(request, response_code::SUCCESS, None, &Absent, &body);
        Ok(())
    }

    /// Request 204.
    pub(super) fn handle_producers(&mut self, request: Request, frame: &Frame<'_>) -> Outcome {
        let header = GetProducerConnectionListRequestHeader::decode(&frame.ext)?;
        let name = plain(header.producer_group);
        let Some(sessions) = self.clients.producers.get(&*name) else {
            let remark = alloc::format!("the producer group[{name}] not exist");
            return Err(Refusal::new(response_code::SYSTEM_ERROR, remark));
        };
        let addresses = self.addresses(sessions.iter().copied());
        let connections = self.connections_of(&addresses);
        let body = ProducerConnection { connection_set: (&*connections).into() };
        let body = json(&body, Dialect::Fastjson);
        self.answer_with(request, response_code::SUCCESS, None, &Absent, &body);
        Ok(())
    }

    /// Request 328: all producers, by group.
    pub(super) fn handle_all_producers(&mut self, now: Now, request: Request) -> Outcome {
        let groups = &self.clients.producers;
        let ids = groups.values().flat_map(|sessions| sessions.iter().copied());
        let addresses: BTreeMap<SessionId, String> = self.addresses(ids).into_iter().collect();
        let infos: Vec<(&str, Vec<ProducerInfo<'_>>)> = groups
            .iter()
            .map(|(name, sessions)| {
                let infos =
                    sessions.iter().filter_map(|id| self.producer_info(now, *id, &addresses));
                (&**name, infos.collect())
            })
            .collect();
        let table: Vec<(Text<'_>, List<'_, ProducerInfo<'_>>)> =
            infos.iter().map(|(name, infos)| (Text::plain(name), (&**infos).into())).collect();
        let body = json(&ProducerTableInfo { data: (&*table).into() }, Dialect::Fastjson);
        self.answer_with(request, response_code::SUCCESS, None, &Absent, &body);
        Ok(())
    }

    fn producer_info<'a>(
        &'a self,
        now: Now,
        id: SessionId,
        addresses: &'a BTreeMap<SessionId, String>,
    ) -> Option<ProducerInfo<'a>> {
        let session = self.sessions.get(id)?;
        let heard_ms = now.unix_ms.saturating_sub(now.at.us_since(session.heard) / 1_000);
        Some(ProducerInfo {
            client_id: session.client_id.as_deref().map(Text::plain),
            language: session.language,
            last_update_timestamp: heard_ms as i64,
            remote_ip: addresses.get(&id).map(|address| Text::plain(address)),
            version: session.version,
        })
    }

    fn addresses(&self, ids: impl Iterator<Item = SessionId>) -> Vec<(SessionId, String)> {
        ids.filter_map(|id| Some((id, alloc::format!("{}", self.sessions.get(id)?.peer)))).collect()
    }

    fn connections_of<'a>(&'a self, addresses: &'a [(SessionId, String)]) -> Vec<Connection<'a>> {
        let connection = |(id, address): &'a (SessionId, String)| {
            let session = self.sessions.get(*id)?;
            Some(Connection {
                client_addr: Some(Text::plain(address)),
                client_id: session.client_id.as_deref().map(Text::plain),
                language: session.language,
                version: session.version,
            })
        };
        addresses.iter().filter_map(connection).collect()
    }

    /// Looks for connections without a word from now on.
    pub(super) fn scan_from(&mut self, now: Now) {
        if !core::mem::replace(&mut self.clients.scans, true) {
            self.timers.add(now.at.plus_us(IDLE_SCAN_US), Due::Idle);
        }
    }

    /// Closes connections without a word, and looks again as long as there are any.
    pub(super) fn scan_idle(&mut self, now: Now) {
        let idle_us = u64::try_from(self.config.limits.idle_max.as_micros()).unwrap_or(u64::MAX);
        let is_idle = |session: &Session| now.at.us_since(session.heard) >= idle_us;
        let idle: Vec<SessionId> =
            self.sessions.iter().filter(|(_, s)| is_idle(s)).map(|(id, _)| id).collect();
        for id in idle {
            if let Some(session) = self.sessions.get_mut(id) {
                session.closing.get_or_insert(CloseReason::Idle);
                self.sessions.wake(id);
            }
        }
        self.clients.scans = false;
        if self.sessions.len() > 0 {
            self.scan_from(now);
        }
    }
}

/// A connection enters a group, or is in it under another id; true where it was not.
fn enter(group: &mut Group, id: SessionId, client_id: &str) -> bool {
    // One place a connection, so that there are never more members than connections.
    let Some(member) = group.members.iter_mut().find(|member| member.session == id) else {
        group.members.push(Member::new(id, client_id));
        return true;
    };
    if *member.client_id == *client_id {
        return false;
    }
    let left = core::mem::replace(&mut member.client_id, client_id.into());
    free_locks(group, &[left]);
    true
}

/// What these clients had locked is free, unless they are there by another connection.
fn free_locks(group: &mut Group, left: &[Box<str>]) {
    let Group { members, locks, .. } = group;
    let is_gone = |client_id: &str| {
        left.iter().any(|left| **left == *client_id)
            && !members.iter().any(|member| *member.client_id == *client_id)
    };
    locks.retain(|_, lock| !is_gone(&lock.client_id));
}

/// Ids are kept as long as their connection, and compared with others.
pub(super) fn check_client_id(client_id: &str) -> Outcome {
    let len = client_id.len();
    if (1..=CLIENT_ID_BYTES_MAX).contains(&len) {
        return Ok(());
    }
    let remark = alloc::format!("the client id has {len} bytes, not 1 to {CLIENT_ID_BYTES_MAX}");
    Err(Refusal::new(response_code::SYSTEM_ERROR, remark))
}

fn check_groups(data: &HeartbeatData<'_>) -> Outcome {
    let producers = data.producer_data_set.iter().take(GROUPS_PER_CLIENT_MAX + 1).count();
    let consumers = data.consumer_data_set.iter().take(GROUPS_PER_CLIENT_MAX + 1).count();
    if producers.max(consumers) <= GROUPS_PER_CLIENT_MAX {
        return Ok(());
    }
    let remark = alloc::format!("a client can be in {GROUPS_PER_CLIENT_MAX} groups, not in more");
    Err(Refusal::new(response_code::SYSTEM_ERROR, remark))
}

#[cfg(test)]
mod tests;

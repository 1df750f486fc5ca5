//! Administering topics, and consumer groups: making, listing, describing and deleting them.
//!
//! The module decides whom to ask in which order, and what is done where not everybody can be
//! reached. How often a broker is asked again is decided by
//! [`Attempts`], as for messages; connections, their encryption and signatures are those of the
//! client.

mod error;
mod groups;
mod topic;

use core::fmt;
use core::time::Duration;

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use turbopump_core::random::SplitMix64;
use turbopump_core::rocketmq::client::{Attempts, Busy, Failure, Verdict};
use turbopump_core::rocketmq::wire::body::{
    Body, BrokerData, ClusterInfo, MASTER_ID, TopicList, TopicRouteData, TopicStatsTable,
};
use turbopump_core::rocketmq::wire::command::{
    CreateTopicRequestHeader, DeleteKVConfigRequestHeader, DeleteTopicFromNamesrvRequestHeader,
    DeleteTopicRequestHeader, GetRouteInfoRequestHeader, GetTopicStatsInfoRequestHeader,
    PutKVConfigRequestHeader,
};
use turbopump_core::rocketmq::wire::header::{Absent, ExtSource, request_code, response_code};
use turbopump_core::time::{Clock, Instant};

use super::Inner;
use super::peers::Peer;
use super::routes::TEMPLATE;
use crate::backend::{Backend, Endpoint};
use crate::rocketmq::Answer;

use error::Action;
use topic::{check_name, check_own_name};

pub use error::{AdminError, AdminErrorKind};
pub use groups::{GroupMember, GroupProgress, GroupQueue, ListedGroup, ResetQueue, ResetTo};
pub use topic::{
    ListedTopic, TopicBroker, TopicConfig, TopicDescription, TopicKind, TopicPermission, TopicQueue,
};

/// Makes, lists, describes and deletes topics, and looks after consumer groups: a cheap handle.
///
/// Topics and groups are in the client's namespace, if it has one; only lists have all of them, by
/// their full names. Each call has the time of a send,
/// [`ClientConfig::send`](super::ClientConfig::send), for everything that belongs to it.
///
/// ```no_run
/// use turbopump_std::backend::Backend;
/// use turbopump_std::client::{Client, TopicConfig};
///
/// async fn make<B: Backend>(client: &Client<B>) -> Result<(), Box<dyn std::error::Error>> {
///     let brokers = client.admin().create_topic(&TopicConfig::new("Orders")).await?;
///     println!("made at {}", brokers.join(", "));
///     Ok(())
/// }
/// ```
pub struct Admin<B: Backend> {
    inner: Arc<Inner<B>>,
}

/// Somebody who is to change something.
struct Target<B: Backend> {
    name: String,
    /// Or why nobody can be asked.
    peer: Asked<Arc<Peer<B>>>,
}

/// What was done where, and the first thing that went wrong.
#[derive(Default)]
struct Outcome {
    done: Vec<String>,
    failure: Option<AdminErrorKind>,
}

type Asked<T> = Result<T, AdminErrorKind>;

impl<B: Backend> Admin<B> {
    pub(super) fn new(inner: Arc<Inner<B>>) -> Self {
        Self { inner }
    }

    /// Makes a topic at the masters of a cluster or of all clusters, or changes the one of that
    /// name; returns the names of these brokers. Every broker is asked, whatever another one says.
    ///
    /// # Errors
    ///
    /// [`AdminError`] for a name and settings that can't be, for a cluster that there is not, and
    /// where not all brokers have done it: [`AdminError::done`] says which have. It can be done
    /// again.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may leave it done at some brokers.
    pub async fn create_topic(&self, config: &TopicConfig) -> Result<Vec<String>, AdminError> {
        let failed = |done, kind| AdminError { action: create(&config.name), done, kind };
        let none = |kind| failed(Vec::new(), kind);
        config.check().map_err(none)?;
        let until = self.deadline();
        let masters = self.masters(config.cluster.as_deref(), until).await.map_err(none)?;
        let attributes = config.attribute_text();
        let name = self.inner.wire_name(&config.name);
        let header = CreateTopicRequestHeader {
            topic: (&*name).into(),
            default_topic: TEMPLATE.into(),
            read_queue_nums: i32::try_from(config.read_queues).unwrap_or(i32::MAX),
            write_queue_nums: i32::try_from(config.write_queues).unwrap_or(i32::MAX),
            perm: config.permission.0,
            topic_filter_type: "SINGLE_TAG".into(),
            topic_sys_flag: Some(0),
            order: config.order,
            attributes: attributes.as_deref().map(Into::into),
            ..CreateTopicRequestHeader::default()
        };
        let code = request_code::UPDATE_AND_CREATE_TOPIC;
        let mut outcome = self.at_each(masters, code, &header, until).await;
        if config.order && outcome.failure.is_none() {
            outcome.failure = self.put_order(&name, &outcome.done, config, until).await;
        }
        self.inner.routes.doubt(&name);
        match outcome.failure {
            Some(kind) => Err(failed(outcome.done, kind)),
            None => Ok(outcome.done),
        }
    }

    /// Deletes a topic with its messages: at all brokers that have it, then at all name servers;
    /// returns their names and addresses. Name servers are told only once all brokers have done it,
    /// so that it can be done again.
    ///
    /// # Errors
    ///
    /// [`AdminError`] for a name that can't be, for a topic that no name server knows, and where
    /// it was not done everywhere: [`AdminError::done`] says where it was.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may leave it done at some brokers and name servers.
    pub async fn delete_topic(&self, name: &str) -> Result<Vec<String>, AdminError> {
        let mut outcome = Outcome::default();
        let result = self.delete_at_all(name, &mut outcome).await;
        self.inner.routes.doubt(&self.inner.wire_name(name));
        match result.err().or(outcome.failure) {
            Some(kind) => {
                Err(AdminError { action: Action::Delete(name.into()), done: outcome.done, kind })
            }
            None => Ok(outcome.done),
        }
    }

    /// All topics that a name server knows, by name; clusters and brokers have topics of their
    /// own, which are of the kind [`TopicKind::System`].
    ///
    /// # Errors
    ///
    /// [`AdminError`] where no name server answers.
    ///
    /// # Cancel safety
    ///
    /// Nothing is changed.
    pub async fn topics(&self) -> Result<Vec<ListedTopic>, AdminError> {
        let failed = |kind| AdminError { action: Action::List, done: Vec::new(), kind };
        let until = self.deadline();
        let all = self.topic_list(request_code::GET_ALL_TOPIC_LIST_FROM_NAMESERVER, until).await;
        let all = all.map_err(failed)?;
        let system = self.topic_list(request_code::GET_SYSTEM_TOPIC_LIST_FROM_NS, until).await;
        let system = system.map_err(failed)?;
        let listed = all.into_iter().map(|name| {
            let cluster = name.strip_suffix("_REPLY_TOPIC").unwrap_or(&name);
            let is_system = system.contains(cluster);
            let kind = if is_system { TopicKind::System } else { TopicKind::of(&name) };
            ListedTopic { name, kind }
        });
        Ok(listed.collect())
    }

    /// Where a topic is, and what its queues hold. A broker that can't be asked is described as far
    /// as the name servers know it: [`TopicBroker::queues`] says what has happened then.
    ///
    /// # Errors
    ///
    /// [`AdminError`] for a name that can't be, for a topic that no name server knows, and where
    /// none answers.
    ///
    /// # Cancel safety
    ///
    /// Nothing is changed.
    pub async fn describe_topic(&self, name: &str) -> Result<TopicDescription, AdminError> {
        let action = || Action::Describe(name.into());
        let failed = |kind| AdminError { action: action(), done: Vec::new(), kind };
        check_name(name).map_err(failed)?;
        let wire_name = self.inner.wire_name(name);
        let until = self.deadline();
        let (mut brokers, order) = self.route_of(&wire_name, until).await.map_err(failed)?;
        let count = brokers.len();
        for (place, broker) in brokers.iter_mut().enumerate() {
            let share = self.share(until, count.saturating_sub(place));
            broker.queues = self.queues_at(&wire_name, broker, share).await.map_err(failed);
        }
        Ok(TopicDescription { name: name.into(), order, brokers })
    }

    async fn delete_at_all(&self, name: &str, outcome: &mut Outcome) -> Asked<()> {
        check_own_name(name)?;
        let name = &*self.inner.wire_name(name);
        let until = self.deadline();
        let mut masters = Vec::new();
        let (brokers, order) = self.route_of(name, until).await?;
        for broker in brokers {
            masters.push(self.master(broker.broker, broker.address.as_deref()));
        }
        let header = DeleteTopicRequestHeader { topic: name.into(), ..Default::default() };
        let code = request_code::DELETE_TOPIC_IN_BROKER;
        *outcome = self.at_each(masters, code, &header, until).await;
        if outcome.failure.is_some() {
            return Ok(());
        }
        let header =
            DeleteTopicFromNamesrvRequestHeader { topic: name.into(), ..Default::default() };
        let code = request_code::DELETE_TOPIC_IN_NAMESRV;
        let told = self.at_each(self.name_servers(), code, &header, until).await;
        outcome.done.extend(told.done);
        outcome.failure = told.failure;
        if order.is_some() && outcome.failure.is_none() {
            let header = DeleteKVConfigRequestHeader { namespace: ORDER.into(), key: name.into() };
            let code = request_code::DELETE_KV_CONFIG;
            outcome.failure = self.at_each(self.name_servers(), code, &header, until).await.failure;
        }
        Ok(())
    }

    /// Tells the name servers which queues an ordered topic has, so that these stay the same while
    /// a broker is away.
    async fn put_order(
        &self,
        topic: &str,
        brokers: &[String],
        config: &TopicConfig,
        until: Instant,
    ) -> Option<AdminErrorKind> {
        let pairs = brokers.iter().map(|broker| format!("{broker}:{}", config.write_queues));
        let order = pairs.collect::<Vec<_>>().join(";");
        let header = PutKVConfigRequestHeader {
            namespace: ORDER.into(),
            key: topic.into(),
            value: order.as_str().into(),
        };
        let code = request_code::PUT_KV_CONFIG;
        self.at_each(self.name_servers(), code, &header, until).await.failure
    }

    /// All of them: they don't tell each other.
    fn name_servers(&self) -> Vec<Target<B>> {
        let servers = self.inner.routes.name_servers();
        let servers = servers.peers().iter();
        servers
            .map(|peer| Target { name: peer.endpoint.to_string(), peer: Ok(Arc::clone(peer)) })
            .collect()
    }

    /// Asks all of them, one after the other.
    async fn at_each(
        &self,
        targets: Vec<Target<B>>,
        code: i32,
        fields: &impl ExtSource,
        until: Instant,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        let count = targets.len();
        for (place, Target { name, peer }) in targets.into_iter().enumerate() {
            // One that does not answer leaves time for the others.
            let share = self.share(until, count.saturating_sub(place));
            let asked = match &peer {
                Ok(peer) => self.ask_again(peer, code, fields, share).await.map(|_| ()),
                Err(kind) => Err(kind.clone()),
            };
            match asked {
                Ok(()) => outcome.done.push(name),
                Err(kind) => {
                    outcome.failure.get_or_insert(kind);
                }
            }
        }
        outcome
    }

    /// The masters that a name server knows, of one cluster or of all, by name.
    async fn masters(&self, cluster: Option<&str>, until: Instant) -> Asked<Vec<Target<B>>> {
        let code = request_code::GET_BROKER_CLUSTER_INFO;
        let answer = self.ask_a_name_server(code, &Absent, until).await?;
        let info = read::<ClusterInfo<'_>, _>("the name server", &answer, |info| {
            let mut clusters: Vec<(String, BTreeSet<String>)> = Vec::new();
            for entry in info.cluster_addr_table.iter() {
                let (name, brokers) = entry.map_err(text)?;
                let brokers = brokers.iter().map(|name| name.map(|name| name.to_string()));
                clusters.push((name.to_string(), brokers.collect::<Result<_, _>>().map_err(text)?));
            }
            let mut masters = Vec::new();
            for entry in info.broker_addr_table.iter() {
                let (name, broker) = entry.map_err(text)?;
                let address = broker.address(MASTER_ID).map_err(text)?;
                masters.push((name.to_string(), address.map(|address| address.to_string())));
            }
            Ok((clusters, masters))
        });
        let (clusters, mut brokers) = info?;
        if let Some(cluster) = cluster {
            let found = clusters.iter().find(|(name, _)| name == cluster);
            let Some((_, members)) = found else {
                let known = clusters.into_iter().map(|(name, _)| name).collect();
                return Err(AdminErrorKind::UnknownCluster { cluster: cluster.into(), known });
            };
            brokers.retain(|(name, _)| members.contains(name));
        }
        brokers.sort_unstable();
        if brokers.is_empty() {
            return Err(AdminErrorKind::NoBroker);
        }
        let masters = brokers.into_iter();
        Ok(masters.map(|(name, address)| self.master(name, address.as_deref())).collect())
    }

    /// The broker of that name, where its master says that it is.
    fn master(&self, name: String, address: Option<&str>) -> Target<B> {
        let peer = match address.map(str::parse::<Endpoint>) {
            Some(Ok(endpoint)) => Ok(self.inner.peers.advertised(&endpoint)),
            Some(Err(error)) => Err(AdminErrorKind::Unreadable {
                by: "the name server".into(),
                reason: format!("broker {name:?}: {error}").into(),
            }),
            None => Err(AdminErrorKind::NoMaster { broker: name.as_str().into() }),
        };
        Target { name, peer }
    }

    /// The brokers that have a topic, by name, whose queues are yet to be asked for; and its order.
    async fn route_of(
        &self,
        topic: &str,
        until: Instant,
    ) -> Asked<(Vec<TopicBroker>, Option<String>)> {
        let header = GetRouteInfoRequestHeader {
            topic: topic.into(),
            accept_standard_json_only: Some(true),
            ..GetRouteInfoRequestHeader::default()
        };
        let code = request_code::GET_ROUTEINFO_BY_TOPIC;
        let answer = self.ask_a_name_server(code, &header, until).await?;
        let read = read::<TopicRouteData<'_>, _>("the name server", &answer, read_route);
        let (mut brokers, order) = read?;
        brokers.sort_unstable_by(|one, other| one.broker.cmp(&other.broker));
        if brokers.is_empty() { Err(AdminErrorKind::UnknownTopic) } else { Ok((brokers, order)) }
    }

    async fn queues_at(
        &self,
        topic: &str,
        broker: &TopicBroker,
        until: Instant,
    ) -> Asked<Vec<TopicQueue>> {
        let master = self.master(broker.broker.clone(), broker.address.as_deref()).peer?;
        let header = GetTopicStatsInfoRequestHeader { topic: topic.into(), ..Default::default() };
        let code = request_code::GET_TOPIC_STATS_INFO;
        let answer = self.ask_again(&master, code, &header, until).await?;
        let mut queues = read::<TopicStatsTable<'_>, _>(&broker.broker, &answer, |table| {
            let mut queues = Vec::new();
            for entry in table.offset_table.iter() {
                let (queue, offsets) = entry.map_err(text)?;
                let updated = offsets.last_update_timestamp;
                queues.push(TopicQueue {
                    queue: queue.queue_id,
                    min_offset: offsets.min_offset,
                    max_offset: offsets.max_offset,
                    updated_unix_ms: (updated > 0).then_some(updated),
                });
            }
            Ok(queues)
        })?;
        queues.sort_unstable_by_key(|queue| queue.queue);
        Ok(queues)
    }

    async fn topic_list(&self, code: i32, until: Instant) -> Asked<BTreeSet<String>> {
        let answer = self.ask_a_name_server(code, &Absent, until).await?;
        read::<TopicList<'_>, _>("the name server", &answer, |list| {
            let names = list.topic_list.iter().map(|name| name.map(|name| name.to_string()));
            names.collect::<Result<_, _>>().map_err(text)
        })
    }

    /// One name server after the other, until one has an answer. They don't tell each other: what
    /// one of them does not know, another one may.
    async fn ask_a_name_server(
        &self,
        code: i32,
        fields: &impl ExtSource,
        until: Instant,
    ) -> Asked<Answer> {
        let servers = self.inner.routes.name_servers();
        let servers = servers.peers();
        let mut failure = no_time("a name server");
        for (turn, server) in servers.iter().enumerate() {
            let left = self.left(until);
            if left.is_zero() {
                break;
            }
            let is_last = turn + 1 == servers.len();
            let most = self.inner.config.name_server_timeout;
            let timeout = if is_last { left } else { left.min(most) };
            match self.ask(server, code, fields, timeout).await {
                Ok(answer) => return Ok(answer),
                Err(AdminErrorKind::Refused { code, .. })
                    if code == response_code::TOPIC_NOT_EXIST =>
                {
                    failure = AdminErrorKind::UnknownTopic;
                }
                Err(_) if failure == AdminErrorKind::UnknownTopic => {}
                Err(kind) => failure = kind,
            }
        }
        Err(failure)
    }

    /// Asks until there is an answer, no time is left, or it makes no sense any more.
    async fn ask_again(
        &self,
        peer: &Peer<B>,
        code: i32,
        fields: &impl ExtSource,
        until: Instant,
    ) -> Asked<Answer> {
        let now = self.inner.clock.now();
        let mut policy = self.inner.config.send;
        policy.timeout_us = until.us_since(now.at);
        let (mut attempts, mut random) =
            (Attempts::new(now.at, &policy), SplitMix64::new(self.inner.backend.random_seed()));
        let mut last = no_time(&peer.endpoint.to_string());
        while let Some(attempt) = attempts.begin(self.inner.clock.now().at) {
            match self.ask(peer, code, fields, self.left(attempt.until)).await {
                Ok(answer) => return Ok(answer),
                Err(kind) => last = kind,
            }
            let failure = match &last {
                AdminErrorKind::Unreachable { .. } => Failure::Transport,
                AdminErrorKind::Refused { code, remark, .. } => match Busy::of(*code, remark) {
                    Some(busy) => Failure::Busy(busy),
                    None => break,
                },
                _ => break,
            };
            let at = self.inner.clock.now().at;
            match attempts.fail(at, failure, &mut random) {
                Verdict::Again { at: again } if again > at => {
                    if let Some(again) = self.inner.clock.system_instant(again) {
                        self.inner.backend.sleep_until(again).await;
                    }
                }
                Verdict::Again { .. } => {}
                _ => break,
            }
        }
        Err(last)
    }

    /// Asks once; what comes is a success.
    async fn ask(
        &self,
        peer: &Peer<B>,
        code: i32,
        fields: &impl ExtSource,
        timeout: Duration,
    ) -> Asked<Answer> {
        let by = || peer.endpoint.to_string().into_boxed_str();
        let asked = peer.ask(code, fields, b"", timeout).await;
        let answer = asked.map_err(|error| AdminErrorKind::Unreachable { reason: error.reason })?;
        let frame = answer.frame();
        let frame = frame
            .map_err(|error| AdminErrorKind::Unreadable { by: by(), reason: text(error).into() })?;
        match frame.header.code {
            response_code::SUCCESS => Ok(answer),
            code => {
                let remark = frame.header.remark.map(|remark| remark.to_string());
                let remark = remark.unwrap_or_default();
                Err(AdminErrorKind::Refused { by: by(), code, remark })
            }
        }
    }

    fn deadline(&self) -> Instant {
        self.inner.clock.now().at.plus_us(self.inner.config.send.timeout_us)
    }

    fn left(&self, until: Instant) -> Duration {
        Duration::from_micros(until.us_since(self.inner.clock.now().at))
    }

    /// The end of the first of so many equal parts of the time that is left.
    fn share(&self, until: Instant, parts: usize) -> Instant {
        let now = self.inner.clock.now().at;
        let parts = u64::try_from(parts).unwrap_or(u64::MAX).max(1);
        now.plus_us(until.us_since(now).div_ceil(parts))
    }
}

fn create(topic: &str) -> Action {
    Action::Create(topic.into())
}

fn text(error: impl fmt::Display) -> String {
    error.to_string()
}

fn no_time(whom: &str) -> AdminErrorKind {
    AdminErrorKind::Unreachable { reason: format!("no time was left to ask {whom}").into() }
}

/// What is in the body of an answer.
fn read<'a, T: Body<'a>, R>(
    by: &str,
    answer: &'a Answer,
    take: impl FnOnce(T) -> Result<R, String>,
) -> Asked<R> {
    let unreadable =
        |reason: String| AdminErrorKind::Unreadable { by: by.into(), reason: reason.into() };
    let frame = answer.frame().map_err(|error| unreadable(text(error)))?;
    let body = T::decode(frame.body).map_err(|error| unreadable(text(error)))?;
    take(body).map_err(unreadable)
}

/// The brokers of a route, without what their queues hold.
/// What a name server calls the orders of topics.
const ORDER: &str = "ORDER_TOPIC_CONFIG";

type RouteRead = (Vec<TopicBroker>, Option<String>);

fn read_route(data: TopicRouteData<'_>) -> Result<RouteRead, String> {
    let order = data.order_topic_conf.map(|order| order.to_string());
    let mut brokers = Vec::new();
    for queues in data.queue_datas.iter() {
        let queues = queues.map_err(text)?;
        let named = data.broker_datas.iter();
        let mut named = named.filter(|broker: &Result<BrokerData<'_>, _>| {
            broker.as_ref().map_or(true, |broker| broker.broker_name == queues.broker_name)
        });
        let broker = named.next().transpose().map_err(text)?;
        let address = broker.map(|broker| broker.address(MASTER_ID));
        let address = address.transpose().map_err(text)?.flatten();
        brokers.push(TopicBroker {
            broker: queues.broker_name.to_string(),
            cluster: broker.and_then(|broker| broker.cluster).map(|name| name.to_string()),
            address: address.map(|address| address.to_string()),
            permission: TopicPermission(queues.perm),
            read_queues: queues.read_queue_nums,
            write_queues: queues.write_queue_nums,
            queues: Ok(Vec::new()),
        });
    }
    Ok((brokers, order.filter(|order| !order.is_empty())))
}

impl<B: Backend> Clone for Admin<B> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<B: Backend> fmt::Debug for Admin<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").field("config", &self.inner.config).finish_non_exhaustive()
    }
}

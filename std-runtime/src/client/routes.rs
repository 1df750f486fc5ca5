//! Where topics are: what name servers say, for as long as it is believed.
//!
//! A route that has grown old is asked for again by whoever needs it, while others go on with it;
//! where no name server answers, the last good one stays.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use turbopump_core::rocketmq::client::RoundRobin;
use turbopump_core::rocketmq::wire::body::{Body, MASTER_ID, TopicRouteData};
use turbopump_core::rocketmq::wire::command::GetRouteInfoRequestHeader;
use turbopump_core::rocketmq::wire::header::{request_code, response_code};
use turbopump_core::time::{Clock, Instant};

use super::Inner;
use super::counts::Asked;
use super::error::ConnectError;
use super::outgoing::MessageQueue;
use super::peers::Peer;
use crate::backend::{Backend, Endpoint};

/// Whose route is taken for topics that nobody has made.
pub(super) const TEMPLATE: &str = "TBW102";
/// Queues of a topic that is made by its first message.
pub(super) const TEMPLATE_QUEUES: i32 = 4;
/// Between two questions for one route.
const QUIET_US: u64 = 1_000_000;
/// Topics whose routes are kept; beyond that, the oldest goes.
const ROUTES_MAX: usize = 16_384;

/// Where a topic is.
pub(super) struct Route<B: Backend> {
    pub(super) brokers: Vec<Broker<B>>,
    /// Queues that may be written to: a broker's place, and the number there.
    pub(super) queues: Vec<(usize, i32)>,
    /// Queues that may be read, by the broker's name and the number there, in this order.
    readable: Vec<(usize, i32)>,
    /// It is that of topics that nobody has made.
    is_template: bool,
    /// The name servers know its queues, whatever brokers are there.
    is_ordered: bool,
    fetched: Instant,
    /// When it is asked for again, in microseconds.
    fresh_until_us: AtomicU64,
    /// Not asked for again before, because somebody is at it or has just failed.
    quiet_until_us: AtomicU64,
    turns: Mutex<RoundRobin>,
}

pub(super) struct Broker<B: Backend> {
    pub(super) name: Arc<str>,
    /// None while it is away: an ordered topic keeps its queues.
    pub(super) peer: Option<Arc<Peer<B>>>,
}

impl<B: Backend> Route<B> {
    fn is_due(&self, now: Instant) -> bool {
        let has_passed = |us: &AtomicU64| us.load(Ordering::Relaxed) <= now.as_us();
        has_passed(&self.fresh_until_us) && has_passed(&self.quiet_until_us)
    }

    /// The queue at a place.
    pub(super) fn message_queue(&self, place: usize) -> Option<MessageQueue> {
        let (broker, queue) = self.queues.get(place)?;
        let broker = Arc::clone(&self.brokers.get(*broker)?.name);
        Some(MessageQueue { broker, queue: *queue })
    }

    /// Queues that may be read, in the order in which all members of a group see them.
    pub(super) fn readable(&self) -> impl Iterator<Item = (&Broker<B>, i32)> {
        let queues = self.readable.iter();
        queues.filter_map(|(place, queue)| Some((self.brokers.get(*place)?, *queue)))
    }

    pub(super) fn turns(&self) -> MutexGuard<'_, RoundRobin> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whom to ask where topics are.
pub(super) struct NameServerList<B: Backend> {
    peers: Vec<Arc<Peer<B>>>,
    /// The one that has answered last.
    current: AtomicUsize,
}

impl<B: Backend> NameServerList<B> {
    /// All of them, in the order in which they are given.
    pub(super) fn peers(&self) -> &[Arc<Peer<B>>] {
        &self.peers
    }
}

pub(super) struct Routes<B: Backend> {
    name_servers: Mutex<Arc<NameServerList<B>>>,
    by_topic: Mutex<HashMap<Box<str>, Arc<Route<B>>>>,
}

/// Why a topic's route is not known.
pub(super) enum NoRoute {
    /// Name servers say that there is none.
    Unknown(String),
    /// None of them says anything.
    Unreachable(String),
}

impl NoRoute {
    pub(super) fn into_text(self) -> String {
        match self {
            Self::Unknown(reason) | Self::Unreachable(reason) => reason,
        }
    }
}

/// What name servers say about a topic.
enum Said<B: Backend> {
    Route(Route<B>),
    Unknown,
}

impl<B: Backend> Routes<B> {
    pub(super) fn new(name_servers: Vec<Arc<Peer<B>>>) -> Self {
        let list = NameServerList { peers: name_servers, current: AtomicUsize::new(0) };
        Self { name_servers: Mutex::new(Arc::new(list)), by_topic: Mutex::default() }
    }

    fn by_topic(&self) -> MutexGuard<'_, HashMap<Box<str>, Arc<Route<B>>>> {
        self.by_topic.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those that there are at this moment.
    pub(super) fn name_servers(&self) -> Arc<NameServerList<B>> {
        Arc::clone(&self.name_servers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on these are asked.
    pub(super) fn set_name_servers(&self, peers: Vec<Arc<Peer<B>>>) {
        let list = Arc::new(NameServerList { peers, current: AtomicUsize::new(0) });
        *self.name_servers.lock().unwrap_or_else(PoisonError::into_inner) = list;
    }

    /// How many there are, and since when the oldest is believed.
    pub(super) fn ages(&self) -> (usize, Option<Instant>) {
        let routes = self.by_topic();
        (routes.len(), routes.values().map(|route| route.fetched).min())
    }

    /// All brokers of all routes; some of them more than once.
    pub(super) fn brokers(&self) -> Vec<Arc<Peer<B>>> {
        let routes = self.by_topic();
        let brokers = routes.values().flat_map(|route| &route.brokers);
        brokers.filter_map(|broker| broker.peer.clone()).collect()
    }

    /// A broker of a topic's route.
    pub(super) fn broker(&self, topic: &str, name: &str) -> Option<Arc<Peer<B>>> {
        let routes = self.by_topic();
        let broker = routes.get(topic)?.brokers.iter().find(|broker| *broker.name == *name);
        broker.and_then(|broker| broker.peer.clone())
    }

    /// Others know better now: all are asked for again before they are used the next time.
    pub(super) fn doubt_all(&self) {
        for route in self.by_topic().values() {
            route.fresh_until_us.store(0, Ordering::Relaxed);
            route.quiet_until_us.store(0, Ordering::Relaxed);
        }
    }

    /// Something went wrong there: it is asked for again before it is used the next time.
    pub(super) fn doubt(&self, topic: &str) {
        if let Some(route) = self.by_topic().get(topic) {
            route.fresh_until_us.store(0, Ordering::Relaxed);
        }
    }
}

impl<B: Backend> Inner<B> {
    /// Where a topic is, by `until`.
    pub(super) async fn route(
        &self,
        topic: &str,
        until: Instant,
    ) -> Result<Arc<Route<B>>, NoRoute> {
        let now = self.clock.now().at;
        let known = self.routes.by_topic().get(topic).cloned();
        if let Some(route) = &known {
            if !route.is_due(now) {
                return Ok(Arc::clone(route));
            }
            route.quiet_until_us.store(now.plus_us(QUIET_US).as_us(), Ordering::Relaxed);
        }
        let is_ordered = known.as_ref().is_some_and(|route| route.is_ordered);
        match (self.fetch(topic, until, is_ordered).await, known) {
            (Ok(route), _) => Ok(self.keep(topic, route)),
            // The last good one.
            (Err(_), Some(route)) => Ok(route),
            (Err(reason), None) => Err(reason),
        }
    }

    /// Where a topic is that is consumed, by `until`: as [`route`](Self::route), but a topic that
    /// nobody has made is nowhere.
    pub(super) async fn route_to_read(
        &self,
        topic: &str,
        until: Instant,
    ) -> Result<Arc<Route<B>>, NoRoute> {
        let now = self.clock.now().at;
        let known = self.routes.by_topic().get(topic).cloned();
        let known = known.filter(|route| !route.is_template);
        if let Some(route) = &known {
            if !route.is_due(now) {
                return Ok(Arc::clone(route));
            }
            route.quiet_until_us.store(now.plus_us(QUIET_US).as_us(), Ordering::Relaxed);
        }
        match (self.ask_name_servers(topic, i32::MAX, until).await, known) {
            (Ok(Said::Route(route)), _) => Ok(self.keep(topic, route)),
            (_, Some(route)) => Ok(route),
            (Ok(Said::Unknown), None) => {
                Err(NoRoute::Unknown(alloc::format!("the name servers know no topic {topic:?}")))
            }
            (Err(reason), None) => Err(NoRoute::Unreachable(reason)),
        }
    }

    fn keep(&self, topic: &str, route: Route<B>) -> Arc<Route<B>> {
        let route = Arc::new(route);
        let mut routes = self.routes.by_topic();
        if routes.len() >= ROUTES_MAX && !routes.contains_key(topic) {
            let oldest = routes.iter().min_by_key(|(_, route)| route.fetched);
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                routes.remove(&oldest);
            }
        }
        routes.insert(topic.into(), Arc::clone(&route));
        drop(routes);
        self.let_go();
        route
    }

    /// Lets go of brokers and name servers that are not needed any more.
    pub(super) fn let_go(&self) {
        let (needed, name_servers) = (self.routes.brokers(), self.routes.name_servers());
        self.peers.retain(|peer| {
            needed.iter().chain(name_servers.peers()).any(|needed| Arc::ptr_eq(needed, peer))
        });
    }

    /// Asks for a topic's route, or for that by which brokers make topics. Not for that where the
    /// topic is known to be ordered: its queues stay while its brokers are away.
    async fn fetch(
        &self,
        topic: &str,
        until: Instant,
        is_ordered: bool,
    ) -> Result<Route<B>, NoRoute> {
        let said = self.ask_name_servers(topic, i32::MAX, until).await;
        match said.map_err(NoRoute::Unreachable)? {
            // One that can only be read is as good as none.
            Said::Route(route) if !route.queues.is_empty() => return Ok(route),
            _ => {}
        }
        let said = match is_ordered {
            true => Ok(Said::Unknown),
            false => self.ask_name_servers(TEMPLATE, TEMPLATE_QUEUES, until).await,
        };
        match said.map_err(NoRoute::Unreachable)? {
            Said::Route(route) if !route.queues.is_empty() => {
                Ok(Route { is_template: true, ..route })
            }
            _ => Err(NoRoute::Unknown(alloc::format!(
                "the name servers know no topic {topic:?}, and no broker that would create it"
            ))),
        }
    }

    /// Asks one name server after the other, beginning with the one that answered last.
    async fn ask_name_servers(
        &self,
        topic: &str,
        queues_max: i32,
        until: Instant,
    ) -> Result<Said<B>, String> {
        let list = self.routes.name_servers();
        let name_servers = list.peers();
        let first = list.current.load(Ordering::Relaxed);
        let mut reason = String::from("no time was left to ask a name server");
        for turn in 0..name_servers.len() {
            let index = (first + turn) % name_servers.len();
            let Some(server) = name_servers.get(index) else { break };
            let left = Duration::from_micros(until.us_since(self.clock.now().at));
            if left.is_zero() {
                break;
            }
            let is_last = turn + 1 == name_servers.len();
            let timeout = if is_last { left } else { left.min(self.config.name_server_timeout) };
            let asked = self.ask_for_route(server, topic, queues_max, timeout).await;
            server.note_asked(match &asked {
                Ok(Said::Route(_)) => Asked::Known,
                Ok(Said::Unknown) => Asked::Unknown,
                Err(_) => Asked::Failed,
            });
            match asked {
                Ok(said) => {
                    list.current.store(index, Ordering::Relaxed);
                    return Ok(said);
                }
                Err(error) => reason = alloc::format!("the name server {error}"),
            }
        }
        // There may be others by now.
        self.look_for_name_servers();
        Err(reason)
    }

    async fn ask_for_route(
        &self,
        server: &Peer<B>,
        topic: &str,
        queues_max: i32,
        timeout: Duration,
    ) -> Result<Said<B>, String> {
        let header = GetRouteInfoRequestHeader {
            topic: topic.into(),
            accept_standard_json_only: Some(true),
            ..GetRouteInfoRequestHeader::default()
        };
        let code = request_code::GET_ROUTEINFO_BY_TOPIC;
        let answer = server.ask(code, &header, b"", timeout).await;
        let answer = answer.map_err(|error| error.reason.to_string())?;
        let broken = |error: &dyn core::fmt::Display| {
            alloc::format!("{}: its answer can't be read: {error}", server.endpoint)
        };
        let frame = answer.frame().map_err(|error| broken(&error))?;
        match frame.header.code {
            response_code::SUCCESS => {}
            response_code::TOPIC_NOT_EXIST => return Ok(Said::Unknown),
            code => {
                let remark = frame.header.remark.map(|remark| remark.to_string());
                let remark = remark.unwrap_or_default();
                return Err(alloc::format!("{}: code {code}: {remark}", server.endpoint));
            }
        }
        let data = TopicRouteData::decode(frame.body).map_err(|error| broken(&error))?;
        let route = self.read_route(&data, queues_max).map_err(|error| broken(&error))?;
        let is_empty = route.queues.is_empty() && route.readable.is_empty();
        Ok(if is_empty { Said::Unknown } else { Said::Route(route) })
    }

    fn read_route(&self, data: &TopicRouteData<'_>, queues_max: i32) -> Result<Route<B>, String> {
        let text = |error: &dyn core::fmt::Display| alloc::format!("{error}");
        let mut brokers: Vec<Broker<B>> = Vec::new();
        for broker in data.broker_datas.iter() {
            let broker = broker.map_err(|error| text(&error))?;
            let Some(address) = broker.address(MASTER_ID).map_err(|error| text(&error))? else {
                continue;
            };
            let address: Endpoint = address.to_string().parse().map_err(|error| text(&error))?;
            let name = broker.broker_name.to_string().into();
            brokers.push(Broker { name, peer: Some(self.peers.advertised(&address)) });
        }
        let mut queues = Vec::new();
        for queue in data.publish_queues() {
            let (name, number) = queue.map_err(|error| text(&error))?;
            let name = name.to_string();
            if number >= queues_max {
                continue;
            }
            let known = brokers.iter().position(|broker| *broker.name == *name);
            let place = known.unwrap_or_else(|| {
                brokers.push(Broker { name: name.into(), peer: None });
                brokers.len() - 1
            });
            queues.push((place, number));
        }
        let mut readable = Vec::new();
        for queue in data.subscribe_queues() {
            let (name, number) = queue.map_err(|error| text(&error))?;
            let name = name.to_string();
            // One without a master that is known can't be asked.
            if let Some(place) = brokers.iter().position(|broker| *broker.name == *name) {
                readable.push((place, number));
            }
        }
        let now = self.clock.now();
        // Somewhere, so that not all clients begin with the same queue.
        let start = usize::try_from(self.ids.next(now.unix_ms).loader_hash.unsigned_abs());
        let turns = Mutex::new(RoundRobin::starting_at(start.unwrap_or(0)));
        let age_max_us = u64::try_from(self.config.route_age_max.as_micros()).unwrap_or(u64::MAX);
        let fresh_until_us = AtomicU64::new(now.at.plus_us(age_max_us).as_us());
        let quiet_until_us = AtomicU64::new(0);
        let is_ordered = data.order_topic_conf.is_some_and(|order| !order.is_empty());
        let fetched = now.at;
        Ok(Route {
            brokers,
            queues,
            readable,
            is_template: false,
            is_ordered,
            fetched,
            fresh_until_us,
            quiet_until_us,
            turns,
        })
    }

    /// Succeeds once a name server has answered, whatever it knows.
    pub(super) async fn reach_name_server(&self) -> Result<(), ConnectError> {
        let until = self.clock.now().at.plus_us(self.config.send.timeout_us);
        match self.ask_name_servers(TEMPLATE, TEMPLATE_QUEUES, until).await {
            Ok(_) => Ok(()),
            Err(reason) => Err(ConnectError::Unreachable {
                name_servers: self.name_servers.text(),
                reason: reason.into(),
            }),
        }
    }
}

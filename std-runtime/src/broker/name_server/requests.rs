//! What is asked of a name server.

use alloc::string::String;
use alloc::vec::Vec;

use turbopump_core::rocketmq::wire::body::{
    Body, BrokerMemberGroup, DataVersion, GetBrokerMemberGroupResponseBody, PERM_WRITE, TopicList,
    TopicRouteData,
};
use turbopump_core::rocketmq::wire::command::{
    AddWritePermOfBrokerRequestHeader, BrokerHeartbeatRequestHeader, Command,
    DeleteTopicFromNamesrvRequestHeader, GetBrokerMemberGroupRequestHeader,
    GetTopicsByClusterRequestHeader, QueryDataVersionRequestHeader, RegisterTopicRequestHeader,
    UnRegisterBrokerRequestHeader, WipeWritePermOfBrokerRequestHeader,
};
use turbopump_core::rocketmq::wire::frame::Frame;
use turbopump_core::rocketmq::wire::header::{request_code, response_code};
use turbopump_core::rocketmq::wire::json::{Dialect, Text};
use turbopump_core::time::Now;

use super::NameServer;
use super::kv::ORDER_NAMESPACE;
use super::registration;
use super::registry::failed;
use super::route::{self, Queues, no_route, write_cluster, write_route};
use crate::broker::answers::{Refusal, Reply, plain};
use crate::broker::properties;
use crate::broker::sessions::Request;

/// The body of a list of topics.
pub(in crate::broker) fn topic_list<'a>(
    topics: impl Iterator<Item = &'a str>,
    address: Option<&str>,
) -> Reply {
    let topics: Vec<Text<'_>> = topics.map(Text::plain).collect();
    let list = TopicList { broker_addr: address.map(Text::plain), topic_list: (&*topics).into() };
    Reply::json(&list, Dialect::Fastjson)
}

/// Request 318: nothing of this kind can be changed while a name server runs.
pub(in crate::broker) fn refuse_config(body: &[u8]) -> Result<Reply, Refusal> {
    let settings = properties::read(body).unwrap_or_default();
    let names: Vec<&str> = settings.iter().map(|(name, _)| &**name).collect();
    let remark = alloc::format!(
        "the settings of this name server can't be changed while it runs [{}]: start \
         it with others",
        names.join(", ")
    );
    Err(Refusal::new(response_code::NO_PERMISSION, remark))
}

impl NameServer {
    /// Answers a request.
    pub(super) fn handle_request(
        &mut self,
        now: Now,
        request: Request,
        frame: &Frame<'_>,
    ) -> Result<Reply, Refusal> {
        match request.code {
            request_code::GET_ROUTEINFO_BY_TOPIC => self.give_route(request, frame),
            request_code::GET_BROKER_CLUSTER_INFO => Ok(write_cluster(&self.registry.brokers())),
            request_code::GET_ALL_TOPIC_LIST_FROM_NAMESERVER => {
                Ok(topic_list(self.registry.topics(), None))
            }
            request_code::GET_TOPICS_BY_CLUSTER => {
                let header = GetTopicsByClusterRequestHeader::decode(&frame.ext)?;
                Ok(topic_list(self.registry.topics_of(&plain(header.cluster)), None))
            }
            request_code::GET_SYSTEM_TOPIC_LIST_FROM_NS => Ok(self.system_topics()),
            request_code::REGISTER_BROKER => self.register(now, request, frame),
            request_code::UNREGISTER_BROKER => {
                let header = UnRegisterBrokerRequestHeader::decode(&frame.ext)?;
                self.registry.remove(&plain(header.cluster_name), &plain(header.broker_addr));
                Ok(Reply::default())
            }
            request_code::BROKER_HEARTBEAT => {
                let header = BrokerHeartbeatRequestHeader::decode(&frame.ext)?;
                let (cluster, address) = (plain(header.cluster_name), plain(header.broker_addr));
                self.registry.refresh(now.at, &cluster, &address);
                Ok(Reply::default())
            }
            request_code::QUERY_DATA_VERSION => self.compare_version(now, frame),
            request_code::REGISTER_TOPIC_IN_NAMESRV => self.register_topic(frame),
            request_code::GET_BROKER_MEMBER_GROUP => self.member_group(frame),
            request_code::DELETE_TOPIC_IN_NAMESRV => {
                let header = DeleteTopicFromNamesrvRequestHeader::decode(&frame.ext)?;
                let cluster = header.cluster_name.map(plain).filter(|cluster| !cluster.is_empty());
                self.registry.remove_topic(&plain(header.topic), cluster.as_deref());
                Ok(Reply::default())
            }
            request_code::PUT_KV_CONFIG
            | request_code::GET_KV_CONFIG
            | request_code::DELETE_KV_CONFIG
            | request_code::GET_KVLIST_BY_NAMESPACE => self.kv.handle(request.code, frame),
            request_code::WIPE_WRITE_PERM_OF_BROKER => {
                let header = WipeWritePermOfBrokerRequestHeader::decode(&frame.ext)?;
                let name = plain(header.broker_name);
                let count = self.registry.change_perm(&name, |perm| perm & !PERM_WRITE);
                Ok(Reply::field("wipeTopicCount", alloc::format!("{count}")))
            }
            request_code::ADD_WRITE_PERM_OF_BROKER => {
                let header = AddWritePermOfBrokerRequestHeader::decode(&frame.ext)?;
                let name = plain(header.broker_name);
                let count = self.registry.change_perm(&name, |perm| perm | PERM_WRITE);
                Ok(Reply::field("addTopicCount", alloc::format!("{count}")))
            }
            request_code::UPDATE_NAMESRV_CONFIG => refuse_config(frame.body),
            request_code::GET_NAMESRV_CONFIG => Ok(self.describe()),
            code => {
                self.counts.requests_unknown += 1;
                let remark = alloc::format!(" request type {code} not supported");
                Err(Refusal::new(response_code::REQUEST_CODE_NOT_SUPPORTED, remark))
            }
        }
    }

    fn give_route(&self, request: Request, frame: &Frame<'_>) -> Result<Reply, Refusal> {
        let (topic, dialect) = route::asked(request, frame)?;
        let rows = self.registry.route(&topic);
        if rows.is_empty() {
            return Err(no_route(&topic));
        }
        Ok(write_route(&rows, self.kv.order_of(&topic), dialect))
    }

    /// What brokers and clusters are called are topics, too.
    fn system_topics(&self) -> Reply {
        let brokers = self.registry.brokers();
        let mut names: Vec<&str> = Vec::new();
        for (name, named) in &brokers {
            names.extend([&*named.cluster, *name]);
        }
        names.sort_unstable();
        names.dedup();
        let address = brokers.iter().find_map(|(_, named)| named.addresses.values().next());
        topic_list(names.into_iter(), address.map(|address| &**address))
    }

    fn register(
        &mut self,
        now: Now,
        request: Request,
        frame: &Frame<'_>,
    ) -> Result<Reply, Refusal> {
        let registration = registration::read(frame, &self.config)?;
        let (brokers_max, routes_max) = (self.config.brokers_max, self.config.routes_max);
        let registry = &mut self.registry;
        let master =
            registry.register(now.at, request.session, registration, brokers_max, routes_max)?;
        self.counts.registrations += 1;
        let mut reply = self.kv.table(ORDER_NAMESPACE).unwrap_or_default();
        let fields = [("haServerAddr", master.ha_address), ("masterAddr", master.address)];
        reply.fields = fields.into_iter().filter_map(|(name, at)| Some((name, at?))).collect();
        Ok(reply)
    }

    fn compare_version(&mut self, now: Now, frame: &Frame<'_>) -> Result<Reply, Refusal> {
        let header = QueryDataVersionRequestHeader::decode(&frame.ext)?;
        let version = DataVersion::decode(frame.body)?;
        let (cluster, address) = (plain(header.cluster_name), plain(header.broker_addr));
        let known = self.registry.version_of(&cluster, &address);
        self.registry.refresh(now.at, &cluster, &address);
        let mut reply = match &known {
            Some(known) => Reply::json(known, Dialect::Fastjson),
            None => Reply::default(),
        };
        let changed = if known == Some(version) { "false" } else { "true" };
        reply.fields.push(("changed", changed.into()));
        Ok(reply)
    }

    fn register_topic(&mut self, frame: &Frame<'_>) -> Result<Reply, Refusal> {
        let header = RegisterTopicRequestHeader::decode(&frame.ext)?;
        let topic = plain(header.topic);
        if topic.is_empty() || topic.len() > registration::NAME_BYTES_MAX {
            return Err(failed("the topic's name is empty or too long"));
        }
        let route = TopicRouteData::decode(frame.body)?;
        let mut rows: Vec<(String, Queues)> = Vec::new();
        for row in route.queue_datas.iter() {
            let row = row?;
            let queues = Queues {
                read: row.read_queue_nums,
                write: row.write_queue_nums,
                perm: row.perm,
                sys_flag: row.topic_sys_flag,
            };
            rows.push((plain(row.broker_name).into_owned(), queues));
        }
        self.registry.add_topic(&topic, &rows, self.config.routes_max)?;
        Ok(Reply::default())
    }

    fn member_group(&self, frame: &Frame<'_>) -> Result<Reply, Refusal> {
        let header = GetBrokerMemberGroupRequestHeader::decode(&frame.ext)?;
        let name = plain(header.broker_name);
        let named = self.registry.broker(&name);
        let addresses: Vec<(i64, Text<'_>)> = named
            .map(|named| named.addresses.iter())
            .into_iter()
            .flatten()
            .map(|(id, address)| (*id, Text::plain(address)))
            .collect();
        let group = BrokerMemberGroup {
            broker_addrs: (&*addresses).into(),
            broker_name: header.broker_name,
            cluster: Some(header.cluster_name),
        };
        let body = GetBrokerMemberGroupResponseBody { broker_member_group: Some(group) };
        Ok(Reply::json(&body, Dialect::Fastjson))
    }

    /// The settings, by the names that Apache's name server has for them.
    fn describe(&self) -> Reply {
        let config = &self.config;
        let settings = [
            ("connectionsMax", alloc::format!("{}", config.connections_max)),
            ("frameBytesMax", alloc::format!("{}", config.frame_bytes_max)),
            ("brokersMax", alloc::format!("{}", config.brokers_max)),
            ("routesMax", alloc::format!("{}", config.routes_max)),
            ("heartbeatTimeoutMillis", alloc::format!("{}", config.heartbeat_timeout.as_millis())),
            ("orderMessageEnable", "true".into()),
            ("returnOrderTopicConfigToBroker", "true".into()),
        ];
        let settings = settings.iter().map(|(name, value)| (*name, &**value));
        Reply { body: properties::write(settings).into_bytes(), ..Reply::default() }
    }
}

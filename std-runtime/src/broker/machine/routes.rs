//! The broker as its own name server: where its topics are, on the port where they are.
//!
//! Decides what is answered to those who ask a name server. How routes are written is shared with
//! the name server that stands apart; registrations of other brokers are for that one only.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use turbopump_core::rocketmq::wire::body::{MASTER_ID, PERM_WRITE};
use turbopump_core::rocketmq::wire::command::{
    AddWritePermOfBrokerRequestHeader, Command, DeleteTopicFromNamesrvRequestHeader,
    GetTopicsByClusterRequestHeader, WipeWritePermOfBrokerRequestHeader,
};
use turbopump_core::rocketmq::wire::frame::Frame;
use turbopump_core::rocketmq::wire::header::{request_code, response_code};
use turbopump_core::rocketmq::wire::names::is_system_name;

use super::Broker;
use super::answer::{Outcome, Refusal, plain};
use super::sessions::Request;
use super::topics::Topic;
use crate::broker::answers::Reply;
use crate::broker::name_server::kv::{KvConfig, changed_by};
use crate::broker::name_server::requests::{refuse_config, topic_list};
use crate::broker::name_server::route::{
    Named, Queues, asked, no_route, write_cluster, write_route,
};
use crate::broker::properties;

/// What the broker keeps as a name server, besides its topics.
#[derive(Debug, Default)]
pub(super) struct Directory {
    pub(super) kv: KvConfig,
    /// Clients are told that nothing of this broker can be written to.
    pub(super) is_wiped: bool,
}

impl Broker {
    /// Answers what a name server is asked.
    pub(super) fn handle_name_server(&mut self, request: Request, frame: &Frame<'_>) -> Outcome {
        let reply = self.name_server_reply(request, frame)?;
        self.give(request, &reply);
        Ok(())
    }

    /// Answers with what is known.
    pub(super) fn give(&mut self, request: Request, reply: &Reply) {
        let ext = reply.ext();
        let (remark, body) = (reply.remark.as_deref(), &reply.body);
        self.answer_with(request, response_code::SUCCESS, remark, &&*ext, body);
    }

    fn name_server_reply(&mut self, request: Request, frame: &Frame<'_>) -> Result<Reply, Refusal> {
        match request.code {
            request_code::GET_ROUTEINFO_BY_TOPIC => self.route(request, frame),
            request_code::GET_BROKER_CLUSTER_INFO => {
                Ok(write_cluster(&[(&*self.config.broker_name, &self.named())]))
            }
            request_code::GET_ALL_TOPIC_LIST_FROM_NAMESERVER => {
                Ok(topic_list(self.topic_names().into_iter(), None))
            }
            request_code::GET_TOPICS_BY_CLUSTER => {
                let header = GetTopicsByClusterRequestHeader::decode(&frame.ext)?;
                let is_ours = plain(header.cluster) == self.config.cluster_name;
                let names = if is_ours { self.topic_names() } else { Vec::new() };
                Ok(topic_list(names.into_iter(), None))
            }
            request_code::GET_SYSTEM_TOPIC_LIST_FROM_NS => {
                let mut names = [&*self.config.cluster_name, &*self.config.broker_name];
                names.sort_unstable();
                let address = alloc::format!("{}", self.host);
                Ok(topic_list(names.into_iter(), Some(&address)))
            }
            request_code::DELETE_TOPIC_IN_NAMESRV => {
                // The route goes with the topic, by request 215.
                DeleteTopicFromNamesrvRequestHeader::decode(&frame.ext)?;
                Ok(Reply::default())
            }
            request_code::WIPE_WRITE_PERM_OF_BROKER => {
                let header = WipeWritePermOfBrokerRequestHeader::decode(&frame.ext)?;
                let count = self.wipe(&plain(header.broker_name), true);
                Ok(Reply::field("wipeTopicCount", alloc::format!("{count}")))
            }
            request_code::ADD_WRITE_PERM_OF_BROKER => {
                let header = AddWritePermOfBrokerRequestHeader::decode(&frame.ext)?;
                let count = self.wipe(&plain(header.broker_name), false);
                Ok(Reply::field("addTopicCount", alloc::format!("{count}")))
            }
            request_code::UPDATE_NAMESRV_CONFIG => refuse_config(frame.body),
            request_code::GET_NAMESRV_CONFIG => {
                let settings = [("embedded", "true"), ("orderMessageEnable", "true")];
                let body = properties::write(settings.into_iter()).into_bytes();
                Ok(Reply { body, ..Reply::default() })
            }
            code => {
                let reply = self.directory.kv.handle(code, frame)?;
                if let Some((namespace, key)) = changed_by(code, frame)? {
                    self.administered.kv_changed(&namespace, &key);
                }
                Ok(reply)
            }
        }
    }

    fn route(&self, request: Request, frame: &Frame<'_>) -> Result<Reply, Refusal> {
        let (name, dialect) = asked(request, frame)?;
        let topic = self.topics.by_name(&name).filter(|topic| !topic.is_internal);
        let topic = topic.ok_or_else(|| no_route(&name))?;
        let mut queues = queues_of(topic);
        if self.directory.is_wiped {
            queues.perm &= !PERM_WRITE;
        }
        let rows = [(&*self.config.broker_name, &self.named(), queues)];
        Ok(write_route(&rows, self.directory.kv.order_of(&name), dialect))
    }

    /// This broker, as a name server knows it.
    fn named(&self) -> Named {
        let addresses = BTreeMap::from([(MASTER_ID, alloc::format!("{}", self.host))]);
        Named { cluster: self.config.cluster_name.clone(), acts: false, addresses }
    }

    /// All topics that clients are told of, by name.
    pub(super) fn topic_names(&self) -> Vec<&str> {
        self.topics_by_name().into_iter().map(|topic| &*topic.name).collect()
    }

    /// All topics that clients are told of, by name.
    pub(super) fn topics_by_name(&self) -> Vec<&Topic> {
        let topics = self.topics.iter().map(|(_, topic)| topic);
        let mut topics: Vec<&Topic> = topics.filter(|topic| !topic.is_internal).collect();
        topics.sort_unstable_by_key(|topic| &*topic.name);
        topics
    }

    /// Whether a topic is the broker's own.
    pub(super) fn is_system_topic(&self, name: &str) -> bool {
        is_system_name(name)
            || name == self.config.cluster_name
            || name == self.config.broker_name
            || name == alloc::format!("{}_REPLY_TOPIC", self.config.cluster_name)
    }

    /// Takes write permission from all topics, as far as routes say so, or gives it back; returns
    /// how many there are.
    fn wipe(&mut self, broker: &str, is_wiped: bool) -> usize {
        if broker != self.config.broker_name {
            return 0;
        }
        self.directory.is_wiped = is_wiped;
        self.administered.wiping_changed();
        self.topic_names().len()
    }
}

fn queues_of(topic: &Topic) -> Queues {
    let settings = &topic.settings;
    Queues {
        read: i32::try_from(settings.read_queues).unwrap_or(i32::MAX),
        write: i32::try_from(settings.write_queues).unwrap_or(i32::MAX),
        perm: settings.perm,
        sys_flag: settings.sys_flag,
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::{String, ToString};

    use turbopump_core::rocketmq::wire::header::Absent;

    use super::*;
    use crate::broker::machine::kit::Kit;

    const ROUTE: i32 = request_code::GET_ROUTEINFO_BY_TOPIC;

    #[test]
    fn routes_are_loose_for_old_clients_and_strict_where_asked() {
        let mut kit = Kit::new();
        let client = kit.connect();
        let unknown = kit.ask(client, ROUTE, &[("topic", "Orders")], &[]);
        assert!(unknown.code == 17 && unknown.remark.contains("Orders"), "{unknown:?}");
        kit.produce(client, "Orders", 0, "hello", &[]);
        // The kit says that it is of release 5.3.3.
        let strict = concat!(
            r#"{"brokerDatas":[{"brokerAddrs":{"0":"127.0.0.1:10911"},"brokerName":"broker-a","#,
            r#""cluster":"DefaultCluster","enableActingMaster":false}],"filterServerTable":{},"#,
            r#""queueDatas":[{"brokerName":"broker-a","perm":6,"readQueueNums":4,"#,
            r#""topicSysFlag":0,"writeQueueNums":4}]}"#
        );
        assert_eq!(kit.ask(client, ROUTE, &[("topic", "Orders")], &[]).text(), strict);
        let old = Request { version: 400, ..request_of(client) };
        let fields = [("topic", "Orders")];
        let reply = with_frame(ROUTE, &fields, |frame| kit.broker.route(old, frame)).unwrap();
        assert_eq!(String::from_utf8(reply.body).unwrap(), strict.replace("{\"0\":", "{0:"));
        let fields = [("topic", "Orders"), ("acceptStandardJsonOnly", "true")];
        let reply = with_frame(ROUTE, &fields, |frame| kit.broker.route(old, frame)).unwrap();
        assert_eq!(reply.body, strict.as_bytes());
        // The template of new topics, and the cluster as a topic.
        assert!(kit.ask(client, ROUTE, &[("topic", "TBW102")], &[]).text().contains("\"perm\":7"));
        assert_eq!(kit.ask(client, ROUTE, &[("topic", "DefaultCluster")], &[]).code, 0);
        // What is the broker's own is nobody's business.
        assert_eq!(kit.ask(client, ROUTE, &[("topic", "rmq_sys_turbopump_state")], &[]).code, 17);
    }

    fn request_of(session: crate::broker::machine::SessionId) -> Request {
        let serialization = turbopump_core::rocketmq::wire::header::Serialization::Json;
        Request { session, code: ROUTE, opaque: 1, serialization, version: 0, is_oneway: false }
    }

    fn with_frame<T>(code: i32, ext: &[(&str, &str)], then: impl FnOnce(&Frame<'_>) -> T) -> T {
        use turbopump_core::rocketmq::wire::header::{Header, Serialization};
        let mut memory = [0; 4_096];
        let header = Header::request(code, 1);
        let len = turbopump_core::rocketmq::wire::frame::encode(
            &header,
            Serialization::Json,
            &ext,
            &[],
            &mut memory,
        )
        .unwrap();
        then(&Frame::decode(&memory[..len]).unwrap())
    }

    #[test]
    fn lists_settings_and_permissions_are_those_of_one_broker() {
        let mut kit = Kit::new();
        let client = kit.connect();
        kit.produce(client, "Orders", 0, "hello", &[]);
        let got = kit.ask(client, request_code::GET_BROKER_CLUSTER_INFO, &Absent, &[]);
        let cluster = concat!(
            r#"{"brokerAddrTable":{"broker-a":{"brokerAddrs":{0:"127.0.0.1:10911"},"#,
            r#""brokerName":"broker-a","cluster":"DefaultCluster","enableActingMaster":false}},"#,
            r#""clusterAddrTable":{"DefaultCluster":["broker-a"]}}"#
        );
        assert_eq!(got.text(), cluster);
        let got = kit.ask(client, request_code::GET_ALL_TOPIC_LIST_FROM_NAMESERVER, &Absent, &[]);
        assert!(got.text().starts_with(r#"{"topicList":["DefaultCluster","#), "{got:?}");
        assert!(got.text().contains("\"Orders\"") && !got.text().contains("turbopump"));
        let code = request_code::GET_TOPICS_BY_CLUSTER;
        assert_eq!(kit.ask(client, code, &[("cluster", "x")], &[]).text(), r#"{"topicList":[]}"#);
        assert_eq!(kit.ask(client, code, &[("cluster", "DefaultCluster")], &[]).body, got.body);

        let name = [("brokerName", "broker-a")];
        let wiped = kit.ask(client, request_code::WIPE_WRITE_PERM_OF_BROKER, &name, &[]);
        let topics = kit.broker.topic_names().len().to_string();
        assert_eq!(wiped.field("wipeTopicCount"), topics);
        let route = kit.ask(client, ROUTE, &[("topic", "Orders")], &[]);
        assert!(route.text().contains("\"perm\":4"));
        kit.ask(client, request_code::ADD_WRITE_PERM_OF_BROKER, &name, &[]);
        let put = [("namespace", "ORDER_TOPIC_CONFIG"), ("key", "Orders"), ("value", "broker-a:2")];
        assert_eq!(kit.ask(client, request_code::PUT_KV_CONFIG, &put, &[]).code, 0);
        let route = kit.ask(client, ROUTE, &[("topic", "Orders")], &[]);
        assert!(route.text().contains("\"perm\":6"));
        assert!(route.text().contains(r#""orderTopicConf":"broker-a:2""#));
        let got = kit.ask(client, request_code::UPDATE_NAMESRV_CONFIG, &Absent, b"a=b");
        assert_eq!(got.code, 16);
    }
}

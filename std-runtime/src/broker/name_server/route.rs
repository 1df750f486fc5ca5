//! Routes as clients read them.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use turbopump_core::rocketmq::wire::body::{
    BrokerData, ClusterInfo, Map, QueueData, TopicRouteData,
};
use turbopump_core::rocketmq::wire::command::{Command, GetRouteInfoRequestHeader};
use turbopump_core::rocketmq::wire::frame::Frame;
use turbopump_core::rocketmq::wire::header::{response_code, version};
use turbopump_core::rocketmq::wire::json::{Dialect, Text};

use crate::broker::answers::{Refusal, Reply, plain};
use crate::broker::sessions::Request;

/// From this release on clients read strict JSON.
const STRICT_FROM: i32 = version(4, 9, 4);

/// A broker of one name: its master and its slaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::broker) struct Named {
    pub(in crate::broker) cluster: String,
    /// Slaves may act for a master that is gone.
    pub(in crate::broker) acts: bool,
    pub(in crate::broker) addresses: BTreeMap<i64, String>,
}

/// The queues of a topic at a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::broker) struct Queues {
    pub(in crate::broker) read: i32,
    pub(in crate::broker) write: i32,
    pub(in crate::broker) perm: i32,
    pub(in crate::broker) sys_flag: i32,
}

/// Which topic request 105 asks for, and how the answer is to be written.
pub(in crate::broker) fn asked(
    request: Request,
    frame: &Frame<'_>,
) -> Result<(String, Dialect), Refusal> {
    let header = GetRouteInfoRequestHeader::decode(&frame.ext)?;
    let is_strict =
        request.version >= STRICT_FROM || header.accept_standard_json_only.unwrap_or(false);
    let dialect = if is_strict { Dialect::Strict } else { Dialect::Fastjson };
    Ok((plain(header.topic).into_owned(), dialect))
}

pub(in crate::broker) fn no_route(topic: &str) -> Refusal {
    let remark = alloc::format!(
        "No topic route info in name server for the topic: {topic}. Create it, or send to a broker \
         that creates topics by itself"
    );
    Refusal::new(response_code::TOPIC_NOT_EXIST, remark)
}

type Addresses<'a> = Vec<(i64, Text<'a>)>;

fn addresses_of(named: &Named) -> Addresses<'_> {
    named.addresses.iter().map(|(id, address)| (*id, Text::plain(address))).collect()
}

fn broker_data<'a>(
    name: &'a str,
    named: &'a Named,
    addresses: &'a Addresses<'a>,
) -> BrokerData<'a> {
    BrokerData {
        broker_addrs: (&**addresses).into(),
        broker_name: name.into(),
        cluster: Some(Text::plain(&named.cluster)),
        enable_acting_master: named.acts,
        zone_name: None,
    }
}

/// The route of a topic over these brokers.
pub(in crate::broker) fn write_route(
    rows: &[(&str, &Named, Queues)],
    order: Option<&str>,
    dialect: Dialect,
) -> Reply {
    let addresses: Vec<Addresses<'_>> =
        rows.iter().map(|(_, named, _)| addresses_of(named)).collect();
    let brokers: Vec<BrokerData<'_>> = rows
        .iter()
        .zip(&addresses)
        .map(|((name, named, _), addresses)| broker_data(name, named, addresses))
        .collect();
    let queues: Vec<QueueData<'_>> = rows
        .iter()
        .map(|(name, _, queues)| QueueData {
            broker_name: Text::plain(name),
            perm: queues.perm,
            read_queue_nums: queues.read,
            topic_sys_flag: queues.sys_flag,
            write_queue_nums: queues.write,
        })
        .collect();
    let route = TopicRouteData {
        broker_datas: (&*brokers).into(),
        filter_server_table: Map::default(),
        order_topic_conf: order.map(Text::plain),
        queue_datas: (&*queues).into(),
        topic_queue_mapping_by_broker: None,
    };
    Reply::json(&route, dialect)
}

/// Which brokers there are.
pub(in crate::broker) fn write_cluster(brokers: &[(&str, &Named)]) -> Reply {
    let addresses: Vec<Addresses<'_>> =
        brokers.iter().map(|(_, named)| addresses_of(named)).collect();
    let table: Vec<(Text<'_>, BrokerData<'_>)> = brokers
        .iter()
        .zip(&addresses)
        .map(|((name, named), addresses)| (Text::plain(name), broker_data(name, named, addresses)))
        .collect();
    let mut names: BTreeMap<&str, Vec<Text<'_>>> = BTreeMap::new();
    for (name, named) in brokers {
        names.entry(&named.cluster).or_default().push(Text::plain(name));
    }
    let clusters: Vec<_> =
        names.iter().map(|(cluster, names)| (Text::plain(cluster), (&**names).into())).collect();
    let info = ClusterInfo {
        broker_addr_table: (&*table).into(),
        cluster_addr_table: (&*clusters).into(),
    };
    Reply::json(&info, Dialect::Fastjson)
}

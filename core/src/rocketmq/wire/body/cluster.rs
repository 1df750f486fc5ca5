//! Lists of what there is.

use super::{BrokerData, List, Map};
use crate::rocketmq::wire::json::Text;

bodies! {
    /// The answer to request 106.
    ClusterInfo<'a> {
        broker_addr_table: Map<'a, Text<'a>, BrokerData<'a>> = "brokerAddrTable",
        cluster_addr_table: Map<'a, Text<'a>, List<'a, Text<'a>>> = "clusterAddrTable",
    }

    /// The answer to requests 206, 224, 304 and 305.
    TopicList<'a> {
        broker_addr: Option<Text<'a>> = "brokerAddr",
        topic_list: List<'a, Text<'a>> = "topicList",
    }

    /// The answer to request 300.
    GroupList<'a> {
        group_list: List<'a, Text<'a>> = "groupList",
    }

    /// The answer to requests 28 and 219.
    KvTable<'a> {
        table: Map<'a, Text<'a>, Text<'a>> = "table",
    }

    /// The brokers of one name.
    BrokerMemberGroup<'a> {
        broker_addrs: Map<'a, i64, Text<'a>> = "brokerAddrs",
        broker_name: Text<'a> = "brokerName",
        cluster: Option<Text<'a>> = "cluster",
    }

    /// The answer to request 901.
    GetBrokerMemberGroupResponseBody<'a> {
        broker_member_group: Option<BrokerMemberGroup<'a>> = "brokerMemberGroup",
    }
}

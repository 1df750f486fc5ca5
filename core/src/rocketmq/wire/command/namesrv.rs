//! Routes, and brokers at their name servers.

use crate::rocketmq::wire::json::Text;

commands! {
    /// Request 327.
    AddWritePermOfBrokerRequestHeader<'a> {
        broker_name: Text<'a> = "brokerName",
    }

    /// The answer to request 327.
    AddWritePermOfBrokerResponseHeader {
        add_topic_count: i32 = "addTopicCount",
    }

    /// Request 904.
    BrokerHeartbeatRequestHeader<'a> {
        cluster_name: Text<'a> = "clusterName",
        broker_addr: Text<'a> = "brokerAddr",
        broker_name: Text<'a> = "brokerName",
        broker_id: Option<i64> = "brokerId",
        epoch: Option<i32> = "epoch",
        max_offset: Option<i64> = "maxOffset",
        confirm_offset: Option<i64> = "confirmOffset",
        heartbeat_timeout_mills: Option<i64> = "heartbeatTimeoutMills",
        election_priority: Option<i32> = "electionPriority",
    }

    /// Request 102.
    DeleteKVConfigRequestHeader<'a> {
        namespace: Text<'a> = "namespace",
        key: Text<'a> = "key",
    }

    /// Request 216.
    DeleteTopicFromNamesrvRequestHeader<'a> + base {
        topic: Text<'a> = "topic",
        cluster_name: Option<Text<'a>> = "clusterName",
    }

    /// Request 101.
    GetKVConfigRequestHeader<'a> {
        namespace: Text<'a> = "namespace",
        key: Text<'a> = "key",
    }

    /// The answer to request 101.
    GetKVConfigResponseHeader<'a> {
        value: Option<Text<'a>> = "value",
    }

    /// Request 219.
    GetKVListByNamespaceRequestHeader<'a> {
        namespace: Text<'a> = "namespace",
    }

    /// Request 105.
    GetRouteInfoRequestHeader<'a> + base {
        topic: Text<'a> = "topic",
        accept_standard_json_only: Option<bool> = "acceptStandardJsonOnly",
    }

    /// Request 100.
    PutKVConfigRequestHeader<'a> {
        namespace: Text<'a> = "namespace",
        key: Text<'a> = "key",
        value: Text<'a> = "value",
    }

    /// Request 322.
    QueryDataVersionRequestHeader<'a> {
        broker_name: Text<'a> = "brokerName",
        broker_addr: Text<'a> = "brokerAddr",
        cluster_name: Text<'a> = "clusterName",
        broker_id: i64 = "brokerId",
    }

    /// The answer to request 322.
    QueryDataVersionResponseHeader {
        changed: bool = "changed",
    }

    /// Request 103.
    RegisterBrokerRequestHeader<'a> {
        broker_name: Text<'a> = "brokerName",
        broker_addr: Text<'a> = "brokerAddr",
        cluster_name: Text<'a> = "clusterName",
        ha_server_addr: Text<'a> = "haServerAddr",
        broker_id: i64 = "brokerId",
        heartbeat_timeout_millis: Option<i64> = "heartbeatTimeoutMillis",
        enable_acting_master: Option<bool> = "enableActingMaster",
        compressed: bool = "compressed" or false,
        body_crc32: Option<i32> = "bodyCrc32",
    }

    /// The answer to request 103.
    RegisterBrokerResponseHeader<'a> {
        ha_server_addr: Option<Text<'a>> = "haServerAddr",
        master_addr: Option<Text<'a>> = "masterAddr",
    }

    /// A request.
    RegisterOrderTopicRequestHeader<'a> {
        topic: Text<'a> = "topic",
        order_topic_string: Text<'a> = "orderTopicString",
    }

    /// Request 217.
    RegisterTopicRequestHeader<'a> + base {
        topic: Text<'a> = "topic",
    }

    /// Request 104.
    UnRegisterBrokerRequestHeader<'a> {
        broker_name: Text<'a> = "brokerName",
        broker_addr: Text<'a> = "brokerAddr",
        cluster_name: Text<'a> = "clusterName",
        broker_id: i64 = "brokerId",
    }

    /// Request 205.
    WipeWritePermOfBrokerRequestHeader<'a> {
        broker_name: Text<'a> = "brokerName",
    }

    /// The answer to request 205.
    WipeWritePermOfBrokerResponseHeader {
        wipe_topic_count: i32 = "wipeTopicCount",
    }
}

//! Pulling, locking and what consumers are asked for.

use crate::rocketmq::wire::json::Text;

commands! {
    /// Request 309.
    ConsumeMessageDirectlyResultRequestHeader<'a> + base {
        consumer_group: Text<'a> = "consumerGroup",
        client_id: Option<Text<'a>> = "clientId",
        msg_id: Option<Text<'a>> = "msgId",
        broker_name: Option<Text<'a>> = "brokerName",
        topic: Option<Text<'a>> = "topic",
        topic_sys_flag: Option<i32> = "topicSysFlag",
        group_sys_flag: Option<i32> = "groupSysFlag",
    }

    /// Request 36.
    ConsumerSendMsgBackRequestHeader<'a> + base {
        offset: i64 = "offset",
        group: Text<'a> = "group",
        delay_level: i32 = "delayLevel",
        origin_msg_id: Option<Text<'a>> = "originMsgId",
        origin_topic: Option<Text<'a>> = "originTopic",
        unit_mode: bool = "unitMode" or false,
        max_reconsume_times: Option<i32> = "maxReconsumeTimes",
    }

    /// Request 38.
    GetConsumerListByGroupRequestHeader<'a> + base {
        consumer_group: Text<'a> = "consumerGroup",
    }

    /// The answer to request 38.
    GetConsumerListByGroupResponseHeader {
    }

    /// Request 307.
    GetConsumerRunningInfoRequestHeader<'a> + base {
        consumer_group: Text<'a> = "consumerGroup",
        client_id: Text<'a> = "clientId",
        jstack_enable: bool = "jstackEnable" or false,
    }

    /// Requests 223 and 221.
    GetConsumerStatusRequestHeader<'a> + base {
        topic: Text<'a> = "topic",
        group: Text<'a> = "group",
        client_addr: Option<Text<'a>> = "clientAddr",
    }

    /// Request 41.
    LockBatchMqRequestHeader<'a> + base {
    }

    /// Request 40.
    NotifyConsumerIdsChangedRequestHeader<'a> + base {
        consumer_group: Text<'a> = "consumerGroup",
    }

    /// Requests 11 and 361.
    PullMessageRequestHeader<'a> + base {
        consumer_group: Text<'a> = "consumerGroup",
        topic: Text<'a> = "topic",
        queue_id: i32 = "queueId",
        queue_offset: i64 = "queueOffset",
        max_msg_nums: i32 = "maxMsgNums",
        sys_flag: i32 = "sysFlag",
        commit_offset: i64 = "commitOffset",
        suspend_timeout_millis: i64 = "suspendTimeoutMillis",
        subscription: Option<Text<'a>> = "subscription",
        sub_version: i64 = "subVersion",
        expression_type: Option<Text<'a>> = "expressionType",
        max_msg_bytes: Option<i32> = "maxMsgBytes",
        request_source: Option<i32> = "requestSource",
        proxy_froward_client_id: Option<Text<'a>> = "proxyFrowardClientId",
    }

    /// The answer to request 11.
    PullMessageResponseHeader {
        suggest_which_broker_id: i64 = "suggestWhichBrokerId",
        next_begin_offset: i64 = "nextBeginOffset",
        min_offset: i64 = "minOffset",
        max_offset: i64 = "maxOffset",
        offset_delta: Option<i64> = "offsetDelta",
        topic_sys_flag: Option<i32> = "topicSysFlag",
        group_sys_flag: Option<i32> = "groupSysFlag",
        forbidden_type: Option<i32> = "forbiddenType",
    }

    /// Request 12.
    QueryMessageRequestHeader<'a> + base {
        topic: Text<'a> = "topic",
        key: Text<'a> = "key",
        max_num: i32 = "maxNum",
        begin_timestamp: i64 = "beginTimestamp",
        end_timestamp: i64 = "endTimestamp",
    }

    /// The answer to request 12.
    QueryMessageResponseHeader {
        index_last_update_timestamp: i64 = "indexLastUpdateTimestamp",
        index_last_update_phyoffset: i64 = "indexLastUpdatePhyoffset",
    }

    /// Request 345.
    QuerySubscriptionByConsumerRequestHeader<'a> + base {
        group: Text<'a> = "group",
        topic: Option<Text<'a>> = "topic",
    }

    /// Requests 222 and 220.
    ResetOffsetRequestHeader<'a> + base {
        group: Text<'a> = "group",
        topic: Text<'a> = "topic",
        queue_id: i32 = "queueId" or -1,
        offset: Option<i64> = "offset",
        timestamp: i64 = "timestamp",
        is_force: bool = "isForce",
    }

    /// Request 42.
    UnlockBatchMqRequestHeader<'a> + base {
    }

    /// Request 33.
    ViewMessageRequestHeader<'a> {
        topic: Option<Text<'a>> = "topic",
        offset: i64 = "offset",
    }

    /// The answer to request 33.
    ViewMessageResponseHeader {
    }
}

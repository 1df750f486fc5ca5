//! Topics, groups, users and statistics.

use crate::rocketmq::wire::json::Text;

commands! {
    /// Request 3006.
    CreateAclRequestHeader<'a> {
        subject: Option<Text<'a>> = "subject",
    }

    /// Request 18.
    CreateTopicListRequestHeader<'a> + base {
    }

    /// Request 17.
    CreateTopicRequestHeader<'a> + base {
        topic: Text<'a> = "topic",
        default_topic: Text<'a> = "defaultTopic",
        read_queue_nums: i32 = "readQueueNums",
        write_queue_nums: i32 = "writeQueueNums",
        perm: i32 = "perm",
        topic_filter_type: Text<'a> = "topicFilterType",
        topic_sys_flag: Option<i32> = "topicSysFlag",
        order: bool = "order",
        attributes: Option<Text<'a>> = "attributes",
        force: Option<bool> = "force",
    }

    /// Request 3001.
    CreateUserRequestHeader<'a> {
        username: Option<Text<'a>> = "username",
    }

    /// Request 3008.
    DeleteAclRequestHeader<'a> {
        subject: Option<Text<'a>> = "subject",
        policy_type: Option<Text<'a>> = "policyType",
        resource: Option<Text<'a>> = "resource",
    }

    /// Request 207.
    DeleteSubscriptionGroupRequestHeader<'a> + base {
        group_name: Text<'a> = "groupName",
        clean_offset: bool = "cleanOffset" or false,
    }

    /// Request 215.
    DeleteTopicRequestHeader<'a> + base {
        topic: Text<'a> = "topic",
    }

    /// Request 3003.
    DeleteUserRequestHeader<'a> {
        username: Option<Text<'a>> = "username",
    }

    /// Request 3009.
    GetAclRequestHeader<'a> {
        subject: Option<Text<'a>> = "subject",
    }

    /// Request 328.
    GetAllProducerInfoRequestHeader {
    }

    /// Request 201.
    GetAllSubscriptionGroupRequestHeader<'a> {
        group_seq: Option<i32> = "groupSeq",
        data_version: Option<Text<'a>> = "dataVersion",
        max_group_num: Option<i32> = "maxGroupNum",
    }

    /// The answer to request 201.
    GetAllSubscriptionGroupResponseHeader {
        total_group_num: Option<i32> = "totalGroupNum",
    }

    /// Request 21.
    GetAllTopicConfigRequestHeader<'a> {
        topic_seq: Option<i32> = "topicSeq",
        data_version: Option<Text<'a>> = "dataVersion",
        max_topic_num: Option<i32> = "maxTopicNum",
    }

    /// The answer to request 21.
    GetAllTopicConfigResponseHeader {
        total_topic_num: Option<i32> = "totalTopicNum",
    }

    /// The answer to request 26.
    GetBrokerConfigResponseHeader<'a> {
        version: Text<'a> = "version",
    }

    /// Request 317.
    GetConsumeStatsInBrokerHeader {
        is_order: bool = "isOrder",
    }

    /// Request 208.
    GetConsumeStatsRequestHeader<'a> + base {
        consumer_group: Text<'a> = "consumerGroup",
        topic: Option<Text<'a>> = "topic",
        topic_list: Option<Text<'a>> = "topicList",
    }

    /// Request 203.
    GetConsumerConnectionListRequestHeader<'a> + base {
        consumer_group: Text<'a> = "consumerGroup",
    }

    /// Request 204.
    GetProducerConnectionListRequestHeader<'a> + base {
        producer_group: Text<'a> = "producerGroup",
    }

    /// Request 352.
    GetSubscriptionGroupConfigRequestHeader<'a> + base {
        group: Text<'a> = "group",
    }

    /// Request 351.
    GetTopicConfigRequestHeader<'a> + base {
        topic: Text<'a> = "topic",
    }

    /// Request 202.
    GetTopicStatsInfoRequestHeader<'a> + base {
        topic: Text<'a> = "topic",
    }

    /// Request 224.
    GetTopicsByClusterRequestHeader<'a> {
        cluster: Text<'a> = "cluster",
    }

    /// Request 3004.
    GetUserRequestHeader<'a> {
        username: Option<Text<'a>> = "username",
    }

    /// Request 3010.
    ListAclsRequestHeader<'a> {
        subject_filter: Option<Text<'a>> = "subjectFilter",
        resource_filter: Option<Text<'a>> = "resourceFilter",
    }

    /// Request 3005.
    ListUsersRequestHeader<'a> {
        filter: Option<Text<'a>> = "filter",
    }

    /// Request 321.
    QueryConsumeQueueRequestHeader<'a> + base {
        topic: Option<Text<'a>> = "topic",
        queue_id: i32 = "queueId" or 0,
        index: i64 = "index" or 0,
        count: i32 = "count" or 0,
        consumer_group: Option<Text<'a>> = "consumerGroup",
    }

    /// Request 303.
    QueryConsumeTimeSpanRequestHeader<'a> + base {
        topic: Text<'a> = "topic",
        group: Text<'a> = "group",
    }

    /// Request 300.
    QueryTopicConsumeByWhoRequestHeader<'a> + base {
        topic: Text<'a> = "topic",
    }

    /// Request 343.
    QueryTopicsByConsumerRequestHeader<'a> + base {
        group: Text<'a> = "group",
    }

    /// A request.
    StatisticsMessagesRequestHeader<'a> + base {
        consumer_group: Text<'a> = "consumerGroup",
        topic: Text<'a> = "topic",
        queue_id: i32 = "queueId",
        from_time: i64 = "fromTime" or 0,
        to_time: i64 = "toTime" or 0,
    }

    /// Request 3007.
    UpdateAclRequestHeader<'a> {
        subject: Option<Text<'a>> = "subject",
    }

    /// Request 353.
    UpdateGroupForbiddenRequestHeader<'a> + base {
        group: Text<'a> = "group",
        topic: Text<'a> = "topic",
        readable: Option<bool> = "readable",
    }

    /// Request 3002.
    UpdateUserRequestHeader<'a> {
        username: Option<Text<'a>> = "username",
    }

    /// Request 315.
    ViewBrokerStatsDataRequestHeader<'a> {
        stats_name: Text<'a> = "statsName",
        stats_key: Text<'a> = "statsKey",
    }
}

//! How topics and groups are configured.

use super::{List, Map, TopicQueueMappingDetail, TopicQueueMappingInfo};
use crate::rocketmq::wire::json::Text;

names! {
    /// How many tags a message has.
    TopicFilterType {
        SingleTag = "SINGLE_TAG",
        MultiTag = "MULTI_TAG",
    }

    /// How waiting times of retries are found.
    GroupRetryPolicyType {
        Customized = "CUSTOMIZED",
        Exponential = "EXPONENTIAL",
    }
}

bodies! {
    /// Which change of a table this is.
    DataVersion {
        counter: i64 = "counter",
        state_version: i64 = "stateVersion",
        timestamp: i64 = "timestamp",
    }

    /// A topic on a broker.
    TopicConfig<'a> {
        attributes: Map<'a, Text<'a>, Text<'a>> = "attributes",
        order: bool = "order",
        perm: i32 = "perm" or 6,
        read_queue_nums: i32 = "readQueueNums" or 16,
        topic_filter_type: Option<TopicFilterType> = "topicFilterType"
            or Some(TopicFilterType::SingleTag),
        topic_name: Text<'a> = "topicName",
        topic_sys_flag: i32 = "topicSysFlag",
        write_queue_nums: i32 = "writeQueueNums" or 16,
    }

    /// The answer to request 21.
    TopicConfigSerializeWrapper<'a> {
        data_version: Option<DataVersion> = "dataVersion",
        topic_config_table: Map<'a, Text<'a>, TopicConfig<'a>> = "topicConfigTable",
    }

    /// All topics of a broker, static ones included.
    TopicConfigAndMappingSerializeWrapper<'a> {
        data_version: Option<DataVersion> = "dataVersion",
        mapping_data_version: Option<DataVersion> = "mappingDataVersion",
        topic_config_table: Map<'a, Text<'a>, TopicConfig<'a>> = "topicConfigTable",
        topic_queue_mapping_detail_map: Map<'a, Text<'a>, TopicQueueMappingDetail<'a>> =
            "topicQueueMappingDetailMap",
        topic_queue_mapping_info_map: Map<'a, Text<'a>, TopicQueueMappingInfo<'a>> =
            "topicQueueMappingInfoMap",
    }

    /// The body of request 103 where it is not compressed.
    RegisterBrokerBody<'a> {
        filter_server_list: List<'a, Text<'a>> = "filterServerList",
        topic_config_serialize_wrapper: TopicConfigAndMappingSerializeWrapper<'a> =
            "topicConfigSerializeWrapper",
    }

    /// The body of request 18.
    CreateTopicListRequestBody<'a> {
        topic_config_list: List<'a, TopicConfig<'a>> = "topicConfigList",
    }

    /// Waiting times one by one, in ms.
    CustomizedRetryPolicy<'a> {
        next: List<'a, i64> = "next",
    }

    /// Waiting times that grow, in ms.
    ExponentialRetryPolicy {
        initial: i64 = "initial",
        max: i64 = "max",
        multiplier: i64 = "multiplier" or 2,
    }

    /// How long to wait before a retry.
    GroupRetryPolicy<'a> {
        customized_retry_policy: Option<CustomizedRetryPolicy<'a>> = "customizedRetryPolicy",
        exponential_retry_policy: Option<ExponentialRetryPolicy> = "exponentialRetryPolicy",
        policy_type: Option<GroupRetryPolicyType> = "type",
    }

    /// A subscription as it is configured.
    SimpleSubscriptionData<'a> {
        expression: Option<Text<'a>> = "expression",
        expression_type: Option<Text<'a>> = "expressionType",
        topic: Text<'a> = "topic",
        version: i64 = "version",
    }

    /// The body of request 200, and the answer to request 352.
    SubscriptionGroupConfig<'a> {
        attributes: Map<'a, Text<'a>, Text<'a>> = "attributes",
        broker_id: i64 = "brokerId",
        consume_broadcast_enable: bool = "consumeBroadcastEnable" or true,
        consume_enable: bool = "consumeEnable" or true,
        consume_from_min_enable: bool = "consumeFromMinEnable" or true,
        consume_message_orderly: bool = "consumeMessageOrderly",
        consume_timeout_minute: i32 = "consumeTimeoutMinute" or 15,
        group_name: Text<'a> = "groupName",
        group_retry_policy: Option<GroupRetryPolicy<'a>> = "groupRetryPolicy",
        group_sys_flag: i32 = "groupSysFlag",
        notify_consumer_ids_changed_enable: bool = "notifyConsumerIdsChangedEnable" or true,
        retry_max_times: i32 = "retryMaxTimes" or 16,
        retry_queue_nums: i32 = "retryQueueNums" or 1,
        subscription_data_set: Option<List<'a, SimpleSubscriptionData<'a>>> = "subscriptionDataSet",
        which_broker_when_consume_slowly: i64 = "whichBrokerWhenConsumeSlowly" or 1,
    }

    /// The answer to request 201.
    SubscriptionGroupWrapper<'a> {
        data_version: Option<DataVersion> = "dataVersion",
        forbidden_table: Map<'a, Text<'a>, Map<'a, Text<'a>, i32>> = "forbiddenTable",
        subscription_group_table: Map<'a, Text<'a>, SubscriptionGroupConfig<'a>> =
            "subscriptionGroupTable",
    }

    /// The body of request 225.
    SubscriptionGroupList<'a> {
        group_config_list: List<'a, SubscriptionGroupConfig<'a>> = "groupConfigList",
    }
}

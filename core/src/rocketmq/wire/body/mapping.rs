//! Static topics: logical queues that may move from broker to broker.

use super::{DataVersion, List, Map, TopicFilterType};
use crate::rocketmq::wire::json::Text;

bodies! {
    /// Where the messages of a logical queue are, from some offset on.
    LogicQueueMappingItem<'a> {
        bname: Option<Text<'a>> = "bname",
        /// Not included; below zero where there is none yet.
        end_offset: i64 = "endOffset" or -1,
        gen_number: i32 = "gen",
        logic_offset: i64 = "logicOffset",
        queue_id: i32 = "queueId",
        start_offset: i64 = "startOffset",
        time_of_end: i64 = "timeOfEnd" or -1,
        time_of_start: i64 = "timeOfStart" or -1,
    }

    /// Which logical queues of a topic a broker has.
    TopicQueueMappingInfo<'a> {
        /// The broker's name.
        bname: Option<Text<'a>> = "bname",
        /// The broker's queues by logical ones.
        curr_id_map: Map<'a, i32, i32> = "currIdMap",
        dirty: bool = "dirty",
        epoch: i64 = "epoch",
        scope: Option<Text<'a>> = "scope",
        topic: Option<Text<'a>> = "topic",
        total_queues: i32 = "totalQueues",
    }

    /// The same, with where the messages were before.
    TopicQueueMappingDetail<'a> {
        /// The broker's name.
        bname: Option<Text<'a>> = "bname",
        /// The broker's queues by logical ones.
        curr_id_map: Map<'a, i32, i32> = "currIdMap",
        dirty: bool = "dirty",
        epoch: i64 = "epoch",
        /// By logical queues.
        hosted_queues: Map<'a, i32, List<'a, LogicQueueMappingItem<'a>>> = "hostedQueues",
        scope: Option<Text<'a>> = "scope",
        topic: Option<Text<'a>> = "topic",
        total_queues: i32 = "totalQueues",
    }

    /// All static topics of a broker.
    TopicQueueMappingSerializeWrapper<'a> {
        data_version: Option<DataVersion> = "dataVersion",
        topic_queue_mapping_info_map: Map<'a, Text<'a>, TopicQueueMappingDetail<'a>> =
            "topicQueueMappingInfoMap",
    }

    /// The answer to request 351, and the body of request 513.
    TopicConfigAndQueueMapping<'a> {
        attributes: Map<'a, Text<'a>, Text<'a>> = "attributes",
        mapping_detail: Option<TopicQueueMappingDetail<'a>> = "mappingDetail",
        order: bool = "order",
        perm: i32 = "perm" or 6,
        read_queue_nums: i32 = "readQueueNums" or 16,
        topic_filter_type: Option<TopicFilterType> = "topicFilterType"
            or Some(TopicFilterType::SingleTag),
        topic_name: Text<'a> = "topicName",
        topic_sys_flag: i32 = "topicSysFlag",
        write_queue_nums: i32 = "writeQueueNums" or 16,
    }
}

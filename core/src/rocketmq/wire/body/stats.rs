//! Numbers about topics, groups and brokers.

use super::{List, Map, MessageQueue, SubscriptionData};
use crate::rocketmq::wire::json::Text;

bodies! {
    /// How far a group is in a queue.
    OffsetWrapper {
        broker_offset: i64 = "brokerOffset",
        consumer_offset: i64 = "consumerOffset",
        last_timestamp: i64 = "lastTimestamp",
        pull_offset: i64 = "pullOffset",
    }

    /// The answer to request 208.
    ConsumeStats<'a> {
        consume_tps: f64 = "consumeTps",
        offset_table: Map<'a, MessageQueue<'a>, OffsetWrapper> = "offsetTable",
    }

    /// What a queue holds.
    TopicOffset {
        last_update_timestamp: i64 = "lastUpdateTimestamp",
        max_offset: i64 = "maxOffset",
        min_offset: i64 = "minOffset",
    }

    /// The answer to request 202.
    TopicStatsTable<'a> {
        offset_table: Map<'a, MessageQueue<'a>, TopicOffset> = "offsetTable",
        topic_put_tps: f64 = "topicPutTps",
    }

    /// Times of the messages in a queue, in ms.
    QueueTimeSpan<'a> {
        consume_time_stamp: i64 = "consumeTimeStamp",
        delay_time: i64 = "delayTime",
        max_time_stamp: i64 = "maxTimeStamp",
        message_queue: Option<MessageQueue<'a>> = "messageQueue",
        min_time_stamp: i64 = "minTimeStamp",
    }

    /// The answer to request 303.
    QueryConsumeTimeSpanBody<'a> {
        consume_time_span_set: List<'a, QueueTimeSpan<'a>> = "consumeTimeSpanSet",
    }

    /// What a reset has changed in a queue.
    RollbackStats<'a> {
        broker_name: Option<Text<'a>> = "brokerName",
        broker_offset: i64 = "brokerOffset",
        consumer_offset: i64 = "consumerOffset",
        queue_id: i64 = "queueId",
        rollback_offset: i64 = "rollbackOffset",
        timestamp_offset: i64 = "timestampOffset",
    }

    /// An entry of a consume queue.
    ConsumeQueueData<'a> {
        bit_map: Option<Text<'a>> = "bitMap",
        eval: bool = "eval",
        extend_data_json: Option<Text<'a>> = "extendDataJson",
        msg: Option<Text<'a>> = "msg",
        physic_offset: i64 = "physicOffset",
        physic_size: i32 = "physicSize",
        tags_code: i64 = "tagsCode",
    }

    /// The answer to request 321.
    QueryConsumeQueueResponseBody<'a> {
        filter_data: Option<Text<'a>> = "filterData",
        max_queue_index: i64 = "maxQueueIndex",
        min_queue_index: i64 = "minQueueIndex",
        queue_data: List<'a, ConsumeQueueData<'a>> = "queueData",
        subscription_data: Option<SubscriptionData<'a>> = "subscriptionData",
    }

    /// Statistics over some time.
    BrokerStatsItem {
        avgpt: f64 = "avgpt",
        sum: i64 = "sum",
        tps: f64 = "tps",
    }

    /// The answer to request 315.
    BrokerStatsData {
        stats_day: Option<BrokerStatsItem> = "statsDay",
        stats_hour: Option<BrokerStatsItem> = "statsHour",
        stats_minute: Option<BrokerStatsItem> = "statsMinute",
    }

    /// The answer to request 317: statistics by group.
    ConsumeStatsList<'a> {
        broker_addr: Option<Text<'a>> = "brokerAddr",
        consume_stats_list: List<'a, Map<'a, Text<'a>, List<'a, ConsumeStats<'a>>>> =
            "consumeStatsList",
        total_diff: i64 = "totalDiff",
        total_inflight_diff: i64 = "totalInflightDiff",
    }

    /// Offsets by queue, by `topic@group`.
    ConsumerOffsetSerializeWrapper<'a> {
        data_version: Option<super::DataVersion> = "dataVersion",
        offset_table: Map<'a, Text<'a>, Map<'a, i32, i64>> = "offsetTable",
    }

    /// The answer to request 308: offsets by queue.
    QueryCorrectionOffsetBody<'a> {
        correction_offsets: Map<'a, i32, i64> = "correctionOffsets",
    }
}

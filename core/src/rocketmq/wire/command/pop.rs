//! Pop consumers.

use crate::rocketmq::wire::json::Text;

commands! {
    /// Request 200051.
    AckMessageRequestHeader<'a> + base {
        consumer_group: Text<'a> = "consumerGroup",
        topic: Text<'a> = "topic",
        queue_id: i32 = "queueId",
        extra_info: Text<'a> = "extraInfo",
        offset: i64 = "offset",
    }

    /// Request 200053.
    ChangeInvisibleTimeRequestHeader<'a> + base {
        consumer_group: Text<'a> = "consumerGroup",
        topic: Text<'a> = "topic",
        queue_id: i32 = "queueId",
        extra_info: Text<'a> = "extraInfo",
        offset: i64 = "offset",
        invisible_time: i64 = "invisibleTime",
    }

    /// The answer to request 200053.
    ChangeInvisibleTimeResponseHeader {
        pop_time: i64 = "popTime",
        invisible_time: i64 = "invisibleTime",
        revive_qid: i32 = "reviveQid",
    }

    /// Request 200054.
    NotificationRequestHeader<'a> + base {
        consumer_group: Text<'a> = "consumerGroup",
        topic: Text<'a> = "topic",
        queue_id: i32 = "queueId",
        poll_time: i64 = "pollTime",
        born_time: i64 = "bornTime",
        order: Option<bool> = "order",
        attempt_id: Option<Text<'a>> = "attemptId",
    }

    /// The answer to request 200054.
    NotificationResponseHeader {
        has_msg: bool = "hasMsg",
        polling_full: bool = "pollingFull" or false,
    }

    /// Request 200052.
    PeekMessageRequestHeader<'a> + base {
        topic: Text<'a> = "topic",
        queue_id: i32 = "queueId",
        max_msg_nums: i32 = "maxMsgNums",
        consumer_group: Text<'a> = "consumerGroup",
    }

    /// Request 200055.
    PollingInfoRequestHeader<'a> + base {
        consumer_group: Text<'a> = "consumerGroup",
        topic: Text<'a> = "topic",
        queue_id: i32 = "queueId",
    }

    /// The answer to request 200055.
    PollingInfoResponseHeader {
        polling_num: i32 = "pollingNum",
    }

    /// Request 200050.
    PopMessageRequestHeader<'a> + base {
        consumer_group: Text<'a> = "consumerGroup",
        topic: Text<'a> = "topic",
        queue_id: i32 = "queueId",
        max_msg_nums: i32 = "maxMsgNums",
        invisible_time: i64 = "invisibleTime",
        poll_time: i64 = "pollTime",
        born_time: i64 = "bornTime",
        init_mode: i32 = "initMode",
        exp_type: Option<Text<'a>> = "expType",
        exp: Option<Text<'a>> = "exp",
        order: Option<bool> = "order",
        attempt_id: Option<Text<'a>> = "attemptId",
    }

    /// The answer to request 200050.
    PopMessageResponseHeader<'a> {
        pop_time: i64 = "popTime",
        invisible_time: i64 = "invisibleTime",
        revive_qid: i32 = "reviveQid",
        rest_num: i64 = "restNum",
        start_offset_info: Option<Text<'a>> = "startOffsetInfo",
        msg_offset_info: Option<Text<'a>> = "msgOffsetInfo",
        order_count_info: Option<Text<'a>> = "orderCountInfo",
    }
}

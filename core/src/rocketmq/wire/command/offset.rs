//! Offsets of queues and of groups.

use crate::rocketmq::wire::json::Text;

commands! {
    /// Request 314.
    CloneGroupOffsetRequestHeader<'a> + base {
        src_group: Text<'a> = "srcGroup",
        dest_group: Text<'a> = "destGroup",
        topic: Option<Text<'a>> = "topic",
        offline: bool = "offline" or false,
    }

    /// Request 32.
    GetEarliestMsgStoretimeRequestHeader<'a> + base {
        topic: Text<'a> = "topic",
        queue_id: i32 = "queueId",
    }

    /// The answer to request 32.
    GetEarliestMsgStoretimeResponseHeader {
        timestamp: i64 = "timestamp",
    }

    /// Request 30.
    GetMaxOffsetRequestHeader<'a> + base {
        topic: Text<'a> = "topic",
        queue_id: i32 = "queueId",
        committed: bool = "committed" or true,
    }

    /// The answer to request 30.
    GetMaxOffsetResponseHeader {
        offset: i64 = "offset",
    }

    /// Request 31.
    GetMinOffsetRequestHeader<'a> + base {
        topic: Text<'a> = "topic",
        queue_id: i32 = "queueId",
    }

    /// The answer to request 31.
    GetMinOffsetResponseHeader {
        offset: i64 = "offset",
    }

    /// A request.
    InitConsumerOffsetRequestHeader<'a> + base {
        topic: Option<Text<'a>> = "topic",
        init_mode: i32 = "initMode" or 0,
    }

    /// Request 14.
    QueryConsumerOffsetRequestHeader<'a> + base {
        consumer_group: Text<'a> = "consumerGroup",
        topic: Text<'a> = "topic",
        queue_id: i32 = "queueId",
        set_zero_if_not_found: Option<bool> = "setZeroIfNotFound",
    }

    /// The answer to request 14.
    QueryConsumerOffsetResponseHeader {
        offset: i64 = "offset",
    }

    /// Request 308.
    QueryCorrectionOffsetHeader<'a> + base {
        filter_groups: Option<Text<'a>> = "filterGroups",
        compare_group: Text<'a> = "compareGroup",
        topic: Text<'a> = "topic",
    }

    /// Request 29.
    SearchOffsetRequestHeader<'a> + base {
        topic: Text<'a> = "topic",
        queue_id: i32 = "queueId",
        timestamp: i64 = "timestamp",
        boundary_type: Option<Text<'a>> = "boundaryType",
    }

    /// The answer to request 29.
    SearchOffsetResponseHeader {
        offset: i64 = "offset",
    }

    /// Request 15.
    UpdateConsumerOffsetRequestHeader<'a> + base {
        consumer_group: Text<'a> = "consumerGroup",
        topic: Text<'a> = "topic",
        queue_id: i32 = "queueId",
        commit_offset: i64 = "commitOffset",
    }

    /// The answer to request 15.
    UpdateConsumerOffsetResponseHeader {
    }
}

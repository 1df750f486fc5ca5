//! Sending, transactions, replies and recalls.

use crate::rocketmq::wire::json::Text;

commands! {
    /// Request 39.
    CheckTransactionStateRequestHeader<'a> + base {
        topic: Option<Text<'a>> = "topic",
        tran_state_table_offset: i64 = "tranStateTableOffset",
        commit_log_offset: i64 = "commitLogOffset",
        msg_id: Option<Text<'a>> = "msgId",
        transaction_id: Option<Text<'a>> = "transactionId",
        offset_msg_id: Option<Text<'a>> = "offsetMsgId",
    }

    /// The answer to request 39.
    CheckTransactionStateResponseHeader<'a> {
        producer_group: Text<'a> = "producerGroup",
        tran_state_table_offset: i64 = "tranStateTableOffset",
        commit_log_offset: i64 = "commitLogOffset",
        commit_or_rollback: i32 = "commitOrRollback",
    }

    /// Request 37.
    EndTransactionRequestHeader<'a> + base {
        topic: Option<Text<'a>> = "topic",
        producer_group: Text<'a> = "producerGroup",
        tran_state_table_offset: i64 = "tranStateTableOffset",
        commit_log_offset: i64 = "commitLogOffset",
        commit_or_rollback: i32 = "commitOrRollback",
        from_transaction_check: Option<bool> = "fromTransactionCheck",
        msg_id: Text<'a> = "msgId",
        transaction_id: Option<Text<'a>> = "transactionId",
    }

    /// The answer to request 37.
    EndTransactionResponseHeader {
    }

    /// Request 370.
    RecallMessageRequestHeader<'a> + base {
        producer_group: Option<Text<'a>> = "producerGroup",
        topic: Text<'a> = "topic",
        recall_handle: Text<'a> = "recallHandle",
    }

    /// The answer to request 370.
    RecallMessageResponseHeader<'a> {
        msg_id: Text<'a> = "msgId",
    }

    /// Request 326.
    ReplyMessageRequestHeader<'a> + base {
        producer_group: Text<'a> = "producerGroup",
        topic: Text<'a> = "topic",
        default_topic: Text<'a> = "defaultTopic",
        default_topic_queue_nums: i32 = "defaultTopicQueueNums",
        queue_id: i32 = "queueId",
        sys_flag: i32 = "sysFlag",
        born_timestamp: i64 = "bornTimestamp",
        flag: i32 = "flag",
        properties: Option<Text<'a>> = "properties",
        reconsume_times: Option<i32> = "reconsumeTimes",
        unit_mode: bool = "unitMode" or false,
        born_host: Text<'a> = "bornHost",
        store_host: Text<'a> = "storeHost",
        store_timestamp: i64 = "storeTimestamp",
    }

    /// Request 323.
    ResumeCheckHalfMessageRequestHeader<'a> {
        topic: Option<Text<'a>> = "topic",
        msg_id: Option<Text<'a>> = "msgId",
    }

    /// Requests 10 and 324.
    SendMessageRequestHeader<'a> + base {
        producer_group: Text<'a> = "producerGroup",
        topic: Text<'a> = "topic",
        default_topic: Text<'a> = "defaultTopic",
        default_topic_queue_nums: i32 = "defaultTopicQueueNums",
        queue_id: i32 = "queueId",
        sys_flag: i32 = "sysFlag",
        born_timestamp: i64 = "bornTimestamp",
        flag: i32 = "flag",
        properties: Option<Text<'a>> = "properties",
        reconsume_times: Option<i32> = "reconsumeTimes",
        unit_mode: Option<bool> = "unitMode",
        batch: Option<bool> = "batch",
        max_reconsume_times: Option<i32> = "maxReconsumeTimes",
    }

    /// Requests 310 and 320, with short names. `n` is the broker's name.
    SendMessageRequestHeaderV2<'a> + base {
        producer_group: Text<'a> = "a",
        topic: Text<'a> = "b",
        default_topic: Text<'a> = "c",
        default_topic_queue_nums: i32 = "d",
        queue_id: i32 = "e",
        sys_flag: i32 = "f",
        born_timestamp: i64 = "g",
        flag: i32 = "h",
        properties: Option<Text<'a>> = "i",
        reconsume_times: Option<i32> = "j",
        unit_mode: Option<bool> = "k",
        max_reconsume_times: Option<i32> = "l",
        batch: Option<bool> = "m",
        broker_name: Option<Text<'a>> = "n",
    }

    /// The answer to requests 10, 310 and 320.
    SendMessageResponseHeader<'a> {
        msg_id: Text<'a> = "msgId",
        queue_id: i32 = "queueId",
        queue_offset: i64 = "queueOffset",
        transaction_id: Option<Text<'a>> = "transactionId",
        batch_uniq_id: Option<Text<'a>> = "batchUniqId",
        recall_handle: Option<Text<'a>> = "recallHandle",
    }
}

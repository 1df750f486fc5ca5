//! Queues of consumers: who holds them, who gets them, what was acknowledged, how they are doing.

use core::fmt::{self, Write};

use super::{
    ConsumeType, FromJson, List, Map, MapKey, MessageModel, Shape, SubscriptionData, ToJson,
};
use crate::rocketmq::wire::json::{JsonError, Key, Text, Writer};

names! {
    /// How a consumer gets the messages of a queue.
    MessageRequestMode {
        Pull = "PULL",
        Pop = "POP",
    }

    /// How one message was consumed.
    ConsumeResult {
        Success = "CR_SUCCESS",
        Later = "CR_LATER",
        Rollback = "CR_ROLLBACK",
        Commit = "CR_COMMIT",
        ThrowException = "CR_THROW_EXCEPTION",
        ReturnNull = "CR_RETURN_NULL",
    }
}

bodies! {
    /// A queue of a topic on a broker.
    MessageQueue<'a> {
        broker_name: Text<'a> = "brokerName",
        queue_id: i32 = "queueId",
        topic: Text<'a> = "topic",
    }

    /// The answer to request 38.
    GetConsumerListByGroupResponseBody<'a> {
        consumer_id_list: List<'a, Text<'a>> = "consumerIdList",
    }

    /// The body of request 41.
    LockBatchRequestBody<'a> {
        client_id: Text<'a> = "clientId",
        consumer_group: Text<'a> = "consumerGroup",
        mq_set: List<'a, MessageQueue<'a>> = "mqSet",
        only_this_broker: bool = "onlyThisBroker",
    }

    /// The answer to request 41: what was locked.
    LockBatchResponseBody<'a> {
        lock_ok_mq_set: List<'a, MessageQueue<'a>> = "lockOKMQSet",
    }

    /// The body of request 42.
    UnlockBatchRequestBody<'a> {
        client_id: Text<'a> = "clientId",
        consumer_group: Text<'a> = "consumerGroup",
        mq_set: List<'a, MessageQueue<'a>> = "mqSet",
        only_this_broker: bool = "onlyThisBroker",
    }

    /// The body of request 400.
    QueryAssignmentRequestBody<'a> {
        client_id: Text<'a> = "clientId",
        consumer_group: Text<'a> = "consumerGroup",
        message_model: Option<MessageModel> = "messageModel",
        strategy_name: Option<Text<'a>> = "strategyName",
        topic: Text<'a> = "topic",
    }

    /// A queue that a client is to take.
    MessageQueueAssignment<'a> {
        attachments: Option<Map<'a, Text<'a>, Text<'a>>> = "attachments",
        message_queue: MessageQueue<'a> = "messageQueue",
        mode: Option<MessageRequestMode> = "mode",
    }

    /// The answer to request 400; no list means that everything stays as it is.
    QueryAssignmentResponseBody<'a> {
        message_queue_assignments: Option<List<'a, MessageQueueAssignment<'a>>> =
            "messageQueueAssignments",
    }

    /// The body of request 401.
    SetMessageRequestModeRequestBody<'a> {
        consumer_group: Text<'a> = "consumerGroup",
        mode: Option<MessageRequestMode> = "mode",
        pop_share_queue_num: i32 = "popShareQueueNum",
        topic: Text<'a> = "topic",
    }

    /// The answer to request 402: by topic, by group.
    MessageRequestModeSerializeWrapper<'a> {
        message_request_mode_map:
            Map<'a, Text<'a>, Map<'a, Text<'a>, SetMessageRequestModeRequestBody<'a>>> =
            "messageRequestModeMap",
    }

    /// Which groups have consumed a message.
    ConsumeByWho<'a> {
        consumed_group: List<'a, Text<'a>> = "consumedGroup",
        not_consumed_group: List<'a, Text<'a>> = "notConsumedGroup",
        offset: i64 = "offset",
        queue_id: i32 = "queueId",
        topic: Option<Text<'a>> = "topic",
    }

    /// Acknowledged messages of one pop. Written with short names, read with long ones, too.
    BatchAck<'a> {
        /// Which of the messages behind the start offset; see [`bits`](super::bits).
        bit_set: Text<'a> = "b" | "bitSet",
        consumer_group: Text<'a> = "c" | "consumerGroup",
        invisible_time: i64 = "it" | "invisibleTime",
        pop_time: i64 = "pt" | "popTime",
        queue_id: i32 = "q" | "queueId",
        /// The mark of the topic, see [`TopicMark`](crate::rocketmq::wire::pop::TopicMark).
        retry: Text<'a> = "r" | "retry",
        revive_queue_id: i32 = "rq" | "reviveQueueId",
        start_offset: i64 = "so" | "startOffset",
        topic: Text<'a> = "t" | "topic",
    }

    /// The body of request 200151.
    BatchAckMessageRequestBody<'a> {
        acks: List<'a, BatchAck<'a>> = "acks",
        broker_name: Text<'a> = "brokerName",
    }

    /// The body of request 220: new offsets by queue.
    ResetOffsetBody<'a> {
        offset_table: Map<'a, MessageQueue<'a>, i64> = "offsetTable",
    }

    /// A queue and its new offset.
    MessageQueueForC<'a> {
        broker_name: Text<'a> = "brokerName",
        offset: i64 = "offset",
        queue_id: i32 = "queueId",
        topic: Text<'a> = "topic",
    }

    /// The body of request 220 for clients that are written in C++.
    ResetOffsetBodyForC<'a> {
        offset_table: List<'a, MessageQueueForC<'a>> = "offsetTable",
    }

    /// The answer to requests 221 and 223: offsets by queue, and that by client.
    GetConsumerStatusBody<'a> {
        consumer_table: Map<'a, Text<'a>, Map<'a, MessageQueue<'a>, i64>> = "consumerTable",
        message_queue_table: Map<'a, MessageQueue<'a>, i64> = "messageQueueTable",
    }

    /// The answer to request 309.
    ConsumeMessageDirectlyResult<'a> {
        auto_commit: bool = "autoCommit" or true,
        consume_result: Option<ConsumeResult> = "consumeResult",
        order: bool = "order",
        remark: Option<Text<'a>> = "remark",
        /// In ms.
        spent_time_mills: i64 = "spentTimeMills",
    }

    /// A queue that is pulled.
    ProcessQueueInfo {
        cached_msg_count: i32 = "cachedMsgCount",
        cached_msg_max_offset: i64 = "cachedMsgMaxOffset",
        cached_msg_min_offset: i64 = "cachedMsgMinOffset",
        cached_msg_size_in_mib: i32 = "cachedMsgSizeInMiB",
        commit_offset: i64 = "commitOffset",
        /// Spelt so.
        dropped: bool = "droped",
        last_consume_timestamp: i64 = "lastConsumeTimestamp",
        last_lock_timestamp: i64 = "lastLockTimestamp",
        last_pull_timestamp: i64 = "lastPullTimestamp",
        locked: bool = "locked",
        transaction_msg_count: i32 = "transactionMsgCount",
        transaction_msg_max_offset: i64 = "transactionMsgMaxOffset",
        transaction_msg_min_offset: i64 = "transactionMsgMinOffset",
        try_unlock_times: i64 = "tryUnlockTimes",
    }

    /// A queue that is popped.
    PopProcessQueueInfo {
        /// Spelt so.
        dropped: bool = "droped",
        last_pop_timestamp: i64 = "lastPopTimestamp",
        wait_ack_count: i32 = "waitAckCount",
    }

    /// How fast a topic is consumed, per second, and how long it takes, in ms.
    ConsumeStatus {
        consume_failed_msgs: i64 = "consumeFailedMsgs",
        consume_failed_tps: f64 = "consumeFailedTPS",
        consume_ok_tps: f64 = "consumeOKTPS",
        consume_rt: f64 = "consumeRT",
        pull_rt: f64 = "pullRT",
        pull_tps: f64 = "pullTPS",
    }

    /// The answer to request 307.
    ConsumerRunningInfo<'a> {
        jstack: Option<Text<'a>> = "jstack",
        mq_pop_table: Map<'a, MessageQueue<'a>, PopProcessQueueInfo> = "mqPopTable",
        mq_table: Map<'a, MessageQueue<'a>, ProcessQueueInfo> = "mqTable",
        properties: Map<'a, Text<'a>, Text<'a>> = "properties",
        status_table: Map<'a, Text<'a>, ConsumeStatus> = "statusTable",
        subscription_set: List<'a, SubscriptionData<'a>> = "subscriptionSet",
        user_consumer_info: Map<'a, Text<'a>, Text<'a>> = "userConsumerInfo",
    }
}

impl<'a> ConsumerRunningInfo<'a> {
    /// `PROP_CONSUME_TYPE` of the properties.
    ///
    /// # Errors
    ///
    /// [`JsonError`] where they can't be read.
    pub fn consume_type(&self) -> Result<Option<ConsumeType>, JsonError> {
        for entry in self.properties.iter() {
            let (name, value) = entry?;
            if name == "PROP_CONSUME_TYPE" {
                return Ok(value.as_str().and_then(ConsumeType::from_name));
            }
        }
        Ok(None)
    }
}

impl<'a> MapKey<'a> for MessageQueue<'a> {
    const SHAPE: Shape = <Self as FromJson<'a>>::SHAPE;

    fn from_key(key: Key<'a>) -> Result<Self, JsonError> {
        Self::from_json(&mut key.object()?.reader())
    }

    fn write_key<W: Write>(&self, writer: &mut Writer<W>) -> fmt::Result {
        self.to_json(writer)?;
        writer.colon()
    }
}

//! What clients say about themselves: heartbeats, and who is connected.

use core::fmt::{self, Write};

use super::{List, Map, ToJson};
use crate::rocketmq::wire::header::Language;
use crate::rocketmq::wire::json::{Dialect, Text, Writer};

names! {
    /// How a group gets its messages.
    ConsumeType {
        Passively = "CONSUME_PASSIVELY",
        Actively = "CONSUME_ACTIVELY",
        Pop = "CONSUME_POP",
    }

    /// Whether the members of a group share the messages, or each gets all.
    MessageModel {
        Clustering = "CLUSTERING",
        Broadcasting = "BROADCASTING",
    }

    /// Where a new group starts. Three names of long ago mean the first.
    ConsumeFromWhere {
        LastOffset = "CONSUME_FROM_LAST_OFFSET"
            | "CONSUME_FROM_LAST_OFFSET_AND_FROM_MIN_WHEN_BOOT_FIRST"
            | "CONSUME_FROM_MIN_OFFSET"
            | "CONSUME_FROM_MAX_OFFSET",
        FirstOffset = "CONSUME_FROM_FIRST_OFFSET",
        Timestamp = "CONSUME_FROM_TIMESTAMP",
    }
}

bodies! {
    /// What a group subscribes to in a topic.
    SubscriptionData<'a> {
        class_filter_mode: bool = "classFilterMode",
        /// The hashes of the tags.
        code_set: List<'a, i32> = "codeSet",
        expression_type: Option<Text<'a>> = "expressionType",
        filter_class_source: Option<Text<'a>> = "filterClassSource",
        /// The expression as the user has written it; see [`Expression`](super::Expression).
        sub_string: Option<Text<'a>> = "subString",
        /// Larger ones replace smaller ones.
        sub_version: i64 = "subVersion",
        tags_set: List<'a, Text<'a>> = "tagsSet",
        topic: Text<'a> = "topic",
    }

    /// A group of consumers, as one of its members has it.
    ConsumerData<'a> {
        consume_from_where: Option<ConsumeFromWhere> = "consumeFromWhere",
        consume_type: Option<ConsumeType> = "consumeType",
        group_name: Text<'a> = "groupName",
        message_model: Option<MessageModel> = "messageModel",
        subscription_data_set: List<'a, SubscriptionData<'a>> = "subscriptionDataSet",
        unit_mode: bool = "unitMode",
    }

    /// A group of producers.
    ProducerData<'a> {
        group_name: Text<'a> = "groupName",
    }

    /// The body of request 34.
    HeartbeatData<'a> {
        client_id: Text<'a> = "clientID",
        consumer_data_set: List<'a, ConsumerData<'a>> = "consumerDataSet",
        /// See [`HeartbeatData::fingerprint`]; 0 where the client does not use it.
        heartbeat_fingerprint: i32 = "heartbeatFingerprint",
        producer_data_set: List<'a, ProducerData<'a>> = "producerDataSet",
        /// The subscriptions are left out, because they are as before.
        without_sub: bool = "withoutSub",
    }

    /// A client that is connected.
    Connection<'a> {
        client_addr: Option<Text<'a>> = "clientAddr",
        client_id: Option<Text<'a>> = "clientId",
        language: Option<Language> = "language",
        version: i32 = "version",
    }

    /// The answer to request 203.
    ConsumerConnection<'a> {
        connection_set: List<'a, Connection<'a>> = "connectionSet",
        consume_from_where: Option<ConsumeFromWhere> = "consumeFromWhere",
        consume_type: Option<ConsumeType> = "consumeType",
        message_model: Option<MessageModel> = "messageModel",
        subscription_table: Map<'a, Text<'a>, SubscriptionData<'a>> = "subscriptionTable",
    }

    /// The answer to request 204.
    ProducerConnection<'a> {
        connection_set: List<'a, Connection<'a>> = "connectionSet",
    }

    /// A producer that is connected.
    ProducerInfo<'a> {
        client_id: Option<Text<'a>> = "clientId",
        language: Option<Language> = "language",
        last_update_timestamp: i64 = "lastUpdateTimestamp",
        remote_ip: Option<Text<'a>> = "remoteIP",
        version: i32 = "version",
    }

    /// The answer to request 328: producers by group.
    ProducerTableInfo<'a> {
        data: Map<'a, Text<'a>, List<'a, ProducerInfo<'a>>> = "data",
    }

    /// The body of request 46.
    CheckClientRequestBody<'a> {
        client_id: Text<'a> = "clientId",
        group: Text<'a> = "group",
        namespace: Option<Text<'a>> = "namespace",
        subscription_data: Option<SubscriptionData<'a>> = "subscriptionData",
    }
}

impl HeartbeatData<'_> {
    /// Java's hash over what a broker has to know again: everything but who sends it and when the
    /// subscriptions were made. The same number means that nothing has changed.
    #[must_use]
    pub fn fingerprint(&self) -> i32 {
        let mut hash = JavaHash(0);
        let writer = &mut Writer::new(&mut hash, Dialect::Fastjson);
        // Hashing can't fail; what can't be read is left out.
        let _ = self.write_stable(writer);
        hash.0
    }

    fn write_stable<W: Write>(&self, writer: &mut Writer<W>) -> fmt::Result {
        writer.begin_object()?;
        writer.key("clientID")?;
        writer.text(Text::default())?;
        writer.key("consumerDataSet")?;
        writer.begin_array()?;
        for consumer in self.consumer_data_set.iter().flatten() {
            write_stable_consumer(&consumer, writer)?;
        }
        writer.end_array()?;
        writer.key("heartbeatFingerprint")?;
        writer.integer(0)?;
        writer.key("producerDataSet")?;
        self.producer_data_set.to_json(writer)?;
        writer.key("withoutSub")?;
        writer.bool(false)?;
        writer.end_object()
    }
}

fn write_stable_consumer<W: Write>(
    consumer: &ConsumerData<'_>,
    writer: &mut Writer<W>,
) -> fmt::Result {
    writer.begin_object()?;
    if let Some(consume_from_where) = consumer.consume_from_where {
        writer.key("consumeFromWhere")?;
        consume_from_where.to_json(writer)?;
    }
    if let Some(consume_type) = consumer.consume_type {
        writer.key("consumeType")?;
        consume_type.to_json(writer)?;
    }
    writer.key("groupName")?;
    writer.text(consumer.group_name)?;
    if let Some(message_model) = consumer.message_model {
        writer.key("messageModel")?;
        message_model.to_json(writer)?;
    }
    writer.key("subscriptionDataSet")?;
    writer.begin_array()?;
    for subscription in consumer.subscription_data_set.iter().flatten() {
        SubscriptionData { sub_version: 0, ..subscription }.to_json(writer)?;
    }
    writer.end_array()?;
    writer.key("unitMode")?;
    writer.bool(consumer.unit_mode)?;
    writer.end_object()
}

/// Java's `String.hashCode` of what is written.
struct JavaHash(i32);

impl Write for JavaHash {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for unit in text.encode_utf16() {
            self.0 = self.0.wrapping_mul(31).wrapping_add(unit.into());
        }
        Ok(())
    }
}

//! The heartbeat of a RocketMQ client, written.

use turbopump_core::rocketmq::wire::body::{
    Body, ConsumeFromWhere, ConsumeType, ConsumerData, HeartbeatData, List, MessageModel,
    SubscriptionData,
};
use turbopump_core::rocketmq::wire::json::Dialect;

use crate::check::{Checks, check, must};

#[inline(never)]
pub(crate) fn run(checks: &mut Checks) {
    let subscriptions = [SubscriptionData {
        class_filter_mode: false,
        code_set: List::default(),
        expression_type: Some("TAG".into()),
        filter_class_source: None,
        sub_string: Some("*".into()),
        sub_version: 7,
        tags_set: List::default(),
        topic: "Orders".into(),
    }];
    let consumers = [ConsumerData {
        consume_from_where: Some(ConsumeFromWhere::LastOffset),
        consume_type: Some(ConsumeType::Passively),
        group_name: "g".into(),
        message_model: Some(MessageModel::Clustering),
        subscription_data_set: (&subscriptions).into(),
        unit_mode: false,
    }];
    let heartbeat = HeartbeatData {
        client_id: "10.0.0.1@1".into(),
        consumer_data_set: (&consumers).into(),
        heartbeat_fingerprint: 0,
        producer_data_set: List::default(),
        without_sub: false,
    };
    let mut memory = [0; 512];
    let len = must(heartbeat.encode(Dialect::Fastjson, &mut memory));
    check!(checks, memory[..len].starts_with(b"{\"clientID\":\"10.0.0.1@1\""));
    check!(checks, heartbeat.encode(Dialect::Fastjson, &mut memory[..len - 1]).is_err());
}

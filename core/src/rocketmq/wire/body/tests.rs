extern crate alloc;
use alloc::vec::Vec;

use super::*;
use crate::rocketmq::wire::header::EncodeError;
use crate::rocketmq::wire::json::{Dialect, JsonProblem, Text};

#[test]
fn a_missing_text_is_named_where_its_object_starts() {
    let json = br#"{"queueDatas":[{"brokerName":"b"},null,{"perm":6}]}"#;
    let route = TopicRouteData::decode(json).unwrap();
    let mut queues = route.queue_datas.iter();
    assert_eq!(queues.next().unwrap().unwrap().broker_name, "b");
    let error = queues.next().unwrap().unwrap_err();
    assert_eq!(error.problem, JsonProblem::Missing { field: "brokerName" });
    assert_eq!(error.position, 39);
    assert!(queues.next().is_none(), "an error ends the walk");
}

#[test]
fn what_is_missing_has_javas_defaults() {
    let group = SubscriptionGroupConfig::decode(br#"{"groupName":"g","brokerId":null}"#).unwrap();
    assert!(group.consume_enable && !group.consume_message_orderly);
    assert_eq!((group.retry_max_times, group.retry_queue_nums, group.broker_id), (16, 1, 0));
    let ack = br#"{"consumerGroup":"g","topic":"t","retry":"0","bitSet":"AQ==","startOffset":7}"#;
    assert_eq!(BatchAck::decode(ack).unwrap().start_offset, 7);
}

#[test]
fn names_that_nobody_knows_are_none() {
    let json = br#"{"groupName":"g","consumeType":"BY_MAIL","consumeFromWhere":
        "CONSUME_FROM_MIN_OFFSET"}"#;
    let consumer = ConsumerData::decode(json).unwrap();
    assert_eq!(consumer.consume_type, None);
    assert_eq!(consumer.consume_from_where, Some(ConsumeFromWhere::LastOffset));
}

#[test]
fn both_dialects_are_written_and_read() {
    let addresses = [(0, "[::1]:10911".into()), (1, "é".into())];
    let broker = BrokerData {
        broker_addrs: (&addresses).into(),
        broker_name: "b".into(),
        cluster: None,
        enable_acting_master: false,
        zone_name: None,
    };
    let texts = [
        (Dialect::Fastjson, r#"{"brokerAddrs":{0:"[::1]:10911",1:"é"},"brokerName":"b","#),
        (Dialect::Strict, r#"{"brokerAddrs":{"0":"[::1]:10911","1":"\u00E9"},"brokerName":"b","#),
    ];
    for (dialect, text) in texts {
        let mut memory = [0; 128];
        let len = broker.encode(dialect, &mut memory).unwrap();
        assert!(memory.starts_with(text.as_bytes()), "{:?}", memory.escape_ascii());
        assert_eq!(BrokerData::decode(&memory[..len]), Ok(broker));
        let error = broker.encode(dialect, &mut memory[..len - 1]).unwrap_err();
        assert_eq!(error, EncodeError::NoRoom { needed_bytes: len, room_bytes: len - 1 });
    }
}

#[test]
fn bits_are_read_as_they_are_written() {
    let sets: [&[u32]; 5] = [&[], &[0], &[7, 8], &[0, 13], &[1, 2, 23, 24, 63]];
    for set in sets {
        let mut memory = [0; 32];
        let mut text = crate::rocketmq::wire::text::TextBuffer::new(&mut memory);
        write_bits(set.iter().copied(), &mut text).unwrap();
        assert_eq!(text.as_str().len() % 4, 0);
        assert!(bits(text.as_str().into()).unwrap().eq(set.iter().copied()), "{set:?}");
    }
    for (wrong, position) in [("A", 1), ("AB-D", 2), ("AA==A", 2), ("AA===", 2)] {
        let error = bits(wrong.into()).map(|_| ()).unwrap_err();
        assert_eq!(error.position, position, "{wrong}");
    }
}

#[test]
fn lines_of_topics_are_refused_where_they_are_wrong() {
    let topic = TopicConfig::from_line(r#"T 8 4 6 MULTI_TAG {"+k":"a b"}"#).unwrap();
    assert_eq!(topic.topic_filter_type, Some(TopicFilterType::MultiTag));
    assert_eq!(topic.attributes.iter().next(), Some(Ok(("+k".into(), "a b".into()))));
    for (line, position) in [("", 0), ("T", 1), ("T x 4 6 S", 2), ("T 8 4 6 S {", 11)] {
        assert_eq!(TopicConfig::from_line(line).unwrap_err().position, position, "{line}");
    }
}

#[test]
fn order_names_the_queues_to_publish_to() {
    let json = br#"{"orderTopicConf":"b:2;a:1","queueDatas":[]}"#;
    let route = TopicRouteData::decode(json).unwrap();
    let queues = route.publish_queues().map(Result::unwrap);
    assert!(queues.eq([("b".into(), 0), ("b".into(), 1), ("a".into(), 0)]));
    // Strict JSON escapes names.
    let json = br#"{"orderTopicConf":"\u4E3B:1;b:1"}"#;
    let route = TopicRouteData::decode(json).unwrap();
    let queues = route.publish_queues().map(|queue| queue.unwrap().0);
    assert!(queues.eq(["\u{4e3b}", "b"]));
    let json = br#"{"orderTopicConf":"b"}"#;
    let route = TopicRouteData::decode(json).unwrap();
    assert!(route.publish_queues().next().unwrap().is_err());
}

/// As fastjson writes what it has written before, special characters in paths included.
#[test]
fn references_are_followed() {
    let json = br#"{"topicConfigTable":{
        "a-b.\"c":{"attributes":{"+k":"v"},"perm":4,"topicName":"A"},
        "B":{"topicName":"B","attributes":{"$ref":"$.topicConfigTable.a\\-b\\.\\\"c.attributes"}},
        "C":{"$ref":"$.topicConfigTable.a\\-b\\.\\\"c"}}}"#;
    let wrapper = TopicConfigSerializeWrapper::decode(json).unwrap();
    let topics: Vec<TopicConfig<'_>> =
        wrapper.topic_config_table.iter().map(|entry| entry.unwrap().1).collect();
    assert_eq!(topics[1].attributes, topics[0].attributes);
    assert_eq!(topics[2], topics[0]);
    assert_eq!(topics[2].attributes.iter().count(), 1);

    let json = br#"{"consumerDataSet":[{"groupName":"g","subscriptionDataSet":[{"topic":"T"}]},
        {"groupName":"h","subscriptionDataSet":[{"topic":"U"},
        {"$ref":"$.consumerDataSet[0].subscriptionDataSet[0]"}]},
        {"groupName":"i","subscriptionDataSet":{"$ref":"$.consumerDataSet[0].subscriptionDataSet"}}
        ],"clientID":"c"}"#;
    let heartbeat = HeartbeatData::decode(json).unwrap();
    let consumers: Vec<ConsumerData<'_>> =
        heartbeat.consumer_data_set.iter().map(Result::unwrap).collect();
    let topics = |index: usize| -> Vec<Text<'_>> {
        let all = consumers[index].subscription_data_set.iter();
        all.map(|subscription| subscription.unwrap().topic).collect()
    };
    assert_eq!(topics(1), ["U", "T"]);
    assert_eq!(topics(2), ["T"]);

    // Numbers are keys of maps, too.
    let json = br#"{"hostedQueues":{3:[{"gen":5}],7:{"$ref":"$.hostedQueues[3]"}}}"#;
    let detail = TopicQueueMappingDetail::decode(json).unwrap();
    assert!(
        detail
            .hosted_queues
            .iter()
            .all(|entry| { entry.unwrap().1.iter().next().unwrap().unwrap().gen_number == 5 })
    );
}

/// What means nothing, itself, or more than stands in the text.
#[test]
fn references_to_nothing_are_refused() {
    for path in [
        "..",
        "@",
        "",
        "$.x",
        "$.dataVersion.",
        "$.dataVersion[0]",
        "$[0]",
        "$.dataVersion[",
        "$x",
        "$.mappingDataVersion",
        "$.topicConfigTable.A",
        "$.filterServerList[2]",
    ] {
        let json = alloc::format!(
            r#"{{"dataVersion":{{"counter":1}},"mappingDataVersion":{{"$ref":"{path}"}}}}"#
        );
        let error = TopicConfigAndMappingSerializeWrapper::decode(json.as_bytes()).unwrap_err();
        assert_eq!(error.position, 50, "{path}");
    }
    // An object that a reference means holds no further ones.
    let json = br#"{"a":{"x":1},"topicConfigTable":{
        "A":{"topicName":"A","attributes":{"$ref":"$.a"}},
        "B":{"$ref":"$.topicConfigTable.A"}}}"#;
    let wrapper = TopicConfigSerializeWrapper::decode(json).unwrap();
    let mut topics = wrapper.topic_config_table.iter();
    assert!(topics.next().unwrap().is_ok());
    assert!(topics.next().unwrap().is_err());
    assert!(TopicRouteData::decode(br#"{"$ref":"$"}"#).is_err());
}

//! Bodies that are JSON, and what stands beside them.

use serde_json::Value;
use turbopump_core::checksum::crc32;
use turbopump_core::rocketmq::wire::body::*;
use turbopump_core::rocketmq::wire::header::Language;
use turbopump_core::rocketmq::wire::json::{Dialect, Text};

use crate::loose::{normal, pairs};
use crate::{Check, Checker, bytes, flag, list, number, same, small, text};

/// The kinds that are checked here.
pub(crate) const KINDS: &[(&str, Checker)] = &[
    ("route", route),
    ("heartbeat", heartbeat),
    ("subscription", subscription),
    ("consumer-list", consumer_list),
    ("lock-request", lock_request),
    ("lock-response", lock_response),
    ("query-assignment-request", query_assignment_request),
    ("query-assignment-response", query_assignment_response),
    ("batch-ack", batch_ack),
    ("consume-stats", consume_stats),
    ("topic-stats", topic_stats),
    ("reset-offset", reset_offset),
    ("cluster-info", cluster_info),
    ("topic-config-wrapper", topic_config_wrapper),
    ("topic-config-line", topic_config_line),
    ("register-broker-body", register_broker_body),
    ("subscription-group", subscription_group),
    ("kv-table", kv_table),
    ("topic-list", topic_list),
    ("consumer-connection", consumer_connection),
    ("consume-directly-result", consume_directly_result),
    ("consumer-running-info", consumer_running_info),
];

/// What was built from a vector's input is written as Java does, but for the order of sets and
/// maps, and what Java has written is read and written again, byte by byte.
fn body<'a, T: Body<'a> + std::fmt::Debug>(built: &T, json: &'a str, dialect: Dialect) -> Check {
    let expected = normal(json);
    let decoded = T::decode(json.as_bytes()).map_err(|error| format!("{error} in {json}"))?;
    let written = |value: &T| -> Result<String, String> {
        let mut memory = vec![0; json.len() + 4_096];
        let len = value.encode(dialect, &mut memory).map_err(|error| error.to_string())?;
        memory.truncate(len);
        Ok(String::from_utf8(memory).expect("UTF-8"))
    };
    // Sets and maps keep the order in which they were read, so that nothing is free here.
    same("what was read", written(&decoded)?, json.to_owned())?;
    same("what was built", normal(&written(built)?), expected)
}

fn in_output<'a, T: Body<'a> + std::fmt::Debug>(built: &T, output: &'a Value) -> Check {
    let json = text(output, "json");
    if !output["hex"].is_null() {
        same("the bytes", json.as_bytes(), &bytes(output, "hex")[..])?;
    }
    body(built, json, Dialect::Fastjson)
}

fn texts(values: &[Value]) -> Vec<Text<'_>> {
    values.iter().map(|value| value.as_str().expect("a text").into()).collect()
}

fn optional<'v>(value: &'v Value, name: &str) -> Option<Text<'v>> {
    value[name].as_str().map(Text::from)
}

fn float(value: &Value, name: &str) -> f64 {
    value[name].as_f64().unwrap_or_else(|| panic!("{name} is no number in {value}"))
}

fn queues(input: &Value) -> Vec<MessageQueue<'_>> {
    let queue = |queue| MessageQueue {
        broker_name: text(queue, "brokerName").into(),
        queue_id: small(queue, "queueId"),
        topic: text(queue, "topic").into(),
    };
    list(input, "queues").iter().map(queue).collect()
}

fn by_queue<V: Copy>(input: &Value, value: V) -> Vec<(MessageQueue<'_>, V)> {
    queues(input).into_iter().map(|queue| (queue, value)).collect()
}

fn named<'a>(found: impl Iterator<Item = Result<(Text<'a>, i32), impl ToString>>) -> Vec<String> {
    found
        .map(|queue| queue.map(|(name, id)| format!("{name}:{id}")))
        .map(|queue| queue.unwrap_or_else(|error| error.to_string()))
        .collect()
}

fn route(input: &Value, output: &Value) -> Check {
    let queue = |queue| QueueData {
        broker_name: text(queue, "brokerName").into(),
        perm: small(queue, "perm"),
        read_queue_nums: small(queue, "readQueueNums"),
        topic_sys_flag: small(queue, "topicSysFlag"),
        write_queue_nums: small(queue, "writeQueueNums"),
    };
    let queue_datas: Vec<QueueData<'_>> = list(input, "queueDatas").iter().map(queue).collect();
    let address = |address| (number(address, "id"), text(address, "addr").into());
    let addresses = list(input, "brokerDatas").iter().map(|broker| {
        list(broker, "brokerAddrs").iter().map(address).collect::<Vec<(i64, Text<'_>)>>()
    });
    let addresses: Vec<_> = addresses.collect();
    let mut broker_datas = Vec::new();
    for (broker, addresses) in list(input, "brokerDatas").iter().zip(&addresses) {
        broker_datas.push(BrokerData {
            broker_addrs: addresses.as_slice().into(),
            broker_name: text(broker, "brokerName").into(),
            cluster: optional(broker, "cluster"),
            enable_acting_master: broker["enableActingMaster"].as_bool().unwrap_or(false),
            zone_name: optional(broker, "zoneName"),
        });
    }
    let built = TopicRouteData {
        broker_datas: broker_datas.as_slice().into(),
        filter_server_table: Map::default(),
        order_topic_conf: optional(input, "orderTopicConf"),
        queue_datas: queue_datas.as_slice().into(),
        topic_queue_mapping_by_broker: None,
    };
    body(&built, text(output, "looseJson"), Dialect::Fastjson)?;
    body(&built, text(output, "strictJson"), Dialect::Strict)?;
    for json in [text(output, "strictJson"), text(output, "looseJson")] {
        let route = TopicRouteData::decode(json.as_bytes()).map_err(|error| error.to_string())?;
        let expected = |name| texts(list(output, name)).iter().map(Text::to_string).collect();
        let expected: [Vec<String>; 2] =
            [expected("publishQueues"), expected("subscribeQueuesSorted")];
        let mut publish = named(route.publish_queues());
        let mut wanted = expected[0].clone();
        if built.order_topic_conf.is_some() {
            // The order of the configuration is the user's.
            publish.sort();
            wanted.sort();
        }
        same("queues to publish to", publish, wanted)?;
        same("queues to subscribe to", named(route.subscribe_queues()), expected[1].clone())?;
    }
    Ok(())
}

fn heartbeat(input: &Value, output: &Value) -> Check {
    let producers: Vec<ProducerData<'_>> = optional(input, "producerGroup")
        .map(|group_name| ProducerData { group_name })
        .into_iter()
        .collect();
    let consumer = &input["consumer"];
    let (mut tags, mut codes) = (Vec::new(), Vec::new());
    if consumer.is_object() {
        tags = texts(list(consumer, "tagsSet"));
        codes =
            list(consumer, "codeSet").iter().map(|code| code.as_i64().unwrap() as i32).collect();
    }
    let subscriptions: Vec<SubscriptionData<'_>> = consumer
        .is_object()
        .then(|| SubscriptionData {
            class_filter_mode: false,
            code_set: codes.as_slice().into(),
            expression_type: optional(consumer, "expressionType"),
            filter_class_source: None,
            sub_string: optional(consumer, "subString"),
            sub_version: number(consumer, "subVersion"),
            tags_set: tags.as_slice().into(),
            topic: text(consumer, "topic").into(),
        })
        .into_iter()
        .collect();
    let consumers: Vec<ConsumerData<'_>> = consumer
        .is_object()
        .then(|| ConsumerData {
            consume_from_where: ConsumeFromWhere::from_name(text(consumer, "consumeFromWhere")),
            consume_type: ConsumeType::from_name(text(consumer, "consumeType")),
            group_name: text(consumer, "group").into(),
            message_model: MessageModel::from_name(text(consumer, "messageModel")),
            subscription_data_set: subscriptions.as_slice().into(),
            unit_mode: flag(consumer, "unitMode"),
        })
        .into_iter()
        .collect();
    let built = HeartbeatData {
        client_id: text(input, "clientID").into(),
        consumer_data_set: consumers.as_slice().into(),
        heartbeat_fingerprint: 0,
        producer_data_set: producers.as_slice().into(),
        without_sub: false,
    };
    in_output(&built, output)?;
    let decoded = HeartbeatData::decode(text(output, "json").as_bytes()).expect("it was read");
    let fingerprint = small(output, "fingerprint");
    same("the fingerprint", decoded.fingerprint(), fingerprint)?;
    same("the fingerprint of what was built", built.fingerprint(), fingerprint)
}

fn subscription(input: &Value, output: &Value) -> Check {
    let expression = Expression::parse(input["subString"].as_str());
    if output["error"] == true {
        return same("the expression", expression, Err(NoTags));
    }
    let expression = expression.map_err(|error| error.to_string())?;
    same("the text", expression.sub_string(), text(output, "subString"))?;
    let mut tags: Vec<&str> = expression.tags().collect();
    let mut expected: Vec<&str> =
        list(output, "tags").iter().map(|tag| tag.as_str().unwrap()).collect();
    tags.sort_unstable();
    expected.sort_unstable();
    same("the tags", tags, expected)?;
    let mut codes: Vec<i64> = expression.codes().map(i64::from).collect();
    let mut expected: Vec<i64> =
        list(output, "codes").iter().map(|code| code.as_i64().unwrap()).collect();
    codes.sort_unstable();
    codes.dedup();
    expected.sort_unstable();
    same("the codes", codes, expected)
}

fn consumer_list(input: &Value, output: &Value) -> Check {
    let ids = texts(list(input, "ids"));
    let consumer_id_list = ids.as_slice().into();
    in_output(&GetConsumerListByGroupResponseBody { consumer_id_list }, output)
}

fn lock_request(input: &Value, output: &Value) -> Check {
    let queues = queues(input);
    let built = LockBatchRequestBody {
        client_id: text(input, "clientId").into(),
        consumer_group: text(input, "consumerGroup").into(),
        mq_set: queues.as_slice().into(),
        only_this_broker: flag(input, "onlyThisBroker"),
    };
    in_output(&built, output)
}

fn lock_response(input: &Value, output: &Value) -> Check {
    let queues = queues(input);
    in_output(&LockBatchResponseBody { lock_ok_mq_set: queues.as_slice().into() }, output)
}

fn query_assignment_request(input: &Value, output: &Value) -> Check {
    let built = QueryAssignmentRequestBody {
        client_id: text(input, "clientId").into(),
        consumer_group: text(input, "consumerGroup").into(),
        message_model: MessageModel::from_name(text(input, "messageModel")),
        strategy_name: optional(input, "strategyName"),
        topic: text(input, "topic").into(),
    };
    in_output(&built, output)
}

fn query_assignment_response(input: &Value, output: &Value) -> Check {
    let mode = MessageRequestMode::from_name(text(input, "mode"));
    let assignment =
        |message_queue| MessageQueueAssignment { attachments: None, message_queue, mode };
    let assignments: Vec<_> = queues(input).into_iter().map(assignment).collect();
    let message_queue_assignments = Some(assignments.as_slice().into());
    in_output(&QueryAssignmentResponseBody { message_queue_assignments }, output)
}

fn batch_ack(input: &Value, output: &Value) -> Check {
    let numbers: Vec<u32> =
        list(input, "bitsSet").iter().map(|bit| bit.as_u64().unwrap() as u32).collect();
    let mut bit_set = String::new();
    write_bits(numbers.iter().copied(), &mut bit_set).expect("a string takes all");
    let acks = [BatchAck {
        bit_set: (&*bit_set).into(),
        consumer_group: text(input, "consumerGroup").into(),
        invisible_time: number(input, "invisibleTime"),
        pop_time: number(input, "popTime"),
        queue_id: small(input, "queueId"),
        retry: text(input, "retry").into(),
        revive_queue_id: small(input, "reviveQueueId"),
        start_offset: number(input, "startOffset"),
        topic: text(input, "topic").into(),
    }];
    let broker_name = text(input, "brokerName").into();
    in_output(&BatchAckMessageRequestBody { acks: (&acks).into(), broker_name }, output)?;
    let decoded = BatchAckMessageRequestBody::decode(text(output, "json").as_bytes());
    let ack = decoded.expect("it was read").acks.iter().next().expect("one");
    let read: Vec<u32> = bits(ack.expect("an ack").bit_set).expect("Base64").collect();
    let mut numbers = numbers;
    numbers.sort_unstable();
    same("the bits", read, numbers)
}

fn consume_stats(input: &Value, output: &Value) -> Check {
    let offsets = OffsetWrapper {
        broker_offset: number(input, "brokerOffset"),
        consumer_offset: number(input, "consumerOffset"),
        last_timestamp: number(input, "lastTimestamp"),
        pull_offset: number(input, "pullOffset"),
    };
    let table = by_queue(input, offsets);
    let consume_tps = float(input, "consumeTps");
    in_output(&ConsumeStats { consume_tps, offset_table: table.as_slice().into() }, output)
}

fn topic_stats(input: &Value, output: &Value) -> Check {
    let offsets = TopicOffset {
        last_update_timestamp: number(input, "lastUpdateTimestamp"),
        max_offset: number(input, "maxOffset"),
        min_offset: number(input, "minOffset"),
    };
    let table = by_queue(input, offsets);
    let topic_put_tps = float(input, "topicPutTps");
    in_output(&TopicStatsTable { offset_table: table.as_slice().into(), topic_put_tps }, output)
}

fn reset_offset(input: &Value, output: &Value) -> Check {
    let table = by_queue(input, number(input, "offset"));
    in_output(&ResetOffsetBody { offset_table: table.as_slice().into() }, output)
}

fn cluster_info(input: &Value, output: &Value) -> Check {
    let (cluster, name) = (text(input, "cluster"), text(input, "brokerName"));
    let addresses = [(0, text(input, "addr").into())];
    let broker = BrokerData {
        broker_addrs: (&addresses).into(),
        broker_name: name.into(),
        cluster: Some(cluster.into()),
        enable_acting_master: false,
        zone_name: None,
    };
    let names = [name.into()];
    let brokers = [(name.into(), broker)];
    let clusters = [(cluster.into(), (&names).into())];
    let built = ClusterInfo {
        broker_addr_table: (&brokers).into(),
        cluster_addr_table: (&clusters).into(),
    };
    in_output(&built, output)
}

fn attributes(input: &Value) -> Vec<(Text<'_>, Text<'_>)> {
    let all = pairs(input, "attributes").into_iter();
    all.map(|(name, value)| (name.into(), value.expect("a text").into())).collect()
}

fn topic_config<'v>(input: &'v Value, attributes: &'v [(Text<'v>, Text<'v>)]) -> TopicConfig<'v> {
    TopicConfig {
        attributes: attributes.into(),
        order: false,
        perm: small(input, "perm"),
        read_queue_nums: small(input, "read"),
        topic_filter_type: Some(TopicFilterType::SingleTag),
        topic_name: text(input, "topic").into(),
        topic_sys_flag: 0,
        write_queue_nums: small(input, "write"),
    }
}

fn data_version(input: &Value) -> DataVersion {
    DataVersion {
        counter: number(input, "counter"),
        state_version: 0,
        timestamp: number(input, "timestamp"),
    }
}

fn topic_config_wrapper(input: &Value, output: &Value) -> Check {
    let attributes = attributes(input);
    let topic = topic_config(input, &attributes);
    let table = [(topic.topic_name, topic)];
    let built = TopicConfigSerializeWrapper {
        data_version: Some(data_version(input)),
        topic_config_table: (&table).into(),
    };
    in_output(&built, output)
}

fn topic_config_line(input: &Value, output: &Value) -> Check {
    let attributes = attributes(input);
    let topic = topic_config(input, &attributes);
    let line = text(output, "text");
    let read = TopicConfig::from_line(line).map_err(|error| error.to_string())?;
    let mut again = String::new();
    read.write_line(&mut again).expect("a string takes all");
    same("the line again", &*again, line)?;
    let mut ours = String::new();
    topic.write_line(&mut ours).expect("a string takes all");
    if attributes.len() > 1 {
        // The order of attributes is that of Java's map.
        let all = |line: &str| line.splitn(6, ' ').map(str::to_owned).collect::<Vec<String>>();
        let (mut ours, mut theirs) = (all(&ours), all(line));
        let attributes = [ours.pop(), theirs.pop()].map(|json| normal(&json.unwrap()));
        same("the attributes", &attributes[0], &attributes[1])?;
        return same("the line", ours, theirs);
    }
    same("the line", &*ours, line)
}

fn register_broker_body(input: &Value, output: &Value) -> Check {
    let json = text(output, "json");
    let theirs = RegisterBrokerBody::decode(json.as_bytes()).map_err(|error| error.to_string())?;
    let attributes = attributes(input);
    let topic = topic_config(input, &attributes);
    let data_version = data_version(input);
    let table = [(topic.topic_name, topic)];
    let built = RegisterBrokerBody {
        filter_server_list: List::default(),
        topic_config_serialize_wrapper: TopicConfigAndMappingSerializeWrapper {
            data_version: Some(data_version),
            // The input says nothing about it.
            mapping_data_version: theirs.topic_config_serialize_wrapper.mapping_data_version,
            topic_config_table: (&table).into(),
            topic_queue_mapping_detail_map: Map::default(),
            topic_queue_mapping_info_map: Map::default(),
        },
    };
    in_output(&built, output)?;
    let crc31 = i64::from(crc32(json.as_bytes()) & 0x7fff_ffff);
    same("the CRC", crc31, number(output, "crc31OfPlain"))?;

    let mut inflated = Vec::new();
    let compressed = bytes(output, "compressedHex");
    let mut decoder = flate2::read::ZlibDecoder::new(&compressed[..]);
    std::io::Read::read_to_end(&mut decoder, &mut inflated).map_err(|error| error.to_string())?;
    let registration =
        CompressedRegistration::decode(&inflated).map_err(|error| error.to_string())?;
    same("the version", registration.data_version, data_version)?;
    let topics: Vec<TopicConfig<'_>> = registration.topics.map(|topic| topic.unwrap()).collect();
    same("the topics", &topics, &vec![topic])?;
    same("filter servers", registration.filter_servers.iter().count(), 0)?;
    same("static topics", (registration.mappings, registration.mapping_bytes), (0, &[][..]))?;
    let mut memory = vec![0; inflated.len()];
    let topics = std::iter::once(topic);
    let written =
        CompressedRegistration::encode(&data_version, topics, List::default(), &mut memory);
    same("the length", written, Ok(inflated.len()))?;
    same("the registration", memory, inflated)
}

fn subscription_group(input: &Value, output: &Value) -> Check {
    let policy = GroupRetryPolicy {
        customized_retry_policy: None,
        exponential_retry_policy: None,
        policy_type: Some(GroupRetryPolicyType::Customized),
    };
    // Everything else has its default.
    let name = text(input, "groupName");
    let minimal = format!(r#"{{"groupName":"{name}"}}"#);
    let defaults = SubscriptionGroupConfig::decode(minimal.as_bytes()).expect("enough");
    let built = SubscriptionGroupConfig {
        group_retry_policy: Some(policy),
        retry_max_times: small(input, "retryMaxTimes"),
        group_name: name.into(),
        ..defaults
    };
    in_output(&built, output)
}

fn kv_table(input: &Value, output: &Value) -> Check {
    let table = input.as_object().expect("a table").iter();
    let table: Vec<(Text<'_>, Text<'_>)> = table
        .map(|(name, value)| (Text::plain(name), value.as_str().expect("a text").into()))
        .collect();
    in_output(&KvTable { table: table.as_slice().into() }, output)
}

fn topic_list(input: &Value, output: &Value) -> Check {
    let topics = texts(list(input, "topics"));
    in_output(
        &TopicList {
            broker_addr: optional(input, "brokerAddr"),
            topic_list: topics.as_slice().into(),
        },
        output,
    )
}

fn all_of(topic: Text<'_>, sub_version: i64) -> SubscriptionData<'_> {
    SubscriptionData {
        class_filter_mode: false,
        code_set: List::default(),
        expression_type: Some("TAG".into()),
        filter_class_source: None,
        sub_string: Some("*".into()),
        sub_version,
        tags_set: List::default(),
        topic,
    }
}

fn consumer_connection(input: &Value, output: &Value) -> Check {
    let connections = [Connection {
        client_addr: optional(input, "clientAddr"),
        client_id: optional(input, "clientId"),
        language: Language::from_name(text(input, "language")),
        version: small(input, "version"),
    }];
    let topic = text(input, "topic").into();
    let table = [(topic, all_of(topic, number(input, "subVersion")))];
    let built = ConsumerConnection {
        connection_set: (&connections).into(),
        consume_from_where: Some(ConsumeFromWhere::LastOffset),
        consume_type: Some(ConsumeType::Passively),
        message_model: Some(MessageModel::Clustering),
        subscription_table: (&table).into(),
    };
    in_output(&built, output)
}

fn consume_directly_result(input: &Value, output: &Value) -> Check {
    let built = ConsumeMessageDirectlyResult {
        auto_commit: input["autoCommit"].as_bool().unwrap_or(true),
        consume_result: ConsumeResult::from_name(text(input, "consumeResult")),
        order: flag(input, "order"),
        remark: optional(input, "remark"),
        spent_time_mills: number(input, "spentTimeMills"),
    };
    in_output(&built, output)
}

fn consumer_running_info(input: &Value, output: &Value) -> Check {
    let all_zero = ProcessQueueInfo::decode(b"{}").expect("all has defaults");
    let queue = ProcessQueueInfo {
        commit_offset: number(input, "commitOffset"),
        cached_msg_count: small(input, "cachedMsgCount"),
        ..all_zero
    };
    let table = by_queue(input, queue);
    let json = text(output, "json");
    let theirs = ConsumerRunningInfo::decode(json.as_bytes()).map_err(|error| error.to_string())?;
    // The input says nothing about when the subscription was made.
    let subscribed = theirs.subscription_set.iter().next().expect("one").expect("a subscription");
    let status = ConsumeStatus {
        pull_tps: float(input, "pullTPS"),
        ..ConsumeStatus::decode(b"{}").expect("all has defaults")
    };
    let topic = table[0].0.topic;
    let properties = [("PROP_CONSUME_TYPE".into(), "CONSUME_PASSIVELY".into())];
    let statuses = [(topic, status)];
    let subscriptions = [all_of(topic, subscribed.sub_version)];
    let built = ConsumerRunningInfo {
        jstack: None,
        mq_pop_table: Map::default(),
        mq_table: table.as_slice().into(),
        properties: (&properties).into(),
        status_table: (&statuses).into(),
        subscription_set: (&subscriptions).into(),
        user_consumer_info: Map::default(),
    };
    in_output(&built, output)?;
    same("the consume type", theirs.consume_type(), Ok(Some(ConsumeType::Passively)))
}

//! Bodies that are JSON: whatever is read is written and read again as the same, errors say where
//! within the input.

use turbopump_core::rocketmq::wire::body::*;
use turbopump_core::rocketmq::wire::header::EncodeError;
use turbopump_core::rocketmq::wire::json::Dialect;

/// As much as references in a short input can come to, and more.
const ROOM_BYTES: usize = 256 * 1024;

/// What was read is written in both dialects, and what is read of that is written as the same.
macro_rules! check {
    ($data:expr, $class:ident) => {{
        let data: &[u8] = $data;
        match $class::decode(data) {
            Err(error) => assert!(error.position <= data.len(), "{error}"),
            Ok(body) => {
                for dialect in [Dialect::Fastjson, Dialect::Strict] {
                    // Items that can't be read are found out only now.
                    let Some(first) = written(&body, dialect) else { continue };
                    let body = $class::decode(&first).expect("it was written");
                    // Numbers that are none have become null now.
                    let second = written(&body, dialect).expect("it was written");
                    let body = $class::decode(&second).expect("it was written");
                    assert_eq!(written(&body, dialect).as_ref(), Some(&second));
                }
            }
        }
    }};
}

fn written<'a>(body: &impl Body<'a>, dialect: Dialect) -> Option<Vec<u8>> {
    let mut memory = vec![0; ROOM_BYTES];
    match body.encode(dialect, &mut memory) {
        Ok(len) => memory.truncate(len),
        Err(EncodeError::NoRoom { .. }) => return None,
        Err(error) => panic!("{error}"),
    }
    Some(memory)
}

/// Any bytes as a route: its queues are counted as well.
pub fn route(data: &[u8]) {
    check!(data, TopicRouteData);
    let Ok(route) = TopicRouteData::decode(data) else { return };
    // A route of a few bytes may announce two thousand million queues.
    let count = |queues: &mut dyn Iterator<Item = bool>| queues.take(10_000).count();
    count(&mut route.publish_queues().map(|queue| queue.is_ok()));
    count(&mut route.subscribe_queues().map(|queue| queue.is_ok()));
    for broker in route.broker_datas.iter().flatten() {
        let _ = broker.address(MASTER_ID);
    }
}

/// Any bytes as a body of the class whose number comes first.
pub fn any(data: &[u8]) {
    let [class, data @ ..] = data else { return };
    let class = usize::from(*class) % CLASSES.len();
    CLASSES[class](data);
}

/// In an order that must not change: seeds begin with numbers.
const CLASSES: &[fn(&[u8])] = &[
    heartbeat,
    batch_ack,
    topic_line,
    registration,
    |data| check!(data, ClusterInfo),
    |data| check!(data, TopicConfigSerializeWrapper),
    |data| check!(data, RegisterBrokerBody),
    |data| check!(data, SubscriptionGroupWrapper),
    |data| check!(data, ConsumeStats),
    |data| check!(data, ConsumerRunningInfo),
    |data| check!(data, GetConsumerStatusBody),
    |data| check!(data, QueryAssignmentResponseBody),
    |data| check!(data, AclInfo),
    |data| check!(data, ConsumerConnection),
    |data| check!(data, ConsumeStatsList),
    |data| check!(data, TopicStatsTable),
];

fn heartbeat(data: &[u8]) {
    check!(data, HeartbeatData);
    if let Ok(heartbeat) = HeartbeatData::decode(data) {
        let _ = heartbeat.fingerprint();
    }
}

fn batch_ack(data: &[u8]) {
    check!(data, BatchAckMessageRequestBody);
    let Ok(body) = BatchAckMessageRequestBody::decode(data) else { return };
    for ack in body.acks.iter().flatten() {
        let Ok(numbers) = bits(ack.bit_set) else { continue };
        let numbers: Vec<u32> = numbers.collect();
        assert!(numbers.is_sorted_by(|one, next| one < next));
        let mut text = String::new();
        write_bits(numbers.iter().copied(), &mut text).expect("a string takes all");
        assert!(bits((&*text).into()).expect("it was written").eq(numbers));
    }
}

fn topic_line(data: &[u8]) {
    let Ok(line) = str::from_utf8(data) else { return };
    match TopicConfig::from_line(line) {
        Ok(topic) => {
            let mut again = String::new();
            if topic.write_line(&mut again).is_ok() {
                assert!(TopicConfig::from_line(&again).is_ok(), "{again}");
            }
        }
        Err(error) => assert!(error.position <= data.len(), "{error}"),
    }
}

fn registration(data: &[u8]) {
    match CompressedRegistration::decode(data) {
        Ok(registration) => {
            for topic in registration.topics {
                if let Err(error) = topic {
                    assert!(error.position <= data.len(), "{error}");
                }
            }
        }
        Err(error) => assert!(error.position <= data.len(), "{error}"),
    }
}

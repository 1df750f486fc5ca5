use alloc::string::ToString;

use turbopump_core::rocketmq::wire::identity::OffsetMessageId;
use turbopump_core::rocketmq::wire::message::Messages;
use turbopump_core::rocketmq::wire::properties::keys;

use crate::broker::machine::SessionId;
use crate::broker::machine::kit::{Got, Kit};

fn offset_of(message_id: &str) -> String {
    message_id.parse::<OffsetMessageId>().unwrap().physical_offset.to_string()
}

use alloc::string::String;

fn send_back(kit: &mut Kit, id: SessionId, offset: &str, level: &str) -> Got {
    let fields = [
        ("offset", offset),
        ("group", "g"),
        ("delayLevel", level),
        ("maxReconsumeTimes", "2"),
        ("originTopic", "Orders"),
    ];
    kit.ask(id, 36, &fields, b"")
}

#[test]
fn what_fails_comes_again_later_and_dies_in_the_end() {
    let mut kit = Kit::new();
    let client = kit.connect();
    let sent = kit.produce(client, "Orders", 0, "x", &[("TAGS", "t"), ("KEYS", "k")]);
    kit.pull(client, "g", "Orders", 0, 0);
    assert_eq!(send_back(&mut kit, client, "7", "0").code, 1, "no message is there");
    let mut offset = offset_of(sent.field("msgId"));
    for (times, wait_ms) in [(1, 10_000), (2, 30_000)] {
        assert_eq!(send_back(&mut kit, client, &offset, "0").code, 0);
        kit.advance_ms(wait_ms - 1);
        let next = times - 1;
        assert_eq!(kit.pull(client, "g", "%RETRY%g", 0, next).code, 19);
        kit.advance_ms(1);
        let got = kit.pull(client, "g", "%RETRY%g", 0, next);
        let message = Messages::new(&got.body).next().unwrap().unwrap();
        assert_eq!((message.body, message.reconsume_times), (&b"x"[..], times as i32));
        let properties = message.properties().unwrap();
        assert_eq!(properties.get(keys::RETRY_TOPIC), Some("Orders"));
        assert_eq!(properties.get(keys::ORIGIN_MESSAGE_ID), Some(sent.field("msgId")));
        assert_eq!((properties.tags(), properties.get(keys::DELAY)), (Some("t"), None));
        offset = message.physical_offset.to_string();
    }
    assert_eq!(send_back(&mut kit, client, &offset, "0").code, 0);
    let got = kit.pull(client, "g", "%DLQ%g", 0, 0);
    let message = Messages::new(&got.body).next().unwrap().unwrap();
    let properties = message.properties().unwrap();
    assert_eq!(
        (message.reconsume_times, properties.get(keys::DLQ_ORIGIN_TOPIC)),
        (3, Some("Orders"))
    );
    let counts = kit.broker.counts();
    assert_eq!((counts.messages_retried, counts.messages_dead), (2, 1));
}

#[test]
fn a_level_may_be_asked_for_and_so_may_death() {
    let mut kit = Kit::new();
    let client = kit.connect();
    let sent = kit.produce(client, "Orders", 0, "x", &[]);
    kit.pull(client, "g", "Orders", 0, 0);
    let offset = offset_of(sent.field("msgId"));
    send_back(&mut kit, client, &offset, "1");
    kit.advance_ms(1_000);
    assert_eq!(kit.pull(client, "g", "%RETRY%g", 0, 0).bodies(), ["x"]);
    send_back(&mut kit, client, &offset, "-1");
    assert_eq!(kit.pull(client, "g", "%DLQ%g", 0, 0).bodies(), ["x"]);
    let unknown = [("offset", "0"), ("group", "nobody"), ("delayLevel", "0")];
    assert_eq!(kit.ask(client, 36, &unknown, b"").code, 26);
}

#[test]
fn consumers_may_send_to_the_retry_topic_themselves() {
    let mut kit = Kit::new();
    let client = kit.connect();
    kit.pull(client, "g", "TBW102", 0, 0);
    let properties = [("DELAY", "1"), ("RETRY_TOPIC", "Orders")];
    assert_eq!(kit.produce(client, "%RETRY%g", 0, "again", &properties).code, 0);
    kit.advance_ms(1_000);
    assert_eq!(kit.pull(client, "g", "%RETRY%g", 0, 0).bodies(), ["again"]);
    // While queues are locked, others of the queue must not wait for it.
    let body = r#"{"clientId":"c","consumerGroup":"g","mqSet":[{"brokerName":"b","queueId":0,
        "topic":"%RETRY%g"}]}"#;
    let none: [(&str, &str); 0] = [];
    kit.ask(client, 41, &none, body.as_bytes());
    assert_eq!(kit.produce(client, "%RETRY%g", 0, "dead", &properties).code, 0);
    assert_eq!(kit.pull(client, "g", "%DLQ%g", 0, 0).bodies(), ["dead"]);
}

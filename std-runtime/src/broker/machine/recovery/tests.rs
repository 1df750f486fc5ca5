use alloc::string::ToString;
use alloc::vec::Vec;

use turbopump_core::rocketmq::wire::message::Message;

use crate::broker::BrokerConfig;
use crate::broker::machine::NOTES;
use crate::broker::machine::kit::Kit;
use crate::broker::machine::notes::{Note, key_hashes};
use crate::broker::store::Damage;

fn note(record: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    (NOTES.write)(record, &mut bytes);
    assert!(bytes.len() <= record.len() + 1, "{} for {}", bytes.len(), record.len());
    bytes
}

fn encoded(message: &Message<'_>) -> Vec<u8> {
    let mut bytes = alloc::vec![0; message.encoded_len()];
    message.encode(&mut bytes).unwrap();
    bytes
}

#[test]
fn notes_say_where_messages_are() {
    let mut message = Message::new("Orders", b"body");
    (message.queue_id, message.queue_offset, message.store_timestamp_ms) = (3, 77, 1_234);
    message.properties = b"KEYS\x01a b\x02TAGS\x01t\x02UNIQ_KEY\x01u\x02";
    let bytes = note(&encoded(&message));
    let Some(Note::Digest(digest, hashes)) = Note::from_bytes(&bytes) else {
        panic!("{bytes:?}");
    };
    assert_eq!((digest.topic, digest.queue, digest.offset), ("Orders", 3, 77));
    assert_eq!((digest.stored_ms, digest.tags_code), (1_234, i32::from(b't')));
    let hashes: Vec<i32> = hashes.iter().map(|hash| i32::from_be_bytes(*hash)).collect();
    assert_eq!(hashes, key_hashes(&message).collect::<Vec<_>>());
    assert_eq!(hashes.len(), 3);
    // What is cut short is refused, but for the keys at its end.
    let known = (0..bytes.len()).filter(|len| Note::from_bytes(&bytes[..*len]).is_some());
    assert!(known.eq([12, 8, 4].map(|gone| bytes.len() - gone)));
    // What makes no sense is kept as it is, and so are many short keys.
    message.store_timestamp_ms = -1;
    let keys = "KEYS\u{1}".to_string() + &"k ".repeat(200) + "\u{2}";
    let many = Message { properties: keys.as_bytes(), ..Message::new("Orders", b"") };
    for record in [encoded(&message), encoded(&many), b"nonsense".to_vec()] {
        assert_eq!(Note::from_bytes(&note(&record)), Some(Note::Whole(&record)));
    }
}

#[test]
fn notes_do_as_well_as_messages() {
    let mut kit = Kit::with(BrokerConfig::default(), true);
    let client = kit.connect();
    for n in 0..20 {
        let properties = [("TAGS", "t"), ("KEYS", "k"), ("DELAY", "3")];
        let properties = if n % 5 == 0 { &properties[..] } else { &properties[..2] };
        assert_eq!(kit.produce(client, "Orders", n % 4, &n.to_string(), properties).code, 0);
    }
    for n in 0..3 {
        kit.produce(client, "Orders", 0, &n.to_string(), &[("TRAN_MSG", "true"), ("PGROUP", "p")]);
    }
    let offset = [("consumerGroup", "g"), ("topic", "Orders"), ("queueId", "1")];
    assert_eq!(kit.ask(client, 15, &(offset, [("commitOffset", "2")]), b"").code, 0);
    let seen = |kit: &Kit| {
        let broker = &kit.broker;
        let queues = broker.topics.iter().map(|(_, topic)| (topic.name.clone(), &topic.queues));
        let mut queues: Vec<_> = queues.map(|queue| alloc::format!("{queue:?}")).collect();
        queues.sort();
        let keys = alloc::format!("{:?}", broker.keys);
        (queues, keys, alloc::format!("{:?}", broker.transactions))
    };
    kit.restart();
    let before = seen(&kit);
    kit.restarts_by_notes = true;
    kit.restart();
    assert_eq!(seen(&kit), before);
    assert!(before.1.len() > 1_000 && before.0.len() > 5, "{before:?}");
    let client = kit.connect();
    assert_eq!(kit.ask(client, 14, &offset, b"").number("offset"), 2);
    assert_eq!(kit.pull(client, "g", "Orders", 1, 2).bodies(), ["13", "17"]);
}

#[test]
fn readers_step_over_what_turns_out_to_be_damaged() {
    let mut kit = Kit::with(BrokerConfig::default(), true);
    let client = kit.connect();
    for n in 0..4 {
        kit.produce(client, "Orders", 0, &n.to_string(), &[("KEYS", "k")]);
    }
    let topic = kit.broker.topics.by_name("Orders").unwrap();
    let entry = *topic.queues[0].get(1).unwrap();
    // One byte in the middle of the second.
    let damage = Damage { position: entry.position + 20, bytes: 1 };
    kit.broker.handle_damaged(&[damage]);
    assert_eq!(kit.pull(client, "g", "Orders", 0, 0).bodies(), ["0", "2", "3"]);
    let notices: Vec<_> = core::iter::from_fn(|| kit.broker.poll_notice()).collect();
    assert!(notices.iter().any(|notice| notice.to_string().starts_with("LOST: 1 messages")));
}

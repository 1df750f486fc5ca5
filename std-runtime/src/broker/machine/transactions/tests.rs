use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use turbopump_core::rocketmq::wire::identity::OffsetMessageId;
use turbopump_core::rocketmq::wire::message::{Messages, Transaction};
use turbopump_core::rocketmq::wire::properties::keys;

use crate::broker::BrokerConfig;
use crate::broker::machine::SessionId;
use crate::broker::machine::kit::{Got, Kit};
use crate::broker::machine::timers::Due;

const COMMIT: &str = "8";
const ROLLBACK: &str = "12";

fn half(kit: &mut Kit, id: SessionId, body: &str) -> Got {
    let properties = "TRAN_MSG\u{1}true\u{2}PGROUP\u{1}pg\u{2}UNIQ_KEY\u{1}K1\u{2}DELAY\u{1}3\u{2}";
    let now = kit.now.unix_ms.to_string();
    let fields = [
        ("a", "pg"),
        ("b", "Orders"),
        ("c", "TBW102"),
        ("d", "4"),
        ("e", "2"),
        ("f", "4"),
        ("g", &*now),
        ("h", "0"),
        ("i", properties),
        ("j", "0"),
    ];
    kit.ask(id, 310, &fields, body.as_bytes())
}

fn end(kit: &mut Kit, id: SessionId, half: &Got, how: &str, group: &str) -> Got {
    let position = half.field("msgId").parse::<OffsetMessageId>().unwrap().physical_offset;
    let position = position.to_string();
    let fields = [
        ("producerGroup", group),
        ("tranStateTableOffset", half.field("queueOffset")),
        ("commitLogOffset", &*position),
        ("commitOrRollback", how),
        ("msgId", "K1"),
        ("transactionId", "K1"),
    ];
    kit.ask(id, 37, &fields, b"")
}

fn heartbeat(kit: &mut Kit, id: SessionId) {
    let body = br#"{"clientID":"p1","consumerDataSet":[],"producerDataSet":[{"groupName":"pg"}]}"#;
    let none: [(&str, &str); 0] = [];
    assert_eq!(kit.ask(id, 34, &none, body).code, 0);
}

fn orders(kit: &mut Kit, id: SessionId) -> Vec<String> {
    let got = kit.pull(id, "g", "Orders", 2, 0);
    if got.code == 0 { got.bodies() } else { Vec::new() }
}

#[test]
fn half_messages_are_seen_once_they_are_committed() {
    let mut kit = Kit::new();
    let client = kit.connect();
    let (first, second) = (half(&mut kit, client, "one"), half(&mut kit, client, "two"));
    assert_eq!((first.code, first.field("transactionId"), first.field("queueId")), (0, "K1", "2"));
    assert_eq!(orders(&mut kit, client).len(), 0);
    assert_eq!(end(&mut kit, client, &first, COMMIT, "others").code, 1);
    assert_eq!(end(&mut kit, client, &first, COMMIT, "pg").code, 0);
    assert_eq!(end(&mut kit, client, &first, COMMIT, "pg").code, 1, "it has ended");
    assert_eq!(end(&mut kit, client, &second, ROLLBACK, "pg").code, 0);
    let got = kit.pull(client, "g", "Orders", 2, 0);
    let messages: Vec<_> = Messages::new(&got.body).map(Result::unwrap).collect();
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].sys_flag.transaction(), Transaction::Commit);
    let position = first.field("msgId").parse::<OffsetMessageId>().unwrap().physical_offset;
    assert_eq!(messages[0].prepared_transaction_offset, position);
    let properties = messages[0].properties().unwrap();
    for gone in [keys::TRAN_MSG, keys::REAL_TOPIC, keys::REAL_QUEUE_ID, keys::DELAY] {
        assert_eq!(properties.get(gone), None);
    }
    assert_eq!(properties.get(keys::TRANSACTION_ID), Some("K1"));
    let counts = kit.broker.counts();
    assert_eq!((counts.transactions_committed, counts.transactions_rolled_back), (1, 1));
    kit.disconnect(client);
    kit.advance_ms(100_000);
    assert!(!kit.broker.timers.has(Due::Transactions), "nothing is open");
}

#[test]
fn producers_are_asked_and_given_up() {
    let mut config = BrokerConfig::default();
    config.transactions.checks_max = 2;
    config.transactions.check_interval = Duration::from_secs(10);
    let mut kit = Kit::with(config, false);
    let client = kit.connect();
    let sent = half(&mut kit, client, "one");
    kit.advance_ms(10_000);
    assert!(kit.take(client).is_empty(), "nobody has said that it is a producer");
    heartbeat(&mut kit, client);
    for _ in 0..2 {
        kit.advance_ms(10_000);
        let asked = kit.take(client).pop().unwrap();
        assert_eq!((asked.code, asked.is_oneway), (39, true));
        assert_eq!(asked.field("tranStateTableOffset"), sent.field("queueOffset"));
        assert_eq!((asked.field("msgId"), asked.field("transactionId")), ("K1", "K1"));
        let message = Messages::new(&asked.body).next().unwrap().unwrap();
        assert_eq!((message.topic, message.queue_id, message.body), ("Orders", 2, &b"one"[..]));
    }
    kit.advance_ms(10_000);
    assert!(kit.take(client).is_empty());
    assert_eq!(kit.pull(client, "g", "TRANS_CHECK_MAX_TIME_TOPIC", 0, 0).bodies(), ["one"]);
    assert_eq!(end(&mut kit, client, &sent, COMMIT, "pg").code, 1);
}

#[test]
fn what_is_open_is_open_after_a_restart() {
    let mut kit = Kit::with(BrokerConfig::default(), true);
    let client = kit.connect();
    let sent: Vec<Got> = ["one", "two"].iter().map(|body| half(&mut kit, client, body)).collect();
    assert_eq!(end(&mut kit, client, &sent[0], ROLLBACK, "pg").code, 0);
    kit.restart();
    let client = kit.connect();
    assert_eq!(end(&mut kit, client, &sent[0], COMMIT, "pg").code, 1, "it was rolled back");
    heartbeat(&mut kit, client);
    kit.advance_ms(30_000);
    assert_eq!(kit.take(client).pop().map(|got| got.code), Some(39));
    assert_eq!(end(&mut kit, client, &sent[1], COMMIT, "pg").code, 0);
    assert_eq!(orders(&mut kit, client), ["two"]);
}

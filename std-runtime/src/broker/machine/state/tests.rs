use alloc::string::ToString;
use alloc::vec::Vec;

use turbopump_core::rocketmq::wire::header::Absent;

use crate::broker::BrokerConfig;
use crate::broker::machine::kit::Kit;

const OF_GROUP: [(&str, &str); 3] = [("consumerGroup", "g"), ("topic", "Orders"), ("queueId", "1")];

#[test]
fn everything_is_there_after_a_restart() {
    let mut kit = Kit::with(BrokerConfig::default(), true);
    let client = kit.connect();
    for n in 0..10 {
        assert_eq!(kit.produce(client, "Orders", 1, &n.to_string(), &[("TAGS", "t")]).code, 0);
    }
    assert_eq!(kit.ask(client, 15, &(OF_GROUP, [("commitOffset", "6")]), b"").code, 0);
    for _ in 0..3 {
        kit.restart();
        let client = kit.connect();
        // What is on disk counts, for whoever looks and for what goes away.
        assert_eq!(kit.broker.stats().log_bytes, kit.broker.end());
        assert_eq!(kit.ask(client, 14, &OF_GROUP, b"").number("offset"), 6);
        assert_eq!(kit.pull(client, "g", "Orders", 1, 8).bodies(), ["8", "9"]);
        let topic = kit.broker.topics.by_name("Orders").unwrap();
        assert_eq!((topic.settings.read_queues, topic.settings.perm), (4, 6));
    }
    let client = kit.connect();
    let sent = kit.produce(client, "Orders", 1, "10", &[]);
    assert_eq!(sent.number("queueOffset"), 10);
}

#[test]
fn nothing_is_said_or_seen_before_it_is_stored() {
    let mut kit = Kit::with(BrokerConfig::default(), true);
    let client = kit.connect();
    kit.produce(client, "Orders", 0, "first", &[]);
    kit.is_slow = true;
    let fields = [
        ("a", "pg"),
        ("b", "Orders"),
        ("c", "TBW102"),
        ("d", "4"),
        ("e", "0"),
        ("f", "0"),
        ("g", "0"),
        ("h", "0"),
        ("j", "0"),
    ];
    kit.send(client, 310, 0, &fields, b"second");
    kit.send(client, 15, 0, &(OF_GROUP, [("commitOffset", "1")]), b"");
    assert!(kit.take(client).is_empty());
    assert_eq!(kit.pull(client, "g", "Orders", 0, 0).bodies(), ["first"]);
    // It can't be stored: that is said, and the place is free again.
    kit.broker.handle_store_failed(kit.now, "the disk is full", false);
    let got = kit.take(client);
    assert_eq!(got.iter().map(|got| got.code).collect::<Vec<_>>(), [14, 14]);
    assert!(got[0].remark.ends_with("the disk is full"), "{got:?}");
    kit.is_slow = false;
    let sent = kit.produce(client, "Orders", 0, "third", &[]);
    assert_eq!((sent.code, sent.number("queueOffset")), (0, 1));
    assert_eq!(kit.pull(client, "g", "Orders", 0, 0).bodies(), ["first", "third"]);
    kit.restart();
    let client = kit.connect();
    assert_eq!(kit.pull(client, "g", "Orders", 0, 0).bodies(), ["first", "third"]);
    // What could not be remembered was remembered again.
    assert_eq!(kit.ask(client, 14, &OF_GROUP, b"").number("offset"), 1);
    kit.broker.handle_store_failed(kit.now, "it is broken", true);
    assert_eq!(kit.produce(client, "Orders", 0, "fourth", &[]).code, 14);
    assert_eq!(kit.pull(client, "g", "Orders", 0, 1).bodies(), ["third"]);
}

#[test]
fn what_goes_away_leaves_the_rest_readable() {
    let mut config = BrokerConfig::default();
    config.limits.memory_bytes_max = 4 << 20;
    let mut kit = Kit::with(config, false);
    let client = kit.connect();
    let body = "x".repeat(100_000);
    for _ in 0..100 {
        kit.produce(client, "Orders", 0, &body, &[("KEYS", "k")]);
    }
    let stats = kit.broker.stats();
    assert!(stats.memory_bytes <= 4 << 20, "{} bytes", stats.memory_bytes);
    assert!(stats.messages < 45 && stats.keys < 90, "{stats:?}");
    let got = kit.pull(client, "g", "Orders", 0, 0);
    assert_eq!(got.code, 21);
    let min = got.number("nextBeginOffset");
    assert_eq!(min as u64 + stats.messages, 100);
    assert_eq!(kit.pull(client, "g", "Orders", 0, min as u64).bodies()[0], body);
}

#[test]
fn what_administrators_have_set_holds_after_a_restart() {
    let mut kit = Kit::with(BrokerConfig::default(), true);
    let client = kit.connect();
    let of = |key| [("namespace", "N"), ("key", key)];
    for key in ["kept", "deleted"] {
        let put = kit.ask(client, 100, &(of(key), [("value", "v")]), b"");
        assert_eq!(put.code, 0);
    }
    kit.ask(client, 102, &of("deleted"), b"");
    kit.ask(client, 205, &[("brokerName", "broker-a")], b"");
    assert_eq!(kit.ask(client, 25, &Absent, b"transactionCheckMax=3\n").code, 0);
    for n in 0..10 {
        kit.produce(client, "Orders", 1, &n.to_string(), &[]);
    }
    kit.ask(client, 15, &(OF_GROUP, [("commitOffset", "8")]), b"");
    let reset = [("topic", "Orders"), ("group", "g"), ("timestamp", "0"), ("isForce", "true")];
    assert_eq!(kit.ask(client, 222, &reset, b"").code, 0);
    for round in 0..3 {
        if round == 2 {
            // Older records go away with the oldest messages.
            kit.broker.remember_everything(kit.now);
        }
        kit.restart();
        let client = kit.connect();
        let got = kit.ask(client, 101, &of("kept"), b"");
        assert_eq!((got.code, got.field("value")), (0, "v"));
        assert_eq!(kit.ask(client, 101, &of("deleted"), b"").code, 22);
        let route = kit.ask(client, 105, &[("topic", "Orders")], b"");
        assert!(route.text().contains("\"perm\":4"), "{route:?}");
        assert_eq!(kit.broker.config().transactions.checks_max, 3);
        // What the consumers still believe does not count, and they are told once.
        kit.ask(client, 15, &(OF_GROUP, [("commitOffset", "9")]), b"");
        let offset = kit.ask(client, 14, &OF_GROUP, b"").number("offset");
        assert_eq!(offset, if round == 2 { 9 } else { 0 });
        if round == 1 {
            let pulled = kit.pull(client, "g", "Orders", 1, 8);
            assert_eq!((pulled.code, pulled.number("nextBeginOffset")), (21, 0));
            kit.ask(client, 15, &(OF_GROUP, [("commitOffset", "0")]), b"");
            kit.advance_ms(10_000);
        } else if round == 2 {
            assert_eq!(kit.pull(client, "g", "Orders", 1, 8).code, 0);
        }
    }
}

#[test]
fn a_full_disk_is_not_tried_again_at_once() {
    let mut kit = Kit::with(BrokerConfig::default(), true);
    let client = kit.connect();
    kit.produce(client, "Orders", 1, "x", &[]);
    kit.is_slow = true;
    kit.send(client, 215, 0, &[("topic", "Orders")], b"");
    kit.send(client, 100, 0, &[("namespace", "N"), ("key", "k"), ("value", "v")], b"");
    for _ in 0..3 {
        assert!(kit.broker.poll_group().is_some());
        kit.broker.handle_store_failed(kit.now, "the disk is full", false);
        assert!(!kit.broker.has_group(), "it waits for the timer");
        kit.advance_ms(10_000);
    }
    // There is room again: what was said is not forgotten.
    kit.is_slow = false;
    kit.advance_ms(10_000);
    kit.restart();
    let client = kit.connect();
    assert_eq!(kit.ask(client, 105, &[("topic", "Orders")], b"").code, 17);
    assert_eq!(kit.ask(client, 101, &[("namespace", "N"), ("key", "k")], b"").field("value"), "v");
}

#[test]
fn nothing_is_confirmed_before_it_is_written_however_much_there_is() {
    let mut config = BrokerConfig::default();
    config.limits.queues_max = 10_000;
    config.default_topic_queues = 5_000;
    let mut kit = Kit::with(config, true);
    let client = kit.connect();
    let make = [
        ("topic", "Wide"),
        ("defaultTopic", "TBW102"),
        ("readQueueNums", "5000"),
        ("writeQueueNums", "5000"),
        ("perm", "6"),
        ("topicFilterType", "SINGLE_TAG"),
        ("order", "false"),
    ];
    assert_eq!(kit.ask(client, 17, &make, b"").code, 0);
    for queue in 0..5_000 {
        let queue = queue.to_string();
        let of = [("consumerGroup", "g"), ("topic", "Wide"), ("queueId", &*queue)];
        // Nobody waits for an answer, so that they are written down together.
        kit.send(client, 15, 2, &(of, [("commitOffset", "7")]), b"");
    }
    let of = [("consumerGroup", "g"), ("topic", "Wide"), ("queueId", "4999")];
    assert_eq!(kit.ask(client, 15, &(of, [("commitOffset", "8")]), b"").code, 0);
    kit.restart();
    let client = kit.connect();
    assert_eq!(kit.ask(client, 14, &of, b"").number("offset"), 8);
}

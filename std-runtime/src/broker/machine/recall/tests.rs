use alloc::string::{String, ToString};
use alloc::vec::Vec;

use turbopump_core::rocketmq::wire::recall::RecallHandle;

use crate::broker::BrokerConfig;
use crate::broker::machine::SessionId;
use crate::broker::machine::kit::{Got, Kit};

fn produce(kit: &mut Kit, id: SessionId, body: &str, key: &str) -> String {
    let properties = [("TIMER_DELAY_MS", "5000"), ("UNIQ_KEY", key)];
    kit.produce(id, "Orders", 0, body, &properties).field("recallHandle").to_string()
}

fn recall(kit: &mut Kit, id: SessionId, topic: &str, handle: &str) -> Got {
    let fields = [("producerGroup", "p"), ("topic", topic), ("recallHandle", handle)];
    kit.ask(id, 370, &fields, b"")
}

fn delivered(kit: &mut Kit, id: SessionId) -> Vec<String> {
    let got = kit.pull(id, "g", "Orders", 0, 0);
    if got.code == 0 { got.bodies() } else { Vec::new() }
}

#[test]
fn what_was_recalled_is_not_delivered() {
    for (with_disk, by_notes) in [(false, false), (true, false), (true, true)] {
        let mut kit = Kit::with(BrokerConfig::default(), with_disk);
        kit.restarts_by_notes = by_notes;
        let mut client = kit.connect();
        // Producers that give the same id to two messages recall one of them, and then the other.
        let keys = ["K0", "K1", "K2", "K2"];
        let handles: Vec<String> =
            (0..4).map(|n: usize| produce(&mut kit, client, &n.to_string(), keys[n])).collect();
        let due_ms = kit.now.unix_ms + 5_000;
        let mut memory = [0; 128];
        let decoded = RecallHandle::decode(&handles[1], &mut memory).unwrap();
        assert_eq!((decoded.topic, decoded.broker_name), ("Orders", "broker-a"));
        assert_eq!((decoded.deliver_time_ms as u64, decoded.unique_key), (due_ms, "K1"));
        let got = recall(&mut kit, client, "Orders", &handles[1]);
        assert_eq!((got.code, got.field("msgId")), (0, "K1"), "{got:?}");
        assert_eq!(recall(&mut kit, client, "Orders", &handles[2]).code, 0);
        assert_eq!(kit.broker.stats().timed_messages, 2);
        if with_disk {
            kit.restart();
            client = kit.connect();
            assert_eq!(kit.broker.stats().timed_messages, 2);
        }
        let again = recall(&mut kit, client, "Orders", &handles[1]);
        assert_eq!(again.code, 604);
        assert!(again.remark.contains("recalled"), "{}", again.remark);
        kit.advance_ms(5_000);
        let mut bodies = delivered(&mut kit, client);
        // The one that is found first is the newest.
        assert_eq!(bodies, ["0", "2"]);
        assert_eq!(recall(&mut kit, client, "Orders", &handles[0]).code, 604, "it was delivered");
        if with_disk {
            kit.restart();
            client = kit.connect();
            kit.advance_ms(5_000);
            bodies = delivered(&mut kit, client);
        }
        assert_eq!(bodies, ["0", "2"]);
        let recalled = kit.broker.counts().messages_recalled;
        assert_eq!(recalled, if with_disk { 0 } else { 2 });
    }
}

#[test]
fn other_handles_are_refused() {
    let mut kit = Kit::new();
    let client = kit.connect();
    let handle = produce(&mut kit, client, "x", "K");
    kit.produce(client, "Bills", 0, "x", &[]);
    let due_ms = kit.now.unix_ms as i64 + 5_000;
    let like = |topic, broker_name, unique_key, deliver_time_ms| {
        RecallHandle { topic, broker_name, deliver_time_ms, unique_key }.to_string()
    };
    assert_eq!(recall(&mut kit, client, "Nothing", &handle).code, 17);
    for (topic, handle) in [
        ("Bills", handle.clone()),
        ("Orders", String::from("!")),
        ("Orders", String::new()),
        ("Orders", like("Orders", "broker-b", "K", due_ms)),
        ("Orders", like("Orders", "broker-a", "L", due_ms)),
        ("Orders", like("Orders", "broker-a", "K", due_ms + 1)),
        ("Orders", like("Orders", "broker-a", "K", -1)),
        // The message is of another topic than this says.
        ("Bills", like("Bills", "broker-a", "K", due_ms)),
    ] {
        let got = recall(&mut kit, client, topic, &handle);
        assert!(got.code == 604 && got.remark.starts_with("recall failed"), "{topic}: {got:?}");
    }
    kit.advance_ms(5_000);
    assert_eq!(delivered(&mut kit, client), ["x"]);
    // Retries have none.
    let properties = [("TIMER_DELAY_MS", "5000")];
    let sent = kit.produce(client, "%RETRY%g", 0, "x", &properties);
    assert_eq!((sent.code, sent.ext.get("recallHandle")), (0, None));
}

#[test]
fn a_recall_that_was_not_stored_was_none() {
    let mut kit = Kit::with(BrokerConfig::default(), true);
    let client = kit.connect();
    let handle = produce(&mut kit, client, "x", "K");
    kit.is_slow = true;
    let fields = [("producerGroup", "p"), ("topic", "Orders"), ("recallHandle", &*handle)];
    kit.send(client, 370, 0, &fields, b"");
    assert_eq!((kit.broker.stats().timed_messages, kit.take(client).len()), (0, 0));
    kit.broker.handle_store_failed(kit.now, "the disk is full", false);
    assert_eq!(kit.take(client).pop().map(|got| got.code), Some(14));
    kit.is_slow = false;
    kit.advance_ms(5_000);
    assert_eq!(delivered(&mut kit, client), ["x"]);
}

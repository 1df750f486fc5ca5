use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use turbopump_core::link::CloseReason;

use crate::broker::machine::SessionId;
use crate::broker::machine::kit::{Got, Kit};

use super::Notice;
use crate::broker::machine::timers::Due;

fn heartbeat(client: &str, group: &str, topic: &str, tags: &str, version: u64) -> Vec<u8> {
    alloc::format!(
        r#"{{"clientID":"{client}","consumerDataSet":[{{"consumeFromWhere":
        "CONSUME_FROM_LAST_OFFSET","consumeType":"CONSUME_PASSIVELY","groupName":"{group}",
        "messageModel":"CLUSTERING","subscriptionDataSet":[{{"classFilterMode":false,"codeSet":[],
        "expressionType":"TAG","subString":"{tags}","subVersion":{version},"tagsSet":[],
        "topic":"{topic}"}}],"unitMode":false}}],"producerDataSet":[{{"groupName":"pg"}}]}}"#
    )
    .into_bytes()
}

fn join(kit: &mut Kit, client: &str, tags: &str, version: u64) -> SessionId {
    let id = kit.connect();
    beat(kit, id, client, tags, version);
    id
}

fn beat(kit: &mut Kit, id: SessionId, client: &str, tags: &str, version: u64) {
    let fields: [(&str, &str); 0] = [];
    let opaque = kit.send(id, 34, 0, &fields, &heartbeat(client, "g", "Orders", tags, version));
    let got = kit.take(id);
    let answer = got.iter().find(|got| got.is_response && got.opaque == opaque).unwrap();
    assert_eq!((answer.code, answer.field("IS_SUPPORT_HEART_BEAT_V2")), (0, "true"));
}

fn members(kit: &mut Kit, id: SessionId) -> Got {
    kit.ask(id, 38, &[("consumerGroup", "g")], b"")
}

#[test]
fn members_come_and_go_and_the_others_are_told() {
    let mut kit = Kit::new();
    let first = join(&mut kit, "c1", "*", 1);
    assert_eq!(members(&mut kit, first).text(), r#"{"consumerIdList":["c1"]}"#);
    let second = join(&mut kit, "c2", "*", 1);
    let told = kit.take(first);
    assert_eq!(told.iter().map(|got| got.code).collect::<Vec<_>>(), [40]);
    assert!(told[0].is_oneway && !told[0].is_response && told[0].field("consumerGroup") == "g");
    assert_eq!(members(&mut kit, first).text(), r#"{"consumerIdList":["c1","c2"]}"#);
    beat(&mut kit, second, "c2", "*", 1);
    assert!(kit.take(first).is_empty(), "nothing has changed");
    kit.disconnect(second);
    assert_eq!(kit.take(first).len(), 1);
    let left = kit.ask(first, 35, &[("clientID", "c1"), ("consumerGroup", "g")], b"");
    assert_eq!((left.code, members(&mut kit, first).code), (0, 1));
    assert!(kit.broker.topics.by_name("%RETRY%g").is_some());
}

#[test]
fn pulls_go_by_the_subscription_of_the_group() {
    let mut kit = Kit::new();
    let client = join(&mut kit, "c1", "red || blue", 5);
    for tag in ["red", "green", "blue"] {
        kit.produce(client, "Orders", 0, tag, &[("TAGS", tag)]);
    }
    let pull = |version: &'static str, topic: &'static str| {
        [
            ("consumerGroup", "g"),
            ("topic", topic),
            ("queueId", "0"),
            ("queueOffset", "0"),
            ("maxMsgNums", "32"),
            ("sysFlag", "0"),
            ("commitOffset", "0"),
            ("suspendTimeoutMillis", "0"),
            ("subVersion", version),
        ]
    };
    let got = kit.ask(client, 11, &pull("5", "Orders"), b"");
    assert_eq!((got.code, got.bodies()), (0, vec!["red".to_string(), "blue".to_string()]));
    assert_eq!(kit.ask(client, 11, &pull("6", "Orders"), b"").code, 25);
    assert_eq!(kit.ask(client, 11, &pull("5", "SELF_TEST_TOPIC"), b"").code, 24);
    // An older subscription does not replace a newer one.
    beat(&mut kit, client, "c1", "green", 4);
    assert_eq!(kit.ask(client, 11, &pull("5", "Orders"), b"").bodies().len(), 2);
    beat(&mut kit, client, "c1", "green", 6);
    assert_eq!(kit.ask(client, 11, &pull("6", "Orders"), b"").bodies(), ["green"]);
}

#[test]
fn members_that_want_different_messages_are_noticed() {
    let mut kit = Kit::new();
    join(&mut kit, "c1", "red", 1);
    assert_eq!(kit.broker.poll_notice(), None);
    join(&mut kit, "c2", "blue", 2);
    let (group, topic, client_id) = ("g".into(), "Orders".into(), "c2".into());
    let notice = Notice::SubscriptionsDiffer { group, topic, client_id };
    assert_eq!(kit.broker.poll_notice(), Some(notice));
}

#[test]
fn whoever_says_nothing_is_closed() {
    let mut kit = Kit::new();
    let quiet = join(&mut kit, "c1", "*", 1);
    kit.advance_ms(60_000);
    let alive = join(&mut kit, "c2", "*", 1);
    kit.advance_ms(70_000);
    assert_eq!(kit.broker.poll_close(quiet), Some(CloseReason::Idle));
    assert_eq!(kit.broker.poll_close(alive), None);
    kit.disconnect(quiet);
    kit.disconnect(alive);
    kit.advance_ms(200_000);
    assert!(!kit.broker.timers.has(Due::Idle), "nobody is there to be looked at");
}

#[test]
fn offsets_are_committed_and_reset() {
    let mut kit = Kit::new();
    let client = join(&mut kit, "c1", "*", 1);
    let of_group = [("consumerGroup", "g"), ("topic", "Orders"), ("queueId", "0")];
    kit.produce(client, "Orders", 0, "0", &[]);
    // A young queue is read from its beginning.
    assert_eq!(kit.ask(client, 14, &of_group, b"").number("offset"), 0);
    let strict = (of_group, [("setZeroIfNotFound", "false")]);
    assert_eq!(kit.ask(client, 14, &strict, b"").code, 22);
    for n in 1..10 {
        kit.advance_ms(1_000);
        kit.produce(client, "Orders", 0, &n.to_string(), &[]);
    }
    let commit = |offset: &'static str| (of_group, [("commitOffset", offset)]);
    assert_eq!(kit.ask(client, 15, &commit("7"), b"").code, 0);
    assert_eq!(kit.ask(client, 14, &of_group, b"").number("offset"), 7);
    assert_eq!(kit.ask(client, 30, &of_group, b"").number("offset"), 10);
    assert_eq!(kit.ask(client, 31, &of_group, b"").number("offset"), 0);
    let at = (kit.now.unix_ms - 5_000).to_string();
    let search = |boundary: &'static str| {
        let at = at.clone();
        move |kit: &mut Kit| {
            let fields = (of_group, [("timestamp", &*at), ("boundaryType", boundary)]);
            kit.ask(client, 29, &fields, b"").number("offset")
        }
    };
    assert_eq!((search("LOWER")(&mut kit), search("upper")(&mut kit)), (4, 4));
    let reset = [("group", "g"), ("topic", "Orders"), ("timestamp", &*at), ("isForce", "true")];
    let got = kit.ask(client, 222, &reset, b"");
    let queue = r#"{"brokerName":"broker-a","queueId":0,"topic":"Orders"}:4"#;
    assert!(got.text().contains(queue), "{}", got.text());
    // A commit of what was consumed before does not undo it; the next pull tells the consumer.
    kit.ask(client, 15, &commit("9"), b"");
    assert_eq!(kit.ask(client, 14, &of_group, b"").number("offset"), 4);
    let got = kit.pull(client, "g", "Orders", 0, 9);
    assert_eq!((got.code, got.number("nextBeginOffset")), (21, 4));
    kit.ask(client, 15, &commit("5"), b"");
    assert_eq!(kit.ask(client, 14, &of_group, b"").number("offset"), 5);
}

#[test]
fn a_queue_has_one_owner() {
    let mut kit = Kit::new();
    let (first, second) = (join(&mut kit, "c1", "*", 1), join(&mut kit, "c2", "*", 1));
    kit.produce(first, "Orders", 0, "x", &[]);
    let fields: [(&str, &str); 0] = [];
    let body = |client: &str| {
        alloc::format!(
            r#"{{"clientId":"{client}","consumerGroup":"g","mqSet":[
            {{"brokerName":"broker-a","queueId":0,"topic":"Orders"}}],"onlyThisBroker":false}}"#
        )
    };
    let lock = |kit: &mut Kit, id, client: &str| {
        let got = kit.ask(id, 41, &fields, body(client).as_bytes());
        got.text().contains("Orders")
    };
    assert!(lock(&mut kit, first, "c1") && lock(&mut kit, first, "c1"));
    assert!(!lock(&mut kit, second, "c2"));
    kit.ask(second, 42, &fields, body("c2").as_bytes());
    assert!(!lock(&mut kit, second, "c2"), "nobody unlocks what is another's");
    kit.ask(first, 42, &fields, body("c1").as_bytes());
    assert!(lock(&mut kit, second, "c2") && !lock(&mut kit, first, "c1"));
    kit.advance_ms(59_999);
    beat(&mut kit, first, "c1", "*", 1);
    assert!(!lock(&mut kit, first, "c1"));
    kit.advance_ms(1);
    assert!(lock(&mut kit, first, "c1"), "it was not renewed");
    kit.disconnect(first);
    assert!(lock(&mut kit, second, "c2"), "its owner is gone");
}

#[test]
fn requests_are_handed_on_to_the_client() {
    let mut kit = Kit::new();
    let (client, admin) = (join(&mut kit, "c1", "*", 1), kit.connect());
    let sent = kit.produce(client, "Orders", 0, "direct", &[]);
    let to = [("consumerGroup", "g"), ("clientId", "c1")];
    kit.send(admin, 307, 0, &to, b"");
    assert!(kit.take(admin).is_empty());
    let asked = kit.take(client).pop().unwrap();
    assert_eq!((asked.code, asked.field("clientId"), asked.is_oneway), (307, "c1", false));
    kit.respond(client, &asked, 0, b"{}");
    assert_eq!(kit.take(admin).pop().unwrap().text(), "{}");
    let directly = (to, [("msgId", sent.field("msgId")), ("brokerName", "broker-a")]);
    kit.send(admin, 309, 0, &directly, b"");
    let asked = kit.take(client).pop().unwrap();
    assert_eq!((asked.code, asked.bodies()), (309, vec!["direct".to_string()]));
    // Nobody waits for ever.
    kit.advance_ms(10_000);
    assert_eq!(kit.take(admin).pop().unwrap().code, 207);
    kit.respond(client, &asked, 0, b"{}");
    assert!(kit.take(admin).is_empty());
    kit.send(admin, 307, 0, &to, b"");
    kit.disconnect(client);
    assert_eq!(kit.take(admin).pop().unwrap().remark, "the client is gone");
    assert_eq!(kit.ask(admin, 307, &to, b"").code, 1);
}

#[test]
fn nothing_that_is_asked_for_without_fields_panics() {
    let mut kit = Kit::new();
    let client = kit.connect();
    let fields: [(&str, &str); 0] = [];
    for code in [14, 15, 29, 30, 31, 32, 34, 35, 38, 41, 42, 46, 203, 204, 222, 307, 309] {
        assert!(kit.ask(client, code, &fields, b"").code > 0, "{code}");
    }
}

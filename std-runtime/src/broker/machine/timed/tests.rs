use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use turbopump_core::random::SplitMix64;
use turbopump_core::rocketmq::wire::header::request_code;
use turbopump_core::rocketmq::wire::message::Messages;
use turbopump_core::rocketmq::wire::properties::keys;

use crate::broker::BrokerConfig;
use crate::broker::machine::SessionId;
use crate::broker::machine::kit::{Got, Kit};

/// The bodies of all messages of a queue, from this offset on.
fn got(kit: &mut Kit, id: SessionId, mut offset: u64) -> Vec<String> {
    let mut bodies = Vec::new();
    loop {
        let got = kit.pull(id, "g", "Orders", 0, offset);
        if got.code != 0 {
            return bodies;
        }
        offset += got.bodies().len() as u64;
        bodies.extend(got.bodies());
    }
}

fn produce_at(kit: &mut Kit, id: SessionId, body: &str, due_ms: u64) -> Got {
    let due = due_ms.to_string();
    kit.produce(id, "Orders", 0, body, &[(keys::TIMER_DELIVER_MS, &due)])
}

fn produce_in(kit: &mut Kit, id: SessionId, body: &str, delay_ms: u64) -> Got {
    produce_at(kit, id, body, kit.now.unix_ms + delay_ms)
}

/// A message with the body `x` for each of these properties.
fn batch(properties: &[&str]) -> Vec<u8> {
    let mut body = Vec::new();
    for properties in properties {
        let bytes = 4 + 4 + 4 + 4 + 4 + 1 + 2 + properties.len();
        body.extend_from_slice(&(bytes as u32).to_be_bytes());
        body.extend_from_slice(&[0; 12]);
        body.extend_from_slice(&1_u32.to_be_bytes());
        body.push(b'x');
        body.extend_from_slice(&(properties.len() as u16).to_be_bytes());
        body.extend_from_slice(properties.as_bytes());
    }
    body
}

#[test]
fn levels_and_times_come_in_the_order_of_their_times() {
    for (seed, (with_disk, by_notes)) in
        [(false, false), (true, false), (true, true)].into_iter().cycle().take(12).enumerate()
    {
        let mut random = SplitMix64::new(seed as u64);
        let mut kit = Kit::with(BrokerConfig::default(), with_disk);
        kit.restarts_by_notes = by_notes;
        let mut client = kit.connect();
        let start = kit.now.unix_ms;
        // When each is due, and what counts among those of one time: a level knows when it came.
        let mut due: Vec<(u64, u64)> = Vec::new();
        for n in 0..200_u64 {
            // Times that are no times of levels, with many ties among them.
            let delay_ms = 1_003 * (1 + random.below(40));
            let (name, value, delay_ms) = match random.below(4) {
                0 => (keys::TIMER_DELAY_SEC, delay_ms / 1_003, delay_ms / 1_003 * 1_000),
                1 => (keys::TIMER_DELAY_MS, delay_ms, delay_ms),
                2 => (keys::TIMER_DELIVER_MS, kit.now.unix_ms + delay_ms, delay_ms),
                _ => (keys::DELAY, 1 + random.below(4), 0),
            };
            let delay_ms = match (name, value) {
                (keys::DELAY, level) => [1_000, 5_000, 10_000, 30_000][level as usize - 1],
                _ => delay_ms,
            };
            let sent =
                kit.produce(client, "Orders", 0, &n.to_string(), &[(name, &value.to_string())]);
            assert_eq!(sent.code, 0, "{sent:?}");
            assert_eq!(sent.ext.contains_key("recallHandle"), name != keys::DELAY);
            due.push((kit.now.unix_ms + delay_ms, n));
            kit.advance_ms(random.below(20));
        }
        due.sort_unstable();
        let mut seen: Vec<String> = Vec::new();
        while let Some((next_ms, _)) = due.get(seen.len()).copied() {
            if next_ms > kit.now.unix_ms {
                kit.advance_ms(next_ms - kit.now.unix_ms - 1);
                assert_eq!(got(&mut kit, client, seen.len() as u64).len(), 0, "SEED={seed}");
                kit.advance_ms(1);
            }
            let more = got(&mut kit, client, seen.len() as u64);
            let mut times = more.iter().map(|body| {
                let n: u64 = body.parse().unwrap();
                due.iter().find(|(_, other)| *other == n).map(|(due_ms, _)| *due_ms).unwrap()
            });
            let is_late = seen.is_empty();
            assert!(times.all(|due_ms| is_late || due_ms == next_ms), "SEED={seed}: {more:?}");
            seen.extend(more);
            if with_disk && random.below(5) == 0 {
                kit.restart();
                client = kit.connect();
            }
        }
        assert!(kit.now.unix_ms - start < 60_000);
        let mut all: Vec<u64> = seen.iter().map(|body| body.parse().unwrap()).collect();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..200), "SEED={seed}: {seen:?}");
        assert_eq!(kit.broker.stats().timed_messages, 0);
    }
}

#[test]
fn ties_come_in_the_order_of_their_arrival() {
    for with_disk in [false, true] {
        let mut kit = Kit::with(BrokerConfig::default(), with_disk);
        let client = kit.connect();
        let due_ms = kit.now.unix_ms + 7_777;
        for n in 0..1_000 {
            assert_eq!(produce_at(&mut kit, client, &n.to_string(), due_ms).code, 0);
        }
        assert_eq!(kit.broker.stats().timed_messages, 1_000);
        kit.advance_ms(7_776);
        assert_eq!(got(&mut kit, client, 0).len(), 0);
        kit.advance_ms(2);
        let expected: Vec<String> = (0..1_000).map(|n: u32| n.to_string()).collect();
        assert_eq!(got(&mut kit, client, 0), expected);
        assert_eq!(kit.broker.counts().messages_timed, 1_000);
    }
}

#[test]
fn messages_have_the_stamps_of_their_timer() {
    let mut kit = Kit::new();
    let client = kit.connect();
    let sent_ms = kit.now.unix_ms;
    let properties = [(keys::TIMER_DELAY_MS, "1500"), ("TAGS", "t"), (keys::TIMER_DELAY_SEC, "1")];
    let sent = kit.produce(client, "Orders", 2, "x", &properties);
    assert_eq!((sent.code, sent.field("queueId")), (0, "2"));
    kit.advance_ms(1_000);
    let body = kit.pull(client, "g", "Orders", 2, 0).body;
    let message = Messages::new(&body).next().unwrap().unwrap();
    assert_eq!((message.topic, message.queue_id, message.queue_offset), ("Orders", 2, 0));
    let properties = message.properties().unwrap();
    let real = [keys::REAL_TOPIC, keys::REAL_QUEUE_ID].map(|name| properties.get(name));
    assert_eq!(real, [Some("Orders"), Some("2")]);
    let number = |name| properties.number(name).unwrap().unwrap() as u64;
    assert_eq!((properties.tags(), number(keys::TIMER_DELAY_MS)), (Some("t"), 1_500));
    assert_eq!(number(keys::TIMER_OUT_MS), sent_ms + 1_000, "seconds count before milliseconds");
    assert_eq!(number(keys::TIMER_ENQUEUE_MS), sent_ms);
    assert_eq!(number(keys::TIMER_DEQUEUE_MS), sent_ms + 1_000);
    // Who sends it on does not have it wait again: not alone, nor in a batch or a transaction.
    let mut text = properties.as_str().to_string();
    let fields = [("a", "p"), ("b", "Again"), ("c", "TBW102"), ("d", "4"), ("e", "0"), ("f", "4")];
    let more = [("g", "0"), ("h", "0"), ("i", &*text), ("j", "0")];
    assert_eq!(kit.ask(client, request_code::SEND_MESSAGE_V2, &(fields, more), b"y").code, 0);
    let batch = batch(&["", &text]);
    let more = [("g", "0"), ("h", "0"), ("i", ""), ("j", "0")];
    assert_eq!(kit.ask(client, request_code::SEND_BATCH_MESSAGE, &(fields, more), &batch).code, 0);
    assert_eq!(kit.pull(client, "g", "Again", 0, 0).bodies(), ["y", "x", "x"]);
    text += "TRAN_MSG\u{1}true\u{2}PGROUP\u{1}p\u{2}";
    let more = [("g", "0"), ("h", "0"), ("i", &*text), ("j", "0")];
    assert_eq!(kit.ask(client, request_code::SEND_MESSAGE_V2, &(fields, more), b"y").code, 0);
}

#[test]
fn the_past_is_now_and_what_can_not_be_is_refused() {
    let mut config = BrokerConfig::default();
    config.limits.timed_messages_max = 3;
    let mut kit = Kit::with(config, false);
    let client = kit.connect();
    let now_ms = kit.now.unix_ms;
    for (n, at_ms) in [0, 1, now_ms - 1, now_ms].into_iter().enumerate() {
        let sent = produce_at(&mut kit, client, &n.to_string(), at_ms);
        assert_eq!((sent.code, sent.ext.get("recallHandle")), (0, None));
    }
    let properties = [(keys::TIMER_DELAY_SEC, "-9223372036854775808")];
    assert_eq!(kit.produce(client, "Orders", 0, "4", &properties).code, 0);
    assert_eq!(got(&mut kit, client, 0), ["0", "1", "2", "3", "4"]);

    let day_ms = 86_400_000;
    let refused = produce_in(&mut kit, client, "x", 3 * day_ms + 1);
    assert_eq!(refused.code, 13);
    assert!(refused.remark.contains("timer message illegal"), "{}", refused.remark);
    assert!(refused.remark.contains("259200000 ms (timerMaxDelaySec)"), "{}", refused.remark);
    for (name, value) in [
        (keys::TIMER_DELAY_SEC, "9223372036854775807"),
        (keys::TIMER_DELIVER_MS, "9223372036854775807"),
        (keys::TIMER_DELIVER_MS, "tomorrow"),
    ] {
        let refused = kit.produce(client, "Orders", 0, "x", &[(name, value)]);
        assert!(refused.code == 13 && refused.remark.contains("timer message illegal"));
    }
    let properties = [(keys::TIMER_DELAY_SEC, "9"), (keys::TIMER_DEL_UNIQKEY, "K")];
    let refused = kit.produce(client, "Orders", 0, "x", &properties);
    assert!(refused.code == 13 && refused.remark.contains("request 370"), "{refused:?}");
    let refused = kit.produce(client, "rmq_sys_wheel_timer", 0, "x", &[]);
    assert_eq!((refused.code, kit.broker.stats().timed_messages), (16, 0));

    assert_eq!(produce_in(&mut kit, client, "5", 3 * day_ms).code, 0);
    assert_eq!(produce_in(&mut kit, client, "6", 1).code, 0);
    assert_eq!(produce_in(&mut kit, client, "7", 2).code, 0);
    let refused = produce_in(&mut kit, client, "x", 2);
    assert_eq!(refused.code, 2, "it is busy");
    assert!(refused.remark.contains("3 messages wait"), "{}", refused.remark);
    kit.advance_ms(1);
    assert_eq!(produce_in(&mut kit, client, "8", 1).code, 0);
    // A level is not kept in the line of those with a time, and counts before it.
    let properties = [(keys::DELAY, "1"), (keys::TIMER_DELAY_SEC, "999999999999")];
    assert_eq!(kit.produce(client, "Orders", 0, "9", &properties).code, 0);
    kit.advance_ms(1_000);
    assert_eq!(got(&mut kit, client, 5), ["6", "7", "8", "9"]);
    kit.advance_ms(3 * day_ms);
    assert_eq!(got(&mut kit, client, 9), ["5"]);
}

#[test]
fn batches_and_transactions_have_no_times() {
    let mut kit = Kit::new();
    let client = kit.connect();
    for property in
        ["DELAY\u{1}1\u{2}", "TAGS\u{1}t\u{2}TIMER_DELIVER_MS\u{1}1\u{2}", "TIMER_DELAY_MS\u{1}x"]
    {
        let body = batch(&["", property]);
        let fields = [("a", "p"), ("b", "Orders"), ("c", "TBW102"), ("d", "4"), ("e", "0")];
        let more = [("f", "0"), ("g", "0"), ("h", "0"), ("i", ""), ("j", "0"), ("m", "true")];
        let refused = kit.ask(client, 320, &(fields, more), &body);
        assert!(refused.code == 13 && refused.remark.contains("one by one"), "{refused:?}");
        let more = [("f", "0"), ("g", "0"), ("h", "0"), ("i", property), ("j", "0"), ("m", "true")];
        let refused = kit.ask(client, 320, &(fields, more), &batch(&[""]));
        assert!(refused.code == 13 && refused.remark.contains("one by one"), "{refused:?}");
    }
    let properties = "TRAN_MSG\u{1}true\u{2}PGROUP\u{1}p\u{2}TIMER_DELAY_SEC\u{1}1\u{2}";
    let fields = [("a", "p"), ("b", "Orders"), ("c", "TBW102"), ("d", "4"), ("e", "0"), ("f", "4")];
    let more = [("g", "0"), ("h", "0"), ("i", properties), ("j", "0")];
    let refused = kit.ask(client, request_code::SEND_MESSAGE_V2, &(fields, more), b"y");
    assert!(refused.code == 13 && refused.remark.contains("transactions"), "{refused:?}");
    assert_eq!(got(&mut kit, client, 0).len(), 0);
}

#[test]
fn what_was_delivered_and_not_stored_is_delivered_again() {
    let mut kit = Kit::with(BrokerConfig::default(), true);
    let client = kit.connect();
    produce_in(&mut kit, client, "a", 1_000);
    kit.advance_ms(1_000);
    produce_in(&mut kit, client, "b", 1_000);
    assert_eq!(got(&mut kit, client, 0), ["a"]);
    kit.is_slow = true;
    kit.advance_ms(1_000);
    assert_eq!((kit.broker.counts().messages_timed, got(&mut kit, client, 1).len()), (2, 0));
    // Sent meanwhile, and not stored either.
    let due = (kit.now.unix_ms + 1).to_string();
    let properties = format!("TIMER_DELIVER_MS\u{1}{due}\u{2}");
    let fields = [("a", "p"), ("b", "Orders"), ("c", "TBW102"), ("d", "4"), ("e", "0"), ("f", "0")];
    let more = [("g", "0"), ("h", "0"), ("i", &*properties), ("j", "0")];
    kit.send(client, request_code::SEND_MESSAGE_V2, 0, &(fields, more), b"lost");
    assert_eq!(kit.broker.stats().timed_messages, 1);
    kit.broker.handle_store_failed(kit.now, "the disk is full", false);
    assert_eq!(kit.take(client).pop().map(|got| got.code), Some(14));
    assert_eq!(kit.broker.stats().timed_messages, 1, "b waits again, and what is lost does not");
    kit.is_slow = false;
    kit.advance_ms(1_000);
    assert_eq!(got(&mut kit, client, 1), ["b"]);
    kit.restart();
    let client = kit.connect();
    kit.advance_ms(5_000);
    assert_eq!(got(&mut kit, client, 0), ["a", "b"]);
}

#[test]
fn nobody_is_put_before_what_was_delivered_where_the_clock_is_set_back() {
    let mut kit = Kit::with(BrokerConfig::default(), true);
    let client = kit.connect();
    produce_in(&mut kit, client, "a", 10_000);
    kit.advance_ms(10_000);
    assert_eq!(got(&mut kit, client, 0), ["a"]);
    kit.now.unix_ms -= 8_000;
    produce_in(&mut kit, client, "b", 1_000);
    kit.restart();
    let client = kit.connect();
    assert_eq!(kit.broker.stats().timed_messages, 1, "it is not taken for delivered");
    kit.advance_ms(7_999);
    assert_eq!(got(&mut kit, client, 0), ["a"]);
    kit.advance_ms(1);
    assert_eq!(got(&mut kit, client, 0), ["a", "b"]);
}

#[test]
fn a_clock_that_is_set_is_noticed() {
    let mut kit = Kit::new();
    let client = kit.connect();
    produce_in(&mut kit, client, "a", 3_600_000);
    kit.advance_ms(1_000);
    kit.now.unix_ms += 3_600_000;
    kit.advance_ms(60_000);
    assert_eq!(got(&mut kit, client, 0), ["a"]);
}

#[test]
fn what_goes_away_before_its_time_is_counted_and_told() {
    let mut config = BrokerConfig::default();
    config.limits.memory_bytes_max = 4 << 20;
    let mut kit = Kit::with(config, false);
    let client = kit.connect();
    for n in 0..10 {
        produce_in(&mut kit, client, &n.to_string(), 1_000 + n);
    }
    let long = "x".repeat(100_000);
    while kit.broker.stats().timed_messages > 0 {
        assert_eq!(kit.produce(client, "Others", 0, &long, &[]).code, 0);
        assert!(kit.broker.counts().messages_sent < 200);
    }
    assert_eq!(kit.broker.counts().messages_timed_dropped, 10);
    let notices: Vec<_> = core::iter::from_fn(|| kit.broker.poll_notice()).collect();
    assert!(notices.iter().any(|notice| notice.to_string().starts_with("LOST: 10 messages")));
    produce_in(&mut kit, client, "after", 500);
    kit.advance_ms(2_000);
    assert_eq!(got(&mut kit, client, 0), ["after"]);
    // So is what has no topic any more.
    produce_in(&mut kit, client, "x", 500);
    assert_eq!(kit.ask(client, 215, &[("topic", "Orders")], b"").code, 0);
    kit.advance_ms(500);
    let counts = kit.broker.counts();
    assert_eq!((counts.messages_timed, counts.messages_timed_dropped), (1, 11));
    let stats = kit.broker.stats();
    let page = format!("{stats:?}");
    assert_eq!(stats.timed_messages, 0, "{page}");
}

#[test]
fn what_can_not_be_read_is_no_obstacle() {
    let mut kit = Kit::with(BrokerConfig::default(), true);
    let client = kit.connect();
    for n in 0..3 {
        produce_in(&mut kit, client, &n.to_string(), 1_000);
    }
    kit.restart();
    let client = kit.connect();
    // The second can't be read: all at once, then one by one.
    let second = kit.broker.topics.by_name("rmq_sys_wheel_timer").unwrap().queues[0].get(1);
    let position = second.unwrap().position;
    kit.is_unreadable = Some(position);
    kit.advance_ms(2_000);
    assert_eq!(got(&mut kit, client, 0), ["0", "2"]);
    let counts = kit.broker.counts();
    assert_eq!((counts.messages_unreadable, counts.messages_timed), (1, 2));
    assert_eq!(kit.broker.stats().timed_messages, 0);
}

/// A power cut may leave a part of a group: never the note without the copies.
#[test]
fn how_far_it_is_is_noted_once_the_copies_are_stored() {
    let mut kit = Kit::with(BrokerConfig::default(), true);
    let client = kit.connect();
    produce_in(&mut kit, client, "a", 1_000);
    kit.is_slow = true;
    kit.advance_ms(1_000);
    let topics_of_next_group = |kit: &mut Kit| {
        let group = kit.broker.poll_group().unwrap();
        let bytes = group.parts.concat();
        let topics = Messages::new(&bytes).map(|message| message.unwrap().topic.to_string());
        let topics: Vec<String> = topics.collect();
        kit.broker.handle_stored(kit.now, group.end);
        topics
    };
    assert_eq!(topics_of_next_group(&mut kit), ["Orders"]);
    assert_eq!(topics_of_next_group(&mut kit), ["rmq_sys_turbopump_state"]);
    assert!(!kit.broker.has_group());
    // Both were kept nowhere: it is delivered again.
    kit.is_slow = false;
    kit.restart();
    let client = kit.connect();
    kit.advance_ms(1);
    assert_eq!(got(&mut kit, client, 0), ["a"]);
}

use alloc::string::ToString;
use alloc::vec::Vec;

use turbopump_core::rocketmq::wire::identity::OffsetMessageId;

use crate::broker::BrokerConfig;
use crate::broker::machine::kit::{Got, Kit};

#[test]
fn messages_are_found_by_key_and_by_place() {
    for with_disk in [false, true] {
        let mut kit = Kit::with(BrokerConfig::default(), with_disk);
        let client = kit.connect();
        let mut sent = Vec::new();
        for n in 0..5 {
            kit.advance_ms(1_000);
            let keys = if n % 2 == 0 { "even all" } else { "all" };
            let unique = alloc::format!("U{n}");
            let properties = [("KEYS", keys), ("UNIQ_KEY", &*unique)];
            sent.push(kit.produce(client, "Orders", 0, &n.to_string(), &properties));
        }
        let first_ms = kit.now.unix_ms - 4_000;
        let query = |kit: &mut Kit, key: &str, max: &str, from: u64, unique: &str| -> Got {
            let from = from.to_string();
            let fields = [
                ("topic", "Orders"),
                ("key", key),
                ("maxNum", max),
                ("beginTimestamp", &*from),
                ("endTimestamp", "9223372036854775807"),
                ("_UNIQUE_KEY_QUERY", unique),
            ];
            kit.ask(client, 12, &fields, b"")
        };
        assert_eq!(query(&mut kit, "even", "9", 0, "false").bodies(), ["4", "2", "0"]);
        assert_eq!(query(&mut kit, "all", "2", 0, "false").bodies(), ["4", "3"]);
        assert_eq!(query(&mut kit, "all", "9", first_ms + 3_000, "false").bodies(), ["4", "3"]);
        assert_eq!(query(&mut kit, "U3", "1", 0, "true").bodies(), ["3"]);
        assert_eq!(query(&mut kit, "even", "9", 0, "true").code, 22);
        assert_eq!(query(&mut kit, "odd", "9", 0, "false").code, 22);
        let view = |kit: &mut Kit, got: &Got, by: i64| {
            let id: OffsetMessageId = got.field("msgId").parse().unwrap();
            let offset = (id.physical_offset + by).to_string();
            kit.ask(client, 33, &[("offset", &*offset)], b"")
        };
        assert_eq!(view(&mut kit, &sent[2], 0).bodies(), ["2"]);
        assert_eq!(view(&mut kit, &sent[2], 1).code, 1);
    }
}
